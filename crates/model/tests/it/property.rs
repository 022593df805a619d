//! What holds whatever the dimensions.

use model::{Architecture, parse_config};
use proptest::prelude::*;

fn parse(json: &serde_json::Value) -> Architecture {
    let text = json.to_string();
    parse_config("drawn", "drawn.json", &text).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

fn llama(layers: u64, kv_heads: u64, group: u64, head_dim: u64, width: u64) -> serde_json::Value {
    serde_json::json!({
        "model_type": "llama",
        "hidden_size": 64 * kv_heads,
        "head_dim": head_dim,
        "intermediate_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": kv_heads * group,
        "num_key_value_heads": kv_heads,
        "vocab_size": 1000,
        "max_position_embeddings": 4096,
    })
}

fn v4(layers: u64, window: u64, topk: u64) -> serde_json::Value {
    let kinds = [0u64, 4, 128];
    let ratios: Vec<u64> = (0..=layers).map(|i| kinds[i as usize % 3]).collect();
    serde_json::json!({
        "model_type": "deepseek_v4", "hidden_size": 256, "num_hidden_layers": layers,
        "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 64,
        "qk_rope_head_dim": 16, "q_lora_rank": 32, "o_groups": 4, "o_lora_rank": 16,
        "index_n_heads": 4, "index_head_dim": 32, "index_topk": topk, "sliding_window": window,
        "hc_mult": 4, "hc_sinkhorn_iters": 20, "attention_bias": false,
        "moe_intermediate_size": 64, "n_routed_experts": 16, "n_shared_experts": 1,
        "num_experts_per_tok": 2, "num_hash_layers": 1, "num_nextn_predict_layers": 1,
        "vocab_size": 1000, "max_position_embeddings": 4096, "tie_word_embeddings": false,
        "compress_ratios": ratios,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn llama_counts_are_the_formula(
        layers in 1u64..40, kv in 1u64..9, group in 1u64..9, head_dim in 1u64..129,
        width in 1u64..2000,
    ) {
        let (d, v) = (64 * kv, 1000);
        let parameters = parse(&llama(layers, kv, group, head_dim, width)).parameters();
        let block = d * head_dim * (2 * kv * group + 2 * kv) + 3 * d * width + 2 * d;
        prop_assert_eq!(parameters.total_main, layers * block + 2 * v * d + d);
        prop_assert_eq!(parameters.active_without_embedding, layers * block + v * d + d);
    }

    #[test]
    fn more_blocks_are_more_of_everything(layers in 1u64..30, window in 1u64..300, s in 1u64..9000) {
        let (less, more) = (parse(&v4(layers, window, 64)), parse(&v4(layers + 1, window, 64)));
        prop_assert!(more.parameters().total_main > less.parameters().total_main);
        let flops = |a: &Architecture| a.flops_per_token(s).forward();
        prop_assert!(flops(&more) > flops(&less));
        prop_assert!(more.kv_bytes(s).total() > less.kv_bytes(s).total());
    }

    #[test]
    fn a_longer_sequence_never_costs_a_token_less(
        s in 1u64..100_000, longer in 1u64..100_000, window in 1u64..300, topk in 1u64..2000,
    ) {
        for json in [llama(2, 2, 2, 64, 256), v4(6, window, topk)] {
            let a = parse(&json);
            let (short, long) = (a.flops_per_token(s), a.flops_per_token(s + longer));
            prop_assert!(long.training() >= short.training());
            prop_assert!(long.palm >= short.palm);
            prop_assert!(short.megatron_causal <= short.training());
            prop_assert!(a.kv_bytes(s + longer).total() >= a.kv_bytes(s).total());
        }
    }
}
