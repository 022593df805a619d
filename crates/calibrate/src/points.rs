//! Rows of measured tables to points of a fit.

pub mod dense;
pub mod efficiencies;
pub mod experts;
pub mod modules;
pub mod sequences;

use catalog::Dtype;
use std::collections::BTreeMap;

/// The words of a format in the tables; of several kernels the fastest counts.
pub fn names(dtype: Dtype) -> &'static [&'static str] {
    match dtype {
        Dtype::Bf16 => &["bfloat16", "bf16"],
        Dtype::Fp16 => &["float16", "fp16", "half"],
        Dtype::Fp8 => &["fp8", "fp8_static", "fp8_block"],
        Dtype::Fp4 => &["nvfp4", "fp4"],
        _ => &[],
    }
}

/// Formats that tables are read of, in the order of fitting.
pub const FORMATS: [Dtype; 4] = [Dtype::Bf16, Dtype::Fp16, Dtype::Fp8, Dtype::Fp4];

/// Fastest time (seconds) by shape, in order of shape.
pub type Fastest<const N: usize> = BTreeMap<[u64; N], f64>;

/// Keeps the fastest.
pub fn keep<const N: usize>(fastest: &mut Fastest<N>, shape: [u64; N], seconds: f64) {
    let slot = fastest.entry(shape).or_insert(f64::INFINITY);
    *slot = slot.min(seconds);
}
