//! A model in the arguments of Megatron-LM and MindSpeed-LLM.

use super::Framework;
use super::layout::Slots;
use super::line::Line;
use model::{Architecture, Attention, Ffn, Layer, Residual};
use plan::Plan;

pub(super) fn write(
    line: &mut Line,
    model: &Architecture,
    plan: &Plan,
    sequence: u64,
    slots: &Slots,
) {
    line.set("--num-layers", slots.count);
    if !slots.empty.is_empty() {
        let words: Vec<String> = slots.empty.iter().map(u64::to_string).collect();
        line.set("--noop-layers", words.join(","));
    }
    line.set("--hidden-size", model.hidden);
    line.set("--max-position-embeddings", model.max_positions.max(sequence));
    if model.learned_positions > 0 {
        line.set("--position-embedding-type", "learned_absolute");
    } else if model.rotary_scaled && line.framework == Framework::Megatron {
        line.set("--position-embedding-type", "yarn");
    } else {
        if model.rotary_scaled {
            line.lost("YaRN's factor on rotary positions");
        }
        line.set("--position-embedding-type", "rope");
    }
    line.set("--normalization", if model.norm.bias { "LayerNorm" } else { "RMSNorm" });
    if model.norm.sandwich {
        line.lost("norms of sub-layer outputs (four a block)");
    }
    if let Residual::Hyper { streams, .. } = model.residual {
        line.lost(format!("hyper-connections of {streams} streams"));
    }
    if !model.tied_embedding {
        line.flag("--untie-embeddings-and-output-weights");
    }
    if !model.mtp.is_empty() {
        line.set("--mtp-num-layers", model.mtp.len());
    }
    attention(line, model, plan);
    feed_forward(line, model, slots);
}

/// The distinct values of `of` over the main blocks, in order of first use.
fn kinds<T: PartialEq>(model: &Architecture, of: impl Fn(&Layer) -> T) -> Vec<T> {
    let mut found = Vec::new();
    for layer in &model.layers {
        let kind = of(layer);
        if !found.contains(&kind) {
            found.push(kind);
        }
    }
    found
}

fn attention(line: &mut Line, model: &Architecture, plan: &Plan) {
    let unwindowed = |layer: &Layer| match layer.attention {
        Attention::Grouped {
            heads,
            kv_heads,
            head_dim,
            qkv_bias,
            out_bias,
            qk_norm,
            sinks,
            ..
        } => Attention::Grouped {
            heads,
            kv_heads,
            head_dim,
            window: None,
            qkv_bias,
            out_bias,
            qk_norm,
            sinks,
        },
        other => other,
    };
    let found = kinds(model, unwindowed);
    let compressed = found.iter().any(|a| matches!(a, Attention::Compressed { .. }));
    if found.len() > 1 && !compressed {
        line.lost("blocks with attention of different shapes: the first block's is written");
    }
    let Some(first) = found.first() else { return };
    match *first {
        Attention::Grouped {
            heads,
            kv_heads,
            head_dim,
            qkv_bias,
            out_bias,
            qk_norm,
            sinks,
            ..
        } => {
            line.set("--num-attention-heads", heads);
            line.set("--kv-channels", head_dim);
            if kv_heads != heads {
                line.flag("--group-query-attention");
                line.set("--num-query-groups", kv_heads);
            }
            if qk_norm {
                line.flag("--qk-layernorm");
            }
            if sinks && line.framework == Framework::Megatron {
                line.set("--softmax-type", "learnable");
            } else if sinks {
                line.lost("learned attention sinks");
            }
            biases(line, model, plan, (qkv_bias, out_bias));
            windows(line, model, plan.context);
        }
        Attention::Latent { .. } => latent(line, *first),
        Attention::Compressed { heads, head_dim, .. } => {
            line.set("--num-attention-heads", heads);
            line.set("--kv-channels", head_dim);
            line.flag("--disable-bias-linear");
            line.lost_hint(
                "compressed attention (windows, CSA and HCA blocks of DeepSeek-V4)",
                "this version trains full attention: a program of DeepSeek-V4's own is needed",
            );
        }
    }
}

fn latent(line: &mut Line, attention: Attention) {
    let Attention::Latent { heads, q_rank, kv_rank, nope_dim, rope_dim, v_dim, indexer } =
        attention
    else {
        return;
    };
    line.set("--num-attention-heads", heads);
    line.flag("--multi-latent-attention");
    if q_rank > 0 {
        line.set("--q-lora-rank", q_rank);
    }
    line.set("--kv-lora-rank", kv_rank);
    line.set("--qk-head-dim", nope_dim);
    line.set("--qk-pos-emb-head-dim", rope_dim);
    line.set("--v-head-dim", v_dim);
    // The norms of the ranks are this argument there.
    line.flag("--qk-layernorm");
    line.flag("--disable-bias-linear");
    match indexer {
        Some(index) if line.framework == Framework::Megatron => {
            line.set("--experimental-attention-variant", "dsa");
            line.flag("--no-rope-fusion");
            line.set("--dsa-indexer-n-heads", index.heads);
            line.set("--dsa-indexer-head-dim", index.head_dim);
            line.set("--dsa-indexer-topk", index.topk);
        }
        Some(_) => line.lost("the indexer of sparse attention: this command attends to everything"),
        None => {}
    }
}

/// Biases: all linear layers have one unless disabled; q, k and v may keep theirs.
fn biases(line: &mut Line, model: &Architecture, plan: &Plan, (qkv, out): (bool, bool)) {
    let mlp = model.layers.iter().any(|l| match l.ffn {
        Ffn::Dense(mlp) => mlp.bias,
        Ffn::Moe { expert, .. } => expert.bias,
    });
    let cut =
        plan.expert_tensor > 1 && model.layers.iter().any(|l| matches!(l.ffn, Ffn::Moe { .. }));
    if qkv && out && mlp && !cut {
        return;
    }
    line.flag("--disable-bias-linear");
    if qkv {
        line.flag("--add-qkv-bias");
    }
    if out || mlp {
        let why = match (out && mlp, out) {
            (true, _) => "biases outside attention: experts cut over tensor ranks have none",
            (_, true) => "biases of the output projection alone",
            _ => "biases of the feed-forward alone",
        };
        line.lost(why);
    }
}

fn windows(line: &mut Line, model: &Architecture, context: u64) {
    let window = |layer: &Layer| match layer.attention {
        Attention::Grouped { window, .. } => window,
        _ => None,
    };
    let sizes: Vec<u64> = kinds(model, window).into_iter().flatten().collect();
    let [size] = sizes[..] else {
        if sizes.len() > 1 {
            line.lost(format!("windows of different sizes: {sizes:?}"));
        }
        return;
    };
    if line.framework == Framework::MindSpeed {
        if context > 1 {
            line.lost(format!("windows of {size} tokens: not beside context parallelism"));
        } else if model.layers.iter().all(|l| window(l).is_some()) {
            line.set("--sliding-window", size);
        } else {
            line.lost(format!("windows of {size} tokens in some blocks only"));
        }
        return;
    }
    // Tokens to the left and right of a query; the query's own is not counted.
    line.set("--window-size", format!("({},0)", size.saturating_sub(1)));
    if model.layers.iter().any(|l| window(l).is_none()) {
        let pattern = pattern(model.layers.iter().map(|l| window(l).is_some()));
        line.set("--window-attn-skip-freq", pattern);
    }
}

/// `([0]*3+[1]*58)`: runs of blocks that are not, and are.
fn pattern(blocks: impl Iterator<Item = bool>) -> String {
    let mut runs: Vec<(bool, u64)> = Vec::new();
    for block in blocks {
        match runs.last_mut() {
            Some((kind, count)) if *kind == block => *count += 1,
            _ => runs.push((block, 1)),
        }
    }
    let words: Vec<String> = runs.iter().map(|(k, n)| format!("[{}]*{n}", u8::from(*k))).collect();
    format!("({})", words.join("+"))
}

fn feed_forward(line: &mut Line, model: &Architecture, slots: &Slots) {
    let unhashed = |layer: &Layer| match layer.ffn {
        Ffn::Moe { expert, experts, topk, shared_width, group_limit, .. } => Ffn::Moe {
            expert,
            experts,
            topk,
            shared_width,
            router_bias: false,
            hash_routed: false,
            group_limit,
        },
        dense @ Ffn::Dense(_) => dense,
    };
    let found = kinds(model, unhashed);
    let dense: Vec<_> = found.iter().filter(|f| matches!(f, Ffn::Dense(_))).collect();
    let routed: Vec<_> = found.iter().filter(|f| matches!(f, Ffn::Moe { .. })).collect();
    if dense.len() > 1 || routed.len() > 1 {
        line.lost("feed-forwards of different shapes: the first of each kind is written");
    }
    let (gated, clamped) = match found.first() {
        Some(Ffn::Dense(mlp) | Ffn::Moe { expert: mlp, .. }) => (mlp.gated, mlp.clamped),
        None => return,
    };
    if clamped && line.framework == Framework::Megatron {
        // GPT-OSS's gate, the one clamped before its kernel: offset and limit are its `config.json`'s.
        line.flag("--quick-geglu");
        line.set("--glu-linear-offset", "1.0");
        line.set("--activation-func-clamp-value", "7.0");
    } else if gated {
        if clamped {
            line.lost("the clamp before the experts' activation");
        }
        line.flag("--swiglu");
    } else if model.learned_positions == 0 {
        line.flag("--squared-relu");
    }
    if let Some(Ffn::Dense(mlp)) = dense.first() {
        line.set("--ffn-hidden-size", mlp.width);
    }
    if let Some(Ffn::Moe { .. }) = routed.first() {
        mixture(line, model, *routed[0], slots);
    }
}

fn mixture(line: &mut Line, model: &Architecture, routed: Ffn, slots: &Slots) {
    let Ffn::Moe { expert, experts, topk, shared_width, group_limit, .. } = routed else { return };
    let is_moe = |l: &Layer| matches!(l.ffn, Ffn::Moe { .. });
    line.set("--num-experts", experts);
    line.set("--moe-router-topk", topk);
    let mut blocks = model.layers.iter().map(is_moe);
    let first = model.layers.iter().take_while(|l| !is_moe(l)).count();
    if first == 0 && blocks.all(|b| b) {
        line.set("--ffn-hidden-size", expert.width);
    }
    if line.framework == Framework::MindSpeed {
        mindspeed_widths(line, model, (first, slots), expert.width, shared_width);
    } else {
        line.set("--moe-ffn-hidden-size", expert.width);
        if shared_width > 0 {
            line.set("--moe-shared-expert-intermediate-size", shared_width);
        }
        if model.layers.iter().any(|l| !is_moe(l)) {
            line.set("--moe-layer-freq", pattern(model.layers.iter().map(is_moe)));
        }
    }
    let any = |test: fn(&Ffn) -> bool| model.layers.iter().any(|l| test(&l.ffn));
    if any(|f| matches!(f, Ffn::Moe { router_bias: true, .. })) {
        line.set("--moe-router-score-function", "sigmoid");
        line.flag("--moe-router-enable-expert-bias");
    }
    if any(|f| matches!(f, Ffn::Moe { hash_routed: true, .. })) {
        line.lost("blocks whose experts a table of token ids chooses: a router chooses them");
    }
    if let Some(limit) = group_limit {
        // The number of groups does not bear on cost and is not kept; V2 and V3 have eight.
        line.set("--moe-router-num-groups", 8);
        line.set("--moe-router-group-topk", limit);
    }
}

fn mindspeed_widths(
    line: &mut Line,
    model: &Architecture,
    (first, slots): (usize, &Slots),
    width: u64,
    shared: u64,
) {
    line.set("--moe-ffn-hidden-size", width);
    line.set("--first-k-dense-replace", if first == 0 { 0 } else { slots.place(first as u64) });
    line.set("--moe-layer-freq", 1);
    if model.layers.iter().skip(first).any(|l| matches!(l.ffn, Ffn::Dense(_))) {
        line.lost("dense blocks among the routed ones");
    }
    if shared > 0 {
        line.set("--n-shared-experts", shared / width.max(1));
        if !shared.is_multiple_of(width.max(1)) {
            line.lost(format!("shared experts {shared} wide, no multiple of {width}"));
        }
    }
}
