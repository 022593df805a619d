//! The weights of a model, tensor by tensor, with the way each is cut and optimized.

use crate::shapes::{
    Matrix, attention_matrices, ffn_matrices, hyper_head_matrix, hyper_matrix, series,
};
use crate::{Architecture, Attention, Cut, Ffn, Indexer, Layer, Mlp, Residual, Weights};

/// At which end of the model a weight outside the blocks stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// With the first block.
    First,
    /// With the last block.
    Last,
}

impl Architecture {
    /// Weights of one block of the main model.
    ///
    /// Shapes: GPT-2 and Llama as their HF classes; latent attention arXiv 2412.19437 section 2.1;
    /// V4 arXiv 2606.19348 section 2 and the released modelling code.
    pub fn layer_weights(&self, layer: &Layer) -> Vec<Weights> {
        let d = self.hidden;
        let attention = attention_component(&layer.attention);
        let mut all: Vec<Weights> =
            attention_matrices(&layer.attention, d).iter().map(|m| matrix(attention, m)).collect();
        all.extend(attention_vectors(&layer.attention, attention, d));
        all.extend(ffn_matrices(&layer.ffn, d).iter().map(|m| matrix(ffn_component(m), m)));
        all.extend(ffn_vectors(&layer.ffn, d));
        let norms = if self.norm.sandwich { 4.0 } else { 2.0 };
        all.push(vector("norms", norms * self.norm_weights(), Cut::Replicated));
        if let Residual::Hyper { streams, .. } = self.residual {
            let projection = hyper_matrix(streams, d, 2);
            // A bias for every output and three gating factors a sub-layer.
            let small = 2.0 * (projection.rows as f64 + 3.0);
            all.push(matrix("mhc", &projection));
            all.push(vector("mhc", small, Cut::Replicated));
        }
        all
    }

    /// Weights of one multi-token-prediction block: the block, its projections, norms and hyper-connection
    /// head. It shares the embedding and the head of the main model.
    ///
    /// V3 projects the concatenation of embedding and state (2d to d); V4 projects each (d to d).
    pub fn mtp_weights(&self, layer: &Layer) -> Vec<Weights> {
        let d = self.hidden;
        let mut all = self.layer_weights(layer);
        all.push(matrix("mtp_proj", &self.mtp_projection()));
        // Of the embedding, of the state, and before the shared head.
        all.push(vector("norms", 3.0 * self.norm_weights(), Cut::Replicated));
        if let Residual::Hyper { streams, .. } = self.residual {
            all.extend(hyper_head(streams, d));
        }
        all
    }

    /// Weights outside the blocks: embedding, positions, last norm, hyper-connection head, head.
    ///
    /// A tied head is the embedding and is not listed; a pipeline that separates the two holds a copy.
    pub fn top_weights(&self) -> Vec<(Place, Weights)> {
        let d = self.hidden as f64;
        let vocab = self.vocab as f64;
        let mut all = vec![(Place::First, vector("embedding", vocab * d, Cut::Tensor))];
        if self.learned_positions > 0 {
            let table = self.learned_positions as f64 * d;
            all.push((Place::First, vector("positions", table, Cut::Replicated)));
        }
        all.push((Place::Last, vector("norms", self.norm_weights(), Cut::Replicated)));
        if let Residual::Hyper { streams, .. } = self.residual {
            all.extend(hyper_head(streams, self.hidden).map(|w| (Place::Last, w)));
        }
        if !self.tied_embedding {
            all.push((Place::Last, vector("head", vocab * d, Cut::Tensor)));
        }
        all
    }

    /// Values in one norm over the stream.
    fn norm_weights(&self) -> f64 {
        self.hidden as f64 * if self.norm.bias { 2.0 } else { 1.0 }
    }

    /// The projections into a prediction block.
    pub(crate) fn mtp_projection(&self) -> Matrix {
        let d = self.hidden;
        let cut = Cut::Replicated;
        match self.residual {
            Residual::Plain => Matrix { part: "mtp_proj", rows: d, cols: 2 * d, count: 1, cut },
            Residual::Hyper { .. } => Matrix { part: "mtp_proj", rows: d, cols: d, count: 2, cut },
        }
    }
}

fn matrix(component: &'static str, m: &Matrix) -> Weights {
    Weights { component, count: m.elements(), cut: m.cut, matrix: Some((m.rows, m.cols)) }
}

fn vector(component: &'static str, count: f64, cut: Cut) -> Weights {
    Weights { component, count, cut, matrix: None }
}

/// Its projection, a bias per stream and one gating factor.
fn hyper_head(streams: u64, d: u64) -> [Weights; 2] {
    let small = streams as f64 + 1.0;
    [matrix("mhc", &hyper_head_matrix(streams, d)), vector("mhc", small, Cut::Replicated)]
}

fn attention_component(attention: &Attention) -> &'static str {
    match attention {
        Attention::Grouped { .. } | Attention::Latent { .. } => "attention",
        Attention::Compressed { ratio: 0, .. } => "attention_swa",
        Attention::Compressed { indexer: Some(_), .. } => "attention_csa",
        Attention::Compressed { indexer: None, .. } => "attention_hca",
    }
}

fn ffn_component(m: &Matrix) -> &'static str {
    match m.part {
        "routed" => "moe_routed",
        "shared" => "moe_shared",
        "router" => "moe_router",
        _ => "dense",
    }
}

/// Norms on heads and latents, biases, sinks, the compressors' position biases.
fn attention_vectors(attention: &Attention, component: &'static str, d: u64) -> Vec<Weights> {
    let (tensor, replicated) = attention_vector_sizes(attention, d);
    [(tensor, Cut::Tensor), (replicated, Cut::Replicated)]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, cut)| vector(component, count as f64, cut))
        .collect()
}

/// Values that follow the heads, and values every rank holds.
fn attention_vector_sizes(attention: &Attention, d: u64) -> (u64, u64) {
    match *attention {
        Attention::Grouped {
            heads,
            kv_heads,
            head_dim,
            qkv_bias,
            out_bias,
            qk_norm,
            sinks,
            ..
        } => {
            let qkv = u64::from(qkv_bias) * (heads + 2 * kv_heads) * head_dim;
            let norms = u64::from(qk_norm) * 2 * head_dim;
            (qkv + u64::from(sinks) * heads, u64::from(out_bias) * d + norms)
        }
        // Norms of the latents; the indexer's key norm has a bias.
        Attention::Latent { q_rank, kv_rank, indexer, .. } => {
            (0, q_rank + kv_rank + indexer.map_or(0, |i| 2 * i.head_dim))
        }
        Attention::Compressed { heads, head_dim, q_rank, ratio, indexer, .. } => {
            // Norms of the latents; then each compressor's position bias and norm.
            let mut small = q_rank + head_dim;
            if ratio != 0 {
                small += ratio * series(indexer.is_some()) * head_dim + head_dim;
            }
            if let Some(Indexer { head_dim, .. }) = indexer {
                small += ratio * series(true) * head_dim + head_dim;
            }
            (heads, small)
        }
    }
}

/// Biases of the matrices and of the router.
fn ffn_vectors(ffn: &Ffn, d: u64) -> Vec<Weights> {
    let biases = |mlp: Mlp| {
        let up = if mlp.gated { 2 } else { 1 };
        if mlp.bias { (up * mlp.width + d) as f64 } else { 0.0 }
    };
    let all = match *ffn {
        Ffn::Dense(mlp) => vec![vector("dense", biases(mlp), Cut::Tensor)],
        Ffn::Moe { expert, experts, shared_width, router_bias, .. } => {
            let shared = Mlp { width: shared_width, ..expert };
            let shared = if shared_width > 0 { biases(shared) } else { 0.0 };
            let router = if router_bias { experts as f64 } else { 0.0 };
            vec![
                vector("moe_routed", experts as f64 * biases(expert), Cut::Expert),
                vector("moe_shared", shared, Cut::Tensor),
                vector("moe_small", router, Cut::Replicated),
            ]
        }
    };
    all.into_iter().filter(|w| w.count > 0.0).collect()
}
