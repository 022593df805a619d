//! Bad input: each folder of `tests/bad` has `cmd` (an argument a line), its files, and what is
//! `expected` on stderr after the exit code. `BLESS=1` rewrites what is expected.

use crate::run;
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
        assert!(output.stdout.is_empty(), "{}: an answer to bad input", case.display());
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
