//! A set of runs and machines to compare: `scenarios/sets/*.toml`.

use catalog::toml_reader::{Item, Reader, Table};
use catalog::{Cluster, Kind};
use diagnostic::{Diagnostic, Diagnostics};
use std::ops::Range;

/// Runs crossed with machines; the first machine is what others are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What it is called.
    pub name: String,
    /// Name and scenario of each run; its own cluster and plan only fill in switches.
    pub runs: Vec<(String, String)>,
    /// What is compared.
    pub machines: Vec<Machine>,
}

/// A machine of a [`Set`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What it is called in the answer.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Chips of it.
    pub chips: u64,
    /// Name and cluster of what stands for it where more chips are asked for than it has; without one it
    /// grows at its outermost level.
    pub larger: Option<(String, String)>,
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
        let machines = each(&mut root, "machine", 2, machine, |machine| &machine.name);
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

fn machine(item: Item<'_>) -> Option<Machine> {
    let reader = item.reader();
    let mut table = item.into_table()?;
    let (name, id) = (table.take_str("name"), table.take_str("cluster"));
    let chips = table.take_positive("chips");
    let (cluster_at, chips_at) = (table.span_of("cluster"), table.span_of("chips"));
    let larger_at = table.span_of("larger");
    let larger = if table.has("larger") { Some(named_cluster(&mut table)) } else { None };
    table.finish();
    let (name, id, chips) = (name?, id?, chips?);
    let cluster = cluster(reader, &id, cluster_at)?;
    if chips > cluster.chips {
        let message = format!("`{id}` has {} chips, not {chips}", cluster.chips);
        let problem = Diagnostic::error("scenario::set", message);
        reader.report(problem.hint("fewer chips, or another cluster"), chips_at);
        return None;
    }
    let Some(larger) = larger else {
        return Some(Machine { name, cluster: id, chips, larger: None });
    };
    let (joined, larger) = larger?;
    if larger.chips <= cluster.chips || larger.chip.id != cluster.chip.id {
        let message = format!("`{}` is no larger machine of `{id}`'s chips", larger.id);
        let problem = Diagnostic::error("scenario::set", message);
        reader.report(problem.hint("more chips of the same kind"), larger_at);
        return None;
    }
    Some(Machine { name, cluster: id, chips, larger: Some((joined, larger.id)) })
}

fn named_cluster(table: &mut Table<'_>) -> Option<(String, Cluster)> {
    let mut table = table.take_table("larger")?;
    let (name, id, at) =
        (table.take_str("name"), table.take_str("cluster"), table.span_of("cluster"));
    let reader = table.reader();
    table.finish();
    Some((name?, cluster(reader, &id?, at)?))
}

fn cluster(reader: &Reader<'_>, id: &str, at: Range<usize>) -> Option<Cluster> {
    if catalog::text(Kind::Cluster, id).is_none() {
        reader.report(catalog::unknown_id(Kind::Cluster, id), at);
        return None;
    }
    catalog::cluster(id).map_err(|problems| reader.extend(problems)).ok()
}
