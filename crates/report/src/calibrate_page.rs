//! `supernode calibrate`: the errors of a fit, and of a fit carried to another chip.

use crate::json::Stamp;
use crate::table::{aligned, row};
use calibrate::{BlindRow, Calibrated};
use serde_json::{Value, json};

/// How folds are cut, for people.
const FOLDS: &str = "five folds; kept out together: products of one weight matrix, attention of one \
                     head layout, experts of one layer, every fifth size of a collective";

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The report as text.
pub fn calibrate_text(name: &str, chip: &str, base: &str, fits: &Calibrated) -> String {
    let mut out = format!("{name}: measured on `{chip}`, the rest from `{base}`\n\n");
    let mut rows = vec![row(["operator", "shapes", "left out", "median error", "90 % below"])];
    for e in &fits.errors {
        rows.push(vec![
            e.operator.clone(),
            e.points.to_string(),
            e.left_out.to_string(),
            percent(e.median),
            percent(e.p90),
        ]);
    }
    out.push_str(&aligned(&rows, 1));
    out.push_str("\nerror of shapes kept out of the fit, |predicted / measured - 1|\n");
    out.push_str(FOLDS);
    out.push('\n');
    if let Some(fixed_s) = fits.fixed_s {
        out.push_str(&format!("a matrix kernel takes {:.2} us beyond its work\n", fixed_s * 1e6));
    }
    if let Some(start_s) = fits.start_s {
        let us = start_s * 1e6;
        out.push_str(&format!(
            "an expert's product starts {us:.2} us after the last at the least\n"
        ));
    }
    if let Some(copy) = fits.copy {
        out.push_str(&format!("large copies reach {} of the memory bandwidth\n", percent(copy)));
    }
    for (load, (value, low, high)) in &fits.skew {
        out.push_str(&format!(
            "experts under {load} take {value:.2} times as long as balanced ({low:.2} to {high:.2})\n"
        ));
    }
    for fit in fits.surfaces.iter().filter(|f| f.waves.is_some()) {
        let dtype = fit.dtype.word();
        out.push_str(&format!("products in {dtype} run in whole waves of tiles\n"));
    }
    out
}

/// The report as `supernode.calibrate/1`.
pub fn calibrate_json(
    stamp: &Stamp,
    name: &str,
    chip: &str,
    base: &str,
    fits: &Calibrated,
) -> Value {
    let fit = |e: &calibrate::ErrorRow| {
        let terms: serde_json::Map<String, Value> =
            e.terms.iter().map(|(name, factor)| (name.clone(), json!(factor))).collect();
        json!({
            "operator": e.operator,
            "shapes": e.points,
            "left_out": e.left_out,
            "median_error": e.median,
            "p90_error": e.p90,
            "terms": terms,
        })
    };
    let waves = fits.surfaces.iter().filter(|f| f.waves.is_some()).map(|f| f.dtype.word());
    let skew = |(load, (value, low, high)): &(String, (f64, f64, f64))| json!({ "distribution": load, "value": value, "low": low, "high": high });
    let warnings: Vec<&str> = fits.warnings.0.iter().map(|w| w.message.as_str()).collect();
    stamp.on(json!({
        "name": name,
        "chip": chip,
        "base": base,
        "folds": FOLDS,
        "fits": fits.errors.iter().map(fit).collect::<Vec<_>>(),
        "fixed_s": fits.fixed_s,
        "start_s": fits.start_s,
        "memory_efficiency": fits.copy,
        "skew": fits.skew.iter().map(skew).collect::<Vec<_>>(),
        "waves": waves.collect::<Vec<_>>(),
        "warnings": warnings,
    }))
}

/// Errors of a calibration on another chip's kernels, as text.
pub fn blind_text(reference: &str, chip: &str, rows: &[BlindRow]) -> String {
    let mut out = format!("`{chip}` foretold by the calibration `{reference}`, nothing fitted\n\n");
    let head = ["operator", "shapes", "signed median", "median error", "90 % below", "share of"];
    let mut cells = vec![row(head)];
    for r in rows {
        cells.push(vec![
            r.operator.clone(),
            r.points.to_string(),
            format!("{:+.1} %", 100.0 * r.signed_median),
            percent(r.median),
            percent(r.p90),
            r.stand_in.map_or(String::new(), |d| d.word().to_owned()),
        ]);
    }
    out.push_str(&aligned(&cells, 1));
    out.push_str(
        "\npredicted / measured - 1; shares of the roofline carried over, peaks by the data sheet\n",
    );
    out
}

/// The same as `supernode.calibrate-blind/1`.
pub fn blind_json(stamp: &Stamp, reference: &str, chip: &str, rows: &[BlindRow]) -> Value {
    let row = |r: &BlindRow| {
        json!({
            "operator": r.operator,
            "shapes": r.points,
            "signed_median_error": r.signed_median,
            "median_error": r.median,
            "p90_error": r.p90,
            "stand_in": r.stand_in.map(catalog::Dtype::word),
        })
    };
    stamp.on(json!({
        "reference": reference,
        "chip": chip,
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    }))
}
