//! Files that are there whole or not at all: written beside their place and moved there at the end.
//! Every file the program writes comes through here, but for a campaign's log of samples, which is
//! made to be gone on with.

use crate::input::was_read;
use crate::output::Failure;
use diagnostic::Diagnostic;
use std::fs::{self, File};
use std::io::{BufWriter, Error, IntoInnerError, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::NamedTempFile;

/// A file under way. Dropped before [`WholeFile::keep`], it leaves nothing; what ends the program
/// without asking leaves at most `FILE.xxxxxx.partial`, never a part of `FILE`.
pub struct WholeFile {
    file: String,
    place: PathBuf,
    out: Out,
}

enum Out {
    /// What is to be moved.
    Beside(BufWriter<NamedTempFile>),
    /// A device or a pipe, which nothing may replace.
    Straight(BufWriter<File>),
}

/// Files under way, as asked for and as they lie beside it. Who holds it is not interrupted.
static UNDER_WAY: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());

fn under_way() -> MutexGuard<'static, Vec<(String, PathBuf)>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WholeFile {
    /// Begins the file. Two programs that write one file do not disturb each other: the last to end
    /// has its place.
    ///
    /// # Errors
    /// A folder that is not there or not writable; a name that is a folder's, or of a file that was
    /// read for the answer.
    pub fn begin(file: &str) -> Result<Self, Failure> {
        let begun = || -> Result<Self, Error> {
            // A link stays one: what it points at is replaced.
            let place = fs::canonicalize(file).unwrap_or_else(|_| PathBuf::from(file));
            let out = match fs::metadata(&place) {
                Ok(there) if !there.is_file() && !there.is_dir() => {
                    Out::Straight(BufWriter::new(File::options().write(true).open(&place)?))
                }
                Ok(there) if there.is_dir() => return Err(Error::other("it is a folder")),
                Ok(_) if was_read(&place) => {
                    return Err(Error::other("it was read for this answer; choose another name"));
                }
                _ => Out::Beside(BufWriter::new(beside(file, &place)?)),
            };
            Ok(Self { file: file.to_owned(), place, out })
        };
        begun().map_err(|e| cannot_write(file, &e))
    }

    /// Its name as it was asked for.
    pub fn name(&self) -> &str {
        &self.file
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// What the system says; nothing is left behind then.
    pub fn keep(self) -> Result<(), Failure> {
        keep_all(vec![self])
    }
}

/// Opens a file of a name of its own next to `place`, and notes that it is under way.
fn beside(file: &str, place: &Path) -> Result<NamedTempFile, Error> {
    let name = place.file_name().ok_or_else(|| Error::other("it names no file"))?;
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    let prefix = format!("{}.", name.to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".partial");
    #[cfg(unix)]
    {
        // As any other new file; the user's mask is taken off.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut list = under_way();
    let made = builder.tempfile_in(folder.unwrap_or(Path::new(".")));
    // Without the name of its own, which means nothing to anybody.
    let made = made.map_err(|e| Error::from(e.kind()))?;
    list.push((file.to_owned(), made.path().to_owned()));
    Ok(made)
}

/// Puts several files in their places, in order: none before all are written whole.
///
/// # Errors
/// As [`WholeFile::keep`].
pub fn keep_all(files: Vec<WholeFile>) -> Result<(), Failure> {
    let mut written = Vec::new();
    for WholeFile { file, place, out } in files {
        let cannot = |e: Error| cannot_write(&file, &e);
        match out {
            Out::Straight(mut out) => out.flush().map_err(cannot)?,
            Out::Beside(out) => {
                let made = out.into_inner().map_err(IntoInnerError::into_error);
                let made = made.and_then(|made| made.as_file().sync_all().map(|()| made));
                let made = made.map_err(cannot)?;
                written.push((file, place, made));
            }
        }
    }
    let mut list = under_way();
    for (file, place, made) in written {
        let path = made.path().to_owned();
        made.persist(&place).map_err(|e| cannot_write(&file, &e.error))?;
        list.retain(|(_, known)| *known != path);
    }
    Ok(())
}

/// Refuses two outputs of one name: the second would replace the first.
///
/// # Errors
/// The name given twice.
pub fn apart(names: &[&Option<String>]) -> Result<(), Failure> {
    let mut seen: Vec<&String> = Vec::new();
    for name in names.iter().filter_map(|name| name.as_ref()) {
        // What is written to a device is not replaced.
        if seen.contains(&name) && !name.starts_with("/dev/") {
            let message = format!("`{name}` is to hold two answers");
            let hint = "give each a file of its own";
            return Err(Diagnostic::error("cli::write", message).hint(hint).into());
        }
        seen.push(name);
    }
    Ok(())
}

/// Writes a whole file.
///
/// # Errors
/// As [`WholeFile::begin`] and [`WholeFile::keep`].
pub fn write_file(file: &str, bytes: &[u8]) -> Result<(), Failure> {
    let mut out = WholeFile::begin(file)?;
    out.write_all(bytes).map_err(|e| cannot_write(file, &e))?;
    out.keep()
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        match &mut self.out {
            Out::Beside(out) => out.write(bytes),
            Out::Straight(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        match &mut self.out {
            Out::Beside(out) => out.flush(),
            Out::Straight(out) => out.flush(),
        }
    }
}

/// What to say of a file that was not written.
pub fn cannot_write(file: &str, error: &dyn std::fmt::Display) -> Failure {
    let problem = Diagnostic::error("cli::write", format!("cannot write `{file}`: {error}"));
    problem.hint("nothing is left behind; the folder must exist and have room").into()
}

/// From here on Ctrl-C and a polite kill end the program as they would have, after what is under way
/// is taken away and that is said; a file that grows beyond the user's limit is a write that fails.
pub fn answer_signals() {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
        // Whoever answers it is told by the write: what the flag holds is of no use.
        let _ = signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default());
        // Without it a signal ends the program as ever, and `.partial` files stay.
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else {
            return;
        };
        std::thread::spawn(move || {
            for signal in signals.forever() {
                // Never given back: nothing may be put in its place from here on.
                let list = under_way();
                take_away(&list);
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        });
    }
}

#[cfg(unix)]
fn take_away(list: &[(String, PathBuf)]) {
    use std::io::IsTerminal;
    let mut problem = Diagnostic::error("cli::interrupted", "interrupted");
    let mut names = Vec::new();
    for (file, beside) in list {
        // Gone already if its writer gave it up.
        if fs::remove_file(beside).is_ok() {
            names.push(format!("`{file}`"));
        }
    }
    if !names.is_empty() {
        problem.message = format!("interrupted: {} not written", names.join(", "));
        problem = problem.hint("nothing is left of it; what was in its place before still is");
    }
    let mut talk = std::io::stderr().lock();
    if talk.is_terminal() {
        // Below a bar of progress.
        let _ = writeln!(talk);
    }
    let _ = talk.write_all(report::render(&problem.into(), &|_| None).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{WholeFile, keep_all, write_file};
    use std::io::Write;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let name = path.to_str().expect("text");
        let others = || std::fs::read_dir(folder.path()).expect("a folder").count();
        let Ok(mut file) = WholeFile::begin(name) else { panic!("not begun") };
        file.write_all(b"half").expect("written");
        assert!(!path.exists(), "not there before its end");
        drop(file);
        assert_eq!(others(), 0, "something is left");
        let Ok(mut file) = WholeFile::begin(name) else { panic!("not begun") };
        file.write_all(b"whole").expect("written");
        assert!(file.keep().is_ok());
        assert_eq!(std::fs::read(&path).expect("there"), b"whole");
        assert_eq!(others(), 1);
        // What is there stays until its successor is whole.
        let Ok(mut file) = WholeFile::begin(name) else { panic!("not begun") };
        file.write_all(b"another").expect("written");
        drop(file);
        assert_eq!(std::fs::read(&path).expect("there"), b"whole");
        assert!(write_file("/nowhere/at/all", b"").is_err());
        assert!(write_file(folder.path().to_str().expect("text"), b"").is_err());
    }

    #[test]
    fn several_files_are_there_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
        let begin = |name: &str| WholeFile::begin(&path(name)).unwrap_or_else(|_| panic!("{name}"));
        let (mut a, b) = (begin("a"), begin("b"));
        a.write_all(b"a").expect("written");
        assert!(!folder.path().join("a").exists());
        assert!(keep_all(vec![a, b]).is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_links_stay_what_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, b"old").expect("written");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        assert!(write_file(link.to_str().expect("text"), b"new").is_ok());
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&target).expect("there"), b"new");
        assert!(write_file("/dev/null", b"anything").is_ok());
        assert!(!std::fs::metadata("/dev/null").expect("there").is_file());
    }
}
