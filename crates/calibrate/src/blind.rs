//! How well one chip's calibration foretells another's kernels: shares carried over, peaks by the data
//! sheet, nothing fitted.

use crate::collectives::Measured;
use crate::fit::Point;
use crate::fitting::{read_curves, read_modules, sort};
use crate::fold::quantiles;
use crate::kind::Kind;
use crate::machine::Machine;
use crate::points::sequences::Pass;
use crate::points::{FORMATS, Fastest, dense, experts, keep, sequences};
use crate::table::Table;
use catalog::Dtype;
use diagnostic::Diagnostics;
use kernel::{Calibration, Operation};

/// One operator's error.
#[derive(Clone, Debug, PartialEq)]
pub struct BlindRow {
    /// Operator and format.
    pub operator: String,
    /// Measured shapes.
    pub points: usize,
    /// Median of predicted/measured − 1.
    pub signed_median: f64,
    /// Median of |predicted/measured − 1|.
    pub median: f64,
    /// Its 90th percentile.
    pub p90: f64,
    /// The format whose share was used, where the calibration lacks the one measured.
    pub stand_in: Option<Dtype>,
}

/// The errors of `calibration` on the tables of the chip that `machine` describes.
///
/// As the engine borrows: the surface of the same format or its stand-in, as shares of the measured
/// chip's own peaks; times that are a kernel's start stay as they are; times of bytes scale with the
/// bandwidth, collectives beyond their latency with the links.
///
/// # Errors
/// As [`crate::calibrate`] for tables that cannot be used.
pub fn blind(
    calibration: &Calibration,
    machine: &Machine,
    tables: &[Table],
) -> Result<Vec<BlindRow>, Diagnostics> {
    let machine = Machine { fixed_s: calibration.fixed_matrix.value, ..machine.clone() };
    let mut warnings = Diagnostics::default();
    let sorted = sort(tables, &machine, &mut warnings)?;
    let of = |kind: Kind| sorted.get(&kind).map_or(&[][..], Vec::as_slice);
    let mut out = Vec::new();
    for dtype in FORMATS.into_iter().filter(|d| machine.peak(*d).is_some()) {
        let waves = calibration.surface(Operation::Gemm, dtype).and_then(|s| s.waves);
        let mut fastest = Fastest::new();
        for table in of(Kind::Gemm) {
            let times = dense::times(table, dtype)?.0;
            for (shape, s) in times {
                keep(&mut fastest, shape, s);
            }
        }
        let points = dense::points(&fastest, &machine, dtype, waves);
        out.extend(kernels(calibration, Operation::Gemm, dtype, &points));
        out.extend(attention(calibration, &machine, dtype, &of)?);
        for table in of(Kind::Moe) {
            let Some(load) = experts::distributions(table, dtype)?.into_iter().next() else {
                continue;
            };
            let points = experts::points(&experts::times(table, dtype, &load)?.0, &machine, dtype);
            out.extend(kernels(calibration, Operation::GroupedGemm, dtype, &points));
        }
    }
    for module in read_modules(&sorted, &machine)? {
        let Some(fit) = calibration.fits.iter().find(|f| f.operator == module.operator) else {
            continue;
        };
        let factors = factors(module.terms, &fit.terms);
        let ratio = |p: &Point| sum(&p.terms, &factors) / p.measured_s;
        out.extend(row(module.operator, module.points.iter().map(ratio).collect(), None));
    }
    for curve in read_curves(&sorted)? {
        out.extend(collective(calibration, &machine, &curve));
    }
    Ok(out)
}

/// Attention against kernels of training where both know them. A surface of training's kernels says
/// little of inference's, which take longer for the same scores; their rows then say so.
fn attention<'a>(
    calibration: &Calibration,
    machine: &Machine,
    dtype: Dtype,
    of: &impl Fn(Kind) -> &'a [&'a Table],
) -> Result<Vec<BlindRow>, Diagnostics> {
    let mut rows = Vec::new();
    let training = calibration.surface(Operation::AttentionBackward, dtype).is_some();
    if training && !of(Kind::Training).is_empty() {
        for (operation, pass) in
            [(Operation::Attention, Pass::Forward), (Operation::AttentionBackward, Pass::Backward)]
        {
            let mut points = Vec::new();
            for table in of(Kind::Training) {
                points.extend(sequences::training(table, machine, dtype, pass)?);
            }
            rows.extend(kernels(calibration, operation, dtype, &points));
        }
        for (operation, pass) in
            [(Operation::Gathered, Pass::Forward), (Operation::GatheredBackward, Pass::Backward)]
        {
            let mut points = Vec::new();
            for table in of(Kind::Training) {
                points.extend(sequences::gathered(table, machine, dtype, pass)?);
            }
            rows.extend(kernels(calibration, operation, dtype, &points));
        }
        return Ok(rows);
    }
    let mut points = Vec::new();
    for table in of(Kind::Attention) {
        points.extend(sequences::grouped(table, machine, dtype)?);
    }
    rows.extend(kernels(calibration, Operation::Attention, dtype, &points));
    let mut points = Vec::new();
    for table in of(Kind::Mla).iter().filter(|_| dtype == Dtype::Bf16) {
        points.extend(sequences::latent(table, machine)?);
    }
    rows.extend(kernels(calibration, Operation::Attention, dtype, &points));
    for row in rows.iter_mut().filter(|_| training) {
        row.operator.push_str(" (inference, by training's)");
    }
    Ok(rows)
}

fn kernels(
    calibration: &Calibration,
    operation: Operation,
    dtype: Dtype,
    points: &[Point],
) -> Option<BlindRow> {
    let entry = calibration.surface(operation, dtype)?;
    let first = points.first()?;
    let fit = format!("{} {}", first.operator, entry.dtype.word());
    let fit = calibration.fits.iter().find(|f| f.operator == fit);
    let names: &[&str] = match operation {
        Operation::GroupedGemm => &experts::TERMS,
        _ => &sequences::LATENT_TERMS,
    };
    let factors = fit.map_or(Vec::new(), |f| factors(names, &f.terms));
    let predicted = |p: &Point| {
        let parts = p.parts.iter();
        let kernels: f64 =
            parts.map(|(s, x)| s / libm::exp(entry.surface.log_at(*x)).min(1.0)).sum();
        kernels + p.other_s + sum(&p.terms, &factors)
    };
    let ratios = points.iter().map(|p| predicted(p) / p.measured_s).collect();
    let stand_in = (entry.dtype != dtype).then_some(entry.dtype);
    row(format!("{} {}", first.operator, dtype.word()), ratios, stand_in)
}

fn factors(names: &[&str], terms: &[(String, f64)]) -> Vec<f64> {
    let factor = |name: &&str| terms.iter().find(|(n, _)| n == name).map_or(0.0, |(_, f)| *f);
    names.iter().map(factor).collect()
}

fn sum(terms: &[f64], factors: &[f64]) -> f64 {
    terms.iter().zip(factors).map(|(t, f)| t * f).sum()
}

fn collective(calibration: &Calibration, machine: &Machine, curve: &Measured) -> Option<BlindRow> {
    let known = calibration
        .curves
        .iter()
        .find(|c| crate::collectives::name(c.operation) == Some(curve.operation))?;
    let slower = calibration.peaks.link / machine.link;
    let mut ratios = Vec::new();
    for (members, times) in &curve.times_us {
        let near = known.nearest(*members);
        let measured = times.iter();
        ratios.extend(measured.map(|(b, us)| known.seconds(near, *b as f64, slower) / (us * 1e-6)));
    }
    row(curve.operation.to_owned(), ratios, None)
}

fn row(operator: String, ratios: Vec<f64>, stand_in: Option<Dtype>) -> Option<BlindRow> {
    let mut signed: Vec<f64> = ratios.iter().map(|r| r - 1.0).collect();
    signed.sort_by(f64::total_cmp);
    let signed_median = *signed.get(signed.len().checked_sub(1)? / 2)?;
    let (median, p90) = quantiles(signed.iter().map(|e| libm::fabs(*e)).collect())?;
    Some(BlindRow { operator, points: signed.len(), signed_median, median, p90, stand_in })
}
