//! Faults and uneven loads to lines: only what is different is unfolded.
//!
//! A rank that is slow, or whose exchanges take longer, holds up its own block in every pass; other
//! blocks meet it only at the end of the step. A chip that is gone takes its block out of every stage, for a
//! pipeline without it does nothing; the blocks that are left share the micro-batches. Blocks that are
//! hit in the same way are one set of lines.

use super::degrade::Degraded;
use super::fault::{Fault, FaultKind};
use super::lines::{Grid, Line};
use super::loads::Loads;
use super::wires::Wires;
use crate::machine::Machine;
use diagnostic::{Diagnostic, Diagnostics};
use program::{Gathered, Program, Schedule};
use std::collections::{BTreeMap, BTreeSet};

/// What slows a rank: its compute (to a share), or a stream (so many times as long).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Compute,
    Stream(usize),
}

/// All that slows one place of every stage: `(pipeline rank, what)` and the figure's bits, in order.
type Effect = BTreeMap<(u64, What), u64>;

/// Ranks of one block that run alike: what slows them, the bits of their experts' load, how many.
type Alike<'a> = (&'a Effect, u64, u64);

/// Collects what faults do to whom.
struct Hits<'a> {
    grid: Grid,
    ranks: u64,
    loads: Loads,
    wires: Wires<'a>,
    places: BTreeMap<u64, Effect>,
    lost: BTreeSet<u64>,
}

/// The lines of a job with `faults` and experts that get `tokens` each (empty for even loads);
/// `unfolded`, one for every rank that is left.
///
/// # Errors
/// Every fault that names what is not there or leaves nothing to run on; loads that are not those of
/// the program's experts.
pub(super) fn lines(
    program: &Program,
    machine: &Machine,
    faults: &[Fault],
    tokens: &[f64],
    unfolded: bool,
) -> Result<Vec<Line>, Diagnostics> {
    let grid = Grid::new(program);
    let mut hits = Hits {
        grid,
        ranks: program.ranks,
        loads: Loads::new(program, grid.width, tokens)?,
        wires: Wires::new(program, machine),
        places: BTreeMap::new(),
        lost: BTreeSet::new(),
    };
    let mut problems = Diagnostics::default();
    for fault in faults {
        if let Err(problem) = hits.add(fault) {
            problems.push(problem);
        }
    }
    if hits.lost.len() as u64 >= grid.blocks() {
        let message = "every pipeline has lost a chip: nothing is left to run".to_owned();
        problems.push(Diagnostic::error("flow::fault", message));
    }
    if problems.has_errors() {
        return Err(problems);
    }
    hits.slow_streams(program, machine)?;
    Ok(if unfolded { hits.every_rank(program) } else { hits.lines(program) })
}

impl Hits<'_> {
    fn add(&mut self, fault: &Fault) -> Result<(), Diagnostic> {
        match &fault.kind {
            FaultKind::Chip { rank } => self.chip(*rank, fault.rate),
            FaultKind::Board { board } => {
                let size = self.wires.board();
                let first = board.saturating_mul(size);
                self.wires.check(first)?;
                (first..(first + size).min(self.ranks)).try_for_each(|r| self.chip(r, fault.rate))
            }
            _ => self.wires.add(fault),
        }
    }

    /// A chip at `rate` of its speed; of several such faults the rates multiply.
    fn chip(&mut self, rank: u64, rate: f64) -> Result<(), Diagnostic> {
        self.wires.check(rank)?;
        let (stage, place) = self.grid.place(rank);
        if rate == 0.0 {
            self.lost.insert(place / self.grid.block);
            return Ok(());
        }
        let effect = self.places.entry(place).or_default();
        let bits = effect.entry((stage, What::Compute)).or_insert(1.0_f64.to_bits());
        *bits = (f64::from_bits(*bits) * rate).to_bits();
        Ok(())
    }

    /// Finds from the graph how much longer the exchanges of touched ranks take.
    fn slow_streams(&mut self, program: &Program, machine: &Machine) -> Result<(), Diagnostics> {
        if self.wires.touched.is_empty() {
            return Ok(());
        }
        let degraded = Degraded::new(program, machine, &self.wires)?;
        for (ranks, alike) in self.wires.touched() {
            let slowdowns = degraded.slowdowns(alike)?;
            for rank in ranks {
                let (stage, place) = self.grid.place(rank);
                for (stream, &times) in slowdowns.iter().enumerate().filter(|s| *s.1 > 1.0) {
                    let effect = self.places.entry(place).or_default();
                    effect.insert((stage, What::Stream(stream)), times.to_bits());
                }
            }
        }
        Ok(())
    }

    /// A line for every rank that is left.
    fn every_rank(&self, program: &Program) -> Vec<Line> {
        let left = self.grid.blocks() - self.lost.len() as u64;
        let (_, high, _) = shares(program, self.grid.blocks(), left);
        let mut lines = super::lines::unfolded(program);
        for (&place, effect) in &self.places {
            apply(&mut lines[place as usize], effect);
        }
        for (place, line) in lines.iter_mut().enumerate() {
            line.load = self.loads.at(place as u64);
        }
        let lost = |place: usize| self.lost.contains(&(place as u64 / self.grid.block));
        let kept = lines.into_iter().enumerate().filter(|(place, _)| !lost(*place));
        kept.map(|(_, line)| Line { micro_batches: high, ..line }).collect()
    }

    /// Blocks that something slows, by how: those hit alike are one.
    fn alike(&self) -> BTreeMap<Vec<Alike<'_>>, u64> {
        let mut blocks: BTreeMap<u64, BTreeMap<(&Effect, u64), u64>> = BTreeMap::new();
        for (&place, effect) in &self.places {
            let block = place / self.grid.block;
            if !self.lost.contains(&block) {
                let load = self.loads.at(place).to_bits();
                *blocks.entry(block).or_default().entry((effect, load)).or_default() += 1;
            }
        }
        let mut alike: BTreeMap<Vec<Alike<'_>>, u64> = BTreeMap::new();
        for hit in blocks.into_values() {
            let signature = hit.into_iter().map(|((effect, load), n)| (effect, load, n)).collect();
            *alike.entry(signature).or_default() += 1;
        }
        alike
    }

    /// One set of lines for each way in which blocks are hit, and one for the rest; of each, a line
    /// for every load that experts give their ranks.
    fn lines(&self, program: &Program) -> Vec<Line> {
        let (grid, alike) = (&self.grid, self.alike());
        let left = grid.blocks() - self.lost.len() as u64;
        let untouched = left - alike.values().sum::<u64>();
        let (low, high, carrying_high) = shares(program, grid.blocks(), left);
        // The blocks that carry one more are untouched ones, if there are as many.
        let all_high = carrying_high > untouched;
        let low = if all_high { high } else { low };
        let high_blocks = if all_high || low == high { 0 } else { carrying_high };
        let mut lines = Vec::new();
        let mut push = |label: &str, ranks: u64, load: u64, (micro_batches, key): (u64, u32)| {
            let stages = grid.stages as usize;
            let mut line = Line::new(label.to_owned(), ranks, micro_batches, stages);
            line.load = f64::from_bits(load);
            if self.loads.are_uneven() {
                let space = if label.is_empty() { "" } else { " " };
                line.label = format!("{label}{space}load {:.2}", line.load);
            }
            line.groups = [key; 3];
            lines.extend((ranks > 0).then_some(line));
            lines.len().wrapping_sub(1)
        };
        let loads = self.loads.in_a_block(grid.block);
        for (&load, &ranks) in &loads {
            push("", (untouched - high_blocks) * ranks, load, (low, 0));
        }
        for (&load, &ranks) in &loads {
            push("one more", high_blocks * ranks, load, (high, 1));
        }
        let mut hit = Vec::new();
        for (at, (signature, blocks)) in alike.iter().enumerate() {
            let key = 2 + at as u32;
            let mut rest = loads.clone();
            for &(effect, load, ranks) in signature {
                *rest.entry(load).or_default() -= ranks;
                hit.push((push("hit", ranks * blocks, load, (low, key)), effect));
            }
            for (load, ranks) in rest {
                push("beside", ranks * blocks, load, (low, key));
            }
        }
        for (line, effect) in hit {
            apply(&mut lines[line], effect);
        }
        lines
    }
}

fn apply(line: &mut Line, effect: &Effect) {
    for (&(stage, what), &bits) in effect {
        match what {
            What::Compute => line.speed[stage as usize] = f64::from_bits(bits),
            What::Stream(stream) => line.longer[stage as usize][stream] = f64::from_bits(bits),
        }
    }
}

/// Micro-batches of a step over the blocks that are left: the fewer, the more, and how many blocks
/// carry the more. The schedule's own rule on their number is kept; where all ranks gather weights
/// or scatter gradients together, all carry as many.
fn shares(program: &Program, blocks: u64, left: u64) -> (u64, u64, u64) {
    let m = program.micro_batches;
    if left == blocks {
        return (m, m, 0);
    }
    let unit = match program.schedule {
        Schedule::OneFOneB if program.chunks > 1 => program.classes.len() as u64,
        Schedule::DualPipe => 2,
        _ => 1,
    };
    let all = m * blocks;
    let high = all.div_ceil(left * unit) * unit;
    let low = high - unit;
    let together = program.segments.iter().any(|s| s.gathered != Gathered::default());
    if together || low < m || low * left >= all {
        return (high, high, 0);
    }
    (low, high, (all - low * left).div_ceil(unit))
}
