//! A row with a cell that is not what its column holds, or that contradicts another, is not replayed.

use ledger::{Row, Status, replay, shipped};

/// The first row of one shipped table, with cells changed.
fn row(changes: &[(&str, &str)]) -> Row {
    let (name, text) =
        shipped().into_iter().find(|(n, _)| n.contains("vtrain-single")).expect("shipped");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let cells = reader.records().next().expect("a row").expect("whole");
    let mut writer = csv::Writer::from_writer(Vec::new());
    let changed = header.iter().zip(cells.iter()).map(|(column, cell)| {
        changes.iter().find(|(changed, _)| *changed == column).map_or(cell, |(_, now)| now)
    });
    writer.write_record(&header).expect("written");
    writer.write_record(changed).expect("written");
    let table = String::from_utf8(writer.into_inner().expect("written")).expect("text");
    replay(name, &table).expect("a table").rows.remove(0)
}

#[test]
fn a_row_that_contradicts_itself_is_not_replayed() {
    assert_eq!(row(&[]).status, Status::Replayed, "{:?}", row(&[]).reason);
    assert_eq!(row(&[("SP", ""), ("DP", "")]).status, Status::Replayed);
    for (column, cell) in [
        ("DP", "7"),
        ("kv_heads", "7"),
        ("SP", "perhaps"),
        ("precision", "fp3"),
        ("mtp_layers", "-1"),
        ("peak_mem_gib", "nan"),
        ("peak_mem_gib", "-5"),
        ("step_s", "nan"),
        ("step_s", "-3"),
        ("step_s", "0"),
        ("tflops_per_chip", "-5"),
        ("chips_per_node", "-3"),
        ("cuda_graph", "perhaps"),
        ("overlap", "zzz"),
        ("dispatcher", "zzz"),
        ("recompute", "sometimes"),
    ] {
        let row = row(&[(column, cell)]);
        assert_eq!(row.status, Status::NotReplayed, "{column} = {cell}");
        let reason = row.reason.expect("a reason");
        assert!(reason.contains(&format!("`{column}`")), "{column} = {cell}: {reason}");
    }
    assert!(!row(&[("complete", "fully maybe")]).is_full());
    assert!(row(&[("overlap", "grad-reduce, param-gather")]).reason.is_none());
    let experts = [("n_experts", "8"), ("topk", "9"), ("moe_ffn", "4096")];
    assert_eq!(row(&experts).reason.as_deref(), Some("`topk` is 9 of 8 experts"));
}
