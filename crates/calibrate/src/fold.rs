//! Cross-validation in blocks: points of one block are never on both sides.

/// Folds.
pub const FOLDS: usize = 5;

/// The fold of each point. Points of the same block fall into the same fold; blocks, in their order,
/// are dealt by a fixed shuffle.
pub fn folds(blocks: &[u64]) -> Vec<usize> {
    let mut distinct = blocks.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let fold = |block: &u64| distinct.partition_point(|d| d < block) * 7919 % 1009 % FOLDS;
    blocks.iter().map(fold).collect()
}

/// A block's name for a shape: FNV-1a over its numbers, the same on every machine.
pub fn block(shape: &[u64]) -> u64 {
    let bytes = shape.iter().flat_map(|n| n.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Median and 90th percentile of errors; `None` of none.
pub fn quantiles(mut errors: Vec<f64>) -> Option<(f64, f64)> {
    errors.sort_by(f64::total_cmp);
    let at = |q: f64| errors[((errors.len() - 1) as f64 * q) as usize];
    (!errors.is_empty()).then(|| (at(0.5), at(0.9)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_never_on_both_sides() {
        let blocks: Vec<u64> = (0..400).map(|i| block(&[i / 8, 3])).collect();
        let folds = folds(&blocks);
        for (a, b) in blocks.iter().zip(&folds) {
            assert!(blocks.iter().zip(&folds).all(|(c, d)| a != c || b == d));
        }
        for fold in 0..FOLDS {
            let size = folds.iter().filter(|f| **f == fold).count();
            assert!((40..=130).contains(&size), "{fold}: {size}");
        }
    }

    #[test]
    fn quantiles_are_of_the_sorted_errors() {
        assert_eq!(quantiles((0..=10).rev().map(f64::from).collect()), Some((5.0, 9.0)));
        assert_eq!(quantiles(Vec::new()), None);
    }
}
