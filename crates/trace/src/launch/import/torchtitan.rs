//! torchtitan's options, by command line or by the TOML of its earlier versions, to a draft.

use super::arguments::{Arguments, Entry, short};
use super::draft::{Draft, Model, schedule, set};
use super::words::Word;
use crate::launch::layout;
use crate::launch::torchtitan::{FP8_MODEL, MODELS, SCHEDULES};
use catalog::{Dtype, Kind};
use diagnostic::{Diagnostic, Diagnostics};
use model::Architecture;
use program::Schedule;

/// What the registered configurations of 0.3.0 set apart from the options' own defaults.
const REGISTERED: [(&str, &[(&str, &str)]); 5] = [
    (
        "llama3-8b",
        &[
            ("--training.local-batch-size", "1"),
            ("--training.seq-len", "8192"),
            ("--training.steps", "1000"),
        ],
    ),
    (
        "llama3-70b",
        &[
            ("--training.local-batch-size", "8"),
            ("--training.seq-len", "8192"),
            ("--training.steps", "1000"),
            ("--parallelism.tensor-parallel-degree", "8"),
            ("--activation-checkpoint.mode", "full"),
        ],
    ),
    (
        "llama3-405b",
        &[
            ("--training.local-batch-size", "2"),
            ("--training.seq-len", "8192"),
            ("--training.steps", "3000"),
            ("--parallelism.tensor-parallel-degree", "8"),
            ("--activation-checkpoint.mode", "full"),
            ("--compile.enable-async-tensor-parallel", "true"),
        ],
    ),
    (
        "deepseek-v3-671b",
        &[
            ("--training.local-batch-size", "4"),
            ("--training.seq-len", "4096"),
            ("--training.steps", "10000"),
            ("--training.disable-cuda-graphs", "true"),
            ("--parallelism.pipeline-parallel-schedule", "Interleaved1F1B"),
            ("--parallelism.expert-parallel-degree", "2"),
        ],
    ),
    (
        "gpt-oss-120b",
        &[
            ("--training.local-batch-size", "1"),
            ("--training.seq-len", "8192"),
            ("--activation-checkpoint.mode", "full"),
        ],
    ),
];

/// Names of earlier versions with today's.
const RENAMED: [(&str, &str); 8] = [
    ("--training.batch-size", "--training.local-batch-size"),
    ("--training.tensor-parallel-degree", "--parallelism.tensor-parallel-degree"),
    ("--training.data-parallel-shard-degree", "--parallelism.data-parallel-shard-degree"),
    ("--training.data-parallel-replicate-degree", "--parallelism.data-parallel-replicate-degree"),
    ("--experimental.context-parallel-degree", "--parallelism.context-parallel-degree"),
    ("--experimental.pipeline-parallel-degree", "--parallelism.pipeline-parallel-degree"),
    ("--experimental.pipeline-parallel-schedule", "--parallelism.pipeline-parallel-schedule"),
    ("--parallelism.enable-async-tensor-parallel", "--compile.enable-async-tensor-parallel"),
];

/// The options of a TOML file of torchtitan, if that is what `text` is.
///
/// # Errors
/// A text that begins like one and is no TOML.
pub(super) fn file(name: &str, text: &str) -> Result<Option<Vec<Entry>>, Diagnostics> {
    let tables = ["[parallelism]", "[training]", "[job]", "[model]", "[metrics]"];
    if !text.lines().any(|line| tables.contains(&line.trim())) {
        return Ok(None);
    }
    if text.len() > 1 << 20 {
        let problem = Diagnostic::error("launch::toml", "more than 1 MiB is no configuration");
        return Err(problem.into());
    }
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        let span = e.span().unwrap_or(0..0);
        Diagnostic::error("launch::toml", e.message().to_owned()).at(name, span)
    })?;
    let mut entries = Vec::new();
    for (section, value) in &table {
        let Some(inner) = value.as_table() else { continue };
        for (key, value) in inner {
            let text = match value {
                toml::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let full = format!("--{section}.{key}").replace('_', "-");
            let values = vec![Word { text, span: 0..0, unset: None }];
            entries.push(Entry { name: full, values, span: 0..0 });
        }
    }
    Ok(Some(entries))
}

/// The draft of a line.
pub(super) fn read(a: &mut Arguments<'_>, ranks: u64) -> Option<Draft> {
    rename(a);
    let model = which(a)?;
    let context = or(a, "--parallelism.context-parallel-degree", 1);
    let tensor = or(a, "--parallelism.tensor-parallel-degree", 1);
    let pipeline = or(a, "--parallelism.pipeline-parallel-degree", 1);
    let used = tensor.saturating_mul(context).saturating_mul(pipeline);
    if ranks > 1 && !ranks.is_multiple_of(used) {
        let message =
            format!("{ranks} ranks do not divide over tensor, context and pipeline {used}");
        a.blame("--parallelism.tensor-parallel-degree", message, None);
    }
    let data = (ranks / used.max(1)).max(1);
    let sequence = or(a, "--training.seq-len", 2048);
    let local = or(a, "--training.local-batch-size", 8);
    let batch = batch(a, local, data);
    let steps = or(a, "--training.steps", 10_000);
    let param = "--training.mixed-precision-param";
    let wide = if a.has(param) && a.word(param).is_some_and(|w| w == "float32") {
        Dtype::Fp32
    } else {
        Dtype::Bf16
    };
    let _ = (a.has("--training.mixed-precision-reduce"), a.has("--compile.enable"));
    let mut draft = Draft {
        plan: Vec::new(),
        overlap: Vec::new(),
        sequence,
        batch,
        samples: steps.saturating_mul(batch),
        model: Model::Catalog(model.to_owned()),
        products: if model == FP8_MODEL && at_newest(a) { Dtype::Fp8 } else { wide },
        activations: wide,
        gradients: Dtype::Fp32,
        moments: Dtype::Fp32,
        muon: None,
    };
    set(&mut draft, "tensor", tensor);
    set(&mut draft, "context", context);
    set(&mut draft, "pipeline", pipeline);
    set(&mut draft, "expert", or(a, "--parallelism.expert-parallel-degree", 1));
    let name = "--parallelism.expert-tensor-parallel-degree";
    if a.has(name) {
        set(&mut draft, "expert_tensor", or(a, name, 1));
    }
    sharding(a, &mut draft, data, context);
    stages(a, &mut draft, model, pipeline, local);
    options(a, &mut draft, pipeline, data);
    recompute(a, &mut draft);
    a.problems.0.iter().all(|p| p.severity != diagnostic::Severity::Error).then_some(draft)
}

fn or(a: &mut Arguments<'_>, name: &str, default: u64) -> u64 {
    if a.has(name) { a.count(name).unwrap_or(default) } else { default }
}

fn rename(a: &mut Arguments<'_>) {
    let renamed: Vec<Entry> = a
        .rest()
        .into_iter()
        .filter_map(|entry| {
            let (_, new) = RENAMED.iter().find(|(old, _)| *old == entry.name)?;
            Some(Entry { name: (*new).to_owned(), ..entry })
        })
        .collect();
    for (old, _) in RENAMED {
        let _ = a.has(old);
    }
    a.underlay(renamed);
}

/// The catalog's id of the model, and the registered settings under the line's own.
fn which(a: &mut Arguments<'_>) -> Option<&'static str> {
    let (name, flavor) = if a.has("--module") || a.has("--config") {
        (a.word("--module")?, a.word("--config")?)
    } else if a.has("--model.name") {
        let name = a.word("--model.name")?;
        let flavor =
            if a.has("--model.flavor") { a.word("--model.flavor")? } else { String::new() };
        (name.clone(), format!("{name}_{}", flavor.to_lowercase()))
    } else {
        if a.has("--job.config-file") {
            let message = "the options are in another file: import that file".to_owned();
            a.blame("--job.config-file", message, None);
        } else {
            a.missing("--module", Some("`--module llama3 --config llama3_8b`"));
        }
        return None;
    };
    let known = MODELS.iter().find(|(module, config, _)| *module == name && *config == flavor);
    let Some((_, config, id)) = known else {
        let message =
            format!("the model `{}` `{}` is not known here", short(&name), short(&flavor));
        let list = MODELS.map(|(_, config, _)| config).join(", ");
        let at = if a.has("--config") { "--config" } else { "--model.flavor" };
        a.blame(at, message, Some(&format!("one of {list}")));
        return None;
    };
    if at_newest(a) {
        let dashed = config.replace('_', "-");
        let set = REGISTERED.iter().find(|(name, _)| *name == dashed).map_or(&[][..], |(_, s)| s);
        let word = |text: &str| Word { text: text.to_owned(), span: 0..0, unset: None };
        let entry = |(name, value): &(&str, &str)| Entry {
            name: (*name).to_owned(),
            values: vec![word(value)],
            span: 0..0,
        };
        a.underlay(set.iter().map(entry).collect());
    }
    Some(id)
}

/// Whether the line names a registered configuration, whose settings stand under its own.
fn at_newest(a: &mut Arguments<'_>) -> bool {
    a.has("--config")
}

fn batch(a: &mut Arguments<'_>, local: u64, data: u64) -> u64 {
    let name = "--training.global-batch-size";
    // -1 means no accumulation.
    let given = a.has(name) && a.word(name).is_some_and(|w| w != "-1");
    if given { a.count(name).unwrap_or(1) } else { local.saturating_mul(data) }
}

fn sharding(a: &mut Arguments<'_>, draft: &mut Draft, data: u64, context: u64) {
    let replicas = or(a, "--parallelism.data-parallel-replicate-degree", 1);
    let name = "--parallelism.data-parallel-shard-degree";
    // -1 means the ranks that are left.
    let given = a.has(name) && a.word(name).is_some_and(|w| w != "-1");
    let shards = if given { a.count(name).unwrap_or(1) } else { (data / replicas.max(1)).max(1) };
    if shards.checked_mul(replicas) != Some(data) {
        let message =
            format!("{shards} shards of {replicas} replicas are not the {data} data ranks");
        a.blame(name, message, None);
    }
    let reshard = "--parallelism.fsdp-reshard-after-forward";
    let word = if a.has(reshard) { a.word(reshard) } else { None };
    let whole = shards.saturating_mul(context);
    let zero = match word.as_deref() {
        _ if whole == 1 => 0,
        Some("never") => 2,
        Some("always") => 3,
        // Smart defaults: weights stay gathered beside a pipeline.
        _ if draft.plan.iter().any(|(k, v)| *k == "pipeline" && v != "1") => 2,
        _ => 3,
    };
    set(draft, "zero", zero);
    if zero > 0 {
        draft.overlap.extend(["gradient_reduce", "parameter_gather"]);
        if replicas > 1 {
            set(draft, "shard_group", whole);
        }
    }
    let no = "--parallelism.no-enable-sequence-parallel";
    let yes = "--parallelism.enable-sequence-parallel";
    let on = if a.has(yes) { a.flag(yes) } else { true };
    let off = a.flag(no);
    if on && !off {
        set(draft, "sequence_parallel", true);
    }
}

fn stages(a: &mut Arguments<'_>, draft: &mut Draft, id: &str, pipeline: u64, local: u64) {
    let name = "--parallelism.pipeline-parallel-schedule";
    let word = if a.has(name) { a.word(name).unwrap_or_default() } else { "1F1B".to_owned() };
    let micro = "--parallelism.pipeline-parallel-microbatch-size";
    let micro_batch = if pipeline > 1 { or(a, micro, 1) } else { local };
    let _ = a.has(micro);
    set(draft, "micro_batch", micro_batch);
    if pipeline == 1 {
        for cut in ["layers-per-stage", "first-stage-less-layers", "last-stage-less-layers"] {
            let _ = a.has(&format!("--parallelism.pipeline-parallel-{cut}"));
        }
        return schedule(draft, Schedule::OneFOneB);
    }
    let interleaved = word.eq_ignore_ascii_case("Interleaved1F1B");
    let known = SCHEDULES.iter().find(|(_, w)| w.eq_ignore_ascii_case(&word)).map(|(s, _)| *s);
    let Some(kind) = known.or(interleaved.then_some(Schedule::OneFOneB)) else {
        let message = format!("schedule `{}` is not known here", short(&word));
        let list = SCHEDULES.map(|(_, w)| w).join(", ");
        a.blame(name, message, Some(&format!("one of {list}, Interleaved1F1B")));
        return;
    };
    schedule(draft, kind);
    let text = catalog::text(Kind::Model, id).unwrap_or_default();
    let Ok(model) = model::parse_config(id, id, text) else { return };
    cut(a, draft, &model, pipeline, kind, interleaved);
}

/// Blocks of each stage: so many, less the ends' own weight.
fn cut(
    a: &mut Arguments<'_>,
    draft: &mut Draft,
    model: &Architecture,
    pipeline: u64,
    kind: Schedule,
    interleaved: bool,
) {
    let prefix = "--parallelism.pipeline-parallel";
    let less = |a: &mut Arguments<'_>, end: &str| {
        let name = format!("{prefix}-{end}-stage-less-layers");
        if a.has(&name) { a.number(&name).unwrap_or(1) } else { 1 }
    };
    let (first, last) = (less(a, "first"), less(a, "last"));
    let blocks = (model.layers.len() + model.mtp.len()) as u64;
    let Some(total) = blocks.checked_add(first).and_then(|n| n.checked_add(last)) else { return };
    let name = format!("{prefix}-layers-per-stage");
    let stages = if a.has(&name) {
        total.div_ceil(a.count(&name).unwrap_or(1))
    } else if interleaved || kind.chunks(1) == 2 {
        pipeline.saturating_mul(2)
    } else {
        pipeline
    };
    if stages == 0 || !stages.is_multiple_of(pipeline) || stages > total {
        let message = format!("{total} blocks make {stages} stages for {pipeline} ranks");
        a.blame(&name, message, None);
        return;
    }
    if interleaved {
        set(draft, "virtual_pipeline", stages / pipeline);
    } else if kind.stages(pipeline, 1) != stages {
        a.blame(&name, format!("{stages} stages are not this schedule's"), None);
        return;
    }
    // The first stages take what does not divide.
    let (each, more) = (total / stages, total % stages);
    let mut counts: Vec<u64> = (0..stages).map(|i| each + u64::from(i < more)).collect();
    for (at, less) in [(0, first), (counts.len() - 1, last)] {
        let Some(left) = counts[at].checked_sub(less) else {
            a.blame(&name, "an end stage would hold less than nothing".into(), None);
            return;
        };
        counts[at] = left;
    }
    if counts != layout::even(blocks as usize, stages as usize) {
        let words: Vec<String> = counts.iter().map(u64::to_string).collect();
        set(draft, "stage_blocks", format!("[{}]", words.join(", ")));
    }
}

fn options(a: &mut Arguments<'_>, draft: &mut Draft, pipeline: u64, data: u64) {
    let name = "--compile.enable-async-tensor-parallel";
    let on = if a.has(name) { a.flag(name) } else { false };
    if on && !a.flag("--compile.no-enable-async-tensor-parallel") {
        draft.overlap.push("tensor");
    }
    let _ = a.flag("--compile.no-enable-async-tensor-parallel");
    let off = "--training.disable-cuda-graphs";
    let off = if a.has(off) { a.flag(off) } else { false };
    let on = a.flag("--training.no-disable-cuda-graphs");
    // Earlier versions had no graphs; today's are on unless said, and not with a pipeline.
    if pipeline == 1 && (on || (!off && at_newest(a))) {
        set(draft, "graphs", true);
    }
    if at_newest(a) {
        // The registered models compute the loss in pieces.
        set(draft, "fused_loss", true);
    }
    let local = or(a, "--training.local-batch-size", 8);
    if pipeline > 1 && local.saturating_mul(data) < draft.batch {
        a.warn("accumulation drains the pipeline between its steps: taken as one step".to_owned());
    }
}

fn recompute(a: &mut Arguments<'_>, draft: &mut Draft) {
    let sub = ["none", "full", "selective", "memory-budget"]
        .into_iter()
        .find(|kind| a.has(&format!("activation-checkpoint:{kind}")));
    let name = "--activation-checkpoint.mode";
    let old = if a.has(name) { a.word(name) } else { None };
    // Selective unless said, in all versions.
    let kind = sub.map(str::to_owned).or(old).unwrap_or_else(|| "selective".to_owned());
    let text = match kind.as_str() {
        "none" => "\"none\"",
        // PyTorch's checkpoints stop at the last tensor they need.
        "full" => "\"full-early-stop\"",
        "selective" => {
            let note = "selective recomputation by operator: taken as norms and activations";
            a.warn(note.to_owned());
            "[\"norm\", \"activation\"]"
        }
        other => {
            let message = format!("recomputing by `{}` is not modelled", short(other));
            a.blame(name, message, Some("`none`, `full` or `selective`"));
            return;
        }
    };
    set(draft, "recompute", text);
}
