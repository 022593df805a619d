//! Arguments of Megatron-LM and MindSpeed-LLM to a draft.

use super::arguments::{Arguments, short};
use super::draft::{Draft, Model, list, schedule, set};
use super::shape;
use crate::launch::{Framework, layout};
use catalog::Dtype;
use program::Schedule;
use serde_json::Map;

/// Degrees, which everything else hangs on.
struct Degrees {
    tensor: u64,
    context: u64,
    pipeline: u64,
    virtual_pipeline: u64,
    /// Blocks, empty ones among them.
    layers: u64,
    /// Places of the empty ones, ascending.
    noops: Vec<u64>,
}

/// The draft of a line; `None` if what is wrong leaves nothing to go on with.
///
/// Defaults are the program's own, as its parser documents them.
pub(super) fn read(a: &mut Arguments<'_>, framework: Framework, ranks: u64) -> Option<Draft> {
    let layers = a.required("--num-layers");
    let noops = noops(a, layers);
    let d = degrees(a, layers, noops);
    let used = d.tensor.saturating_mul(d.context).saturating_mul(d.pipeline);
    if ranks > 1 && !ranks.is_multiple_of(used) {
        let message =
            format!("{ranks} ranks do not divide over tensor, context and pipeline {used}");
        a.blame("--tensor-model-parallel-size", message, None);
    }
    let data = (ranks / used.max(1)).max(1);
    let sequence = a.required("--seq-length");
    let micro_batch = a.required("--micro-batch-size");
    let batch = if a.has("--global-batch-size") {
        a.count("--global-batch-size").unwrap_or(1)
    } else {
        micro_batch.saturating_mul(data)
    };
    let samples = samples(a, batch);
    let (precision, moments) = formats(a);
    let mut draft = Draft {
        plan: Vec::new(),
        overlap: Vec::new(),
        sequence,
        batch,
        samples,
        model: Model::Config(Map::new()),
        products: precision.0,
        activations: precision.1,
        gradients: precision.2,
        moments,
        muon: muon(a),
    };
    plan(a, &mut draft, framework, &d);
    set(&mut draft, "micro_batch", micro_batch);
    sharding(a, &mut draft, data.saturating_mul(d.context));
    recompute(a, &mut draft, framework);
    overlap(a, &mut draft, framework, &d);
    kernels(a, &mut draft, framework, &d);
    if let Some(config) = shape::read(a, layers, &d.noops, sequence) {
        draft.model = Model::Config(config);
    }
    a.problems.0.iter().all(|p| p.severity != diagnostic::Severity::Error).then_some(draft)
}

fn or_one(a: &mut Arguments<'_>, name: &str) -> u64 {
    if a.has(name) { a.count(name).unwrap_or(1) } else { 1 }
}

/// MindSpeed-LLM's empty blocks, which pad a model to what every stage shares.
fn noops(a: &mut Arguments<'_>, layers: u64) -> Vec<u64> {
    let name = "--noop-layers";
    if !a.has(name) {
        return Vec::new();
    }
    let text = a.word(name).unwrap_or_default();
    let read: Option<Vec<u64>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    let mut places = read.unwrap_or_default();
    places.sort_unstable();
    places.dedup();
    let inside = places.last().is_some_and(|last| *last < layers);
    if !inside || places.len() as u64 >= layers {
        let message = format!("`{}` are no places among {layers} blocks", short(&text));
        a.blame(name, message, Some("`61,62,63` of 64"));
        return Vec::new();
    }
    places
}

const LAYOUT: &str = "--pipeline-model-parallel-layout";

fn degrees(a: &mut Arguments<'_>, layers: u64, noops: Vec<u64>) -> Degrees {
    let pipeline = or_one(a, "--pipeline-model-parallel-size");
    let mut virtual_pipeline = or_one(a, "--num-virtual-stages-per-pipeline-rank");
    if a.has("--num-layers-per-virtual-pipeline-stage") {
        let name = "--num-layers-per-virtual-pipeline-stage";
        let each = a.count(name).unwrap_or(1);
        let stages = each.saturating_mul(pipeline);
        if virtual_pipeline > 1 || a.has(LAYOUT) {
            a.blame(name, format!("`{name}` beside the number of virtual stages"), None);
        } else if layers.is_multiple_of(stages) {
            virtual_pipeline = layers / stages;
        } else {
            let message = format!("{layers} blocks do not divide over {pipeline} ranks by {each}");
            a.blame(name, message, None);
        }
    }
    if a.has(LAYOUT) {
        // The layout says it, too.
        if a.has("--num-virtual-stages-per-pipeline-rank") {
            a.blame(LAYOUT, format!("`{LAYOUT}` beside the number of virtual stages"), None);
        }
        let stages =
            a.word(LAYOUT).and_then(|text| layout::read(&text).ok()).map(|c| c.len() as u64);
        virtual_pipeline = stages.map_or(1, |stages| (stages / pipeline).max(1));
    }
    Degrees {
        tensor: or_one(a, "--tensor-model-parallel-size"),
        context: or_one(a, "--context-parallel-size"),
        pipeline,
        virtual_pipeline,
        layers,
        noops,
    }
}

/// Sequences of the whole run.
fn samples(a: &mut Arguments<'_>, batch: u64) -> u64 {
    if a.has("--train-samples") {
        a.count("--train-samples").unwrap_or(1)
    } else if a.has("--train-iters") {
        a.count("--train-iters").unwrap_or(1).saturating_mul(batch)
    } else {
        a.missing("--train-iters", Some("or `--train-samples`: they say how long the run is"));
        1
    }
}

/// Formats of products, activations and gradients; of moments.
fn formats(a: &mut Arguments<'_>) -> ((Dtype, Dtype, Dtype), Dtype) {
    let (bf16, fp16) = (a.flag("--bf16"), a.flag("--fp16"));
    if bf16 && fp16 {
        a.blame("--fp16", "`--bf16` and `--fp16` exclude each other".into(), None);
    }
    let wide = match (bf16, fp16) {
        (true, _) => Dtype::Bf16,
        (_, true) => Dtype::Fp16,
        _ => Dtype::Fp32,
    };
    let products = if a.has("--fp8-format") {
        let _ = (a.has("--fp8-recipe"), a.has("--fp8-param-gather"));
        Dtype::Fp8
    } else if a.has("--fp4-format") {
        Dtype::Fp4
    } else {
        wide
    };
    let _ = a.flag("--accumulate-allreduce-grads-in-fp32");
    let gradients = if a.flag("--grad-reduce-in-bf16") { Dtype::Bf16 } else { Dtype::Fp32 };
    let moments = if a.flag("--use-precision-aware-optimizer") && a.has("--exp-avg-dtype") {
        let _ = a.has("--exp-avg-sq-dtype");
        let word = a.word("--exp-avg-dtype").unwrap_or_default();
        let known = Dtype::WORDS.iter().find(|(_, w)| *w == word).map(|(d, _)| *d);
        if known.is_none() {
            a.blame("--exp-avg-dtype", format!("`{}` is no format", short(&word)), None);
        }
        known.unwrap_or(Dtype::Fp32)
    } else {
        Dtype::Fp32
    };
    ((products, wide, gradients), moments)
}

fn muon(a: &mut Arguments<'_>) -> Option<u64> {
    if !a.has("--optimizer") {
        return None;
    }
    match a.word("--optimizer").unwrap_or_default().as_str() {
        "adam" => None,
        // Five steps unless said.
        "muon" | "dist_muon" => {
            let name = "--muon-num-ns-steps";
            Some(if a.has(name) { a.count(name).unwrap_or(5) } else { 5 })
        }
        other => {
            let message = format!("optimizer `{}` is not modelled", short(other));
            a.blame("--optimizer", message, Some("`adam` or `muon`"));
            None
        }
    }
}

fn plan(a: &mut Arguments<'_>, draft: &mut Draft, framework: Framework, d: &Degrees) {
    set(draft, "tensor", d.tensor);
    set(draft, "context", d.context);
    set(draft, "pipeline", d.pipeline);
    if d.virtual_pipeline > 1 {
        set(draft, "virtual_pipeline", d.virtual_pipeline);
    }
    let expert = or_one(a, "--expert-model-parallel-size");
    set(draft, "expert", expert);
    if a.has("--num-experts") {
        // Left out, Megatron-LM takes the tensor degree; MindSpeed-LLM may use it for experts instead.
        let extended = framework == Framework::MindSpeed && a.flag("--moe-tp-extend-ep");
        if extended && d.tensor > 1 {
            draft.plan.retain(|(key, _)| *key != "expert");
            set(draft, "expert", expert.saturating_mul(d.tensor));
        }
        let default = if extended { 1 } else { d.tensor };
        let name = "--expert-tensor-parallel-size";
        let own = if a.has(name) { a.count(name).unwrap_or(default) } else { default };
        set(draft, "expert_tensor", own);
    } else {
        let _ = a.has("--expert-tensor-parallel-size");
    }
    if a.flag("--sequence-parallel") {
        set(draft, "sequence_parallel", true);
    }
    if a.flag("--use-tp-pp-dp-mapping") {
        if d.tensor * d.context == 1 && expert == 1 {
            set(draft, "pipeline_innermost", true);
        } else if d.context * expert == 1 {
            set(draft, "pipeline_before_data", true);
        } else {
            a.warn("pipeline ranks between expert and data ranks: taken as farthest apart".into());
        }
    }
    if a.has("--schedules-method") {
        let word = a.word("--schedules-method").unwrap_or_default();
        if word == "dualpipev" {
            return schedule_of(a, draft, framework, d, Schedule::DualPipeV);
        }
        let message = format!("schedule `{}` is not known", short(&word));
        a.blame("--schedules-method", message, Some("`dualpipev`"));
    }
    schedule_of(a, draft, framework, d, Schedule::OneFOneB);
}

fn schedule_of(
    a: &mut Arguments<'_>,
    draft: &mut Draft,
    framework: Framework,
    d: &Degrees,
    kind: Schedule,
) {
    schedule(draft, kind);
    let stages = kind.stages(d.pipeline, d.virtual_pipeline);
    let prediction = prediction_blocks(a);
    if let Some(counts) = cut(a, framework, d, stages, prediction) {
        set(draft, "stage_blocks", list_of(&counts));
    }
}

fn prediction_blocks(a: &mut Arguments<'_>) -> u64 {
    let (new, old) = ("--mtp-num-layers", "--num-nextn-predict-layers");
    let name = if a.has(new) { new } else { old };
    if a.has(name) { a.number(name).unwrap_or(0) } else { 0 }
}

fn list_of(counts: &[u64]) -> String {
    let words: Vec<String> = counts.iter().map(u64::to_string).collect();
    format!("[{}]", words.join(", "))
}

/// Blocks of each stage where they are not the even cut that a scenario without them means.
fn cut(
    a: &mut Arguments<'_>,
    framework: Framework,
    d: &Degrees,
    stages: u64,
    prediction: u64,
) -> Option<Vec<u64>> {
    // Nothing is allocated by a number that cannot be a number of stages.
    if stages > 100_000 || d.layers > 100_000 {
        let message = format!("{} blocks on {stages} stages", d.layers);
        a.blame("--num-layers", message, Some("at most 100,000 of each"));
        return None;
    }
    let total = d.layers + prediction - d.noops.len() as u64;
    let counts = if a.has(LAYOUT) {
        let text = a.word(LAYOUT)?;
        match layout::read(&text) {
            Ok(counts) => counts,
            Err(message) => {
                a.blame(LAYOUT, message, None);
                return None;
            }
        }
    } else if framework == Framework::MindSpeed && a.has("--num-layer-list") {
        let text = a.word("--num-layer-list")?;
        let counts: Option<Vec<u64>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
        if counts.is_none() {
            let message = format!("`{}` is no list of numbers", short(&text));
            a.blame("--num-layer-list", message, Some("`4,4,4,3`"));
        }
        counts?
    } else {
        default_cut(a, d, stages, prediction)?
    };
    let sum = counts.iter().try_fold(0_u64, |sum, n| sum.checked_add(*n));
    if counts.len() as u64 != stages || sum != Some(total) {
        let message =
            format!("{} stages of blocks {counts:?} for {stages} stages of {total}", counts.len());
        a.blame("--num-layers", short(&message), None);
        return None;
    }
    // What the scenario's own even cut gives need not be written.
    (counts != layout::even(total as usize, stages as usize)).then_some(counts)
}

/// Megatron-LM's own cut: even, or even between the given ends; prediction blocks go last.
fn default_cut(
    a: &mut Arguments<'_>,
    d: &Degrees,
    stages: u64,
    prediction: u64,
) -> Option<Vec<u64>> {
    let names = ["--decoder-first-pipeline-num-layers", "--decoder-last-pipeline-num-layers"];
    let ends = names.map(|name| a.has(name).then(|| a.number(name).unwrap_or(0)));
    let account =
        ["--account-for-embedding-in-pipeline-split", "--account-for-loss-in-pipeline-split"];
    let extra = account.map(|name| u64::from(a.flag(name)));
    let given = ends.iter().flatten().copied().fold(0_u64, u64::saturating_add);
    let open = stages.saturating_sub(ends.iter().flatten().count() as u64);
    let rest = (d.layers + extra[0] + extra[1]).checked_sub(given);
    let each = rest.filter(|rest| open > 0 && rest.is_multiple_of(open)).map(|rest| rest / open);
    let Some(each) = each.or((open == 0 && rest == Some(0)).then_some(0)) else {
        let message = format!("{} blocks do not divide over {stages} stages", d.layers);
        let hint = "`--pipeline-model-parallel-layout` cuts unevenly";
        a.blame("--num-layers", message, Some(hint));
        return None;
    };
    let mut counts = vec![each; stages as usize];
    for (end, at) in [(0, 0), (1, counts.len() - 1)] {
        if let Some(own) = ends[end] {
            counts[at] = own;
        }
        let Some(less) = counts[at].checked_sub(extra[end]) else {
            a.blame(account[end], "an end stage would hold less than nothing".into(), None);
            return None;
        };
        counts[at] = less;
    }
    let mut end = 0;
    let padded = counts.clone();
    for (count, whole) in counts.iter_mut().zip(padded) {
        let inside = |n: &&u64| (end..end + whole).contains(*n);
        *count -= d.noops.iter().filter(inside).count() as u64;
        end += whole;
    }
    *counts.last_mut()? += prediction;
    Some(counts)
}

fn sharding(a: &mut Arguments<'_>, draft: &mut Draft, group: u64) {
    let distributed = a.flag("--use-distributed-optimizer");
    let fsdp = ["--use-megatron-fsdp", "--use-custom-fsdp", "--use-torch-fsdp2"].map(|n| a.flag(n));
    let _ = a.has("--ckpt-format");
    let zero = if fsdp.contains(&true) {
        let name = "--data-parallel-sharding-strategy";
        let word = if a.has(name) { a.word(name) } else { Some("optim_grads_params".into()) };
        match word.as_deref() {
            _ if fsdp[2] => 3,
            Some("no_shard") => 0,
            Some("optim") => 1,
            Some("optim_grads") => 2,
            Some("optim_grads_params") => 3,
            other => {
                let message = format!("`{}` is no strategy", short(other.unwrap_or_default()));
                a.blame(name, message, None);
                0
            }
        }
    } else {
        let _ = a.has("--data-parallel-sharding-strategy");
        u8::from(distributed)
    };
    set(draft, "zero", zero);
    let name = "--num-distributed-optimizer-instances";
    if a.has(name) && zero > 0 {
        let instances = a.count(name).unwrap_or(1);
        if !group.is_multiple_of(instances) {
            a.blame(name, format!("{instances} do not divide the {group} data ranks"), None);
        } else if instances > 1 {
            set(draft, "shard_group", group / instances);
        }
    }
}

fn recompute(a: &mut Arguments<'_>, draft: &mut Draft, framework: Framework) {
    let mut words: Vec<String> = Vec::new();
    let mut full = false;
    let selective = a.flag("--recompute-activations");
    let granularity =
        if a.has("--recompute-granularity") { a.word("--recompute-granularity") } else { None };
    let modules =
        if a.has("--recompute-modules") { a.words("--recompute-modules") } else { vec![] };
    match granularity.as_deref() {
        Some("full") => full = recompute_full(a, &mut words),
        Some("selective") => modules_to_tags(a, &modules, &mut words),
        None if selective => modules_to_tags(a, &modules, &mut words),
        None => {}
        Some(other) => {
            let message = format!("`{}` is no granularity", short(other));
            a.blame("--recompute-granularity", message, Some("`full` or `selective`"));
        }
    }
    let mut own = vec![("--moe-layer-recompute", "moe")];
    if framework == Framework::MindSpeed {
        own.extend([
            ("--recompute-norm", "norm"),
            ("--recompute-activation-function", "activation"),
            ("--recompute-mla-up-proj", "up-projection"),
        ]);
    }
    for (name, tag) in own {
        if a.flag(name) && !words.iter().any(|w| w == tag) {
            words.push(tag.to_owned());
        }
    }
    let place = |word: &String| model::Tag::WORDS.iter().position(|(_, w)| w == word);
    words.sort_by_key(place);
    let text = match (full, words.is_empty()) {
        (true, _) => "\"full\"".to_owned(),
        (false, true) => "\"none\"".to_owned(),
        (false, false) => list(&words),
    };
    set(draft, "recompute", text);
}

/// Whole blocks; true if all of them.
fn recompute_full(a: &mut Arguments<'_>, words: &mut Vec<String>) -> bool {
    let method = if a.has("--recompute-method") { a.word("--recompute-method") } else { None };
    let name = "--recompute-num-layers";
    let blocks = if a.has(name) { a.number(name) } else { None };
    match method.as_deref() {
        Some("uniform") => {
            if blocks.is_some_and(|n| n > 1) {
                a.warn("blocks recomputed in groups: taken as one by one".to_owned());
            }
            true
        }
        Some("block") => {
            words.push(format!("blocks:{}", blocks.unwrap_or(0)));
            false
        }
        _ => {
            let hint = "`uniform` or `block`";
            a.blame(
                "--recompute-granularity",
                "`--recompute-method` is missing".into(),
                Some(hint),
            );
            false
        }
    }
}

fn modules_to_tags(a: &mut Arguments<'_>, modules: &[String], words: &mut Vec<String>) {
    // The core of attention unless said.
    let default = ["core_attn".to_owned()];
    for module in if modules.is_empty() { &default[..] } else { modules } {
        let tag = match module.as_str() {
            "layernorm" => "norm",
            "moe_act" => "activation",
            "mla_up_proj" => "up-projection",
            "core_attn" => "core",
            "mlp" | "shared_experts" => "mlp",
            "moe" => "moe",
            other => {
                let message = format!("`{}` is nothing to recompute", short(other));
                a.blame("--recompute-modules", message, None);
                continue;
            }
        };
        if !words.iter().any(|w| w == tag) {
            words.push(tag.to_owned());
        }
    }
}

fn overlap(a: &mut Arguments<'_>, draft: &mut Draft, framework: Framework, d: &Degrees) {
    let mindspeed = framework == Framework::MindSpeed;
    if a.flag("--overlap-grad-reduce") {
        draft.overlap.push("gradient_reduce");
    }
    if a.flag("--overlap-param-gather") {
        draft.overlap.push("parameter_gather");
    }
    let expert =
        ["--overlap-moe-expert-parallel-comm", "--moe-fb-overlap", "--moe-alltoall-overlap-comm"]
            .map(|name| a.flag(name));
    if expert.contains(&true) {
        draft.overlap.push("expert");
    }
    if ["--tp-comm-overlap", "--use-ascend-mc2", "--use-mc2"].map(|n| a.flag(n)).contains(&true) {
        draft.overlap.push("tensor");
    }
    let kind = if a.has("--cp-comm-type") { a.words("--cp-comm-type") } else { vec![] };
    if mindspeed {
        let _ = a.has("--context-parallel-algo");
        if a.flag("--use-cp-send-recv-overlap") && d.context > 1 {
            draft.overlap.push("context");
        }
    } else if d.context > 1 && kind.iter().all(|k| k == "p2p") {
        // A ring of sends beside attention, and the default.
        draft.overlap.push("context");
    }
    let waits = a.flag("--no-overlap-p2p-communication");
    let dual = draft.plan.iter().any(|(k, v)| *k == "schedule" && v.contains("dualpipev"));
    if d.pipeline > 1 && !waits && (d.virtual_pipeline > 1 || dual) {
        draft.overlap.push("pipeline");
    }
}

fn kernels(a: &mut Arguments<'_>, draft: &mut Draft, framework: Framework, d: &Degrees) {
    let mindspeed = framework == Framework::MindSpeed;
    let flash = a.flag("--use-flash-attn");
    let name = "--attention-backend";
    let backend = if a.has(name) { a.word(name).unwrap_or_default() } else { String::new() };
    let local =
        a.has("--transformer-impl") && a.word("--transformer-impl").is_some_and(|w| w == "local");
    let unfused = if mindspeed {
        // Context parallelism turns it on there.
        !flash && d.context == 1
    } else {
        ["unfused", "local"].contains(&backend.as_str()) || (local && !flash && backend.is_empty())
    };
    if unfused {
        set(draft, "unfused_attention", true);
    }
    let offload = "--cpu-offloading-num-layers";
    if !mindspeed
        && a.has(offload)
        && let Some(blocks) = a.count(offload).filter(|n| *n > 0)
    {
        set(draft, "offload_blocks", blocks);
    }
    let graphs =
        a.has("--cuda-graph-impl") && a.word("--cuda-graph-impl").is_some_and(|w| w != "none");
    let old = ["--enable-cuda-graph", "--external-cuda-graph"].map(|n| a.flag(n));
    let _ = a.has("--te-rng-tracker");
    if graphs || old.contains(&true) {
        set(draft, "graphs", true);
    }
    // Only this implementation keeps no FP32 logits.
    let fused = a.flag("--cross-entropy-loss-fusion")
        && a.has("--cross-entropy-fusion-impl")
        && a.word("--cross-entropy-fusion-impl").is_some_and(|w| w == "te");
    if fused {
        set(draft, "fused_loss", true);
    }
    let deep = a.flag("--moe-enable-deepep");
    let flex = a.has("--moe-token-dispatcher-type")
        && a.word("--moe-token-dispatcher-type").is_some_and(|w| w == "flex");
    let hybrid = a.has("--moe-flex-dispatcher-backend")
        && a.word("--moe-flex-dispatcher-backend").is_some_and(|w| w == "hybridep");
    let _ = a.has("--moe-grouped-gemm");
    if deep || flex {
        set(draft, "deduplicated_dispatch", true);
        if hybrid && !deep {
            set(draft, "routing_gathered", true);
        }
    }
    if mindspeed && (a.has("--lora-target-modules") || a.has("--lora-r")) {
        let rank = if a.has("--lora-r") { a.count("--lora-r").unwrap_or(16) } else { 16 };
        set(draft, "adapters", rank);
        if a.words("--lora-target-modules") == ["linear_qkv"] {
            set(draft, "adapters_on_qkv", true);
        }
    }
}
