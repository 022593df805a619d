//! Faults and uneven loads to lines: only what is different is unfolded.
//!
//! A rank that is slow or short of bandwidth holds up its own block in every pass; other blocks meet
//! it only at the end of the step. A chip that is gone takes its block out of every stage, for a
//! pipeline without it does nothing; the blocks that are left share the micro-batches. Blocks that are
//! hit in the same way are one set of lines.

use super::fault::{Fault, FaultKind};
use super::lines::{Grid, Line};
use catalog::{Level, Wiring};
use diagnostic::{Diagnostic, Diagnostics, nearest};
use fabric::{Channel, Fabric};
use program::{Program, Schedule};
use std::collections::{BTreeMap, BTreeSet};

/// What slows a rank: its compute, or its ports into a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Compute,
    Ports(usize),
}

/// All that slows one place of every stage: `(pipeline rank, what)` and the rate's bits, in order.
type Effect = BTreeMap<(u64, What), u64>;

/// Collects what faults do to whom.
struct Hits<'a> {
    grid: Grid,
    ranks: u64,
    channels: &'a [Channel],
    levels: &'a [Level],
    places: BTreeMap<u64, Effect>,
    lost: BTreeSet<u64>,
    problems: Diagnostics,
}

/// The lines of a job with faults; `unfolded`, one for every rank that is left.
///
/// # Errors
/// Every fault that names what is not there or leaves nothing to run on.
pub(super) fn with_faults(
    program: &Program,
    fabric: &Fabric,
    levels: &[Level],
    faults: &[Fault],
    unfolded: bool,
) -> Result<Vec<Line>, Diagnostics> {
    let mut hits = Hits {
        grid: Grid::new(program),
        ranks: program.ranks,
        channels: fabric.channels(),
        levels,
        places: BTreeMap::new(),
        lost: BTreeSet::new(),
        problems: Diagnostics::default(),
    };
    for fault in faults {
        if let Err(problem) = hits.add(fault) {
            hits.problems.push(problem);
        }
    }
    if hits.lost.len() as u64 >= hits.grid.blocks() {
        let message = "every pipeline has lost a chip: nothing is left to run".to_owned();
        hits.problems.push(Diagnostic::error("flow::fault", message));
    }
    if hits.problems.has_errors() {
        return Err(hits.problems);
    }
    Ok(if unfolded { hits.every_rank(program) } else { hits.lines(program) })
}

impl Hits<'_> {
    fn add(&mut self, fault: &Fault) -> Result<(), Diagnostic> {
        match &fault.kind {
            FaultKind::Chip { rank } if fault.rate == 0.0 => self.lose(*rank),
            FaultKind::Chip { rank } => self.slow(*rank, What::Compute, fault.rate),
            FaultKind::Board { board } => {
                let size = self.channels.first().map_or(1, |c| c.ranks.max(1));
                let first = board.saturating_mul(size);
                self.check(first)?;
                for rank in first..(first + size).min(self.ranks) {
                    if fault.rate == 0.0 {
                        self.lose(rank)?;
                    } else {
                        self.slow(rank, What::Compute, fault.rate)?;
                    }
                }
                Ok(())
            }
            FaultKind::Port { rank, level } => {
                let at = self.level(level)?;
                let left = self.left_of_ports(at, fault.rate)?;
                self.slow(*rank, What::Ports(at), left)
            }
            FaultKind::Link { from, to } => self.link(*from, *to, fault.rate),
            FaultKind::Switch { level, instance } => self.switch(level, *instance, fault.rate),
        }
    }

    fn check(&self, rank: u64) -> Result<(), Diagnostic> {
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

    fn lose(&mut self, rank: u64) -> Result<(), Diagnostic> {
        self.check(rank)?;
        self.lost.insert(self.grid.place(rank).1 / self.grid.block);
        Ok(())
    }

    /// Faults on the same thing multiply.
    fn slow(&mut self, rank: u64, what: What, rate: f64) -> Result<(), Diagnostic> {
        self.check(rank)?;
        if rate <= 0.0 {
            let message = format!("rank `{rank}` would be cut off");
            let hint = format!("write --fail chip:{rank} for a chip that is gone");
            return Err(Diagnostic::error("flow::fault", message).hint(hint));
        }
        let (stage, place) = self.grid.place(rank);
        let entry =
            self.places.entry(place).or_default().entry((stage, what)).or_insert(1.0_f64.to_bits());
        *entry = (f64::from_bits(*entry) * rate).to_bits();
        Ok(())
    }

    /// What is left of a rank's bandwidth into a level when one port of it runs at `rate`: a mesh of f
    /// members has f-1 links a rank; what the broken one carried goes over the others.
    fn left_of_ports(&self, level: usize, rate: f64) -> Result<f64, Diagnostic> {
        let channel = &self.channels[level];
        let (name, ports) = (&self.levels[level].name, self.levels[level].cabling.ports);
        match channel.wiring {
            Wiring::FullMesh if channel.fan > 2 => {
                let links = (channel.fan - 1) as f64;
                Ok((links - 1.0 + rate) / links)
            }
            // Ports into switches share evenly: what is left is the other ports and the rest of this.
            Wiring::Switch if ports.is_some_and(|p| p > 1) => {
                let ports = ports.map_or(1.0, |p| p as f64);
                Ok((ports - 1.0 + rate) / ports)
            }
            _ if rate > 0.0 => Ok(rate),
            _ => {
                let message = format!("how many ports a chip has into `{name}` is not known");
                let hint =
                    "say what is left of its bandwidth into the level: =0.75 for one of four";
                Err(Diagnostic::error("flow::fault", message).hint(hint))
            }
        }
    }

    fn link(&mut self, from: u64, to: u64, rate: f64) -> Result<(), Diagnostic> {
        self.check(from)?;
        self.check(to)?;
        let same = |level: usize| {
            let ranks = self.channels[level].ranks.max(1);
            from / ranks == to / ranks
        };
        let level = (0..self.channels.len()).find(|&l| same(l));
        let below =
            level.and_then(|l| l.checked_sub(1)).map_or(1, |l| self.channels[l].ranks.max(1));
        let direct = level.filter(|&l| {
            from != to && from % below == to % below && self.channels[l].wiring == Wiring::FullMesh
        });
        let Some(level) = direct else {
            let message = format!("ranks `{from}` and `{to}` have no direct link");
            let hint = "only members of a mesh have; for a way into a switch write port:RANK/LEVEL";
            return Err(Diagnostic::error("flow::fault", message).hint(hint));
        };
        let left = self.left_of_ports(level, rate)?;
        self.slow(from, What::Ports(level), left)?;
        self.slow(to, What::Ports(level), left)
    }

    fn switch(&mut self, level: &str, instance: u64, rate: f64) -> Result<(), Diagnostic> {
        let at = self.level(level)?;
        if self.channels[at].wiring != Wiring::Switch {
            let message = format!("level `{level}` has no switches");
            return Err(Diagnostic::error("flow::fault", message));
        }
        let planes = self.levels[at].cabling.planes as f64;
        // One of several planes side by side, or of an unknown number of switches.
        let rate = if planes > 1.0 { (planes - 1.0 + rate) / planes } else { rate };
        if rate == 0.0 {
            let message = format!("how many switches `{level}` has is not known");
            let hint = "say what is left of the level's bandwidth: =0.875 for one switch of eight";
            return Err(Diagnostic::error("flow::fault", message).hint(hint));
        }
        let size = self.channels[at].ranks.max(1);
        let first = instance.saturating_mul(size);
        self.check(first)?;
        for rank in first..(first + size).min(self.ranks) {
            self.slow(rank, What::Ports(at), rate)?;
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
        let lost = |place: usize| self.lost.contains(&(place as u64 / self.grid.block));
        let kept = lines.into_iter().enumerate().filter(|(place, _)| !lost(*place));
        kept.map(|(_, line)| Line { micro_batches: high, ..line }).collect()
    }

    /// One set of lines for each way in which blocks are hit, and one for the rest.
    fn lines(&self, program: &Program) -> Vec<Line> {
        let (grid, stages) = (&self.grid, self.grid.stages as usize);
        let mut blocks: BTreeMap<u64, BTreeMap<&Effect, Vec<u64>>> = BTreeMap::new();
        for (&place, effect) in &self.places {
            let block = place / grid.block;
            if !self.lost.contains(&block) {
                blocks.entry(block).or_default().entry(effect).or_default().push(place);
            }
        }
        // Blocks hit alike: by what hits how many of their ranks.
        let mut alike: BTreeMap<Vec<(&Effect, usize)>, Vec<u64>> = BTreeMap::new();
        for (&block, hit) in &blocks {
            let signature = hit.iter().map(|(effect, places)| (*effect, places.len())).collect();
            alike.entry(signature).or_default().push(block);
        }
        let untouched = grid.blocks() - self.lost.len() as u64 - blocks.len() as u64;
        let (low, high, carrying_high) =
            shares(program, grid.blocks(), grid.blocks() - self.lost.len() as u64);
        // The blocks that carry one more are untouched ones, if there are as many.
        let all_high = carrying_high > untouched;
        let low = if all_high { high } else { low };
        let mut lines = Vec::new();
        let mut key = 0;
        let mut push =
            |label: &str, ranks: u64, micro_batches: u64, key: u32, hit: Option<&Effect>| {
                if ranks == 0 {
                    return;
                }
                let mut line = Line::new(label.to_owned(), ranks, micro_batches, stages);
                line.groups = [key; 3];
                if let Some(effect) = hit {
                    apply(&mut line, effect);
                }
                lines.push(line);
            };
        let high_blocks = if all_high || low == high { 0 } else { carrying_high };
        push("", (untouched - high_blocks) * grid.block, low, 0, None);
        push("one more", high_blocks * grid.block, high, 1, None);
        for (signature, members) in &alike {
            key += 1;
            let (blocks, mut rest) = (members.len() as u64, grid.block);
            for &(effect, places) in signature {
                rest -= places as u64;
                push("hit", places as u64 * blocks, low, 1 + key, Some(effect));
            }
            push("beside", rest * blocks, low, 1 + key, None);
        }
        lines
    }
}

fn apply(line: &mut Line, effect: &Effect) {
    for (&(stage, what), &rate) in effect {
        match what {
            What::Compute => line.speed[stage as usize] = f64::from_bits(rate),
            What::Ports(level) => line.ports[stage as usize][level] = f64::from_bits(rate),
        }
    }
}

/// Micro-batches of a step over the blocks that are left: the fewer, the more, and how many blocks
/// carry the more. The schedule's own rule on their number is kept; where all ranks gather weights
/// together, all carry as many.
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
    let together =
        program.segments.iter().any(|s| s.gathered.dense_bytes + s.gathered.expert_bytes > 0.0);
    if together || low < m || low * left >= all {
        return (high, high, 0);
    }
    (low, high, (all - low * left).div_ceil(unit))
}

/// The lines of a job whose experts get `tokens` each: one for every load that a rank of an expert
/// group can have.
///
/// # Errors
/// Loads that are not those of the program's experts.
pub(super) fn with_loads(program: &Program, tokens: &[f64]) -> Result<Vec<Line>, Diagnostic> {
    let grid = Grid::new(program);
    let bad = |message: String| Diagnostic::error("flow::experts", message);
    let experts = program.routing.map_or(0, |r| r.experts);
    if tokens.len() as u64 > experts {
        let message = format!("loads of {} experts; the model routes to {experts}", tokens.len());
        return Err(bad(message));
    }
    // Experts at the end that no token went to need not be named.
    let mut tokens = tokens.to_vec();
    tokens.resize(experts as usize, 0.0);
    let sum: f64 = tokens.iter().sum();
    if !sum.is_finite() || sum <= 0.0 || tokens.iter().any(|t| *t < 0.0) {
        return Err(bad("loads must be numbers from 0 up, not all 0".to_owned()));
    }
    let ranks = program.group(model::Axis::Expert).size.max(1);
    let each = tokens.len() / ranks as usize;
    if each == 0 || !experts.is_multiple_of(ranks) {
        return Err(bad(format!("{experts} experts do not divide over {ranks} ranks")));
    }
    let mut loads: BTreeMap<u64, u64> = BTreeMap::new();
    for held in tokens.chunks(each) {
        let load = held.iter().sum::<f64>() / sum * ranks as f64;
        *loads.entry(load.to_bits()).or_default() += 1;
    }
    let stages = grid.stages as usize;
    let line = |(bits, holders): (u64, u64)| {
        let load = f64::from_bits(bits);
        let label = format!("load {load:.2}");
        let ranks = grid.width / ranks * holders;
        Line { load, ..Line::new(label, ranks, program.micro_batches, stages) }
    };
    Ok(loads.into_iter().map(line).collect())
}
