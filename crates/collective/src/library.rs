//! What a communication library does by itself: measured curves where there are any, and the
//! fastest algorithm over the levels beyond them.

use crate::{Algorithm, Cost, cost, fill_bytes, measured, price};
use catalog::Cluster;
use fabric::{Fabric, MAX_LEVELS, Span};
use kernel::Calibration;
use model::Collective;

const PLAIN: [f64; MAX_LEVELS] = [1.0; MAX_LEVELS];

/// A size at which only the rate counts. Bytes.
const STEADY: f64 = (1_u64 << 34) as f64;

/// How a library's time is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Measured in a group of this very size.
    Measured,
    /// Measured in a smaller group of the same level, scaled by the algorithm's formula.
    Scaled,
    /// The measured inner level and a tree between its instances, in a pipeline.
    Pipelined,
    /// By formula alone.
    Formula(Algorithm),
}

impl Basis {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Scaled => "measured, scaled",
            Self::Pipelined => "measured inside, tree between",
            Self::Formula(algorithm) => algorithm.word(),
        }
    }
}

/// A library's own collective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LibraryCost {
    /// Time. Seconds.
    pub seconds: f64,
    /// How it is known.
    pub basis: Basis,
}

/// Time of `operation` of `bytes` (nccl-tests' size) over the first `ranks` of `cluster` as the
/// library chooses: the fastest of what its levels allow.
///
/// Inside the innermost level: the calibration's curve. Beyond it, an all-reduce reduces inside,
/// exchanges 2·(f-1)/f·B/m over f instances of m members and spreads inside, chunk by chunk, so that
/// the slower of the two counts (NCCL's trees over NVLink SHARP); other operations go by formula.
///
/// Not valid for a library that its user forces to one algorithm. `None` for a group of one.
pub fn library(
    cluster: &Cluster,
    calibration: &Calibration,
    ranks: u64,
    operation: Collective,
    bytes: f64,
) -> Option<LibraryCost> {
    let fabric = Fabric::new(cluster, ranks);
    let span = fabric.span(1, ranks);
    let formula = chosen(cluster, &fabric, &span, operation, bytes)?;
    let inner = span.fan[0];
    let by_formula =
        LibraryCost { seconds: formula.seconds, basis: Basis::Formula(formula.algorithm) };
    let Some(inside) = curve(cluster, calibration, &fabric, inner, operation, bytes) else {
        return Some(by_formula);
    };
    if span.outermost() == Some(0) {
        return Some(inside);
    }
    if operation != Collective::AllReduce {
        return Some(by_formula);
    }
    // Beyond one domain the loops of an in-switch reduction are others, and pass more stages.
    let channels = fabric.channels()[0].reduction_channels;
    let fill = |domains| fill_bytes(channels, inner, domains, bytes);
    let steady = curve(cluster, calibration, &fabric, inner, operation, STEADY)?.seconds / STEADY;
    let refill = (fill(span.size() / inner) - fill(1)).max(0.0);
    let between = between(&fabric, &span, bytes);
    // A stage more costs its loops at the rate of the slowest stage.
    let pipelined =
        inside.seconds.max(between) + refill * steady.max(between / bytes) + hops(&fabric, &span);
    let pipelined = LibraryCost { seconds: pipelined, basis: Basis::Pipelined };
    Some(if pipelined.seconds < by_formula.seconds { pipelined } else { by_formula })
}

/// The cheapest algorithm that the library has: NCCL exchanges by rings, trees and in switches, not
/// level by level.
fn chosen(
    cluster: &Cluster,
    fabric: &Fabric,
    span: &Span,
    operation: Collective,
    bytes: f64,
) -> Option<Cost> {
    if cluster.chip.vendor != "NVIDIA" {
        return cost(fabric, span, operation, bytes, &PLAIN);
    }
    span.outermost()?;
    Algorithm::legal(operation)
        .iter()
        .filter(|a| {
            !matches!(a, Algorithm::Hierarchical | Algorithm::Crossed | Algorithm::Concurrent)
        })
        .filter_map(|&a| price(fabric, span, operation, a, bytes, &PLAIN))
        .min_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

/// The measured time inside the innermost level.
fn curve(
    cluster: &Cluster,
    calibration: &Calibration,
    fabric: &Fabric,
    members: u64,
    operation: Collective,
    bytes: f64,
) -> Option<LibraryCost> {
    if members < 2 {
        return None;
    }
    let slower = calibration.peaks.link / cluster.levels.first()?.bandwidth.value;
    let formula = |n, bytes| {
        let span = fabric.span(1, n);
        chosen(cluster, fabric, &span, operation, bytes).map(|c| c.seconds)
    };
    let curves = &calibration.curves;
    let (seconds, exact) = measured(curves, operation, members, bytes, slower, &formula)?;
    let basis = if exact { Basis::Measured } else { Basis::Scaled };
    Some(LibraryCost { seconds, basis })
}

/// Time of the busiest level above the innermost. Seconds.
fn between(fabric: &Fabric, span: &Span, bytes: f64) -> f64 {
    let mut below = span.fan[0] as f64;
    let mut worst = 0.0_f64;
    for (level, channel) in fabric.channels().iter().enumerate().skip(1) {
        let fan = span.fan[level] as f64;
        if fan > 1.0 {
            worst = worst.max(2.0 * (fan - 1.0) / fan * bytes / below / channel.bytes_per_s);
        }
        below *= fan;
    }
    worst
}

/// Up and down the trees above the innermost level. Seconds.
fn hops(fabric: &Fabric, span: &Span) -> f64 {
    fabric
        .channels()
        .iter()
        .enumerate()
        .skip(1)
        .map(|(level, channel)| {
            let depth = span.fan[level].next_power_of_two().trailing_zeros();
            2.0 * f64::from(depth) * channel.latency_s
        })
        .sum()
}
