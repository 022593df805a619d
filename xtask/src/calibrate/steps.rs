//! `cargo xtask calibrate steps`: what of the machine only whole steps show, fitted to the ledger.
//!
//! A handful of figures of stacks and chips cannot be seen in a kernel run alone: the host's time to
//! launch, the traffic of a framework's own kernels, the clock kept for minutes. Each is fitted to the
//! rows of its group by the mean |error|, on all rows, and on every other row with the error on the
//! rows left out. The figures are printed, and written into the catalog by hand with their range.

use anyhow::{Result, anyhow};
use engine::estimate;
use ledger::Prepared;

/// A group of rows and the figures that are fitted to it together.
struct Fit {
    /// Beginnings of family and chip, with `|` between them.
    rows: &'static str,
    /// Only rows of this software stack, if named.
    stack: &'static str,
    figures: &'static [&'static str],
}

impl Fit {
    fn takes(&self, row: &Prepared) -> bool {
        self.rows.split('|').any(|rows| row.family_chip.starts_with(rows))
            && (self.stack.is_empty() || row.machine.stack.id == self.stack)
    }
}

const FITS: [Fit; 10] = [
    Fit {
        rows: "vtrain-single",
        stack: "",
        figures: &["stack.launch", "stack.collective_launch", "stack.traffic", "stack.step"],
    },
    Fit { rows: "nvidia-bridge", stack: "megatron-core", figures: &["stack.launch"] },
    Fit {
        rows: "other-training H100",
        stack: "llm-foundry",
        figures: &["stack.attention.hopper", "stack.traffic"],
    },
    Fit { rows: "nvidia-bridge B200", stack: "", figures: &["chip.sustained"] },
    Fit { rows: "simumax", stack: "", figures: &["chip.sustained"] },
    Fit {
        rows: "nvidia-bridge GB200|other-training GB200",
        stack: "",
        figures: &["chip.sustained"],
    },
    Fit { rows: "other-training H100|nvidia-bridge H100", stack: "", figures: &["chip.sustained"] },
    Fit {
        rows: "other-training H200|llama-torchtitan H200",
        stack: "",
        figures: &["chip.sustained"],
    },
    Fit { rows: "llama-torchtitan H100", stack: "", figures: &["chip.sustained"] },
    Fit {
        rows: "other-training A100|megatron-papers A100",
        stack: "",
        figures: &["chip.sustained"],
    },
];

/// Runs the command.
pub fn run() -> Result<()> {
    let mut rows = Vec::new();
    for (name, text) in ledger::shipped() {
        rows.extend(ledger::prepare(name, text).map_err(|d| anyhow!("{name}: {d:?}"))?);
    }
    for fit in &FITS {
        let chosen: Vec<&Prepared> = rows.iter().filter(|r| fit.takes(r)).collect();
        let halves = [0, 1]
            .map(|odd| chosen.iter().copied().skip(odd).step_by(2).collect::<Vec<&Prepared>>());
        let (whole, error) = fitted(&chosen, fit.figures)?;
        let mut kept_out = 0.0;
        for (seen, unseen) in [(0, 1), (1, 0)] {
            let (values, _) = fitted(&halves[seen], fit.figures)?;
            kept_out += 0.5 * mean_error(&halves[unseen], fit.figures, &values);
        }
        eprintln!(
            "{:22} {:4} rows, mean error {:.1} %, on rows kept out of the fit {:.1} %",
            fit.rows,
            chosen.len(),
            100.0 * error,
            100.0 * kept_out
        );
        for (figure, value) in fit.figures.iter().zip(&whole) {
            eprintln!("    {figure:24} {value:.4e}");
        }
    }
    let own = rows.iter().filter(|r| r.machine.own_kernels());
    let mut ratios: Vec<f64> =
        own.map(|r| r.measured_step_s / estimate(&r.program, &r.machine).step_s).collect();
    ratios.sort_by(f64::total_cmp);
    let percentile = |p: f64| ratios[(p * (ratios.len() - 1) as f64).round() as usize];
    eprintln!(
        "measured over predicted, of {} rows on chips with kernels of their own:",
        ratios.len()
    );
    eprintln!("    range                    {:.3} to {:.3}", percentile(0.05), percentile(0.95));
    Ok(())
}

/// Values of the figures with the least mean |error|, by coordinate descent with shrinking factors.
fn fitted(rows: &[&Prepared], figures: &[&str]) -> Result<(Vec<f64>, f64)> {
    let first = rows.first().ok_or_else(|| anyhow!("no rows"))?;
    let start = |path: &&str| {
        let found = first.machine.figures().into_iter().find(|(p, _)| p == path);
        found.map(|(_, f)| f.value).ok_or_else(|| anyhow!("no figure `{path}`"))
    };
    let mut values = figures.iter().map(start).collect::<Result<Vec<f64>>>()?;
    let mut best = mean_error(rows, figures, &values);
    let mut factor = 1.3;
    while factor > 1.005 {
        let mut moved = false;
        for i in 0..values.len() {
            for step in [factor, 1.0 / factor] {
                let mut tried = values.clone();
                tried[i] *= step;
                let error = mean_error(rows, figures, &tried);
                if error < best - 1e-6 {
                    (best, values, moved) = (error, tried, true);
                }
            }
        }
        if !moved {
            factor = 1.0 + (factor - 1.0) / 2.0;
        }
    }
    Ok((values, best))
}

fn mean_error(rows: &[&Prepared], figures: &[&str], values: &[f64]) -> f64 {
    let error = |row: &&Prepared| {
        let mut machine = row.machine.clone();
        let paths: Vec<String> = machine.figures().into_iter().map(|(path, _)| path).collect();
        for (path, figure) in paths.iter().zip(machine.figures_mut()) {
            if let Some(i) = figures.iter().position(|f| f == path) {
                figure.value = values[i];
            }
        }
        let predicted = estimate(&row.program, &machine).step_s;
        (predicted / row.measured_step_s - 1.0).abs()
    };
    rows.iter().map(error).sum::<f64>() / rows.len().max(1) as f64
}
