//! The guide's example runs and prints what the guide says; `BLESS=1` writes what it prints.

use crate::run;
use std::fs;
use std::path::{Path, PathBuf};

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn block<'a>(page: &'a str, kind: &str) -> &'a str {
    let rest = page.split(&format!("```{kind}\n")).nth(1).expect("a block");
    rest.split("```").next().unwrap_or(rest)
}

#[test]
fn the_guides_example_is_legal_fits_and_prints_what_it_says() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guide");
    fs::create_dir_all(folder.join("my-model")).expect("a folder");
    let file = shipped("docs/src/guide/rehearse.md");
    let page = fs::read_to_string(&file).expect("the guide");
    let reference =
        fs::read_to_string(shipped("docs/src/reference/scenario.md")).expect("the keys");
    fs::write(folder.join("my-run.toml"), block(&page, "toml")).expect("written");
    fs::write(folder.join("my-recipe.toml"), block(&reference, "toml")).expect("written");
    let config = shipped("catalog/models/llama-3.1-70b.json");
    fs::copy(config, folder.join("my-model/config.json")).expect("copied");
    let output = run(&folder, &["plan", "check", "my-run.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("text");
    let said = block(&page, "text");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, page.replace(said, &printed)).expect("written");
    } else {
        assert_eq!(said, printed, "BLESS=1 writes what is printed");
    }
}
