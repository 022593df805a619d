//! How often to save, and what it costs.

use engine::{Estimate, PartKind, StageAnswer};
use plan::Zero;

/// Young's optimum: `sqrt(2 d M)` of work between checkpoints that stall the job for `d`, with a mean
/// time `M` between failures (Young, CACM 17, 1974). Seconds.
///
/// ```
/// assert_eq!(campaign::young_s(18.0, 3_600.0), 360.0);
/// ```
///
/// Not valid unless the stall is short against the time between failures.
pub fn young_s(stall_s: f64, between_failures_s: f64) -> f64 {
    libm::sqrt(2.0 * stall_s * between_failures_s)
}

/// Daly's optimum of higher order: with `x = d / 2M`, `sqrt(2 d M) (1 + sqrt(x)/3 + x/9) - d` below
/// `d = 2M`, else `M` (Daly, FGCS 22, 2006, equation 37). Seconds.
pub fn daly_s(stall_s: f64, between_failures_s: f64) -> f64 {
    if stall_s >= 2.0 * between_failures_s {
        return between_failures_s;
    }
    let x = stall_s / (2.0 * between_failures_s);
    young_s(stall_s, between_failures_s) * (1.0 + libm::sqrt(x) / 3.0 + x / 9.0) - stall_s
}

/// How long `bytes` of a chip take to be written beside the training, and what that costs the training.
/// Seconds.
///
/// They leave at the rate of `storage` or of the chip's outermost link, `link`, whichever is less
/// (bytes/s). For a share `talking` of its time the training waits for exchanges on that link; then
/// both have half of it, or the training what the slower storage leaves: max-min fair. With a rate
/// `s = min(storage, link/2)` its exchanges take `k = link/(link - s)` times as long.
///
/// Half of the time on a link of 50 GB/s and a storage that is no limit: in 3 s the training computes
/// for 1 s, while 50 GB leave, and exchanges for 2 s what takes 1 s alone, while 50 GB more leave.
///
/// ```
/// let (written_s, slowed_s) = campaign::beside(100e9, 100e9, 50e9, 0.5);
/// assert!((written_s - 3.0).abs() < 1e-12 && (slowed_s - 1.0).abs() < 1e-12);
/// ```
///
/// Not counted: what the copy takes from the memory and its way to the host. Not valid where storage has
/// links of its own: then nothing is slowed.
pub fn beside(bytes: f64, storage: f64, link: f64, talking: f64) -> (f64, f64) {
    let alone = storage.min(link);
    let shared = storage.min(link / 2.0);
    let longer = link / (link - shared);
    let step = 1.0 - talking + talking * longer;
    let talks = talking * longer / step;
    let written_s = bytes / (alone * (1.0 - talks) + shared * talks);
    (written_s, written_s * (1.0 - 1.0 / step))
}

/// Share of a step that shows as communication: what a slower link makes longer. An upper bound of
/// what crosses the outermost link.
pub(crate) fn talking(estimate: &Estimate) -> f64 {
    let shows = |kind: PartKind| {
        matches!(kind, PartKind::Exposed(_) | PartKind::PipelineSend | PartKind::DataExchange)
    };
    let seconds: f64 =
        estimate.parts.iter().filter(|part| shows(part.kind)).map(|part| part.seconds).sum();
    seconds / estimate.step_s
}

/// Bytes of a checkpoint that the fullest rank writes: its master weights and moments, each shard once
/// (of `DualPipe`'s two copies each rank writes half).
///
/// Not counted: the position in the data, the generators' state.
pub fn bytes_per_chip(stage: &StageAnswer) -> f64 {
    let plan = &stage.job.plan;
    // Without sharding every replica holds the same; they share the writing.
    let replicas = if plan.zero == Zero::None { plan.data.max(1) as f64 } else { 1.0 };
    let sharers = replicas * mirrors(stage);
    stage.memory.iter().map(|m| m.optimizer / sharers).fold(0.0, f64::max)
}

/// Bytes of a whole checkpoint.
pub fn bytes(stage: &StageAnswer, ranks: u64) -> f64 {
    let plan = &stage.job.plan;
    let per_position = ranks as f64 / plan.pipeline as f64;
    let copies = match (plan.zero, plan.shard_group) {
        (Zero::None, _) => plan.data as f64,
        (_, Some(group)) => ((plan.data * plan.context) as f64 / group as f64).max(1.0),
        (_, None) => 1.0,
    };
    stage.memory.iter().map(|m| m.optimizer * per_position / (copies * mirrors(stage))).sum()
}

/// Copies of each weight in one pipeline.
fn mirrors(stage: &StageAnswer) -> f64 {
    if stage.job.plan.schedule.mirrored() { 2.0 } else { 1.0 }
}
