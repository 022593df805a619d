//! Joining flows that are provably alike.
//!
//! If flows and links fall into classes such that every flow of a class uses the same number of
//! links of each class (with the same weights), and every link of a class is used by the same
//! number of flows of each class, then max-min fair rates are equal within a class at every moment:
//! progressive filling treats the members alike. The coarsest such partition is found by colour
//! refinement (hashes), then checked entry by entry, so a hash collision cannot change an answer.

use crate::share::FlowSet;

/// A flow set with one flow a class, and where every flow went.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// One flow and one link a class; capacities are those of all links of the class together.
    pub set: FlowSet,
    /// Class of every flow.
    pub class: Vec<u32>,
    /// Class of every link.
    pub link_class: Vec<u32>,
}

/// Rounds of refinement. What needs more is a long chain that differs at one place: its classes are then
/// almost as many as its flows, and each round tells only the next two apart.
const MOST_ROUNDS: usize = 64;

/// The coarsest folding of `set`; where it takes more than 64 rounds to find, every flow by itself.
pub fn fold(set: &FlowSet) -> Folded {
    let seed = |v: u64| mix(v ^ 0x9e37_79b9_7f4a_7c15);
    let mut link: Vec<u64> = set.capacity.iter().map(|c| seed(c.to_bits())).collect();
    let start: Vec<u64> = (0..set.len())
        .map(|f| {
            let size = mix(set.bytes[f].to_bits()) ^ mix(set.count[f].to_bits() ^ 1);
            mix(size ^ mix(set.latency_ps[f] ^ 2))
        })
        .collect();
    let weights: Vec<u64> = set.weight.iter().map(|w| mix(w.to_bits() ^ 3)).collect();
    let mut flow = start.clone();
    let mut sums = vec![0_u64; link.len()];
    let mut colours = 0;
    let each = |n: usize| (0..n as u32).collect();
    for round in 0.. {
        if round == MOST_ROUNDS {
            return folded(set, each(set.len()), each(set.capacity.len()));
        }
        for (colour, ends) in flow.iter_mut().zip(set.first.windows(2)) {
            let mut sum = 0_u64;
            for at in ends[0] as usize..ends[1] as usize {
                sum = sum.wrapping_add(mix(link[set.link[at] as usize] ^ weights[at]));
            }
            *colour = mix(*colour ^ sum);
        }
        sums.fill(0);
        for (colour, ends) in flow.iter().zip(set.first.windows(2)) {
            for at in ends[0] as usize..ends[1] as usize {
                let to = &mut sums[set.link[at] as usize];
                *to = to.wrapping_add(mix(colour ^ weights[at]));
            }
        }
        for (l, sum) in link.iter_mut().zip(&sums) {
            *l = mix(*l ^ *sum);
        }
        let now = distinct(&flow) + distinct(&link);
        if now == colours {
            break;
        }
        colours = now;
    }
    let (class, link_class) = (numbers(&flow), numbers(&link));
    if is_equitable(set, &class, &link_class) {
        folded(set, class, link_class)
    } else {
        // Only a collision of hashes leads here.
        folded(set, each(set.len()), each(set.capacity.len()))
    }
}

/// A good mixer of 64 bits (the finaliser of MurmurHash3, by Appleby).
fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// Number of different values.
fn distinct(values: &[u64]) -> usize {
    numbers(values).iter().max().map_or(0, |m| *m as usize + 1)
}

/// Values as numbers from 0 in order of first appearance.
fn numbers(values: &[u64]) -> Vec<u32> {
    // An open table: values are hashes already.
    let mut known: Vec<(u64, u32)> = vec![(0, u32::MAX); 64];
    let mut found = 0_u32;
    let mut out = Vec::with_capacity(values.len());
    for &value in values {
        if found as usize * 2 >= known.len() {
            let old = std::mem::take(&mut known);
            known = vec![(0, u32::MAX); old.len() * 4];
            for entry in old.into_iter().filter(|e| e.1 != u32::MAX) {
                let at = slot(&known, entry.0);
                known[at] = entry;
            }
        }
        let at = slot(&known, value);
        if known[at].1 == u32::MAX {
            known[at] = (value, found);
            found += 1;
        }
        out.push(known[at].1);
    }
    out
}

fn slot(known: &[(u64, u32)], value: u64) -> usize {
    let mask = known.len() - 1;
    let mut at = (value >> 7) as usize & mask;
    while known[at].1 != u32::MAX && known[at].0 != value {
        at = (at + 1) & mask;
    }
    at
}

/// The first member of each class.
fn representatives(class: &[u32]) -> Vec<u32> {
    let mut first = Vec::new();
    for (member, &c) in class.iter().enumerate() {
        if c as usize == first.len() {
            first.push(member as u32);
        }
    }
    first
}

/// Whether every member's sums by the other side's classes are its representative's.
fn is_equitable(set: &FlowSet, class: &[u32], link_class: &[u32]) -> bool {
    let flow_first = representatives(class);
    let link_first = representatives(link_class);
    let same = |f: usize, g: usize| {
        set.bytes[f] == set.bytes[g]
            && set.count[f] == set.count[g]
            && set.latency_ps[f] == set.latency_ps[g]
    };
    // Flows: weights by link class.
    let mut row = Vec::new();
    let mut of_representative: Vec<Vec<(u32, u64)>> = Vec::new();
    for (f, &c) in class.iter().enumerate() {
        row.clear();
        row.extend(set.row(f).map(|(l, w)| (link_class[l as usize], w.to_bits())));
        row.sort_unstable();
        let c = c as usize;
        if flow_first[c] as usize == f {
            of_representative.push(row.clone());
        } else if of_representative[c] != row || !same(f, flow_first[c] as usize) {
            return false;
        }
    }
    // Links: flows by class and weight.
    let (first, flows, entries) = set.by_link();
    let mut of_representative: Vec<Vec<(u32, u64)>> = Vec::new();
    for l in 0..set.capacity.len() {
        row.clear();
        let range = first[l] as usize..first[l + 1] as usize;
        let weights = entries[range.clone()].iter().map(|&e| set.weight[e as usize].to_bits());
        row.extend(flows[range].iter().map(|&f| class[f as usize]).zip(weights));
        row.sort_unstable();
        let c = link_class[l] as usize;
        if link_first[c] as usize == l {
            of_representative.push(row.clone());
        } else if of_representative[c] != row
            || set.capacity[l] != set.capacity[link_first[c] as usize]
        {
            return false;
        }
    }
    true
}

fn folded(set: &FlowSet, class: Vec<u32>, link_class: Vec<u32>) -> Folded {
    let mut members = vec![0.0; representatives(&class).len()];
    for (f, &c) in class.iter().enumerate() {
        members[c as usize] += set.count[f];
    }
    let mut capacity = vec![0.0; representatives(&link_class).len()];
    let mut link_id = vec![0; capacity.len()];
    for (l, &c) in link_class.iter().enumerate().rev() {
        capacity[c as usize] += set.capacity[l];
        link_id[c as usize] = set.link_id[l];
    }
    let mut out = FlowSet { capacity, link_id, ..FlowSet::new() };
    for (c, &f) in representatives(&class).iter().enumerate() {
        let mut row: Vec<(u32, f64)> =
            set.row(f as usize).map(|(l, w)| (link_class[l as usize], w)).collect();
        row.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        row.dedup_by(|b, a| {
            let same = a.0 == b.0;
            if same {
                a.1 += b.1;
            }
            same
        });
        for (l, w) in row {
            out.link.push(l);
            out.weight.push(w);
        }
        let f = f as usize;
        out.close(members[c], set.bytes[f], set.latency_ps[f]);
    }
    Folded { set: out, class, link_class }
}
