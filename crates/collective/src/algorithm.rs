//! The algorithms: steps and bytes per level.

use crate::at_once;
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
    /// Full meshes and the switches above them at once: a share of the bytes over each.
    Concurrent,
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
            Self::Concurrent => "concurrent",
            Self::InNetwork => "in-network",
            Self::Direct => "direct",
        }
    }

    /// What can carry out `operation`.
    pub fn legal(operation: Collective) -> &'static [Self] {
        match operation {
            Collective::AllReduce => &[
                Self::Ring,
                Self::Tree,
                Self::Hierarchical,
                Self::Crossed,
                Self::Concurrent,
                Self::InNetwork,
            ],
            Collective::AllGather | Collective::ReduceScatter => {
                &[Self::Ring, Self::Hierarchical, Self::Crossed, Self::Concurrent]
            }
            Collective::AllToAll => &[Self::Direct, Self::Concurrent],
            Collective::SendRecv => &[Self::Direct],
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

/// Most phases: seven meshes, the first six in pairs (two phases each and as many stages), beside
/// switches (one phase a stage), twice.
pub(crate) const MAX_PHASES: usize = 5 * MAX_LEVELS;

/// The phases of an algorithm, without allocation.
pub(crate) struct Phases {
    list: [Phase; MAX_PHASES],
    len: usize,
}

impl Phases {
    pub(crate) fn new() -> Self {
        Self {
            list: [Phase { level: 0, stage: 0, steps: 0.0, bytes: 0.0, bytes_per_s: 1.0 };
                MAX_PHASES],
            len: 0,
        }
    }

    pub(crate) fn push(&mut self, phase: Phase) {
        self.list[self.len] = phase;
        self.len += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Phase> {
        self.list[..self.len].iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Phase> {
        self.list[..self.len].iter_mut()
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
        Algorithm::Crossed => at_once::crossed(fabric, span, bytes, passes),
        Algorithm::Concurrent if operation == Collective::AllToAll => {
            at_once::all_to_all(fabric, span, bytes, fewer_copies)
        }
        Algorithm::Concurrent => at_once::concurrent(fabric, span, bytes, passes),
        Algorithm::InNetwork => in_network(fabric, span, bytes),
        Algorithm::Direct if operation == Collective::SendRecv => Some(point(fabric, span, bytes)),
        Algorithm::Direct => Some(all_to_all(fabric, span, bytes, fewer_copies)),
    }
}

/// Levels the group crosses, with the fewest members inside one instance of the level below: what
/// enters and leaves that instance goes through their ports.
pub(crate) fn used<'a>(
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
pub(crate) fn alone(
    level: usize,
    channel: &Channel,
    fan: u64,
    stage: usize,
    left: f64,
    passes: f64,
) -> Phase {
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
    let direct = one_copy_each(fabric, span, bytes * fewer[0]);
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

/// Every rank that wants a byte is sent it, over the links and switches on its way.
pub(crate) fn one_copy_each(fabric: &Fabric, span: &Span, bytes: f64) -> Phases {
    let n = span.size() as f64;
    by_share(fabric, span, bytes, |level, channel, fan, below| match channel.wiring {
        Wiring::Switch => (span.most[level] - below) as f64 / n,
        Wiring::FullMesh | Wiring::Torus => {
            (fan - 1) as f64 / fan as f64 * block_members(fabric, span, level) / n
        }
    })
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

pub(crate) fn log2_ceil(n: u64) -> f64 {
    f64::from(n.next_power_of_two().trailing_zeros())
}
