//! The machine of the `SimuMax` measurements: deviations from the B200 surfaces.

use super::chips::Spec;
use super::collectives::Measured;
use super::fit::{Fitted, Point, fit};
use super::points::{Machine, causal};
use super::write::{Figure, Sheet};
use super::{attention_node, expert_node, gemm_node};
use anyhow::{Context, Result, anyhow};
use catalog::Dtype;
use kernel::{Load, Surface, data_load, load, weight_load};
use model::Work;
use std::path::Path;

/// One row of the table.
struct Row {
    op: String,
    shape: String,
    peak: f64,
    efficiency: f64,
}

impl Row {
    fn word(&self, key: &str) -> Option<&str> {
        self.shape.split(", ").find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
    }

    fn number(&self, key: &str) -> Result<f64> {
        let text = self.word(key).with_context(|| format!("no `{key}` in `{}`", self.shape))?;
        text.parse().with_context(|| format!("`{key}` in `{}`", self.shape))
    }

    /// Time from the FLOPs its efficiency counts. Seconds.
    fn seconds(&self, flops: f64) -> f64 {
        flops / (self.peak * self.efficiency)
    }
}

/// What its authors fitted to its memory and links.
struct Fits(serde_json::Value);

impl Fits {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self(serde_json::from_str(&text)?))
    }

    fn number(&self, keys: &[&str]) -> Result<f64> {
        let found = keys.iter().try_fold(&self.0, |v, k| v.get(k));
        found.and_then(serde_json::Value::as_f64).with_context(|| format!("no {keys:?}"))
    }

    fn memory(&self, what: &str, key: &str) -> Result<f64> {
        self.number(&["memory_bandwidth", what, key])
    }

    /// Times of 2, 4 and 8 members from the fit: scale·(n-1)/n of the bytes at the fitted share of
    /// the links (its GB are 2^30 bytes), a latency a step, and a fixed latency.
    fn curves(&self) -> Result<Vec<Measured>> {
        let operations = [
            ("all_reduce", "all-reduce"),
            ("all_gather", "all-gather"),
            ("reduce_scatter", "reduce-scatter"),
            ("all2all", "all-to-all"),
        ];
        let link = self.number(&["intra_node", "bandwidth", "gbps"])? * (1_u64 << 30) as f64;
        let curve = |(theirs, ours)| -> Result<Measured> {
            let get = |key| self.number(&["intra_node", "op", theirs, key]);
            let (scale, share) = (get("scale")?, get("efficient_factor")?);
            let (step, fixed) = (get("latency_us")?, get("fixed_latency_us")?);
            let time_us = |n: u64, bytes: u64| {
                let by_number = ["intra_node", "op", theirs, "fixed_latency_us_by_comm_num"];
                let own = self.number(&[&by_number[..], &[&n.to_string()]].concat());
                let moved = scale * (n - 1) as f64 / n as f64 * bytes as f64;
                moved / (link * share) * 1e6 + step * scale * (n - 1) as f64 + own.unwrap_or(fixed)
            };
            let sizes = (14..=30).map(|e| 1_u64 << e);
            let row = |n| (n, sizes.clone().map(|b| (b, time_us(n, b))).collect());
            Ok(Measured { operation: ours, times_us: [2, 4, 8].map(row).into_iter().collect() })
        };
        operations.into_iter().map(curve).collect()
    }
}

/// Fits the machine, with the B200's surfaces as prior.
pub fn sheet(path: &Path, spec: &'static Spec, base: &Sheet) -> Result<Sheet> {
    let mut reader = csv::Reader::from_path(path)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let cell = |i: usize| record.get(i).context("short row");
        rows.push(Row {
            op: cell(0)?.to_owned(),
            peak: cell(1)?.parse::<f64>()? * 1e12,
            shape: cell(2)?.to_owned(),
            efficiency: cell(3)?.parse()?,
        });
    }
    let none = Figure::new(0.0, "us", "measured", "SIMUMAX").note("inside the measured efficiency");
    let mut sheet = Sheet::new(spec, none);
    "The B200 machine of the SimuMax measurements".clone_into(&mut sheet.name);
    sheet.machine = true;
    sheet.source = "SIMUMAX";
    let fits = Fits::read(&path.with_file_name("fits.json"))?;
    sheet.memory =
        Figure::new(fits.memory("default", "efficient_factor")?, "", "measured", "SIMUMAX")
            .range(0.5, 0.67)
            .note("fitted by its authors, of 8 TB/s");
    sheet.fixed_vector =
        Figure::new(fits.memory("default", "latency_us")?, "us", "measured", "SIMUMAX")
            .note("fitted by its authors: what a memory-bound operator takes beyond its bytes");
    let share = |what: &str, note: &str| -> Result<Figure> {
        let all = fits.memory("default", "efficient_factor")?;
        Ok(Figure::new(fits.memory(what, "efficient_factor")? / all, "", "measured", "SIMUMAX")
            .note(note))
    };
    sheet.routing = share("permute_fwd", "token permutation against other memory-bound kernels")?;
    sheet.curves = fits.curves()?;
    let machine =
        Machine { matrix: spec.peaks.to_vec(), memory: spec.memory, fixed_s: 0.0, copy: 0.666 };
    let gemm = products(&rows, &machine)?;
    let surface = adapt(base, "gemm", &gemm[0], &machine, gemm_node)?;
    sheet.data_gradient = ratio(&gemm[1], &surface.surface);
    sheet.weight_gradient = ratio(&gemm[2], &surface.surface);
    sheet.add("gemm", Dtype::Bf16, Some(surface));
    let experts = experts(&rows, &machine)?;
    let mut forward = experts[0].clone();
    forward.extend(experts[1].clone());
    let surface = adapt(base, "grouped-gemm", &forward, &machine, expert_node)?;
    sheet.grouped_weight_gradient = ratio(&experts[2], &surface.surface);
    sheet.add("grouped-gemm", Dtype::Bf16, Some(surface));
    let attention = attention(&rows, &machine)?;
    let surface = adapt(base, "attention", &attention[0], &machine, attention_node)?;
    sheet.attention_backward = ratio(&attention[1], &surface.surface);
    sheet.add("attention", Dtype::Bf16, Some(surface));
    Ok(sheet)
}

fn adapt(
    base: &Sheet,
    operator: &str,
    points: &[(Point, f64)],
    machine: &Machine,
    node: fn([f64; 3]) -> Work,
) -> Result<Fitted> {
    let prior = base.surfaces.iter().find(|s| s.0 == operator && s.1 == Dtype::Bf16);
    let (_, _, prior) = prior.with_context(|| format!("b200 has no {operator}"))?;
    let ideal = |x: [f64; 3]| machine.ideal(&node(x), Dtype::Bf16);
    let points: Vec<Point> = points.iter().map(|p| p.0.clone()).collect();
    fit(&prior.axes, &points, &ideal, 0.3, &|_| 0.999, Some(&prior.values)).map_err(|e| anyhow!(e))
}

/// Median of predicted over measured time, with the 10th and 90th percentile, of the kernels whose
/// accumulator is not what takes the time.
fn ratio(points: &[(Point, f64)], surface: &Surface) -> Figure {
    let mut all: Vec<f64> = points
        .iter()
        .filter(|(p, stream_s)| *stream_s < 0.7 * p.measured_s)
        .map(|(p, _)| p.predicted_s(surface) / p.measured_s)
        .collect();
    all.sort_by(f64::total_cmp);
    let at = |q: f64| all[((all.len() - 1) as f64 * q) as usize];
    Figure::new(at(0.5), "", "measured", "SIMUMAX").range(at(0.1), at(0.9)).note(format!(
        "median of {} kernels against the forward surface; 10th to 90th percentile",
        all.len()
    ))
}

/// Products forward (TN), for the data (NN) and for the weights (NT).
fn products(rows: &[Row], machine: &Machine) -> Result<[Vec<(Point, f64)>; 3]> {
    let mut out = [vec![], vec![], vec![]];
    for row in rows.iter().filter(|r| r.op == "matmul") {
        let [m, n, k] = [row.number("m")?, row.number("n")?, row.number("k")?];
        // The weight gradient of a product [m, n] over k is a product [k, n] over m.
        let turned = Work::Gemm { m: k, n, k: m, count: 1.0 };
        let forward = load(&Work::Gemm { m, n, k, count: 1.0 }, Dtype::Bf16);
        let (slot, load) = match row.word("layout") {
            Some("TN") => (0, forward),
            Some("NN") => (1, forward),
            _ => (2, weight_load(&turned, Dtype::Bf16).context("a product has weights")?),
        };
        out[slot].push(point(row, &load, 1.0, machine));
    }
    Ok(out)
}

/// Grouped products forward, for the data and for the weights; rows are per group.
fn experts(rows: &[Row], machine: &Machine) -> Result<[Vec<(Point, f64)>; 3]> {
    let mut out = [vec![], vec![], vec![]];
    for row in rows.iter().filter(|r| r.op == "group_matmul") {
        let [groups, each] = [row.number("ng")?, row.number("M")?];
        let [n, k] = [row.number("N")?, row.number("K")?];
        let work = Work::GroupedGemm { groups, rows: groups * each, n, k };
        let forward = load(&work, Dtype::Bf16);
        let (slot, load) = match row.word("stage") {
            Some("fwd") => (0, forward),
            Some("bwd_grad_act") => (1, forward),
            _ => (2, weight_load(&work, Dtype::Bf16).context("experts have weights")?),
        };
        out[slot].push(point(row, &load, 1.0, machine));
    }
    Ok(out)
}

/// Attention forward and backward; its efficiencies count the whole square, not the causal half.
fn attention(rows: &[Row], machine: &Machine) -> Result<[Vec<(Point, f64)>; 2]> {
    let mut out = [vec![], vec![]];
    for row in rows.iter().filter(|r| r.op.starts_with("sdp")) {
        let [batch, seq] = [row.number("batch")?, row.number("seq_len")?];
        let heads = (row.number("head_num")?, row.number("kv_head_num")?);
        let widths = (row.number("qk_head_dim")?, row.number("v_head_dim")?);
        let work = causal(batch, seq, heads, widths, 0.0);
        let square = 2.0 * seq / (seq + 1.0);
        let backward = row.op == "sdp_bwd";
        let load = if backward { data_load(&work, Dtype::Bf16) } else { load(&work, Dtype::Bf16) };
        out[usize::from(backward)].push(point(row, &load, square, machine));
    }
    Ok(out)
}

/// A measured kernel and the time its bytes and streams need. Seconds.
fn point(row: &Row, load: &Load, counted: f64, machine: &Machine) -> (Point, f64) {
    let bytes = load.bytes + load.stream_bytes;
    let point = Point {
        parts: vec![machine.part(load, Dtype::Bf16)],
        other_s: 0.0,
        measured_s: row.seconds(load.matrix_flops * counted),
    };
    (point, bytes / (machine.memory * machine.copy))
}
