//! Text to [`Scenario`].

use crate::campaign_table::campaign;
use crate::files::{Files, ReadFile, is_path};
use crate::overrides::apply;
use crate::plan_table::PlanTable;
use crate::{Job, Scenario};
use catalog::figure::POSITIVE;
use catalog::toml_reader::{Reader, Table};
use catalog::{Kind, Recipe, Stage};
use diagnostic::{Diagnostic, Diagnostics};
use model::Architecture;
use std::ops::Range;
use units::{Figure, Unit};

/// A scenario and the texts it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// Its text with overrides applied, for the input hash.
    pub text: String,
    /// What should be known with the answer.
    pub warnings: Diagnostics,
    /// Keys that name a file, with its path from the working directory.
    pub named: Vec<(String, String)>,
}

/// A stage's own table: its length, plan changes, and place.
struct StageTable {
    sequence: u64,
    plan: PlanTable,
    span: Range<usize>,
}

/// Reads a scenario; `file` is its name in messages and where its relative paths begin
/// ([`crate::beside`]), `overrides` are `--set` pairs, whose paths are as they are.
///
/// # Errors
/// Every problem of the scenario and of the files it names, each with its place.
pub fn load(
    file: &str,
    text: &str,
    overrides: &[(String, String)],
    read_file: &ReadFile<'_>,
) -> Result<Loaded, Diagnostics> {
    let text = apply(file, text, overrides)?;
    let files = Files::new(file, overrides, read_file);
    load_as(&shown_name(file, overrides), text, files, true)
}

/// As [`load`] for a text with its changes made; unless `legal`, the plans are not checked.
pub(crate) fn load_as(
    shown: &str,
    text: String,
    files: Files<'_>,
    legal: bool,
) -> Result<Loaded, Diagnostics> {
    let reader = Reader::new(shown, &text);
    let mut warnings = Diagnostics::default();
    let scenario = reader.root().and_then(|root| read(root, &files, legal, &mut warnings));
    let scenario = reader.into_result(scenario)?;
    Ok(Loaded { scenario, text, warnings, named: files.named() })
}

/// A scenario's name in messages once `--set` has changed its text.
pub(crate) fn shown_name(file: &str, overrides: &[(String, String)]) -> String {
    if overrides.is_empty() { file.to_owned() } else { format!("{file} with --set") }
}

/// The changed text with its name in messages, so that a message can show its line.
pub fn edited(file: &str, text: &str, overrides: &[(String, String)]) -> Option<(String, String)> {
    Some((shown_name(file, overrides), apply(file, text, overrides).ok()?))
}

fn read(
    mut root: Table<'_>,
    files: &Files<'_>,
    checked: bool,
    warnings: &mut Diagnostics,
) -> Option<Scenario> {
    let name = root.take_str("name");
    let own_name = name.as_deref().unwrap_or_default();
    let model = part(&mut root, "model", |value| model(value, own_name, files));
    let recipe = part(&mut root, "recipe", |value| recipe(value, files));
    let cluster = part(&mut root, "cluster", |value| cluster(value, files));
    let stack = if root.has("stack") {
        part(&mut root, "stack", |value| stack(value, files)).map(Some)
    } else {
        Some(None)
    };
    let mut understood = true;
    let mut asked = |key: &str| {
        let given = root.has(key);
        let count = given.then(|| root.take_positive(key)).flatten();
        understood &= given == count.is_some();
        count
    };
    let (chips, sequence) = (asked("chips"), asked("sequence"));
    let batch = asked("batch_sequences");
    let calibration = if root.has("calibration") {
        part(&mut root, "calibration", |value| calibration(value, files)).map(Some)
    } else {
        Some(None)
    };
    let published = published(&mut root);
    let campaign = campaign(&mut root, files);
    let plan_span = root.span_of("plan");
    let plan = root.take_table("plan").map(PlanTable::read);
    let stages = stage_tables(&mut root);
    let chips_span = root.span_of("chips");
    let reader = root.reader();
    let sequence_span = root.span_of("sequence");
    root.finish();
    let (cluster, plan) = (cluster?, plan?);
    let ranks = chips.unwrap_or(cluster.chips);
    if ranks > cluster.chips {
        let message = format!("{ranks} chips asked for, `{}` has {}", cluster.id, cluster.chips);
        let hint = format!("at most {}; `supernode catalog list` names larger ones", cluster.chips);
        reader.report(Diagnostic::error("scenario::chips", message).hint(hint), chips_span);
        return None;
    }
    for key in plan.missing() {
        let message = format!("`plan.{key}` is missing");
        reader.report(Diagnostic::error("catalog::missing-key", message), plan_span.clone());
    }
    if !understood {
        // What the plan is checked against is not what was meant.
        return None;
    }
    let (model, recipe) = (model?, recipe?);
    if let Some(warning) = other_model(&recipe, &model) {
        warnings.push(warning);
    }
    let jobs = jobs(reader, &recipe, &model, (ranks, checked), batch, &plan, &plan_span, &stages?)?;
    let offloads = jobs.iter().any(|job| job.plan.offload_blocks > 0);
    if offloads && cluster.chip.host_link.is_none() {
        let chip = &cluster.chip.id;
        let message = format!("`plan.offload_blocks`: chip `{chip}` states no `host_link`");
        let problem = Diagnostic::error("plan::illegal", message);
        let hint = "give the chip's file its bandwidth to the host, one way";
        reader.report(problem.hint(hint), plan_span);
        return None;
    }
    let main = main_job(reader, &jobs, sequence, sequence_span)?;
    Some(Scenario {
        name: name?,
        model,
        recipe,
        cluster,
        ranks,
        calibration: calibration?,
        stack: stack?,
        jobs,
        main,
        published: published?,
        campaign: campaign?,
    })
}

/// Measured times of this very run, to be shown beside the answer. Seconds.
fn published(root: &mut Table<'_>) -> Option<Vec<(String, Figure)>> {
    if !root.has("published") {
        return Some(Vec::new());
    }
    let mut table = root.take_table("published")?;
    let keys = [
        "step",
        "forward",
        "backward",
        "weight",
        "pair",
        "bubble",
        "exchange",
        "optimizer",
        "finish",
    ];
    let mut read = Vec::new();
    let mut complete = true;
    for key in keys {
        if table.has(key) {
            match table.take_figure(key, Unit::Second, &POSITIVE) {
                Some(figure) => read.push((key.to_owned(), figure)),
                None => complete = false,
            }
        }
    }
    table.finish();
    complete.then_some(read)
}

/// The value of `key`, turned into a thing; its problems are reported at the key.
pub(crate) fn part<T>(
    root: &mut Table<'_>,
    key: &str,
    make: impl Fn(&str) -> Result<T, Diagnostics>,
) -> Option<T> {
    let item = root.take(key)?;
    let (reader, span) = (item.reader(), item.span());
    let value = item.into_str()?;
    match make(&value) {
        Ok(thing) => Some(thing),
        Err(problems) => {
            for problem in problems.0 {
                if problem.label.is_some() {
                    reader.extend(problem.into());
                } else {
                    reader.report(problem, span.clone());
                }
            }
            None
        }
    }
}

fn model(value: &str, run: &str, files: &Files<'_>) -> Result<Architecture, Diagnostics> {
    if is_path(value) {
        let (path, text) = files.text("model", value)?;
        return model::parse_config(model_name(value, run), &path, &text);
    }
    match catalog::text(Kind::Model, value) {
        Some(text) => model::parse_config(value, &format!("catalog/models/{value}.json"), text),
        None => Err(catalog::unknown_id(Kind::Model, value).into()),
    }
}

/// A model is called as its file, or as the folder of a `config.json`, or as the run it lies beside:
/// never by where the program was started.
fn model_name<'a>(value: &'a str, run: &'a str) -> &'a str {
    let words = ["config.json", ".", "..", ""];
    let name = value.rsplit('/').find(|part| !words.contains(part)).unwrap_or(run);
    name.strip_suffix(".json").unwrap_or(name)
}

fn recipe(value: &str, files: &Files<'_>) -> Result<Recipe, Diagnostics> {
    if is_path(value) {
        let (path, text) = files.text("recipe", value)?;
        return catalog::parse_recipe(&path, &text);
    }
    catalog::recipe(value)
}

/// A warning if the recipe is another model's. A recipe of one's own for a model of one's own may call
/// it what it likes, and a configuration of a model's shape is that model.
fn other_model(recipe: &Recipe, model: &Architecture) -> Option<Diagnostic> {
    let (wanted, given) = (&recipe.model, &model.name);
    let shipped = |id: &str| catalog::text(Kind::Model, id);
    if wanted == given || (shipped(wanted).is_none() && shipped(given).is_none()) {
        return None;
    }
    let known = shipped(wanted).and_then(|text| model::parse_config(given, wanted, text).ok());
    let alike = known.is_some_and(|known| {
        Architecture {
            model_type: model.model_type.clone(),
            max_positions: model.max_positions,
            ..known
        } == *model
    });
    let message = format!("the recipe is `{wanted}`'s, the model is `{given}`");
    let hint = format!(
        "tokens, batch and number formats are those of that run; a recipe of your own says `model = \"{given}\"`"
    );
    (!alike).then(|| Diagnostic::warning("scenario::recipe", message).hint(hint))
}

fn stack(value: &str, files: &Files<'_>) -> Result<catalog::Stack, Diagnostics> {
    if is_path(value) {
        let (path, text) = files.text("stack", value)?;
        return catalog::parse_stack(&path, &text);
    }
    catalog::stack(value)
}

fn cluster(value: &str, files: &Files<'_>) -> Result<catalog::Cluster, Diagnostics> {
    if is_path(value) {
        let (path, text) = files.text("cluster", value)?;
        return catalog::parse_cluster(&path, &text);
    }
    catalog::cluster(value)
}

/// A calibration of the catalog, or a file as `supernode calibrate` writes it.
fn calibration(value: &str, files: &Files<'_>) -> Result<kernel::Calibration, Diagnostics> {
    if !is_path(value) {
        return kernel::calibration(value);
    }
    let id = value.rsplit('/').next().unwrap_or(value).trim_end_matches(".toml");
    let (path, text) = files.text("calibration", value)?;
    kernel::parse_calibration(id, &path, &text)
}

fn stage_tables(root: &mut Table<'_>) -> Option<Vec<StageTable>> {
    if !root.has("stage") {
        return Some(Vec::new());
    }
    let items = root.take_array("stage")?;
    let tables: Vec<Option<StageTable>> = items
        .into_iter()
        .map(|item| {
            let span = item.span();
            let mut table = item.into_table()?;
            let sequence = table.take_positive("sequence");
            let plan = table.take_table("plan").map(PlanTable::read);
            table.finish();
            Some(StageTable { sequence: sequence?, plan: plan?, span })
        })
        .collect();
    tables.into_iter().collect()
}

#[expect(clippy::too_many_arguments, reason = "all of a scenario meets here")]
fn jobs(
    reader: &Reader<'_>,
    recipe: &Recipe,
    model: &Architecture,
    (ranks, checked): (u64, bool),
    batch: Option<u64>,
    base: &PlanTable,
    base_span: &Range<usize>,
    stages: &[StageTable],
) -> Option<Vec<Job>> {
    for stage in stages {
        if !recipe.stages.iter().any(|s| s.sequence == stage.sequence) {
            let known: Vec<_> = recipe.stages.iter().map(|s| s.sequence.to_string()).collect();
            let message = format!("the recipe has no stage of {} tokens", stage.sequence);
            let hint = format!("it has {}", known.join(", "));
            let problem = Diagnostic::error("scenario::stage", message).hint(hint);
            reader.report(problem, stage.span.clone());
        }
    }
    let mut reported: Vec<String> = Vec::new();
    let jobs: Vec<Option<Job>> = recipe
        .stages
        .iter()
        .map(|stage| {
            let own = stages.iter().find(|s| s.sequence == stage.sequence);
            let table = own.map_or_else(|| base.clone(), |s| base.overlaid(&s.plan));
            let plan = table.plan(ranks)?;
            let batch_sequences = batch_of(reader, recipe, stage, batch, base_span)?;
            let found = if checked {
                plan::violations(&plan, model, ranks, batch_sequences, stage.sequence)
            } else {
                Vec::new()
            };
            let legal = found.is_empty();
            let header = own.map_or(base_span, |s| &s.span);
            for violation in found {
                let span = table.span_of(violation.key).unwrap_or(header);
                let stage_text = if own.is_some() || violation.message.contains("sequence") {
                    format!(" (stage of {} tokens)", stage.sequence)
                } else {
                    String::new()
                };
                let message =
                    format!("`plan.{}`: {}{stage_text}", violation.key, violation.message);
                if reported.contains(&message) {
                    continue;
                }
                reported.push(message.clone());
                let mut problem = Diagnostic::error("plan::illegal", message);
                problem.hint = violation.hint;
                reader.report(problem, span.clone());
            }
            legal.then(|| Job {
                sequence: stage.sequence,
                share: stage.share.clone(),
                batch_sequences,
                plan,
            })
        })
        .collect();
    jobs.into_iter().collect()
}

/// Sequences of a step: as given for every stage, or the recipe's tokens over the length.
fn batch_of(
    reader: &Reader<'_>,
    recipe: &Recipe,
    stage: &Stage,
    given: Option<u64>,
    span: &Range<usize>,
) -> Option<u64> {
    if let Some(sequences) = given {
        return Some(sequences);
    }
    let sequences = recipe.batch_tokens.value / stage.sequence as f64;
    // The batch is a nominal figure (94.4M tokens): the nearest whole number of sequences.
    let whole = sequences.round();
    if whole >= 1.0 {
        return Some(whole as u64);
    }
    let message = format!(
        "a batch of {} tokens holds no sequence of {}",
        recipe.batch_tokens.value, stage.sequence
    );
    reader.report(Diagnostic::error("scenario::batch", message), span.clone());
    None
}

fn main_job(
    reader: &Reader<'_>,
    jobs: &[Job],
    sequence: Option<u64>,
    span: Range<usize>,
) -> Option<usize> {
    let Some(wanted) = sequence else {
        let most = (0..jobs.len())
            .max_by(|&a, &b| jobs[a].share.value.total_cmp(&jobs[b].share.value).then(b.cmp(&a)));
        return most;
    };
    let found = jobs.iter().position(|j| j.sequence == wanted);
    if found.is_none() {
        let known: Vec<_> = jobs.iter().map(|j| j.sequence.to_string()).collect();
        let message = format!("the recipe has no stage of {wanted} tokens");
        let hint = format!("it has {}", known.join(", "));
        reader.report(Diagnostic::error("scenario::stage", message).hint(hint), span);
    }
    found
}
