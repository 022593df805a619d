//! Families of latent or compressed attention.

use diagnostic::Diagnostics;

use super::{Shell, blocks, check_topk, swiglu};
use crate::config::fields::Fields;
use crate::{Architecture, Attention, Ffn, Indexer, Layer, Norm, Residual};

/// DeepSeek-V2: soft-max routing without a correction term, no multi-token prediction.
pub(super) fn deepseek_v2(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    let attention = latent(f, None);
    mixture(name, f, attention, false, Mtp::None)
}

/// DeepSeek-V3 and Kimi K2.
pub(super) fn deepseek_v3(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    let attention = latent(f, None);
    mixture(name, f, attention, true, Mtp::Counted)
}

/// DeepSeek-V3.2: V3 with an indexer in every block.
pub(super) fn deepseek_v32(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    let indexer = indexer(f);
    let attention = latent(f, Some(indexer));
    mixture(name, f, attention, true, Mtp::Counted)
}

/// `openPangu` Ultra `MoE`: V3's shape under its own keys, with sandwich norms.
pub(super) fn pangu_ultra_moe(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // Its configuration class is not part of HF transformers: nothing has a default.
    let shell = Shell::read(f, None);
    let attention = Attention::Latent {
        heads: f.dim("num_attention_heads"),
        q_rank: f.dim("attention_q_lora_dim"),
        kv_rank: f.dim("attention_kv_lora_dim"),
        nope_dim: f.dim("attention_qk_dim"),
        rope_dim: f.dim("attention_qk_rope_dim"),
        v_dim: f.dim("attention_v_dim"),
        indexer: None,
    };
    let layers = f.layers("num_hidden_layers", 1);
    let first = f.count("num_dense_layers");
    let mtp = f.layers("num_mtp_layers", 0);
    let sandwich = f.flag("sandwich_norm");
    let dense = Ffn::Dense(swiglu(f.dim("intermediate_size")));
    // The released configuration names no correction term of the router.
    let moe = experts(f, "num_routed_experts", "num_shared_experts", false);
    f.check()?;
    let blocks = blocks(layers, attention, dense, moe, |i| i >= first);
    Ok(Architecture {
        norm: Norm { bias: false, sandwich },
        mtp: vec![Layer { attention, ffn: moe }; mtp as usize],
        ..shell.around(name, blocks)
    })
}

/// DeepSeek-V4: compressed attention by `compress_ratios`, hyper-connections, hash-routed blocks.
pub(super) fn deepseek_v4(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    let shell = Shell::read(f, None);
    let heads = f.dim("num_attention_heads");
    let kv_heads = f.dim("num_key_value_heads");
    f.unsupported_if(kv_heads != 1, "num_key_value_heads", "more than one key-value head");
    let (head_dim, rope_dim) = (f.dim("head_dim"), f.dim("qk_rope_head_dim"));
    let message = format!("`qk_rope_head_dim` {rope_dim} is wider than the head ({head_dim})");
    f.conflict(rope_dim > head_dim, "qk_rope_head_dim", message);
    let (q_rank, window) = (f.dim("q_lora_rank"), f.dim("sliding_window"));
    let (o_groups, o_rank) = (f.dim("o_groups"), f.dim("o_lora_rank"));
    let message = format!("`o_groups` {o_groups} does not divide the {heads} heads");
    f.conflict(!heads.is_multiple_of(o_groups), "o_groups", message);
    let index = indexer(f);
    let bias = f.flag("attention_bias");
    f.unsupported_if(bias, "attention_bias", "biases in compressed attention");
    let residual = Residual::Hyper {
        streams: f.dim("hc_mult"),
        sinkhorn_iterations: f.count("hc_sinkhorn_iters"),
    };
    let layers = f.layers("num_hidden_layers", 1);
    let mtp = f.layers("num_nextn_predict_layers", 0);
    let hashed = f.count("num_hash_layers");
    let message = format!("`num_hash_layers` {hashed} is more than the {layers} blocks");
    f.conflict(hashed > layers, "num_hash_layers", message);
    let ratios = ratios(f, layers, mtp);
    let scored = experts(f, "n_routed_experts", "n_shared_experts", true);
    f.check()?;
    let block = |(i, ratio): (u64, &u64)| Layer {
        attention: Attention::Compressed {
            heads,
            head_dim,
            rope_dim,
            q_rank,
            o_groups,
            o_rank,
            window,
            ratio: *ratio,
            indexer: (*ratio == CSA).then_some(index),
        },
        ffn: if i < hashed { hash_routed(scored) } else { scored },
    };
    let mut all: Vec<Layer> = (0..).zip(&ratios).map(block).collect();
    let mtp = all.split_off(layers as usize);
    Ok(Architecture { residual, mtp, ..shell.around(name, all) })
}

/// Tokens per entry of compressed sparse attention, the kind that has an indexer.
const CSA: u64 = 4;
/// Tokens per entry of heavily compressed attention.
const HCA: u64 = 128;

/// `compress_ratios`: one entry a block, then one a prediction block.
fn ratios(f: &mut Fields, layers: u64, mtp: u64) -> Vec<u64> {
    let key = "compress_ratios";
    if !f.has(key) {
        return f.missing(key, Vec::new());
    }
    let ratios = f.counts(key).unwrap_or_default();
    let got = ratios.len() as u64;
    let message =
        format!("`{key}` has {got} entries for {layers} blocks and {mtp} prediction blocks");
    f.conflict(got != layers + mtp, key, message);
    if let Some(other) = ratios.iter().find(|r| ![0, CSA, HCA].contains(r)) {
        f.wrong(key, format!("`{key}` holds {other}; known are 0, {CSA} and {HCA}"));
    }
    ratios
}

/// The same experts chosen by a table: no correction term.
fn hash_routed(scored: Ffn) -> Ffn {
    match scored {
        Ffn::Moe { expert, experts, topk, shared_width, group_limit, .. } => Ffn::Moe {
            expert,
            experts,
            topk,
            shared_width,
            router_bias: false,
            hash_routed: true,
            group_limit,
        },
        Ffn::Dense(_) => scored,
    }
}

fn indexer(f: &mut Fields) -> Indexer {
    Indexer {
        heads: f.dim("index_n_heads"),
        head_dim: f.dim("index_head_dim"),
        topk: f.dim("index_topk"),
    }
}

fn latent(f: &mut Fields, indexer: Option<Indexer>) -> Attention {
    // DeepseekV2Config and DeepseekV3Config: no biases unless said.
    let bias = f.flag_or("attention_bias", false);
    f.unsupported_if(bias, "attention_bias", "biases in latent attention");
    Attention::Latent {
        heads: f.dim("num_attention_heads"),
        // Null means that queries are projected directly; absence would mean 1536, a size.
        q_rank: f.nullable_dim("q_lora_rank").unwrap_or(0),
        kv_rank: f.dim("kv_lora_rank"),
        nope_dim: f.dim("qk_nope_head_dim"),
        rope_dim: f.dim("qk_rope_head_dim"),
        v_dim: f.dim("v_head_dim"),
        indexer,
    }
}

/// Whether a family states a number of prediction blocks.
#[derive(Clone, Copy)]
enum Mtp {
    None,
    Counted,
}

/// V2's and V3's alternation of dense and routed blocks.
fn mixture(
    name: &str,
    f: &mut Fields,
    attention: Attention,
    router_bias: bool,
    mtp: Mtp,
) -> Result<Architecture, Diagnostics> {
    // DeepseekV2Config and DeepseekV3Config: embeddings untied unless said.
    let shell = Shell::read(f, Some(false));
    let layers = f.layers("num_hidden_layers", 1);
    let first = f.count("first_k_dense_replace");
    // DeepseekV2Config: every block from there on is routed unless said.
    let step = f.optional_dim("moe_layer_freq").unwrap_or(1);
    let mtp = match mtp {
        Mtp::None => 0,
        Mtp::Counted => f.layers("num_nextn_predict_layers", 0),
    };
    let dense = Ffn::Dense(swiglu(f.dim("intermediate_size")));
    let moe = experts(f, "n_routed_experts", "n_shared_experts", router_bias);
    f.check()?;
    let is_moe = |i: u64| i >= first && i.is_multiple_of(step);
    let blocks = blocks(layers, attention, dense, moe, is_moe);
    // A prediction block has the shape of the last routed block (arXiv 2412.19437, section 2.2).
    let mtp = vec![Layer { attention, ffn: moe }; mtp as usize];
    Ok(Architecture { mtp, ..shell.around(name, blocks) })
}

fn experts(f: &mut Fields, routed: &'static str, shared: &'static str, router_bias: bool) -> Ffn {
    let expert = swiglu(f.dim("moe_intermediate_size"));
    let experts = f.dim(routed);
    let topk = f.dim("num_experts_per_tok");
    check_topk(f, "num_experts_per_tok", topk, experts);
    let shared_width = f.count(shared) * expert.width;
    // V2 and V3 keep a token's experts within `topk_group` of `n_group` nodes.
    let groups = f.optional_dim("n_group").unwrap_or(1);
    let limit = f.optional_dim("topk_group");
    let group_limit = limit.filter(|&l| l < groups);
    Ffn::Moe { expert, experts, topk, shared_width, router_bias, hash_routed: false, group_limit }
}
