//! `cargo xtask calibrate FOLDER`: fits catalog/calibrations to folders of measured kernels.
//!
//! FOLDER holds one folder per chip (`a100-sxm`, `h100-sxm`, `b200-sxm`, `gb200`) with the Parquet
//! tables of NVIDIA `AIConfigurator`, and `simumax-b200/ops.csv` of `SimuMax`. Prints the errors on
//! kernels kept out of each fit.

mod chips;
mod collectives;
mod fit;
mod points;
mod simumax;
pub mod steps;
mod table;
mod write;

use anyhow::{Context, Result, anyhow};
use catalog::Dtype;
use chips::{CHIPS, Spec};
use fit::{Axes, Fitted, fit, powers};
use kernel::Surface;
use model::Work;
use points::Machine;
use std::path::Path;
use table::Table;
use write::{Figure, Sheet};

/// Runs the command.
pub fn run(folder: &Path, out: &Path) -> Result<()> {
    let mut b200 = None;
    for spec in &CHIPS {
        let sheet = chip(folder, spec).with_context(|| spec.id.to_owned())?;
        write::write(&out.join(format!("{}.toml", spec.id)), &sheet)?;
        if spec.id == "b200" {
            b200 = Some(sheet);
        }
    }
    let base = b200.context("no b200")?;
    let spec = CHIPS.iter().find(|s| s.id == "b200").context("no b200")?;
    let sheet = simumax::sheet(&folder.join("simumax-b200/ops.csv"), spec, &base)?;
    write::write(&out.join("simumax-b200.toml"), &sheet)?;
    let text = collectives::vtrain(&folder.join("a100-sxm/allreduce_vtrain.csv"))?;
    std::fs::write(out.join("vtrain-a100.toml"), text)?;
    Ok(())
}

fn chip(folder: &Path, spec: &'static Spec) -> Result<Sheet> {
    let folder = folder.join(spec.folder);
    let read = |name: &str| Table::parquet(&folder.join(format!("{name}.parquet")));
    let gemm = read("gemm")?;
    let bf16 = points::gemm(&gemm, Dtype::Bf16)?;
    // Products of under 2^24 multiply-adds take the fixed time and little else.
    let small = |s: &[u64; 3]| s.iter().product::<u64>() < 1 << 24;
    let mut tiny: Vec<f64> = bf16.iter().filter(|(s, _)| small(s)).map(|(_, t)| *t).collect();
    tiny.sort_by(f64::total_cmp);
    let fixed_s = *tiny.get(tiny.len() / 20).context("no small products")?;
    let measured = folder.join("mhc.parquet").exists();
    let copy = if measured { copy_share(&read("mhc")?, spec)? } else { 0.85 };
    let machine = machine(spec, fixed_s, copy);
    let mut sheet = Sheet::new(
        spec,
        Figure::new(fixed_s * 1e6, "us", "measured", "AIC")
            .note("5th percentile of BF16 products below 2^24 multiply-adds"),
    );
    if measured {
        sheet.memory = Figure::new(copy, "", "measured", "AIC")
            .range(0.65, 0.92)
            .note("hyper-connection write of 16,384 tokens and more; ordinary kernels reach less");
    }
    let (attention, moe) = (read("attention")?, read("moe")?);
    let latent = points::latent(&read("mla")?, &machine)?;
    for (dtype, _) in spec.peaks {
        let fastest = points::gemm(&gemm, *dtype)?;
        let points = points::gemm_points(&fastest, &machine, *dtype);
        let dense = fitted(&gemm_axes(), &points, &machine, *dtype, gemm_node, 0.999)?;
        // A grouped product is at best a dense one.
        let best = dense.as_ref().map_or(0.999, |fitted| best_product(&fitted.surface));
        sheet.add("gemm", *dtype, dense);
        let mut points = points::attention(&attention, &machine, *dtype)?;
        if *dtype == Dtype::Bf16 {
            points.extend(latent.clone());
        }
        let axes = attention_axes();
        sheet.add(
            "attention",
            *dtype,
            fitted(&axes, &points, &machine, *dtype, attention_node, 0.999)?,
        );
        let points = points::experts(&moe, &machine, *dtype, spec.expert_load)?;
        let axes = expert_axes();
        sheet.add(
            "grouped-gemm",
            *dtype,
            fitted(&axes, &points, &machine, *dtype, expert_node, best)?,
        );
    }
    sheet.curves = collectives::read(&read("nccl")?)?;
    for load in ["power_law_1.01", "power_law_1.2"] {
        if let Some(share) = skew(&moe, load)? {
            sheet.skew.push((load, share));
        }
    }
    Ok(sheet)
}

fn machine(spec: &Spec, fixed_s: f64, copy: f64) -> Machine {
    Machine { matrix: spec.peaks.to_vec(), memory: spec.memory, fixed_s, copy }
}

/// Fits one surface, or nothing where nothing is measured.
fn fitted(
    axes: &Axes,
    points: &[fit::Point],
    machine: &Machine,
    dtype: Dtype,
    node: fn([f64; 3]) -> Work,
    best: f64,
) -> Result<Option<Fitted>> {
    if points.len() < 100 {
        return Ok(None);
    }
    let ideal = |x: [f64; 3]| machine.ideal(&node(x), dtype);
    // `best` limits the share of the matrix peak; a node bound by memory may come nearer its own.
    let peak = machine.peak(dtype).context("no peak")?;
    let limit = |x: [f64; 3]| (ideal(x) * best * peak / node(x).matrix_flops()).min(0.999);
    fit(axes, points, &ideal, 0.02, &limit, None).map(Some).map_err(|e| anyhow!(e))
}

/// Highest efficiency of the large products of a surface.
fn best_product(surface: &Surface) -> f64 {
    let sizes = [4096.0, 8192.0, 16_384.0];
    let pairs = sizes.iter().flat_map(|n| sizes.iter().map(move |k| (*n, *k)));
    pairs.map(|(n, k)| surface.at([8192.0, n, k])).fold(0.0, f64::max)
}

fn gemm_axes() -> Axes {
    [powers(128.0, 32_768.0, 2.0), powers(128.0, 65_536.0, 2.0), powers(128.0, 65_536.0, 2.0)]
}

fn gemm_node([m, n, k]: [f64; 3]) -> Work {
    Work::Gemm { m, n, k, count: 1.0 }
}

fn attention_axes() -> Axes {
    [
        powers(128.0, 16_384.0, 2.0),
        powers(1024.0, 4_194_304.0, 4.0),
        vec![64.0, 128.0, 160.0, 256.0],
    ]
}

fn attention_node([context, rows, width]: [f64; 3]) -> Work {
    let (heads, kv_heads) = (1.0, 1.0);
    Work::Attention { rows, heads, kv_heads, d_qk: width, d_v: width, context, keys: 2.0 * context }
}

fn expert_axes() -> Axes {
    [powers(16.0, 8_192.0, 2.0), powers(2.0, 256.0, 2.0), powers(128.0, 8_192.0, 2.0)]
}

fn expert_node([each, groups, width]: [f64; 3]) -> Work {
    Work::GroupedGemm { groups, rows: each * groups, n: width, k: width }
}

/// Median share of the bandwidth that large hyper-connection writes reach: four streams and the
/// sub-layer's output read, four streams written, two bytes each.
fn copy_share(table: &Table, spec: &Spec) -> Result<f64> {
    let (tokens, sites) = (table.number("num_tokens")?, table.number("num_sites")?);
    let (streams, hidden) = (table.number("hc_mult")?, table.number("hidden_size")?);
    let (name, ms) = (table.word("op_name")?, table.number("latency_ms")?);
    let mut shares: Vec<f64> = (0..table.rows)
        .filter(|i| name[*i] == "post" && tokens[*i] >= 16_384.0)
        .map(|i| {
            let bytes = tokens[i] * sites[i] * (2.0 * streams[i] + 1.0) * hidden[i] * 2.0;
            bytes / spec.memory / (ms[i] * 1e-3)
        })
        .collect();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied().context("no hyper-connection writes")
}

/// Median slow-down of experts under a skewed load against a balanced one, 4096 tokens and more.
fn skew(table: &Table, load: &str) -> Result<Option<(f64, f64, f64)>> {
    let balanced = points::expert_times(table, Dtype::Bf16, "balanced")?;
    let skewed = points::expert_times(table, Dtype::Bf16, load)?;
    let mut ratios: Vec<f64> = skewed
        .iter()
        .filter(|(shape, _)| shape[0] >= 4096 && shape[6] > 1)
        .filter_map(|(shape, s)| Some(s / balanced.get(shape)?))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |q: f64| ratios[((ratios.len() - 1) as f64 * q) as usize];
    Ok((ratios.len() > 20).then(|| (at(0.5), at(0.1), at(0.9))))
}
