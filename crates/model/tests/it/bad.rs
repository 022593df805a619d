//! Configurations that must be refused: `tests/bad/NAME.json` and, beside it, `NAME.txt` with what
//! is said. `SUPERNODE_BLESS=1` rewrites the texts, to be read before they are committed.

use std::fmt::Write as _;
use std::path::Path;

use diagnostic::Diagnostics;
use model::parse_config;

/// What a user would read, with the part of the text each problem points at.
fn render(json: &str, problems: &Diagnostics) -> String {
    let mut text = String::new();
    for problem in &problems.0 {
        let label = problem.label.as_ref().expect("every problem names its file");
        assert_eq!(label.file, "config.json");
        let (at, part) = (label.span.start, &json[label.span.clone()]);
        let _ = writeln!(text, "{}: {}\n  at {at}: {part}", problem.code, problem.message);
        if let Some(hint) = &problem.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    text
}

#[test]
fn bad_configurations_are_refused_in_these_words() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let json = std::fs::read_to_string(&path).expect("it is text");
        let Err(problems) = parse_config("bad", "config.json", &json) else {
            panic!("{} was accepted", path.display());
        };
        let got = render(&json, &problems);
        let beside = path.with_extension("txt");
        if std::env::var_os("SUPERNODE_BLESS").is_some() {
            std::fs::write(&beside, &got).expect("it can be written");
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(got, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");
}

#[test]
fn no_prefix_of_a_configuration_panics_or_parses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog/models");
    let json = std::fs::read_to_string(folder.join("deepseek-v4-pro.json")).expect("it is there");
    let body = json.trim_end();
    for end in 0..body.len() {
        let problems = parse_config("cut", "config.json", &body[..end]).unwrap_err();
        assert_eq!(problems.0[0].code, "model::json", "cut at {end}");
    }
}

#[test]
fn any_field_may_be_any_value_without_a_panic() {
    let values = [
        "null",
        "true",
        "-1",
        "0",
        "1",
        "3",
        "1.5",
        "1e300",
        "999999999",
        "1000000000000000000",
        "18446744073709551615",
        "\"x\"",
        "[]",
        "[1]",
        "[-1]",
        "[0, 0, 0]",
        "{}",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog/models");
    let mut refused = 0;
    for id in ["deepseek-v4-flash", "deepseek-v3.2", "gpt-oss-120b", "gpt3-175b", "qwen3-235b-a22b"]
    {
        let json = std::fs::read_to_string(folder.join(format!("{id}.json"))).expect("it is there");
        let whole: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        let object = whole.as_object().expect("it is an object");
        for key in object.keys() {
            for value in values {
                let mut changed = object.clone();
                changed[key] = serde_json::from_str(value).expect("values are JSON");
                let text = serde_json::to_string(&changed).expect("it can be written");
                match parse_config("changed", "config.json", &text) {
                    Err(problems) => {
                        assert!(problems.has_errors());
                        refused += 1;
                    }
                    // What is accepted can be computed with.
                    Ok(architecture) if architecture.layers.len() < 200 => {
                        assert!(architecture.flops_per_token(4096).training().is_finite());
                    }
                    Ok(_) => {}
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}
