//! Topologies as a line of text: `ring:4096@53.69GB/s,500ns`.

use crate::topology::{Layout, Level, Topology};
use diagnostic::{Diagnostic, nearest};
use units::{Unit, parse_quantity};

/// The kinds, for hints.
const KINDS: [&str; 7] = ["ring", "torus", "mesh", "switch", "clos", "rail", "dragonfly"];

/// Reads levels joined by `+`, innermost first, each `KIND:SIZE@RATE,LATENCY[,KEY=VALUE..]`.
///
/// `SIZE` is a number, or several joined by `x` for a torus or mesh of several dimensions and for a
/// Clos (hosts of a leaf, then leaves). `RATE` and `LATENCY` are one link's, one direction. Keys:
/// `ports` a link takes, `planes` of a switch, `spines` and `over` of a Clos; and for the whole,
/// `ack` (share of a flow's rate taken on the way back), `memory` (rate of local copies and
/// reductions), `endpoint` (time a message costs its endpoint), `budget` (ports of a chip).
///
/// ```
/// let ring = fabric::parse_topology("ring:8@53.69GB/s,500ns").unwrap();
/// assert_eq!(ring.endpoints(), 8);
/// let rack = fabric::parse_topology("mesh:8x8@56GB/s,1us+switch:128@56GB/s,1us,planes=4,budget=18");
/// assert_eq!(rack.unwrap().endpoints(), 8192);
/// assert!(fabric::parse_topology("ring:8").is_err());
/// ```
///
/// # Errors
/// What is wrong, with the part of the text.
pub fn parse_topology(text: &str) -> Result<Topology, Diagnostic> {
    let mut topology = Topology {
        name: text.to_owned(),
        levels: Vec::new(),
        acknowledgement: 0.0,
        memory_bytes_per_s: f64::INFINITY,
        endpoint_ps: 0,
        reduces: false,
        concurrent: None,
        port_budget: None,
    };
    let mut start = 0;
    for part in text.split('+') {
        let here = |e: Diagnostic| e.at(FILE, start..start + part.len());
        read_level(part, &mut topology).map_err(here)?;
        start += part.len() + 1;
    }
    Ok(topology)
}

/// The name of the text in messages.
pub const FILE: &str = "topology";

fn error(message: String) -> Diagnostic {
    Diagnostic::error("fabric::text", message)
        .hint("write KIND:SIZE@RATE,LATENCY, for example `ring:64@50GB/s,500ns`")
}

fn read_level(part: &str, topology: &mut Topology) -> Result<(), Diagnostic> {
    let (kind, rest) =
        part.split_once(':').ok_or_else(|| error(format!("`{part}` has no size")))?;
    let (size, rest) =
        rest.split_once('@').ok_or_else(|| error(format!("`{part}` has no rate")))?;
    let sizes = size.split('x').map(read_size).collect::<Result<Vec<u32>, _>>()?;
    let mut words = rest.split(',');
    let rate = words.next().unwrap_or_default();
    let link_bytes_per_s = quantity("rate", rate, Unit::BytePerSecond)?;
    if link_bytes_per_s <= 0.0 {
        return Err(error(format!("a rate of `{rate}` moves nothing")));
    }
    let latency = words.next().ok_or_else(|| error(format!("`{part}` has no latency")))?;
    let latency_ps = picoseconds("latency", latency)?;
    let mut options = Options { ports: 1, planes: 1, spines: 1, over: 1.0 };
    for word in words {
        read_option(word, &mut options, topology)?;
    }
    let names = topology.levels.len();
    let level = |index: usize, layout, fan| Level {
        name: if index == 0 { format!("{kind}{names}") } else { format!("{kind}{names}.{index}") },
        layout,
        fan,
        link_bytes_per_s,
        latency_ps,
        ports: options.ports,
    };
    let repeated = |layout: Layout| {
        sizes.iter().enumerate().map(|(i, s)| level(i, layout, *s)).collect::<Vec<_>>()
    };
    let one = |layout: Layout| match sizes[..] {
        [size] => Ok(vec![level(0, layout, size)]),
        _ => Err(error(format!("a {kind} has one size, not `{size}`"))),
    };
    let planes = options.planes;
    let levels = match kind {
        "ring" => one(Layout::Ring)?,
        "torus" => repeated(Layout::Ring),
        "mesh" => repeated(Layout::FullMesh),
        "switch" => one(Layout::Switch { planes })?,
        "rail" => one(Layout::Rail)?,
        "dragonfly" => one(Layout::Dragonfly)?,
        "clos" => {
            let [hosts, leaves] = sizes[..] else {
                return Err(error(format!("`{size}` is not hosts of a leaf x leaves"))
                    .hint("for example `clos:16x8@50GB/s,1us,spines=16`"));
            };
            let trunk = Layout::Trunk { spines: options.spines, oversubscription: options.over };
            vec![level(0, Layout::Switch { planes }, hosts), level(1, trunk, leaves)]
        }
        _ => {
            let hint = nearest(kind, KINDS).map_or_else(
                || format!("one of {}", KINDS.join(", ")),
                |k| format!("did you mean `{k}`?"),
            );
            return Err(error(format!("`{kind}` is no kind of level")).hint(hint));
        }
    };
    topology.levels.extend(levels);
    Ok(())
}

struct Options {
    ports: u32,
    planes: u32,
    spines: u32,
    over: f64,
}

fn read_option(word: &str, options: &mut Options, whole: &mut Topology) -> Result<(), Diagnostic> {
    let (key, value) =
        word.split_once('=').ok_or_else(|| error(format!("`{word}` is not KEY=VALUE")))?;
    match key {
        "ports" => options.ports = read_size(value)?,
        "planes" => options.planes = read_size(value)?,
        "spines" => options.spines = read_size(value)?,
        "budget" => whole.port_budget = Some(read_size(value)?),
        "over" => {
            options.over = quantity(key, value, Unit::Ratio)?;
            if options.over < 1.0 {
                return Err(error(format!("`over={value}` is less than 1")));
            }
        }
        "ack" => {
            whole.acknowledgement = quantity(key, value, Unit::Ratio)?;
            if whole.acknowledgement > 1.0 {
                return Err(error(format!("`ack={value}` is more than 1")));
            }
        }
        "memory" => {
            whole.memory_bytes_per_s = quantity(key, value, Unit::BytePerSecond)?;
            if whole.memory_bytes_per_s <= 0.0 {
                return Err(error("a memory rate of 0 moves nothing".to_owned()));
            }
        }
        "endpoint" => whole.endpoint_ps = picoseconds(key, value)?,
        _ => {
            let keys = ["ports", "planes", "spines", "budget", "over", "ack", "memory", "endpoint"];
            let hint = nearest(key, keys).map_or_else(
                || format!("one of {}", keys.join(", ")),
                |k| format!("did you mean `{k}`?"),
            );
            return Err(error(format!("`{key}` is no option")).hint(hint));
        }
    }
    Ok(())
}

fn read_size(text: &str) -> Result<u32, Diagnostic> {
    match text.parse::<u32>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(error(format!("`{text}` is no whole number from 1 to {}", u32::MAX))),
    }
}

fn quantity(what: &str, text: &str, unit: Unit) -> Result<f64, Diagnostic> {
    parse_quantity(text, unit).map_err(|e| error(format!("{what} `{text}`: {e}")))
}

/// A time of at most an hour.
fn picoseconds(what: &str, text: &str) -> Result<u64, Diagnostic> {
    let seconds = quantity(what, text, Unit::Second)?;
    if seconds > 3_600.0 {
        return Err(error(format!("a {what} of `{text}` is more than an hour")));
    }
    Ok((seconds * 1e12).round() as u64)
}
