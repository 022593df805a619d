//! Bad input: each folder of `tests/bad` has `cmd` (an argument a line), its files, and what is
//! `expected` on stderr after the exit code. `BLESS=1` rewrites what is expected.

use crate::run;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let entries = fs::read_dir(folder).expect("tests/bad is there");
    let mut cases: Vec<PathBuf> = entries.map(|e| e.expect("a folder").path()).collect();
    cases.sort();
    cases
}

#[test]
fn every_bad_input_is_explained() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 12, "only {} cases", cases.len());
    for case in cases {
        let command = fs::read_to_string(case.join("cmd")).expect("cmd");
        let arguments: Vec<&str> = command.lines().collect();
        let output = run(&case, &arguments);
        let stderr = String::from_utf8(output.stderr).expect("text");
        let found = format!("exit {}\n{stderr}", output.status.code().unwrap_or(-1));
        // A program that asked for JSON gets the problems as JSON, and nobody an answer.
        if command.contains("json\n") && command.contains("--format") {
            let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(answer["schema"], "supernode.problems/1", "{}", case.display());
            let told = answer["problems"].as_array().map_or(0, Vec::len);
            assert!(told > 0, "{}: {answer}", case.display());
            for problem in answer["problems"].as_array().into_iter().flatten() {
                let message = problem["message"].as_str().expect("a message");
                assert!(stderr.contains(message), "{}: {message}", case.display());
            }
        } else {
            assert!(output.stdout.is_empty(), "{}: an answer to bad input", case.display());
        }
        let acts = |c: char| c.is_control() && c != '\n';
        assert!(!stderr.contains(acts), "{}: a terminal would act on it", case.display());
        assert!(found.starts_with("exit 2\n"), "{}: {found}", case.display());
        let expected = case.join("expected");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &found).expect("written");
        } else if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
