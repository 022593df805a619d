//! Measured tables to points of a fit.

use super::fit::Point;
use super::table::Table;
use anyhow::Result;
use catalog::Dtype;
use kernel::{Load, load};
use model::Work;
use std::collections::BTreeMap;

/// Peaks and constants the points are reduced with.
pub struct Machine {
    /// Matrix peaks by format. FLOP/s.
    pub matrix: Vec<(Dtype, f64)>,
    /// Memory bandwidth. Bytes/s.
    pub memory: f64,
    /// Fixed time of a matrix kernel. Seconds.
    pub fixed_s: f64,
    /// Share of the bandwidth that copies reach.
    pub copy: f64,
}

impl Machine {
    /// Peak of a format. FLOP/s.
    pub fn peak(&self, dtype: Dtype) -> Option<f64> {
        self.matrix.iter().find(|(d, _)| *d == dtype).map(|(_, p)| *p)
    }

    /// Roofline time and place of a load.
    pub fn part(&self, load: &Load, dtype: Dtype) -> (f64, [f64; 3]) {
        let peak = self.peak(dtype).unwrap_or(f64::INFINITY);
        let ideal = (load.matrix_flops / peak).max(load.bytes / self.memory);
        (ideal, load.point.map(libm::log))
    }

    /// Roofline time of a work. Seconds.
    pub fn ideal(&self, work: &Work, dtype: Dtype) -> f64 {
        self.part(&load(work, dtype), dtype).0
    }
}

/// The measured names of a format, of which the fastest kernel counts.
pub fn names(dtype: Dtype) -> &'static [&'static str] {
    match dtype {
        Dtype::Bf16 => &["bfloat16"],
        Dtype::Fp8 => &["fp8", "fp8_static", "fp8_block"],
        Dtype::Fp4 => &["nvfp4"],
        _ => &[],
    }
}

/// Fastest time by shape, in order of shape.
type Fastest<const N: usize> = BTreeMap<[u64; N], f64>;

fn keep<const N: usize>(fastest: &mut Fastest<N>, shape: [u64; N], ms: f64) {
    if ms.is_finite() && ms > 0.0 {
        let slot = fastest.entry(shape).or_insert(f64::INFINITY);
        *slot = slot.min(ms * 1e-3);
    }
}

/// Dense products with at least 128 in each dimension and rows in whole tiles of 32.
pub fn gemm(table: &Table, dtype: Dtype) -> Result<Fastest<3>> {
    let (m, n, k) = (table.number("m")?, table.number("n")?, table.number("k")?);
    let (ms, format) = (table.number("latency_ms")?, table.word("dtype")?);
    let mut fastest = Fastest::new();
    for i in 0..table.rows {
        let whole = m[i] % 32.0 == 0.0 && n[i] >= 128.0 && k[i] >= 128.0;
        if whole && names(dtype).contains(&format[i].as_str()) {
            keep(&mut fastest, [m[i] as u64, n[i] as u64, k[i] as u64], ms[i]);
        }
    }
    Ok(fastest)
}

/// The points of dense products.
pub fn gemm_points(fastest: &Fastest<3>, machine: &Machine, dtype: Dtype) -> Vec<Point> {
    let point = |(&[m, n, k], &measured_s): (&[u64; 3], &f64)| {
        let work = Work::Gemm { m: m as f64, n: n as f64, k: k as f64, count: 1.0 };
        Point {
            parts: vec![machine.part(&load(&work, dtype), dtype)],
            other_s: machine.fixed_s,
            measured_s,
        }
    };
    fastest.iter().map(point).collect()
}

/// Causal attention of whole sequences, forward.
pub fn attention(table: &Table, machine: &Machine, dtype: Dtype) -> Result<Vec<Point>> {
    let column = |name| table.number(name);
    let (batch, seq) = (column("batch_size")?, column("seq_len")?);
    let (heads, groups) = (column("num_heads")?, column("num_kv_heads")?);
    let (width, window) = (column("head_dim")?, column("window_size")?);
    let (ms, format) = (column("latency_ms")?, table.word("dtype")?);
    let mut fastest = Fastest::<6>::new();
    for i in 0..table.rows {
        if names(dtype).contains(&format[i].as_str()) {
            let shape = [batch[i], seq[i], heads[i], groups[i], width[i], window[i]];
            keep(&mut fastest, shape.map(|v| v as u64), ms[i]);
        }
    }
    let point = |(shape, measured_s): (&[u64; 6], &f64)| {
        let [batch, seq, heads, kv_heads, width, window] = shape.map(|v| v as f64);
        let work = causal(batch, seq, (heads, kv_heads), (width, width), window);
        Point {
            parts: vec![machine.part(&load(&work, dtype), dtype)],
            other_s: machine.fixed_s,
            measured_s: *measured_s,
        }
    };
    Ok(fastest.iter().map(point).collect())
}

/// Latent attention as computed in training: keys of 192, values of 128, no shared heads.
pub fn latent(table: &Table, machine: &Machine) -> Result<Vec<Point>> {
    let column = |name| table.number(name);
    let (batch, seq, heads) = (column("batch_size")?, column("seq_len")?, column("num_heads")?);
    let (ms, cache) = (column("latency_ms")?, table.word("kv_cache_dtype")?);
    let mut points = Vec::new();
    for i in (0..table.rows).filter(|i| cache[*i] == "bfloat16") {
        let work = causal(batch[i], seq[i], (heads[i], heads[i]), (192.0, 128.0), 0.0);
        points.push(Point {
            parts: vec![machine.part(&load(&work, Dtype::Bf16), Dtype::Bf16)],
            other_s: machine.fixed_s,
            measured_s: ms[i] * 1e-3,
        });
    }
    Ok(points)
}

/// Causal attention as work; `window` 0 is none.
pub fn causal(batch: f64, seq: f64, heads: (f64, f64), widths: (f64, f64), window: f64) -> Work {
    let reach = if window > 0.0 { window.min(seq) } else { seq };
    // Mean over queries of min(position, reach).
    let context = reach - reach * (reach - 1.0) / (2.0 * seq);
    Work::Attention {
        rows: batch * seq,
        heads: heads.0,
        kv_heads: heads.1,
        d_qk: widths.0,
        d_v: widths.1,
        context,
        keys: batch * seq,
    }
}

/// One layer's routed experts under one distribution of load.
pub fn experts(
    table: &Table,
    machine: &Machine,
    dtype: Dtype,
    load_name: &str,
) -> Result<Vec<Point>> {
    let fastest = expert_times(table, dtype, load_name)?;
    // The smallest layer takes the time of routing, sorting and launching, and little else.
    let least = fastest.values().copied().fold(f64::INFINITY, f64::min);
    let point =
        |(shape, s): (&[u64; 8], &f64)| expert_point(machine, dtype, 0.8 * least, *shape, *s);
    Ok(fastest.iter().map(point).collect())
}

/// Fastest times of experts by (tokens, hidden, inner, top-k, experts, tp, ep, gated).
pub fn expert_times(table: &Table, dtype: Dtype, load_name: &str) -> Result<Fastest<8>> {
    let column = |name| table.number(name);
    let (tokens, hidden) = (column("num_tokens")?, column("hidden_size")?);
    let (inner, topk) = (column("inter_size")?, column("topk")?);
    let (experts, tp, ep) =
        (column("num_experts")?, column("moe_tp_size")?, column("moe_ep_size")?);
    let (ms, format) = (column("latency_ms")?, table.word("dtype")?);
    let (spread, source) = (table.word("distribution")?, table.word("kernel_source")?);
    let mut fastest = Fastest::<8>::new();
    for i in 0..table.rows {
        let each = tokens[i] * topk[i] / experts[i];
        // One or two experts a rank are left out: there more tokens take less time in the tables.
        // Under 16 rows an expert is decoding, not training.
        let whole = experts[i] >= 3.0 * ep[i] && inner[i] / tp[i] >= 128.0 && each >= 16.0;
        if whole && spread[i] == load_name && names(dtype).contains(&format[i].as_str()) {
            let gated = f64::from(u8::from(!source[i].ends_with("nongated")));
            let shape = [tokens[i], hidden[i], inner[i], topk[i], experts[i], tp[i], ep[i], gated];
            keep(&mut fastest, shape.map(|v| v as u64), ms[i]);
        }
    }
    Ok(fastest)
}

fn expert_point(
    machine: &Machine,
    dtype: Dtype,
    fixed_s: f64,
    shape: [u64; 8],
    measured_s: f64,
) -> Point {
    let [tokens, hidden, inner, topk, experts, tp, ep, gated] = shape.map(|v| v as f64);
    let (rows, groups, inner) = (tokens * topk / ep, experts / ep, inner / tp);
    let up_width = inner * (1.0 + gated);
    let up = Work::GroupedGemm { groups, rows, n: up_width, k: hidden };
    let down = Work::GroupedGemm { groups, rows, n: hidden, k: inner };
    // The layer also converts its input, gathers rows, applies the activation and sums the top-k:
    // copies in BF16 but for the operands of the products. A rank sees all tokens that enter.
    let width = dtype.bytes();
    let converted = if width < 2.0 { tokens * hidden * (2.0 + width) } else { 0.0 };
    let copies = converted
        + 2.0 * rows * hidden * width
        + rows * (up_width * 2.0 + inner * width)
        + rows * hidden * 2.0
        + tokens * hidden * 2.0;
    Point {
        parts: [up, down].map(|w| machine.part(&load(&w, dtype), dtype)).to_vec(),
        other_s: fixed_s + copies / (machine.memory * machine.copy),
        measured_s,
    }
}
