//! Nothing a file can hold makes the reader panic.

use crate::tables::{fitted, products};
use calibrate::{Kind, Machine, Subject, Table, calibrate, nccl};
use proptest::prelude::*;

/// Any table of the columns of a kind, of any numbers.
fn any_table(columns: &[&str], cells: &[f64]) -> Table {
    let rows = cells.len() / columns.len();
    let mut table = Table::new("any.csv", rows);
    for (c, name) in columns.iter().enumerate() {
        let words = ["dtype", "distribution", "kernel_source", "op_name", "collective"];
        if words.contains(name) {
            let word = if *name == "collective" { "all_reduce" } else { "bfloat16" };
            table.add_words(name, vec![word.to_owned(); rows]);
        } else {
            let column = (0..rows).map(|r| cells[r * columns.len() + c]).collect();
            table.add_numbers(name, column);
        }
    }
    table
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (1_u32..100_000).prop_map(f64::from),
        1 => any::<f64>(),
        1 => Just(0.0),
        1 => Just(1e13),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_numbers_are_fitted_or_refused(cells in prop::collection::vec(number(), 66..400)) {
        let machine = Machine::of(&catalog::chip("h100").expect("shipped"), 450e9, Some(132.0));
        for columns in [
            &["dtype", "m", "n", "k", "latency_ms"][..],
            &["dtype", "batch_size", "seq_len", "num_heads", "num_kv_heads", "head_dim",
              "window_size", "latency_ms"],
            &["kernel_source", "dtype", "num_tokens", "hidden_size", "inter_size", "topk",
              "num_experts", "moe_tp_size", "moe_ep_size", "distribution", "latency_ms"],
            &["op_name", "num_tokens", "num_sites", "hc_mult", "hidden_size", "latency_ms"],
            &["collective", "dtype", "num_gpus", "message_size", "latency_ms"],
        ] {
            let table = any_table(columns, &cells);
            prop_assert!(Kind::of(&table).is_ok());
            let _ = calibrate(&[table], &Subject { machine: machine.clone(), base: None });
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Table::csv("a.csv", &text);
        let _ = nccl::text("all_reduce.txt", &text);
        let _ = nccl::json("all_reduce.json", &text);
        let _ = Table::parquet("a.parquet", text.into_bytes());
    }

    #[test]
    fn a_table_cut_anywhere_is_fitted_or_refused(end in 0_usize..900) {
        let text = products();
        let _ = fitted(&text[..end.min(text.len())]);
    }
}

#[test]
fn bytes_that_call_themselves_parquet_are_refused() {
    for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", b"PAR1\xff\xff\xff\xff\xff\xff\xff\xffPAR1"] {
        let found = Table::parquet("a.parquet", bytes.to_vec()).expect_err("no Parquet");
        assert_eq!(found.code, "calibrate::parquet");
    }
}

#[test]
fn attention_that_cannot_be_is_refused_by_row() {
    let head = "dtype,pass,batch_size,seq_len,num_heads,num_kv_heads,head_dim_qk,head_dim_v,\
                window_size,latency_ms";
    let codes = |row: &str| -> Vec<&'static str> {
        let table = Table::csv("a.csv", &format!("{head}\n{row}\n")).expect("a table");
        let chip = catalog::chip("h100").expect("shipped");
        let subject = Subject { machine: Machine::of(&chip, 450e9, None), base: None };
        let problems = calibrate(&[table], &subject).map_or_else(|p| p.0, |_| Vec::new());
        problems.iter().map(|p| p.code).collect()
    };
    for (row, code) in [
        ("bf16,forward,1,4096,64,7,128,128,0,5", "calibrate::heads"),
        ("bf16,forward,1,4096,64,128,128,128,0,5", "calibrate::heads"),
        ("bf16,forward,1,4096,64,8,128,128,-7,5", "calibrate::window"),
        ("bf16,forward,1,4096,64,8,128,128,1.5,5", "calibrate::window"),
        ("bf16,forward,1,4096,64,8,128,128,nan,5", "calibrate::window"),
        ("bf16,sideways,1,4096,64,8,128,128,0,5", "calibrate::pass"),
    ] {
        assert!(codes(row).contains(&code), "{row}: {:?}", codes(row));
    }
    assert!(!codes("bf16,forward,1,4096,64,8,128,128,0,5").contains(&"calibrate::heads"));
}
