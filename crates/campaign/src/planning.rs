//! The best plan of each length stage, for machines that no scenario was written for.

use diagnostic::{Diagnostic, Diagnostics};
use plan::Zero;
use program::Schedule;
use scenario::{Job, Scenario};
use search::{Limits, Options, Problem, Space, best};
use std::ops::ControlFlow;

/// How a stage's plan came about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// How much faster than the plan found one could be that was left out; 0 is proven best of its
    /// space. A share of the step.
    pub gap: f64,
    /// Plans whose time and memory were computed.
    pub evaluated: u64,
}

/// Share of memory left free for the allocator, the runtime and its libraries, as `plan check` does
/// not count them.
pub const GUARD: f64 = 0.08;

/// Plans computed for one stage before the search is content with what it has.
const ENOUGH: u64 = 1_500;

/// `scenario` with the best plan found for each of its stages, within what every candidate shares:
/// micro-batches of one sequence, a sharded optimizer, 1F1B (plain and interleaved), ZB-H1 and
/// DualPipeV schedules, tensor degrees up to eight. Batches are rounded to a whole number of sequences
/// that data parallelism can share.
///
/// # Errors
/// A stage that no plan of the space fits.
pub fn planned(scenario: &Scenario) -> Result<(Scenario, Vec<Planned>), Diagnostics> {
    let mut found = scenario.clone();
    let mut how = Vec::new();
    for index in 0..scenario.jobs.len() {
        let (job, planned) = stage(scenario, index)?;
        found.jobs[index] = job;
        how.push(planned);
    }
    Ok((found, how))
}

fn stage(scenario: &Scenario, index: usize) -> Result<(Job, Planned), Diagnostics> {
    let mut one = Scenario { main: index, ..scenario.clone() };
    one.jobs[index].plan.stage_blocks = None;
    let job = &mut one.jobs[index];
    job.batch_sequences = shareable(job.batch_sequences, scenario.ranks);
    let problem = Problem::new(&one, GUARD)?;
    let space = Space::new(&problem, &limits(problem.sequence, scenario.ranks));
    let findings = best(&problem, &space, &Options { top: 1 }, &mut |progress| {
        let content = progress.counts.evaluated >= ENOUGH && progress.best_s.is_some();
        if content { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let Some(leader) = findings.leaders.first() else {
        return Err(no_plan(scenario, one.jobs[index].sequence).into());
    };
    let planned = Planned { gap: findings.gap(), evaluated: findings.counts.evaluated };
    let job = Job { plan: leader.plan.clone(), ..one.jobs[index].clone() };
    Ok((job, planned))
}

/// The nearest number of sequences with many divisors in common with `ranks`: within a fiftieth.
fn shareable(sequences: u64, ranks: u64) -> u64 {
    let most = sequences / 50;
    let candidates = sequences.saturating_sub(most)..=sequences + most;
    candidates
        .max_by_key(|&n| (common(n, ranks), u64::MAX - n.abs_diff(sequences)))
        .unwrap_or(sequences)
}

fn common(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common(b, a % b) }
}

fn limits(sequence: u64, ranks: u64) -> Limits {
    // What splits a sequence below 512 tokens a chip is never the best.
    let most = (sequence / 512).max(1);
    let powers = |top: u64| -> Vec<u64> {
        (0..20).map(|k| 1 << k).filter(|n| *n <= top && ranks.is_multiple_of(*n)).collect()
    };
    Limits {
        tensor: Some(powers(8)),
        context: Some(powers(most)),
        pipeline: Some(vec![1, 2, 4, 8, 16, 32]),
        micro_batch: Some(vec![1]),
        zero: Some(vec![Zero::Optimizer]),
        expert_tensor: Some(vec![1]),
        schedule: Some(vec![Schedule::OneFOneB, Schedule::ZbH1, Schedule::DualPipeV]),
        pipeline_innermost: Some(vec![false]),
        ..Limits::default()
    }
}

fn no_plan(scenario: &Scenario, sequence: u64) -> Diagnostic {
    let message = format!(
        "no plan of `{}` on {} chips of `{}` fits the stage of {sequence} tokens",
        scenario.model.name, scenario.ranks, scenario.cluster.id
    );
    Diagnostic::error("campaign::plan", message).hint("more chips, or chips with more memory")
}
