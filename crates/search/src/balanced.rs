//! The cut of a model's blocks whose slowest stage is fastest.

use crate::family::{Family, PriceBook};
use crate::{Problem, Stem};
use plan::{Block, Layout, Plan};
use program::Schedule;

/// For every number of stages, the contiguous cut whose longest stage takes least: blocks weigh what
/// they compute, forward and backward, for one sequence on one rank; the embedding lies on the first
/// stage, the head on the last, and only those two may hold nothing else.
///
/// Exact for that weight (dynamic programming over all cuts). Not the best cut where communication,
/// recomputation or memory weigh stages differently: the planner prices it beside the others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Balanced {
    /// By number of stages less one.
    cuts: Vec<Option<Vec<u64>>>,
}

impl Balanced {
    /// The cuts of `problem`'s model.
    pub(crate) fn new(problem: &Problem) -> Self {
        let stem = Stem { tensor: 1, context: 1, micro_batch: 1, sequence_parallel: false };
        let kinds = problem.kinds();
        let family = Family::new(problem, &kinds, &stem.alone(), &mut PriceBook::default());
        let seconds = |block: &Block| {
            let kind = kinds.iter().position(|(kind, _)| kind == block).unwrap_or(0);
            let price = &family.prices[kind];
            [price.forward, price.backward_input, price.weight].map(|p| p.cost.seconds).iter().sum()
        };
        let whole = Plan {
            pipeline: 1,
            virtual_pipeline: 1,
            schedule: Schedule::OneFOneB,
            stage_blocks: None,
            recompute: problem.nothing(),
            ..problem.base.clone()
        };
        let layout = Layout::new(&whole, &problem.model);
        let weights: Vec<f64> = layout.stages.iter().flatten().map(seconds).collect();
        let inner = weights.get(1..weights.len().saturating_sub(1)).unwrap_or_default();
        let ends =
            (weights.first().copied().unwrap_or(0.0), weights.last().copied().unwrap_or(0.0));
        Self { cuts: cuts(inner, ends) }
    }

    /// The cut into `stages`, if there are enough blocks.
    pub(crate) fn cut(&self, stages: u64) -> Option<Vec<u64>> {
        self.cuts.get(stages.checked_sub(1)? as usize)?.clone()
    }
}

/// Of blocks that weigh `blocks`, behind `first` on the first stage and before `last` on the last: the
/// min-max cut into 1, 2, .. stages, of those the one that a stage-by-stage choice of least squares
/// finds first.
fn cuts(blocks: &[f64], (first, last): (f64, f64)) -> Vec<Option<Vec<u64>>> {
    let n = blocks.len();
    let mut sums = vec![0.0];
    for weight in blocks {
        sums.push(sums[sums.len() - 1] + weight);
    }
    // best[i]: least (longest, sum of squares) of the first i blocks on the stages so far.
    let join =
        |(longest, squares): (f64, f64), stage: f64| (longest.max(stage), squares + stage * stage);
    let less = |a: (f64, f64), b: Option<(f64, f64)>| {
        b.is_none_or(|b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).is_lt())
    };
    let mut best: Vec<Option<(f64, f64)>> =
        (0..=n).map(|i| Some(join((0.0, 0.0), first + sums[i]))).collect();
    let mut from: Vec<Vec<usize>> = vec![vec![0; n + 1]];
    let mut list = vec![Some(vec![n as u64])];
    for stages in 2..=n + 2 {
        // The last stage takes what is left, nothing at least.
        let mut end: Option<(f64, f64)> = None;
        let mut at = 0;
        for (i, before) in best.iter().enumerate() {
            if let Some(before) = before {
                let all = join(*before, sums[n] - sums[i] + last);
                if less(all, end) {
                    (end, at) = (Some(all), i);
                }
            }
        }
        list.push(end.map(|_| {
            let mut cut = vec![(n - at) as u64];
            let mut i = at;
            for choices in from.iter().skip(1).rev() {
                cut.push((i - choices[i]) as u64);
                i = choices[i];
            }
            cut.push(i as u64);
            cut.reverse();
            cut
        }));
        if stages == n + 2 {
            break;
        }
        // One more stage before the last: one block at least.
        let mut next = vec![None; n + 1];
        let mut choices = vec![0; n + 1];
        for i in 1..=n {
            for j in 0..i {
                let Some(before) = best[j] else { continue };
                let all = join(before, sums[i] - sums[j]);
                if less(all, next[i]) {
                    (next[i], choices[i]) = (Some(all), j);
                }
            }
        }
        best = next;
        from.push(choices);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::cuts;
    use rand_core::Rng;
    use rand_pcg::Pcg64Mcg;

    fn longest(blocks: &[f64], (first, last): (f64, f64), cut: &[u64]) -> f64 {
        let mut at = 0;
        let stages = cut.iter().enumerate().map(|(place, &count)| {
            let own: f64 = blocks[at..at + count as usize].iter().sum();
            at += count as usize;
            let ends = [(place == 0, first), (place + 1 == cut.len(), last)];
            own + ends.iter().filter(|(here, _)| *here).map(|(_, s)| s).sum::<f64>()
        });
        stages.fold(0.0, f64::max)
    }

    /// Every way to put `n` blocks on `stages`, one at least between the ends.
    fn all(n: u64, stages: usize) -> Vec<Vec<u64>> {
        fn go(left: u64, place: usize, stages: usize, cut: &mut Vec<u64>, out: &mut Vec<Vec<u64>>) {
            if place + 1 == stages {
                cut.push(left);
                out.push(cut.clone());
                cut.pop();
                return;
            }
            for count in u64::from(place > 0)..=left {
                cut.push(count);
                go(left - count, place + 1, stages, cut, out);
                cut.pop();
            }
        }
        let mut out = Vec::new();
        go(n, 0, stages, &mut Vec::new(), &mut out);
        out
    }

    #[test]
    fn no_cut_has_a_shorter_longest_stage() {
        let mut random = Pcg64Mcg::new(7);
        for n in 1..=7_u64 {
            let mut weight = || (random.next_u64() % 9) as f64 + 1.0;
            let blocks: Vec<f64> = (0..n).map(|_| weight()).collect();
            let ends = (weight() - 1.0, weight() + 3.0);
            for (stages, cut) in (1..).zip(cuts(&blocks, ends)) {
                let cut = cut.expect("as many stages as blocks and two more");
                assert_eq!((cut.len(), cut.iter().sum::<u64>()), (stages, n));
                let least =
                    all(n, stages).iter().map(|c| longest(&blocks, ends, c)).fold(1e9, f64::min);
                assert!((longest(&blocks, ends, &cut) - least).abs() < 1e-9, "{cut:?} {blocks:?}");
            }
        }
    }
}
