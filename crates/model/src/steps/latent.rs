//! Latent attention (MLA; DeepSeek-V2, arXiv 2405.04434) and the sparse-attention indexer.

use super::attention::core;
use super::rank::{Rank, Traffic};
use crate::{Attention, Class, Indexer, Operator, Role, Tag, Work, visible};

/// Latent attention in its training form: keys and values are projected up, not absorbed.
///
/// Over `tensor`, low-rank down-projections run on a rank's own rows and their latents are gathered
/// instead of the hidden rows; up-projections, core and output are cut by heads. Over `context` the
/// key-value latents are gathered and each rank projects those of the whole sequence up: that
/// product is the only one whose sum over ranks grows with the degree.
pub(super) fn latent(rank: &mut Rank, attention: &Attention) {
    let Attention::Latent { heads, q_rank, kv_rank, nope_dim, rope_dim, v_dim, indexer } =
        *attention
    else {
        return;
    };
    let (rows, tokens, hidden) = (rank.rows, rank.tokens, rank.hidden);
    let heads = heads as f64 / rank.tensor;
    let (q_rank, kv_rank) = (q_rank as f64, kv_rank as f64);
    let (nope, rope, value) = (nope_dim as f64, rope_dim as f64, v_dim as f64);
    let up = Some(Tag::UpProjection);

    rank.linear("q_a", None, rows, q_rank, hidden);
    if q_rank > 0.0 {
        rank.norm("q_norm", rows, q_rank);
    }
    rank.linear("kv_a", None, rows, kv_rank + rope, hidden);
    rank.norm("kv_norm", rows, kv_rank);
    let query_in = if q_rank > 0.0 { q_rank } else { hidden };
    let mut gathered = query_in + kv_rank + rope;
    let mut latents = kv_rank + rope;
    if let Some(indexer) = &indexer {
        index_keys(rank, indexer);
        gathered += (indexer.head_dim + indexer.heads) as f64;
        latents += indexer.head_dim as f64;
    }
    rank.enter_tensor("tp_latents", gathered);
    // Queries projected straight from the hidden rows are no up-projection.
    let query_tag = if q_rank > 0.0 { up } else { None };
    rank.linear("q_b", query_tag, tokens, heads * (nope + rope), query_in);
    rank.gather_context("cp_latents", tokens * latents);
    let all = tokens * rank.context;
    rank.linear("kv_b", up, all, heads * (nope + value), kv_rank);
    // One kernel rotates queries in place, one splits kv_b's output into keys (with the shared
    // rotated part) and values.
    let query = 2.0 * rope;
    let key = 2.0 * (nope + value) + rope;
    let elements = heads * (tokens * query + all * key);
    rank.memory(
        "rotary",
        Class::Elementwise,
        Traffic {
            forward: elements,
            backward: elements,
            flops: 3.0 * heads * rope * (tokens + all),
            launches: 2.0,
            tag: up,
        },
    );
    let seen = visible(attention, rank.shard.sequence);
    if let Some(indexer) = &indexer {
        index_scores(rank, indexer, query_in, seen.scored);
    }
    let keys = (rank.shard.micro_batch * rank.shard.sequence) as f64;
    core(
        rank,
        Work::Attention {
            rows: tokens,
            heads,
            kv_heads: heads,
            d_qk: nope + rope,
            d_v: value,
            context: seen.attended(),
            keys,
        },
    );
    rank.linear("o", None, tokens, hidden, heads * value);
    rank.leave_tensor("tp_attention_out", hidden);
}

/// Index keys (one head) and head weights from a rank's own rows.
fn index_keys(rank: &mut Rank, indexer: &Indexer) {
    let (rows, hidden) = (rank.rows, rank.hidden);
    let (heads, dim) = (indexer.heads as f64, indexer.head_dim as f64);
    rank.gemm("index_k", Class::Indexer, Role::Linear, None, (rows, dim, hidden));
    rank.norm("index_k_norm", rows, dim);
    rank.gemm("index_weights", Class::Indexer, Role::Sensitive, None, (rows, heads, hidden));
}

/// Index queries, scores of `scored` entries a query, and the choice among them. Every rank of a
/// tensor group scores all heads, as they are summed before the choice.
pub(super) fn index_scores(rank: &mut Rank, indexer: &Indexer, query_in: f64, scored: f64) {
    let tokens = rank.tokens;
    let (heads, dim) = (indexer.heads as f64, indexer.head_dim as f64);
    let class = Class::Indexer;
    rank.gemm("index_q", class, Role::Linear, None, (tokens, heads * dim, query_in));
    // Rotary positions, Hadamard rotation and quantisation in one pass.
    let queries = tokens * heads * dim;
    let rotation = Traffic {
        forward: 2.0 * queries,
        backward: 2.0 * queries,
        flops: queries * (3.0 + f64::from(indexer.head_dim.max(1).ilog2())),
        launches: 1.0,
        tag: None,
    };
    rank.memory("index_rotate", class, rotation);
    rank.operator(Operator {
        name: "index_scores",
        class,
        role: Role::Indexer,
        work: Work::Scores { rows: tokens, heads, dim, context: scored },
        launches: 1.0,
        tag: None,
    });
    // Scores are written and read once in two bytes, chosen indices written in four; a radix
    // selection looks at each score about four times. Backward scatters the chosen only.
    let chosen = scored.min(indexer.topk as f64);
    let choice = Traffic {
        forward: tokens * (2.0 * scored + 2.0 * chosen),
        backward: tokens * 4.0 * chosen,
        flops: tokens * 4.0 * scored,
        launches: 1.0,
        tag: None,
    };
    rank.memory("index_choice", class, choice);
}
