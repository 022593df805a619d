//! Steps of an expert dispatch and combine, level by level and without copies sent twice.

use crate::steps::{Pattern, Placed, direct};
use model::expected_touched;

/// How tokens are spread over experts: `topk` of `experts`, drawn evenly, experts spread evenly over
/// the group's ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spread {
    /// Routed experts.
    pub experts: u64,
    /// Experts a token.
    pub topk: u64,
}

/// Dispatch of `bytes` a rank (every token `topk` times, as an all-to-all's size): a token crosses
/// to the rank at its sender's place in each instance that holds one of its experts, once, and goes
/// on from there to each rank that does, once.
///
/// With T = bytes/topk, g instances of m members, N of the instances and R of the ranks touched by
/// a token on average: T·N/g to each other instance, then T·R/m to each member beside. `None` for a
/// group within one instance, or of fewer experts than ranks.
pub(crate) fn dispatch(group: &Placed, spread: Spread, bytes: f64) -> Option<Vec<Pattern>> {
    let n = group.members.len() as u64;
    let outermost = group.fan.iter().rposition(|f| *f > 1)?;
    let (g, m) = (group.fan[outermost], n / group.fan[outermost]);
    if m < 2 || spread.experts < n || spread.topk == 0 {
        return None;
    }
    let once = bytes / spread.topk as f64;
    let touched = |parts| expected_touched(parts, spread.experts, spread.topk);
    let rails: Vec<Vec<u64>> = (0..m).map(|p| (0..g).map(|i| i * m + p).collect()).collect();
    let instances: Vec<Vec<u64>> = (0..g).map(|i| (i * m..(i + 1) * m).collect()).collect();
    let steps =
        [direct(group, &rails, once * touched(g)), direct(group, &instances, once * touched(n))];
    Some(steps.into_iter().map(|p| Pattern { passes: 1.0, ..p }).collect())
}

/// The way back: what the experts of an instance made of a token is summed at the rank it came
/// through and crosses once.
pub(crate) fn combine(group: &Placed, spread: Spread, bytes: f64) -> Option<Vec<Pattern>> {
    let there = dispatch(group, spread, bytes)?;
    let back = there.into_iter().rev().map(|p| Pattern {
        transfers: p.transfers.iter().map(|&(a, b, s)| (b, a, s)).collect(),
        passes: 2.0,
        ..p
    });
    Some(back.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::{Network, parse_topology};
    use std::collections::{BTreeMap, BTreeSet};

    /// Every choice of two experts once from every rank, walked by hand over two instances of four.
    #[test]
    fn every_expert_gets_every_token_once_and_bytes_are_conserved() {
        let text = "mesh:4@50GB/s,1us+switch:2@25GB/s,1us";
        let network = Network::new(parse_topology(text).unwrap()).unwrap();
        let group = Placed::first(&network, 8);
        let spread = Spread { experts: 16, topk: 2 };
        let rank = |expert: u32| expert / 2;
        let mut on = [BTreeMap::new(), BTreeMap::new()];
        let mut tokens = 0.0;
        for source in 0..8_u32 {
            for a in 0..16_u32 {
                for b in a + 1..16 {
                    tokens += 1.0 / 8.0;
                    let owners = BTreeSet::from([rank(a), rank(b)]);
                    let instances: BTreeSet<u32> = owners.iter().map(|o| o / 4).collect();
                    let mut got = BTreeSet::new();
                    for instance in instances {
                        let relay = instance * 4 + source % 4;
                        *on[0].entry((source, relay)).or_insert(0.0) += 1.0;
                        for &owner in owners.iter().filter(|o| **o / 4 == instance) {
                            *on[1].entry((relay, owner)).or_insert(0.0) += 1.0;
                            assert!(got.insert(owner), "once");
                        }
                    }
                    assert_eq!(got, owners, "everyone who needs it");
                }
            }
        }
        let steps = dispatch(&group, spread, tokens * 2.0).expect("two instances");
        let back = combine(&group, spread, tokens * 2.0).expect("two instances");
        for (step, walked) in steps.iter().zip(&on) {
            let moved = walked.iter().filter(|w| w.0.0 != w.0.1).count();
            assert_eq!(step.transfers.len(), moved);
            for &(from, to, size) in &step.transfers {
                assert!((size / walked[&(from, to)] - 1.0).abs() < 1e-9, "{from} to {to}");
            }
        }
        let sum = |p: &[Pattern]| p.iter().flat_map(|p| &p.transfers).map(|t| t.2).sum::<f64>();
        assert!((sum(&steps) / sum(&back) - 1.0).abs() < 1e-12);
        assert_eq!(back[0].transfers.len(), steps[1].transfers.len());
    }

    #[test]
    fn one_instance_has_nothing_to_cross() {
        let network = Network::new(parse_topology("switch:8@50GB/s,1us").unwrap()).unwrap();
        let spread = Spread { experts: 64, topk: 8 };
        assert_eq!(dispatch(&Placed::first(&network, 8), spread, 1e9), None);
    }
}
