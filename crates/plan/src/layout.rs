//! Blocks onto pipeline stages.

use crate::{FullBlocks, Plan};
use model::{Architecture, Layer};

/// The blocks of each stage and the stages of each rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Blocks of each stage, first to last.
    pub stages: Vec<Vec<Block>>,
}

/// One thing a stage holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Block {
    /// The embedding table.
    Embedding,
    /// A block of the main model; `full` if the backward pass recomputes it whole.
    Layer {
        /// What it is.
        layer: Layer,
        /// Recomputed whole.
        full: bool,
    },
    /// A multi-token-prediction block.
    Mtp {
        /// What it is.
        layer: Layer,
        /// Recomputed whole.
        full: bool,
    },
    /// Final norm, output head and loss.
    Head,
}

impl Layout {
    /// Cuts the model's blocks into the plan's stages: as given, or evenly with the short stages
    /// last and first, where the head and the embedding are, then from the end.
    ///
    /// The embedding is on the first stage, multi-token prediction and the head on the last.
    pub fn new(plan: &Plan, model: &Architecture) -> Self {
        let stages = plan.stages() as usize;
        let counts = match &plan.stage_blocks {
            Some(counts) => counts.iter().map(|&c| c as usize).collect(),
            None => even(model.layers.len() + model.mtp.len(), stages),
        };
        let mut blocks = model
            .layers
            .iter()
            .map(|&layer| (layer, false))
            .chain(model.mtp.iter().map(|&layer| (layer, true)));
        let mut cut: Vec<Vec<Block>> = counts
            .iter()
            .map(|&count| {
                let full = match plan.recompute.blocks {
                    FullBlocks::None => 0,
                    FullBlocks::PerStage(n) => n as usize,
                    FullBlocks::All => usize::MAX,
                };
                blocks
                    .by_ref()
                    .take(count)
                    .enumerate()
                    .map(|(i, (layer, is_mtp))| {
                        if is_mtp {
                            Block::Mtp { layer, full: i < full }
                        } else {
                            Block::Layer { layer, full: i < full }
                        }
                    })
                    .collect()
            })
            .collect();
        if let Some(first) = cut.first_mut() {
            first.insert(0, Block::Embedding);
        }
        if let Some(last) = cut.last_mut() {
            last.push(Block::Head);
        }
        Self { stages: cut }
    }

    /// The stages that `rank` of the plan's pipeline holds, one a chunk.
    pub fn chunks<'a>(&'a self, plan: &'a Plan, rank: u64) -> impl Iterator<Item = &'a [Block]> {
        let chunks = plan.schedule.chunks(plan.virtual_pipeline);
        (0..chunks).map(move |chunk| {
            let stage = plan.schedule.stage_of(plan.pipeline, rank, chunk);
            self.stages[stage as usize].as_slice()
        })
    }
}

/// The cut of `blocks` into `stages` that a plan without `stage_blocks` gets.
///
/// ```
/// assert_eq!(plan::even_cut(8, 3), [3, 3, 2]);
/// ```
pub fn even_cut(blocks: u64, stages: u64) -> Vec<u64> {
    even(blocks as usize, stages as usize).into_iter().map(|n| n as u64).collect()
}

/// `blocks` over `stages`, differing by at most one; short ones last, first, then from the end.
fn even(blocks: usize, stages: usize) -> Vec<usize> {
    let (floor, long) = (blocks / stages, blocks % stages);
    let mut counts = vec![floor + usize::from(long > 0); stages];
    if long > 0 {
        let order = std::iter::once(stages - 1).chain(0..1).chain((1..stages - 1).rev());
        for stage in order.take(stages - long) {
            counts[stage] = floor;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::even;

    #[test]
    fn short_stages_are_at_the_ends() {
        assert_eq!(even(126, 16), [7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7]);
        assert_eq!(even(8, 4), [2, 2, 2, 2]);
        assert_eq!(even(5, 4), [1, 2, 1, 1]);
        assert_eq!(even(3, 1), [3]);
        assert_eq!(even(3, 2), [2, 1]);
        assert_eq!(even(2, 4), [0, 1, 1, 0]);
    }
}
