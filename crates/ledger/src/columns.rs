//! One row as text, with the problems of its numbers.

use diagnostic::{Diagnostic, Diagnostics, nearest};
use std::collections::BTreeMap;

/// Columns without which a table is not one of measured steps.
const REQUIRED: [&str; 24] = [
    "row_id",
    "model",
    "n_layers",
    "hidden",
    "heads",
    "vocab",
    "accelerator",
    "chips_per_node",
    "network",
    "n_chips",
    "TP",
    "SP",
    "PP",
    "VPP",
    "CP",
    "EP",
    "DP",
    "zero_fsdp",
    "MBS",
    "GBS",
    "seq",
    "precision",
    "recompute",
    "complete",
];

/// Largest number any column may hold, beyond every machine and model: refused before it is used.
const MOST: f64 = 1e9;

/// One row, by column name.
#[derive(Clone, Debug)]
pub(crate) struct Fields(BTreeMap<String, String>);

/// Reads a table's rows.
///
/// # Errors
/// Missing columns (all at once), lines that are cut off, and no line at all.
pub(crate) fn read(file: &str, text: &str) -> Result<Vec<Fields>, Diagnostics> {
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(str::to_owned).collect(),
        Err(e) => return Err(problem(file, format!("no header: {e}")).into()),
    };
    let mut problems = Diagnostics::default();
    for column in REQUIRED {
        if !header.iter().any(|h| h == column) {
            let mut missing = problem(file, format!("column `{column}` is missing"));
            missing.hint = nearest(column, header.iter().map(String::as_str))
                .map(|near| format!("`{near}` is there"));
            problems.push(missing);
        }
    }
    if problems.has_errors() {
        return Err(problems);
    }
    let mut rows = Vec::new();
    for (number, record) in reader.records().enumerate() {
        match record {
            Ok(record) => {
                let cells = record.iter().map(|c| c.trim().to_owned());
                rows.push(Fields(header.iter().cloned().zip(cells).collect()));
            }
            Err(_) => problems.push(problem(
                file,
                format!("line {} has not the header's {} cells", number + 2, header.len()),
            )),
        }
    }
    if rows.is_empty() && !problems.has_errors() {
        problems.push(problem(file, "no row below the header".to_owned()));
    }
    problems.into_result(rows)
}

fn problem(file: &str, message: String) -> Diagnostic {
    Diagnostic::error("ledger::table", message).at(file, 0..0)
}

impl Fields {
    /// A cell; empty if the column is not there.
    pub(crate) fn text(&self, column: &str) -> &str {
        self.0.get(column).map_or("", String::as_str)
    }

    /// A cell in lower case, for vocabularies.
    pub(crate) fn lower(&self, column: &str) -> String {
        self.text(column).to_lowercase()
    }

    /// A number, or nothing where the cell is empty.
    ///
    /// # Errors
    /// What is no finite number from 0 to 10^9.
    pub(crate) fn number(&self, column: &str) -> Result<Option<f64>, String> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(v) if v.is_finite() && (0.0..=MOST).contains(&v) => Ok(Some(v)),
            _ => Err(format!("`{column}` is `{text}`, not a number from 0 to 10^9")),
        }
    }

    /// A count, or nothing where the cell is empty.
    pub(crate) fn count(&self, column: &str) -> Result<Option<u64>, String> {
        match self.number(column)? {
            Some(v) if v.fract() == 0.0 => Ok(Some(v as u64)),
            Some(v) => Err(format!("`{column}` is {v}, not a whole number")),
            None => Ok(None),
        }
    }

    /// A count of at least one that must be there.
    pub(crate) fn needed(&self, column: &str) -> Result<u64, String> {
        match self.count(column)? {
            Some(v) if v > 0 => Ok(v),
            Some(_) => Err(format!("`{column}` is 0")),
            None => Err(format!("`{column}` is not stated")),
        }
    }

    /// A parallel degree: 1 where the cell is empty; words after the number are for people.
    pub(crate) fn degree(&self, column: &str) -> Result<u64, String> {
        let text = self.text(column);
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        match (text.is_empty(), digits.parse::<u64>()) {
            (true, _) => Ok(1),
            (_, Ok(n)) if n > 0 && n as f64 <= MOST => Ok(n),
            _ => Err(format!("`{column}` is `{text}`, not a degree")),
        }
    }
}

/// The number before `word` in `text`: `400` for `x400 gb/s` and `gb/s`.
pub(crate) fn number_before(text: &str, word: &str) -> Option<f64> {
    let before = text[..text.find(word)?].trim_end();
    let digits = before.chars().rev().take_while(|c| c.is_ascii_digit() || *c == '.').count();
    before[before.len() - digits..].parse().ok()
}

/// The number right after `word`: `8` for `shard group 8` and `shard group`.
pub(crate) fn number_after(text: &str, word: &str) -> Option<u64> {
    let after = text[text.find(word)? + word.len()..].trim_start();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
