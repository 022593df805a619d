//! What the ranks of a plan hold, exactly and from below.

use super::Evaluator;
use crate::bound::{ROUNDING, weights_bound_bytes};
use crate::contents::ties_apart;

impl Evaluator<'_> {
    /// Peak memory of every rank, into `bytes`; returns the largest. Bytes.
    pub(crate) fn memory(&mut self, ranks: &[u32], slot: usize, bytes: &mut Vec<f64>) -> f64 {
        let ties = ties_apart(self.problem, &self.plan);
        bytes.clear();
        for (rank, &content) in (0..).zip(ranks) {
            let peak = self.peak(rank, content, slot, ties);
            bytes.push(peak);
        }
        bytes.iter().copied().fold(0.0, f64::max)
    }

    /// Peak memory of `rank`, with a copy of tied weights on the last where `ties`. Bytes.
    fn peak(&mut self, rank: u64, content: u32, slot: usize, ties: bool) -> f64 {
        let mut holds = *self.weighed(slot, content);
        if ties && rank + 1 == self.plan.pipeline {
            holds.add_tied_copy(&self.plan, &self.problem.model);
        }
        let alive = self.plan.in_flight(self.micro_batches, rank);
        holds.peak(&self.plan, &self.problem.recipe, alive).total()
    }

    /// Whether every rank fits in `room`, and if so the largest peak. Bytes.
    pub(crate) fn fits(&mut self, ranks: &[u32], slot: usize, room: f64) -> Option<f64> {
        let ties = ties_apart(self.problem, &self.plan);
        let mut most = 0.0_f64;
        for (rank, &content) in (0..).zip(ranks) {
            most = most.max(self.peak(rank, content, slot, ties));
            if most > room {
                return None;
            }
        }
        Some(most)
    }

    /// Least that the fullest rank can hold when tensors, or (`whole`) blocks, are recomputed; of some
    /// rank that exceeds `room`, if one does. Bytes.
    ///
    /// Proof. A rank with k activations of each of its chunks alive holds k·Σkept + max working over
    /// its blocks. Recomputed tensors of the block that runs backward are back, so its kept and
    /// working bytes together are at least all it saves and its gradients, A; with any block b
    /// that is at least k·Σleast kept + (A_b - least kept_b), since k ≥ 1.
    pub(crate) fn least_memory(&mut self, ranks: &[u32], whole: bool, room: f64) -> f64 {
        let nothing = self.nothing();
        let mut most = 0.0_f64;
        for (r, &content) in ranks.iter().enumerate() {
            let mut holds = *self.weighed(nothing, content);
            let of = &self.contents.list[content as usize];
            let counts = of.counts.iter().enumerate();
            (holds.kept, holds.working) = (0.0, 0.0);
            for (kind, times) in counts.filter(|(_, times)| times.0 + times.1 > 0) {
                let least = self.least[kind];
                let kept = if whole { least.kept_whole } else { least.kept_tags };
                holds.kept += kept * f64::from(times.0 + times.1);
                holds.working = holds.working.max(least.at_once - kept);
            }
            let alive = self.plan.in_flight(self.micro_batches, r as u64);
            most = most.max(holds.peak(&self.plan, &self.problem.recipe, alive).total());
            if most * (1.0 - ROUNDING) > room {
                break;
            }
        }
        most
    }

    /// Least memory of the weights, gradients and optimizer state of the plan's fullest rank
    /// ([`weights_bound_bytes`]). Bytes.
    pub(crate) fn weights_bound(&self) -> f64 {
        weights_bound_bytes(self.problem, &self.plan, &self.kinds, &self.family.memory)
    }
}
