//! `supernode plan study`: the best plans of many scenarios, in parts that run anywhere and that
//! [`super::merge`] joins to the same bytes.

use super::study_text::study_text;
use crate::args::{Format, pair};
use crate::commands::campaign::{Progress, bar, with_threads};
use crate::commands::plan_search::settle;
use crate::commands::{Answer, Texts, beside, json, once, opened, read, stamp};
use crate::output::{Done, Failure};
use crate::whole_file::{WholeFile, cannot_write};
use catalog::toml_reader::{Item, Reader};
use clap::Args;
use diagnostic::{Diagnostic, Diagnostics};
use report::{Stamp, plan_value};
use scenario::Opened;
use search::{Findings, Limits, Options, Problem, Search, Space, Worker};
use serde_json::{Value, json};
use std::io::Write;

/// Studies that come with the program.
const SHIPPED: [(&str, &str); 1] =
    [("hundred-thousand", include_str!("../../../../studies/hundred-thousand.toml"))];

#[derive(Args, Debug)]
pub struct Study {
    /// A study file, or the id of a shipped one: `hundred-thousand`
    #[arg(value_name = "STUDY")]
    pub file: String,
    /// Only the runs of one part: `--shard 2/8` is the second of eight
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<(u64, u64)>,
    /// Threads; without: one a core. The answer does not depend on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Write the answer as JSON to this file, whole or not at all
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Progress on standard error
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: Progress,
}

pub fn shard(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "write I/N with I from 1 to N, for example 2/8".to_owned();
    let (part, of) = text.split_once('/').ok_or_else(wrong)?;
    let (part, of) = part.parse().ok().zip(of.parse().ok()).ok_or_else(wrong)?;
    if part >= 1 && part <= of && of <= 1_000_000 { Ok((part, of)) } else { Err(wrong()) }
}

/// What a part is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The runs of a study.
    Runs,
    /// The space of plans of one scenario.
    Space,
}

impl Piece {
    fn word(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Space => "space",
        }
    }
}

/// A study file.
struct Plan {
    name: String,
    top: u64,
    guard: f64,
    runs: Vec<Asked>,
}

/// A run as the file says it.
struct Asked {
    name: String,
    scenario: String,
    set: Vec<String>,
    fix: Vec<String>,
}

/// A run, ready to be searched.
pub struct Ready {
    pub name: String,
    pub opened: Opened,
    pub limits: Limits,
    pub problem: Problem,
}

pub const SCHEMA: &str = "supernode.study/1";

pub fn study(args: &Study) -> Answer {
    let (name, text) = match SHIPPED.iter().find(|(id, _)| *id == args.file) {
        Some((id, text)) => (format!("studies/{id}.toml"), (*text).to_owned()),
        None => (args.file.clone(), read(&args.file, SHIPPED.map(|(id, _)| id).to_vec())?),
    };
    let plan = parse(&name, &text)
        .map_err(|problems| Failure { problems, texts: vec![(name.clone(), text.clone())] })?;
    let (part, of) = args.shard.unwrap_or((1, 1));
    // A place that cannot be written to is told now, not after the search.
    let out = args.output.as_deref().map(WholeFile::begin).transpose()?;
    // Every part reads every run, so that all agree on what the study is.
    let mut hashed = text.clone();
    let mut ready = Vec::new();
    for (place, run) in (0_u64..).zip(&plan.runs) {
        let (run, texts) = prepared(&name, run, plan.guard)?;
        hashed.push_str(&run.opened.loaded.text);
        for (_, text) in &texts {
            hashed.push_str(text);
        }
        if place % of == part - 1 {
            ready.push((place, run));
        }
    }
    let stamp = stamp(SCHEMA, &hashed);
    let answers = with_threads(args.threads, || {
        let bar = bar(args.progress, ready.len() as u64, "runs");
        let mut answers = Vec::new();
        for (place, run) in &ready {
            let findings = searched(run, plan.top as usize);
            answers.push(answer(*place, run, &findings));
            bar.inc(1);
        }
        bar.finish_and_clear();
        answers
    })?;
    let value =
        whole(&stamp, &plan.name, (plan.top, plan.guard), (Piece::Runs, (part, of)), &answers);
    deliver(&value, args.format, out)
}

pub fn whole(
    stamp: &Stamp,
    name: &str,
    (top, guard): (u64, f64),
    (piece, (part, of)): (Piece, (u64, u64)),
    runs: &[Value],
) -> Value {
    json!({
        "schema": stamp.schema, "version": stamp.version, "input_hash": stamp.input_hash,
        "study": name, "top": top, "guard_ratio": guard,
        "shard": { "part": part, "of": of, "split": piece.word() }, "runs": runs,
    })
}

pub fn deliver(value: &Value, format: Format, out: Option<WholeFile>) -> Answer {
    let mut notes = String::new();
    if let Some(mut out) = out {
        let file = out.name().to_owned();
        out.write_all(json(value).as_bytes()).map_err(|e| cannot_write(&file, &e))?;
        out.keep()?;
        notes = format!("supernode: wrote `{file}`\n");
    }
    let text = match format {
        Format::Text => study_text(value),
        Format::Json => json(value),
    };
    let answered = |run: &Value| run["leaders"].as_array().is_some_and(|list| !list.is_empty());
    let yes = value["runs"].as_array().is_some_and(|runs| runs.iter().all(answered));
    Ok(Done { text, notes, yes })
}

fn parse(file: &str, text: &str) -> Result<Plan, Diagnostics> {
    let reader = Reader::new(file, text);
    let plan = reader.root().and_then(|mut root| {
        let name = root.take_str("name");
        let top = root.take_positive("top");
        let guard = root.take_f64("guard", &(0.0..=0.99));
        let runs = root.take_array("run").and_then(|items| {
            let runs: Vec<_> = items.into_iter().map(run).collect();
            runs.into_iter().collect::<Option<Vec<_>>>()
        });
        if runs.as_ref().is_some_and(Vec::is_empty) || top.is_some_and(|top| top > 100) {
            let message = "a study has runs, and keeps at most 100 leaders of each";
            root.report(Diagnostic::error("study::empty", message), root.span());
        }
        root.finish();
        Some(Plan { name: name?, top: top?, guard: guard?, runs: runs? })
    });
    reader.into_result(plan)
}

fn run(item: Item<'_>) -> Option<Asked> {
    let mut table = item.into_table()?;
    let name = table.take_str("name");
    let scenario = table.take_str("scenario");
    let mut texts = |key: &str| {
        if !table.has(key) {
            return Some(Vec::new());
        }
        let items = table.take_array(key)?;
        items.into_iter().map(Item::into_str).collect::<Option<Vec<_>>>()
    };
    let (set, fix) = (texts("set"), texts("fix"));
    table.finish();
    Some(Asked { name: name?, scenario: scenario?, set: set?, fix: fix? })
}

fn prepared(file: &str, asked: &Asked, guard: f64) -> Result<(Ready, Texts), Failure> {
    let pairs = |list: &[String]| -> Result<Vec<(String, String)>, Failure> {
        let one = |text: &String| {
            pair(text).map_err(|e| {
                let message = format!("`{text}` of run `{}`: {e}", asked.name);
                Failure::from(Diagnostic::error("study::set", message))
            })
        };
        list.iter().map(one).collect()
    };
    let (set, fix) = (pairs(&asked.set)?, pairs(&asked.fix)?);
    let set = scenario::moved(file, &set);
    let (opened, texts) = opened(&beside(file, &asked.scenario), &set)?;
    let mut limits = Limits::default();
    let mut problems = Diagnostics::default();
    if let Err(twice) = once("--fix", fix.iter().map(|(key, _)| key.as_str())) {
        problems.extend(twice);
    }
    let listed = fix.iter().map(|(key, values)| {
        (key.clone(), values.split(',').map(str::to_owned).collect::<Vec<_>>())
    });
    for (key, values) in opened.fixed.iter().cloned().chain(listed) {
        if let Err(problem) = limits.fix(&key, &values) {
            problems.push(problem);
        }
    }
    let failure = |problems| Failure { problems, texts: texts.clone() };
    problems.into_result(()).map_err(failure)?;
    let problem = Problem::new(&opened.loaded.scenario, guard).map_err(failure)?;
    Ok((Ready { name: asked.name.clone(), opened, limits, problem }, texts))
}

fn searched(run: &Ready, top: usize) -> Findings {
    let space = Space::new(&run.problem, &run.limits);
    let mut search = Search::new(&run.problem, &space, &Options { top });
    let mut workers: Vec<Worker<'_>> =
        (0..rayon::current_num_threads()).map(|_| search.worker()).collect();
    while !search.round().is_empty() {
        let results = settle(&search, &mut workers);
        search.absorb(&results);
    }
    search.finish()
}

pub fn answer(place: u64, run: &Ready, findings: &Findings) -> Value {
    let (scenario, problem) = (&run.opened.loaded.scenario, &run.problem);
    let space = &Space::new(problem, &run.limits);
    let peak = engine::mfu_peak(&problem.machine) * problem.ranks as f64;
    let per_token = problem.model.flops_per_token(problem.sequence).megatron_causal;
    let flops = per_token * problem.batch_tokens();
    let leaders: Vec<Value> = findings
        .leaders
        .iter()
        .map(|found| {
            json!({
                "step_s": found.step_s,
                "tokens_per_s": problem.batch_tokens() / found.step_s,
                "mfu_ratio": flops / found.step_s / peak,
                "peak_bytes": found.peak_bytes,
                "tie_break": found.tie_break(),
                "layout": found.layout(),
                "plan": plan_value(&found.plan),
                "alike": alike(&search::twins(problem, space, found)),
                "straddles": straddles(problem, &found.plan),
            })
        })
        .collect();
    json!({
        "run": place, "name": run.name, "model": problem.model.name,
        "cluster": scenario.cluster.id, "chips": problem.ranks, "sequence": problem.sequence,
        "batch_sequences": problem.batch_sequences, "memory_limit_bytes": problem.memory_bytes,
        "plans": findings.counts.space, "priced": findings.counts.evaluated,
        "proven": !findings.cut_short,
        "levels": levels(run),
        "leaders": leaders,
    })
}

/// Pairs of context ranks and sequences a micro-batch.
fn alike(pairs: &[(u64, u64)]) -> Vec<Value> {
    pairs.iter().map(|(context, mb)| json!({ "context": context, "micro_batch": mb })).collect()
}

/// Axes whose groups lie unevenly, by level.
fn straddles(problem: &Problem, plan: &::plan::Plan) -> Vec<Value> {
    let levels = &problem.machine.cluster.levels;
    let one = |s: &search::Straddle| {
        json!({
            "axis": s.axis.word(), "level": levels[s.level].name, "size": s.size,
            "touched": s.touched, "least": s.least, "most": s.most,
        })
    };
    search::straddles(problem, plan).iter().map(one).collect()
}

/// How the job lies on each level: chips of a whole instance that it uses, instances that takes and the
/// instances there are, chips left idle in those it takes, and chips used in the last (fewer than in
/// the others where the job is packed).
fn levels(run: &Ready) -> Vec<Value> {
    let (cluster, ranks) = (&run.problem.machine.cluster, run.problem.ranks);
    let fabric = fabric::Fabric::new(cluster, ranks);
    let pairs = cluster.levels.iter().zip(fabric.channels());
    pairs
        .map(|(level, channel)| {
            let taken = ranks.div_ceil(channel.ranks);
            json!({
                "level": level.name, "size": level.size, "used": channel.ranks,
                "taken": taken, "there": cluster.chips.div_ceil(level.size),
                "idle": taken * level.size - ranks, "last": ranks - (taken - 1) * channel.ranks,
            })
        })
        .collect()
}
