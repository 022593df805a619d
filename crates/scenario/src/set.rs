//! A set of runs and machines to compare: `scenarios/sets/*.toml`.

use catalog::Kind;
use catalog::toml_reader::{Item, Reader};
use diagnostic::Diagnostics;

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
        let runs = root.take_array("run").and_then(|items| {
            let read: Vec<_> = items.into_iter().map(run).collect();
            read.into_iter().collect::<Option<Vec<_>>>()
        });
        let machines = root.take_array("machine").and_then(|items| {
            let read: Vec<_> = items.into_iter().map(machine).collect();
            read.into_iter().collect::<Option<Vec<_>>>()
        });
        root.finish();
        Some(Set { name: name?, runs: runs?, machines: machines? })
    });
    reader.into_result(set)
}

fn run(item: Item<'_>) -> Option<(String, String)> {
    let mut table = item.into_table()?;
    let (name, scenario) = (table.take_str("name"), table.take_str("scenario"));
    table.finish();
    Some((name?, scenario?))
}

fn machine(item: Item<'_>) -> Option<(String, String, u64)> {
    let (reader, span) = (item.reader(), item.span());
    let mut table = item.into_table()?;
    let (name, cluster) = (table.take_str("name"), table.take_str("cluster"));
    let chips = table.take_positive("chips");
    table.finish();
    let cluster = cluster?;
    if catalog::text(Kind::Cluster, &cluster).is_none() {
        reader.report(catalog::unknown_id(Kind::Cluster, &cluster), span);
        return None;
    }
    Some((name?, cluster, chips?))
}
