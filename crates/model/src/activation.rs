//! Activation bytes per token and block under each recompute policy.

use crate::{Architecture, Attention, Ffn, Layer, Shard, Tag, Width};
use crate::{layer_input_elements, layer_saved};

/// What the backward pass recomputes instead of finding it kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recompute<'a> {
    /// Nothing.
    None,
    /// Tensors with any of these tags.
    Tags(&'a [Tag]),
    /// Everything but the block's input.
    Full,
}

/// Bytes in which kept elements are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storage {
    /// Of activations in general.
    pub activation: f64,
    /// Of inputs of dense and shared feed-forwards and projections.
    pub linear_input: f64,
    /// Of inputs of routed experts.
    pub expert_input: f64,
}

impl Storage {
    /// BF16 throughout.
    pub const BF16: Self = Self { activation: 2.0, linear_input: 2.0, expert_input: 2.0 };
    /// Inputs of linear layers in FP8, the rest BF16; scales (1/128 or 1/32 more) not counted.
    pub const FP8_INPUTS: Self = Self { activation: 2.0, linear_input: 1.0, expert_input: 1.0 };

    /// Bytes of one element of this width.
    pub fn bytes(&self, width: Width) -> f64 {
        match width {
            Width::Bytes(bytes) => bytes as f64,
            Width::Activation => self.activation,
            Width::LinearInput => self.linear_input,
            Width::ExpertInput => self.expert_input,
        }
    }
}

/// The tensors `DeepSeek` recomputes in training: norms, up-projections, activation outputs
/// (arXiv 2412.19437, section 3.2.3) and hyper-connection states (arXiv 2606.19348, section 3).
pub const DEEPSEEK_TAGS: [Tag; 4] = [Tag::Norm, Tag::UpProjection, Tag::Activation, Tag::Hyper];

/// One kind of block of a model and what its backward pass needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationRow {
    /// `CSA, routed`, `GQA, dense`.
    pub kind: String,
    /// Blocks of this kind in the main model.
    pub layers: u64,
    /// Bytes per token and block, nothing recomputed, BF16.
    pub none: f64,
    /// With [`DEEPSEEK_TAGS`] recomputed, BF16.
    pub tags: f64,
    /// With [`DEEPSEEK_TAGS`] recomputed and inputs of linear layers in FP8.
    pub tags_fp8: f64,
    /// With everything recomputed from the block's input, BF16.
    pub full: f64,
}

impl Architecture {
    /// Bytes one rank keeps of `layer` for the backward pass of one micro-batch.
    ///
    /// Not valid for unbalanced experts: scale the routed tensors by the load.
    pub fn activation_bytes(
        &self,
        layer: &Layer,
        shard: &Shard,
        recompute: Recompute,
        storage: &Storage,
    ) -> f64 {
        let freed = match recompute {
            Recompute::None => &[][..],
            Recompute::Tags(tags) => tags,
            Recompute::Full => return layer_input_elements(self, shard) * storage.activation,
        };
        layer_saved(self, layer, shard)
            .iter()
            .filter(|saved| !saved.tags.iter().any(|tag| freed.contains(tag)))
            .map(|saved| saved.elements * storage.bytes(saved.width))
            .sum()
    }

    /// Bytes per token of each kind of block, one rank holding everything of one sequence of
    /// `sequence` tokens (at least one), in the order the kinds first occur.
    ///
    /// ```
    /// # let text = include_str!("../../../catalog/models/deepseek-v4-pro.json");
    /// let v4_pro = model::parse_config("deepseek-v4-pro", "config.json", text).unwrap();
    /// let table = v4_pro.activation_table(4096);
    /// let csa = table.iter().find(|row| row.kind == "CSA, routed").unwrap();
    /// assert_eq!((csa.none, csa.tags, csa.tags_fp8), (958_656.0, 401_600.0, 312_512.0));
    /// ```
    pub fn activation_table(&self, sequence: u64) -> Vec<ActivationRow> {
        let shard = Shard {
            micro_batch: 1,
            sequence: sequence.max(1),
            tensor: 1,
            sequence_parallel: false,
            context: 1,
            expert: 1,
            expert_tensor: 1,
        };
        let mut kinds: Vec<(&Layer, u64)> = Vec::new();
        for layer in &self.layers {
            match kinds.iter_mut().find(|(known, _)| *known == layer) {
                Some((_, count)) => *count += 1,
                None => kinds.push((layer, 1)),
            }
        }
        let row = |(layer, layers): (&Layer, u64)| {
            let bytes = |recompute, storage| {
                self.activation_bytes(layer, &shard, recompute, storage) / shard.sequence as f64
            };
            let tags = Recompute::Tags(&DEEPSEEK_TAGS);
            ActivationRow {
                kind: layer.kind(),
                layers,
                none: bytes(Recompute::None, &Storage::BF16),
                tags: bytes(tags, &Storage::BF16),
                tags_fp8: bytes(tags, &Storage::FP8_INPUTS),
                full: bytes(Recompute::Full, &Storage::BF16),
            }
        };
        kinds.into_iter().map(row).collect()
    }
}

impl Layer {
    /// The block's kind in the field's words: `CSA, routed`, `MLA, dense`, `GQA window, routed`.
    pub fn kind(&self) -> String {
        let attention = match self.attention {
            Attention::Grouped { heads, kv_heads, window, .. } => match (heads == kv_heads, window)
            {
                (true, None) => "MHA",
                (true, Some(_)) => "MHA window",
                (false, None) => "GQA",
                (false, Some(_)) => "GQA window",
            },
            Attention::Latent { indexer: None, .. } => "MLA",
            Attention::Latent { indexer: Some(_), .. } => "sparse MLA",
            Attention::Compressed { ratio: 0, .. } => "window",
            Attention::Compressed { indexer: Some(_), .. } => "CSA",
            Attention::Compressed { indexer: None, .. } => "HCA",
        };
        let ffn = match self.ffn {
            Ffn::Dense(_) => "dense",
            Ffn::Moe { hash_routed: false, .. } => "routed",
            Ffn::Moe { hash_routed: true, .. } => "hash-routed",
        };
        format!("{attention}, {ffn}")
    }
}
