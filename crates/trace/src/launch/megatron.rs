//! A plan in the arguments of Megatron-LM and MindSpeed-LLM.

use super::line::Line;
use super::{Framework, precision, schedules, shape};
use model::{Architecture, Attention, Ffn, Tag};
use plan::{FullBlocks, Plan, Zero};
use program::Schedule;
use scenario::{Job, Scenario};

/// Everything after the launcher, in the order a reader asks: degrees, schedule, memory, overlap,
/// batch, precision, model, data.
pub(super) fn write(line: &mut Line, scenario: &Scenario, job: &Job) {
    let model = &scenario.model;
    line.torchrun(scenario, &["pretrain_gpt.py"]);
    line.group();
    let plan = &schedules::as_run(line, &job.plan, model);
    connections(line, scenario, plan);
    degrees(line, plan, has_experts(model));
    let slots = schedules::write(line, plan, model);
    line.group();
    sharding(line, plan, model);
    recompute(line, plan, model);
    line.group();
    overlap(line, plan, model);
    kernels(line, plan, model);
    line.group();
    line.set("--seq-length", job.sequence);
    line.set("--micro-batch-size", plan.micro_batch);
    line.set("--global-batch-size", job.batch_sequences);
    let tokens = scenario.recipe.tokens.value * job.share.value;
    line.set("--train-samples", (tokens / job.sequence as f64).round().max(1.0) as u64);
    line.group();
    precision::write(line, scenario, plan.zero >= Zero::Gradients);
    line.group();
    shape::write(line, model, plan, job.sequence, &slots);
    line.group();
    data(line, model);
}

pub(super) fn has_experts(model: &Architecture) -> bool {
    model.layers.iter().chain(&model.mtp).any(|l| matches!(l.ffn, Ffn::Moe { .. }))
}

pub(super) fn is_mindspeed(line: &Line) -> bool {
    line.framework == Framework::MindSpeed
}

fn degrees(line: &mut Line, plan: &Plan, experts: bool) {
    line.set("--tensor-model-parallel-size", plan.tensor);
    line.set("--context-parallel-size", plan.context);
    line.set("--pipeline-model-parallel-size", plan.pipeline);
    if experts {
        line.set("--expert-model-parallel-size", plan.expert);
        // Left out, it would be the tensor degree.
        line.set("--expert-tensor-parallel-size", plan.expert_tensor);
    }
    if plan.sequence_parallel {
        line.flag("--sequence-parallel");
    }
    if plan.pipeline_before_data && plan.pipeline > 1 {
        line.flag("--use-tp-pp-dp-mapping");
        if plan.context * plan.expert > 1 {
            line.lost("pipeline ranks before context and expert ranks: they come after those");
        }
    } else if plan.pipeline_innermost && plan.pipeline > 1 {
        if plan.tensor * plan.context * plan.expert * plan.expert_tensor == 1 {
            line.flag("--use-tp-pp-dp-mapping");
        } else {
            line.lost("pipeline ranks as nearest neighbours: tensor, context and expert ranks are");
        }
    }
}

/// Up to Hopper, Megatron-LM refuses tensor and context ranks unless kernels are launched in one order,
/// and sharded weights if they are; overlapped experts want many queues.
fn connections(line: &mut Line, scenario: &Scenario, plan: &Plan) {
    let newer = ["blackwell", "rubin"].contains(&scenario.cluster.chip.family.as_str());
    let sharded = plan.zero >= Zero::Gradients && !is_mindspeed(line);
    if plan.tensor * plan.context > 1 && !newer && !sharded {
        line.environment("CUDA_DEVICE_MAX_CONNECTIONS=1");
    }
}

fn sharding(line: &mut Line, plan: &Plan, model: &Architecture) {
    let whole = plan.data * plan.context;
    match plan.zero {
        Zero::None => {}
        Zero::Optimizer => line.flag("--use-distributed-optimizer"),
        Zero::Gradients | Zero::Weights if is_mindspeed(line) => {
            line.flag("--use-distributed-optimizer");
            line.lost(format!(
                "ZeRO stage {}: this command shards the optimizer only",
                stage(plan)
            ));
        }
        Zero::Gradients | Zero::Weights => {
            line.flag("--use-distributed-optimizer");
            line.flag("--use-megatron-fsdp");
            let strategy =
                if plan.zero == Zero::Weights { "optim_grads_params" } else { "optim_grads" };
            line.set("--data-parallel-sharding-strategy", strategy);
            line.set("--ckpt-format", "fsdp_dtensor");
        }
    }
    if let Some(group) = plan.shard_group
        && plan.zero != Zero::None
        && group < whole
    {
        line.set("--num-distributed-optimizer-instances", whole / group.max(1));
    }
    if let Some(rank) = plan.adapters {
        if is_mindspeed(line) {
            line.set("--lora-r", rank);
            let all = ["linear_qkv", "linear_proj", "linear_fc1", "linear_fc2"];
            let layers = if plan.adapters_on_qkv { &all[..1] } else { &all[..] };
            line.list("--lora-target-modules", layers);
        } else {
            line.lost(format!("adapters of rank {rank}: this command trains all weights"));
        }
    }
    if model.layers.is_empty() {
        line.lost("a model without blocks");
    }
}

fn stage(plan: &Plan) -> u8 {
    match plan.zero {
        Zero::None => 0,
        Zero::Optimizer => 1,
        Zero::Gradients => 2,
        Zero::Weights => 3,
    }
}

fn recompute(line: &mut Line, plan: &Plan, model: &Architecture) {
    let full = match plan.recompute.blocks {
        FullBlocks::None => None,
        FullBlocks::All => Some(("uniform", 1)),
        FullBlocks::PerStage(n) => Some(("block", n)),
    };
    if plan.recompute.early_stop && full.is_some() {
        line.lost("recomputation that stops before a block's last product: blocks run whole");
    }
    if let Some((method, blocks)) = full {
        line.set("--recompute-granularity", "full");
        line.set("--recompute-method", method);
        line.set("--recompute-num-layers", blocks);
    }
    if is_mindspeed(line) {
        return mindspeed_tags(line, plan);
    }
    let tags = &plan.recompute.tags;
    if tags.is_empty() {
        return;
    }
    if full.is_some() {
        let words: Vec<&str> = tags.iter().map(|t| word(*t)).collect();
        line.lost(format!("recomputing {} beside whole blocks", words.join(", ")));
        return;
    }
    let mut modules = Vec::new();
    for tag in tags {
        let names: &[&str] = match tag {
            Tag::Norm => &["layernorm"],
            Tag::Activation if has_experts(model) => &["moe_act"],
            Tag::UpProjection if is_latent(model) => &["mla_up_proj"],
            Tag::Core => &["core_attn"],
            Tag::Mlp if has_shared(model) => &["mlp", "shared_experts"],
            Tag::Mlp => &["mlp"],
            Tag::Moe if has_experts(model) => &["moe"],
            _ => &[],
        };
        if names.is_empty() {
            line.lost(format!("recomputing `{}` in this model", word(*tag)));
        }
        modules.extend(names);
    }
    if !modules.is_empty() {
        line.set("--recompute-granularity", "selective");
        line.list("--recompute-modules", &modules);
    }
}

/// MindSpeed-LLM recomputes norms and activations neither beside uniform blocks nor beside the core of
/// attention, and the up-projection only where it overlaps its own exchange.
fn mindspeed_tags(line: &mut Line, plan: &Plan) {
    let tags = &plan.recompute.tags;
    let plain = plan.recompute.blocks == FullBlocks::None;
    let uniform = plan.recompute.blocks == FullBlocks::All;
    let alone = ![Tag::Norm, Tag::Activation].iter().any(|tag| tags.contains(tag));
    let overlapped = plan.sequence_parallel && plan.tensor > 1;
    for tag in tags {
        match tag {
            Tag::Norm if !uniform => line.flag("--recompute-norm"),
            Tag::Activation if !uniform => line.flag("--recompute-activation-function"),
            Tag::UpProjection if overlapped => {
                line.flag("--mla-mm-split");
                line.flag("--mla-up-proj-tp-overlap");
                line.flag("--recompute-mla-up-proj");
                line.lost(
                    "the up-projection's exchange as it is: it is overlapped when recomputed",
                );
            }
            Tag::Core if plain && alone => line.set("--recompute-granularity", "selective"),
            Tag::Moe => line.flag("--moe-layer-recompute"),
            other => line.lost(format!("recomputing `{}` in this plan", word(*other))),
        }
    }
}

/// The word a scenario uses for a tag.
fn word(tag: Tag) -> &'static str {
    Tag::WORDS.iter().find(|(t, _)| *t == tag).map_or("?", |(_, w)| w)
}

fn is_latent(model: &Architecture) -> bool {
    model.layers.iter().any(|l| matches!(l.attention, Attention::Latent { .. }))
}

fn has_indexer(model: &Architecture) -> bool {
    let indexed = |a| matches!(a, Attention::Latent { indexer: Some(_), .. });
    model.layers.iter().any(|l| indexed(l.attention))
}

fn has_shared(model: &Architecture) -> bool {
    let shared = |ffn| matches!(ffn, Ffn::Moe { shared_width, .. } if shared_width > 0);
    model.layers.iter().any(|l| shared(l.ffn))
}

fn overlap(line: &mut Line, plan: &Plan, model: &Architecture) {
    let on = plan.overlap;
    data_overlap(line, plan, model);
    if on.tensor && plan.tensor > 1 {
        if !plan.sequence_parallel {
            line.lost("overlapped tensor exchange: not without sequence parallelism");
        } else if is_mindspeed(line) && has_experts(model) {
            line.lost("overlapped tensor exchange: MC2 is not for models with experts");
        } else {
            line.flag(if is_mindspeed(line) { "--use-ascend-mc2" } else { "--tp-comm-overlap" });
        }
    }
    if plan.context > 1 {
        match (is_mindspeed(line), on.context) {
            (false, true) if has_indexer(model) => {
                line.list("--cp-comm-type", &["allgather"]);
                line.lost("an overlapped context exchange: sparse attention gathers first");
            }
            (false, true) => line.list("--cp-comm-type", &["p2p"]),
            (false, false) => line.list("--cp-comm-type", &["allgather"]),
            (true, overlapped) => {
                line.set("--context-parallel-algo", "megatron_cp_algo");
                if overlapped {
                    line.flag("--use-cp-send-recv-overlap");
                }
            }
        }
    }
    experts(line, plan, model);
    stages(line, plan);
}

/// Whether forward and backward of two micro-batches run side by side, experts' exchange hidden.
fn side_by_side(line: &Line, plan: &Plan, model: &Architecture) -> bool {
    is_mindspeed(line) && has_experts(model) && plan.schedule == Schedule::DualPipeV
}

fn data_overlap(line: &mut Line, plan: &Plan, model: &Architecture) {
    let on = plan.overlap;
    let dual = is_mindspeed(line) && plan.schedule == Schedule::DualPipeV;
    let barred = dual || side_by_side(line, plan, model);
    let reduces = on.gradient_reduce && !barred;
    if reduces {
        line.flag("--overlap-grad-reduce");
    } else if on.gradient_reduce {
        line.lost("overlapped gradient reduction: not beside `dualpipev`");
    }
    if on.parameter_gather {
        if plan.zero == Zero::None {
            line.lost("overlapped parameter gathering: nothing is gathered without sharding");
        } else if reduces {
            line.flag("--overlap-param-gather");
        } else {
            line.lost("overlapped parameter gathering: only beside overlapped gradient reduction");
        }
    }
}

/// Sends between stages: overlapped by Megatron-LM when it interleaves, and then by default.
fn stages(line: &mut Line, plan: &Plan) {
    let interleaved = plan.virtual_pipeline > 1 || plan.schedule != Schedule::OneFOneB;
    match (plan.overlap.pipeline, interleaved) {
        (false, true) if plan.pipeline > 2 => line.flag("--no-overlap-p2p-communication"),
        (false, true) if plan.pipeline > 1 => {
            line.lost("sends between stages that do not overlap: two ranks' must when interleaved");
        }
        (true, false) if plan.pipeline > 1 => {
            line.lost("overlapped sends between stages: plain 1F1B waits for them");
        }
        _ => {}
    }
}

fn experts(line: &mut Line, plan: &Plan, model: &Architecture) {
    if !has_experts(model) {
        return;
    }
    line.flag("--moe-grouped-gemm");
    if plan.deduplicated_dispatch && !is_mindspeed(line) {
        line.set("--moe-token-dispatcher-type", "flex");
        if plan.routing_gathered {
            line.set("--moe-flex-dispatcher-backend", "hybridep");
        } else {
            line.flag("--moe-enable-deepep");
        }
    } else {
        line.set("--moe-token-dispatcher-type", "alltoall");
        if plan.deduplicated_dispatch {
            line.lost("tokens sent once to each host of their experts: every copy is sent");
        }
    }
    if !plan.overlap.expert {
        if is_mindspeed(line) && plan.schedule == Schedule::DualPipeV {
            // The schedule requires it.
            line.flag("--moe-fb-overlap");
            line.lost("`dualpipev` without overlapped expert exchange");
        }
        return;
    }
    if plan.expert == 1 {
        // Nothing is exchanged.
        return;
    }
    if is_mindspeed(line) {
        let name = if plan.schedule == Schedule::DualPipeV {
            "--moe-fb-overlap"
        } else {
            "--moe-alltoall-overlap-comm"
        };
        line.flag(name);
    } else if plan.pipeline > 1 && plan.virtual_pipeline == 1 {
        line.lost_hint(
            "overlapped expert exchange: with a pipeline it needs virtual stages",
            "`plan.virtual_pipeline` of 2 or more with schedule `1f1b`",
        );
    } else if plan.recompute.blocks != FullBlocks::None || plan.recompute.tags.contains(&Tag::Moe) {
        line.lost("overlapped expert exchange: not beside recomputed blocks or experts");
    } else {
        line.flag("--overlap-moe-expert-parallel-comm");
    }
}

fn kernels(line: &mut Line, plan: &Plan, model: &Architecture) {
    if plan.offload_blocks > 0 {
        // Megatron-Core refuses it beside pipelines and beside recomputation.
        if is_mindspeed(line) || plan.pipeline > 1 || recomputes(plan) {
            line.lost("saved tensors in the host's memory");
        } else {
            line.set("--cpu-offloading-num-layers", plan.offload_blocks);
        }
    }
    if is_mindspeed(line) {
        line.flag("--use-mcore-models");
        let gated = |l: &model::Layer| match l.ffn {
            Ffn::Dense(mlp) | Ffn::Moe { expert: mlp, .. } => mlp.gated,
        };
        if model.layers.iter().any(gated) {
            line.flag("--use-fused-swiglu");
        }
        if !model.norm.bias {
            line.flag("--use-fused-rmsnorm");
        }
        if !plan.unfused_attention {
            line.flag("--use-flash-attn");
        } else if plan.context > 1 {
            line.lost("unfused attention: context parallelism turns the fused kernel on");
        }
        if plan.graphs {
            line.lost("kernels launched as graphs");
        }
        if plan.fused_loss {
            let message = "a loss fused with the head";
            if model.mtp.is_empty() {
                line.lost(message);
            } else {
                line.flag("--mtp-mem-efficient-logits");
                line.lost(format!("{message}, but for the prediction block's"));
            }
        }
        return;
    }
    let backend = if plan.unfused_attention { "unfused" } else { "auto" };
    line.set("--attention-backend", backend);
    if plan.graphs && plan.recompute.blocks != FullBlocks::None {
        line.lost("kernels launched as graphs: not beside blocks recomputed whole");
    } else if plan.graphs {
        line.set("--cuda-graph-impl", "transformer_engine");
        line.flag("--te-rng-tracker");
    }
    if plan.fused_loss {
        line.flag("--cross-entropy-loss-fusion");
        line.lost_hint(
            "a loss that keeps no FP32 logits: the native fusion is written",
            "this version refuses Transformer Engine's as unstable",
        );
    }
}

fn recomputes(plan: &Plan) -> bool {
    plan.recompute.blocks != FullBlocks::None || !plan.recompute.tags.is_empty()
}

fn data(line: &mut Line, model: &Architecture) {
    line.flag("--mock-data");
    line.set("--tokenizer-type", "NullTokenizer");
    line.set("--vocab-size", model.vocab);
    line.set("--make-vocab-size-divisible-by", 1);
    line.set("--lr", "1.0e-4");
    // Its defaults are 0.1; no cost is modelled.
    line.set("--attention-dropout", "0.0");
    line.set("--hidden-dropout", "0.0");
}
