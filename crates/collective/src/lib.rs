//! Collective algorithms as phases over the levels of a fabric; one definition for every engine.
//!
//! An algorithm is a short list of [`Phase`]s: how many steps it takes at a level and how many bytes
//! each rank pushes into it. [`cost`] prices every algorithm that is legal for the operation and
//! takes the cheapest, as NCCL's and HCCL's tuners do by their own tables.
//!
//! [`cost`] is not valid when groups share links unevenly or some links are slower than others:
//! [`on_graph`] then runs the algorithm's [`Pattern`]s over the links of a [`fabric::Network`].

mod algorithm;
mod at_once;
mod concurrent;
mod crossed;
mod experts;
mod in_switch;
mod least;
mod library;
mod measured;
mod on_graph;
mod steps;
mod switch_steps;

pub use algorithm::{Algorithm, Phase};
pub use experts::Spread;
pub use in_switch::fill_bytes;
pub use library::{Basis, LibraryCost, library};
pub use measured::measured;
pub use on_graph::{Degraded, GraphCost, degraded, on_graph, seconds, unfolded};
pub use steps::{OPERATIONS, Operation, Pattern, Placed, SCHEMES, Scheme, steps};

use algorithm::{MAX_PHASES, phases};
use fabric::{Fabric, Span};
use model::{Collective, expected_touched};

/// The price of one collective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Time from the first byte ready to the last byte there. Seconds.
    pub seconds: f64,
    /// What was chosen.
    pub algorithm: Algorithm,
    /// The level whose links bound it.
    pub bottleneck: usize,
}

/// Prices `operation` of `bytes` (nccl-tests' size) over `span` with the best legal algorithm.
///
/// `None` for a group of one, which moves nothing. `fewer_copies` scales the bytes that an
/// all-to-all sends into each level (see [`deduplication`]); 1 for a plain one.
pub fn cost(
    fabric: &Fabric,
    span: &Span,
    operation: Collective,
    bytes: f64,
    fewer_copies: &[f64; fabric::MAX_LEVELS],
) -> Option<Cost> {
    span.outermost()?;
    Algorithm::legal(operation)
        .iter()
        .filter_map(|&algorithm| price(fabric, span, operation, algorithm, bytes, fewer_copies))
        .min_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

/// Prices one algorithm; `None` if it cannot run on this footprint.
pub fn price(
    fabric: &Fabric,
    span: &Span,
    operation: Collective,
    algorithm: Algorithm,
    bytes: f64,
    fewer_copies: &[f64; fabric::MAX_LEVELS],
) -> Option<Cost> {
    let list = phases(fabric, span, operation, algorithm, bytes, fewer_copies)?;
    let (mut latency_s, mut worst) = (0.0, (0.0, 0));
    let mut stages = [0.0_f64; MAX_PHASES];
    for phase in list.iter() {
        let transfer_s = phase.bytes / phase.bytes_per_s;
        latency_s += phase.steps * fabric.channels()[phase.level].latency_s;
        stages[phase.stage] = stages[phase.stage].max(transfer_s);
        if transfer_s > worst.0 {
            worst = (transfer_s, phase.level);
        }
    }
    let mut transfer_s = stages.iter().sum::<f64>();
    if algorithm == Algorithm::InNetwork {
        let channel = &fabric.channels()[worst.1];
        let fill = fill_bytes(channel.reduction_channels, span.fan[worst.1], 1, bytes);
        transfer_s += fill / channel.bytes_per_s;
    }
    Some(Cost { seconds: latency_s + transfer_s, algorithm, bottleneck: worst.1 })
}

/// Bytes each rank pushes into every level under `algorithm`; `None` if it cannot run on this
/// footprint. The traffic that competes with other collectives for the same ports.
pub fn traffic(
    fabric: &Fabric,
    span: &Span,
    operation: Collective,
    algorithm: Algorithm,
    bytes: f64,
    fewer_copies: &[f64; fabric::MAX_LEVELS],
) -> Option<[f64; fabric::MAX_LEVELS]> {
    let mut levels = [0.0; fabric::MAX_LEVELS];
    for phase in phases(fabric, span, operation, algorithm, bytes, fewer_copies)?.iter() {
        levels[phase.level] += phase.bytes;
    }
    Some(levels)
}

/// Share of all-to-all bytes that still cross each level when a token bound for several experts of
/// one instance crosses into it once.
///
/// With `topk` of `experts` experts drawn evenly and `g` instances, a token touches on average
/// `N = g·(1 - C(E-E/g, k)/C(E, k))` of them (4.43 of 8 for V4-Pro), never more than `limit` where
/// routing is limited to that many nodes; the factor is N/k. Of single ranks, which are finer than what
/// routing is limited to, a token touches as many as without a limit.
pub fn deduplication(
    span: &Span,
    experts: u64,
    topk: u64,
    limit: Option<u64>,
) -> [f64; fabric::MAX_LEVELS] {
    let mut factor = [1.0; fabric::MAX_LEVELS];
    for (level, factor) in factor.iter_mut().enumerate() {
        // Instances of the level below are what a token crosses this level to reach.
        let (_, _, instances) = span.below(level);
        if instances > 1 {
            let touched = expected_touched(instances, experts, topk);
            let limit = limit.filter(|_| level > 0);
            let touched = limit.map_or(touched, |l| touched.min(l as f64));
            *factor = (touched / topk as f64).min(1.0);
        }
    }
    factor
}
