//! Pages whose words are written by hand and whose numbers are made from the program.

use crate::bill;
use crate::blocks::fill;
use crate::codegen::Program;
use crate::plans;
use anyhow::{Context, Result};
use std::fmt::Write;

/// What a page shows, by block.
pub type Made = Vec<(&'static str, String)>;

/// A page with blocks, and what makes them.
type Page = (&'static str, fn(&Program) -> Result<Made>);

const PAGES: [Page; 5] = [
    ("README.md", readme),
    ("docs/src/guide/bill.md", bill::blocks),
    ("docs/src/guide/campaign.md", campaign),
    ("docs/src/concepts/trust.md", trust),
    ("docs/src/concepts/flow.md", engines),
];

/// Pages whose numbers take minutes to make; what the first says is checked without making it.
const SLOW: [Page; 2] =
    [("docs/src/concepts/planner.md", plans::blocks), ("docs/src/guide/studies.md", plans::study)];

/// Each page as it should be: `(path, text)`. With `check`, what takes minutes is not made again: such
/// a page is as it should be if it still says what it says of plans that need no search.
pub fn pages(program: &Program, check: bool) -> Result<Vec<(&'static str, String)>> {
    let page = |(path, make): &Page| {
        let old = std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
        let new = fill(&old, &make(program)?).with_context(|| format!("`{path}`"))?;
        Ok((*path, new))
    };
    let mut all = PAGES.iter().map(page).collect::<Result<Vec<_>>>()?;
    all.extend(bill::pictures(program)?);
    let planner = SLOW[0].0;
    if !check {
        all.extend(SLOW.iter().map(page).collect::<Result<Vec<_>>>()?);
    } else if !plans::as_recorded(program, &std::fs::read_to_string(planner)?)? {
        all.push((planner, String::new()));
    }
    Ok(all)
}

fn fenced(text: &str) -> String {
    format!("```text\n{}\n```", text.trim_matches('\n'))
}

/// The default sheet without the phases of its schedule and the list of what is assumed.
fn readme(program: &Program) -> Result<Made> {
    let sheet = program.text(&[])?;
    let kept = sheet.split("\n\n").filter(|part| {
        !["The step by phase", "What is assumed"].iter().any(|title| part.starts_with(title))
    });
    Ok(vec![("sheet", fenced(&kept.collect::<Vec<_>>().join("\n\n")))])
}

/// The paragraphs of an answer that begin with one of `titles`.
fn parts(text: &str, titles: &[&str]) -> Result<String> {
    let all: Vec<&str> = text.split("\n\n").collect();
    let found = titles.iter().map(|title| {
        let part = all.iter().find(|part| part.starts_with(title));
        part.copied().with_context(|| format!("no part of the answer begins with `{title}`"))
    });
    Ok(fenced(&found.collect::<Result<Vec<_>>>()?.join("\n\n")))
}

/// One campaign, and the first run of the shipped set on its machines.
fn campaign(program: &Program) -> Result<Made> {
    let set = std::fs::read_to_string("scenarios/sets/v4-pro.toml")?;
    let (before, runs) = set.split_once("[[run]]").context("the set has a run")?;
    let (_, machines) = runs.split_once("[[machine]]").context("the set has machines")?;
    let run = runs.split("\n[[").next().unwrap_or_default();
    let path = "target/book-set.toml";
    std::fs::write(path, format!("{before}[[run]]{run}\n[[machine]]{machines}"))?;
    let listed = program.text(&["compare", path])?;
    let power = program.text(&["compare", path, "--at", "equal-power"])?;
    Ok(vec![
        ("headline", parts(&program.text(&["campaign"])?, &["The run, "])?),
        ("machines", parts(&listed, &["Machines", "Steps", "The run", "The bill", "Ratio"])?),
        ("power", parts(&power, &["Machines", "Ratio"])?),
    ])
}

/// The line of the default sheet that the page follows, and what each calibration says of its own fit.
fn trust(program: &Program) -> Result<Made> {
    let sheet = program.text(&[])?;
    let mut lines = sheet.lines().map(str::trim);
    let step = lines.find(|line| line.starts_with("step time")).context("no step time")?;
    Ok(vec![("step", fenced(step)), ("fits", fits()?)])
}

/// Where the engines differ on published steps, by cause, and both means.
fn engines(program: &Program) -> Result<Made> {
    let text = program.text(&["validate", "--engine", "flow"])?;
    let titles = ["Both engines on", "  mostly because", "Mean error over families"];
    Ok(vec![("engines", parts(&text, &titles)?)])
}

/// Chips with measured kernels: as the page calls them, and their calibration.
const MEASURED: [(&str, &str); 4] =
    [("A100", "a100"), ("H100", "h100"), ("B200", "b200"), ("GB200", "gb200")];

/// Errors of the fits, by operator and chip.
fn fits() -> Result<String> {
    let mut rows: Vec<(String, [String; MEASURED.len()])> = Vec::new();
    // The chip with most operators first: its order is the table's.
    for place in [2, 0, 1, 3] {
        let path = format!("catalog/calibrations/{}.toml", MEASURED[place].1);
        let file: toml::Table = std::fs::read_to_string(&path)?.parse()?;
        for fit in file.get("fit").and_then(|f| f.as_array()).context("no fits")? {
            let text = fit.get("operator").and_then(|o| o.as_str()).context("no operator")?;
            let error =
                |key: &str| fit.get(key).and_then(toml::Value::as_float).context("no error");
            let (median, p90) = (error("median_error")?, error("p90_error")?);
            let at = rows.iter().position(|(operator, _)| operator == text);
            let at = at.unwrap_or_else(|| {
                rows.push((text.to_owned(), Default::default()));
                rows.len() - 1
            });
            rows[at].1[place] = format!("{:.1} % ({:.0} %)", 100.0 * median, 100.0 * p90);
        }
    }
    let names = MEASURED.map(|(name, _)| name).join(" | ");
    let mut text = format!("| operator | {names} |\n|---|{}\n", "---|".repeat(MEASURED.len()));
    for (operator, cells) in rows {
        writeln!(text, "| {operator} | {} |", cells.join(" | "))?;
    }
    Ok(text)
}
