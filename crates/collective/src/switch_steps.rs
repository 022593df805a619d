//! Steps of reductions in switches.

use crate::steps::{Pattern, Placed, tree_edges};
use fabric::Network;

/// Each rank's bytes up, a reduced part down, and both the other way (NVLS: B·(1 + 1/n) each way),
/// over the planes of the innermost level.
pub(crate) fn in_network(network: &Network, group: &Placed, bytes: f64) -> Option<Vec<Pattern>> {
    let level = group.fan.iter().position(|f| *f > 1)?;
    if group.fan[level] != group.members.len() as u64 {
        return None;
    }
    let transfers = up_and_down(network, group, level, bytes)?;
    // A group that fills no whole instances may lie in several: no one switch sees all of it then.
    let ups = || transfers.iter().filter(|t| t.0 < network.graph().endpoints());
    let first = group.members.first()?;
    let mut planes = ups().filter(|t| t.0 == *first).map(|t| t.1);
    if !planes.any(|plane| ups().filter(|t| t.1 == plane).count() == group.members.len()) {
        return None;
    }
    Some(vec![Pattern { pipeline_hops: 2, ..Pattern::new(transfers, 1, 0.0) }])
}

/// [`in_network`] inside each innermost group of m, and for each member a double binary tree over
/// the groups for its B/m, all in one pipeline.
pub(crate) fn tree_of_switches(
    network: &Network,
    group: &Placed,
    bytes: f64,
) -> Option<Vec<Pattern>> {
    let level = group.fan.iter().position(|f| *f > 1)?;
    let (inner, n) = (group.fan[level] as usize, group.members.len());
    if inner == n {
        return None;
    }
    let mut transfers = up_and_down(network, group, level, bytes)?;
    let mut depth = 0;
    for member in 0..inner {
        let ones: Vec<u32> = group.members.iter().skip(member).step_by(inner).copied().collect();
        let (edges, deep) = tree_edges(&ones, bytes / inner as f64, true);
        transfers.extend(edges);
        depth = deep;
    }
    let hops = 2 + 2 * depth;
    Some(vec![Pattern { pipeline_hops: hops, ..Pattern::new(transfers, 1, 2.0) }])
}

/// Between every member and the switches of `level`, both ways; `None` where there are none.
fn up_and_down(
    network: &Network,
    group: &Placed,
    level: usize,
    bytes: f64,
) -> Option<Vec<(u32, u32, f64)>> {
    let graph = network.graph();
    let inner = group.fan[level];
    let name = &network.topology().levels[level].name;
    let mut transfers = Vec::new();
    for &chip in &group.members {
        let planes: Vec<u32> = graph
            .out(chip)
            .filter(|l| graph.level_name(*l) == name && graph.bytes_per_s(*l) > 0.0)
            .map(|l| graph.to(l))
            .filter(|to| *to >= graph.endpoints())
            .collect();
        let size = bytes * (1.0 + 1.0 / inner as f64) / planes.len() as f64;
        transfers.extend(planes.iter().map(|s| (chip, *s, size)));
        transfers.extend(planes.iter().map(|s| (*s, chip, size)));
    }
    (!transfers.is_empty()).then_some(transfers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::parse_topology;
    use std::collections::BTreeMap;

    #[test]
    fn trees_of_switches_carry_every_part_to_every_group() {
        let text = "switch:4@100GB/s,1us,planes=2+rail:4@25GB/s,2us";
        let network = Network::new(parse_topology(text).unwrap()).unwrap();
        let group = Placed::first(&network, 16);
        let bytes = 4e9;
        let steps = tree_of_switches(&network, &group, bytes).expect("runs");
        let mut out: BTreeMap<u32, f64> = BTreeMap::new();
        let mut joined: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &(from, to, size) in &steps[0].transfers {
            *out.entry(from).or_default() += size;
            if from < 16 && to < 16 {
                assert_eq!(from % 4, to % 4, "a member's part stays on its rail");
                assert!((size - bytes / 4.0 / 2.0).abs() < 1.0, "half a part a tree");
                joined.entry(from).or_default().push(to);
            }
        }
        for chip in 0..16_u32 {
            // Up into the switches with everything and its reduced part; trees pass twice its part
            // on in all, over the four of a rail: three links a tree, two trees, both ways.
            let rail = f64::from(4_u8);
            let trees: f64 = steps[0]
                .transfers
                .iter()
                .filter(|t| t.0 % 4 == chip % 4 && t.0 < 16 && t.1 < 16)
                .map(|t| t.2)
                .sum();
            assert!((trees - 2.0 * 3.0 * bytes / rail).abs() < 1.0, "{trees}");
            // All groups of a rail are joined.
            let mut seen = vec![chip];
            let mut next = 0;
            while next < seen.len() {
                for to in joined.get(&seen[next]).into_iter().flatten() {
                    if !seen.contains(to) {
                        seen.push(*to);
                    }
                }
                next += 1;
            }
            assert_eq!(seen.len(), 4, "chip {chip}");
            assert!(out[&chip] >= bytes * 1.25);
        }
        // What comes out of a switch is what went in: each plane serves its group alone.
        for (node, sent) in out.iter().filter(|o| *o.0 >= 16) {
            let received: f64 =
                steps[0].transfers.iter().filter(|t| t.1 == *node).map(|t| t.2).sum();
            assert!((sent - received).abs() < 1.0);
        }
    }
}
