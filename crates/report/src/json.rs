//! The rehearsal as JSON: schema `supernode.rehearse/1`.

use crate::sheet::{assumed_figures, phase_list};
use diagnostic::Diagnostics;
use engine::{Interval, Rehearsal, StageAnswer};
use scenario::Scenario;
use serde_json::{Map, Value, json};
use units::Figure;

/// What every JSON answer carries besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// `supernode.rehearse/1`.
    pub schema: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// xxh3-128 of the inputs, hexadecimal.
    pub input_hash: String,
}

impl Stamp {
    /// `body` with the stamp before it.
    pub(crate) fn on(&self, body: Value) -> Value {
        let mut map = Map::new();
        map.insert("schema".into(), self.schema.into());
        map.insert("version".into(), self.version.into());
        map.insert("input_hash".into(), self.input_hash.as_str().into());
        if let Value::Object(body) = body {
            map.extend(body);
        }
        Value::Object(map)
    }
}

/// An answer's interval; its origin is always `derived`.
fn interval(i: &Interval) -> Value {
    json!({
        "value": i.value, "p50": i.median, "low": i.low, "high": i.high, "origin": "derived",
    })
}

fn exact(value: f64) -> Value {
    interval(&Interval { value, median: value, low: value, high: value })
}

/// A figure with its source.
pub(crate) fn figure(f: &Figure) -> Value {
    json!({
        "value": f.value, "low": f.low, "high": f.high,
        "unit": f.unit.key_suffix().trim_start_matches('_'),
        "origin": f.origin.word(), "source": f.source,
    })
}

/// A rehearsed scenario.
pub fn rehearse_json(stamp: &Stamp, scenario: &Scenario, rehearsal: &Rehearsal) -> Value {
    let stages: Vec<Value> = rehearsal.stages.iter().map(|s| stage(scenario, s)).collect();
    let assumed: Vec<Value> = assumed_figures(scenario, rehearsal)
        .iter()
        .map(|(path, f)| json!({ "path": path, "figure": figure(f) }))
        .collect();
    stamp.on(json!({
        "scenario": scenario.name,
        "model": scenario.model.name,
        "cluster": scenario.cluster.id,
        "chip": scenario.cluster.chip.id,
        "ranks": scenario.ranks,
        "engine": "estimate",
        "calibration": rehearsal.machine.calibration.id,
        "calibration_borrowed": !rehearsal.machine.own_calibration,
        "stack": rehearsal.machine.stack.id,
        "main_sequence": rehearsal.stages[rehearsal.main].job.sequence,
        "days": interval(&rehearsal.days),
        "fits": rehearsal.overfull().is_empty(),
        "stages": stages,
        "assumed": assumed,
    }))
}

/// Whether each stage fits, schema `supernode.plan-check/1`.
pub fn check_json(stamp: &Stamp, scenario: &Scenario, rehearsal: &Rehearsal) -> Value {
    let capacity = scenario.cluster.chip.memory.value;
    let stages: Vec<Value> = rehearsal
        .stages
        .iter()
        .map(|s| {
            let (rank, bytes) = s.fullest();
            json!({
                "sequence": s.job.sequence,
                "fits": bytes <= capacity,
                "fullest_pipeline_rank": rank,
                "peak_bytes": exact(bytes),
                "capacity_bytes": figure(&scenario.cluster.chip.memory),
                "over_bytes": (bytes - capacity).max(0.0),
                "memory": memory(s),
            })
        })
        .collect();
    let fits = rehearsal.stages.iter().all(|s| s.fullest().1 <= capacity);
    stamp.on(json!({
        "scenario": scenario.name, "legal": true, "fits": fits, "stages": stages, "problems": [],
    }))
}

/// That a plan is not legal and why, in the same schema. Whether it would fit is not known.
pub fn illegal_json(
    stamp: &Stamp,
    name: &str,
    problems: &Diagnostics,
    text_of: &dyn Fn(&str) -> Option<String>,
) -> Value {
    stamp.on(json!({
        "scenario": name, "legal": false, "fits": null, "stages": [],
        "problems": crate::problems::listed(problems, text_of),
    }))
}

fn memory(stage: &StageAnswer) -> Value {
    let ranks = stage.memory.iter().enumerate().map(|(rank, m)| {
        json!({
            "pipeline_rank": rank,
            "weights_bytes": exact(m.weights),
            "gradients_bytes": exact(m.gradients),
            "optimizer_bytes": exact(m.optimizer),
            "activations_bytes": exact(m.activations),
            "buffers_bytes": exact(m.buffers),
            "total_bytes": exact(m.total()),
        })
    });
    Value::Array(ranks.collect())
}

fn stage(scenario: &Scenario, stage: &StageAnswer) -> Value {
    let capacity = &scenario.cluster.chip.memory;
    let mut parts = Map::new();
    for part in &stage.estimate.parts {
        parts.insert(
            format!("{}_s", part.kind.word().replace([' ', '-'], "_")),
            exact(part.seconds),
        );
    }
    let mut hidden = Map::new();
    for h in &stage.estimate.hidden {
        hidden.insert(format!("{}_s", h.axis), exact(h.seconds));
    }
    let mut phases = Map::new();
    for (key, _, seconds) in phase_list(stage) {
        phases.insert(format!("{key}_s"), exact(seconds));
    }
    let mut published = Map::new();
    for (key, f) in &scenario.published {
        published.insert(format!("{key}_s"), figure(f));
    }
    let drivers: Vec<Value> = stage
        .drivers
        .iter()
        .map(|d| {
            json!({
                "path": d.path,
                "figure": figure(&d.figure),
                "step_at_low_s": d.step_at_low_s,
                "step_at_high_s": d.step_at_high_s,
            })
        })
        .collect();
    json!({
        "sequence": stage.job.sequence,
        "share_ratio": figure(&stage.job.share),
        "batch_sequences": stage.job.batch_sequences,
        "plan": plan(stage),
        "step_s": interval(&stage.step_s),
        "tokens_per_s": interval(&stage.tokens_per_s),
        "model_flop_per_s_per_chip": interval(&stage.flops_per_chip),
        "mfu_ratio": interval(&stage.mfu),
        "mfu_convention": "model FLOPs with causal attention, no recomputation, over the dense BF16 matrix peak",
        "days": interval(&stage.days),
        "memory_capacity_bytes": figure(capacity),
        "fits": stage.fullest().1 <= capacity.value,
        "memory": memory(stage),
        "critical_pipeline_rank": stage.estimate.critical,
        "parts": parts,
        "hidden": hidden,
        "phases": phases,
        "published": published,
        "drivers": drivers,
    })
}

fn plan(stage: &StageAnswer) -> Value {
    let p = &stage.job.plan;
    json!({
        "tensor": p.tensor, "context": p.context, "pipeline": p.pipeline,
        "virtual_pipeline": p.virtual_pipeline, "data": p.data, "expert": p.expert,
        "expert_tensor": p.expert_tensor, "expert_data": p.expert_data,
        "micro_batch": p.micro_batch, "micro_batches": stage.program.micro_batches,
        "schedule": p.schedule.word(),
    })
}
