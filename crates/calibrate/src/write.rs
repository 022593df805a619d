//! The text of a calibration file.

use crate::collectives::Measured;
use crate::fitting::{Calibrated, ErrorRow, SurfaceFit, word};
use kernel::Operation;
use std::fmt::Write as _;

/// A figure as written.
#[derive(Clone, Debug)]
pub struct Written {
    value: f64,
    range: Option<(f64, f64)>,
    unit: &'static str,
    origin: &'static str,
    source: String,
    note: Option<String>,
}

impl Written {
    /// A figure without range or note.
    pub fn new(value: f64, unit: &'static str, origin: &'static str, source: &str) -> Self {
        Self { value, range: None, unit, origin, source: source.to_owned(), note: None }
    }

    /// With a range.
    #[must_use]
    pub fn range(mut self, low: f64, high: f64) -> Self {
        self.range = Some((low, high));
        self
    }

    /// With a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// As an inline table.
    pub fn text(&self) -> String {
        let quantity = |v: f64| quoted(format!("{} {}", trimmed(v, 3), self.unit).trim_end());
        let mut text = format!("{{ value = {}", quantity(self.value));
        if let Some((low, high)) = self.range {
            let _ = write!(text, ", low = {}, high = {}", quantity(low), quantity(high));
        }
        let _ = write!(text, ", origin = \"{}\", source = {}", self.origin, quoted(&self.source));
        if let Some(note) = &self.note {
            let _ = write!(text, ", note = {}", quoted(note));
        }
        text + " }"
    }
}

/// Least time from one expert's product to the next, as a row of the `[fixed]` table.
pub fn expert_start(seconds: f64, source: &str) -> (String, String) {
    let note = "the least measured; rows an expert from there down take no less";
    ("expert".to_owned(), Written::new(seconds * 1e6, "us", "measured", source).note(note).text())
}

/// A whole file.
#[derive(Clone, Debug)]
pub struct Document {
    /// Comment at the top, one line each.
    pub comment: Vec<String>,
    /// Keys of the head with their values as TOML text, in order.
    pub head: Vec<(&'static str, String)>,
    /// Tables of the head: name, then keys with their values as TOML text.
    pub tables: Vec<(&'static str, Vec<(String, String)>)>,
    /// Source of surfaces and curves.
    pub source: String,
    /// Surfaces known otherwise.
    pub known: Vec<Known>,
}

/// How a surface is known.
#[derive(Clone, Debug)]
pub struct Known {
    /// Of which operation, in all formats.
    pub operation: Operation,
    /// Word of the origin.
    pub origin: &'static str,
    /// Source.
    pub source: String,
    /// What a reader must know of it.
    pub note: Option<String>,
}

impl Document {
    /// The file with everything that was fitted.
    pub fn text(&self, fits: &Calibrated) -> String {
        let mut out = String::new();
        for line in &self.comment {
            let _ = writeln!(out, "# {line}");
        }
        for (key, value) in &self.head {
            let _ = writeln!(out, "{key} = {value}");
        }
        for (name, keys) in self.tables.iter().filter(|(_, keys)| !keys.is_empty()) {
            let _ = writeln!(out, "\n[{name}]");
            for (key, value) in keys {
                let _ = writeln!(out, "{key} = {value}");
            }
        }
        for fit in &fits.surfaces {
            let known = self.known.iter().find(|k| k.operation == fit.operation);
            surface(&mut out, fit, &self.source, known);
        }
        for curve in &fits.curves {
            collective(&mut out, curve, &self.source);
        }
        for row in &fits.errors {
            error(&mut out, row);
        }
        out
    }
}

fn surface(out: &mut String, fit: &SurfaceFit, source: &str, known: Option<&Known>) {
    let axis = |nodes: &Vec<f64>| {
        let nodes: Vec<String> = nodes.iter().map(|n| trimmed(*n, 1)).collect();
        format!("[{}]", nodes.join(", "))
    };
    let axes: Vec<String> = fit.fitted.axes.iter().map(axis).collect();
    let _ = write!(
        out,
        "\n[[surface]]\noperator = \"{}\"\ndtype = \"{}\"\norigin = \"{}\"\nsource = {}\n",
        word(fit.operation),
        fit.dtype.word(),
        known.map_or("measured", |k| k.origin),
        quoted(known.map_or(source, |k| &k.source))
    );
    if let Some(note) = known.and_then(|k| k.note.as_ref()) {
        let _ = writeln!(out, "note = {}", quoted(note));
    }
    if let Some(waves) = fit.waves {
        let [a, b] = waves.tile;
        let _ = writeln!(out, "waves = {{ cores = {:.1}, tile = [{a:.1}, {b:.1}] }}", waves.cores);
    }
    let _ = writeln!(out, "axes = [\n    {},\n]\nefficiency = [", axes.join(",\n    "));
    for line in fit.fitted.solution.values.chunks(fit.fitted.axes[2].len()) {
        let line: Vec<String> = line.iter().map(|v| trimmed(*v, 6)).collect();
        let _ = writeln!(out, "    {},", line.join(", "));
    }
    out.push_str("]\n");
}

/// The `[[collective]]` table, over the sizes that every group has.
pub fn collective(out: &mut String, curve: &Measured, source: &str) {
    let sizes = curve.sizes();
    let list = |items: Vec<String>| items.join(", ");
    let _ = write!(
        out,
        "\n[[collective]]\noperation = \"{}\"\norigin = \"measured\"\nsource = {}\n\
         members = [{}]\nbytes = [{}]\ntime_us = [\n",
        curve.operation,
        quoted(source),
        list(curve.times_us.keys().map(u64::to_string).collect()),
        list(sizes.iter().map(u64::to_string).collect()),
    );
    for times in curve.times_us.values() {
        let row = sizes.iter().filter_map(|s| times.get(s)).map(|t| trimmed(*t, 2)).collect();
        let _ = writeln!(out, "    {},", list(row));
    }
    out.push_str("]\n");
}

fn error(out: &mut String, row: &ErrorRow) {
    let _ = write!(
        out,
        "\n[[fit]]\noperator = {}\npoints = {}\nmedian_error = {}\np90_error = {}\n",
        quoted(&row.operator),
        row.points,
        trimmed(row.median, 4),
        trimmed(row.p90, 4)
    );
    if !row.terms.is_empty() {
        let term = |(name, factor): &(String, f64)| format!("{} = {:.4}", quoted(name), factor);
        let terms: Vec<String> = row.terms.iter().map(term).collect();
        let _ = writeln!(out, "terms = {{ {} }}", terms.join(", "));
    }
}

/// A string of TOML.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// At most `decimals` decimals, no trailing zeros.
pub fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
