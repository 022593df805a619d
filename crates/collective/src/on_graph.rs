//! A collective's time on a network, link by link.

use crate::least::{least_of_all_pairs_ps, least_ps};
use crate::steps::{Operation, Pattern, Placed, SCHEMES, Scheme, steps};
use diagnostic::{Diagnostic, Diagnostics};
use fabric::{
    AffectedPairs, Fault, FlowSet, Messages, Network, Outcome, Routing, Stream, fold, simulate,
    transfer,
};
use model::Collective;

/// Most flows that are laid out one by one.
const MAX_FLOWS: u64 = 1 << 23;
/// Flows up to which all pairs under faults are laid out one by one.
const FEW_FLOWS: u64 = 1 << 18;
/// Most messages run one by one.
const MAX_MESSAGES: u64 = 1 << 28;

/// Longest that the bytes may take over the slowest link. Seconds; 18 times less than what a time holds.
const MAX_SECONDS: f64 = 1e6;

/// What one collective costs on a network.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphCost {
    /// From the first byte ready to the last byte there. Picoseconds.
    pub time_ps: u64,
    /// Time that the busiest links need for the bytes alone. Picoseconds.
    pub bound_ps: u64,
    /// What was run.
    pub scheme: Scheme,
    /// A link that takes longest, summed over the steps (of several alike, the first).
    pub bottleneck: Option<u32>,
    /// Share of that link's time that is carrying bytes.
    pub utilisation: f64,
    /// Different flows that were solved, after folding, and those they stand for.
    pub flows: (u64, u64),
}

/// Seconds of a time in picoseconds.
pub fn seconds(time_ps: u64) -> f64 {
    time_ps as f64 * 1e-12
}

/// Times `operation` of `bytes` over a group, by one scheme or by the fastest.
///
/// # Errors
/// A group with a member that is dead or cut off, a scheme that cannot run it, or one that would
/// need too many flows.
pub fn on_graph(
    network: &Network,
    group: &Placed,
    operation: Operation,
    scheme: Option<Scheme>,
    routing: Routing,
    bytes: f64,
) -> Result<GraphCost, Diagnostics> {
    check(network, group, bytes)?;
    if let Some(scheme) = scheme {
        let found = by_scheme(network, group, operation, scheme, routing, bytes, None)?;
        if found.as_ref().is_some_and(|cost| cost.time_ps == u64::MAX) {
            let message = "it takes more than the 213 days that a time holds";
            return Err(Diagnostic::error("collective::time", message).hint("fewer bytes").into());
        }
        return found.ok_or_else(|| {
            let word = SCHEMES.iter().find(|s| s.0 == scheme).map_or("?", |s| s.1);
            Diagnostic::error("collective::scheme", format!("`{word}` cannot run this"))
                .hint(
                    "halving-doubling needs a power of two, multi-ring and hierarchical a group \
                       over several levels, in-network one level of switches, concurrent meshes \
                       and switches that the cluster's file says are used at once",
                )
                .into()
        });
    }
    let mut best: Option<(usize, GraphCost)> = None;
    let everyone = group.members.len() as u32 == network.graph().endpoints();
    for (place, scheme) in quickest_first(operation, everyone && network.symmetry().is_some()) {
        if matches!(scheme, Scheme::InNetwork | Scheme::SwitchTree) && !network.reduces() {
            continue;
        }
        let to_beat = best.as_ref().map(|(_, b)| b.time_ps);
        // A scheme that only is too large to be looked at is left out, the others stand.
        let cost = match by_scheme(network, group, operation, scheme, routing, bytes, to_beat) {
            Ok(cost) => cost,
            Err(problem) if too_large(&problem) && scheme != Scheme::Direct => None,
            Err(problem) if too_large(&problem) && best.is_some() => None,
            Err(problem) => return Err(problem.into()),
        };
        if let Some(cost) = cost.filter(|cost| cost.time_ps < u64::MAX)
            && best.as_ref().is_none_or(|(p, b)| (cost.time_ps, place) < (b.time_ps, *p))
        {
            best = Some((place, cost));
        }
    }
    best.map(|(_, cost)| cost).ok_or_else(|| {
        let message = "no algorithm can run this, or none within the 213 days that a time holds";
        Diagnostic::error("collective::scheme", message).into()
    })
}

/// The schemes of an operation with their place among equals, those first that are quickly laid out: most
/// of the others are then ruled out by what they take at least. `folded`: all pairs are one source's flows.
fn quickest_first(operation: Operation, folded: bool) -> Vec<(usize, Scheme)> {
    let effort = |scheme: Scheme| match scheme {
        Scheme::Direct if folded => 0,
        Scheme::InNetwork | Scheme::SwitchTree | Scheme::Tree => 1,
        Scheme::HalvingDoubling => 2,
        _ => 3,
    };
    let mut schemes: Vec<_> = operation.schemes().iter().copied().enumerate().collect();
    schemes.sort_by_key(|(_, scheme)| effort(*scheme));
    schemes
}

fn too_large(problem: &Diagnostic) -> bool {
    ["collective::size", "fabric::size"].contains(&problem.code)
}

fn check(network: &Network, group: &Placed, bytes: f64) -> Result<(), Diagnostics> {
    let graph = network.graph();
    let mut problems = Diagnostics::default();
    if group.members.len() < 2 {
        problems.push(Diagnostic::error("collective::group", "a group of one moves nothing"));
    }
    for &chip in &group.members {
        if chip >= graph.endpoints() {
            problems.push(Diagnostic::error("collective::group", format!("no chip {chip}")));
        } else if graph.is_dead(chip) {
            let message = format!("chip {chip} of the group is dead");
            problems.push(
                Diagnostic::error("collective::group", message)
                    .hint("give its rank to a spare chip, or make the group smaller"),
            );
        }
    }
    // Times are whole picoseconds, which end after 213 days.
    let live = graph.capacities().iter().copied().filter(|rate| *rate > 0.0);
    let slowest = live.fold(f64::INFINITY, f64::min);
    if bytes / slowest > MAX_SECONDS {
        let message = format!("{bytes} B at {slowest:e} B/s, the slowest link, take over 11 days");
        problems.push(
            Diagnostic::error("collective::time", message).hint("fewer bytes, or a faster link"),
        );
    }
    problems.into_result(())
}

/// `None` where the scheme cannot run this, or at its least takes longer than the time `to_beat`. Picoseconds.
fn by_scheme(
    network: &Network,
    group: &Placed,
    operation: Operation,
    scheme: Scheme,
    routing: Routing,
    bytes: f64,
    to_beat: Option<u64>,
) -> Result<Option<GraphCost>, Diagnostic> {
    if !operation.schemes().contains(&scheme) {
        return Ok(None);
    }
    let n = group.members.len() as u64;
    let all_pairs = scheme == Scheme::Direct && operation != Operation::Of(Collective::SendRecv);
    let everyone = group.members.len() as u32 == network.graph().endpoints();
    if all_pairs
        && everyone
        && let Some(set) = network.all_pairs(routing, bytes / n as f64)
    {
        return Ok(Some(folded_pairs(network, &set, operation, scheme, n, bytes)));
    }
    if all_pairs {
        let rounds = if operation == Operation::Of(Collective::AllReduce) { 2 } else { 1 };
        let least = || least_of_all_pairs_ps(network, group, bytes / n as f64, rounds);
        if to_beat.is_some_and(|best_ps| least() > best_ps) {
            return Ok(None);
        }
    }
    if all_pairs
        && n * n > FEW_FLOWS
        && group.members.len() == network.alive().len()
        && let Some(found) = network.affected_pairs(routing, bytes / n as f64)
    {
        return found.map(|f| Some(affected(network, &f, operation, scheme, n, bytes)));
    }
    let hint = "a group of all chips of a regular network is folded; this one is not";
    few_enough(group, operation, scheme, hint)?;
    let Some(patterns) = steps(network, group, operation, scheme, bytes) else { return Ok(None) };
    if to_beat.is_some_and(|best_ps| least_ps(network, &patterns) > best_ps) {
        return Ok(None);
    }
    let mut sum = Sum::default();
    for pattern in &patterns {
        let (folded, unfolded) = if let Some(set) = network.shifts(routing, &pattern.transfers) {
            (set, pattern.transfers.len() as u64)
        } else {
            let set = network.flows(routing, pattern.transfers.iter().copied())?;
            (fold(&set).set, set.len() as u64)
        };
        let outcome = transfer(&folded);
        let received = pattern.transfers.iter().map(|t| t.2).fold(0.0, f64::max);
        sum.add(network, pattern, &folded, &outcome, received, unfolded);
    }
    Ok(Some(sum.cost(scheme)))
}

/// Refuses what would lay out too many flows, before any is.
fn few_enough(
    group: &Placed,
    operation: Operation,
    scheme: Scheme,
    hint: &str,
) -> Result<(), Diagnostic> {
    let n = group.members.len() as u64;
    let flows = match scheme {
        Scheme::Direct if operation != Operation::Of(Collective::SendRecv) => n * n,
        Scheme::Pairwise | Scheme::OneShot => n * n,
        // Up to four transfers a pair, few of which fold.
        Scheme::Concurrent if operation == Operation::Of(Collective::AllToAll) => 16 * n * n,
        Scheme::MultiRing => n * group.fan.iter().find(|f| **f > 1).unwrap_or(&1),
        Scheme::Hierarchical | Scheme::Crossed | Scheme::Concurrent => {
            n * group.fan.iter().max().unwrap_or(&1)
        }
        _ => n,
    };
    if flows > MAX_FLOWS {
        let message = format!("{flows} flows one by one are more than {MAX_FLOWS}");
        return Err(Diagnostic::error("collective::size", message).hint(hint));
    }
    Ok(())
}

/// All-pairs exchanges of everyone, from one source's flows.
fn folded_pairs(
    network: &Network,
    set: &FlowSet,
    operation: Operation,
    scheme: Scheme,
    n: u64,
    bytes: f64,
) -> GraphCost {
    let outcome = transfer(set);
    let reduces: &[f64] = match operation {
        Operation::Of(Collective::AllReduce) => &[2.0, 1.0],
        Operation::Of(Collective::ReduceScatter) => &[2.0],
        _ => &[1.0],
    };
    let mut sum = Sum::default();
    for &passes in reduces {
        let pattern = Pattern { transfers: Vec::new(), times: 1, passes, pipeline_hops: 0 };
        sum.add(network, &pattern, set, &outcome, bytes / n as f64, n * (n - 1));
    }
    sum.cost(scheme)
}

/// All-pairs exchanges under faults, from the busiest link.
fn affected(
    network: &Network,
    found: &AffectedPairs,
    operation: Operation,
    scheme: Scheme,
    n: u64,
    bytes: f64,
) -> GraphCost {
    let passes: &[f64] = match operation {
        Operation::Of(Collective::AllReduce) => &[2.0, 1.0],
        Operation::Of(Collective::ReduceScatter) => &[2.0],
        _ => &[1.0],
    };
    let bound_ps = (found.seconds * 1e12 * passes.len() as f64).ceil() as u64;
    let handling: u64 =
        passes.iter().map(|p| handling_ps(network, bytes / n as f64, *p) + found.latency_ps).sum();
    let time_ps = bound_ps.saturating_add(handling);
    GraphCost {
        time_ps,
        bound_ps,
        scheme,
        bottleneck: Some(found.link),
        utilisation: bound_ps as f64 / time_ps as f64,
        flows: (found.rerouted, n * (n - 1)),
    }
}

/// A collective on a whole network and on the same with faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Degraded {
    /// Without faults.
    pub whole: GraphCost,
    /// With them, by the same scheme.
    pub broken: GraphCost,
}

impl Degraded {
    /// How many times as long it takes with the faults; 1 if they do not touch the group.
    pub fn slowdown(&self) -> f64 {
        self.broken.time_ps as f64 / self.whole.time_ps as f64
    }
}

/// What `faults` do to a collective of a group: routes over dead parts are found anew, rates
/// shared anew, the scheme stays the one that is best without faults (libraries choose once).
///
/// ```
/// use collective::{Operation, Placed, degraded};
/// use fabric::{Network, Routing, parse_fault};
/// let pod = catalog::cluster("atlas-950-1024").unwrap();
/// let network = Network::new(fabric::topology_of(&pod, 1024).unwrap()).unwrap();
/// let board = Placed::of(&network, (0..8).collect());
/// let operation = Operation::Of(model::Collective::AllReduce);
/// let fault = [parse_fault("link:0-1").unwrap()];
/// let found = degraded(&network, &fault, &board, operation, None, Routing::Split, 1e9).unwrap();
/// assert!(found.slowdown() > 1.1, "traffic of 0 and 1 goes round: {}", found.slowdown());
/// let other = Placed::of(&network, (8..16).collect());
/// let found = degraded(&network, &fault, &other, operation, None, Routing::Split, 1e9).unwrap();
/// assert_eq!(found.slowdown(), 1.0);
/// ```
///
/// # Errors
/// As [`on_graph`]; faults that name what is not there.
pub fn degraded(
    network: &Network,
    faults: &[Fault],
    group: &Placed,
    operation: Operation,
    scheme: Option<Scheme>,
    routing: Routing,
    bytes: f64,
) -> Result<Degraded, Diagnostics> {
    let broken = network.with_faults(faults)?;
    let whole = on_graph(network, group, operation, scheme, routing, bytes)?;
    let broken = on_graph(&broken, group, operation, Some(whole.scheme), routing, bytes)?;
    Ok(Degraded { whole, broken })
}

/// Steps added up.
#[derive(Default)]
struct Sum {
    time_ps: u64,
    bound_ps: u64,
    longest: (u64, Option<u32>),
    flows: (u64, u64),
}

impl Sum {
    fn add(
        &mut self,
        network: &Network,
        pattern: &Pattern,
        set: &FlowSet,
        outcome: &Outcome,
        received: f64,
        unfolded: u64,
    ) {
        let handling = handling_ps(network, received, pattern.passes);
        let hop = set.latency_ps.iter().copied().max().unwrap_or(0).saturating_add(handling);
        let steps = pattern.times.saturating_mul(outcome.finish_ps.saturating_add(handling));
        let time_ps = steps.saturating_add(pattern.pipeline_hops.saturating_mul(hop));
        self.time_ps = self.time_ps.saturating_add(time_ps);
        let bound = pattern.times.saturating_mul(outcome.bound_ps);
        self.bound_ps = self.bound_ps.saturating_add(bound);
        if bound > self.longest.0 {
            self.longest = (bound, outcome.bottleneck.map(|l| set.link_id[l]));
        }
        self.flows.0 += set.len() as u64;
        self.flows.1 += unfolded * pattern.times;
    }

    fn cost(self, scheme: Scheme) -> GraphCost {
        assert!(self.time_ps >= self.bound_ps, "{} < {}", self.time_ps, self.bound_ps);
        GraphCost {
            time_ps: self.time_ps,
            bound_ps: self.bound_ps,
            scheme,
            bottleneck: self.longest.1,
            utilisation: self.bound_ps as f64 / self.time_ps.max(1) as f64,
            flows: self.flows,
        }
    }
}

/// Time to read, add or store a message and to handle it.
pub(crate) fn handling_ps(network: &Network, bytes: f64, passes: f64) -> u64 {
    let topology = network.topology();
    let copying = bytes * passes / topology.memory_bytes_per_s;
    ((copying * 1e12).ceil() as u64).saturating_add(topology.endpoint_ps)
}

/// Runs a scheme message by message, each rank going on as soon as it can: the time in picoseconds
/// and the number of messages.
///
/// # Errors
/// As [`on_graph`], and more messages than can be held.
pub fn unfolded(
    network: &Network,
    group: &Placed,
    operation: Operation,
    scheme: Scheme,
    routing: Routing,
    bytes: f64,
) -> Result<(u64, u64), Diagnostics> {
    check(network, group, bytes)?;
    few_enough(group, operation, scheme, "fewer ranks, or folded rather than one by one")?;
    let patterns = steps(network, group, operation, scheme, bytes).ok_or_else(|| {
        Diagnostic::error("collective::scheme", "this scheme cannot run the operation")
    })?;
    let messages: u64 = patterns.iter().map(|p| p.transfers.len() as u64 * p.times).sum();
    let steps: u64 = patterns.iter().map(|p| p.times).sum();
    if messages.max(steps * group.members.len() as u64) > MAX_MESSAGES {
        return Err(Diagnostic::error(
            "collective::size",
            format!("{messages} messages one by one are more than {MAX_MESSAGES}"),
        )
        .into());
    }
    let chips = network.graph().endpoints();
    if patterns.iter().flat_map(|p| &p.transfers).any(|t| t.0.max(t.1) >= chips) {
        let message = "steps that end at switches are not run message by message";
        return Err(Diagnostic::error("collective::scheme", message).into());
    }
    let mut rank_of = vec![u32::MAX; network.graph().nodes() as usize];
    for (rank, &chip) in group.members.iter().enumerate() {
        rank_of[chip as usize] = rank as u32;
    }
    let mut streams = Vec::new();
    for pattern in &patterns {
        let mut transfers = pattern.transfers.clone();
        transfers.sort_by_key(|t| rank_of[t.0 as usize]);
        let mut sends = vec![0_u32; group.members.len() + 1];
        for t in &transfers {
            sends[rank_of[t.0 as usize] as usize + 1] += 1;
        }
        for rank in 0..group.members.len() {
            sends[rank + 1] += sends[rank];
        }
        let received = transfers.iter().map(|t| t.2).fold(0.0, f64::max);
        streams.push(Stream {
            set: network.flows(routing, transfers.iter().copied())?,
            sends,
            to: transfers.iter().map(|t| rank_of[t.1 as usize]).collect(),
            handling_ps: handling_ps(network, received, pattern.passes),
            times: pattern.times as u32,
        });
    }
    Ok(simulate(&Messages { ranks: group.members.len() as u32, streams }))
}
