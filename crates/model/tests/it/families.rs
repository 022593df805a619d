//! Families the catalog has no member of, on published models: sizes from their `config.json`,
//! totals from their weights' headers on the Hugging Face hub.

use model::{Architecture, Attention, Ffn, parse_config};
use serde_json::{Value, json};

fn parse(config: &Value) -> Architecture {
    parse_config("family", "config.json", &config.to_string()).unwrap_or_else(|e| panic!("{e:#?}"))
}

#[test]
fn mistral_7b_has_the_parameters_of_its_weights() {
    let a = parse(&json!({
        "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": 4096,
        "tie_word_embeddings": false,
    }));
    assert_eq!(a.parameters().total_main, 7_241_732_096);
    assert!(matches!(a.layers[31].attention, Attention::Grouped { window: Some(4096), .. }));
}

#[test]
fn qwen2_5_7b_has_the_parameters_of_its_weights() {
    let a = parse(&json!({
        "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
        "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "vocab_size": 152_064, "max_position_embeddings": 32768, "sliding_window": 131_072,
        "max_window_layers": 28, "use_sliding_window": false, "tie_word_embeddings": false,
    }));
    assert_eq!(a.parameters().total_main, 7_615_616_512);
}

#[test]
fn qwen3_8b_has_the_parameters_of_its_weights() {
    let a = parse(&json!({
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288,
        "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 128, "vocab_size": 151_936, "max_position_embeddings": 40960,
        "attention_bias": false, "tie_word_embeddings": false,
    }));
    assert_eq!(a.parameters().total_main, 8_190_735_360);
}

#[test]
fn qwen_windows_begin_where_the_configuration_says() {
    let a = parse(&json!({
        "model_type": "qwen2", "hidden_size": 64, "intermediate_size": 64,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4,
        "vocab_size": 100, "max_position_embeddings": 100, "sliding_window": 8,
        "max_window_layers": 3, "use_sliding_window": true,
    }));
    let windows: Vec<_> = a
        .layers
        .iter()
        .map(|layer| match layer.attention {
            Attention::Grouped { window, .. } => window,
            _ => panic!("grouped"),
        })
        .collect();
    assert_eq!(windows, [None, None, None, Some(8)]);
}

#[test]
fn glm_4_5_air_has_the_parameters_its_authors_state() {
    let a = parse(&json!({
        "model_type": "glm4_moe", "hidden_size": 4096, "intermediate_size": 10944,
        "moe_intermediate_size": 1408, "num_hidden_layers": 46, "num_attention_heads": 96,
        "num_key_value_heads": 8, "head_dim": 128, "n_routed_experts": 128,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 1,
        "num_nextn_predict_layers": 1, "vocab_size": 151_552, "attention_bias": true,
        "use_qk_norm": false, "max_position_embeddings": 131_072, "tie_word_embeddings": false,
    }));
    let p = a.parameters();
    // The weights repeat the embedding and the head for the prediction block.
    assert_eq!(p.total_with_mtp + p.component("embedding") + p.component("head"), 110_468_824_832);
    // "106B total, 12B active" (GLM-4.5 report, arXiv 2508.06471), both cut rather than rounded.
    assert_eq!(p.total_main / 1_000_000_000, 106);
    assert_eq!(p.active_without_embedding / 1_000_000_000, 12);
    assert!(matches!(a.layers[0].ffn, Ffn::Dense(_)) && a.mtp.len() == 1);
}

#[test]
fn qwen3_moe_alternates_where_told_to() {
    let a = parse(&json!({
        "model_type": "qwen3_moe", "hidden_size": 64, "intermediate_size": 96,
        "moe_intermediate_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4,
        "num_key_value_heads": 4, "head_dim": 16, "num_experts": 8, "num_experts_per_tok": 2,
        "decoder_sparse_step": 2, "mlp_only_layers": [3], "vocab_size": 100,
        "max_position_embeddings": 100,
    }));
    let routed: Vec<_> = a.layers.iter().map(|l| matches!(l.ffn, Ffn::Moe { .. })).collect();
    assert_eq!(routed, [false, true, false, false, false, true]);
}
