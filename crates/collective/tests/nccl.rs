//! nccl-tests curves from the open against what a library is said to take.
//!
//! Left out, by rule and not by result: chips without a calibration of their own (H200), networks
//! that the catalog does not describe (EFA; the unnamed one of two A100 nodes), algorithms that the
//! measurer forced, which a library would not choose. They are printed all the same.

use collective::library;
use model::Collective;
use std::collections::BTreeMap;

const TABLE: &str = include_str!("../../../catalog/measurements/collectives/nccl.csv");

struct Row {
    id: String,
    chip: &'static str,
    size: f64,
    error: f64,
    basis: &'static str,
    /// Whether the calibration was made from the very table that the row is from.
    calibrated: bool,
    left_out: Option<&'static str>,
}

/// The cluster whose chips and network a row was measured on.
fn cluster_of(accelerator: &str) -> Option<(&'static str, &'static str)> {
    [
        ("A100", "A100", "dgx-a100"),
        ("H100", "H100", "dgx-h100"),
        ("B200-SXM", "B200", "dgx-b200"),
        ("GB200", "GB200", "gb200-nvl72"),
        ("H200", "H200", "dgx-h200"),
    ]
    .iter()
    .find(|c| accelerator.starts_with(c.0))
    .map(|c| (c.1, c.2))
}

fn left_out(get: &dyn Fn(&str) -> String) -> Option<&'static str> {
    if get("accelerator").starts_with("H200") {
        return Some("no calibration of its own");
    }
    if get("network").contains("EFA") {
        return Some("a network that the catalog does not describe");
    }
    if get("network").is_empty() && get("n_chips") == "16" {
        return Some("a network that is not stated");
    }
    if get("algo") == "Ring" {
        return Some("an algorithm that is not the library's choice at 8");
    }
    None
}

fn rows() -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(TABLE.as_bytes());
    let heads: Vec<String> =
        reader.headers().expect("a good row").iter().map(str::to_owned).collect();
    let mut out = Vec::new();
    for record in reader.records() {
        let record = record.expect("a good row");
        let get = |name: &str| {
            let at = heads.iter().position(|h| h == name).expect("a good row");
            record[at].to_owned()
        };
        let (chip, id) = cluster_of(&get("accelerator")).expect("a good row");
        let cluster = catalog::cluster(id).expect("a good row");
        let (calibration, _) = kernel::for_chip(&cluster.chip).expect("a good row");
        let ranks: u64 = get("n_chips").parse().expect("a good row");
        let size: f64 = get("msg_bytes").parse().expect("a good row");
        let (operation, factor) = match get("collective").as_str() {
            "all-reduce" => (Collective::AllReduce, 2.0),
            "all-gather" => (Collective::AllGather, 1.0),
            "reduce-scatter" => (Collective::ReduceScatter, 1.0),
            _ => (Collective::AllToAll, 1.0),
        };
        let bus = factor * (ranks - 1) as f64 / ranks as f64;
        let measured = get("time_us").parse::<f64>().map_or_else(
            |_| size * bus / (get("busbw_GBs").parse::<f64>().expect("a good row") * 1e9),
            |us| us * 1e-6,
        );
        let found = library(&cluster, &calibration, ranks, operation, size).expect("a good row");
        out.push(Row {
            id: get("row_id"),
            chip,
            size,
            error: found.seconds / measured - 1.0,
            basis: found.basis.word(),
            calibrated: get("source_title").contains("aiconfigurator")
                || get("network") == "NVL72 only",
            left_out: left_out(&get),
        });
    }
    out
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[test]
fn nccl_tests_curves_are_met() {
    let rows = rows();
    assert!(rows.len() > 150, "{} rows", rows.len());
    let mut groups: BTreeMap<(&str, bool, bool), Vec<f64>> = BTreeMap::new();
    for row in &rows {
        eprintln!(
            "{:18} {:5} {:12.0} {:+7.1} % {} by {} {}",
            row.id,
            row.chip,
            row.size,
            row.error * 100.0,
            if row.calibrated { "calibrated" } else { "blind" },
            row.basis,
            row.left_out.unwrap_or_default()
        );
        if row.left_out.is_none() {
            let large = row.size >= 1e6;
            groups.entry((row.chip, large, row.calibrated)).or_default().push(row.error.abs());
        }
    }
    for (key, errors) in &groups {
        let n = errors.len();
        eprintln!("{key:?} {n} rows: median {:.1} %", median(&mut errors.clone()) * 100.0);
    }
    for chip in ["A100", "H100", "B200", "GB200"] {
        for (large, limit) in [(true, 0.10), (false, 0.20)] {
            let mut all: Vec<f64> = [true, false]
                .iter()
                .filter_map(|c| groups.get(&(chip, large, *c)))
                .flatten()
                .copied()
                .collect();
            let found = median(&mut all);
            eprintln!("{chip} large {large}: {:.1} % of {} rows", found * 100.0, all.len());
            assert!(found <= limit, "{chip}, from 1 MB: {large}: median {found}");
        }
    }
    // The rows above include those the curves were read from, which say only that curves are read
    // right. Of other people's machines, from 1 MB: GB200's two racks are 27 % off and below 1 MB
    // all are 39 to 55 %, which the book says.
    for chip in ["A100", "H100", "B200"] {
        let found = median(&mut groups[&(chip, true, false)].clone());
        assert!(found <= 0.10, "{chip}, blind, from 1 MB: median {found}");
    }
}
