//! The key-value cache of one sequence.

use crate::{Architecture, Attention};

/// Bytes a sequence occupies in the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvBytes {
    /// Keys and values, or the latents that stand for both.
    pub entries: f64,
    /// Keys of the indexers.
    pub index_keys: f64,
}

impl KvBytes {
    /// Both.
    pub fn total(&self) -> f64 {
        self.entries + self.index_keys
    }
}

impl Architecture {
    /// Cache bytes of one sequence of `sequence` tokens, main model.
    ///
    /// Formats, by the authors' releases: grouped and latent attention BF16; with V3.2's indexer
    /// latents in FP8 with an FP32 scale per 128 and BF16 rotated parts, index keys in FP8 with an
    /// FP32 scale (656 + 132 B a token and block); V4 FP8 with BF16 rotated parts, index keys in FP4
    /// with a byte of scale per 32 (576 and 68 B; arXiv 2606.19348, section 3). Windows hold at most
    /// their length; V4's tokens not yet compressed are not counted.
    ///
    /// ```
    /// # let text = include_str!("../../../catalog/models/deepseek-v4-pro.json");
    /// let v4_pro = model::parse_config("deepseek-v4-pro", "config.json", text).unwrap();
    /// assert_eq!(v4_pro.kv_bytes(1 << 20).total(), 5_215_395_840.0);
    /// ```
    pub fn kv_bytes(&self, sequence: u64) -> KvBytes {
        let mut sum = KvBytes { entries: 0.0, index_keys: 0.0 };
        for layer in &self.layers {
            let (entries, index_keys) = layer_bytes(&layer.attention, sequence);
            sum.entries += entries;
            sum.index_keys += index_keys;
        }
        sum
    }
}

fn layer_bytes(attention: &Attention, sequence: u64) -> (f64, f64) {
    let tokens = sequence as f64;
    match *attention {
        Attention::Grouped { kv_heads, head_dim, window, .. } => {
            let kept = window.unwrap_or(sequence).min(sequence);
            (2.0 * kv_heads as f64 * head_dim as f64 * 2.0 * kept as f64, 0.0)
        }
        Attention::Latent { kv_rank, rope_dim, indexer: None, .. } => {
            (2.0 * (kv_rank + rope_dim) as f64 * tokens, 0.0)
        }
        Attention::Latent { kv_rank, rope_dim, indexer: Some(indexer), .. } => {
            let entry = kv_rank + 4 * kv_rank.div_ceil(128) + 2 * rope_dim;
            let key = indexer.head_dim + 4 * indexer.head_dim.div_ceil(128);
            (entry as f64 * tokens, key as f64 * tokens)
        }
        Attention::Compressed { head_dim, rope_dim, window, ratio, indexer, .. } => {
            let entry = (head_dim - rope_dim.min(head_dim)) + 2 * rope_dim;
            let compressed = sequence.checked_div(ratio).unwrap_or(0) as f64;
            let held = window.min(sequence) as f64 + compressed;
            let key = indexer.map_or(0, |i| i.head_dim.div_ceil(2) + i.head_dim.div_ceil(32));
            (entry as f64 * held, key as f64 * compressed)
        }
    }
}
