//! `supernode plan merge`: parts of a study or of one search, joined to the bytes of the whole.

use super::Answer;
use super::study::{SCHEMA, deliver};
use crate::args::Format;
use crate::input;
use crate::output::Failure;
use crate::whole_file::WholeFile;
use clap::Args;
use diagnostic::{Diagnostic, Diagnostics};
use serde_json::Value;

#[derive(Args, Debug)]
pub struct Merge {
    /// The files that `plan study --shard .. -o FILE`, or `plan SCENARIO --shard .. -o FILE`, wrote: all
    /// parts of one question
    #[arg(required = true)]
    pub parts: Vec<String>,
    /// Write the answer as JSON to this file, whole or not at all
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

pub fn merge(args: &Merge) -> Answer {
    let mut problems = Diagnostics::default();
    let mut parts: Vec<(u64, &String, Value)> = Vec::new();
    for file in &args.parts {
        let wrong = |message: String| Diagnostic::error("study::part", message).at(file, 0..0);
        let text = input::text(file, input::CAPTURED)?;
        match serde_json::from_str::<Value>(&text) {
            Err(e) => problems.push(wrong(format!("`{file}` is no JSON: {e}"))),
            Ok(value) if value["schema"] != SCHEMA => {
                problems.push(wrong(format!("`{file}` is no part of a study or of a search")));
            }
            Ok(value) => match value["shard"]["part"].as_u64() {
                Some(part) => parts.push((part, file, value)),
                None => problems.push(wrong(format!("`{file}` does not say which part it is"))),
            },
        }
    }
    parts.sort_by_key(|(part, _, _)| *part);
    // Parts that cannot be read are not missing.
    if problems.0.is_empty() {
        problems.extend(fitting(&parts));
    }
    problems.into_result(()).map_err(|problems| Failure { problems, texts: Vec::new() })?;
    let mut joined = parts[0].2.clone();
    let lists = parts.iter().filter_map(|(_, _, value)| value["runs"].as_array());
    let mut runs: Vec<Value> = lists.flatten().cloned().collect();
    if joined["shard"]["split"] == "space" {
        let top = joined["top"].as_u64().unwrap_or(1) as usize;
        runs = one_run(runs, top).map_err(Failure::from)?;
    }
    runs.sort_by_key(|run| run["run"].as_u64());
    joined["shard"]["part"] = 1.into();
    joined["shard"]["of"] = 1.into();
    joined["runs"] = runs.into();
    let out = args.output.as_deref().map(WholeFile::begin).transpose()?;
    deliver(&joined, args.format, out)
}

/// What keeps the parts from being one study.
fn fitting(parts: &[(u64, &String, Value)]) -> Diagnostics {
    let mut problems = Diagnostics::default();
    let Some((_, first, one)) = parts.first() else {
        problems.push(Diagnostic::error("study::part", "no part to merge"));
        return problems;
    };
    let of = one["shard"]["of"].as_u64().unwrap_or(0);
    for (_, file, other) in parts {
        for key in ["version", "input_hash", "study", "top", "guard_ratio"] {
            if other[key] != one[key] {
                let message =
                    format!("`{key}` is {} in `{first}` and {} in `{file}`", one[key], other[key]);
                let hint = "run every part with one version of the program on the same files";
                problems.push(Diagnostic::error("study::part", message).hint(hint));
            }
        }
        let alike = other["shard"]["split"] == one["shard"]["split"];
        let runs = other["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (place, key) in
            runs.iter().enumerate().filter_map(|(at, run)| Some((at, lacking(run)?)))
        {
            let message = format!("run {} of `{file}` has no `{key}`", place + 1);
            let hint = "the file was changed after it was written; run that part again";
            problems.push(Diagnostic::error("study::part", message).hint(hint));
        }
        if other["shard"]["of"].as_u64() != Some(of) || !alike || !other["runs"].is_array() {
            let message = format!("`{file}` is not one of {of} parts");
            problems.push(Diagnostic::error("study::part", message));
        }
    }
    for pair in parts.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let message = format!("`{}` and `{}` are both part {}", pair[0].1, pair[1].1, pair[0].0);
        problems.push(Diagnostic::error("study::part", message));
    }
    let has = |part: u64| parts.iter().any(|(own, _, _)| *own == part);
    let missing: Vec<u64> = (1..=of.min(1_000_000)).filter(|part| !has(*part)).collect();
    if let Some(part) = missing.first() {
        let message = format!("{} of {of} parts are missing, the first is {part}", missing.len());
        let hint = format!("run it as the others, with `--shard {part}/{of} -o FILE`");
        problems.push(Diagnostic::error("study::part", message).hint(hint));
    }
    problems
}

/// The first key that every run has and this one has not, or as something else.
fn lacking(run: &Value) -> Option<&'static str> {
    const COUNTS: [&str; 6] =
        ["run", "chips", "sequence", "batch_sequences", "plans", "memory_limit_bytes"];
    let count = |key: &&&str| !run[**key].as_f64().is_some_and(|n| n.is_finite() && n >= 0.0);
    let word = |key: &&&str| !run[**key].is_string();
    let wrong =
        COUNTS.iter().find(count).or_else(|| ["name", "model", "cluster"].iter().find(word));
    wrong.copied().or_else(|| match run["leaders"].as_array() {
        Some(leaders) => leaders.iter().find_map(unlike_a_plan),
        None => Some("leaders"),
    })
}

/// The first key of a leader that holds no figure of a plan: no step takes less than no time.
fn unlike_a_plan(leader: &Value) -> Option<&'static str> {
    const KEYS: [(&str, &str); 3] = [
        ("step_s", "leaders.step_s"),
        ("tokens_per_s", "leaders.tokens_per_s"),
        ("peak_bytes", "leaders.peak_bytes"),
    ];
    let wrong = |(key, _): &&(&str, &str)| !leader[*key].as_f64().is_some_and(|x| x > 0.0);
    KEYS.iter().find(wrong).map(|(_, path)| *path)
}

/// The parts of one run's space as the run: plans added up, and the best of all parts, each of another
/// layout, in the planner's own order.
fn one_run(parts: Vec<Value>, top: usize) -> Result<Vec<Value>, Diagnostic> {
    let wrong = |what: &str| Diagnostic::error("study::part", format!("a part has no {what}"));
    let mut joined = parts.first().ok_or_else(|| wrong("run"))?.clone();
    let mut leaders: Vec<(Order, Value)> = Vec::new();
    let (mut plans, mut proven) = (0_u64, true);
    for part in parts {
        let own = part["plans"].as_u64().ok_or_else(|| wrong("`plans`"))?;
        plans = plans.saturating_add(own);
        proven &= part["proven"] == true;
        for leader in part["leaders"].as_array().ok_or_else(|| wrong("`leaders`"))? {
            let order = Order::of(leader).ok_or_else(|| wrong("order of its leaders"))?;
            leaders.push((order, leader.clone()));
        }
    }
    leaders.sort_by(|a, b| a.0.compare(&b.0));
    let mut kept: Vec<Value> = Vec::new();
    for (_, leader) in leaders {
        let same = |known: &Value| known["layout"] == leader["layout"];
        if kept.len() < top && !kept.iter().any(same) {
            kept.push(leader);
        }
    }
    joined["plans"] = plans.into();
    joined["proven"] = proven.into();
    joined["leaders"] = kept.into();
    Ok(vec![joined])
}

/// Where a leader stands: as [`search::Found`] is ordered.
struct Order {
    step_s: f64,
    peak_bytes: f64,
    tie_break: Vec<u64>,
}

impl Order {
    fn of(leader: &Value) -> Option<Self> {
        let tie_break = leader["tie_break"].as_array()?;
        Some(Self {
            step_s: leader["step_s"].as_f64()?,
            peak_bytes: leader["peak_bytes"].as_f64()?,
            tie_break: tie_break.iter().map(Value::as_u64).collect::<Option<_>>()?,
        })
    }

    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let steps = self.step_s.total_cmp(&other.step_s);
        let memory = self.peak_bytes.total_cmp(&other.peak_bytes);
        steps.then(memory).then_with(|| self.tie_break.cmp(&other.tie_break))
    }
}
