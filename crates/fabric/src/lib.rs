//! Pods as graphs: topology, routing, link sharing, faults; and the same pods as link classes.
//!
//! A fabric has two faces with the same answers. [`Fabric`] is a [`catalog::Cluster`] folded into
//! one [`Channel`] a level: what a regular group costs depends on its [`Span`] alone. [`Topology`]
//! composes levels (full mesh, ring, switch, trunk, rail, dragonfly) and [`Topology::build`]s the
//! explicit [`Graph`]: every port, switch and link, for routing, contention and faults.
//!
//! On the graph, [`Router`] finds paths, [`max_min`] shares links, [`fold`] joins flows that are
//! provably alike, and [`simulate`] runs messages as events. Nothing here knows what a collective
//! is. Start reading at `topology.rs` and `graph.rs`.
//!
//! Not modelled: packets, credits and head-of-line blocking (flows are fluid).

mod affected;
mod fault;
mod fold;
mod from_cluster;
mod graph;
mod levels;
mod network;
mod queue;
mod route;
mod share;
mod simulate;
mod survey;
mod symmetry;
mod text;
mod topology;

pub use affected::AffectedPairs;
pub use fault::{Fault, apply_faults, parse_fault};
pub use fold::{Folded, fold};
pub use from_cluster::topology_of;
pub use graph::{Graph, NodeKind};
pub use levels::{Channel, Fabric, MAX_DIMENSIONS, MAX_LEVELS, Span};
pub use network::Network;
pub use route::{Router, Routing};
pub use share::{FlowSet, max_min};
pub use simulate::{Messages, Outcome, Stream, simulate, transfer};
pub use survey::{PortUse, Survey, survey};
pub use symmetry::{PairClass, Symmetry};
pub use text::{FILE as TOPOLOGY_FILE, parse_topology};
pub use topology::{Layout, Level, Topology};
