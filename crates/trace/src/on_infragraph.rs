//! Prices of a captured program on an InfraGraph: every transfer takes all its shortest paths.
//!
//! Collectives are tried as a ring in order of ranks and, for groups that are not too large, directly;
//! the faster counts. At each node a flow splits evenly over the next hops.

use crate::infragraph::InfraGraph;
use crate::program::Operation;
use crate::run::Price;
use fabric::{FlowSet, transfer};
use model::Collective;
use std::collections::{BTreeMap, VecDeque};

/// Most members that exchange directly: their pairs are laid out one by one.
const MOST_DIRECT: usize = 512;

/// An InfraGraph ready to carry traffic, and a chip for work without a recorded duration.
#[derive(Clone, Debug)]
pub struct OnInfraGraph {
    graph: InfraGraph,
    /// Edges at each node: `(other end, edge, whether from its first end)`.
    next: Vec<Vec<(u32, u32, bool)>>,
    /// Operations a chip does. FLOP/s.
    pub flop_per_s: Option<f64>,
    /// Bytes a chip moves. Bytes/s.
    pub memory_bytes_per_s: Option<f64>,
}

type Transfers = Vec<(u64, u64, f64)>;

impl OnInfraGraph {
    /// Ready to run.
    pub fn new(
        graph: InfraGraph,
        flop_per_s: Option<f64>,
        memory_bytes_per_s: Option<f64>,
    ) -> Self {
        let mut next = vec![Vec::new(); graph.nodes as usize];
        for (edge, &(a, b, _)) in graph.edges.iter().enumerate() {
            next[a as usize].push((b, edge as u32, true));
            next[b as usize].push((a, edge as u32, false));
        }
        Self { graph, next, flop_per_s, memory_bytes_per_s }
    }

    /// Hops from every node to `target`; `u32::MAX` without a path.
    fn hops(&self, target: u32) -> Vec<u32> {
        let mut hops = vec![u32::MAX; self.next.len()];
        hops[target as usize] = 0;
        let mut queue = VecDeque::from([target]);
        while let Some(node) = queue.pop_front() {
            for &(other, _, _) in &self.next[node as usize] {
                if hops[other as usize] == u32::MAX {
                    hops[other as usize] = hops[node as usize] + 1;
                    queue.push_back(other);
                }
            }
        }
        hops
    }

    /// Directed links `2·edge + way` with the share of a flow on each, and the longest latency.
    fn route(&self, from: u32, hops: &[u32]) -> Result<(BTreeMap<u32, f64>, u64), String> {
        let mut shares = BTreeMap::new();
        let mut at: BTreeMap<u32, (f64, u64)> = BTreeMap::from([(from, (1.0, 0))]);
        let mut latency = 0;
        for left in (1..=hops[from as usize]).rev() {
            let mut further: BTreeMap<u32, (f64, u64)> = BTreeMap::new();
            for (node, (share, so_far)) in at {
                let closer = |n: &&(u32, u32, bool)| hops[n.0 as usize] == left - 1;
                let ways = self.next[node as usize].iter().filter(closer).count() as f64;
                for &(other, edge, forward) in self.next[node as usize].iter().filter(closer) {
                    let link = &self.graph.links[self.graph.edges[edge as usize].2 as usize];
                    let Some(own) = link.latency_ps else {
                        return Err(format!("link `{}` has no latency, and is used", link.name));
                    };
                    *shares.entry(2 * edge + u32::from(forward)).or_insert(0.0) += share / ways;
                    let place = further.entry(other).or_insert((0.0, 0));
                    place.0 += share / ways;
                    place.1 = place.1.max(so_far + own);
                    latency = latency.max(so_far + own);
                }
            }
            at = further;
        }
        Ok((shares, latency))
    }

    fn flows(&self, transfers: &Transfers) -> Result<FlowSet, String> {
        let mut set = FlowSet::new();
        let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
        let mut by_target: BTreeMap<u64, Vec<(u64, f64)>> = BTreeMap::new();
        for &(from, to, bytes) in transfers.iter().filter(|t| t.0 != t.1 && t.2 > 0.0) {
            by_target.entry(to).or_default().push((from, bytes));
        }
        for (to, sources) in by_target {
            let hops = self.hops(self.node(to)?);
            for (from, bytes) in sources {
                let node = self.node(from)?;
                if hops[node as usize] == u32::MAX {
                    return Err(format!("no path from rank {from} to rank {to}"));
                }
                let (shares, latency_ps) = self.route(node, &hops)?;
                for (directed, share) in shares {
                    let kind = self.graph.edges[directed as usize / 2].2;
                    let link = &self.graph.links[kind as usize];
                    let rate = link.bytes_per_s.filter(|r| *r > 0.0);
                    let Some(rate) = rate else {
                        let name = &link.name;
                        return Err(format!("link `{name}` has no bandwidth in bits or bytes"));
                    };
                    let number = *numbers.entry(directed).or_insert_with(|| {
                        set.capacity.push(rate);
                        set.link_id.push(directed);
                        set.capacity.len() as u32 - 1
                    });
                    set.link.push(number);
                    set.weight.push(share);
                }
                set.first.push(set.link.len() as u32);
                set.count.push(1.0);
                set.bytes.push(bytes);
                set.latency_ps.push(latency_ps);
            }
        }
        Ok(set)
    }

    fn node(&self, rank: u64) -> Result<u32, String> {
        let ranks = &self.graph.ranks;
        ranks.get(rank as usize).copied().ok_or_else(|| {
            format!("rank `{rank}` has no xpu: the infrastructure has {}", ranks.len())
        })
    }

    fn time(&self, transfers: &Transfers) -> Result<u64, String> {
        let flows = self.flows(transfers)?;
        // At worst every flow crosses one link.
        crate::price::bearable(flows.bytes.iter().sum(), &flows.capacity)?;
        Ok(transfer(&flows).finish_ps)
    }

    /// A reduce-scatter or an all-gather: the faster of a ring and of everyone with everyone.
    fn half(&self, ranks: &[u64], bytes: f64) -> Result<u64, String> {
        let n = ranks.len();
        let part = bytes / n as f64;
        let next = |i: usize| ranks[(i + 1) % n];
        let ring = (0..n).map(|i| (ranks[i], next(i), part)).collect();
        let ring = self.time(&ring)?.saturating_mul(n as u64 - 1);
        if n > MOST_DIRECT {
            return Ok(ring);
        }
        Ok(ring.min(self.time(&pairs(ranks, part))?))
    }
}

/// Everyone to everyone else.
fn pairs(ranks: &[u64], bytes: f64) -> Transfers {
    let from = |a: u64| ranks.iter().filter(move |b| **b != a).map(move |b| (a, *b, bytes));
    ranks.iter().flat_map(|a| from(*a)).collect()
}

impl Price for OnInfraGraph {
    fn collective(&self, operation: Operation, bytes: u64, ranks: &[u64]) -> Result<u64, String> {
        let (n, size) = (ranks.len(), bytes as f64);
        if n < 2 || bytes == 0 && operation != Operation::Barrier {
            return Ok(0);
        }
        match operation {
            Operation::Of(Collective::AllReduce) => Ok(2 * self.half(ranks, size)?),
            Operation::Barrier => Ok(2 * self.half(ranks, 8.0)?),
            Operation::Of(Collective::AllGather | Collective::ReduceScatter) => {
                self.half(ranks, size)
            }
            // A part to each, then an all-gather of the parts.
            Operation::Broadcast => {
                let part = size / n as f64;
                let scatter = ranks[1..].iter().map(|to| (ranks[0], *to, part)).collect();
                Ok(self.time(&scatter)? + self.half(ranks, size)?)
            }
            Operation::Of(Collective::AllToAll) if n <= MOST_DIRECT => {
                self.time(&pairs(ranks, size / n as f64))
            }
            Operation::Of(Collective::AllToAll) => {
                Err(format!("an all-to-all of {n} ranks, more than {MOST_DIRECT}"))
            }
            Operation::Of(Collective::SendRecv) => Err("not a collective".to_owned()),
        }
    }

    fn send(&self, from: u64, to: u64, bytes: u64) -> Result<u64, String> {
        self.time(&vec![(from, to, bytes as f64)])
    }

    fn compute(&self, flop: u64, bytes: u64) -> Result<u64, String> {
        crate::price::roofline(flop, bytes, self.flop_per_s, self.memory_bytes_per_s)
    }
}
