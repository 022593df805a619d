//! What a user did wrong, said so that it can be mended: the one type for every problem with input.
//!
//! A parser collects all problems ([`Diagnostics`]) instead of stopping at the first. This crate
//! holds data only; it never reads a file and never prints: `report` renders.

use std::ops::Range;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The answer is given, and this should be known with it.
    Warning,
    /// No answer can be given.
    Error,
}

/// Where in a source text a problem lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The file's name as the user knows it (`scenarios/a.toml`, `--set`).
    pub file: String,
    /// Byte range in the file's text; empty where only the file is known.
    pub span: Range<usize>,
}

/// One problem: what, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable name, `room::kind`, for example `catalog::unit`.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// A lowercase fragment without a full stop; values in backticks.
    pub message: String,
    /// Where, if a text is at fault.
    pub label: Option<Label>,
    /// What would mend it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, message: message.into(), label: None, hint: None }
    }

    /// A warning without a place.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same problem, at `span` of `file`.
    #[must_use]
    pub fn at(mut self, file: impl Into<String>, span: Range<usize>) -> Self {
        self.label = Some(Label { file: file.into(), span });
        self
    }

    /// The same problem, with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All problems found so far, in the order found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether any is an error, so that no answer can be given.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// `Ok(value)` if there are no errors; the warnings are dropped with the call.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.has_errors() { Err(self) } else { Ok(value) }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

/// A number with its noun: one of it, or many.
///
/// ```
/// assert_eq!(diagnostic::counted(1, "rank"), "1 rank");
/// assert_eq!(diagnostic::counted(2, "rank"), "2 ranks");
/// ```
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The candidate closest to `word` by edit distance, if close enough to be what was meant.
///
/// Close enough: at most a third of the longer word's letters differ.
///
/// ```
/// assert_eq!(diagnostic::nearest("pipline", ["tensor", "pipeline"]), Some("pipeline"));
/// assert_eq!(diagnostic::nearest("zzz", ["tensor", "pipeline"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (edit_distance(word, c), c))
        .filter(|&(d, c)| d * 3 <= word.chars().count().max(c.chars().count()))
        .min()
        .map(|(_, c)| c)
}

/// Levenshtein's distance in characters, case folded.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
