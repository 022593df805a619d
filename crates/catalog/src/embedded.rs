//! The files built into the program.

use diagnostic::{Diagnostic, Diagnostics, nearest};
use include_dir::{Dir, File, include_dir};
use std::sync::OnceLock;

static CATALOG: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../catalog");
static SCENARIOS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../scenarios");

/// What a catalog file describes; one folder each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `catalog/chips/*.toml`.
    Chip,
    /// `catalog/clusters/*.toml`.
    Cluster,
    /// `catalog/recipes/*.toml`.
    Recipe,
    /// `catalog/calibrations/*`.
    Calibration,
    /// `catalog/stacks/*.toml`.
    Stack,
    /// `catalog/models/*.json`.
    Model,
    /// `catalog/measurements/*.csv`.
    Measurements,
    /// `catalog/reliability/*.toml`.
    Reliability,
    /// `catalog/economics/*.toml`.
    Economics,
    /// `scenarios/*.toml`.
    Scenario,
    /// `scenarios/sets/*.toml`.
    Set,
}

impl Kind {
    /// The word for messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Chip => "chip",
            Self::Cluster => "cluster",
            Self::Recipe => "recipe",
            Self::Calibration => "calibration",
            Self::Stack => "stack",
            Self::Model => "model",
            Self::Measurements => "measurements",
            Self::Reliability => "reliability",
            Self::Economics => "economics",
            Self::Scenario => "scenario",
            Self::Set => "set",
        }
    }

    fn folder(self) -> Option<&'static Dir<'static>> {
        match self {
            Self::Chip => CATALOG.get_dir("chips"),
            Self::Cluster => CATALOG.get_dir("clusters"),
            Self::Recipe => CATALOG.get_dir("recipes"),
            Self::Calibration => CATALOG.get_dir("calibrations"),
            Self::Stack => CATALOG.get_dir("stacks"),
            Self::Model => CATALOG.get_dir("models"),
            Self::Measurements => CATALOG.get_dir("measurements"),
            Self::Reliability => CATALOG.get_dir("reliability"),
            Self::Economics => CATALOG.get_dir("economics"),
            Self::Scenario => Some(&SCENARIOS),
            Self::Set => SCENARIOS.get_dir("sets"),
        }
    }
}

/// Name and text of every file of `kind`, sorted by name; one that is not UTF-8 is left out.
pub fn files(kind: Kind) -> Vec<(&'static str, &'static str)> {
    static LISTS: [OnceLock<Vec<(&str, &str)>>; 11] = [const { OnceLock::new() }; 11];
    LISTS[kind as usize].get_or_init(|| list(kind)).clone()
}

fn list(kind: Kind) -> Vec<(&'static str, &'static str)> {
    let mut files: Vec<_> = kind
        .folder()
        .into_iter()
        .flat_map(Dir::files)
        .filter_map(|file| Some((name(file)?, file.contents_utf8()?)))
        .collect();
    files.sort_unstable();
    files
}

fn name(file: &'static File<'static>) -> Option<&'static str> {
    file.path().file_name()?.to_str().filter(|name| !name.starts_with('.'))
}

/// The file's name without its last ending: `deepseek-v3.2.json` is `deepseek-v3.2`.
fn stem(name: &'static str) -> &'static str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Ids of `kind`, sorted.
///
/// ```
/// assert!(catalog::ids(catalog::Kind::Chip).contains(&"h100"));
/// ```
pub fn ids(kind: Kind) -> Vec<&'static str> {
    let mut ids: Vec<_> = files(kind).into_iter().map(|(name, _)| stem(name)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Ids of the chips, sorted.
pub fn chip_ids() -> Vec<&'static str> {
    ids(Kind::Chip)
}

/// Ids of the clusters, sorted.
pub fn cluster_ids() -> Vec<&'static str> {
    ids(Kind::Cluster)
}

/// Ids of the recipes, sorted.
pub fn recipe_ids() -> Vec<&'static str> {
    ids(Kind::Recipe)
}

/// Ids of the models, sorted.
pub fn model_ids() -> Vec<&'static str> {
    ids(Kind::Model)
}

/// Ids of the scenarios, sorted.
pub fn scenario_ids() -> Vec<&'static str> {
    ids(Kind::Scenario)
}

/// The text of a built-in file, by id or by full file name.
pub fn text(kind: Kind, id: &str) -> Option<&'static str> {
    files(kind).into_iter().find(|(name, _)| *name == id || stem(name) == id).map(|(_, text)| text)
}

/// The text of `catalog/sources.toml`.
pub(crate) fn sources_text() -> &'static str {
    CATALOG.get_file("sources.toml").and_then(File::contents_utf8).unwrap_or("")
}

/// Values of the built-in files of one kind by id, each read when it is first asked for: the texts are
/// built in, so the values are constants.
pub(crate) struct Values<T>(Vec<(&'static str, OnceLock<Result<T, Diagnostics>>)>);

impl<T: Clone> Values<T> {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(ids(kind).into_iter().map(|id| (id, OnceLock::new())).collect())
    }

    /// The value of `id`, read by `read` if it was not yet.
    pub(crate) fn get(
        &self,
        id: &str,
        read: impl FnOnce() -> Result<T, Diagnostics>,
    ) -> Result<T, Diagnostics> {
        match self.0.iter().find(|(known, _)| *known == id) {
            Some((_, value)) => value.get_or_init(read).clone(),
            None => read(),
        }
    }
}

/// The problem of an id that no file of `kind` has, with the nearest and the list.
pub fn unknown_id(kind: Kind, id: &str) -> Diagnostic {
    let known = ids(kind);
    let list = known.join(", ");
    let hint = match nearest(id, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? known: {list}"),
        None => format!("known: {list}"),
    };
    Diagnostic::error("catalog::unknown", format!("no {} `{id}` in the catalog", kind.word()))
        .hint(hint)
}
