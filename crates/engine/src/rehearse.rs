//! A scenario to its answer: every length stage estimated, with memory, intervals and days.

use crate::estimate::{Estimate, estimate};
use crate::machine::Machine;
use crate::sampling::{SAMPLES, interval};
use crate::uncertainty::{Driver, Interval, drivers};
use catalog::Dtype;
use diagnostic::Diagnostics;
use plan::{Layout, Shape, StageMemory, lower, memory};
use program::Program;
use scenario::{Job, Scenario};
use units::Figure;

/// The answer to a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// One per length stage, in order.
    pub stages: Vec<StageAnswer>,
    /// Which of them the sheet shows.
    pub main: usize,
    /// Days for the recipe's tokens over its stages, without failures.
    pub days: Interval,
    /// What it ran on.
    pub machine: Machine,
}

/// A length stage whose fullest pipeline rank needs more than its chip has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overfull {
    /// Sequence length of the stage. Tokens.
    pub sequence: u64,
    /// The pipeline rank.
    pub rank: usize,
    /// What it needs beyond the chip's memory. Bytes.
    pub over_bytes: f64,
}

impl Rehearsal {
    /// The stages that do not fit, in order.
    pub fn overfull(&self) -> Vec<Overfull> {
        let capacity = self.machine.cluster.chip.memory.value;
        let over = |stage: &StageAnswer| {
            let (rank, bytes) = stage.fullest();
            let found =
                Overfull { sequence: stage.job.sequence, rank, over_bytes: bytes - capacity };
            (bytes > capacity).then_some(found)
        };
        self.stages.iter().filter_map(over).collect()
    }
}

/// One length stage's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct StageAnswer {
    /// The stage with its plan.
    pub job: Job,
    /// The program it lowered to.
    pub program: Program,
    /// The estimate at the figures' values.
    pub estimate: Estimate,
    /// Duration of a step. Seconds.
    pub step_s: Interval,
    /// What makes the interval wide, widest first.
    pub drivers: Vec<Driver>,
    /// Peak memory of each pipeline rank.
    pub memory: Vec<StageMemory>,
    /// Tokens per second of the job.
    pub tokens_per_s: Interval,
    /// Model FLOPs of a step over time and ranks. FLOP/s.
    pub flops_per_chip: Interval,
    /// Model FLOPs utilisation: causal attention, no recomputation, over the BF16 matrix peak.
    pub mfu: Interval,
    /// Days of this stage.
    pub days: Interval,
}

impl StageAnswer {
    /// The pipeline rank that holds most, and what it holds. Bytes.
    pub fn fullest(&self) -> (usize, f64) {
        let totals = self.memory.iter().map(StageMemory::total).enumerate();
        totals.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
    }
}

/// The machine that `scenario` names.
///
/// # Errors
/// No calibration serves its chip, or the chip lacks a format the recipe cannot do without.
pub fn machine(scenario: &Scenario) -> Result<Machine, Diagnostics> {
    let (cluster, precision) = (scenario.cluster.clone(), scenario.recipe.precision);
    let machine = match &scenario.calibration {
        Some(own) => Machine::calibrated(cluster, precision, own.clone()),
        None => Machine::new(cluster, precision),
    }?
    .with_ranks(scenario.ranks);
    match &scenario.stack {
        Some(stack) => Ok(machine.with_stack(stack.clone())),
        None => Ok(machine),
    }
}

/// Rehearses every stage of `scenario`.
///
/// # Errors
/// As [`machine`].
pub fn rehearse(scenario: &Scenario) -> Result<Rehearsal, Diagnostics> {
    let machine = machine(scenario)?;
    let stages: Vec<StageAnswer> =
        scenario.jobs.iter().filter_map(|job| stage(scenario, job, &machine)).collect();
    let days = total_days(scenario, &stages);
    Ok(Rehearsal { stages, main: scenario.main, days, machine })
}

/// Lowers one job; `None` if its batch does not divide, which loading a scenario refuses.
pub fn lowered(scenario: &Scenario, job: &Job) -> Option<(Program, Vec<StageMemory>)> {
    let (plan, model, recipe) = (&job.plan, &scenario.model, &scenario.recipe);
    let shape = Shape::new(plan, model, job.batch_sequences, job.sequence)?;
    let layout = Layout::new(plan, model);
    let program = lower(plan, model, recipe, &layout, &shape);
    let memory =
        (0..plan.pipeline).map(|rank| memory(plan, model, recipe, &layout, &shape, rank)).collect();
    Some((program, memory))
}

fn stage(scenario: &Scenario, job: &Job, machine: &Machine) -> Option<StageAnswer> {
    let (program, memory) = lowered(scenario, job)?;
    let estimate = estimate(&program, machine);
    let step_s = interval(&program, machine, SAMPLES);
    let drivers = drivers(&program, machine);
    let batch_tokens = job.batch_tokens();
    let tokens_per_s = step_s.map(|s| batch_tokens / s);
    let flops = scenario.model.flops_per_token(job.sequence).megatron_causal * batch_tokens;
    let flops_per_chip = step_s.map(|s| flops / s / scenario.ranks as f64);
    let mfu = flops_per_chip.map(|f| f / mfu_peak(machine));
    let stage_tokens = scenario.recipe.tokens.value * job.share.value;
    let days = step_s.map(|s| stage_tokens / batch_tokens * s / 86_400.0);
    Some(StageAnswer {
        job: job.clone(),
        program,
        estimate,
        step_s,
        drivers,
        memory,
        tokens_per_s,
        flops_per_chip,
        mfu,
        days,
    })
}

/// The usual denominator of MFU, also for FP8 runs: the dense BF16 (else FP16) matrix peak.
pub fn mfu_peak(machine: &Machine) -> f64 {
    let matrix = &machine.cluster.chip.matrix;
    [Dtype::Bf16, Dtype::Fp16, Dtype::Tf32, Dtype::Fp32]
        .iter()
        .find_map(|d| matrix.get(d))
        .map_or(f64::NAN, |f: &Figure| f.value)
}

/// Sums the stages: their steps move together (the same figures), their shares of the tokens do
/// not; the run's tokens scale all.
pub(crate) fn total_days(scenario: &Scenario, stages: &[StageAnswer]) -> Interval {
    let sum = |of: fn(&Interval) -> f64| stages.iter().map(|s| of(&s.days)).sum::<f64>();
    let value = sum(|d| d.value);
    let (mut below, mut above) =
        ((value - sum(|d| d.low)).powi(2), (sum(|d| d.high) - value).powi(2));
    let mut widen = |days: f64| {
        let change = days - value;
        if change < 0.0 { below += change * change } else { above += change * change }
    };
    for (i, stage) in stages.iter().enumerate() {
        for end in [stage.job.share.low, stage.job.share.high] {
            widen(days_with_share(stages, i, end));
        }
    }
    let tokens = &scenario.recipe.tokens;
    for end in [tokens.low, tokens.high] {
        widen(value * end / tokens.value);
    }
    let median = sum(|d| d.median);
    Interval {
        value,
        median,
        low: (value - libm::sqrt(below)).max(0.0),
        high: value + libm::sqrt(above),
    }
}

/// Days with one stage's share at `share` and the others scaled to make up the rest.
fn days_with_share(stages: &[StageAnswer], which: usize, share: f64) -> f64 {
    let old = stages[which].job.share.value;
    let others = if old < 1.0 { (1.0 - share) / (1.0 - old) } else { 1.0 };
    stages
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let scale = if i == which { if old > 0.0 { share / old } else { 0.0 } } else { others };
            s.days.value * scale
        })
        .sum()
}
