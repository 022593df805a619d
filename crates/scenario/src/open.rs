//! A scenario whose plan is to be found: what its `[plan]` fixes, and the rest.

use crate::files::{Files, ReadFile};
use crate::load::{Loaded, load, load_as};
use crate::overrides::apply;
use diagnostic::Diagnostics;
use toml_edit::{DocumentMut, Item, Value};

/// A scenario for the planner.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// The scenario; with an open plan its jobs carry a stand-in that says only what is not searched
    /// (overlap, graphs, ..) and may be illegal.
    pub loaded: Loaded,
    /// What an open `[plan]` fixes: `(key, values as TOML)`; empty for a complete plan, which is the
    /// plan in use today and fixes nothing.
    pub fixed: Vec<(String, Vec<String>)>,
    /// Whether the plan is complete.
    pub complete: bool,
}

/// Keys that the planner searches and that can be fixed, as a plan writes them.
pub const SEARCHED: [&str; 15] = [
    "tensor",
    "context",
    "pipeline",
    "virtual_pipeline",
    "data",
    "expert",
    "expert_tensor",
    "expert_data",
    "micro_batch",
    "sequence_parallel",
    "zero",
    "schedule",
    "recompute",
    "pipeline_innermost",
    "stage_blocks",
];

/// Keys without which a plan is open, and what stands in for them.
const STAND_IN: [(&str, &str); 8] = [
    ("tensor", "1"),
    ("context", "1"),
    ("pipeline", "1"),
    ("expert", "1"),
    ("zero", "0"),
    ("micro_batch", "1"),
    ("schedule", "\"1f1b\""),
    ("recompute", "\"none\""),
];

/// Reads a scenario for the planner. Its `[plan]` is complete, or open: with keys missing or with lists
/// of degrees (`pipeline = [4, 8, 16]`), whose keys then narrow the search.
///
/// # Errors
/// As [`crate::load`].
pub fn open(
    file: &str,
    text: &str,
    overrides: &[(String, String)],
    read_file: &ReadFile<'_>,
) -> Result<Opened, Diagnostics> {
    let shown = apply(file, text, overrides)?;
    let Ok(mut document) = shown.parse::<DocumentMut>() else {
        let loaded = load(file, text, overrides, read_file)?;
        return Ok(Opened { loaded, fixed: Vec::new(), complete: true });
    };
    let table = document.entry("plan").or_insert_with(|| Item::Table(toml_edit::Table::new()));
    let Some(table) = table.as_table_like_mut() else {
        let loaded = load(file, text, overrides, read_file)?;
        return Ok(Opened { loaded, fixed: Vec::new(), complete: true });
    };
    let several = |key: &str, item: &Item| {
        !matches!(key, "recompute" | "overlap" | "stage_blocks") && item.is_array()
    };
    let complete = STAND_IN.iter().all(|(key, _)| table.contains_key(key))
        && table.iter().all(|(key, item)| !several(key, item));
    if complete {
        let loaded = load(file, text, overrides, read_file)?;
        return Ok(Opened { loaded, fixed: Vec::new(), complete });
    }
    let mut fixed = Vec::new();
    for key in SEARCHED {
        let Some(item) = table.remove(key) else { continue };
        let values = match item.as_array() {
            Some(array) if several(key, &item) => {
                array.iter().map(|value| value.to_string().trim().to_owned()).collect()
            }
            _ => vec![item.to_string().trim().to_owned()],
        };
        fixed.push((key.to_owned(), values));
    }
    for (key, value) in STAND_IN {
        let value = value.parse::<Value>().unwrap_or_else(|_| Value::from(value));
        table.insert(key, Item::Value(value));
    }
    document.remove("stage");
    let loaded =
        load_as(file, document.to_string(), Files::new(file, overrides, read_file), false)?;
    Ok(Opened { loaded: Loaded { text: shown, ..loaded }, fixed, complete })
}
