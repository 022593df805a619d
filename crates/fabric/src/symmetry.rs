//! Translations of a graph that leave it as it is, and all-pairs traffic folded by them.
//!
//! A regular composition looks the same from every endpoint. The candidates (one step along the
//! coordinate of each level) are proposed by the composition and then checked link by link, so a
//! graph that is not symmetric is never folded as if it were.

use crate::fold::fold;
use crate::graph::{Graph, tier_index};
use crate::route::{Router, Routing};
use crate::share::FlowSet;

/// Most entries of the table from destinations to link classes.
const MAX_TABLE: usize = 1 << 26;

/// Most pairs of an endpoint of one instance and a destination that are laid out.
const MAX_PAIRS: usize = 1 << 22;

/// Most different shifts of one pattern that are looked for.
const MAX_SHIFTS: usize = 64;

/// A group of translations that leave the graph as it is: under all of them, all endpoints are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Symmetry {
    /// Class of every link: its orbit.
    pub link_class: Vec<u32>,
    /// Links of each class.
    pub members: Vec<u32>,
    /// Rate of a link of each class. Bytes/s.
    pub bytes_per_s: Vec<f64>,
    /// One link of each class.
    pub example: Vec<u32>,
    /// Translations.
    pub translations: u32,
}

/// Destinations that a source reaches over the same mix of link classes.
#[derive(Clone, Debug, PartialEq)]
pub struct PairClass {
    /// Destinations of one source.
    pub count: u64,
    /// Mean number of links of each class on the way.
    pub footprint: Vec<(u32, f64)>,
    /// Time over the longest way. Picoseconds.
    pub latency_ps: u64,
}

/// Node `node` moved by the coordinates of endpoint `by`.
fn moved(graph: &Graph, node: u32, by: u32) -> u32 {
    if by == 0 {
        return node;
    }
    let tier = graph.tier_of(node);
    let within = node - tier.first;
    let (mut group, copy) = (within / tier.copies, within % tier.copies);
    let (mut rest, mut index, mut scale) = (by, 0, 1);
    for (fan, present) in graph.fans.iter().zip(&tier.present) {
        if *present {
            index += (group % fan + rest % fan) % fan * scale;
            group /= fan;
            scale *= fan;
        }
        rest /= fan;
    }
    tier.first + index * tier.copies + copy
}

/// Every node moved by one along the coordinate of `level`.
fn one_on(graph: &Graph, level: usize) -> Vec<u32> {
    let mut to: Vec<u32> = (0..graph.nodes()).collect();
    for tier in graph.tiers.iter().filter(|tier| tier.present[level]) {
        let within = graph.fans.iter().zip(&tier.present).take(level).filter(|(_, p)| **p);
        let step = tier.copies as usize * within.map(|(fan, _)| *fan as usize).product::<usize>();
        let nodes = tier.first as usize..(tier.first + tier.count) as usize;
        for round in to[nodes].chunks_exact_mut(step * graph.fans[level] as usize) {
            round.rotate_left(step);
        }
    }
    to
}

/// The image of a link under a translation `moved` of nodes, if it is an equal link.
fn image(graph: &Graph, link: usize, moved: impl Fn(u32) -> u32) -> Option<usize> {
    let candidate = |l: usize| {
        let (from, to) = (graph.from[l], graph.to[l]);
        let at = graph.out(moved(from)).nth(l - graph.first[from as usize] as usize)?;
        (graph.to[at] == moved(to)).then_some(at)
    };
    let found = candidate(link)
        .or_else(|| candidate(graph.reverse(link)).map(|back| graph.reverse(back)))?;
    let same = graph.bytes_per_s[found] == graph.bytes_per_s[link]
        && graph.wire[found] == graph.wire[link]
        && graph.to[found] == moved(graph.to[link]);
    same.then_some(found)
}

impl Symmetry {
    /// The translations of `graph`, if every one of them is an automorphism.
    pub fn find(graph: &Graph) -> Option<Self> {
        Self::along(graph, 0).map(|found| found.0)
    }

    /// The translations along `level` and those around it, if every one of them is an automorphism; and
    /// for each node, whether they keep the order of the links that leave it.
    fn along(graph: &Graph, level: usize) -> Option<(Self, Vec<bool>)> {
        if graph.dead[..graph.endpoints as usize].iter().any(|d| *d) {
            return None;
        }
        let mut orbit: Vec<u32> = (0..graph.links() as u32).collect();
        let mut ordered = vec![true; graph.nodes() as usize];
        for level in (level..graph.fans.len()).filter(|l| graph.fans[*l] > 1) {
            // Each node once: links are many more.
            let to = one_on(graph, level);
            for node in 0..graph.nodes() {
                let there = graph.out(to[node as usize]);
                for (place, link) in graph.out(node).enumerate() {
                    // Nearly always the one in the same place.
                    let at = there.start + place;
                    let like = at < there.end
                        && graph.to[at] == to[graph.to[link] as usize]
                        && graph.bytes_per_s[at] == graph.bytes_per_s[link]
                        && graph.wire[at] == graph.wire[link];
                    let other = if like {
                        at
                    } else {
                        ordered[node as usize] = false;
                        image(graph, link, |node| to[node as usize])?
                    };
                    join(&mut orbit, link as u32, other as u32);
                }
            }
        }
        // A link points at one before it in its orbit, or is the first: what it points at has its class.
        let (mut members, mut bytes_per_s, mut example) = (Vec::new(), Vec::new(), Vec::new());
        for link in 0..orbit.len() {
            let known = orbit[link] as usize;
            if known == link {
                orbit[link] = members.len() as u32;
                members.push(0);
                bytes_per_s.push(graph.bytes_per_s[link]);
                example.push(link as u32);
            } else {
                orbit[link] = orbit[known];
            }
            members[orbit[link] as usize] += 1;
        }
        let translations = graph.fans[level..].iter().product();
        let found = Self { link_class: orbit, members, bytes_per_s, example, translations };
        Some((found, ordered))
    }

    /// All destinations of a source by what they use; `None` for a way of routing that does not
    /// look the same from everywhere or a table too large.
    pub fn pairs(&self, graph: &Graph, routing: Routing) -> Option<Vec<PairClass>> {
        let split = match routing {
            Routing::Split => true,
            Routing::First => false,
            _ => return None,
        };
        let classes = self.members.len();
        let nodes = graph.nodes() as usize;
        if classes.checked_mul(nodes)? > MAX_TABLE {
            return None;
        }
        let mut hops = vec![u32::MAX; nodes];
        let mut ways = vec![0.0_f64; nodes];
        let mut latency = vec![0_u64; nodes];
        let mut table = vec![0.0_f64; nodes * classes];
        let mut queue = vec![0_u32];
        (hops[0], ways[0]) = (0, 1.0);
        let mut head = 0;
        while head < queue.len() {
            let node = queue[head] as usize;
            head += 1;
            // Sums over ways become means once a node's predecessors are all done, which they are
            // when it is taken from the queue.
            for entry in &mut table[node * classes..(node + 1) * classes] {
                *entry /= ways[node];
            }
            for link in graph.out(node as u32).filter(|l| graph.bytes_per_s[*l] > 0.0) {
                let next = graph.to[link] as usize;
                if hops[next] == u32::MAX {
                    hops[next] = hops[node] + 1;
                    queue.push(next as u32);
                } else if hops[next] != hops[node] + 1 || !split {
                    continue;
                }
                ways[next] += ways[node];
                latency[next] = latency[next].max(latency[node] + graph.latency_ps(link));
                for class in 0..classes {
                    table[next * classes + class] += ways[node] * table[node * classes + class];
                }
                table[next * classes + self.link_class[link] as usize] += ways[node];
            }
        }
        Some(grouped(graph.endpoints as usize, classes, &table, &latency))
    }

    /// Transfers that are the same seen from every endpoint, as flows of one source on a source's
    /// share of links; `None` if they are not the same, or not routed the same, from everywhere.
    pub fn shifts(
        &self,
        graph: &Graph,
        routing: Routing,
        transfers: &[(u32, u32, f64)],
        acknowledgement: f64,
    ) -> Option<FlowSet> {
        if !routing.is_equivariant() {
            return None;
        }
        let mut set = self.shared();
        let mut router = Router::new(graph, routing, None);
        for (ahead, bytes) in common_shifts(graph, transfers)? {
            let (route, latency) = router.route(0, ahead)?;
            let mut row: Vec<(u32, f64)> =
                route.iter().map(|(l, w)| (self.link_class[*l as usize], *w)).collect();
            self.acknowledge(graph, &mut row, acknowledgement);
            push_row(&mut set, &mut row);
            set.close(1.0, bytes, latency);
        }
        Some(set)
    }

    /// The share of all links of a class that one of the alike has. Bytes/s.
    fn share(&self, class: usize) -> f64 {
        self.bytes_per_s[class] * f64::from(self.members[class]) / f64::from(self.translations)
    }

    /// No flows yet, on the shares of all classes.
    fn shared(&self) -> FlowSet {
        let capacity = (0..self.members.len()).map(|c| self.share(c)).collect();
        FlowSet { capacity, link_id: self.example.clone(), ..FlowSet::new() }
    }

    /// Adds to a row what its acknowledgements take on the way back.
    fn acknowledge(&self, graph: &Graph, row: &mut Vec<(u32, f64)>, share: f64) {
        if share > 0.0 {
            for at in 0..row.len() {
                let (class, weight) = row[at];
                let back = graph.reverse(self.example[class as usize] as usize);
                row.push((self.link_class[back], weight * share));
            }
        }
    }

    /// All-pairs traffic of `bytes` a pair, as flows of one source on a source's share of links.
    pub fn all_pairs(
        &self,
        graph: &Graph,
        routing: Routing,
        bytes: f64,
        acknowledgement: f64,
    ) -> Option<FlowSet> {
        let classes = self.pairs(graph, routing)?;
        let mut set = self.shared();
        for pair in &classes {
            let mut row = pair.footprint.clone();
            self.acknowledge(graph, &mut row, acknowledgement);
            push_row(&mut set, &mut row);
            set.close(pair.count as f64, bytes, pair.latency_ps);
        }
        Some(set)
    }
}

/// All-pairs traffic of `bytes` a pair whose ways depend on the destination's number
/// ([`Routing::Modulo`]), as flows from the endpoints of one instance of a level on their share of links;
/// `None` if no level's instances are alike so, or they are too large.
///
/// Proof. Translations along a level and those around it move an endpoint's number by multiples of the
/// endpoints inside the level. Where these are a multiple of the number of equal next hops wherever there
/// are several, and links there keep their order, a moved pair takes the moved way.
pub(crate) fn pairs_by_number(graph: &Graph, bytes: f64, acknowledgement: f64) -> Option<FlowSet> {
    let mut inside = 1;
    (1..graph.fans.len()).find_map(|level| {
        inside *= graph.fans[level - 1];
        if inside as usize * graph.endpoints as usize > MAX_PAIRS {
            return None;
        }
        let (symmetry, ordered) = Symmetry::along(graph, level)?;
        // Links that are alike have alike ways back, which the acknowledgements take.
        let class = |link: usize| symmetry.link_class[link] as usize;
        let back = |link: usize| class(graph.reverse(link));
        let alike = |link| back(link) == back(symmetry.example[class(link)] as usize);
        if !(0..graph.links()).all(alike) {
            return None;
        }
        let mut in_order = vec![true; symmetry.members.len()];
        for link in 0..graph.links() {
            in_order[class(link)] &= ordered[graph.from[link] as usize];
        }
        let mut router = Router::new(graph, Routing::Modulo, None);
        let (mut route, mut row) = (Vec::new(), Vec::new());
        let mut set = symmetry.shared();
        for to in 0..graph.endpoints {
            for from in (0..inside).filter(|from| *from != to) {
                let latency = router.route_into(from, to, &mut route)?;
                let kept = |(link, equal): (u32, u32)| {
                    inside.is_multiple_of(equal) && in_order[class(link as usize)]
                };
                if !router.forks.iter().copied().all(kept) {
                    return None;
                }
                row.clear();
                row.extend(route.iter().map(|(l, w)| (symmetry.link_class[*l as usize], *w)));
                symmetry.acknowledge(graph, &mut row, acknowledgement);
                push_row(&mut set, &mut row);
                set.close(1.0, bytes, latency);
            }
        }
        Some(fold(&set).set)
    })
}

/// Displacements and sizes such that every endpoint sends exactly one transfer of each.
fn common_shifts(graph: &Graph, transfers: &[(u32, u32, f64)]) -> Option<Vec<(u32, f64)>> {
    let n = graph.endpoints as usize;
    let groups = transfers.len().checked_div(n).filter(|g| (1..=MAX_SHIFTS).contains(g))?;
    if groups * n != transfers.len() {
        return None;
    }
    let mut found: Vec<(u32, f64)> = Vec::with_capacity(groups);
    let mut seen = vec![false; groups * n];
    for &(from, to, bytes) in transfers {
        if from as usize >= n || to as usize >= n {
            return None;
        }
        let key = (displacement(graph, from, to), bytes);
        let group = found.iter().position(|f| *f == key).unwrap_or(found.len());
        if group == found.len() {
            found.push(key);
        }
        let mark = seen.get_mut(group * n + from as usize)?;
        if std::mem::replace(mark, true) {
            return None;
        }
    }
    Some(found)
}

/// Adds a row with each link once.
pub(crate) fn push_row(set: &mut FlowSet, row: &mut [(u32, f64)]) {
    row.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let start = set.link.len();
    for &(link, weight) in row.iter() {
        if set.link.len() > start && set.link.last() == Some(&link) {
            if let Some(last) = set.weight.last_mut() {
                *last += weight;
            }
        } else {
            set.link.push(link);
            set.weight.push(weight);
        }
    }
}

/// Destinations with equal rows of the table.
fn grouped(endpoints: usize, classes: usize, table: &[f64], latency: &[u64]) -> Vec<PairClass> {
    // Equal mixes may differ by rounding: compare to a billionth.
    let rounded: Vec<i64> = table.iter().map(|e| (e * 1e9).round() as i64).collect();
    let key = |node: usize| &rounded[node * classes..(node + 1) * classes];
    let mut order: Vec<u32> = (1..endpoints as u32).collect();
    let compare = |a: usize, b: usize| key(a).cmp(key(b)).then(latency[a].cmp(&latency[b]));
    order.sort_by(|a, b| compare(*a as usize, *b as usize));
    let mut out: Vec<PairClass> = Vec::new();
    let mut last = 0;
    for &node in &order {
        let node = node as usize;
        if let Some(group) = out.last_mut().filter(|_| compare(last, node).is_eq()) {
            group.count += 1;
        } else {
            let footprint = (0..classes)
                .map(|c| (c as u32, table[node * classes + c]))
                .filter(|e| e.1 > 0.0)
                .collect();
            out.push(PairClass { count: 1, footprint, latency_ps: latency[node] });
        }
        last = node;
    }
    out
}

fn root(orbit: &mut [u32], mut link: u32) -> u32 {
    while orbit[link as usize] != link {
        orbit[link as usize] = orbit[orbit[link as usize] as usize];
        link = orbit[link as usize];
    }
    link
}

fn join(orbit: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(orbit, a), root(orbit, b));
    orbit[a.max(b) as usize] = a.min(b);
}

/// Moves a route from endpoint 0's point of view to that of endpoint `by`.
pub(crate) fn translated(graph: &Graph, link: u32, by: u32) -> Option<u32> {
    image(graph, link as usize, |node| moved(graph, node, by)).map(|l| l as u32)
}

/// The endpoint that lies `ahead` of `from`: coordinates added.
pub(crate) fn ahead_of(graph: &Graph, from: u32, ahead: u32) -> u32 {
    moved(graph, from, ahead)
}

/// The endpoint at `to` seen from `from`: coordinates subtracted.
pub(crate) fn displacement(graph: &Graph, from: u32, to: u32) -> u32 {
    let (mut a, mut b, mut out, mut step) = (from, to, 0, 1);
    for &fan in &graph.fans {
        // Division is slow, and the outermost level needs none.
        let beyond = |at: u32| if at < fan { 0 } else { at / fan };
        let (next_a, next_b) = (beyond(a), beyond(b));
        let (here, there) = (a - next_a * fan, b - next_b * fan);
        let ahead = if there < here { there + fan - here } else { there - here };
        out += ahead * step;
        (a, b, step) = (next_a, next_b, step * fan);
    }
    debug_assert!(tier_index(&graph.fans, &graph.tiers[0], out) == out);
    out
}
