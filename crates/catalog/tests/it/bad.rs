//! What the reader says to bad files.
//!
//! Each `tests/bad/KIND-what.toml`, KIND being `chip`, `cluster` or `recipe`, has beside it a
//! `.txt` with every diagnostic expected, one a line: `code line:column "text": message; hint`.
//! `BLESS=1 cargo test -p catalog` writes the `.txt` of new cases, to be read before committing.

use catalog::{chip, parse_chip, parse_cluster, parse_recipe};
use diagnostic::Diagnostics;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The problems of a file of the kind that its name starts with.
fn problems(name: &str, text: &str) -> Option<Diagnostics> {
    match name.split('-').next() {
        Some("chip") => parse_chip(name, text).err(),
        Some("cluster") => parse_cluster(name, text).err(),
        Some("recipe") => parse_recipe(name, text).err(),
        _ => panic!("{name}: starts with no kind"),
    }
}

fn render(text: &str, problems: &Diagnostics) -> String {
    let mut out = String::new();
    for problem in &problems.0 {
        let span =
            problem.label.as_ref().expect("every problem of a file has a place").span.clone();
        let before = &text[..span.start];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        let at = text[span].lines().next().unwrap_or("");
        let hint = problem.hint.as_deref().unwrap_or("-");
        // The list of ids grows with the catalog.
        let hint = hint.split(" known: ").next().unwrap_or(hint);
        writeln!(out, "{} {line}:{column} \"{at}\": {}; {hint}", problem.code, problem.message)
            .expect("writing to a string");
    }
    out
}

#[test]
fn bad_files_get_every_diagnostic_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .expect("tests/bad")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 10, "{} cases", cases.len());
    for case in cases {
        let name = case.file_name().and_then(|n| n.to_str()).expect("a name");
        let text = fs::read_to_string(&case).expect(name);
        let found = problems(name, &text).unwrap_or_else(|| panic!("{name} is accepted"));
        let got = render(&text, &found);
        let expected = case.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &got).expect(name);
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(got, wanted, "{name}");
    }
}

#[test]
fn an_unknown_id_names_the_nearest_and_all() {
    let error = chip("ascend-950td").expect_err("no such chip");
    assert_eq!(error.0[0].code, "catalog::unknown");
    let hint = error.0[0].hint.as_deref().expect("a hint");
    assert!(hint.starts_with("did you mean `ascend-950dt`?"), "{hint}");
    assert!(hint.contains("h100"), "{hint}");
    assert!(catalog::cluster("").is_err() && catalog::recipe("../chips/h100").is_err());
}

/// A file cut anywhere is refused with places inside it, and nothing panics.
#[test]
fn every_truncation_is_refused() {
    for id in ["ascend-950dt", "h100"] {
        let text = catalog::text(catalog::Kind::Chip, id).expect(id);
        // The last peak may be cut off whole; before the first one nothing is complete.
        let end = text.find("[matrix]").expect("a matrix");
        for cut in (0..end).filter(|&cut| text.is_char_boundary(cut)) {
            let part = &text[..cut];
            let error = parse_chip("a.toml", part).expect_err("a part is not a chip");
            for problem in &error.0 {
                let span = &problem.label.as_ref().expect("a place").span;
                assert!(span.start <= span.end && span.end <= cut, "{cut}: {problem:?}");
            }
        }
    }
}
