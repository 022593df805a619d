//! All-pairs traffic on a symmetric graph with a few faults: only the pairs whose routes cross a
//! dead part are looked at one by one.

use crate::graph::Graph;
use crate::route::{Route, Router, Routing};
use crate::share::FlowSet;
use crate::symmetry::{Symmetry, ahead_of, displacement, translated};
use std::collections::{BTreeMap, BTreeSet};

/// Most pairs that are looked at one by one.
const MAX_PAIRS: usize = 1 << 20;

/// What all-pairs traffic comes to under faults.
#[derive(Clone, Debug, PartialEq)]
pub struct AffectedPairs {
    /// The busiest link's bytes over its rate. Seconds; a lower bound that max-min sharing meets
    /// unless flows are held up elsewhere while that link has room.
    pub seconds: f64,
    /// The busiest link.
    pub link: u32,
    /// Pairs that had to be routed anew.
    pub rerouted: u64,
    /// Longest time without bytes of a new route. Picoseconds.
    pub latency_ps: u64,
}

/// All pairs of living chips of `broken`, `bytes` each; `folded` is the same traffic on the whole
/// graph. `None` if too many pairs are affected; the error is a pair that nothing joins any more.
pub(crate) fn all_pairs(
    whole: &Graph,
    symmetry: &Symmetry,
    broken: &Graph,
    routing: Routing,
    bytes: f64,
    folded: &FlowSet,
) -> Option<Result<AffectedPairs, (u32, u32)>> {
    let mut class_load = vec![0.0; symmetry.members.len()];
    for flow in 0..folded.len() {
        for (class, weight) in folded.row(flow) {
            class_load[class as usize] += weight * folded.count[flow] * bytes;
        }
    }
    let per_link = |class: usize| {
        class_load[class] * f64::from(whole.endpoints) / f64::from(symmetry.members[class])
    };
    let mut load: Vec<f64> = symmetry.link_class.iter().map(|c| per_link(*c as usize)).collect();
    let pairs = affected(whole, symmetry, broken, routing)?;
    let mut plain = Router::new(whole, routing, Some(symmetry));
    let mut around = Router::new(broken, routing, None);
    let (mut rerouted, mut latency_ps) = (0, 0);
    for &(hub, other, outward) in &pairs {
        let (from, to) = if outward { (hub, other) } else { (other, hub) };
        if let Some((route, _)) = plain.route(from, to) {
            for (link, weight) in route {
                load[link as usize] -= weight * bytes;
            }
        }
        if broken.is_dead(from) || broken.is_dead(to) {
            continue;
        }
        // Faults take both directions: a route from the hub is one to it, walked back.
        let Some((route, latency)) = around.route(other, hub) else {
            return Some(Err((from, to)));
        };
        rerouted += 1;
        latency_ps = latency_ps.max(latency);
        for (link, weight) in route {
            let link = if outward { broken.reverse(link as usize) } else { link as usize };
            load[link] += weight * bytes;
        }
    }
    let time = |l: usize| {
        if broken.bytes_per_s(l) > 0.0 { load[l] / broken.bytes_per_s(l) } else { 0.0 }
    };
    let link = (0..load.len()).reduce(|a, b| if time(b) > time(a) { b } else { a }).unwrap_or(0);
    Some(Ok(AffectedPairs { seconds: time(link), link: link as u32, rerouted, latency_ps }))
}

/// Pairs whose route crosses a dead link, as hub (an endpoint that many of them share), other end,
/// and whether the hub sends.
fn affected(
    whole: &Graph,
    symmetry: &Symmetry,
    broken: &Graph,
    routing: Routing,
) -> Option<BTreeSet<(u32, u32, bool)>> {
    let dead: Vec<usize> = (0..whole.links()).filter(|l| broken.bytes_per_s(*l) <= 0.0).collect();
    let mut by_class: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for &link in &dead {
        by_class.entry(symmetry.link_class[link]).or_default().push(link);
    }
    let mut router = Router::new(whole, routing, Some(symmetry));
    let mut sources: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let (mut found, mut known) = (BTreeSet::new(), BTreeSet::new());
    for ahead in 1..whole.endpoints() {
        let Some((route, _)) = router.route(0, ahead) else { continue };
        let route: Route = route;
        for (link, _) in route {
            let Some(hit) = by_class.get(&symmetry.link_class[link as usize]) else { continue };
            let from = sources.entry(link).or_insert_with(|| sources_of(whole, link, hit));
            for &source in from.iter() {
                let to = ahead_of(whole, source, ahead);
                // Near its own port the source is the hub, near the receiver's the receiver.
                let near = whole.from(link as usize) == 0;
                if known.insert((source, to)) {
                    found.insert(if near { (source, to, true) } else { (to, source, false) });
                }
                if known.len() > MAX_PAIRS {
                    return None;
                }
            }
        }
    }
    Some(found)
}

/// Endpoints from which a link of endpoint 0's routes becomes one of `hit`.
fn sources_of(whole: &Graph, link: u32, hit: &[usize]) -> Vec<u32> {
    let (from, to) = (whole.from(link as usize), whole.to(link as usize));
    let ends = |l: usize| {
        if to < whole.endpoints() { (to, whole.to(l)) } else { (from, whole.from(l)) }
    };
    // A chip at either end tells which translation it must be.
    if from.min(to) < whole.endpoints() {
        let by = |l: &usize| {
            let (mine, its) = ends(*l);
            let by = displacement(whole, mine, its);
            (translated(whole, link, by) == Some(*l as u32)).then_some(by)
        };
        return hit.iter().filter_map(by).collect();
    }
    (0..whole.endpoints())
        .filter(|by| translated(whole, link, *by).is_some_and(|l| hit.contains(&(l as usize))))
        .collect()
}
