//! Families of grouped-query attention and routed experts.

use diagnostic::Diagnostics;

use super::dense::{windowed, with};
use super::{KvHeads, Shell, blocks, check_topk, grouped, swiglu};
use crate::config::fields::Fields;
use crate::{Architecture, Ffn, Layer, Mlp, Norm};

/// Mixtral: every block routed, no shared expert.
pub(super) fn mixtral(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // MixtralConfig: embeddings untied, head_dim = hidden / heads and no window unless said.
    let shell = Shell::read(f, Some(false));
    let attention = grouped(f, shell.hidden, KvHeads::Required, true);
    let window = f.optional_dim("sliding_window");
    let attention = with(attention, |a| a.window = window);
    let layers = f.layers("num_hidden_layers", 1);
    let expert = swiglu(f.dim("intermediate_size"));
    let ffn = routed(f, expert, "num_local_experts", 0, false);
    f.check()?;
    Ok(shell.around(name, blocks(layers, attention, ffn, ffn, |_| true)))
}

/// Grok-1, with keys named as HF names them for its kin: four norms a block, so sandwiched.
pub(super) fn grok(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // No HF class exists for `grok-1`: nothing has a default.
    let shell = Shell::read(f, None);
    let attention = grouped(f, shell.hidden, KvHeads::Required, false);
    let layers = f.layers("num_hidden_layers", 1);
    let expert = swiglu(f.dim("intermediate_size"));
    let ffn = routed(f, expert, "num_experts", 0, false);
    f.check()?;
    let plain = shell.around(name, blocks(layers, attention, ffn, ffn, |_| true));
    Ok(Architecture { norm: Norm { bias: false, sandwich: true }, ..plain })
}

/// Qwen3-MoE.
pub(super) fn qwen3_moe(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // Qwen3MoeConfig: embeddings untied, no biases, every block routed unless said.
    let shell = Shell::read(f, Some(false));
    let attention = grouped(f, shell.hidden, KvHeads::Required, false);
    let bias = f.flag_or("attention_bias", false);
    let attention = with(attention, |a| (a.qkv_bias, a.out_bias, a.qk_norm) = (bias, bias, true));
    let layers = f.layers("num_hidden_layers", 1);
    let step = f.optional_dim("decoder_sparse_step").unwrap_or(1);
    let dense_blocks = f.counts("mlp_only_layers").unwrap_or_default();
    // The dense width is read by the class only where a dense block exists.
    let all_routed = step == 1 && dense_blocks.is_empty();
    let dense_width = if all_routed { 1 } else { f.dim("intermediate_size") };
    let expert = swiglu(f.dim("moe_intermediate_size"));
    let moe = routed(f, expert, "num_experts", 0, false);
    f.check()?;
    let is_moe = |i: u64| !dense_blocks.contains(&i) && (i + 1).is_multiple_of(step);
    let dense = Ffn::Dense(swiglu(dense_width));
    windowed(f, shell.around(name, blocks(layers, attention, dense, moe, is_moe)))
}

/// GLM-4.5 and its kin.
pub(super) fn glm4_moe(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // Glm4MoeConfig: embeddings untied, no q/k norms, no biases unless said; the output projection
    // never has a bias; the router always has its correction term.
    let shell = Shell::read(f, Some(false));
    let attention = grouped(f, shell.hidden, KvHeads::Required, false);
    let qkv_bias = f.flag_or("attention_bias", false);
    let qk_norm = f.flag_or("use_qk_norm", false);
    let attention = with(attention, |a| (a.qkv_bias, a.qk_norm) = (qkv_bias, qk_norm));
    let layers = f.layers("num_hidden_layers", 1);
    let first = f.count("first_k_dense_replace");
    let mtp = f.layers("num_nextn_predict_layers", 0);
    let dense = Ffn::Dense(swiglu(f.dim("intermediate_size")));
    let expert = swiglu(f.dim("moe_intermediate_size"));
    let shared = f.count("n_shared_experts") * expert.width;
    let moe = routed(f, expert, "n_routed_experts", shared, true);
    f.check()?;
    let blocks = blocks(layers, attention, dense, moe, |i| i >= first);
    let mtp = vec![Layer { attention, ffn: moe }; mtp as usize];
    Ok(Architecture { mtp, ..shell.around(name, blocks) })
}

/// GPT-OSS: biases everywhere, sinks, windows in the blocks `layer_types` names.
pub(super) fn gpt_oss(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    let shell = Shell::read(f, None);
    let attention = grouped(f, shell.hidden, KvHeads::Required, false);
    let bias = f.flag("attention_bias");
    let attention = with(attention, |a| (a.qkv_bias, a.out_bias, a.sinks) = (bias, bias, true));
    let layers = f.layers("num_hidden_layers", 1);
    let window = f.dim("sliding_window");
    let windows = layer_windows(f, layers, window);
    // GptOssExperts and GptOssTopKRouter have biases whatever `attention_bias` says.
    let expert =
        Mlp { bias: true, clamped: f.has("swiglu_limit"), ..swiglu(f.dim("intermediate_size")) };
    let ffn = routed(f, expert, "num_local_experts", 0, true);
    f.check()?;
    let block = |window| Layer { attention: with(attention, |a| a.window = window), ffn };
    Ok(shell.around(name, windows.into_iter().map(block).collect()))
}

/// The window of each block, from `layer_types`.
fn layer_windows(f: &mut Fields, layers: u64, window: u64) -> Vec<Option<u64>> {
    let Some(words) = f.words("layer_types") else {
        return f.missing("layer_types", Vec::new());
    };
    let message = format!("`layer_types` names {} blocks of {layers}", words.len());
    f.conflict(words.len() as u64 != layers, "layer_types", message);
    let mut windows = Vec::with_capacity(words.len());
    for word in words {
        windows.push(match word {
            "sliding_attention" => Some(window),
            "full_attention" => None,
            other => {
                f.wrong("layer_types", format!("`layer_types` holds the unknown kind `{other}`"));
                break;
            }
        });
    }
    windows
}

/// Routed experts of the shape `expert`, scored by a learned router.
fn routed(
    f: &mut Fields,
    expert: Mlp,
    key: &'static str,
    shared_width: u64,
    router_bias: bool,
) -> Ffn {
    let experts = f.dim(key);
    let topk = f.dim("num_experts_per_tok");
    check_topk(f, "num_experts_per_tok", topk, experts);
    Ffn::Moe {
        expert,
        experts,
        topk,
        shared_width,
        router_bias,
        hash_routed: false,
        group_limit: None,
    }
}
