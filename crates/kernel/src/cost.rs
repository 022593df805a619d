//! Time of one operator.

use crate::calibration::{Calibration, Operation};
use crate::shape::{Load, data_load, load, weight_load};
use catalog::{Chip, Dtype};
use model::Work;
use std::iter::Sum;
use std::ops::Add;

/// Time of one operator, or of several in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Time on the device. Seconds.
    pub seconds: f64,
    /// Time the matrix units need at their peak. Seconds.
    pub matrix_s: f64,
    /// Time the vector units need at their peak. Seconds.
    pub vector_s: f64,
    /// Time the memory needs at its peak. Seconds.
    pub memory_s: f64,
    /// Part of `seconds` that is fixed per kernel: start, drain, gap to the next. Seconds.
    pub launch_s: f64,
    /// Kernels the host launches.
    pub launches: f64,
}

/// How kernels are launched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Launch {
    /// Replayed from a captured graph, which costs the host nothing per kernel.
    pub graphs: bool,
    /// Time of the host for one kernel otherwise. Seconds.
    pub host_s: f64,
}

impl Cost {
    /// Time that passes: the device's, or the host's where it launches too slowly.
    ///
    /// The host runs ahead of the device, so a long kernel hides the launches behind it. What counts
    /// is therefore a whole stretch without synchronisation (a block, a micro-batch): sum the costs
    /// first, then ask. `elapsed − seconds` is the time of host-bound gaps.
    ///
    /// ```
    /// use kernel::{Cost, Launch};
    /// let zero = Cost::default();
    /// let long = Cost { seconds: 90e-6, launches: 1.0, ..zero };
    /// let short = Cost { seconds: 2e-6, launches: 1.0, ..zero };
    /// let eager = Launch { graphs: false, host_s: 5e-6 };
    /// assert_eq!((long + short).elapsed(eager), 92e-6);
    /// assert_eq!(short.elapsed(eager), 5e-6);
    /// assert_eq!(short.elapsed(Launch { graphs: true, host_s: 5e-6 }), 2e-6);
    /// ```
    pub fn elapsed(&self, launch: Launch) -> f64 {
        if launch.graphs { self.seconds } else { self.seconds.max(self.launches * launch.host_s) }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            matrix_s: self.matrix_s + other.matrix_s,
            vector_s: self.vector_s + other.vector_s,
            memory_s: self.memory_s + other.memory_s,
            launch_s: self.launch_s + other.launch_s,
            launches: self.launches + other.launches,
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// The format in which a chip executes products asked for in `dtype`, and whether it is another:
/// the next wider one the chip has. `None` if the chip has none as wide.
///
/// An FP8 recipe on a chip without FP8 (A100, 910B) computes in BF16; saved tensors are not its
/// concern.
pub fn effective_dtype(chip: &Chip, dtype: Dtype) -> Option<(Dtype, bool)> {
    let wider: &[Dtype] = match dtype {
        Dtype::Fp32 => &[Dtype::Fp32, Dtype::Tf32],
        Dtype::Tf32 => &[Dtype::Tf32, Dtype::Fp32],
        Dtype::Bf16 => &[Dtype::Bf16, Dtype::Fp16, Dtype::Tf32, Dtype::Fp32],
        Dtype::Fp16 => &[Dtype::Fp16, Dtype::Bf16, Dtype::Tf32, Dtype::Fp32],
        Dtype::Fp8 => &[Dtype::Fp8, Dtype::Bf16, Dtype::Fp16, Dtype::Fp32],
        Dtype::Fp4 => &[Dtype::Fp4, Dtype::Fp8, Dtype::Bf16, Dtype::Fp16, Dtype::Fp32],
        Dtype::Int8 => &[Dtype::Int8, Dtype::Bf16, Dtype::Fp16, Dtype::Fp32],
    };
    wider.iter().find(|d| chip.matrix.contains_key(d)).map(|d| (*d, *d != dtype))
}

/// Time of the forward pass of an operator whose operands are in `dtype`.
///
/// `max(matrix, vector, memory) / efficiency + launches × fixed`, each part at the chip's own peak;
/// a grouped product takes no less than the starts of its experts where the calibration has them.
/// The efficiency of products and attention comes from the surface of their shape; that of
/// memory-bound work is one figure.
/// Between the nodes of a surface a narrow product (under 512 in a dimension) may come out up to an
/// eighth faster than one half its size.
/// A format the chip lacks is replaced as [`effective_dtype`] says; where it has no substitute the
/// time is infinite, which a caller prevents by asking first.
pub fn forward(chip: &Chip, cal: &Calibration, work: &Work, dtype: Dtype, launches: f64) -> Cost {
    let dtype = effective_dtype(chip, dtype).map_or(dtype, |d| d.0);
    time(chip, cal, &load(work, dtype), dtype, launches, 1.0)
}

/// Time of the gradient with respect to the input; for attention, scores and memory-bound work the
/// whole backward pass.
pub fn data_gradient(
    chip: &Chip,
    cal: &Calibration,
    work: &Work,
    dtype: Dtype,
    launches: f64,
) -> Cost {
    let dtype = effective_dtype(chip, dtype).map_or(dtype, |d| d.0);
    let share = match work {
        Work::Gemm { .. } | Work::GroupedGemm { .. } => cal.backward.data_gradient.value,
        Work::Attention { .. } | Work::Scores { .. } => cal.backward.attention.value,
        Work::Memory { .. } | Work::Elements { .. } => 1.0,
    };
    time(chip, cal, &data_load(work, dtype), dtype, launches, share)
}

/// Time of the gradient with respect to the weight; nothing for an operator without weights.
pub fn weight_gradient(
    chip: &Chip,
    cal: &Calibration,
    work: &Work,
    dtype: Dtype,
    launches: f64,
) -> Cost {
    let dtype = effective_dtype(chip, dtype).map_or(dtype, |d| d.0);
    let share = match work {
        Work::GroupedGemm { .. } => cal.backward.grouped_weight_gradient.value,
        _ => cal.backward.weight_gradient.value,
    };
    match weight_load(work, dtype) {
        Some(load) => time(chip, cal, &load, dtype, launches, share),
        None => Cost::default(),
    }
}

/// Time to write the operands of a product in a format narrower than they are kept in: its input
/// before the forward pass, the gradient of its output before the backward pass.
///
/// Every element is read in 16 bits and written twice, by row for one product and by column for the
/// other (Transformer Engine's FP8 and MXFP8 tensors; V3 report, 3.3); once where the weights are `frozen`,
/// whose gradient is the other product. Nothing for formats of 16 bits
/// and more, or for anything but products. Not valid where the norm or activation before writes the
/// narrow format itself.
pub fn casts(chip: &Chip, cal: &Calibration, work: &Work, dtype: Dtype, frozen: bool) -> [Cost; 2] {
    let dtype = effective_dtype(chip, dtype).map_or(dtype, |d| d.0);
    let (input, output) = match *work {
        Work::Gemm { m, n, k, count } => (m * k * count, m * n * count),
        Work::GroupedGemm { rows, n, k, .. } => (rows * k, rows * n),
        _ => return [Cost::default(); 2],
    };
    let width = dtype.bytes();
    if width >= 2.0 {
        return [Cost::default(); 2];
    }
    [input, output].map(|elements| {
        let copies = if frozen { 1.0 } else { 2.0 };
        let bytes = elements * (2.0 + copies * width);
        let work = Work::Memory { bytes, backward_bytes: 0.0, flops: 0.0 };
        forward(chip, cal, &work, Dtype::Bf16, 1.0)
    })
}

fn time(
    chip: &Chip,
    cal: &Calibration,
    load: &Load,
    dtype: Dtype,
    launches: f64,
    share: f64,
) -> Cost {
    let memory_s = load.bytes / chip.memory_bandwidth.value;
    let vector_s = load.vector_flops / chip.vector.value;
    if load.operation == Operation::Memory {
        let launch_s = launches * cal.fixed_vector.value;
        let work_s =
            (memory_s / cal.memory.efficiency.value).max(vector_s / cal.memory.vector.value);
        let seconds = work_s + launch_s;
        return Cost { seconds, matrix_s: 0.0, vector_s, memory_s, launch_s, launches };
    }
    let launch_s = launches * cal.fixed_matrix.value;
    let peak = chip.matrix.get(&dtype).map_or(0.0, |f| f.value);
    let matrix_s = load.matrix_flops / peak;
    if load.matrix_flops <= 0.0 {
        let seconds = memory_s + launch_s;
        return Cost { seconds, matrix_s: 0.0, vector_s, memory_s, launch_s, launches };
    }
    // No kernel is faster than its roofline: the fits stay below 1, their product with a share of
    // the backward pass might not.
    let own = (load.operation, load.point);
    let (operation, point) = match load.otherwise {
        Some(other) if cal.surface(load.operation, dtype).is_none() => other,
        _ => own,
    };
    let log = cal.log_efficiency(operation, dtype, point);
    let efficiency = (libm::exp(log) * share).min(1.0) * chip.sustained.value;
    let rounds = match cal.surface(load.operation, dtype).and_then(|s| s.waves) {
        Some(waves) if load.operation == Operation::Gemm => {
            waves.factor(load.point[0], load.point[1])
        }
        _ => 1.0,
    };
    let kernel_s = (matrix_s * rounds).max(vector_s).max(memory_s) / efficiency;
    // Streamed bytes pass at the rate of a memory-bound kernel, whatever the product does.
    let stream_s = load.stream_bytes / chip.memory_bandwidth.value;
    let memory_s = memory_s + stream_s;
    let stream_s = if stream_s > 0.0 { memory_s / cal.memory.efficiency.value } else { 0.0 };
    let starts_s = match &cal.expert_start {
        Some(each) if load.operation == Operation::GroupedGemm => load.point[1] * each.value,
        _ => 0.0,
    };
    let seconds = kernel_s.max(stream_s).max(starts_s) + launch_s;
    Cost { seconds, matrix_s, vector_s, memory_s, launch_s, launches }
}
