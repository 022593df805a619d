//! What a program runs on.

use crate::sampling::normal_quantile;
use catalog::{Cluster, Precision, Stack};
use kernel::Calibration;
use units::{Figure, Origin, Unit};

/// A cluster with the calibration of its chip and the number formats of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Chips and fabric.
    pub cluster: Cluster,
    /// Efficiency of kernels on the chip.
    pub calibration: Calibration,
    /// Factor on every kernel's time: 1, as wide as the calibration can be trusted here.
    pub kernel_time: Figure,
    /// Whether the calibration was measured on this chip.
    pub own_calibration: bool,
    /// What the training framework adds to its kernels.
    pub stack: Stack,
    /// Number formats.
    pub precision: Precision,
    /// Ranks that wait for each other every step; 1 for a chip on its own.
    pub ranks: u64,
}

impl Machine {
    /// The machine of `cluster` with its chip's own calibration or the nearest relative's, and its
    /// family's usual software stack.
    ///
    /// # Errors
    /// No calibration or no stack serves the chip.
    pub fn new(cluster: Cluster, precision: Precision) -> Result<Self, diagnostic::Diagnostics> {
        let (calibration, borrowed) = kernel::for_chip(&cluster.chip)?;
        let stack = catalog::stack_for(&cluster.chip.family)?;
        let (kernel_time, own_calibration) = (borrowed.factor, borrowed.own);
        Ok(Self { cluster, calibration, kernel_time, own_calibration, stack, precision, ranks: 1 })
    }

    /// The same with a named calibration, measured on this very machine.
    ///
    /// # Errors
    /// An unknown calibration.
    pub fn with_calibration(
        cluster: Cluster,
        precision: Precision,
        id: &str,
    ) -> Result<Self, diagnostic::Diagnostics> {
        Self::calibrated(cluster, precision, kernel::calibration(id)?)
    }

    /// The same with a calibration at hand; the clock its machine keeps stands before the chip's.
    ///
    /// # Errors
    /// No stack serves the chip.
    pub fn calibrated(
        mut cluster: Cluster,
        precision: Precision,
        calibration: Calibration,
    ) -> Result<Self, diagnostic::Diagnostics> {
        let kernel_time = Figure::ranged(
            1.0,
            (calibration.range.low, calibration.range.high),
            Unit::Ratio,
            Origin::Measured,
            calibration.range.source.clone(),
        );
        let own_calibration = calibration.chip == cluster.chip.id;
        if let Some(clock) = &calibration.sustained {
            cluster.chip.sustained = clock.clone();
        }
        let stack = catalog::stack_for(&cluster.chip.family)?;
        Ok(Self { cluster, calibration, kernel_time, own_calibration, stack, precision, ranks: 1 })
    }

    /// Whether kernels of this very chip were measured; a maker's planning constants are none.
    pub fn own_kernels(&self) -> bool {
        let measured = |surface: &kernel::SurfaceEntry| surface.origin == Origin::Measured;
        self.own_calibration && self.calibration.surfaces.iter().any(measured)
    }

    /// The same machine under another software stack.
    #[must_use]
    pub fn with_stack(self, stack: Stack) -> Self {
        Self { stack, ..self }
    }

    /// The same machine for a job of `ranks` ranks.
    #[must_use]
    pub fn with_ranks(self, ranks: u64) -> Self {
        Self { ranks, ..self }
    }

    /// How much longer the slowest of the job's chips takes than their mean: 1 + σ·z(n), with the
    /// spread σ of chips and the mean z of the largest of n standard normals (Blom's approximation,
    /// `Φ⁻¹((n - 3/8)/(n + 1/4))`). Not valid for faulty chips, which are outliers.
    pub fn slowest(&self) -> f64 {
        let n = self.ranks.max(1) as f64;
        let z = if self.ranks <= 1 { 0.0 } else { normal_quantile((n - 0.375) / (n + 0.25)) };
        1.0 + self.cluster.chip.spread.value * z
    }

    /// Speed of the stack's products in `dtype` over the calibration's.
    pub fn product_share(&self, dtype: catalog::Dtype) -> f64 {
        let own = self.stack.fp8.get(&self.cluster.chip.family);
        if dtype == catalog::Dtype::Fp8 { own.map_or(1.0, |f| f.value) } else { 1.0 }
    }

    /// The same for products that give weight gradients.
    pub fn weight_share(&self, dtype: catalog::Dtype) -> f64 {
        let own = self.stack.fp8_weight.get(&self.cluster.chip.family);
        match own {
            Some(own) if dtype == catalog::Dtype::Fp8 => own.value,
            _ => self.product_share(dtype),
        }
    }

    /// Speed of the stack's fused attention over the calibration's.
    pub fn attention_share(&self) -> f64 {
        self.stack.attention.get(&self.cluster.chip.family).map_or(1.0, |f| f.value)
    }

    /// Share of a port's rate that exchanges reach which send a token once among `nodes` nodes; `None`
    /// where it is not measured.
    pub fn relayed_share(&self, nodes: u64) -> Option<f64> {
        let family = &self.cluster.chip.family;
        let among = self.stack.relayed.get(family);
        let pair = self.stack.relayed_pair.get(family).filter(|_| nodes <= 2);
        pair.or(among).map(|share| share.value)
    }

    /// Vector operations in whose time the stack's element-wise kernels without vector loads move one
    /// element.
    pub fn element_operations(&self) -> f64 {
        self.stack.element_operations.get(&self.cluster.chip.family).map_or(0.0, |f| f.value)
    }

    /// Every figure the answer depends on, by path.
    pub fn figures(&self) -> Vec<(String, &Figure)> {
        let mut all = self.cluster.figures();
        all.extend(self.stack.figures());
        all.push(("calibration.kernel_time".into(), &self.kernel_time));
        all.push(("calibration.memory_efficiency".into(), &self.calibration.memory.efficiency));
        all.push(("calibration.backward_attention".into(), &self.calibration.backward.attention));
        all
    }

    /// The same in the same order, to be set to an end of its range.
    pub fn figures_mut(&mut self) -> Vec<&mut Figure> {
        let mut all = self.cluster.figures_mut();
        all.extend(self.stack.figures_mut());
        all.push(&mut self.kernel_time);
        all.push(&mut self.calibration.memory.efficiency);
        all.push(&mut self.calibration.backward.attention);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn figures_are_set_in_the_order_of_their_paths() {
        let cluster = catalog::cluster("dgx-h100").unwrap();
        let precision = catalog::recipe("llama-3.1-405b").unwrap().precision;
        let mut machine = Machine::new(cluster, precision).unwrap();
        for (place, figure) in machine.figures_mut().into_iter().enumerate() {
            figure.value = place as f64;
        }
        let values = machine.figures().into_iter().map(|(_, figure)| figure.value);
        assert!(values.eq((0..machine.figures().len()).map(|place| place as f64)));
    }

    #[test]
    fn more_chips_wait_for_a_slower_one() {
        let cluster = catalog::cluster("dgx-h100").unwrap();
        let precision = catalog::recipe("llama-3.1-405b").unwrap().precision;
        let machine = Machine::new(cluster, precision).unwrap();
        let slowest = |n| machine.clone().with_ranks(n).slowest();
        assert!((slowest(1) - 1.0).abs() < 1e-12);
        // The largest of 8 and of 1,024 standard normals: 1.424 and 3.24.
        assert!((slowest(8) - 1.0 - 0.015 * 1.424).abs() < 2e-4, "{}", slowest(8));
        assert!((slowest(1024) - 1.0 - 0.015 * 3.24).abs() < 3e-4, "{}", slowest(1024));
    }
}
