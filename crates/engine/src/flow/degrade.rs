//! What broken links, ports and switches do to the exchanges of the ranks they touch.
//!
//! Every stream of a rank is represented by its costliest exchange. That is run link by link over the
//! rank's own group, on the whole fabric and on the broken one, by the algorithm that is best on the
//! whole one: traffic of a dead link goes round it, and takes room there. Not valid for what detours
//! take from other groups' traffic.

use super::pieces::{DATA, SEND, STREAMS};
use super::wires::Wires;
use crate::machine::Machine;
use crate::placed::Placed;
use crate::price::comm_axis;
use collective::{GraphCost, Operation, Scheme, on_graph};
use diagnostic::{Diagnostic, Diagnostics};
use fabric::{Network, Routing, topology_of};
use model::{Axis, Collective};
use program::Program;

/// Most chips of a job whose fabric is laid out link by link: about 1 GB.
const MOST_CHIPS: u64 = 1 << 18;
/// Members of a group above which algorithms that send from each to each are left out: they are not
/// the fastest for so many, and have a flow a pair.
const MANY: usize = 128;

/// A job's fabric, whole and broken.
pub(super) struct Degraded<'a> {
    placed: Placed<'a>,
    whole: Network,
    broken: Network,
    /// By stream.
    costliest: [Option<Exchange>; STREAMS],
}

/// Axis, operation and bytes.
type Exchange = (Axis, Collective, f64);

impl<'a> Degraded<'a> {
    /// The fabric of `machine` as `program` sees it, and the same with the faults of `wires`.
    ///
    /// # Errors
    /// A fabric too large for a graph; faults of what is not there.
    pub(super) fn new(
        program: &'a Program,
        machine: &'a Machine,
        wires: &Wires<'_>,
    ) -> Result<Self, Diagnostics> {
        let placed = Placed::of(program, machine);
        let chips = placed.fabric().chip(program.ranks - 1) + 1;
        if chips > MOST_CHIPS {
            let message = format!("{chips} chips are too many to be laid out link by link");
            return Err(Diagnostic::error("flow::fault", message)
                .hint(format!("up to {MOST_CHIPS}; slow ranks and dead chips need no graph"))
                .into());
        }
        let whole = Network::new(topology_of(&machine.cluster, chips)?)?;
        let broken = whole.with_faults(&wires.on_graph(&whole))?;
        let costliest = costliest(program, &placed);
        Ok(Self { placed, whole, broken, costliest })
    }

    /// How many times as long each stream of `rank` takes.
    ///
    /// # Errors
    /// A member of one of its groups that is cut off.
    pub(super) fn slowdowns(&self, rank: u64) -> Result<[f64; STREAMS], Diagnostics> {
        let mut all = [1.0; STREAMS];
        for (slowdown, exchange) in all.iter_mut().zip(self.costliest) {
            let Some((axis, operation, bytes)) = exchange else { continue };
            let Some(group) = self.placed.group(axis).filter(|g| g.size > 1) else { continue };
            let first = rank - rank / group.stride % group.size * group.stride;
            let chip = |i| self.placed.fabric().chip(first + i * group.stride) as u32;
            let group = collective::Placed::of(&self.whole, (0..group.size).map(chip).collect());
            let operation = Operation::Of(operation);
            let whole = fastest(&self.whole, &group, operation, bytes)?;
            let scheme = Some(whole.scheme);
            let broken = on_graph(&self.broken, &group, operation, scheme, Routing::Split, bytes)?;
            // Rounding to picoseconds is no slowdown.
            let ratio = broken.time_ps as f64 / whole.time_ps as f64;
            *slowdown = if ratio > 1.0 + 1e-6 { ratio } else { 1.0 };
        }
        Ok(all)
    }
}

/// The exchange by the algorithm that is best without faults.
fn fastest(
    network: &Network,
    group: &collective::Placed,
    operation: Operation,
    bytes: f64,
) -> Result<GraphCost, Diagnostics> {
    let schemes = operation.schemes();
    let each_to_each = |s: &Scheme| matches!(s, Scheme::Direct | Scheme::Pairwise);
    if group.members.len() <= MANY || schemes.iter().all(each_to_each) {
        return on_graph(network, group, operation, None, Routing::Split, bytes);
    }
    let run = |&scheme: &Scheme| {
        on_graph(network, group, operation, Some(scheme), Routing::Split, bytes).ok()
    };
    let costs = schemes.iter().filter(|s| !each_to_each(s)).filter_map(run);
    costs.min_by_key(|c| c.time_ps).ok_or_else(|| {
        Diagnostic::error("flow::fault", "no algorithm can run an exchange of the job").into()
    })
}

/// Of each stream the exchange that takes longest.
fn costliest(program: &Program, placed: &Placed<'_>) -> [Option<Exchange>; STREAMS] {
    let mut best: [Option<(Exchange, f64)>; STREAMS] = [None; STREAMS];
    let mut offer = |stream: usize, axis, operation, bytes: f64| {
        let seconds = placed.seconds(axis, operation, bytes);
        if seconds > best[stream].map_or(0.0, |b| b.1) {
            best[stream] = Some(((axis, operation, bytes), seconds));
        }
    };
    for e in &program.exchanges {
        if let Some(stream) = comm_axis(e.axis) {
            offer(stream as usize, e.axis, e.forward, e.forward_bytes);
            offer(stream as usize, e.axis, e.backward, e.backward_bytes);
        }
    }
    for segment in &program.segments {
        let g = &segment.gathered;
        let shard = crate::price::CommAxis::Shard as usize;
        offer(shard, Axis::Data, Collective::AllGather, g.dense_bytes);
        offer(shard, Axis::ExpertData, Collective::AllGather, g.expert_bytes);
        offer(shard, Axis::Data, Collective::ReduceScatter, g.dense_gradient_bytes);
        offer(shard, Axis::ExpertData, Collective::ReduceScatter, g.expert_gradient_bytes);
    }
    for (_, e) in program.classes.iter().flat_map(|c| &c.finish.exchanges) {
        offer(DATA, e.axis, e.operation, e.bytes);
    }
    offer(SEND, Axis::Pipeline, Collective::SendRecv, program.boundary_bytes);
    best.map(|b| b.map(|(exchange, _)| exchange))
}
