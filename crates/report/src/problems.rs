//! Diagnostics as the compiler-like text people know.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use diagnostic::{Diagnostic, Diagnostics, Severity};

/// Problems shown. What is no file of ours has one on every line, which nobody reads.
const SHOWN: usize = 50;

/// The first 50 problems with their source lines and hints, and how many more there are; `text_of`
/// gives the text of a file by the name it has in messages.
pub fn render(problems: &Diagnostics, text_of: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    for problem in problems.0.iter().take(SHOWN) {
        out.push_str(&one(problem, text_of));
        out.push_str("\n\n");
    }
    if let Some(more @ 1..) = problems.0.len().checked_sub(SHOWN) {
        out.push_str(&format!("and {more} more, not shown\n\n"));
    }
    let errors = problems.0.iter().filter(|p| p.severity == Severity::Error).count();
    if errors > 0 {
        let plural = if errors == 1 { "" } else { "s" };
        out.push_str(&format!("{errors} error{plural}; no answer\n"));
    }
    out
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
