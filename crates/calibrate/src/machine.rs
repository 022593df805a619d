//! What the measured chip can do at most; measurements are reduced to shares of it.

use catalog::{Chip, Dtype};
use kernel::{Load, Operation, Waves, load};
use model::Work;
use std::collections::BTreeMap;

/// Peaks of the measured chip.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Matrix peaks by format. FLOP/s.
    pub matrix: BTreeMap<Dtype, f64>,
    /// Memory bandwidth. Bytes/s.
    pub memory: f64,
    /// One direction of a chip's scale-up links; 0 if not known. Bytes/s.
    pub link: f64,
    /// Cores, where known.
    pub cores: Option<f64>,
    /// Time of a matrix kernel beyond its work. Seconds.
    pub fixed_s: f64,
}

impl Machine {
    /// The chip by its data sheet.
    pub fn of(chip: &Chip, link: f64, cores: Option<f64>) -> Self {
        let matrix = chip.matrix.iter().map(|(dtype, figure)| (*dtype, figure.value)).collect();
        Self { matrix, memory: chip.memory_bandwidth.value, link, cores, fixed_s: 0.0 }
    }

    /// Peak of a format. FLOP/s.
    pub fn peak(&self, dtype: Dtype) -> Option<f64> {
        self.matrix.get(&dtype).copied()
    }

    /// Roofline time (seconds) and place of a load, in whole `waves` of tiles if it is of those.
    pub fn part(&self, load: &Load, dtype: Dtype, waves: Option<Waves>) -> (f64, [f64; 3]) {
        let peak = self.peak(dtype).unwrap_or(f64::INFINITY);
        let rounds = match waves {
            Some(waves) if load.operation == Operation::Gemm => {
                waves.factor(load.point[0], load.point[1])
            }
            _ => 1.0,
        };
        let ideal = (load.matrix_flops / peak * rounds).max(load.bytes / self.memory);
        (ideal, load.point.map(libm::log))
    }

    /// Roofline time of a work. Seconds.
    pub fn ideal(&self, work: &Work, dtype: Dtype, waves: Option<Waves>) -> f64 {
        self.part(&load(work, dtype), dtype, waves).0
    }
}
