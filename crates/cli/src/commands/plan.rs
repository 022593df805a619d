//! `supernode plan SCENARIO`: the best plan, why, and what it was chosen from.

use crate::args::{DEFAULT, Format, pair};
use crate::commands::campaign::Progress;
use crate::commands::plan_save::saved;
use crate::commands::plan_search::{Run, relaxations};
use crate::commands::{Answer, json, once, opened, stamp};
use crate::commands::{candidates, plan_events, plan_part, study};
use crate::output::{Done, Failure};
use crate::progress;
use crate::whole_file::{WholeFile, apart, cannot_write};
use clap::{Args, ValueEnum};
use diagnostic::{Diagnostic, Diagnostics, counted};
use report::{Deadline, PlanAnswer};
use scenario::{Opened, Scenario};
use search::{Findings, Leader, Limits, Problem, Space};
use std::io::Write;
use std::time::{Duration, Instant};
use units::{Unit, parse_quantity};

/// Shares of memory left free in the table of speed against guard.
const GUARDS: [f64; 7] = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4];

#[derive(Args, Debug)]
pub struct PlanArgs {
    /// A scenario file, or the id of a shipped one. A complete `[plan]` is the plan to compare with;
    /// one with keys missing or lists (`pipeline = [4, 8]`) narrows the search
    #[arg(default_value = DEFAULT)]
    pub scenario: String,
    /// Change a key of the scenario: `--set chips=4096`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Allow a key only these values: `--fix plan.pipeline=4,8,16`
    #[arg(long = "fix", value_name = "KEY=VALUES", value_parser = pair)]
    pub fix: Vec<(String, String)>,
    /// Only what a training program offers
    #[arg(long, value_enum)]
    pub framework: Option<PlanFramework>,
    /// How many of the best to show, each of another layout
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub top: u16,
    /// Share of each rank's memory to leave free
    #[arg(long, default_value = "0.1")]
    pub guard: f64,
    /// What is best
    #[arg(long, value_enum, default_value = "tokens")]
    pub objective: Objective,
    /// Numbers of chips to choose from, instead of the scenario's
    #[arg(long, value_name = "CHIPS", value_delimiter = ',')]
    pub chips: Vec<u64>,
    /// Days for all the recipe's tokens at this length: exit code 1 if the best plan takes longer
    #[arg(long, value_name = "DAYS")]
    pub deadline: Option<f64>,
    /// The fastest plan under several guards
    #[arg(long)]
    pub pareto: bool,
    /// Stop after so long and print what remains unproven: `--budget 10s`
    #[arg(long, value_name = "TIME")]
    pub budget: Option<String>,
    /// Threads; without: one a core. The answer does not depend on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Do not run the best plans in the event engine: rank them by the closed form
    #[arg(long)]
    pub no_flow: bool,
    /// The command that runs the best plan with a training program, after the answer
    #[arg(long, value_name = "PROGRAM")]
    pub launch: Option<crate::args::Framework>,
    /// Write every plan that was priced and fits: a `.parquet` or `.jsonl` file, whole or not at all
    #[arg(long, value_name = "FILE")]
    pub candidates: Option<String>,
    /// Write a scenario with the best plan
    #[arg(long, value_name = "FILE")]
    pub save: Option<String>,
    /// Only one part of the space: `--shard 2/8` is the second of eight; `plan merge` joins the parts
    #[arg(long, value_name = "I/N", value_parser = study::shard, conflicts_with_all =
        ["pareto", "launch", "save", "chips", "deadline", "objective", "budget"])]
    pub shard: Option<(u64, u64)>,
    /// With `--shard`: write the part as JSON to this file, whole or not at all
    #[arg(short, long, value_name = "FILE", requires = "shard")]
    pub output: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Progress on standard error
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFramework {
    /// Megatron-LM: 1F1B, plain or interleaved; replicated or sharded optimizer
    Megatron,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Objective {
    /// Tokens a second
    Tokens,
    /// Rental of the chips a token, by the prices of a campaign
    Cost,
    /// Energy at the meter a token, by the powers and the PUE of a campaign
    Energy,
    /// Tokens a second with every uncertain figure at its slow end
    WorstCase,
    /// Fewest chips that meet `--deadline`
    Chips,
}

impl Objective {
    fn words(self) -> &'static str {
        match self {
            Self::Tokens => "tokens a second",
            Self::Cost => "rental a token",
            Self::Energy => "energy a token",
            Self::WorstCase => "tokens a second in the worst case",
            Self::Chips => "fewest chips",
        }
    }
}

pub fn plan(args: &PlanArgs) -> Answer {
    let begun = Instant::now();
    let (opened, texts) = opened(&args.scenario, &args.set)?;
    let failure = |problems| Failure { problems, texts: texts.clone() };
    let scenario = &opened.loaded.scenario;
    let asked = asked(args, &opened, begun).map_err(Failure::from)?;
    let Asked { limits, until, counts } = asked;
    let mut problem = Problem::new(scenario, args.guard).map_err(failure)?;
    if let Some(list) = &limits.recompute {
        problem.base.recompute.early_stop = list.iter().any(|r| r.early_stop);
    }
    let run = Run { top: usize::from(args.top), until, args };
    let files = Files::begin(args)?;
    if let Some(part) = args.shard {
        let name = opened.loaded.scenario.name.clone();
        return plan_part::part(
            &run,
            study::Ready { name, opened, limits, problem },
            &texts,
            part,
            files,
        );
    }
    let chosen = choose(args, scenario, problem, &limits, &run, &counts)?;
    finish(&opened, &limits, &run, &chosen, files)
}

/// The files asked for, begun before the search: a place that cannot be written to is told at once.
pub struct Files {
    pub candidates: Option<candidates::Table>,
    pub save: Option<WholeFile>,
    pub output: Option<WholeFile>,
}

impl Files {
    fn begin(args: &PlanArgs) -> Result<Self, Failure> {
        apart(&[&args.candidates, &args.save, &args.output])?;
        let whole = |file: &Option<String>| file.as_deref().map(WholeFile::begin).transpose();
        Ok(Self {
            candidates: args.candidates.as_deref().map(candidates::Table::begin).transpose()?,
            save: whole(&args.save)?,
            output: whole(&args.output)?,
        })
    }
}

/// The question that was answered best, with its answer.
struct Chosen {
    problem: Problem,
    findings: Findings,
    /// The objective for every number of chips asked: chips, value, unit.
    chips: Vec<(u64, Option<f64>, &'static str)>,
}

/// What the options mean.
struct Asked {
    limits: Limits,
    until: Option<Instant>,
    counts: Vec<u64>,
}

/// Reads the options; the error is every problem with any of them.
fn asked(args: &PlanArgs, opened: &Opened, begun: Instant) -> Result<Asked, Diagnostics> {
    let mut problems = Diagnostics::default();
    let limits = limits(args, opened).map_err(|found| problems.extend(found));
    if !(0.0..1.0).contains(&args.guard) {
        let message = format!("a guard of {:?} leaves no memory or is negative", args.guard);
        let hint = "a share of 0 or more and less than 1: `--guard 0.1`";
        problems.push(Diagnostic::error("cli::guard", message).hint(hint));
    }
    if let Some(days) = args.deadline.filter(|days| !(days.is_finite() && *days > 0.0)) {
        let message = format!("`{days:?}` is no number of days to be done in");
        problems.push(Diagnostic::error("cli::deadline", message).hint("write `--deadline 60`"));
    }
    let until = until(args, begun).map_err(|found| problems.push(found));
    let counts = chip_counts(args, &opened.loaded.scenario).map_err(|found| problems.extend(found));
    match (limits, until, counts) {
        (Ok(limits), Ok(until), Ok(counts)) => {
            problems.into_result(Asked { limits, until, counts })
        }
        _ => Err(problems),
    }
}

fn limits(args: &PlanArgs, opened: &Opened) -> Result<Limits, Diagnostics> {
    let mut limits = match args.framework {
        Some(PlanFramework::Megatron) => Limits::megatron(),
        None => Limits::default(),
    };
    let mut problems = Diagnostics::default();
    let plain = |key: &'_ String| key.strip_prefix("plan.").unwrap_or(key).to_owned();
    let keys: Vec<String> =
        args.fix.iter().map(|(key, _)| format!("plan.{}", plain(key))).collect();
    if let Err(twice) = once("--fix", keys.iter().map(String::as_str)) {
        problems.extend(twice);
    }
    for (key, values) in &opened.fixed {
        if let Err(problem) = limits.fix(key, values) {
            problems.push(problem);
        }
    }
    for (key, values) in &args.fix {
        let values: Vec<String> = values.split(',').map(str::to_owned).collect();
        if let Err(problem) = limits.fix(key, &values) {
            problems.push(problem);
        }
    }
    problems.into_result(limits)
}

fn until(args: &PlanArgs, begun: Instant) -> Result<Option<Instant>, Diagnostic> {
    let Some(text) = &args.budget else { return Ok(None) };
    let seconds = parse_quantity(text, Unit::Second).ok().filter(|s| (0.0..1e7).contains(s));
    let Some(seconds) = seconds else {
        let message = format!("`{text}` is no time");
        let hint = "write `--budget 10s`";
        return Err(Diagnostic::error("cli::budget", message).hint(hint));
    };
    Ok(Some(begun + Duration::from_secs_f64(seconds)))
}

/// The numbers of chips to search.
fn chip_counts(args: &PlanArgs, scenario: &Scenario) -> Result<Vec<u64>, Diagnostics> {
    if args.objective == Objective::Chips && (args.chips.is_empty() || args.deadline.is_none()) {
        let message = "the fewest chips of which numbers, for which deadline?";
        let hint = "add `--chips 2048,4096,8192 --deadline 60`";
        return Err(Diagnostic::error("cli::objective", message).hint(hint).into());
    }
    if args.chips.is_empty() {
        return Ok(vec![scenario.ranks]);
    }
    let most = scenario.cluster.chips;
    let mut problems = Diagnostics::default();
    for wrong in args.chips.iter().filter(|chips| !(1..=most).contains(*chips)) {
        let chips = counted(*wrong, "chip");
        let message = format!("{chips} asked for, `{}` has {most}", scenario.cluster.id);
        let problem = Diagnostic::error("scenario::chips", message);
        problems.push(problem.hint(format!("from 1 to {most}")));
    }
    let mut counts = args.chips.clone();
    counts.sort_unstable();
    counts.dedup();
    problems.into_result(counts)
}

fn choose(
    args: &PlanArgs,
    scenario: &Scenario,
    mut problem: Problem,
    limits: &Limits,
    run: &Run<'_>,
    counts: &[u64],
) -> Result<Chosen, Failure> {
    let rate = rate(args.objective, scenario)?;
    if args.objective == Objective::WorstCase {
        slow_down(&mut problem, limits, run)?;
    }
    let mut best: Option<Chosen> = None;
    let mut best_score = f64::INFINITY;
    let mut chips = Vec::new();
    for (place, &ranks) in counts.iter().enumerate() {
        progress::part("number of chips", place, counts.len());
        let problem = Problem { ranks, ..problem.clone() };
        let findings = run.best(&problem, &Space::new(&problem, limits))?;
        let step_s = findings.leaders.first().map(|found| found.step_s);
        let (value, unit, score) = scored(args, scenario, &problem, step_s, rate);
        chips.push((ranks, value, unit));
        let better = score < best_score || best.is_none();
        if better {
            best_score = score;
            best = Some(Chosen { problem, findings, chips: Vec::new() });
        }
        if args.objective == Objective::Chips && score.is_finite() {
            break;
        }
    }
    if counts.len() < 2 {
        chips.clear();
    }
    best.map(|chosen| Chosen { chips, ..chosen })
        .ok_or_else(|| Diagnostic::error("cli::chips", "no number of chips to search").into())
}

/// What a chip costs an hour or draws at the meter, for objectives that need it, by the prices of a
/// campaign. USD/h, or watts.
fn rate(objective: Objective, scenario: &Scenario) -> Result<f64, Failure> {
    if !matches!(objective, Objective::Cost | Objective::Energy) {
        return Ok(0.0);
    }
    let texts = scenario.campaign.economics.iter().cloned().collect();
    let economics =
        ::campaign::economics(scenario).map_err(|problems| Failure { problems, texts })?;
    let (cluster, chip) = (&scenario.cluster, &scenario.cluster.chip);
    let (rate, what, hint) = match objective {
        Objective::Cost => (
            ::campaign::rental(&economics, chip).map(|figure| figure.value),
            format!(
                "no rental of {} is known to `{}`: no cost without it",
                chip.name, economics.id
            ),
            format!(
                "add `chip.{}.rental` to a file of prices and name it in `[campaign]`",
                chip.id
            ),
        ),
        _ => (
            ::campaign::meter_power(&economics, cluster),
            format!(
                "the power of {} or its overhead is not known: no energy without it",
                chip.name
            ),
            format!("add `power` to the chip's file and `overhead_power` to `{}`", cluster.id),
        ),
    };
    rate.ok_or_else(|| Diagnostic::error("catalog::missing-figure", what).hint(hint).into())
}

/// An objective's value with its unit, and the same as a score of which less is better.
fn scored(
    args: &PlanArgs,
    scenario: &Scenario,
    problem: &Problem,
    step_s: Option<f64>,
    rate: f64,
) -> (Option<f64>, &'static str, f64) {
    let (tokens, ranks) = (problem.batch_tokens(), problem.ranks as f64);
    let value = |step_s: f64| match args.objective {
        Objective::Tokens | Objective::WorstCase => tokens / step_s,
        // A price of a single token has no digit before the seventh decimal.
        Objective::Cost => ranks * rate * step_s / 3600.0 / tokens * 1e6,
        Objective::Energy => ranks * rate * step_s / tokens,
        Objective::Chips => days(scenario, problem, step_s),
    };
    let value = step_s.map(value);
    let (unit, score) = match args.objective {
        Objective::Tokens | Objective::WorstCase => ("token/s", value.map(|v| -v)),
        Objective::Cost => ("USD/Mtoken", value),
        Objective::Energy => ("J/token", value),
        Objective::Chips => {
            let deadline = args.deadline.unwrap_or(0.0);
            ("days", value.filter(|&days| days <= deadline).map(|_| ranks))
        }
    };
    (value, unit, score.unwrap_or(f64::INFINITY))
}

/// All the recipe's tokens at the problem's length. Days.
fn days(scenario: &Scenario, problem: &Problem, step_s: f64) -> f64 {
    scenario.recipe.tokens.value / problem.batch_tokens() * step_s / 86_400.0
}

/// Sets every uncertain figure that moves one of the best plans to the end that makes it slower.
fn slow_down(problem: &mut Problem, limits: &Limits, run: &Run<'_>) -> Result<(), Failure> {
    let findings = run.best(problem, &Space::new(problem, limits))?;
    let leaders = findings.leaders.iter().filter_map(|f| search::leader(problem, &f.plan));
    let mut ends: Vec<(String, f64)> = Vec::new();
    for leader in leaders {
        for driver in engine::drivers(&leader.program, &problem.machine) {
            let low = driver.step_at_low_s > driver.step_at_high_s;
            let end = if low { driver.figure.low } else { driver.figure.high };
            if !ends.iter().any(|(path, _)| *path == driver.path) {
                ends.push((driver.path, end));
            }
        }
    }
    let machine = &mut problem.machine;
    let paths: Vec<String> = machine.figures().into_iter().map(|(path, _)| path).collect();
    for (path, figure) in paths.iter().zip(machine.figures_mut()) {
        if let Some((_, end)) = ends.iter().find(|(known, _)| known == path) {
            figure.value = *end;
        }
    }
    Ok(())
}

fn finish(
    opened: &Opened,
    limits: &Limits,
    run: &Run<'_>,
    chosen: &Chosen,
    files: Files,
) -> Answer {
    let args = run.args;
    let (scenario, problem) = (&opened.loaded.scenario, &chosen.problem);
    let findings = &chosen.findings;
    let mut ran = if args.no_flow {
        Vec::new()
    } else {
        plan_events::ranked(run, problem, limits, findings)?
    };
    let considered = ran.len();
    let first = findings.leaders.first();
    let first_flow = ran.iter().find(|(l, _)| first.is_some_and(|f| f.plan == l.found.plan));
    let first_flow = first_flow.and_then(|(_, step)| step.as_ref().ok().copied());
    ran.truncate(run.top);
    let (mut leaders, flow): (Vec<Leader>, Vec<Result<f64, String>>) = ran.into_iter().unzip();
    if args.no_flow {
        leaders =
            findings.leaders.iter().filter_map(|f| search::leader(problem, &f.plan)).collect();
    }
    let of_best = |best: &Leader| match flow.first() {
        Some(Ok(step_s)) => *step_s,
        _ => best.found.step_s,
    };
    let taken = leaders.first().map(|best| days(scenario, problem, of_best(best)));
    let deadline = args.deadline.map(|wanted| Deadline { wanted, taken });
    let space = Space::new(problem, limits);
    let alike: Vec<Vec<(u64, u64)>> =
        leaders.iter().map(|leader| search::twins(problem, &space, &leader.found)).collect();
    let neighbours = leaders.first().map(|best| search::neighbours(problem, best));
    let job = &scenario.jobs[scenario.main];
    let present = if opened.complete && problem.ranks == scenario.ranks {
        search::leader(problem, &job.plan)
    } else {
        None
    };
    let present_flow = present
        .as_ref()
        .filter(|_| !args.no_flow)
        .and_then(|leader| plan_events::by_events(leader, problem).ok());
    let relaxed = if leaders.is_empty() && !findings.cut_short {
        relaxations(run, scenario, problem, limits)?
    } else {
        Vec::new()
    };
    let pareto = if args.pareto { pareto(run, scenario, problem, limits)? } else { Vec::new() };
    let answer = PlanAnswer {
        scenario,
        problem,
        guard: args.guard,
        objective: args.objective.words(),
        findings,
        leaders: &leaders,
        alike: &alike,
        flow: &flow,
        considered,
        first_flow,
        present_flow,
        neighbours: neighbours.as_deref().unwrap_or_default(),
        present: present.as_ref(),
        pareto: &pareto,
        relaxations: &relaxed,
        chips: &chosen.chips,
        deadline,
    };
    let text = match args.format {
        Format::Text => report::plan_text(&answer),
        Format::Json => {
            let stamp = stamp("supernode.plan/1", &opened.loaded.text);
            json(&report::plan_json(&stamp, &answer))
        }
    };
    let mut notes = report::render(&opened.loaded.warnings, &|_| None);
    let mut text = text;
    if let (Some(framework), Some(best)) = (args.launch, leaders.first()) {
        let job = scenario::Job { plan: best.found.plan.clone(), ..job.clone() };
        let scenario = Scenario { ranks: problem.ranks, ..scenario.clone() };
        let launch = trace::launch::launch(framework.into(), &scenario, &job);
        if args.format == Format::Text {
            text.push_str(&format!("\n{}", launch.script()));
        } else {
            notes.push_str(&launch.script());
        }
    }
    if let Some(table) = files.candidates {
        notes.push_str(&candidates::fill(table, problem, &Space::new(problem, limits), args)?);
    }
    if let (Some(mut out), Some(best)) = (files.save, leaders.first()) {
        let (text, missing) = saved(out.name(), run, opened, problem, &best.found.plan)?;
        let path = out.name().to_owned();
        out.write_all(text.as_bytes()).map_err(|e| cannot_write(&path, &e))?;
        out.keep()?;
        notes.push_str(&format!("supernode: the best plan is in {path}\n"));
        notes.push_str(&missing);
    }
    let late = deadline.is_some_and(|deadline| !deadline.is_met());
    Ok(Done { text, notes, yes: !leaders.is_empty() && !late })
}

/// The best plan under each guard.
fn pareto(
    run: &Run<'_>,
    scenario: &Scenario,
    problem: &Problem,
    limits: &Limits,
) -> Result<Vec<(f64, Option<search::Found>)>, Failure> {
    let run = Run { top: 1, ..*run };
    let mut rows = Vec::new();
    for (place, guard) in GUARDS.into_iter().enumerate() {
        progress::part("guard", place, GUARDS.len());
        let memory_bytes = scenario.cluster.chip.memory.value * (1.0 - guard);
        let problem = Problem { memory_bytes, ..problem.clone() };
        let findings = run.best(&problem, &Space::new(&problem, limits))?;
        rows.push((guard, findings.leaders.into_iter().next()));
    }
    Ok(rows)
}
