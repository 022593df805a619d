//! What pipeline ranks hold, named once: layouts of different plans share most of it.

use crate::Problem;
use plan::{Block, FullBlocks, Layout, Plan};
use rustc_hash::FxHashMap;

/// Blocks of one rank by kind: `(plain, recomputed whole)`, and the chunks they lie in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    pub chunks: u64,
    pub counts: Vec<(u32, u32)>,
}

/// The content of every rank for one way of laying the blocks.
pub(crate) type Ranks = Vec<u32>;

/// A way of laying the blocks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    schedule: u32,
    pipeline: u64,
    virtual_pipeline: u64,
    cut: u32,
    /// Blocks of each stage recomputed whole; `u64::MAX` for all.
    full: u64,
}

/// Contents and layouts met so far.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub list: Vec<Content>,
    ids: FxHashMap<Content, u32>,
    layouts: FxHashMap<Key, Ranks>,
}

impl Contents {
    /// The contents of each rank of `plan`, cut number `cut` of its stage count.
    pub(crate) fn layout(
        &mut self,
        problem: &Problem,
        kinds: &[(Block, u64)],
        plan: &mut Plan,
        (cut, blocks): (u32, Option<&Vec<u64>>),
        full: FullBlocks,
    ) -> &Ranks {
        let key = Key {
            schedule: plan.schedule as u32,
            pipeline: plan.pipeline,
            virtual_pipeline: plan.virtual_pipeline,
            cut,
            full: match full {
                FullBlocks::None => 0,
                FullBlocks::PerStage(n) => n,
                FullBlocks::All => u64::MAX,
            },
        };
        if !self.layouts.contains_key(&key) {
            plan.stage_blocks = blocks.cloned();
            plan.recompute.blocks = full;
            let layout = Layout::new(plan, &problem.model);
            let chunks = plan.schedule.chunks(plan.virtual_pipeline);
            let ranks = (0..plan.pipeline).map(|rank| {
                let mut counts = vec![(0, 0); kinds.len()];
                for block in layout.chunks(plan, rank).flatten() {
                    let (kind, whole) = kind_of(kinds, block);
                    if whole {
                        counts[kind].1 += 1;
                    } else {
                        counts[kind].0 += 1;
                    }
                }
                Content { chunks, counts }
            });
            let ranks: Vec<Content> = ranks.collect();
            plan.stage_blocks = None;
            plan.recompute.blocks = FullBlocks::None;
            let ids = ranks.into_iter().map(|content| self.id(content)).collect();
            self.layouts.insert(key.clone(), ids);
        }
        &self.layouts[&key]
    }

    fn id(&mut self, content: Content) -> u32 {
        if let Some(id) = self.ids.get(&content) {
            return *id;
        }
        let id = self.list.len() as u32;
        self.list.push(content.clone());
        self.ids.insert(content, id);
        id
    }
}

/// Number of a block's kind, and whether it is recomputed whole.
fn kind_of(kinds: &[(Block, u64)], block: &Block) -> (usize, bool) {
    let (plain, whole) = match *block {
        Block::Layer { layer, full } => (Block::Layer { layer, full: false }, full),
        Block::Mtp { layer, full } => (Block::Mtp { layer, full: false }, full),
        other => (other, false),
    };
    (kinds.iter().position(|(kind, _)| *kind == plain).unwrap_or(0), whole)
}

/// Whether the two uses of a tied embedding lie on different ranks, as [`plan::Shape`] says.
pub(crate) fn ties_apart(problem: &Problem, plan: &Plan) -> bool {
    let shape = plan::Shape::new(plan, &problem.model, problem.batch_sequences, problem.sequence);
    shape.is_some_and(|s| s.ties_apart)
}
