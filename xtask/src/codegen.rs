//! Pages of the book made from the program: the reference of commands and catalog, the ledger.

use crate::plots;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Writes the pages, or with `check` fails if one is stale.
pub fn run(check: bool) -> Result<()> {
    let mut stale = Vec::new();
    let ledger: serde_json::Value =
        serde_json::from_str(&supernode(&["validate", "--format", "json"])?)?;
    for (path, text) in [
        ("docs/src/reference/cli.md", cli()?),
        ("docs/src/reference/catalog.md", catalog()?),
        ("docs/src/validation.md", validation()?),
        ("docs/src/validation-steps.svg", plots::predicted_against_measured(&ledger)),
        ("docs/src/validation-families.svg", plots::error_by_family(&ledger)),
    ] {
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

/// What `supernode` prints for `arguments`.
fn supernode(arguments: &[&str]) -> Result<String> {
    let output = Command::new("cargo")
        .args(["run", "-q", "--release", "-p", "cli", "--bin", "supernode", "--"])
        .args(arguments)
        .env("COLUMNS", "100")
        .output()
        .context("cargo does not start")?;
    if !output.status.success() {
        bail!("supernode {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn cli() -> Result<String> {
    let mut page =
        String::from("# Commands\n\nMade by `cargo xtask codegen` from the program itself.\n");
    let commands: [&[&str]; 8] = [
        &[],
        &["rehearse"],
        &["model"],
        &["catalog"],
        &["catalog", "list"],
        &["catalog", "show"],
        &["plan", "check"],
        &["validate"],
    ];
    for command in commands {
        let help = supernode(&[command, &["--help"]].concat())?;
        let name = ["supernode"].iter().chain(command).copied().collect::<Vec<_>>().join(" ");
        write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end())?;
    }
    page.push_str(
        "\n## Exit codes\n\n0 done; 1 the answer is no (the plan does not fit); 2 the input is at fault, \
         every problem on stderr; 70 a bug of ours.\n",
    );
    Ok(page)
}

fn catalog() -> Result<String> {
    let mut page = String::from(
        "# The catalog\n\nMade by `cargo xtask codegen` from `catalog/`. Value (range), origin, source.\n",
    );
    for kind in ["chips", "clusters", "recipes"] {
        let mut ids: Vec<String> = std::fs::read_dir(format!("catalog/{kind}"))?
            .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
            .collect();
        ids.sort();
        for id in ids {
            let shown = supernode_built(&["catalog", "show", &id])?;
            write!(page, "\n## `{id}`\n\n```text\n{}\n```\n", shown.trim_end())?;
        }
    }
    Ok(page)
}

/// As [`supernode`], without asking cargo each time.
fn supernode_built(arguments: &[&str]) -> Result<String> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let binary = Path::new(&target).join("release").join("supernode");
    let output = Command::new(binary).args(arguments).output().context("supernode is not built")?;
    Ok(String::from_utf8(output.stdout)?)
}

fn validation() -> Result<String> {
    let text = supernode(&["validate"])?;
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
