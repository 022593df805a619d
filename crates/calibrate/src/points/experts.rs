//! Routed experts of one rank: two grouped products and what a layer does around them.

use super::{Fastest, keep, names};
use crate::fit::{Axes, Point, powers};
use crate::fold::{block, quantiles};
use crate::machine::Machine;
use crate::table::Table;
use catalog::Dtype;
use diagnostic::Diagnostic;
use kernel::load;
use model::Work;
use std::collections::BTreeMap;

/// What a layer does around its products, each with a factor that is fitted.
///
/// A rank sees every token that enters the layer: it converts and later sums them (`token`), looks
/// through every token's choices for its own (`choice`), gathers and scatters the rows that are its
/// own (`row`), applies the activation to them (`activation`); it starts a product for each of its
/// experts (`local_expert`) and counts and sorts over all of them (`expert`).
pub const TERMS: [&str; 7] = [
    "layer_10us",
    "token_bytes_over_bandwidth",
    "choice_ns",
    "row_bytes_over_bandwidth",
    "activation_bytes_over_bandwidth",
    "local_expert_us",
    "expert_100ns",
];

/// Shape: tokens, hidden, inner, top-k, experts, tensor, expert parallelism, gated.
pub type Shape = [u64; 8];

/// Nodes of the surface.
pub fn axes() -> Axes {
    [powers(16.0, 8_192.0, 2.0), powers(2.0, 256.0, 2.0), powers(128.0, 8_192.0, 2.0)]
}

/// A node as work.
pub fn node([each, groups, width]: [f64; 3]) -> Work {
    Work::GroupedGemm { groups, rows: each * groups, n: width, k: width }
}

/// Distributions of load by their word, most rows first.
pub fn distributions(table: &Table, dtype: Dtype) -> Result<Vec<String>, Diagnostic> {
    let (format, spread) = (table.word("dtype")?, table.word("distribution")?);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for i in (0..table.rows).filter(|i| names(dtype).contains(&format[*i].as_str())) {
        *counts.entry(spread[i].as_str()).or_default() += 1;
    }
    let mut all: Vec<(usize, String)> =
        counts.into_iter().map(|(word, n)| (n, word.to_owned())).collect();
    // `balanced` sorts first among equals and is what others are compared with.
    all.sort_by(|a, b| {
        (b.1 == "balanced").cmp(&(a.1 == "balanced")).then(b.0.cmp(&a.0)).then(a.1.cmp(&b.1))
    });
    Ok(all.into_iter().map(|(_, word)| word).collect())
}

/// Fastest times under one distribution, and how many shapes are left out.
///
/// Left out: one or two experts a rank (there more tokens take less time in the tables known), fewer
/// than 16 rows an expert (decoding, not training), inner widths under 128, and kernels made for the
/// least latency of a few tokens.
pub fn times(
    table: &Table,
    dtype: Dtype,
    load_name: &str,
) -> Result<(Fastest<8>, usize), Diagnostic> {
    let column = |name| table.number(name);
    let (tokens, hidden) = (column("num_tokens")?, column("hidden_size")?);
    let (inner, topk) = (column("inter_size")?, column("topk")?);
    let (experts, tp, ep) =
        (column("num_experts")?, column("moe_tp_size")?, column("moe_ep_size")?);
    let (ms, format) = (column("latency_ms")?, table.word("dtype")?);
    let (spread, source) = (table.word("distribution")?, table.word("kernel_source")?);
    let (mut fastest, mut others) = (Fastest::new(), Fastest::new());
    let wanted = |i: &usize| spread[*i] == load_name && names(dtype).contains(&format[*i].as_str());
    for i in (0..table.rows).filter(wanted) {
        let each = tokens[i] * topk[i] / experts[i];
        let whole = experts[i] >= 3.0 * ep[i]
            && inner[i] / tp[i] >= 128.0
            && each >= 16.0
            && !source[i].ends_with("min_latency");
        let gated = f64::from(u8::from(!source[i].ends_with("nongated")));
        let shape = [tokens[i], hidden[i], inner[i], topk[i], experts[i], tp[i], ep[i], gated];
        let into = if whole { &mut fastest } else { &mut others };
        keep(into, shape.map(|v| v as u64), ms[i] * 1e-3);
    }
    let left_out = others.keys().filter(|shape| !fastest.contains_key(*shape)).count();
    Ok((fastest, left_out))
}

/// Points in blocks of one layer: all its numbers of tokens are kept out together.
pub fn points(fastest: &Fastest<8>, machine: &Machine, dtype: Dtype) -> Vec<Point> {
    fastest.iter().map(|(shape, s)| point(machine, dtype, shape, *s)).collect()
}

fn point(machine: &Machine, dtype: Dtype, shape: &Shape, measured_s: f64) -> Point {
    let [tokens, hidden, inner, topk, experts, tp, ep, gated] = shape.map(|v| v as f64);
    let (rows, groups, inner) = (tokens * topk / ep, experts / ep, inner / tp);
    let up_width = inner * (1.0 + gated);
    let up = Work::GroupedGemm { groups, rows, n: up_width, k: hidden };
    let down = Work::GroupedGemm { groups, rows, n: hidden, k: inner };
    let bytes = |elements: f64, each: f64| elements * each / machine.memory;
    let terms = vec![
        1e-5,
        // In and out once, two bytes each.
        bytes(tokens * hidden, 4.0),
        tokens * topk * 1e-9,
        bytes(rows * hidden, 4.0),
        bytes(rows * up_width, 2.0),
        groups * 1e-6,
        experts * 1e-7,
    ];
    Point {
        parts: [up, down].map(|w| machine.part(&load(&w, dtype), dtype, None)).to_vec(),
        terms,
        other_s: 0.0,
        starts: 0.0,
        measured_s,
        block: block(&shape[1..]),
        operator: "grouped-gemm",
    }
}

/// Slow-down of experts under a skewed load against a balanced one, 4096 tokens and more: median,
/// 10th and 90th percentile. `None` below twenty shapes.
pub fn skew(balanced: &Fastest<8>, skewed: &Fastest<8>) -> Option<(f64, f64, f64)> {
    let mut ratios: Vec<f64> = skewed
        .iter()
        .filter(|(shape, _)| shape[0] >= 4096 && shape[6] > 1)
        .filter_map(|(shape, s)| Some(s / balanced.get(shape)?))
        .collect();
    if ratios.len() < 20 {
        return None;
    }
    let (median, high) = quantiles(ratios.clone())?;
    ratios.sort_by(f64::total_cmp);
    Some((median, ratios[(ratios.len() - 1) / 10], high))
}
