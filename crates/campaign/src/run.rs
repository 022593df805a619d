//! What one sample simulates: every duration a whole number of nanoseconds.

use catalog::Component;

/// One over a second.
pub const NS: f64 = 1e9;

/// Overheads are shares of 2^32, so that they multiply exactly.
pub(crate) const SHARE_BITS: u32 = 32;

/// A share as [`Run`] holds it.
pub fn share(value: f64) -> u64 {
    (value.clamp(0.0, 1e6) * (1_u64 << SHARE_BITS) as f64).round() as u64
}

/// Seconds as whole nanoseconds.
///
/// Not valid above 584 years, where it saturates.
pub fn nanoseconds(seconds: f64) -> u64 {
    (seconds * NS).round().clamp(0.0, u64::MAX as f64) as u64
}

/// A stretch of the run with one step time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its steps at full batch and full speed. Nanoseconds.
    pub work_ns: u64,
    /// What its smaller batches cost over that, as a [`share`] of `work_ns`.
    pub ramp: u64,
    /// Whether the job is stopped and started anew before it, with another length and plan.
    pub restarts: bool,
}

/// What a process does to the job when it strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strike {
    /// The job stops and goes back to its last checkpoint.
    Stop,
    /// Results are wrong from now on; the job learns of it later and goes back before it.
    Corrupt {
        /// Until it is found. Nanoseconds.
        found_ns: u64,
    },
    /// The job runs slower until the chip is found and evicted.
    Slow {
        /// A [`share`] of the step.
        loss: u64,
        /// Until it is found. Nanoseconds.
        found_ns: u64,
    },
    /// A planned stop after a checkpoint.
    Maintenance {
        /// Duration. Nanoseconds.
        pause_ns: u64,
    },
}

/// A Poisson process of interruptions.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// What it is called.
    pub name: String,
    /// What it is counted over; `None` for what is no failure.
    pub component: Option<Component>,
    /// Mean time between two in the whole job; infinite if it never strikes. Nanoseconds.
    pub mean_ns: f64,
    /// What it does.
    pub strike: Strike,
    /// Share of its strikes that take hosts out. Ratio.
    pub replaced: f64,
    /// Hosts taken out then.
    pub hosts: u64,
}

/// Durations of what follows a stop. Nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recovery {
    /// Until the job stops.
    pub detection_ns: u64,
    /// Until it is known what to restart without.
    pub diagnosis_ns: u64,
    /// Until it trains again.
    pub restart_ns: u64,
    /// Share of the stops without replacement that are mended in place. Ratio.
    pub in_place: f64,
    /// Restart of those.
    pub in_place_ns: u64,
    /// Bringing in a spare.
    pub replacement_ns: u64,
    /// From a host's failure until it is a spare.
    pub repair_ns: u64,
}

/// Checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// Work between two. Nanoseconds, at least `persist_ns` and above 0.
    pub interval_ns: u64,
    /// Time one costs the job: the wait for it, and what its writing takes from the steps beside it.
    /// Nanoseconds.
    pub stall_ns: u64,
    /// From the end of the stall until it can be restarted from. Nanoseconds.
    pub persist_ns: u64,
}

/// A campaign with every figure chosen: what [`crate::simulate`] plays.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// In order.
    pub segments: Vec<Segment>,
    /// Everything that may strike.
    pub processes: Vec<Process>,
    /// What follows a stop.
    pub recovery: Recovery,
    /// Checkpoints.
    pub checkpoints: Checkpoints,
    /// Spare hosts at the start.
    pub spare_hosts: u64,
    /// Data-parallel replicas; each missing host takes one out.
    pub replicas: u64,
    /// Whether to run on with fewer replicas when no spare is left.
    pub degraded: bool,
    /// Work between evaluations, 0 for none. Nanoseconds.
    pub evaluation_every_ns: u64,
    /// Duration of one. Nanoseconds.
    pub evaluation_ns: u64,
    /// Give up when the wall clock passes this. Nanoseconds.
    pub limit_ns: u64,
    /// Whether that is a window that is asked about, rather than what only a run without end comes to.
    pub window: bool,
}

impl Run {
    /// All useful work. Nanoseconds.
    pub fn work_ns(&self) -> u64 {
        self.segments.iter().map(|s| s.work_ns).sum()
    }
}
