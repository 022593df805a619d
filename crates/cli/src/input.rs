//! Reading what a user names. Every input comes through here, and none is read without a limit.

use diagnostic::Diagnostic;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Error, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Largest text that people write: scenarios, configurations, tables of rows. Bytes.
pub const WRITTEN: u64 = 16 << 20;

/// Largest file that programs write: programs, traces, measurements. Bytes.
pub const CAPTURED: u64 = 1 << 30;

/// What is looked at before the rest of a text is read: enough to tell a device or a binary file. Bytes.
const BEGINNING: u64 = 1 << 16;

/// A file's bytes, at most `most`.
///
/// # Errors
/// What cannot be opened or read, a folder, and what is longer: devices and pipes have no length to ask
/// for, and some have no end.
pub fn bytes(path: &str, most: u64) -> Result<Vec<u8>, Diagnostic> {
    let (mut bytes, file) = begin(path, most)?;
    rest(path, file, &mut bytes, most)?;
    Ok(bytes)
}

/// A file's text without a mark of byte order, at most `most` bytes.
///
/// # Errors
/// As [`bytes`], and what is not UTF-8 or holds a zero byte, with its place.
pub fn text(path: &str, most: u64) -> Result<String, Diagnostic> {
    let (mut bytes, file) = begin(path, most)?;
    if let Some(problem) = no_text(path, &bytes) {
        return Err(problem);
    }
    rest(path, file, &mut bytes, most)?;
    if let Some(problem) = no_text(path, &bytes) {
        return Err(problem);
    }
    checked(path, bytes)
}

/// Text from a reader that has no name of its own, such as standard input.
///
/// # Errors
/// As [`text`].
pub fn text_from(name: &str, from: impl Read, most: u64) -> Result<String, Diagnostic> {
    let mut bytes = Vec::new();
    rest(name, from, &mut bytes, most)?;
    match no_text(name, &bytes) {
        Some(problem) => Err(problem),
        None => checked(name, bytes),
    }
}

/// Files read so far, by their own paths.
static READ: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Whether that file was read for the answer: it may not be written over.
pub fn was_read(place: &Path) -> bool {
    READ.lock().unwrap_or_else(PoisonError::into_inner).contains(place)
}

/// The first bytes of a file, and the file to go on with.
fn begin(path: &str, most: u64) -> Result<(Vec<u8>, File), Diagnostic> {
    if let Ok(place) = fs::canonicalize(path) {
        READ.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
    }
    let opened = || -> Result<(Vec<u8>, File), Error> {
        let mut file = File::open(path)?;
        let about = file.metadata()?;
        if about.is_dir() {
            return Err(Error::other("it is a folder"));
        }
        if about.is_file() && about.len() > most {
            return Err(Error::other(too_long(most)));
        }
        let mut bytes = Vec::new();
        file.by_ref().take(BEGINNING).read_to_end(&mut bytes)?;
        Ok((bytes, file))
    };
    opened().map_err(|e| cannot_read(path, &e))
}

fn rest(path: &str, from: impl Read, bytes: &mut Vec<u8>, most: u64) -> Result<(), Diagnostic> {
    let left = most + 1 - bytes.len() as u64;
    from.take(left).read_to_end(bytes).map_err(|e| cannot_read(path, &e))?;
    if bytes.len() as u64 > most {
        return Err(cannot_read(path, &Error::other(too_long(most))));
    }
    Ok(())
}

fn too_long(most: u64) -> String {
    format!("it is longer than {} MiB, the most that is read of such a file", most >> 20)
}

fn cannot_read(path: &str, error: &Error) -> Diagnostic {
    Diagnostic::error("cli::file", format!("cannot read `{path}`: {error}"))
}

/// Why the bytes are no text, if they are none. A character that is cut at the end is still one.
fn no_text(path: &str, bytes: &[u8]) -> Option<Diagnostic> {
    let zero = bytes.iter().position(|b| *b == 0);
    let wrong = std::str::from_utf8(bytes).err().filter(|e| e.error_len().is_some());
    let at = zero.into_iter().chain(wrong.map(|e| e.valid_up_to())).min()?;
    let line = bytes[..at].split(|b| *b == b'\n').count();
    let message = format!("cannot read `{path}`: no UTF-8 text from byte {at} on, in line {line}");
    let sixteen = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let hint =
        if sixteen { "it is UTF-16; save it as UTF-8" } else { "a text file is wanted here" };
    Some(Diagnostic::error("cli::file", message).hint(hint))
}

fn checked(path: &str, bytes: Vec<u8>) -> Result<String, Diagnostic> {
    let text = String::from_utf8(bytes).map_err(|e| {
        // Only a character cut at the end is left to be wrong.
        let at = e.utf8_error().valid_up_to();
        let message = format!("cannot read `{path}`: it ends within a character, at byte {at}");
        Diagnostic::error("cli::file", message).hint("the file is cut off")
    })?;
    // Editors of Windows begin a file so; places in messages count without it.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::{WRITTEN, bytes, text, text_from};

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let from = |n: u64| text_from("x", std::io::Read::take(std::io::repeat(b'a'), n), 1 << 20);
        assert_eq!(from(1 << 20).map(|t| t.len()), Ok(1 << 20));
        let problem = from(u64::MAX).unwrap_err();
        assert!(problem.message.contains("longer than 1 MiB"), "{}", problem.message);
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_folders_are_problems() {
        for (path, says) in
            [("/dev/zero", "from byte 0 on"), ("/", "a folder"), ("", "cannot read")]
        {
            let problem = text(path, WRITTEN).unwrap_err();
            assert!(problem.message.contains(says), "{path}: {}", problem.message);
        }
        assert!(bytes("/dev/zero", 1 << 20).unwrap_err().message.contains("longer"));
        assert_eq!(text("/dev/null", WRITTEN).as_deref(), Ok(""));
    }

    #[test]
    fn marks_go_and_other_encodings_are_told() {
        let read = |bytes: &[u8]| text_from("x", bytes, WRITTEN);
        assert_eq!(read(b"\xef\xbb\xbfa = 1").as_deref(), Ok("a = 1"));
        let sixteen = read(b"\xff\xfea\0 \0").unwrap_err();
        assert_eq!(sixteen.hint.as_deref(), Some("it is UTF-16; save it as UTF-8"));
        assert!(read(b"a\nb\xc3").unwrap_err().message.contains("ends within a character"));
        assert!(read(b"a\nb\xc3\n").unwrap_err().message.contains("byte 3 on, in line 2"));
    }
}
