//! A plan in the command-line options of torchtitan.

use super::layout;
use super::line::Line;
use catalog::{Dtype, Kind, Optimizer};
use model::Architecture;
use plan::{FullBlocks, Plan, Zero};
use program::Schedule;
use scenario::{Job, Scenario};

/// Models of torchtitan 0.3.0: module, configuration, and the catalog's id of the same shape.
pub(super) const MODELS: [(&str, &str, &str); 5] = [
    ("llama3", "llama3_8b", "llama-3.1-8b"),
    ("llama3", "llama3_70b", "llama-3.1-70b"),
    ("llama3", "llama3_405b", "llama-3.1-405b"),
    ("deepseek_v3", "deepseek_v3_671b", "deepseek-v3"),
    ("gpt_oss", "gpt_oss_120b", "gpt-oss-120b"),
];

/// The one of them whose registered configuration computes its linear layers in FP8.
pub(super) const FP8_MODEL: &str = "llama-3.1-405b";

/// Schedules by torch's names; `1f1b` with virtual stages is `Interleaved1F1B`.
pub(super) const SCHEDULES: [(Schedule, &str); 4] = [
    (Schedule::GPipe, "GPipe"),
    (Schedule::OneFOneB, "1F1B"),
    (Schedule::ZbV, "ZBVZeroBubble"),
    (Schedule::DualPipeV, "DualPipeV"),
];

pub(super) fn write(line: &mut Line, scenario: &Scenario, job: &Job) {
    let (plan, model) = (&job.plan, &scenario.model);
    line.torchrun(scenario, &["-m", "torchtitan.train"]);
    line.group();
    which(line, model);
    line.group();
    degrees(line, plan);
    pipeline(line, plan, model);
    line.group();
    batch(line, scenario, job);
    options(line, plan);
    precision(line, scenario);
    line.group();
    recompute(line, plan);
}

/// The id of the catalog's model that has this shape, whatever it is called.
fn catalog_id(model: &Architecture) -> Option<&'static str> {
    MODELS.into_iter().map(|(_, _, id)| id).find(|id| {
        let text = catalog::text(Kind::Model, id).unwrap_or_default();
        let same =
            |known: Architecture| Architecture { name: model.name.clone(), ..known } == *model;
        model::parse_config(id, id, text).is_ok_and(same)
    })
}

fn which(line: &mut Line, model: &Architecture) {
    let known = catalog_id(model).and_then(|id| MODELS.into_iter().find(|m| m.2 == id));
    if let Some((module, config, _)) = known {
        line.set("--module", module);
        line.set("--config", config);
        if !model.mtp.is_empty() {
            line.lost("the multi-token-prediction block: the registered model has none");
        }
    } else {
        line.set("--module", "$MODULE");
        line.set("--config", "$CONFIG");
        line.lost_hint(
            format!("the model `{}`: torchtitan registers none of its shape", model.name),
            "write a config_registry function and name it in MODULE and CONFIG",
        );
    }
}

fn degrees(line: &mut Line, plan: &Plan) {
    line.set("--parallelism.tensor_parallel_degree", plan.tensor);
    line.set("--parallelism.context_parallel_degree", plan.context);
    line.set("--parallelism.pipeline_parallel_degree", plan.pipeline);
    line.set("--parallelism.expert_parallel_degree", plan.expert);
    if plan.expert_tensor > 1 {
        line.lost(format!("experts cut over {} tensor ranks: they are whole", plan.expert_tensor));
    }
    let group = match (plan.zero, plan.shard_group) {
        (Zero::None, _) => 1,
        (_, Some(group)) => (group / plan.context).max(1),
        (_, None) => plan.data,
    };
    line.set("--parallelism.data_parallel_shard_degree", group);
    line.set("--parallelism.data_parallel_replicate_degree", plan.data / group.max(1));
    match plan.zero {
        Zero::None => {}
        Zero::Optimizer => {
            line.set("--parallelism.fsdp_reshard_after_forward", "never");
            line.lost("sharding the optimizer alone: gradients are sharded too (ZeRO 2)");
        }
        Zero::Gradients => line.set("--parallelism.fsdp_reshard_after_forward", "never"),
        Zero::Weights => line.set("--parallelism.fsdp_reshard_after_forward", "always"),
    }
    let sequence = if plan.sequence_parallel { "enable" } else { "no_enable" };
    line.flag(&format!("--parallelism.{sequence}_sequence_parallel"));
    if (plan.pipeline_innermost || plan.pipeline_before_data) && plan.pipeline > 1 {
        line.lost("pipeline ranks near each other: they are farthest apart");
    }
}

fn pipeline(line: &mut Line, plan: &Plan, model: &Architecture) {
    if plan.pipeline == 1 {
        return;
    }
    let name = match plan.schedule {
        Schedule::OneFOneB if plan.virtual_pipeline > 1 => "Interleaved1F1B",
        other => SCHEDULES.iter().find(|(s, _)| *s == other).map_or("1F1B", |(_, name)| name),
    };
    line.set("--parallelism.pipeline_parallel_schedule", name);
    if !SCHEDULES.iter().any(|(s, _)| *s == plan.schedule) {
        line.lost(format!("schedule `{}`: this command runs 1F1B", plan.schedule.word()));
    }
    line.set("--parallelism.pipeline_parallel_microbatch_size", plan.micro_batch);
    let counts = layout::counts(plan, model);
    let most = counts.iter().copied().max().unwrap_or(1);
    let inner = counts.get(1..counts.len() - 1).unwrap_or_default();
    if inner.iter().all(|&c| c == most) {
        let less = |stage: usize| most - counts[stage];
        line.set("--parallelism.pipeline_parallel_layers_per_stage", most);
        line.set("--parallelism.pipeline_parallel_first_stage_less_layers", less(0));
        line.set("--parallelism.pipeline_parallel_last_stage_less_layers", less(counts.len() - 1));
    } else {
        line.lost_hint(
            format!("the cut into stages of {counts:?} blocks"),
            "`parallelism.module_fqns_per_model_part` of a config_registry function says it",
        );
    }
}

fn batch(line: &mut Line, scenario: &Scenario, job: &Job) {
    let plan = &job.plan;
    line.set("--training.seq_len", job.sequence);
    let local = if plan.pipeline > 1 {
        (job.batch_sequences / plan.data.max(1)).max(1)
    } else {
        plan.micro_batch
    };
    line.set("--training.local_batch_size", local);
    line.set("--training.global_batch_size", job.batch_sequences);
    let tokens = scenario.recipe.tokens.value * job.share.value;
    line.set("--training.steps", (tokens / job.batch_tokens()).round().max(1.0) as u64);
}

fn options(line: &mut Line, plan: &Plan) {
    let on = plan.overlap;
    if on.tensor {
        line.flag("--compile.enable");
        // Some registered models compile the loss alone.
        line.set("--compile.components", "model,loss");
        line.flag("--compile.enable_async_tensor_parallel");
    } else {
        line.flag("--compile.no_enable_async_tensor_parallel");
    }
    if plan.zero != Zero::None && !(on.gradient_reduce && on.parameter_gather) {
        line.lost("gathering and reducing without overlap: FSDP always overlaps both");
    }
    if on.expert {
        line.lost("expert exchange behind another micro-batch");
    }
    if on.pipeline && plan.pipeline > 1 {
        line.lost("whether sends between stages overlap: the schedule decides");
    }
    if plan.context > 1 {
        line.lost("whether the context exchange overlaps: the attention kernel decides");
    }
    // The registered dispatcher waits for the host to know how many tokens come.
    let exchanged = plan.expert > 1;
    let graphs = plan.graphs && plan.pipeline == 1 && !exchanged;
    if plan.graphs && !graphs {
        let which = if exchanged { "exchanged experts" } else { "a pipeline" };
        line.lost(format!("kernels launched as graphs: not with {which}"));
    }
    line.flag(if graphs {
        "--training.no_disable_cuda_graphs"
    } else {
        "--training.disable_cuda_graphs"
    });
    let registered = [
        (plan.unfused_attention, "unfused attention"),
        (plan.offload_blocks > 0, "saved tensors in the host's memory"),
        (plan.adapters.is_some(), "adapters"),
        (plan.deduplicated_dispatch, "tokens sent once to each host of their experts"),
        (
            !plan.fused_loss,
            "a loss apart from the head: the registered models compute it in pieces",
        ),
    ];
    for (_, what) in registered.iter().filter(|(asked, _)| *asked) {
        line.lost(format!("{what} (a config_registry function would say it)"));
    }
}

fn precision(line: &mut Line, scenario: &Scenario) {
    let precision = &scenario.recipe.precision;
    let word = if precision.activations == Dtype::Fp32 { "float32" } else { "bfloat16" };
    line.set("--training.mixed_precision_param", word);
    line.set("--training.mixed_precision_reduce", "float32");
    let low = [precision.linear, precision.expert].iter().any(|d| d.bytes() < 2.0);
    let registered = catalog_id(&scenario.model) == Some(FP8_MODEL);
    if low && !registered {
        line.lost("low-precision products: a converter of the config_registry function says them");
    } else if registered && precision.linear != Dtype::Fp8 {
        line.lost("products in BF16: the registered configuration converts them to FP8");
    }
    if precision.gradient_wire != Dtype::Fp32 {
        line.lost(format!("gradients sent in {}", precision.gradient_wire.word()));
    }
    if precision.moments != Dtype::Fp32 {
        line.lost(format!("moments in {}", precision.moments.word()));
    }
    if matches!(scenario.recipe.optimizer, Optimizer::Muon { .. }) {
        line.lost("Muon: the registered models use AdamW");
    }
}

/// The sub-command at the end of the line.
fn recompute(line: &mut Line, plan: &Plan) {
    let tags = !plan.recompute.tags.is_empty();
    let kind = match plan.recompute.blocks {
        FullBlocks::All | FullBlocks::PerStage(_) => "full",
        FullBlocks::None if tags => "selective",
        FullBlocks::None => "none",
    };
    if let FullBlocks::PerStage(blocks) = plan.recompute.blocks {
        line.lost(format!("recomputing {blocks} blocks of each stage: all are"));
    }
    if plan.recompute.blocks != FullBlocks::None && !plan.recompute.early_stop {
        line.lost("running recomputed blocks whole: PyTorch stops before their last product");
    }
    if tags {
        line.lost("recomputing by tensor: `selective` keeps the outputs of chosen operators");
    }
    line.flag(&format!("activation-checkpoint:{kind}"));
}
