//! One figure of a TOML file: a quantity with range, origin and source.
//!
//! ```toml
//! memory = { value = "144 GB", low = "96 GB", origin = "vendor", source = "950WP" }
//! ```

use crate::source::{source, source_keys};
use crate::toml_reader::{Item, Table};
use diagnostic::{Diagnostic, nearest};
use std::ops::RangeInclusive;
use units::{Figure, Origin, Unit, format_quantity};

/// What a share may be.
pub const SHARE: RangeInclusive<f64> = 0.0..=1.0;
/// What divides something may be: above zero, and small enough that products stay finite.
pub const POSITIVE: RangeInclusive<f64> = 1e-18..=1e30;
/// What may also be nothing, such as a latency.
pub const NOT_NEGATIVE: RangeInclusive<f64> = 0.0..=1e30;

/// Reads an item as a figure of `unit` whose value, low and high lie in `limits`.
///
/// `value`, `origin` and `source` are required; without `low` or `high` the value is taken as
/// undisputed on that side. A `derived` or `assumed` figure also needs a `note` that says from what
/// or why. The figure's `source` becomes `KEY` or `KEY: note`; [`crate::cited`] takes it apart.
pub fn parse(item: Item<'_>, unit: Unit, limits: &RangeInclusive<f64>) -> Option<Figure> {
    let path = item.path().to_owned();
    let mut table = item.into_table()?;
    let value = table.take_quantity("value", unit, limits);
    let low = bound(&mut table, "low", unit, limits, value);
    let high = bound(&mut table, "high", unit, limits, value);
    let origin = table.take_str("origin");
    let origin = origin.and_then(|word| known_origin(&table, &word));
    let source = parse_source(&mut table, origin);
    let range = check_order(&table, &path, unit, (low, value, high));
    table.finish();
    Some(Figure::ranged(value?, range?, unit, origin?, source?))
}

/// The quantity if the key is there, else the value itself.
fn bound(
    table: &mut Table<'_>,
    key: &str,
    unit: Unit,
    limits: &RangeInclusive<f64>,
    value: Option<f64>,
) -> Option<f64> {
    if table.has(key) { table.take_quantity(key, unit, limits) } else { value }
}

/// `(low, high)` if they hold the value.
fn check_order(
    table: &Table<'_>,
    path: &str,
    unit: Unit,
    (low, value, high): (Option<f64>, Option<f64>, Option<f64>),
) -> Option<(f64, f64)> {
    let (low, value, high) = (low?, value?, high?);
    let show = |v| format_quantity(v, unit);
    if low > value {
        let message = format!("`{path}`: low {} is above value {}", show(low), show(value));
        table.reject("low", "catalog::range", message, "low <= value <= high");
    }
    if high < value {
        let message = format!("`{path}`: high {} is below value {}", show(high), show(value));
        table.reject("high", "catalog::range", message, "low <= value <= high");
    }
    (low <= value && value <= high).then_some((low, high))
}

fn known_origin(table: &Table<'_>, word: &str) -> Option<Origin> {
    let origin = Origin::from_word(word);
    if origin.is_none() {
        let message = format!("`{word}` is not an origin");
        let hint = "one of `measured`, `vendor`, `derived`, `assumed`";
        table.reject("origin", "catalog::word", message, hint);
    }
    origin
}

/// `KEY` or `KEY, KEY: note`, each key known, the note there where the origin needs one.
fn parse_source(table: &mut Table<'_>, origin: Option<Origin>) -> Option<String> {
    let keys = table.take_str("source");
    let note = if table.has("note") { table.take_str("note") } else { None };
    let needs_note = matches!(origin, Some(Origin::Derived | Origin::Assumed));
    if needs_note && note.as_deref().is_none_or(|n| n.trim().is_empty()) {
        table.report(
            Diagnostic::error("catalog::note", "a derived or assumed figure needs a `note`")
                .hint("say from what it follows, or why it is believed"),
            table.span(),
        );
        return None;
    }
    let keys = keys?;
    for key in keys.split(',').map(str::trim).filter(|key| !is_address(key)) {
        if source(key).is_none() {
            let hint = match nearest(key, source_keys()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a key of `catalog/sources.toml`, or an https address".to_owned(),
            };
            table.reject("source", "catalog::source", format!("no source `{key}`"), hint);
            return None;
        }
    }
    Some(match note {
        Some(note) => format!("{keys}: {note}"),
        None => keys,
    })
}

/// A user's own file may name an address instead of a key.
fn is_address(key: &str) -> bool {
    key.starts_with("https://") || key.starts_with("http://")
}
