//! Matrix FLOPs of one token, by part and by convention. One multiply-add is two FLOPs.

use crate::shapes::{Matrix, attention_matrices, ffn_matrices, hyper_head_matrix, hyper_matrix};
use crate::{Architecture, Attention, Ffn, Layer, Residual, visible};

/// Forward FLOPs of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlopsPart {
    /// `attn_proj`, `routed`, `core_csa`, `head`.
    pub name: &'static str,
    /// Forward FLOPs of one token.
    pub forward: f64,
}

/// FLOPs of one token, the mean over a causal sequence; and what other people's formulas say.
///
/// Not counted: recomputation, optimizer, soft-max, norms, positions, an indexer's own loss.
/// Routed experts count `topk` per token: neither padding nor dropped tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct FlopsPerToken {
    /// Forward, main model, in the order of the computation.
    pub main: Vec<FlopsPart>,
    /// Forward, prediction blocks with their use of the head.
    pub mtp: Vec<FlopsPart>,
    /// Forward and backward by 6·N, N the active parameters without the input embedding, main model.
    pub six_n: f64,
    /// Forward and backward as Megatron-LM counts now: causal attention, prediction blocks in,
    /// hyper-connections out.
    pub megatron_causal: f64,
    /// Forward and backward by 6·N + 6·S·heads·(`d_qk` + `d_v`) per block: `PaLM` (arXiv 2204.02311,
    /// appendix B), each query counted as if it saw all of its reach; main model.
    pub palm: f64,
}

impl FlopsPerToken {
    /// Forward FLOPs of the main model.
    pub fn forward(&self) -> f64 {
        self.main.iter().map(|p| p.forward).sum()
    }

    /// Forward FLOPs with the prediction blocks.
    pub fn forward_with_mtp(&self) -> f64 {
        self.forward() + self.mtp.iter().map(|p| p.forward).sum::<f64>()
    }

    /// Backward FLOPs with the prediction blocks: twice the forward's.
    pub fn backward_with_mtp(&self) -> f64 {
        2.0 * self.forward_with_mtp()
    }

    /// Forward and backward with the prediction blocks: what a training step must compute.
    pub fn training(&self) -> f64 {
        self.forward_with_mtp() + self.backward_with_mtp()
    }

    /// Forward FLOPs of one part of the main model; 0 if it has none such.
    pub fn part(&self, name: &str) -> f64 {
        self.main.iter().find(|p| p.name == name).map_or(0.0, |p| p.forward)
    }
}

/// Sums by part, in order of first use.
#[derive(Default)]
struct Sums(Vec<FlopsPart>);

impl Sums {
    fn add(&mut self, name: &'static str, forward: f64) {
        match self.0.iter_mut().find(|p| p.name == name) {
            Some(part) => part.forward += forward,
            None if forward > 0.0 => self.0.push(FlopsPart { name, forward }),
            None => {}
        }
    }

    fn add_matrix(&mut self, m: &Matrix) {
        self.add(m.part, 2.0 * m.elements());
    }
}

impl Architecture {
    /// FLOPs of one token in causal sequences of `sequence` tokens.
    ///
    /// Forward = 2 × (matrix elements passed) + Σ 2·heads·(`d_qk` + `d_v`)·visible + Σ 2·heads·dim·scored
    /// over the blocks; backward is twice that.
    ///
    /// ```
    /// # let text = include_str!("../../../catalog/models/deepseek-v4-pro.json");
    /// let v4_pro = model::parse_config("deepseek-v4-pro", "config.json", text).unwrap();
    /// let gigaflops = v4_pro.flops_per_token(4096).training() / 1e9;
    /// assert!((gigaflops - 324.27).abs() < 0.01);
    /// ```
    pub fn flops_per_token(&self, sequence: u64) -> FlopsPerToken {
        let head = 2.0 * self.vocab as f64 * self.hidden as f64;
        let mut main = Sums::default();
        for layer in &self.layers {
            self.add_layer(&mut main, layer, sequence);
        }
        if let Residual::Hyper { streams, .. } = self.residual {
            main.add_matrix(&hyper_head_matrix(streams, self.hidden));
        }
        main.add("head", head);
        let mut mtp = Sums::default();
        for layer in &self.mtp {
            self.add_layer(&mut mtp, layer, sequence);
            mtp.add("mtp_proj", self.mtp_projection_flops());
            mtp.add("head", head);
        }
        let active = self.parameters().active_without_embedding as f64;
        let cores: f64 = self.layers.iter().map(|l| full_core_flops(&l.attention, sequence)).sum();
        let counted = |p: &&FlopsPart| !p.name.starts_with("mhc");
        let megatron: f64 =
            main.0.iter().chain(&mtp.0).filter(counted).map(|p| 3.0 * p.forward).sum();
        FlopsPerToken {
            main: main.0,
            mtp: mtp.0,
            six_n: 6.0 * active,
            megatron_causal: megatron,
            palm: 6.0 * active + 3.0 * cores,
        }
    }

    fn add_layer(&self, sums: &mut Sums, layer: &Layer, sequence: u64) {
        let d = self.hidden;
        for m in attention_matrices(&layer.attention, d) {
            sums.add_matrix(&m);
        }
        let sees = visible(&layer.attention, sequence);
        sums.add(core_name(&layer.attention), core_flops(&layer.attention, sees.attended()));
        sums.add("indexer_score", score_flops(&layer.attention, sees.scored));
        for m in ffn_matrices(&layer.ffn, d) {
            sums.add(m.part, 2.0 * m.elements() * passed(&layer.ffn, &m));
        }
        if let Residual::Hyper { streams, .. } = self.residual {
            sums.add_matrix(&hyper_matrix(streams, d, 2));
            // Per sub-layer: collapse n streams to one (2nd), mix them (2n²d), expand and add (2nd).
            let n = streams as f64;
            sums.add("mhc_apply", 2.0 * (4.0 * n + 2.0 * n * n) * d as f64);
        }
    }

    /// V4 projects each of its streams' states, and the embedding once.
    fn mtp_projection_flops(&self) -> f64 {
        let m = self.mtp_projection();
        let one = 2.0 * m.rows as f64 * m.cols as f64;
        match self.residual {
            Residual::Plain => one,
            Residual::Hyper { streams, .. } => one * (1.0 + streams as f64),
        }
    }
}

/// The share of a matrix's elements one token meets: `topk` of the routed experts.
fn passed(ffn: &Ffn, m: &Matrix) -> f64 {
    match *ffn {
        Ffn::Moe { experts, topk, .. } if m.part == "routed" => topk as f64 / experts as f64,
        _ => 1.0,
    }
}

fn core_name(attention: &Attention) -> &'static str {
    match attention {
        Attention::Grouped { window: Some(_), .. } => "core_window",
        Attention::Grouped { window: None, .. } | Attention::Latent { .. } => "core",
        Attention::Compressed { ratio: 0, .. } => "core_swa",
        Attention::Compressed { indexer: Some(_), .. } => "core_csa",
        Attention::Compressed { indexer: None, .. } => "core_hca",
    }
}

/// Scores and values over `context` entries: 2·heads·(`d_qk` + `d_v`)·context.
///
/// Latent attention is counted un-absorbed (nope + rope and v), as it is trained.
fn core_flops(attention: &Attention, context: f64) -> f64 {
    let (heads, widths) = match *attention {
        Attention::Grouped { heads, head_dim, .. }
        | Attention::Compressed { heads, head_dim, .. } => (heads, 2 * head_dim),
        Attention::Latent { heads, nope_dim, rope_dim, v_dim, .. } => {
            (heads, nope_dim + rope_dim + v_dim)
        }
    };
    2.0 * heads as f64 * widths as f64 * context
}

/// The core as if every query stood at the end of the sequence.
fn full_core_flops(attention: &Attention, sequence: u64) -> f64 {
    let reach = match *attention {
        Attention::Grouped { window, .. } => window.unwrap_or(sequence).min(sequence),
        Attention::Latent { indexer, .. } => indexer.map_or(sequence, |i| i.topk.min(sequence)),
        Attention::Compressed { window, ratio, indexer, .. } => {
            let entries = sequence.checked_div(ratio).unwrap_or(0);
            window.min(sequence) + indexer.map_or(entries, |i| i.topk.min(entries))
        }
    };
    core_flops(attention, reach as f64)
}

fn score_flops(attention: &Attention, scored: f64) -> f64 {
    let indexer = match *attention {
        Attention::Grouped { .. } => None,
        Attention::Latent { indexer, .. } | Attention::Compressed { indexer, .. } => indexer,
    };
    indexer.map_or(0.0, |i| 2.0 * i.heads as f64 * i.head_dim as f64 * scored)
}
