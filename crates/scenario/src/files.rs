//! The files that a scenario names. A relative path is taken from the folder of the file that says
//! it, so that a folder of files can be moved; what `--set` says is said from the working directory.

use diagnostic::{Diagnostic, Diagnostics};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use toml_edit::Value;

/// Reads a file that a scenario names; the error is a sentence.
pub type ReadFile<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// Keys of a scenario whose value may be a path.
pub const NAMING: [&str; 7] = [
    "model",
    "recipe",
    "cluster",
    "calibration",
    "stack",
    "campaign.reliability",
    "campaign.economics",
];

/// Whether a value names a file rather than an id of the catalog.
pub fn is_path(value: &str) -> bool {
    value.contains('/')
        || [".toml", ".json"].iter().any(|ending| value.to_ascii_lowercase().ends_with(ending))
}

/// Where `path` is when `file` says it. What is read from a device or a pipe has no folder of its own:
/// there it is the working directory.
///
/// ```
/// assert_eq!(scenario::beside("runs/mine.toml", "recipe.toml"), "runs/recipe.toml");
/// assert_eq!(scenario::beside("mine.toml", "recipe.toml"), "recipe.toml");
/// assert_eq!(scenario::beside("/dev/fd/63", "recipe.toml"), "recipe.toml");
/// ```
pub fn beside(file: &str, path: &str) -> String {
    let piped = ["/dev/", "/proc/"].iter().any(|root| file.starts_with(root));
    let folder = Path::new(file).parent().filter(|_| !piped).unwrap_or(Path::new(""));
    // Without the `.` of `./recipe.toml`, which would stand in the middle.
    let whole: PathBuf = folder.join(path).components().collect();
    whole.to_string_lossy().into_owned()
}

/// `KEY=VALUE` pairs as they stand in `file`, a study say, with the paths they name as `--set` takes them.
pub fn moved(file: &str, pairs: &[(String, String)]) -> Vec<(String, String)> {
    let one = |(key, value): &(String, String)| {
        let parsed = value.parse::<Value>().ok();
        let text = parsed.as_ref().and_then(Value::as_str).unwrap_or(value);
        let names = NAMING.contains(&key.as_str()) && is_path(text);
        let value = if names { Value::from(beside(file, text)).to_string() } else { value.clone() };
        (key.clone(), value)
    };
    pairs.iter().map(one).collect()
}

/// The files of one scenario.
pub(crate) struct Files<'a> {
    /// The scenario's own name.
    file: &'a str,
    /// What `--set` changes.
    given: &'a [(String, String)],
    read: &'a ReadFile<'a>,
    named: RefCell<Vec<(String, String)>>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(
        file: &'a str,
        given: &'a [(String, String)],
        read: &'a ReadFile<'a>,
    ) -> Self {
        Self { file, given, read, named: RefCell::default() }
    }

    /// Path from the working directory, and text, of the file that `key` names.
    pub(crate) fn text(&self, key: &str, value: &str) -> Result<(String, String), Diagnostics> {
        let of =
            |set: &str| key.strip_prefix(set).is_some_and(|r| r.is_empty() || r.starts_with('.'));
        let given = self.given.iter().any(|(set, _)| of(set));
        let path = if given { value.to_owned() } else { beside(self.file, value) };
        let text = (self.read)(&path).map_err(|message| {
            let problem = Diagnostic::error("scenario::file", message);
            if path == value {
                return problem;
            }
            problem.hint(format!(
                "`{value}` is taken from the folder of `{}`, which names it",
                self.file
            ))
        })?;
        self.named.borrow_mut().push((key.to_owned(), path.clone()));
        Ok((path, text))
    }

    /// Every key that named a file, with its path from the working directory.
    pub(crate) fn named(self) -> Vec<(String, String)> {
        self.named.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::moved;
    use crate::load;

    const TEXT: &str = "name = \"x\"\nmodel = \"m/config.json\"\nrecipe = \"./r.toml\"\n\
                        cluster = \"/c.toml\"\n[campaign]\neconomics = \"e.toml\"\n[plan]\n";

    /// What is asked for, in order; nothing is there.
    fn asked(file: &str, set: &[(&str, &str)]) -> Vec<String> {
        let seen = std::cell::RefCell::new(Vec::new());
        let read = |path: &str| {
            seen.borrow_mut().push(path.to_owned());
            Err("no".to_owned())
        };
        let set: Vec<_> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert!(load(file, TEXT, &set, &read).is_err());
        seen.into_inner()
    }

    #[test]
    fn paths_are_taken_from_the_file_that_says_them() {
        let here = ["m/config.json", "./r.toml", "/c.toml", "e.toml"];
        assert_eq!(asked("s.toml", &[]), here);
        assert_eq!(asked("/dev/fd/63", &[]), here);
        assert_eq!(asked("a/s.toml", &[]), ["a/m/config.json", "a/r.toml", "/c.toml", "a/e.toml"]);
        let set = [("recipe", "r2.toml"), ("campaign.economics", "\"e2.toml\"")];
        assert_eq!(asked("a/s.toml", &set), ["a/m/config.json", "r2.toml", "/c.toml", "e2.toml"]);
    }

    #[test]
    fn a_studys_changes_are_said_in_the_study() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let said = [
            pair("recipe", "r.toml"),
            pair("model", "\"../m.json\""),
            pair("cluster", "dgx-h100"),
            pair("plan.tensor", "8"),
        ];
        let meant = [
            pair("recipe", "\"a/r.toml\""),
            pair("model", "\"a/../m.json\""),
            pair("cluster", "dgx-h100"),
            pair("plan.tensor", "8"),
        ];
        assert_eq!(moved("a/study.toml", &said), meant);
    }
}
