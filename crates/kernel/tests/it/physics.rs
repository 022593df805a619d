//! What must hold for every shape.

use crate::measured::{causal, chip};
use catalog::Dtype;
use kernel::{Cost, Operation, calibrations, data_gradient, forward, weight_gradient};
use model::Work;

/// Every calibration on its own chip, in each format that has a surface of its own: a stand-in's
/// share of another peak keeps no order.
fn everywhere(check: impl Fn(&str, &dyn Fn(&Work) -> Cost, f64)) {
    for cal in calibrations().expect("shipped") {
        let chip = chip(&cal.chip);
        for dtype in cal.peaks.matrix.keys().copied() {
            let surface = cal.surface(Operation::Gemm, dtype).expect("products are measured");
            if surface.dtype != dtype {
                continue;
            }
            let time = |work: &Work| forward(&chip, &cal, work, dtype, 1.0);
            check(&format!("{} {dtype:?}", cal.id), &time, chip.matrix[&dtype].value);
        }
    }
}

const SIZES: [f64; 7] = [128.0, 200.0, 640.0, 1536.0, 5120.0, 14_336.0, 50_000.0];

/// Smallest ratio of the time of a product doubled in one dimension to its own.
fn least_growth(time: &dyn Fn(&Work) -> Cost, sizes: &[f64]) -> f64 {
    let at = |m, n, k| time(&Work::Gemm { m, n, k, count: 1.0 }).seconds;
    let mut least = f64::INFINITY;
    for &m in sizes {
        for &n in sizes {
            for &k in sizes {
                let doubled = at(2.0 * m, n, k).min(at(m, 2.0 * n, k)).min(at(m, n, 2.0 * k));
                least = least.min(doubled / at(m, n, k));
            }
        }
    }
    least
}

#[test]
fn a_larger_product_takes_longer() {
    let nodes = [128.0, 256.0, 1024.0, 2048.0, 8192.0, 32_768.0];
    everywhere(|name, time, _| {
        let least = least_growth(time, &nodes);
        assert!(least > 1.0, "{name}: {least}");
        // Between nodes the roofline bends where the efficiency is interpolated straight: narrow
        // FP8 and FP4 products may come out up to an eighth faster.
        let least = least_growth(time, &SIZES);
        assert!(least > 0.875, "{name}: {least}");
    });
}

#[test]
fn nothing_beats_the_peak() {
    everywhere(|name, time, peak| {
        for m in SIZES {
            for n in SIZES {
                let works = [
                    Work::Gemm { m, n, k: 4096.0, count: 1.0 },
                    Work::GroupedGemm { groups: 8.0, rows: 8.0 * m, n, k: 2048.0 },
                    causal(1.0, m, 32.0, 8.0, 128.0),
                ];
                for work in works {
                    let cost = time(&work);
                    assert!(cost.seconds.is_finite() && cost.seconds > 0.0, "{name} {work:?}");
                    let bound = (work.matrix_flops() / peak).max(cost.memory_s);
                    assert!(cost.seconds >= bound, "{name} {work:?} {cost:?}");
                }
            }
        }
    });
}

#[test]
fn longer_attention_takes_longer() {
    everywhere(|name, time, _| {
        for heads in [4.0, 16.0, 64.0] {
            let mut last = 0.0;
            for seq in [256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 32_768.0, 1_048_576.0] {
                let now = time(&causal(1.0, seq, heads, heads, 128.0)).seconds;
                assert!(now > last, "{name} {heads} heads at {seq}");
                last = now;
            }
        }
    });
}

#[test]
fn the_weight_gradient_pays_for_its_accumulator() {
    let chip = chip("h100");
    let cal = kernel::calibration("h100").expect("shipped");
    // One row: all but nothing to compute, 8 bytes for each of 2^26 weights.
    let work = Work::Gemm { m: 1.0, n: 8192.0, k: 8192.0, count: 1.0 };
    let cost = weight_gradient(&chip, &cal, &work, Dtype::Bf16, 0.0);
    let least = 8.0 * 8192.0 * 8192.0 / 3.35e12;
    assert!(cost.seconds > least, "{} {least}", cost.seconds);
    assert_eq!(
        weight_gradient(&chip, &cal, &causal(1.0, 4096.0, 8.0, 8.0, 128.0), Dtype::Bf16, 1.0),
        Cost::default()
    );
}

#[test]
fn backward_attention_is_five_products_for_two() {
    // A chip whose backward kernels are not measured: the forward rate's share.
    let chip = chip("a100");
    let cal = kernel::calibration("a100").expect("shipped");
    let work = causal(1.0, 8192.0, 32.0, 8.0, 128.0);
    let ahead = forward(&chip, &cal, &work, Dtype::Bf16, 0.0);
    let back = data_gradient(&chip, &cal, &work, Dtype::Bf16, 0.0);
    assert!((back.matrix_s / ahead.matrix_s - 2.5).abs() < 1e-12);
    let expected = 2.5 / cal.backward.attention.value;
    assert!((back.seconds / ahead.seconds - expected).abs() < 1e-9);
}

#[test]
fn memory_work_takes_its_bytes_over_the_bandwidth() {
    let chip = chip("h100");
    let cal = kernel::calibration("h100").expect("shipped");
    let work = Work::Memory { bytes: 3.35e9, backward_bytes: 6.7e9, flops: 0.0 };
    let ahead = forward(&chip, &cal, &work, Dtype::Bf16, 0.0);
    let expected = 1e-3 / cal.memory.efficiency.value;
    assert!((ahead.seconds / expected - 1.0).abs() < 1e-12);
    let back = data_gradient(&chip, &cal, &work, Dtype::Bf16, 0.0);
    assert!((back.seconds / ahead.seconds - 2.0).abs() < 1e-12);
}

#[test]
fn a_grouped_product_waits_for_the_start_of_each_expert() {
    let chip = chip("b200");
    let cal = kernel::calibration("simumax-b200").expect("shipped");
    let start_s = cal.expert_start.as_ref().expect("measured there").value;
    let time = |each: f64| {
        let work = Work::GroupedGemm { groups: 64.0, rows: 64.0 * each, n: 2048.0, k: 2048.0 };
        forward(&chip, &cal, &work, Dtype::Bf16, 0.0).seconds
    };
    assert_eq!(time(16.0), 64.0 * start_s);
    assert_eq!(time(32.0), time(16.0));
    assert!(time(4096.0) > 128.0 * start_s, "{} {start_s}", time(4096.0));
}
