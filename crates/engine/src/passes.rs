//! The passes of one pipeline rank, and what the ranks wait for: shared by [`crate::estimate`] and
//! by whoever assembles a step from prices kept elsewhere.

use crate::exposure::{Rules, Run, run};
use crate::price::SegmentTime;
use program::{PhaseCounts, Schedule, StageMeans, idle_1f1b};

/// One micro-batch through the mean of a rank's chunks, by kind of pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passes {
    /// Forward.
    pub forward: Run,
    /// Recomputation and input gradients.
    pub backward_input: Run,
    /// Weight gradients.
    pub weight: Run,
    /// Recomputation, input and weight gradients.
    pub backward: Run,
    /// Forward and backward of two micro-batches beside each other.
    pub pair: Run,
}

impl Passes {
    /// The passes of a rank whose mean chunk takes `mean`.
    pub fn new(mean: &SegmentTime, rules: &Rules) -> Self {
        let SegmentTime { forward, recompute, backward_input, weight } = mean;
        Self {
            forward: run(&[forward], rules, false),
            backward_input: run(&[recompute, backward_input], rules, false),
            weight: run(&[weight], rules, false),
            backward: run(&[recompute, backward_input, weight], rules, false),
            pair: run(&[forward, recompute, backward_input, weight], rules, true),
        }
    }

    /// Each kind of pass with how often the rank runs it in a step.
    pub fn counted(&self, counts: &PhaseCounts) -> [(&Run, f64); 5] {
        [
            (&self.forward, counts.forward),
            (&self.backward, counts.backward),
            (&self.backward_input, counts.backward_input),
            (&self.weight, counts.weight),
            (&self.pair, counts.pair),
        ]
    }

    /// Times of one micro-batch that passes the rank `passes` times. Seconds.
    pub fn means(&self, passes: f64) -> StageMeans {
        StageMeans {
            forward: self.forward.seconds() * passes,
            backward_input: self.backward_input.seconds() * passes,
            weight: self.weight.seconds() * passes,
            pair: self.pair.seconds() * passes,
        }
    }
}

/// Passes of pipeline rank `rank` under `(schedule, expert overlap)` with `(ranks, chunks,
/// micro-batches)`; where expert traffic is overlapped across micro-batches without a schedule of
/// its own (1F1B), the steady state's forward and backward passes pair up.
pub fn pass_counts(
    (schedule, expert_overlap): (Schedule, bool),
    (ranks, chunks, micro_batches): (u64, u64, u64),
    rank: u64,
) -> PhaseCounts {
    let counts = schedule.phase_counts(ranks, chunks, micro_batches, rank);
    if schedule != Schedule::OneFOneB || !expert_overlap {
        return counts;
    }
    let in_flight = schedule.in_flight(ranks, chunks, micro_batches, rank) as f64;
    let alone = in_flight.min(counts.forward);
    PhaseCounts { forward: alone, backward: alone, pair: counts.forward - alone, ..counts }
}

/// Waiting of rank `r`: stage by stage for plain 1F1B, else the schedule's formula on the mean of
/// the other ranks, whose first and last micro-batch it waits for; with the messages between them.
/// Seconds.
pub fn bubble_s(
    schedule: Schedule,
    chunks: u64,
    boundary_s: f64,
    ranks: &[StageMeans],
    r: usize,
) -> f64 {
    let others = ranks.len() as f64 - 1.0;
    if others < 1.0 {
        return 0.0;
    }
    let fill = 2.0 * others * boundary_s;
    if schedule == Schedule::OneFOneB && chunks == 1 {
        return idle_1f1b(ranks, r) + fill;
    }
    let mean = |of: fn(&StageMeans) -> f64| {
        let sum: f64 = ranks.iter().map(of).sum();
        (sum - of(&ranks[r])) / others
    };
    let means = StageMeans {
        forward: mean(|m| m.forward),
        backward_input: mean(|m| m.backward_input),
        weight: mean(|m| m.weight),
        pair: mean(|m| m.pair),
    };
    schedule.bubble_s(ranks.len() as u64, chunks, means) + fill
}
