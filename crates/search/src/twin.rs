//! Plans that differ only in how many sequences a micro-batch holds and over how many ranks each is cut.
//!
//! With k times the context ranks and k times the sequences in a micro-batch every rank has the same
//! tokens, the same micro-batches and the same shards of everything: only the context exchange differs.

use crate::evaluator::Evaluator;
use crate::family::{PriceBook, weighed_under};
use crate::{Found, Leader, Node, Problem, Space, Stem, leader};
use engine::Placed;
use model::{Axis, Exchange, Step};
use plan::{Block, BlockMemory, Plan, block_steps};

/// Relative difference below which two figures are the same.
const SAME: f64 = 1e-9;

impl Evaluator<'_> {
    /// The placements of the pipeline (its ranks, and whether they are neighbours; ranks far apart are
    /// one placement, `(1, false)`) in which dividing context and micro-batch of `stem` by a common
    /// factor gives plans of the space that are, each, no slower and no larger than their like under
    /// `stem`.
    ///
    /// Proof. Both lie on the same ranks: data times context, strides, micro-batches and pipelines are
    /// the same (pipelines legal for the larger context are for the smaller), and so are all exchanges
    /// outside the passes. Step by step, under every legal expert grid, every kernel is found to take
    /// no less and every exchange of another axis to be the same; context exchanges take no less in
    /// the placement; no block's memory is smaller. By [`engine::run`] neither more compute nor more
    /// traffic shortens a pass (see [`crate::bound::recompute_only_adds`]).
    pub(crate) fn better_twins(&mut self, stem: &Stem) -> Vec<(u64, bool)> {
        let limits = &self.space.limits;
        if limits.data.is_some() {
            return Vec::new();
        }
        let within = |list: &Option<Vec<u64>>, n| list.as_ref().is_none_or(|l| l.contains(&n));
        let (context, micro_batch) = (stem.context, stem.micro_batch);
        let mut factors = prime_factors(gcd(context, micro_batch));
        factors.retain(|k| {
            within(&limits.context, context / k) && within(&limits.micro_batch, micro_batch / k)
        });
        let mut open = self.placements(stem);
        let mut better = Vec::new();
        for k in factors {
            let twin = Stem { context: context / k, micro_batch: micro_batch / k, ..*stem };
            let won = self.no_slower_contexts(stem, &twin, &open);
            if !won.is_empty() && self.is_no_better(stem, &twin) {
                open.retain(|placement| !won.contains(placement));
                better.extend(won);
            }
        }
        better
    }

    /// Placements of the pipeline in which plans of `stem` may lie.
    pub(crate) fn placements(&self, stem: &Stem) -> Vec<(u64, bool)> {
        let near = self.space.pipelines.iter().filter(|&&p| p > 1).map(|&p| (p, true));
        let dense = stem.tensor * stem.context;
        let fits = |(p, _): &(u64, bool)| self.problem.ranks.is_multiple_of(dense * p);
        std::iter::once((1, false)).chain(near).filter(fits).collect()
    }

    /// Those of `placements` in which no context exchange of `own` takes less than `twin`'s.
    fn no_slower_contexts(
        &mut self,
        own: &Stem,
        twin: &Stem,
        placements: &[(u64, bool)],
    ) -> Vec<(u64, bool)> {
        let mut list = Vec::new();
        for &placement in placements {
            let (own, twin) = (self.context_s(own, placement), self.context_s(twin, placement));
            let alike = own.len() == twin.len() || twin.is_empty();
            if alike && own.iter().zip(&twin).all(|(own, twin)| own >= twin) {
                list.push(placement);
            }
        }
        list
    }

    /// Whether outside context exchanges `own` takes no less than `twin` under every legal expert grid.
    fn is_no_better(&mut self, own: &Stem, twin: &Stem) -> bool {
        let (problem, space) = (self.problem, self.space);
        let nodes = space.nodes(problem, own);
        let mut grids: Vec<(u64, u64)> =
            nodes.iter().map(|node| (node.expert, node.expert_tensor)).collect();
        grids.dedup();
        grids.into_iter().all(|(expert, expert_tensor)| {
            let grid = |stem: &Stem| {
                let node = Node { expert, expert_tensor, ..stem.alone() };
                Space::grid(problem, &node, 1)
            };
            let (own, twin) = (grid(own), grid(twin));
            let book = &mut self.book;
            self.kinds.iter().all(|(block, _)| no_less(problem, book, block, &own, &twin))
        })
    }

    /// Every context exchange of every kind of block, with the pipeline placed so. Seconds.
    fn context_s(&mut self, stem: &Stem, (pipeline, innermost): (u64, bool)) -> Vec<f64> {
        let problem = self.problem;
        let node = Node { pipeline_innermost: innermost, ..stem.alone() };
        let plan = Space::grid(problem, &node, pipeline);
        let groups = plan.groups();
        let placed = Placed::new(&groups, None, problem.ranks, &problem.machine);
        let mut all = Vec::new();
        for (block, _) in &self.kinds {
            for e in context_exchanges(problem, &plan, block) {
                all.push(self.book.exchange(&placed, (e.axis, e.forward, e.forward_bytes)));
                all.push(self.book.exchange(&placed, (e.axis, e.backward, e.backward_bytes)));
            }
        }
        all
    }
}

fn context_exchanges(problem: &Problem, plan: &Plan, block: &Block) -> Vec<Exchange> {
    let steps = block_steps(plan, &problem.model, &problem.recipe, problem.sequence, block);
    let context = steps.into_iter().filter_map(|step| match step {
        Step::Exchange(e) if e.axis == Axis::Context => Some(e),
        _ => None,
    });
    context.collect()
}

/// Whether a block under `own` takes no less than under `twin`, step by step and in memory; context
/// exchanges are left out.
fn no_less(
    problem: &Problem,
    book: &mut PriceBook,
    block: &Block,
    own: &Plan,
    twin: &Plan,
) -> bool {
    let (model, recipe, sequence) = (&problem.model, &problem.recipe, problem.sequence);
    // What is left of the steps, and how many of it recomputing the whole block repeats.
    let others = |plan: &Plan| {
        let steps = block_steps(plan, model, recipe, sequence, block);
        let whole = plan::repeated_whole(plan, &steps);
        let other = |step: &Step| !matches!(step, Step::Exchange(e) if e.axis == Axis::Context);
        let repeated = steps.iter().take(whole).filter(|step| other(step)).count();
        (steps.into_iter().filter(other).collect::<Vec<Step>>(), repeated)
    };
    let weigh = |plan: &Plan, schedule: program::Schedule| {
        BlockMemory::of(&Plan { schedule, ..plan.clone() }, model, recipe, sequence, block)
    };
    let wire = plan::wire(&recipe.precision);
    let boundary = |plan: &Plan| model::boundary_bytes(model, &plan.shard(sequence), &wire);
    let ((first, repeated), (second, repeats)) = (others(own), others(twin));
    let mut slower = |a: &Step, b: &Step| match (a, b) {
        (Step::Compute(a), Step::Compute(b)) => {
            let like = (a.class, a.role, a.tag) == (b.class, b.role, b.tag);
            let costs = book.operator(problem, a).into_iter().zip(book.operator(problem, b));
            like && costs
                .into_iter()
                .all(|(a, b)| a.seconds >= b.seconds && a.launches >= b.launches)
        }
        _ => a == b,
    };
    (first.len(), repeated) == (second.len(), repeats)
        && first.iter().zip(&second).all(|(a, b)| slower(a, b))
        && boundary(own) >= boundary(twin)
        && weighed_under(block)
            .iter()
            .all(|&schedule| weigh(own, schedule).is_no_smaller(&weigh(twin, schedule)))
}

/// Groups of one axis of a plan that lie unevenly in the instances of a level: some straddle two, or
/// reach into a part-filled one. They are priced by the smallest part, whose members share its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Straddle {
    /// The groups' axis.
    pub axis: Axis,
    /// Number of the level, innermost first.
    pub level: usize,
    /// Ranks of a group.
    pub size: u64,
    /// Most instances that a group touches.
    pub touched: u64,
    /// Fewest members in one of them.
    pub least: u64,
    /// Most members in one of them.
    pub most: u64,
}

/// Every axis and level on which groups of `plan` lie unevenly.
pub fn straddles(problem: &Problem, plan: &Plan) -> Vec<Straddle> {
    let fabric = fabric::Fabric::new(&problem.machine.cluster, problem.ranks);
    let levels = fabric.channels().len().saturating_sub(1);
    let mut list = Vec::new();
    for group in plan.groups().iter().filter(|group| group.size > 1) {
        let span = fabric.span(group.stride, group.size);
        for level in (0..levels).filter(|&l| span.least[l] != span.most[l]) {
            let (least, most, touched) = (span.least[level], span.most[level], span.touched[level]);
            list.push(Straddle { axis: group.axis, level, size: group.size, touched, least, most });
        }
    }
    list
}

/// Other pairs of context ranks and sequences a micro-batch, in the same proportion, with which `of`
/// takes the same time and memory (to a billionth), within what the space of `problem` allows.
///
/// The planner counts plans in such proportion as one.
pub fn twins(problem: &Problem, space: &Space, of: &Found) -> Vec<(u64, u64)> {
    let (context, micro_batch) = (of.plan.context, of.plan.micro_batch);
    let common = gcd(context, micro_batch);
    let (context, micro_batch) = (context / common, micro_batch / common);
    let mut pairs = Vec::new();
    for stem in &space.stems {
        let factor = stem.context / context;
        let scaled = stem.context == context * factor && stem.micro_batch == micro_batch * factor;
        let plan = Plan { context: stem.context, micro_batch: stem.micro_batch, ..of.plan.clone() };
        let dense = plan.tensor * plan.context * plan.pipeline;
        let like = stem.tensor == plan.tensor && stem.sequence_parallel == plan.sequence_parallel;
        if !scaled || !like || factor == common || !problem.ranks.is_multiple_of(dense) {
            continue;
        }
        let plan = Plan { data: problem.ranks / dense, ..plan };
        let data = space.limits.data.as_ref();
        let Some(twin) =
            leader(problem, &plan).filter(|_| data.is_none_or(|l| l.contains(&plan.data)))
        else {
            continue;
        };
        let same = |a: f64, b: f64| (a / b - 1.0).abs() < SAME;
        let Leader { found, .. } = twin;
        if same(found.step_s, of.step_s) && same(found.peak_bytes, of.peak_bytes) {
            pairs.push((plan.context, plan.micro_batch));
        }
    }
    pairs
}

pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn prime_factors(mut n: u64) -> Vec<u64> {
    let mut list = Vec::new();
    let mut d = 2;
    while d * d <= n {
        if n.is_multiple_of(d) {
            list.push(d);
            while n.is_multiple_of(d) {
                n /= d;
            }
        }
        d += 1;
    }
    if n > 1 {
        list.push(n);
    }
    list
}
