//! Whole modules: their time as non-negative factors on what they must do.
//!
//! A module (a V4 attention layer, a fused expert layer, a dispatch) is measured as one, so no
//! surface of its parts can be told. What it must do is known: bytes, products, messages. Each is
//! turned into the time it needs at the chip's peaks, and the factors on these times are fitted.

use crate::fit::Point;
use crate::fold::block;
use crate::machine::Machine;
use crate::table::Table;
use catalog::Dtype;
use diagnostic::Diagnostic;
use model::{Architecture, Attention, Class, Operator, Role, Shard, Step, Wire, Work};

/// One module's points.
#[derive(Clone, Debug)]
pub struct Module {
    /// Name and format: `csa bf16`.
    pub operator: String,
    /// Names of the terms.
    pub terms: &'static [&'static str],
    /// Measured modules, without parts.
    pub points: Vec<Point>,
}

fn point(terms: Vec<f64>, measured_s: f64, shape: &[u64]) -> Point {
    let parts = Vec::new();
    Point { parts, terms, other_s: 0.0, starts: 0.0, measured_s, block: block(shape), operator: "" }
}

/// Hyper-connections, read (`pre`) and write (`post`); in blocks of one number of tokens.
///
/// Reading crosses the streams once and writes one; writing crosses them twice and the output once.
pub fn hyper(table: &Table, machine: &Machine) -> Result<Vec<Module>, Diagnostic> {
    const TERMS: [&str; 3] = ["site_10us", "bytes_over_bandwidth", "token_ns"];
    let column = |name| table.number(name);
    let (tokens, sites) = (column("num_tokens")?, column("num_sites")?);
    let (streams, hidden) = (column("hc_mult")?, column("hidden_size")?);
    let (name, ms) = (table.word("op_name")?, column("latency_ms")?);
    let module = |word: &str, crossings: &dyn Fn(f64) -> f64| {
        let row = |i: usize| {
            let bytes = tokens[i] * sites[i] * crossings(streams[i]) * hidden[i] * 2.0;
            let terms = vec![1e-5 * sites[i], bytes / machine.memory, tokens[i] * sites[i] * 1e-9];
            point(terms, ms[i] * 1e-3, &[tokens[i] as u64])
        };
        let points = (0..table.rows).filter(|i| name[*i] == word).map(row).collect();
        Module { operator: format!("mhc-{word} bf16"), terms: &TERMS, points }
    };
    Ok(vec![module("pre", &|n| n + 1.0), module("post", &|n| 2.0 * n + 1.0)])
}

/// Median share of the bandwidth that large hyper-connection writes reach; `None` if none is large.
pub fn copy_share(table: &Table, machine: &Machine) -> Result<Option<f64>, Diagnostic> {
    let (tokens, sites) = (table.number("num_tokens")?, table.number("num_sites")?);
    let (streams, hidden) = (table.number("hc_mult")?, table.number("hidden_size")?);
    let (name, ms) = (table.word("op_name")?, table.number("latency_ms")?);
    let mut shares: Vec<f64> = (0..table.rows)
        .filter(|i| name[*i] == "post" && tokens[*i] >= 16_384.0)
        .map(|i| {
            let bytes = tokens[i] * sites[i] * (2.0 * streams[i] + 1.0) * hidden[i] * 2.0;
            bytes / machine.memory / (ms[i] * 1e-3)
        })
        .collect();
    shares.sort_by(f64::total_cmp);
    Ok(shares.get(shares.len() / 2).copied())
}

/// Dispatch to and combine from experts inside one node of eight; in blocks of one layer.
///
/// A token goes once to each other rank that holds one of its experts:
/// 7·(1 − (7/8)^top-k) of them if its choices are independent. Bytes pass the links, and the cores
/// set aside for it; the cores also write each of the rank's own tokens once, where its copies are summed.
pub fn exchange(table: &Table, machine: &Machine) -> Result<Vec<Module>, Diagnostic> {
    const TERMS: [&str; 5] = [
        "start_10us",
        "bytes_over_link",
        "bytes_over_core_10_gb_s",
        "own_bytes_over_core_10_gb_s",
        "token_us_over_cores",
    ];
    let column = |name| table.number(name);
    let (hidden, tokens, topk) =
        (column("hidden_size")?, column("num_token")?, column("num_topk")?);
    let nodes = column("node_num")?;
    let module = |word: &str| -> Result<Module, Diagnostic> {
        let sms = table.number(&format!("{word}_sms"))?;
        let us = table.number(&format!("{word}_transmit_us"))?;
        let row = |i: usize| {
            let ranks = 7.0 * (1.0 - libm::pow(7.0 / 8.0, topk[i]));
            let own = tokens[i] * hidden[i] * 2.0;
            let bytes = own * ranks;
            let terms = vec![
                1e-5,
                bytes / machine.link,
                bytes / (sms[i] * 1e10),
                own / (sms[i] * 1e10),
                tokens[i] * 1e-6 / sms[i],
            ];
            point(terms, us[i] * 1e-6, &[hidden[i] as u64, topk[i] as u64])
        };
        let points = (0..table.rows).filter(|i| nodes[*i] == 1.0).map(row).collect();
        Ok(Module { operator: format!("deepep-{word} bf16"), terms: &TERMS, points })
    };
    if machine.link <= 0.0 {
        return Ok(Vec::new());
    }
    Ok(vec![module("dispatch")?, module("combine")?])
}

/// Fused dispatch, experts and combine of four-bit weights and eight-bit activations; in blocks of
/// one number of tokens. If a share h of all choices falls on one rank and the rest are even, that rank
/// has 1 + h·(ranks − 1) times its even products, and all wait for it: h is the factor of a skewed load.
pub fn fused(table: &Table, machine: &Machine) -> Result<Vec<Module>, Diagnostic> {
    const TERMS: [&str; 7] = [
        "layer_100us",
        "weight_bytes_over_bandwidth",
        "flops_over_peak",
        "bytes_over_link",
        "flops_of_other_ranks_power_law_1.01",
        "flops_of_other_ranks_power_law_1.2",
        "flops_of_other_ranks_power_law_sampled_1.9",
    ];
    let Some(peak) = machine.peak(Dtype::Fp8).filter(|_| machine.link > 0.0) else {
        return Ok(Vec::new());
    };
    let column = |name| table.number(name);
    let (tokens, hidden, inner) =
        (column("num_tokens")?, column("hidden_size")?, column("inter_size")?);
    let (topk, experts, ep) = (column("topk")?, column("num_experts")?, column("moe_ep_size")?);
    let (spread, ms) = (table.word("distribution")?, column("latency_ms")?);
    let row = |i: usize| {
        let rows = tokens[i] * topk[i];
        let flops_s = 6.0 * rows * hidden[i] * inner[i] / peak;
        let weights = experts[i] / ep[i] * 3.0 * hidden[i] * inner[i] * 0.5;
        let ranks = (ep[i] - 1.0) * (1.0 - libm::pow(1.0 - 1.0 / ep[i], topk[i]));
        // Dispatched in one byte an element, combined in two.
        let bytes = tokens[i] * ranks * hidden[i] * 3.0;
        let others_s = flops_s * (ep[i] - 1.0);
        let skewed = |word: &str| if spread[i] == word { others_s } else { 0.0 };
        let terms = vec![
            1e-4,
            weights / machine.memory,
            flops_s,
            bytes / machine.link,
            skewed("power_law_1.01"),
            skewed("power_law_1.2"),
            skewed("power_law_sampled_1.9"),
        ];
        point(terms, ms[i] * 1e-3, &[tokens[i] as u64, ep[i] as u64])
    };
    let points = (0..table.rows).map(row).collect();
    Ok(vec![Module { operator: "megamoe fp8".to_owned(), terms: &TERMS, points }])
}

/// DeepSeek-V4's attention modules over whole sequences, with their projections, by ratio and format
/// of the projections; in blocks of one number of heads and sequence.
///
/// The work is the layer's own as `model` lowers it.
pub fn compressed(table: &Table, machine: &Machine) -> Result<Vec<Module>, Diagnostic> {
    const TERMS: [&str; 6] = [
        "layer_100us",
        "projection_roofline",
        "core_roofline",
        "indexer_roofline",
        "copies_over_bandwidth",
        "query_heads_ns",
    ];
    let column = |name| table.number(name);
    let (batch, seq) = (column("batch_size")?, column("seq_len")?);
    let (heads, tp) = (column("num_heads")?, column("tp_size")?);
    let (prefix, ratio, ms) =
        (column("prefix_len")?, column("compress_ratio")?, column("latency_ms")?);
    let (names, formats) = (table.word("model")?, table.word("gemm_type")?);
    let mut out = Vec::new();
    for (word, wanted) in [("csa", 4.0), ("hca", 128.0)] {
        for (format, dtype) in [("bfloat16", Dtype::Bf16), ("fp8_block", Dtype::Fp8)] {
            let Some(dtype) = Some(dtype).filter(|d| machine.peak(*d).is_some()) else { continue };
            let mut points = Vec::new();
            for i in (0..table.rows).filter(|i| prefix[*i] == 0.0 && ratio[*i] == wanted) {
                if formats[i] != format {
                    continue;
                }
                let shape = [batch[i], seq[i], tp[i], heads[i]].map(|v| v as u64);
                let Some(layer) = layer(&names[i], wanted as u64) else {
                    let message = format!("`{}` is no model with such a layer", names[i]);
                    return Err(table.problem("calibrate::model", i, message));
                };
                let terms = layer_terms(&layer, shape, machine, dtype);
                let measured = ms[i] * 1e-3;
                points.push(point(terms, measured, &[heads[i] as u64, seq[i] as u64]));
            }
            let operator = format!("{word} {}", dtype.word());
            out.push(Module { operator, terms: &TERMS, points });
        }
    }
    Ok(out)
}

/// The catalog's model of that name, with its layer of that ratio only.
fn layer(name: &str, ratio: u64) -> Option<Architecture> {
    let id = if name.contains("V4-Pro") { "deepseek-v4-pro" } else { "deepseek-v4-flash" };
    let text = catalog::text(catalog::Kind::Model, id).filter(|_| name.contains("DeepSeek-V4"))?;
    let mut arch = model::parse_config(id, id, text).ok()?;
    let of = |a: &Attention| matches!(a, Attention::Compressed { ratio: r, .. } if *r == ratio);
    arch.layers.retain(|layer| of(&layer.attention));
    arch.layers.truncate(1);
    (!arch.layers.is_empty()).then_some(arch)
}

fn layer_terms(arch: &Architecture, shape: [u64; 4], machine: &Machine, dtype: Dtype) -> Vec<f64> {
    let [micro_batch, sequence, tensor, heads] = shape;
    let shard = Shard {
        micro_batch,
        sequence,
        tensor,
        sequence_parallel: false,
        context: 1,
        expert: 1,
        expert_tensor: 1,
    };
    let wire =
        Wire { activation_bytes: 2.0, gather_bytes: 2.0, dispatch_bytes: 2.0, combine_bytes: 2.0 };
    let steps = model::layer_steps(arch, &arch.layers[0], &shard, &wire);
    let mut sums = [0.0; 4];
    let ffn =
        |o: &Operator| matches!(o.class, Class::FeedForward | Class::Routing | Class::Experts);
    let operators = steps.iter().filter_map(|step| match step {
        Step::Compute(operator) => Some(operator),
        Step::Exchange(_) => None,
    });
    for operator in operators.take_while(|o| !ffn(o)) {
        let format = if operator.role == Role::Linear { dtype } else { Dtype::Bf16 };
        let slot = match (operator.class, &operator.work) {
            (Class::HyperConnection, _) => continue,
            (_, Work::Memory { bytes, .. }) => {
                sums[3] += bytes / machine.memory;
                continue;
            }
            (Class::AttentionCore, _) => 1,
            (Class::Indexer, _) => 2,
            _ => 0,
        };
        sums[slot] += machine.ideal(&operator.work, format, None);
    }
    let rows = micro_batch as f64 * sequence as f64 * heads as f64;
    vec![1e-4, sums[0], sums[1], sums[2], sums[3], rows * 1e-9]
}
