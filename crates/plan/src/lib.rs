//! A plan: how a model is laid on ranks; whether it is legal, what it holds in memory, and the
//! [`program::Program`] it lowers to.
//!
//! [`Plan`] holds the degrees and options, [`violations`] checks both rank grids, [`Layout`] cuts the
//! blocks into stages, [`memory`] adds up a stage, [`lower`] makes the program. The crate knows no
//! time and no file.

mod check;
mod layout;
mod lower;
mod memory;
mod recipe;

pub use check::{Violation, schedule_needs, violations};
pub use layout::{Block, Layout, even_cut};
pub use lower::{
    BlockUpdate, Shape, block_steps, finish_of, gathered, lower, repeated_whole, routing,
};
pub use memory::{BlockMemory, Held, RankHolds, StageMemory, memory, tag_bits};
pub use recipe::{role_dtype, width_bytes, wire};

use model::{Architecture, Axis, Shard, Tag};
use program::{Group, Overlap, Schedule};

/// A layout of a training job.
///
/// Degrees follow Megatron: the attention grid is `tensor · context · data · pipeline`, the expert
/// grid `expert_tensor · expert · expert_data · pipeline`, both all of the job's ranks.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, as launchers have them")]
pub struct Plan {
    /// tp
    pub tensor: u64,
    /// cp
    pub context: u64,
    /// pp
    pub pipeline: u64,
    /// Model chunks per pipeline rank (vpp); 1 is plain.
    pub virtual_pipeline: u64,
    /// dp
    pub data: u64,
    /// ep
    pub expert: u64,
    /// etp
    pub expert_tensor: u64,
    /// edp
    pub expert_data: u64,
    /// Whether activations outside tensor-parallel parts are split over `tensor`.
    pub sequence_parallel: bool,
    /// What is sharded over the data ranks.
    pub zero: Zero,
    /// Ranks over which ZeRO shards, if fewer than the data group (hybrid sharding).
    pub shard_group: Option<u64>,
    /// Sequences in a micro-batch.
    pub micro_batch: u64,
    /// Pipeline schedule.
    pub schedule: Schedule,
    /// What the backward pass computes again.
    pub recompute: Recompute,
    /// What runs beside compute.
    pub overlap: Overlap,
    /// Whether kernels are launched as recorded graphs.
    pub graphs: bool,
    /// Classes of operators recorded as graphs of their own where not all kernels are (Megatron's
    /// `--cuda-graph-scope`): they cost the host nothing per kernel.
    pub recorded: Vec<model::Class>,
    /// Blocks of the model whose saved tensors wait in the host's memory for their backward pass, spread
    /// evenly over the ranks (Megatron's `cpu_offloading_num_layers`); 0 keeps all on the chip.
    pub offload_blocks: u64,
    /// Whether attention writes its scores to memory instead of running as one fused kernel
    /// (Megatron's `--attention-backend unfused`, and all frameworks before FlashAttention).
    pub unfused_attention: bool,
    /// Rank of low-rank adapters (LoRA) trained beside frozen weights; `None` trains everything.
    pub adapters: Option<u64>,
    /// Whether only the projection of queries, keys and values has adapters (Megatron-Bridge's
    /// performance recipes of LoRA) instead of every linear layer.
    pub adapters_on_qkv: bool,
    /// Whether the loss is fused with the head so that FP32 logits are not kept.
    pub fused_loss: bool,
    /// Whether a token crosses into a node or rack only once on its way to experts.
    pub deduplicated_dispatch: bool,
    /// Whether such a dispatch is preceded by a gather of every rank's routing map (HybridEP) instead of
    /// its counts (DeepEP).
    pub routing_gathered: bool,
    /// Whether pipeline ranks are neighbours (`pipeline` innermost) instead of far apart.
    pub pipeline_innermost: bool,
    /// Whether pipeline ranks come right after tensor ranks, before context, expert and data ranks
    /// (Llama 3's order, Megatron's `--use-tp-pp-dp-mapping`), so that stages are near each other and
    /// replicas far apart.
    pub pipeline_before_data: bool,
    /// Blocks on each stage, if not cut evenly.
    pub stage_blocks: Option<Vec<u64>>,
}

/// ZeRO's stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zero {
    /// Every data rank keeps everything.
    None,
    /// Optimizer state is sharded (Megatron's distributed optimizer).
    Optimizer,
    /// Gradients too.
    Gradients,
    /// Weights too (FSDP).
    Weights,
}

/// What is computed again in the backward pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recompute {
    /// Blocks recomputed whole.
    pub blocks: FullBlocks,
    /// Tensors recomputed in the other blocks.
    pub tags: Vec<Tag>,
    /// Whether recomputing a whole block stops at the last tensor that its backward pass needs, so
    /// that the last product is not run again (`PyTorch`'s checkpoints without re-entrance, dead-code
    /// elimination in XLA); Megatron's run the block whole.
    pub early_stop: bool,
}

/// How many blocks are recomputed whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullBlocks {
    /// None.
    None,
    /// The first so many of each stage.
    PerStage(u64),
    /// All.
    All,
}

impl Plan {
    /// Ranks of the job.
    pub fn ranks(&self) -> u64 {
        self.tensor * self.context * self.data * self.pipeline
    }

    /// Sequences every step takes through one pipeline are `micro_batches · micro_batch`.
    ///
    /// `None` if the batch does not divide.
    pub fn micro_batches(&self, batch_sequences: u64) -> Option<u64> {
        let per_wave = self.data * self.micro_batch;
        (per_wave > 0 && batch_sequences.is_multiple_of(per_wave))
            .then(|| batch_sequences / per_wave)
    }

    /// How a micro-batch of sequences of `sequence` tokens is cut.
    pub fn shard(&self, sequence: u64) -> Shard {
        Shard {
            micro_batch: self.micro_batch,
            sequence,
            tensor: self.tensor,
            sequence_parallel: self.sequence_parallel,
            context: self.context,
            expert: self.expert,
            expert_tensor: self.expert_tensor,
        }
    }

    /// Stages the blocks are cut into.
    pub fn stages(&self) -> u64 {
        self.schedule.stages(self.pipeline, self.virtual_pipeline)
    }

    /// Most chunk-activations that pipeline rank `rank` holds at once ([`Schedule::in_flight`]).
    pub fn in_flight(&self, micro_batches: u64, rank: u64) -> u64 {
        self.schedule.in_flight(self.pipeline, self.virtual_pipeline, micro_batches, rank)
    }

    /// Share of the blocks whose saved tensors wait in the host's memory.
    pub fn offloaded(&self, model: &Architecture) -> f64 {
        self.offload_blocks as f64 / (model.layers.len() + model.mtp.len()).max(1) as f64
    }

    /// Ranks over which dense optimizer state (or weights) is sharded; 1 without ZeRO.
    pub fn dense_shard(&self) -> u64 {
        self.sharded_over(self.data * self.context)
    }

    /// Likewise for experts.
    pub fn expert_shard(&self) -> u64 {
        self.sharded_over(self.expert_data)
    }

    fn sharded_over(&self, group: u64) -> u64 {
        match (self.zero, self.shard_group) {
            (Zero::None, _) => 1,
            (_, Some(limit)) => limit.min(group),
            (_, None) => group,
        }
    }

    /// Every communication group with its stride in rank order.
    ///
    /// Tensor ranks are neighbours, then context, then data; experts are neighbours inside the same
    /// block. Pipeline ranks are farthest apart unless `pipeline_innermost` or `pipeline_before_data`.
    pub fn groups(&self) -> Vec<Group> {
        // Between two tensor ranks that are next to each other, and between two blocks of them.
        let (base, block) = match (self.pipeline_innermost, self.pipeline_before_data) {
            (true, _) => (self.pipeline, self.pipeline),
            (false, true) => (1, self.pipeline),
            (false, false) => (1, 1),
        };
        let pipeline_stride = match (self.pipeline_innermost, self.pipeline_before_data) {
            (true, _) => 1,
            (false, true) => self.tensor,
            (false, false) => self.tensor * self.context * self.data,
        };
        let whole = self.context * self.data;
        let shards = match self.zero {
            Zero::None => whole,
            _ => self.shard_group.filter(|s| whole.is_multiple_of(*s)).unwrap_or(whole),
        };
        let group = |axis, size, stride| Group { axis, size, stride };
        vec![
            group(Axis::Tensor, self.tensor, base),
            group(Axis::Context, self.context, block * self.tensor),
            group(Axis::Data, shards, block * self.tensor),
            group(Axis::Replica, self.context * self.data / shards, block * self.tensor * shards),
            group(Axis::ExpertTensor, self.expert_tensor, base),
            group(Axis::Expert, self.expert, block * self.expert_tensor),
            group(Axis::ExpertData, self.expert_data, block * self.expert_tensor * self.expert),
            group(Axis::Pipeline, self.pipeline, pipeline_stride),
        ]
    }
}
