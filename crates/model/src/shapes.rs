//! The matrices of a block, once: weights count their elements and FLOPs double them.

use crate::{Attention, Cut, Ffn, Indexer, Mlp};

/// Matrices of one shape through which every token (or every routed token) goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Matrix {
    /// Under which part of the FLOPs its product is counted.
    pub part: &'static str,
    /// Outputs.
    pub rows: u64,
    /// Inputs.
    pub cols: u64,
    /// How many there are.
    pub count: u64,
    /// How it is cut.
    pub cut: Cut,
}

impl Matrix {
    const fn new(part: &'static str, rows: u64, cols: u64, count: u64, cut: Cut) -> Self {
        Self { part, rows, cols, count, cut }
    }

    /// Elements of all of them; exact below 2^53, which a parsed configuration stays under.
    pub fn elements(&self) -> f64 {
        self.rows as f64 * self.cols as f64 * self.count as f64
    }
}

/// Projections, compressors and indexers of an attention sub-layer on a stream of width `d`.
pub(crate) fn attention_matrices(attention: &Attention, d: u64) -> Vec<Matrix> {
    use Cut::{Replicated, Tensor};
    let project = |rows, cols, count, cut| Matrix::new("attn_proj", rows, cols, count, cut);
    match *attention {
        Attention::Grouped { heads, kv_heads, head_dim, .. } => vec![
            project(heads * head_dim, d, 1, Tensor),
            project(kv_heads * head_dim, d, 2, Tensor),
            project(d, heads * head_dim, 1, Tensor),
        ],
        Attention::Latent { heads, q_rank, kv_rank, nope_dim, rope_dim, v_dim, indexer } => {
            let queries = heads * (nope_dim + rope_dim);
            let mut all = match q_rank {
                0 => vec![project(queries, d, 1, Tensor)],
                _ => vec![project(q_rank, d, 1, Replicated), project(queries, q_rank, 1, Tensor)],
            };
            all.push(project(kv_rank + rope_dim, d, 1, Replicated));
            all.push(project(heads * (nope_dim + v_dim), kv_rank, 1, Tensor));
            all.push(project(d, heads * v_dim, 1, Tensor));
            if let Some(Indexer { heads, head_dim, .. }) = indexer {
                // Queries from the shared latent (from the stream where there is none), one key.
                let source = if q_rank == 0 { d } else { q_rank };
                let index = |rows, cols| Matrix::new("indexer_proj", rows, cols, 1, Replicated);
                all.extend([index(heads * head_dim, source), index(head_dim, d), index(heads, d)]);
            }
            all
        }
        Attention::Compressed { .. } => compressed_matrices(attention, d),
    }
}

/// V4's attention: `q_a`, `q_b`, `kv`, `o_a` by groups, `o_b`, compressor, indexer.
fn compressed_matrices(attention: &Attention, d: u64) -> Vec<Matrix> {
    use Cut::{Replicated, Tensor};
    let Attention::Compressed { heads, head_dim, q_rank, o_groups, o_rank, ratio, indexer, .. } =
        *attention
    else {
        return Vec::new();
    };
    let project = |rows, cols, count, cut| Matrix::new("attn_proj", rows, cols, count, cut);
    let mut all = vec![
        project(q_rank, d, 1, Replicated),
        project(heads * head_dim, q_rank, 1, Tensor),
        project(head_dim, d, 1, Replicated),
        project(o_rank, heads * head_dim / o_groups, o_groups, Tensor),
        project(d, o_groups * o_rank, 1, Tensor),
    ];
    if ratio != 0 {
        let width = series(indexer.is_some()) * head_dim;
        all.push(Matrix::new("compressor", width, d, 2, Replicated));
    }
    if let Some(Indexer { heads, head_dim, .. }) = indexer {
        let index = |rows, cols, count| Matrix::new("indexer_proj", rows, cols, count, Replicated);
        all.push(index(heads * head_dim, q_rank, 1));
        all.push(index(heads, d, 1));
        all.push(index(series(true) * head_dim, d, 2));
    }
    all
}

/// Series a compressor keeps: two with an indexer, whose windows overlap, else one
/// (arXiv 2606.19348, section 2.3).
pub(crate) const fn series(indexed: bool) -> u64 {
    if indexed { 2 } else { 1 }
}

/// Matrices of a feed-forward on a stream of width `d`, all experts included.
pub(crate) fn ffn_matrices(ffn: &Ffn, d: u64) -> Vec<Matrix> {
    match *ffn {
        Ffn::Dense(mlp) => mlp_matrices("ffn", mlp, d, 1, Cut::Tensor),
        Ffn::Moe { expert, experts, shared_width, .. } => {
            let mut all = mlp_matrices("routed", expert, d, experts, Cut::Expert);
            if shared_width > 0 {
                let shared = Mlp { width: shared_width, ..expert };
                all.extend(mlp_matrices("shared", shared, d, 1, Cut::Tensor));
            }
            all.push(Matrix::new("router", experts, d, 1, Cut::Replicated));
            all
        }
    }
}

fn mlp_matrices(part: &'static str, mlp: Mlp, d: u64, copies: u64, cut: Cut) -> Vec<Matrix> {
    let up = if mlp.gated { 2 } else { 1 };
    vec![
        Matrix::new(part, mlp.width, d, up * copies, cut),
        Matrix::new(part, d, mlp.width, copies, cut),
    ]
}

/// A hyper-connection's projection from `streams` streams: n read, n write and n² mixing logits.
pub(crate) fn hyper_matrix(streams: u64, d: u64, sublayers: u64) -> Matrix {
    let outputs = (2 + streams) * streams;
    Matrix::new("mhc_gemm", outputs, streams * d, sublayers, Cut::Replicated)
}

/// The projection that collapses the streams before the last norm.
pub(crate) fn hyper_head_matrix(streams: u64, d: u64) -> Matrix {
    Matrix::new("mhc_gemm", streams, streams * d, 1, Cut::Replicated)
}
