//! The planner's tables: the best plans of DeepSeek-V4-Pro on four machines, confirmed by events.

use crate::codegen::Program;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write;

/// Machines by the page's name and their scenario.
const MACHINES: [(&str, &str); 4] = [
    ("Atlas 950", "deepseek-v4-pro-on-atlas-950"),
    ("910C pods", "deepseek-v4-pro-on-atlas-900-a3"),
    ("GB300 NVL72", "deepseek-v4-pro-on-gb300"),
    ("H800", "deepseek-v4-pro-on-h800"),
];

/// Shares of memory left free in the table of guards; the tables of plans have the second.
const GUARDS: [&str; 4] = ["0", "0.1", "0.2", "0.4"];

/// The blocks of the planner's page. Minutes: every machine is searched under every guard.
pub fn blocks(program: &Program) -> Result<Vec<(&'static str, String)>> {
    let mut answers = Vec::new();
    for (name, scenario) in MACHINES {
        answers.push((name, program.json(&["plan", scenario, "--guard", GUARDS[1]])?));
    }
    Ok(vec![
        ("plans", best(&answers)?),
        ("top-five", leaders(&answers)?),
        ("guards", guards(program)?),
    ])
}

/// Whether the plan that each scenario has itself still takes what the page says, which needs no search.
///
/// # Errors
/// A page without that table.
pub fn as_recorded(program: &Program, page: &str) -> Result<bool> {
    let block = page.split("<!-- made: plans -->").nth(1).context("the page has no plans")?;
    for (name, scenario) in MACHINES {
        let answer = program.json(&["rehearse", scenario])?;
        let stages = answer["stages"].as_array().context("no stages")?;
        let main = stages.iter().find(|s| s["sequence"] == answer["main_sequence"]);
        let own = number(&main.context("no main stage")?["step_s"]["value"])?;
        let row = block.lines().find(|line| line.starts_with(&format!("| {name} |")));
        if !row.context("a machine has no row")?.contains(&format!("| {} |", seconds(own))) {
            return Ok(false);
        }
    }
    Ok(true)
}

type Answers = [(&'static str, Value)];

fn best(answers: &Answers) -> Result<String> {
    let mut text = String::from(
        "| machine | chips | legal plans | best plan by events | closed form | events | \
         scenario's own plan | by events | the closed form's best | by events |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, answer) in answers {
        let list = list(answer)?;
        let first = list.first().context("no plan fits")?;
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            grouped(&answer["ranks"]),
            grouped(&answer["search"]["plans"]),
            plan(&first["plan"]),
            seconds(number(&first["step_s"])?),
            events(first),
            seconds(number(&answer["present"]["step_s"])?),
            events(&answer["present"]),
            seconds(number(&answer["closed_form_best"]["step_s"])?),
            events(&answer["closed_form_best"]),
        )?;
    }
    Ok(text)
}

/// The block of the page on studies: the five best plans of every run of the shipped one.
pub fn study(program: &Program) -> Result<Vec<(&'static str, String)>> {
    let answer = program.json(&["plan", "study", "hundred-thousand", "--progress", "never"])?;
    let mut text = String::from(
        "| job | | plan | step | Mtoken/s | groups that straddle pods |\n|---|---|---|---|---|---|\n",
    );
    for run in answer["runs"].as_array().context("a study without runs")? {
        let mut name = run["name"].as_str().context("a run without a name")?;
        for (place, leader) in (1..).zip(list(run)?) {
            let straddles = leader["straddles"].as_array().context("no straddles")?;
            let pods = straddles.iter().filter(|s| s["level"] == "pod");
            let axes: Vec<_> = pods.filter_map(|s| s["axis"].as_str()).collect();
            let axes = if axes.is_empty() { "none".to_owned() } else { axes.join(", ") };
            writeln!(
                text,
                "| {name} | {place} | {} | {} s | {:.1} | {} |",
                plan(&leader["plan"]),
                seconds(number(&leader["step_s"])?),
                number(&leader["tokens_per_s"])? / 1e6,
                axes.replace('_', " "),
            )?;
            name = "";
        }
    }
    Ok(vec![("hundred-thousand", text)])
}

/// What the page says of a plan that the event engine refuses.
const NOT_RUN: &str = "not run";

fn events(leader: &Value) -> String {
    leader["flow_step_s"].as_f64().map_or_else(|| NOT_RUN.to_owned(), seconds)
}

fn leaders(answers: &Answers) -> Result<String> {
    let mut text = String::from(
        "| machine |  | plan | closed form | events | Mtoken/s | fullest rank, GiB |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (name, answer) in answers {
        for (place, leader) in (1..).zip(list(answer)?) {
            writeln!(
                text,
                "| {name} | {place} | {} | {} | {} | {:.2} | {:.1} |",
                plan(&leader["plan"]),
                seconds(number(&leader["step_s"])?),
                events(leader),
                number(&leader["tokens_per_s"])? / 1e6,
                number(&leader["peak_bytes"])? / f64::from(1 << 30),
            )?;
        }
    }
    Ok(text)
}

fn guards(program: &Program) -> Result<String> {
    let names = MACHINES.map(|(name, _)| name).join(" | ");
    let mut text = format!("| guard | {names} |\n|---|{}\n", "---|".repeat(MACHINES.len()));
    for guard in GUARDS {
        write!(text, "| {:.0} % |", 100.0 * guard.parse::<f64>()?)?;
        for (_, scenario) in MACHINES {
            let words = ["plan", scenario, "--guard", guard, "--top", "1", "--no-flow"];
            match list(&program.json(&words)?)?.first() {
                Some(best) => write!(text, " {} |", seconds(number(&best["step_s"])?))?,
                None => text.push_str(" none fits |"),
            }
        }
        text.push('\n');
    }
    Ok(text)
}

fn list(answer: &Value) -> Result<&Vec<Value>> {
    answer["leaders"].as_array().context("an answer without leaders")
}

fn number(value: &Value) -> Result<f64> {
    match value.as_f64() {
        Some(number) => Ok(number),
        None => bail!("`{value}` where a number should be"),
    }
}

/// Four digits.
fn seconds(step_s: f64) -> String {
    let decimals = if step_s < 10.0 { 3 } else { 2 };
    format!("{step_s:.decimals$}")
}

/// `8,192`.
fn grouped(value: &Value) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A plan in a line: what is 1, or as Megatron-LM has it unless told, goes without saying.
fn plan(plan: &Value) -> String {
    let degrees = [
        ("tensor", "tp"),
        ("context", "cp"),
        ("pipeline", "pp"),
        ("virtual_pipeline", "vpp"),
        ("expert", "ep"),
        ("expert_tensor", "etp"),
        ("micro_batch", "micro-batch"),
    ];
    let said = degrees.iter().filter(|(key, _)| *key == "pipeline" || plan[*key] != 1);
    let mut words: Vec<String> = said.map(|(key, word)| format!("{word} {}", plan[*key])).collect();
    if plan["zero"] != 0 {
        words.push(format!("ZeRO-{}", plan["zero"]));
    }
    let text = |key: &str| plan[key].as_str().unwrap_or_default().to_owned();
    if text("schedule") != "1f1b" {
        words.push(text("schedule"));
    }
    if !["", "none"].contains(&text("recompute").as_str()) {
        words.push(format!("recompute {}", text("recompute")));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn numbers_and_plans_read_as_the_page_has_them() {
        assert_eq!(super::grouped(&json!(71_447_670_024_u64)), "71,447,670,024");
        assert_eq!(
            (super::seconds(7.6957), super::seconds(23.581)),
            ("7.696".into(), "23.58".into())
        );
        let plan = json!({"tensor": 1, "context": 256, "pipeline": 1, "virtual_pipeline": 1,
            "expert": 64, "expert_tensor": 1, "micro_batch": 2, "zero": 3, "schedule": "zb-v",
            "recompute": "none"});
        assert_eq!(super::plan(&plan), "cp 256 pp 1 ep 64 micro-batch 2 ZeRO-3 zb-v");
    }
}
