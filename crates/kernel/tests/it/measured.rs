//! The shipped surfaces against measured kernels.

use catalog::{Chip, Dtype};
use kernel::{calibration, forward};
use model::Work;

const POINTS: &str = include_str!("../points.csv");

/// Chip, operator, format, predicted over measured.
fn ratios() -> Vec<(String, String, String, f64)> {
    let lines = POINTS.lines().filter(|l| !l.starts_with('#') && !l.starts_with("chip,"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |i: usize| cells[i].parse::<f64>().expect(line);
            let work = match cells[1] {
                "gemm" => Work::Gemm { m: number(3), n: number(4), k: number(5), count: 1.0 },
                _ => causal(number(3), number(4), number(5), number(6), number(7)),
            };
            let dtype = if cells[2] == "fp8" { Dtype::Fp8 } else { Dtype::Bf16 };
            let cal = calibration(cells[0]).expect("shipped");
            let predicted = forward(&chip(cells[0]), &cal, &work, dtype, 1.0).seconds;
            let name = |i: usize| cells[i].to_owned();
            (name(0), name(1), name(2), predicted * 1e6 / number(9))
        })
        .collect()
}

/// A chip at the clock of a kernel measured alone.
pub fn chip(id: &str) -> Chip {
    let mut chip = catalog::chip(id).expect("in the catalog");
    chip.sustained.value = 1.0;
    chip
}

pub fn causal(batch: f64, seq: f64, heads: f64, kv_heads: f64, width: f64) -> Work {
    Work::Attention {
        rows: batch * seq,
        heads,
        kv_heads,
        d_qk: width,
        d_v: width,
        context: 0.5 * (seq + 1.0),
        keys: batch * seq,
    }
}

pub fn median(mut errors: Vec<f64>) -> f64 {
    errors.sort_by(f64::total_cmp);
    errors[errors.len() / 2]
}

#[test]
fn a_sample_of_kernels_is_as_close_as_the_files_say() {
    let all = ratios();
    for chip in ["a100", "h100", "b200", "gb200"] {
        for operator in ["gemm bf16", "gemm fp8", "attention bf16"] {
            let cal = calibration(chip).expect("shipped");
            let Some(fit) = cal.fits.iter().find(|f| f.operator == operator) else { continue };
            if operator.starts_with("attention") && chip != "a100" {
                // Their surfaces are of other kernels, those of training.
                continue;
            }
            let chosen =
                all.iter().filter(|r| r.0 == chip && format!("{} {}", r.1, r.2) == operator);
            let errors: Vec<f64> = chosen.map(|r| (r.3 - 1.0).abs()).collect();
            assert_eq!(errors.len(), 50, "{chip} {operator}");
            // Fifty kernels scatter: their median lies within a factor of two of the whole table's.
            let got = median(errors);
            assert!(got < 2.0 * fit.median_error, "{chip} {operator}: {got} {}", fit.median_error);
            assert!(fit.points > 1000 && fit.median_error < 0.06, "{chip} {operator}");
        }
    }
}

#[test]
fn kernels_are_not_biased() {
    let mut all: Vec<f64> = ratios().into_iter().map(|r| r.3).collect();
    all.sort_by(f64::total_cmp);
    let middle = all[all.len() / 2];
    assert!((0.98..1.02).contains(&middle), "{middle}");
}

/// `DeepGEMM`'s README: FP8 grouped products on H800, which no fit has seen.
#[test]
fn grouped_products_of_another_library_and_chip() {
    let h800 = chip("h800");
    let (cal, borrowed) = kernel::for_chip(&h800).expect("a relative");
    assert!(!borrowed.own);
    for (groups, each, n, k, tflops) in [
        (4.0, 8192.0, 4096.0, 7168.0, 1346e12),
        (4.0, 8192.0, 7168.0, 2048.0, 1214e12),
        (8.0, 4096.0, 4096.0, 7168.0, 1346e12),
        (8.0, 4096.0, 7168.0, 2048.0, 1214e12),
    ] {
        let work = Work::GroupedGemm { groups, rows: groups * each, n, k };
        let cost = forward(&h800, &cal, &work, Dtype::Fp8, 1.0);
        let ratio = work.matrix_flops() / cost.seconds / tflops;
        assert!((0.9..1.2).contains(&ratio), "{groups} {n} {k}: {ratio}");
    }
}

/// DeepGEMM-Ascend's README: products on a 950DT of 32 cores, near the maker's constant of 0.9.
#[test]
fn published_products_on_the_950() {
    let chip = chip("ascend-950dt-32core");
    let (cal, _) = kernel::for_chip(&chip).expect("a relative");
    let cases = [
        (Dtype::Bf16, 4096.0, 7168.0, 16_384.0, 2229.9),
        (Dtype::Fp8, 4096.0, 7168.0, 2048.0, 143.4),
    ];
    for (dtype, m, n, k, us) in cases {
        let work = Work::Gemm { m, n, k, count: 1.0 };
        let ratio = forward(&chip, &cal, &work, dtype, 1.0).seconds * 1e6 / us;
        assert!((1.0..1.15).contains(&ratio), "{dtype:?}: {ratio}");
    }
}
