//! A scenario with its steps rehearsed, ready to be sampled.

use crate::account::Cause;
use crate::assumptions::{Assumptions, Place};
use crate::checkpoint::{beside, bytes, bytes_per_chip, daly_s, talking};
use crate::counts::Counts;
use crate::money::{Bill, Prices, Used};
use crate::run::{Checkpoints, NS, Process, Recovery, Run, Segment, Strike, nanoseconds, share};
use crate::simulate::Outcome;
use crate::strikes::mean_ns;
use crate::work::{Stretch, stretches, trained};
use catalog::{Component, Economics, Operations, Reliability};
use diagnostic::{Diagnostic, Diagnostics};
use engine::{Driver, Overfull, Rehearsal};
use scenario::{CheckpointMode, Evaluation, Scenario};
use units::{Figure, Origin, Unit};

/// A length stage as a campaign sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Sequence length in tokens.
    pub sequence: u64,
    /// Tokens of one step at full batch.
    pub batch_tokens: f64,
    /// Median of the step. Seconds.
    pub step_s: f64,
    /// Model FLOPs of a token (causal attention, no recomputation).
    pub flops_per_token: f64,
    /// Its share of the run's tokens.
    pub(crate) share: Place,
}

/// A part of the first stage at a smaller batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RampPart {
    /// Tokens of the run at which it ends.
    pub until_tokens: f64,
    /// Tokens of one step.
    pub batch_tokens: f64,
    /// Median of the step. Seconds.
    pub step_s: f64,
}

/// A scenario ready to be sampled.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The scenario's name.
    pub name: String,
    /// Chips of the job.
    pub ranks: u64,
    /// Parts under it.
    pub counts: Counts,
    /// Length stages.
    pub stages: Vec<Stage>,
    /// Those of them whose plan needs more memory than a chip has: they could not run.
    pub overfull: Vec<Overfull>,
    /// Parts at smaller batches.
    pub ramp: Vec<RampPart>,
    /// Every figure.
    pub assumptions: Assumptions,
    /// What moves the main stage's step, for the tornado: `(path, figure, factor at low, at high)`.
    pub step_drivers: Vec<(String, Figure, f64, f64)>,
    /// Whose rates it rests on.
    pub reliability: Reliability,
    /// Whose prices, if money was asked.
    pub economics: Option<Economics>,
    /// How checkpoints are taken.
    pub checkpoint: CheckpointMode,
    /// Bytes of a checkpoint, whole and of the fullest chip.
    pub checkpoint_bytes: (f64, f64),
    /// Rate at which one chip reaches beyond its pod. Bytes/s.
    scale_out: f64,
    /// Share of the main stage's step that waits for communication.
    talking: f64,
    /// Wall clock after which playing stops; `None` plays to the end of the run. Seconds.
    pub window_s: Option<f64>,
    interval_s: Option<f64>,
    degraded: bool,
    spare_hosts: Option<u64>,
    evaluation: Option<Evaluation>,
    replicas: u64,
    places: Places,
}

/// Places of what every campaign has.
#[derive(Clone, Debug)]
struct Places {
    tokens: Place,
    step: Place,
    failures: Vec<(Place, Place)>,
    operations: Vec<Place>,
    chip_power: Option<Place>,
    overhead_power: Option<Place>,
    pue: Option<Place>,
    idle_power: Option<Place>,
    prices: Option<Prices>,
}

/// Longest run that is simulated: a century.
const LONGEST_S: f64 = 3.15e9;

impl Campaign {
    /// The campaign of a rehearsed scenario.
    ///
    /// `ramp` has the rehearsal of each part of the scenario's ramp, in order. `economics` is left
    /// out when money is not asked for.
    ///
    /// # Errors
    /// Everything that is missing: operations, a host's size, a power, a price.
    pub fn new(
        scenario: &Scenario,
        rehearsal: &Rehearsal,
        ramp: Vec<RampPart>,
        economics: Option<Economics>,
    ) -> Result<Self, Diagnostics> {
        let reliability = reliability(scenario)?;
        let mut problems = Diagnostics::default();
        if reliability.operations.is_none() {
            problems.push(no_operations(&reliability));
        }
        let counts = match Counts::new(&scenario.cluster, scenario.ranks, &reliability) {
            Ok(counts) => counts,
            Err(problem) => {
                problems.push(problem);
                Counts::default()
            }
        };
        let mut assumptions = Assumptions::default();
        let stages = stages(scenario, rehearsal, &mut assumptions);
        let places = Places::new(
            scenario,
            rehearsal,
            &reliability,
            economics.as_ref(),
            &mut assumptions,
            &mut problems,
        );
        let (Some(places), false) = (places, problems.has_errors()) else { return Err(problems) };
        let fullest = rehearsal.stages.iter().map(bytes_per_chip).fold(0.0, f64::max);
        let whole = rehearsal.stages.iter().map(|s| bytes(s, scenario.ranks)).fold(0.0, f64::max);
        let main = &rehearsal.stages[rehearsal.main];
        let campaign = Self {
            name: scenario.name.clone(),
            ranks: scenario.ranks,
            counts,
            stages,
            overfull: rehearsal.overfull(),
            ramp,
            step_drivers: drivers(&main.drivers, main.estimate.step_s),
            reliability,
            economics,
            checkpoint: scenario.campaign.checkpoint,
            checkpoint_bytes: (whole, fullest),
            scale_out: scenario.cluster.levels.last().map_or(0.0, |l| l.bandwidth.value),
            talking: talking(&main.estimate),
            window_s: scenario.campaign.window_s,
            interval_s: scenario.campaign.interval_s,
            degraded: scenario.campaign.degraded,
            spare_hosts: scenario.campaign.spare_hosts,
            evaluation: scenario.campaign.evaluation,
            replicas: main.job.plan.data,
            assumptions,
            places,
        };
        let ideal_s = campaign.run(&campaign.assumptions.central()).work_ns() as f64 / NS;
        if ideal_s > LONGEST_S {
            let years = ideal_s / 31_536_000.0;
            let message = format!("the run takes {years:.0} years without a failure");
            let hint = "more chips, or fewer tokens; a century at most is simulated";
            return Err(Diagnostic::error("campaign::long", message).hint(hint).into());
        }
        Ok(campaign)
    }

    /// The same campaign with every figure chosen.
    pub fn run(&self, choice: &[f64]) -> Run {
        let segments: Vec<Segment> = self.stretches(choice).iter().map(|s| s.segment).collect();
        let work: u64 = segments.iter().map(|s| s.work_ns).sum();
        let processes = self.processes(choice);
        let stops: f64 = processes
            .iter()
            .filter(|p| p.strike == Strike::Stop && p.mean_ns.is_finite())
            .map(|p| NS / p.mean_ns)
            .sum();
        let second = |index: usize| nanoseconds(self.places.operations[index].of(choice));
        let operation = |index: usize| self.places.operations[index].of(choice);
        let tokens_per_ns = self.places.tokens.of(choice) / work.max(1) as f64;
        let evaluation = self.evaluation.map_or((0, 0), |e| {
            ((e.every_tokens / tokens_per_ns).max(1.0) as u64, nanoseconds(e.pause_s))
        });
        Run {
            checkpoints: self.checkpoints(choice, 1.0 / stops, work),
            segments,
            processes,
            recovery: Recovery {
                detection_ns: second(DETECTION),
                diagnosis_ns: second(DIAGNOSIS),
                restart_ns: second(RESTART),
                in_place: operation(IN_PLACE),
                in_place_ns: second(IN_PLACE_RESTART),
                replacement_ns: second(REPLACEMENT),
                repair_ns: second(REPAIR),
            },
            spare_hosts: self.spare_hosts(choice),
            replicas: self.replicas,
            degraded: self.degraded,
            evaluation_every_ns: evaluation.0,
            evaluation_ns: evaluation.1,
            // Longer is never: it fails faster than it recovers.
            limit_ns: self.window_s.map_or_else(
                || work.saturating_mul(20).saturating_add(nanoseconds(31_536_000.0)),
                nanoseconds,
            ),
            window: self.window_s.is_some(),
        }
    }

    /// Hosts beside the job.
    pub fn spare_hosts(&self, choice: &[f64]) -> u64 {
        let share = self.places.operations[SPARES].of(choice);
        self.spare_hosts.unwrap_or_else(|| (share * self.counts.hosts).ceil() as u64)
    }

    fn stretches(&self, choice: &[f64]) -> Vec<Stretch> {
        let factor = self.places.step.of(choice);
        stretches(&self.stages, &self.ramp, choice, self.tokens(choice), factor)
    }

    fn processes(&self, choice: &[f64]) -> Vec<Process> {
        let operation = |index: usize| self.places.operations[index].of(choice);
        let mut processes: Vec<Process> = self
            .reliability
            .failures
            .iter()
            .zip(&self.places.failures)
            .map(|(failure, (rate, replaced))| Process {
                name: failure.name.clone(),
                component: Some(failure.component),
                mean_ns: mean_ns(rate.of(choice) * self.counts.of(failure.component)),
                strike: if failure.component == Component::Silent {
                    Strike::Corrupt { found_ns: nanoseconds(operation(SILENT_DETECTION)) }
                } else {
                    Strike::Stop
                },
                replaced: replaced.of(choice),
                hosts: if failure.component == Component::Switch {
                    self.counts.hosts_per_switch.min(self.counts.hosts) as u64
                } else {
                    1
                },
            })
            .collect();
        let planned = |name: &str, per_year: f64, strike| Process {
            name: name.to_owned(),
            component: None,
            mean_ns: mean_ns(per_year),
            strike,
            replaced: 0.0,
            hosts: 0,
        };
        let slow = Strike::Slow {
            loss: share(operation(SLOW_LOSS)),
            found_ns: nanoseconds(operation(SLOW_DETECTION)),
        };
        processes.push(planned("slow chip", operation(SLOW_RATE) * self.counts.chips, slow));
        let pause = Strike::Maintenance { pause_ns: nanoseconds(operation(MAINTENANCE)) };
        processes.push(planned("planned maintenance", operation(MAINTENANCE_RATE), pause));
        processes
    }

    /// A chip's bytes over the slower of storage and fabric, beside the training or not; the interval as
    /// given or Daly's, never below the writing of one.
    fn checkpoints(&self, choice: &[f64], between_failures_s: f64, work: u64) -> Checkpoints {
        let operation = |index: usize| self.places.operations[index].of(choice);
        let bytes = self.checkpoint_bytes.1;
        let storage = operation(STORAGE_BANDWIDTH);
        let snapshot_s = bytes / operation(SNAPSHOT_BANDWIDTH);
        let fixed_s = operation(CHECKPOINT_STALL);
        let (stall_s, persist_s) = match self.checkpoint {
            CheckpointMode::Overlapped => {
                let (written_s, slowed_s) = beside(bytes, storage, self.scale_out, self.talking);
                (fixed_s + snapshot_s + slowed_s, written_s)
            }
            CheckpointMode::Synchronous => (fixed_s + bytes / storage.min(self.scale_out), 0.0),
        };
        let best_s = if between_failures_s.is_finite() {
            daly_s(stall_s, between_failures_s)
        } else {
            work as f64 / NS
        };
        let persist_ns = nanoseconds(persist_s);
        let interval_ns = nanoseconds(self.interval_s.unwrap_or(best_s));
        Checkpoints {
            interval_ns: interval_ns.max(persist_ns).max(1),
            stall_ns: nanoseconds(stall_s),
            persist_ns,
        }
    }

    /// Tokens of the run.
    pub fn tokens(&self, choice: &[f64]) -> f64 {
        self.places.tokens.of(choice)
    }

    /// Tokens trained and model FLOPs of them in a played run.
    pub fn trained(&self, choice: &[f64], outcome: &Outcome) -> (f64, f64) {
        trained(&self.stretches(choice), outcome.account.of(Cause::Useful))
    }

    /// Mean time between failures of the whole job. Seconds; infinite if nothing fails.
    ///
    /// One over the sum of the processes' rates: failures of parts are independent.
    pub fn between_failures_s(&self, choice: &[f64]) -> f64 {
        let failures = self.processes(choice).into_iter().filter(|p| p.component.is_some());
        1.0 / failures.map(|p| NS / p.mean_ns).sum::<f64>()
    }

    /// What a played run used; energy is absent without the powers.
    ///
    /// Chips draw their power under load while they compute and a share of it while they wait; what
    /// stands around them draws its own always; spares wait. At the meter where the economics give a
    /// PUE, else of the machines alone.
    pub fn used(&self, choice: &[f64], outcome: &Outcome) -> Used {
        let spares = self.spare_hosts(choice) as f64 * self.counts.chips_per_host;
        let chips = self.counts.chips + spares;
        let wall_s = outcome.account.total() as f64 / NS;
        let busy_ns: u64 = Cause::ALL
            .iter()
            .filter(|cause| cause.computes())
            .map(|cause| outcome.account.of(*cause))
            .sum();
        let (Some(chip), Some(overhead)) = (self.places.chip_power, self.places.overhead_power)
        else {
            return Used { chips, wall_s, energy_j: f64::NAN, power_w: f64::NAN };
        };
        let (chip, overhead) = (chip.of(choice), overhead.of(choice));
        let idle = self.places.idle_power.map_or(1.0, |place| place.of(choice));
        let busy_s = busy_ns as f64 / NS;
        let chip_j = chip
            * (self.counts.chips * (busy_s + idle * (wall_s - busy_s)) + spares * idle * wall_s);
        let pue = self.places.pue.map_or(1.0, |place| place.of(choice));
        let energy_j = (chip_j + overhead * chips * wall_s) * pue;
        Used { chips, wall_s, energy_j, power_w: (chip + overhead) * chips }
    }

    /// The bill of what was used, if money was asked.
    pub fn bill(&self, choice: &[f64], used: &Used) -> Option<Bill> {
        Some(self.places.prices.as_ref()?.bill(choice, &self.counts, used))
    }

    /// What a chip of the job costs its owner an hour under load, every figure at its value. USD.
    pub fn owner_usd_per_hour(&self) -> Option<f64> {
        let central = self.assumptions.central();
        let power = self.places.chip_power?.of(&central) + self.places.overhead_power?.of(&central);
        let pue = self.places.pue.map_or(1.0, |place| place.of(&central));
        let prices = self.places.prices.as_ref()?;
        Some(prices.owner_usd_per_hour(&central, &self.counts, power, pue))
    }

    /// The place of the step's factor, which the drivers of the step move.
    pub(crate) fn step_place(&self) -> Place {
        self.places.step
    }
}

/// Places in [`Operations::figures`].
const DETECTION: usize = 0;
const DIAGNOSIS: usize = 1;
const RESTART: usize = 2;
const IN_PLACE: usize = 3;
const IN_PLACE_RESTART: usize = 4;
const REPLACEMENT: usize = 5;
const REPAIR: usize = 6;
const SILENT_DETECTION: usize = 7;
const SPARES: usize = 8;
const SLOW_RATE: usize = 9;
const SLOW_LOSS: usize = 10;
const SLOW_DETECTION: usize = 11;
const MAINTENANCE_RATE: usize = 12;
const MAINTENANCE: usize = 13;
const CHECKPOINT_STALL: usize = 14;
const STORAGE_BANDWIDTH: usize = 15;
const SNAPSHOT_BANDWIDTH: usize = 16;

impl Places {
    fn new(
        scenario: &Scenario,
        rehearsal: &Rehearsal,
        reliability: &Reliability,
        economics: Option<&Economics>,
        assumptions: &mut Assumptions,
        problems: &mut Diagnostics,
    ) -> Option<Self> {
        let chip = &scenario.cluster.chip;
        let tokens = assumptions.add("recipe.tokens", scenario.recipe.tokens.clone());
        let step = assumptions.add(format!("step time on {}", chip.id), step_factor(rehearsal));
        let failures = reliability
            .failures
            .iter()
            .map(|failure| {
                let path = format!("failure.{}", failure.name.replace(' ', "_"));
                let rate = assumptions.add(format!("{path}.rate"), failure.rate.clone());
                (rate, assumptions.add(format!("{path}.replaced"), failure.replaced.clone()))
            })
            .collect();
        let operations = reliability.operations.iter().flat_map(Operations::figures);
        let operations = operations
            .map(|(key, figure)| assumptions.add(format!("operations.{key}"), figure.clone()))
            .collect();
        let overhead = scenario.cluster.overhead_power.as_ref();
        for (key, power) in [("chip.power", chip.power.as_ref()), ("overhead_power", overhead)] {
            if power.is_none() && economics.is_some() {
                problems.push(no_power(scenario, key));
            }
        }
        let mut add = |path: String, figure: Option<&Figure>| {
            figure.map(|figure| assumptions.add(path, figure.clone()))
        };
        let chip_power = add(format!("{}.power", chip.id), chip.power.as_ref());
        let overhead_power = add(format!("{}.overhead_power", scenario.cluster.id), overhead);
        let place = economics.map_or("", |e| e.id.as_str());
        let pue = add(format!("economics.{place}.pue"), economics.map(|e| &e.pue));
        let idle = economics.map(|e| &e.idle_power);
        let idle_power = add(format!("economics.{place}.idle_power"), idle);
        let prices = match economics.map(|e| Prices::new(e, chip, assumptions)) {
            None => None,
            Some(Ok(prices)) => Some(prices),
            Some(Err(found)) => {
                problems.extend(found);
                return None;
            }
        };
        Some(Self {
            tokens,
            step,
            failures,
            operations,
            chip_power,
            overhead_power,
            pue,
            idle_power,
            prices,
        })
    }
}

/// The rates and operations that the scenario names, else those of its chip's family.
///
/// # Errors
/// No rates for the family.
pub(crate) fn reliability(scenario: &Scenario) -> Result<Reliability, Diagnostics> {
    match &scenario.campaign.reliability {
        Some(own) => Ok(own.clone()),
        None => catalog::reliability_for(&scenario.cluster.chip.family),
    }
}

fn stages(scenario: &Scenario, rehearsal: &Rehearsal, all: &mut Assumptions) -> Vec<Stage> {
    let one = |stage: &engine::StageAnswer| Stage {
        sequence: stage.job.sequence,
        batch_tokens: stage.job.batch_tokens(),
        step_s: stage.step_s.median,
        flops_per_token: scenario.model.flops_per_token(stage.job.sequence).megatron_causal,
        share: all
            .add(format!("recipe.stage.{}.share", stage.job.sequence), stage.job.share.clone()),
    };
    rehearsal.stages.iter().map(one).collect()
}

/// One factor for the steps of all stages: they rest on the same figures and move together.
fn step_factor(rehearsal: &Rehearsal) -> Figure {
    let sum = |of: fn(&engine::Interval) -> f64| -> f64 {
        rehearsal.stages.iter().map(|s| of(&s.days)).sum()
    };
    let median = sum(|d| d.median);
    let (low, high) = (sum(|d| d.low) / median, sum(|d| d.high) / median);
    let source = "the engine's 500 samples of every figure of chip, fabric and stack";
    let range = (low.min(1.0), high.max(1.0));
    Figure::ranged(1.0, range, Unit::Ratio, Origin::Derived, source)
}

fn drivers(drivers: &[Driver], step_s: f64) -> Vec<(String, Figure, f64, f64)> {
    let one = |d: &Driver| {
        (d.path.clone(), d.figure.clone(), d.step_at_low_s / step_s, d.step_at_high_s / step_s)
    };
    drivers.iter().take(12).map(one).collect()
}

fn no_operations(reliability: &Reliability) -> Diagnostic {
    let message =
        format!("`{}` has no `[operations]`: rates alone run no campaign", reliability.id);
    Diagnostic::error("campaign::operations", message)
}

fn no_power(scenario: &Scenario, key: &str) -> Diagnostic {
    let message = format!("no `{key}` is known for `{}`", scenario.cluster.id);
    Diagnostic::error("campaign::power", message)
        .hint("give it in a cluster or chip file of your own, or answer `--without money`")
}
