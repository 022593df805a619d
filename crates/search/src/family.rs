//! What each kind of block costs under one node: time by pass and memory.

use crate::{Node, Problem, Space};
use engine::{BlockPrice, CommAxis, PassTime, Placed, operator_costs};
use kernel::Cost;
use model::{Axis, Class, Collective, Operator, Step, Work};
use plan::{Block, BlockMemory, Plan, block_steps};
use program::Schedule;
use rustc_hash::FxHashMap;

/// Times and memory of every kind of block under a node.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub prices: Vec<BlockPrice>,
    /// Memory by kind; empty until asked for.
    pub memory: Vec<BlockMemory>,
    /// Memory by kind under `GPipe`, which keeps the logits of every micro-batch.
    pub memory_gpipe: Vec<BlockMemory>,
}

type OperatorKey = (u8, [u64; 7], u8, u8, u64);

/// Prices met so far; they depend on the machine alone.
#[derive(Debug, Default)]
pub(crate) struct PriceBook {
    operators: FxHashMap<OperatorKey, [Cost; 3]>,
    exchanges: FxHashMap<(Axis, Collective, u64, u64, u64), f64>,
}

impl PriceBook {
    /// Passes of one operator.
    pub(crate) fn operator(&mut self, problem: &Problem, operator: &Operator) -> [Cost; 3] {
        let (kind, sizes) = work_key(&operator.work);
        let key =
            (kind, sizes, operator.role as u8, operator.class as u8, operator.launches.to_bits());
        let how = (problem.base.recorded.as_slice(), problem.base.adapters.is_some());
        *self
            .operators
            .entry(key)
            .or_insert_with(|| operator_costs(operator, how, &problem.machine))
    }

    /// Passes of one operator under `plan`: frozen weights have no gradients.
    fn passes(&mut self, problem: &Problem, plan: &Plan, operator: &Operator) -> [Cost; 3] {
        let [forward, data, weight] = self.operator(problem, operator);
        let weight = if plan.adapters.is_some() { Cost::default() } else { weight };
        [forward, data, weight]
    }

    /// A collective over `placed`'s group of `axis`.
    pub(crate) fn exchange(
        &mut self,
        placed: &Placed<'_>,
        (axis, operation, bytes): (Axis, Collective, f64),
    ) -> f64 {
        let Some(group) = placed.group(axis) else { return 0.0 };
        if group.size == 1 {
            return 0.0;
        }
        let key = (axis, operation, bytes.to_bits(), group.size, group.stride);
        *self.exchanges.entry(key).or_insert_with(|| placed.seconds(axis, operation, bytes))
    }
}

/// Schedules under which a block's memory differs: `GPipe` keeps the head's logits of every micro-batch.
pub(crate) fn weighed_under(block: &Block) -> &'static [Schedule] {
    match block {
        Block::Head => &[Schedule::OneFOneB, Schedule::GPipe],
        _ => &[Schedule::OneFOneB],
    }
}

/// Whether an operator's time depends on how experts are spread.
fn of_experts(operator: &Operator) -> bool {
    matches!(operator.class, Class::Experts | Class::Routing)
}

fn work_key(work: &Work) -> (u8, [u64; 7]) {
    let bits = |values: &[f64]| {
        let mut key = [0; 7];
        for (slot, value) in key.iter_mut().zip(values) {
            *slot = value.to_bits();
        }
        key
    };
    match *work {
        Work::Gemm { m, n, k, count } => (0, bits(&[m, n, k, count])),
        Work::GroupedGemm { groups, rows, n, k } => (1, bits(&[groups, rows, n, k])),
        Work::Attention { rows, heads, kv_heads, d_qk, d_v, context, keys } => {
            (2, bits(&[rows, heads, kv_heads, d_qk, d_v, context, keys]))
        }
        Work::Scores { rows, heads, dim, context } => (3, bits(&[rows, heads, dim, context])),
        Work::Memory { bytes, backward_bytes, flops } => (4, bits(&[bytes, backward_bytes, flops])),
        Work::Elements { bytes, backward_bytes, elements, backward_elements } => {
            (5, bits(&[bytes, backward_bytes, elements, backward_elements]))
        }
    }
}

impl Family {
    /// Prices every kind of block under `node`.
    pub(crate) fn new(
        problem: &Problem,
        kinds: &[(Block, u64)],
        node: &Node,
        book: &mut PriceBook,
    ) -> Self {
        let plan = Plan { zero: plan::Zero::None, ..Space::grid(problem, node, node.pipelines[0]) };
        let groups = plan.groups();
        let routing = plan::routing(&plan, &problem.model);
        let placed = Placed::new(&groups, routing, problem.ranks, &problem.machine);
        let frozen = plan.adapters.is_some();
        let book = std::cell::RefCell::new(book);
        let price = |(block, _): &(Block, u64)| {
            let (model, recipe) = (&problem.model, &problem.recipe);
            let steps = block_steps(&plan, model, recipe, problem.sequence, block);
            BlockPrice::new(
                (&steps, plan::repeated_whole(&plan, &steps)),
                frozen,
                |operator| book.borrow_mut().operator(problem, operator),
                |axis, op, bytes| book.borrow_mut().exchange(&placed, (axis, op, bytes)),
            )
        };
        let prices = kinds.iter().map(price).collect();
        Self { prices, memory: Vec::new(), memory_gpipe: Vec::new() }
    }

    /// All of one micro-batch outside the experts and their routing, forward and backward, for each
    /// of `plans`, which differ in placement alone.
    pub(crate) fn outside_experts(
        problem: &Problem,
        kinds: &[(Block, u64)],
        plans: &[Plan],
        book: &mut PriceBook,
    ) -> Vec<PassTime> {
        let Some(plan) = plans.first() else { return Vec::new() };
        let (mut compute, mut exchanges) = (PassTime::default(), Vec::new());
        for (block, times) in kinds {
            let (model, recipe) = (&problem.model, &problem.recipe);
            for step in block_steps(plan, model, recipe, problem.sequence, block) {
                match step {
                    Step::Compute(operator) if !of_experts(&operator) => {
                        for cost in book.passes(problem, plan, &operator) {
                            compute.cost = compute.cost + engine::scaled(cost, *times as f64);
                        }
                    }
                    Step::Exchange(e) if matches!(e.axis, Axis::Tensor | Axis::Context) => {
                        exchanges.push((e, *times as f64));
                    }
                    _ => {}
                }
            }
        }
        let placed = |plan: &Plan| {
            let groups = plan.groups();
            let placed = Placed::new(&groups, None, problem.ranks, &problem.machine);
            let mut all = compute;
            for (e, times) in &exchanges {
                let forward = book.exchange(&placed, (e.axis, e.forward, e.forward_bytes));
                let backward = book.exchange(&placed, (e.axis, e.backward, e.backward_bytes));
                let axis =
                    if e.axis == Axis::Tensor { CommAxis::Tensor } else { CommAxis::Context };
                all.comm[axis as usize] += (forward + backward) * times;
            }
            all
        };
        plans.iter().map(placed).collect()
    }

    /// Compute of experts and routing of one micro-batch under `plan`, forward and backward. Seconds.
    pub(crate) fn experts_s(
        problem: &Problem,
        kinds: &[(Block, u64)],
        plan: &Plan,
        book: &mut PriceBook,
    ) -> f64 {
        let mut sum = 0.0;
        for (block, times) in kinds {
            let (model, recipe) = (&problem.model, &problem.recipe);
            for step in block_steps(plan, model, recipe, problem.sequence, block) {
                if let Step::Compute(operator) = step
                    && of_experts(&operator)
                {
                    let passes = book.passes(problem, plan, &operator);
                    sum += passes.iter().map(|cost| cost.seconds).sum::<f64>() * *times as f64;
                }
            }
        }
        sum
    }

    /// Adds the memory of every kind of block.
    pub(crate) fn weigh(&mut self, problem: &Problem, kinds: &[(Block, u64)], node: &Node) {
        if !self.memory.is_empty() {
            return;
        }
        let plan = Space::grid(problem, node, node.pipelines[0]);
        let of = |schedule, block: &Block| {
            let plan = Plan { schedule, ..plan.clone() };
            BlockMemory::of(&plan, &problem.model, &problem.recipe, problem.sequence, block)
        };
        let plain = kinds.iter().map(|(block, _)| of(Schedule::OneFOneB, block));
        self.memory = plain.collect();
        let other = kinds.iter().zip(&self.memory).map(|((block, _), plain)| {
            let differs = weighed_under(block).contains(&Schedule::GPipe);
            if differs { of(Schedule::GPipe, block) } else { plain.clone() }
        });
        self.memory_gpipe = other.collect();
    }

    /// All passes of one micro-batch through the whole model, nothing recomputed.
    pub(crate) fn whole(&self, kinds: &[(Block, u64)]) -> PassTime {
        let mut sum = PassTime::default();
        for (price, (_, times)) in self.prices.iter().zip(kinds) {
            for pass in [&price.forward, &price.backward_input, &price.weight] {
                sum.add(pass, *times as f64);
            }
        }
        sum
    }
}
