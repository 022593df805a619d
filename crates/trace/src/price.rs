//! Prices of a captured program on a network: collectives and messages link by link.

use crate::program::Operation;
use crate::run::Price;
use collective::{Placed, Scheme, on_graph};
use diagnostic::Diagnostics;
use fabric::{Network, Routing, transfer};
use model::Collective;
use std::collections::BTreeMap;

/// A network with ranks on its first chips, and a chip for work that has no recorded duration.
#[derive(Clone, Debug)]
pub struct OnNetwork {
    /// Links.
    pub network: Network,
    /// Algorithms by an operation's word; the fastest is taken for others.
    pub schemes: BTreeMap<&'static str, Scheme>,
    /// Operations a chip does. FLOP/s.
    pub flop_per_s: Option<f64>,
    /// Bytes a chip moves. Bytes/s.
    pub memory_bytes_per_s: Option<f64>,
}

/// The first problem as a sentence.
fn sentence(problems: &Diagnostics) -> String {
    problems.0.first().map_or_else(String::new, |p| p.message.clone())
}

/// Refuses bytes that would take more than eleven days over the slowest of `rates`: beyond it whole
/// picoseconds no longer hold the time.
pub(crate) fn bearable(bytes: f64, rates: &[f64]) -> Result<(), String> {
    let slowest = rates.iter().copied().filter(|r| *r > 0.0).fold(f64::INFINITY, f64::min);
    if bytes / slowest < 1e6 { Ok(()) } else { Err(format!("{bytes} bytes are absurd")) }
}

fn picoseconds(amount: u64, per_s: f64) -> Result<u64, String> {
    let ps = (amount as f64 / per_s * 1e12).ceil();
    if ps < 1e18 { Ok(ps as u64) } else { Err(format!("an amount of {amount} is absurd")) }
}

impl Price for OnNetwork {
    fn collective(&self, operation: Operation, bytes: u64, ranks: &[u64]) -> Result<u64, String> {
        let (asked, bytes) = match operation {
            Operation::Of(Collective::SendRecv) => return Err("not a collective".to_owned()),
            Operation::Of(of) => (collective::Operation::Of(of), bytes),
            Operation::Broadcast => (collective::Operation::Broadcast, bytes),
            // The smallest all-reduce there is.
            Operation::Barrier => (collective::Operation::Of(Collective::AllReduce), 8),
        };
        if ranks.len() < 2 || bytes == 0 {
            return Ok(0);
        }
        let endpoints = u64::from(self.network.graph().endpoints());
        if let Some(rank) = ranks.iter().find(|r| **r >= endpoints) {
            return Err(format!("rank `{rank}` has no chip: the network has {endpoints}"));
        }
        // At worst every rank's bytes cross one link.
        bearable(bytes as f64 * ranks.len() as f64, self.network.graph().capacities())?;
        let members = ranks.iter().map(|r| *r as u32).collect();
        let placed = Placed::of(&self.network, members);
        let scheme = self.schemes.get(operation.word()).copied();
        on_graph(&self.network, &placed, asked, scheme, Routing::Split, bytes as f64)
            .map(|cost| cost.time_ps)
            .map_err(|problems| sentence(&problems))
    }

    fn send(&self, from: u64, to: u64, bytes: u64) -> Result<u64, String> {
        let endpoints = u64::from(self.network.graph().endpoints());
        if let Some(rank) = [from, to].iter().find(|r| **r >= endpoints) {
            return Err(format!("rank `{rank}` has no chip: the network has {endpoints}"));
        }
        let one = [(from as u32, to as u32, bytes as f64)];
        let flows = self.network.flows(Routing::Split, one).map_err(|p| p.message)?;
        bearable(bytes as f64, &flows.capacity)?;
        Ok(transfer(&flows).finish_ps)
    }

    fn compute(&self, flop: u64, bytes: u64) -> Result<u64, String> {
        roofline(flop, bytes, self.flop_per_s, self.memory_bytes_per_s)
    }
}

/// The longer of computing and moving bytes. Picoseconds.
pub(crate) fn roofline(
    flop: u64,
    bytes: u64,
    flop_per_s: Option<f64>,
    memory_bytes_per_s: Option<f64>,
) -> Result<u64, String> {
    let missing = |what: &str| format!("it has no recorded duration, and no {what} is given");
    let computing = match flop_per_s {
        _ if flop == 0 => 0,
        Some(rate) => picoseconds(flop, rate)?,
        None => return Err(missing("rate of operations (`--flops`, or a cluster)")),
    };
    let moving = match memory_bytes_per_s {
        _ if bytes == 0 => 0,
        Some(rate) => picoseconds(bytes, rate)?,
        None => return Err(missing("memory bandwidth (`--memory`, or a cluster)")),
    };
    Ok(computing.max(moving))
}
