//! Multi-head, grouped-query and latent attention.

use super::rank::{Eager, Rank, Traffic, local_kv_heads};
use crate::{
    Architecture, Attention, Class, Layer, Operator, Role, Saved, Shard, Tag, Width, Work, visible,
};

/// Everything from the sub-layer's normalised input to its output.
pub(super) fn attention(rank: &mut Rank, attention: &Attention) {
    match attention {
        Attention::Grouped { .. } => grouped(rank, attention),
        Attention::Latent { .. } => super::latent::latent(rank, attention),
        Attention::Compressed { .. } => super::compressed::compressed(rank, attention),
    }
}

fn grouped(rank: &mut Rank, attention: &Attention) {
    let Attention::Grouped { heads, kv_heads, head_dim, window, qk_norm, .. } = *attention else {
        return;
    };
    let (tokens, hidden, dim) = (rank.tokens, rank.hidden, head_dim as f64);
    let heads = heads as f64 / rank.tensor;
    let kv_heads = local_kv_heads(kv_heads, rank.shard);
    let (query, key) = (heads * dim, kv_heads * dim);
    rank.enter_tensor("tp_attention_in", hidden);
    rank.linear("qkv", None, tokens, query + 2.0 * key, hidden);
    if qk_norm {
        rank.norm("qk_norm", tokens, query + key);
    }
    if rank.arch.learned_positions == 0 {
        rotate(rank, tokens * (query + key), None);
        if rank.arch.rotary_scaled {
            scale_rotated(rank, tokens * (query + key));
        }
    }
    rank.gather_context("cp_kv", tokens * 2.0 * key);
    let shard = rank.shard;
    let reach = window.map_or(shard.sequence, |window| shard.sequence.min(window));
    let batch = shard.micro_batch as f64;
    // A window's rank reads its own keys and the window before them.
    let keys = (tokens + batch * reach as f64).min(batch * shard.sequence as f64);
    core(
        rank,
        Work::Attention {
            rows: tokens,
            heads,
            kv_heads,
            d_qk: dim,
            d_v: dim,
            context: visible(attention, shard.sequence).attended(),
            keys,
        },
    );
    rank.linear("o", None, tokens, hidden, query);
    rank.leave_tensor("tp_attention_out", hidden);
}

/// One fused attention kernel.
pub(super) fn core(rank: &mut Rank, work: Work) {
    rank.operator(Operator {
        name: "core",
        class: Class::AttentionCore,
        role: Role::Attention,
        work,
        launches: 1.0,
        tag: Some(Tag::Core),
    });
}

/// The operators of attention that writes its scores to memory, in place of the fused `core`:
/// scores over all keys (no causal skipping), softmax with dropout where the model has it, values.
///
/// Softmax moves 4 bytes a score forward and 6 backward, dropout 5 more each way with its one-byte
/// mask (arXiv 2205.05198, section 4.1). Megatron's fused softmax takes whole blocks of four heads
/// (`is_kernel_available` of its `fused_softmax.py`); a rank with another number of heads times
/// sequences casts to FP32, scales, masks, takes the softmax and casts back one by one: 33 bytes
/// forward and 41 backward. `core` itself if it is no grouped attention.
pub fn unfused_attention(arch: &Architecture, shard: &Shard, core: &Operator) -> Vec<Operator> {
    let Work::Attention { rows, heads, d_qk, d_v, keys, .. } = core.work else {
        return vec![core.clone()];
    };
    let sequences = shard.micro_batch as f64;
    let (m, n, count) = (rows / sequences, keys / sequences, heads * sequences);
    let scores = m * n * count;
    let dropout = if super::has_dropout(arch) { 5.0 } else { 0.0 };
    let fused = count % 4.0 == 0.0;
    let (forward, backward, kernels) = if fused { (4.0, 6.0, 1.0) } else { (33.0, 41.0, 5.0) };
    let softmax = Work::Memory {
        bytes: (forward + dropout) * scores,
        backward_bytes: (backward + dropout) * scores,
        flops: 5.0 * scores,
    };
    let part = |name, work, launches| Operator { name, work, launches, ..core.clone() };
    vec![
        part("scores", Work::Gemm { m, n, k: d_qk, count }, 1.0),
        part("softmax", softmax, kernels + if dropout > 0.0 { 1.0 } else { 0.0 }),
        part("values", Work::Gemm { m, n: d_v, k: n, count }, 1.0),
    ]
}

/// A product as the products it joins: queries, keys and values; gate and up. Others as they are.
///
/// Not valid where blocks of one model differ in heads: the first grouped attention's ratio is taken.
pub fn products_apart(arch: &Architecture, operator: &Operator) -> Vec<Operator> {
    let Work::Gemm { m, n, k, count } = operator.work else { return vec![operator.clone()] };
    let heads = arch.layers.iter().find_map(|l| match l.attention {
        Attention::Grouped { heads, kv_heads, .. } => Some((heads as f64, kv_heads as f64)),
        _ => None,
    });
    let gated = arch.layers.iter().any(|l| match l.ffn {
        crate::Ffn::Dense(mlp) => mlp.gated,
        crate::Ffn::Moe { expert, .. } => expert.gated,
    });
    let part = |name, share: f64| {
        let work = Work::Gemm { m, n: n * share, k, count };
        Operator { name, work, ..operator.clone() }
    };
    match (operator.name, heads) {
        ("qkv", Some((heads, kv))) => {
            let all = heads + 2.0 * kv;
            vec![part("q", heads / all), part("k", kv / all), part("v", kv / all)]
        }
        ("mlp_up", _) if gated => vec![part("gate", 0.5), part("up", 0.5)],
        _ => vec![operator.clone()],
    }
}

/// Tensors that unfused attention keeps for the backward pass: the softmax (2 bytes a score), and
/// with dropout its mask and output (3 more; arXiv 2205.05198, section 4.1).
pub fn unfused_saved(arch: &Architecture, layer: &Layer, shard: &Shard) -> Option<Saved> {
    let Attention::Grouped { heads, .. } = layer.attention else { return None };
    let tokens = super::rank::tokens(shard);
    let scores = tokens * shard.sequence as f64 * heads as f64 / shard.tensor as f64;
    let width = Width::Bytes(if super::has_dropout(arch) { 5 } else { 2 });
    Some(Saved { name: "scores", elements: scores, width, tags: vec![Tag::Core] })
}

/// Rotary positions over `elements`, in place: one kernel for queries, one for keys.
pub(super) fn rotate(rank: &mut Rank, elements: f64, tag: Option<Tag>) {
    rank.memory(
        "rotary",
        Class::Elementwise,
        Traffic {
            forward: 2.0 * elements,
            backward: 2.0 * elements,
            flops: 3.0 * elements,
            launches: 2.0,
            tag,
        },
    );
}

/// Operators of rotary positions with YaRN's factor on them, beyond the fused kernel that cannot apply
/// it: kernels that move elements one by one, and copies. A stack's `scaled_rotary` says whether it
/// runs them.
pub const SCALED_ROTARY: [&str; 2] = ["rotary_scaled", "rotary_scaled_copies"];

/// Megatron-Core's `_apply_rotary_pos_emb_bshd` on 16-bit `elements`: products with the broadcast cosine
/// and sine (2 + 2 bytes each), one half negated (1 + 1), the halves joined across strides (2 + 2);
/// their sum (4 + 2) and a last join (2 + 2). Backward the same four, the sum of both products'
/// gradients (4 + 2) and zeros for the part that is not rotated (2), added to it (4 + 2). The fused
/// kernel's own 4 bytes each way are priced with it.
fn scale_rotated(rank: &mut Rank, elements: f64) {
    let single = 2.0 * 4.0 + 2.0 + 4.0;
    let eager = Eager {
        class: Class::Elementwise,
        passes: [3.5; 2],
        bytes: [single; 2],
        copied: [6.0 + 4.0 - 4.0, 6.0 + 2.0 + 6.0 - 4.0],
        // Queries and keys apart.
        launches: 2.0 * 4.0,
        tag: None,
    };
    rank.eager(SCALED_ROTARY, elements, &eager);
}
