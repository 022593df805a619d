//! A built topology, whole or with faults, ready to carry traffic.

use crate::affected::AffectedPairs;
use crate::fault::{Fault, apply_faults};
use crate::graph::Graph;
use crate::route::{FlowBuilder, Route, Router, Routing};
use crate::share::FlowSet;
use crate::symmetry::{Symmetry, pairs_by_number};
use crate::topology::Topology;
use diagnostic::{Diagnostic, Diagnostics};

/// Most links that flows laid out one by one cross together: about half a gigabyte.
const MAX_HOPS: usize = 1 << 25;

/// A topology with its graph, its symmetry if it has one, and its faults if it has any.
#[derive(Clone, Debug)]
pub struct Network {
    topology: Topology,
    whole: Graph,
    symmetry: Option<Symmetry>,
    broken: Option<(Graph, Option<Symmetry>)>,
}

impl Network {
    /// Builds the graph and looks for its symmetry.
    ///
    /// # Errors
    /// What [`Topology::build`] refuses.
    pub fn new(topology: Topology) -> Result<Self, Diagnostic> {
        let whole = topology.build()?;
        let symmetry = Symmetry::find(&whole);
        Ok(Self { topology, whole, symmetry, broken: None })
    }

    /// The same network with faults in it (instead of any it had).
    ///
    /// # Errors
    /// Every fault that names what is not there.
    pub fn with_faults(&self, faults: &[Fault]) -> Result<Self, Diagnostics> {
        let broken = apply_faults(&self.whole, faults)?;
        // Faults may be alike everywhere: a whole plane of switches.
        let broken = (broken != self.whole).then(|| {
            let symmetry = Symmetry::find(&broken);
            (broken, symmetry)
        });
        Ok(Self { broken, ..self.clone() })
    }

    /// What it was built from.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The graph as it is now.
    pub fn graph(&self) -> &Graph {
        self.broken.as_ref().map_or(&self.whole, |b| &b.0)
    }

    /// Its symmetry as it is now, unless faults break it.
    pub fn symmetry(&self) -> Option<&Symmetry> {
        self.broken.as_ref().map_or(self.symmetry.as_ref(), |b| b.1.as_ref())
    }

    /// Whether the switches of the innermost level reduce in flight.
    pub fn reduces(&self) -> bool {
        self.topology.reduces
    }

    /// Whether it has faults.
    pub fn has_faults(&self) -> bool {
        self.broken.is_some()
    }

    /// Chips that are alive, in order.
    pub fn alive(&self) -> Vec<u32> {
        (0..self.graph().endpoints()).filter(|e| !self.graph().is_dead(*e)).collect()
    }

    /// The flows of transfers `(from, to, bytes)`; to oneself and of nothing are dropped. Under
    /// faults, only routes over dead links are found anew.
    ///
    /// # Errors
    /// A pair between which no path is left; more than 2^25 links crossed by all flows together.
    pub fn flows(
        &self,
        routing: Routing,
        transfers: impl IntoIterator<Item = (u32, u32, f64)>,
    ) -> Result<FlowSet, Diagnostic> {
        let graph = self.graph();
        let mut plain = Router::new(&self.whole, routing, self.symmetry.as_ref());
        let mut around = self.broken.as_ref().map(|b| Router::new(&b.0, routing, None));
        let mut builder = FlowBuilder::new(graph, self.topology.acknowledgement);
        let mut route = Route::new();
        for (from, to, bytes) in transfers {
            if from == to || bytes <= 0.0 {
                continue;
            }
            let mut found = plain.route_into(from, to, &mut route);
            let is_dead = |r: &Route| r.iter().any(|(l, _)| graph.bytes_per_s[*l as usize] <= 0.0);
            if let Some(around) = &mut around
                && (found.is_none() || is_dead(&route))
            {
                found = around.route_into(from, to, &mut route);
            }
            let Some(latency) = found else { return Err(self.cut(from, to)) };
            builder.push(&route, bytes, latency);
            if builder.hops() > MAX_HOPS {
                let message = format!("flows one by one cross more than {MAX_HOPS} links");
                let hint = "fewer ranks, or an algorithm that sends to neighbours";
                return Err(Diagnostic::error("fabric::size", message).hint(hint));
            }
        }
        Ok(builder.finish())
    }

    /// Transfers that are the same seen from every chip, folded by symmetry; `None` where they or
    /// the network are not.
    pub fn shifts(&self, routing: Routing, transfers: &[(u32, u32, f64)]) -> Option<FlowSet> {
        let ack = self.topology.acknowledgement;
        self.symmetry()?.shifts(self.graph(), routing, transfers, ack)
    }

    /// All-pairs traffic among all living chips under faults, pair by pair only where a route
    /// crosses a dead part; `None` without faults, where the whole network is not symmetric, or
    /// where too much of it is affected.
    ///
    /// # Errors
    /// A pair between which no path is left.
    pub fn affected_pairs(
        &self,
        routing: Routing,
        bytes: f64,
    ) -> Option<Result<AffectedPairs, Diagnostic>> {
        let (symmetry, (broken, _)) = (self.symmetry.as_ref()?, self.broken.as_ref()?);
        let folded =
            symmetry.all_pairs(&self.whole, routing, bytes, self.topology.acknowledgement)?;
        let found =
            crate::affected::all_pairs(&self.whole, symmetry, broken, routing, bytes, &folded)?;
        Some(found.map_err(|(from, to)| self.cut(from, to)))
    }

    fn cut(&self, from: u32, to: u32) -> Diagnostic {
        let (from, to) = (self.whole.node_name(from), self.whole.node_name(to));
        Diagnostic::error("fabric::cut", format!("no path is left from {from} to {to}"))
            .hint("a group with a cut-off member cannot run; place it on other chips")
    }

    /// All-pairs traffic among all chips, folded by symmetry; `None` where there is none.
    pub fn all_pairs(&self, routing: Routing, bytes: f64) -> Option<FlowSet> {
        let ack = self.topology.acknowledgement;
        if routing == Routing::Modulo {
            return pairs_by_number(self.graph(), bytes, ack);
        }
        self.symmetry()?.all_pairs(self.graph(), routing, bytes, ack)
    }
}
