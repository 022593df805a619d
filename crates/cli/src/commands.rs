//! One function a command: read, ask the libraries, format.

pub mod calibrate;
pub mod campaign;
pub mod candidates;
pub mod compare;
pub mod fabric;
pub mod flow;
pub mod launch;
pub mod merge;
pub mod plan;
pub mod plan_events;
pub mod plan_part;
pub mod plan_save;
pub mod plan_search;
mod show;
pub mod study;
mod study_text;
pub mod trace;

use crate::args::{Catalog, CatalogCommand, Engine, Format, Model, PageFormat, Rehearse, Validate};
use crate::input;
use crate::output::{Done, Failure, deliver, ends_in};
use crate::progress;
use crate::whole_file::{apart, write_file};
use catalog::Kind;
use diagnostic::{Diagnostic, Diagnostics, Severity, nearest};
use engine::Rehearsal;
use rayon::prelude::*;
use report::Stamp;
use scenario::{Loaded, Opened, ReadFile};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

type Answer = Result<Done, Failure>;

pub fn rehearse(args: &Rehearse) -> Answer {
    if args.engine == Engine::Flow {
        return rehearse_by_events(args);
    }
    flow::refuse(args)?;
    let (loaded, rehearsal) = rehearsed(args)?;
    let scenario = &loaded.scenario;
    let answer = || {
        let stamp = stamp("supernode.rehearse/1", &loaded.text);
        report::rehearse_json(&stamp, scenario, &rehearsal)
    };
    let text = match args.format {
        PageFormat::Text => report::sheet(scenario, &rehearsal),
        PageFormat::Json => json(&answer()),
        PageFormat::Html => report::rehearse_page(&answer(), scenario, &rehearsal, None),
    };
    let notes = report::render(&loaded.warnings, &|_| None);
    deliver(Done { text, notes, yes: true }, args.output.as_deref())
}

fn rehearse_by_events(args: &Rehearse) -> Answer {
    apart(&[&args.flow.trace, &args.flow.write_program, &args.output])?;
    let loaded = loaded(args)?;
    let scenario = &loaded.scenario;
    if let Some(path) = &args.flow.program {
        return run_program(args, path, scenario);
    }
    let (rehearsal, answers) = flow::rehearse(&args.flow, scenario)?;
    let main = &answers[rehearsal.main];
    let answer = || {
        let hashed = [std::slice::from_ref(&loaded.text), &main.disturbed[..]].concat().join("\n");
        let stamp = stamp("supernode.rehearse/1", &hashed);
        report::flow_json(&stamp, scenario, &rehearsal, &answers)
    };
    let text = match args.format {
        PageFormat::Text => report::flow_sheet(scenario, &rehearsal, main),
        PageFormat::Json => json(&answer()),
        PageFormat::Html => report::rehearse_page(&answer(), scenario, &rehearsal, Some(main)),
    };
    let mut notes = report::render(&loaded.warnings, &|_| None);
    let program = &rehearsal.stages[rehearsal.main].program;
    notes.push_str(&flow::write_files(&args.flow, main, program)?);
    deliver(Done { text, notes, yes: true }, args.output.as_deref())
}

fn run_program(args: &Rehearse, path: &str, scenario: &scenario::Scenario) -> Answer {
    let ran = flow::run_program(&args.flow, path, scenario)?;
    let text = match args.format {
        PageFormat::Text => report::flow_text(&ran.answer),
        PageFormat::Json => {
            json(&report::program_json(&stamp("supernode.flow/1", &ran.text), &ran.answer))
        }
        PageFormat::Html => {
            let problem = Diagnostic::error("cli::format", "a program alone has no HTML page");
            return Err(problem.hint("write --format text or json, or --trace FILE").into());
        }
    };
    let notes = flow::write_files(&args.flow, &ran.answer, &ran.program)?;
    deliver(Done { text, notes, yes: true }, args.output.as_deref())
}

pub fn plan_check(args: &Rehearse) -> Answer {
    flow::refuse_where_nothing_runs(args)?;
    let (loaded, rehearsal) = match rehearsed(args) {
        Err(failure) if is_illegal(&failure) => return illegal(args, &failure),
        other => other?,
    };
    let scenario = &loaded.scenario;
    let (sheet, fits) = report::check(scenario, &rehearsal);
    let answer = || {
        let stamp = stamp("supernode.plan-check/1", &loaded.text);
        report::check_json(&stamp, scenario, &rehearsal)
    };
    let text = match args.format {
        PageFormat::Text => sheet,
        PageFormat::Json => json(&answer()),
        PageFormat::Html => report::check_page(&answer(), scenario, &rehearsal),
    };
    let notes = report::render(&loaded.warnings, &|_| None);
    deliver(Done { text, notes, yes: fits }, args.output.as_deref())
}

/// Whether all that is wrong is the plan itself: a question that was understood.
fn is_illegal(failure: &Failure) -> bool {
    let mut errors = failure.problems.0.iter().filter(|p| p.severity == Severity::Error);
    errors.all(|problem| problem.code == "plan::illegal")
}

/// The answer that a plan is not legal.
fn illegal(args: &Rehearse, failure: &Failure) -> Answer {
    let text_of = |name: &str| {
        failure.texts.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone())
    };
    // The scenario itself is the last that was read.
    let own = failure.texts.last().map_or("", |(_, text)| text);
    let table = own.parse::<toml_edit::DocumentMut>().unwrap_or_default();
    let name = table.get("name").and_then(|name| name.as_str()).unwrap_or(&args.scenario);
    let read: String = failure.texts.iter().map(|(_, text)| text.as_str()).collect();
    let stamp = stamp("supernode.plan-check/1", &read);
    let answer = report::illegal_json(&stamp, name, &failure.problems, &text_of);
    let text = match args.format {
        PageFormat::Text => {
            let problems = report::render_each(&failure.problems, &text_of);
            format!("{name}\n\nThe plan is not legal.\n\n{}\n", problems.trim_end())
        }
        PageFormat::Json => json(&answer),
        PageFormat::Html => report::illegal_page(&answer, name, &failure.problems),
    };
    deliver(Done { text, notes: String::new(), yes: false }, args.output.as_deref())
}

fn rehearsed(args: &Rehearse) -> Result<(Loaded, Rehearsal), Failure> {
    let (loaded, texts) = with_texts(&args.scenario, &args.set)?;
    let rehearsal =
        engine::rehearse(&loaded.scenario).map_err(|problems| Failure { problems, texts })?;
    Ok((loaded, rehearsal))
}

fn loaded(args: &Rehearse) -> Result<Loaded, Failure> {
    with_texts(&args.scenario, &args.set).map(|(loaded, _)| loaded)
}

/// The texts a message may point into, by their names in messages.
type Texts = Vec<(String, String)>;

/// The scenario of that id or path with `--set` changes, and every text read for it.
fn with_texts(scenario: &str, set: &[(String, String)]) -> Result<(Loaded, Texts), Failure> {
    reading(scenario, set, scenario::load)
}

/// The same for the planner, whose plan may be open.
fn opened(scenario: &str, set: &[(String, String)]) -> Result<(Opened, Texts), Failure> {
    reading(scenario, set, scenario::open)
}

type Loader<T> = fn(&str, &str, &[(String, String)], &ReadFile<'_>) -> Result<T, Diagnostics>;

fn reading<T>(
    scenario: &str,
    set: &[(String, String)],
    load: Loader<T>,
) -> Result<(T, Texts), Failure> {
    reading_text(scenario_text(scenario)?, set, load)
}

/// The same for a text that has been read.
fn reading_text<T>(
    (name, text): (String, String),
    set: &[(String, String)],
    load: Loader<T>,
) -> Result<(T, Texts), Failure> {
    once("--set", set.iter().map(|(key, _)| key.as_str()))?;
    // Files a scenario names are kept for the messages about them.
    let read = RefCell::new(Vec::new());
    let read_file = |path: &str| {
        let text = input::text(path, input::WRITTEN).map_err(|problem| problem.message)?;
        read.borrow_mut().push((path.to_owned(), text.clone()));
        Ok(text)
    };
    let result = load(&name, &text, set, &read_file);
    let mut texts = read.into_inner();
    texts.extend(scenario::edited(&name, &text, set));
    texts.push((name, text));
    match result {
        Ok(loaded) => Ok((loaded, texts)),
        Err(problems) => Err(Failure { problems, texts }),
    }
}

/// What a study or set names as a scenario: an id, or a path from its own folder.
fn beside(file: &str, scenario: &str) -> String {
    let path = catalog::text(Kind::Scenario, scenario).is_none() && scenario::is_path(scenario);
    if path { scenario::beside(file, scenario) } else { scenario.to_owned() }
}

/// A scenario's name in messages and its text: a shipped id, else a file.
fn scenario_text(scenario: &str) -> Result<(String, String), Failure> {
    if let Some(text) = catalog::text(Kind::Scenario, scenario) {
        return Ok((format!("scenarios/{scenario}.toml"), text.to_owned()));
    }
    let text = read(scenario, catalog::scenario_ids())?;
    Ok((scenario.to_owned(), text))
}

fn read(path: &str, ids: Vec<&'static str>) -> Result<String, Failure> {
    input::text(path, input::WRITTEN).map_err(|mut problem| {
        if problem.hint.is_none() {
            problem.hint = Some(nearest(path, ids.iter().copied()).map_or_else(
                || "a path, or an id of `supernode catalog list`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ));
        }
        problem.into()
    })
}

/// Refuses a key that an option is given twice with: the first value would be lost without a word.
fn once<'a>(option: &str, keys: impl Iterator<Item = &'a str>) -> Result<(), Diagnostics> {
    let mut seen: Vec<&str> = Vec::new();
    let mut problems = Diagnostics::default();
    for key in keys {
        if seen.contains(&key) {
            let message = format!("`{option} {key}=` is given twice");
            let hint = match option {
                "--fix" => format!("several values go together: `--fix {key}=4,8`"),
                _ => "leave one of them out".to_owned(),
            };
            problems.push(Diagnostic::error("cli::twice", message).hint(hint));
        }
        seen.push(key);
    }
    problems.into_result(())
}

pub fn model(args: &Model) -> Answer {
    let id = &args.name;
    let (name, file, text) = if let Some(text) = catalog::text(Kind::Model, id) {
        (id.clone(), format!("catalog/models/{id}.json"), text.to_owned())
    } else {
        let stem = id.rsplit('/').find(|p| *p != "config.json").unwrap_or(id);
        let stem = stem.strip_suffix(".json").unwrap_or(stem);
        (stem.to_owned(), id.clone(), read(id, catalog::model_ids())?)
    };
    let model = model::parse_config(&name, &file, &text)
        .map_err(|problems| Failure { problems, texts: vec![(file.clone(), text.clone())] })?;
    let text = match args.format {
        Format::Text => report::model_text(&model, &args.seq),
        Format::Json => {
            let stamp = stamp("supernode.model/1", &text);
            json(&report::model_json(&stamp, &model, &args.seq))
        }
    };
    Ok(Done { text, notes: String::new(), yes: true })
}

pub fn catalog(args: &Catalog) -> Answer {
    let stamp = stamp("supernode.catalog/1", "");
    let text = match &args.command {
        CatalogCommand::List { format: Format::Text } => report::catalog_list(),
        CatalogCommand::List { format: Format::Json } => json(&report::catalog_list_json(&stamp)),
        CatalogCommand::Show { id, format } => return show::show(id, *format, &stamp),
    };
    Ok(Done { text, notes: String::new(), yes: true })
}

pub fn validate(args: &Validate) -> Answer {
    let tables: Vec<(String, String)> = if args.rows.is_empty() {
        ledger::shipped().into_iter().map(|(n, t)| (n.to_owned(), t.to_owned())).collect()
    } else {
        let read_one = |path: &String| Ok((path.clone(), read(path, Vec::new())?));
        args.rows.iter().map(read_one).collect::<Result<_, Failure>>()?
    };
    let by = match args.engine {
        Engine::Estimate => ledger::By::Estimate,
        Engine::Flow => ledger::By::Flow,
    };
    let mut rows = Vec::new();
    for (file, text) in &tables {
        let table = ledger::Table::read(file, text)
            .map_err(|problems| Failure { problems, texts: vec![(file.clone(), text.clone())] })?;
        let (what, begun) = (format!("`{file}`: row"), AtomicUsize::new(0));
        let replayed = table.places().into_par_iter().map(|place| {
            let number = begun.fetch_add(1, Ordering::Relaxed);
            progress::part(&what, number, table.places().len());
            table.replay(place, by)
        });
        rows.extend(replayed.collect::<Vec<ledger::Row>>());
    }
    let summary = ledger::summarize(&rows);
    let text = match args.format {
        Format::Text => report::validation_text(&rows, &summary) + &report::engine_gaps_text(&rows),
        Format::Json => {
            let all: String = tables.iter().map(|(_, t)| t.as_str()).collect();
            let stamp = stamp("supernode.validate/1", &all);
            json(&report::validation_json(&stamp, &rows, &summary))
        }
    };
    Ok(Done { text, notes: String::new(), yes: true })
}

/// Writes a timeline in the format that the file's name asks for; a note that it was.
fn write_timeline(path: &str, timeline: &engine::Timeline) -> Result<String, Failure> {
    if ends_in(path, "json") {
        write_file(path, ::trace::chrome::write(timeline).to_string().as_bytes())?;
    } else {
        write_file(path, &::trace::perfetto::write(timeline))?;
    }
    Ok(format!("wrote `{path}`; it opens at https://ui.perfetto.dev\n"))
}

pub fn json(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Schema, version, and the hash of the input and of every file of the catalog.
fn stamp(schema: &'static str, input: &str) -> Stamp {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(input.as_bytes());
    for kind in [
        Kind::Chip,
        Kind::Cluster,
        Kind::Recipe,
        Kind::Calibration,
        Kind::Stack,
        Kind::Model,
        Kind::Reliability,
        Kind::Economics,
    ] {
        for (name, text) in catalog::files(kind) {
            hasher.update(name.as_bytes());
            hasher.update(text.as_bytes());
        }
    }
    Stamp {
        schema,
        version: env!("CARGO_PKG_VERSION"),
        input_hash: format!("{:032x}", hasher.digest128()),
    }
}
