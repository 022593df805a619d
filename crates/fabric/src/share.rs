//! Max-min fair sharing of links by progressive filling.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Flows and the links they use, in compressed rows; links are numbered anew from 0.
///
/// A flow may stand for `count` equal ones, and uses `weight` of its rate on a link: less than 1
/// where it is split over paths, the share of acknowledgements on the way back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowSet {
    /// Capacity of each link. Bytes/s.
    pub capacity: Vec<f64>,
    /// The graph's number of each link.
    pub link_id: Vec<u32>,
    /// Start of each flow's row.
    pub first: Vec<u32>,
    /// Links of all rows.
    pub link: Vec<u32>,
    /// Share of the flow's rate on the link.
    pub weight: Vec<f64>,
    /// Equal flows each stands for.
    pub count: Vec<f64>,
    /// Bytes of each.
    pub bytes: Vec<f64>,
    /// Time from the last byte sent to the last byte there. Picoseconds.
    pub latency_ps: Vec<u64>,
}

impl FlowSet {
    /// No flows.
    pub fn new() -> Self {
        Self { first: vec![0], ..Self::default() }
    }

    /// Number of (distinct) flows.
    pub fn len(&self) -> usize {
        self.count.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count.is_empty()
    }

    /// The row of a flow: links and weights.
    pub fn row(&self, flow: usize) -> impl Iterator<Item = (u32, f64)> + '_ {
        let range = self.first[flow] as usize..self.first[flow + 1] as usize;
        self.link[range.clone()].iter().copied().zip(self.weight[range].iter().copied())
    }

    /// Adds a flow whose row has been pushed onto `link` and `weight`.
    pub(crate) fn close(&mut self, count: f64, bytes: f64, latency_ps: u64) {
        self.first.push(self.link.len() as u32);
        self.count.push(count);
        self.bytes.push(bytes);
        self.latency_ps.push(latency_ps);
    }

    /// The flows on each link, in compressed rows, and the entry each comes from.
    pub(crate) fn by_link(&self) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
        let mut first = vec![0_u32; self.capacity.len() + 1];
        for &l in &self.link {
            first[l as usize + 1] += 1;
        }
        for l in 0..self.capacity.len() {
            first[l + 1] += first[l];
        }
        let mut next = first.clone();
        let mut flows = vec![0_u32; self.link.len()];
        let mut entries = vec![0_u32; self.link.len()];
        for flow in 0..self.len() {
            for at in self.first[flow]..self.first[flow + 1] {
                let place = &mut next[self.link[at as usize] as usize];
                flows[*place as usize] = flow as u32;
                entries[*place as usize] = at;
                *place += 1;
            }
        }
        (first, flows, entries)
    }
}

/// A link by the rate at which it would fill, least first.
#[derive(PartialEq)]
struct Fills {
    rate: f64,
    link: u32,
}

impl Eq for Fills {}

impl Ord for Fills {
    fn cmp(&self, other: &Self) -> Ordering {
        other.rate.total_cmp(&self.rate).then(other.link.cmp(&self.link))
    }
}

impl PartialOrd for Fills {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Max-min fair rates of the flows for which `active` holds; 0 for the others. Bytes/s.
///
/// All rates rise together; when a link is full its flows keep their rate and the rest rise on
/// (Bertsekas and Gallager, Data Networks, 6.5.2). O(entries · log links).
///
/// # Panics
/// If a link would carry more than it can, which would be a bug here.
pub fn max_min(set: &FlowSet, active: &[bool]) -> Vec<f64> {
    let (first, flows, _) = set.by_link();
    let links = set.capacity.len();
    let (mut load, mut open) = (vec![0.0; links], vec![0_u32; links]);
    let mut rest = set.capacity.clone();
    for flow in (0..set.len()).filter(|f| active[*f]) {
        for (link, weight) in set.row(flow) {
            load[link as usize] += weight * set.count[flow];
            open[link as usize] += 1;
        }
    }
    let mut heap: BinaryHeap<Fills> = (0..links)
        .filter(|&l| open[l] > 0)
        .map(|l| Fills { rate: rest[l] / load[l], link: l as u32 })
        .collect();
    let mut rate = vec![0.0; set.len()];
    let mut fixed: Vec<bool> = active.iter().map(|a| !a).collect();
    let mut level = 0.0_f64;
    while let Some(top) = heap.pop() {
        let l = top.link as usize;
        if open[l] == 0 {
            continue;
        }
        let now = rest[l] / load[l];
        if now > top.rate && heap.peek().is_some_and(|next| next.rate < now) {
            heap.push(Fills { rate: now, link: top.link });
            continue;
        }
        // Rounding must not let the level fall.
        level = level.max(now.max(0.0));
        for &flow in &flows[first[l] as usize..first[l + 1] as usize] {
            let f = flow as usize;
            if std::mem::replace(&mut fixed[f], true) {
                continue;
            }
            rate[f] = level;
            for (link, weight) in set.row(f) {
                let k = link as usize;
                rest[k] -= weight * set.count[f] * level;
                load[k] -= weight * set.count[f];
                open[k] -= 1;
            }
        }
    }
    assert_within_capacity(set, &rate);
    rate
}

/// No link carries more than its capacity, up to rounding.
fn assert_within_capacity(set: &FlowSet, rate: &[f64]) {
    let mut used = vec![0.0; set.capacity.len()];
    for (flow, r) in rate.iter().enumerate() {
        for (link, weight) in set.row(flow) {
            used[link as usize] += weight * set.count[flow] * r;
        }
    }
    for (link, (used, capacity)) in used.iter().zip(&set.capacity).enumerate() {
        assert!(*used <= capacity * (1.0 + 1e-6), "link {link} carries {used} of {capacity}");
    }
}
