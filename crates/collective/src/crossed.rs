//! Steps over full meshes: two dimensions at once, and everything to everyone.

use crate::steps::{Pattern, Placed, alone, direct, lines};
use fabric::{Layout, Network};

/// A reduce-scatter over meshes in pairs: the share s goes along the first and then the second, the
/// rest the other way round, so that both dimensions are busy; what is no mesh of a pair level by
/// level, as the hierarchical one.
///
/// With x and y members and links of rates p and q, s = x·p / (x·p + y·q) lets the first step end
/// on both dimensions at once. Each rank sends (1 - 1/(x·y)) of the bytes, as few as any algorithm.
/// The closed form of the same is [`crate::Algorithm::Crossed`].
pub(crate) fn crossed(network: &Network, group: &Placed, bytes: f64) -> Option<Vec<Pattern>> {
    let (steps, pairs) = in_pairs(network, group, group.fan.len(), bytes);
    (pairs > 0).then(|| steps.into_iter().map(|s| s.0).collect())
}

/// The same of the levels below `end`, with the seconds that each step over meshes takes without
/// latency, and the number of pairs.
pub(crate) fn in_pairs(
    network: &Network,
    group: &Placed,
    end: usize,
    bytes: f64,
) -> (Vec<(Pattern, f64)>, usize) {
    let levels = &network.topology().levels;
    let mesh = |l: usize| levels.get(l).map(|l| l.layout) == Some(Layout::FullMesh);
    let mut used = (0..end).filter(|l| group.fan[*l] > 1).peekable();
    let (mut out, mut left, mut pairs) = (Vec::new(), bytes, 0);
    while let Some(first) = used.next() {
        let Some(second) = (if mesh(first) { used.next_if(|l| mesh(*l)) } else { None }) else {
            let fan = group.fan[first] as f64;
            let seconds = left / fan / levels[first].link_bytes_per_s;
            out.extend(alone(network, group, first, left).into_iter().map(|p| (p, seconds)));
            left /= fan;
            continue;
        };
        let [x, y] = [first, second].map(|l| group.fan[l] as f64);
        let [p, q] = [first, second].map(|l| levels[l].link_bytes_per_s);
        let share = x * p / (x * p + y * q);
        let [along, across] = [first, second].map(|l| lines(group, l, &group.fan));
        let mut step = |one: f64, other: f64| {
            let (row, column) = (direct(group, &along, one), direct(group, &across, other));
            let transfers = [row.transfers, column.transfers].concat();
            let seconds = (one / x / p).max(other / y / q);
            out.push((Pattern { transfers, ..column }, seconds));
        };
        step(left * share, left * (1.0 - share));
        step(left * (1.0 - share) / y, left * share / x);
        (left, pairs) = (left / (x * y), pairs + 1);
    }
    (out, pairs)
}

/// Everything to everyone at once.
pub(crate) fn one_shot(group: &Placed, bytes: f64) -> Pattern {
    let n = group.members.len() as u64;
    direct(group, &lines(group, 0, &[n]), bytes * n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::parse_topology;
    use std::collections::BTreeMap;

    /// Bytes of `transfers` on each pair.
    fn carried(pattern: &Pattern) -> BTreeMap<(u32, u32), f64> {
        let mut on = BTreeMap::new();
        for &(from, to, size) in &pattern.transfers {
            *on.entry((from, to)).or_insert(0.0) += size;
        }
        on
    }

    #[test]
    fn every_contribution_reaches_its_owner_and_nothing_else_moves() {
        for text in ["mesh:4x2@50GB/s,1us", "mesh:3@50GB/s,1us+mesh:5@25GB/s,1us"] {
            let network = Network::new(parse_topology(text).unwrap()).unwrap();
            let n = network.graph().endpoints();
            let fans = network.graph().fans().to_vec();
            let group = Placed::first(&network, n.into());
            let bytes = 1e9;
            let steps = crossed(&network, &group, bytes).expect("two meshes");
            let (x, y) = (fans[0], fans[1]);
            let rate = |l: usize| network.topology().levels[l].link_bytes_per_s;
            let s = f64::from(x) * rate(0) / (f64::from(x) * rate(0) + f64::from(y) * rate(1));
            // Rank r's contribution to owner d: one share turns the corner at (d.x, r.y), the other
            // at (r.x, d.y). Sums of what a link must carry, step by step; partial sums travel once.
            let mut wanted: [BTreeMap<(u32, u32), f64>; 2] = [BTreeMap::new(), BTreeMap::new()];
            for r in 0..n {
                for d in 0..n {
                    let part = bytes / f64::from(n);
                    let corners = [d % x + r / x * x, r % x + d / x * x];
                    for (corner, share) in corners.into_iter().zip([s, 1.0 - s]) {
                        if r != corner {
                            *wanted[0].entry((r, corner)).or_insert(0.0) += part * share;
                        }
                        // Reduced at the corner: one contribution stands for all of its line.
                        if corner != d {
                            wanted[1].insert((corner, d), part * share);
                        }
                    }
                }
            }
            for (pattern, wanted) in steps.iter().zip(wanted) {
                let found = carried(pattern);
                assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
                for (pair, size) in &found {
                    assert!((size / wanted[pair] - 1.0).abs() < 1e-9, "{pair:?}");
                }
            }
            let sent: f64 = steps.iter().flat_map(|p| &p.transfers).map(|t| t.2).sum();
            let least = bytes * f64::from(n - 1);
            assert!((sent / least - 1.0).abs() < 1e-9, "as few bytes as any: {sent}");
        }
    }

    #[test]
    fn one_shot_sends_everything_to_everyone() {
        let network = Network::new(parse_topology("mesh:8@56GB/s,2us").unwrap()).unwrap();
        let pattern = one_shot(&Placed::first(&network, 8), 1e6);
        let on = carried(&pattern);
        assert_eq!(on.len(), 56);
        assert!(on.values().all(|b| (*b - 1e6).abs() < 1e-3));
    }
}
