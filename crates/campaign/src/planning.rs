//! The best plan of each length stage, for machines that no scenario was written for.

use diagnostic::{Diagnostic, Diagnostics};
use plan::Zero;
use program::Schedule;
use scenario::{Job, Scenario};
use search::{Counts, Limits, Options, Problem, Space, best};
use std::ops::ControlFlow;
use units::{Unit, format_quantity};

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
/// DualPipeV schedules, tensor degrees up to eight, degrees that are powers of two (data and pipeline
/// also times the odd part of the number of chips). Batches are changed by a sixteenth at most, to
/// numbers that data parallelism can share.
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
        return Err(no_plan(scenario, problem, &space, &findings.counts).into());
    };
    let planned = Planned { gap: findings.gap(), evaluated: findings.counts.evaluated };
    let job = Job { plan: leader.plan.clone(), ..one.jobs[index].clone() };
    Ok((job, planned))
}

/// A number of sequences near the given one that data parallelism can share: within a sixteenth, a
/// multiple of the odd part of `ranks` if there is one, of those the one with the largest common
/// divisor, of those the nearest.
fn shareable(sequences: u64, ranks: u64) -> u64 {
    let most = sequences / 16;
    let odd = odd_part(ranks);
    (sequences - most..=sequences + most)
        .max_by_key(|&n| {
            let nearest = u64::MAX - n.abs_diff(sequences);
            (n.is_multiple_of(odd), common(n, ranks), nearest)
        })
        .unwrap_or(sequences)
}

fn odd_part(n: u64) -> u64 {
    n.checked_shr(n.trailing_zeros()).unwrap_or(n)
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
    let mut pipelines = powers(32);
    let odd = odd_part(ranks);
    if odd > 1 {
        pipelines.extend(powers(32 / odd).iter().map(|n| n * odd));
    }
    Limits {
        tensor: Some(powers(8)),
        context: Some(powers(most)),
        pipeline: Some(pipelines),
        micro_batch: Some(vec![1]),
        zero: Some(vec![Zero::Optimizer]),
        expert_tensor: Some(vec![1]),
        schedule: Some(vec![Schedule::OneFOneB, Schedule::ZbH1, Schedule::DualPipeV]),
        pipeline_innermost: Some(vec![false]),
        ..Limits::default()
    }
}

/// Why there is no plan: no layout, or none that fits and how much memory would be enough.
fn no_plan(scenario: &Scenario, problem: Problem, space: &Space, counts: &Counts) -> Diagnostic {
    let (chips, sequence) = (problem.ranks, problem.sequence);
    let sequences = problem.batch_sequences;
    let stage = format!("the stage of {sequence} tokens, {sequences} sequences a step");
    if counts.space == 0 {
        let message = format!("{chips} chips cannot share out {stage}");
        let hint = "another number of chips: degrees of parallelism must divide it and the batch";
        return Diagnostic::error("campaign::plan", message).hint(hint);
    }
    let plans = counts.space;
    let enough = enough_bytes(problem, space).map_or_else(
        || format!("nor would one with {MOST_MEMORY} times the memory"),
        |bytes| {
            let memory = format_quantity(scenario.cluster.chip.memory.value, Unit::Byte);
            let needed = format_quantity(bytes / (1.0 - GUARD), Unit::Byte);
            let guard = 100.0 * GUARD;
            format!("one would with {needed} a chip in place of {memory} ({guard:.0} % kept free)")
        },
    );
    let message = format!("none of {plans} plans on {chips} chips fits {stage}: {enough}");
    Diagnostic::error("campaign::plan", message).hint("more chips, or chips with more memory")
}

/// Largest memory, over that of the chip, that is tried for a model that does not fit.
const MOST_MEMORY: f64 = 64.0;

/// Least memory of a rank with which a plan fits, to a fiftieth. Bytes.
fn enough_bytes(mut problem: Problem, space: &Space) -> Option<f64> {
    let room = problem.memory_bytes;
    let mut fits = |factor: f64| {
        problem.memory_bytes = room * factor;
        let found = best(&problem, space, &Options { top: 1 }, &mut |progress| {
            let found = progress.best_s.is_some();
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        !found.leaders.is_empty()
    };
    let (mut low, mut high) = (1.0, 2.0);
    while !fits(high) {
        (low, high) = (high, 2.0 * high);
        if high > MOST_MEMORY {
            return None;
        }
    }
    while high / low > 1.02 {
        let middle = libm::sqrt(low * high);
        if fits(middle) { high = middle } else { low = middle }
    }
    Some(room * high)
}

#[cfg(test)]
mod tests {
    use super::{odd_part, shareable};

    #[test]
    fn a_batch_can_be_shared_by_chips_of_any_rounding() {
        // Batches of the shipped recipes at most lengths, chips as `at_equal` rounds them.
        for sequences in [512, 1_024, 1_440, 4_096, 8_192, 16_384, 23_040] {
            for chips in (16..32).flat_map(|m| [m << 4, m << 8, m << 10]) {
                let n = shareable(sequences, chips);
                assert!(n.abs_diff(sequences) <= sequences / 16, "{n} of {sequences}");
                assert_eq!(n % odd_part(chips), 0, "{n} sequences on {chips} chips");
            }
        }
        assert_eq!(shareable(4_096, 8_192), 4_096);
        assert_eq!(shareable(4_096, 5_120), 3_840);
    }
}
