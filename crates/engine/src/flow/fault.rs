//! What can be broken or slow during a step.

/// One fault, present for the whole step.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What it is about.
    pub kind: FaultKind,
    /// What is left of the normal rate, 0 to 1; 0 is dead.
    pub rate: f64,
}

/// What a fault is about. Ranks are counted from 0 in the job's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Compute of one rank's chip.
    Chip {
        /// Its rank.
        rank: u64,
    },
    /// One port of a rank's chip into a level.
    Port {
        /// Its rank.
        rank: u64,
        /// Name of the level.
        level: String,
    },
    /// A link between two ranks' chips inside a level.
    Link {
        /// One end.
        from: u64,
        /// The other.
        to: u64,
    },
    /// A board (an instance of the innermost level), by number.
    Board {
        /// Which.
        board: u64,
    },
    /// A switch of a level: that level's rate falls for every rank below it.
    Switch {
        /// Name of the level.
        level: String,
        /// Which instance of the level.
        instance: u64,
    },
}
