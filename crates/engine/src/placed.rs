//! A plan's groups on a machine's fabric -> seconds and bytes of one collective.

use crate::machine::Machine;
use fabric::{Fabric, MAX_LEVELS, Span};
use model::{Axis, Collective};
use program::{Group, Program, Routing};

/// A machine's fabric with a plan's groups laid on it.
pub struct Placed<'a> {
    groups: &'a [Group],
    routing: Option<Routing>,
    pub(crate) machine: &'a Machine,
    fabric: Fabric,
}

impl<'a> Placed<'a> {
    /// `groups` of a job of `ranks` ranks on `machine`.
    pub fn new(
        groups: &'a [Group],
        routing: Option<Routing>,
        ranks: u64,
        machine: &'a Machine,
    ) -> Self {
        Self { groups, routing, machine, fabric: Fabric::new(&machine.cluster, ranks) }
    }

    pub(crate) fn of(program: &'a Program, machine: &'a Machine) -> Self {
        Self::new(&program.groups, program.routing, program.ranks, machine)
    }

    /// Ranks of the axis's group.
    pub(crate) fn members(&self, axis: Axis) -> f64 {
        self.group(axis).map_or(1.0, |g| g.size as f64)
    }

    /// The group of `axis`, if the plan names it.
    pub fn group(&self, axis: Axis) -> Option<&Group> {
        self.groups.iter().find(|g| g.axis == axis)
    }

    /// Where the axis's group lies, and the share of its bytes that is sent at each level.
    fn laid(&self, axis: Axis) -> Option<(Span, [f64; MAX_LEVELS])> {
        let group = self.group(axis)?;
        let span = self.fabric.span(group.stride, group.size);
        let copies = self.copies(axis, &span);
        Some((span, copies))
    }

    /// Seconds of one collective; 0 in a group of one or for no bytes.
    pub fn seconds(&self, axis: Axis, operation: Collective, bytes: f64) -> f64 {
        if bytes == 0.0 {
            return 0.0;
        }
        let Some((span, copies)) = self.laid(axis) else { return 0.0 };
        let copies = self.relayed(axis, &span, copies);
        self.measured(&span, operation, bytes, &copies)
            .or_else(|| self.computed(&span, operation, bytes, &copies))
            .unwrap_or(0.0)
    }

    /// Time by the formulas of the algorithms the chip's library has: NCCL gathers and scatters by
    /// rings through all ranks, whose steps grow with the group (its tree and hierarchies are for
    /// all-reduce; PAT, since 2.23, is for one rank a node).
    fn computed(
        &self,
        span: &Span,
        operation: Collective,
        bytes: f64,
        copies: &[f64; MAX_LEVELS],
    ) -> Option<f64> {
        let rings = self.machine.cluster.chip.vendor == "NVIDIA"
            && matches!(operation, Collective::AllGather | Collective::ReduceScatter);
        let cost = if rings && span.outermost().is_some() {
            let ring = collective::Algorithm::Ring;
            collective::price(&self.fabric, span, operation, ring, bytes, copies)
        } else {
            collective::cost(&self.fabric, span, operation, bytes, copies)
        };
        cost.map(|c| c.seconds)
    }

    /// Bytes each rank pushes into every level in one collective, by the algorithm that is cheapest.
    pub(crate) fn traffic(
        &self,
        axis: Axis,
        operation: Collective,
        bytes: f64,
    ) -> [f64; MAX_LEVELS] {
        let none = [0.0; MAX_LEVELS];
        let Some((span, copies)) = self.laid(axis) else { return none };
        let cost = collective::cost(&self.fabric, &span, operation, bytes, &copies);
        let levels = cost.and_then(|c| {
            collective::traffic(&self.fabric, &span, operation, c.algorithm, bytes, &copies)
        });
        levels.unwrap_or(none)
    }

    pub(crate) fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// Time from the calibration's curves, for a group inside the innermost level. A group larger
    /// than any measured takes the measured time of the nearest, times what the algorithm's formula
    /// says the larger one takes longer. A token that goes once to each rank is so many fewer bytes of
    /// a plain all-to-all.
    fn measured(
        &self,
        span: &Span,
        operation: Collective,
        bytes: f64,
        copies: &[f64; MAX_LEVELS],
    ) -> Option<f64> {
        if span.outermost() != Some(0) {
            return None;
        }
        let calibration = &self.machine.calibration;
        // The curve's links against this machine's: what of the level's bandwidth is known to be
        // uncertain moves the measured part too.
        let level = self.machine.cluster.levels.first()?;
        let slower = calibration.peaks.link / level.bandwidth.value;
        let formula = |n, bytes| {
            let span = self.fabric.span(1, n);
            self.computed(&span, operation, bytes, &[1.0; MAX_LEVELS])
        };
        let sent = if operation == Collective::AllToAll { bytes * copies[0] } else { bytes };
        let curves = &calibration.curves;
        collective::measured(curves, operation, span.size(), sent, slower, &formula).map(|m| m.0)
    }

    /// `copies` with the network's part as much larger as a relay through the chips of a node is slower
    /// over it than plain collectives, where that is measured.
    fn relayed(&self, axis: Axis, span: &Span, mut copies: [f64; MAX_LEVELS]) -> [f64; MAX_LEVELS] {
        let once = axis == Axis::Expert && self.routing.is_some_and(|r| r.deduplicated);
        let outermost = span.outermost().filter(|&level| once && level > 0);
        if let Some(level) = outermost {
            let plain = self.machine.cluster.levels[level].utilisation.value;
            let share = self.machine.relayed_share(span.fan[level]).unwrap_or(plain);
            copies[level] *= (plain / share).max(1.0);
        }
        copies
    }

    fn copies(&self, axis: Axis, span: &Span) -> [f64; MAX_LEVELS] {
        match self.routing {
            Some(r) if axis == Axis::Expert && r.deduplicated => {
                collective::deduplication(span, r.experts, r.topk, r.group_limit)
            }
            _ => [1.0; MAX_LEVELS],
        }
    }
}
