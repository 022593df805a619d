//! How much context a query sees: closed forms, exact for every sequence length.

use crate::Attention;

/// Mean entries one query meets in a causal sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visible {
    /// Uncompressed keys attended to: the causal prefix, its window, or the indexer's choice of it.
    pub window: f64,
    /// Compressed entries attended to besides (V4 only).
    pub compressed: f64,
    /// Entries the indexer scores, attended to or not.
    pub scored: f64,
}

impl Visible {
    /// Entries attended to, compressed or not.
    pub fn attended(&self) -> f64 {
        self.window + self.compressed
    }
}

/// Mean entries per query over the positions 0..`sequence` of one causal sequence.
///
/// Position t (from 0) sees min(window, t + 1) keys, ⌊(t + 1) / ratio⌋ compressed entries, and of
/// what an indexer scores at most its `topk` (DeepSeek-V4 report, arXiv 2606.19348, section 2.3;
/// DeepSeek-V3.2, arXiv 2512.02556). Not valid for packed sequences, which see less.
///
/// ```
/// use model::{Attention, visible};
/// let window_only = Attention::Compressed {
///     heads: 128, head_dim: 512, rope_dim: 64, q_rank: 1536, o_groups: 16, o_rank: 1024,
///     window: 128, ratio: 0, indexer: None,
/// };
/// // 128 - 128·127 / (2·4096)
/// assert_eq!(visible(&window_only, 4096).window, 126.015_625);
/// ```
pub fn visible(attention: &Attention, sequence: u64) -> Visible {
    let plain = |window| Visible { window, compressed: 0.0, scored: 0.0 };
    if sequence == 0 {
        return plain(0.0);
    }
    match *attention {
        Attention::Grouped { window, .. } => {
            plain(mean_capped(window.unwrap_or(sequence), 1, sequence))
        }
        Attention::Latent { indexer: None, .. } => plain(mean_capped(sequence, 1, sequence)),
        Attention::Latent { indexer: Some(indexer), .. } => Visible {
            window: mean_capped(indexer.topk, 1, sequence),
            compressed: 0.0,
            scored: mean_capped(sequence, 1, sequence),
        },
        Attention::Compressed { window, ratio, indexer, .. } => {
            let window = mean_capped(window, 1, sequence);
            if ratio == 0 {
                return plain(window);
            }
            let entries = mean_capped(sequence, ratio, sequence);
            match indexer {
                None => Visible { window, compressed: entries, scored: 0.0 },
                Some(indexer) => Visible {
                    window,
                    compressed: mean_capped(indexer.topk, ratio, sequence),
                    scored: entries,
                },
            }
        }
    }
}

/// Mean of min(`cap`, ⌊u / `ratio`⌋) over u = 1..=`sequence`; summed in integers, so exact.
fn mean_capped(cap: u64, ratio: u64, sequence: u64) -> f64 {
    // Below `first` no position reaches the cap; from `first` on every one does.
    let first = u128::from(cap) * u128::from(ratio);
    let sequence = u128::from(sequence);
    let sum = if sequence < first {
        sum_of_floors(sequence, ratio)
    } else {
        // `cap` 0 leaves nothing to sum.
        sum_of_floors(first.saturating_sub(1), ratio) + (sequence + 1 - first) * u128::from(cap)
    };
    sum as f64 / sequence as f64
}

/// Sum of ⌊u / `ratio`⌋ over u = 1..=`last`.
fn sum_of_floors(last: u128, ratio: u64) -> u128 {
    let ratio = u128::from(ratio);
    let (quotient, rest) = (last / ratio, last % ratio);
    ratio * quotient * quotient.saturating_sub(1) / 2 + quotient * (rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Indexer;

    fn compressed(ratio: u64, topk: Option<u64>) -> Attention {
        let indexer = topk.map(|topk| Indexer { heads: 64, head_dim: 128, topk });
        Attention::Compressed {
            heads: 128,
            head_dim: 512,
            rope_dim: 64,
            q_rank: 1536,
            o_groups: 16,
            o_rank: 1024,
            window: 128,
            ratio,
            indexer,
        }
    }

    /// The definition, position by position.
    fn brute(ratio: u64, topk: Option<u64>, sequence: u64) -> Visible {
        let mut sums = [0u64; 3];
        for u in 1..=sequence {
            let entries = u.checked_div(ratio).unwrap_or(0);
            sums[0] += u.min(128);
            sums[1] += topk.map_or(entries, |k| k.min(entries));
            sums[2] += if topk.is_some() { entries } else { 0 };
        }
        let mean = |sum: u64| sum as f64 / sequence as f64;
        Visible { window: mean(sums[0]), compressed: mean(sums[1]), scored: mean(sums[2]) }
    }

    #[test]
    fn closed_forms_equal_the_sum_over_positions() {
        for sequence in [1, 2, 3, 4, 5, 127, 128, 129, 255, 256, 1000, 4095, 4096, 4097] {
            for (ratio, topk) in [(0, None), (4, Some(16)), (4, Some(1024)), (128, None)] {
                let got = visible(&compressed(ratio, topk), sequence);
                let expected = brute(ratio, topk, sequence);
                assert_eq!(got, expected, "ratio {ratio} topk {topk:?} sequence {sequence}");
            }
        }
    }

    #[test]
    fn extreme_lengths_neither_panic_nor_overflow() {
        for sequence in [0, 1, u64::MAX] {
            for (ratio, topk) in [(0, None), (4, Some(0)), (u64::MAX, Some(u64::MAX)), (1, None)] {
                let got = visible(&compressed(ratio, topk), sequence);
                assert!(got.attended().is_finite() && got.scored.is_finite());
            }
        }
    }

    #[test]
    fn an_indexer_scores_everything_and_keeps_at_most_topk() {
        let latent = Attention::Latent {
            heads: 128,
            q_rank: 1536,
            kv_rank: 512,
            nope_dim: 128,
            rope_dim: 64,
            v_dim: 128,
            indexer: Some(Indexer { heads: 64, head_dim: 128, topk: 2048 }),
        };
        let got = visible(&latent, 1 << 20);
        assert!((got.scored - f64::from((1 << 20) + 1) / 2.0).abs() < 1e-6);
        assert!(got.attended() < 2048.0 && got.attended() > 2040.0);
    }
}
