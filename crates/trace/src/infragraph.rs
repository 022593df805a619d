//! InfraGraph (YAML or JSON): devices of components and edges, instances of devices, edges between
//! them, as a graph of links on which programs run.
//!
//! Ranks are the components of choice `xpu`, in order of instances and then of their number. Slices
//! are Python's (`nic[0:4]`); `one2one` pairs two ends in order, `many2many` joins all with all, `ring`
//! each with the next. A component of choice `device` is a device inside a device, named `device`
//! at an end (`cx5[0:2]`) or before a dot in an infrastructure's component (`cx5[0].port[0]`).
//! Edges carry both ways. A link without bandwidth or latency is a problem only for what uses it.

use crate::place::yaml;
use crate::program::shortened;
use diagnostic::{Diagnostic, Diagnostics};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Deserialize)]
struct RawInfrastructure {
    #[serde(default)]
    name: String,
    devices: Vec<RawDevice>,
    #[serde(default)]
    links: Vec<RawLink>,
    instances: Vec<RawInstance>,
    #[serde(default)]
    edges: Vec<RawEdge>,
}

#[derive(Deserialize)]
struct RawDevice {
    name: String,
    components: Vec<RawComponent>,
    #[serde(default)]
    links: Vec<RawLink>,
    #[serde(default)]
    edges: Vec<RawEdge>,
}

#[derive(Deserialize)]
struct RawComponent {
    name: String,
    count: u64,
    choice: String,
}

#[derive(Deserialize)]
struct RawLink {
    name: String,
    #[serde(default)]
    physical: Option<RawPhysical>,
}

#[derive(Deserialize, Default)]
struct RawPhysical {
    #[serde(default)]
    bandwidth: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    latency: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct RawInstance {
    name: String,
    device: String,
    count: u64,
}

#[derive(Deserialize)]
struct RawEdge {
    ep1: RawEnd,
    ep2: RawEnd,
    #[serde(default)]
    scheme: Option<String>,
    link: String,
}

#[derive(Deserialize)]
struct RawEnd {
    #[serde(default)]
    instance: Option<String>,
    #[serde(default)]
    device: Option<String>,
    component: String,
}

/// One kind of link.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Rate, one direction, if the file gives one in bits or bytes. Bytes/s.
    pub bytes_per_s: Option<f64>,
    /// Latency, if the file gives one. Picoseconds.
    pub latency_ps: Option<u64>,
}

/// The graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InfraGraph {
    /// Its name.
    pub name: String,
    /// Nodes in all.
    pub nodes: u32,
    /// Nodes of the ranks.
    pub ranks: Vec<u32>,
    /// Kinds of links.
    pub links: Vec<Link>,
    /// Both ends and the kind of each edge.
    pub edges: Vec<(u32, u32, u32)>,
}

/// Most nodes and edges of a graph.
const MOST_NODES: u64 = 1 << 20;
const MOST_EDGES: usize = 1 << 22;
/// Most parts and edges of devices laid, however small they are.
const MOST_LAID: u64 = 1 << 22;
/// Deepest device in a device.
const DEEPEST: usize = 8;

/// Whether a text looks like an infrastructure.
pub fn is_infrastructure(text: &str) -> bool {
    text.contains("instances") && text.contains("devices") && text.contains("components")
}

/// Reads an infrastructure.
///
/// # Errors
/// What is missing, unknown or too large, by name.
pub fn read(file: &str, text: &str) -> Result<InfraGraph, Diagnostics> {
    let raw: RawInfrastructure = yaml("trace::infragraph", file, text)?;
    let mut builder =
        Builder { raw: &raw, graph: InfraGraph::default(), places: BTreeMap::new(), laid: 0 };
    builder.build().map_err(|(what, word)| {
        let at = if word.is_empty() { None } else { text.find(&word) };
        let span = at.map_or(0..0, |a| a..a + word.len());
        Diagnostics::from(Diagnostic::error("trace::infragraph", what).at(file, span))
    })?;
    Ok(builder.graph)
}

/// A problem and the word of the file that it is about.
type Fault = (String, String);

fn fault<T>(what: String, word: &str) -> Result<T, Fault> {
    Err((what, word.to_owned()))
}

/// Nodes of the components of one device, by name: first node and count, or devices inside it.
#[derive(Clone, Debug)]
enum Part {
    Nodes(Range<u32>),
    Devices(Vec<Placed>),
}

type Placed = BTreeMap<String, Part>;

struct Builder<'a> {
    raw: &'a RawInfrastructure,
    graph: InfraGraph,
    places: BTreeMap<String, Vec<Placed>>,
    /// Parts and edges of devices laid so far.
    laid: u64,
}

/// `name[a:b]`, `name[a]` or `name`: the name and what of `count` it picks.
fn slice(
    text: &str,
    count: impl Fn(&str) -> Result<u64, Fault>,
) -> Result<(&str, Range<u64>), Fault> {
    let (name, picked) = match text.split_once('[') {
        None => (text, None),
        Some((name, rest)) => match rest.strip_suffix(']') {
            Some(inner) => (name, Some(inner)),
            None => return fault(format!("`{}` is not a slice", shortened(text)), text),
        },
    };
    let count = count(name)?;
    let number = |word: &str, default: u64| match word.trim() {
        "" => Ok(default),
        word => word
            .parse::<u64>()
            .or_else(|_| fault(format!("`{}` is not a slice", shortened(text)), text)),
    };
    let range = match picked {
        None => 0..count,
        Some(inner) => match inner.split_once(':') {
            None => {
                let one = number(inner, 0)?;
                one..one.saturating_add(1)
            }
            Some((from, to)) => number(from, 0)?..number(to, count)?,
        },
    };
    if range.end > count || range.is_empty() {
        return fault(format!("`{}` picks beyond the {count} there are", shortened(text)), text);
    }
    Ok((name, range))
}

impl Builder<'_> {
    fn build(&mut self) -> Result<(), Fault> {
        self.graph.name.clone_from(&self.raw.name);
        let shared = self.links(&self.raw.links)?;
        for instance in &self.raw.instances {
            if instance.count > MOST_NODES {
                return fault(
                    format!("{} instances of `{}`", instance.count, instance.name),
                    &instance.name,
                );
            }
            let mut placed = Vec::new();
            for _ in 0..instance.count {
                placed.push(self.device(&instance.device, 0)?);
            }
            self.places.insert(instance.name.clone(), placed);
        }
        for edge in &self.raw.edges {
            let (from, to) = (self.outer(&edge.ep1)?, self.outer(&edge.ep2)?);
            self.join(edge, &from, &to, &shared)?;
        }
        if self.graph.ranks.is_empty() {
            return fault(
                "no component of choice `xpu` is in any instance".to_owned(),
                "instances",
            );
        }
        Ok(())
    }

    /// Adds links; their numbers by name.
    fn links(&mut self, raw: &[RawLink]) -> Result<BTreeMap<String, u32>, Fault> {
        let mut numbers = BTreeMap::new();
        for link in raw {
            let made = Link {
                name: link.name.clone(),
                bytes_per_s: bandwidth(link)?,
                latency_ps: latency(link)?,
            };
            // Instances of one device share its links.
            let known = self.graph.links.iter().position(|l| *l == made);
            let number = known.unwrap_or(self.graph.links.len());
            if known.is_none() {
                self.graph.links.push(made);
            }
            numbers.insert(link.name.clone(), number as u32);
        }
        Ok(numbers)
    }

    /// One more device of that name.
    fn device(&mut self, name: &str, depth: usize) -> Result<Placed, Fault> {
        let Some(device) = self.raw.devices.iter().find(|d| d.name == name) else {
            return fault(format!("there is no device `{}`", shortened(name)), name);
        };
        self.laid += 1 + device.components.len() as u64 + device.edges.len() as u64;
        if self.laid > MOST_LAID {
            return fault(format!("too many devices, at `{}`", shortened(name)), name);
        }
        if depth > DEEPEST {
            return fault(format!("device `{}` is inside itself", shortened(name)), name);
        }
        let mut placed = Placed::new();
        for component in &device.components {
            if component.count.saturating_add(u64::from(self.graph.nodes)) > MOST_NODES {
                let what =
                    format!("more than {MOST_NODES} nodes, at `{}`", shortened(&component.name));
                return fault(what, &component.name);
            }
            let part = if component.choice == "device" {
                let inner = (0..component.count).map(|_| self.device(&component.name, depth + 1));
                Part::Devices(inner.collect::<Result<_, _>>()?)
            } else {
                let first = self.graph.nodes;
                self.graph.nodes += component.count as u32;
                let nodes = first..self.graph.nodes;
                if component.choice == "xpu" {
                    self.graph.ranks.extend(nodes.clone());
                }
                Part::Nodes(nodes)
            };
            placed.insert(component.name.clone(), part);
        }
        let links = self.links(&device.links)?;
        for edge in &device.edges {
            let end = |end: &RawEnd| match &end.device {
                None => pick(&placed, &end.component),
                Some(inner) => pick(&placed, &format!("{inner}.{}", end.component)),
            };
            let (from, to) = (end(&edge.ep1)?, end(&edge.ep2)?);
            self.join(edge, &from, &to, &links)?;
        }
        Ok(placed)
    }

    /// The nodes of an infrastructure's end, instance by instance.
    fn outer(&self, end: &RawEnd) -> Result<Vec<u32>, Fault> {
        let Some(instance) = &end.instance else {
            return fault("an edge of the infrastructure names no instance".to_owned(), "edges");
        };
        let known = |name: &str| match self.places.get(name) {
            Some(list) => Ok(list.len() as u64),
            None => fault(format!("there is no instance `{}`", shortened(name)), name),
        };
        let (name, range) = slice(instance, known)?;
        let list = &self.places[name][range.start as usize..range.end as usize];
        let mut nodes = Vec::new();
        for placed in list {
            nodes.extend(pick(placed, &end.component)?);
        }
        Ok(nodes)
    }

    fn join(
        &mut self,
        edge: &RawEdge,
        from: &[u32],
        to: &[u32],
        links: &BTreeMap<String, u32>,
    ) -> Result<(), Fault> {
        let Some(&link) = links.get(&edge.link) else {
            return fault(format!("there is no link `{}` here", shortened(&edge.link)), &edge.link);
        };
        let scheme = edge.scheme.as_deref().unwrap_or("one2one");
        let many = from.len().saturating_mul(to.len());
        let adds = if scheme == "many2many" { many } else { from.len() };
        if self.graph.edges.len().saturating_add(adds) > MOST_EDGES {
            return fault(
                format!("more than {MOST_EDGES} edges, at link `{}`", edge.link),
                &edge.link,
            );
        }
        let edges = &mut self.graph.edges;
        match scheme {
            "one2one" if from.len() == to.len() => {
                edges.extend(from.iter().zip(to).map(|(a, b)| (*a, *b, link)));
            }
            "one2one" => {
                let what =
                    format!("one2one of {} and {} ends over `{}`", from.len(), to.len(), edge.link);
                return fault(what, &edge.link);
            }
            // Each pair once.
            "many2many" if from == to => {
                for (k, &a) in from.iter().enumerate() {
                    edges.extend(to[k + 1..].iter().map(|b| (a, *b, link)));
                }
            }
            "many2many" => {
                for &a in from {
                    edges.extend(to.iter().filter(|b| **b != a).map(|b| (a, *b, link)));
                }
            }
            "ring" => {
                let next = (1..from.len()).chain([0]);
                let pairs = from.iter().zip(next).map(|(a, n)| (*a, from[n], link));
                let whole = if from.len() == 2 { 1 } else { from.len() };
                edges.extend(pairs.take(whole).filter(|(a, b, _)| a != b));
            }
            other => {
                return fault(format!("scheme `{}` is not known", shortened(other)), other);
            }
        }
        Ok(())
    }
}

/// The nodes of `component[a:b]`, or of `device[a:b].component[c:d]`.
fn pick(placed: &Placed, text: &str) -> Result<Vec<u32>, Fault> {
    let (here, inner) = match text.split_once('.') {
        Some((here, inner)) => (here, Some(inner)),
        None => (text, None),
    };
    let count = |name: &str| match placed.get(name) {
        Some(Part::Nodes(nodes)) => Ok(u64::from(nodes.end - nodes.start)),
        Some(Part::Devices(list)) => Ok(list.len() as u64),
        None => fault(format!("there is no component `{}`", shortened(name)), name),
    };
    let (name, range) = slice(here, count)?;
    match (placed.get(name), inner) {
        (Some(Part::Nodes(nodes)), None) => {
            Ok((nodes.start + range.start as u32..nodes.start + range.end as u32).collect())
        }
        (Some(Part::Devices(list)), Some(inner)) => {
            let mut out = Vec::new();
            for device in &list[range.start as usize..range.end as usize] {
                out.extend(pick(device, inner)?);
            }
            Ok(out)
        }
        _ => fault(format!("`{}` does not name components", shortened(text)), text),
    }
}

/// A value of a `choice` of units.
fn chosen(
    link: &RawLink,
    of: impl Fn(&RawPhysical) -> &BTreeMap<String, serde_json::Value>,
    units: &[(&str, f64)],
) -> Result<Option<f64>, Fault> {
    let Some(physical) = &link.physical else { return Ok(None) };
    for (word, scale) in units {
        let Some(value) = of(physical).get(*word) else { continue };
        return match value.as_f64().filter(|v| v.is_finite() && *v >= 0.0 && *v < 1e12) {
            Some(v) => Ok(Some(v * scale)),
            None => {
                fault(format!("`{word}` of link `{}` is no amount", shortened(&link.name)), word)
            }
        };
    }
    Ok(None)
}

/// Transfers a second are no rate: how wide one is, the file does not say.
fn bandwidth(link: &RawLink) -> Result<Option<f64>, Fault> {
    let units = [("gigabits_per_second", 1e9 / 8.0), ("gigabytes_per_second", 1e9)];
    chosen(link, |p| &p.bandwidth, &units)
}

fn latency(link: &RawLink) -> Result<Option<u64>, Fault> {
    let units = [("ms", 1e9), ("us", 1e6), ("ns", 1e3)];
    Ok(chosen(link, |p| &p.latency, &units)?.map(|ps| ps as u64))
}
