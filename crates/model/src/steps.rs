//! What one rank does for one micro-batch, step by step, in execution order.
//!
//! Everything is the forward pass; each [`Operator`](crate::Operator) and
//! [`Exchange`](crate::Exchange) says how its backward follows. Fused as current frameworks fuse:
//! biases in product epilogues, gate and up in one product, q, k and v in one product, the
//! activation with its gating, the residual add with dropout where a model has it, flash attention.
//! Not fused: norms, rotary positions, permutations.
//!
//! Not valid for unfused attention (scores in memory), packed sequences, unbalanced experts, or
//! causal work split unevenly over context ranks: each is taken to do the mean.

mod attention;
pub(crate) mod compressed;
mod ends;
mod ffn;
mod hyper;
mod latent;
pub(crate) mod rank;

use crate::{Architecture, Class, Layer, Residual, Shard, Step};
pub use attention::{SCALED_ROTARY, products_apart, unfused_attention, unfused_saved};
pub use ends::{boundary_bytes, embedding_steps, fused_loss, head_steps, mtp_steps};
pub use ffn::{
    AFTER_DISPATCH, DISPATCH, EXPERT_EXTRAS, EXPERT_SORTS, expected_touched, permuted_on_arrival,
};
use rank::{Rank, Traffic};

/// Bytes an element takes on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wire {
    /// Over tensor, context and pipeline axes.
    pub activation_bytes: f64,
    /// Gathered over the tensor axis before a product: rows forward, gradients of outputs backward.
    pub gather_bytes: f64,
    /// To the experts: dispatched rows forward, gradients of expert outputs backward. With
    /// block scales: 1 + 4/128 for FP8 with an FP32 scale per 128.
    pub dispatch_bytes: f64,
    /// From the experts: their outputs forward, gradients of dispatched rows backward.
    pub combine_bytes: f64,
}

/// Steps of one block on one rank for one micro-batch, forward, in order.
///
/// Heads and widths are cut over `tensor`; with sequence parallelism rows outside the sub-layers are
/// too, and each sub-layer gathers and scatters (arXiv 2205.05198, section 4.2.2). Low-rank
/// down-projections of latent attention, the router and hyper-connections are not cut: they work
/// on a rank's own rows, so without sequence parallelism each rank of a tensor group repeats them.
///
/// ```
/// use model::{Architecture, Attention, Ffn, Layer, Mlp, Norm, Residual, Shard, Step, Wire};
/// let layer = Layer {
///     attention: Attention::Grouped {
///         heads: 32, kv_heads: 8, head_dim: 128, window: None,
///         qkv_bias: false, out_bias: false, qk_norm: false, sinks: false,
///     },
///     ffn: Ffn::Dense(Mlp { width: 14336, gated: true, bias: false, clamped: false }),
/// };
/// let arch = Architecture {
///     name: "llama-3.1-8b".into(), model_type: "llama".into(), hidden: 4096, vocab: 128_256,
///     tied_embedding: false, learned_positions: 0, rotary_scaled: false,
///     max_positions: 131_072,
///     norm: Norm { bias: false, sandwich: false }, residual: Residual::Plain,
///     layers: vec![layer; 32], mtp: vec![],
/// };
/// let shard = Shard {
///     micro_batch: 1, sequence: 8192, tensor: 1, sequence_parallel: false,
///     context: 1, expert: 1, expert_tensor: 1,
/// };
/// let wire = Wire {
///     activation_bytes: 2.0, gather_bytes: 2.0, dispatch_bytes: 2.0, combine_bytes: 2.0,
/// };
/// let flops: f64 = model::layer_steps(&arch, &layer, &shard, &wire)
///     .iter()
///     .map(|step| match step {
///         Step::Compute(operator) => operator.work.matrix_flops(),
///         Step::Exchange(_) => 0.0,
///     })
///     .sum();
/// // 2 · 218,103,808 weights + 4 · 4096 · 4096.5 for causal attention, per token
/// assert_eq!(flops / 8192.0, 436_207_616.0 + 67_117_056.0);
/// ```
pub fn layer_steps(arch: &Architecture, layer: &Layer, shard: &Shard, wire: &Wire) -> Vec<Step> {
    let mut rank = Rank::new(arch, shard, wire);
    block(&mut rank, layer);
    rank.steps
}

/// Attention then feed-forward, each between its norms and residual adds.
fn block(rank: &mut Rank, layer: &Layer) {
    sub_layer(rank, &ATTENTION, |rank| attention::attention(rank, &layer.attention));
    sub_layer(rank, &FFN, |rank| ffn::ffn(rank, &layer.ffn));
}

/// Names of the work around a sub-layer.
struct Around {
    pre_norm: &'static str,
    post_norm: &'static str,
    residual: &'static str,
}

const ATTENTION: Around = Around {
    pre_norm: "attention_norm",
    post_norm: "attention_post_norm",
    residual: "attention_residual",
};
const FFN: Around =
    Around { pre_norm: "ffn_norm", post_norm: "ffn_post_norm", residual: "ffn_residual" };

fn sub_layer(rank: &mut Rank, around: &Around, inside: impl FnOnce(&mut Rank)) {
    let (rows, hidden) = (rank.rows, rank.hidden);
    if let Residual::Hyper { streams, sinkhorn_iterations } = rank.arch.residual {
        hyper::read(rank, streams as f64, sinkhorn_iterations as f64);
    }
    rank.norm(around.pre_norm, rows, hidden);
    inside(rank);
    if rank.arch.norm.sandwich {
        rank.norm(around.post_norm, rows, hidden);
    }
    match rank.arch.residual {
        Residual::Plain => residual(rank, around.residual),
        Residual::Hyper { streams, .. } => hyper::write(rank, streams as f64),
    }
}

/// Adds the sub-layer's output to the stream; backward adds the two gradients. GPT-2's dropout is
/// fused and moves a one-byte mask besides.
fn residual(rank: &mut Rank, name: &'static str) {
    let elements = rank.rows * rank.hidden;
    let mask = if has_dropout(rank.arch) { 0.5 } else { 0.0 };
    let traffic = (3.0 + mask) * elements;
    rank.memory(
        name,
        Class::Elementwise,
        Traffic { forward: traffic, backward: traffic, flops: elements, launches: 1.0, tag: None },
    );
}

/// Whether the model trains with dropout after its sub-layers: of those supported only GPT-2 and 3.
pub(crate) fn has_dropout(arch: &Architecture) -> bool {
    arch.model_type == "gpt2"
}

#[cfg(test)]
mod tests;
