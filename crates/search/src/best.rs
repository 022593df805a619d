//! Branch and bound: stems by their bounds, in rounds whose results do not depend on who works.

use crate::bound::{ROUNDING, recompute_only_adds, sharding_only_adds};
use crate::evaluator::Evaluator;
use crate::leaders::{Found, Leaders, NearMisses};
use crate::space::Mode;
use crate::{NearMiss, Node, Problem, Space, Stem};
use plan::{Plan, Zero};
use program::Schedule;
use std::ops::ControlFlow;

/// Stems worked on between two looks at the leaders, at most.
const ROUND: usize = 16;

/// Stems of the first rounds, which find the best plans: fewer, as each of a round does without what
/// the others find.
const FIRST_ROUND: usize = 4;

/// Memory, over what there is, up to which no plan is ruled out for its size: what would be faster
/// with a little more room is part of the answer.
pub const NEAR: f64 = 1.25;

/// How the search is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Leaders to keep, each of another layout.
    pub top: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { top: 5 }
    }
}

/// What became of the plans of a space; all in plans.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Legal plans.
    pub space: u64,
    /// Time and memory computed.
    pub evaluated: u64,
    /// Memory computed and too large.
    pub too_large: u64,
    /// Ruled out by the time of their work outside the experts.
    pub by_dense_work: u64,
    /// Ruled out by the time of all their work and communication.
    pub by_work: u64,
    /// Ruled out by their twins of fewer context ranks and as much smaller micro-batches, which are no
    /// slower and no larger.
    pub by_twin: u64,
    /// Ruled out by the memory of weights, gradients and optimizer state.
    pub by_weights: u64,
    /// Ruled out by the memory left with everything recomputed.
    pub by_activations: u64,
    /// Ruled out by their time with nothing recomputed.
    pub by_schedule: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.space += other.space;
        self.evaluated += other.evaluated;
        self.too_large += other.too_large;
        self.by_dense_work += other.by_dense_work;
        self.by_work += other.by_work;
        self.by_twin += other.by_twin;
        self.by_weights += other.by_weights;
        self.by_activations += other.by_activations;
        self.by_schedule += other.by_schedule;
    }

    /// Plans dealt with.
    pub fn settled(&self) -> u64 {
        self.evaluated
            + self.too_large
            + self.by_dense_work
            + self.by_work
            + self.by_twin
            + self.by_weights
            + self.by_activations
            + self.by_schedule
    }
}

/// Where a search stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What became of the plans so far; `space` holds those met.
    pub counts: Counts,
    /// The best step so far. Seconds.
    pub best_s: Option<f64>,
    /// No plan not yet settled is faster. Seconds.
    pub bound_s: f64,
    /// Stems settled.
    pub stems_done: usize,
    /// Stems in all.
    pub stems: usize,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// The best plans, best first.
    pub leaders: Vec<Found>,
    /// What became of the plans.
    pub counts: Counts,
    /// No plan left out is faster than this. Seconds; at least the best step when the search ended
    /// by itself.
    pub bound_s: f64,
    /// Whether it was cut short.
    pub cut_short: bool,
    /// Of all plans of the space that would beat the best but do not fit, the one that lacks least
    /// memory; `None` if none of at most [`NEAR`] times the room would.
    pub near_miss: Option<NearMiss>,
}

impl Findings {
    /// How much faster than the best a plan left out could be: 0 when proven. A share of the step.
    pub fn gap(&self) -> f64 {
        self.leaders.first().map_or(0.0, |best| (1.0 - self.bound_s / best.step_s).max(0.0))
    }
}

/// One stem's result.
#[derive(Clone, Debug, PartialEq)]
pub struct StemResult {
    leaders: Leaders,
    near: NearMisses,
    counts: Counts,
    /// Every plan priced that fits, if the search keeps them.
    evaluated: Option<Vec<Found>>,
}

impl StemResult {
    /// Every plan of the stem that was priced and fits, in order; none unless [`Search::keeping`].
    pub fn evaluated(&self) -> &[Found] {
        self.evaluated.as_deref().unwrap_or_default()
    }
}

/// A search under way: a list of stems by bound, and the leaders so far.
///
/// Rounds are fixed by the input alone, and every stem of a round starts from the leaders of the
/// rounds before it: so the result, counts included, is the same however many threads share a round.
#[derive(Clone, Debug)]
pub struct Search<'p> {
    problem: &'p Problem,
    space: &'p Space,
    stems: Vec<(f64, Stem)>,
    next: usize,
    leaders: Leaders,
    near: NearMisses,
    counts: Counts,
    keeps: bool,
}

impl<'p> Search<'p> {
    /// Prepares to search `space`, keeping `options.top` leaders.
    pub fn new(problem: &'p Problem, space: &'p Space, options: &Options) -> Self {
        let likely = space.likely();
        let mut first = Search::cold(problem, &likely, Leaders::new(options.top));
        let mut worker = first.worker();
        while !first.round().is_empty() {
            let results: Vec<StemResult> =
                first.round().iter().map(|stem| first.settle(&mut worker, stem)).collect();
            first.absorb(&results);
        }
        let leaders = first.leaders;
        Search::cold(problem, space, leaders)
    }

    /// Prepares a search that starts from `leaders`.
    fn cold(problem: &'p Problem, space: &'p Space, leaders: Leaders) -> Self {
        let mut evaluator = Evaluator::new(problem, space);
        let mut counts = Counts::default();
        let mut stems: Vec<(f64, Stem)> = Vec::new();
        let planned = |stem: &&Stem| {
            space.pipelines.iter().any(|&p| space.expert_grids(problem, stem, p) > 0)
        };
        for stem in space.stems.iter().filter(planned) {
            if evaluator.stem_memory(stem) * (1.0 - ROUNDING) > NEAR * problem.memory_bytes {
                let plans = evaluator.plans_of_stem(stem);
                counts.space += plans;
                counts.by_activations += plans;
            } else {
                stems.push((evaluator.stem_bound_s(stem), *stem));
            }
        }
        stems.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        let near = NearMisses::default();
        Self { problem, space, stems, next: 0, leaders, near, counts, keeps: false }
    }

    /// The same search, whose results also hold every plan that was priced and fits.
    #[must_use]
    pub fn keeping(self) -> Self {
        Self { keeps: true, ..self }
    }

    /// Part `part` of `of` of the same search: every `of`-th stem of its list, from the `part`-th on,
    /// counted from 1. It starts from the same leaders as the whole; so the best of all parts' leaders
    /// are the whole's. Plans ruled out before any stem are counted by the first part.
    ///
    /// # Panics
    /// Of a part that is not from 1 to `of`.
    #[must_use]
    pub fn part(mut self, part: u64, of: u64) -> Self {
        assert!(part >= 1 && part <= of, "part {part} of {of}");
        let mut place = 0;
        self.stems.retain(|_| {
            place += 1;
            (place - 1) % of == part - 1
        });
        if part > 1 {
            self.counts = Counts::default();
        }
        self
    }

    /// The stems to work on now, empty when all is settled.
    pub fn round(&self) -> &[(f64, Stem)] {
        let size = (self.next / 2).clamp(FIRST_ROUND, ROUND);
        let end = (self.next + size).min(self.stems.len());
        &self.stems[self.next..end]
    }

    /// Settles one stem of the round. Needs nothing of the other stems.
    pub fn settle(&self, evaluator: &mut Worker<'p>, (bound_s, stem): &(f64, Stem)) -> StemResult {
        let evaluator = &mut evaluator.0;
        let mut result = StemResult {
            leaders: self.leaders.clone(),
            near: self.near.clone(),
            counts: Counts::default(),
            evaluated: self.keeps.then(Vec::new),
        };
        if hopeless(*bound_s, &result.leaders) {
            let plans = evaluator.plans_of_stem(stem);
            result.counts.space = plans;
            result.counts.by_dense_work = plans;
            return result;
        }
        let twins = evaluator.better_twins(stem);
        if twins.len() == evaluator.placements(stem).len() {
            let plans = evaluator.plans_of_stem(stem);
            result.counts.space = plans;
            result.counts.by_twin = plans;
            return result;
        }
        let mut nodes = self.space.nodes(self.problem, stem);
        nodes.retain(|node| {
            let twin = twins.contains(&node.placement());
            if twin {
                let plans = evaluator.plans_of(node);
                result.counts.space += plans;
                result.counts.by_twin += plans;
            }
            !twin
        });
        let mut bounded: Vec<(f64, Node)> =
            nodes.into_iter().map(|node| (evaluator.node_bound_s(&node), node)).collect();
        bounded.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        for (bound_s, node) in &bounded {
            let plans = evaluator.plans_of(node);
            result.counts.space += plans;
            if hopeless(*bound_s, &result.leaders) {
                result.counts.by_work += plans;
            } else {
                settle_node(evaluator, node, &mut result);
            }
        }
        result
    }

    /// A worker of this search; each thread needs its own.
    pub fn worker(&self) -> Worker<'p> {
        Worker(Evaluator::new(self.problem, self.space))
    }

    /// Takes the results of a whole round, in its order.
    pub fn absorb(&mut self, results: &[StemResult]) {
        for result in results {
            self.leaders.merge(&result.leaders);
            self.near.merge(&result.near);
            self.counts.add(&result.counts);
        }
        self.next += results.len();
    }

    /// Where the search stands.
    pub fn progress(&self) -> Progress {
        Progress {
            counts: self.counts,
            best_s: self.leaders.list.first().map(|found| found.step_s),
            bound_s: self.bound_s(),
            stems_done: self.next,
            stems: self.stems.len(),
        }
    }

    fn bound_s(&self) -> f64 {
        let best = self.leaders.list.first().map_or(f64::INFINITY, |found| found.step_s);
        self.stems.get(self.next).map_or(best, |(bound, _)| bound.min(best))
    }

    /// Ends the search.
    pub fn finish(self) -> Findings {
        let best_s = self.leaders.list.first().map_or(f64::INFINITY, |found| found.step_s);
        Findings {
            near_miss: self.near.nearest(best_s).cloned(),
            bound_s: self.bound_s(),
            cut_short: self.next < self.stems.len(),
            leaders: self.leaders.list,
            counts: self.counts,
        }
    }
}

/// What one thread keeps between stems.
pub struct Worker<'p>(pub(crate) Evaluator<'p>);

/// Searches `space` for the best plans of `problem`; `progress` is told after every round and may
/// stop the search.
pub fn best(
    problem: &Problem,
    space: &Space,
    options: &Options,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Findings {
    let mut search = Search::new(problem, space, options);
    let mut worker = search.worker();
    while !search.round().is_empty() {
        let results: Vec<StemResult> =
            search.round().iter().map(|stem| search.settle(&mut worker, stem)).collect();
        search.absorb(&results);
        if progress(&search.progress()).is_break() {
            break;
        }
    }
    search.finish()
}

fn hopeless(bound_s: f64, leaders: &Leaders) -> bool {
    bound_s * (1.0 - ROUNDING) > leaders.threshold_s()
}

fn settle_node(evaluator: &mut Evaluator<'_>, node: &Node, result: &mut StemResult) {
    evaluator.set_node(node);
    let space = evaluator.space;
    for &overlap in &space.overlaps {
        evaluator.set_overlap(overlap);
        if hopeless(evaluator.overlap_bound_s(), &result.leaders) {
            let all = evaluator.plans_of(node);
            result.counts.by_work += all / space.overlaps.len() as u64;
            continue;
        }
        for &pipeline in &node.pipelines {
            evaluator.set_grid(pipeline);
            let m = evaluator.micro_batches;
            for (schedule, virtual_pipeline) in space.schedules(evaluator.problem, pipeline, m) {
                evaluator.plan.schedule = schedule;
                evaluator.plan.virtual_pipeline = virtual_pipeline;
                settle_options(evaluator, result);
            }
        }
    }
}

/// Every ZeRO stage, cut and recompute mode of the evaluator's plan.
fn settle_options(evaluator: &mut Evaluator<'_>, result: &mut StemResult) {
    let space = evaluator.space;
    let cuts = evaluator.cuts();
    let only_adds = recompute_only_adds(&evaluator.plan, evaluator.micro_batches);
    let sharding_adds = sharding_only_adds(&evaluator.plan);
    let mut open: Vec<Zero> = Vec::new();
    for &zero in &space.zeros {
        evaluator.plan.zero = zero;
        if evaluator.weights_bound() * (1.0 - ROUNDING) > NEAR * evaluator.problem.memory_bytes {
            for cut in cuts.iter() {
                let longest = longest(evaluator, cut.as_ref());
                result.counts.by_weights += space.modes_for(longest).count() as u64;
            }
        } else {
            open.push(zero);
        }
    }
    if open.is_empty() {
        return;
    }
    let (mut plain, mut laid) = (Vec::new(), Vec::new());
    for (number, cut) in cuts.iter().enumerate() {
        let cut = (number, cut.as_ref());
        evaluator.lay(cut.0, cut.1, plan::FullBlocks::None, &mut plain);
        evaluator.plan.zero = Zero::None;
        let slow = only_adds && hopeless(evaluator.unfinished_s(&plain), &result.leaders);
        for &zero in &open {
            evaluator.plan.zero = zero;
            if slow && (zero < Zero::Gradients || sharding_adds) {
                let longest = longest(evaluator, cut.1);
                result.counts.by_schedule += space.modes_for(longest).count() as u64;
            } else {
                settle_cut(evaluator, cut, only_adds, (&plain, &mut laid), result);
            }
        }
    }
}

/// Every recompute mode of the evaluator's plan with `cut`, which lays the blocks as `plain`.
fn settle_cut(
    evaluator: &mut Evaluator<'_>,
    (number, cut): (usize, Option<&Vec<u64>>),
    only_adds: bool,
    (plain, laid): (&[u32], &mut Vec<u32>),
    result: &mut StemResult,
) {
    let (space, room) = (evaluator.space, evaluator.problem.memory_bytes);
    let longest = longest(evaluator, cut);
    let mut open = [true; 2];
    for whole in [false, true] {
        let least = evaluator.least_memory(plain, whole, NEAR * room);
        open[usize::from(whole)] = least * (1.0 - ROUNDING) <= NEAR * room;
    }
    // No mode is faster.
    let mut least_s = 0.0;
    if open.contains(&true) && only_adds {
        least_s = evaluator.step_s(plain, evaluator.nothing());
    }
    let slow = hopeless(least_s, &result.leaders);
    let mut slower = Slower::default();
    for slot in space.modes_for(longest) {
        let mode = space.modes[slot];
        if !open[usize::from(mode.blocks != plan::FullBlocks::None)] {
            result.counts.by_activations += 1;
            continue;
        }
        if slow || slower.holds(mode) {
            result.counts.by_schedule += 1;
            continue;
        }
        if mode.blocks == plan::FullBlocks::None {
            laid.clear();
            laid.extend_from_slice(plain);
        } else {
            evaluator.lay(number, cut, mode.blocks, laid);
        }
        let Some(peak_bytes) = evaluator.fits(laid, slot, NEAR * room) else {
            result.counts.too_large += 1;
            continue;
        };
        let fits = peak_bytes <= room;
        if fits {
            result.counts.evaluated += 1;
        } else {
            result.counts.too_large += 1;
            if !result.near.wants(least_s * (1.0 - ROUNDING), peak_bytes) {
                continue;
            }
        }
        let step_s = evaluator.step_s(laid, slot);
        if only_adds && hopeless(step_s, &result.leaders) {
            slower.add(mode);
        }
        let wanted = if fits {
            step_s <= result.leaders.threshold_s() || result.evaluated.is_some()
        } else {
            let best_s = result.leaders.list.first().map_or(f64::INFINITY, |found| found.step_s);
            step_s < best_s && result.near.wants(step_s, peak_bytes)
        };
        if !wanted {
            continue;
        }
        let plan = Plan {
            stage_blocks: cut.cloned(),
            recompute: mode.recompute(evaluator.problem),
            ..evaluator.plan.clone()
        };
        let found = Found { step_s, plan, peak_bytes };
        if fits {
            if let Some(evaluated) = &mut result.evaluated {
                evaluated.push(found.clone());
            }
            result.leaders.offer(found);
        } else {
            result.near.offer(found);
        }
    }
}

/// Recompute modes of one cut that are too slow, and with them all that recompute the same and more
/// ([`recompute_only_adds`]): more tags, or whole blocks more on each stage.
struct Slower {
    tags: Vec<u32>,
    blocks: u64,
}

impl Default for Slower {
    fn default() -> Self {
        Self { tags: Vec::new(), blocks: u64::MAX }
    }
}

impl Slower {
    fn holds(&self, mode: Mode) -> bool {
        match mode.blocks {
            plan::FullBlocks::None => self.tags.iter().any(|tags| tags & !mode.tags == 0),
            plan::FullBlocks::PerStage(n) => mode.tags == 0 && n >= self.blocks,
            plan::FullBlocks::All => mode.tags == 0 && self.blocks < u64::MAX,
        }
    }

    fn add(&mut self, mode: Mode) {
        match mode.blocks {
            plan::FullBlocks::None => self.tags.push(mode.tags),
            plan::FullBlocks::PerStage(n) if mode.tags == 0 => self.blocks = self.blocks.min(n),
            plan::FullBlocks::PerStage(_) | plan::FullBlocks::All => {}
        }
    }
}

/// Blocks of the longest stage.
fn longest(evaluator: &Evaluator<'_>, cut: Option<&Vec<u64>>) -> u64 {
    let blocks = evaluator.problem.blocks();
    let even = blocks.div_ceil(evaluator.plan.stages());
    cut.map_or(even, |cut| cut.iter().copied().max().unwrap_or(even))
}

/// Every plan of `space` with its time and peak memory, whether it fits or not, one by one, nothing
/// ruled out: the oracle of [`best`], and what it is measured against.
pub fn every(problem: &Problem, space: &Space, visit: &mut dyn FnMut(&Found) -> ControlFlow<()>) {
    let mut evaluator = Evaluator::new(problem, space);
    for stem in &space.stems {
        for node in space.nodes(problem, stem) {
            evaluator.set_node(&node);
            if every_grid(&mut evaluator, &node, visit).is_break() {
                return;
            }
        }
    }
}

fn every_grid(
    evaluator: &mut Evaluator<'_>,
    node: &Node,
    visit: &mut dyn FnMut(&Found) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let space = evaluator.space;
    for &overlap in &space.overlaps {
        evaluator.set_overlap(overlap);
        for &pipeline in &node.pipelines {
            evaluator.set_grid(pipeline);
            let m = evaluator.micro_batches;
            for fixed in space.schedules(evaluator.problem, pipeline, m) {
                every_option(evaluator, fixed, visit)?;
            }
        }
    }
    ControlFlow::Continue(())
}

fn every_option(
    evaluator: &mut Evaluator<'_>,
    (schedule, virtual_pipeline): (Schedule, u64),
    visit: &mut dyn FnMut(&Found) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let space = evaluator.space;
    let (mut ranks, mut bytes) = (Vec::new(), Vec::new());
    evaluator.plan.schedule = schedule;
    evaluator.plan.virtual_pipeline = virtual_pipeline;
    let cuts = evaluator.cuts();
    let zeros: &[Zero] = &space.zeros;
    for &zero in zeros {
        evaluator.plan.zero = zero;
        for (number, cut) in cuts.iter().enumerate() {
            for slot in space.modes_for(longest(evaluator, cut.as_ref())) {
                let mode = space.modes[slot];
                evaluator.lay(number, cut.as_ref(), mode.blocks, &mut ranks);
                let peak_bytes = evaluator.memory(&ranks, slot, &mut bytes);
                let step_s = evaluator.step_s(&ranks, slot);
                let plan = Plan {
                    stage_blocks: cut.clone(),
                    recompute: mode.recompute(evaluator.problem),
                    ..evaluator.plan.clone()
                };
                visit(&Found { step_s, plan, peak_bytes })?;
            }
        }
    }
    ControlFlow::Continue(())
}
