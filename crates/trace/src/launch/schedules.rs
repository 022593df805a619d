//! Schedules and stages in the arguments of Megatron-LM and MindSpeed-LLM.

use super::layout::{self, Slots};
use super::line::Line;
use super::megatron::{has_experts, is_mindspeed};
use model::Architecture;
use plan::Plan;
use program::Schedule;

/// The plan with the schedule that the program runs: its own where it has it, else plain 1F1B with as
/// many ranks, which is noted.
pub(super) fn as_run(line: &mut Line, plan: &Plan, model: &Architecture) -> Plan {
    let barred = if is_mindspeed(line) { dualpipev_bar(plan, model) } else { None };
    match (plan.schedule, barred) {
        (Schedule::OneFOneB, _) => return plan.clone(),
        (Schedule::DualPipeV, None) if is_mindspeed(line) => return plan.clone(),
        (Schedule::DualPipeV, Some(why)) => {
            line.lost(format!("schedule `dualpipev`, not beside {why}: this command runs 1F1B"));
        }
        (other, _) => line.lost_hint(
            format!("schedule `{}`: this command runs 1F1B", other.word()),
            "`--set plan.schedule=1f1b` shows what that costs",
        ),
    }
    let mut run = Plan { schedule: Schedule::OneFOneB, virtual_pipeline: 1, ..plan.clone() };
    if run.stage_blocks.as_ref().is_some_and(|cut| cut.len() as u64 != run.pipeline) {
        // Another schedule's chunks: the cut means nothing here.
        line.lost(format!("the cut into {} stages", plan.stages()));
        run.stage_blocks = None;
    }
    run
}

/// What MindSpeed-LLM does not run beside `dualpipev`.
fn dualpipev_bar(plan: &Plan, model: &Architecture) -> Option<&'static str> {
    if plan.context > 1 {
        Some("context parallelism")
    } else if model.tied_embedding {
        Some("a head that is the embedding")
    } else if has_experts(model) && (plan.expert == 1 || plan.expert_tensor > 1) {
        Some("experts on one rank or cut over tensor ranks")
    } else {
        None
    }
}

/// Writes the schedule and the cut; where the blocks are among those that the program counts.
pub(super) fn write(line: &mut Line, plan: &Plan, model: &Architecture) -> Slots {
    if plan.schedule == Schedule::DualPipeV {
        line.set("--schedules-method", "dualpipev");
    }
    let plain = Slots { count: model.layers.len() as u64, empty: Vec::new() };
    if is_mindspeed(line) {
        return padded(line, plan, model).unwrap_or(plain);
    }
    if !layout::is_default(plan, model) {
        // It says the number of chunks, too.
        line.set("--pipeline-model-parallel-layout", layout::write(plan, model));
    } else if plan.virtual_pipeline > 1 {
        line.set("--num-virtual-stages-per-pipeline-rank", plan.virtual_pipeline);
    }
    plain
}

/// MindSpeed-LLM gives every stage the same number of blocks, some of them empty, or plain 1F1B a list.
fn padded(line: &mut Line, plan: &Plan, model: &Architecture) -> Option<Slots> {
    let mut counts = layout::counts(plan, model);
    if counts.len() == 1 {
        return None;
    }
    // Prediction blocks follow the last stage's own.
    let last = counts.last_mut()?;
    if let Some(main) = last.checked_sub(model.mtp.len() as u64) {
        *last = main;
    } else {
        line.lost(format!("the cut into stages of {counts:?} blocks: the last predicts"));
        counts = layout::even(model.layers.len(), counts.len());
    }
    let most = counts.iter().copied().max()?;
    let even = counts.iter().all(|&count| count == most);
    let plain = plan.schedule == Schedule::OneFOneB && plan.virtual_pipeline == 1;
    if !even && plain && model.mtp.is_empty() {
        let words: Vec<String> = counts.iter().map(u64::to_string).collect();
        line.set("--num-layer-list", words.join(","));
        return None;
    }
    if plan.virtual_pipeline > 1 {
        line.set("--num-layers-per-virtual-pipeline-stage", most);
    }
    let starts = (0..).step_by(most as usize);
    let empty = starts.zip(&counts).flat_map(|(start, &count)| start + count..start + most);
    Some(Slots { count: most * counts.len() as u64, empty: empty.collect() })
}
