//! Families with one feed-forward for every token.

use diagnostic::Diagnostics;

use super::{KvHeads, Shell, blocks, grouped, head_dim_of, swiglu};
use crate::config::fields::Fields;
use crate::{Architecture, Attention, Ffn, Layer, Mlp, Norm};

/// GPT-2 and GPT-3: layer norms and biases everywhere, learned positions.
pub(super) fn gpt2(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    let hidden = f.dim("n_embd");
    let heads = f.dim("n_head");
    let layers = f.layers("n_layer", 1);
    let positions = f.dim("n_positions");
    // GPT2Config: `n_inner` None means 4·n_embd.
    let width = f.optional_dim("n_inner").unwrap_or(4 * hidden);
    let shell = Shell {
        hidden,
        vocab: f.dim("vocab_size"),
        max_positions: positions,
        // GPT2Config inherits PretrainedConfig's True.
        tied_embedding: f.flag_or("tie_word_embeddings", true),
        rotary_scaled: false,
    };
    let attention = Attention::Grouped {
        heads,
        kv_heads: heads,
        head_dim: head_dim_of(f, hidden, heads, "n_head"),
        window: None,
        qkv_bias: true,
        out_bias: true,
        qk_norm: false,
        sinks: false,
    };
    f.check()?;
    let ffn = Ffn::Dense(Mlp { width, gated: false, bias: true, clamped: false });
    let layers = blocks(layers, attention, ffn, ffn, |_| false);
    Ok(Architecture {
        learned_positions: positions,
        norm: Norm { bias: true, sandwich: false },
        ..shell.around(name, layers)
    })
}

/// Llama.
pub(super) fn llama(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // LlamaConfig: embeddings untied, no biases, kv heads = heads and head_dim = hidden / heads
    // unless said.
    let shell = Shell::read(f, Some(false));
    let attention = grouped(f, shell.hidden, KvHeads::OrHeads, true);
    let bias = f.flag_or("attention_bias", false);
    let mlp_bias = f.flag_or("mlp_bias", false);
    let attention = with(attention, |a| (a.qkv_bias, a.out_bias) = (bias, bias));
    let mlp = Mlp { bias: mlp_bias, ..swiglu(f.dim("intermediate_size")) };
    uniform(name, f, shell, attention, mlp)
}

/// Mistral: Llama with a window in every block and no biases.
pub(super) fn mistral(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // MistralConfig: embeddings untied; its `num_key_value_heads` default of 8 is a size, so required.
    let shell = Shell::read(f, Some(false));
    let attention = grouped(f, shell.hidden, KvHeads::Required, true);
    // Null means none; the class's default of 4096 is a size, so the key itself is required.
    let window = f.nullable_dim("sliding_window");
    let attention = with(attention, |a| a.window = window);
    let mlp = swiglu(f.dim("intermediate_size"));
    uniform(name, f, shell, attention, mlp)
}

/// Nemotron: squared `ReLU` (two matrices) and layer norms with bias.
pub(super) fn nemotron(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // NemotronConfig: embeddings untied, no biases, kv heads = heads unless said.
    let shell = Shell::read(f, Some(false));
    let attention = grouped(f, shell.hidden, KvHeads::OrHeads, true);
    let bias = f.flag_or("attention_bias", false);
    let attention = with(attention, |a| (a.qkv_bias, a.out_bias) = (bias, bias));
    let mlp = Mlp {
        width: f.dim("intermediate_size"),
        gated: false,
        bias: f.flag_or("mlp_bias", false),
        clamped: false,
    };
    let plain = uniform(name, f, shell, attention, mlp)?;
    Ok(Architecture { norm: Norm { bias: true, sandwich: false }, ..plain })
}

/// Qwen2 and Qwen2.5: Llama with biases on q, k and v.
pub(super) fn qwen2(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // Qwen2Config: embeddings untied unless said; its kv-head default of 32 is a size.
    let shell = Shell::read(f, Some(false));
    let attention = grouped(f, shell.hidden, KvHeads::Required, true);
    let attention = with(attention, |a| a.qkv_bias = true);
    let mlp = swiglu(f.dim("intermediate_size"));
    let plain = uniform(name, f, shell, attention, mlp)?;
    windowed(f, plain)
}

/// Qwen3: q and k norms.
pub(super) fn qwen3(name: &str, f: &mut Fields) -> Result<Architecture, Diagnostics> {
    // Qwen3Config: embeddings untied and no biases unless said; `head_dim` is a size, so required.
    let shell = Shell::read(f, Some(false));
    let attention = grouped(f, shell.hidden, KvHeads::Required, false);
    let bias = f.flag_or("attention_bias", false);
    let attention = with(attention, |a| (a.qkv_bias, a.out_bias, a.qk_norm) = (bias, bias, true));
    let mlp = swiglu(f.dim("intermediate_size"));
    let plain = uniform(name, f, shell, attention, mlp)?;
    windowed(f, plain)
}

/// The switches of grouped attention that families set.
#[expect(clippy::struct_excessive_bools, reason = "they mirror `Attention::Grouped`")]
pub(super) struct Switches {
    pub window: Option<u64>,
    pub qkv_bias: bool,
    pub out_bias: bool,
    pub qk_norm: bool,
    pub sinks: bool,
}

/// `attention` with switches changed; latent kinds have none and stay as they are.
pub(super) fn with(attention: Attention, change: impl FnOnce(&mut Switches)) -> Attention {
    let Attention::Grouped {
        heads,
        kv_heads,
        head_dim,
        window,
        qkv_bias,
        out_bias,
        qk_norm,
        sinks,
    } = attention
    else {
        return attention;
    };
    let mut s = Switches { window, qkv_bias, out_bias, qk_norm, sinks };
    change(&mut s);
    Attention::Grouped {
        heads,
        kv_heads,
        head_dim,
        window: s.window,
        qkv_bias: s.qkv_bias,
        out_bias: s.out_bias,
        qk_norm: s.qk_norm,
        sinks: s.sinks,
    }
}

fn uniform(
    name: &str,
    f: &mut Fields,
    shell: Shell,
    attention: Attention,
    mlp: Mlp,
) -> Result<Architecture, Diagnostics> {
    let layers = f.layers("num_hidden_layers", 1);
    f.check()?;
    let ffn = Ffn::Dense(mlp);
    Ok(shell.around(name, blocks(layers, attention, ffn, ffn, |_| false)))
}

/// Qwen's windows: with `use_sliding_window` (off unless said in `Qwen2Config` and its heirs) the
/// blocks from `max_window_layers` on see `sliding_window` tokens.
pub(super) fn windowed(f: &mut Fields, plain: Architecture) -> Result<Architecture, Diagnostics> {
    if !f.flag_or("use_sliding_window", false) {
        f.check()?;
        return Ok(plain);
    }
    let window = f.dim("sliding_window");
    let from = f.count("max_window_layers");
    f.check()?;
    let windowed = |(i, layer): (usize, Layer)| {
        let inside = i as u64 >= from;
        let change = |s: &mut Switches| s.window = inside.then_some(window);
        Layer { attention: with(layer.attention, change), ..layer }
    };
    let layers = plain.layers.into_iter().enumerate().map(windowed).collect();
    Ok(Architecture { layers, ..plain })
}
