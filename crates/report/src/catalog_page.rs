//! `supernode catalog`.

use crate::json::{Stamp, figure};
use crate::table::aligned;
use catalog::Kind;
use kernel::{Calibration, Curve, FitError, Operation, SurfaceEntry};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use units::{Figure, Unit, format_quantity};

/// The kinds listed, with their word.
const KINDS: [(Kind, &str); 10] = [
    (Kind::Chip, "chips"),
    (Kind::Cluster, "clusters"),
    (Kind::Recipe, "recipes"),
    (Kind::Model, "models"),
    (Kind::Calibration, "calibrations"),
    (Kind::Stack, "stacks"),
    (Kind::Reliability, "reliability"),
    (Kind::Economics, "economics"),
    (Kind::Scenario, "scenarios"),
    (Kind::Set, "sets"),
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

/// A thing of the catalog with its figures, `(path, figure)`.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Its name.
    pub name: &'a str,
    /// Every figure.
    pub figures: Vec<(String, &'a Figure)>,
    /// What was fitted, if it is a calibration.
    pub calibration: Option<&'a Calibration>,
}

/// Every figure, and of a calibration what was fitted to what and how well; its name first.
pub fn catalog_show(shown: &Shown<'_>) -> String {
    let rows: Vec<Vec<String>> = shown
        .figures
        .iter()
        .map(|(path, f)| {
            vec![path.clone(), f.to_string(), f.origin.word().to_owned(), f.source.clone()]
        })
        .collect();
    let mut out = format!("{}\n{}", shown.name, aligned(&rows, 4));
    if let Some(calibration) = shown.calibration {
        out.push_str(&fitted(calibration));
    }
    let mut cited: Vec<&str> = shown.figures.iter().map(|(_, f)| f.source.as_str()).collect();
    if let Some(calibration) = shown.calibration {
        cited.extend(calibration.surfaces.iter().map(|s| s.source.as_str()));
        cited.extend(calibration.curves.iter().map(|c| c.source.as_str()));
    }
    let mut keys: Vec<&str> = cited.into_iter().flat_map(|text| catalog::cited(text).0).collect();
    keys.sort_unstable();
    keys.dedup();
    out.push_str("\nSources\n");
    for source in keys.into_iter().filter_map(catalog::source) {
        let _ = writeln!(out, "  {}: {}, {}", source.key, source.title, source.url);
    }
    out
}

fn word(operation: Operation) -> &'static str {
    Operation::WORDS.iter().find(|(o, _)| *o == operation).map_or("?", |(_, word)| word)
}

fn fitted(calibration: &Calibration) -> String {
    let mut out = String::new();
    let row = |s: &SurfaceEntry| {
        let kind = format!("{} {}", word(s.operation), s.dtype.word());
        vec![kind, s.origin.word().to_owned(), s.source.clone()]
    };
    let surfaces: Vec<_> = calibration.surfaces.iter().map(row).collect();
    if !surfaces.is_empty() {
        out.push_str("\nShares of the roofline over shape\n");
        out.push_str(&aligned(&surfaces, 3));
    }
    let row = |c: &Curve| {
        let members: Vec<_> = c.members.iter().map(u64::to_string).collect();
        let bytes = |at: Option<&f64>| format_quantity(*at.unwrap_or(&0.0), Unit::Byte);
        let sizes = format!("{} .. {}", bytes(c.bytes.first()), bytes(c.bytes.last()));
        let among = format!("{} chips", members.join(", "));
        vec![curve_word(c), among, sizes, c.origin.word().to_owned(), c.source.clone()]
    };
    let curves: Vec<_> = calibration.curves.iter().map(row).collect();
    if !curves.is_empty() {
        out.push_str("\nCollectives of the innermost level\n");
        out.push_str(&aligned(&curves, 5));
    }
    let per_cent = |share: f64| format!("{:.1} %", 100.0 * share);
    let row = |f: &FitError| {
        vec![
            f.operator.clone(),
            f.points.to_string(),
            per_cent(f.median_error),
            per_cent(f.p90_error),
        ]
    };
    let mut fits = vec![["operator", "kernels", "median", "90 %"].map(str::to_owned).to_vec()];
    fits.extend(calibration.fits.iter().map(row));
    if fits.len() > 1 {
        out.push_str("\nErrors on measured kernels that were kept out of the fit\n");
        out.push_str(&aligned(&fits, 1));
    }
    out
}

fn curve_word(curve: &Curve) -> String {
    let mut word = String::new();
    for c in format!("{:?}", curve.operation).chars() {
        if c.is_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.extend(c.to_lowercase());
    }
    word
}

/// The same as JSON.
pub fn catalog_show_json(stamp: &Stamp, shown: &Shown<'_>) -> Value {
    let mut map = Map::new();
    for (path, f) in &shown.figures {
        map.insert(path.clone(), figure(f));
    }
    let mut value = json!({ "name": shown.name, "figures": map });
    if let Some(calibration) = shown.calibration {
        let surface = |s: &SurfaceEntry| {
            json!({
                "operator": word(s.operation), "dtype": s.dtype.word(),
                "origin": s.origin.word(), "source": s.source,
            })
        };
        let curve = |c: &Curve| {
            json!({
                "collective": curve_word(c), "members": c.members, "bytes": c.bytes,
                "seconds": c.seconds, "origin": c.origin.word(), "source": c.source,
            })
        };
        let fit = |f: &FitError| {
            json!({
                "operator": f.operator, "shapes": f.points, "median_error": f.median_error,
                "p90_error": f.p90_error,
            })
        };
        value["chip"] = json!(calibration.chip);
        value["surfaces"] = calibration.surfaces.iter().map(surface).collect();
        value["curves"] = calibration.curves.iter().map(curve).collect();
        value["fits"] = calibration.fits.iter().map(fit).collect();
    }
    stamp.on(value)
}
