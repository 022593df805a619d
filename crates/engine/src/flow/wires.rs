//! Faults of links, ports and switches: what they are called on the fabric's graph, whom they touch.

use super::fault::{Fault, FaultKind};
use crate::machine::Machine;
use catalog::{Level, Wiring};
use diagnostic::{Diagnostic, nearest};
use fabric::{Channel, Fabric, Network};
use program::Program;
use std::collections::BTreeSet;
use std::ops::Range;

/// A fault of the network as it is laid.
#[derive(Clone, Debug)]
enum Broken {
    /// Both ends.
    Link(u64, u64),
    /// A rank's port into a level.
    Port(u64, usize),
    /// A switch over a rank, of a level.
    Switch(u64, usize),
}

/// The network's faults of one job.
pub(super) struct Wires<'a> {
    fabric: Fabric,
    levels: &'a [Level],
    ranks: u64,
    faults: Vec<(Broken, f64)>,
    /// Ranks whose exchanges are looked at, each of a range alike.
    pub touched: Vec<Range<u64>>,
}

impl<'a> Wires<'a> {
    pub(super) fn new(program: &Program, machine: &'a Machine) -> Self {
        let fabric = Fabric::new(&machine.cluster, program.ranks);
        let levels = &machine.cluster.levels;
        Self { fabric, levels, ranks: program.ranks, faults: Vec::new(), touched: Vec::new() }
    }

    fn channel(&self, level: usize) -> &Channel {
        &self.fabric.channels()[level]
    }

    /// Ranks of a board.
    pub(super) fn board(&self) -> u64 {
        self.fabric.channels().first().map_or(1, |c| c.ranks.max(1))
    }

    /// Whether a rank is there.
    pub(super) fn check(&self, rank: u64) -> Result<(), Diagnostic> {
        if rank < self.ranks {
            return Ok(());
        }
        let message = format!("rank `{rank}` is not there: the job has {} ranks", self.ranks);
        Err(Diagnostic::error("flow::fault", message).hint("ranks are counted from 0"))
    }

    fn level(&self, name: &str) -> Result<usize, Diagnostic> {
        self.levels.iter().position(|l| l.name == name).ok_or_else(|| {
            let words: Vec<&str> = self.levels.iter().map(|l| l.name.as_str()).collect();
            let near = nearest(name, words.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            let hint = near.unwrap_or_else(|| format!("the levels are {}", words.join(", ")));
            let message = format!("the cluster has no level `{name}`");
            Diagnostic::error("flow::fault", message).hint(hint)
        })
    }

    /// Notes a fault of the network.
    pub(super) fn add(&mut self, fault: &Fault) -> Result<(), Diagnostic> {
        let rate = fault.rate;
        match &fault.kind {
            FaultKind::Link { from, to } => self.link(*from, *to, rate),
            FaultKind::Port { rank, level } => {
                self.check(*rank)?;
                let at = self.level(level)?;
                self.known(at, rate, "ports a chip has into", "its bandwidth into the level")?;
                let channel = self.channel(at);
                let links = match channel.wiring {
                    Wiring::FullMesh => channel.fan - 1,
                    Wiring::Torus => 2 * channel.dimensions().max(1) as u64,
                    Wiring::Switch => self.levels[at].cabling.planes,
                };
                // A link of several ports keeps the others.
                let ports = self.levels[at].cabling.ports.unwrap_or(links) / links.max(1);
                let left = (ports.max(1) as f64 - 1.0 + rate) / ports.max(1) as f64;
                self.faults.push((Broken::Port(*rank, at), left));
                self.touched.push(*rank..rank + 1);
                Ok(())
            }
            FaultKind::Switch { level, instance } => self.switch(level, *instance, rate),
            FaultKind::Chip { .. } | FaultKind::Board { .. } => Ok(()),
        }
    }

    /// Refuses to take away the only switch or port of a level of which the catalog does not say how
    /// many there are.
    fn known(&self, level: usize, rate: f64, what: &str, of: &str) -> Result<(), Diagnostic> {
        let l = &self.levels[level];
        let several = l.cabling.planes > 1 || l.cabling.ports.is_some_and(|p| p > 1);
        if rate > 0.0 || several || l.wiring != Wiring::Switch {
            return Ok(());
        }
        let message = format!("how many {what} `{}` is not known", l.name);
        let hint = format!("say what is left of {of}: =0.75 for one of four");
        Err(Diagnostic::error("flow::fault", message).hint(hint))
    }

    fn link(&mut self, from: u64, to: u64, rate: f64) -> Result<(), Diagnostic> {
        self.check(from)?;
        self.check(to)?;
        let same = |level: usize| {
            let ranks = self.channel(level).ranks.max(1);
            from / ranks == to / ranks
        };
        let level = (0..self.levels.len()).find(|&l| same(l));
        let below = level.and_then(|l| l.checked_sub(1)).map_or(1, |l| self.channel(l).ranks);
        let direct = level.is_some_and(|l| {
            from != to
                && from % below.max(1) == to % below.max(1)
                && self.channel(l).wiring == Wiring::FullMesh
        });
        if !direct {
            let message = format!("ranks `{from}` and `{to}` have no direct link");
            let hint = "only members of a mesh have; for a way into a switch write port:RANK/LEVEL";
            return Err(Diagnostic::error("flow::fault", message).hint(hint));
        }
        self.faults.push((Broken::Link(from, to), rate));
        self.touched.extend([from..from + 1, to..to + 1]);
        Ok(())
    }

    fn switch(&mut self, level: &str, instance: u64, rate: f64) -> Result<(), Diagnostic> {
        let at = self.level(level)?;
        if self.channel(at).wiring != Wiring::Switch {
            let message = format!("level `{level}` has no switches");
            let hint = "its chips are joined directly: write link:FROM-TO or port:RANK/LEVEL";
            return Err(Diagnostic::error("flow::fault", message).hint(hint));
        }
        self.known(at, rate, "switches there are in", "the level's bandwidth")?;
        let size = self.channel(at).ranks.max(1);
        let first = instance.saturating_mul(size);
        self.check(first)?;
        self.faults.push((Broken::Switch(first, at), rate));
        self.touched.push(first..(first + size).min(self.ranks));
        Ok(())
    }

    /// Ranks whose exchanges are slowed alike, with one of them: those that a fault names on their
    /// own, then the rest of the instances whose switches fail.
    pub(super) fn touched(&self) -> Vec<(Vec<u64>, u64)> {
        let single = |r: &&Range<u64>| r.end - r.start == 1;
        let own: BTreeSet<u64> = self.touched.iter().filter(single).map(|r| r.start).collect();
        let mut all: Vec<(Vec<u64>, u64)> = own.iter().map(|&r| (vec![r], r)).collect();
        for range in self.touched.iter().filter(|r| r.end - r.start > 1) {
            let rest: Vec<u64> = range.clone().filter(|r| !own.contains(r)).collect();
            if let Some(&first) = rest.first() {
                all.push((rest, first));
            }
        }
        all
    }

    /// The faults by the names of the fabric's graph.
    pub(super) fn on_graph(&self, network: &Network) -> Vec<fabric::Fault> {
        let chip = |rank: u64| self.fabric.chip(rank) as u32;
        let label = |level: usize| {
            let name = &self.levels[level].name;
            // The first dimension of a torus.
            let torus = self.levels[level].wiring == Wiring::Torus;
            if torus { format!("{name}-x") } else { name.clone() }
        };
        let named = |(broken, left): &(Broken, f64)| match *broken {
            Broken::Link(from, to) => {
                Some(fabric::Fault::Link { from: chip(from), to: chip(to), left: *left })
            }
            Broken::Port(rank, level) => Some(fabric::Fault::Port {
                chip: chip(rank),
                level: label(level),
                index: 0,
                left: *left,
            }),
            Broken::Switch(rank, level) => {
                let index = switch_above(network, chip(rank), &label(level))?;
                Some(fabric::Fault::Switch { level: label(level), index, left: *left })
            }
        };
        self.faults.iter().filter_map(named).collect()
    }
}

/// The first switch of a level above a chip, counted in its level.
fn switch_above(network: &Network, chip: u32, level: &str) -> Option<u32> {
    let graph = network.graph();
    let (_, first, count) = graph.switches().into_iter().find(|s| s.0 == level)?;
    let (mut seen, mut at) = (vec![chip], 0);
    while at < seen.len() {
        for next in graph.out(seen[at]).map(|l| graph.to(l)).filter(|n| *n >= graph.endpoints()) {
            if (first..first + count).contains(&next) {
                return Some(next - first);
            }
            if !seen.contains(&next) {
                seen.push(next);
            }
        }
        at += 1;
    }
    None
}
