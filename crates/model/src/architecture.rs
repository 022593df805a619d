//! What a model is made of, block by block; what every other module of this crate computes from.

/// A decoder-only transformer as its configuration describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Catalog id or the name the configuration carries.
    pub name: String,
    /// HF `model_type`.
    pub model_type: String,
    /// Width of the residual stream, d.
    pub hidden: u64,
    /// Rows of the embedding table, V.
    pub vocab: u64,
    /// Whether the output head reuses the embedding.
    pub tied_embedding: bool,
    /// Learned position embeddings (GPT-2): rows of that table; 0 for rotary positions.
    pub learned_positions: u64,
    /// Whether rotated queries and keys are scaled as well (YaRN with a factor on both, arXiv 2309.00071,
    /// section 3.4).
    pub rotary_scaled: bool,
    /// Longest sequence the configuration allows.
    pub max_positions: u64,
    /// Normalisation layers.
    pub norm: Norm,
    /// How blocks add to the stream.
    pub residual: Residual,
    /// The blocks of the main model, first to last.
    pub layers: Vec<Layer>,
    /// Multi-token-prediction blocks after the main model.
    pub mtp: Vec<Layer>,
}

/// One block: attention, then feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The token-mixing sub-layer.
    pub attention: Attention,
    /// The per-token sub-layer.
    pub ffn: Ffn,
}

/// Normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// Whether a bias vector accompanies the weight (`LayerNorm`) or not (`RMSNorm`).
    pub bias: bool,
    /// Whether sub-layer outputs are normalised too (Pangu's sandwich).
    pub sandwich: bool,
}

/// The residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// One stream of width d.
    Plain,
    /// V4's manifold-constrained hyper-connections.
    Hyper {
        /// Number of streams, n.
        streams: u64,
        /// Sinkhorn sweeps per sub-layer.
        sinkhorn_iterations: u64,
    },
}

/// Attention kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Multi-head and grouped-query attention.
    Grouped {
        /// Query heads.
        heads: u64,
        /// Key-value heads.
        kv_heads: u64,
        /// Width of a head.
        head_dim: u64,
        /// Sliding window in tokens, if any.
        window: Option<u64>,
        /// Biases on the q, k and v projections.
        qkv_bias: bool,
        /// Bias on the output projection.
        out_bias: bool,
        /// RMS norms on each head's q and k.
        qk_norm: bool,
        /// One learned sink logit per head.
        sinks: bool,
    },
    /// `DeepSeek`'s multi-head latent attention.
    Latent {
        /// Heads.
        heads: u64,
        /// Query rank; 0 if queries are projected directly.
        q_rank: u64,
        /// Key-value rank.
        kv_rank: u64,
        /// Un-rotated width of a query or key head.
        nope_dim: u64,
        /// Rotated width of a query or key head.
        rope_dim: u64,
        /// Width of a value head.
        v_dim: u64,
        /// V3.2's indexer, if any.
        indexer: Option<Indexer>,
    },
    /// DeepSeek-V4: a window plus compressed entries, one key-value head that is both key and value.
    Compressed {
        /// Query heads.
        heads: u64,
        /// Width of a head, c.
        head_dim: u64,
        /// Rotated part of a head.
        rope_dim: u64,
        /// Query rank.
        q_rank: u64,
        /// Output groups, g.
        o_groups: u64,
        /// Output rank of a group.
        o_rank: u64,
        /// Sliding window.
        window: u64,
        /// Tokens per compressed entry: 0 window only, 4 CSA, 128 HCA.
        ratio: u64,
        /// Present in CSA layers only.
        indexer: Option<Indexer>,
    },
}

/// The sparse-attention indexer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indexer {
    /// Index heads.
    pub heads: u64,
    /// Width of an index head.
    pub head_dim: u64,
    /// Entries kept per query.
    pub topk: u64,
}

/// Feed-forward kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ffn {
    /// One feed-forward for every token.
    Dense(Mlp),
    /// Routed and shared experts.
    Moe {
        /// One routed expert.
        expert: Mlp,
        /// Number of routed experts.
        experts: u64,
        /// Experts per token.
        topk: u64,
        /// Width of the shared experts together (0: none), same shape as `expert` otherwise.
        shared_width: u64,
        /// Router bias or aux-loss-free correction term: one value per expert.
        router_bias: bool,
        /// Experts chosen by a token-id table instead of scores.
        hash_routed: bool,
        /// Most device groups (nodes) a token's experts may lie in, where routing is so limited.
        group_limit: Option<u64>,
    },
}

/// Two or three matrices with an activation between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mlp {
    /// Inner width, f.
    pub width: u64,
    /// Gated (`SwiGLU`: three matrices) or plain (two).
    pub gated: bool,
    /// Biases on the matrices.
    pub bias: bool,
    /// Halves clamped before a gated quick GELU (GPT-OSS; a limit on `SwiGLU` is part of its kernels).
    pub clamped: bool,
}
