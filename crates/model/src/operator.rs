//! What a block does, in terms a chip and a fabric understand.
//!
//! [`Operator`]s are local work of one rank for one micro-batch; [`Exchange`]s are the collectives
//! between them. All counts are per rank, forward pass; each says how its backward follows.

/// How a rank's share of a micro-batch is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shard {
    /// Sequences in a micro-batch.
    pub micro_batch: u64,
    /// Whole sequence length in tokens.
    pub sequence: u64,
    /// Tensor parallelism of attention and dense parts.
    pub tensor: u64,
    /// Whether activations outside the tensor-parallel parts are split over `tensor` too.
    pub sequence_parallel: bool,
    /// Context parallelism: ranks sharing one sequence.
    pub context: u64,
    /// Expert parallelism.
    pub expert: u64,
    /// Tensor parallelism inside an expert.
    pub expert_tensor: u64,
}

/// Precision role of an operator: a recipe maps each to a number format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Projections and dense or shared feed-forward.
    Linear,
    /// Routed experts.
    Expert,
    /// Attention core.
    Attention,
    /// Indexer scores.
    Indexer,
    /// Router, hyper-connection projections, compressors: small matrices kept at high precision.
    Sensitive,
    /// Output head.
    Head,
}

/// Which part of the step an operator's time is shown under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Embedding look-up.
    Embedding,
    /// Query, key, value and output projections, compressors.
    Projection,
    /// Scores, softmax, values.
    AttentionCore,
    /// Indexer scores and selection.
    Indexer,
    /// Dense and shared feed-forward.
    FeedForward,
    /// Routed experts.
    Experts,
    /// Router, permutation and un-permutation of tokens.
    Routing,
    /// Norms, activations, rotary positions, residual adds.
    Elementwise,
    /// Hyper-connections.
    HyperConnection,
    /// Output head and loss.
    Head,
}

/// Local work, forward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// `count` products C\[m,n\] = A\[m,k\]·B\[k,n\]; 2·m·n·k·count FLOPs. Backward: the data
    /// gradient \[m,k\] over n and the weight gradient \[k,n\] over m, each as many FLOPs.
    Gemm {
        /// Rows (tokens).
        m: f64,
        /// Columns (output width).
        n: f64,
        /// Reduction (input width).
        k: f64,
        /// Independent products.
        count: f64,
    },
    /// `groups` products sharing `rows` rows among them; 2·rows·n·k FLOPs. Backward as `Gemm`.
    GroupedGemm {
        /// Experts on this rank.
        groups: f64,
        /// Rows over all groups.
        rows: f64,
        /// Columns.
        n: f64,
        /// Reduction.
        k: f64,
    },
    /// Fused attention: 2·rows·heads·(`d_qk` + `d_v`)·context FLOPs forward; backward five products
    /// for two (2.5 times), as flash attention recomputes the scores.
    Attention {
        /// Query rows.
        rows: f64,
        /// Query heads on this rank.
        heads: f64,
        /// Key-value heads on this rank.
        kv_heads: f64,
        /// Query and key width.
        d_qk: f64,
        /// Value width.
        d_v: f64,
        /// Mean number of keys a query sees (causal: about half the sequence).
        context: f64,
        /// Keys read per sequence block, for memory traffic.
        keys: f64,
    },
    /// Index scores: 2·rows·heads·dim·context FLOPs forward; backward twice.
    Scores {
        /// Query rows.
        rows: f64,
        /// Index heads.
        heads: f64,
        /// Width.
        dim: f64,
        /// Mean entries scored per query.
        context: f64,
    },
    /// Memory-bound work.
    Memory {
        /// Bytes read and written forward.
        bytes: f64,
        /// Bytes read and written backward.
        backward_bytes: f64,
        /// Vector operations forward (backward: twice).
        flops: f64,
    },
    /// Memory-bound work of kernels that move elements one by one: a framework's own element-wise
    /// kernels, where mixed formats, broadcasts or strides keep them from vector loads.
    Elements {
        /// Bytes read and written forward.
        bytes: f64,
        /// Bytes read and written backward.
        backward_bytes: f64,
        /// Elements that pass a kernel forward, summed over the kernels.
        elements: f64,
        /// The same backward.
        backward_elements: f64,
    },
}

impl Work {
    /// Matrix FLOPs of the forward pass (0 for memory-bound work).
    pub fn matrix_flops(&self) -> f64 {
        match *self {
            Self::Gemm { m, n, k, count } => 2.0 * m * n * k * count,
            Self::GroupedGemm { rows, n, k, .. } => 2.0 * rows * n * k,
            Self::Attention { rows, heads, d_qk, d_v, context, .. } => {
                2.0 * rows * heads * (d_qk + d_v) * context
            }
            Self::Scores { rows, heads, dim, context } => 2.0 * rows * heads * dim * context,
            Self::Memory { .. } | Self::Elements { .. } => 0.0,
        }
    }
}

/// One kernel or fused group of kernels.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// Stable short name: `q_a`, `core`, `expert_up`.
    pub name: &'static str,
    /// Where its time is shown.
    pub class: Class,
    /// Which precision it runs in.
    pub role: Role,
    /// The work.
    pub work: Work,
    /// Kernel launches, forward (for launch overhead).
    pub launches: f64,
    /// The recompute tag under which the backward pass repeats it, if it is recomputable alone.
    pub tag: Option<Tag>,
}

/// Low-rank adapters beside a linear layer (LoRA, arXiv 2106.09685): the input is read, projected to
/// `rank` and back, and added to the output. Memory-bound at the usual ranks of 8 to 64, so written as
/// traffic: input and output once forward; their gradients and the input once more backward, each
/// operand for its two products. `None` for what has no adapter.
pub fn adapter(operator: &Operator, rank: f64) -> Option<Operator> {
    let Work::Gemm { m, n, k, count } = operator.work else { return None };
    if operator.role != Role::Linear {
        return None;
    }
    let elements = m * count * (k + 2.0 * n + 2.0 * rank);
    let work = Work::Memory {
        bytes: 2.0 * elements,
        backward_bytes: 2.0 * (elements + m * count * k),
        flops: 0.0,
    };
    Some(Operator {
        name: "adapter",
        work,
        launches: 4.0,
        role: Role::Sensitive,
        ..operator.clone()
    })
}

/// Axes of the rank grids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// tp
    Tensor,
    /// cp
    Context,
    /// ep
    Expert,
    /// etp
    ExpertTensor,
    /// dp (with cp: gradients are reduced over both); with hybrid sharding the ranks of one shard group
    Data,
    /// The shard groups of hybrid sharding, which hold the same shards
    Replica,
    /// edp
    ExpertData,
    /// pp
    Pipeline,
}

impl Axis {
    /// Every axis with the word that program files and answers use.
    pub const WORDS: [(Self, &str); 8] = [
        (Self::Tensor, "tensor"),
        (Self::Context, "context"),
        (Self::Expert, "expert"),
        (Self::ExpertTensor, "expert_tensor"),
        (Self::Data, "data"),
        (Self::Replica, "replica"),
        (Self::ExpertData, "expert_data"),
        (Self::Pipeline, "pipeline"),
    ];

    /// The axis's word.
    ///
    /// ```
    /// assert_eq!(model::Axis::ExpertData.word(), "expert_data");
    /// ```
    pub fn word(self) -> &'static str {
        let own = Self::WORDS.iter().find(|(axis, _)| *axis == self);
        own.map_or("", |(_, word)| word)
    }
}

/// Collective operations by nccl-tests' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collective {
    /// Sum everywhere; size = the tensor.
    AllReduce,
    /// Gather everywhere; size = the whole output.
    AllGather,
    /// Sum, each keeps a part; size = the whole input.
    ReduceScatter,
    /// Each sends a part to each; size = what one rank holds.
    AllToAll,
    /// Point to point; size = the message.
    SendRecv,
}

/// A collective of the forward pass; `backward` gives its conjugate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exchange {
    /// Stable short name: `dispatch`, `tp_gather`.
    pub name: &'static str,
    /// Over which axis.
    pub axis: Axis,
    /// What is done forward.
    pub forward: Collective,
    /// Size in bytes forward, by nccl-tests' convention for the operation.
    pub forward_bytes: f64,
    /// What is done backward.
    pub backward: Collective,
    /// Size in bytes backward.
    pub backward_bytes: f64,
}

/// One thing a block does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Local work.
    Compute(Operator),
    /// A collective.
    Exchange(Exchange),
}

/// What can be recomputed in the backward pass instead of kept, tensor by tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// Outputs of norms (`norm`; Megatron `layernorm`).
    Norm,
    /// Output of the activation function (`activation`; Megatron `moe_act`).
    Activation,
    /// Up-projections of latent attention (`up-projection`; Megatron `mla_up_proj`).
    UpProjection,
    /// Attention core (`core`; Megatron `core_attn`).
    Core,
    /// Whole dense or shared feed-forward (`mlp`; Megatron `mlp`).
    Mlp,
    /// Whole routed experts with dispatch (`moe`; Megatron `moe`).
    Moe,
    /// Hyper-connection states (`hyper`).
    Hyper,
    /// Every second dense product of a block (`second-products`; torchtitan's selective
    /// checkpointing of operators, whose products of queries, keys, values, gate and up are apart).
    SecondProducts,
}

impl Tag {
    /// Every tag with the word a plan uses.
    pub const WORDS: [(Self, &'static str); 8] = [
        (Self::Norm, "norm"),
        (Self::Activation, "activation"),
        (Self::UpProjection, "up-projection"),
        (Self::Core, "core"),
        (Self::Mlp, "mlp"),
        (Self::Moe, "moe"),
        (Self::Hyper, "hyper"),
        (Self::SecondProducts, "second-products"),
    ];
}

/// A tensor kept from the forward to the backward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Stable short name.
    pub name: &'static str,
    /// Elements on this rank for one micro-batch.
    pub elements: f64,
    /// Which precision decides its width.
    pub width: Width,
    /// The tags, any of which frees it.
    pub tags: Vec<Tag>,
}

/// Width of a saved element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// That many bytes whatever the recipe.
    Bytes(u64),
    /// As the recipe stores activations (BF16 unless said).
    Activation,
    /// Inputs of linear layers, which an FP8 recipe may keep in FP8.
    LinearInput,
    /// Inputs of the routed experts, likewise.
    ExpertInput,
}

/// A weight tensor, or many of the same kind, of one block.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Component it is counted under: `attention_csa`, `moe_routed`, `norms`.
    pub component: &'static str,
    /// Elements in the whole model's block (before any sharding).
    pub count: f64,
    /// How it is cut.
    pub cut: Cut,
    /// Shape of one matrix if an optimizer may orthogonalise it; `None` for vectors and tables.
    pub matrix: Option<(u64, u64)>,
}

/// How a weight is cut over ranks (before `ZeRO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// The same on every rank of the tensor group.
    Replicated,
    /// Over `tensor`.
    Tensor,
    /// Over `expert` and `expert_tensor`.
    Expert,
}
