//! Pages whose words are written by hand and whose numbers are made from the program.

use crate::blocks::fill;
use crate::codegen::Program;
use anyhow::{Context, Result};

/// What a page shows, by block.
type Made = Vec<(&'static str, String)>;

/// A page with blocks, and what makes them.
type Page = (&'static str, fn(&Program) -> Result<Made>);

const PAGES: [Page; 1] = [("README.md", readme)];

/// Each page as it should be: `(path, text)`.
pub fn pages(program: &Program) -> Result<Vec<(&'static str, String)>> {
    let page = |(path, make): &Page| {
        let old = std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
        let new = fill(&old, &make(program)?).with_context(|| format!("`{path}`"))?;
        Ok((*path, new))
    };
    PAGES.iter().map(page).collect()
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
