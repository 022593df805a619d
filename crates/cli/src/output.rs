//! Data on stdout, talk on stderr.

use diagnostic::{Diagnostic, Diagnostics};
use report::plain;
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

impl From<Diagnostics> for Failure {
    fn from(problems: Diagnostics) -> Self {
        Self { problems, texts: Vec::new() }
    }
}

/// The answer as it is, or written to `file` with a note that it was.
pub fn deliver(done: Done, file: Option<&str>) -> Result<Done, Failure> {
    let Some(file) = file else { return Ok(done) };
    crate::whole_file::write_file(file, plain(&done.text).as_bytes())?;
    Ok(Done { text: String::new(), notes: format!("{}wrote `{file}`\n", done.notes), ..done })
}

/// Whether a file's name ends in `.ending`, in whatever case.
pub fn ends_in(file: &str, ending: &str) -> bool {
    std::path::Path::new(file).extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// Prints an answer; a reader who has gone is no error.
pub fn print(done: &Done) -> ExitCode {
    crate::progress::end();
    let written = write_out(&done.text);
    let _ = std::io::stderr().write_all(plain(&done.notes).as_bytes());
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(std::io::stderr(), "supernode: cannot write: {e}");
            ExitCode::from(2)
        }
        _ if done.yes => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}

fn write_out(text: &str) -> Result<(), std::io::Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(plain(text).as_bytes())?;
    out.flush()
}

/// Prints every problem; for a program that asked for JSON also as JSON on stdout, where it looks for an
/// answer.
pub fn fail(failure: &Failure, as_json: bool) -> ExitCode {
    crate::progress::end();
    let text_of = |name: &str| {
        let read = failure.texts.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
        read.or_else(|| shipped(name))
    };
    let text = report::render(&failure.problems, &text_of);
    let _ = std::io::stderr().write_all(plain(&text).as_bytes());
    if as_json {
        let value = report::problems_json(env!("CARGO_PKG_VERSION"), &failure.problems, &text_of);
        // A reader who has gone has the exit code.
        let _ = write_out(&crate::commands::json(&value));
    }
    ExitCode::from(2)
}

/// Prints what is wrong with the arguments, as [`fail`] does.
pub fn misused(wrong: &clap::Error, as_json: bool) -> ExitCode {
    let text = wrong.render().to_string();
    let _ = std::io::stderr().write_all(plain(&text).as_bytes());
    if as_json {
        let said = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
        let problems = Diagnostic::error("cli::arguments", said.replace('\n', " ")).into();
        let version = env!("CARGO_PKG_VERSION");
        let value = report::problems_json(version, &problems, &|_| None);
        let _ = write_out(&crate::commands::json(&value));
    }
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
        Kind::Stack,
        Kind::Model,
        Kind::Reliability,
        Kind::Economics,
    ];
    kinds.iter().find_map(|&kind| {
        let folder = format!("catalog/{}", name.strip_prefix("catalog/")?);
        (folder == name).then(|| catalog::text(kind, stem)).flatten().map(str::to_owned)
    })
}
