//! V4 attention: a window and compressed entries under one key-value head (arXiv 2606.19348, 2.3).

use super::attention::{core, rotate};
use super::latent::index_scores;
use super::rank::{Rank, Traffic};
use crate::{Attention, Axis, Class, Collective, Indexer, Operator, Role, Tag, Work, visible};

/// Series a compressor keeps: CSA's windows overlap, so it keeps two.
pub(crate) fn series(ratio: u64) -> f64 {
    if ratio == 4 { 2.0 } else { 1.0 }
}

/// CSA, HCA or window-only attention.
///
/// Over `tensor` it is cut as latent attention is (heads and output groups), although Megatron
/// allows no tensor parallelism here; latents, window keys and compressed entries are gathered.
pub(super) fn compressed(rank: &mut Rank, attention: &Attention) {
    let Attention::Compressed {
        heads,
        head_dim,
        rope_dim,
        q_rank,
        o_groups,
        o_rank,
        window,
        ratio,
        indexer,
    } = *attention
    else {
        return;
    };
    let (rows, tokens, hidden) = (rank.rows, rank.tokens, rank.hidden);
    let heads = heads as f64 / rank.tensor;
    let (width, q_rank) = (head_dim as f64, q_rank as f64);
    let rotated = heads * rope_dim as f64;
    let up = Some(Tag::UpProjection);

    rank.linear("q_a", None, rows, q_rank, hidden);
    rank.norm("q_norm", rows, q_rank);
    rank.linear("kv", None, rows, width, hidden);
    rank.norm("kv_norm_rotary", rows, width);
    let mut entries = 0.0;
    let mut gathered = q_rank + width;
    if ratio > 0 {
        exchange_halo(rank, window, ratio, width);
        compress(rank, &COMPRESSOR, ratio, width);
        entries = width;
        if let Some(indexer) = &indexer {
            compress(rank, &INDEX_COMPRESSOR, ratio, indexer.head_dim as f64);
            let shape = (rows, indexer.heads as f64, hidden);
            rank.gemm("index_weights", Class::Indexer, Role::Sensitive, None, shape);
            entries += indexer.head_dim as f64;
            gathered += indexer.heads as f64;
        }
        entries /= ratio as f64;
        gathered += entries;
    } else {
        exchange_halo(rank, window, 0, width);
    }
    rank.enter_tensor("tp_latents", gathered);
    rank.linear("q_b", up, tokens, heads * width, q_rank);
    let head_norm = Traffic {
        forward: 2.0 * tokens * heads * width,
        backward: 3.0 * tokens * heads * width,
        flops: tokens * (3.0 * heads * width + 3.0 * rotated),
        launches: 1.0,
        tag: up,
    };
    rank.memory("head_norm_rotary", Class::Elementwise, head_norm);
    if entries > 0.0 {
        rank.gather_context("cp_entries", tokens * entries);
    }
    attend(rank, attention, indexer.as_ref(), q_rank);
    rotate(rank, tokens * rotated, None);
    let groups = o_groups as f64 / rank.tensor;
    let (o_rank, group_in) = (o_rank as f64, heads * width / groups);
    rank.operator(Operator {
        name: "o_a",
        class: Class::Projection,
        role: Role::Linear,
        work: Work::Gemm { m: tokens, n: o_rank, k: group_in, count: groups },
        launches: 1.0,
        tag: None,
    });
    rank.linear("o_b", None, tokens, hidden, groups * o_rank);
    rank.leave_tensor("tp_attention_out", hidden);
}

/// Scores and choice (CSA), then the core over window and entries.
fn attend(rank: &mut Rank, attention: &Attention, indexer: Option<&Indexer>, q_rank: f64) {
    let Attention::Compressed { heads, head_dim, window, ratio, .. } = *attention else {
        return;
    };
    let shard = rank.shard;
    let seen = visible(attention, shard.sequence);
    if let Some(indexer) = indexer {
        index_scores(rank, indexer, q_rank, seen.scored);
    }
    let batch = shard.micro_batch as f64;
    let halo = if shard.context > 1 { batch * window as f64 } else { 0.0 };
    let entries = batch * shard.sequence.checked_div(ratio).unwrap_or(0) as f64;
    let width = head_dim as f64;
    core(
        rank,
        Work::Attention {
            rows: rank.tokens,
            heads: heads as f64 / rank.tensor,
            kv_heads: 1.0,
            d_qk: width,
            d_v: width,
            context: seen.attended(),
            keys: rank.tokens + halo + entries,
        },
    );
}

/// Names of a compressor's operators and where they are shown.
struct Names {
    project: &'static str,
    pool: &'static str,
    class: Class,
}

const COMPRESSOR: Names =
    Names { project: "compressor", pool: "compressor_pool", class: Class::Projection };
const INDEX_COMPRESSOR: Names =
    Names { project: "index_compressor", pool: "index_compressor_pool", class: Class::Indexer };

/// Projects rows to values and gates and pools each window of them into one normed, rotated entry.
fn compress(rank: &mut Rank, names: &Names, ratio: u64, width: f64) {
    let (rows, series) = (rank.rows, series(ratio));
    let shape = (rows, 2.0 * series * width, rank.hidden);
    rank.gemm(names.project, names.class, Role::Sensitive, None, shape);
    let (inputs, outputs) = (rows * 2.0 * series * width, rows * width / ratio as f64);
    let traffic = Traffic {
        forward: inputs + outputs,
        backward: 2.0 * inputs + outputs,
        flops: 3.0 * inputs,
        launches: 2.0,
        tag: None,
    };
    rank.memory(names.pool, names.class, traffic);
}

/// With context parallelism a rank needs its neighbour's last window of keys (less one, the query's
/// own) and the last `ratio` uncompressed rows, values and gates, for windows across the border.
fn exchange_halo(rank: &mut Rank, window: u64, ratio: u64, width: f64) {
    if rank.shard.context == 1 {
        return;
    }
    let open_rows = ratio as f64 * 2.0 * series(ratio) * width;
    let elements = (window.saturating_sub(1)) as f64 * width + open_rows;
    let bytes = rank.shard.micro_batch as f64 * elements * rank.wire.activation_bytes;
    let send = (Collective::SendRecv, bytes);
    rank.exchange("cp_halo", Axis::Context, send, send);
}
