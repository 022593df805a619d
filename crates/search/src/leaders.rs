//! The best plans so far.

use plan::Plan;
use program::Overlap;
use std::cmp::Ordering;

/// A plan that fits, with its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Duration of a step. Seconds.
    pub step_s: f64,
    /// The plan.
    pub plan: Plan,
    /// Peak memory of the fullest rank. Bytes.
    pub peak_bytes: f64,
}

impl Found {
    /// Total order: time, then memory, then [`Found::tie_break`].
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        self.step_s
            .total_cmp(&other.step_s)
            .then_with(|| self.peak_bytes.total_cmp(&other.peak_bytes))
            .then_with(|| self.tie_break().cmp(&other.tie_break()))
    }

    /// What decides between plans of the same time and memory, compared word by word: degrees, then
    /// options. Of no meaning by itself; parts of a search that ran apart are joined by it.
    pub fn tie_break(&self) -> Vec<u64> {
        let p = &self.plan;
        let tags = plan::tag_bits(&p.recompute.tags);
        let mut words = vec![p.tensor, p.context, p.pipeline, p.virtual_pipeline];
        words.extend([p.expert, p.expert_tensor, p.micro_batch, u64::from(p.sequence_parallel)]);
        words.extend([p.zero as u64, p.schedule as u64, u64::from(p.pipeline_innermost)]);
        words.extend([u64::from(tags.count_ones()), u64::from(tags), blocks(p)]);
        words.extend(idle(p).map(u64::from));
        words.extend(p.stage_blocks.iter().flatten());
        words
    }

    /// The plan's layout, whatever its options: degrees, schedule, and the tokens of a micro-batch on a
    /// rank (context ranks and sequences a micro-batch in the same proportion are one layout). Plans
    /// agree in it or are of different layouts; of no meaning by itself.
    pub fn layout(&self) -> [u64; 8] {
        let p = &self.plan;
        let common = crate::twin::gcd(p.context, p.micro_batch).max(1);
        [
            p.tensor,
            p.context / common,
            p.micro_batch / common,
            p.pipeline,
            p.virtual_pipeline,
            p.expert,
            p.expert_tensor,
            p.schedule as u64,
        ]
    }
}

/// Whether nothing runs beside compute, switch by switch.
fn idle(plan: &Plan) -> [bool; 6] {
    let Overlap { gradient_reduce, parameter_gather, expert, tensor, context, pipeline } =
        plan.overlap;
    [gradient_reduce, parameter_gather, expert, tensor, context, pipeline].map(|used| !used)
}

fn blocks(plan: &Plan) -> u64 {
    match plan.recompute.blocks {
        plan::FullBlocks::None => 0,
        plan::FullBlocks::PerStage(n) => n,
        plan::FullBlocks::All => u64::MAX,
    }
}

/// The best plans, each of another layout (degrees, schedule, tokens of a micro-batch on a rank), best
/// first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leaders {
    /// Best first.
    pub list: Vec<Found>,
    top: usize,
}

impl Leaders {
    /// Keeps the best `top`.
    pub fn new(top: usize) -> Self {
        Self { list: Vec::new(), top: top.max(1) }
    }

    /// The time above which a plan changes nothing. Seconds.
    pub fn threshold_s(&self) -> f64 {
        if self.list.len() < self.top {
            f64::INFINITY
        } else {
            self.list.last().map_or(f64::INFINITY, |found| found.step_s)
        }
    }

    /// Keeps `found` if it is among the best.
    pub fn offer(&mut self, found: Found) {
        if let Some(at) = self.list.iter().position(|known| known.layout() == found.layout()) {
            if found.order(&self.list[at]).is_ge() {
                return;
            }
            self.list.remove(at);
        }
        let at = self.list.partition_point(|known| known.order(&found).is_lt());
        self.list.insert(at, found);
        self.list.truncate(self.top);
    }

    /// Keeps the best of both.
    pub fn merge(&mut self, other: &Self) {
        for found in &other.list {
            self.offer(found.clone());
        }
    }
}

/// A plan that would be fast but does not fit.
pub type NearMiss = Found;

/// Plans that do not fit, none both slower and larger than another; by memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NearMisses(Vec<NearMiss>);

impl NearMisses {
    /// Whether a plan of `peak_bytes` and `step_s` adds to them.
    pub(crate) fn wants(&self, step_s: f64, peak_bytes: f64) -> bool {
        !self.0.iter().any(|known| known.step_s <= step_s && known.peak_bytes <= peak_bytes)
    }

    pub(crate) fn offer(&mut self, found: NearMiss) {
        if self.wants(found.step_s, found.peak_bytes) {
            self.0.retain(|k| k.step_s < found.step_s || k.peak_bytes < found.peak_bytes);
            let at = self.0.partition_point(|known| known.peak_bytes < found.peak_bytes);
            self.0.insert(at, found);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for found in &other.0 {
            self.offer(found.clone());
        }
    }

    /// The one that lacks least memory of those faster than `step_s`.
    pub(crate) fn nearest(&self, step_s: f64) -> Option<&NearMiss> {
        self.0.iter().find(|known| known.step_s < step_s)
    }
}
