//! Strict reading of TOML tables: every problem is reported with its place, none stops the rest.
//!
//! A [`Table`] is emptied by its `take_` methods and closed by [`Table::finish`], which reports the
//! keys nobody took. Each `take_` returns `None` after it has reported why, so a caller takes
//! everything first and gives up (`?`) last.
//!
//! ```
//! use catalog::toml_reader::Reader;
//! let reader = Reader::new("a.toml", "chips = 8\nbord = 1\n");
//! let chips = reader.root().and_then(|mut root| {
//!     let chips = root.take_u64("chips");
//!     if root.has("board") { root.take_u64("board"); }
//!     root.finish();
//!     chips
//! });
//! let problems = reader.into_result(chips).unwrap_err();
//! assert_eq!(problems.0[0].code, "catalog::unknown-key");
//! assert_eq!(problems.0[0].hint.as_deref(), Some("did you mean `board`?"));
//! ```

use crate::figure;
use diagnostic::{Diagnostic, Diagnostics, nearest};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use units::{Figure, ParseQuantityError, Unit, parse_quantity};

/// The largest count any file may hold; nothing that is counted comes near.
pub const MAX_COUNT: u64 = 1_000_000_000_000;

/// One text being read, and the problems found in it so far.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    found: RefCell<Diagnostics>,
}

impl<'a> Reader<'a> {
    /// A reader of `text`, which the user knows as `file`.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, found: RefCell::default() }
    }

    /// The outermost table; `None` after the syntax errors have been reported.
    pub fn root(&self) -> Option<Table<'_>> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            // The parser explains itself over several lines; one problem is one line here.
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            self.report(Diagnostic::error("catalog::syntax", message), span);
        }
        errors.is_empty().then(|| Table::new(self, String::new(), 0..0, root.into_inner()))
    }

    /// Adds a problem at `span` of this text.
    pub fn report(&self, diagnostic: Diagnostic, span: Range<usize>) {
        self.found.borrow_mut().push(diagnostic.at(self.file, span));
    }

    /// Adds problems found elsewhere, with their own places.
    pub fn extend(&self, diagnostics: Diagnostics) {
        self.found.borrow_mut().extend(diagnostics);
    }

    /// The value, if nothing is wrong with the text; problems stand in the order of the text.
    ///
    /// # Errors
    /// Every problem reported; `value` is `None` only after a report.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T, Diagnostics> {
        let mut found = self.found.into_inner();
        found.0.sort_by_key(|d| d.label.as_ref().map_or(0, |label| label.span.start));
        if let Some(value) = value {
            return found.into_result(value);
        }
        if !found.has_errors() {
            found.push(Diagnostic::error("catalog::incomplete", "the file is incomplete"));
        }
        Err(found)
    }
}

/// A value not yet interpreted.
#[derive(Debug)]
pub struct Item<'r> {
    reader: &'r Reader<'r>,
    path: String,
    span: Range<usize>,
    value: DeValue<'r>,
}

impl<'r> Item<'r> {
    /// Where it stands, in dotted form: `level.0.bandwidth`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The reader, for problems that belong to no single value.
    pub fn reader(&self) -> &'r Reader<'r> {
        self.reader
    }

    /// Byte range of the value.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether it is a text.
    pub fn is_str(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// As text.
    pub fn into_str(self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.into_owned()),
            _ => self.wrong("a text"),
        }
    }

    /// As `true` or `false`.
    pub fn into_bool(self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(value),
            _ => self.wrong("`true` or `false`"),
        }
    }

    /// As a count, at most [`MAX_COUNT`].
    pub fn into_u64(self) -> Option<u64> {
        let DeValue::Integer(integer) = &self.value else {
            return self.wrong("a whole number");
        };
        let digits = integer.as_str();
        if digits.starts_with('-') {
            let message = format!("`{}` is negative", self.path);
            return self.reject("catalog::number", message, "a count is 0 or more");
        }
        match u64::from_str_radix(digits.trim_start_matches('+'), integer.radix()) {
            Ok(value) if value <= MAX_COUNT => Some(value),
            _ => {
                let message = format!("`{}` is absurdly large", self.path);
                self.reject("catalog::number", message, "a count is at most 10^12")
            }
        }
    }

    /// As a bare number within `limits`.
    pub fn into_f64(self, limits: &RangeInclusive<f64>) -> Option<f64> {
        match self.number() {
            Some(value) => self.within(value, limits),
            None => self.wrong("a number"),
        }
    }

    /// As a quantity of `unit` within `limits`, in base units; a bare number only where the unit is
    /// a count or a ratio.
    pub fn into_quantity(self, unit: Unit, limits: &RangeInclusive<f64>) -> Option<f64> {
        if let Some(value) = self.number() {
            if matches!(unit, Unit::Count | Unit::Ratio) {
                return self.within(value, limits);
            }
            return self.refuse_quantity(&ParseQuantityError::MissingUnit(unit), unit);
        }
        let DeValue::String(text) = &self.value else {
            return self.wrong(&format!("a quantity such as `\"{}\"`", unit.example()));
        };
        match parse_quantity(text, unit) {
            Ok(value) => self.within(value, limits),
            Err(error) => self.refuse_quantity(&error, unit),
        }
    }

    /// As a figure of `unit` with its range, origin and source; see [`figure::parse`].
    pub fn into_figure(self, unit: Unit, limits: &RangeInclusive<f64>) -> Option<Figure> {
        figure::parse(self, unit, limits)
    }

    /// As a table.
    pub fn into_table(self) -> Option<Table<'r>> {
        match self.value {
            DeValue::Table(table) => Some(Table::new(self.reader, self.path, self.span, table)),
            _ => self.wrong("a table"),
        }
    }

    /// As an array.
    pub fn into_array(self) -> Option<Vec<Item<'r>>> {
        let Self { reader, path, span, value } = self;
        match value {
            DeValue::Array(array) => Some(
                array
                    .into_iter()
                    .enumerate()
                    .map(|(i, item)| {
                        let span = item.span();
                        Item { reader, path: format!("{path}.{i}"), span, value: item.into_inner() }
                    })
                    .collect(),
            ),
            value => Item { reader, path, span, value }.wrong("an array"),
        }
    }

    /// As one of `words`.
    pub fn into_word<T: Copy>(self, words: &[(T, &str)]) -> Option<T> {
        let (reader, path, span) = (self.reader, self.path.clone(), self.span());
        let text = self.into_str()?;
        let found = words.iter().find(|(_, word)| *word == text).map(|(value, _)| *value);
        if found.is_none() {
            let list: Vec<_> = words.iter().map(|(_, word)| format!("`{word}`")).collect();
            let hint = match nearest(&text, words.iter().map(|(_, word)| *word)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("one of {}", list.join(", ")),
            };
            let message = format!("`{text}` is not a word for `{path}`");
            reader.report(Diagnostic::error("catalog::word", message).hint(hint), span);
        }
        found
    }

    /// The value if it is a bare number.
    fn number(&self) -> Option<f64> {
        match &self.value {
            DeValue::Integer(integer) => {
                i128::from_str_radix(integer.as_str(), integer.radix()).ok().map(|n| n as f64)
            }
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => None,
        }
    }

    fn within(self, value: f64, limits: &RangeInclusive<f64>) -> Option<f64> {
        if value.is_finite() && limits.contains(&value) {
            return Some(value);
        }
        let message = format!("`{}` is out of range: {value:?}", self.path);
        let hint = match (*limits.start(), *limits.end()) {
            (low, high) if high < 1e18 => format!("from {low} to {high}"),
            (_, high) if value > high => format!("a finite number, at most {high:e}"),
            (0.0, _) => "a finite number, 0 or more".to_owned(),
            _ => "a finite number above 0".to_owned(),
        };
        self.reject("catalog::number", message, hint)
    }

    fn refuse_quantity<T>(self, error: &ParseQuantityError, unit: Unit) -> Option<T> {
        let path = &self.path;
        let (code, message) = match error {
            ParseQuantityError::MissingUnit(_) => {
                ("catalog::unit", format!("`{path}` needs a unit"))
            }
            ParseQuantityError::WrongUnit { found, .. } => {
                ("catalog::unit", format!("`{found}` is not a unit for `{path}`"))
            }
            ParseQuantityError::NoNumber | ParseQuantityError::OutOfRange => {
                ("catalog::number", format!("`{path}`: {error}"))
            }
        };
        self.reject(code, message, format!("for example `\"{}\"`", unit.example()))
    }

    fn wrong<T>(self, wanted: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "`true` or `false`",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{}` is {found}, not {wanted}", self.path);
        let diagnostic = Diagnostic::error("catalog::type", message);
        self.reader.report(diagnostic, self.span);
        None
    }

    /// Reports a problem with this value.
    pub fn reject<T>(
        self,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        self.reader.report(Diagnostic::error(code, message).hint(hint), self.span);
        None
    }
}

/// A key's place and, until taken, its value.
#[derive(Debug)]
struct Entry<'r> {
    key: Range<usize>,
    span: Range<usize>,
    value: Option<DeValue<'r>>,
}

/// A table being emptied.
#[derive(Debug)]
pub struct Table<'r> {
    reader: &'r Reader<'r>,
    path: String,
    span: Range<usize>,
    entries: BTreeMap<String, Entry<'r>>,
    /// Keys asked for, so that an unknown key can be told the nearest.
    known: BTreeSet<String>,
}

impl<'r> Table<'r> {
    fn new(reader: &'r Reader<'r>, path: String, span: Range<usize>, table: DeTable<'r>) -> Self {
        let entries = table
            .into_iter()
            .map(|(key, value)| {
                let (key_span, span) = (key.span(), Spanned::span(&value));
                let entry = Entry { key: key_span, span, value: Some(value.into_inner()) };
                (key.into_inner().into_owned(), entry)
            })
            .collect();
        Self { reader, path, span, entries, known: BTreeSet::new() }
    }

    /// The reader, for problems that belong to no single key.
    pub fn reader(&self) -> &'r Reader<'r> {
        self.reader
    }

    /// Byte range of the table, or of its header.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Byte range of a key's value, also after it was taken; the table's own if it is absent.
    pub fn span_of(&self, key: &str) -> Range<usize> {
        self.entries.get(key).map_or(self.span(), |entry| entry.span.clone())
    }

    /// Every key in the table, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Whether an optional key is there; from now on the key is known.
    pub fn has(&mut self, key: &str) -> bool {
        self.known.insert(key.to_owned());
        self.entries.contains_key(key)
    }

    /// The value of a required key; an absent one is reported.
    pub fn take(&mut self, key: &str) -> Option<Item<'r>> {
        self.known.insert(key.to_owned());
        let path = self.path_of(key);
        let Some(entry) = self.entries.get_mut(key) else {
            let message = format!("`{path}` is missing");
            self.reader.report(Diagnostic::error("catalog::missing-key", message), self.span());
            return None;
        };
        let value = entry.value.take()?;
        Some(Item { reader: self.reader, path, span: entry.span.clone(), value })
    }

    /// A required text.
    pub fn take_str(&mut self, key: &str) -> Option<String> {
        self.take(key)?.into_str()
    }

    /// A required count, at most [`MAX_COUNT`].
    pub fn take_u64(&mut self, key: &str) -> Option<u64> {
        self.take(key)?.into_u64()
    }

    /// A required count of at least one.
    pub fn take_positive(&mut self, key: &str) -> Option<u64> {
        let value = self.take_u64(key)?;
        if value == 0 {
            let message = format!("`{}` is 0", self.path_of(key));
            self.reject(key, "catalog::number", message, "1 or more");
        }
        (value > 0).then_some(value)
    }

    /// A required `true` or `false`.
    pub fn take_bool(&mut self, key: &str) -> Option<bool> {
        self.take(key)?.into_bool()
    }

    /// A required bare number.
    pub fn take_f64(&mut self, key: &str, limits: &RangeInclusive<f64>) -> Option<f64> {
        self.take(key)?.into_f64(limits)
    }

    /// A required quantity, without origin or range, in base units.
    pub fn take_quantity(
        &mut self,
        key: &str,
        unit: Unit,
        limits: &RangeInclusive<f64>,
    ) -> Option<f64> {
        self.take(key)?.into_quantity(unit, limits)
    }

    /// A required figure.
    pub fn take_figure(
        &mut self,
        key: &str,
        unit: Unit,
        limits: &RangeInclusive<f64>,
    ) -> Option<Figure> {
        self.take(key)?.into_figure(unit, limits)
    }

    /// A required word out of `words`.
    pub fn take_word<T: Copy>(&mut self, key: &str, words: &[(T, &str)]) -> Option<T> {
        self.take(key)?.into_word(words)
    }

    /// A required table.
    pub fn take_table(&mut self, key: &str) -> Option<Table<'r>> {
        self.take(key)?.into_table()
    }

    /// A required array.
    pub fn take_array(&mut self, key: &str) -> Option<Vec<Item<'r>>> {
        self.take(key)?.into_array()
    }

    /// Reports a problem at `span`.
    pub fn report(&self, diagnostic: Diagnostic, span: Range<usize>) {
        self.reader.report(diagnostic, span);
    }

    /// Reports a problem with the value of `key`.
    pub fn reject(
        &self,
        key: &str,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.reader.report(Diagnostic::error(code, message).hint(hint), self.span_of(key));
    }

    /// Reports every key that nobody asked for, with the nearest that was.
    pub fn finish(self) {
        for (key, entry) in &self.entries {
            if self.known.contains(key) {
                continue;
            }
            let known = self.known.iter().map(String::as_str);
            let hint = match nearest(key, known.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
            };
            let message = format!("unknown key `{}`", self.path_of(key));
            let diagnostic = Diagnostic::error("catalog::unknown-key", message).hint(hint);
            self.reader.report(diagnostic, entry.key.clone());
        }
    }

    /// The dotted path of a key in this table.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}
