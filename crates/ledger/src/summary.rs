//! Errors by family, coverage of intervals, memory.

use crate::groups::{Group, groups};
use crate::orders::{Order, orders};
use crate::{Row, Status};

/// Errors of one file's rows on one chip, over rows marked `full`.
#[derive(Clone, Debug, PartialEq)]
pub struct FamilySummary {
    /// File and accelerator.
    pub name: String,
    /// Rows marked `full`.
    pub full: usize,
    /// Of those, rows replayed with an error to show.
    pub replayed: usize,
    /// Median of |error|.
    pub median_abs_error: f64,
    /// Mean of |error|.
    pub mean_abs_error: f64,
    /// Mean error; positive is predicted slower than measured.
    pub mean_signed_error: f64,
    /// The error farthest from zero.
    pub worst_error: f64,
}

/// All families together.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Rows in all.
    pub rows: usize,
    /// Rows marked `full`.
    pub full: usize,
    /// Rows marked `full` that were replayed.
    pub full_replayed: usize,
    /// By file and chip, in order of name.
    pub families: Vec<FamilySummary>,
    /// Replayed full rows whose chip has measured kernels: count, median and mean |error|.
    pub calibrated: (usize, f64, f64),
    /// The others.
    pub blind: (usize, f64, f64),
    /// Share of measured steps inside the predicted interval: calibrated, blind.
    pub coverage: (f64, f64),
    /// Peak memory: rows, mean and worst |error|.
    pub memory: (usize, f64, f64),
    /// Means over families, each counting once: |error|, error.
    pub over_families: (f64, f64),
    /// By chip, kind of model, machine and effect.
    pub groups: Vec<Group>,
    /// Whether the order of a job's plans is kept.
    pub orders: Vec<Order>,
}

/// Sums rows up.
pub fn summarize(rows: &[Row]) -> Summary {
    let full: Vec<&Row> = rows.iter().filter(|r| r.is_full()).collect();
    let done: Vec<&Row> = full.iter().copied().filter(|r| r.status == Status::Replayed).collect();
    let mut names: Vec<String> = full.iter().map(|r| r.family_chip()).collect();
    names.sort();
    names.dedup();
    let families: Vec<FamilySummary> = names
        .into_iter()
        .map(|name| {
            let count = full.iter().filter(|r| r.family_chip() == name).count();
            family(name.clone(), count, &errors(&done, |r| r.family_chip() == name))
        })
        .collect();
    let group = |calibrated: bool| {
        let e = absolute(&errors(&done, |r| r.calibrated == calibrated));
        (e.len(), median(&e), mean(&e))
    };
    let covered = |calibrated: bool| {
        let inside: Vec<f64> = done
            .iter()
            .filter(|r| r.calibrated == calibrated)
            .filter_map(|r| r.covered().map(|c| f64::from(u8::from(c))))
            .collect();
        mean(&inside)
    };
    let memory: Vec<f64> = done
        .iter()
        .filter_map(|r| Some((r.predicted_peak_mem_gib? / r.measured_peak_mem_gib? - 1.0).abs()))
        .collect();
    Summary {
        rows: rows.len(),
        full: full.len(),
        full_replayed: done.len(),
        over_families: (
            mean(&families.iter().map(|f| f.mean_abs_error).collect::<Vec<_>>()),
            mean(&families.iter().map(|f| f.mean_signed_error).collect::<Vec<_>>()),
        ),
        groups: groups(rows),
        orders: orders(rows),
        families,
        calibrated: group(true),
        blind: group(false),
        coverage: (covered(true), covered(false)),
        memory: (memory.len(), mean(&memory), memory.iter().copied().fold(0.0, f64::max)),
    }
}

fn errors(rows: &[&Row], keep: impl Fn(&Row) -> bool) -> Vec<f64> {
    rows.iter().filter(|r| keep(r)).filter_map(|r| r.signed_error).collect()
}

fn family(name: String, full: usize, errors: &[f64]) -> FamilySummary {
    let size = absolute(errors);
    let worst = errors.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
    FamilySummary {
        name,
        full,
        replayed: errors.len(),
        median_abs_error: median(&size),
        mean_abs_error: mean(&size),
        mean_signed_error: mean(errors),
        worst_error: worst,
    }
}

fn absolute(errors: &[f64]) -> Vec<f64> {
    errors.iter().map(|e| e.abs()).collect()
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}
