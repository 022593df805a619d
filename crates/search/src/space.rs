//! Which plans there are: the values of each axis, the nodes of the search tree, their number.

use crate::Problem;
use crate::balanced::Balanced;
use model::{Attention, Ffn, Tag};
use plan::{FullBlocks, Plan, Recompute, Zero, tag_bits};
use program::{Overlap, Schedule};

/// Values each axis may take; `None` leaves all legal ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// tp
    pub tensor: Option<Vec<u64>>,
    /// cp
    pub context: Option<Vec<u64>>,
    /// pp
    pub pipeline: Option<Vec<u64>>,
    /// vpp
    pub virtual_pipeline: Option<Vec<u64>>,
    /// dp
    pub data: Option<Vec<u64>>,
    /// ep
    pub expert: Option<Vec<u64>>,
    /// etp
    pub expert_tensor: Option<Vec<u64>>,
    /// edp
    pub expert_data: Option<Vec<u64>>,
    /// Sequences in a micro-batch.
    pub micro_batch: Option<Vec<u64>>,
    /// Sequence parallelism.
    pub sequence_parallel: Option<Vec<bool>>,
    /// ZeRO stages.
    pub zero: Option<Vec<Zero>>,
    /// Pipeline schedules.
    pub schedule: Option<Vec<Schedule>>,
    /// What is recomputed.
    pub recompute: Option<Vec<Recompute>>,
    /// Pipeline ranks as neighbours or far apart.
    pub pipeline_innermost: Option<Vec<bool>>,
    /// Blocks on each stage; a cut applies to the plans with as many stages.
    pub stage_blocks: Option<Vec<Vec<u64>>>,
    /// What runs beside compute.
    pub overlap: Option<Vec<Overlap>>,
}

impl Limits {
    /// What Megatron-LM's training loop offers: 1F1B, plain or interleaved; no or a distributed
    /// optimizer; its recompute modules, or whole blocks.
    pub fn megatron() -> Self {
        Self {
            schedule: Some(vec![Schedule::OneFOneB]),
            zero: Some(vec![Zero::None, Zero::Optimizer]),
            ..Self::default()
        }
    }

    /// The one plan `plan`.
    pub fn exactly(plan: &Plan) -> Self {
        Self {
            tensor: Some(vec![plan.tensor]),
            context: Some(vec![plan.context]),
            pipeline: Some(vec![plan.pipeline]),
            virtual_pipeline: Some(vec![plan.virtual_pipeline]),
            data: Some(vec![plan.data]),
            expert: Some(vec![plan.expert]),
            expert_tensor: Some(vec![plan.expert_tensor]),
            expert_data: Some(vec![plan.expert_data]),
            micro_batch: Some(vec![plan.micro_batch]),
            sequence_parallel: Some(vec![plan.sequence_parallel]),
            zero: Some(vec![plan.zero]),
            schedule: Some(vec![plan.schedule]),
            recompute: Some(vec![plan.recompute.clone()]),
            pipeline_innermost: Some(vec![plan.pipeline_innermost]),
            stage_blocks: Some(plan.stage_blocks.clone().into_iter().collect()),
            overlap: Some(vec![plan.overlap]),
        }
    }
}

/// A set of plans that share everything outside the experts but the pipeline, ZeRO and recompute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stem {
    /// tp
    pub tensor: u64,
    /// cp
    pub context: u64,
    /// Sequences in a micro-batch.
    pub micro_batch: u64,
    /// Sequence parallelism.
    pub sequence_parallel: bool,
}

impl Stem {
    /// Its node with experts on one rank and no pipeline.
    pub(crate) fn alone(&self) -> Node {
        Node {
            stem: *self,
            expert: 1,
            expert_tensor: 1,
            pipeline_innermost: false,
            pipelines: vec![1],
        }
    }
}

/// The plans of a stem that cost the same per block: everything but the pipeline, ZeRO and recompute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Everything outside the experts.
    pub stem: Stem,
    /// ep
    pub expert: u64,
    /// etp
    pub expert_tensor: u64,
    /// Whether pipeline ranks are neighbours; then `pipelines` holds one value.
    pub pipeline_innermost: bool,
    /// Legal pp.
    pub pipelines: Vec<u64>,
}

impl Node {
    /// Where its pipelines lie: how many ranks as neighbours, or `(1, false)` far apart.
    pub(crate) fn placement(&self) -> (u64, bool) {
        if self.pipeline_innermost { (self.pipelines[0], true) } else { (1, false) }
    }
}

/// What is recomputed, by number: tag sets first, then the first blocks of each stage, then all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub tags: u32,
    pub blocks: FullBlocks,
}

impl Mode {
    /// As a plan writes it.
    pub(crate) fn recompute(self, problem: &Problem) -> Recompute {
        let tags = Tag::WORDS.iter().map(|(tag, _)| *tag);
        let tags = tags.filter(|&tag| self.tags >> tag as u32 & 1 == 1).collect();
        Recompute { blocks: self.blocks, tags, ..problem.nothing() }
    }
}

/// The plans among which the best is sought.
///
/// An axis's values are those that are legal ([`plan::violations`]), narrowed by [`Limits`]. Not
/// axes but shared by all plans: graphs, fused loss, adapters and the like, which are a framework's
/// abilities and come from [`Problem::base`]. Of its overlaps, those of experts may be used or not, as
/// cores set aside for them may cost more than they hide; the others only help and are always used.
/// Stage cuts are the even one, those that count the first stage's embedding as 0 to 3 blocks and the
/// last stage's head as 0 to 3, and the one whose slowest stage is fastest (`Balanced`).
/// Whole-block recomputation (so many of each stage, or all) is not mixed with tags.
#[derive(Clone, Debug)]
pub struct Space {
    /// The limits it was made with.
    pub limits: Limits,
    /// The first branches of the search tree, in order.
    pub stems: Vec<Stem>,
    pub(crate) experts: Vec<u64>,
    pub(crate) expert_tensors: Vec<u64>,
    pub(crate) pipelines: Vec<u64>,
    pub(crate) zeros: Vec<Zero>,
    pub(crate) modes: Vec<Mode>,
    pub(crate) overlaps: Vec<Overlap>,
    schedules: Vec<Schedule>,
    balanced: Balanced,
}

impl Space {
    /// The space of `problem` within `limits`.
    pub fn new(problem: &Problem, limits: &Limits) -> Self {
        let zeros = [Zero::None, Zero::Optimizer, Zero::Gradients, Zero::Weights];
        let zeros = zeros.into_iter().filter(|z| allowed(limits.zero.as_deref(), z)).collect();
        let schedules = Schedule::WORDS.iter().map(|(schedule, _)| *schedule);
        let schedules =
            schedules.filter(|s| allowed(limits.schedule.as_deref(), s)).collect::<Vec<_>>();
        let ranks = problem.ranks;
        let widths = widths(problem);
        let within = |n: u64, list: &Option<Vec<u64>>| -> Vec<u64> {
            divisors(n).into_iter().filter(|d| allowed(list.as_deref(), d)).collect()
        };
        let most = problem.blocks() + 2;
        let pipelines = within(ranks, &limits.pipeline);
        Self {
            limits: limits.clone(),
            stems: stems(problem, limits, widths.tensor),
            experts: within(gcd(ranks, widths.expert), &limits.expert),
            expert_tensors: within(gcd(ranks, widths.expert_tensor), &limits.expert_tensor),
            pipelines: pipelines.into_iter().filter(|&p| p <= most).collect(),
            zeros,
            modes: modes(problem, limits),
            overlaps: overlaps(problem, limits),
            schedules,
            balanced: Balanced::new(problem),
        }
    }

    /// A small part of the space that good plans are likely to lie in, to start from: the smallest
    /// micro-batches and expert tensor degree, pipelines far apart, nothing or all recomputed.
    pub(crate) fn likely(&self) -> Self {
        let smallest = self.stems.iter().map(|stem| stem.micro_batch).min().unwrap_or(1);
        let plain = |mode: &&Mode| match mode.blocks {
            FullBlocks::None => mode.tags == 0,
            FullBlocks::PerStage(_) => false,
            FullBlocks::All => true,
        };
        let stems = self.stems.iter().filter(|stem| stem.micro_batch == smallest);
        let modes: Vec<Mode> = self.modes.iter().filter(plain).copied().collect();
        let mut limits = self.limits.clone();
        if limits.pipeline_innermost.as_ref().is_none_or(|list| list.contains(&false)) {
            limits.pipeline_innermost = Some(vec![false]);
        }
        Self {
            stems: stems.copied().collect(),
            expert_tensors: self.expert_tensors.iter().copied().take(1).collect(),
            modes,
            limits,
            ..self.clone()
        }
    }

    /// The nodes of `stem`: its legal expert grids with their pipelines, far apart together, as
    /// neighbours one by one (tensor and expert groups then lie differently for each).
    pub fn nodes(&self, problem: &Problem, stem: &Stem) -> Vec<Node> {
        let mut nodes = Vec::new();
        for &expert in &self.experts {
            for &expert_tensor in &self.expert_tensors {
                self.push_placed(problem, stem, expert, expert_tensor, &mut nodes);
            }
        }
        nodes
    }

    fn push_placed(
        &self,
        problem: &Problem,
        stem: &Stem,
        expert: u64,
        expert_tensor: u64,
        nodes: &mut Vec<Node>,
    ) {
        let legal = |&&p: &&u64| self.legal(problem, stem, (expert, expert_tensor), p);
        let pipelines: Vec<u64> = self.pipelines.iter().filter(legal).copied().collect();
        let placement = self.limits.pipeline_innermost.as_deref();
        let node = |pipelines, pipeline_innermost| Node {
            stem: *stem,
            expert,
            expert_tensor,
            pipeline_innermost,
            pipelines,
        };
        // One rank deep, the two placements are the same.
        let apart: Vec<u64> =
            pipelines.iter().copied().filter(|&p| p == 1 || allowed(placement, &false)).collect();
        if !apart.is_empty() {
            nodes.push(node(apart, false));
        }
        if allowed(placement, &true) {
            let near = pipelines.into_iter().filter(|&p| p > 1);
            nodes.extend(near.map(|p| node(vec![p], true)));
        }
    }

    /// Whether `pipeline` ranks fill the job and divide the batch with `stem` and experts on a grid of
    /// `expert` by `expert_tensor`.
    fn legal(
        &self,
        problem: &Problem,
        stem: &Stem,
        (expert, expert_tensor): (u64, u64),
        pipeline: u64,
    ) -> bool {
        let (ranks, limits) = (problem.ranks, &self.limits);
        let dense = stem.tensor * stem.context * pipeline;
        let routed = expert * expert_tensor * pipeline;
        let data = ranks / dense;
        data > 0
            && ranks.is_multiple_of(dense)
            && ranks.is_multiple_of(routed)
            && problem.batch_sequences.is_multiple_of(data * stem.micro_batch)
            && allowed(limits.data.as_deref(), &data)
            && allowed(limits.expert_data.as_deref(), &(ranks / routed))
    }

    /// Expert grids, each placement of the pipeline counted, that are legal for `pipeline` ranks.
    pub(crate) fn expert_grids(&self, problem: &Problem, stem: &Stem, pipeline: u64) -> u64 {
        let placement = self.limits.pipeline_innermost.as_deref();
        let placements = match pipeline {
            1 => 1,
            _ => [false, true].iter().filter(|p| allowed(placement, p)).count() as u64,
        };
        let pairs =
            self.experts.iter().flat_map(|&e| self.expert_tensors.iter().map(move |&t| (e, t)));
        let legal = pairs.filter(|&grid| self.legal(problem, stem, grid, pipeline));
        legal.count() as u64 * placements
    }

    /// Schedules with their virtual stages that are legal for `pipeline` ranks and `micro_batches`.
    pub(crate) fn schedules(
        &self,
        problem: &Problem,
        pipeline: u64,
        micro_batches: u64,
    ) -> Vec<(Schedule, u64)> {
        let (blocks, m) = (problem.blocks(), micro_batches);
        let most = blocks + 2;
        let mut list = Vec::new();
        for &schedule in &self.schedules {
            let most =
                if schedule == Schedule::OneFOneB && pipeline > 1 { most / pipeline } else { 1 };
            let virtuals = (1..=most.max(1))
                .filter(|&v| schedule.stages(pipeline, v) <= blocks + 2)
                .filter(|v| allowed(self.limits.virtual_pipeline.as_deref(), v))
                .filter(|&v| plan::schedule_needs(schedule, pipeline, v, m).is_none())
                .map(|v| (schedule, v));
            list.extend(virtuals);
        }
        list
    }

    /// How the blocks may be cut into `stages`: `None` is even.
    pub(crate) fn cuts(&self, problem: &Problem, stages: u64) -> Vec<Option<Vec<u64>>> {
        if let Some(given) = &self.limits.stage_blocks
            && !given.is_empty()
        {
            let blocks = problem.blocks();
            let legal = |cut: &&Vec<u64>| {
                let inner = cut.get(1..cut.len().saturating_sub(1)).unwrap_or_default();
                cut.len() as u64 == stages
                    && cut.iter().sum::<u64>() == blocks
                    && !inner.contains(&0)
            };
            return given.iter().filter(legal).cloned().map(Some).collect();
        }
        let mut cuts: Vec<Option<Vec<u64>>> = vec![None];
        if self.limits.stage_blocks.is_some() || stages == 1 {
            return cuts;
        }
        let mut seen = vec![plan::even_cut(problem.blocks(), stages)];
        let ends = (0..=3).flat_map(|first| (0..=3).map(move |last| (first, last)));
        let weighted =
            ends.filter_map(|(first, last)| weighted_cut(problem.blocks(), stages, first, last));
        for cut in weighted.chain(self.balanced.cut(stages)) {
            if !seen.contains(&cut) {
                seen.push(cut.clone());
                cuts.push(Some(cut));
            }
        }
        cuts
    }

    /// Recompute modes for stages of at most `longest` blocks, by number.
    pub(crate) fn modes_for(&self, longest: u64) -> impl Iterator<Item = usize> {
        let fits = move |mode: &Mode| match mode.blocks {
            FullBlocks::PerStage(n) => n < longest || self.limits.recompute.is_some(),
            FullBlocks::None | FullBlocks::All => true,
        };
        self.modes.iter().enumerate().filter(move |(_, mode)| fits(mode)).map(|(i, _)| i)
    }

    /// The plan of `node` with `pipeline` ranks, its remaining options as in the base.
    pub(crate) fn grid(problem: &Problem, node: &Node, pipeline: u64) -> Plan {
        let ranks = problem.ranks;
        Plan {
            tensor: node.stem.tensor,
            context: node.stem.context,
            pipeline,
            virtual_pipeline: 1,
            data: ranks / (node.stem.tensor * node.stem.context * pipeline),
            expert: node.expert,
            expert_tensor: node.expert_tensor,
            expert_data: ranks / (node.expert * node.expert_tensor * pipeline),
            sequence_parallel: node.stem.sequence_parallel,
            micro_batch: node.stem.micro_batch,
            pipeline_innermost: node.pipeline_innermost,
            stage_blocks: None,
            recompute: problem.nothing(),
            ..problem.base.clone()
        }
    }
}

fn allowed<T: PartialEq>(list: Option<&[T]>, value: &T) -> bool {
    list.is_none_or(|list| list.contains(value))
}

/// Blocks over stages with the first stage `first` and the last `last` blocks short of the rest;
/// short stages stand as in the even cut. `None` if that leaves a stage between the ends empty.
fn weighted_cut(blocks: u64, stages: u64, first: u64, last: u64) -> Option<Vec<u64>> {
    let mut cut = plan::even_cut(blocks + first + last, stages);
    let end = cut.len() - 1;
    cut[0] = cut[0].checked_sub(first)?;
    cut[end] = cut[end].checked_sub(last)?;
    let inner = cut.get(1..end).unwrap_or_default();
    (!inner.contains(&0)).then_some(cut)
}

/// Recompute tags that change how products run forward (torchtitan's recomputation by operator):
/// prices by tag do not add up there.
pub(crate) const UNSEARCHED: u32 = 1 << Tag::SecondProducts as u32;

fn modes(problem: &Problem, limits: &Limits) -> Vec<Mode> {
    if let Some(list) = &limits.recompute {
        let mode = |r: &Recompute| Mode { tags: tag_bits(&r.tags), blocks: r.blocks };
        return list.iter().map(mode).collect();
    }
    let shard = problem.base.shard(problem.sequence);
    let saved = problem.model.layers.iter().chain(&problem.model.mtp);
    let saved = saved.flat_map(|layer| model::layer_saved(&problem.model, layer, &shard));
    let known = saved.fold(0, |bits, s| bits | tag_bits(&s.tags)) & !UNSEARCHED;
    let mut sets: Vec<u32> =
        (0..1_u32 << Tag::WORDS.len()).filter(|set| set & !known == 0).collect();
    sets.sort_by_key(|set| (set.count_ones(), *set));
    let tags = sets.into_iter().map(|tags| Mode { tags, blocks: FullBlocks::None });
    let some = (1..problem.blocks()).map(|n| Mode { tags: 0, blocks: FullBlocks::PerStage(n) });
    let all = std::iter::once(Mode { tags: 0, blocks: FullBlocks::All });
    tags.chain(some).chain(all).collect()
}

/// The base's overlap, and the same without that of expert traffic.
fn overlaps(problem: &Problem, limits: &Limits) -> Vec<Overlap> {
    if let Some(list) = &limits.overlap {
        return list.clone();
    }
    let base = problem.base.overlap;
    let layers = problem.model.layers.iter().chain(&problem.model.mtp);
    let routed = layers.into_iter().any(|layer| matches!(layer.ffn, Ffn::Moe { .. }));
    let mut list = vec![base];
    if base.expert && routed {
        list.push(Overlap { expert: false, ..base });
    }
    list
}

/// What the widths of the model let the degrees be: they must divide these.
struct Widths {
    tensor: u64,
    expert: u64,
    expert_tensor: u64,
}

fn widths(problem: &Problem) -> Widths {
    let mut widths = Widths { tensor: 0, expert: 0, expert_tensor: 0 };
    for layer in problem.model.layers.iter().chain(&problem.model.mtp) {
        let heads = match layer.attention {
            Attention::Grouped { heads, .. }
            | Attention::Latent { heads, .. }
            | Attention::Compressed { heads, .. } => heads,
        };
        widths.tensor = gcd(widths.tensor, heads);
        match layer.ffn {
            Ffn::Dense(mlp) => widths.tensor = gcd(widths.tensor, mlp.width),
            Ffn::Moe { expert, experts, .. } => {
                widths.expert = gcd(widths.expert, experts);
                widths.expert_tensor = gcd(widths.expert_tensor, expert.width);
            }
        }
    }
    if widths.expert == 0 {
        (widths.expert, widths.expert_tensor) = (1, 1);
    }
    widths
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Divisors of `n`, ascending.
fn divisors(n: u64) -> Vec<u64> {
    let mut list: Vec<u64> = Vec::new();
    let mut d = 1;
    while d * d <= n {
        if n.is_multiple_of(d) {
            list.push(d);
            if d * d != n {
                list.push(n / d);
            }
        }
        d += 1;
    }
    list.sort_unstable();
    list
}

fn stems(problem: &Problem, limits: &Limits, width: u64) -> Vec<Stem> {
    let within = |n: u64, list: &Option<Vec<u64>>| -> Vec<u64> {
        divisors(n).into_iter().filter(|d| allowed(list.as_deref(), d)).collect()
    };
    let contexts = within(gcd(problem.ranks, problem.sequence), &limits.context);
    let micro_batches = within(problem.batch_sequences, &limits.micro_batch);
    let mut stems = Vec::new();
    for tensor in within(gcd(problem.ranks, width), &limits.tensor) {
        for &context in &contexts {
            for sequence_parallel in [false, true] {
                // With one tensor rank there is nothing to split: one value stands for both.
                let sole = tensor == 1;
                let wanted = if sole {
                    !sequence_parallel
                } else {
                    allowed(limits.sequence_parallel.as_deref(), &sequence_parallel)
                };
                let cut = context * if sequence_parallel { tensor } else { 1 };
                if !wanted || !problem.sequence.is_multiple_of(cut) {
                    continue;
                }
                stems.extend(micro_batches.iter().map(|&micro_batch| Stem {
                    tensor,
                    context,
                    micro_batch,
                    sequence_parallel,
                }));
            }
        }
    }
    stems
}
