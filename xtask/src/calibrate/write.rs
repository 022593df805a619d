//! Writes a calibration file.

use super::chips::Spec;
use super::fit::Fitted;
use anyhow::{Context, Result};
use catalog::Dtype;
use std::fmt::Write as _;
use std::path::Path;

/// A figure as written.
#[derive(Clone)]
pub struct Figure {
    value: f64,
    range: Option<(f64, f64)>,
    unit: &'static str,
    origin: &'static str,
    source: &'static str,
    note: Option<String>,
}

impl Figure {
    /// A figure without range or note.
    pub fn new(value: f64, unit: &'static str, origin: &'static str, source: &'static str) -> Self {
        Self { value, range: None, unit, origin, source, note: None }
    }

    /// With a range.
    pub fn range(mut self, low: f64, high: f64) -> Self {
        self.range = Some((low, high));
        self
    }

    /// With a note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    fn text(&self) -> String {
        let quantity = |v: f64| format!("\"{} {}\"", trimmed(v, 3), self.unit).replace(" \"", "\"");
        let mut text = format!("{{ value = {}", quantity(self.value));
        if let Some((low, high)) = self.range {
            let _ = write!(text, ", low = {}, high = {}", quantity(low), quantity(high));
        }
        let _ = write!(text, ", origin = \"{}\", source = \"{}\"", self.origin, self.source);
        if let Some(note) = &self.note {
            let _ = write!(text, ", note = \"{note}\"");
        }
        text + " }"
    }
}

/// Everything of one file.
pub struct Sheet {
    pub spec: &'static Spec,
    pub name: String,
    pub machine: bool,
    pub fixed: Figure,
    pub fixed_vector: Figure,
    pub memory: Figure,
    pub routing: Figure,
    pub data_gradient: Figure,
    pub weight_gradient: Figure,
    pub grouped_weight_gradient: Figure,
    pub attention_backward: Figure,
    pub skew: Vec<(&'static str, (f64, f64, f64))>,
    pub surfaces: Vec<(&'static str, Dtype, Fitted)>,
    pub source: &'static str,
    pub curves: Vec<super::collectives::Measured>,
}

impl Sheet {
    /// A sheet without surfaces.
    pub fn new(spec: &'static Spec, fixed: Figure) -> Self {
        let layout = |value: f64, low: f64, high: f64| {
            if spec.family == "blackwell" {
                Figure::new(value, "", "derived", "SIMUMAX")
                    .range(low, high)
                    .note("only the forward layout is measured here; as on another B200 machine")
            } else {
                Figure::new(1.0, "", "assumed", "judgement").range(low, 1.05).note(
                    "only the forward layout is measured; the range is that of a B200 machine",
                )
            }
        };
        Self {
            spec,
            name: spec.name.to_owned(),
            machine: false,
            fixed_vector: fixed.clone(),
            fixed,
            routing: borrowed(0.76, "token permutation"),
            memory: Figure::new(0.85, "", "assumed", "judgement").range(0.65, 0.92).note(
                "no memory-bound kernel is measured here; 0.84 to 0.89 on H100, B200 and GB200",
            ),
            data_gradient: layout(1.0, 0.88, 1.13),
            weight_gradient: layout(0.95, 0.83, 1.16),
            grouped_weight_gradient: layout(0.83, 0.64, 0.9),
            attention_backward: spec.attention(),
            skew: Vec::new(),
            surfaces: Vec::new(),
            source: "AIC",
            curves: Vec::new(),
        }
    }

    /// Adds a surface if there is one, and prints its errors.
    pub fn add(&mut self, operator: &'static str, dtype: Dtype, fitted: Option<Fitted>) {
        if let Some(fitted) = fitted {
            let (median, p90) = fitted.errors;
            eprintln!(
                "{:14} {operator:14} {:5} {:6} kernels  median {:5.1} %  p90 {:5.1} %",
                if self.machine { "machine" } else { self.spec.id },
                dtype.word(),
                fitted.points,
                100.0 * median,
                100.0 * p90
            );
            self.surfaces.push((operator, dtype, fitted));
        }
    }
}

fn borrowed(share: f64, what: &str) -> Figure {
    Figure::new(share, "", "derived", "SIMUMAX")
        .range(share * 0.7, 1.0)
        .note(format!("{what} against other memory-bound kernels on a B200 machine"))
}

/// Writes the file.
pub fn write(path: &Path, sheet: &Sheet) -> Result<()> {
    let mut out = String::new();
    head(&mut out, sheet);
    for (operator, dtype, fitted) in &sheet.surfaces {
        surface(&mut out, sheet, operator, *dtype, fitted);
    }
    for curve in &sheet.curves {
        out.push_str(&curve.text(sheet.source));
    }
    for (operator, dtype, fitted) in &sheet.surfaces {
        let (median, p90) = fitted.errors;
        let _ = write!(
            out,
            "\n[[fit]]\noperator = \"{operator} {}\"\npoints = {}\nmedian_error = {}\np90_error = {}\n",
            dtype.word(),
            fitted.points,
            trimmed(median, 4),
            trimmed(p90, 4)
        );
    }
    std::fs::write(path, out).with_context(|| path.display().to_string())
}

fn head(out: &mut String, sheet: &Sheet) {
    let spec = sheet.spec;
    let relatives: Vec<String> = if sheet.machine {
        Vec::new()
    } else {
        spec.relatives.iter().map(|r| format!("\"{r}\"")).collect()
    };
    let _ = write!(
        out,
        "# Written by `cargo xtask calibrate`; do not edit. Efficiencies are shares of the roofline\n\
         # max(FLOPs / peak, bytes / bandwidth), after the fixed time; errors are of five-fold\n\
         # cross-validation.\n\
         name = \"{}\"\nchip = \"{}\"\nfamily = \"{}\"\nrelatives = [{}]\nmachine = {}\n\n[peaks]\n\
         memory = \"{} TB/s\"\nlink = \"{} GB/s\"\n",
        sheet.name,
        spec.id,
        spec.family,
        relatives.join(", "),
        sheet.machine,
        trimmed(spec.memory / 1e12, 4),
        trimmed(spec.link / 1e9, 1)
    );
    for (dtype, peak) in spec.peaks {
        let _ = writeln!(out, "{} = \"{} TFLOP/s\"", dtype.word(), trimmed(peak / 1e12, 4));
    }
    let range = Figure::new(1.0, "", "measured", "LEDGER")
        .range(0.86, 1.2)
        .note("measured over predicted step of chips with kernels of their own, 5th to 95th percentile of the ledger: 0.85 to 1.16, and what one B200 machine differs from another");
    let vector = Figure::new(0.8, "", "assumed", "judgement")
        .range(0.5, 0.95)
        .note("vector-bound kernels are not measured");
    let lines = [
        ("\n[fixed]\nmatrix", &sheet.fixed),
        ("vector", &sheet.fixed_vector),
        ("\n[memory]\nefficiency", &sheet.memory),
        ("vector", &vector),
        ("routing", &sheet.routing),
        ("\n[backward]\ndata_gradient", &sheet.data_gradient),
        ("weight_gradient", &sheet.weight_gradient),
        ("grouped_weight_gradient", &sheet.grouped_weight_gradient),
        ("attention", &sheet.attention_backward),
    ];
    for (key, figure) in lines {
        let _ = writeln!(out, "{key} = {}", figure.text());
    }
    if !sheet.skew.is_empty() {
        out.push_str("\n[skew]\n");
    }
    for (name, (value, low, high)) in &sheet.skew {
        let figure = Figure::new(*value, "", "measured", "AIC")
            .range(*low, *high)
            .note("BF16 experts of one rank against a balanced load; 10th to 90th percentile");
        let _ = writeln!(out, "\"{name}\" = {}", figure.text());
    }
    let text = range.text();
    let _ = writeln!(
        out,
        "\n[range]\n{}",
        text[2..text.len() - 2]
            .replace(", low", "\nlow")
            .replace(", high", "\nhigh")
            .replace(", origin", "\norigin")
            .replace(", source", "\nsource")
            .replace(", note", "\nnote")
    );
}

fn surface(out: &mut String, sheet: &Sheet, operator: &str, dtype: Dtype, fitted: &Fitted) {
    let axis = |nodes: &[f64]| {
        let nodes: Vec<String> = nodes.iter().map(|n| trimmed(*n, 1)).collect();
        format!("[{}]", nodes.join(", "))
    };
    let axes: Vec<String> = fitted.axes.iter().map(|a| axis(a)).collect();
    let _ = write!(
        out,
        "\n[[surface]]\noperator = \"{operator}\"\ndtype = \"{}\"\norigin = \"measured\"\n\
         source = \"{}\"\naxes = [\n    {},\n]\nefficiency = [\n",
        dtype.word(),
        sheet.source,
        axes.join(",\n    ")
    );
    let depth = fitted.axes[2].len();
    for line in fitted.values.chunks(depth) {
        let line: Vec<String> = line.iter().map(|v| trimmed(*v, 6)).collect();
        let _ = writeln!(out, "    {},", line.join(", "));
    }
    out.push_str("]\n");
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
