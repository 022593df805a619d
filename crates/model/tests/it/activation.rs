//! Kept activations of the catalog's models.

use crate::catalog::load;

#[test]
fn v4_keeps_the_derived_bytes() {
    // Kind, blocks, bytes per token: nothing recomputed, DeepSeek's tags, those with FP8 inputs.
    let table = [
        ("deepseek-v4-pro", "CSA, routed", 29, 958_656.0, 401_600.0, 312_512.0),
        ("deepseek-v4-pro", "HCA, routed", 29, 938_512.0, 381_456.0, 292_368.0),
        ("deepseek-v4-flash", "CSA, routed", 20, 540_608.0, 237_504.0, 182_208.0),
        ("deepseek-v4-flash", "HCA, routed", 20, 520_464.0, 217_360.0, 162_064.0),
    ];
    for (id, kind, layers, none, tags, tags_fp8) in table {
        let rows = load(id).activation_table(4096);
        let row = rows.iter().find(|row| row.kind == kind).expect(kind);
        assert_eq!((row.layers, row.none, row.tags, row.tags_fp8), (layers, none, tags, tags_fp8));
    }
}

#[test]
fn gpt3_keeps_korthikantis_34_bytes_and_its_log_sum_exp() {
    // arXiv 2205.05198, Table 2, with flash attention: 34·h bytes a token and 4 a head.
    let rows = load("gpt3-175b").activation_table(2048);
    let [row] = rows.as_slice() else { panic!("one kind of block: {rows:?}") };
    assert_eq!((row.layers, row.none), (96, 34.0 * 12288.0 + 4.0 * 96.0));
    assert_eq!(row.full, 2.0 * 12288.0);
}

#[test]
fn tables_cover_every_block_and_recomputing_keeps_less() {
    for id in ["deepseek-v3", "deepseek-v4-pro", "gpt-oss-120b", "llama-3.1-8b", "grok-1"] {
        let architecture = load(id);
        let rows = architecture.activation_table(4096);
        let layers: u64 = rows.iter().map(|row| row.layers).sum();
        assert_eq!(layers, architecture.layers.len() as u64, "{id}");
        for row in rows {
            assert!(row.full < row.tags_fp8, "{id} {row:?}");
            assert!(row.tags_fp8 < row.tags && row.tags < row.none, "{id} {row:?}");
        }
    }
}
