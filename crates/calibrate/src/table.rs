//! Columns of a measured table, whatever file they came from.

use diagnostic::Diagnostic;
use std::collections::BTreeMap;
use std::ops::Range;

/// A table by column: numbers or words.
///
/// ```
/// let text = "m,n,dtype\n128,256,bfloat16\n";
/// let table = calibrate::Table::csv("a.csv", text).expect("two columns of numbers, one of words");
/// assert_eq!(table.number("n").expect("numbers"), [256.0]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Name in messages.
    pub file: String,
    /// Rows.
    pub rows: usize,
    numbers: BTreeMap<String, Vec<f64>>,
    words: BTreeMap<String, Vec<String>>,
    /// Bytes of the text that each row stands in; empty if the file is not text.
    spans: Vec<Range<usize>>,
}

impl Table {
    /// A table without rows, to be filled by column.
    pub fn new(file: &str, rows: usize) -> Self {
        Self { file: file.to_owned(), rows, ..Self::default() }
    }

    /// Adds a column of numbers, as many as there are rows.
    pub fn add_numbers(&mut self, name: &str, values: Vec<f64>) {
        debug_assert_eq!(values.len(), self.rows);
        self.numbers.insert(name.to_owned(), values);
    }

    /// Adds a column of words, as many as there are rows.
    pub fn add_words(&mut self, name: &str, values: Vec<String>) {
        debug_assert_eq!(values.len(), self.rows);
        self.words.insert(name.to_owned(), values);
    }

    /// Reads comma-separated text with a head. A column is of numbers if every cell is one.
    ///
    /// # Errors
    /// No head, no rows, rows of another length, a column named twice.
    pub fn csv(file: &str, text: &str) -> Result<Self, Diagnostic> {
        let wrong = |message: String| Diagnostic::error("calibrate::csv", message).at(file, 0..0);
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let names: Vec<String> = reader
            .headers()
            .map_err(|e| wrong(format!("`{file}` is not a table: {e}")))?
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').to_owned())
            .collect();
        if let Some(twice) = names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)) {
            return Err(wrong(format!("column `{}` is there twice", twice.1)));
        }
        let mut cells: Vec<Vec<String>> = vec![Vec::new(); names.len()];
        let mut spans = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|e| wrong(format!("row {}: {e}", spans.len() + 1)))?;
            let start = record.position().map_or(0, |p| p.byte() as usize);
            let end = text[start.min(text.len())..].find('\n').map_or(text.len(), |n| start + n);
            spans.push(start.min(text.len())..end);
            for (column, cell) in cells.iter_mut().zip(&record) {
                column.push(cell.to_owned());
            }
        }
        if spans.is_empty() {
            return Err(wrong(format!("`{file}` has no rows")));
        }
        let mut table = Self { spans, ..Self::new(file, cells.first().map_or(0, Vec::len)) };
        for (name, column) in names.iter().zip(cells) {
            match column.iter().map(|cell| cell.parse().ok()).collect::<Option<Vec<f64>>>() {
                Some(numbers) => table.add_numbers(name, numbers),
                None => table.add_words(name, column),
            }
        }
        Ok(table)
    }

    /// Whether there is a column of that name.
    pub fn has(&self, name: &str) -> bool {
        self.numbers.contains_key(name) || self.words.contains_key(name)
    }

    /// Names of the columns.
    pub fn names(&self) -> Vec<&str> {
        self.numbers.keys().chain(self.words.keys()).map(String::as_str).collect()
    }

    /// A column of numbers.
    ///
    /// # Errors
    /// The column is missing, or the first cell that is no number.
    pub fn number(&self, name: &str) -> Result<&[f64], Diagnostic> {
        if let Some(column) = self.numbers.get(name) {
            return Ok(column);
        }
        let Some(words) = self.words.get(name) else { return Err(self.missing(name)) };
        let (row, cell) = words
            .iter()
            .enumerate()
            .find(|(_, w)| w.parse::<f64>().is_err())
            .unwrap_or((0, &words[0]));
        Err(self.problem("calibrate::number", row, format!("`{name}` is `{cell}`, not a number")))
    }

    /// A column of words.
    ///
    /// # Errors
    /// The column is missing or of numbers.
    pub fn word(&self, name: &str) -> Result<&[String], Diagnostic> {
        self.words.get(name).map(Vec::as_slice).ok_or_else(|| match self.numbers.get(name) {
            Some(_) => {
                self.problem("calibrate::word", 0, format!("`{name}` is a number, not a word"))
            }
            None => self.missing(name),
        })
    }

    /// Everything in a row but the columns named, as text: what makes two rows the same.
    pub fn key(&self, row: usize, without: &[&str]) -> String {
        let numbers = self.numbers.iter().filter(|(n, _)| !without.contains(&n.as_str()));
        let words = self.words.iter().filter(|(n, _)| !without.contains(&n.as_str()));
        let numbers = numbers.map(|(name, v)| format!("{name}={}", v[row]));
        let words = words.map(|(name, v)| format!("{name}={}", v[row]));
        numbers.chain(words).collect::<Vec<_>>().join(" ")
    }

    /// A problem in a row (counted from 0; told from 1).
    pub fn problem(&self, code: &'static str, row: usize, message: String) -> Diagnostic {
        let span = self.spans.get(row).cloned().unwrap_or(0..0);
        Diagnostic::error(code, format!("row {}: {message}", row + 1)).at(&self.file, span)
    }

    fn missing(&self, name: &str) -> Diagnostic {
        Diagnostic::error("calibrate::column", format!("no column `{name}`")).at(&self.file, 0..0)
    }
}
