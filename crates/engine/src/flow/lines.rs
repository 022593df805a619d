//! Who is simulated: lines of ranks through the pipeline, each a node per pipeline rank.
//!
//! A *line* stands for ranks that do the same in every stage: one line is the whole job when nothing
//! differs. Ranks of one stage that exchange inside passes (tensor, context, expert groups) form a
//! *block*; blocks meet only when gradients are exchanged. What is different splits its block into
//! lines and leaves the other blocks in one.

use super::pieces::STREAMS;
use model::Axis;
use program::Program;

/// Ranks that do the same in each stage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// Empty for the ordinary one.
    pub label: String,
    /// Ranks of each stage.
    pub ranks: u64,
    /// Micro-batches it carries.
    pub micro_batches: u64,
    /// Which tensor, context and expert group its ranks belong to: lines with equal keys wait for
    /// each other.
    pub groups: [u32; 3],
    /// Speed of compute by pipeline rank, 1 for normal.
    pub speed: Vec<f64>,
    /// How many times as long its streams take, by pipeline rank; 1 for normal.
    pub longer: Vec<[f64; STREAMS]>,
    /// Tokens of its routed experts over the mean.
    pub load: f64,
}

impl Line {
    pub(super) fn new(label: String, ranks: u64, micro_batches: u64, stages: usize) -> Self {
        Self {
            label,
            ranks,
            micro_batches,
            groups: [0; 3],
            speed: vec![1.0; stages],
            longer: vec![[1.0; STREAMS]; stages],
            load: 1.0,
        }
    }
}

/// How the ranks of a job are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub stages: u64,
    /// Ranks of a stage.
    pub width: u64,
    /// Ranks of a block.
    pub block: u64,
    tensor: u64,
    context: u64,
    experts: u64,
    /// Between a rank and the same of the next stage.
    apart: u64,
}

impl Grid {
    pub(super) fn new(program: &Program) -> Self {
        let size = |axis| program.group(axis).size.max(1);
        let stages = program.classes.len() as u64;
        let width = (program.ranks / stages.max(1)).max(1);
        let (tensor, context) = (size(Axis::Tensor), size(Axis::Context));
        let experts = size(Axis::Expert) * size(Axis::ExpertTensor);
        let block = lcm(tensor * context, experts).min(width);
        let pipeline = program.group(Axis::Pipeline);
        let apart = if pipeline.size > 1 { pipeline.stride.max(1) } else { width };
        Self { stages, width, block, tensor, context, experts, apart }
    }

    /// Stage of a rank and its place in it.
    pub(super) fn place(&self, rank: u64) -> (u64, u64) {
        let (turn, place) = (rank / self.apart, rank % self.apart);
        (turn % self.stages, turn / self.stages * self.apart + place)
    }

    /// Blocks of a stage.
    pub(super) fn blocks(&self) -> u64 {
        self.width / self.block
    }

    /// Keys of the tensor, context and expert group of the rank at `place` in its stage.
    fn groups(&self, place: u64) -> [u32; 3] {
        let (t, c) = (self.tensor, self.context);
        let key = [place / t, place / (t * c) * t + place % t, place / self.experts];
        key.map(|k| k as u32)
    }
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    a / x.max(1) * b
}

/// One line for the whole job.
pub(super) fn folded(program: &Program) -> Vec<Line> {
    let grid = Grid::new(program);
    vec![Line::new(String::new(), grid.width, program.micro_batches, grid.stages as usize)]
}

/// One line for every place of a stage, with the groups that its ranks really form.
pub(super) fn unfolded(program: &Program) -> Vec<Line> {
    let grid = Grid::new(program);
    (0..grid.width)
        .map(|place| {
            let label = format!("place {place}");
            let line = Line::new(label, 1, program.micro_batches, grid.stages as usize);
            Line { groups: grid.groups(place), ..line }
        })
        .collect()
}
