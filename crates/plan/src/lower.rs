//! A legal plan to the program every engine executes.

use crate::layout::{Block, Layout};
use crate::memory::{BlockMemory, Held, tag_bits};
use crate::recipe::wire;
use crate::{Plan, Zero};
use catalog::{Optimizer, Recipe};
use model::{
    Architecture, Axis, Collective, Cut, Exchange, Ffn, Layer, Operator, Place, Role, Shard, Step,
    Tag, Weights, Work,
};
use program::{
    During, Finish, Gathered, Program, RankClass, Routing, Segment, StepExchange, StepRef,
};

/// The sizes of one step that a plan meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequence length in tokens.
    pub sequence: u64,
    /// Micro-batches each pipeline handles.
    pub micro_batches: u64,
    /// Whether a tied embedding's two uses lie on different ranks.
    pub ties_apart: bool,
}

impl Shape {
    /// The shape of a step of `batch_sequences` sequences; `None` if the batch does not divide.
    pub fn new(
        plan: &Plan,
        model: &Architecture,
        batch_sequences: u64,
        sequence: u64,
    ) -> Option<Self> {
        let schedule = plan.schedule;
        let v_shaped = (0..schedule.chunks(plan.virtual_pipeline))
            .any(|chunk| schedule.stage_of(plan.pipeline, 0, chunk) + 1 == plan.stages());
        let ties_apart = model.tied_embedding && plan.pipeline > 1 && !v_shaped;
        let micro_batches = plan.micro_batches(batch_sequences)?;
        Some(Self { sequence, micro_batches, ties_apart })
    }
}

/// Lowers a plan that [`crate::violations`] found legal.
///
/// # Panics
/// If the program breaks its own rules, which a legal plan cannot cause.
pub fn lower(
    plan: &Plan,
    model: &Architecture,
    recipe: &Recipe,
    layout: &Layout,
    shape: &Shape,
) -> Program {
    let mut builder = Builder::new(plan, model, recipe, shape.sequence);
    let classes = (0..plan.pipeline)
        .map(|rank| {
            let chunks = layout.chunks(plan, rank).map(|blocks| builder.chunk(blocks)).collect();
            let finish = finish(plan, model, recipe, layout, shape, rank);
            RankClass { pipeline_rank: rank, ranks: plan.ranks() / plan.pipeline, chunks, finish }
        })
        .collect();
    let program = Program {
        operators: builder.operators,
        exchanges: builder.exchanges,
        segments: builder.segments,
        classes,
        groups: plan.groups(),
        schedule: plan.schedule,
        micro_batches: shape.micro_batches,
        chunks: plan.schedule.chunks(plan.virtual_pipeline),
        boundary_bytes: model::boundary_bytes(
            model,
            &plan.shard(shape.sequence),
            &wire(&recipe.precision),
        ),
        overlap: plan.overlap,
        graphs: plan.graphs,
        recorded: plan.recorded.clone(),
        frozen: plan.adapters.is_some(),
        routing: routing(plan, model),
        ranks: plan.ranks(),
    };
    let valid = program.validate();
    assert!(valid.is_ok(), "a legal plan lowered to an invalid program: {valid:?}");
    program
}

/// Weights of one block of the layout, whole.
pub(crate) fn block_weights(model: &Architecture, block: &Block) -> Vec<Weights> {
    let top = |place| {
        model.top_weights().into_iter().filter(|(p, _)| *p == place).map(|(_, w)| w).collect()
    };
    match block {
        Block::Embedding => top(Place::First),
        Block::Head => top(Place::Last),
        Block::Layer { layer, .. } => model.layer_weights(layer),
        Block::Mtp { layer, .. } => model.mtp_weights(layer),
    }
}

/// How `model`'s tokens reach their experts under `plan`; `None` without experts.
pub fn routing(plan: &Plan, model: &Architecture) -> Option<Routing> {
    model.layers.iter().chain(&model.mtp).find_map(|l| match l.ffn {
        Ffn::Moe { experts, topk, group_limit, .. } => {
            Some(Routing { experts, topk, deduplicated: plan.deduplicated_dispatch, group_limit })
        }
        Ffn::Dense(_) => None,
    })
}

/// Collects distinct operators, exchanges and segments.
struct Builder<'a> {
    plan: &'a Plan,
    model: &'a Architecture,
    recipe: &'a Recipe,
    sequence: u64,
    operators: Vec<Operator>,
    exchanges: Vec<Exchange>,
    segments: Vec<Segment>,
    seen: Vec<(Block, u32)>,
}

impl<'a> Builder<'a> {
    fn new(plan: &'a Plan, model: &'a Architecture, recipe: &'a Recipe, sequence: u64) -> Self {
        Self {
            plan,
            model,
            recipe,
            sequence,
            operators: Vec::new(),
            exchanges: Vec::new(),
            segments: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// The chunk's blocks as `(segment, times)`, in the order first met.
    fn chunk(&mut self, blocks: &[Block]) -> Vec<(u32, u64)> {
        let mut counted: Vec<(u32, u64)> = Vec::new();
        for block in blocks {
            let segment = self.segment(block);
            match counted.iter_mut().find(|(s, _)| *s == segment) {
                Some((_, times)) => *times += 1,
                None => counted.push((segment, 1)),
            }
        }
        counted
    }

    fn segment(&mut self, block: &Block) -> u32 {
        if let Some((_, known)) = self.seen.iter().find(|(b, _)| b == block) {
            return *known;
        }
        let (name, full) = match block {
            Block::Embedding => ("embedding".into(), false),
            Block::Head => ("head".into(), false),
            Block::Layer { layer, full } => (layer_name(layer), *full),
            Block::Mtp { full, .. } => ("mtp".into(), *full),
        };
        let steps = block_steps(self.plan, self.model, self.recipe, self.sequence, block);
        let steps = self.steps(steps, full);
        let gathered = gathered(self.plan, self.model, self.recipe, block);
        let memory = BlockMemory::of(self.plan, self.model, self.recipe, self.sequence, block);
        let tags = tag_bits(&self.plan.recompute.tags);
        let offloaded_bytes = memory.offloaded_bytes(tags, full);
        let id = self.segments.len() as u32;
        self.segments.push(Segment { name, steps, gathered, offloaded_bytes });
        self.seen.push((*block, id));
        id
    }

    /// The steps of a block with what of them the backward pass repeats.
    fn steps(&mut self, steps: Vec<Step>, full: bool) -> Vec<StepRef> {
        let recompute = &self.plan.recompute;
        let repeats = repeated_whole(self.plan, &steps);
        let seconds = recompute.tags.contains(&Tag::SecondProducts);
        let mut products = 0;
        let mut list = Vec::with_capacity(steps.len());
        for (i, step) in steps.into_iter().enumerate() {
            let mut again = full && i < repeats;
            if seconds && is_dense_product(&step) {
                products += 1;
                again |= products % 2 == 0;
            }
            list.push(self.step(step, again));
        }
        list
    }

    fn step(&mut self, step: Step, full: bool) -> StepRef {
        match step {
            Step::Compute(operator) => {
                let tagged = operator.tag.is_some_and(|t| self.plan.recompute.tags.contains(&t));
                let index = intern(&mut self.operators, operator);
                StepRef::Compute { operator: index, recomputed: full || tagged }
            }
            Step::Exchange(exchange) => {
                let experts = self.plan.recompute.tags.contains(&Tag::Moe)
                    && matches!(exchange.axis, Axis::Expert | Axis::ExpertTensor);
                let index = intern(&mut self.exchanges, exchange);
                StepRef::Exchange { exchange: index, recomputed: full || experts }
            }
        }
    }
}

/// What one block does forward for a micro-batch under `plan`.
pub fn block_steps(
    plan: &Plan,
    model: &Architecture,
    recipe: &Recipe,
    sequence: u64,
    block: &Block,
) -> Vec<Step> {
    let (shard, wire) = (plan.shard(sequence), wire(&recipe.precision));
    let steps = match block {
        Block::Embedding => model::embedding_steps(model, &shard, &wire),
        Block::Head => model::head_steps(model, &shard, &wire),
        Block::Layer { layer, .. } => model::layer_steps(model, layer, &shard, &wire),
        Block::Mtp { layer, .. } => model::mtp_steps(model, layer, &shard, &wire),
    };
    let mut all = Vec::with_capacity(steps.len() + 8);
    for step in steps {
        implement(plan, model, step, &shard, &mut all);
    }
    all
}

/// Adds a step as the plan carries it out: attention fused or not, adapters beside frozen weights.
fn implement(plan: &Plan, model: &Architecture, step: Step, shard: &Shard, all: &mut Vec<Step>) {
    let operator = match step {
        Step::Compute(operator) => operator,
        Step::Exchange(exchange) => {
            if exchange.name == model::DISPATCH {
                all.extend(routing_gather(plan, model, shard).map(Step::Exchange));
            }
            return all.push(Step::Exchange(exchange));
        }
    };
    if plan.unfused_attention && operator.name == "core" {
        let parts = model::unfused_attention(model, shard, &operator);
        return all.extend(parts.into_iter().map(Step::Compute));
    }
    if plan.deduplicated_dispatch && plan.expert > 1 {
        // Libraries that send a token once per node (DeepEP, HybridEP) are followed by one permutation
        // of what arrived, where a plain all-to-all needs one before it and a sort after it.
        match (operator.name, routing(plan, model)) {
            (name, _) if model::EXPERT_SORTS.contains(&name) => return,
            ("permute" | "unpermute", Some(r)) => {
                let touched = model::expected_touched(plan.expert, r.experts, r.topk);
                let moved = model::permuted_on_arrival(&operator, touched, r.topk);
                return all.push(Step::Compute(moved));
            }
            _ => {}
        }
    }
    if plan.fused_loss && operator.name == "loss" {
        return all.push(Step::Compute(model::fused_loss(&operator)));
    }
    if plan.recompute.tags.contains(&Tag::SecondProducts) {
        let parts = model::products_apart(model, &operator);
        return all.extend(parts.into_iter().map(Step::Compute));
    }
    let adapted = plan.adapters.filter(|_| !plan.adapters_on_qkv || operator.name == "qkv");
    let adapter = adapted.and_then(|rank| model::adapter(&operator, rank as f64));
    all.push(Step::Compute(operator));
    all.extend(adapter.map(Step::Compute));
}

/// What every rank of an expert group gathers before a dispatch by HybridEP: of each token of all ranks
/// a byte an expert (`Executor::allgather_routing_map`). The backward pass keeps what was made of it.
fn routing_gather(plan: &Plan, model: &Architecture, shard: &Shard) -> Option<Exchange> {
    let routing = routing(plan, model).filter(|_| plan.routing_gathered);
    let routing = routing.filter(|r| r.deduplicated && plan.expert > 1)?;
    let rows = (shard.micro_batch * shard.sequence) as f64 / (shard.context * shard.tensor) as f64;
    Some(Exchange {
        name: "routing_gather",
        axis: Axis::Expert,
        forward: Collective::AllGather,
        forward_bytes: rows * (routing.experts * plan.expert) as f64,
        backward: Collective::AllGather,
        backward_bytes: 0.0,
    })
}

/// What sharding makes a rank gather for `block` (weights, ZeRO-3) and scatter after it (gradients of
/// what is trained, ZeRO-2 and 3), for every micro-batch or run of them: who keeps a shard of the
/// gradients has nowhere to add up whole ones for longer (arXiv 1910.02054, section 5.2; `DeepSpeed`
/// reduces at every micro-batch from stage 2 on).
pub fn gathered(plan: &Plan, model: &Architecture, recipe: &Recipe, block: &Block) -> Gathered {
    if plan.zero < Zero::Gradients {
        return Gathered::default();
    }
    let weights = block_weights(model, block);
    let matrices = weights.iter().filter(|w| w.matrix.is_some()).count() as f64;
    let held = if plan.zero == Zero::Weights { Held::of(plan, &weights) } else { Held::default() };
    let trained = Held::of(plan, &trained(plan, weights));
    let p = &recipe.precision;
    Gathered {
        matrices,
        dense_bytes: held.dense * p.weights.bytes(),
        expert_bytes: held.expert * p.weights.bytes(),
        dense_gradient_bytes: trained.dense * p.gradient_wire.bytes(),
        expert_gradient_bytes: trained.expert * p.gradient_wire.bytes(),
    }
}

/// How many of a block's `steps` recomputing it whole repeats: all, or those before its last product.
pub fn repeated_whole(plan: &Plan, steps: &[Step]) -> usize {
    let last = if plan.recompute.early_stop { steps.iter().rposition(is_product) } else { None };
    last.unwrap_or(steps.len())
}

fn is_product(step: &Step) -> bool {
    matches!(step, Step::Compute(o) if matches!(o.work, Work::Gemm { .. } | Work::GroupedGemm { .. }))
}

fn is_dense_product(step: &Step) -> bool {
    matches!(step, Step::Compute(o) if o.role == Role::Linear && matches!(o.work, Work::Gemm { .. }))
}

fn intern<T: PartialEq>(list: &mut Vec<T>, item: T) -> u32 {
    let index = list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    });
    index as u32
}

fn layer_name(layer: &Layer) -> String {
    use model::Attention;
    let attention = match layer.attention {
        Attention::Grouped { window: Some(_), .. } | Attention::Compressed { ratio: 0, .. } => {
            "window"
        }
        Attention::Grouped { .. } => "grouped",
        Attention::Latent { .. } => "latent",
        Attention::Compressed { indexer: Some(_), .. } => "csa",
        Attention::Compressed { .. } => "hca",
    };
    let ffn = match layer.ffn {
        Ffn::Dense(_) => "dense",
        Ffn::Moe { hash_routed: true, .. } => "hash-moe",
        Ffn::Moe { .. } => "moe",
    };
    format!("{attention} {ffn}")
}

/// What one block adds to a rank's optimizer step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlockUpdate {
    /// Weights that the step changes.
    pub trained: Held,
    /// Matrix FLOPs of the optimizer.
    pub flops: f64,
    /// Kernel launches of the optimizer.
    pub launches: f64,
}

impl BlockUpdate {
    /// The part of `block` under `plan`.
    pub fn of(plan: &Plan, model: &Architecture, recipe: &Recipe, block: &Block) -> Self {
        let weights = trained(plan, block_weights(model, block));
        let (flops, launches) = match recipe.optimizer {
            Optimizer::Muon { iterations } => newton_schulz(plan, &weights, iterations),
            Optimizer::AdamW => (0.0, 0.0),
        };
        Self { trained: Held::of(plan, &weights), flops, launches }
    }

    /// Adds a block, `times` over.
    pub fn add(&mut self, other: &Self, times: f64) {
        self.trained.dense += other.trained.dense * times;
        self.trained.expert += other.trained.expert * times;
        self.flops += other.flops * times;
        self.launches += other.launches * times;
    }
}

/// Gradient exchange and optimizer step of the rank at pipeline position `rank`.
fn finish(
    plan: &Plan,
    model: &Architecture,
    recipe: &Recipe,
    layout: &Layout,
    shape: &Shape,
    rank: u64,
) -> Finish {
    let mut update = BlockUpdate::default();
    for block in layout.chunks(plan, rank).flatten() {
        update.add(&BlockUpdate::of(plan, model, recipe, block), 1.0);
    }
    let ties = shape.ties_apart && (rank == 0 || rank + 1 == plan.pipeline);
    finish_of(plan, model, recipe, &update, ties)
}

/// Gradient exchange and optimizer step of a rank whose blocks come to `update`; `ties` if it holds
/// one of the two copies of a tied embedding.
pub fn finish_of(
    plan: &Plan,
    model: &Architecture,
    recipe: &Recipe,
    update: &BlockUpdate,
    ties: bool,
) -> Finish {
    let precision = &recipe.precision;
    let held = update.trained;
    let mut exchanges = Vec::new();
    for (elements, axis) in [(held.dense, Axis::Data), (held.expert, Axis::ExpertData)] {
        exchanges.extend(data_exchanges(plan, precision, elements, axis));
    }
    let shard_groups = plan.data * plan.context / plan.dense_shard();
    if plan.zero != Zero::None && shard_groups > 1 && held.dense > 0.0 {
        let shard = held.dense / plan.dense_shard() as f64;
        let during =
            if plan.overlap.gradient_reduce { During::LastBackward } else { During::Alone };
        let exchange = StepExchange {
            name: "replica_reduce",
            axis: Axis::Replica,
            operation: Collective::AllReduce,
            bytes: shard * precision.gradient_wire.bytes(),
        };
        exchanges.push((during, exchange));
    }
    if ties {
        // An all-reduce between two ranks: each sends the other its gradient once.
        let elements = model.vocab as f64 * model.hidden as f64 / plan.tensor as f64;
        let bytes = elements * precision.gradient_wire.bytes();
        let exchange = StepExchange {
            name: "tied_embedding",
            axis: Axis::Pipeline,
            operation: Collective::SendRecv,
            bytes,
        };
        exchanges.push((During::Alone, exchange));
    }
    let sharded = held.over(plan.dense_shard(), plan.expert_shard());
    if plan.schedule.mirrored() && held.over(1, 1) > 0.0 {
        // What the rank is left with after the reduction meets that of the other copy: each sends the
        // other its own.
        let elements = if plan.zero == Zero::None { held.over(1, 1) } else { sharded };
        let exchange = StepExchange {
            name: "mirror_reduce",
            axis: Axis::Pipeline,
            operation: Collective::SendRecv,
            bytes: elements * precision.gradient_wire.bytes(),
        };
        exchanges.push((During::Alone, exchange));
    }
    let moments = match recipe.optimizer {
        Optimizer::AdamW => 2.0,
        Optimizer::Muon { .. } => 1.0,
    };
    // Of its shard a rank reads the gradients for their norm, scales them, reads them once more;
    // reads and writes master and moments; reads the master and writes compute weights. Before the
    // next step it clears all its gradients.
    let per_element = 4.0 * precision.gradients.bytes()
        + 3.0 * precision.master.bytes()
        + 2.0 * moments * precision.moments.bytes()
        + precision.weights.bytes();
    let cleared = match plan.zero {
        Zero::Gradients | Zero::Weights => sharded,
        Zero::None | Zero::Optimizer => held.over(1, 1),
    };
    Finish {
        exchanges,
        optimizer_bytes: sharded * per_element + cleared * precision.gradients.bytes(),
        optimizer_flops: update.flops,
        optimizer_launches: 8.0 + update.launches,
    }
}

/// The weights a step changes: all, or the adapters beside the frozen ones. Adapters of queries, keys
/// and values alone count as those of the whole attention: a few millions either way.
pub(crate) fn trained(plan: &Plan, weights: Vec<Weights>) -> Vec<Weights> {
    let Some(rank) = plan.adapters else { return weights };
    let beside =
        |w: &Weights| w.cut != Cut::Expert && (!plan.adapters_on_qkv || w.component == "attention");
    let adapters = weights.into_iter().filter(beside).filter_map(|w| {
        let (a, b) = w.matrix?;
        let matrices = w.count / (a * b) as f64;
        Some(Weights { count: matrices * (rank * (a + b)) as f64, matrix: None, ..w })
    });
    adapters.collect()
}

fn data_exchanges(
    plan: &Plan,
    precision: &catalog::Precision,
    elements: f64,
    axis: Axis,
) -> Vec<(During, StepExchange)> {
    let gradient_bytes = elements * precision.gradient_wire.bytes();
    let weight_bytes = elements * precision.weights.bytes();
    let reduce = if plan.overlap.gradient_reduce { During::LastBackward } else { During::Alone };
    let gather = if plan.overlap.parameter_gather { During::FirstForward } else { During::Alone };
    let exchange = |name, operation, bytes| StepExchange { name, axis, operation, bytes };
    if elements == 0.0 {
        return Vec::new();
    }
    match plan.zero {
        Zero::None => {
            vec![(reduce, exchange("gradient_reduce", Collective::AllReduce, gradient_bytes))]
        }
        Zero::Optimizer => vec![
            (reduce, exchange("gradient_reduce", Collective::ReduceScatter, gradient_bytes)),
            (gather, exchange("parameter_gather", Collective::AllGather, weight_bytes)),
        ],
        // Gradients are scattered in every micro-batch instead, and weights gathered at every pass.
        Zero::Gradients => {
            vec![(gather, exchange("parameter_gather", Collective::AllGather, weight_bytes))]
        }
        Zero::Weights => Vec::new(),
    }
}

/// Newton-Schulz FLOPs and kernel launches of one rank: each matrix a×b (a ≤ b) takes
/// iterations·(4a²b + 2a³) FLOPs once in its shard group (V4 report section 3; whole matrices are
/// owned by one rank), shapes are batched.
fn newton_schulz(plan: &Plan, weights: &[Weights], iterations: u64) -> (f64, f64) {
    let (mut flops, mut launches) = (0.0, 0.0);
    for w in weights {
        let Some((rows, columns)) = w.matrix else { continue };
        let (a, b) = (rows.min(columns) as f64, rows.max(columns) as f64);
        let count = w.count / (a * b);
        let owners = match w.cut {
            Cut::Expert => (plan.expert * plan.expert_tensor) as f64 * plan.expert_shard() as f64,
            Cut::Replicated | Cut::Tensor => plan.dense_shard() as f64,
        };
        flops += count / owners * iterations as f64 * (4.0 * a * a * b + 2.0 * a * a * a);
        launches += 3.0 * iterations as f64;
    }
    (flops, launches)
}
