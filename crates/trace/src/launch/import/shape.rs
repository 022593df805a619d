//! Architecture arguments of Megatron-LM and MindSpeed-LLM to an HF `config.json`.

use super::arguments::{Arguments, short};
use super::list;
use serde_json::{Map, Value, json};

/// What the arguments say, before a family is chosen.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the line")]
struct Shape {
    layers: u64,
    hidden: u64,
    heads: u64,
    width: Option<u64>,
    gated: bool,
    squared: bool,
    biases: bool,
    qkv_bias: bool,
    learned: bool,
    yarn: bool,
    layer_norm: bool,
    qk_norm: bool,
    /// Limit on the halves of a gate.
    limit: Option<f64>,
    mtp: u64,
    moe: Option<Moe>,
}

struct Moe {
    experts: u64,
    topk: u64,
    width: u64,
    shared: u64,
    scored_bias: bool,
    routed: Vec<bool>,
}

/// The configuration; `None` where a problem was found.
///
/// `noops` are places of empty blocks among `layers`; `sequence` stands in for positions that the line
/// does not limit.
pub(super) fn read(
    a: &mut Arguments<'_>,
    layers: u64,
    noops: &[u64],
    sequence: u64,
) -> Option<Map<String, Value>> {
    let before = a.problems.0.len();
    let shape = shape(a, layers, noops);
    let mut config = Map::new();
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    put("hidden_size", json!(shape.hidden));
    put("num_hidden_layers", json!(shape.layers));
    put("num_attention_heads", json!(shape.heads));
    let vocab = if a.has("--padded-vocab-size") { "--padded-vocab-size" } else { "--vocab-size" };
    if a.has(vocab) {
        put("vocab_size", json!(a.count(vocab).unwrap_or(1)));
        let _ = (a.has("--vocab-size"), a.has("--make-vocab-size-divisible-by"));
    } else {
        a.missing("--vocab-size", Some("a tokenizer's file is not opened; the size is needed"));
    }
    let name = "--max-position-embeddings";
    let positions = if a.has(name) { a.count(name).unwrap_or(1) } else { sequence };
    put("max_position_embeddings", json!(positions));
    let untied = a.flag("--untie-embeddings-and-output-weights");
    put("tie_word_embeddings", json!(!untied));
    let latent = a.flag("--multi-latent-attention") || a.flag("--multi-head-latent-attention");
    if latent {
        latent_family(a, &shape, &mut config);
    } else {
        grouped_family(a, &shape, &mut config);
    }
    let clean = |p: &diagnostic::Diagnostic| p.severity != diagnostic::Severity::Error;
    a.problems.0[before..].iter().all(clean).then_some(config)
}

fn shape(a: &mut Arguments<'_>, layers: u64, noops: &[u64]) -> Shape {
    let hidden = a.required("--hidden-size");
    let heads = a.required("--num-attention-heads");
    let ffn = "--ffn-hidden-size";
    let width = if a.has(ffn) { a.count(ffn) } else { None };
    let (swiglu, geglu) = (a.flag("--swiglu"), a.flag("--quick-geglu"));
    let position = "--position-embedding-type";
    let position = if a.has(position) { a.word(position) } else { None };
    let rotary = a.flag("--use-rotary-position-embeddings");
    let learned = position.as_ref().map_or(!rotary, |w| w == "learned_absolute");
    let norm = if a.has("--normalization") { a.word("--normalization") } else { None };
    let new = "--mtp-num-layers";
    let mtp = if a.has(new) { new } else { "--num-nextn-predict-layers" };
    let mtp = if a.has(mtp) { a.number(mtp).unwrap_or(0) } else { 0 };
    let dense_width = width.unwrap_or_else(|| hidden.saturating_mul(4));
    Shape {
        layers: layers - noops.len() as u64,
        hidden,
        heads,
        width,
        gated: swiglu || geglu,
        squared: a.flag("--squared-relu"),
        biases: !a.flag("--disable-bias-linear"),
        qkv_bias: a.flag("--add-qkv-bias"),
        learned,
        yarn: position.is_some_and(|w| w == "yarn"),
        layer_norm: norm.is_none_or(|w| w == "LayerNorm"),
        qk_norm: a.flag("--qk-layernorm"),
        limit: limit(a),
        mtp,
        moe: if a.has("--num-experts") { moe(a, layers, noops, dense_width) } else { None },
    }
}

/// `--activation-func-clamp-value`; the offset that goes with it changes no cost.
fn limit(a: &mut Arguments<'_>) -> Option<f64> {
    let (name, offset) = ("--activation-func-clamp-value", "--glu-linear-offset");
    if a.has(offset) {
        let _ = a.word(offset);
    }
    if !a.has(name) {
        return None;
    }
    let text = a.word(name)?;
    let limit = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    if limit.is_none() {
        a.blame(name, format!("`{name}` needs a number above 0"), None);
    }
    limit
}

fn moe(a: &mut Arguments<'_>, layers: u64, noops: &[u64], dense_width: u64) -> Option<Moe> {
    let experts = a.required("--num-experts");
    let topk = if a.has("--moe-router-topk") { a.count("--moe-router-topk")? } else { 2 };
    let (new, old) = ("--moe-ffn-hidden-size", "--moe-intermediate-size");
    let width = if a.has(new) {
        let _ = a.has(old);
        a.count(new)?
    } else if a.has(old) {
        a.count(old)?
    } else {
        dense_width
    };
    let shared = if a.has("--moe-shared-expert-intermediate-size") {
        a.number("--moe-shared-expert-intermediate-size")?
    } else if a.has("--n-shared-experts") {
        a.number("--n-shared-experts")?.saturating_mul(width)
    } else {
        0
    };
    let _ = a.has("--moe-router-score-function");
    let scored_bias = a.flag("--moe-router-enable-expert-bias");
    let mut routed = routed(a, layers)?;
    for place in noops.iter().rev() {
        routed.remove(*place as usize);
    }
    Some(Moe { experts, topk, width, shared, scored_bias, routed })
}

/// Which blocks route: every block, or by a period or a pattern; the first so many may be dense.
fn routed(a: &mut Arguments<'_>, layers: u64) -> Option<Vec<bool>> {
    if layers > 100_000 {
        return None; // Already told.
    }
    let first = "--first-k-dense-replace";
    let dense = if a.has(first) { a.number(first)? } else { 0 };
    let name = "--moe-layer-freq";
    let text = if a.has(name) { a.word(name)? } else { "1".to_owned() };
    let mut routed = if text.contains('[') {
        match list::read(&text) {
            Ok(pattern) => pattern.iter().map(|n| *n != 0).collect::<Vec<_>>(),
            Err(message) => {
                a.blame(name, format!("`{}`: {message}", short(&text)), Some("`([0]*3+[1]*58)`"));
                return None;
            }
        }
    } else {
        let period = a.count(name).unwrap_or(1);
        (0..layers).map(|i| i.is_multiple_of(period)).collect()
    };
    if routed.len() as u64 != layers {
        let message = format!("the pattern has {} blocks, the model {layers}", routed.len());
        a.blame(name, message, None);
        return None;
    }
    routed.iter_mut().take(dense as usize).for_each(|r| *r = false);
    Some(routed)
}

/// How many dense blocks stand first, if all others route.
fn first_dense(a: &mut Arguments<'_>, moe: &Moe) -> u64 {
    let first = moe.routed.iter().take_while(|r| !**r).count();
    if moe.routed[first..].contains(&false) {
        let message = "dense blocks among the routed ones are in no family known here".to_owned();
        a.blame("--moe-layer-freq", message, None);
    }
    first as u64
}

/// DeepSeek's families.
fn latent_family(a: &mut Arguments<'_>, shape: &Shape, config: &mut Map<String, Value>) {
    let Some(moe) = &shape.moe else {
        let message = "latent attention without experts is in no family known here".to_owned();
        return a.blame("--multi-latent-attention", message, None);
    };
    let (name, old) = ("--qk-head-dim", "--qk-nope-head-dim");
    let nope = if a.has(name) { a.count(name) } else { or(a, old, 128) };
    let (name, old) = ("--qk-pos-emb-head-dim", "--qk-rope-head-dim");
    let rope = if a.has(name) { a.count(name) } else { or(a, old, 64) };
    let q_rank = if a.has("--q-lora-rank") { a.count("--q-lora-rank") } else { None };
    let dsa = a.has("--experimental-attention-variant")
        && a.word("--experimental-attention-variant").is_some_and(|w| w == "dsa");
    let kind = match (dsa, moe.scored_bias) {
        (true, _) => "deepseek_v32",
        (false, true) => "deepseek_v3",
        (false, false) => "deepseek_v2",
    };
    let first = first_dense(a, moe);
    let _ = a.has("--rope-type");
    if moe.width == 0 || !moe.shared.is_multiple_of(moe.width) {
        let message = format!("shared experts {} wide, no multiple of {}", moe.shared, moe.width);
        a.blame("--moe-shared-expert-intermediate-size", message, None);
    }
    if kind == "deepseek_v2" && shape.mtp > 0 {
        let message = "prediction blocks without the router's bias are in no family known here";
        a.blame("--mtp-num-layers", message.to_owned(), None);
    }
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    put("model_type", json!(kind));
    put("q_lora_rank", json!(q_rank));
    put("kv_lora_rank", json!(or(a, "--kv-lora-rank", 32)));
    put("qk_nope_head_dim", json!(nope));
    put("qk_rope_head_dim", json!(rope));
    put("v_head_dim", json!(or(a, "--v-head-dim", 128)));
    put("first_k_dense_replace", json!(first));
    put("intermediate_size", json!(shape.width.unwrap_or(shape.hidden.saturating_mul(4))));
    put("moe_intermediate_size", json!(moe.width));
    put("n_routed_experts", json!(moe.experts));
    put("n_shared_experts", json!(moe.shared / moe.width.max(1)));
    put("num_experts_per_tok", json!(moe.topk));
    put("num_nextn_predict_layers", json!(shape.mtp));
    for (key, name, old) in [
        ("n_group", "--moe-router-num-groups", "--n-group"),
        ("topk_group", "--moe-router-group-topk", "--topk-group"),
    ] {
        let name = if a.has(name) { name } else { old };
        if a.has(name) {
            put(key, json!(a.count(name)));
        }
    }
    if dsa {
        put("index_n_heads", json!(a.required("--dsa-indexer-n-heads")));
        put("index_head_dim", json!(a.required("--dsa-indexer-head-dim")));
        put("index_topk", json!(a.required("--dsa-indexer-topk")));
    }
}

fn or(a: &mut Arguments<'_>, name: &str, default: u64) -> Option<u64> {
    if a.has(name) { a.count(name) } else { Some(default) }
}

fn grouped_family(a: &mut Arguments<'_>, shape: &Shape, config: &mut Map<String, Value>) {
    let derived = shape.hidden / shape.heads.max(1);
    let head_dim = or(a, "--kv-channels", derived).unwrap_or(derived);
    let groups = a.flag("--group-query-attention");
    let name = "--num-query-groups";
    let kv = if a.has(name) && groups { a.count(name) } else { None };
    if groups && kv.is_none() {
        a.missing(name, Some("`--group-query-attention` without it means one group"));
    }
    let sinks =
        a.has("--softmax-type") && a.word("--softmax-type").is_some_and(|w| w == "learnable");
    let window = window(a, shape.layers);
    let width = shape.width.unwrap_or(shape.hidden.saturating_mul(4));
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    put("num_key_value_heads", json!(kv.unwrap_or(shape.heads)));
    put("head_dim", json!(head_dim));
    put("intermediate_size", json!(width));
    if shape.moe.is_some() {
        return routed_family(a, shape, config, sinks, window);
    }
    if sinks {
        a.blame("--softmax-type", "sinks without experts are in no family known here".into(), None);
    }
    dense_family(a, shape, config, window);
}

fn dense_family(
    a: &mut Arguments<'_>,
    shape: &Shape,
    config: &mut Map<String, Value>,
    window: Option<Windows>,
) {
    if shape.mtp > 0 {
        let message = "prediction blocks without experts are in no family known here".to_owned();
        a.blame("--mtp-num-layers", message, None);
    }
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    let width = shape.width.unwrap_or(shape.hidden.saturating_mul(4));
    let kind = match (shape.gated, shape.learned) {
        (false, true) => "gpt2",
        (false, false) => "nemotron",
        (true, _) if shape.qk_norm => "qwen3",
        (true, _) if shape.qkv_bias && !shape.biases => "qwen2",
        (true, _) if window.is_some() => "mistral",
        (true, _) => "llama",
    };
    put("model_type", json!(kind));
    match kind {
        "gpt2" => {
            put("n_embd", json!(shape.hidden));
            put("n_head", json!(shape.heads));
            put("n_layer", json!(shape.layers));
            put("n_inner", json!(width));
            let positions = config.get("max_position_embeddings").cloned().unwrap_or_default();
            config.insert("n_positions".to_owned(), positions);
            if !shape.biases {
                a.warn("a GPT without biases: counted with them".to_owned());
            }
        }
        "qwen3" => {
            put("attention_bias", json!(shape.biases));
        }
        "qwen2" => {}
        _ => {
            put("attention_bias", json!(shape.biases));
            put("mlp_bias", json!(shape.biases));
        }
    }
    if let Some(windows) = &window {
        windowed(a, kind, windows, config);
    }
    let norm = ["gpt2", "nemotron"].contains(&kind);
    if norm != shape.layer_norm {
        let (is, word) = if norm { ("LayerNorm", "with") } else { ("RMSNorm", "without") };
        a.warn(format!("norms are counted as {is}, {word} biases"));
    }
    if kind == "nemotron" && !shape.squared {
        a.warn("a plain activation is counted as Nemotron's squared ReLU".to_owned());
    }
}

fn windowed(a: &mut Arguments<'_>, kind: &str, windows: &Windows, config: &mut Map<String, Value>) {
    let all = windows.inside.iter().all(|w| *w);
    if kind == "mistral" && all {
        config.insert("sliding_window".to_owned(), json!(windows.size));
    } else {
        let message =
            "windows in some blocks, or beside other options, are in no family known here";
        a.blame(windows.name, message.to_owned(), None);
    }
}

fn routed_family(
    a: &mut Arguments<'_>,
    shape: &Shape,
    config: &mut Map<String, Value>,
    sinks: bool,
    window: Option<Windows>,
) {
    let Some(moe) = &shape.moe else { return };
    let all = moe.routed.iter().all(|r| *r);
    let plain = moe.shared == 0 && !moe.scored_bias && shape.mtp == 0;
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    put("num_experts_per_tok", json!(moe.topk));
    if !shape.gated {
        let message = "experts without gates are in no family known here".to_owned();
        return a.blame("--num-experts", message, Some("`--swiglu` gates them"));
    }
    if sinks || window.is_some() {
        let every = window
            .as_ref()
            .map_or_else(|| vec![false; moe.routed.len()], |windows| windows.inside.clone());
        let word = |w: &bool| if *w { "sliding_attention" } else { "full_attention" };
        put("model_type", json!("gpt_oss"));
        if shape.yarn {
            put("rope_scaling", json!({ "rope_type": "yarn" }));
        }
        put("attention_bias", json!(shape.biases));
        put("num_local_experts", json!(moe.experts));
        put("intermediate_size", json!(moe.width));
        put("sliding_window", json!(window.as_ref().map_or(1, |w| w.size)));
        put("layer_types", json!(every.iter().map(word).collect::<Vec<_>>()));
        if let Some(limit) = shape.limit {
            put("swiglu_limit", json!(limit));
        }
        if !(sinks && shape.biases && all) {
            let message = "windows beside experts are only known of GPT-OSS: with sinks and biases";
            a.blame("--num-experts", message.to_owned(), None);
        }
        return;
    }
    if plain && all && !shape.qk_norm && !shape.qkv_bias && !shape.biases {
        put("model_type", json!("mixtral"));
        put("num_local_experts", json!(moe.experts));
        put("intermediate_size", json!(moe.width));
    } else if plain && shape.qk_norm {
        let dense = moe.routed.iter().enumerate().filter(|(_, r)| !**r).map(|(i, _)| i);
        put("model_type", json!("qwen3_moe"));
        put("attention_bias", json!(shape.biases));
        put("num_experts", json!(moe.experts));
        put("moe_intermediate_size", json!(moe.width));
        put("mlp_only_layers", json!(dense.collect::<Vec<_>>()));
    } else {
        put("model_type", json!("glm4_moe"));
        put("attention_bias", json!(shape.biases || shape.qkv_bias));
        put("use_qk_norm", json!(shape.qk_norm));
        put("n_routed_experts", json!(moe.experts));
        put("moe_intermediate_size", json!(moe.width));
        put("n_shared_experts", json!(moe.shared / moe.width.max(1)));
        put("num_nextn_predict_layers", json!(shape.mtp));
        config.insert("first_k_dense_replace".to_owned(), json!(first_dense(a, moe)));
        if !moe.scored_bias {
            a.warn("the router is counted with GLM's correction term".to_owned());
        }
        if shape.biases {
            a.warn("biases are counted on q, k and v only".to_owned());
        }
    }
}

/// Windows of attention.
struct Windows {
    name: &'static str,
    size: u64,
    inside: Vec<bool>,
}

fn window(a: &mut Arguments<'_>, layers: u64) -> Option<Windows> {
    if layers > 100_000 {
        return None; // Already told.
    }
    if a.has("--sliding-window") {
        let size = a.count("--sliding-window")?;
        return Some(Windows {
            name: "--sliding-window",
            size,
            inside: vec![true; layers as usize],
        });
    }
    let name = "--window-size";
    if !a.has(name) {
        return None;
    }
    let text = a.words(name).join("");
    let left = text.trim_matches(['(', ')']).split(',').next().and_then(|n| n.trim().parse().ok());
    let Some(left) = left.filter(|n: &u64| *n < 1 << 40) else {
        a.blame(name, format!("`{}` is no window", short(&text)), Some("`127,0`"));
        return None;
    };
    let freq = "--window-attn-skip-freq";
    let inside = if a.has(freq) {
        let text = a.word(freq)?;
        let read = if text.contains('[') {
            list::read(&text).map(|l| l.iter().map(|n| *n != 0).collect::<Vec<_>>())
        } else {
            let period = a.count(freq)?;
            Ok((0..layers).map(|i| !(i + 1).is_multiple_of(period)).collect())
        };
        match read {
            Ok(inside) if inside.len() as u64 == layers => inside,
            Ok(inside) => {
                let message = format!("{} blocks, the model has {layers}", inside.len());
                a.blame(freq, message, None);
                return None;
            }
            Err(message) => {
                a.blame(freq, message, None);
                return None;
            }
        }
    } else {
        vec![true; layers as usize]
    };
    // The query's own token is not counted there.
    Some(Windows { name, size: left + 1, inside })
}
