//! Why the best plan is the best: its breakdown, and what one step along each axis does.

use crate::{Found, Problem};
use engine::{Estimate, estimate};
use plan::{FullBlocks, Layout, Plan, Recompute, Shape, StageMemory, Zero, lower, memory};
use program::{Program, Schedule};

/// A plan in full.
#[derive(Clone, Debug, PartialEq)]
pub struct Leader {
    /// The plan with its time and peak.
    pub found: Found,
    /// The program it lowers to.
    pub program: Program,
    /// Where its step goes.
    pub estimate: Estimate,
    /// Peak memory of each pipeline rank.
    pub memory: Vec<StageMemory>,
}

impl Leader {
    /// The pipeline rank that holds most.
    pub fn fullest(&self) -> usize {
        let totals = self.memory.iter().map(StageMemory::total).enumerate();
        totals.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(rank, _)| rank)
    }
}

/// `plan` estimated on its own; `None` if it is illegal.
pub fn leader(problem: &Problem, plan: &Plan) -> Option<Leader> {
    if !violations(problem, plan).is_empty() {
        return None;
    }
    let (model, recipe) = (&problem.model, &problem.recipe);
    let shape = Shape::new(plan, model, problem.batch_sequences, problem.sequence)?;
    let layout = Layout::new(plan, model);
    let program = lower(plan, model, recipe, &layout, &shape);
    let estimate = estimate(&program, &problem.machine);
    let memory: Vec<StageMemory> =
        (0..plan.pipeline).map(|rank| memory(plan, model, recipe, &layout, &shape, rank)).collect();
    let peak_bytes = memory.iter().map(StageMemory::total).fold(0.0, f64::max);
    let found = Found { step_s: estimate.step_s, plan: plan.clone(), peak_bytes };
    Some(Leader { found, program, estimate, memory })
}

fn violations(problem: &Problem, plan: &Plan) -> Vec<plan::Violation> {
    let (ranks, batch) = (problem.ranks, problem.batch_sequences);
    plan::violations(plan, &problem.model, ranks, batch, problem.sequence)
}

/// One step from a plan along one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    /// The change in words: `tensor 1 -> 2`.
    pub change: String,
    /// What it does.
    pub verdict: Verdict,
}

/// What a change does.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Which rule it breaks.
    Illegal(String),
    /// It does not fit: the pipeline rank that lacks most, and how much; and the step if it did.
    TooLarge {
        /// Pipeline rank.
        rank: usize,
        /// Bytes over what a rank may fill.
        over_bytes: f64,
        /// Duration of the step. Seconds.
        step_s: f64,
    },
    /// It fits: the step, and the part of it that changes most.
    Fits {
        /// Duration of the step. Seconds.
        step_s: f64,
        /// Word of the part.
        part: &'static str,
        /// Its change. Seconds.
        part_change_s: f64,
    },
}

/// What one step along each axis makes of `from`, other degrees kept and the data degrees filling the
/// job.
pub fn neighbours(problem: &Problem, from: &Leader) -> Vec<Neighbour> {
    let steps = changes(&from.found.plan);
    let judge = |(change, mut plan): (String, Plan)| {
        // A cut is for its number of stages.
        if plan.stage_blocks.as_ref().is_some_and(|cut| cut.len() as u64 != plan.stages()) {
            plan.stage_blocks = None;
        }
        let verdict = match refill(problem, &mut plan).map(|()| leader(problem, &plan)) {
            Some(Some(changed)) => verdict(problem, from, &changed),
            Some(None) => {
                let first = violations(problem, &plan).into_iter().next();
                Verdict::Illegal(first.map_or_else(String::new, |violation| violation.message))
            }
            None => Verdict::Illegal(format!("does not divide {} ranks", problem.ranks)),
        };
        Neighbour { change, verdict }
    };
    steps.into_iter().map(judge).collect()
}

/// Sets the data degrees to fill the job; `None` if the others do not divide it.
fn refill(problem: &Problem, plan: &mut Plan) -> Option<()> {
    let fill =
        |used: u64| (used > 0 && problem.ranks.is_multiple_of(used)).then(|| problem.ranks / used);
    plan.data = fill(plan.tensor * plan.context * plan.pipeline)?;
    plan.expert_data = fill(plan.expert * plan.expert_tensor * plan.pipeline)?;
    Some(())
}

fn verdict(problem: &Problem, from: &Leader, changed: &Leader) -> Verdict {
    let step_s = changed.found.step_s;
    if changed.found.peak_bytes > problem.memory_bytes {
        let over_bytes = changed.found.peak_bytes - problem.memory_bytes;
        return Verdict::TooLarge { rank: changed.fullest(), over_bytes, step_s };
    }
    let before = |kind| {
        let same = from.estimate.parts.iter().find(|part| part.kind == kind);
        same.map_or(0.0, |part| part.seconds)
    };
    let moved =
        changed.estimate.parts.iter().map(|part| (part.kind, part.seconds - before(part.kind)));
    let most = moved.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    let (part, part_change_s) = most.map_or(("", 0.0), |(kind, change)| (kind.word(), change));
    Verdict::Fits { step_s, part, part_change_s }
}

type Degree = fn(&mut Plan) -> &mut u64;

/// Every plan one step away.
fn changes(plan: &Plan) -> Vec<(String, Plan)> {
    let mut list = Vec::new();
    let mut push = |change: String, change_plan: &dyn Fn(&mut Plan)| {
        let mut changed = plan.clone();
        change_plan(&mut changed);
        list.push((change, changed));
    };
    let degrees: [(&str, Degree); 6] = [
        ("tensor", |p| &mut p.tensor),
        ("context", |p| &mut p.context),
        ("pipeline", |p| &mut p.pipeline),
        ("expert", |p| &mut p.expert),
        ("expert_tensor", |p| &mut p.expert_tensor),
        ("micro_batch", |p| &mut p.micro_batch),
    ];
    for (name, of) in degrees {
        let now = *of(&mut plan.clone());
        if now.is_multiple_of(2) {
            push(format!("{name} {now} -> {}", now / 2), &|p| *of(p) = now / 2);
        }
        push(format!("{name} {now} -> {}", now * 2), &|p| *of(p) = now * 2);
    }
    if plan.schedule == Schedule::OneFOneB && plan.pipeline > 1 {
        let now = plan.virtual_pipeline;
        for next in [now - 1, now + 1].into_iter().filter(|&n| n > 0) {
            push(format!("virtual_pipeline {now} -> {next}"), &|p| p.virtual_pipeline = next);
        }
    }
    for (schedule, word) in Schedule::WORDS {
        if schedule != plan.schedule {
            push(format!("schedule {word}"), &|p| {
                (p.schedule, p.virtual_pipeline) = (schedule, 1);
            });
        }
    }
    let zeros = [Zero::None, Zero::Optimizer, Zero::Gradients, Zero::Weights];
    for zero in zeros.into_iter().filter(|&zero| zero != plan.zero) {
        push(format!("zero {}", zero as u8), &|p| p.zero = zero);
    }
    let recompute = |blocks| Recompute { blocks, tags: Vec::new(), ..plan.recompute.clone() };
    for (word, blocks) in [("none", FullBlocks::None), ("full", FullBlocks::All)] {
        if recompute(blocks) != plan.recompute {
            push(format!("recompute {word}"), &|p| p.recompute = recompute(blocks));
        }
    }
    if plan.tensor > 1 {
        let to = !plan.sequence_parallel;
        push(format!("sequence_parallel {to}"), &|p| p.sequence_parallel = to);
    }
    if plan.pipeline > 1 {
        let to = !plan.pipeline_innermost;
        push(format!("pipeline_innermost {to}"), &|p| p.pipeline_innermost = to);
    }
    list
}
