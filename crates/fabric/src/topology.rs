//! Topologies by composition: levels, innermost first, each joining instances of the level below.

use crate::graph::{Builder, Graph, Tier, Wire};
use diagnostic::Diagnostic;

/// Most endpoints a graph may have.
pub const MAX_ENDPOINTS: u64 = 1 << 20;
/// Most one-way links a graph may have.
const MAX_LINKS: u64 = 1 << 25;

/// How a level joins the instances of the level below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layout {
    /// Every endpoint to the endpoint at the same place of every other instance.
    FullMesh,
    /// Every endpoint to the ones at the same place of the next and the previous instance.
    Ring,
    /// Every endpoint to each of `planes` switches that span the level.
    Switch {
        /// Switches side by side; each endpoint has one port to each.
        planes: u32,
    },
    /// The switches of the level below to `spines` switches above them, in each plane. Endpoints
    /// have no ports of their own here.
    Trunk {
        /// Switches above, in each plane.
        spines: u32,
        /// Bandwidth down over bandwidth up.
        oversubscription: f64,
    },
    /// One switch for each place in the instances below (a rail).
    Rail,
    /// One link between every two instances (groups), spread over their endpoints.
    Dragonfly,
}

/// One level.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Name, for links and faults.
    pub name: String,
    /// How it joins.
    pub layout: Layout,
    /// Instances of the level below that it joins.
    pub fan: u32,
    /// Rate of one link. Bytes/s, one direction. Of a trunk: the rate of one endpoint in one plane
    /// without oversubscription; its links share out that of all endpoints below.
    pub link_bytes_per_s: f64,
    /// Time a byte takes over one link, switching included. Picoseconds.
    pub latency_ps: u64,
    /// Physical ports that one link of an endpoint takes.
    pub ports: u32,
}

/// A topology as composed.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// Name.
    pub name: String,
    /// Levels, innermost first.
    pub levels: Vec<Level>,
    /// Share of its own rate that a flow takes from the links of the way back, for
    /// acknowledgements and credits (SimGrid's `cross-traffic`, 0.05).
    pub acknowledgement: f64,
    /// Rate at which a rank copies or reduces what arrives. Bytes/s; infinite if it costs nothing.
    pub memory_bytes_per_s: f64,
    /// Time an endpoint takes to handle one message. Picoseconds.
    pub endpoint_ps: u64,
    /// Whether the switches of the innermost level reduce in flight.
    pub reduces: bool,
    /// Level of the innermost switches, where collectives use them at the same time as the full
    /// meshes below, and whether also those of groups inside the meshes.
    pub concurrent: Option<(usize, bool)>,
    /// Ports an endpoint has, if that is known.
    pub port_budget: Option<u32>,
}

impl Topology {
    /// Endpoints.
    pub fn endpoints(&self) -> u64 {
        self.levels.iter().map(|l| u64::from(l.fan)).product()
    }

    /// Ports an endpoint needs at each level.
    pub fn ports(&self) -> Vec<(String, u32)> {
        let mut below = 1;
        let mut out = Vec::new();
        for level in &self.levels {
            let links = match level.layout {
                Layout::FullMesh => level.fan - 1,
                Layout::Ring => {
                    if level.fan == 2 {
                        1
                    } else {
                        2.min(level.fan - 1)
                    }
                }
                Layout::Switch { planes } => planes,
                Layout::Trunk { .. } => 0,
                Layout::Rail => 1,
                Layout::Dragonfly => (level.fan - 1).div_ceil(below),
            };
            out.push((level.name.clone(), links.saturating_mul(level.ports)));
            below = below.saturating_mul(level.fan);
        }
        out
    }

    /// The graph.
    ///
    /// # Errors
    /// Too many endpoints or links, more ports than the budget has, a trunk over no switch.
    pub fn build(&self) -> Result<Graph, Diagnostic> {
        self.check()?;
        let fans: Vec<u32> = self.levels.iter().map(|l| l.fan).collect();
        let endpoints = self.endpoints() as u32;
        let mut graph = Builder::new(fans.clone());
        let mut below: Vec<Option<Tier>> = Vec::new();
        for (index, level) in self.levels.iter().enumerate() {
            let label = graph.label(&level.name);
            let wire =
                Wire { bytes_per_s: level.link_bytes_per_s, latency_ps: level.latency_ps, label };
            let tier = match level.layout {
                Layout::FullMesh => {
                    full_mesh(&mut graph, index, endpoints, wire);
                    None
                }
                Layout::Ring => {
                    ring(&mut graph, index, endpoints, wire);
                    None
                }
                Layout::Dragonfly => {
                    dragonfly(&mut graph, index, endpoints, wire);
                    None
                }
                Layout::Switch { planes } => {
                    Some(switch(&mut graph, index, planes, endpoints, wire))
                }
                Layout::Rail => Some(rail(&mut graph, index, endpoints, wire)),
                Layout::Trunk { spines, oversubscription } => {
                    let lower = below[index - 1].clone();
                    let planes = self.planes_at(index);
                    let inside: u32 = fans[..index].iter().product();
                    let total = level.link_bytes_per_s * f64::from(inside) / oversubscription;
                    lower.map(|t| trunk(&mut graph, index, &t, (planes, spines), total, wire))
                }
            };
            below.push(tier);
        }
        Ok(graph.freeze(endpoints))
    }

    /// Planes of the switches that carry level `index`.
    fn planes_at(&self, index: usize) -> u32 {
        self.levels[..=index]
            .iter()
            .rev()
            .find_map(|l| match l.layout {
                Layout::Switch { planes } => Some(planes),
                Layout::Trunk { .. } => None,
                _ => Some(1),
            })
            .unwrap_or(1)
    }

    fn check(&self) -> Result<(), Diagnostic> {
        let error = |message: String| Diagnostic::error("fabric::topology", message);
        let endpoints = self.levels.iter().try_fold(1_u64, |n, l| n.checked_mul(l.fan.into()));
        let endpoints = endpoints.filter(|n| *n <= MAX_ENDPOINTS).ok_or_else(|| {
            error(format!("more than {MAX_ENDPOINTS} endpoints"))
                .hint("a graph holds every link; larger clusters are answered by link classes")
        })?;
        if endpoints < 2 {
            return Err(error("a fabric joins at least two endpoints".to_owned()));
        }
        let (mut links, mut below, mut switches) = (0_u64, 1_u64, 0_u64);
        for (index, level) in self.levels.iter().enumerate() {
            let (outside, planes) = (endpoints / below, u64::from(self.planes_at(index)));
            below *= u64::from(level.fan);
            if let Layout::Trunk { spines, .. } = level.layout {
                let spines = planes.saturating_mul(spines.into());
                links = links.saturating_add(
                    outside.saturating_mul(switches / planes).saturating_mul(2 * spines),
                );
                switches = spines;
            } else {
                switches = planes;
            }
            if matches!(level.layout, Layout::Trunk { .. }) {
                let on_switches = index > 0
                    && matches!(
                        self.levels[index - 1].layout,
                        Layout::Switch { .. } | Layout::Trunk { .. }
                    );
                if !on_switches {
                    return Err(error(format!("trunk `{}` stands on no switch", level.name))
                        .hint("a trunk joins the switches of the level just below"));
                }
            }
        }
        for (name, ports) in self.ports() {
            let level = self.levels.iter().find(|l| l.name == name);
            let each = u64::from(ports / level.map_or(1, |l| l.ports.max(1)));
            links = links.saturating_add(endpoints.saturating_mul(2 * each));
        }
        if links > MAX_LINKS {
            return Err(error(format!("{links} links, more than {MAX_LINKS}"))
                .hint("a full mesh of n members has n (n - 1) links"));
        }
        let used = self.ports().iter().fold(0_u32, |sum, p| sum.saturating_add(p.1));
        match self.port_budget {
            Some(budget) if used > budget => {
                let list: Vec<String> =
                    self.ports().iter().map(|(n, p)| format!("{p} for `{n}`")).collect();
                Err(Diagnostic::error(
                    "fabric::ports",
                    format!("{used} ports a chip, the budget is {budget}"),
                )
                .hint(list.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

/// Endpoints inside one instance of level `index`'s level below.
fn stride(graph: &Builder, index: usize) -> u32 {
    graph.fans[..index].iter().product()
}

fn full_mesh(graph: &mut Builder, index: usize, endpoints: u32, wire: Wire) {
    let (step, fan) = (stride(graph, index), graph.fans[index]);
    let base = graph.laid();
    graph.reserve((fan - 1) as usize * endpoints as usize);
    for a in 0..endpoints {
        let mine = a / step % fan;
        // By distance, so that the order of links is the same seen from every member.
        for ahead in 1..fan {
            let b = a - mine * step + (mine + ahead) % fan * step;
            graph.link((a, b), wire, base + b * (fan - 1) + fan - ahead - 1);
        }
    }
}

fn ring(graph: &mut Builder, index: usize, endpoints: u32, wire: Wire) {
    let (step, fan) = (stride(graph, index), graph.fans[index]);
    let base = graph.laid();
    // Forward links first: ties between the two ways round are then broken alike everywhere.
    let hops: &[u32] = match fan {
        0 | 1 => &[],
        2 => &[1],
        _ => &[1, fan - 1],
    };
    graph.reserve(hops.len() * endpoints as usize);
    for (round, &ahead) in hops.iter().enumerate() {
        let other = base + endpoints * ((hops.len() - 1 - round) as u32);
        for a in 0..endpoints {
            let mine = a / step % fan;
            let b = a - mine * step + (mine + ahead) % fan * step;
            graph.link((a, b), wire, other + b);
        }
    }
}

fn dragonfly(graph: &mut Builder, index: usize, endpoints: u32, wire: Wire) {
    let (step, fan) = (stride(graph, index), graph.fans[index]);
    let base = graph.laid();
    for g in 0..endpoints / step {
        let mine = g % fan;
        for ahead in 1..fan {
            let h = g - mine + (mine + ahead) % fan;
            let a = g * step + (ahead - 1) % step;
            let b = h * step + (fan - ahead - 1) % step;
            graph.link((a, b), wire, base + h * (fan - 1) + fan - ahead - 1);
        }
    }
}

fn switch(graph: &mut Builder, index: usize, planes: u32, endpoints: u32, wire: Wire) -> Tier {
    let tier = graph.tier(index, |level| level > index, planes);
    for a in 0..endpoints {
        for plane in 0..planes {
            let b = graph.node(&tier, a, plane);
            graph.pair(a, b, wire);
        }
    }
    tier
}

fn rail(graph: &mut Builder, index: usize, endpoints: u32, wire: Wire) -> Tier {
    let tier = graph.tier(index, |level| level != index, 1);
    for a in 0..endpoints {
        let b = graph.node(&tier, a, 0);
        graph.pair(a, b, wire);
    }
    tier
}

fn trunk(
    graph: &mut Builder,
    index: usize,
    lower: &Tier,
    (planes, spines): (u32, u32),
    total: f64,
    wire: Wire,
) -> Tier {
    let tier = graph.tier(index, |level| level > index, planes * spines);
    let below = lower.copies / planes;
    let rate = total / f64::from(below * spines);
    for instance in graph.instances(lower) {
        for plane in 0..planes {
            for low in 0..below {
                for spine in 0..spines {
                    let a = graph.node(lower, instance, plane * below + low);
                    let b = graph.node(&tier, instance, plane * spines + spine);
                    graph.pair(a, b, Wire { bytes_per_s: rate, ..wire });
                }
            }
        }
    }
    tier
}
