//! Pages of the book made from the program: the reference of commands and catalog, the ledger.

use crate::{book, plots};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes the pages, or with `check` fails if one is stale.
pub fn run(check: bool) -> Result<()> {
    let program = Program::built()?;
    let ledger = program.json(&["validate"])?;
    let mut stale = Vec::new();
    let mut pages = vec![
        ("docs/src/reference/cli.md", cli(&program)?),
        ("docs/src/reference/catalog.md", catalog(&program)?),
        ("docs/src/validation.md", validation(&program)?),
        ("docs/src/validation-steps.svg", plots::predicted_against_measured(&ledger)),
        ("docs/src/validation-families.svg", plots::error_by_family(&ledger)),
    ];
    pages.extend(book::pages(&program, check)?);
    for (path, text) in pages {
        let old = std::fs::read_to_string(path).unwrap_or_default();
        if old == text {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            let folder = Path::new(path).parent().context("a page lies in a folder")?;
            std::fs::create_dir_all(folder)?;
            std::fs::write(path, text)?;
        }
    }
    if stale.is_empty() {
        Ok(())
    } else {
        bail!("stale: {}; run `cargo xtask codegen`", stale.join(", "))
    }
}

/// The program that pages are made from.
pub struct Program(PathBuf);

impl Program {
    /// Builds it, optimised but quick to build: how it is built changes no answer.
    fn built() -> Result<Self> {
        const BUILD: [&str; 6] = ["build", "-q", "--profile", "fast", "-p", "cli"];
        let status = Command::new("cargo").args(BUILD).status().context("cargo does not start")?;
        if !status.success() {
            bail!("the program does not build");
        }
        let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
        Ok(Self(Path::new(&target).join("fast").join("supernode")))
    }

    /// What it prints for `arguments`; that the answer is no is an answer.
    pub fn text(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.0)
            .args(arguments)
            .env("COLUMNS", "100")
            .output()
            .context("the program does not start")?;
        if !matches!(output.status.code(), Some(0 | 1)) {
            bail!("supernode {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Its answer to `arguments` as JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.text(&[arguments, &["--format", "json"]].concat())?)?)
    }
}

/// The help of every command, found by following the lists of commands.
fn cli(program: &Program) -> Result<String> {
    let mut page =
        String::from("# Commands\n\nMade by `cargo xtask codegen` from the program itself.\n");
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = waiting.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = program.text(&[words.as_slice(), &["--help"]].concat())?;
        let name = [&["supernode"], words.as_slice()].concat().join(" ");
        write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end())?;
        let listed = help.lines().skip_while(|l| *l != "Commands:").skip(1);
        let names = listed.take_while(|l| l.starts_with("  ")).filter_map(|l| {
            // A line that begins deeper goes on with the one before.
            let name = l.strip_prefix("  ").filter(|l| !l.starts_with(' '))?.split(' ').next()?;
            (name != "help").then(|| [command.as_slice(), &[name.to_owned()]].concat())
        });
        let names: Vec<_> = names.collect();
        waiting.extend(names.into_iter().rev());
    }
    page.push_str(
        "\n## Exit codes\n\n0 done; 1 the answer is no (no plan fits, or not by the deadline); 2 the \
         input is at fault, every problem on stderr, with `--format json` also as JSON on stdout; 70 a \
         bug of ours. Ctrl-C and SIGTERM end it by that signal, which is said.\n",
    );
    Ok(page)
}

fn catalog(program: &Program) -> Result<String> {
    let mut page = String::from(
        "# The catalog\n\nMade by `cargo xtask codegen` from `catalog/`. Value (range), origin, source.\n",
    );
    for kind in ["chips", "clusters", "recipes"] {
        let mut ids: Vec<String> = std::fs::read_dir(format!("catalog/{kind}"))?
            .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
            .collect();
        ids.sort();
        for id in ids {
            let shown = program.text(&["catalog", "show", &id])?;
            write!(page, "\n## `{id}`\n\n```text\n{}\n```\n", shown.trim_end())?;
        }
    }
    Ok(page)
}

fn validation(program: &Program) -> Result<String> {
    let text = program.text(&["validate"])?;
    let families = text.find("family (rows marked full)").context("no summary")?;
    let reasons = text.find("Not replayed").context("no reasons")?;
    Ok(format!(
        "# The ledger\n\nMade by `cargo xtask codegen`: every published step the project ships, replayed \
         by the shipped program with no input of its own. Errors are of the step time, predicted over \
         measured less one; a row counts where its source states everything (`full`). Calibrated: kernels \
         of that chip were measured, or the clock it keeps was fitted to steps of it. Of whole steps only what no kernel shows entered: the host's time \
         to launch, the traffic of a framework's own kernels, the clock a board keeps, and the width of \
         the interval (figures of origin `measured` with sources BRIDGE, MPT, VTRAIN and LEDGER; `cargo \
         xtask calibrate steps` fits them and prints the error on rows kept out).\n\n\
         ![Predicted against measured step time](validation-steps.svg)\n\n\
         ![Mean error by family](validation-families.svg)\n\n```text\n{}\n```\n\n\
         ## Rows not replayed, and why\n\n```text\n{}\n```\n",
        text[families..].trim_end(),
        text[reasons..families].trim_start_matches("Not replayed").trim_matches('\n'),
    ))
}
