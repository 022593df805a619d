//! Words to named arguments, each asked for by name; what nobody asked for is left to be told.

use super::words::Word;
use diagnostic::{Diagnostic, Diagnostics};
use std::ops::Range;

/// One argument of the line.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// With `-` for every `_` after the leading dashes.
    pub name: String,
    /// What follows it.
    pub values: Vec<Word>,
    /// Where its name stands.
    pub span: Range<usize>,
}

impl Entry {
    fn shown(&self) -> String {
        self.values.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// The arguments of one command, and the problems found with them.
pub(super) struct Arguments<'a> {
    file: &'a str,
    entries: Vec<Entry>,
    asked: Vec<String>,
    /// Everything found wrong so far.
    pub problems: Diagnostics,
}

impl<'a> Arguments<'a> {
    /// Arguments of `words`; a word before the first argument is a problem.
    pub fn read(file: &'a str, words: &[Word]) -> Self {
        let mut read =
            Self { file, entries: Vec::new(), asked: Vec::new(), problems: Diagnostics::default() };
        for word in words.iter().filter(|w| !w.text.trim().is_empty()) {
            let starts = word.text.starts_with("--") && word.text.len() > 2;
            if starts || word.text.starts_with("activation-checkpoint:") {
                let (name, value) = match word.text.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (word.text.as_str(), None),
                };
                let values = value.map(|v| Word { text: v.to_owned(), ..word.clone() });
                read.entries.push(Entry {
                    name: name.replace('_', "-"),
                    values: values.into_iter().collect(),
                    span: word.span.clone(),
                });
            } else if let Some(last) = read.entries.last_mut() {
                last.values.push(word.clone());
            } else {
                let message = format!("`{}` follows no argument", short(&word.text));
                read.error("launch::word", message, word.span.clone(), None);
            }
        }
        read
    }

    /// Arguments already named, as a configuration file gives them.
    pub fn of(file: &'a str, entries: Vec<Entry>) -> Self {
        Self { file, entries, asked: Vec::new(), problems: Diagnostics::default() }
    }

    /// Adds arguments that count only where the line itself says nothing.
    pub fn underlay(&mut self, entries: Vec<Entry>) {
        let new = |e: &Entry| !self.entries.iter().any(|own| own.name == e.name);
        let fresh: Vec<Entry> = entries.into_iter().filter(new).collect();
        self.entries.extend(fresh);
    }

    /// Notes an error at `span`.
    pub fn error(
        &mut self,
        code: &'static str,
        message: String,
        span: Range<usize>,
        hint: Option<&str>,
    ) {
        let mut problem = Diagnostic::error(code, message).at(self.file, span);
        problem.hint = hint.map(str::to_owned);
        self.problems.push(problem);
    }

    /// Notes an error about an argument, at its place if it is there.
    pub fn blame(&mut self, name: &str, message: String, hint: Option<&str>) {
        let span = self.entries.iter().rev().find(|e| e.name == name).map(|e| e.span.clone());
        self.error("launch::argument", message, span.unwrap_or(0..0), hint);
    }

    /// Notes something to know with the answer.
    pub fn warn(&mut self, message: String) {
        self.problems.push(Diagnostic::warning("launch::import", message));
    }

    /// Whether the line has the argument; it counts as asked for.
    pub fn has(&mut self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// The argument by name. Given twice with different values, it is an error; the last counts.
    pub fn entry(&mut self, name: &str) -> Option<Entry> {
        let first_time = !self.asked.iter().any(|a| a == name);
        if first_time {
            self.asked.push(name.to_owned());
        }
        let mut found = self.entries.iter().filter(|e| e.name == name);
        let first = found.next()?.clone();
        let last = found.next_back().cloned();
        if let Some(last) = &last
            && first_time
        {
            let (one, two) = (first.shown(), last.shown());
            if one == two {
                self.warn(format!("`{name}` is given more than once"));
            } else {
                let (one, two) = (short(&one), short(&two));
                let message = format!("`{name}` is given as `{one}` and as `{two}`");
                let hint = "the program would take the last; leave one";
                self.error("launch::twice", message, last.span.clone(), Some(hint));
            }
        }
        Some(last.unwrap_or(first))
    }

    /// A switch: there without a value, or with `true` or `false`.
    pub fn flag(&mut self, name: &str) -> bool {
        let Some(entry) = self.entry(name) else { return false };
        match entry.values.first().map(|w| w.text.to_lowercase()).as_deref() {
            None | Some("true" | "1" | "yes") => true,
            Some("false" | "0" | "no") => false,
            Some(other) => {
                let message = format!("`{name}` takes no value, not `{}`", short(other));
                self.error("launch::value", message, entry.span, None);
                true
            }
        }
    }

    /// The one value of an argument, if every variable in it is known.
    pub fn word(&mut self, name: &str) -> Option<String> {
        let entry = self.entry(name)?;
        match &entry.values[..] {
            [one] => match &one.unset {
                None => Some(one.text.clone()),
                Some(variable) => {
                    let message = format!("`{name}` is `{}`, which is not set", short(&one.text));
                    let hint = format!("write `{variable}=..` on a line before the command");
                    self.error("launch::unset", message, one.span.clone(), Some(&hint));
                    None
                }
            },
            [] => {
                let message = format!("`{name}` needs a value");
                self.error("launch::value", message, entry.span, None);
                None
            }
            [_, more, ..] => {
                let message =
                    format!("`{name}` takes one value, and `{}` follows", short(&more.text));
                self.error("launch::value", message, more.span.clone(), None);
                None
            }
        }
    }

    /// All values of an argument.
    pub fn words(&mut self, name: &str) -> Vec<String> {
        let values = self.entry(name).map(|e| e.values).unwrap_or_default();
        values.into_iter().map(|w| w.text).collect()
    }

    /// A whole number of at least one.
    pub fn count(&mut self, name: &str) -> Option<u64> {
        match self.number(name)? {
            0 => {
                self.blame(name, format!("`{name}` must be at least 1"), None);
                None
            }
            n => Some(n),
        }
    }

    /// A whole number below 2^53.
    pub fn number(&mut self, name: &str) -> Option<u64> {
        let text = self.word(name)?;
        let number = text.parse::<u64>().ok().filter(|n| *n < 1 << 53);
        if number.is_none() {
            let message = format!("`{name}` needs a whole number, not `{}`", short(&text));
            self.blame(name, message, None);
        }
        number
    }

    /// A number that must be there.
    pub fn required(&mut self, name: &str) -> u64 {
        if !self.has(name) {
            self.missing(name, None);
            return 1;
        }
        self.count(name).unwrap_or(1)
    }

    /// Says that an argument is missing.
    pub fn missing(&mut self, name: &str, hint: Option<&str>) {
        let message = format!("`{name}` is missing");
        let mut problem = Diagnostic::error("launch::missing", message).at(self.file, 0..0);
        problem.hint = hint.map(str::to_owned);
        self.problems.push(problem);
    }

    /// Every argument that was never asked for.
    pub fn rest(&self) -> Vec<Entry> {
        self.entries.iter().filter(|e| !self.asked.contains(&e.name)).cloned().collect()
    }

    /// Every name that was asked for.
    pub fn asked(&self) -> &[String] {
        &self.asked
    }
}

/// A value as a message shows it.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    format!("{}..", text.chars().take(60).collect::<String>())
}
