//! Which calibration serves a chip.

use crate::calibration::Calibration;
use crate::parse::parse_calibration;
use catalog::{Chip, Dtype, Kind};
use diagnostic::{Diagnostic, Diagnostics, nearest};
use std::sync::LazyLock;
use units::{Figure, Origin, Unit};

/// How far a calibration can be trusted for the chip it was chosen for.
#[derive(Clone, Debug, PartialEq)]
pub struct Borrowed {
    /// Whether the calibration was measured on this very chip.
    pub own: bool,
    /// Factor on kernel times: 1, with the range to believe, and why.
    pub factor: Figure,
}

/// The calibration with that id.
///
/// # Errors
/// An unknown id, or what is wrong with the file.
pub fn calibration(id: &str) -> Result<Calibration, Diagnostics> {
    let Some(text) = catalog::text(Kind::Calibration, id) else {
        let ids = catalog::ids(Kind::Calibration);
        let mut problem =
            Diagnostic::error("kernel::unknown", format!("there is no calibration `{id}`"));
        problem.hint = Some(nearest(id, ids.iter().copied()).map_or_else(
            || format!("known: {}", ids.join(", ")),
            |near| format!("did you mean `{near}`?"),
        ));
        return Err(problem.into());
    };
    parse_calibration(id, &format!("catalog/calibrations/{id}.toml"), text)
}

/// Every calibration of the catalog, by id.
///
/// # Errors
/// What is wrong with the files.
pub fn calibrations() -> Result<Vec<Calibration>, Diagnostics> {
    ALL.clone()
}

/// Parsed once: the texts are built in, so the value is a constant.
static ALL: LazyLock<Result<Vec<Calibration>, Diagnostics>> =
    LazyLock::new(|| catalog::ids(Kind::Calibration).into_iter().map(calibration).collect());

/// The chip's own calibration or that of its nearest relative.
///
/// Nearest: the file that names the longest beginning of the chip's id among its relatives, else
/// the file of the chip's family whose BF16 (or FP16) peak is closest. A borrowed efficiency is a
/// share, used with the chip's own peaks; it is `assumed`, with the file's range widened by the
/// half again of its width on either side.
///
/// # Errors
/// A family without any calibration, or what is wrong with the files.
pub fn for_chip(chip: &Chip) -> Result<(Calibration, Borrowed), Diagnostics> {
    let all = ALL.as_ref().map_err(Clone::clone)?;
    let all: Vec<&Calibration> = all.iter().filter(|c| !c.machine).collect();
    if let Some(own) = all.iter().find(|c| c.chip == chip.id) {
        let borrowed = Borrowed { own: true, factor: own.range.clone() };
        return Ok(((*own).clone(), borrowed));
    }
    let named = all
        .iter()
        .filter_map(|c| Some((c.family.relatives.iter().filter_map(|r| begins(chip, r)).max()?, c)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, c)| c);
    let by_family = || {
        all.iter()
            .filter(|c| c.family.name == chip.family)
            .min_by(|a, b| distance(chip, a).total_cmp(&distance(chip, b)))
    };
    let Some(relative) = named.or_else(by_family) else {
        return Err(Diagnostic::error(
            "kernel::calibration",
            format!("no calibration serves `{}` of family `{}`", chip.id, chip.family),
        )
        .hint("add a file to catalog/calibrations whose `family` or `relatives` name it")
        .into());
    };
    Ok(((*relative).clone(), Borrowed { own: false, factor: widened(chip, relative) }))
}

fn begins(chip: &Chip, relative: &str) -> Option<usize> {
    chip.id.starts_with(relative).then_some(relative.len())
}

fn distance(chip: &Chip, cal: &Calibration) -> f64 {
    let peak = |d: Dtype| Some((chip.matrix.get(&d)?.value, *cal.peaks.matrix.get(&d)?));
    peak(Dtype::Bf16)
        .or_else(|| peak(Dtype::Fp16))
        .map_or(f64::INFINITY, |(a, b)| libm::fabs(libm::log(a / b)))
}

fn widened(chip: &Chip, relative: &Calibration) -> Figure {
    let range = &relative.range;
    let low = range.low / libm::sqrt(range.value / range.low);
    let high = range.high * libm::sqrt(range.high / range.value);
    let source = format!(
        "{} has no measured kernels: shares of the roofline of {} ({}), at its own peaks",
        chip.id, relative.id, range.source
    );
    Figure::ranged(range.value, (low, high), Unit::Ratio, Origin::Assumed, source)
}
