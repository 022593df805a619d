//! Whether a plan is legal: both grids, the batch, the schedule, the model's own divisibilities.

use crate::{FullBlocks, Plan, Zero};
use model::{Architecture, Attention, Ffn};
use program::Schedule;

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The plan's key at fault, as a scenario writes it: `pipeline`.
    pub key: &'static str,
    /// What is wrong, a lowercase fragment.
    pub message: String,
    /// What would mend it.
    pub hint: Option<String>,
}

/// Every rule that `plan` breaks for `model` on `ranks` ranks with `batch_sequences` of `sequence`
/// tokens a step; empty if it is legal.
pub fn violations(
    plan: &Plan,
    model: &Architecture,
    ranks: u64,
    batch_sequences: u64,
    sequence: u64,
) -> Vec<Violation> {
    let mut found = Vec::new();
    grids(plan, ranks, &mut found);
    batch(plan, batch_sequences, sequence, &mut found);
    schedule(plan, batch_sequences, &mut found);
    stages(plan, model, &mut found);
    offload(plan, model, &mut found);
    recompute(plan, model, &mut found);
    widths(plan, model, &mut found);
    found
}

/// The last block's tensors are needed at once: Megatron-Core keeps at least one block on the chip too.
fn offload(plan: &Plan, model: &Architecture, found: &mut Vec<Violation>) {
    let blocks = (model.layers.len() + model.mtp.len()) as u64;
    if plan.offload_blocks > 0 && plan.offload_blocks >= blocks {
        let message =
            format!("{} of {blocks} blocks: at least one stays on the chip", plan.offload_blocks);
        push(
            found,
            "offload_blocks",
            message,
            Some(format!("at most {}", blocks.saturating_sub(1))),
        );
    }
}

/// A stage recomputes blocks that it has; how many that are differs by stage, so the model's are the bound.
fn recompute(plan: &Plan, model: &Architecture, found: &mut Vec<Violation>) {
    let blocks = (model.layers.len() + model.mtp.len()) as u64;
    if let FullBlocks::PerStage(n) = plan.recompute.blocks
        && n > blocks
    {
        let hint = Some("fewer, or all of them: `plan.recompute = \"full\"`".to_owned());
        push(found, "recompute", format!("{n} blocks a stage; the model has {blocks}"), hint);
    }
}

fn push(found: &mut Vec<Violation>, key: &'static str, message: String, hint: Option<String>) {
    found.push(Violation { key, message, hint });
}

fn grids(plan: &Plan, ranks: u64, found: &mut Vec<Violation>) {
    let attention = [plan.tensor, plan.context, plan.data, plan.pipeline];
    let expert = [plan.expert_tensor, plan.expert, plan.expert_data, plan.pipeline];
    for (key, degrees, words) in [
        ("data", attention, "tensor · context · data · pipeline"),
        ("expert_data", expert, "expert_tensor · expert · expert_data · pipeline"),
    ] {
        let product = degrees.iter().try_fold(1_u64, |a, &b| a.checked_mul(b));
        if product != Some(ranks) {
            let [a, b, c, d] = degrees;
            let is = product.map_or("more than 2^64".to_owned(), |p| p.to_string());
            let rest = a.saturating_mul(b).saturating_mul(d);
            let hint = (rest > 0 && ranks.is_multiple_of(rest))
                .then(|| format!("`plan.{key} = {}` would fill the job", ranks / rest));
            push(
                found,
                key,
                format!("{words} = {a} · {b} · {c} · {d} = {is}, not the job's {ranks} ranks"),
                hint,
            );
        }
    }
    if plan.pipeline_before_data {
        let key = "pipeline_before_data";
        if plan.pipeline_innermost {
            push(found, key, "pipeline ranks are innermost already".to_owned(), None);
        }
        if plan.expert > 1 && plan.expert_tensor != plan.tensor {
            let (own, tensor) = (plan.expert_tensor, plan.tensor);
            let message = format!("experts cut over {own} ranks would lie across pipeline ranks");
            push(found, key, message, Some(format!("`plan.expert_tensor = {tensor}`")));
        }
    }
    if let Some(limit) = plan.shard_group {
        let group = plan.data.saturating_mul(plan.context);
        if plan.zero == Zero::None {
            let hint = "set `plan.zero` to 1, 2 or 3, or drop `plan.shard_group`".to_owned();
            push(found, "shard_group", "nothing is sharded with `zero = 0`".into(), Some(hint));
        } else if limit == 0 || !group.is_multiple_of(limit) {
            push(
                found,
                "shard_group",
                format!("{limit} does not divide the {group} data and context ranks"),
                None,
            );
        }
    }
}

fn batch(plan: &Plan, batch_sequences: u64, sequence: u64, found: &mut Vec<Violation>) {
    let per_wave = plan.data.saturating_mul(plan.micro_batch);
    if per_wave == 0 || !batch_sequences.is_multiple_of(per_wave) {
        push(
            found,
            "micro_batch",
            format!(
                "{batch_sequences} sequences a step do not divide over data {} · micro_batch {}",
                plan.data, plan.micro_batch
            ),
            None,
        );
    }
    let cut = plan.context.saturating_mul(if plan.sequence_parallel { plan.tensor } else { 1 });
    if cut > 0 && !sequence.is_multiple_of(cut) {
        push(
            found,
            "context",
            format!("a sequence of {sequence} tokens does not divide over {cut} ranks"),
            None,
        );
    }
}

fn schedule(plan: &Plan, batch_sequences: u64, found: &mut Vec<Violation>) {
    let (p, v) = (plan.pipeline, plan.virtual_pipeline);
    let name = plan.schedule.word();
    if v > 1 && plan.schedule != Schedule::OneFOneB {
        push(
            found,
            "virtual_pipeline",
            format!("`{name}` has its own chunks; virtual stages go with `1f1b`"),
            Some("set `plan.virtual_pipeline = 1`".into()),
        );
    }
    if v > 1 && p == 1 {
        push(
            found,
            "virtual_pipeline",
            "virtual stages need more than one pipeline rank".into(),
            Some("set `plan.virtual_pipeline = 1`".into()),
        );
    }
    let Some(m) = plan.micro_batches(batch_sequences) else { return };
    let needs = schedule_needs(plan.schedule, p, v, m);
    if let Some(message) = needs {
        let hint = "fewer pipeline or data ranks, a smaller micro-batch, or schedule `1f1b`";
        push(found, "schedule", message, Some(hint.into()));
    }
}

/// What `schedule` needs that `p` pipeline ranks of `v` virtual stages and `m` micro-batches do not
/// give it; `None` if they do.
pub fn schedule_needs(schedule: Schedule, p: u64, v: u64, m: u64) -> Option<String> {
    let name = schedule.word();
    match schedule {
        Schedule::OneFOneB if v > 1 && !m.is_multiple_of(p) => {
            Some(format!("interleaving needs micro-batches ({m}) in multiples of pipeline ({p})"))
        }
        Schedule::DualPipe if !(p.is_multiple_of(2) && m.is_multiple_of(2)) => {
            Some(format!("`dualpipe` needs even pipeline ({p}) and even micro-batches ({m})"))
        }
        Schedule::DualPipe | Schedule::DualPipeV | Schedule::ZbV | Schedule::VHalf if m < 2 * p => {
            Some(format!(
                "`{name}` needs at least two micro-batches per pipeline rank: {m} for {p} ranks"
            ))
        }
        _ => None,
    }
}

fn stages(plan: &Plan, model: &Architecture, found: &mut Vec<Violation>) {
    let blocks = (model.layers.len() + model.mtp.len()) as u64;
    let stages = plan.stages();
    // The first stage may hold the embedding alone, the last the head alone.
    if stages > blocks + 2 {
        push(
            found,
            "pipeline",
            format!("{stages} stages for {blocks} blocks leave stages empty"),
            Some("fewer pipeline ranks or virtual stages".into()),
        );
    }
    if let Some(cut) = &plan.stage_blocks {
        let sum: u64 = cut.iter().sum();
        let inner = cut.get(1..cut.len().saturating_sub(1)).unwrap_or_default();
        if cut.len() as u64 != stages || sum != blocks || inner.contains(&0) {
            push(
                found,
                "stage_blocks",
                format!(
                    "{} stages holding {sum} blocks; the plan has {stages} stages and the model \
                     {blocks} blocks, at least one on each stage between the ends",
                    cut.len()
                ),
                None,
            );
        }
    }
}

fn widths(plan: &Plan, model: &Architecture, found: &mut Vec<Violation>) {
    let mut rules: Vec<(&'static str, &str, u64, u64)> = Vec::new();
    for layer in model.layers.iter().chain(&model.mtp) {
        let heads = match layer.attention {
            Attention::Grouped { heads, .. }
            | Attention::Latent { heads, .. }
            | Attention::Compressed { heads, .. } => heads,
        };
        rules.push(("tensor", "attention heads", heads, plan.tensor));
        match layer.ffn {
            Ffn::Dense(mlp) => rules.push(("tensor", "feed-forward width", mlp.width, plan.tensor)),
            Ffn::Moe { expert, experts, .. } => {
                rules.push(("expert", "routed experts", experts, plan.expert));
                rules.push(("expert_tensor", "expert width", expert.width, plan.expert_tensor));
            }
        }
    }
    rules.sort_unstable();
    rules.dedup();
    for (key, what, whole, degree) in rules {
        if degree == 0 || !whole.is_multiple_of(degree) {
            push(found, key, format!("{whole} {what} do not divide over {degree} ranks"), None);
        }
    }
    let has_experts =
        model.layers.iter().chain(&model.mtp).any(|l| matches!(l.ffn, Ffn::Moe { .. }));
    if !has_experts && plan.expert > 1 {
        let hint = Some("set `plan.expert = 1`".to_owned());
        push(found, "expert", format!("`{}` has no experts to spread", model.name), hint);
    }
}
