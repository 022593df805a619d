//! Good input: the lines and keys that users and programs rely on.

use crate::run;
use serde_json::Value;
use std::path::Path;

fn answer(arguments: &[&str]) -> String {
    let output = run(Path::new(env!("CARGO_MANIFEST_DIR")), arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&answer(arguments)).expect("JSON")
}

#[test]
fn no_arguments_print_the_sheet() {
    let sheet = answer(&[]);
    for line in ["Atlas 950", "step time", "tokens/s", "MFU", "optimizer", "activations", "Days"] {
        assert!(sheet.contains(line), "no `{line}` in\n{sheet}");
    }
    assert_eq!(sheet, answer(&[]), "two runs differ");
}

#[test]
fn rehearse_json_has_its_keys_and_ordered_intervals() {
    let value = json(&["rehearse", "--format", "json"]);
    assert_eq!(value["schema"], "supernode.rehearse/1");
    assert_eq!(value["input_hash"].as_str().map(str::len), Some(32));
    let stages = value["stages"].as_array().expect("stages");
    assert!(!stages.is_empty());
    for stage in stages {
        for key in ["step_s", "tokens_per_s", "mfu_ratio", "days"] {
            let end = |end: &str| stage[key][end].as_f64().expect("a number");
            assert!(end("low") <= end("value") && end("value") <= end("high"), "{key}");
        }
    }
}

#[test]
fn set_changes_the_plan_and_the_hash() {
    let plain = json(&["rehearse", "--format", "json"]);
    let set = json(&["rehearse", "--set", "name=\"other\"", "--format", "json"]);
    assert_eq!(set["scenario"], "other");
    assert_ne!(plain["input_hash"], set["input_hash"]);
}

#[test]
fn v4_pro_has_its_published_parameters() {
    let value = json(&["model", "deepseek-v4-pro", "--format", "json"]);
    assert_eq!(value["schema"], "supernode.model/1");
    let millions = |key: &str| (value["parameters"][key].as_f64().expect(key) / 1e6).round();
    assert!((millions("total_with_mtp") - 1_598_837.0).abs() < 0.5);
    assert!((millions("total_main") - 1_572_997.0).abs() < 0.5);
    assert!((millions("active_without_embedding") - 48_852.0).abs() < 0.5);
}

#[test]
fn the_catalog_lists_and_shows() {
    assert!(answer(&["catalog", "list"]).contains("h100"));
    let value = json(&["catalog", "show", "h100", "--format", "json"]);
    assert_eq!(value["schema"], "supernode.catalog/1");
    assert!(value["figures"].as_object().is_some_and(|f| !f.is_empty()));
}

#[test]
fn fabric_repeats_a_peers_ring_and_shows_a_pod() {
    let ring = "ring:64@53.6870912GB/s,500ns,memory=1600GB/s,endpoint=10ns";
    let asked = ["fabric", ring, "--collective", "all-reduce", "--algorithm", "ring", "--format"];
    let value = json(&[&asked[..], &["json"]].concat());
    assert_eq!(value["schema"], "supernode.fabric/1");
    let row = &value["rows"][0];
    assert!((row["time_s"].as_f64().expect("a number") / 0.041_421 - 1.0).abs() < 0.001);
    assert_eq!(row["bottleneck"], "ring0 chip:0>chip:1");
    let one_by_one = json(&[&asked[..], &["json", "--unfolded"]].concat());
    assert_eq!(one_by_one["rows"][0]["flows_meant"], 126 * 64);
    let sweep = ["fabric", "dgx-a100", "--collective", "all-gather", "--ranks", "8"];
    let table = answer(&[&sweep[..], &["--bytes", "1MiB..8MiB"]].concat());
    assert_eq!(table.lines().filter(|l| l.contains("float")).count(), 4, "{table}");
    let shown = json(&["fabric", "atlas-950-superpod", "--show", "--format", "json"]);
    assert_eq!(shown["schema"], "supernode.topology/1");
    assert_eq!((&shown["chips"], &shown["port_budget"]), (&8192.into(), &18.into()));
}

#[test]
fn fabric_borrows_curves_as_a_rehearsal_does() {
    // Eight H200 took 18.6 us (`e-stasb-004` of the measured collectives); the links alone say 6.
    let asked = ["fabric", "dgx-h200", "--collective", "all-reduce", "--ranks", "8"];
    let row = &json(&[&asked[..], &["--bytes", "256KiB", "--format", "json"]].concat())["rows"][0];
    assert_eq!(row["algorithm"], "measured on h100");
    assert!((row["time_s"].as_f64().expect("a number") / 18.6e-6 - 1.0).abs() < 0.05, "{row}");
}

#[test]
fn a_machine_without_a_plan_says_what_would_be_enough() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/no-plan");
    std::fs::create_dir_all(&folder).expect("a folder");
    let machine = |name: &str, chips: u64| {
        format!("[[machine]]\nname = \"{name}\"\ncluster = \"dgx-h100\"\nchips = {chips}\n")
    };
    let run = "name = \"x\"\n[[run]]\nname = \"r\"\nscenario = \"llama-3.1-405b-on-h100\"\n";
    let set = [run, &machine("few", 64), &machine("odd", 1_009)].concat();
    std::fs::write(folder.join("set.toml"), set).expect("a file");
    let output =
        crate::run(&folder, &["compare", "set.toml", "--samples", "40", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let why = |at: usize| answer["groups"][0]["absent"][at]["why"].as_str().expect("a reason");
    assert!(why(0).contains("GB a chip in place of 85.47 GB"), "{}", why(0));
    assert!(why(1).contains("1009 chips"), "{}", why(1));
}

#[test]
fn a_stage_that_does_not_fit_is_said_wherever_days_are() {
    let question = ["deepseek-v3-on-h800", "--set", "plan.expert=8"];
    let with = |first: &[&'static str], last: &[&'static str]| [first, &question, last].concat();
    let sheet = answer(&with(&["rehearse"], &[]));
    assert!(sheet.contains("does not fit: pipeline rank"), "{sheet}");
    let run = answer(&with(&["campaign"], &["--samples", "40", "--progress", "never"]));
    assert!(run.contains("stage of 4096 tokens does not fit"), "{run}");
    let whole = json(&["rehearse", "deepseek-v3-on-h800", "--format", "json"]);
    let over = json(&with(&["rehearse"], &["--format", "json"]));
    assert_eq!((&whole["fits"], &over["fits"]), (&Value::Bool(true), &Value::Bool(false)));
}

#[test]
fn a_broken_port_never_makes_a_measured_collective_faster() {
    let time = |fail: &[&'static str]| {
        let question = ["fabric", "dgx-h100", "--collective", "all-reduce", "--ranks", "16"];
        let value = json(&[&question[..], fail, &["--format", "json"]].concat());
        value["rows"][0]["time_s"].as_f64().expect("a time")
    };
    let whole = time(&[]);
    let slower = time(&["--fail", "port:0/scale-out/0=0.99"]);
    let dead = time(&["--fail", "port:0/scale-out/0"]);
    assert!(whole <= slower && slower <= dead && whole < dead, "{whole} {slower} {dead}");
}

#[test]
fn no_arguments_have_formats_too() {
    let value = json(&["--format", "json"]);
    assert_eq!(value["schema"], "supernode.rehearse/1");
    assert!(answer(&["--format", "html"]).starts_with("<!doctype html>"));
}

#[test]
fn an_illegal_plan_is_an_answer() {
    let asked = ["plan", "check", "llama-3.1-405b-on-h100", "--set", "plan.tensor=7"];
    let check = |more: &[&str]| {
        let output = run(Path::new("."), &[&asked[..], more].concat());
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let value: Value = serde_json::from_str(&check(&["--format", "json"])).expect("JSON");
    assert_eq!(value["schema"], "supernode.plan-check/1");
    assert_eq!((&value["legal"], &value["fits"]), (&false.into(), &Value::Null));
    assert_eq!(value["scenario"], "Llama 3.1 405B on 16,384 H100");
    let why = value["problems"].as_array().expect("reasons");
    assert!(why.iter().any(|p| p["message"].as_str().is_some_and(|m| m.contains("heads"))));
    assert!(why.iter().all(|p| p["line"].as_u64().is_some()), "{why:?}");
    assert!(check(&[]).contains("The plan is not legal."));
    assert!(check(&["--format", "html"]).contains("the plan is not legal"));
    // A file that says something else is still at fault.
    let unknown = run(Path::new("."), &[&asked[..], &["--set", "plan.x=1"]].concat());
    assert_eq!(unknown.status.code(), Some(2));
    let legal = json(&["plan", "check", "llama-3.1-405b-on-h100", "--format", "json"]);
    assert_eq!((&legal["legal"], &legal["problems"]), (&true.into(), &Value::Array(Vec::new())));
}

#[test]
fn everything_listed_with_figures_can_be_shown() {
    let list = json(&["catalog", "list", "--format", "json"]);
    let mut count = 0;
    for kind in
        ["chips", "clusters", "recipes", "calibrations", "stacks", "reliability", "economics"]
    {
        for id in list[kind].as_array().expect(kind) {
            let name = format!("{kind}/{}", id.as_str().expect("an id"));
            let shown = json(&["catalog", "show", &name, "--format", "json"]);
            assert!(shown["figures"].as_object().is_some_and(|f| !f.is_empty()), "{name}");
            count += 1;
        }
    }
    assert!(count > 80, "{count}");
    // What a rehearsal names can be followed to its source.
    let main = json(&["rehearse", "--format", "json"]);
    let sheet = answer(&[]);
    for (kind, key) in [("calibration", "calibrations"), ("stack", "stacks")] {
        let used = format!("{key}/{}", main[kind].as_str().expect("an id"));
        assert!(sheet.contains(&used), "{used} is not named");
        let shown = json(&["catalog", "show", &used, "--format", "json"]);
        for driver in main["stages"][0]["drivers"].as_array().expect("drivers") {
            let path = driver["path"].as_str().expect("a path");
            let there = shown["figures"].get(path).is_some();
            assert!(there || !path.starts_with(&format!("{kind}.")), "{path} is not in {used}");
        }
    }
    assert!(answer(&["catalog", "show", "calibrations/h100"]).contains("gemm bf16"));
}

#[test]
fn converted_programs_keep_their_groups() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("groups");
    std::fs::create_dir_all(&folder).expect("a folder");
    let node = r#"{"id": 0, "name": "a", "after": [], "work": {"collective":
        {"operation": "all_reduce", "bytes": 1048576, "group": "pair"}}}"#;
    let program = format!(
        r#"{{"schema": "supernode.trace-program/1", "ranks": 4, "groups": {{"pair": [[0, 1]]}},
        "traces": [{{"ranks": [[0, 1]], "nodes": [{node}]}}, {{"ranks": [[2, 3]], "nodes": []}}]}}"#
    );
    std::fs::write(folder.join("p.json"), program).expect("written");
    let go = |words: &[&str]| {
        let output = run(&folder, &[&["trace"], words].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = go(&["convert", "p.json", "-o", "a.%d.et"]);
    assert!(code == Some(0) && said.contains("--groups a.groups.json"), "{said}");
    let machine = ["--network", "ring:4@50GB/s,500ns"];
    let (code, said) = go(&[&["run", "a.%d.et"], &machine[..]].concat());
    assert!(code == Some(2) && said.contains("--groups"), "{said}");
    let given = ["--groups", "a.groups.json"];
    let (code, said) = go(&[&["run", "a.%d.et"], &machine[..], &given[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    std::fs::write(folder.join("ring.xml"), "<algo/>").expect("written");
    let (code, said) = go(&["convert", "ring.xml", "-o", "b.json"]);
    assert!(code == Some(2) && said.contains("MSCCL"), "{said}");
}
