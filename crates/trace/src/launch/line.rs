//! A command line while it is written.

use super::Framework;
use diagnostic::{Diagnostic, Diagnostics};
use scenario::{Job, Scenario};
use std::fmt::Display;

/// A command and what it does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The program.
    pub framework: Framework,
    /// What is run, first to last comment line, without `#`.
    pub title: Vec<String>,
    /// Variables to be set, `NAME=VALUE`.
    pub environment: Vec<String>,
    /// The launcher with its options: `torchrun --nnodes 4 ..`, and the script.
    pub launcher: Vec<String>,
    /// The script's arguments, in groups of what belongs together.
    pub groups: Vec<Vec<Vec<String>>>,
    /// What of the plan the program cannot express.
    pub notes: Diagnostics,
}

impl Launch {
    /// The script's arguments as its parser receives them.
    pub fn arguments(&self) -> Vec<String> {
        self.groups.iter().flatten().flatten().cloned().collect()
    }

    /// The command as a shell reads it, with comments that say what it leaves out.
    pub fn script(&self) -> String {
        let mut text = String::new();
        for line in &self.title {
            text.push_str(&format!("# {line}\n"));
        }
        if !self.notes.0.is_empty() {
            text.push_str("# Not said by this command:\n");
        }
        for note in &self.notes.0 {
            text.push_str(&format!("# - {}\n", note.message));
            if let Some(hint) = &note.hint {
                text.push_str(&format!("#   {hint}\n"));
            }
        }
        for variable in &self.environment {
            text.push_str(&format!("{variable} "));
        }
        text.push_str(&join(&self.launcher));
        for group in &self.groups {
            for argument in group {
                text.push_str(" \\\n    ");
                text.push_str(&join(argument));
            }
        }
        text.push('\n');
        text
    }
}

fn join(words: &[String]) -> String {
    words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" ")
}

/// `word` as a shell takes it for one word; a variable stays one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.starts_with('$') {
        format!("\"{word}\"")
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Collects arguments and notes.
pub(super) struct Line {
    pub framework: Framework,
    environment: Vec<String>,
    launcher: Vec<String>,
    groups: Vec<Vec<Vec<String>>>,
    notes: Vec<Diagnostic>,
}

impl Line {
    pub fn new(framework: Framework) -> Self {
        Self {
            framework,
            environment: Vec::new(),
            launcher: Vec::new(),
            groups: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A variable that the program asks for.
    pub fn environment(&mut self, variable: &str) {
        self.environment.push(variable.to_owned());
    }

    /// Begins arguments that belong together.
    pub fn group(&mut self) {
        self.groups.push(Vec::new());
    }

    /// An argument without a value.
    pub fn flag(&mut self, name: &str) {
        self.push(vec![name.to_owned()]);
    }

    /// An argument with a value.
    pub fn set(&mut self, name: &str, value: impl Display) {
        self.push(vec![name.to_owned(), value.to_string()]);
    }

    /// An argument with several values.
    pub fn list(&mut self, name: &str, values: &[&str]) {
        let words = std::iter::once(name).chain(values.iter().copied());
        self.push(words.map(str::to_owned).collect());
    }

    fn push(&mut self, argument: Vec<String>) {
        debug_assert!(self.framework.knows(&argument[0]), "{} is no argument", argument[0]);
        match self.groups.last_mut() {
            Some(group) => group.push(argument),
            None => self.groups.push(vec![argument]),
        }
    }

    /// Something of the plan that the program has no words for.
    pub fn lost(&mut self, message: impl Into<String>) {
        self.notes.push(Diagnostic::warning("launch::lost", message));
    }

    /// Likewise, with what to do about it.
    pub fn lost_hint(&mut self, message: impl Into<String>, hint: &str) {
        self.notes.push(Diagnostic::warning("launch::lost", message).hint(hint));
    }

    /// `torchrun` over the job's hosts, then `script`.
    pub fn torchrun(&mut self, scenario: &Scenario, script: &[&str]) {
        let sizes = scenario.cluster.levels.iter().map(|level| level.size);
        // The largest level of at most 16 chips is a host; a rack of NVL72 has hosts of 4.
        let known = sizes.filter(|size| *size <= 16).max();
        if known.is_none() {
            let name = &scenario.cluster.name;
            let message = format!("how many chips of `{name}` share a host: 4 are assumed");
            self.lost_hint(message, "set `--nproc-per-node` and `--nnodes` to your hosts");
        }
        let host = known.unwrap_or(4).min(scenario.ranks);
        let per_host = (1..=host).rev().find(|n| scenario.ranks.is_multiple_of(*n)).unwrap_or(1);
        let hosts = scenario.ranks / per_host;
        let words = [
            "torchrun",
            "--nnodes",
            &hosts.to_string(),
            "--nproc-per-node",
            &per_host.to_string(),
            "--node-rank",
            "$NODE_RANK",
            "--master-addr",
            "$MASTER_ADDR",
            "--master-port",
            "$MASTER_PORT",
        ];
        self.launcher = words.iter().chain(script).map(|w| (*w).to_owned()).collect();
    }

    pub fn finish(self, scenario: &Scenario, job: &Job) -> Launch {
        let title = vec![
            format!("{}, sequences of {} tokens", scenario.name, job.sequence),
            format!("{}; written by Supernode", self.framework.version()),
        ];
        let Self { framework, environment, launcher, groups, notes } = self;
        Launch { framework, title, environment, launcher, groups, notes: Diagnostics(notes) }
    }
}
