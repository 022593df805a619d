//! Pages whose words are written by hand and whose numbers are made from the program.

use crate::bill;
use crate::blocks::fill;
use crate::codegen::Program;
use anyhow::{Context, Result};

/// What a page shows, by block.
pub type Made = Vec<(&'static str, String)>;

/// A page with blocks, and what makes them.
type Page = (&'static str, fn(&Program) -> Result<Made>);

const PAGES: [Page; 3] = [
    ("README.md", readme),
    ("docs/src/guide/bill.md", bill::blocks),
    ("docs/src/guide/campaign.md", campaign),
];

/// Each page as it should be: `(path, text)`.
pub fn pages(program: &Program) -> Result<Vec<(&'static str, String)>> {
    let page = |(path, make): &Page| {
        let old = std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
        let new = fill(&old, &make(program)?).with_context(|| format!("`{path}`"))?;
        Ok((*path, new))
    };
    let mut all = PAGES.iter().map(page).collect::<Result<Vec<_>>>()?;
    all.extend(bill::pictures(program)?);
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
