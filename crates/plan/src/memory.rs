//! What one rank of each pipeline position holds at its peak.

use crate::layout::{Block, Layout};
use crate::lower::Shape;
use crate::recipe::width_bytes;
use crate::{Plan, Zero};
use catalog::{Optimizer, Recipe};
use model::{Architecture, Cut, Saved, Tag, Weights, layer_input_elements, layer_saved};
use program::Schedule;

/// Peak memory of one rank, by kind. Bytes.
///
/// Weights, gradients and optimizer state are exact for the formats the recipe names; activations
/// are the tensors kept for the backward pass of every micro-batch in flight; buffers are the
/// working set of one block in recomputation or of the loss, gathered weights, and where gradients are
/// sharded the whole ones of the block, or of the chunk, that is about to be scattered.
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
pub struct Held {
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

    /// Adds what another block holds.
    pub fn add(&mut self, other: Self) {
        self.dense += other.dense;
        self.expert += other.expert;
    }

    /// Elements when each part is further cut over its shard group.
    pub fn over(&self, dense_group: u64, expert_group: u64) -> f64 {
        self.dense / dense_group as f64 + self.expert / expert_group as f64
    }
}

/// One block's part in a rank's memory.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockMemory {
    /// Weights.
    pub held: Held,
    /// Weights that a step changes.
    pub trained: Held,
    /// Tensors saved for the backward pass: bytes and the recompute tags that free them, as bits.
    saved: Vec<(f64, u32)>,
    /// What recomputing the whole block keeps; `None` where nothing is recomputed. Bytes.
    input: Option<f64>,
    /// Working set besides what recomputing brings back. Bytes.
    working: f64,
    /// Share of blocks like this whose saved tensors wait in the host's memory.
    offloaded: f64,
    /// Blocks whose tensors are on their way to or from the host at a time.
    on_the_way: f64,
}

/// The bits of a set of recompute tags.
pub fn tag_bits(tags: &[Tag]) -> u32 {
    tags.iter().fold(0, |bits, &tag| bits | 1 << tag as u32)
}

impl BlockMemory {
    /// The memory of `block` under `plan` for sequences of `sequence` tokens.
    pub fn of(
        plan: &Plan,
        model: &Architecture,
        recipe: &Recipe,
        sequence: u64,
        block: &Block,
    ) -> Self {
        let all = crate::lower::block_weights(model, block);
        let held = Held::of(plan, &all);
        let trained = Held::of(plan, &crate::lower::trained(plan, all));
        let precision = &recipe.precision;
        let shard = plan.shard(sequence);
        let bytes = |s: &Saved| s.elements * width_bytes(precision, s.width);
        let listed = |saved: Vec<Saved>| -> Vec<(f64, u32)> {
            saved.iter().map(|s| (bytes(s), tag_bits(&s.tags))).collect()
        };
        let logits =
            |fused| -> f64 { model::head_saved(model, &shard, fused).iter().map(bytes).sum() };
        let input = layer_input_elements(model, &shard) * precision.activations.bytes();
        let (saved, input, working) = match block {
            Block::Embedding => (listed(model::embedding_saved(model, &shard)), None, 0.0),
            // Every schedule but GPipe runs the loss backward right after it ran forward: one
            // micro-batch's logits exist at a time.
            Block::Head if plan.schedule == Schedule::GPipe => {
                (listed(model::head_saved(model, &shard, plan.fused_loss)), None, 0.0)
            }
            Block::Head => (Vec::new(), None, logits(plan.fused_loss)),
            Block::Mtp { layer, .. } => {
                let saved = listed(model::mtp_saved(model, layer, &shard, true));
                (saved, Some(input), logits(plan.fused_loss) - logits(true))
            }
            Block::Layer { layer, .. } => {
                let mut saved = layer_saved(model, layer, &shard);
                if plan.unfused_attention {
                    saved.extend(model::unfused_saved(model, layer, &shard));
                }
                (listed(saved), Some(input), 0.0)
            }
        };
        // Two buffers take turns: one is copied while the next block fills or empties the other.
        let on_the_way = plan.offload_blocks.min(2) as f64;
        let (offloaded, on_the_way) =
            if input.is_some() { (plan.offloaded(model), on_the_way) } else { (0.0, 0.0) };
        Self { held, trained, saved, input, working, offloaded, on_the_way }
    }

    /// Bytes kept on the chip per micro-batch when the tensors of `tags` (or, `full`, all but the
    /// input) are recomputed, and what the block needs besides while it runs backward: what recomputing
    /// brings back, tensors on their way to or from the host, and the gradients of two neighbouring
    /// tensors (the one being made from the other), taken as the two largest.
    pub fn kept_and_working(&self, tags: u32, full: bool) -> (f64, f64) {
        let (saved, working) = self.saved_and_working(tags, full);
        (saved * (1.0 - self.offloaded), working + saved * self.on_the_way)
    }

    /// Bytes of saved tensors copied to the host in the forward pass, and back in the backward pass,
    /// per micro-batch: the mean over blocks like this.
    pub fn offloaded_bytes(&self, tags: u32, full: bool) -> f64 {
        self.saved_and_working(tags, full).0 * self.offloaded
    }

    fn saved_and_working(&self, tags: u32, full: bool) -> (f64, f64) {
        let all: f64 = self.saved.iter().map(|(bytes, _)| bytes).sum();
        let Some(input) = self.input else { return (all, self.working) };
        let gradients = two_largest(self.saved.iter().map(|(bytes, _)| *bytes));
        if full {
            return (input, (all - input).max(0.0) + gradients + self.working);
        }
        let recomputed = self.saved.iter().filter(|(_, own)| own & tags != 0);
        let freed: f64 = recomputed.map(|(bytes, _)| bytes).sum();
        (all - freed, freed + gradients + self.working)
    }
}

impl BlockMemory {
    /// Least bytes kept per micro-batch: with every tagged tensor recomputed, and with the whole block
    /// recomputed or not.
    pub fn least_kept(&self) -> [f64; 2] {
        let (by_tags, _) = self.kept_and_working(u32::MAX, false);
        let (all, _) = self.kept_and_working(0, false);
        let (whole, _) = self.kept_and_working(0, true);
        [by_tags, whole.min(all)]
    }

    /// Whether the block holds no less than `other` whatever is recomputed: the same weights and input,
    /// and tensor by tensor as much or more.
    pub fn is_no_smaller(&self, other: &Self) -> bool {
        let saved = self.saved.iter().zip(&other.saved);
        self.held == other.held
            && self.trained == other.trained
            && self.input == other.input
            && self.working >= other.working
            && self.saved.len() == other.saved.len()
            && saved.into_iter().all(|((a, tags), (b, others))| tags == others && a >= b)
    }

    /// Least of kept and working bytes together, whatever is recomputed: what is recomputed is there
    /// again while the block runs backward, and so is what waited in the host's memory.
    pub fn least_at_once(&self) -> f64 {
        let (saved, working) = self.saved_and_working(0, false);
        saved + working
    }
}

/// What the blocks of one rank come to, whatever the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RankHolds {
    /// Weights.
    pub held: Held,
    /// Weights that a step changes.
    pub trained: Held,
    /// Weights of the largest block.
    pub largest: Held,
    /// Largest number of weights of one block that a step changes.
    pub largest_trained: f64,
    /// Bytes kept for one micro-batch by all chunks.
    pub kept: f64,
    /// Largest working set of a block. Bytes.
    pub working: f64,
}

impl RankHolds {
    /// Adds a block that keeps `kept` bytes and works with `working`, `times` over.
    pub fn add(&mut self, block: &BlockMemory, (kept, working): (f64, f64), times: f64) {
        let scaled = |h: Held| Held { dense: h.dense * times, expert: h.expert * times };
        self.held.add(scaled(block.held));
        self.trained.add(scaled(block.trained));
        if block.held.over(1, 1) > self.largest.over(1, 1) {
            self.largest = block.held;
        }
        self.largest_trained = self.largest_trained.max(block.trained.over(1, 1));
        self.kept += kept * times;
        self.working = self.working.max(working);
    }

    /// Adds the copy of a tied embedding that the last rank keeps.
    pub fn add_tied_copy(&mut self, plan: &Plan, model: &Architecture) {
        let copy = model.vocab as f64 * model.hidden as f64 / plan.tensor as f64;
        self.held.dense += copy;
        if plan.adapters.is_none() {
            self.trained.dense += copy;
        }
    }

    /// The rank's peak with `in_flight` chunk-activations alive.
    pub fn peak(&self, plan: &Plan, recipe: &Recipe, in_flight: u64) -> StageMemory {
        let precision = &recipe.precision;
        let (d, e) = (plan.dense_shard(), plan.expert_shard());
        let moments = match recipe.optimizer {
            Optimizer::AdamW => 2.0,
            Optimizer::Muon { .. } => 1.0,
        };
        let whole = self.held.over(1, 1);
        let (changed, sharded) = (self.trained.over(1, 1), self.trained.over(d, e));
        let state = precision.master.bytes() + moments * precision.moments.bytes();
        let (weights, gathered) = match plan.zero {
            // The sharded master is the only lasting copy; a block and its successor are gathered.
            Zero::Weights => (0.0, 2.0 * self.largest.over(1, 1) * precision.weights.bytes()),
            _ => (whole * precision.weights.bytes(), 0.0),
        };
        let chunks = plan.schedule.chunks(plan.virtual_pipeline) as f64;
        let (gradients, reduced) = match plan.zero {
            Zero::None | Zero::Optimizer => (changed, 0.0),
            // A chunk's run of micro-batches is added up before it is scattered.
            Zero::Gradients
                if plan.schedule.backward_run(plan.pipeline, plan.virtual_pipeline) > 1 =>
            {
                (sharded, changed / chunks * precision.gradients.bytes())
            }
            _ => (sharded, self.largest_trained * precision.gradient_wire.bytes()),
        };
        let optimizer = if plan.zero >= Zero::Optimizer { sharded } else { changed };
        StageMemory {
            weights,
            gradients: gradients * precision.gradients.bytes(),
            optimizer: optimizer * state,
            activations: self.kept / chunks * in_flight as f64,
            buffers: self.working + gathered + reduced,
        }
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
    let mut holds = RankHolds::default();
    let tags = tag_bits(&plan.recompute.tags);
    for block in layout.chunks(plan, rank).flatten() {
        let memory = BlockMemory::of(plan, model, recipe, shape.sequence, block);
        let full = matches!(block, Block::Layer { full: true, .. } | Block::Mtp { full: true, .. });
        holds.add(&memory, memory.kept_and_working(tags, full), 1.0);
    }
    if shape.ties_apart && rank + 1 == plan.pipeline {
        holds.add_tied_copy(plan, model);
    }
    holds.peak(plan, recipe, plan.in_flight(shape.micro_batches, rank))
}

fn two_largest(sizes: impl Iterator<Item = f64>) -> f64 {
    let (first, second) = sizes.fold((0.0_f64, 0.0_f64), |(first, second), size| {
        (first.max(size), second.max(size.min(first)))
    });
    first + second
}
