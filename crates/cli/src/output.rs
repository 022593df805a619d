//! Data on stdout, talk on stderr.

use diagnostic::{Diagnostic, Diagnostics};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// An answer.
pub struct Done {
    /// For stdout.
    pub text: String,
    /// For stderr.
    pub notes: String,
    /// Whether the answer is yes.
    pub yes: bool,
}

/// Input at fault, with the texts it names.
pub struct Failure {
    /// Every problem.
    pub problems: Diagnostics,
    /// `(name in messages, text)`.
    pub texts: Vec<(String, String)>,
}

impl From<Diagnostic> for Failure {
    fn from(problem: Diagnostic) -> Self {
        Self { problems: problem.into(), texts: Vec::new() }
    }
}

/// The answer as it is, or written to `file` with a note that it was.
pub fn deliver(done: Done, file: Option<&str>) -> Result<Done, Failure> {
    let Some(file) = file else { return Ok(done) };
    crate::whole_file::write_file(file, done.text.as_bytes())?;
    Ok(Done { text: String::new(), notes: format!("{}wrote `{file}`\n", done.notes), ..done })
}

/// Whether a file's name ends in `.ending`, in whatever case.
pub fn ends_in(file: &str, ending: &str) -> bool {
    std::path::Path::new(file).extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// Prints an answer; a reader who has gone is no error.
pub fn print(done: &Done) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(done.text.as_bytes()).and_then(|()| out.flush());
    let _ = std::io::stderr().write_all(done.notes.as_bytes());
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(std::io::stderr(), "supernode: cannot write: {e}");
            ExitCode::from(2)
        }
        _ if done.yes => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}

/// Prints every problem.
pub fn fail(failure: &Failure) -> ExitCode {
    let text_of = |name: &str| {
        let read = failure.texts.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
        read.or_else(|| shipped(name))
    };
    let text = report::render(&failure.problems, &text_of);
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(2)
}

/// The text of a shipped file by its name in messages.
fn shipped(name: &str) -> Option<String> {
    use catalog::Kind;
    let stem = name.rsplit('/').next()?.rsplit_once('.')?.0;
    let kinds = [
        Kind::Chip,
        Kind::Cluster,
        Kind::Recipe,
        Kind::Calibration,
        Kind::Model,
        Kind::Reliability,
        Kind::Economics,
    ];
    kinds.iter().find_map(|&kind| {
        let folder = format!("catalog/{}", name.strip_prefix("catalog/")?);
        (folder == name).then(|| catalog::text(kind, stem)).flatten().map(str::to_owned)
    })
}
