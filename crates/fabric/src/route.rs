//! Paths: shortest, all shortest, by destination, hashed, and UB-Mesh's detour and borrow.

use crate::graph::Graph;
use crate::share::FlowSet;
use crate::symmetry::{Symmetry, displacement, push_row, translated};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;

/// How a flow finds its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// One shortest path, ties to the link laid first (on a ring: clockwise).
    First,
    /// All shortest paths at once, each carrying the same share.
    Split,
    /// One shortest path; among equal next hops, the one of the destination's number modulo their
    /// count (D-mod-k of fat trees).
    Modulo,
    /// One shortest path; among equal next hops, one drawn for the pair. Collisions happen.
    Ecmp {
        /// Seed of the draws.
        seed: u64,
    },
    /// All paths of at most one link more than the shortest (UB-Mesh's detour through another
    /// member of a mesh), each carrying the same share.
    Detour,
    /// The shortest path and, at the same time, the shortest through switches (UB-Mesh's borrow),
    /// in proportion to the rate of each's thinnest link.
    Borrow,
}

impl Routing {
    /// Whether routes may be taken to be translations of those from one endpoint.
    pub(crate) fn is_equivariant(self) -> bool {
        matches!(self, Self::First | Self::Split | Self::Detour | Self::Borrow)
    }
}

/// A path or a bundle of paths: links with the share of the flow on each.
pub type Route = Vec<(u32, f64)>;

/// Finds routes on one graph; keeps what it found where the graph is symmetric.
pub struct Router<'a> {
    graph: &'a Graph,
    routing: Routing,
    symmetry: Option<&'a Symmetry>,
    known: BTreeMap<u32, Option<(Route, u64)>>,
    search: Search,
    equal: Vec<usize>,
    /// Links that the last search took among several equal ones, and of how many.
    pub(crate) forks: Vec<(u32, u32)>,
}

/// A breadth-first search towards a destination, kept for the next source.
struct Search {
    target: u32,
    stamp: u32,
    seen: Vec<u32>,
    hops: Vec<u32>,
    ways: Vec<f64>,
    queue: Vec<u32>,
    head: usize,
    /// The link taken out of each node, where it depends on the target alone.
    taken: Vec<(u32, u32)>,
}

impl<'a> Router<'a> {
    /// A router; `symmetry` of the same graph, if it has any, lets it reuse routes.
    pub fn new(graph: &'a Graph, routing: Routing, symmetry: Option<&'a Symmetry>) -> Self {
        let nodes = graph.nodes() as usize;
        let search = Search {
            target: u32::MAX,
            stamp: 0,
            seen: vec![0; nodes],
            hops: vec![0; nodes],
            ways: vec![0.0; nodes],
            queue: Vec::new(),
            head: 0,
            taken: vec![(0, 0); nodes],
        };
        Self {
            graph,
            routing,
            symmetry,
            known: BTreeMap::new(),
            search,
            equal: Vec::new(),
            forks: Vec::new(),
        }
    }

    /// The route from one endpoint to another and its time without bytes; `None` if there is none.
    pub fn route(&mut self, from: u32, to: u32) -> Option<(Route, u64)> {
        let mut route = Vec::with_capacity(8);
        let latency = self.route_into(from, to, &mut route)?;
        Some((route, latency))
    }

    /// [`Router::route`] into `route`, whatever it held.
    pub(crate) fn route_into(&mut self, from: u32, to: u32, route: &mut Route) -> Option<u64> {
        route.clear();
        self.forks.clear();
        if from == to {
            return Some(0);
        }
        // Only chips have coordinates of their own; a switch is found by searching.
        let chips = from.max(to) < self.graph.endpoints;
        if chips && self.symmetry.is_some() && self.routing.is_equivariant() {
            // Bundles of all paths are looked for towards endpoint 0, so that one search serves every
            // displacement. A single path breaks ties by the links at its source, and starts there.
            let inward = self.routing != Routing::First;
            let ahead = displacement(self.graph, from, to);
            if !self.known.contains_key(&ahead) {
                let found = if inward {
                    self.find(displacement(self.graph, to, from), 0)
                } else {
                    self.find(0, ahead)
                };
                self.known.insert(ahead, found);
            }
            let by = if inward { to } else { from };
            let (found, latency) = self.known[&ahead].as_ref()?;
            for (link, weight) in found {
                route.push((translated(self.graph, *link, by)?, *weight));
            }
            return Some(*latency);
        }
        self.find_into(from, to, route)
    }

    fn find(&mut self, from: u32, to: u32) -> Option<(Route, u64)> {
        let mut route = Vec::new();
        let latency = self.find_into(from, to, &mut route)?;
        Some((route, latency))
    }

    fn find_into(&mut self, from: u32, to: u32, route: &mut Route) -> Option<u64> {
        let (found, latency) = match self.routing {
            Routing::First => return self.single(from, to, false, route, |_| 0),
            Routing::Modulo => return self.single(from, to, false, route, |n| to as usize % n),
            Routing::Ecmp { seed } => {
                let pair = u64::from(from) << 32 | u64::from(to);
                let mut random = Pcg64Mcg::seed_from_u64(seed ^ pair.wrapping_mul(0x9e37_79b9));
                let draw = move |n| (random.next_u64() % n as u64) as usize;
                return self.single(from, to, true, route, draw);
            }
            Routing::Split => self.split(from, to, false)?,
            Routing::Detour => self.detour(from, to)?,
            Routing::Borrow => self.borrow(from, to)?,
        };
        *route = found;
        Some(latency)
    }

    /// Distances to `to`, as far out as `from`.
    fn reach(&mut self, from: u32, to: u32) -> Option<u32> {
        let (graph, s) = (self.graph, &mut self.search);
        if s.target != to {
            s.target = to;
            s.stamp += 1;
            s.queue.clear();
            s.queue.push(to);
            s.head = 0;
            s.seen[to as usize] = s.stamp;
            s.hops[to as usize] = 0;
            s.ways[to as usize] = 1.0;
        }
        let done = |s: &Search| {
            // A node's ways are complete when all nodes nearer have been taken.
            s.seen[from as usize] == s.stamp
                && s.queue.get(s.head).is_none_or(|n| s.hops[*n as usize] >= s.hops[from as usize])
        };
        while !done(s) {
            let node = *s.queue.get(s.head)?;
            s.head += 1;
            for out in graph.out(node) {
                // Walk links backwards: into `node`.
                let link = graph.reverse(out);
                if graph.bytes_per_s[link] <= 0.0 {
                    continue;
                }
                let prior = graph.from[link] as usize;
                if s.seen[prior] != s.stamp {
                    s.seen[prior] = s.stamp;
                    s.hops[prior] = s.hops[node as usize] + 1;
                    s.ways[prior] = 0.0;
                    s.queue.push(prior as u32);
                }
                if s.hops[prior] == s.hops[node as usize] + 1 {
                    s.ways[prior] += s.ways[node as usize];
                }
            }
        }
        Some(s.hops[from as usize])
    }

    /// Links out of `node` that lie on a shortest path to the search's target.
    fn next(&self, node: u32) -> impl Iterator<Item = usize> + '_ {
        let (graph, s) = (self.graph, &self.search);
        graph.out(node).filter(move |&l| {
            let to = graph.to[l] as usize;
            graph.bytes_per_s[l] > 0.0
                && s.seen[to] == s.stamp
                && s.hops[to] + 1 == s.hops[node as usize]
        })
    }

    fn single(
        &mut self,
        from: u32,
        to: u32,
        by_pair: bool,
        route: &mut Route,
        mut choose: impl FnMut(usize) -> usize,
    ) -> Option<u64> {
        self.reach(from, to)?;
        let (mut node, mut latency) = (from, 0);
        while node != to {
            let (stamp, known) = self.search.taken[node as usize];
            let link = if stamp == self.search.stamp && !by_pair {
                known as usize
            } else {
                let mut equal = std::mem::take(&mut self.equal);
                equal.clear();
                equal.extend(self.next(node));
                let link = *equal.get(choose(equal.len()))?;
                if equal.len() > 1 && !by_pair {
                    self.forks.push((link as u32, equal.len() as u32));
                }
                self.equal = equal;
                self.search.taken[node as usize] = (self.search.stamp, link as u32);
                link
            };
            route.push((link as u32, 1.0));
            latency += self.graph.latency_ps(link);
            node = self.graph.to[link];
        }
        Some(latency)
    }

    /// All shortest paths; with `switched`, only those whose first link leads to a switch.
    fn split(&mut self, from: u32, to: u32, switched: bool) -> Option<(Route, u64)> {
        self.reach(from, to)?;
        let mut route: BTreeMap<u32, f64> = BTreeMap::new();
        let mut layer: BTreeMap<u32, (f64, u64)> = BTreeMap::from([(from, (1.0, 0))]);
        let mut longest = 0;
        while !layer.is_empty() {
            let mut beyond: BTreeMap<u32, (f64, u64)> = BTreeMap::new();
            for (&node, &(share, latency)) in &layer {
                if node == to {
                    longest = latency.max(longest);
                    continue;
                }
                let usable = |l: &usize| {
                    !switched || node != from || self.graph.to[*l] >= self.graph.endpoints
                };
                let ways: f64 = self
                    .next(node)
                    .filter(&usable)
                    .map(|l| self.search.ways[self.graph.to[l] as usize])
                    .sum();
                for link in self.next(node).filter(&usable) {
                    let next = self.graph.to[link];
                    let part = share * self.search.ways[next as usize] / ways;
                    *route.entry(link as u32).or_default() += part;
                    let entry = beyond.entry(next).or_default();
                    entry.0 += part;
                    entry.1 = entry.1.max(latency + self.graph.latency_ps(link));
                }
            }
            layer = beyond;
        }
        (!route.is_empty()).then(|| (route.into_iter().collect(), longest))
    }

    /// The shortest paths, and through each neighbour that is as far from `to` as `from` is.
    fn detour(&mut self, from: u32, to: u32) -> Option<(Route, u64)> {
        let hops = self.reach(from, to)?;
        let (straight, mut latency) = self.split(from, to, false)?;
        let graph = self.graph;
        let aside: Vec<usize> = graph
            .out(from)
            .filter(|&l| graph.bytes_per_s[l] > 0.0 && graph.to[l] < graph.endpoints)
            .collect();
        let mut bundles = vec![(self.search.ways[from as usize], straight)];
        for link in aside {
            let via = graph.to[link];
            if via == to || self.reach(via, to)? != hops {
                continue;
            }
            let ways = self.search.ways[via as usize];
            let (mut route, time) = self.split(via, to, false)?;
            route.push((link as u32, 1.0));
            latency = latency.max(time + graph.latency_ps(link));
            bundles.push((ways, route));
        }
        Some((blended(&bundles), latency))
    }

    fn borrow(&mut self, from: u32, to: u32) -> Option<(Route, u64)> {
        let (straight, mut latency) = self.split(from, to, false)?;
        let graph = self.graph;
        let Some((around, time)) = self.through_switches(from, to) else {
            return Some((straight, latency));
        };
        let thinnest = |route: &Route| {
            route
                .iter()
                .map(|(l, w)| graph.bytes_per_s[*l as usize] / w)
                .fold(f64::INFINITY, f64::min)
        };
        latency = latency.max(time);
        let bundles = [(thinnest(&straight), straight), (thinnest(&around), around)];
        Some((blended(&bundles), latency))
    }

    /// The shortest paths that go up into a switch at once and come down at the destination.
    fn through_switches(&self, from: u32, to: u32) -> Option<(Route, u64)> {
        let graph = self.graph;
        let alive = |l: usize| graph.bytes_per_s[l] > 0.0;
        // Breadth first over switches alone.
        let mut hops: BTreeMap<u32, (u32, f64)> = BTreeMap::from([(from, (0, 1.0))]);
        let mut layer = vec![from];
        let mut depth = 0;
        while !layer.is_empty() && !hops.contains_key(&to) {
            depth += 1;
            let mut beyond = Vec::new();
            for &node in &layer {
                let ways = hops[&node].1;
                for link in graph.out(node).filter(|l| alive(*l)) {
                    let next = graph.to[link];
                    if next < graph.endpoints && (next != to || node == from) {
                        continue;
                    }
                    let entry = hops.entry(next).or_insert_with(|| {
                        beyond.push(next);
                        (depth, 0.0)
                    });
                    if entry.0 == depth {
                        entry.1 += ways;
                    }
                }
            }
            layer = beyond;
        }
        let (_, total) = *hops.get(&to)?;
        let (mut route, mut latency) = (BTreeMap::new(), 0);
        let mut back: BTreeMap<u32, f64> = BTreeMap::from([(to, 1.0)]);
        for depth in (0..hops[&to].0).rev() {
            let (mut nearer, mut slowest) = (BTreeMap::new(), 0);
            for (&node, &share) in &back {
                let ways = if node == to { total } else { hops[&node].1 };
                for out in graph.out(node) {
                    let link = graph.reverse(out);
                    let prior = graph.from[link];
                    let Some(&(d, w)) = hops.get(&prior).filter(|h| h.0 == depth) else { continue };
                    if !alive(link) || (prior < graph.endpoints && d > 0) {
                        continue;
                    }
                    let part = share * w / ways;
                    *route.entry(link as u32).or_insert(0.0) += part;
                    *nearer.entry(prior).or_insert(0.0) += part;
                    slowest = slowest.max(graph.latency_ps(link));
                }
            }
            latency += slowest;
            back = nearer;
        }
        Some((route.into_iter().collect(), latency))
    }
}

/// Bundles of paths in the given proportions.
fn blended(bundles: &[(f64, Route)]) -> Route {
    let total: f64 = bundles.iter().map(|b| b.0).sum();
    let mut sum: BTreeMap<u32, f64> = BTreeMap::new();
    for (share, route) in bundles {
        for (link, weight) in route {
            *sum.entry(*link).or_default() += weight * share / total;
        }
    }
    sum.into_iter().collect()
}

/// Builds flow sets from transfers.
pub(crate) struct FlowBuilder<'a> {
    graph: &'a Graph,
    local: Vec<u32>,
    set: FlowSet,
    acknowledgement: f64,
    row: Route,
}

impl<'a> FlowBuilder<'a> {
    pub fn new(graph: &'a Graph, acknowledgement: f64) -> Self {
        Self {
            graph,
            local: vec![u32::MAX; graph.links()],
            set: FlowSet::new(),
            acknowledgement,
            row: Vec::new(),
        }
    }

    pub fn push(&mut self, route: &Route, bytes: f64, latency_ps: u64) {
        self.row.clear();
        for &(link, weight) in route {
            let at = self.local(link as usize);
            self.row.push((at, weight));
            if self.acknowledgement > 0.0 {
                let back = self.local(self.graph.reverse(link as usize));
                self.row.push((back, weight * self.acknowledgement));
            }
        }
        push_row(&mut self.set, &mut self.row);
        self.set.close(1.0, bytes, latency_ps);
    }

    /// Links crossed by all flows so far, one by one.
    pub fn hops(&self) -> usize {
        self.set.link.len()
    }

    fn local(&mut self, link: usize) -> u32 {
        if self.local[link] == u32::MAX {
            self.local[link] = self.set.capacity.len() as u32;
            self.set.capacity.push(self.graph.bytes_per_s[link]);
            self.set.link_id.push(link as u32);
        }
        self.local[link]
    }

    pub fn finish(self) -> FlowSet {
        self.set
    }
}
