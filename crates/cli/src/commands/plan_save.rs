//! A found plan as a scenario file.

use crate::commands::plan_search::Run;
use crate::output::Failure;
use diagnostic::Diagnostic;
use plan::{FullBlocks, Plan};
use scenario::Opened;
use search::{Limits, Problem, Space};
use std::path::{Component, Path, PathBuf};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value};

/// `path`, which is from the working directory, as a file called `file` says it.
pub fn from_folder_of(file: &str, path: &str) -> String {
    if Path::new(path).is_absolute() || scenario::beside(file, path) == path {
        return path.to_owned();
    }
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = whole(Path::new(file).parent().unwrap_or(Path::new("")));
    let path = whole(Path::new(path));
    let shared = folder.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up: Vec<_> = folder.components().skip(shared).collect();
    // What lies above a folder called `..` is known only to the disk.
    if shared < 2 || up.contains(&Component::ParentDir) {
        return path.to_string_lossy().into_owned();
    }
    let up = up.iter().map(|_| Component::ParentDir);
    let from: PathBuf = up.chain(path.components().skip(shared)).collect();
    let from = from.to_string_lossy().into_owned();
    // A name alone would be an id but for its ending.
    if scenario::is_path(&from) { from } else { format!("./{from}") }
}

/// The scenario's text with `best` as its plan and, for the recipe's other lengths, the best plan with
/// the same weights on every rank; and notes about lengths for which there is none. It is to be written to
/// `file`, and names files from there.
///
/// # Errors
/// A scenario that is no TOML; as [`Run::best`].
pub fn saved(
    file: &str,
    run: &Run<'_>,
    opened: &Opened,
    problem: &Problem,
    best: &Plan,
) -> Result<(String, String), Failure> {
    let scenario = &opened.loaded.scenario;
    let parsed = opened.loaded.text.parse::<DocumentMut>();
    let mut document = parsed.map_err(|e| {
        Failure::from(Diagnostic::error("cli::save", format!("the scenario is no TOML: {e}")))
    })?;
    for (key, path) in &opened.loaded.named {
        let value = toml_edit::value(from_folder_of(file, path));
        match key.split_once('.') {
            Some((table, key)) => document[table][key] = value,
            None => document[key] = value,
        }
    }
    document["chips"] = toml_edit::value(problem.ranks.cast_signed());
    document["plan"] = Item::Table(table(best, None));
    document.remove("stage");
    let (mut stages, mut notes) = (ArrayOfTables::new(), String::new());
    let run = Run { top: 1, ..*run };
    for (place, job) in scenario.jobs.iter().enumerate() {
        if place == scenario.main {
            continue;
        }
        let other = Problem {
            sequence: job.sequence,
            batch_sequences: job.batch_sequences,
            base: best.clone(),
            ..problem.clone()
        };
        let findings = run.best(&other, &Space::new(&other, &same_weights(best)))?;
        let Some(found) = findings.leaders.first() else {
            notes.push_str(&format!(
                "supernode: no plan with these weights fits sequences of {} tokens; add a \
                 `[[stage]]` for them\n",
                job.sequence
            ));
            continue;
        };
        let mut stage = Table::new();
        stage["sequence"] = toml_edit::value(job.sequence.cast_signed());
        stage["plan"] =
            Item::Value(Value::InlineTable(table(&found.plan, Some(best)).into_inline_table()));
        stages.push(stage);
    }
    if !stages.is_empty() {
        document["stage"] = Item::ArrayOfTables(stages);
    }
    Ok((document.to_string(), notes))
}

/// Plans that leave every weight where `best` has it.
fn same_weights(best: &Plan) -> Limits {
    Limits {
        context: None,
        data: None,
        micro_batch: None,
        sequence_parallel: None,
        recompute: None,
        ..Limits::exactly(best)
    }
}

/// A key of a plan and how to read it.
type Key<T> = (&'static str, fn(&Plan) -> T);

/// The keys of `plan`, or those that differ from `base`.
fn table(plan: &Plan, base: Option<&Plan>) -> Table {
    let mut table = Table::new();
    let counts: [Key<u64>; 12] = [
        ("tensor", |p| p.tensor),
        ("context", |p| p.context),
        ("pipeline", |p| p.pipeline),
        ("virtual_pipeline", |p| p.virtual_pipeline),
        ("data", |p| p.data),
        ("expert", |p| p.expert),
        ("expert_tensor", |p| p.expert_tensor),
        ("expert_data", |p| p.expert_data),
        ("micro_batch", |p| p.micro_batch),
        ("zero", |p| p.zero as u64),
        ("shard_group", |p| p.shard_group.unwrap_or(0)),
        ("offload_blocks", |p| p.offload_blocks),
    ];
    for (key, of) in counts {
        let absent = of(plan) == 0 && ["shard_group", "offload_blocks"].contains(&key);
        if !absent && base.is_none_or(|base| of(base) != of(plan)) {
            table[key] = toml_edit::value(of(plan).cast_signed());
        }
    }
    let switches: [Key<bool>; 9] = [
        ("sequence_parallel", |p| p.sequence_parallel),
        ("graphs", |p| p.graphs),
        ("unfused_attention", |p| p.unfused_attention),
        ("adapters_on_qkv", |p| p.adapters_on_qkv),
        ("fused_loss", |p| p.fused_loss),
        ("deduplicated_dispatch", |p| p.deduplicated_dispatch),
        ("routing_gathered", |p| p.routing_gathered),
        ("pipeline_innermost", |p| p.pipeline_innermost),
        ("pipeline_before_data", |p| p.pipeline_before_data),
    ];
    for (key, of) in switches {
        let changed = base.map_or(of(plan), |base| of(base) != of(plan));
        if changed {
            table[key] = toml_edit::value(of(plan));
        }
    }
    if base.is_none_or(|base| base.recompute != plan.recompute) {
        table["recompute"] = recompute(plan);
    }
    if base.is_none() {
        table["schedule"] = toml_edit::value(plan.schedule.word());
        table["overlap"] = toml_edit::value(overlap(plan));
        if let Some(adapters) = plan.adapters {
            table["adapters"] = toml_edit::value(adapters.cast_signed());
        }
        if let Some(cut) = &plan.stage_blocks {
            let cut: Array = cut.iter().map(|&n| n.cast_signed()).collect();
            table["stage_blocks"] = toml_edit::value(cut);
        }
    }
    table
}

fn recompute(plan: &Plan) -> Item {
    let tags = plan.recompute.tags.iter();
    let words = tags.filter_map(|tag| model::Tag::WORDS.iter().find(|(t, _)| t == tag));
    let mut list: Array = words.map(|(_, word)| *word).collect();
    match plan.recompute.blocks {
        FullBlocks::All => {
            let word = if plan.recompute.early_stop { "full-early-stop" } else { "full" };
            toml_edit::value(word)
        }
        FullBlocks::PerStage(n) => {
            list.push(format!("blocks:{n}"));
            toml_edit::value(list)
        }
        FullBlocks::None if list.is_empty() => toml_edit::value("none"),
        FullBlocks::None => toml_edit::value(list),
    }
}

fn overlap(plan: &Plan) -> Array {
    plan.overlap.words().into_iter().collect()
}
