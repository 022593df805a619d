//! `catalog/clusters/*.toml` to [`Cluster`].

use crate::chip::{chip, id_of, optional_figure};
use crate::embedded::{Kind, Values, text, unknown_id};
use crate::figure::{NOT_NEGATIVE, POSITIVE};
use crate::toml_reader::{Item, Reader, Table};
use crate::types::{Cabling, Chip, Cluster, Concurrent, Level, Wiring};
use diagnostic::{Diagnostic, Diagnostics};
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use units::Unit;

const WIRINGS: [(Wiring, &str); 3] =
    [(Wiring::FullMesh, "full-mesh"), (Wiring::Switch, "switch"), (Wiring::Torus, "torus")];

const CONCURRENT: [(Concurrent, &str); 3] = [
    (Concurrent::Never, "never"),
    (Concurrent::Beyond, "beyond"),
    (Concurrent::Anywhere, "anywhere"),
];

/// A fabric never has more bandwidth up than its own non-blocking part.
const OVERSUBSCRIPTION: RangeInclusive<f64> = 1.0..=1e6;

impl Wiring {
    /// The word used in files and output.
    pub fn word(self) -> &'static str {
        WIRINGS.iter().find(|(wiring, _)| *wiring == self).map_or("?", |(_, word)| word)
    }
}

/// The built-in cluster of that id.
///
/// ```
/// let pod = catalog::cluster("atlas-950-superpod").unwrap();
/// assert_eq!(pod.chips, 8192);
/// // Seven x4 ports of 56 GB/s to the other chips of the board.
/// assert_eq!(pod.levels[0].bandwidth.value, 392e9);
/// ```
///
/// # Errors
/// If there is none.
pub fn cluster(id: &str) -> Result<Cluster, Diagnostics> {
    static ALL: LazyLock<Values<Cluster>> = LazyLock::new(|| Values::new(Kind::Cluster));
    ALL.get(id, || match text(Kind::Cluster, id) {
        Some(text) => parse_cluster(&format!("catalog/clusters/{id}.toml"), text),
        None => Err(unknown_id(Kind::Cluster, id).into()),
    })
}

/// Reads a cluster file; its chip is one of the catalog.
///
/// # Errors
/// Every problem of the text, each with its place.
pub fn parse_cluster(file_name: &str, text: &str) -> Result<Cluster, Diagnostics> {
    let reader = Reader::new(file_name, text);
    let cluster = reader.root().and_then(|root| read(root, id_of(file_name)));
    reader.into_result(cluster)
}

fn read(mut root: Table<'_>, id: String) -> Option<Cluster> {
    let name = root.take_str("name");
    let chip = root.take("chip").and_then(read_chip);
    let chips = root.take_positive("chips");
    let chips_per_host =
        if root.has("chips_per_host") { root.take_positive("chips_per_host") } else { None };
    let overhead_power = optional_figure(&mut root, "overhead_power", Unit::Watt);
    let levels = root.take_array("level").and_then(|items| {
        let levels: Vec<_> = items.into_iter().map(read_level).collect();
        levels.into_iter().collect::<Option<Vec<_>>>()
    });
    let ports = if root.has("ports") { root.take_positive("ports") } else { None };
    let levels = levels
        .filter(|levels| check_levels(&root, levels, chips) && check_cabling(&root, levels, ports));
    root.finish();
    Some(Cluster {
        id,
        name: name?,
        chip: chip?,
        chips: chips?,
        levels: levels?,
        ports,
        chips_per_host,
        overhead_power,
    })
}

fn read_chip(item: Item<'_>) -> Option<Chip> {
    let (reader, span) = (item.reader(), item.span());
    let id = item.into_str()?;
    match chip(&id) {
        Ok(chip) => Some(chip),
        Err(_) if text(Kind::Chip, &id).is_none() => {
            reader.report(unknown_id(Kind::Chip, &id), span);
            None
        }
        Err(problems) => {
            reader.extend(problems);
            None
        }
    }
}

fn read_level(item: Item<'_>) -> Option<Level> {
    let mut table = item.into_table()?;
    let name = table.take_str("name");
    let wiring = table.take_word("wiring", &WIRINGS);
    let size = table.take_positive("size");
    let bandwidth = table.take_figure("bandwidth", Unit::BytePerSecond, &POSITIVE);
    let utilisation = table.take_figure("utilisation", Unit::Ratio, &(1e-3..=1.0));
    let latency = table.take_figure("latency", Unit::Second, &NOT_NEGATIVE);
    let oversubscription = table.take_figure("oversubscription", Unit::Ratio, &OVERSUBSCRIPTION);
    let in_network_reduction = table.take_bool("in_network_reduction");
    let reduction_channels = read_channels(&mut table);
    let cabling = read_cabling(&mut table);
    table.finish();
    Some(Level {
        name: name?,
        wiring: wiring?,
        size: size?,
        bandwidth: bandwidth?,
        utilisation: utilisation?,
        latency: latency?,
        oversubscription: oversubscription?,
        in_network_reduction: in_network_reduction?,
        reduction_channels: reduction_channels?,
        cabling: cabling?,
    })
}

/// `reduction_channels = [inside, beyond]`; zeros where the file does not say.
fn read_channels(table: &mut Table<'_>) -> Option<[u64; 2]> {
    if !table.has("reduction_channels") {
        return Some([0; 2]);
    }
    let span = table.span_of("reduction_channels");
    let items = table.take_array("reduction_channels")?;
    let read: Option<Vec<u64>> = items.into_iter().map(Item::into_u64).collect();
    match read?[..] {
        [inside, beyond] if (1..=64).contains(&inside) && (1..=64).contains(&beyond) => {
            Some([inside, beyond])
        }
        _ => {
            let message = "`reduction_channels` is not two numbers from 1 to 64";
            let problem = Diagnostic::error("catalog::channels", message)
                .hint("channels inside one instance, and where the group goes on beyond it");
            table.report(problem, span);
            None
        }
    }
}

fn read_cabling(table: &mut Table<'_>) -> Option<Cabling> {
    let mut cabling = Cabling::default();
    if table.has("planes") {
        cabling.planes = count(table, "planes")?;
    }
    if table.has("spines") {
        cabling.spines = count(table, "spines")?;
    }
    if table.has("ports") {
        cabling.ports = Some(count(table, "ports")?);
    }
    if table.has("trunk") {
        cabling.trunk = table.take_bool("trunk")?;
    }
    if table.has("rails") {
        cabling.rails = table.take_bool("rails")?;
    }
    if table.has("detour") {
        cabling.detour = table.take_bool("detour")?;
    }
    if table.has("borrow") {
        cabling.borrow = table.take_bool("borrow")?;
    }
    if table.has("concurrent") {
        cabling.concurrent = table.take_word("concurrent", &CONCURRENT)?;
    }
    if table.has("dims") {
        let items = table.take_array("dims")?;
        cabling.dims = items.into_iter().map(Item::into_u64).collect::<Option<_>>()?;
    }
    Some(cabling)
}

/// A number of ports or switches.
fn count(table: &mut Table<'_>, key: &str) -> Option<u64> {
    let span = table.span_of(key);
    let value = table.take_positive(key)?;
    if value > 4_096 {
        let problem = Diagnostic::error("catalog::cabling", format!("{value} {key} is absurd"))
            .hint("at most 4096");
        table.report(problem, span);
        return None;
    }
    Some(value)
}

/// Cabling that cannot be laid.
fn check_cabling(root: &Table<'_>, levels: &[Level], ports: Option<u64>) -> bool {
    let mut problems = Vec::new();
    let mut below = 1;
    for (at, level) in levels.iter().enumerate() {
        let (name, cabling, fan) = (&level.name, &level.cabling, level.size / below);
        below = level.size;
        let on_switches = at > 0 && levels[at - 1].wiring == Wiring::Switch;
        if cabling.trunk && (level.wiring != Wiring::Switch || !on_switches) {
            problems.push(format!("trunk `{name}` is not a switch level above another"));
        }
        if cabling.rails && (level.wiring != Wiring::Switch || at == 0 || cabling.trunk) {
            problems.push(format!("rails `{name}` are not a switch level above another level"));
        }
        if (cabling.detour || cabling.borrow) && level.wiring != Wiring::FullMesh {
            problems.push(format!("`{name}` is no full mesh to detour in or to borrow for"));
        }
        if cabling.borrow && !levels[at..].iter().any(|l| l.wiring == Wiring::Switch) {
            problems.push(format!("no switches above `{name}` to borrow"));
        }
        let mesh_below = levels[..at].iter().any(|l| l.wiring == Wiring::FullMesh);
        if cabling.concurrent != Concurrent::Never
            && (level.wiring != Wiring::Switch || cabling.trunk || !mesh_below)
        {
            problems.push(format!("`{name}` are no switches with ports beside a full mesh below"));
        }
        let product = cabling.dims.iter().try_fold(1_u64, |n, d| n.checked_mul(*d));
        let dimensions = cabling.dims.len();
        if dimensions > 0
            && (level.wiring != Wiring::Torus || product != Some(fan) || dimensions > 4)
        {
            problems.push(format!("`dims` of `{name}` are not those of a torus of {fan}"));
        }
        let links = match level.wiring {
            Wiring::FullMesh => fan - 1,
            Wiring::Torus => 2 * dimensions.max(1) as u64,
            Wiring::Switch => cabling.planes,
        };
        if cabling.ports.is_some_and(|p| links == 0 || p % links != 0) {
            problems.push(format!("the ports of `{name}` do not divide over its {links} links"));
        }
    }
    let used: u64 = levels.iter().filter_map(|l| l.cabling.ports).sum();
    if ports.is_some_and(|p| used > p) {
        let budget = ports.unwrap_or_default();
        problems.push(format!("the levels take {used} ports, a chip has {budget}"));
    }
    let legal = problems.is_empty();
    for message in problems {
        let problem = Diagnostic::error("catalog::cabling", message).hint(
            "`ports`, `planes`, `spines`, `trunk`, `rails`, `dims` and the rest are in the README",
        );
        root.report(problem, root.span_of("level"));
    }
    legal
}

/// Sizes grow by whole factors to the whole cluster, and no name is used twice.
fn check_levels(root: &Table<'_>, levels: &[Level], chips: Option<u64>) -> bool {
    let mut problems = Vec::new();
    for pair in levels.windows(2) {
        let (inner, outer) = (&pair[0], &pair[1]);
        if outer.size <= inner.size || outer.size % inner.size != 0 {
            problems.push(format!(
                "level `{}` of {} chips is not made of whole `{}` of {}",
                outer.name, outer.size, inner.name, inner.size
            ));
        }
    }
    for (i, level) in levels.iter().enumerate() {
        if levels[..i].iter().any(|earlier| earlier.name == level.name) {
            problems.push(format!("two levels are named `{}`", level.name));
        }
    }
    match (levels.last(), chips) {
        (None, _) => problems.push("a cluster needs at least one level".to_owned()),
        (Some(last), Some(chips)) if last.size != chips => problems.push(format!(
            "the last level `{}` holds {} chips, the cluster {chips}",
            last.name, last.size
        )),
        _ => {}
    }
    let legal = problems.is_empty();
    for message in problems {
        let hint = "levels stand innermost first; `size` counts all chips inside one of them";
        let problem = Diagnostic::error("catalog::levels", message).hint(hint);
        root.report(problem, root.span_of("level"));
    }
    legal
}
