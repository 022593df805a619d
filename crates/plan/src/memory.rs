//! What one rank of each pipeline position holds at its peak.

use crate::layout::{Block, Layout};
use crate::lower::Shape;
use crate::recipe::width_bytes;
use crate::{Plan, Zero};
use catalog::{Optimizer, Recipe};
use model::{Architecture, Cut, Saved, Shard, Weights, layer_input_elements, layer_saved};
use program::Schedule;

/// Peak memory of one rank, by kind. Bytes.
///
/// Weights, gradients and optimizer state are exact for the formats the recipe names; activations
/// are the tensors kept for the backward pass of every micro-batch in flight; buffers are the
/// working set of one block in recomputation or of the loss, and gathered weights.
///
/// Not counted: the allocator's fragmentation, the runtime's own context and the libraries'
/// workspaces (a GB or two per process, not published per stack).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageMemory {
    /// Weights as kept for compute.
    pub weights: f64,
    /// Accumulated gradients.
    pub gradients: f64,
    /// Master weights and moments.
    pub optimizer: f64,
    /// Tensors kept for the backward pass.
    pub activations: f64,
    /// Working set beyond those.
    pub buffers: f64,
}

impl StageMemory {
    /// All kinds together. Bytes.
    pub fn total(&self) -> f64 {
        self.weights + self.gradients + self.optimizer + self.activations + self.buffers
    }
}

/// Elements of weights on one rank, by the group that shares them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Held {
    /// Dense and replicated weights after tensor sharding.
    pub dense: f64,
    /// Expert weights after expert sharding.
    pub expert: f64,
}

impl Held {
    pub(crate) fn of(plan: &Plan, weights: &[Weights]) -> Self {
        let mut held = Self::default();
        for w in weights {
            match w.cut {
                Cut::Replicated => held.dense += w.count,
                Cut::Tensor => held.dense += w.count / plan.tensor as f64,
                Cut::Expert => held.expert += w.count / (plan.expert * plan.expert_tensor) as f64,
            }
        }
        held
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.dense += other.dense;
        self.expert += other.expert;
    }

    /// Elements when each part is further cut over its shard group.
    pub(crate) fn over(&self, dense_group: u64, expert_group: u64) -> f64 {
        self.dense / dense_group as f64 + self.expert / expert_group as f64
    }
}

/// Peak memory of the rank at pipeline position `rank`.
pub fn memory(
    plan: &Plan,
    model: &Architecture,
    recipe: &Recipe,
    layout: &Layout,
    shape: &Shape,
    rank: u64,
) -> StageMemory {
    let precision = &recipe.precision;
    let mut held = Held::default();
    let (mut largest, mut trained) = (Held::default(), Held::default());
    let (mut kept, mut working) = (0.0_f64, 0.0_f64);
    let mut chunks = 0.0;
    for chunk in layout.chunks(plan, rank) {
        chunks += 1.0;
        for block in chunk {
            let all = crate::lower::block_weights(model, block);
            let weights = Held::of(plan, &all);
            held.add(weights);
            trained.add(Held::of(plan, &crate::lower::trained(plan, all)));
            if weights.dense + weights.expert > largest.dense + largest.expert {
                largest = weights;
            }
            let (keep, work) = block_activations(plan, model, recipe, shape.sequence, block);
            kept += keep;
            working = working.max(work);
        }
    }
    let tied_copy = if shape.ties_apart && rank + 1 == plan.pipeline {
        model.vocab as f64 * model.hidden as f64 / plan.tensor as f64
    } else {
        0.0
    };
    held.dense += tied_copy;
    if plan.adapters.is_none() {
        trained.dense += tied_copy;
    }
    let (d, e) = (plan.dense_shard(), plan.expert_shard());
    let moments = match recipe.optimizer {
        Optimizer::AdamW => 2.0,
        Optimizer::Muon { .. } => 1.0,
    };
    let whole = held.over(1, 1);
    let (changed, sharded) = (trained.over(1, 1), trained.over(d, e));
    let state = precision.master.bytes() + moments * precision.moments.bytes();
    let in_flight =
        plan.schedule.in_flight(plan.pipeline, plan.virtual_pipeline, shape.micro_batches, rank);
    let (weights, gathered) = match plan.zero {
        // The sharded master is the only lasting copy; a block and its successor are gathered.
        Zero::Weights => (0.0, 2.0 * largest.over(1, 1) * precision.weights.bytes()),
        _ => (whole * precision.weights.bytes(), 0.0),
    };
    let gradients = if plan.zero >= Zero::Gradients { sharded } else { changed };
    let optimizer = if plan.zero >= Zero::Optimizer { sharded } else { changed };
    StageMemory {
        weights,
        gradients: gradients * precision.gradients.bytes(),
        optimizer: optimizer * state,
        activations: kept / chunks * in_flight as f64,
        buffers: working + gathered,
    }
}

/// Bytes a block keeps per micro-batch, and the extra it needs while it runs backward.
fn block_activations(
    plan: &Plan,
    model: &Architecture,
    recipe: &Recipe,
    sequence: u64,
    block: &Block,
) -> (f64, f64) {
    let precision = &recipe.precision;
    let shard = plan.shard(sequence);
    let bytes = |saved: &Saved| saved.elements * width_bytes(precision, saved.width);
    match block {
        Block::Embedding => (model::embedding_saved(model, &shard).iter().map(bytes).sum(), 0.0),
        // Every schedule but GPipe runs the loss backward right after it ran forward: one
        // micro-batch's logits exist at a time.
        Block::Head => {
            let saved = model::head_saved(model, &shard, plan.fused_loss);
            let all = saved.iter().map(bytes).sum();
            if plan.schedule == Schedule::GPipe { (all, 0.0) } else { (0.0, all) }
        }
        Block::Mtp { layer, full } => {
            let logits =
                |fused| -> f64 { model::head_saved(model, &shard, fused).iter().map(bytes).sum() };
            let saved = model::mtp_saved(model, layer, &shard, true);
            let (keep, work) = kept_and_working(plan, model, recipe, &shard, &saved, *full);
            (keep, work + logits(plan.fused_loss) - logits(true))
        }
        Block::Layer { layer, full } => {
            let mut saved = layer_saved(model, layer, &shard);
            if plan.unfused_attention {
                saved.extend(model::unfused_saved(model, layer, &shard));
            }
            kept_and_working(plan, model, recipe, &shard, &saved, *full)
        }
    }
}

/// What `saved` leaves for the backward pass after recomputation, and what the block needs besides
/// while it runs backward: what recomputing brings back, and the gradients of two neighbouring tensors
/// (the one being made from the other), taken as the two largest.
fn kept_and_working(
    plan: &Plan,
    model: &Architecture,
    recipe: &Recipe,
    shard: &Shard,
    saved: &[Saved],
    full: bool,
) -> (f64, f64) {
    let precision = &recipe.precision;
    let bytes = |s: &Saved| s.elements * width_bytes(precision, s.width);
    let all: f64 = saved.iter().map(bytes).sum();
    let gradients = two_largest(saved.iter().map(bytes));
    if full {
        let input = layer_input_elements(model, shard) * precision.activations.bytes();
        return (input, (all - input).max(0.0) + gradients);
    }
    let recomputed = |s: &&Saved| s.tags.iter().any(|t| plan.recompute.tags.contains(t));
    let freed: f64 = saved.iter().filter(recomputed).map(bytes).sum();
    (all - freed, freed + gradients)
}

fn two_largest(sizes: impl Iterator<Item = f64>) -> f64 {
    let (first, second) = sizes.fold((0.0_f64, 0.0_f64), |(first, second), size| {
        (first.max(size), second.max(size.min(first)))
    });
    first + second
}
