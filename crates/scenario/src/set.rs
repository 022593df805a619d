//! A set of runs and machines to compare: `scenarios/sets/*.toml`.

use catalog::Kind;
use catalog::toml_reader::{Item, Reader, Table};
use diagnostic::{Diagnostic, Diagnostics};

/// Runs crossed with machines; the first machine is what others are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What it is called.
    pub name: String,
    /// Name and scenario of each run; its own cluster and plan only fill in switches.
    pub runs: Vec<(String, String)>,
    /// Name, cluster and chips of each machine.
    pub machines: Vec<(String, String, u64)>,
}

/// Reads a set.
///
/// # Errors
/// Every problem of the text, each with its place.
pub fn parse_set(file: &str, text: &str) -> Result<Set, Diagnostics> {
    let reader = Reader::new(file, text);
    let set = reader.root().and_then(|mut root| {
        let name = root.take_str("name");
        let runs = each(&mut root, "run", 1, run, |(name, _)| name);
        let machines = each(&mut root, "machine", 2, machine, |(name, _, _)| name);
        root.finish();
        Some(Set { name: name?, runs: runs?, machines: machines? })
    });
    reader.into_result(set)
}

/// Whether a text means to be a set.
pub fn is_set(text: &str) -> bool {
    text.lines().any(|l| ["[[run]]", "[[machine]]"].contains(&l.trim()))
}

/// Entries of one kind, `least` or more, each with a name of its own.
fn each<T>(
    root: &mut Table<'_>,
    key: &str,
    least: usize,
    read: fn(Item<'_>) -> Option<T>,
    name: fn(&T) -> &String,
) -> Option<Vec<T>> {
    let items = root.take_array(key)?;
    let reader = root.reader();
    if items.len() < least {
        let message = format!("{} of `[[{key}]]`: nothing to compare", items.len());
        let problem = Diagnostic::error("scenario::set", message);
        reader.report(problem.hint(format!("{least} or more")), root.span_of(key));
        return None;
    }
    let mut all: Vec<Option<T>> = Vec::new();
    for item in items {
        let span = item.span();
        let one = read(item);
        if let Some(one) = &one
            && all.iter().flatten().any(|known| name(known) == name(one))
        {
            let message = format!("`{}` is named twice", name(one));
            let problem = Diagnostic::error("scenario::set", message);
            reader.report(problem.hint("names tell entries apart in the answer"), span);
        }
        all.push(one);
    }
    all.into_iter().collect()
}

fn run(item: Item<'_>) -> Option<(String, String)> {
    let mut table = item.into_table()?;
    let (name, scenario) = (table.take_str("name"), table.take_str("scenario"));
    table.finish();
    Some((name?, scenario?))
}

fn machine(item: Item<'_>) -> Option<(String, String, u64)> {
    let reader = item.reader();
    let mut table = item.into_table()?;
    let (name, id) = (table.take_str("name"), table.take_str("cluster"));
    let chips = table.take_positive("chips");
    let (cluster_at, chips_at) = (table.span_of("cluster"), table.span_of("chips"));
    table.finish();
    let (name, id, chips) = (name?, id?, chips?);
    if catalog::text(Kind::Cluster, &id).is_none() {
        reader.report(catalog::unknown_id(Kind::Cluster, &id), cluster_at);
        return None;
    }
    let cluster = catalog::cluster(&id).map_err(|problems| reader.extend(problems)).ok()?;
    if chips > cluster.chips {
        let message = format!("`{id}` has {} chips, not {chips}", cluster.chips);
        let problem = Diagnostic::error("scenario::set", message);
        reader.report(problem.hint("fewer chips, or another cluster"), chips_at);
        return None;
    }
    Some((name, id, chips))
}
