//! Attention over sequences: grouped-query and latent.

use super::{Fastest, keep, names};
use crate::fit::{Axes, Point, powers};
use crate::fold::block;
use crate::machine::Machine;
use crate::table::Table;
use catalog::Dtype;
use diagnostic::Diagnostic;
use kernel::{Operation, data_load, load};
use model::Work;

/// What the measured operator of latent attention does beside its core: starting several kernels;
/// rotating queries, and splitting keys and values, which cross the memory once each way; writing
/// each token's latent to the cache. A step prices these as operators of their own.
pub const LATENT_TERMS: [&str; 3] = ["layer_10us", "operand_bytes_over_bandwidth", "token_ns"];

/// What attention by the kernels of training is reported under, forward and backward.
pub const TRAINING: [&str; 2] = ["attention-training", "attention-backward"];

/// What attention to gathered keys is reported under, forward and backward.
pub const GATHERED: [&str; 2] = ["gathered-attention", "gathered-attention-backward"];

/// Mean of the widths of queries and values in latent attention: 192 and 128.
const LATENT_WIDTH: f64 = 160.0;

/// Nodes of the surface.
pub fn axes() -> Axes {
    [
        powers(128.0, 16_384.0, 2.0),
        powers(1024.0, 4_194_304.0, 4.0),
        vec![64.0, 128.0, LATENT_WIDTH, 256.0],
    ]
}

/// Nodes of the plane of latent attention.
pub fn latent_axes() -> Axes {
    let [context, rows, _] = axes();
    [context, rows, vec![LATENT_WIDTH]]
}

/// Nodes of attention to gathered keys: keys of a query, its heads, their width.
pub fn gathered_axes() -> Axes {
    [powers(128.0, 2048.0, 2.0), vec![64.0, 128.0], vec![512.0]]
}

/// A node of attention to gathered keys as work, over one sequence of 4,096 queries.
pub fn gathered_node([context, heads, width]: [f64; 3]) -> Work {
    gathered_work((4096.0, heads), (width, width), context)
}

fn gathered_work((rows, heads): (f64, f64), (d_qk, d_v): (f64, f64), context: f64) -> Work {
    Work::Attention { rows, heads, kv_heads: 1.0, d_qk, d_v, context, keys: rows }
}

/// Keys that each query of a row of training attention gathers, in the column `topk`; 0 where it reads
/// what its mask lets it see, and in tables without the column.
pub fn gathered_keys(table: &Table) -> Result<Vec<f64>, Diagnostic> {
    if table.has("topk") { Ok(table.number("topk")?.to_vec()) } else { Ok(vec![0.0; table.rows]) }
}

/// A node as work.
pub fn node([context, rows, width]: [f64; 3]) -> Work {
    let (heads, kv_heads) = (1.0, 1.0);
    Work::Attention { rows, heads, kv_heads, d_qk: width, d_v: width, context, keys: 2.0 * context }
}

/// Causal attention of whole sequences, forward; in blocks of one head layout.
pub fn grouped(table: &Table, machine: &Machine, dtype: Dtype) -> Result<Vec<Point>, Diagnostic> {
    let column = |name| table.number(name);
    let (batch, seq) = (column("batch_size")?, column("seq_len")?);
    let (heads, groups) = (column("num_heads")?, column("num_kv_heads")?);
    let (width, window) = (column("head_dim")?, column("window_size")?);
    let (ms, format) = (column("latency_ms")?, table.word("dtype")?);
    let mut fastest = Fastest::<6>::new();
    for i in (0..table.rows).filter(|i| names(dtype).contains(&format[*i].as_str())) {
        let shape = [batch[i], seq[i], heads[i], groups[i], width[i], window[i]];
        keep(&mut fastest, shape.map(|v| v as u64), ms[i] * 1e-3);
    }
    let point = |(shape, measured_s): (&[u64; 6], &f64)| {
        let [batch, seq, heads, kv_heads, width, window] = shape.map(|v| v as f64);
        let work = causal(batch, seq, (heads, kv_heads), (width, width), window);
        Point {
            parts: vec![machine.part(&load(&work, dtype), dtype, None)],
            terms: Vec::new(),
            other_s: machine.fixed_s,
            starts: 0.0,
            measured_s: *measured_s,
            block: block(&shape[2..]),
            operator: "attention",
        }
    };
    Ok(fastest.iter().map(point).collect())
}

/// Latent attention as computed in training: keys of 192, values of 128, no shared heads; in blocks
/// of one number of heads and sequence.
pub fn latent(table: &Table, machine: &Machine) -> Result<Vec<Point>, Diagnostic> {
    let column = |name| table.number(name);
    let (batch, seq, heads) = (column("batch_size")?, column("seq_len")?, column("num_heads")?);
    let (ms, cache) = (column("latency_ms")?, table.word("kv_cache_dtype")?);
    let mut fastest = Fastest::<3>::new();
    for i in (0..table.rows).filter(|i| cache[*i] == "bfloat16") {
        keep(&mut fastest, [batch[i], seq[i], heads[i]].map(|v| v as u64), ms[i] * 1e-3);
    }
    let point = |(shape, measured_s): (&[u64; 3], &f64)| {
        let [batch, seq, heads] = shape.map(|v| v as f64);
        let work = causal(batch, seq, (heads, heads), (192.0, 128.0), 0.0);
        // Read and written in two bytes: queries and keys of 192, values of 128.
        let operand_bytes = batch * seq * heads * 2.0 * 2.0 * (192.0 + 192.0 + 128.0);
        Point {
            parts: vec![machine.part(&load(&work, Dtype::Bf16), Dtype::Bf16, None)],
            terms: vec![1e-5, operand_bytes / machine.memory, 1e-9 * batch * seq],
            other_s: machine.fixed_s,
            starts: 0.0,
            measured_s: *measured_s,
            block: block(&shape[1..]),
            operator: "mla",
        }
    };
    Ok(fastest.iter().map(point).collect())
}

/// A pass of attention as trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Forward.
    Forward,
    /// The whole backward pass.
    Backward,
}

/// Causal attention of whole sequences by the kernels of training; in blocks of one sequence and
/// head layout.
///
/// A shared head of 512 and more is left out: its training gathers keys. Backward kernels of narrow
/// operands work through all keys before a window too (GB200, cuDNN 9.19: 44 ms in FP8 where BF16
/// takes 4), so they say nothing of the shape and are left out.
pub fn training(
    table: &Table,
    machine: &Machine,
    dtype: Dtype,
    pass: Pass,
) -> Result<Vec<Point>, Diagnostic> {
    let column = |name| table.number(name);
    let (batch, seq) = (column("batch_size")?, column("seq_len")?);
    let (heads, groups) = (column("num_heads")?, column("num_kv_heads")?);
    let (d_qk, d_v) = (column("head_dim_qk")?, column("head_dim_v")?);
    let (window, ms) = (column("window_size")?, column("latency_ms")?);
    let (format, passes) = (table.word("dtype")?, table.word("pass")?);
    let (name, operator) = match pass {
        Pass::Forward => ("forward", TRAINING[0]),
        Pass::Backward => ("backward", TRAINING[1]),
    };
    let gathered = gathered_keys(table)?;
    let dense = |i: usize| {
        let work = causal(1.0, seq[i], (heads[i], groups[i]), (d_qk[i], d_v[i]), window[i]);
        gathered[i] == 0.0 && load(&work, dtype).operation == Operation::Attention
    };
    let skips = |i: usize| pass == Pass::Forward || window[i] == 0.0 || dtype.bytes() >= 2.0;
    let mut fastest = Fastest::<7>::new();
    for i in (0..table.rows).filter(|i| names(dtype).contains(&format[*i].as_str())) {
        if passes[i] == name && dense(i) && skips(i) {
            let shape = [batch[i], seq[i], heads[i], groups[i], d_qk[i], d_v[i], window[i]];
            keep(&mut fastest, shape.map(|v| v as u64), ms[i] * 1e-3);
        }
    }
    let point = |(shape, measured_s): (&[u64; 7], &f64)| {
        let [batch, seq, heads, kv_heads, d_qk, d_v, window] = shape.map(|v| v as f64);
        let work = causal(batch, seq, (heads, kv_heads), (d_qk, d_v), window);
        trained((&work, dtype, pass), machine, (*measured_s, block(&shape[1..]), operator))
    };
    Ok(fastest.iter().map(point).collect())
}

/// One measured pass of attention as trained.
fn trained(
    (work, dtype, pass): (&Work, Dtype, Pass),
    machine: &Machine,
    (measured_s, block, operator): (f64, u64, &'static str),
) -> Point {
    let load = match pass {
        Pass::Forward => load(work, dtype),
        Pass::Backward => data_load(work, dtype),
    };
    Point {
        parts: vec![machine.part(&load, dtype, None)],
        terms: Vec::new(),
        other_s: machine.fixed_s,
        starts: 0.0,
        measured_s,
        block,
        operator,
    }
}

/// Attention to gathered keys, every query as many; in blocks of one sequence and head layout.
pub fn gathered(
    table: &Table,
    machine: &Machine,
    dtype: Dtype,
    pass: Pass,
) -> Result<Vec<Point>, Diagnostic> {
    let column = |name| table.number(name);
    let (batch, seq) = (column("batch_size")?, column("seq_len")?);
    let (heads, groups) = (column("num_heads")?, column("num_kv_heads")?);
    let (d_qk, d_v, ms) = (column("head_dim_qk")?, column("head_dim_v")?, column("latency_ms")?);
    let (format, passes, keys) = (table.word("dtype")?, table.word("pass")?, gathered_keys(table)?);
    let (name, operator) = match pass {
        Pass::Forward => ("forward", GATHERED[0]),
        Pass::Backward => ("backward", GATHERED[1]),
    };
    let mut fastest = Fastest::<6>::new();
    for i in (0..table.rows).filter(|i| keys[*i] > 0.0 && groups[*i] == 1.0 && passes[*i] == name) {
        if names(dtype).contains(&format[i].as_str()) {
            let shape = [batch[i], seq[i], heads[i], d_qk[i], d_v[i], keys[i]];
            keep(&mut fastest, shape.map(|v| v as u64), ms[i] * 1e-3);
        }
    }
    let point = |(shape, measured_s): (&[u64; 6], &f64)| {
        let [batch, seq, heads, d_qk, d_v, keys] = shape.map(|v| v as f64);
        let work = gathered_work((batch * seq, heads), (d_qk, d_v), keys);
        trained((&work, dtype, pass), machine, (*measured_s, block(&shape[1..]), operator))
    };
    Ok(fastest.iter().map(point).collect())
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
