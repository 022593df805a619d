//! Where the wall clock went, to the nanosecond.

/// What a nanosecond of the run was for; each belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Steps whose result is kept, at full speed.
    Useful,
    /// What smaller batches cost over full ones.
    Ramp,
    /// The job waits for a checkpoint, or is slowed by the writing of one.
    Checkpoint,
    /// Steps done again after a failure.
    Lost,
    /// From a failure to the stop of the job.
    Detection,
    /// Until it is known what to restart without.
    Diagnosis,
    /// Scheduling, loading the checkpoint, first step.
    Restart,
    /// Bringing in a spare host, or waiting until one is repaired.
    Spares,
    /// What fewer replicas cost.
    Degraded,
    /// What slow chips cost until they are evicted.
    Slow,
    /// Pauses for evaluation.
    Evaluation,
    /// Planned stops.
    Maintenance,
}

impl Cause {
    /// Every cause, in the order of [`Account`].
    pub const ALL: [Self; 12] = [
        Self::Useful,
        Self::Ramp,
        Self::Checkpoint,
        Self::Lost,
        Self::Detection,
        Self::Diagnosis,
        Self::Restart,
        Self::Spares,
        Self::Degraded,
        Self::Slow,
        Self::Evaluation,
        Self::Maintenance,
    ];

    /// The key used in files and output.
    pub fn key(self) -> &'static str {
        match self {
            Self::Useful => "useful",
            Self::Ramp => "ramp",
            Self::Checkpoint => "checkpoint",
            Self::Lost => "lost",
            Self::Detection => "detection",
            Self::Diagnosis => "diagnosis",
            Self::Restart => "restart",
            Self::Spares => "spares",
            Self::Degraded => "degraded",
            Self::Slow => "slow",
            Self::Evaluation => "evaluation",
            Self::Maintenance => "maintenance",
        }
    }

    /// The words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Useful => "useful steps",
            Self::Ramp => "smaller batches",
            Self::Checkpoint => "checkpoint stalls",
            Self::Lost => "steps done again",
            Self::Detection => "detection",
            Self::Diagnosis => "diagnosis",
            Self::Restart => "restart",
            Self::Spares => "spares",
            Self::Degraded => "fewer replicas",
            Self::Slow => "slow chips",
            Self::Evaluation => "evaluation",
            Self::Maintenance => "maintenance",
        }
    }

    /// Whether the chips compute while it lasts, and so draw their power under load.
    pub fn computes(self) -> bool {
        matches!(self, Self::Useful | Self::Ramp | Self::Lost | Self::Degraded | Self::Slow)
    }
}

/// Nanoseconds by [`Cause`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account(pub [u64; Cause::ALL.len()]);

impl Account {
    /// Of one cause.
    pub fn of(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// Adds to one cause.
    pub fn add(&mut self, cause: Cause, ns: u64) {
        self.0[cause as usize] += ns;
    }

    /// Moves from one cause to another.
    ///
    /// # Panics
    /// If the first holds less: work would be lost that was never done.
    pub fn shift(&mut self, from: Cause, to: Cause, ns: u64) {
        let held = &mut self.0[from as usize];
        assert!(*held >= ns, "{} holds {held} ns, {ns} are to leave it", from.key());
        *held -= ns;
        self.0[to as usize] += ns;
    }

    /// All causes: the wall clock.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
