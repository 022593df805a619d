//! Schema `supernode.compare/1`.

use super::{
    CompareAnswer, CompareGroup, MEASURES, decided, equal_words, head_room, losses, main_stage,
    own_figures, ratio_of, share_of_first,
};
use crate::campaign::{named, sources, summary_json};
use crate::json::Stamp;
use campaign::{Contender, peak};
use serde_json::{Map, Value, json};

/// A comparison.
pub fn compare_json(stamp: &Stamp, answer: &CompareAnswer<'_>) -> Value {
    let groups: Vec<Value> = answer.groups.iter().map(|g| group(answer, g)).collect();
    let contenders = || answer.groups.iter().flat_map(|g| &g.contenders);
    let cited = contenders().flat_map(own_figures).map(|(_, figure)| figure);
    stamp.on(json!({
        "title": answer.title,
        "at": equal_words(answer.equal),
        "plans": if answer.terms.plan { "searched" } else { "own" },
        "seed": answer.terms.seed,
        "samples": answer.terms.samples,
        "groups": groups,
        "sources": sources(cited),
    }))
}

fn group(answer: &CompareAnswer<'_>, group: &CompareGroup) -> Value {
    let absent: Vec<Value> =
        group.absent.iter().map(|(name, why)| json!({ "name": name, "why": why })).collect();
    let contenders: Vec<Value> =
        group.contenders.iter().map(|c| contender(answer, group, c)).collect();
    json!({ "run": group.name, "machines": contenders, "absent": absent })
}

fn contender(answer: &CompareAnswer<'_>, group: &CompareGroup, c: &Contender) -> Value {
    let stage = main_stage(c);
    let chip = &c.scenario.cluster.chip;
    let plans: Vec<Value> = c
        .rehearsal
        .stages
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let p = &s.job.plan;
            json!({
                "sequence": s.job.sequence, "batch_sequences": s.job.batch_sequences,
                "tensor": p.tensor, "context": p.context, "pipeline": p.pipeline,
                "virtual_pipeline": p.virtual_pipeline, "data": p.data, "expert": p.expert,
                "schedule": p.schedule.word(), "step_s": s.step_s.median,
                "gap_ratio": c.planned.get(i).map(|planned| planned.gap),
            })
        })
        .collect();
    let mut ratios = Map::new();
    for (name, of) in MEASURES {
        let decides: Vec<Value> = decided(group, c, answer.terms.seed, of)
            .iter()
            .map(|d| named(&d.path, &d.figure, json!({ "share": d.share })))
            .collect();
        let ratio = ratio_of(group, c, of).map(|r| {
            json!({
                "p5": r.p5, "p50": r.p50, "p95": r.p95, "differs": r.differs(),
                "decided_by": decides,
            })
        });
        ratios.insert(name.into(), ratio.unwrap_or(Value::Null));
    }
    let lost: Map<String, Value> =
        losses(c).iter().map(|(word, share)| ((*word).to_owned(), json!(share))).collect();
    let levels: Vec<Value> = c
        .scenario
        .cluster
        .levels
        .iter()
        .map(|l| json!({ "name": l.name, "chips": l.size, "bytes_per_s": l.bandwidth.value }))
        .collect();
    json!({
        "name": c.name,
        "cluster": c.scenario.cluster.id,
        "chip": chip.id,
        "chips": c.scenario.ranks,
        "cluster_grown": c.grown,
        "equal_ratio": share_of_first(answer.equal, group, c),
        "peak_flop_per_s": peak(chip, &c.scenario),
        "memory_bytes": chip.memory.value,
        "memory_bytes_per_s": chip.memory_bandwidth.value,
        "fabric": levels,
        "plans": plans,
        "step_s": stage.step_s.median,
        "step_central_s": stage.step_s.value,
        "mfu_ratio": stage.mfu.median,
        "free_bytes": head_room(c),
        "step_shares": lost,
        "run": summary_json(&c.summary),
        "ratio_to_first": ratios,
        "assumptions": own_figures(c).iter().map(|(path, f)| named(path, f, json!({})))
            .collect::<Vec<_>>(),
    })
}
