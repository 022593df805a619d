//! Diagnostics as the compiler-like text people know.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use diagnostic::{Diagnostic, Diagnostics, Severity};
use serde_json::{Value, json};
use std::borrow::Cow;

/// Problems shown. What is no file of ours has one on every line, which nobody reads.
const SHOWN: usize = 50;

/// The first 50 problems with their source lines and hints, and how many more there are; `text_of`
/// gives the text of a file by the name it has in messages.
pub fn render(problems: &Diagnostics, text_of: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = render_each(problems, text_of);
    let errors = problems.0.iter().filter(|p| p.severity == Severity::Error).count();
    if errors > 0 {
        let plural = if errors == 1 { "" } else { "s" };
        out.push_str(&format!("{errors} error{plural}; no answer\n"));
    }
    out
}

/// The same where the problems are the answer.
pub fn render_each(problems: &Diagnostics, text_of: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    for problem in problems.0.iter().take(SHOWN) {
        out.push_str(&one(problem, text_of));
        out.push_str("\n\n");
    }
    if let Some(more @ 1..) = problems.0.len().checked_sub(SHOWN) {
        out.push_str(&format!("and {more} more, not shown\n\n"));
    }
    out
}

/// Every problem as JSON, schema `supernode.problems/1`; lines and columns count from 1, columns in
/// characters.
pub fn problems_json(
    version: &str,
    problems: &Diagnostics,
    text_of: &dyn Fn(&str) -> Option<String>,
) -> Value {
    json!({
        "schema": "supernode.problems/1",
        "version": version,
        "problems": listed(problems, text_of),
    })
}

/// Each problem with its place.
pub(crate) fn listed(
    problems: &Diagnostics,
    text_of: &dyn Fn(&str) -> Option<String>,
) -> Vec<Value> {
    let one = |problem: &Diagnostic| {
        let place = problem.label.as_ref().and_then(|label| {
            let text = text_of(&label.file).filter(|text| !text.is_empty())?;
            let span = clamp(&text, &label.span);
            let (line, from, _) = lines(&text, &span);
            Some((line, text[from..span.start].chars().count() + 1))
        });
        json!({
            "code": problem.code,
            "severity": if problem.severity == Severity::Error { "error" } else { "warning" },
            "message": problem.message,
            "file": problem.label.as_ref().map(|label| &label.file),
            "line": place.map(|place| place.0),
            "column": place.map(|place| place.1),
            "hint": problem.hint,
        })
    };
    problems.0.iter().map(one).collect()
}

/// `text` without what a terminal acts on: control characters, but for tabs and ends of lines, and marks
/// that turn the direction of reading stand as `\u001b`. A name may come from anybody's file. The escape
/// is JSON's own, so what is JSON stays the same JSON.
///
/// ```
/// assert_eq!(report::plain("plain\r\n"), "plain\r\n");
/// assert_eq!(report::plain("\u{1b}[31mred"), "\\u001b[31mred");
/// assert_eq!(report::plain("txt.\u{202e}exe"), "txt.\\u202eexe");
/// ```
pub fn plain(text: &str) -> Cow<'_, str> {
    let acts = |c: char| match c {
        '\t' | '\n' => false,
        '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => true,
        _ => c.is_control(),
    };
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let ends_line = c == '\r' && rest.peek() == Some(&'\n');
        if acts(c) && !ends_line {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn one(problem: &Diagnostic, text_of: &dyn Fn(&str) -> Option<String>) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(problem.message.as_str()).id(problem.code);
    let located = problem.label.as_ref().and_then(|l| Some((l, text_of(&l.file)?)));
    let rendered = match &located {
        Some((label, text)) if !text.is_empty() => {
            let span = clamp(text, &label.span);
            let (line, from, to) = lines(text, &span);
            let span = span.start - from..span.end.min(to) - from;
            let snippet = Snippet::source(&text[from..to])
                .line_start(line)
                .path(label.file.as_str())
                .annotation(AnnotationKind::Primary.span(span));
            Renderer::plain().render(&[title.element(snippet)])
        }
        _ => {
            let place =
                problem.label.as_ref().map_or(String::new(), |l| format!("\n --> {}", l.file));
            let word = if problem.severity == Severity::Error { "error" } else { "warning" };
            format!("{word}[{}]: {}{place}", problem.code, problem.message)
        }
    };
    match &problem.hint {
        Some(hint) => format!("{rendered}\n   = hint: {hint}"),
        None => rendered,
    }
}

/// The lines of a span: the number of the first, and where they begin and end. The renderer walks all
/// that it is given, so it is given no more.
fn lines(text: &str, span: &std::ops::Range<usize>) -> (usize, usize, usize) {
    let from = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let to = text[span.end..].find('\n').map_or(text.len(), |at| span.end + at + 1);
    (text[..from].matches('\n').count() + 1, from, to)
}

/// A span inside `text`, on character boundaries.
fn clamp(text: &str, span: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    let fit = |at: usize| (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i));
    let start = fit(span.start).unwrap_or(0);
    start..fit(span.end).unwrap_or(0).max(start)
}
