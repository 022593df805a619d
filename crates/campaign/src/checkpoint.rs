//! How often to save, and what it costs.

use engine::StageAnswer;
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

/// Bytes of a checkpoint that the fullest rank writes: its master weights and moments, each shard once.
///
/// Not counted: the position in the data, the generators' state.
pub fn bytes_per_chip(stage: &StageAnswer) -> f64 {
    let plan = &stage.job.plan;
    // Without sharding every replica holds the same; they share the writing.
    let sharers = if plan.zero == Zero::None { plan.data.max(1) as f64 } else { 1.0 };
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
    stage.memory.iter().map(|m| m.optimizer * per_position / copies).sum()
}
