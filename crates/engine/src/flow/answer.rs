//! What the event engine is asked and what it answers.

use super::fault::Fault;
use crate::estimate::{Estimate, Hidden, Part, Phases, RankTime};
use crate::timeline::Timeline;
use plan::StageMemory;

/// How to run a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowOptions {
    /// What is broken or slow; the classes they touch are unfolded.
    pub faults: Vec<Fault>,
    /// Tokens of every routed expert, in any unit, if they are uneven; empty for even loads. Ranks
    /// with different loads are unfolded.
    pub expert_tokens: Vec<f64>,
    /// Whether every rank is a class of its own, with explicit peers. For tests and small jobs.
    pub unfolded: bool,
    /// Whether spans, messages and link loads are recorded; without, the timeline holds only its
    /// duration, and a rehearsal costs less.
    pub recorded: bool,
    /// Whether the gap to the closed form is taken apart, which runs the step up to three times.
    pub explained: bool,
    /// Memory of each pipeline rank, for memory over time; may be empty.
    pub memory: Vec<StageMemory>,
}

/// One step as the event engine ran it.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowAnswer {
    /// Duration of the step. Seconds.
    pub step_s: f64,
    /// The closed form's duration of the same step without faults. Seconds.
    pub estimate_s: f64,
    /// What happened when.
    pub timeline: Timeline,
    /// What was broken, slow or uneven, as it was asked.
    pub disturbed: Vec<String>,
    /// Pipeline rank of the class that ended last.
    pub critical: usize,
    /// Where that class's step went; sums to `step_s`.
    pub parts: Vec<Part>,
    /// Communication of that class that ran behind compute.
    pub hidden: Vec<Hidden>,
    /// Every class: busy with passes, waiting, exchanging and updating.
    pub ranks: Vec<RankTime>,
    /// That class's step by kind of pass.
    pub phases: Phases,
    /// The busiest port classes, busiest first.
    pub busiest: Vec<LinkUse>,
    /// Why the step differs from the closed form's; sums to `step_s - estimate_s`.
    pub gaps: Vec<Gap>,
    /// Classes of ranks that were run.
    pub classes: usize,
    /// Classes more than the program has, because a fault made them differ.
    pub unfolded_classes: usize,
    /// Events processed.
    pub events: u64,
}

impl FlowAnswer {
    /// The same answer in the closed form's shape, for what prints or compares both.
    pub fn as_estimate(&self) -> Estimate {
        Estimate {
            step_s: self.step_s,
            ranks: self.ranks.clone(),
            critical: self.critical,
            parts: self.parts.clone(),
            hidden: self.hidden.clone(),
            phases: self.phases,
        }
    }
}

/// How much a port class carried.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkUse {
    /// As [`crate::LinkLoad::name`].
    pub name: String,
    /// Bytes over the step, one direction.
    pub bytes: f64,
    /// Share of what it could have carried in the step.
    pub utilisation: f64,
    /// Share of the step during which it carried anything.
    pub busy: f64,
}

/// One reason why the event engine and the closed form differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// What makes the difference, in a few words.
    pub cause: &'static str,
    /// Longer by so much; negative if shorter. Seconds.
    pub seconds: f64,
}
