//! A user's own calibration: what was measured, before the catalog's for the rest.

use crate::fitting::{Calibrated, Ratio};
use crate::write::{Document, Written, expert_start, quoted, trimmed};
use catalog::Chip;
use kernel::Calibration;

/// The file of a user's machine: `base` is the catalog's calibration that serves the chip.
pub fn document(
    name: &str,
    chip: &Chip,
    link: f64,
    base: &Calibration,
    fits: &Calibrated,
    source: &str,
) -> Document {
    let head = vec![("name", quoted(name)), ("base", quoted(&base.id)), ("chip", quoted(&chip.id))];
    let mut peaks = vec![(
        "memory".to_owned(),
        quoted(&format!("{} TB/s", trimmed(chip.memory_bandwidth.value / 1e12, 4))),
    )];
    if link > 0.0 {
        peaks.push(("link".to_owned(), quoted(&format!("{} GB/s", trimmed(link / 1e9, 1)))));
    }
    for (dtype, peak) in &chip.matrix {
        let text = format!("{} TFLOP/s", trimmed(peak.value / 1e12, 4));
        peaks.push((dtype.word().to_owned(), quoted(&text)));
    }
    let mut tables = vec![("peaks", peaks)];
    if let Some(fixed_s) = fits.fixed_s {
        let figure = Written::new(fixed_s * 1e6, "us", "measured", source).text();
        let vector = fixed_s.max(base.fixed_vector.value);
        let vector = Written::new(vector * 1e6, "us", base.fixed_vector.origin.word(), &base.id);
        let mut fixed = vec![("matrix".to_owned(), figure), ("vector".to_owned(), vector.text())];
        fixed.extend(fits.start_s.map(|s| expert_start(s, source)));
        tables.push(("fixed", fixed));
    }
    if let Some(copy) = fits.copy {
        let known = &base.memory.efficiency;
        let figure = Written::new(copy.min(1.0), "", "measured", source)
            .range(known.low.min(copy), known.high.max(copy).min(1.0))
            .note("large hyper-connection writes; ordinary kernels reach less");
        tables.push(("memory", vec![("efficiency".to_owned(), figure.text())]));
    }
    tables.push(("backward", backward(base, fits, source)));
    let skew = |(load, (value, low, high)): &(String, (f64, f64, f64))| {
        let figure = Written::new(*value, "", "measured", source).range(*low, *high);
        (quoted(load), figure.text())
    };
    tables.push(("skew", fits.skew.iter().map(skew).collect()));
    Document {
        comment: vec![
            "Written by `supernode calibrate`. Efficiencies are shares of the roofline".to_owned(),
            "max(FLOPs / peak, bytes / bandwidth), after the fixed time; errors are of five-fold"
                .to_owned(),
            format!("cross-validation in blocks. What is not here is read from `{}`.", base.id),
        ],
        head,
        tables,
        source: source.to_owned(),
        known: Vec::new(),
    }
}

fn backward(base: &Calibration, fits: &Calibrated, source: &str) -> Vec<(String, String)> {
    if fits.backward.iter().all(Option::is_none) {
        return Vec::new();
    }
    let known = &base.backward;
    let figures = [
        ("data_gradient", &known.data_gradient),
        ("weight_gradient", &known.weight_gradient),
        ("grouped_weight_gradient", &known.grouped_weight_gradient),
        ("attention", &known.attention),
    ];
    let text = |(i, (key, figure)): (usize, &(&str, &units::Figure))| {
        let written = match fits.backward[i] {
            Some(ratio) => measured_ratio(ratio, source),
            None => Written::new(figure.value, "", figure.origin.word(), &figure.source)
                .range(figure.low, figure.high),
        };
        ((*key).to_owned(), written.text())
    };
    figures.iter().enumerate().map(text).collect()
}

/// A share of the forward rate as written.
pub fn measured_ratio((value, low, high, kernels): Ratio, source: &str) -> Written {
    Written::new(value, "", "measured", source)
        .range(low, high)
        .note(format!("median of {kernels} kernels against the surface; 10th to 90th percentile"))
}
