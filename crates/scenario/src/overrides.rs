//! `--set plan.pipeline=8`: the scenario's text with keys changed, so that one reader sees all.

use diagnostic::{Diagnostic, Diagnostics};
use toml_edit::{DocumentMut, Item, Table, Value};

/// `text` with each `(key, value)` set; a value that is no TOML value is taken as a text.
///
/// # Errors
/// A scenario that is no TOML, an empty key, a key below something that is no table.
pub(crate) fn apply(
    file: &str,
    text: &str,
    overrides: &[(String, String)],
) -> Result<String, Diagnostics> {
    if overrides.is_empty() {
        return Ok(text.to_owned());
    }
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| {
        let message = e.message().split_whitespace().collect::<Vec<_>>().join(" ");
        Diagnostic::error("catalog::syntax", message).at(file, e.span().unwrap_or(0..0))
    })?;
    let mut problems = Diagnostics::default();
    for (key, value) in overrides {
        let value = value.parse::<Value>().unwrap_or_else(|_| Value::from(value.as_str()));
        if let Err(message) = set(document.as_table_mut(), key, value) {
            let hint = "for example `--set plan.pipeline=8`";
            let problem = Diagnostic::error("scenario::set", message).hint(hint);
            problems.push(problem.at("--set", 0..0));
        }
    }
    problems.into_result(document.to_string())
}

fn set(root: &mut Table, key: &str, value: Value) -> Result<(), String> {
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    if last.is_empty() || parts.iter().any(|p| p.is_empty()) {
        return Err(format!("`{key}` is not a key"));
    }
    let mut table = root;
    for part in parts {
        let item = table.entry(part).or_insert_with(|| Item::Table(Table::new()));
        table = item.as_table_mut().ok_or_else(|| format!("`{part}` in `{key}` is not a table"))?;
    }
    table.insert(last, Item::Value(value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::apply;

    fn set(text: &str, key: &str, value: &str) -> Result<String, String> {
        apply("a.toml", text, &[(key.to_owned(), value.to_owned())])
            .map_err(|d| d.0[0].message.clone())
    }

    #[test]
    fn values_are_replaced_and_added() {
        assert_eq!(set("[plan]\na = 1\n", "plan.a", "2").unwrap(), "[plan]\na = 2\n");
        assert_eq!(set("[plan]\n", "plan.b", "zb-v").unwrap(), "[plan]\nb = \"zb-v\"\n");
        assert_eq!(set("", "chips", "8").unwrap(), "chips = 8\n");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(set("a = 1\n", "", "2").unwrap_err().contains("not a key"));
        assert!(set("a = 1\n", "a.b", "2").unwrap_err().contains("not a table"));
        assert!(set("a = \n", "b", "2").is_err());
    }
}
