//! Hyper-connections: n residual streams read into one and written back (mHC, arXiv 2512.24880).
//!
//! Traffic is that of the fused kernels: read (3n + 1)·d and written (n + 1)·d elements a token and
//! sub-layer, with the projection's own n·d on top, which belongs to its product.

use super::rank::{Rank, Traffic};
use crate::{Class, Role, Tag};

const CLASS: Class = Class::HyperConnection;

/// Projects the streams to n + n + n² coefficients, normalises the n × n mix by Sinkhorn sweeps and
/// collapses the streams to the sub-layer's input.
pub(super) fn read(rank: &mut Rank, streams: f64, sinkhorn_iterations: f64) {
    let (rows, hidden) = (rank.rows, rank.hidden);
    let coefficients = streams * streams + 2.0 * streams;
    let shape = (rows, coefficients, streams * hidden);
    rank.gemm("hyper_project", CLASS, Role::Sensitive, Some(Tag::Hyper), shape);
    // A sweep divides rows by their sums, then columns.
    let sweeps = sinkhorn_iterations * 4.0 * streams * streams;
    let traffic = rows * ((streams + 1.0) * hidden + coefficients);
    rank.memory(
        "hyper_collapse",
        CLASS,
        Traffic {
            forward: traffic,
            backward: 2.0 * traffic,
            flops: rows * (2.0 * streams * hidden + sweeps),
            launches: 1.0,
            tag: Some(Tag::Hyper),
        },
    );
}

/// X ← mix·X + post ⊗ F: reads n streams and the output, writes n streams.
pub(super) fn write(rank: &mut Rank, streams: f64) {
    let (rows, hidden) = (rank.rows, rank.hidden);
    let traffic = rows * ((2.0 * streams + 1.0) * hidden + streams * streams + streams);
    rank.memory(
        "hyper_write",
        CLASS,
        Traffic {
            forward: traffic,
            backward: 2.0 * traffic,
            flops: rows * (2.0 * streams * streams + 2.0 * streams) * hidden,
            launches: 1.0,
            tag: Some(Tag::Hyper),
        },
    );
}

/// The last collapse, before the final norm: n weights from n·d values (`hc_head`).
pub(super) fn head(rank: &mut Rank, streams: f64) {
    let (rows, hidden) = (rank.rows, rank.hidden);
    let shape = (rows, streams, streams * hidden);
    rank.gemm("hyper_head", CLASS, Role::Sensitive, Some(Tag::Hyper), shape);
    let traffic = rows * (streams + 1.0) * hidden;
    rank.memory(
        "hyper_head_collapse",
        CLASS,
        Traffic {
            forward: traffic,
            backward: 2.0 * traffic,
            flops: rows * 2.0 * streams * hidden,
            launches: 1.0,
            tag: Some(Tag::Hyper),
        },
    );
}
