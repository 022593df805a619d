//! `supernode catalog`.

use crate::json::{Stamp, figure};
use crate::table::aligned;
use catalog::Kind;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use units::Figure;

/// The kinds listed, with their word.
const KINDS: [(Kind, &str); 6] = [
    (Kind::Chip, "chips"),
    (Kind::Cluster, "clusters"),
    (Kind::Recipe, "recipes"),
    (Kind::Model, "models"),
    (Kind::Calibration, "calibrations"),
    (Kind::Scenario, "scenarios"),
];

/// Every id by kind.
pub fn catalog_list() -> String {
    let mut out = String::new();
    for (kind, word) in KINDS {
        let _ = writeln!(out, "{word}");
        for id in catalog::ids(kind) {
            let _ = writeln!(out, "  {id}");
        }
    }
    out
}

/// The same as JSON, schema `supernode.catalog/1`.
pub fn catalog_list_json(stamp: &Stamp) -> Value {
    let mut map = Map::new();
    for (kind, word) in KINDS {
        map.insert(word.to_owned(), json!(catalog::ids(kind)));
    }
    stamp.on(Value::Object(map))
}

/// Every figure of one thing, `(path, figure)`; its name first.
pub fn catalog_show(name: &str, figures: &[(String, &Figure)]) -> String {
    let rows: Vec<Vec<String>> = figures
        .iter()
        .map(|(path, f)| {
            vec![path.clone(), f.to_string(), f.origin.word().to_owned(), f.source.clone()]
        })
        .collect();
    let mut out = format!("{name}\n{}", aligned(&rows, 4));
    let mut keys: Vec<&str> =
        figures.iter().flat_map(|(_, f)| catalog::cited(&f.source).0).collect();
    keys.sort_unstable();
    keys.dedup();
    out.push_str("\nSources\n");
    for source in keys.into_iter().filter_map(catalog::source) {
        let _ = writeln!(out, "  {}: {}, {}", source.key, source.title, source.url);
    }
    out
}

/// The same as JSON.
pub fn catalog_show_json(stamp: &Stamp, name: &str, figures: &[(String, &Figure)]) -> Value {
    let mut map = Map::new();
    for (path, f) in figures {
        map.insert(path.clone(), figure(f));
    }
    stamp.on(json!({ "name": name, "figures": map }))
}
