//! Efficiencies of products, experts and attention in the words of `SimuMax`, forward and backward.

use super::sequences::causal;
use crate::fit::Point;
use crate::fold::block;
use crate::machine::Machine;
use crate::table::Table;
use catalog::Dtype;
use diagnostic::Diagnostic;
use kernel::{Load, Operation, data_load, load, weight_load};
use model::Work;

/// One operator's points by pass.
#[derive(Clone, Debug, Default)]
pub struct Passes {
    /// Forward.
    pub forward: Vec<Point>,
    /// Gradient of the data, or the whole backward pass of attention.
    pub data: Vec<Point>,
    /// Gradient of the weights, without kernels that wait for their accumulator.
    pub weight: Vec<Point>,
}

/// Everything in the table.
#[derive(Clone, Debug, Default)]
pub struct Efficiencies {
    /// Dense products.
    pub gemm: Passes,
    /// Grouped products.
    pub experts: Passes,
    /// Attention.
    pub attention: Passes,
}

/// Share of the memory bandwidth assumed of the accumulator's traffic when a weight gradient is
/// looked at: what that machine's authors fitted to theirs.
const COPY: f64 = 0.666;

struct Row<'a> {
    table: &'a Table,
    at: usize,
    shape: &'a str,
}

impl Row<'_> {
    fn word(&self, key: &str) -> Option<&str> {
        self.shape.split(", ").find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
    }

    fn numbers<const N: usize>(&self, keys: [&str; N]) -> Result<[f64; N], Diagnostic> {
        let mut out = [0.0; N];
        for (slot, key) in out.iter_mut().zip(keys) {
            let number = self.word(key).and_then(|text| text.parse::<f64>().ok());
            let whole = number.filter(|v| *v >= 1.0 && *v <= 1e12);
            *slot = whole.ok_or_else(|| {
                let message = format!("`{key}` is missing or no count in `{}`", self.shape);
                self.table.problem("calibrate::shape", self.at, message)
            })?;
        }
        Ok(out)
    }
}

/// Reads the table.
///
/// # Errors
/// Columns or keys of a shape that are missing.
pub fn read(table: &Table, machine: &Machine) -> Result<Efficiencies, Diagnostic> {
    let (op, shape) = (table.word("op")?, table.word("shape")?);
    let (peak, share) = (table.number("peak_tflops")?, table.number("efficiency")?);
    let mut out = Efficiencies::default();
    for i in 0..table.rows {
        let row = Row { table, at: i, shape: &shape[i] };
        let seconds = |flops: f64| flops / (peak[i] * 1e12 * share[i]);
        let (passes, pass, load, counted) = match op[i].as_str() {
            "matmul" => product(&row, &mut out.gemm)?,
            "group_matmul" => grouped(&row, &mut out.experts)?,
            "sdp_fwd" => attention(&row, &mut out.attention, false)?,
            "sdp_bwd" => attention(&row, &mut out.attention, true)?,
            other => {
                let message = format!("`{other}` is not matmul, group_matmul, sdp_fwd or sdp_bwd");
                return Err(table.problem("calibrate::operator", i, message));
            }
        };
        let measured_s = seconds(load.matrix_flops * counted);
        let stream_s = (load.bytes + load.stream_bytes) / (machine.memory * COPY);
        if pass == 2 && stream_s >= 0.7 * measured_s {
            continue;
        }
        let point = Point {
            parts: vec![machine.part(&load, Dtype::Bf16, None)],
            terms: Vec::new(),
            other_s: 0.0,
            // Transformer Engine calls cuBLAS once an expert, over four streams.
            starts: if load.operation == Operation::GroupedGemm { load.point[1] } else { 0.0 },
            measured_s,
            block: block(&load.point.map(|v| v as u64)),
            operator: "",
        };
        match pass {
            0 => passes.forward.push(point),
            1 => passes.data.push(point),
            _ => passes.weight.push(point),
        }
    }
    let experts = &mut out.experts;
    if !starts_bound(experts.forward.iter().chain(&experts.data)) {
        let passes = [&mut experts.forward, &mut experts.data, &mut experts.weight];
        passes.into_iter().flatten().for_each(|p| p.starts = 0.0);
    }
    Ok(out)
}

/// Whether kernels started one by one wait for their start: those within a tenth of the least time a
/// start differ by half and more in what they ask of the chip.
fn starts_bound<'a>(points: impl Iterator<Item = &'a Point> + Clone) -> bool {
    let each = |p: &Point| p.measured_s / p.starts;
    let least = points.clone().map(each).fold(f64::INFINITY, f64::min);
    let (low, high) = points
        .filter(|p| each(p) < 1.1 * least)
        .map(|p| p.parts.iter().map(|part| part.0).sum::<f64>() / p.starts)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), s| (low.min(s), high.max(s)));
    high >= 1.5 * low
}

type Read<'a> = (&'a mut Passes, usize, Load, f64);

/// Products forward (TN), for the data (NN) and for the weights (NT).
fn product<'a>(row: &Row<'_>, passes: &'a mut Passes) -> Result<Read<'a>, Diagnostic> {
    let [m, n, k] = row.numbers(["m", "n", "k"])?;
    // The weight gradient of a product [m, n] over k is a product [k, n] over m.
    let turned = Work::Gemm { m: k, n, k: m, count: 1.0 };
    let forward = load(&Work::Gemm { m, n, k, count: 1.0 }, Dtype::Bf16);
    let (pass, load) = match row.word("layout") {
        Some("TN") => (0, forward),
        Some("NN") => (1, forward),
        _ => (2, weight_load(&turned, Dtype::Bf16).unwrap_or(forward)),
    };
    Ok((passes, pass, load, 1.0))
}

/// Grouped products forward, for the data and for the weights; rows are per group.
fn grouped<'a>(row: &Row<'_>, passes: &'a mut Passes) -> Result<Read<'a>, Diagnostic> {
    let [groups, each, n, k] = row.numbers(["ng", "M", "N", "K"])?;
    let work = Work::GroupedGemm { groups, rows: groups * each, n, k };
    let forward = load(&work, Dtype::Bf16);
    let (pass, load) = match row.word("stage") {
        Some("fwd") => (0, forward),
        Some("bwd_grad_act") => (1, forward),
        _ => (2, weight_load(&work, Dtype::Bf16).unwrap_or(forward)),
    };
    Ok((passes, pass, load, 1.0))
}

/// Attention; its efficiencies count the whole square, not the causal half.
fn attention<'a>(
    row: &Row<'_>,
    passes: &'a mut Passes,
    backward: bool,
) -> Result<Read<'a>, Diagnostic> {
    let [batch, seq, heads, kv_heads, d_qk, d_v] =
        row.numbers(["batch", "seq_len", "head_num", "kv_head_num", "qk_head_dim", "v_head_dim"])?;
    let work = causal(batch, seq, (heads, kv_heads), (d_qk, d_v), 0.0);
    let square = 2.0 * seq / (seq + 1.0);
    let load = if backward { data_load(&work, Dtype::Bf16) } else { load(&work, Dtype::Bf16) };
    Ok((passes, usize::from(backward), load, square))
}
