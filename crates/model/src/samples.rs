//! Architectures written by hand for tests.

use crate::{Architecture, Attention, Ffn, Indexer, Layer, Mlp, Norm, Residual, Shard};

/// One whole sequence on one rank.
pub(crate) fn shard(sequence: u64) -> Shard {
    Shard {
        micro_batch: 1,
        sequence,
        tensor: 1,
        sequence_parallel: false,
        context: 1,
        expert: 1,
        expert_tensor: 1,
    }
}

fn architecture(model_type: &str, hidden: u64, vocab: u64, layers: Vec<Layer>) -> Architecture {
    Architecture {
        name: model_type.into(),
        model_type: model_type.into(),
        hidden,
        vocab,
        tied_embedding: false,
        learned_positions: 0,
        rotary_scaled: false,
        max_positions: 1 << 20,
        norm: Norm { bias: false, sandwich: false },
        residual: Residual::Plain,
        layers,
        mtp: vec![],
    }
}

fn multi_head(heads: u64, kv_heads: u64, bias: bool) -> Attention {
    Attention::Grouped {
        heads,
        kv_heads,
        head_dim: 128,
        window: None,
        qkv_bias: bias,
        out_bias: bias,
        qk_norm: false,
        sinks: false,
    }
}

fn swiglu(width: u64) -> Mlp {
    Mlp { width, gated: true, bias: false, clamped: false }
}

/// Llama-3.1-8B.
pub(crate) fn grouped_dense() -> Architecture {
    let layer = Layer { attention: multi_head(32, 8, false), ffn: Ffn::Dense(swiglu(14336)) };
    architecture("llama", 4096, 128_256, vec![layer; 32])
}

/// Mixtral 8x7B.
pub(crate) fn moe() -> Architecture {
    let ffn = Ffn::Moe {
        expert: swiglu(14336),
        experts: 8,
        topk: 2,
        shared_width: 0,
        router_bias: false,
        hash_routed: false,
        group_limit: None,
    };
    let layer = Layer { attention: multi_head(32, 8, false), ffn };
    architecture("mixtral", 4096, 32000, vec![layer; 32])
}

/// GPT-3 175B.
pub(crate) fn gpt3() -> Architecture {
    let mlp = Mlp { width: 49152, gated: false, bias: true, clamped: false };
    let layer = Layer { attention: multi_head(96, 96, true), ffn: Ffn::Dense(mlp) };
    let mut arch = architecture("gpt2", 12288, 50257, vec![layer; 96]);
    arch.learned_positions = 2048;
    arch.norm.bias = true;
    arch
}

/// DeepSeek-V3 (arXiv 2412.19437).
pub(crate) fn v3() -> Architecture {
    let attention = Attention::Latent {
        heads: 128,
        q_rank: 1536,
        kv_rank: 512,
        nope_dim: 128,
        rope_dim: 64,
        v_dim: 128,
        indexer: None,
    };
    let moe = Ffn::Moe {
        expert: swiglu(2048),
        experts: 256,
        topk: 8,
        shared_width: 2048,
        router_bias: true,
        hash_routed: false,
        group_limit: None,
    };
    let mut layers = vec![Layer { attention, ffn: moe }; 61];
    for layer in &mut layers[..3] {
        layer.ffn = Ffn::Dense(swiglu(18432));
    }
    architecture("deepseek_v3", 7168, 129_280, layers)
}

/// DeepSeek-V4-Pro (arXiv 2606.19348).
pub(crate) fn v4_pro() -> Architecture {
    let layer = |ratio: u64, hash_routed: bool| Layer {
        attention: Attention::Compressed {
            heads: 128,
            head_dim: 512,
            rope_dim: 64,
            q_rank: 1536,
            o_groups: 16,
            o_rank: 1024,
            window: 128,
            ratio,
            indexer: (ratio == 4).then_some(Indexer { heads: 64, head_dim: 128, topk: 1024 }),
        },
        ffn: Ffn::Moe {
            expert: Mlp { width: 3072, gated: true, bias: false, clamped: false },
            experts: 384,
            topk: 6,
            shared_width: 3072,
            router_bias: !hash_routed,
            hash_routed,
            group_limit: None,
        },
    };
    // Two HCA layers, then CSA on even and HCA on odd layers.
    let ratio = |index: u64| if index < 2 || index % 2 == 1 { 128 } else { 4 };
    let layers = (0..61).map(|index| layer(ratio(index), index < 3)).collect();
    let mut arch = architecture("deepseek_v4", 7168, 129_280, layers);
    arch.residual = Residual::Hyper { streams: 4, sinkhorn_iterations: 20 };
    arch.mtp = vec![layer(0, false)];
    arch
}
