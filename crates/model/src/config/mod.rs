//! Reads HF `config.json` files, strictly: every field the arithmetic needs is there or is named.
//!
//! A field may be absent only where the configuration class of HF transformers itself documents what
//! absence means; each such place says so.

mod deepseek;
mod dense;
mod fields;
mod moe;
mod twice;

use diagnostic::{Diagnostic, Diagnostics, nearest};
use serde_json::{Map, Value};

use crate::{Architecture, Attention, Ffn, Layer, Mlp, Norm, Residual};
use fields::Fields;

/// A reader for one family of configurations.
type Family = fn(&str, &mut Fields) -> Result<Architecture, Diagnostics>;

/// The `model_type`s understood, and who reads each.
const FAMILIES: [(&str, Family); 17] = [
    ("deepseek_v2", deepseek::deepseek_v2),
    ("deepseek_v3", deepseek::deepseek_v3),
    ("deepseek_v32", deepseek::deepseek_v32),
    ("deepseek_v4", deepseek::deepseek_v4),
    ("glm4_moe", moe::glm4_moe),
    ("gpt2", dense::gpt2),
    ("gpt_oss", moe::gpt_oss),
    ("grok-1", moe::grok),
    ("kimi_k2", deepseek::deepseek_v3),
    ("llama", dense::llama),
    ("mistral", dense::mistral),
    ("mixtral", moe::mixtral),
    ("nemotron", dense::nemotron),
    ("pangu_ultra_moe", deepseek::pangu_ultra_moe),
    ("qwen2", dense::qwen2),
    ("qwen3", dense::qwen3),
    ("qwen3_moe", moe::qwen3_moe),
];

/// Parameters beyond which a configuration is refused: 2^53, so that counts stay exact in `f64`.
const MOST_PARAMETERS: f64 = 9_007_199_254_740_992.0;

/// The architecture an HF `config.json` describes.
///
/// `name` is what to call it, `file` where `json` came from (for messages only). Refused are
/// configurations with a missing, mistyped or impossible field, of an unknown `model_type`, of more
/// than 10^5 blocks or 2^53 parameters; nothing is allocated by a size before it is checked.
///
/// # Errors
///
/// Every problem found, each with its place in the text.
///
/// ```
/// let problems = model::parse_config("x", "x.json", r#"{"model_type": "lama"}"#).unwrap_err();
/// assert_eq!(problems.0[0].message, "unknown `model_type` `lama`");
/// ```
pub fn parse_config(name: &str, file: &str, json: &str) -> Result<Architecture, Diagnostics> {
    let object: Map<String, Value> =
        serde_json::from_str(json).map_err(|e| syntax_error(file, json, &e))?;
    if let Some(span) = twice::twice(json) {
        let message = format!("{} is given twice", json[span.clone()].replace('"', "`"));
        let hint = "readers would take the last and drop the others: keep the one that is meant";
        return Err(Diagnostic::error("model::json", message).at(file, span).hint(hint).into());
    }
    let mut fields = Fields::new(&object, file, json);
    let model_type = fields.word("model_type");
    fields.check()?;
    let Some((_, family)) = FAMILIES.iter().find(|(word, _)| *word == model_type) else {
        return Err(unknown_type(file, json, model_type).into());
    };
    let mut architecture = family(name, &mut fields)?;
    fields.check()?;
    model_type.clone_into(&mut architecture.model_type);
    refuse_oversize(&architecture, file)?;
    Ok(architecture)
}

fn syntax_error(file: &str, json: &str, error: &serde_json::Error) -> Diagnostics {
    let (line, column) = (error.line(), error.column());
    let start: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (start + column.saturating_sub(1)).min(json.len());
    while !json.is_char_boundary(at) {
        at -= 1; // Columns count bytes.
    }
    let message = if json.trim().is_empty() {
        "the file is empty".to_owned()
    } else if error.is_eof() {
        format!("the file ends in the middle of its JSON, at line {line} column {column}")
    } else if error.is_data() {
        "a configuration must be a JSON object".to_owned()
    } else {
        format!("not valid JSON: {error}")
    };
    Diagnostic::error("model::json", message).at(file, at..at).into()
}

fn unknown_type(file: &str, json: &str, model_type: &str) -> Diagnostic {
    let words = || FAMILIES.iter().map(|(word, _)| *word);
    let list = words().collect::<Vec<_>>().join(", ");
    let hint = match nearest(model_type, words()) {
        Some(near) => format!("did you mean `{near}`? supported: {list}"),
        None => format!("supported: {list}"),
    };
    let span = fields::value_span(json, "model_type").unwrap_or(0..0);
    Diagnostic::error("model::type", format!("unknown `model_type` `{model_type}`"))
        .at(file, span)
        .hint(hint)
}

/// Refuses what no arithmetic here could count exactly.
fn refuse_oversize(architecture: &Architecture, file: &str) -> Result<(), Diagnostics> {
    let blocks = architecture.layers.iter().flat_map(|l| architecture.layer_weights(l));
    let mtp = architecture.mtp.iter().flat_map(|l| architecture.mtp_weights(l));
    let top = architecture.top_weights().into_iter().map(|(_, w)| w);
    let total: f64 = blocks.chain(mtp).chain(top).map(|w| w.count).sum();
    if total < MOST_PARAMETERS {
        return Ok(());
    }
    let message = format!("the dimensions multiply to {total:.1e} parameters, more than 2^53");
    Err(Diagnostic::error("model::size", message).at(file, 0..0).into())
}

/// What every decoder states about itself besides its blocks.
struct Shell {
    hidden: u64,
    vocab: u64,
    max_positions: u64,
    tied_embedding: bool,
    rotary_scaled: bool,
}

impl Shell {
    /// The usual keys; `tied` is what the HF class documents `tie_word_embeddings` to default to,
    /// `None` if it must be given.
    fn read(f: &mut Fields, tied: Option<bool>) -> Self {
        Self {
            hidden: f.dim("hidden_size"),
            vocab: f.dim("vocab_size"),
            max_positions: f.dim("max_position_embeddings"),
            tied_embedding: match tied {
                Some(default) => f.flag_or("tie_word_embeddings", default),
                None => f.flag("tie_word_embeddings"),
            },
            rotary_scaled: f.rotary_scaled(),
        }
    }

    /// An architecture of `RMSNorm`s and a plain residual around `layers`.
    fn around(self, name: &str, layers: Vec<Layer>) -> Architecture {
        Architecture {
            name: name.to_owned(),
            model_type: String::new(), // `parse_config` fills it in for every family.
            hidden: self.hidden,
            vocab: self.vocab,
            tied_embedding: self.tied_embedding,
            learned_positions: 0,
            rotary_scaled: self.rotary_scaled,
            max_positions: self.max_positions,
            norm: Norm { bias: false, sandwich: false },
            residual: Residual::Plain,
            layers,
            mtp: Vec::new(),
        }
    }
}

/// A gated feed-forward without biases, as most families have it.
const fn swiglu(width: u64) -> Mlp {
    Mlp { width, gated: true, bias: false, clamped: false }
}

/// Grouped-query attention without biases, windows, norms or sinks, from the usual keys.
///
/// `head_dim` absent means hidden / heads where `derived_head_dim` says that the class does so.
fn grouped(f: &mut Fields, hidden: u64, kv: KvHeads, derived_head_dim: bool) -> Attention {
    let heads = f.dim("num_attention_heads");
    let kv_heads = match kv {
        KvHeads::Required => f.dim("num_key_value_heads"),
        KvHeads::OrHeads => f.optional_dim("num_key_value_heads").unwrap_or(heads),
    };
    let head_dim = if f.has("head_dim") || !derived_head_dim {
        f.dim("head_dim")
    } else {
        head_dim_of(f, hidden, heads, "num_attention_heads")
    };
    let message =
        format!("`num_key_value_heads` {kv_heads} does not divide the {heads} query heads");
    f.conflict(!heads.is_multiple_of(kv_heads), "num_key_value_heads", message);
    Attention::Grouped {
        heads,
        kv_heads,
        head_dim,
        window: None,
        qkv_bias: false,
        out_bias: false,
        qk_norm: false,
        sinks: false,
    }
}

/// Whether a class lets key-value heads default to the query heads.
#[derive(Clone, Copy)]
enum KvHeads {
    Required,
    OrHeads,
}

fn head_dim_of(f: &mut Fields, hidden: u64, heads: u64, key: &'static str) -> u64 {
    let message = format!("`{key}` {heads} does not divide the hidden size {hidden}");
    f.conflict(!hidden.is_multiple_of(heads), key, message);
    (hidden / heads).max(1)
}

/// Notes an expert choice that cannot be made.
fn check_topk(f: &mut Fields, key: &'static str, topk: u64, experts: u64) {
    let message = format!("`{key}` {topk} is more than the {experts} routed experts");
    f.conflict(topk > experts, key, message);
}

/// `dense` and `moe` blocks in the order `is_moe` gives.
fn blocks(
    count: u64,
    attention: Attention,
    dense: Ffn,
    moe: Ffn,
    is_moe: impl Fn(u64) -> bool,
) -> Vec<Layer> {
    (0..count).map(|i| Layer { attention, ffn: if is_moe(i) { moe } else { dense } }).collect()
}
