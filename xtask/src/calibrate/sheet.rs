//! A catalog calibration as written: what was fitted, and what is known or assumed beside it.

use super::chips::Spec;
use calibrate::{Calibrated, Document, Written, expert_start, measured_ratio, quoted, trimmed};
use kernel::Operation;

/// Figures of one file that no fit gives.
pub struct Known {
    /// What was measured.
    pub name: String,
    /// Whether it holds for one machine only.
    pub machine: bool,
    /// Source of what was fitted.
    pub source: &'static str,
    /// Time of a matrix kernel beyond its work.
    pub fixed: Written,
    /// The same of a memory-bound kernel.
    pub fixed_vector: Written,
    /// Share of the bandwidth.
    pub memory: Written,
    /// Token permutation against other memory-bound kernels.
    pub routing: Written,
    /// Clock the machine keeps under load, where its own steps show it.
    pub sustained: Option<Written>,
}

impl Known {
    /// Of a chip by the tables of `AIConfigurator`.
    pub fn of(spec: &Spec, fits: &Calibrated) -> Self {
        let fixed = Written::new(fits.fixed_s.unwrap_or(0.0) * 1e6, "us", "measured", "AIC")
            .note("5th percentile of BF16 products below 2^24 multiply-adds");
        let memory = match fits.copy {
            Some(copy) => Written::new(copy, "", "measured", "AIC").range(0.65, 0.92).note(
                "hyper-connection write of 16,384 tokens and more; ordinary kernels reach less",
            ),
            None => Written::new(0.85, "", "assumed", "judgement").range(0.65, 0.92).note(
                "no memory-bound kernel is measured here; 0.84 to 0.89 on H100, B200 and GB200",
            ),
        };
        Self {
            name: spec.name.to_owned(),
            machine: false,
            source: "AIC",
            fixed_vector: fixed.clone(),
            fixed,
            memory,
            routing: Written::new(0.76, "", "derived", "SIMUMAX")
                .range(0.76 * 0.7, 1.0)
                .note("token permutation against other memory-bound kernels on a B200 machine"),
            sustained: None,
        }
    }
}

/// The file.
pub fn document(spec: &Spec, known: &Known, fits: &Calibrated) -> Document {
    let relatives: Vec<String> =
        if known.machine { Vec::new() } else { spec.relatives.iter().map(|r| quoted(r)).collect() };
    let mut head = vec![
        ("name", quoted(&known.name)),
        ("chip", quoted(spec.id)),
        ("family", quoted(spec.family)),
        ("relatives", format!("[{}]", relatives.join(", "))),
        ("machine", known.machine.to_string()),
    ];
    head.extend(known.sustained.iter().map(|f| ("sustained", f.text())));
    let mut peaks = vec![
        ("memory".to_owned(), quoted(&format!("{} TB/s", trimmed(spec.memory / 1e12, 4)))),
        ("link".to_owned(), quoted(&format!("{} GB/s", trimmed(spec.link / 1e9, 1)))),
    ];
    for (dtype, peak) in spec.peaks {
        let text = format!("{} TFLOP/s", trimmed(peak / 1e12, 4));
        peaks.push((dtype.word().to_owned(), quoted(&text)));
    }
    let vector = Written::new(0.8, "", "assumed", "judgement")
        .range(0.5, 0.95)
        .note("vector-bound kernels are not measured");
    let pair = |key: &str, figure: &Written| (key.to_owned(), figure.text());
    let mut fixed = vec![pair("matrix", &known.fixed), pair("vector", &known.fixed_vector)];
    fixed.extend(fits.start_s.map(|s| expert_start(s, known.source)));
    let skew = |(load, (value, low, high)): &(String, (f64, f64, f64))| {
        let figure = Written::new(*value, "", "measured", "AIC")
            .range(*low, *high)
            .note("BF16 experts of one rank against a balanced load; 10th to 90th percentile");
        (quoted(load), figure.text())
    };
    Document {
        comment: [
            "Written by `cargo xtask calibrate`; do not edit. Efficiencies are shares of the roofline",
            "max(FLOPs / peak, bytes / bandwidth), after the fixed time; errors are of five-fold",
            "cross-validation in blocks: shapes that are nearly the same are kept out together.",
        ]
        .map(str::to_owned)
        .to_vec(),
        head,
        tables: vec![
            ("peaks", peaks),
            ("fixed", fixed),
            (
                "memory",
                vec![
                    pair("efficiency", &known.memory),
                    pair("vector", &vector),
                    pair("routing", &known.routing),
                ],
            ),
            ("backward", backward(spec, fits)),
            ("skew", fits.skew.iter().map(skew).collect()),
            ("range", range()),
        ],
        source: known.source.to_owned(),
        known: if known.machine { Vec::new() } else { attention(spec) },
    }
}

/// How attention is known where the kernels of training were measured.
fn attention(spec: &Spec) -> Vec<calibrate::Known> {
    let Some((chip, peaks)) = spec.training else { return Vec::new() };
    let surface = |operation, source: &str| calibrate::Known {
        operation,
        origin: if peaks == 1.0 { "measured" } else { "derived" },
        source: source.to_owned(),
        note: Some(format!("the kernels of training, measured on {chip}")),
    };
    let chips: Vec<&str> = spec.gathered.iter().map(|(chip, _)| *chip).collect();
    let gathered = |operation| calibrate::Known {
        note: Some(format!("kernels that gather keys, measured on {}", chips.join(" and "))),
        ..surface(operation, "CUDNN")
    };
    vec![
        surface(Operation::Attention, "CUDNN, AIC"),
        surface(Operation::AttentionBackward, "CUDNN"),
        gathered(Operation::Gathered),
        gathered(Operation::GatheredBackward),
    ]
}

fn backward(spec: &Spec, fits: &Calibrated) -> Vec<(String, String)> {
    let layout = |value: f64, low: f64, high: f64| {
        if spec.family == "blackwell" {
            Written::new(value, "", "derived", "SIMUMAX")
                .range(low, high)
                .note("only the forward layout is measured here; as on another B200 machine")
        } else {
            Written::new(1.0, "", "assumed", "judgement")
                .range(low, 1.05)
                .note("only the forward layout is measured; the range is that of a B200 machine")
        }
    };
    let known = [
        ("data_gradient", layout(1.0, 0.88, 1.13)),
        ("weight_gradient", layout(0.95, 0.83, 1.16)),
        ("grouped_weight_gradient", layout(0.83, 0.64, 0.9)),
        ("attention", spec.attention()),
    ];
    let figure = |(i, (key, known)): (usize, (&str, Written))| {
        let written = fits.backward[i].map_or(known, |r| measured_ratio(r, "SIMUMAX"));
        (key.to_owned(), written.text())
    };
    known.into_iter().enumerate().map(figure).collect()
}

fn range() -> Vec<(String, String)> {
    [
        ("value", "1"),
        ("low", "0.88"),
        ("high", "1.19"),
        ("origin", "measured"),
        ("source", "LEDGER"),
        (
            "note",
            "measured over predicted step of chips with kernels of their own, 5th to 95th \
             percentile of the ledger",
        ),
    ]
    .map(|(key, value)| (key.to_owned(), quoted(value)))
    .to_vec()
}
