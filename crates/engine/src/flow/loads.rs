//! How evenly tokens go to experts.

use diagnostic::Diagnostic;
use model::Axis;
use program::Program;
use std::collections::BTreeMap;

/// Tokens of each rank of an expert group, over their mean.
pub(super) struct Loads {
    by_holder: Vec<f64>,
    /// Places between a holder and the next.
    stride: u64,
}

impl Loads {
    /// Loads of `program`, of which a stage has `width` ranks, when its experts get `tokens` each;
    /// even if none are given.
    ///
    /// # Errors
    /// Loads that are not those of the program's experts.
    pub(super) fn new(program: &Program, width: u64, tokens: &[f64]) -> Result<Self, Diagnostic> {
        if tokens.is_empty() {
            return Ok(Self { by_holder: vec![1.0], stride: 1 });
        }
        let bad = |message: String| Diagnostic::error("flow::experts", message);
        let experts = program.routing.map_or(0, |r| r.experts);
        if tokens.len() as u64 > experts {
            let message =
                format!("loads of {} experts; the model routes to {experts}", tokens.len());
            return Err(bad(message));
        }
        // Experts at the end that no token went to need not be named.
        let mut tokens = tokens.to_vec();
        tokens.resize(experts as usize, 0.0);
        let sum: f64 = tokens.iter().sum();
        if !sum.is_finite() || sum <= 0.0 || tokens.iter().any(|t| *t < 0.0) {
            return Err(bad("loads must be numbers from 0 up, not all 0".to_owned()));
        }
        let group = program.group(Axis::Expert);
        let ranks = group.size.max(1);
        let each = tokens.len() / ranks as usize;
        if each == 0 || !experts.is_multiple_of(ranks) {
            return Err(bad(format!("{experts} experts do not divide over {ranks} ranks")));
        }
        let load = |held: &[f64]| held.iter().sum::<f64>() / sum * ranks as f64;
        // Where pipeline ranks stand between expert ranks, places are as many ranks apart.
        let stages = program.ranks / width.max(1);
        let between = program.group(Axis::Pipeline).stride < group.stride && stages > 1;
        let stride = if between { group.stride / stages } else { group.stride };
        Ok(Self { by_holder: tokens.chunks(each).map(load).collect(), stride: stride.max(1) })
    }

    /// Whether ranks differ.
    pub(super) fn are_uneven(&self) -> bool {
        self.by_holder.iter().any(|l| *l != self.by_holder[0])
    }

    /// Load of the rank at `place` of its stage.
    pub(super) fn at(&self, place: u64) -> f64 {
        self.by_holder[(place / self.stride % self.by_holder.len() as u64) as usize]
    }

    /// Ranks of a block of `block` places by the bits of their load.
    pub(super) fn in_a_block(&self, block: u64) -> BTreeMap<u64, u64> {
        let mut ranks = BTreeMap::new();
        for place in 0..block {
            *ranks.entry(self.at(place).to_bits()).or_default() += 1;
        }
        ranks
    }
}
