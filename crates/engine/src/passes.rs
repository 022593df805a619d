//! The passes of one pipeline rank, and what the ranks wait for: shared by [`crate::estimate`] and
//! by whoever assembles a step from prices kept elsewhere.

use crate::exposure::{Rules, Run, run, run_pair};
use crate::price::SegmentTime;
use program::{PhaseCounts, Schedule, StageMeans, idle_1f1b_between};

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
            forward: run(&[forward], rules),
            backward_input: run(&[recompute, backward_input], rules),
            weight: run(&[weight], rules),
            backward: run(&[recompute, backward_input, weight], rules),
            pair: run_pair(forward, &[recompute, backward_input, weight], rules),
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

/// Exposed and hidden time of a rank's stage-boundary messages over a step with `(pipeline ranks,
/// micro-batches)`: each micro-batch is sent on forward and its gradient sent back, on each of the
/// `passes` it makes over the rank. Seconds.
pub fn sends(
    overlapped: bool,
    (ranks, micro_batches): (u64, u64),
    boundary_s: f64,
    passes: f64,
) -> (f64, f64) {
    if ranks < 2 {
        return (0.0, 0.0);
    }
    let all = 2.0 * boundary_s * passes * micro_batches as f64;
    if overlapped { (0.0, all) } else { (all, 0.0) }
}

/// Time that a step waits for messages of `boundary_s` between stages, besides what of [`sends`] shows,
/// with `(ranks, chunks, micro-batches)`: those that no pass hides
/// ([`Schedule::exposed_messages`]), or, where none is hidden, of a pipeline as it fills and empties.
/// `pairs` is [`program::Program::pairs`]. Seconds.
pub fn message_wait_s(
    schedule: Schedule,
    (overlapped, pairs): (bool, bool),
    (ranks, chunks, micro_batches): (u64, u64, u64),
    boundary_s: f64,
) -> f64 {
    let messages = if overlapped {
        schedule.exposed_messages((ranks, chunks, micro_batches), pairs)
    } else {
        2.0 * (ranks as f64 - 1.0)
    };
    messages * boundary_s
}

/// Waiting of every rank, into `idle`: stage by stage for plain 1F1B, else the schedule's formula on
/// the mean of the other ranks, whose first and last micro-batch it waits for, and whose pace it keeps
/// ([`Schedule::pace_s`]); with [`message_wait_s`]. Seconds.
///
/// Plain 1F1B `pairs` badly: a pair hands on its activation and its gradient at its end, so that of
/// two neighbours, one micro-batch apart, one waits while the other runs. Each pair but those of the
/// first and last micro-batch costs a rank the pair of its slowest neighbour besides its own (Megatron
/// refuses the two together: `overlap_moe_expert_parallel_comm` asks for virtual stages).
pub fn bubbles(
    schedule: Schedule,
    (chunks, micro_batches, pairs): (u64, u64, bool),
    message_wait_s: f64,
    ranks: &[StageMeans],
    idle: &mut Vec<f64>,
) {
    idle.clear();
    let others = ranks.len() as f64 - 1.0;
    if others < 1.0 {
        idle.extend(ranks.iter().map(|_| 0.0));
        return;
    }
    if schedule == Schedule::OneFOneB && chunks == 1 {
        let (mut before, mut after) = (0.0, ranks.iter().map(StageMeans::both).sum::<f64>());
        for (r, own) in ranks.iter().enumerate() {
            after -= own.both();
            let warm = ranks.len() - 1 - r;
            let neighbours = [r.checked_sub(1), Some(r + 1)].into_iter().flatten();
            let beside =
                neighbours.filter_map(|n| ranks.get(n)).map(|n| n.pair).fold(0.0, f64::max);
            let turns = if pairs { (micro_batches as f64 - 2.0).max(0.0) } else { 0.0 };
            let alone = idle_1f1b_between(before, own, after.max(0.0), warm);
            idle.push(alone + turns * beside + message_wait_s);
            before += own.both();
        }
        return;
    }
    let sum = |of: fn(&StageMeans) -> f64| ranks.iter().map(of).sum::<f64>();
    let forward = sum(|m| m.forward);
    let backward_input = sum(|m| m.backward_input);
    let (weight, pair) = (sum(|m| m.weight), sum(|m| m.pair));
    idle.extend(ranks.iter().map(|own| {
        let means = StageMeans {
            forward: (forward - own.forward) / others,
            backward_input: (backward_input - own.backward_input) / others,
            weight: (weight - own.weight) / others,
            pair: (pair - own.pair) / others,
        };
        let behind = (schedule.pace_s(ranks.len() as u64, means) - own.both()).max(0.0);
        schedule.bubble_s(ranks.len() as u64, chunks, means)
            + behind * micro_batches as f64
            + message_wait_s
    }));
}
