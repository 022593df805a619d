//! The planner's answer as text and JSON.

use crate::campaign::short;
use crate::json::Stamp;
use crate::table::{aligned, row};
use diagnostic::counted;
use engine::PartKind;
use plan::{FullBlocks, Plan};
use scenario::Scenario;
use search::{Counts, Findings, Found, Leader, Neighbour, Problem, Verdict};
use serde_json::{Value, json};
use std::fmt::Write;
use units::{GIB, format_seconds};

/// Days that all the recipe's tokens may take at the length searched, and those that they take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deadline {
    /// Wanted at most. Days.
    pub wanted: f64,
    /// By the best plan, if there is one. Days.
    pub taken: Option<f64>,
}

impl Deadline {
    /// Whether a plan was found and is in time.
    pub fn is_met(&self) -> bool {
        self.taken.is_some_and(|taken| taken <= self.wanted)
    }

    fn words(&self) -> String {
        let wanted = format!("{} days", short(self.wanted));
        match self.taken {
            None => format!("the deadline of {wanted} is missed: no plan fits"),
            Some(taken) => {
                let word = if self.is_met() { "kept" } else { "missed" };
                format!("the deadline of {wanted} is {word}: the best plan takes {}", short(taken))
            }
        }
    }
}

/// Everything the planner's answer is printed from.
pub struct PlanAnswer<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The question.
    pub problem: &'a Problem,
    /// Share of memory left free.
    pub guard: f64,
    /// The objective's word.
    pub objective: &'a str,
    /// What the search found.
    pub findings: &'a Findings,
    /// The best plans in full, best first: by events where these were run, else by the closed form.
    pub leaders: &'a [Leader],
    /// For each leader the pairs of context ranks and sequences a micro-batch, in the proportion of its
    /// own, that are no different.
    pub alike: &'a [Vec<(u64, u64)>],
    /// For each leader the event engine's step, or why it has none; empty if it was not asked. Seconds.
    pub flow: &'a [Result<f64, String>],
    /// Plans that were run by events, of which `leaders` are the fastest.
    pub considered: usize,
    /// The event engine's step of the closed form's best plan. Seconds.
    pub first_flow: Option<f64>,
    /// The event engine's step of the scenario's own plan. Seconds.
    pub present_flow: Option<f64>,
    /// What one step along each axis does from the best.
    pub neighbours: &'a [Neighbour],
    /// The scenario's own plan, if complete.
    pub present: Option<&'a Leader>,
    /// The best plan under each guard, if asked: share free, plan.
    pub pareto: &'a [(f64, Option<Found>)],
    /// What would make an infeasible question feasible.
    pub relaxations: &'a [String],
    /// The objective's value for each number of chips, if several were asked: chips, value, unit.
    pub chips: &'a [(u64, Option<f64>, &'static str)],
    /// The deadline, if there is one.
    pub deadline: Option<Deadline>,
}

fn gib(bytes: f64) -> String {
    format!("{:.1} GiB", bytes / GIB)
}

/// What is recomputed, as a scenario writes it.
pub fn recompute_words(plan: &Plan) -> String {
    let tags = model::Tag::WORDS.iter().filter(|(tag, _)| plan.recompute.tags.contains(tag));
    let tags: Vec<&str> = tags.map(|(_, word)| *word).collect();
    match (plan.recompute.blocks, tags.is_empty()) {
        (FullBlocks::All, _) => "full".to_owned(),
        (FullBlocks::PerStage(n), true) => format!("blocks:{n}"),
        (FullBlocks::PerStage(n), false) => format!("{}, blocks:{n}", tags.join(", ")),
        (FullBlocks::None, true) => "none".to_owned(),
        (FullBlocks::None, false) => tags.join(", "),
    }
}

fn cut_words(plan: &Plan) -> String {
    let Some(cut) = &plan.stage_blocks else { return "even".to_owned() };
    let mut words: Vec<String> = Vec::new();
    let mut from = 0;
    while from < cut.len() {
        let same = cut[from..].iter().take_while(|&&n| n == cut[from]).count();
        words.push(if same > 1 { format!("{}x{same}", cut[from]) } else { cut[from].to_string() });
        from += same;
    }
    words.join(" ")
}

/// The answer for people.
pub fn plan_text(answer: &PlanAnswer<'_>) -> String {
    let mut out = head(answer);
    if answer.leaders.is_empty() {
        out.push_str("\nNo plan fits.\n");
        for line in answer.relaxations {
            let _ = writeln!(out, "  {line}");
        }
        if answer.relaxations.is_empty() {
            out.push_str("  nothing that was tried would make one fit\n");
        }
        out.push_str(&search_text(answer));
        return out;
    }
    out.push_str(&leaders_text(answer));
    out.push_str(&ranking(answer));
    out.push_str(&stops(answer));
    out.push_str(&steps(answer));
    out.push_str(&pareto(answer));
    out.push_str(&search_text(answer));
    out
}

fn head(answer: &PlanAnswer<'_>) -> String {
    let (problem, scenario) = (answer.problem, answer.scenario);
    let mut out = format!(
        "{}: the best plan by {}\n  {} x {} on {}\n  {} sequences of {} tokens a step; {} of {} a \
         rank may be filled (guard {:.0} %)\n",
        scenario.name,
        answer.objective,
        problem.ranks,
        scenario.cluster.chip.name,
        scenario.cluster.name,
        problem.batch_sequences,
        problem.sequence,
        gib(problem.memory_bytes),
        gib(scenario.cluster.chip.memory.value),
        100.0 * answer.guard,
    );
    for (chips, value, unit) in answer.chips {
        let value = value.map_or("no plan".to_owned(), |v| format!("{} {unit}", short(v)));
        let _ = writeln!(out, "  {}: {value}", counted(*chips, "chip"));
    }
    if let Some(deadline) = answer.deadline {
        let _ = writeln!(out, "  {}", deadline.words());
    }
    out
}

fn leaders_text(answer: &PlanAnswer<'_>) -> String {
    let leaders = answer.leaders;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let tokens = answer.problem.batch_tokens();
    if !answer.flow.is_empty() {
        let step = |step: &Result<f64, String>| {
            step.as_ref().map_or("-".to_owned(), |seconds| format_seconds(*seconds))
        };
        let mut cells = vec!["step by events".to_owned()];
        cells.extend(answer.flow.iter().map(step));
        rows.push(cells);
    }
    let mut push = |name: &str, cell: &dyn Fn(&Leader) -> String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(leaders.iter().map(cell));
        rows.push(cells);
    };
    push("by closed form", &|l| format_seconds(l.found.step_s));
    let step_s = |place: usize| step_of(answer, place);
    let mut cells = vec!["Mtoken/s".to_owned()];
    cells.extend((0..leaders.len()).map(|at| format!("{:.3}", tokens / step_s(at) / 1e6)));
    rows.push(cells);
    let mut push = |name: &str, cell: &dyn Fn(&Leader) -> String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(leaders.iter().map(cell));
        rows.push(cells);
    };
    push("tp cp pp vpp", &|l| {
        let p = &l.found.plan;
        format!("{} {} {} {}", p.tensor, p.context, p.pipeline, p.virtual_pipeline)
    });
    push("ep etp", &|l| format!("{} {}", l.found.plan.expert, l.found.plan.expert_tensor));
    push("dp edp", &|l| format!("{} {}", l.found.plan.data, l.found.plan.expert_data));
    push("schedule", &|l| l.found.plan.schedule.word().to_owned());
    push("micro-batches", &|l| {
        format!("{} x {}", l.program.micro_batches, l.found.plan.micro_batch)
    });
    push("zero", &|l| (l.found.plan.zero as u8).to_string());
    push("sequence parallel", &|l| l.found.plan.sequence_parallel.to_string());
    push("pipeline ranks", &|l| {
        let near = l.found.plan.pipeline_innermost;
        if near { "neighbours" } else { "apart" }.to_owned()
    });
    push("peak, GiB", &|l| format!("{:.1}", l.found.peak_bytes / GIB));
    push("fullest rank", &|l| l.fullest().to_string());
    for kind in leaders[0].estimate.parts.iter().map(|part| part.kind) {
        let of = |l: &Leader| seconds_of(l, kind);
        if leaders.iter().any(|l| of(l) > 5e-4 * l.found.step_s) {
            push(kind.word(), &|l| format_seconds(of(l)));
        }
    }
    let mut out =
        format!("\nThe best {}, each of another layout\n{}", leaders.len(), aligned(&rows, 1));
    for (place, leader) in leaders.iter().enumerate() {
        let plan = &leader.found.plan;
        let open = answer.problem.base.overlap.expert && !plan.overlap.expert;
        let _ = writeln!(
            out,
            "  {}: recompute {}; stages {}{}",
            place + 1,
            recompute_words(plan),
            cut_words(plan),
            if open { "; expert traffic not overlapped" } else { "" },
        );
        out.push_str(&alike_text(answer.alike.get(place).map_or(&[], Vec::as_slice)));
        out.push_str(&straddles_text(answer, plan));
    }
    if let Some(present) = answer.present {
        let step_s = answer.present_flow.unwrap_or(present.found.step_s);
        let slower = match (answer.present_flow, answer.flow.first()) {
            (Some(ours), Some(Ok(best))) => ours / best,
            _ => present.found.step_s / leaders[0].found.step_s,
        };
        let room = present.found.peak_bytes <= answer.problem.memory_bytes;
        let _ = writeln!(
            out,
            "  the scenario's own plan: {}, {:.2} times the best, peak {}{}",
            format_seconds(step_s),
            slower,
            gib(present.found.peak_bytes),
            if room { "" } else { " (does not fit under the guard)" },
        );
    }
    out
}

fn alike_text(pairs: &[(u64, u64)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = pairs.iter().map(|(cp, mb)| format!("{cp} x {mb}")).collect();
    format!("     no different with cp x micro-batch {}\n", pairs.join(", "))
}

fn straddles_text(answer: &PlanAnswer<'_>, plan: &Plan) -> String {
    let levels = &answer.problem.machine.cluster.levels;
    search::straddles(answer.problem, plan).iter().fold(String::new(), |mut out, s| {
        let _ = writeln!(
            out,
            "     {} groups of {} straddle {}s: up to {}, {} to {} ranks in each",
            s.axis.word(),
            s.size,
            levels[s.level].name,
            s.touched,
            s.least,
            s.most,
        );
        out
    })
}

fn seconds_of(leader: &Leader, kind: PartKind) -> f64 {
    leader.estimate.parts.iter().find(|part| part.kind == kind).map_or(0.0, |part| part.seconds)
}

/// Duration of a leader's step: by events where it was run, else by the closed form. Seconds.
fn step_of(answer: &PlanAnswer<'_>, place: usize) -> f64 {
    match answer.flow.get(place) {
        Some(Ok(step_s)) => *step_s,
        _ => answer.leaders[place].found.step_s,
    }
}

/// How the leaders were chosen, and what the closed form alone would have chosen.
fn ranking(answer: &PlanAnswer<'_>) -> String {
    if answer.flow.is_empty() {
        return "  ranked by the closed form; nothing was run by events\n".to_owned();
    }
    let mut out = String::new();
    for (place, step) in answer.flow.iter().enumerate() {
        if let Err(why) = step {
            let _ = writeln!(out, "  {}: the event engine cannot run it: {why}", place + 1);
        }
    }
    let _ = writeln!(
        out,
        "  ranked by events, of {} run: the closed form's best, and what of other schedules is near \
         them",
        counted(answer.considered as u64, "plan"),
    );
    if let Some(first) = answer.findings.leaders.first()
        && first.plan != answer.leaders[0].found.plan
    {
        let _ = writeln!(
            out,
            "  the closed form's best, {}, takes {} by events: {}",
            format_seconds(first.step_s),
            answer.first_flow.map_or("-".to_owned(), format_seconds),
            plan_words(&first.plan),
        );
    }
    out
}

fn stops(answer: &PlanAnswer<'_>) -> String {
    let best_s = answer.leaders[0].found.step_s;
    match near_miss(answer) {
        Some((leader, over)) => format!(
            "\nWhat stops a faster one\n  memory on pipeline rank {} by {}: {} would take {} \
             ({:.1} % less)\n",
            leader.fullest(),
            gib(over),
            plan_words(&leader.found.plan),
            format_seconds(leader.found.step_s),
            100.0 * (1.0 - leader.found.step_s / best_s),
        ),
        None => {
            "\nWhat stops a faster one\n  not memory: no plan of the space is faster with up to a \
                 quarter more of it\n"
                .to_owned()
        }
    }
}

/// The plan that would be faster but does not fit, with what it lacks. Bytes.
fn near_miss(answer: &PlanAnswer<'_>) -> Option<(Leader, f64)> {
    let miss = answer.findings.near_miss.as_ref()?;
    let leader = search::leader(answer.problem, &miss.plan)?;
    Some((leader, miss.peak_bytes - answer.problem.memory_bytes))
}

/// A plan in one line.
pub fn plan_words(plan: &Plan) -> String {
    format!(
        "tp {} cp {} pp {} vpp {} ep {} etp {} {} micro-batch {} zero {} recompute {}",
        plan.tensor,
        plan.context,
        plan.pipeline,
        plan.virtual_pipeline,
        plan.expert,
        plan.expert_tensor,
        plan.schedule.word(),
        plan.micro_batch,
        plan.zero as u8,
        recompute_words(plan),
    )
}

fn steps(answer: &PlanAnswer<'_>) -> String {
    let best_s = answer.leaders[0].found.step_s;
    let per_cent = |step_s: f64| format!("{:+.1} %", 100.0 * (step_s / best_s - 1.0));
    let line = |n: &Neighbour| match &n.verdict {
        Verdict::Illegal(why) => vec![n.change.clone(), "illegal".into(), why.clone()],
        Verdict::TooLarge { rank, over_bytes, step_s } => vec![
            n.change.clone(),
            per_cent(*step_s),
            format!("memory on pipeline rank {rank} by {}", gib(*over_bytes)),
        ],
        Verdict::Fits { step_s, part, part_change_s } => {
            let sign = if *part_change_s < 0.0 { "-" } else { "+" };
            let change = format!("{part} {sign}{}", format_seconds(part_change_s.abs()));
            vec![n.change.clone(), per_cent(*step_s), change]
        }
    };
    let rows: Vec<Vec<String>> = answer.neighbours.iter().map(line).collect();
    format!("\nOne step along each axis from the best\n{}", aligned(&rows, 3))
}

fn pareto(answer: &PlanAnswer<'_>) -> String {
    if answer.pareto.is_empty() {
        return String::new();
    }
    let mut rows = vec![row(["guard", "step", "peak", "plan"])];
    for (guard, found) in answer.pareto {
        let mut cells = vec![format!("{:.0} %", 100.0 * guard)];
        match found {
            Some(found) => cells.extend([
                format_seconds(found.step_s),
                gib(found.peak_bytes),
                plan_words(&found.plan),
            ]),
            None => cells.extend(["-".to_owned(), "-".to_owned(), "no plan fits".to_owned()]),
        }
        rows.push(cells);
    }
    format!("\nSpeed against memory guard\n{}", aligned(&rows, 4))
}

fn search_text(answer: &PlanAnswer<'_>) -> String {
    let Counts {
        space,
        evaluated,
        too_large,
        by_dense_work,
        by_work,
        by_twin,
        by_weights,
        by_activations,
        by_schedule,
    } = answer.findings.counts;
    let grouped = |n: u64| {
        let digits = n.to_string();
        let cut: Vec<String> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect();
        cut.join(" ")
    };
    let mut rows = Vec::new();
    for (count, what) in [
        (evaluated, "priced, time and memory of every rank"),
        (too_large, "too large for memory"),
        (by_dense_work, "ruled out: the work of this micro-batch and tp, cp alone takes longer"),
        (by_work, "ruled out: all work and traffic of these degrees take longer"),
        (by_twin, "ruled out: no better than with fewer cp and as much smaller micro-batches"),
        (by_schedule, "ruled out: the schedule takes longer with nothing recomputed"),
        (by_weights, "ruled out: weights, gradients and optimizer state do not fit"),
        (by_activations, "ruled out: does not fit with everything recomputed"),
    ] {
        rows.push(vec![grouped(count), what.to_owned()]);
    }
    let verdict = if answer.findings.cut_short {
        format!(
            "cut short: a plan left out may be up to {:.2} % faster than the best found",
            100.0 * answer.findings.gap()
        )
    } else {
        let best_s = answer.findings.leaders.first().map(|best| format_seconds(best.step_s));
        format!(
            "complete: no legal plan of the space that fits takes less than {} by the closed form",
            best_s.unwrap_or_else(|| "another".to_owned()),
        )
    };
    let met = if answer.findings.cut_short { "plans met" } else { "legal plans" };
    format!("\n{} {met}\n{}  {verdict}\n", grouped(space), right(&rows))
}

/// Rows with the first column aligned right.
fn right(rows: &[Vec<String>]) -> String {
    let width = rows.iter().map(|r| r[0].len()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut out, r| {
        let _ = writeln!(out, "  {:>width$}  {}", r[0], r[1]);
        out
    })
}

/// The answer for programs: `supernode.plan/1`.
pub fn plan_json(stamp: &Stamp, answer: &PlanAnswer<'_>) -> Value {
    let counts = answer.findings.counts;
    let leaders: Vec<Value> = answer
        .leaders
        .iter()
        .enumerate()
        .map(|(place, leader)| {
            let mut value = leader_json(answer, leader);
            let alike = answer.alike.get(place).map_or(&[][..], Vec::as_slice);
            value["alike"] = alike
                .iter()
                .map(|(context, mb)| json!({"context": context, "micro_batch": mb}))
                .collect();
            if let Some(flow) = answer.flow.get(place) {
                value["flow_step_s"] = flow.as_ref().ok().copied().into();
                value["tokens_per_s"] =
                    (answer.problem.batch_tokens() / step_of(answer, place)).into();
            }
            value
        })
        .collect();
    let near = near_miss(answer).map(|(leader, over)| {
        let mut value = leader_json(answer, &leader);
        value["over_bytes"] = over.into();
        value["fullest_pipeline_rank"] = leader.fullest().into();
        value
    });
    let pareto: Vec<Value> = answer
        .pareto
        .iter()
        .map(|(guard, found)| {
            json!({"guard_ratio": guard, "best": found.as_ref().map(|f| json!({
                "step_s": f.step_s, "peak_bytes": f.peak_bytes, "plan": plan_value(&f.plan)}))})
        })
        .collect();
    json!({
        "schema": stamp.schema, "version": stamp.version, "input_hash": stamp.input_hash,
        "scenario": answer.scenario.name, "model": answer.problem.model.name,
        "cluster": answer.scenario.cluster.id, "ranks": answer.problem.ranks,
        "sequence": answer.problem.sequence, "batch_sequences": answer.problem.batch_sequences,
        "objective": answer.objective, "guard_ratio": answer.guard,
        "memory_limit_bytes": answer.problem.memory_bytes,
        "feasible": !answer.leaders.is_empty(),
        "leaders": leaders,
        "ranked_by": if answer.flow.is_empty() { "closed form" } else { "events" },
        "run_by_events": answer.considered,
        "closed_form_best": answer.findings.leaders.first().map(|best| {
            json!({"step_s": best.step_s, "flow_step_s": answer.first_flow,
                "peak_bytes": best.peak_bytes, "plan": plan_value(&best.plan)})
        }),
        "present": answer.present.map(|leader| {
            let mut value = leader_json(answer, leader);
            value["flow_step_s"] = answer.present_flow.into();
            value
        }),
        "near_miss": near,
        "neighbours": answer.neighbours.iter().map(neighbour_json).collect::<Vec<_>>(),
        "pareto": pareto,
        "relaxations": answer.relaxations,
        "chips": answer.chips.iter().map(|(chips, value, unit)| {
            json!({"chips": chips, "value": value, "unit": unit})
        }).collect::<Vec<_>>(),
        "deadline": answer.deadline.map(|d| {
            json!({"wanted_days": d.wanted, "taken_days": d.taken, "met": d.is_met()})
        }),
        "search": {
            "complete": !answer.findings.cut_short, "gap_ratio": answer.findings.gap(),
            "bound_s": Some(answer.findings.bound_s).filter(|s| s.is_finite()),
            "plans": counts.space, "priced": counts.evaluated, "too_large": counts.too_large,
            "by_dense_work": counts.by_dense_work, "by_work": counts.by_work,
            "by_twin": counts.by_twin,
            "by_schedule": counts.by_schedule, "by_weights": counts.by_weights,
            "by_activations": counts.by_activations,
        },
    })
}

fn leader_json(answer: &PlanAnswer<'_>, leader: &Leader) -> Value {
    let parts: serde_json::Map<String, Value> = leader
        .estimate
        .parts
        .iter()
        .map(|part| (part.kind.word().to_owned(), part.seconds.into()))
        .collect();
    let memory: Vec<f64> = leader.memory.iter().map(plan::StageMemory::total).collect();
    json!({
        "step_s": leader.found.step_s,
        "tokens_per_s": answer.problem.batch_tokens() / leader.found.step_s,
        "peak_bytes": leader.found.peak_bytes,
        "memory_bytes": memory,
        "micro_batches": leader.program.micro_batches,
        "plan": plan_value(&leader.found.plan),
        "parts": parts,
    })
}

/// A plan's keys as a scenario writes them.
pub fn plan_value(plan: &Plan) -> Value {
    let mut value = json!({
        "tensor": plan.tensor, "context": plan.context, "pipeline": plan.pipeline,
        "virtual_pipeline": plan.virtual_pipeline, "data": plan.data, "expert": plan.expert,
        "expert_tensor": plan.expert_tensor, "expert_data": plan.expert_data,
        "micro_batch": plan.micro_batch, "sequence_parallel": plan.sequence_parallel,
        "zero": plan.zero as u8, "schedule": plan.schedule.word(),
        "recompute": recompute_words(plan), "pipeline_innermost": plan.pipeline_innermost,
        "stage_blocks": plan.stage_blocks, "overlap": plan.overlap.words(),
    });
    if plan.offload_blocks > 0 {
        value["offload_blocks"] = plan.offload_blocks.into();
    }
    value
}

fn neighbour_json(neighbour: &Neighbour) -> Value {
    let mut value = match &neighbour.verdict {
        Verdict::Illegal(why) => json!({"verdict": "illegal", "why": why}),
        Verdict::TooLarge { rank, over_bytes, step_s } => json!({
            "verdict": "too-large", "pipeline_rank": rank, "over_bytes": over_bytes,
            "step_s": step_s,
        }),
        Verdict::Fits { step_s, part, part_change_s } => json!({
            "verdict": "fits", "step_s": step_s, "part": part, "part_change_s": part_change_s,
        }),
    };
    value["change"] = neighbour.change.clone().into();
    value
}
