//! Where figures are written: `catalog/sources.toml`.

use crate::embedded::sources_text;
use crate::toml_reader::Reader;
use std::sync::LazyLock;

/// A publication that figures are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Key used in `source = "..."`.
    pub key: String,
    /// Title, with its maker where the title does not say it.
    pub title: String,
    /// Address; empty where there is none (`judgement`).
    pub url: String,
    /// Date or state in which it was read, where recorded.
    pub accessed: Option<String>,
}

/// Parsed once: the text is built in, so the value is a constant.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| parse(sources_text()).unwrap_or_default());

/// The source with that key.
///
/// ```
/// assert!(catalog::source("950WP").is_some());
/// ```
pub fn source(key: &str) -> Option<Source> {
    SOURCES.iter().find(|s| s.key == key).cloned()
}

/// Every key, sorted.
pub fn source_keys() -> Vec<&'static str> {
    SOURCES.iter().map(|s| s.key.as_str()).collect()
}

/// Splits what a [`units::Figure`] of this crate holds in `source` into its keys and its note.
///
/// ```
/// let (keys, note) = catalog::cited("950WP, KEY: cube only");
/// assert_eq!((keys, note), (vec!["950WP", "KEY"], Some("cube only")));
/// ```
pub fn cited(source: &str) -> (Vec<&str>, Option<&str>) {
    let (keys, note) = match source.split_once(": ") {
        Some((keys, note)) => (keys, Some(note)),
        None => (source, None),
    };
    (keys.split(',').map(str::trim).collect(), note)
}

fn parse(text: &str) -> Option<Vec<Source>> {
    let reader = Reader::new("catalog/sources.toml", text);
    let mut root = reader.root()?;
    let mut sources = Vec::new();
    for key in root.keys() {
        let mut table = root.take_table(&key)?;
        sources.push(Source {
            title: table.take_str("title")?,
            url: table.take_str("url")?,
            accessed: if table.has("accessed") { table.take_str("accessed") } else { None },
            key,
        });
        table.finish();
    }
    sources.sort_by(|a, b| a.key.cmp(&b.key));
    drop(root);
    reader.into_result(Some(sources)).ok()
}
