//! Files that are there whole or not at all: written beside their place and moved there at the end.

use crate::output::Failure;
use diagnostic::Diagnostic;
use std::fs::{self, File};
use std::io::{BufWriter, Error, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file under way. Dropped before [`WholeFile::keep`], it leaves nothing; a kill leaves at most
/// `FILE.partial`, never `FILE`.
pub struct WholeFile {
    file: String,
    partial: String,
    open: Option<BufWriter<File>>,
}

impl WholeFile {
    /// Begins the file.
    pub fn begin(file: &str) -> Result<Self, Failure> {
        let partial = format!("{file}.partial");
        let open = File::create(&partial).map_err(|e| cannot_write(file, &e))?;
        Ok(Self { file: file.to_owned(), partial, open: Some(BufWriter::new(open)) })
    }

    /// Puts the file in its place.
    pub fn keep(mut self) -> Result<(), Failure> {
        self.flush().map_err(|e| cannot_write(&self.file, &e))?;
        if let Some(open) = self.open.take() {
            let synced = open
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)
                .and_then(|f| f.sync_all());
            let moved = synced.and_then(|()| fs::rename(&self.partial, &self.file));
            if let Err(e) = moved {
                let _ = fs::remove_file(&self.partial);
                return Err(cannot_write(&self.file, &e));
            }
        }
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.open.as_mut().map_or(Ok(bytes.len()), |open| open.write(bytes))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.open.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            // What is buffered is of no use to anybody.
            let (_, _) = open.into_parts();
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// What to say of a file that was not written.
pub fn cannot_write(file: &str, error: &dyn std::fmt::Display) -> Failure {
    let problem = Diagnostic::error("cli::write", format!("cannot write `{file}`: {error}"));
    problem.hint("nothing is left behind; the folder must exist and have room").into()
}

/// Whether Ctrl-C was pressed since this was first asked; a second press ends the program.
pub fn interrupted() -> bool {
    static PRESSED: OnceLock<&'static AtomicBool> = OnceLock::new();
    let pressed = PRESSED.get_or_init(|| {
        let pressed: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        // Without a handler Ctrl-C ends the program, which leaves no file either.
        let _ = ctrlc::set_handler(move || {
            if pressed.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        pressed
    });
    pressed.load(Ordering::SeqCst)
}

#[cfg(test)]
mod tests {
    use super::WholeFile;
    use std::io::Write;
    use std::path::Path;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/whole-file");
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("file");
        let name = path.to_str().expect("text");
        let _ = std::fs::remove_file(&path);
        let Ok(mut file) = WholeFile::begin(name) else { panic!("not begun") };
        file.write_all(b"half").expect("written");
        assert!(!path.exists(), "not there before its end");
        drop(file);
        assert!(!path.exists() && !folder.join("file.partial").exists(), "something is left");
        let Ok(mut file) = WholeFile::begin(name) else { panic!("not begun") };
        file.write_all(b"whole").expect("written");
        assert!(file.keep().is_ok());
        assert_eq!(std::fs::read(&path).expect("there"), b"whole");
        assert!(!folder.join("file.partial").exists());
        assert!(WholeFile::begin("/nowhere/at/all").is_err());
    }
}
