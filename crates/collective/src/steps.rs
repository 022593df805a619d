//! Collective algorithms as step graphs: who sends what to whom, step by step.

use crate::experts::{self, Spread};
use crate::{concurrent, crossed, switch_steps};
use fabric::Network;
use model::Collective;

/// One exchange, done `times` times in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// Sender, receiver (chips or switches of the graph), bytes.
    pub transfers: Vec<(u32, u32, f64)>,
    /// How often.
    pub times: u64,
    /// Passes over local memory per byte received: 2 to read and add, 1 to store.
    pub passes: f64,
    /// Hops that the first byte makes before the last rank has anything, where transfers of one
    /// step are links of a pipeline.
    pub pipeline_hops: u64,
}

impl Pattern {
    pub(crate) fn new(transfers: Vec<(u32, u32, f64)>, times: u64, passes: f64) -> Self {
        Self { transfers, times, passes, pipeline_hops: 0 }
    }
}

/// Algorithms on a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// One ring in rank order; a chain for a broadcast.
    Ring,
    /// As many rings as an innermost group has members, each through all ranks, crossing between
    /// groups at another member (NCCL's channels over several network cards).
    MultiRing,
    /// Double binary tree, pipelined.
    Tree,
    /// Recursive halving, then doubling; powers of two.
    HalvingDoubling,
    /// HCCL's non-uniform hierarchical ring: as halving and doubling for any number of ranks.
    Nhr,
    /// Everyone with everyone at once (HCCL's mesh; on several mesh dimensions, UB-Mesh's
    /// two-phase exchange).
    Direct,
    /// Ranks in turn: shift by one, by two, ...
    Pairwise,
    /// Level by level: direct inside meshes, NHR over switches.
    Hierarchical,
    /// Mesh dimensions in pairs, both at once: one share of the bytes goes along the first and then the
    /// second, the rest the other way round (UB-Mesh's and HCCL's mesh of two dimensions).
    Crossed,
    /// Full meshes and the switches above them at once: a share of the bytes over each (HCCL's
    /// concurrent and two-dimension parallel algorithms).
    Concurrent,
    /// Everyone sends all it has to everyone, who reduces for itself: one step, n - 1 times the bytes
    /// (HCCL's one-shot mesh on its collective engine).
    OneShot,
    /// Reduction in the switches of the innermost level.
    InNetwork,
    /// The same inside every innermost group, and a double binary tree between the groups for each
    /// member (NCCL's NVLS tree).
    SwitchTree,
}

/// Every scheme with its word.
pub const SCHEMES: [(Scheme, &str); 13] = [
    (Scheme::Ring, "ring"),
    (Scheme::MultiRing, "multi-ring"),
    (Scheme::Tree, "tree"),
    (Scheme::HalvingDoubling, "halving-doubling"),
    (Scheme::Nhr, "nhr"),
    (Scheme::Direct, "direct"),
    (Scheme::Pairwise, "pairwise"),
    (Scheme::Hierarchical, "hierarchical"),
    (Scheme::Crossed, "crossed"),
    (Scheme::Concurrent, "concurrent"),
    (Scheme::OneShot, "one-shot"),
    (Scheme::InNetwork, "in-network"),
    (Scheme::SwitchTree, "switch-tree"),
];

/// What is exchanged; [`model::Collective`] and the broadcast that nccl-tests has besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A collective of training steps.
    Of(Collective),
    /// One rank's bytes to all.
    Broadcast,
    /// Tokens to the ranks of their experts; the size counts a token for each of them.
    Dispatch(Spread),
    /// The experts' results back, summed on the way.
    Combine(Spread),
}

/// Every operation of nccl-tests with its word.
pub const OPERATIONS: [(Operation, &str); 6] = [
    (Operation::Of(Collective::AllReduce), "all-reduce"),
    (Operation::Of(Collective::AllGather), "all-gather"),
    (Operation::Of(Collective::ReduceScatter), "reduce-scatter"),
    (Operation::Of(Collective::AllToAll), "all-to-all"),
    (Operation::Broadcast, "broadcast"),
    (Operation::Of(Collective::SendRecv), "send-recv"),
];

impl Operation {
    /// nccl-tests' factor from algorithm to bus bandwidth for `n` ranks.
    pub fn bus_factor(self, n: u64) -> f64 {
        let n = n as f64;
        match self {
            Self::Of(Collective::AllReduce) => 2.0 * (n - 1.0) / n,
            Self::Of(Collective::AllGather | Collective::ReduceScatter | Collective::AllToAll) => {
                (n - 1.0) / n
            }
            Self::Dispatch(_) | Self::Combine(_) => (n - 1.0) / n,
            _ => 1.0,
        }
    }

    /// Schemes that can carry it out, in the order in which ties are broken.
    pub fn schemes(self) -> &'static [Scheme] {
        use Scheme::{
            Concurrent, Crossed, Direct, HalvingDoubling, Hierarchical, InNetwork, MultiRing, Nhr,
            OneShot, Pairwise, Ring, SwitchTree, Tree,
        };
        match self {
            Self::Of(Collective::AllReduce) => &[
                Ring,
                MultiRing,
                Tree,
                HalvingDoubling,
                Nhr,
                Direct,
                Hierarchical,
                Crossed,
                Concurrent,
                OneShot,
                InNetwork,
                SwitchTree,
            ],
            Self::Of(Collective::AllGather | Collective::ReduceScatter) => {
                &[Ring, MultiRing, HalvingDoubling, Nhr, Direct, Hierarchical, Crossed, Concurrent]
            }
            Self::Of(Collective::AllToAll) => &[Direct, Pairwise, Concurrent],
            Self::Of(Collective::SendRecv) => &[Direct],
            Self::Broadcast => &[Ring, MultiRing, Tree],
            Self::Dispatch(_) | Self::Combine(_) => &[Direct, Hierarchical],
        }
    }
}

/// A group placed on a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Chips of the ranks in order.
    pub members: Vec<u32>,
    /// Fan-out of the group at each level, innermost first; its product is the number of members,
    /// numbered innermost fastest. One entry for an irregular group.
    pub fan: Vec<u64>,
}

impl Placed {
    /// The first `ranks` chips that are alive, by the topology's own levels where they fill whole
    /// instances.
    pub fn first(network: &Network, ranks: u64) -> Self {
        let alive = network.alive();
        let members: Vec<u32> = alive.into_iter().take(ranks as usize).collect();
        Self::of(network, members)
    }

    /// A group of given chips.
    pub fn of(network: &Network, members: Vec<u32>) -> Self {
        let regular = members.iter().enumerate().all(|(i, m)| *m == i as u32);
        let mut left = members.len() as u64;
        let mut fan = Vec::new();
        if regular {
            for &f in network.graph().fans() {
                let here = u64::from(f).min(left);
                if !left.is_multiple_of(here) {
                    fan.clear();
                    break;
                }
                fan.push(here);
                left /= here;
            }
        }
        if fan.is_empty() || left != 1 {
            fan = vec![members.len() as u64];
        }
        Self { members, fan }
    }

    pub(crate) fn chip(&self, rank: u64) -> u32 {
        self.members[rank as usize]
    }
}

/// The steps of `operation` of `bytes` (nccl-tests' size) by `scheme`; `None` where it cannot run.
pub fn steps(
    network: &Network,
    group: &Placed,
    operation: Operation,
    scheme: Scheme,
    bytes: f64,
) -> Option<Vec<Pattern>> {
    let n = group.members.len() as u64;
    if n < 2 || !operation.schemes().contains(&scheme) {
        return None;
    }
    let collective = match operation {
        Operation::Broadcast => return broadcast(group, scheme, bytes),
        Operation::Dispatch(spread) if scheme == Scheme::Hierarchical => {
            return experts::dispatch(group, spread, bytes);
        }
        Operation::Combine(spread) if scheme == Scheme::Hierarchical => {
            return experts::combine(group, spread, bytes);
        }
        Operation::Of(Collective::AllToAll) if scheme == Scheme::Concurrent => {
            return concurrent::all_to_all(network, group, bytes);
        }
        Operation::Of(Collective::AllToAll) | Operation::Dispatch(_) | Operation::Combine(_) => {
            return all_to_all(group, scheme, bytes);
        }
        Operation::Of(Collective::SendRecv) => {
            let next = (0..n).map(|i| (group.chip(i), group.chip((i + 1) % n), bytes)).collect();
            return Some(vec![Pattern::new(next, 1, 1.0)]);
        }
        Operation::Of(collective) => collective,
    };
    let half = match scheme {
        Scheme::Tree => return Some(vec![tree(group, bytes, true)]),
        Scheme::InNetwork => return switch_steps::in_network(network, group, bytes),
        Scheme::SwitchTree => return switch_steps::tree_of_switches(network, group, bytes),
        Scheme::OneShot => return Some(vec![crossed::one_shot(group, bytes)]),
        Scheme::Crossed => crossed::crossed(network, group, bytes)?,
        Scheme::Concurrent => concurrent::scatter(network, group, bytes)?,
        Scheme::Ring => vec![ring(std::slice::from_ref(&group.members), n - 1, bytes)],
        Scheme::MultiRing => vec![ring(&rings(group)?, n - 1, bytes)],
        Scheme::HalvingDoubling if n.is_power_of_two() => halving(group, bytes),
        Scheme::Nhr => nhr(group, &lines(group, 0, &[n]), bytes),
        Scheme::Direct => vec![direct(group, &lines(group, 0, &[n]), bytes)],
        Scheme::Hierarchical => hierarchical(network, group, bytes)?,
        _ => return None,
    };
    Some(both_ways(collective, half))
}

/// A reduce-scatter, the all-gather that mirrors it, or both.
fn both_ways(collective: Collective, mut scatter: Vec<Pattern>) -> Vec<Pattern> {
    if collective == Collective::ReduceScatter {
        return scatter;
    }
    let mirrored = |p: &Pattern| Pattern {
        transfers: p.transfers.iter().map(|&(a, b, s)| (b, a, s)).collect(),
        times: p.times,
        passes: 1.0,
        pipeline_hops: p.pipeline_hops,
    };
    let gather: Vec<Pattern> = scatter.iter().rev().map(mirrored).collect();
    if collective == Collective::AllGather {
        return gather;
    }
    scatter.extend(gather);
    scatter
}

/// Each ring carries its share; a step moves one n-th of it (Patarasuk and Yuan, 2009).
fn ring(rings: &[Vec<u32>], steps: u64, bytes: f64) -> Pattern {
    let n = rings[0].len();
    let share = bytes / rings.len() as f64 / n as f64;
    let mut transfers = Vec::with_capacity(rings.len() * n);
    for ring in rings {
        let next = ring[1..].iter().chain(&ring[..1]);
        transfers.extend(ring.iter().zip(next).map(|(from, to)| (*from, *to, share)));
    }
    Pattern::new(transfers, steps, 2.0)
}

/// One ring a member of the innermost group that has others beside it; every second group is
/// walked backwards, so that a ring leaves and enters at the same member (rail).
fn rings(group: &Placed) -> Option<Vec<Vec<u32>>> {
    let inner = *group.fan.iter().find(|f| **f > 1)?;
    let n = group.members.len() as u64;
    if n == inner {
        return None;
    }
    let one = |j: u64| {
        (0..n / inner).flat_map(move |k| {
            (0..inner).map(move |i| {
                let at = if k % 2 == 0 { (j + i) % inner } else { (j + 2 * inner - 1 - i) % inner };
                k * inner + at
            })
        })
    };
    Some((0..inner).map(|j| one(j).map(|r| group.chip(r)).collect()).collect())
}

/// Two complementary binary trees, each with half of the bytes (Sanders, Speck and Träff, 2009),
/// reduced up and sent down in a pipeline.
fn tree(group: &Placed, bytes: f64, up: bool) -> Pattern {
    let (transfers, depth) = tree_edges(&group.members, bytes, up);
    let hops = if up { 2 * depth } else { depth };
    Pattern { pipeline_hops: hops.saturating_sub(1), ..Pattern::new(transfers, 1, 2.0) }
}

/// The links of both trees, and how deep they are.
pub(crate) fn tree_edges(members: &[u32], bytes: f64, up: bool) -> (Vec<(u32, u32, f64)>, u64) {
    let n = members.len() as u64;
    let depth = u64::from(n.next_power_of_two().trailing_zeros());
    let mut transfers = Vec::new();
    for mirrored in [false, true] {
        let chip = |i: u64| members[(if mirrored { n - 1 - i } else { i }) as usize];
        for i in 1..n {
            // In-order binary tree on 1..n with the root hung below rank 0.
            let low = i & i.wrapping_neg();
            let parent = (i ^ low) | (low << 1);
            let parent = if parent >= n { i ^ low } else { parent };
            transfers.push((chip(parent), chip(i), bytes / 2.0));
            if up {
                transfers.push((chip(i), chip(parent), bytes / 2.0));
            }
        }
    }
    (transfers, depth)
}

fn broadcast(group: &Placed, scheme: Scheme, bytes: f64) -> Option<Vec<Pattern>> {
    if scheme == Scheme::Tree {
        return Some(vec![tree(group, bytes, false)]);
    }
    let rings = if scheme == Scheme::Ring { vec![group.members.clone()] } else { rings(group)? };
    let root = group.chip(0);
    let share = bytes / rings.len() as f64;
    let mut transfers = Vec::new();
    for ring in &rings {
        let start = ring.iter().position(|c| *c == root)?;
        let at = |i: usize| ring[(start + i) % ring.len()];
        transfers.extend((1..ring.len()).map(|i| (at(i - 1), at(i), share)));
    }
    let hops = group.members.len() as u64 - 2;
    Some(vec![Pattern { pipeline_hops: hops, ..Pattern::new(transfers, 1, 1.0) }])
}

/// Recursive halving by growing distance: the largest exchanges are between the nearest.
fn halving(group: &Placed, bytes: f64) -> Vec<Pattern> {
    let n = group.members.len() as u64;
    (0..n.trailing_zeros())
        .map(|k| {
            let size = bytes / f64::from(1 << (k + 1));
            let pairs = (0..n).map(|i| (group.chip(i), group.chip(i ^ (1 << k)), size));
            Pattern::new(pairs.collect(), 1, 2.0)
        })
        .collect()
}

/// Lines of a group along one level: the members that differ only there.
pub(crate) fn lines(group: &Placed, level: usize, fan: &[u64]) -> Vec<Vec<u64>> {
    let stride: u64 = fan[..level].iter().product();
    let n = group.members.len() as u64;
    let starts = (0..n).filter(|r| (r / stride).is_multiple_of(fan[level]));
    starts.map(|s| (0..fan[level]).map(|i| s + i * stride).collect()).collect()
}

/// ceil(log2 f) steps; in step k everyone sends to the one 2^k on what lies beyond.
pub(crate) fn nhr(group: &Placed, lines: &[Vec<u64>], bytes: f64) -> Vec<Pattern> {
    let f = lines[0].len() as u64;
    let rounds = f.next_power_of_two().trailing_zeros();
    (0..rounds)
        .map(|k| {
            let slices = (f - (1 << k)).div_ceil(1 << (k + 1));
            let size = bytes * slices as f64 / f as f64;
            let transfers = lines.iter().flat_map(|line| {
                (0..f as usize).map(move |i| {
                    let to = (i + (1 << k)) % f as usize;
                    (group.chip(line[i]), group.chip(line[to]), size)
                })
            });
            Pattern::new(transfers.collect(), 1, 2.0)
        })
        .collect()
}

/// Everyone sends everyone else their part, at once.
pub(crate) fn direct(group: &Placed, lines: &[Vec<u64>], bytes: f64) -> Pattern {
    let size = bytes / lines[0].len() as f64;
    let transfers = lines.iter().flat_map(|line| {
        // By receiver: one search for routes serves all that go to it.
        line.iter().flat_map(move |to| {
            let others = line.iter().filter(move |from| *from != to);
            others.map(move |from| (group.chip(*from), group.chip(*to), size))
        })
    });
    Pattern::new(transfers.collect(), 1, 2.0)
}

/// Reduce-scatter inside out: each level on what is left, B over the members below.
fn hierarchical(network: &Network, group: &Placed, bytes: f64) -> Option<Vec<Pattern>> {
    if group.fan.iter().filter(|f| **f > 1).count() < 2 {
        return None;
    }
    let (mut out, mut left) = (Vec::new(), bytes);
    for (level, &fan) in group.fan.iter().enumerate().filter(|f| *f.1 > 1) {
        out.extend(alone(network, group, level, left));
        left /= fan as f64;
    }
    Some(out)
}

/// A level by itself: direct inside meshes, NHR over switches.
pub(crate) fn alone(network: &Network, group: &Placed, level: usize, left: f64) -> Vec<Pattern> {
    let lines = lines(group, level, &group.fan);
    match network.topology().levels[level].layout {
        fabric::Layout::FullMesh => vec![direct(group, &lines, left)],
        _ => nhr(group, &lines, left),
    }
}

fn all_to_all(group: &Placed, scheme: Scheme, bytes: f64) -> Option<Vec<Pattern>> {
    let n = group.members.len() as u64;
    match scheme {
        Scheme::Direct => {
            let mut all = direct(group, &lines(group, 0, &[n]), bytes);
            all.passes = 1.0;
            Some(vec![all])
        }
        Scheme::Pairwise => {
            let shift = |k: u64| {
                let pairs =
                    (0..n).map(|i| (group.chip(i), group.chip((i + k) % n), bytes / n as f64));
                Pattern::new(pairs.collect(), 1, 1.0)
            };
            Some((1..n).map(shift).collect())
        }
        _ => None,
    }
}
