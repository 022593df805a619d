//! The words of a launch line as a POSIX shell would make them, as far as launch scripts go: quotes,
//! escapes, continued lines, comments, variables and arrays set in the same text.
//!
//! What a shell would have to run or look up (`$(..)`, variables set elsewhere) stays unset: a word
//! that needs it says which.

use diagnostic::{Diagnostic, Diagnostics};
use std::collections::BTreeMap;
use std::ops::Range;

/// One word, with its place in the text it was read from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    /// What a program would receive; what is unset stands as `$NAME`.
    pub text: String,
    /// Where it was written.
    pub span: Range<usize>,
    /// The first variable in it that this text does not set.
    pub unset: Option<String>,
}

/// Longest text and longest result of expansion. Bytes.
const LONGEST: usize = 1 << 20;
/// Words that may stand before an assignment.
const DECLARES: [&str; 3] = ["export", "local", "readonly"];
/// Around the name of an unset variable.
const UNSET: char = '\u{1}';
/// Between the elements of an array.
const ELEMENT: char = '\u{2}';

/// The words of every command of `text`, in order; assignments are carried out, not returned.
///
/// # Errors
/// A text that is too long, or a quote or bracket that is not closed.
pub(super) fn commands(file: &str, text: &str) -> Result<Vec<Vec<Word>>, Diagnostics> {
    let fail = |message: String, span| Diagnostic::error("launch::shell", message).at(file, span);
    if text.len() > LONGEST {
        let message = format!("{} bytes are no launch line; at most {LONGEST}", text.len());
        // The text is not shown again.
        return Err(Diagnostic::error("launch::shell", message).into());
    }
    let mut shell = Shell::new(text);
    while shell.at < shell.chars.len() {
        if let Err((message, span)) = shell.step() {
            return Err(fail(message, span).into());
        }
    }
    shell.end_command();
    Ok(shell.commands)
}

type Fault = (String, Range<usize>);

struct Shell {
    chars: Vec<(usize, char)>,
    end: usize,
    at: usize,
    set: BTreeMap<String, String>,
    command: Vec<Word>,
    commands: Vec<Vec<Word>>,
    grown: usize,
}

/// A word being built: pieces that split at spaces and pieces that do not.
#[derive(Default)]
struct Piece {
    words: Vec<String>,
    open: bool,
}

impl Piece {
    fn push(&mut self, text: &str) {
        match self.words.last_mut() {
            Some(last) if self.open => last.push_str(text),
            _ => self.words.push(text.to_owned()),
        }
        self.open = true;
    }

    /// Adds text that splits into words at `is_gap`.
    fn split(&mut self, text: &str, is_gap: impl Fn(char) -> bool) {
        for (i, part) in text.split(is_gap).enumerate() {
            if i > 0 {
                self.open = false;
            }
            if !part.is_empty() {
                self.push(part);
            }
        }
    }
}

impl Shell {
    fn new(text: &str) -> Self {
        // Control characters that mark things here mean nothing in a launch line.
        let clean = |c: char| if c == UNSET || c == ELEMENT { ' ' } else { c };
        Self {
            chars: text.char_indices().map(|(i, c)| (i, clean(c))).collect(),
            end: text.len(),
            at: 0,
            set: BTreeMap::new(),
            command: Vec::new(),
            commands: Vec::new(),
            grown: 0,
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).map(|(_, c)| *c)
    }

    fn place(&self, at: usize) -> usize {
        self.chars.get(at).map_or(self.end, |(i, _)| *i)
    }

    /// Length of an escaped end of line at `at`, else 0.
    fn continued(&self) -> usize {
        match (self.peek(0), self.peek(1), self.peek(2)) {
            (Some('\\'), Some('\n'), _) => 2,
            (Some('\\'), Some('\r'), Some('\n')) => 3,
            _ => 0,
        }
    }

    fn step(&mut self) -> Result<(), Fault> {
        let skip = self.continued();
        if skip > 0 {
            self.at += skip;
            return Ok(());
        }
        match self.peek(0) {
            Some('\n' | ';' | '|' | '&') => {
                self.at += 1;
                self.end_command();
            }
            Some(c) if c.is_whitespace() => self.at += 1,
            Some('#') => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            }
            _ => {
                let words = self.word(false)?;
                self.command.extend(words);
            }
        }
        Ok(())
    }

    fn end_command(&mut self) {
        let command = std::mem::take(&mut self.command);
        if command.iter().any(|w| !DECLARES.contains(&w.text.as_str())) {
            self.commands.push(command);
        }
    }

    /// The words that the text at `at` becomes; an assignment becomes none.
    fn word(&mut self, in_array: bool) -> Result<Vec<Word>, Fault> {
        let start = self.at;
        let is_first = self.command.iter().all(|w| DECLARES.contains(&w.text.as_str()));
        if !in_array && is_first && self.assignment()? {
            return Ok(Vec::new());
        }
        let mut piece = Piece::default();
        while let Some(c) = self.peek(0) {
            let skip = self.continued();
            if skip > 0 {
                self.at += skip;
                continue;
            }
            let ends = c.is_whitespace() || ";|&".contains(c) || (in_array && c == ')');
            if ends {
                break;
            }
            self.part(c, &mut piece)?;
        }
        if self.at == start {
            self.at += 1; // A lone bracket of an array's end and the like.
        }
        let span = self.place(start)..self.place(self.at);
        Ok(piece.words.into_iter().map(|text| finished(&text, span.clone())).collect())
    }

    /// One quoted, escaped, expanded or plain part of a word.
    fn part(&mut self, c: char, piece: &mut Piece) -> Result<(), Fault> {
        match c {
            '\'' => {
                let text = self.single()?;
                piece.push(&text);
            }
            '"' => self.double(piece)?,
            '$' => {
                let text = self.variable()?;
                piece.split(&text, |c| c.is_whitespace() || c == ELEMENT);
            }
            '`' => {
                self.at += 1;
                while self.peek(0).is_some_and(|c| c != '`') {
                    self.at += 1;
                }
                self.at += 1;
                piece.push(&unset("`..`"));
            }
            '\\' => {
                self.at += 1;
                if let Some(next) = self.peek(0) {
                    piece.push(&next.to_string());
                    self.at += 1;
                }
            }
            other => {
                piece.push(&other.to_string());
                self.at += 1;
            }
        }
        Ok(())
    }

    fn single(&mut self) -> Result<String, Fault> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek(0) {
                Some('\'') => break self.at += 1,
                Some(c) => text.push(c),
                None => return Err(self.unclosed("`'`", start)),
            }
            self.at += 1;
        }
        Ok(text)
    }

    fn double(&mut self, piece: &mut Piece) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        piece.push("");
        loop {
            let skip = self.continued();
            self.at += skip;
            match self.peek(0) {
                _ if skip > 0 => {}
                Some('"') => break self.at += 1,
                Some('\\') if self.peek(1).is_some_and(|c| "\"\\$`".contains(c)) => {
                    let escaped = self.peek(1).map(String::from).unwrap_or_default();
                    piece.push(&escaped);
                    self.at += 2;
                }
                Some('$') => {
                    let text = self.variable()?;
                    let text = text.strip_suffix(ELEMENT).unwrap_or(&text);
                    for (i, element) in text.split(ELEMENT).enumerate() {
                        piece.open &= i == 0;
                        piece.push(element);
                    }
                }
                Some(c) => {
                    piece.push(&c.to_string());
                    self.at += 1;
                }
                None => return Err(self.unclosed("`\"`", start)),
            }
        }
        Ok(())
    }

    fn unclosed(&self, what: &str, start: usize) -> Fault {
        let from = self.place(start);
        (format!("{what} is not closed"), from..self.place(start + 1))
    }

    /// The value of the variable at `$`.
    fn variable(&mut self) -> Result<String, Fault> {
        let start = self.at;
        self.at += 1;
        let value = match self.peek(0) {
            Some('(') => {
                self.bracket('(', ')', start)?;
                unset("$(..)")
            }
            Some('{') => {
                let inside = self.bracket('{', '}', start)?;
                self.braced(&inside)
            }
            Some(c) if c.is_ascii_alphanumeric() || c == '_' => {
                let name = self.name();
                self.set.get(&name).cloned().unwrap_or_else(|| unset(&name))
            }
            _ => "$".to_owned(),
        };
        self.grown += value.len();
        if self.grown > LONGEST {
            let span = self.place(start)..self.place(self.at);
            return Err((format!("variables grow beyond {LONGEST} bytes"), span));
        }
        Ok(value)
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek(0).filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
            self.at += 1;
        }
        name
    }

    /// `{NAME}`, `{NAME[@]}`, `{NAME:-default}`.
    fn braced(&self, inside: &str) -> String {
        let (name, default) = match inside.split_once(":-").or_else(|| inside.split_once('-')) {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let name = name.trim_end_matches("[@]").trim_end_matches("[*]");
        let value = self.set.get(name).cloned();
        value.or_else(|| default.map(str::to_owned)).unwrap_or_else(|| unset(name))
    }

    /// What stands between the bracket at `at` and its partner, which is passed.
    fn bracket(&mut self, open: char, close: char, start: usize) -> Result<String, Fault> {
        let (mut depth, mut inside) = (0_u32, String::new());
        loop {
            let Some(c) = self.peek(0) else {
                return Err(self.unclosed(&format!("`${open}`"), start));
            };
            self.at += 1;
            if c == open {
                depth += 1;
            } else if c == close {
                depth -= 1;
            }
            match depth {
                0 => break Ok(inside.split_off(open.len_utf8())),
                _ => inside.push(c),
            }
        }
    }

    /// Carries out `NAME=..`, `NAME+=..` or `NAME=(..)` at `at`, if that is what stands there.
    fn assignment(&mut self) -> Result<bool, Fault> {
        let start = self.at;
        let name = self.name();
        let adds = self.peek(0) == Some('+') && self.peek(1) == Some('=');
        let digit = name.chars().next().is_none_or(|c| c.is_ascii_digit());
        if digit || !(adds || self.peek(0) == Some('=')) {
            self.at = start;
            return Ok(false);
        }
        self.at += if adds { 2 } else { 1 };
        let mut value = if self.peek(0) == Some('(') {
            self.at += 1;
            self.array(start)?
        } else {
            self.scalar()?
        };
        if adds && let Some(before) = self.set.get(&name) {
            // An array ends in its mark already.
            let gap = if before.ends_with(ELEMENT) { "" } else { " " };
            value = format!("{before}{gap}{value}");
        }
        self.grown += value.len();
        if self.grown > LONGEST {
            let span = self.place(start)..self.place(self.at);
            return Err((format!("variables grow beyond {LONGEST} bytes"), span));
        }
        self.set.insert(name, value);
        Ok(true)
    }

    fn scalar(&mut self) -> Result<String, Fault> {
        let mut piece = Piece::default();
        while let Some(c) = self.peek(0) {
            let skip = self.continued();
            if skip > 0 {
                self.at += skip;
            } else if c.is_whitespace() || ";|&".contains(c) {
                break;
            } else {
                self.part(c, &mut piece)?;
            }
        }
        Ok(piece.words.join(" "))
    }

    fn array(&mut self, start: usize) -> Result<String, Fault> {
        let mut elements: Vec<String> = Vec::new();
        loop {
            match self.peek(0) {
                None => return Err(self.unclosed("`(`", start)),
                Some(')') => break self.at += 1,
                Some(c) if c.is_whitespace() => self.at += 1,
                Some('\\') if self.continued() > 0 => self.at += self.continued(),
                Some('#') => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                Some(_) => elements.extend(self.word(true)?.into_iter().map(|w| marked(&w))),
            }
        }
        // Two elements at least, so that the value is known for an array.
        Ok(format!("{}{ELEMENT}", elements.join(&ELEMENT.to_string())))
    }
}

fn unset(name: &str) -> String {
    format!("{UNSET}{name}{UNSET}")
}

/// The word with its unset variables marked again.
fn marked(word: &Word) -> String {
    match &word.unset {
        Some(name) => word.text.replace(&format!("${name}"), &unset(name)),
        None => word.text.clone(),
    }
}

fn finished(text: &str, span: Range<usize>) -> Word {
    let mut parts = text.split(UNSET);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    let mut first = None;
    while let Some(name) = parts.next() {
        first.get_or_insert_with(|| name.to_owned());
        shown.push_str(&format!("${name}"));
        shown.push_str(parts.next().unwrap_or_default());
    }
    Word { text: shown, span, unset: first }
}

#[cfg(test)]
mod tests {
    use super::commands;

    fn words(text: &str) -> Vec<Vec<String>> {
        let all = commands("line", text).unwrap();
        all.into_iter().map(|c| c.into_iter().map(|w| w.text).collect()).collect()
    }

    #[test]
    fn quotes_escapes_and_continued_lines() {
        assert_eq!(words("a 'b c' \"d e\" f\\ g"), [["a", "b c", "d e", "f g"]]);
        assert_eq!(words("a \\\n  b \\\r\n c # d\n e"), [vec!["a", "b", "c"], vec!["e"]]);
        assert_eq!(words("a | tee b; c && d").len(), 4);
        assert_eq!(words("a '' b"), [["a", "", "b"]]);
    }

    #[test]
    fn variables_and_arrays_of_the_same_text() {
        let text = "TP=8\nexport ARGS=\"\n --a ${TP} \\\n --b $NONE\"\nX=(--c 'd e' # f\n --g)\n";
        let text = format!("{text}run $ARGS ${{X[@]}} \"${{X[@]}}\" ${{D:-4}}");
        let expected = ["run", "--a", "8", "--b", "$NONE", "--c", "d", "e", "--g"];
        let quoted = ["--c", "d e", "--g", "4"];
        assert_eq!(words(&text)[0], [&expected[..], &quoted[..]].concat());
        let last = commands("line", &text).unwrap().remove(0);
        assert_eq!(last[4].unset.as_deref(), Some("NONE"));
    }

    #[test]
    fn what_does_not_close_or_grows_is_refused() {
        for text in ["a 'b", "a \"b", "a $(b", "X=(a", "a ${b"] {
            assert!(commands("line", text).is_err(), "{text}");
        }
        let mut bomb = "A=aaaaaaaaaaaaaaaaaaaaaaaa\n".to_owned();
        for _ in 0..40 {
            bomb.push_str("A=\"$A$A\"\n");
        }
        assert!(commands("line", &bomb).is_err());
        assert!(commands("line", &"x".repeat(2 << 20)).is_err());
    }
}
