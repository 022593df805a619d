//! What is known of how well kernels run on one chip and software stack.

use crate::curve::Curve;
use crate::surface::Surface;
use catalog::Dtype;
use std::collections::BTreeMap;
use units::{Figure, Origin};

/// Kinds of kernels, each with its surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Dense product; axes m, n, k.
    Gemm,
    /// Expert products; axes rows per group, groups, the geometric mean of n and k.
    GroupedGemm,
    /// Fused attention; axes mean keys per query, rows × heads, mean of `d_qk` and `d_v`.
    Attention,
    /// The whole backward pass of attention on 2.5 times its FLOPs; axes as attention. Read from the
    /// attention surface where no kernel of as wide operands was measured.
    AttentionBackward,
    /// Attention to keys that each query gathers for itself, under one wide key-value head that all its
    /// heads share, so that a query's heads are the rows of its products (sparse latent attention; V4's
    /// core). Axes mean keys per query, heads, mean of `d_qk` and `d_v`. Read as attention where it has
    /// no surface.
    Gathered,
    /// The whole backward pass of it on 2.5 times its FLOPs; axes as forward. Read as attention's
    /// backward pass where it has no surface.
    GatheredBackward,
    /// Index scores; axes as attention. Read from the attention surface where it has none.
    Scores,
    /// Memory-bound work; no surface, one figure.
    Memory,
}

impl Operation {
    /// Those that have surfaces, with their word.
    pub const WORDS: [(Self, &'static str); 7] = [
        (Self::Gemm, "gemm"),
        (Self::GroupedGemm, "grouped-gemm"),
        (Self::Attention, "attention"),
        (Self::AttentionBackward, "attention-backward"),
        (Self::Gathered, "gathered-attention"),
        (Self::GatheredBackward, "gathered-attention-backward"),
        (Self::Scores, "scores"),
    ];
}

/// One surface with where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceEntry {
    /// Kernel kind.
    pub operation: Operation,
    /// Operand format.
    pub dtype: Dtype,
    /// Share of the roofline reached, over shape.
    pub surface: Surface,
    /// Whether products run in whole waves of tiles, and of which; the shares are beyond that.
    pub waves: Option<Waves>,
    /// How it is known.
    pub origin: Origin,
    /// Where from.
    pub source: String,
}

/// Tiles of a product that the cores work on at once.
///
/// A kernel that gives each core whole tiles takes `ceil(tiles / cores)` rounds, the last one partly
/// empty (wave quantisation; NVIDIA's matrix multiplication guide). Below one full round the
/// libraries cut along k instead, which the surface shows. Not valid for persistent kernels that
/// share out the last round (Hopper, Blackwell).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waves {
    /// Cores of the chip measured.
    pub cores: f64,
    /// Rows and columns of a tile, either way round.
    pub tile: [f64; 2],
}

impl Waves {
    /// How much longer whole waves take than the tiles' share of the cores: 1 or more.
    ///
    /// ```
    /// let waves = kernel::Waves { cores: 108.0, tile: [256.0, 128.0] };
    /// // 16 x 32 tiles of either kind are 4.74 rounds: 5 are run.
    /// assert!((waves.factor(4096.0, 4096.0) - 5.0 / (512.0 / 108.0)).abs() < 1e-12);
    /// assert_eq!(waves.factor(1024.0, 1024.0), 1.0);
    /// ```
    pub fn factor(&self, m: f64, n: f64) -> f64 {
        let run = |rows: f64, columns: f64| {
            let rounds = libm::ceil(m / rows) * libm::ceil(n / columns) / self.cores;
            let area = libm::ceil(rounds) * self.cores * rows * columns;
            if rounds > 1.0 { area / (m * n) } else { 1.0 }
        };
        let [a, b] = self.tile;
        run(a, b).min(run(b, a)).max(1.0)
    }
}

/// Peaks the efficiencies are shares of.
#[derive(Clone, Debug, PartialEq)]
pub struct Peaks {
    /// Matrix peak by format. FLOP/s.
    pub matrix: BTreeMap<Dtype, f64>,
    /// Memory bandwidth. Bytes/s.
    pub memory: f64,
    /// One chip's rate into the innermost level that collectives were measured on. Bytes/s; 0 if none.
    pub link: f64,
}

/// How the backward pass differs from a forward kernel of the same shape; shares of its efficiency.
#[derive(Clone, Debug, PartialEq)]
pub struct Backward {
    /// Data gradient of a product.
    pub data_gradient: Figure,
    /// Weight gradient of a product.
    pub weight_gradient: Figure,
    /// Weight gradient of a grouped product.
    pub grouped_weight_gradient: Figure,
    /// Whole backward of attention, on 2.5 times the FLOPs: share of its own surface's efficiency, or of
    /// the forward one's where it has none.
    pub attention: Figure,
}

/// How far the fit is from measured kernels kept out of it (five folds; shapes that are
/// nearly the same are kept out together).
#[derive(Clone, Debug, PartialEq)]
pub struct FitError {
    /// Operator and format: `gemm bf16`.
    pub operator: String,
    /// Measured kernels.
    pub points: u64,
    /// Median of |predicted/measured − 1|.
    pub median_error: f64,
    /// Its 90th percentile.
    pub p90_error: f64,
    /// Times beside the kernels that were fitted with them, by name; the unit is in the name.
    pub terms: Vec<(String, f64)>,
}

/// Which chips a calibration serves besides its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Chip family by the catalog's word.
    pub name: String,
    /// Beginnings of chip ids this file is the nearest relative of.
    pub relatives: Vec<String>,
}

/// Traffic of memory-bound kernels.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryKind {
    /// Share of the bandwidth a large kernel reaches.
    pub efficiency: Figure,
    /// Share of the vector peak it reaches.
    pub vector: Figure,
    /// Rate of token permutation and routing against other memory-bound kernels.
    pub routing: Figure,
}

/// Measured efficiency of one chip and software stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// File name without ending.
    pub id: String,
    /// What was measured.
    pub name: String,
    /// Catalog id of the chip it was measured on.
    pub chip: String,
    /// Whether it holds for one machine only (chosen by name, never by chip).
    pub machine: bool,
    /// Whom else it serves.
    pub family: Family,
    /// What the shares are shares of.
    pub peaks: Peaks,
    /// Efficiency by operator, format and shape.
    pub surfaces: Vec<SurfaceEntry>,
    /// Collectives inside the innermost level.
    pub curves: Vec<Curve>,
    /// Memory-bound kernels.
    pub memory: MemoryKind,
    /// Backward pass.
    pub backward: Backward,
    /// Time of one matrix kernel beyond its roofline and efficiency. Seconds.
    pub fixed_matrix: Figure,
    /// The same for a vector or copy kernel. Seconds.
    pub fixed_vector: Figure,
    /// Least time from one expert's product to the next, where each is a call of its own: it then takes
    /// no less, however few its rows (Transformer Engine's grouped product calls cuBLAS once an expert,
    /// over four streams). Seconds. Not valid where one kernel runs all experts.
    pub expert_start: Option<Figure>,
    /// Slow-down of experts under skewed load, by the name of the distribution.
    pub skew: Vec<(String, Figure)>,
    /// Clock kept under load over the one these kernels were measured at, on this very machine and in
    /// place of the chip's. Only where the machine's own steps show it.
    pub sustained: Option<Figure>,
    /// Factor on kernel time believed on another machine with the same chip: value 1.
    pub range: Figure,
    /// Errors of the fits.
    pub fits: Vec<FitError>,
    pub(crate) index: [[Option<usize>; 7]; 7],
}

impl Calibration {
    /// ln(efficiency) of a kernel: the surface of its own format, or of the nearest format that has
    /// one (a share of a peak carries over better than a time, but its order of times may not). 0
    /// where there is none.
    pub fn log_efficiency(&self, operation: Operation, dtype: Dtype, point: [f64; 3]) -> f64 {
        match self.surface(operation, dtype) {
            Some(entry) => entry.surface.log_at(point.map(libm::log)),
            None => 0.0,
        }
    }

    /// Every figure with its path, those that a rehearsal names by the name it uses. What a rehearsal
    /// calls `calibration.kernel_time` is `range` here, wider where the calibration is borrowed.
    pub fn figures(&self) -> Vec<(String, &Figure)> {
        let known = [
            ("kernel_time", &self.range),
            ("fixed_matrix", &self.fixed_matrix),
            ("fixed_vector", &self.fixed_vector),
            ("memory_efficiency", &self.memory.efficiency),
            ("memory_vector", &self.memory.vector),
            ("memory_routing", &self.memory.routing),
            ("backward_data_gradient", &self.backward.data_gradient),
            ("backward_weight_gradient", &self.backward.weight_gradient),
            ("backward_grouped_weight_gradient", &self.backward.grouped_weight_gradient),
            ("backward_attention", &self.backward.attention),
        ];
        let some = [("expert_start", &self.expert_start), ("sustained", &self.sustained)];
        let some = some.into_iter().filter_map(|(key, figure)| Some((key, figure.as_ref()?)));
        let mut all: Vec<_> =
            known.into_iter().chain(some).map(|(k, f)| (format!("calibration.{k}"), f)).collect();
        all.extend(self.skew.iter().map(|(load, f)| (format!("calibration.skew.{load}"), f)));
        all
    }

    /// The surface used for an operation in a format.
    pub fn surface(&self, operation: Operation, dtype: Dtype) -> Option<&SurfaceEntry> {
        let row = operation_index(operation)?;
        self.index[row][dtype_index(dtype)].map(|i| &self.surfaces[i])
    }
}

fn operation_index(operation: Operation) -> Option<usize> {
    match operation {
        Operation::Gemm => Some(0),
        Operation::GroupedGemm => Some(1),
        Operation::Attention => Some(2),
        Operation::Scores => Some(3),
        Operation::AttentionBackward => Some(4),
        Operation::Gathered => Some(5),
        Operation::GatheredBackward => Some(6),
        Operation::Memory => None,
    }
}

fn dtype_index(dtype: Dtype) -> usize {
    match dtype {
        Dtype::Fp32 => 0,
        Dtype::Tf32 => 1,
        Dtype::Bf16 => 2,
        Dtype::Fp16 => 3,
        Dtype::Fp8 => 4,
        Dtype::Fp4 => 5,
        Dtype::Int8 => 6,
    }
}

/// Formats whose surface may stand in, nearest first; each list starts with the format itself.
fn stand_ins(dtype: Dtype) -> &'static [Dtype] {
    match dtype {
        Dtype::Fp32 => &[Dtype::Fp32, Dtype::Tf32, Dtype::Bf16],
        Dtype::Tf32 => &[Dtype::Tf32, Dtype::Bf16],
        Dtype::Bf16 => &[Dtype::Bf16, Dtype::Fp16],
        Dtype::Fp16 => &[Dtype::Fp16, Dtype::Bf16],
        Dtype::Fp8 => &[Dtype::Fp8, Dtype::Int8, Dtype::Bf16],
        Dtype::Fp4 => &[Dtype::Fp4, Dtype::Fp8, Dtype::Bf16],
        Dtype::Int8 => &[Dtype::Int8, Dtype::Fp8, Dtype::Bf16],
    }
}

/// Table from operation and format to the surface that serves.
pub(crate) fn index(surfaces: &[SurfaceEntry]) -> [[Option<usize>; 7]; 7] {
    let find = |operation, dtype: Dtype| {
        // Backward kernels of narrow operands are others: some skip nothing that the mask hides. Keys
        // are gathered in 16 bits.
        let own = [Operation::AttentionBackward, Operation::Gathered, Operation::GatheredBackward];
        let alike = |d: &Dtype| !own.contains(&operation) || d.bytes() == dtype.bytes();
        let served =
            |d: &Dtype| surfaces.iter().position(|s| s.operation == operation && s.dtype == *d);
        stand_ins(dtype).iter().filter(|d| alike(d)).find_map(served)
    };
    let mut table = [[None; 7]; 7];
    for (operation, _) in Operation::WORDS {
        for (dtype, _) in Dtype::WORDS {
            let found = find(operation, dtype).or_else(|| {
                let leans = matches!(operation, Operation::Scores | Operation::AttentionBackward);
                leans.then(|| find(Operation::Attention, dtype))?
            });
            if let Some(row) = operation_index(operation) {
                table[row][dtype_index(dtype)] = found;
            }
        }
    }
    table
}
