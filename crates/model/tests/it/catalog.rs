//! Every configuration of the catalog against the totals its authors or its weights give.

use model::{Architecture, parse_config};

/// The configuration `id` of the catalog, parsed.
pub fn load(id: &str) -> Architecture {
    let path = format!("{}/../../catalog/models/{id}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the catalog has the model");
    parse_config(id, &path, &text).unwrap_or_else(|e| panic!("{id}: {e:#?}"))
}

/// What is known of a model, in units of 10^9 and to the digits known.
struct Known {
    id: &'static str,
    layers: usize,
    total: &'static str,
    /// Active, and whether the input embedding is in that figure.
    active: Option<(&'static str, bool)>,
}

const fn dense(id: &'static str, layers: usize, total: &'static str) -> Known {
    Known { id, layers, total, active: None }
}

const fn sparse(
    id: &'static str,
    layers: usize,
    total: &'static str,
    active: (&'static str, bool),
) -> Known {
    Known { id, layers, total, active: Some(active) }
}

const KNOWN: [Known; 19] = [
    sparse("deepseek-v2", 60, "235.74", ("21.4", true)),
    sparse("deepseek-v3", 61, "671.03", ("36.626", false)),
    sparse("deepseek-v3.2", 61, "671.88", ("37.48", false)),
    // Derived here from V4-Pro with 2,048 experts of which 16 serve a token: no such model is published.
    sparse("deepseek-v4-2048e", 61, "8279.1", ("89.877", false)),
    sparse("deepseek-v4-flash", 43, "284.332", ("13.270", false)),
    sparse("deepseek-v4-pro", 61, "1572.997", ("48.852", false)),
    // Its authors say 355 and 32, the prediction block counted in part (arXiv 2508.06471).
    sparse("glm-4.5", 92, "352.8", ("32.9", false)),
    sparse("gpt-oss-120b", 36, "116.8", ("5.1", false)),
    dense("gpt3-175b", 96, "174.6"),
    sparse("grok-1", 64, "315.7", ("83.8", true)),
    sparse("kimi-k2", 61, "1026.4", ("32.86", true)),
    dense("llama-3.1-405b", 126, "405.85"),
    dense("llama-3.1-70b", 80, "70.55"),
    dense("llama-3.1-8b", 32, "8.03"),
    sparse("mixtral-8x22b", 56, "140.62", ("39.15", true)),
    sparse("mixtral-8x7b", 32, "46.70", ("12.88", true)),
    dense("nemotron-4-340b", 96, "341.0"),
    sparse("pangu-ultra-moe-718b", 61, "719.1", ("39.2", false)),
    sparse("qwen3-235b-a22b", 94, "235.09", ("22.19", true)),
];

/// `count` in 10^9, printed with as many decimals as `like`.
fn as_printed(count: u64, like: &str) -> String {
    let decimals = like.split('.').nth(1).map_or(0, str::len);
    format!("{:.decimals$}", count as f64 / 1e9)
}

#[test]
fn totals_are_the_known_ones() {
    for known in KNOWN {
        let (id, architecture) = (known.id, load(known.id));
        assert_eq!(architecture.layers.len(), known.layers, "{id}");
        let p = architecture.parameters();
        assert_eq!(as_printed(p.total_main, known.total), known.total, "{id} total");
        if let Some((active, with_embedding)) = known.active {
            let got =
                if with_embedding { p.active_with_embedding } else { p.active_without_embedding };
            assert_eq!(as_printed(got, active), active, "{id} active");
        } else {
            assert_eq!(p.active_with_embedding, p.total_main, "{id} is dense");
        }
        let sum: u64 = p.components.iter().map(|c| c.count).sum();
        assert_eq!(sum, p.total_with_mtp, "{id}: components sum to the total");
        assert_eq!(p.matrices + p.vectors, p.total_with_mtp, "{id}: so do the optimizer groups");
    }
}

#[test]
fn every_configuration_of_the_catalog_has_known_totals() {
    let folder = format!("{}/../../catalog/models", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).expect("the catalog is there") {
        let path = entry.expect("it can be listed").path();
        let id = path.file_stem().and_then(|s| s.to_str()).expect("names are UTF-8");
        assert!(KNOWN.iter().any(|k| k.id == id), "{id} has no known total here");
    }
}

#[test]
fn v4_components_are_exact() {
    let pro = load("deepseek-v4-pro").parameters();
    let expected = [
        ("moe_routed", 1_547_396_186_112),
        ("mtp", 25_840_145_979),
        ("attention_csa", 9_938_772_480),
        ("attention_hca", 9_526_330_752),
        ("moe_shared", 4_029_677_568),
        ("embedding", 926_679_040),
        ("head", 926_679_040),
        ("moe_router", 167_903_232),
        ("mhc", 84_069_603),
        ("norms", 881_664),
        ("moe_small", 22_272),
    ];
    let got: Vec<_> = pro.components.iter().map(|c| (c.name, c.count)).collect();
    assert_eq!(got, expected);
    assert_eq!(pro.total_with_mtp, 1_598_837_347_742);
    assert_eq!(pro.active_with_embedding, 49_779_081_059);
    let flash = load("deepseek-v4-flash").parameters();
    assert_eq!(flash.component("attention_swa"), 213_912_704);
    assert_eq!(flash.component("attention_csa"), 2_648_071_104);
    assert_eq!(flash.component("attention_hca"), 2_224_334_080);
    assert_eq!(flash.component("mtp"), 6_610_048_891);
    assert_eq!((flash.total_main, flash.total_with_mtp), (284_332_240_471, 290_942_289_362));
}

#[test]
fn muon_covers_all_but_embedding_head_and_vectors() {
    // arXiv 2606.19348 section 3: hyper-connection projections are in, their biases are not.
    let pro = load("deepseek-v4-pro").parameters();
    assert_eq!(as_printed(pro.matrices, "1596.98"), "1596.98");
    let tables = pro.component("embedding") + pro.component("head");
    assert!(pro.vectors > tables && pro.vectors - tables < 20_000_000, "{}", pro.vectors);
    let flash = load("deepseek-v4-flash").parameters();
    assert_eq!(as_printed(flash.matrices, "289.88"), "289.88");
}

#[test]
fn a_matrix_shape_divides_its_count() {
    for known in KNOWN {
        let a = load(known.id);
        let blocks = a.layers.iter().flat_map(|l| a.layer_weights(l));
        for w in blocks.chain(a.mtp.iter().flat_map(|l| a.mtp_weights(l))) {
            if let Some((rows, cols)) = w.matrix {
                assert_eq!(w.count as u64 % (rows * cols), 0, "{} {w:?}", known.id);
            }
        }
    }
}

#[test]
fn rotary_positions_are_scaled_where_the_factors_of_yarn_do_not_cancel() {
    // GPT-OSS states none, DeepSeek-V3 two alike; Llama's scaling is another.
    let scaled = |id| load(id).rotary_scaled;
    assert!(scaled("gpt-oss-120b"));
    assert!(!scaled("deepseek-v3") && !scaled("llama-3.1-8b") && !scaled("qwen3-235b-a22b"));
}
