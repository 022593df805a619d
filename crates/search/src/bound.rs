//! Lower bounds on what every plan of a branch costs, each with its proof.

use crate::Problem;
use engine::{PassTime, Rules};
use plan::{Block, BlockMemory, Plan, RankHolds};

/// Share by which a bound must beat the worst kept leader before a branch is cut: bounds and
/// evaluations sum the same products in different orders, so that they differ by rounding.
pub(crate) const ROUNDING: f64 = 1e-9;

/// Least time of `whole` (forward and backward of one micro-batch through all blocks, nothing
/// recomputed), however the blocks are spread over ranks and its communication overlapped. Seconds.
///
/// Proof. [`engine::run`] makes of a pass with compute C and communication c_a by axis the time
/// C + Σc_a - (1-k)·H, where k is the share of cores that communication takes and H the hidden
/// communication. An axis that the plan does not overlap hides nothing; of tensor traffic the first
/// slice never hides; and hidden communication uses up compute at the rate 1-k, so H ≤ C/(1-k). Hence
/// the time is at least C + Σc_a - min((1-k)·A, C) with A the traffic that may hide. Waiting for the
/// host makes it at least the host's time too. Both are superadditive: a sum of passes is bounded
/// by the sum of their bounds from below, since min(x+y, u+v) ≥ min(x,u) + min(y,v) and max is
/// convex. So every rank's busy time is at least the bound of its own work, and the slowest rank's
/// is at least the mean over ranks: the bound of all work, over their number. Recomputation,
/// sharding, bubbles, messages between stages and the optimizer only add to it.
pub(crate) fn pass_bound_s(whole: &PassTime, rules: &Rules) -> f64 {
    let compute_s = whole.cost.seconds;
    let slices = 1.0 - 1.0 / rules.tensor_slices;
    let may_hide = [
        if rules.overlap.tensor { slices } else { 0.0 },
        if rules.overlap.context { 1.0 } else { 0.0 },
        if rules.overlap.expert { 1.0 } else { 0.0 },
        if rules.overlap.parameter_gather { 1.0 } else { 0.0 },
    ];
    let all: f64 = whole.comm.iter().sum();
    let hidden: f64 = whole.comm.iter().zip(may_hide).map(|(comm, share)| comm * share).sum();
    let device_s = compute_s + all - ((1.0 - rules.cores) * hidden).min(compute_s);
    let host_s = if rules.launch.graphs {
        0.0
    } else {
        whole.cost.launches * rules.launch.host_s + whole.collectives * rules.collective_s
    };
    device_s.max(host_s)
}

/// Least memory of the fullest rank of `plan` from weights, gradients and optimizer state. Bytes.
///
/// Proof. [`RankHolds::peak`] is linear in what a rank holds and never falls with activations or
/// buffers. Every block lies on some rank, so the mean over ranks of their holdings is the whole
/// model's over their number (more under `DualPipe`, which holds each block twice); the fullest
/// rank holds at least the mean.
pub(crate) fn weights_bound_bytes(
    problem: &Problem,
    plan: &Plan,
    kinds: &[(Block, u64)],
    memory: &[BlockMemory],
) -> f64 {
    let mut holds = RankHolds::default();
    for (block, (_, times)) in memory.iter().zip(kinds) {
        holds.add(block, (0.0, 0.0), *times as f64 / plan.pipeline as f64);
    }
    // The gathered copy and the gradients of the largest block are no sum over blocks: left out.
    holds.largest = plan::Held::default();
    holds.largest_trained = 0.0;
    holds.peak(plan, &problem.recipe, 0).total()
}

/// Whether nothing recomputed is the fastest of all recompute modes, other things equal.
///
/// Proof. Recomputing adds compute to backward passes. By [`engine::run`] more compute in a pass
/// never shortens it: it may hide more communication, but no more than the compute added times
/// 1/(1-k), which saves (1-k) of that. Bubbles grow with backward passes, except in plain 1F1B,
/// whose [`program::idle_1f1b`] subtracts a rank's own backward pass once for every stage after it:
/// with at least that many micro-batches its busy time grows by more. Exposed gradient exchange
/// falls by at most the growth of one micro-batch's backward, which the rank runs at least once.
/// Not so where saved tensors are copied to the host: what is recomputed need not be.
pub(crate) fn recompute_only_adds(plan: &Plan, micro_batches: u64) -> bool {
    use program::Schedule;
    let plain = plan.schedule == Schedule::OneFOneB && plan.virtual_pipeline == 1;
    if plan.offload_blocks > 0 {
        return false;
    }
    !plain || micro_batches + 1 > plan.pipeline
}

/// Whether ZeRO-2's scattering and ZeRO-3's gathering never make a step of `plan` shorter, where
/// [`recompute_only_adds`] holds.
///
/// Proof. By [`engine::run`] traffic added to a pass never shortens it: what of it hides still takes
/// its share of cores. `GPipe`'s and 1F1B's bubbles grow with forward and backward passes, but for a
/// rank's own in plain 1F1B, where `recompute_only_adds` asks for as many micro-batches as make up
/// for it. Other schedules fill bubbles with weight gradients, whose scattering may shorten them.
pub(crate) fn sharding_only_adds(plan: &Plan) -> bool {
    use program::Schedule;
    plan.pipeline == 1 || matches!(plan.schedule, Schedule::GPipe | Schedule::OneFOneB)
}
