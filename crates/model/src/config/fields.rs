//! Reads the fields of one JSON object, and remembers everything that was wrong with them.

use std::ops::Range;

use diagnostic::{Diagnostic, Diagnostics, nearest};
use serde_json::{Map, Value};

/// Blocks a model may have: a thousand times the deepest published one.
const MOST_LAYERS: u64 = 100_000;
/// The longest a single dimension may be.
const LONGEST: u64 = 1_000_000_000;

/// A reader over a configuration's top-level object.
///
/// Every accessor returns a value to go on with; where that is a stand-in, the problem is noted and
/// [`Fields::check`] will not let it through.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    file: &'a str,
    text: &'a str,
    /// Every key asked for so far: the others are free to be misspellings.
    asked: Vec<&'static str>,
    problems: Diagnostics,
    /// Keys that were absent, with the place of their problem.
    absent: Vec<(usize, &'static str)>,
}

impl<'a> Fields<'a> {
    pub fn new(object: &'a Map<String, Value>, file: &'a str, text: &'a str) -> Self {
        let problems = Diagnostics::default();
        Self { object, file, text, asked: Vec::new(), problems, absent: Vec::new() }
    }

    /// Stops here if anything was wrong so far; to be called before sizes are believed.
    pub fn check(&mut self) -> Result<(), Diagnostics> {
        for (place, key) in std::mem::take(&mut self.absent) {
            let unread = self.object.keys().map(String::as_str);
            let unread = unread.filter(|k| !self.asked.contains(k));
            if let Some(near) = nearest(key, unread) {
                let hint = format!("is `{near}` meant to be `{key}`?");
                self.problems.0[place].hint = Some(hint);
            }
        }
        std::mem::take(&mut self.problems).into_result(())
    }

    /// Whether the field is there and not null.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.get(key).is_some_and(|v| !v.is_null())
    }

    /// A dimension that must be there: 1..=10^9.
    pub fn dim(&mut self, key: &'static str) -> u64 {
        self.required(key, 1, LONGEST)
    }

    /// A count that must be there and may be zero: 0..=10^9.
    pub fn count(&mut self, key: &'static str) -> u64 {
        self.required(key, 0, LONGEST)
    }

    /// A number of blocks that must be there: `least`..=10^5.
    pub fn layers(&mut self, key: &'static str, least: u64) -> u64 {
        self.required(key, least, MOST_LAYERS)
    }

    /// A dimension that may be absent or null, where absence has a documented meaning.
    pub fn optional_dim(&mut self, key: &'static str) -> Option<u64> {
        if self.has(key) { Some(self.dim(key)) } else { None }
    }

    /// A dimension that must be there but may be null, where null has a meaning.
    pub fn nullable_dim(&mut self, key: &'static str) -> Option<u64> {
        if self.get(key).is_some_and(Value::is_null) { None } else { Some(self.dim(key)) }
    }

    /// A flag that must be there.
    pub fn flag(&mut self, key: &'static str) -> bool {
        if self.has(key) { self.flag_or(key, false) } else { self.missing(key, false) }
    }

    /// A flag whose absence the HF class documents to mean `default`.
    pub fn flag_or(&mut self, key: &'static str, default: bool) -> bool {
        match self.get(key) {
            None | Some(Value::Null) => default,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => self.wrong_type(key, "true or false", other, default),
        }
    }

    /// A word that must be there.
    pub fn word(&mut self, key: &'static str) -> &'a str {
        match self.get(key) {
            Some(Value::String(word)) => word,
            None => self.missing(key, ""),
            Some(other) => self.wrong_type(key, "a string", other, ""),
        }
    }

    /// A list of counts, if present: each 0..=10^9.
    pub fn counts(&mut self, key: &'static str) -> Option<Vec<u64>> {
        let values = self.array(key)?;
        // Lists are as long as their text, so this allocates no more than was read.
        let read = |v: &Value| v.as_u64().filter(|n| *n <= LONGEST);
        let counts: Option<Vec<u64>> = values.iter().map(read).collect();
        if counts.is_none() {
            self.wrong(key, format!("`{key}` must hold whole numbers from 0 to {LONGEST}"));
        }
        counts
    }

    /// A list of words, if present.
    pub fn words(&mut self, key: &'static str) -> Option<Vec<&'a str>> {
        let values = self.array(key)?;
        let words: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
        if words.is_none() {
            self.wrong(key, format!("`{key}` must hold strings"));
        }
        words
    }

    /// Whether `rope_scaling` is YaRN with a factor on rotated queries and keys: HF's class scales them
    /// unless `mscale` and `mscale_all_dim` are both given and cancel.
    pub fn rotary_scaled(&mut self) -> bool {
        let Some(Value::Object(scaling)) = self.get("rope_scaling") else { return false };
        let word = |key| scaling.get(key).and_then(Value::as_str);
        let number = |key| scaling.get(key).and_then(Value::as_f64);
        let (all, each) = (number("mscale_all_dim"), number("mscale"));
        word("rope_type").or_else(|| word("type")) == Some("yarn") && (all.is_none() || all != each)
    }

    /// Notes that a field is needed and absent.
    pub fn missing<T>(&mut self, key: &'static str, stand_in: T) -> T {
        let what = if self.get(key).is_some() { "null" } else { "missing" };
        if what == "missing" {
            self.absent.push((self.problems.0.len(), key));
        }
        self.note("model::missing", key, format!("`{key}` is {what}"));
        stand_in
    }

    /// Notes that a field is there but cannot be so.
    pub fn wrong(&mut self, key: &'static str, message: String) {
        self.note("model::value", key, message);
    }

    /// Notes that a field contradicts another, unless something was wrong already: then either may
    /// be a stand-in.
    pub fn conflict(&mut self, conflict: bool, key: &'static str, message: String) {
        if conflict && self.problems.0.is_empty() {
            self.wrong(key, message);
        }
    }

    /// Notes that a field asks for what this crate does not model, unless it does not.
    pub fn unsupported_if(&mut self, asked: bool, key: &'static str, what: &str) {
        if asked {
            let message = format!("`{key}` asks for {what}, which is not modelled");
            self.note("model::unsupported", key, message);
        }
    }

    fn note(&mut self, code: &'static str, key: &str, message: String) {
        let span = value_span(self.text, key).unwrap_or(0..0);
        self.problems.push(Diagnostic::error(code, message).at(self.file, span));
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.object.get(key)
    }

    fn required(&mut self, key: &'static str, least: u64, most: u64) -> u64 {
        let value = match self.get(key) {
            None | Some(Value::Null) => return self.missing(key, least.max(1)),
            Some(value @ Value::Number(_)) => value,
            Some(other) => return self.wrong_type(key, "a whole number", other, least.max(1)),
        };
        if let Some(n) = value.as_u64().filter(|n| (least..=most).contains(n)) {
            return n;
        }
        let message = format!("`{key}` must be a whole number from {least} to {most}, not {value}");
        self.wrong(key, message);
        least.max(1)
    }

    fn array(&mut self, key: &'static str) -> Option<&'a [Value]> {
        match self.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::Array(values)) => Some(values),
            Some(other) => self.wrong_type(key, "a list", other, None),
        }
    }

    fn wrong_type<T>(&mut self, key: &'static str, wanted: &str, got: &Value, stand_in: T) -> T {
        let got = match got {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.wrong(key, format!("`{key}` must be {wanted}, not {got}"));
        stand_in
    }
}

/// Byte range of the value of the top-level `key` in `text`, which is valid JSON with an object on
/// top; `None` if the key is not there or is written with escapes.
pub(super) fn value_span(text: &str, key: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0u32);
    let mut start = None;
    let mut found = None;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at);
                let follows =
                    end + bytes[end..].iter().take_while(|b| b.is_ascii_whitespace()).count();
                if depth == 1
                    && start.is_none()
                    && bytes.get(follows) == Some(&b':')
                    && bytes.get(at + 1..end - 1) == Some(key.as_bytes())
                {
                    start = Some(follows + 1);
                    at = follows;
                } else {
                    at = end - 1;
                }
            }
            b'{' | b'[' => depth += 1,
            b',' | b'}' if depth == 1 => {
                // The last of several equal keys is the one that counts.
                found = start.take().map(|s| trimmed(text, s..at)).or(found);
                depth -= u32::from(bytes[at] == b'}');
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    found
}

/// One past the closing quote of the string that opens at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (end + 1).min(bytes.len())
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let slice = &text[range.clone()];
    let lead = slice.len() - slice.trim_start().len();
    range.start + lead..range.start + lead + slice.trim().len()
}
