//! The algorithms: steps and bytes per level.

use catalog::Wiring;
use fabric::{Channel, Fabric, MAX_LEVELS, Span};
use model::Collective;

/// How a collective is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Rings through all members, as many in parallel as there are ports; levels work at once.
    Ring,
    /// Double binary tree between instances, chain inside (all-reduce only).
    Tree,
    /// One phase per level, inside out and back; each phase direct or by halving and doubling.
    Hierarchical,
    /// The same, but full meshes in pairs: a share of the bytes goes along one and then the other, the
    /// rest the other way round, so that both are busy.
    Crossed,
    /// Reduction in the switches of one level (all-reduce only).
    InNetwork,
    /// Every member sends to every other directly (all-to-all, point to point).
    Direct,
}

impl Algorithm {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Tree => "tree",
            Self::Hierarchical => "hierarchical",
            Self::Crossed => "crossed",
            Self::InNetwork => "in-network",
            Self::Direct => "direct",
        }
    }

    /// What can carry out `operation`.
    pub fn legal(operation: Collective) -> &'static [Self] {
        match operation {
            Collective::AllReduce => {
                &[Self::Ring, Self::Tree, Self::Hierarchical, Self::Crossed, Self::InNetwork]
            }
            Collective::AllGather | Collective::ReduceScatter => {
                &[Self::Ring, Self::Hierarchical, Self::Crossed]
            }
            Collective::AllToAll | Collective::SendRecv => &[Self::Direct],
        }
    }
}

/// One level's part in an algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// The level.
    pub level: usize,
    /// Phases of one stage carry their bytes at the same time, and the slowest counts; stages follow
    /// one another.
    pub stage: usize,
    /// Dependent steps there.
    pub steps: f64,
    /// Bytes a rank pushes into the level.
    pub bytes: f64,
    /// Rate at which it can, given how many of the level's links the group uses.
    pub bytes_per_s: f64,
}

/// Most phases: two a level.
pub(crate) const MAX_PHASES: usize = 2 * MAX_LEVELS;

/// At most two phases a level, no allocation.
pub(crate) struct Phases {
    list: [Phase; MAX_PHASES],
    len: usize,
}

impl Phases {
    fn new() -> Self {
        Self {
            list: [Phase { level: 0, stage: 0, steps: 0.0, bytes: 0.0, bytes_per_s: 1.0 };
                MAX_PHASES],
            len: 0,
        }
    }

    fn push(&mut self, phase: Phase) {
        self.list[self.len] = phase;
        self.len += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Phase> {
        self.list[..self.len].iter()
    }
}

/// Hops from the first to the last member of every ring that `fan` members of a torus lie on.
fn torus_steps(channel: &Channel, fan: u64) -> f64 {
    if channel.dimensions() == 0 {
        return (fan - 1) as f64;
    }
    channel.along(fan).map(|members| (members - 1) as f64).sum()
}

/// Hops of a message between two members on average: on a ring of f a byte travels f/4 hops, each
/// over one of two links.
fn torus_hops(channel: &Channel, fan: u64) -> f64 {
    let mean = |members: u64| members as f64 / 4.0;
    let hops: f64 =
        if channel.dimensions() == 0 { mean(fan) } else { channel.along(fan).map(mean).sum() };
    hops.max(1.0)
}

pub(crate) fn phases(
    fabric: &Fabric,
    span: &Span,
    operation: Collective,
    algorithm: Algorithm,
    bytes: f64,
    fewer_copies: &[f64; MAX_LEVELS],
) -> Option<Phases> {
    let passes = if operation == Collective::AllReduce { 2.0 } else { 1.0 };
    match algorithm {
        Algorithm::Ring => Some(ring(fabric, span, bytes, passes)),
        Algorithm::Tree => Some(tree(fabric, span, bytes)),
        Algorithm::Hierarchical => Some(hierarchical(fabric, span, bytes, passes)),
        Algorithm::Crossed => crossed(fabric, span, bytes, passes),
        Algorithm::InNetwork => in_network(fabric, span, bytes),
        Algorithm::Direct if operation == Collective::SendRecv => Some(point(fabric, span, bytes)),
        Algorithm::Direct => Some(all_to_all(fabric, span, bytes, fewer_copies)),
    }
}

/// Levels the group crosses, with the fewest members inside one instance of the level below: what
/// enters and leaves that instance goes through their ports.
fn used<'a>(
    fabric: &'a Fabric,
    span: &'a Span,
) -> impl Iterator<Item = (usize, &'a Channel, u64, u64)> {
    fabric.channels().iter().enumerate().filter_map(move |(level, channel)| {
        let fan = span.fan[level];
        let (_, least, _) = span.below(level);
        (fan > 1).then_some((level, channel, fan, least))
    })
}

/// `passes`·(n-1)/n·B through every cut of the ring (Patarasuk and Yuan, 2009); the members inside
/// one instance share its way out, each through its own port. Steps: one hop per link of the ring.
fn ring(fabric: &Fabric, span: &Span, bytes: f64, passes: f64) -> Phases {
    let n = span.size() as f64;
    let mut out = Phases::new();
    for (level, channel, fan, below) in used(fabric, span) {
        let (_, _, instances) = span.below(level);
        let hops = (instances - span.touched[level]) as f64;
        out.push(Phase {
            level,
            stage: 0,
            steps: passes * hops,
            bytes: passes * (n - 1.0) / n * bytes / below as f64,
            bytes_per_s: channel.usable(fan),
        });
    }
    out
}

/// Up and down a tree: each rank passes 2·B on; chain of members inside, log2 between instances
/// (NCCL's double binary tree).
fn tree(fabric: &Fabric, span: &Span, bytes: f64) -> Phases {
    let mut out = Phases::new();
    for (level, channel, fan, below) in used(fabric, span) {
        let depth = if below == 1 && level == 0 { (fan - 1) as f64 } else { log2_ceil(fan) };
        out.push(Phase {
            level,
            stage: 0,
            steps: 2.0 * depth,
            bytes: 2.0 * bytes / below as f64,
            bytes_per_s: channel.usable(fan),
        });
    }
    out
}

/// Reduce-scatter inside out, all-gather back: level l moves (f-1)/f of what is left, B over the
/// members below.
fn hierarchical(fabric: &Fabric, span: &Span, bytes: f64, passes: f64) -> Phases {
    let mut out = Phases::new();
    for (stage, (level, channel, fan, below)) in used(fabric, span).enumerate() {
        out.push(alone(level, channel, fan, stage, bytes / below as f64, passes));
    }
    out
}

/// A level by itself with `left` bytes a rank: direct on a full mesh (one step), else by halving and
/// doubling (log2 f steps).
fn alone(level: usize, channel: &Channel, fan: u64, stage: usize, left: f64, passes: f64) -> Phase {
    let steps = match channel.wiring {
        Wiring::FullMesh => 1.0,
        Wiring::Switch => log2_ceil(fan),
        Wiring::Torus => torus_steps(channel, fan),
    };
    Phase {
        level,
        stage,
        steps: passes * steps,
        bytes: passes * (fan - 1) as f64 / fan as f64 * left,
        bytes_per_s: channel.usable(fan),
    }
}

/// As the hierarchical one, but a full mesh and the next one at once: of the bytes left the share s
/// goes along the first and then the second, the rest the other way round, in two steps. `None`
/// where no two meshes follow each other, or where members lie unevenly.
///
/// With x and y members, and a = (x-1)/x/P and b = (y-1)/y/Q seconds a byte at rates P and Q, the
/// first step takes max(s·a, (1-s)·b) and the second max((1-s)·a/y, s·b/x). s = b/(a+b) ends the
/// first on both at once and makes the sum least: beside it the first step grows by a or b, and the
/// second falls by no more than a/y or b/x. Where x = y and P = Q it is the bound of every algorithm,
/// (1 - 1/(x·y))·B over P + Q, all links busy all the time; else the shorter part of the second step
/// waits. UB-Mesh (arXiv 2503.20377, multi-ring) and HCCL (its two-shot mesh of two dimensions, which
/// splits by x and y) use both meshes.
fn crossed(fabric: &Fabric, span: &Span, bytes: f64, passes: f64) -> Option<Phases> {
    if span.least != span.most {
        return None;
    }
    let mut out = Phases::new();
    let mut levels = used(fabric, span).peekable();
    let (mut stage, mut pairs) = (0, 0);
    while let Some((level, channel, fan, below)) = levels.next() {
        let left = bytes / below as f64;
        let mesh = |c: &Channel| c.wiring == Wiring::FullMesh;
        let next = if mesh(channel) { levels.next_if(|n| mesh(n.1)) } else { None };
        let Some((other, second, across, _)) = next else {
            out.push(alone(level, channel, fan, stage, left, passes));
            stage += 1;
            continue;
        };
        // What both borrow of the same switches is half for each.
        let shared = channel.borrowed_bytes_per_s.min(second.borrowed_bytes_per_s) / 2.0;
        let rate = |c: &Channel, f: u64| c.usable(f) - shared;
        let seconds = |c: &Channel, f: u64| (f - 1) as f64 / f as f64 / rate(c, f);
        let (a, b) = (seconds(channel, fan), seconds(second, across));
        let share = b / (a + b);
        // Both meshes take their step at the same time: the longer latency counts.
        let slower = if channel.latency_s >= second.latency_s { level } else { other };
        let mut step = |level: usize, channel: &Channel, fan: u64, stage: usize, left: f64| {
            let phase = alone(level, channel, fan, stage, left, passes);
            let steps = if level == slower { passes } else { 0.0 };
            out.push(Phase { steps, bytes_per_s: rate(channel, fan), ..phase });
        };
        step(level, channel, fan, stage, share * left);
        step(other, second, across, stage, (1.0 - share) * left);
        step(level, channel, fan, stage + 1, (1.0 - share) * left / across as f64);
        step(other, second, across, stage + 1, share * left / fan as f64);
        (stage, pairs) = (stage + 2, pairs + 1);
    }
    (pairs > 0).then_some(out)
}

/// Each rank sends its B to the switch and the reduced B/n of its part back out: B·(1 + 1/n).
fn in_network(fabric: &Fabric, span: &Span, bytes: f64) -> Option<Phases> {
    let level = span.outermost()?;
    let channel = &fabric.channels()[level];
    let inner = span.fan[..level].iter().all(|&f| f == 1);
    (channel.reduces && inner).then(|| {
        let mut out = Phases::new();
        let n = span.fan[level] as f64;
        out.push(Phase {
            level,
            stage: 0,
            steps: 2.0,
            bytes: bytes * (1.0 + 1.0 / n),
            bytes_per_s: channel.bytes_per_s,
        });
        out
    })
}

/// Bytes for members beyond the instance below leave through a switched level's ports directly.
/// Inside a block of meshes or tori every byte corrects its coordinate dimension by dimension
/// (UB-Mesh's two-phase exchange), so each dimension carries (f-1)/f of what stays in the block.
///
/// With fewer copies the cheaper of two ways: as above, one copy for each rank that wants it; or one
/// for each instance, spread inside by who receives it, so that every level carries (f-1)/f of its
/// copies (`DeepEP`'s forwarding from node to chip). Where ports of the levels are the same, the
/// second saves nothing.
fn all_to_all(fabric: &Fabric, span: &Span, bytes: f64, fewer: &[f64; MAX_LEVELS]) -> Phases {
    let n = span.size() as f64;
    let direct =
        by_share(fabric, span, bytes * fewer[0], |level, channel, fan, below| {
            match channel.wiring {
                Wiring::Switch => (span.most[level] - below) as f64 / n,
                Wiring::FullMesh | Wiring::Torus => {
                    (fan - 1) as f64 / fan as f64 * block_members(fabric, span, level) / n
                }
            }
        });
    if fewer.iter().all(|&f| f >= 1.0) {
        return direct;
    }
    let relayed = by_share(fabric, span, bytes, |level, _, fan, _| {
        (fan - 1) as f64 / fan as f64 * fewer[level]
    });
    let slowest =
        |phases: &Phases| phases.iter().map(|p| p.bytes / p.bytes_per_s).fold(0.0, f64::max);
    if slowest(&relayed) < slowest(&direct) { relayed } else { direct }
}

/// One step a level, which carries its `share` of the bytes; ports that a trunk stands above also carry
/// what goes on through it.
fn by_share(
    fabric: &Fabric,
    span: &Span,
    bytes: f64,
    share: impl Fn(usize, &Channel, u64, u64) -> f64,
) -> Phases {
    let mut out = Phases::new();
    for (level, channel, fan, below) in used(fabric, span) {
        let hops = if channel.wiring == Wiring::Torus { torus_hops(channel, fan) } else { 1.0 };
        out.push(Phase {
            level,
            stage: 0,
            steps: 1.0,
            bytes: bytes * share(level, channel, fan, below) * hops,
            bytes_per_s: channel.usable(fan),
        });
    }
    for at in (1..out.len).rev() {
        let (below, above) = (out.list[at - 1], out.list[at]);
        if above.level == below.level + 1 && fabric.channels()[above.level].trunk {
            out.list[at - 1].bytes += above.bytes;
        }
    }
    out
}

/// Members of the switchless block around `level`.
fn block_members(fabric: &Fabric, span: &Span, level: usize) -> f64 {
    let channels = fabric.channels();
    let end = (level..channels.len())
        .find(|&l| channels[l].wiring == Wiring::Switch)
        .unwrap_or(channels.len());
    span.most[end - 1] as f64
}

fn point(fabric: &Fabric, span: &Span, bytes: f64) -> Phases {
    let mut out = Phases::new();
    if let Some(level) = span.outermost() {
        let channel = &fabric.channels()[level];
        // One peer: one link of a full mesh.
        out.push(Phase { level, stage: 0, steps: 1.0, bytes, bytes_per_s: channel.usable(2) });
    }
    out
}

fn log2_ceil(n: u64) -> f64 {
    f64::from(n.next_power_of_two().trailing_zeros())
}
