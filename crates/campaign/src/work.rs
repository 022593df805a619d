//! The work of a run: stretches of one step time, and how much of them is done.

use crate::campaign::{RampPart, Stage};
use crate::run::{NS, Segment, share};

/// A stretch of the run with one step time, and what it trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    pub segment: Segment,
    pub tokens: f64,
    /// Model FLOPs of a token.
    pub flops_per_token: f64,
}

/// The stretches of `tokens` over `stages`, the first of which begins with `ramp`; steps take `factor`
/// times their median.
pub(crate) fn stretches(
    stages: &[Stage],
    ramp: &[RampPart],
    choice: &[f64],
    tokens: f64,
    factor: f64,
) -> Vec<Stretch> {
    let sum: f64 = stages.iter().map(|s| s.share.of(choice)).sum();
    let mut found = Vec::new();
    let mut last = 0;
    let mut push = |index: usize, tokens: f64, ramp: u64| {
        let stage = &stages[index];
        let work_ns = tokens / stage.batch_tokens * stage.step_s * factor * NS;
        if work_ns >= 1.0 {
            let restarts = index != std::mem::replace(&mut last, index) && !found.is_empty();
            let segment = Segment { work_ns: work_ns as u64, ramp, restarts };
            found.push(Stretch { segment, tokens, flops_per_token: stage.flops_per_token });
        }
    };
    let mut done = 0.0;
    for (index, stage) in stages.iter().enumerate() {
        let end = done + tokens * stage.share.of(choice) / sum;
        for part in ramp.iter().filter(|_| index == 0) {
            let until = part.until_tokens.min(end);
            let held = (until - done).max(0.0);
            let full = stage.step_s / stage.batch_tokens;
            // A smaller batch that is faster per token would be the better full batch.
            let extra = (part.step_s / part.batch_tokens / full - 1.0).max(0.0);
            push(index, held, share(extra));
            done = done.max(until);
        }
        push(index, end - done, 0);
        done = end;
    }
    found
}

/// Tokens trained and model FLOPs of the first `work_ns` of the stretches.
pub(crate) fn trained(stretches: &[Stretch], work_ns: u64) -> (f64, f64) {
    let mut left = work_ns;
    let (mut tokens, mut flops) = (0.0, 0.0);
    for stretch in stretches {
        let done = left.min(stretch.segment.work_ns);
        left -= done;
        let part = stretch.tokens * (done as f64 / stretch.segment.work_ns as f64);
        tokens += part;
        flops += part * stretch.flops_per_token;
    }
    (tokens, flops)
}
