//! `rehearse --engine flow` with parts broken, slow or uneven: what that costs and what is unfolded.

use crate::run;
use serde_json::Value;
use std::path::Path;

/// Step time and unfolded classes of the first length stage of the shipped scenario, V4-Pro on 8,192
/// chips, with `arguments`.
fn step(arguments: &[&str]) -> (f64, u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let all = [&["rehearse", "--engine", "flow", "--format", "json"], arguments].concat();
    let output = run(&folder, &all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let flow = &value["stages"][0]["flow"];
    let classes = flow["unfolded_class_count"].as_u64().expect("a count");
    (flow["step_s"].as_f64().expect("seconds"), classes)
}

#[test]
fn a_fault_costs_time_and_unfolds_its_block() {
    let (whole, unfolded) = step(&[]);
    assert_eq!(unfolded, 0);
    // Eight stages: the rank that is hit is a line more, the rest of its block another.
    for (what, classes) in [
        (["--slow", "rank:7171=0.5"], 16),
        (["--fail", "link:7168-7169"], 16),
        (["--fail", "board:896=0.9"], 16),
        (["--fail", "switch:pod/0=0.5"], 0),
        (["--fail", "chip:7171"], 0),
        (["--fail", "board:896"], 0),
    ] {
        let (hit, unfolded) = step(&what);
        assert!(hit > whole, "{what:?}: {hit} against {whole}");
        assert_eq!(unfolded, classes, "{what:?}");
    }
}

#[test]
fn faults_and_uneven_experts_run_together() {
    let loads = ["--expert-load", "expert-load.csv"];
    let (uneven, lines) = step(&loads);
    // One load of many: the rest of the group is a line, the busy rank another.
    assert_eq!(lines, 8);
    let (both, lines) = step(&[&loads[..], &["--slow", "rank:7171=0.5"]].concat());
    assert!(both > uneven, "{both} against {uneven}");
    // Beside the two loads of the other blocks, those of the block that is hit and the slow rank.
    assert_eq!(lines, 8 * 4);
}
