//! What a scheme takes at least, from its steps alone: no routes are looked for.

use crate::on_graph::handling_ps;
use crate::steps::{Pattern, Placed};
use fabric::{Graph, Network, NodeKind};

/// Least time of steps one after another. Picoseconds.
///
/// Every node, and every instance of a level (a host, a rack), sends no faster than all its links to the
/// outside together, and receives no faster; then the message is handled. No route does better, so a
/// scheme whose least time is beaten need not be laid out.
pub(crate) fn least_ps(network: &Network, patterns: &[Pattern]) -> u64 {
    let bounds = Bounds::of(network.graph());
    patterns.iter().fold(0, |sum: u64, p| sum.saturating_add(bounds.steps_ps(network, p)))
}

/// The same for everyone sending `bytes` to everyone, `rounds` times; without listing the pairs.
pub(crate) fn least_of_all_pairs_ps(
    network: &Network,
    group: &Placed,
    bytes: f64,
    rounds: u64,
) -> u64 {
    let bounds = Bounds::of(network.graph());
    let n = group.members.len() as f64;
    let slowest = bounds.cuts.iter().map(|cut| {
        let mut inside = vec![0.0; cut.bytes_per_s.len()];
        for chip in &group.members {
            inside[cut.instance(*chip)] += 1.0;
        }
        cut.seconds(inside.iter().map(|k| k * (n - k) * bytes))
    });
    rounds.saturating_mul(picoseconds(slowest.fold(0.0, f64::max)))
}

/// A billionth less, so that rounding rules nothing out.
fn picoseconds(seconds: f64) -> u64 {
    (seconds * (1.0 - 1e-9) * 1e12) as u64
}

/// The instances of a level, each a range of chips with what is inside.
struct Cut {
    /// Chips of each.
    size: u32,
    /// All links from each to the outside together. Bytes/s.
    bytes_per_s: Vec<f64>,
}

impl Cut {
    fn instance(&self, chip: u32) -> usize {
        (chip / self.size) as usize
    }

    /// How long the slowest takes for what it moves. Instances that move nothing take no time.
    fn seconds(&self, moved: impl Iterator<Item = f64>) -> f64 {
        let times = moved.zip(&self.bytes_per_s).filter(|(bytes, _)| *bytes > 0.0);
        times.map(|(bytes, rate)| bytes / rate).fold(0.0, f64::max)
    }

    /// The instances of `size` chips, the `level` innermost levels of `graph`; `None` where a switch
    /// inside has links to the outside of its own, which are not told apart here.
    fn of(graph: &Graph, level: usize, size: u32) -> Option<Self> {
        let inside = |node: u32, chip: u32| match graph.kind(node) {
            NodeKind::Endpoint => node / size == chip / size,
            NodeKind::Switch(joins) => joins < level,
        };
        let outward = |switch: u32| {
            graph.out(switch).any(|link| {
                matches!(graph.kind(graph.to(link)), NodeKind::Switch(joins) if joins >= level)
            })
        };
        let mut switches = graph.endpoints()..graph.nodes();
        if switches.any(|s| inside(s, 0) && outward(s)) {
            return None;
        }
        // The faster direction of a link bounds both.
        let rate = |l: usize| graph.bytes_per_s(l).max(graph.bytes_per_s(graph.reverse(l)));
        let mut bytes_per_s = vec![0.0; graph.endpoints().div_ceil(size) as usize];
        for chip in 0..graph.endpoints() {
            let links = graph.out(chip).filter(|l| !inside(graph.to(*l), chip));
            bytes_per_s[(chip / size) as usize] += links.map(rate).sum::<f64>();
        }
        Some(Self { size, bytes_per_s })
    }
}

/// What bounds the steps on one graph.
struct Bounds {
    /// Chips by themselves first, then larger and larger instances.
    cuts: Vec<Cut>,
    /// The shortest latency of a link that works. Picoseconds.
    latency_ps: u64,
}

impl Bounds {
    fn of(graph: &Graph) -> Self {
        let sizes = graph.fans().iter().scan(1_u32, |size, fan| {
            let here = *size;
            *size = size.saturating_mul(*fan);
            Some(here)
        });
        let cuts = sizes.enumerate().filter_map(|(level, size)| Cut::of(graph, level, size));
        let working = (0..graph.links()).filter(|l| graph.bytes_per_s(*l) > 0.0);
        Self {
            cuts: cuts.collect(),
            latency_ps: working.map(|l| graph.latency_ps(l)).min().unwrap_or(0),
        }
    }

    fn steps_ps(&self, network: &Network, pattern: &Pattern) -> u64 {
        let chips = network.graph().endpoints();
        let slowest = self.cuts.iter().map(|cut| {
            let mut out = vec![0.0; cut.bytes_per_s.len()];
            let mut into = out.clone();
            for &(from, to, bytes) in &pattern.transfers {
                // What a switch sends and receives is not counted.
                if from.max(to) < chips && cut.instance(from) != cut.instance(to) {
                    out[cut.instance(from)] += bytes;
                    into[cut.instance(to)] += bytes;
                }
            }
            cut.seconds(out.into_iter()).max(cut.seconds(into.into_iter()))
        });
        let moving = picoseconds(slowest.fold(0.0, f64::max)).saturating_add(self.latency_ps);
        let received = pattern.transfers.iter().map(|t| t.2).fold(0.0, f64::max);
        let handling = handling_ps(network, received, pattern.passes);
        let hops = pattern.pipeline_hops.saturating_mul(self.latency_ps.saturating_add(handling));
        pattern.times.saturating_mul(moving.saturating_add(handling)).saturating_add(hops)
    }
}
