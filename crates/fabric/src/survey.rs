//! What a graph is like: size, ports, diameter, bisection.

use crate::graph::{Graph, NodeKind};
use std::collections::{BTreeMap, VecDeque};

/// Sources from which the diameter of a graph without symmetry is searched.
const SOURCES: u32 = 64;

/// Links of a kind of node at a level.
#[derive(Clone, Debug, PartialEq)]
pub struct PortUse {
    /// `chip`, or the switches' level.
    pub node: String,
    /// Nodes of that kind.
    pub nodes: u32,
    /// The level of the links.
    pub level: String,
    /// Fewest and most links of one node.
    pub links: (u32, u32),
    /// Rate of all of them, of the node with most. Bytes/s, one direction.
    pub bytes_per_s: f64,
}

/// Figures of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Chips alive.
    pub endpoints: u32,
    /// Switches.
    pub switches: u32,
    /// One-way links that carry something.
    pub links: usize,
    /// Most links on a shortest path between chips, and the longest time over one. Picoseconds.
    pub diameter: (u32, u64),
    /// Whether all chips were searched (else the diameter is a lower bound from some).
    pub diameter_is_exact: bool,
    /// Rate between the first and the second half of the chips. Bytes/s, one direction.
    pub bisection_bytes_per_s: f64,
    /// Ports by kind of node and level.
    pub ports: Vec<PortUse>,
}

/// Surveys a graph; `symmetric` if all chips are known to be alike.
pub fn survey(graph: &Graph, symmetric: bool) -> Survey {
    let alive: Vec<u32> = (0..graph.endpoints).filter(|e| !graph.is_dead(*e)).collect();
    let stride = (alive.len() as u32).div_ceil(SOURCES).max(1) as usize;
    let sources: Vec<u32> =
        if symmetric { vec![0] } else { alive.iter().copied().step_by(stride).collect() };
    let mut diameter = (0, 0);
    for &source in &sources {
        let (hops, time) = eccentricity(graph, source);
        diameter = (diameter.0.max(hops), diameter.1.max(time));
    }
    Survey {
        endpoints: alive.len() as u32,
        switches: graph.nodes() - graph.endpoints,
        links: graph.bytes_per_s.iter().filter(|b| **b > 0.0).count(),
        diameter,
        diameter_is_exact: symmetric || stride == 1,
        bisection_bytes_per_s: bisection(graph, &alive),
        ports: ports(graph),
    }
}

/// Hops and time to the farthest chip over shortest paths.
fn eccentricity(graph: &Graph, source: u32) -> (u32, u64) {
    let mut reached: Vec<Option<(u32, u64)>> = vec![None; graph.nodes() as usize];
    reached[source as usize] = Some((0, 0));
    let mut queue = VecDeque::from([source]);
    let mut far = (0, 0);
    while let Some(node) = queue.pop_front() {
        let Some((hops, time)) = reached[node as usize] else { continue };
        if node < graph.endpoints {
            far = (far.0.max(hops), far.1.max(time));
        }
        for link in graph.out(node).filter(|l| graph.bytes_per_s[*l] > 0.0) {
            let next = graph.to[link];
            if reached[next as usize].is_none() {
                reached[next as usize] = Some((hops + 1, time + graph.latency_ps(link)));
                queue.push_back(next);
            }
        }
    }
    far
}

/// Greatest flow from the first half of the chips to the second, switches placed at their best.
fn bisection(graph: &Graph, alive: &[u32]) -> f64 {
    // Each half is one node; switches stay. Direct links count in full.
    let half = alive.len() / 2;
    let mut side = vec![0_u8; graph.nodes() as usize];
    for (at, &chip) in alive.iter().enumerate() {
        side[chip as usize] = if at < half { 1 } else { 2 };
    }
    let first_switch = graph.endpoints;
    let index = |node: u32| match side[node as usize] {
        1 => 0,
        2 => 1,
        _ if node >= first_switch => 2 + node - first_switch,
        _ => u32::MAX,
    };
    let mut edges: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    let mut direct = 0.0;
    for link in 0..graph.links() {
        let (a, b) = (index(graph.from[link]), index(graph.to[link]));
        if a == b || a == u32::MAX || b == u32::MAX {
            continue;
        }
        if (a, b) == (0, 1) {
            direct += graph.bytes_per_s[link];
        } else if (a, b) != (1, 0) {
            *edges.entry((a, b)).or_default() += graph.bytes_per_s[link];
        }
    }
    direct + max_flow(2 + graph.nodes() - first_switch, &edges)
}

/// Greatest flow from node 0 to node 1 by shortest augmenting paths in layers (Dinic).
fn max_flow(nodes: u32, edges: &BTreeMap<(u32, u32), f64>) -> f64 {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); nodes as usize];
    let (mut to, mut room) = (Vec::new(), Vec::new());
    for (&(a, b), &capacity) in edges {
        for (from, target, capacity) in [(a, b, capacity), (b, a, 0.0)] {
            out[from as usize].push(to.len());
            to.push(target as usize);
            room.push(capacity);
        }
    }
    let least = edges.values().copied().fold(0.0, f64::max) * 1e-12;
    let mut total = 0.0;
    loop {
        let mut depth = vec![u32::MAX; nodes as usize];
        depth[0] = 0;
        let mut queue = VecDeque::from([0_usize]);
        while let Some(node) = queue.pop_front() {
            for &e in &out[node] {
                if room[e] > least && depth[to[e]] == u32::MAX {
                    depth[to[e]] = depth[node] + 1;
                    queue.push_back(to[e]);
                }
            }
        }
        if depth[1] == u32::MAX {
            return total;
        }
        let mut next = vec![0; nodes as usize];
        // Depth-first along layers, a path at a time.
        let mut path: Vec<usize> = Vec::new();
        loop {
            let node = path.last().map_or(0, |e| to[*e]);
            if node == 1 {
                let pushed = path.iter().map(|e| room[*e]).fold(f64::INFINITY, f64::min);
                total += pushed;
                for &e in &path {
                    room[e] -= pushed;
                    room[e ^ 1] += pushed;
                }
                path.clear();
                continue;
            }
            let mut forward = None;
            while let Some(&e) = out[node].get(next[node]) {
                if room[e] > least && depth[to[e]] == depth[node] + 1 {
                    forward = Some(e);
                    break;
                }
                next[node] += 1;
            }
            match (forward, path.pop()) {
                (Some(e), last) => {
                    path.extend(last);
                    path.push(e);
                }
                (None, Some(last)) => next[to[last ^ 1]] += 1,
                (None, None) => break,
            }
        }
    }
}

fn ports(graph: &Graph) -> Vec<PortUse> {
    let mut found: BTreeMap<(usize, u16), PortUse> = BTreeMap::new();
    for node in 0..graph.nodes() {
        if graph.is_dead(node) {
            continue;
        }
        let kind = match graph.kind(node) {
            NodeKind::Endpoint => 0,
            NodeKind::Switch(level) => level + 1,
        };
        let mut here: BTreeMap<u16, (u32, f64)> = BTreeMap::new();
        for link in graph.out(node).filter(|l| graph.bytes_per_s[*l] > 0.0) {
            let entry = here.entry(graph.label(link)).or_default();
            entry.0 += 1;
            entry.1 += graph.bytes_per_s[link];
        }
        for (label, (links, rate)) in here {
            let entry = found.entry((kind, label)).or_insert_with(|| PortUse {
                node: if kind == 0 { "chip".into() } else { graph.labels[kind - 1].clone() },
                nodes: 0,
                level: graph.labels[label as usize].clone(),
                links: (u32::MAX, 0),
                bytes_per_s: 0.0,
            });
            entry.nodes += 1;
            entry.links = (entry.links.0.min(links), entry.links.1.max(links));
            entry.bytes_per_s = entry.bytes_per_s.max(rate);
        }
    }
    found.into_values().collect()
}
