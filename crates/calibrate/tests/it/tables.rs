//! Tables that can be used, and tables that cannot.

use calibrate::{Calibrated, Machine, Subject, Table, calibrate, document};
use diagnostic::Diagnostics;
use kernel::Operation;

/// A product's time on a machine of 60 % of H100's BF16 peak and 3 us a kernel.
fn ms(m: f64, n: f64, k: f64) -> f64 {
    2.0 * m * n * k / (0.6 * 989e12) * 1e3 + 3e-3
}

/// Twenty shapes of ten weight matrices.
pub fn products() -> String {
    let mut text = "dtype,m,n,k,latency_ms\n".to_owned();
    for i in 0..10_u32 {
        let (n, k) = (f64::from(2048 + 512 * i), f64::from(4096 + 256 * i));
        for m in [4096.0, 8192.0] {
            text += &format!("bfloat16,{m},{n},{k},{}\n", ms(m, n, k));
        }
    }
    text
}

pub fn fitted(text: &str) -> Result<Calibrated, Diagnostics> {
    let table = Table::csv("gemm.csv", text)?;
    let chip = catalog::chip("h100").expect("in the catalog");
    let base = kernel::calibration("h100").expect("in the catalog");
    let machine = Machine::of(&chip, 450e9, None);
    calibrate(&[table], &Subject { machine, base: Some(&base) })
}

fn refused(text: &str) -> Vec<String> {
    let found = fitted(text).expect_err("must be refused");
    found.0.iter().map(|d| format!("{} {}", d.code, d.message)).collect()
}

#[test]
fn a_small_table_is_fitted_written_and_read_again() {
    let fits = fitted(&products()).expect("a clean table");
    let gemm = fits.errors.iter().find(|e| e.operator == "gemm bf16").expect("fitted");
    assert_eq!(gemm.points, 20);
    assert!(gemm.median < 0.05, "{gemm:?}");
    let chip = catalog::chip("h100").expect("in the catalog");
    let base = kernel::calibration("h100").expect("in the catalog");
    let text = document("my \"machine\"", &chip, 450e9, &base, &fits, "gemm.csv").text(&fits);
    let read = kernel::parse_calibration("my-machine", "my-machine.toml", &text).expect(&text);
    assert_eq!((read.name.as_str(), read.chip.as_str()), ("my \"machine\"", "h100"));
    assert!(read.machine);
    // Its own products, and the catalog's attention.
    let own = read.surface(Operation::Gemm, catalog::Dtype::Bf16).expect("its own");
    assert_eq!(own.source, "gemm.csv");
    let other = read.surface(Operation::Attention, catalog::Dtype::Bf16).expect("the base's");
    assert!(other.source.starts_with("CUDNN, AIC"), "{}", other.source);
    let work = model::Work::Gemm { m: 8192.0, n: 4096.0, k: 5120.0, count: 1.0 };
    let seconds = kernel::forward(&chip, &read, &work, catalog::Dtype::Bf16, 1.0).seconds;
    let wanted = ms(8192.0, 4096.0, 5120.0) * 1e-3;
    let share = seconds * chip.sustained.value / wanted;
    assert!((share - 1.0).abs() < 0.1, "{share}");
}

#[test]
fn the_same_tables_give_the_same_bytes() {
    let text = || {
        let fits = fitted(&products()).expect("a clean table");
        let (chip, base) = (catalog::chip("h100").unwrap(), kernel::calibration("h100").unwrap());
        document("a", &chip, 450e9, &base, &fits, "gemm.csv").text(&fits)
    };
    assert_eq!(text(), text());
}

#[test]
fn each_impossible_row_is_named() {
    let first = products().lines().nth(1).expect("a row").to_owned();
    let with = |last: &str| {
        let mut cells: Vec<&str> = first.split(',').collect();
        cells[4] = last;
        products().replacen(&first, &cells.join(","), 1)
    };
    for (text, wanted) in [
        (with("0"), "row 1: `latency_ms` is 0"),
        (with("-1"), "row 1: `latency_ms` is -1"),
        (with("nan"), "row 1: `latency_ms` is NaN"),
        (with("inf"), "row 1: `latency_ms` is inf"),
        (with(""), "row 1: `latency_ms` is ``, not a number"),
        (with("0.01"), "is below"),
        (products().replacen("4096,2048", "4096.5,2048", 1), "row 1: `m` is 4096.5"),
        (products().replacen("latency_ms", "latency", 1), "no column `latency_ms`"),
        (products().replacen("latency_ms", "m", 1), "column `m` is there twice"),
        ("dtype,m,n,k,latency_ms\n".to_owned(), "has no rows"),
        ("a,b\n1,2\n".to_owned(), "of no known table"),
        (String::new(), "no rows"),
    ] {
        let found = refused(&text);
        assert!(found.iter().any(|m| m.contains(wanted)), "{wanted}: {found:?}");
    }
}

#[test]
fn contradictions_are_refused_with_both_rows() {
    let first = products().lines().nth(1).expect("a row").to_owned();
    let again = format!("{}{first}\n", products());
    assert!(fitted(&again).is_ok(), "a repetition that agrees");
    let other = first
        .rsplit_once(',')
        .map(|(head, time)| format!("{head},{}", 1.5 * time.parse::<f64>().expect("a time")));
    let found = refused(&format!("{}{}\n", products(), other.expect("a row")));
    assert!(
        found.iter().any(|m| m.contains("the same as row 1") && m.contains("1.50")),
        "{found:?}"
    );
}

#[test]
fn noise_is_refused() {
    let noisy: String = products()
        .lines()
        .enumerate()
        .map(|(i, line)| match line.rsplit_once(',') {
            Some((head, time)) if i > 0 => {
                let factor = [1.0, 14.0, 3.0, 40.0, 1.5, 22.0, 7.0][i * 5 % 7];
                format!("{head},{}\n", factor * time.parse::<f64>().expect("a time"))
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let found = refused(&noisy);
    assert!(found.iter().any(|m| m.starts_with("calibrate::noise")), "{found:?}");
}

#[test]
fn too_few_shapes_are_refused() {
    let few: String = products().split_inclusive('\n').take(9).collect();
    let found = refused(&few);
    assert!(found.iter().any(|m| m.starts_with("calibrate::few")), "{found:?}");
}

/// Grouped products of 32 experts at half the peak or 70 % of the bandwidth, each no shorter than
/// `start_s` an expert.
fn experts(start_s: f64) -> String {
    let mut text = "op,peak_tflops,shape,efficiency\n".to_owned();
    for (n, k) in [(1024.0, 2048.0), (2048.0, 2048.0), (4096.0, 2048.0)] {
        for m in [64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0] {
            let flops: f64 = 2.0 * m * n * k;
            let bytes = 2.0 * (m * k + k * n + m * n);
            let device_s = (flops / (0.5 * 989e12)).max(bytes / (0.7 * 3.35e12));
            let share = flops / (989e12 * device_s.max(start_s));
            text +=
                &format!("group_matmul,989,\"ng=32, M={m}, N={n}, K={k}, stage=fwd\",{share}\n");
        }
    }
    text
}

#[test]
fn what_waits_for_its_start_is_no_measurement_of_the_kernel() {
    let fits = fitted(&experts(9e-6)).expect("a clean table");
    let start_s = fits.start_s.expect("eleven shapes take no longer than the least");
    assert!((start_s / 9e-6 - 1.0).abs() < 1e-3, "{start_s}");
    let grouped = |fits: &Calibrated| {
        fits.errors.iter().find(|e| e.operator == "grouped-gemm bf16").expect("fitted").median
    };
    assert!(grouped(&fits) < 0.05, "{}", grouped(&fits));
    let chip = catalog::chip("h100").expect("in the catalog");
    let base = kernel::calibration("h100").expect("in the catalog");
    let text = document("mine", &chip, 450e9, &base, &fits, "ops.csv").text(&fits);
    let read = kernel::parse_calibration("mine", "mine.toml", &text).expect(&text);
    assert!((read.expert_start.expect("written").value / 9e-6 - 1.0).abs() < 1e-3);
    // Kernels that take as long as their work show no start.
    assert_eq!(fitted(&experts(0.0)).expect("a clean table").start_s, None);
}

/// Attention to gathered keys, forward, where a query's start and end take as long as `beside` keys at
/// the peak and its products run at a share of the peak by its heads.
fn gathered(share: impl Fn(f64) -> f64, beside: f64) -> String {
    let fixed_s = kernel::calibration("h100").expect("in the catalog").fixed_matrix.value;
    let mut text = "dtype,pass,batch_size,seq_len,num_heads,num_kv_heads,head_dim_qk,head_dim_v,\
                    window_size,topk,latency_ms\n"
        .to_owned();
    for seq in [2048.0, 4096.0, 8192.0] {
        for (heads, keys) in [(64.0, 128.0), (64.0, 640.0), (64.0, 2048.0), (128.0, 1152.0)] {
            let keys_s = 4.0 * seq * heads * 512.0 / 989e12;
            let ms = (keys_s * (keys / share(heads) + beside) + fixed_s) * 1e3;
            text += &format!("bfloat16,forward,1,{seq},{heads},1,512,512,0,{keys},{ms}\n");
        }
    }
    text
}

#[test]
fn what_a_query_takes_beside_its_gathered_keys_is_told_from_its_products() {
    let share = |heads: f64| if heads > 64.0 { 0.6 } else { 0.45 };
    let fits = fitted(&gathered(share, 400.0)).expect("a clean table");
    let surface =
        fits.surfaces.iter().find(|s| s.operation == Operation::Gathered).expect("fitted");
    // Of the second number of heads one choice is measured; the rest follows from the first's.
    for (heads, keys) in [(64.0, 256.0), (64.0, 1024.0), (128.0, 128.0), (128.0, 2048.0)] {
        let got = surface.fitted.solution.surface.at([keys, heads, 512.0]);
        let wanted = 1.0 / (1.0 / share(heads) + 400.0 / keys);
        assert!((got / wanted - 1.0).abs() < 0.03, "{heads} heads, {keys} keys: {got} {wanted}");
    }
    // Without the column the same times are of causal kernels, which they beat.
    let dense = gathered(share, 400.0).replace(",topk,", ",choice,");
    assert!(!refused(&dense).is_empty());
}

#[test]
fn attention_of_training_alone_leans_on_what_is_known_of_the_chip() {
    let all = include_str!("../../../../catalog/measurements/kernels/attention.csv");
    let (head, rows) = all.split_once('\n').expect("a head");
    let own: Vec<&str> = rows.lines().filter(|row| row.starts_with("H200,")).collect();
    let table = |rows: &[&str]| format!("{head}\n{}\n", rows.join("\n"));
    let found = fitted(&table(&own)).expect("enough shapes of one chip");
    for operator in ["attention-training bf16", "attention-backward bf16"] {
        let error = found.errors.iter().find(|e| e.operator == operator).expect(operator);
        assert!(error.median < 0.1, "{error:?}");
    }
    // Shares of one chip's peaks: several chips in one table are several calibrations.
    let told = refused(all);
    assert!(told[0].contains("GB200, GB300, H200"), "{told:?}");
    // Too few to fit anything: what was too little comes with it.
    let told = refused(&table(&own[..2]));
    assert!(told.iter().any(|m| m.contains("too few to fit")), "{told:?}");
    assert!(told.iter().any(|m| m.contains("nothing in the tables")), "{told:?}");
}
