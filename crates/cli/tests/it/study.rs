//! Studies and searches in parts, and files of every plan.

use crate::run;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of this test's own with a small study of three runs.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a folder");
    let mut study = "name = \"small\"\ntop = 2\nguard = 0.1\n".to_owned();
    for chips in [4096, 8192, 16384] {
        study.push_str(&format!(
            "[[run]]\nname = \"{chips}\"\nscenario = \"llama-3.1-405b-on-h100\"\nset = \
             [\"chips={chips}\"]\nfix = [{FIX}]\n"
        ));
    }
    fs::write(path.join("study.toml"), study).expect("written");
    path
}

const FIX: &str = "\"plan.tensor=8\", \"plan.context=1\", \"plan.pipeline=16\", \"plan.micro_batch=1\", \
                   \"plan.schedule=1f1b\", \"plan.zero=1,2\", \"plan.recompute=none,full\"";

fn study(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let words = [&["plan", "study", "study.toml", "--progress", "never"][..], arguments].concat();
    let output = run(folder, &words);
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {talk}");
    output.stdout
}

#[test]
fn parts_join_to_the_bytes_of_the_whole() {
    let folder = folder("study-parts");
    study(&folder, &["-o", "whole.json"]);
    for (shard, file) in [("1/2", "a.json"), ("2/2", "b.json"), ("2/2", "again.json")] {
        study(&folder, &["--shard", shard, "-o", file, "--threads", "1"]);
    }
    let bytes = |file: &str| fs::read(folder.join(file)).expect(file);
    assert_eq!(bytes("b.json"), bytes("again.json"), "a part run again differs");
    let merged = run(&folder, &["plan", "merge", "b.json", "a.json", "-o", "merged.json"]);
    assert!(merged.status.success(), "{}", String::from_utf8_lossy(&merged.stderr));
    assert_eq!(bytes("merged.json"), bytes("whole.json"));
    let refused = |parts: &[&str], why: &str| {
        let output = run(&folder, &[&["plan", "merge"][..], parts].concat());
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{parts:?}");
        assert!(talk.contains(why), "{parts:?}: {talk}");
    };
    refused(&["a.json"], "1 of 2 parts are missing");
    refused(&["a.json", "b.json", "again.json"], "both part 2");
    refused(&["a.json", "study.toml"], "no JSON");
    let other =
        String::from_utf8(bytes("b.json")).expect("text").replace("\"top\": 2", "\"top\": 3");
    fs::write(folder.join("other.json"), other).expect("written");
    refused(&["a.json", "other.json"], "`top` is 2");
    fs::write(folder.join("cut.json"), &bytes("b.json")[..100]).expect("written");
    refused(&["a.json", "cut.json"], "no JSON");
}

/// The command that writes every candidate of a small space to `file`.
fn candidates(file: &str) -> Vec<String> {
    let fixed = FIX.replace(['"', ' '], "");
    // Commas part both keys and values: a key begins a new `--fix`.
    let keys = fixed.replace(",plan.", "\nplan.");
    let mut words: Vec<String> = [
        "plan",
        "llama-3.1-405b-on-h100",
        "--no-flow",
        "--progress",
        "never",
        "--candidates",
        file,
    ]
    .map(str::to_owned)
    .to_vec();
    words.extend(keys.lines().flat_map(|key| ["--fix".to_owned(), key.to_owned()]));
    words
}

#[test]
fn candidates_are_written_whole_and_alike() {
    let folder = folder("candidates");
    for file in ["a.jsonl", "b.jsonl", "a.parquet", "b.parquet"] {
        let words = candidates(file);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = run(&folder, &words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let bytes = |file: &str| fs::read(folder.join(file)).expect(file);
    assert_eq!(bytes("a.jsonl"), bytes("b.jsonl"));
    assert_eq!(bytes("a.parquet"), bytes("b.parquet"));
    assert_eq!(&bytes("a.parquet")[..4], b"PAR1");
    assert_eq!(bytes("a.parquet").last_chunk::<4>(), Some(b"PAR1"));
    let lines = String::from_utf8(bytes("a.jsonl")).expect("text");
    let rows: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(rows.len() > 1, "{} rows", rows.len());
    assert!(rows.iter().all(|row| row["tensor"] == 8 && row["step_s"].as_f64() > Some(0.0)));
    let left = fs::read_dir(&folder).expect("a folder").count();
    assert_eq!(left, 5, "the study and four files");
}

/// Parts of one search join to the bytes of the whole, however many they are, and name its leaders.
#[test]
fn parts_of_a_search_join_to_the_whole() {
    let folder = folder("search-parts");
    let fix = ["plan.tensor=4,8", "plan.pipeline=8,16", "plan.micro_batch=1,2", "plan.zero=1"];
    let mut question = vec!["plan", "llama-3.1-405b-on-h100", "--no-flow", "--progress", "never"];
    for key in
        fix.iter().chain(&["plan.context=1,2", "plan.schedule=1f1b", "plan.recompute=none,full"])
    {
        question.extend(["--fix", key]);
    }
    let search = |more: &[&str]| {
        let output = run(&folder, &[&question[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let bytes = |file: &str| fs::read(folder.join(file)).expect(file);
    search(&["--shard", "1/1", "-o", "whole.json"]);
    // More parts than there is to share out, too: some are empty and say so.
    for of in [2, 3, 40] {
        let files: Vec<String> = (1..=of).map(|part| format!("{part}-of-{of}.json")).collect();
        for (part, file) in (1..).zip(&files) {
            search(&["--shard", &format!("{part}/{of}"), "-o", file, "--threads", "1"]);
        }
        let parts: Vec<&str> = files.iter().rev().map(String::as_str).collect();
        let merged = run(&folder, &[&["plan", "merge", "-o", "merged.json"][..], &parts].concat());
        assert!(merged.status.success(), "{}", String::from_utf8_lossy(&merged.stderr));
        assert_eq!(bytes("merged.json"), bytes("whole.json"), "{of} parts");
    }
    search(&["--shard", "2/3", "-o", "again.json"]);
    assert_eq!(bytes("again.json"), bytes("2-of-3.json"), "a part run again differs");
    let whole: serde_json::Value = serde_json::from_slice(&bytes("whole.json")).expect("JSON");
    let plain: serde_json::Value =
        serde_json::from_slice(&search(&["--format", "json"])).expect("JSON");
    let steps = |list: &serde_json::Value| -> Vec<f64> {
        let leaders = list["leaders"].as_array().expect("leaders");
        leaders.iter().map(|l| l["step_s"].as_f64().expect("seconds")).collect()
    };
    let (whole, plain) = (steps(&whole["runs"][0]), steps(&plain));
    assert!(whole.len() == plain.len() && plain.len() > 2);
    // The answer prices its leaders again, one by one: the same to rounding.
    assert!(
        whole.iter().zip(&plain).all(|(a, b)| (a / b - 1.0).abs() < 1e-12),
        "{whole:?} {plain:?}"
    );
    // Of another question: other plans allowed.
    search(&["--shard", "1/2", "-o", "other.json", "--fix", "plan.expert=1"]);
    let refused = run(&folder, &["plan", "merge", "other.json", "2-of-2.json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`input_hash` is"));
}
