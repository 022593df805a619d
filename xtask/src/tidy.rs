//! Rules of the house that no compiler checks.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// The rooms; imports point up this list only.
const ROOMS: [&str; 18] = [
    "diagnostic",
    "units",
    "catalog",
    "model",
    "kernel",
    "fabric",
    "collective",
    "calibrate",
    "program",
    "plan",
    "scenario",
    "engine",
    "search",
    "campaign",
    "ledger",
    "trace",
    "report",
    "cli",
];

/// Longest file, in lines.
const LONGEST: usize = 600;

/// Checks every rule and lists all that are broken.
pub fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut broken = imports(&root)?;
    broken.extend(sources(&root)?);
    broken.extend(invariants(&root)?);
    if broken.is_empty() { Ok(()) } else { bail!("{}", broken.join("\n")) }
}

fn imports(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (place, room) in ROOMS.iter().enumerate() {
        let manifest = std::fs::read_to_string(root.join("crates").join(room).join("Cargo.toml"))?;
        for line in manifest.lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if ROOMS.iter().position(|r| *r == name).is_some_and(|other| other >= place) {
                broken.push(format!("`{room}` imports `{name}`, which is not above it"));
            }
        }
    }
    Ok(broken)
}

/// Every Rust file below the rooms and this one.
fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn sources(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in rust_files(root)? {
        let text = std::fs::read_to_string(&path)?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let lines = text.lines().count();
        if lines > LONGEST {
            broken.push(format!("{name} has {lines} lines, more than {LONGEST}"));
        }
        let edge = ["crates/cli/", "xtask/"].iter().any(|e| name.starts_with(e));
        if edge
            || ["/tests/", "/benches/"].iter().any(|f| name.contains(f))
            || name.ends_with("build.rs")
        {
            continue;
        }
        for word in ["std::fs", "std::env", "std::thread", "std::time::Instant", "SystemTime"] {
            if text.contains(word) {
                broken.push(format!("{name} uses `{word}` below the edges"));
            }
        }
    }
    Ok(broken)
}

/// Every invariant of ARCHITECTURE.md names tests that exist.
fn invariants(root: &Path) -> Result<Vec<String>> {
    let page = std::fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let code: String = rust_files(root)?
        .iter()
        .map(std::fs::read_to_string)
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    let mut broken = Vec::new();
    for rule in page.split("- Invariant:").skip(1) {
        let rule = rule.split("\n\n").next().unwrap_or_default();
        let mut tests = rule.split("test `").skip(1).filter_map(|t| t.split('`').next()).peekable();
        if tests.peek().is_none() {
            broken.push(format!("an invariant names no test:{}", rule.trim_end()));
        }
        for test in tests.filter(|t| !code.contains(&format!("fn {t}("))) {
            broken.push(format!("ARCHITECTURE.md names test `{test}`, which is not there"));
        }
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn imports_point_up() {
        assert_eq!(super::imports(&root()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn invariants_name_their_tests() {
        assert_eq!(super::invariants(&root()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn sources_keep_the_rules() {
        assert_eq!(super::sources(&root()).unwrap(), Vec::<String>::new());
    }
}
