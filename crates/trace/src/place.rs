//! Places in texts that other libraries report by line and column.

use std::ops::Range;

/// The byte range of one character at `line` and `column`, both from 1; the end of the text if they
/// are beyond it.
pub(crate) fn place(text: &str, line: usize, column: usize) -> Range<usize> {
    let lines = text.split_inclusive('\n');
    let before: usize = lines.take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[before.min(text.len())..];
    let at = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(i, _)| i);
    let start = before + at;
    let width = text[start..].chars().next().map_or(0, char::len_utf8);
    start..start + width
}

/// Reads YAML (or JSON, which is YAML) into `T`, with the place of what is wrong.
pub(crate) fn yaml<T: serde::de::DeserializeOwned>(
    code: &'static str,
    file: &str,
    text: &str,
) -> Result<T, diagnostic::Diagnostic> {
    serde_saphyr::from_str(text).map_err(|e| {
        let span =
            e.location().map_or(0..0, |l| place(text, l.line() as usize, l.column() as usize));
        // The first line says what; the rest shows the place, which is shown anyway.
        let what = e.to_string();
        let what = what.lines().next().unwrap_or("not readable").trim_start_matches("error: ");
        diagnostic::Diagnostic::error(code, what.to_owned()).at(file, span)
    })
}

/// Reads JSON into `T`, with the place of what is wrong.
pub(crate) fn json<T: serde::de::DeserializeOwned>(
    code: &'static str,
    file: &str,
    text: &str,
) -> Result<T, diagnostic::Diagnostic> {
    serde_json::from_str(text).map_err(|e| {
        let span = place(text, e.line(), e.column());
        diagnostic::Diagnostic::error(code, e.to_string()).at(file, span)
    })
}
