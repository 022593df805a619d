//! Everything a change must pass, in order, stopping at the first failure.

use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

/// Steps: what is shown, the command, whether its tool may be absent on a bare machine.
const STEPS: [(&str, &[&str], bool); 8] = [
    ("format", &["fmt", "--all", "--check"], true),
    ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], true),
    ("tests", &["test", "--workspace"], false),
    // What must hold of flows and steps, as users' builds run it: optimised, without debug assertions.
    (
        "properties, optimised",
        &[
            "test",
            "--profile",
            "fast",
            "-p",
            "fabric",
            "-p",
            "collective",
            "-p",
            "program",
            "-p",
            "engine",
        ],
        false,
    ),
    ("generated pages", &["run", "-q", "-p", "xtask", "--", "codegen", "--check"], false),
    ("tidy", &["run", "-q", "-p", "xtask", "--", "tidy"], false),
    ("documentation", &["doc", "--workspace", "--no-deps"], false),
    ("calibration builds", &["check", "-p", "xtask", "--features", "calibrate"], false),
];

/// Runs every step.
pub fn run() -> Result<()> {
    let begun = Instant::now();
    for (name, arguments, may_be_absent) in STEPS {
        if may_be_absent && !available(arguments[0]) {
            eprintln!("== {name}: skipped, `cargo {}` is not installed", arguments[0]);
            continue;
        }
        eprintln!("== {name}: cargo {}", arguments.join(" "));
        let start = Instant::now();
        let status = Command::new("cargo")
            .args(arguments)
            .env("RUSTDOCFLAGS", "-D warnings")
            .status()
            .context("cargo does not start")?;
        if !status.success() {
            bail!("{name} failed");
        }
        eprintln!("== {name}: passed in {:.0} s", start.elapsed().as_secs_f64());
    }
    eprintln!("== all passed in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn available(tool: &str) -> bool {
    Command::new("cargo").args([tool, "--version"]).output().is_ok_and(|o| o.status.success())
}
