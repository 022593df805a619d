//! A row's model: a catalog model cut to the row's layers, or one built from the row's columns.

use crate::columns::Fields;
use catalog::Kind;
use model::{Architecture, Attention, Ffn, Layer, Mlp, Norm, Residual};

/// More layers than this are a mistake.
const MOST_LAYERS: u64 = 10_000;

/// Models whose blocks no columns describe, by a part of the row's `model`.
const BY_NAME: [(&str, &str); 8] = [
    ("deepseek-v4-pro", "deepseek-v4-pro"),
    ("deepseek-v4-flash", "deepseek-v4-flash"),
    ("deepseek-v3.2", "deepseek-v3.2"),
    ("deepseek-v3", "deepseek-v3"),
    ("deepseek-v2", "deepseek-v2"),
    ("kimi-k2", "kimi-k2"),
    ("gpt-oss-120b", "gpt-oss-120b"),
    ("pangu-ultra-moe", "pangu-ultra-moe-718b"),
];

/// Beginnings of names of models with two-matrix feed-forwards.
const PLAIN: [&str; 5] = ["gpt", "mpt", "bloom", "nemotron", "megatron"];

/// The architecture of a row.
pub(crate) fn architecture(fields: &Fields) -> Result<Architecture, String> {
    let name = fields.lower("model").replace(' ', "-");
    let by_name = BY_NAME.iter().find(|(part, _)| name.contains(part)).map(|(_, id)| *id);
    let id = by_name.or_else(|| catalog::model_ids().into_iter().find(|id| *id == name));
    let layers = fields.needed("n_layers")?;
    if layers > MOST_LAYERS {
        return Err(format!("`n_layers` is {layers}; at most {MOST_LAYERS}"));
    }
    match id.and_then(|id| Some((id, catalog::text(Kind::Model, id)?))) {
        Some((id, text)) => cut(id, text, layers as usize, fields),
        None => built(&name, layers as usize, fields),
    }
}

fn cut(id: &str, text: &str, layers: usize, fields: &Fields) -> Result<Architecture, String> {
    let mut arch = model::parse_config(id, id, text).map_err(|d| d.0[0].message.clone())?;
    match arch.layers.last().copied() {
        Some(last) => arch.layers.resize(layers, last),
        None => return Err(format!("`{id}` has no blocks")),
    }
    if fields.count("mtp_layers")? == Some(0) {
        arch.mtp.clear();
    }
    Ok(arch)
}

fn built(name: &str, layers: usize, fields: &Fields) -> Result<Architecture, String> {
    let kind = fields.lower("attn_type");
    if !["", "mha", "gqa", "mqa"].contains(&kind.as_str()) {
        return Err(format!(
            "`{}` with attention `{kind}` is not a known model",
            fields.text("model")
        ));
    }
    let (hidden, heads) = (fields.needed("hidden")?, fields.needed("heads")?);
    let kv_heads = fields.count("kv_heads")?.unwrap_or(heads);
    let head_dim = fields.count("head_dim")?.unwrap_or(hidden / heads);
    if kv_heads == 0 || head_dim == 0 {
        return Err("`kv_heads` or `head_dim` is 0".to_owned());
    }
    if !heads.is_multiple_of(kv_heads) {
        return Err(format!("`kv_heads` is {kv_heads}, which do not divide {heads} heads"));
    }
    let gpt = name.starts_with("gpt") || name.starts_with("megatron");
    let gated = !PLAIN.iter().any(|p| name.starts_with(p));
    let attention = Attention::Grouped {
        heads,
        kv_heads,
        head_dim,
        window: None,
        qkv_bias: gpt || name.starts_with("qwen1") || name.starts_with("qwen-"),
        out_bias: gpt,
        qk_norm: name.starts_with("qwen3"),
        sinks: false,
    };
    let mlp = |width| Mlp { width, gated, bias: gpt, clamped: false };
    let moe = match fields.count("n_experts")? {
        Some(experts) if experts > 0 => Some(Ffn::Moe {
            expert: mlp(fields.needed("moe_ffn")?),
            experts,
            topk: fields.needed("topk")?,
            shared_width: fields.count("shared_experts")?.unwrap_or(0)
                * fields.needed("moe_ffn")?,
            router_bias: false,
            hash_routed: false,
            group_limit: None,
        }),
        _ => None,
    };
    if let Some(Ffn::Moe { experts, topk, .. }) = moe
        && topk > experts
    {
        return Err(format!("`topk` is {topk} of {experts} experts"));
    }
    let dense_layers = fields.count("dense_layers")?.unwrap_or(0) as usize;
    let ffn = |i: usize| match moe {
        Some(moe) if i >= dense_layers => Ok(moe),
        _ => fields.needed("ffn").map(|width| Ffn::Dense(mlp(width))),
    };
    let layers: Result<Vec<Layer>, String> =
        (0..layers).map(|i| Ok(Layer { attention, ffn: ffn(i)? })).collect();
    let sequence = fields.needed("seq")?;
    Ok(Architecture {
        name: name.to_owned(),
        model_type: if gpt { "gpt2" } else { "llama" }.to_owned(),
        hidden,
        vocab: fields.needed("vocab")?,
        tied_embedding: gpt || name.starts_with("mpt"),
        learned_positions: if gpt { sequence } else { 0 },
        rotary_scaled: false,
        max_positions: sequence,
        norm: Norm { bias: gpt, sandwich: false },
        residual: Residual::Plain,
        layers: layers?,
        mtp: Vec::new(),
    })
}
