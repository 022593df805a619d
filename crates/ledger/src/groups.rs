//! Errors by machine, chip, kind of model and what a step is spent on besides kernels.

use crate::{Row, Status};
use std::collections::BTreeMap;

/// Errors of the full rows that share a property.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Which property: `chip`, `model`, `machine`, `effect`.
    pub property: &'static str,
    /// Its value.
    pub value: String,
    /// Rows.
    pub rows: usize,
    /// Mean of |error|.
    pub mean_abs_error: f64,
    /// Mean error; positive is predicted slower than measured.
    pub mean_signed_error: f64,
    /// Share of measured steps inside the predicted interval.
    pub coverage: f64,
}

/// Parts of a step that are no kernel's own time.
const EFFECTS: [&str; 10] = [
    "launch gaps",
    "tensor exposed",
    "context exposed",
    "expert exposed",
    "shard exposed",
    "contention",
    "host exposed",
    "pipeline exposed",
    "pipeline bubble",
    "data exposed",
];

/// An effect counts for a row from this share of its predicted step.
const SHARE: f64 = 0.1;

/// Every group over the replayed full rows, by property and value. A row counts under each effect
/// that takes a tenth of its predicted step or more, and under `kernels only` if none does.
pub fn groups(rows: &[Row]) -> Vec<Group> {
    let mut all: BTreeMap<(&'static str, String), Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.is_full() && r.status == Status::Replayed) {
        let chip = row.accelerator.split([' ', ';', '(']).next().unwrap_or_default().to_owned();
        all.entry(("chip", chip)).or_default().push(row);
        let kind = if row.experts { "routed experts" } else { "dense" };
        all.entry(("model", kind.to_owned())).or_default().push(row);
        let machine = if row.machine.is_empty() { "other" } else { &row.machine };
        all.entry(("machine", machine.to_owned())).or_default().push(row);
        for effect in effects(row) {
            all.entry(("effect", effect.to_owned())).or_default().push(row);
        }
    }
    all.into_iter().map(|((property, value), rows)| group(property, value, &rows)).collect()
}

fn effects(row: &Row) -> Vec<&'static str> {
    let step: f64 = row.parts.iter().map(|p| p.1).sum();
    let large = |effect: &&str| {
        row.parts.iter().any(|(part, seconds)| part == effect && *seconds >= SHARE * step)
    };
    let found: Vec<&str> = EFFECTS.iter().copied().filter(large).collect();
    if found.is_empty() { vec!["kernels only"] } else { found }
}

fn group(property: &'static str, value: String, rows: &[&Row]) -> Group {
    let errors: Vec<f64> = rows.iter().filter_map(|r| r.signed_error).collect();
    let count = errors.len().max(1) as f64;
    let inside = rows.iter().filter(|r| r.covered() == Some(true)).count();
    Group {
        property,
        value,
        rows: errors.len(),
        mean_abs_error: errors.iter().map(|e| e.abs()).sum::<f64>() / count,
        mean_signed_error: errors.iter().sum::<f64>() / count,
        coverage: inside as f64 / count,
    }
}
