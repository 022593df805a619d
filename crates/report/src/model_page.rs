//! `supernode model`.

use crate::json::Stamp;
use crate::table::{aligned, row};
use model::Architecture;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The lengths shown: those asked for, or the usual ones the model allows.
fn lengths(model: &Architecture, asked: &[u64]) -> Vec<u64> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let usual = [4096, 16_384, 65_536, 131_072, 1 << 20];
    let fit: Vec<u64> = usual.into_iter().filter(|s| *s <= model.max_positions).collect();
    if fit.is_empty() { vec![model.max_positions] } else { fit }
}

/// Parameters, FLOPs, activations and cache as text.
pub fn model_text(model: &Architecture, asked: &[u64]) -> String {
    let p = model.parameters();
    let mut out = format!(
        "{} ({}): {} blocks and {} prediction blocks, width {}, vocabulary {}\n",
        model.name,
        model.model_type,
        model.layers.len(),
        model.mtp.len(),
        model.hidden,
        model.vocab
    );
    let billions = |n: u64| format!("{:.3} B", n as f64 / 1e9);
    let mut rows: Vec<Vec<String>> = p
        .components
        .iter()
        .map(|c| vec![c.name.to_owned(), c.count.to_string(), billions(c.count)])
        .collect();
    for (name, count) in [
        ("total with MTP", p.total_with_mtp),
        ("total without MTP", p.total_main),
        ("active without input embedding", p.active_without_embedding),
        ("active with input embedding", p.active_with_embedding),
        ("matrices (Muon can take them)", p.matrices),
        ("the rest (AdamW)", p.vectors),
    ] {
        rows.push(vec![name.to_owned(), count.to_string(), billions(count)]);
    }
    let _ = write!(out, "\nParameters\n{}", aligned(&rows, 1));
    let mut rows = vec![row([
        "sequence",
        "forward",
        "backward",
        "training",
        "6N",
        "Megatron causal",
        "PaLM",
        "KV cache",
    ])];
    for s in lengths(model, asked) {
        let f = model.flops_per_token(s);
        let giga = |v: f64| format!("{:.1}", v / 1e9);
        rows.push(vec![
            s.to_string(),
            giga(f.forward_with_mtp()),
            giga(f.backward_with_mtp()),
            giga(f.training()),
            giga(f.six_n),
            giga(f.megatron_causal),
            giga(f.palm),
            format!("{:.3} GB", model.kv_bytes(s).total() / 1e9),
        ]);
    }
    let _ = write!(
        out,
        "\nGFLOP per token (with MTP, mean over a causal sequence)\n{}",
        aligned(&rows, 0)
    );
    let mut rows =
        vec![row(["block", "blocks", "nothing recomputed", "tags", "tags, FP8 inputs", "full"])];
    for a in model.activation_table(lengths(model, asked)[0]) {
        let bytes = |v: f64| format!("{v:.0}");
        rows.push(vec![
            a.kind.clone(),
            a.layers.to_string(),
            bytes(a.none),
            bytes(a.tags),
            bytes(a.tags_fp8),
            bytes(a.full),
        ]);
    }
    let _ = write!(
        out,
        "\nBytes kept per token and block (tags: norm, up-projection, activation, hyper)\n{}",
        aligned(&rows, 1)
    );
    out
}

/// The same as JSON, schema `supernode.model/1`.
pub fn model_json(stamp: &Stamp, model: &Architecture, asked: &[u64]) -> Value {
    let p = model.parameters();
    let mut components = Map::new();
    for c in &p.components {
        components.insert(c.name.to_owned(), c.count.into());
    }
    let lengths = lengths(model, asked);
    let flops: Vec<Value> = lengths
        .iter()
        .map(|&s| {
            let f = model.flops_per_token(s);
            let mut parts = Map::new();
            for part in &f.main {
                parts.insert(part.name.to_owned(), part.forward.into());
            }
            json!({
                "sequence": s,
                "forward_main_flop": f.forward(),
                "forward_flop": f.forward_with_mtp(),
                "backward_flop": f.backward_with_mtp(),
                "training_flop": f.training(),
                "six_n_flop": f.six_n,
                "megatron_causal_flop": f.megatron_causal,
                "palm_flop": f.palm,
                "forward_parts_flop": parts,
                "kv_cache_bytes": model.kv_bytes(s).total(),
            })
        })
        .collect();
    let activations: Vec<Value> = model
        .activation_table(lengths[0])
        .iter()
        .map(|a| {
            json!({
                "block": a.kind, "blocks": a.layers, "none_bytes": a.none, "tags_bytes": a.tags,
                "tags_fp8_bytes": a.tags_fp8, "full_bytes": a.full,
            })
        })
        .collect();
    stamp.on(json!({
        "model": model.name,
        "model_type": model.model_type,
        "parameters": {
            "total_with_mtp": p.total_with_mtp,
            "total_main": p.total_main,
            "active_without_embedding": p.active_without_embedding,
            "active_with_embedding": p.active_with_embedding,
            "components": components,
            "optimizer_groups": { "matrices": p.matrices, "rest": p.vectors },
        },
        "per_token": flops,
        "activations_per_token": activations,
    }))
}
