//! Tensors kept from the forward to the backward pass, on one rank for one micro-batch.
//!
//! Fused attention throughout: of the core its output and one FP32 log-sum-exp a head are kept, no
//! scores. Tokens rotated or normalised in place are kept once, as their reader saw them. What
//! context parallelism gathers is gathered again, not kept.
//!
//! What each [`Tag`] frees:
//!
//! - `Norm`: outputs of norms; their inputs stay.
//! - `Activation`: the activation's output in dense feed-forwards and routed experts, and what
//!   routed experts return (their weights' gradient then comes from the activation).
//! - `UpProjection`: queries, keys and values projected up from latents.
//! - `Core`: the log-sum-exp alone. The output is the next product's input and must stay, so with
//!   fused attention this frees next to nothing (Megatron's `core_attn`).
//! - `Mlp`: all inside dense and shared feed-forwards; their input stays.
//! - `Moe`: all inside routed experts; the sub-layer's input stays.
//! - `Hyper`: stream states and collapsed inputs; each sub-layer's output stays (arXiv 2512.24880,
//!   Table 3).
//!
//! Sources: Korthikanti et al., arXiv 2205.05198, Table 2, for GPT blocks and all sharding; derived
//! from the operators for the rest. Not valid for unbalanced experts (scale the routed tensors by
//! the load) or unfused attention.

use crate::steps::rank::{local_kv_heads, rows, streams, tokens};
use crate::steps::{compressed::series, has_dropout};
use crate::{Architecture, Attention, Ffn, Layer, Mlp, Residual, Saved, Shard, Tag, Width};

/// Tensors one rank keeps of one block for the backward of one micro-batch.
///
/// With sequence parallelism what lies outside the tensor-parallel parts is cut over `tensor`
/// too; context parallelism cuts everything. Filter by tag for a recompute policy.
///
/// ```
/// use model::{Architecture, Attention, Ffn, Layer, Mlp, Norm, Residual, Shard};
/// let layer = Layer {
///     attention: Attention::Grouped {
///         heads: 96, kv_heads: 96, head_dim: 128, window: None,
///         qkv_bias: true, out_bias: true, qk_norm: false, sinks: false,
///     },
///     ffn: Ffn::Dense(Mlp { width: 49152, gated: false, bias: true, clamped: false }),
/// };
/// let arch = Architecture {
///     name: "gpt3-175b".into(), model_type: "gpt2".into(), hidden: 12288, vocab: 50257,
///     tied_embedding: true, learned_positions: 2048, rotary_scaled: false,
///     max_positions: 2048,
///     norm: Norm { bias: true, sandwich: false }, residual: Residual::Plain,
///     layers: vec![layer; 96], mtp: vec![],
/// };
/// let shard = Shard {
///     micro_batch: 1, sequence: 2048, tensor: 8, sequence_parallel: true,
///     context: 1, expert: 1, expert_tensor: 1,
/// };
/// let bytes: f64 = model::layer_saved(&arch, &layer, &shard)
///     .iter()
///     .filter(|saved| saved.name != "lse")
///     .map(|saved| saved.elements * if saved.width == model::Width::Bytes(1) { 1.0 } else { 2.0 })
///     .sum();
/// // 34·s·b·h / t
/// assert_eq!(bytes, 34.0 * 2048.0 * 12288.0 / 8.0);
/// ```
pub fn layer_saved(arch: &Architecture, layer: &Layer, shard: &Shard) -> Vec<Saved> {
    let mut kept = Kept::new(arch, shard);
    let hidden = kept.hidden;
    for [input, normed, output, mask] in [
        ["attention_in", "attention_normed", "attention_out_normed_in", "attention_mask"],
        ["ffn_in", "ffn_normed", "ffn_out_normed_in", "ffn_mask"],
    ] {
        if arch.residual == Residual::Plain {
            kept.row(input, hidden, Width::Activation, &[]);
        }
        kept.row(normed, hidden, Width::LinearInput, &[Tag::Norm]);
        if arch.norm.sandwich {
            kept.row(output, hidden, Width::Activation, &[]);
        }
        if has_dropout(arch) {
            kept.row(mask, hidden, Width::Bytes(1), &[]);
        }
    }
    if arch.residual != Residual::Plain {
        kept.row("hyper_streams", 2.0 * streams(arch) * hidden, Width::Activation, &[Tag::Hyper]);
        kept.row("hyper_collapsed", 2.0 * hidden, Width::Activation, &[Tag::Hyper]);
        kept.row("hyper_sub_layer_out", 2.0 * hidden, Width::Activation, &[]);
    }
    match layer.attention {
        Attention::Grouped { .. } => kept.grouped(&layer.attention),
        Attention::Latent { .. } => kept.latent(&layer.attention),
        Attention::Compressed { .. } => kept.compressed(&layer.attention),
    }
    kept.ffn(&layer.ffn);
    kept.saved
}

/// Elements of a block's input on this rank: all that full recompute keeps of it.
///
/// Rows · d, times the streams with hyper-connections; cut over `tensor` with sequence parallelism.
pub fn layer_input_elements(arch: &Architecture, shard: &Shard) -> f64 {
    rows(shard) * arch.hidden as f64 * streams(arch)
}

/// What the embedding keeps: token ids, and GPT-2's dropout mask.
pub fn embedding_saved(arch: &Architecture, shard: &Shard) -> Vec<Saved> {
    let mut kept = Kept::new(arch, shard);
    let ids = tokens(shard);
    kept.push("token_ids", ids, Width::Bytes(8), &[]);
    if has_dropout(arch) {
        kept.row("embedding_mask", kept.hidden, Width::Bytes(1), &[]);
    }
    kept.saved
}

/// What the head keeps: the final norm's input and output, and of each logit 16 bits, the FP32
/// softmax written over its FP32 copy, and a 16-bit gradient (8·T·V/t bytes); with a fused loss only
/// the 16 bits, which its gradient overwrites.
pub fn head_saved(arch: &Architecture, shard: &Shard, fused_loss: bool) -> Vec<Saved> {
    let mut kept = Kept::new(arch, shard);
    let hidden = kept.hidden;
    if arch.residual != Residual::Plain {
        kept.row("hyper_streams", streams(arch) * hidden, Width::Activation, &[]);
    }
    kept.row("final_norm_in", hidden, Width::Activation, &[]);
    kept.row("head_in", hidden, Width::Activation, &[Tag::Norm]);
    kept.cut("logits", arch.vocab as f64, Width::Bytes(if fused_loss { 2 } else { 8 }), &[]);
    kept.saved
}

/// What a multi-token-prediction block keeps: look-up, inputs and outputs of the norms before its
/// projections, a block, and a second head with logits of its own.
pub fn mtp_saved(
    arch: &Architecture,
    layer: &Layer,
    shard: &Shard,
    fused_loss: bool,
) -> Vec<Saved> {
    let mut kept = Kept::new(arch, shard);
    let joined = kept.hidden * (1.0 + streams(arch));
    kept.row("mtp_in", joined, Width::Activation, &[]);
    kept.row("mtp_normed", joined, Width::LinearInput, &[Tag::Norm]);
    let mut saved = embedding_saved(arch, shard);
    saved.extend(kept.saved);
    saved.extend(layer_saved(arch, layer, shard));
    saved.extend(head_saved(arch, shard, fused_loss));
    saved
}

/// Collects what one rank keeps.
struct Kept<'a> {
    shard: &'a Shard,
    hidden: f64,
    /// Whether the residual stream is hyper-connected.
    hyper: bool,
    saved: Vec<Saved>,
}

impl<'a> Kept<'a> {
    fn new(arch: &Architecture, shard: &'a Shard) -> Self {
        let hyper = arch.residual != Residual::Plain;
        Self { shard, hidden: arch.hidden as f64, hyper, saved: Vec::new() }
    }

    fn push(&mut self, name: &'static str, elements: f64, width: Width, tags: &[Tag]) {
        if elements > 0.0 {
            self.saved.push(Saved { name, elements, width, tags: tags.to_vec() });
        }
    }

    /// `width` elements for each row of the residual stream.
    fn row(&mut self, name: &'static str, elements: f64, width: Width, tags: &[Tag]) {
        self.push(name, rows(self.shard) * elements, width, tags);
    }

    /// Elements of every token, cut over `tensor`.
    fn cut(&mut self, name: &'static str, elements: f64, width: Width, tags: &[Tag]) {
        let share = elements / self.shard.tensor as f64;
        self.push(name, tokens(self.shard) * share, width, tags);
    }

    /// Core output and log-sum-exp.
    fn core(&mut self, heads: f64, value: f64) {
        self.cut("attention_out", heads * value, Width::Activation, &[]);
        self.cut("lse", heads, Width::Bytes(4), &[Tag::Core]);
    }

    fn grouped(&mut self, attention: &Attention) {
        let Attention::Grouped { heads, kv_heads, head_dim, qk_norm, .. } = *attention else {
            return;
        };
        let (heads, dim) = (heads as f64, head_dim as f64);
        let key = local_kv_heads(kv_heads, self.shard) * dim * tokens(self.shard);
        if qk_norm {
            self.cut("q_unnormed", heads * dim, Width::Activation, &[]);
            self.push("k_unnormed", key, Width::Activation, &[]);
        }
        self.cut("q", heads * dim, Width::Activation, &[]);
        self.push("kv", 2.0 * key, Width::Activation, &[]);
        self.core(heads, dim);
    }

    fn latent(&mut self, attention: &Attention) {
        let Attention::Latent { heads, q_rank, kv_rank, nope_dim, rope_dim, v_dim, indexer } =
            *attention
        else {
            return;
        };
        let (heads, rope, value) = (heads as f64, rope_dim as f64, v_dim as f64);
        let query = heads * (nope_dim as f64 + rope);
        self.row("q_latent", 2.0 * q_rank as f64, Width::Activation, &[]);
        self.row("kv_latent", kv_rank as f64 + rope, Width::Activation, &[]);
        let up: &[Tag] = if q_rank > 0 { &[Tag::UpProjection] } else { &[] };
        self.cut("q", query, Width::Activation, up);
        self.cut("k", query, Width::Activation, &[Tag::UpProjection]);
        self.cut("v", heads * value, Width::Activation, &[Tag::UpProjection]);
        if let Some(indexer) = indexer {
            let (index_heads, dim) = (indexer.heads as f64, indexer.head_dim as f64);
            let queries = tokens(self.shard) * index_heads * dim;
            self.push("index_q", queries, Width::Activation, &[]);
            self.row("index_k_weights", dim + index_heads, Width::Activation, &[]);
        }
        self.core(heads, value);
    }

    fn compressed(&mut self, attention: &Attention) {
        let Attention::Compressed {
            heads, head_dim, q_rank, o_groups, o_rank, ratio, indexer, ..
        } = *attention
        else {
            return;
        };
        let (heads, dim) = (heads as f64, head_dim as f64);
        let plain = Width::Activation;
        // Before and after its norm; queries before head norm and rotation, and after.
        self.row("q_latent", 2.0 * q_rank as f64, plain, &[]);
        self.cut("q", 2.0 * heads * dim, plain, &[Tag::UpProjection]);
        self.row("kv_window", 2.0 * dim, plain, &[]);
        if ratio > 0 {
            let entries = 2.0 * dim / ratio as f64;
            self.row("compressor", 2.0 * series(ratio) * dim + entries, plain, &[]);
            if let Some(indexer) = indexer {
                let (index_heads, index_dim) = (indexer.heads as f64, indexer.head_dim as f64);
                let queries = tokens(self.shard) * index_heads * index_dim;
                self.push("index_q", queries, plain, &[]);
                let keys = 2.0 * series(ratio) * index_dim + index_dim / ratio as f64;
                self.row("index_compressor_weights", keys + index_heads, plain, &[]);
            }
        }
        self.core(heads, dim);
        self.cut("o_latent", (o_groups * o_rank) as f64, plain, &[]);
    }

    fn ffn(&mut self, ffn: &Ffn) {
        match *ffn {
            Ffn::Dense(mlp) => {
                let (width, up) = widths(&mlp);
                self.cut("mlp_up", up, Width::LinearInput, &[Tag::Mlp]);
                self.cut("mlp_act", width, Width::LinearInput, &[Tag::Activation, Tag::Mlp]);
            }
            Ffn::Moe { expert, experts, topk, shared_width, .. } => {
                self.routed(&expert, experts as f64, topk as f64);
                let (width, up) = widths(&Mlp { width: shared_width, ..expert });
                self.cut("shared_up", up, Width::LinearInput, &[Tag::Mlp]);
                // Megatron's `moe_act` leaves the shared expert's activation alone.
                self.cut("shared_act", width, Width::LinearInput, &[Tag::Mlp]);
            }
        }
    }

    /// Routed tensors: each rank owns tokens / tensor rows whatever lies around; inside an expert
    /// cut over `expert_tensor`, inputs and outputs are whole on each of its ranks.
    fn routed(&mut self, expert: &Mlp, experts: f64, topk: f64) {
        let (width, up) = widths(expert);
        let hidden = self.hidden;
        let cut = self.shard.expert_tensor as f64;
        if !self.hyper {
            // The derivation for V4 has no scores: its gate is small enough to repeat.
            self.row("router_logits", experts, Width::Activation, &[Tag::Moe]);
        }
        let freed = [Tag::Activation, Tag::Moe];
        self.cut("routed_in", topk * hidden * cut, Width::ExpertInput, &[Tag::Moe]);
        self.cut("routed_up", topk * up, Width::ExpertInput, &[Tag::Moe]);
        self.cut("routed_act", topk * width, Width::ExpertInput, &freed);
        self.cut("routed_out", topk * hidden, Width::Activation, &freed);
    }
}

/// Inner width of a feed-forward and the width of what enters its activation.
fn widths(mlp: &Mlp) -> (f64, f64) {
    let width = mlp.width as f64;
    (width, if mlp.gated { 2.0 * width } else { width })
}

#[cfg(test)]
mod tests;
