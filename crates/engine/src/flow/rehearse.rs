//! A whole scenario through the event engine.

use super::{FlowAnswer, FlowOptions, flow};
use crate::rehearse::{Rehearsal, rehearse, total_days};
use diagnostic::Diagnostics;
use scenario::Scenario;

/// Rehearses every stage of `scenario` by events: the closed form's rehearsal with steps, rates, days
/// and parts as they came out, and each stage's own answer. Ranges are the closed form's, as wide in
/// proportion: sampling the event engine would repeat it hundreds of times.
///
/// # Errors
/// As [`rehearse`] and [`flow`].
pub fn rehearse_flow(
    scenario: &Scenario,
    options: &FlowOptions,
) -> Result<(Rehearsal, Vec<FlowAnswer>), Diagnostics> {
    let mut rehearsal = rehearse(scenario)?;
    let mut answers = Vec::new();
    for stage in &mut rehearsal.stages {
        let options = FlowOptions { memory: stage.memory.clone(), ..options.clone() };
        let answer = flow(&stage.program, &rehearsal.machine, &options)?;
        let longer = answer.step_s / stage.estimate.step_s;
        stage.step_s = stage.step_s.map(|s| s * longer);
        stage.tokens_per_s = stage.tokens_per_s.map(|t| t / longer);
        stage.flops_per_chip = stage.flops_per_chip.map(|f| f / longer);
        stage.mfu = stage.mfu.map(|m| m / longer);
        stage.days = stage.days.map(|d| d * longer);
        for driver in &mut stage.drivers {
            driver.step_at_low_s *= longer;
            driver.step_at_high_s *= longer;
        }
        stage.estimate = answer.as_estimate();
        answers.push(answer);
    }
    rehearsal.days = total_days(scenario, &rehearsal.stages);
    Ok((rehearsal, answers))
}
