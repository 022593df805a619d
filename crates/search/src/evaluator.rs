//! A complete evaluation as an assembly of prices kept by kind of block, pass and rank content.
//!
//! A step's time and every rank's memory come from [`engine`]'s and [`plan`]'s own parts; what is
//! kept here is only which of them are the same. Sketch: a plan of 8 pipeline ranks is 8 look-ups of
//! five pass times, 8 sums of five products and 8 sums of memory: about a microsecond.

mod memory;

use crate::bound::pass_bound_s;
use crate::contents::{Contents, ties_apart};
use crate::family::{Family, PriceBook};
use crate::space::Mode;
use crate::{Node, Problem, Space};
use engine::{
    PassTime, Passes, Placed, Rules, SegmentTime, bubbles, finish_exchanges, message_wait_s,
    pass_counts, sends,
};
use model::{Axis, Collective, Ffn};
use plan::{Block, BlockUpdate, FullBlocks, Plan, RankHolds, Zero};
use program::{During, Overlap, Schedule, StageMeans};
use rustc_hash::FxHashMap;

/// Pass times of one rank content under one mode. Seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    stamp: u64,
    forward: f64,
    backward_input: f64,
    weight: f64,
    backward: f64,
    pair: f64,
}

/// Memory of one rank content under one mode.
#[derive(Clone, Copy, Debug, Default)]
struct Weighed {
    stamp: u64,
    holds: RankHolds,
}

/// What every kind of block keeps and works with under one mode, plain and recomputed whole. Bytes.
#[derive(Clone, Debug, Default)]
struct Parts {
    stamp: u64,
    of: Vec<[(f64, f64); 2]>,
}

/// What recomputation cannot free of one kind of block, per micro-batch. Bytes.
#[derive(Clone, Copy, Debug)]
struct Least {
    kept_tags: f64,
    kept_whole: f64,
    at_once: f64,
}

/// Once-a-step work of one rank content.
#[derive(Clone, Debug, Default)]
struct Finished {
    stamp: u64,
    exchanges: Vec<(During, f64)>,
    optimizer_s: f64,
}

/// What is kept while plans of a problem are evaluated one after another.
pub(crate) struct Evaluator<'p> {
    pub problem: &'p Problem,
    pub space: &'p Space,
    pub kinds: Vec<(Block, u64)>,
    pub plan: Plan,
    pub micro_batches: u64,
    /// Whether the model has routed experts.
    routed: bool,
    contents: Contents,
    cuts: FxHashMap<u64, std::sync::Arc<Vec<Option<Vec<u64>>>>>,
    option_counts: FxHashMap<(u64, u64), u64>,
    expert_bounds: FxHashMap<(u64, u64), f64>,
    pub(crate) book: PriceBook,
    updates: FxHashMap<[u64; 4], Vec<BlockUpdate>>,
    family: Family,
    least: Vec<Least>,
    node: Node,
    overlap: Overlap,
    rules: Rules,
    boundary_s: f64,
    /// Gathering and scattering of each kind of block by [`shards`] less one, without and with
    /// recomputation.
    sharded: [Vec<[SegmentTime; 2]>; 3],
    /// By [`shards`].
    rates: [Vec<Vec<Rates>>; 4],
    /// By whether the schedule is `GPipe`, then by mode.
    weighed: [Vec<Vec<Weighed>>; 2],
    parts: [Vec<Parts>; 2],
    finished: [Vec<Finished>; 4],
    /// Count nodes, their overlaps and grids: what carries another number is stale.
    node_stamp: u64,
    overlap_stamp: u64,
    grid_stamp: u64,
    means: Vec<StageMeans>,
    fixed: Vec<f64>,
    idle: Vec<f64>,
}

impl<'p> Evaluator<'p> {
    /// An evaluator of `space`.
    pub(crate) fn new(problem: &'p Problem, space: &'p Space) -> Self {
        let slots = space.modes.len() + 1;
        let stem = crate::Stem { tensor: 1, context: 1, micro_batch: 1, sequence_parallel: false };
        Self {
            problem,
            space,
            kinds: problem.kinds(),
            plan: problem.base.clone(),
            micro_batches: 1,
            routed: routed(&problem.model),
            contents: Contents::default(),
            cuts: FxHashMap::default(),
            option_counts: FxHashMap::default(),
            expert_bounds: FxHashMap::default(),
            book: PriceBook::default(),
            updates: FxHashMap::default(),
            family: Family::default(),
            least: Vec::new(),
            node: stem.alone(),
            overlap: problem.base.overlap,
            rules: Rules::new(problem.base.overlap, problem.base.graphs, 1, &problem.machine),
            boundary_s: 0.0,
            sharded: std::array::from_fn(|_| Vec::new()),
            rates: std::array::from_fn(|_| vec![Vec::new(); slots]),
            weighed: std::array::from_fn(|_| vec![Vec::new(); slots]),
            parts: std::array::from_fn(|_| vec![Parts::default(); slots]),
            finished: std::array::from_fn(|_| Vec::new()),
            node_stamp: 0,
            overlap_stamp: 0,
            grid_stamp: 0,
            means: Vec::new(),
            fixed: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// Least time of a step over every plan of `node` ([`pass_bound_s`]). Seconds.
    pub(crate) fn node_bound_s(&mut self, node: &Node) -> f64 {
        let family = Family::new(self.problem, &self.kinds, node, &mut self.book);
        self.bound_s(&family.whole(&self.kinds), &node.stem)
    }

    /// [`pass_bound_s`] of `whole` for all micro-batches, over the overlaps of the space. Seconds.
    fn bound_s(&self, whole: &PassTime, stem: &crate::Stem) -> f64 {
        let bounds = self
            .space
            .overlaps
            .iter()
            .map(|&overlap| pass_bound_s(whole, &self.rules_of(overlap, stem.tensor)));
        bounds.fold(f64::INFINITY, f64::min) * self.passes_per_rank(stem)
    }

    /// Least time of a step over every plan of the node at hand with the overlap at hand. Seconds.
    pub(crate) fn overlap_bound_s(&self) -> f64 {
        let whole = self.family.whole(&self.kinds);
        pass_bound_s(&whole, &self.rules) * self.passes_per_rank(&self.node.stem)
    }

    /// Least memory of some rank over every plan of `stem`: of one block of one micro-batch while it
    /// runs backward. Bytes.
    ///
    /// Proof. [`Evaluator::least_memory`] of that block alone; expert parallelism leaves a rank's
    /// balanced share of tokens as it is, and expert tensor parallelism only adds to what is saved.
    pub(crate) fn stem_memory(&self, stem: &crate::Stem) -> f64 {
        let plan = Space::grid(self.problem, &stem.alone(), 1);
        let (model, recipe) = (&self.problem.model, &self.problem.recipe);
        let least = |(block, _): &(Block, u64)| {
            plan::BlockMemory::of(&plan, model, recipe, self.problem.sequence, block)
                .least_at_once()
        };
        self.kinds.iter().map(least).fold(0.0, f64::max)
    }

    /// Least time of a step over every plan of `stem`: of the work and exchanges outside the experts
    /// in the best placement, and the experts' own work on their best grid. Seconds.
    ///
    /// Proof. [`pass_bound_s`] of a part of the work. A rank owns its tokens over `tensor · context`
    /// whatever lies around, so that stems with as many tokens a rank share the experts' part.
    pub(crate) fn stem_bound_s(&mut self, stem: &crate::Stem) -> f64 {
        let alone = stem.alone();
        let placements: Vec<Plan> = std::iter::once((1, false))
            .chain(self.space.pipelines.iter().map(|&p| (p, true)))
            .filter(|(p, _)| self.problem.ranks.is_multiple_of(stem.tensor * stem.context * p))
            .map(|(p, innermost)| {
                let node = Node { pipeline_innermost: innermost, ..alone.clone() };
                Space::grid(self.problem, &node, p)
            })
            .collect();
        let outside =
            Family::outside_experts(self.problem, &self.kinds, &placements, &mut self.book);
        let experts_s = self.least_experts_s(stem);
        let bounds = outside.into_iter().map(|mut whole| {
            whole.cost.seconds += experts_s;
            self.bound_s(&whole, stem)
        });
        bounds.fold(f64::INFINITY, f64::min)
    }

    /// Least compute of experts and routing over the expert grids. Seconds.
    fn least_experts_s(&mut self, stem: &crate::Stem) -> f64 {
        let key = (stem.micro_batch, stem.tensor * stem.context);
        if let Some(known) = self.expert_bounds.get(&key) {
            return *known;
        }
        let mut least = f64::INFINITY;
        for &expert in &self.space.experts {
            for &expert_tensor in &self.space.expert_tensors {
                if !self.problem.ranks.is_multiple_of(expert * expert_tensor) {
                    continue;
                }
                let node = Node { expert, expert_tensor, ..stem.alone() };
                let plan = Space::grid(self.problem, &node, 1);
                let experts_s = Family::experts_s(self.problem, &self.kinds, &plan, &mut self.book);
                least = least.min(experts_s);
            }
        }
        let least = if least.is_finite() { least } else { 0.0 };
        self.expert_bounds.insert(key, least);
        least
    }

    /// Micro-batches that pass a pipeline, over its ranks: `B·tp·cp / (N·micro-batch)`, whatever pp.
    fn passes_per_rank(&self, stem: &crate::Stem) -> f64 {
        let shares = (stem.tensor * stem.context) as f64 / stem.micro_batch as f64;
        self.problem.batch_sequences as f64 * shares / self.problem.ranks as f64
    }

    fn rules_of(&self, overlap: Overlap, tensor: u64) -> Rules {
        Rules::new(overlap, self.problem.base.graphs, tensor, &self.problem.machine)
    }

    /// Prices the blocks of `node`.
    pub(crate) fn set_node(&mut self, node: &Node) {
        self.node = node.clone();
        self.node_stamp += 1;
        self.family = Family::new(self.problem, &self.kinds, node, &mut self.book);
        self.family.weigh(self.problem, &self.kinds, node);
        let least = |m: &plan::BlockMemory| {
            let [kept_tags, kept_whole] = m.least_kept();
            Least { kept_tags, kept_whole, at_once: m.least_at_once() }
        };
        self.least = self.family.memory.iter().map(least).collect();
    }

    /// Chooses what runs beside compute in the grids to come.
    pub(crate) fn set_overlap(&mut self, overlap: Overlap) {
        self.overlap = overlap;
        self.overlap_stamp += 1;
        self.rules = self.rules_of(overlap, self.node.stem.tensor);
    }

    /// Lays the node on `pipeline` ranks.
    pub(crate) fn set_grid(&mut self, pipeline: u64) {
        self.grid_stamp += 1;
        self.plan = Space::grid(self.problem, &self.node, pipeline);
        self.plan.overlap = self.overlap;
        self.micro_batches = self.plan.micro_batches(self.problem.batch_sequences).unwrap_or(0);
        let groups = self.plan.groups();
        let routing = plan::routing(&self.plan, &self.problem.model);
        let placed = Placed::new(&groups, routing, self.problem.ranks, &self.problem.machine);
        let wire = plan::wire(&self.problem.recipe.precision);
        let shard = self.plan.shard(self.problem.sequence);
        let bytes = model::boundary_bytes(&self.problem.model, &shard, &wire);
        self.boundary_s =
            self.book.exchange(&placed, (Axis::Pipeline, Collective::SendRecv, bytes));
        self.sharded.iter_mut().for_each(Vec::clear);
    }

    /// Prices what the plan's ZeRO stage shards, into `sharded[which]`.
    fn price_sharding(&mut self, which: usize) {
        if !self.sharded[which].is_empty() {
            return;
        }
        let plan = self.plan.clone();
        let run = scatter_run(&plan);
        let groups = plan.groups();
        let routing = plan::routing(&plan, &self.problem.model);
        let placed = Placed::new(&groups, routing, self.problem.ranks, &self.problem.machine);
        for (block, _) in &self.kinds {
            let (model, recipe) = (&self.problem.model, &self.problem.recipe);
            let gathered = plan::gathered(&plan, model, recipe, block);
            let traffic = |again_s| {
                let mut time = SegmentTime::default();
                time.recompute.cost.seconds = again_s;
                engine::shard_traffic(&gathered, run, &placed, &mut time);
                time.recompute.cost.seconds -= again_s;
                time
            };
            self.sharded[which].push([traffic(0.0), traffic(1.0)]);
        }
    }

    /// The cuts of the plan's stages.
    pub(crate) fn cuts(&mut self) -> std::sync::Arc<Vec<Option<Vec<u64>>>> {
        let stages = self.plan.stages();
        let make = || std::sync::Arc::new(self.space.cuts(self.problem, stages));
        self.cuts.entry(stages).or_insert_with(make).clone()
    }

    /// Schedules, cuts and recompute modes together, for `pipeline` ranks and `micro_batches`.
    pub(crate) fn options(&mut self, pipeline: u64, micro_batches: u64) -> u64 {
        if let Some(known) = self.option_counts.get(&(pipeline, micro_batches)) {
            return *known;
        }
        let (problem, space) = (self.problem, self.space);
        let mut all = 0;
        for (schedule, virtual_pipeline) in space.schedules(problem, pipeline, micro_batches) {
            let stages = schedule.stages(pipeline, virtual_pipeline);
            for cut in space.cuts(problem, stages) {
                let even = problem.blocks().div_ceil(stages);
                let longest = cut.map_or(even, |cut| cut.into_iter().max().unwrap_or(even));
                all += space.modes_for(longest).count() as u64;
            }
        }
        self.option_counts.insert((pipeline, micro_batches), all);
        all
    }

    /// Plans of `node`.
    pub(crate) fn plans_of(&mut self, node: &Node) -> u64 {
        let stem = node.stem;
        let all = node.pipelines.iter().map(|&p| self.plans_of_pipeline(&stem, p)).sum::<u64>();
        all * self.choices()
    }

    /// What every schedule, cut and mode goes with: ZeRO's stages and overlaps.
    pub(crate) fn choices(&self) -> u64 {
        (self.space.zeros.len() * self.space.overlaps.len()) as u64
    }

    /// Plans of `stem`: those of its nodes.
    pub(crate) fn plans_of_stem(&mut self, stem: &crate::Stem) -> u64 {
        let space = self.space;
        let mut all = 0;
        for &pipeline in &space.pipelines {
            let grids = space.expert_grids(self.problem, stem, pipeline);
            if grids > 0 {
                all += self.plans_of_pipeline(stem, pipeline) * grids;
            }
        }
        all * self.choices()
    }

    fn plans_of_pipeline(&mut self, stem: &crate::Stem, pipeline: u64) -> u64 {
        let data = self.problem.ranks / (stem.tensor * stem.context * pipeline);
        self.options(pipeline, self.problem.batch_sequences / (data * stem.micro_batch))
    }

    /// The contents of each rank, into `ranks`.
    pub(crate) fn lay(
        &mut self,
        cut: usize,
        blocks: Option<&Vec<u64>>,
        full: FullBlocks,
        ranks: &mut Vec<u32>,
    ) {
        let kinds = &self.kinds;
        let laid =
            self.contents.layout(self.problem, kinds, &mut self.plan, (cut as u32, blocks), full);
        ranks.clone_from(laid);
    }

    /// The mode of a slot; the last slot recomputes nothing.
    fn mode(&self, slot: usize) -> Mode {
        let none = Mode { tags: 0, blocks: FullBlocks::None };
        self.space.modes.get(slot).copied().unwrap_or(none)
    }

    /// The slot that recomputes nothing, whatever the space allows.
    pub(crate) fn nothing(&self) -> usize {
        self.space.modes.len()
    }

    fn rates(&mut self, slot: usize, content: u32) -> Rates {
        let sharded = shards(&self.plan);
        let stamp = if sharded > 0 { self.grid_stamp } else { self.overlap_stamp };
        let list = &mut self.rates[sharded][slot];
        if list.len() <= content as usize {
            list.resize(self.contents.list.len(), Rates::default());
        }
        let known = list[content as usize];
        if known.stamp == stamp {
            return known;
        }
        if sharded > 0 {
            self.price_sharding(sharded - 1);
        }
        let tags = self.mode(slot).tags;
        let of = &self.contents.list[content as usize];
        let mut mean = SegmentTime::default();
        for (kind, &(plain, whole)) in of.counts.iter().enumerate() {
            for (times, full) in [(plain, false), (whole, true)] {
                if times > 0 {
                    let mut time = self.family.prices[kind].recomputing(tags, full);
                    let bytes = self.family.memory[kind].offloaded_bytes(tags, full);
                    engine::host_copies(bytes, &self.problem.machine, &mut time);
                    if sharded > 0 {
                        let again = usize::from(time.recompute.cost.seconds > 0.0);
                        time.add(&self.sharded[sharded - 1][kind][again], 1.0);
                    }
                    mean.add(&time, f64::from(times) / of.chunks as f64);
                }
            }
        }
        let blocks: u32 = of.counts.iter().map(|(plain, whole)| plain + whole).sum();
        let scatters = self.micro_batches as f64 / scatter_run(&self.plan) as f64;
        let gathers = self.plan.zero == Zero::Weights;
        let rules = self.rules.of_rank(f64::from(blocks), of.chunks as f64, gathers, scatters);
        let passes = Passes::new(&mean, &rules);
        let rates = Rates {
            stamp,
            forward: passes.forward.seconds(),
            backward_input: passes.backward_input.seconds(),
            weight: passes.weight.seconds(),
            backward: passes.backward.seconds(),
            pair: passes.pair.seconds(),
        };
        self.rates[sharded][slot][content as usize] = rates;
        rates
    }

    fn weighed(&mut self, slot: usize, content: u32) -> &RankHolds {
        let gpipe = usize::from(self.plan.schedule == Schedule::GPipe);
        let list = &mut self.weighed[gpipe][slot];
        if list.len() <= content as usize {
            list.resize(self.contents.list.len(), Weighed::default());
        }
        if list[content as usize].stamp != self.node_stamp {
            let tags = self.mode(slot).tags;
            let memory = if gpipe == 1 { &self.family.memory_gpipe } else { &self.family.memory };
            let parts = &mut self.parts[gpipe][slot];
            if parts.stamp != self.node_stamp {
                let part = |m: &plan::BlockMemory| {
                    [m.kept_and_working(tags, false), m.kept_and_working(tags, true)]
                };
                parts.stamp = self.node_stamp;
                parts.of.clear();
                parts.of.extend(memory.iter().map(part));
            }
            let mut holds = RankHolds::default();
            let of = &self.contents.list[content as usize];
            for (kind, &(plain, whole)) in of.counts.iter().enumerate() {
                for (times, full) in [(plain, 0), (whole, 1)] {
                    if times > 0 {
                        holds.add(&memory[kind], parts.of[kind][full], f64::from(times));
                    }
                }
            }
            self.weighed[gpipe][slot][content as usize] = Weighed { stamp: self.node_stamp, holds };
        }
        &self.weighed[gpipe][slot][content as usize].holds
    }

    fn finish(&mut self, content: u32, ties: bool) -> usize {
        let zero = self.plan.zero as usize;
        let slot = content as usize * 2 + usize::from(ties);
        let list = &mut self.finished[zero];
        if list.len() <= slot {
            list.resize(self.contents.list.len() * 2, Finished::default());
        }
        if list[slot].stamp == self.grid_stamp {
            return slot;
        }
        let (model, recipe) = (&self.problem.model, &self.problem.recipe);
        let plan = &self.plan;
        let key = [
            plan.tensor,
            plan.expert * plan.expert_tensor,
            plan.dense_shard(),
            plan.expert_shard(),
        ];
        let kinds = &self.kinds;
        let updates = self.updates.entry(key).or_insert_with(|| {
            kinds.iter().map(|(block, _)| BlockUpdate::of(plan, model, recipe, block)).collect()
        });
        let mut update = BlockUpdate::default();
        for (kind, &(plain, whole)) in
            self.contents.list[content as usize].counts.iter().enumerate()
        {
            update.add(&updates[kind], f64::from(plain + whole));
        }
        let finish = plan::finish_of(plan, model, recipe, &update, ties);
        let groups = plan.groups();
        let routing = plan::routing(plan, model);
        let placed = Placed::new(&groups, routing, self.problem.ranks, &self.problem.machine);
        let seconds = finish.exchanges.iter().map(|(during, e)| {
            (*during, self.book.exchange(&placed, (e.axis, e.operation, e.bytes)))
        });
        let of = &self.contents.list[content as usize];
        let blocks: u32 = of.counts.iter().map(|(plain, whole)| plain + whole).sum();
        let seconds: Vec<(During, f64)> = seconds.collect();
        let exchanges = engine::in_buckets(&seconds, f64::from(blocks));
        let optimizer_s = engine::optimizer_s(&finish, &self.problem.machine);
        self.finished[zero][slot] = Finished { stamp: self.grid_stamp, exchanges, optimizer_s };
        slot
    }

    /// Duration of a step of the plan with rank contents `ranks` and the recompute mode of `slot`:
    /// [`engine::estimate`]'s, to rounding. Seconds.
    pub(crate) fn step_s(&mut self, ranks: &[u32], slot: usize) -> f64 {
        self.passes_s(ranks, slot, true)
    }

    /// Least duration of a step over the ZeRO stages that leave gradients whole, nothing recomputed: its
    /// passes and their waiting, which these stages share, without exchanges of gradients and
    /// optimizer. Seconds.
    pub(crate) fn unfinished_s(&mut self, ranks: &[u32]) -> f64 {
        self.passes_s(ranks, self.nothing(), false)
    }

    fn passes_s(&mut self, ranks: &[u32], slot: usize, finished: bool) -> f64 {
        let Plan { schedule, overlap, zero, .. } = self.plan;
        let (p, m) = (ranks.len() as u64, self.micro_batches);
        let chunks = schedule.chunks(self.plan.virtual_pipeline);
        let passes = chunks as f64 * schedule.chunk_share();
        let ties = ties_apart(self.problem, &self.plan);
        let (send_s, _) = sends(overlap.pipeline, (p, m), self.boundary_s, passes);
        let cores = self.rules.cores;
        self.means.clear();
        self.fixed.clear();
        for (r, &content) in ranks.iter().enumerate() {
            let rates = self.rates(slot, content);
            let counts = pass_counts((schedule, overlap.expert), (p, chunks, m), r as u64);
            let busy_s = rates.forward * counts.forward
                + rates.backward * counts.backward
                + rates.backward_input * counts.backward_input
                + rates.weight * counts.weight
                + rates.pair * counts.pair
                + send_s;
            let (last, first) = (rates.backward * passes, rates.forward * passes);
            let mut once_s = 0.0;
            if finished {
                let at = self.finish(content, ties && (r == 0 || r as u64 + 1 == p));
                let finished = &self.finished[zero as usize][at];
                let (exposed_s, _) = finish_exchanges(&finished.exchanges, cores, last, first);
                once_s = exposed_s + finished.optimizer_s;
            }
            self.fixed.push(busy_s + once_s);
            self.means.push(StageMeans {
                forward: first,
                backward_input: rates.backward_input * passes,
                weight: rates.weight * passes,
                pair: rates.pair * passes,
            });
        }
        let grid = self.plan.expert * self.plan.expert_tensor;
        let pairs = overlap.expert && self.routed && grid > 1;
        let how = (overlap.pipeline, pairs);
        let wait_s = message_wait_s(schedule, how, (p, chunks, m), self.boundary_s);
        bubbles(schedule, (chunks, m, pairs), wait_s, &self.means, &mut self.idle);
        self.fixed.iter().zip(&self.idle).map(|(a, b)| a + b).fold(0.0, f64::max)
    }
}

fn routed(model: &model::Architecture) -> bool {
    model.layers.iter().chain(&model.mtp).any(|layer| matches!(layer.ffn, Ffn::Moe { .. }))
}

/// What is sharded besides the optimizer's state: nothing, gradients scattered in every micro-batch or
/// once for a run of them, weights.
fn shards(plan: &Plan) -> usize {
    match plan.zero {
        Zero::None | Zero::Optimizer => 0,
        Zero::Gradients if scatter_run(plan) == 1 => 1,
        Zero::Gradients => 2,
        Zero::Weights => 3,
    }
}

/// [`program::Program::scatter_run`] of the plan's program.
fn scatter_run(plan: &Plan) -> u64 {
    match plan.zero {
        Zero::Weights => 1,
        _ => plan.schedule.backward_run(plan.pipeline, plan.virtual_pipeline),
    }
}
