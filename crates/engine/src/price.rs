//! Every distinct operator and collective of a program, priced once; segments as sums.

use crate::machine::Machine;
use crate::placed::Placed;
use kernel::{Cost, casts, data_gradient, effective_dtype, forward, weight_gradient};
use model::{Axis, Class, Collective, Exchange, Operator, Role, Step, Tag, Work};
use program::{Gathered, Program, Segment, StepRef};

/// Communication inside a pass, by what it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommAxis {
    /// Tensor and sequence parallelism.
    Tensor,
    /// Context parallelism.
    Context,
    /// Expert dispatch and combine.
    Expert,
    /// Gathering sharded weights, scattering their gradients.
    Shard,
}

/// Every [`CommAxis`] in order, with its word.
pub const COMM_AXES: [(CommAxis, &str); 4] = [
    (CommAxis::Tensor, "tensor"),
    (CommAxis::Context, "context"),
    (CommAxis::Expert, "expert"),
    (CommAxis::Shard, "shard"),
];

/// Number of operator classes.
pub(crate) const CLASSES: usize = 10;

/// One pass of something: compute and the communication inside it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PassTime {
    /// All kernels.
    pub cost: Cost,
    /// Device time by operator class, in [`Class`]'s order. Seconds.
    pub by_class: [f64; CLASSES],
    /// Communication by [`CommAxis`]. Seconds.
    pub comm: [f64; 4],
    /// Collectives the host starts.
    pub collectives: f64,
    /// Of the tensor-parallel communication, what the products it feeds or follows are long enough
    /// for. Seconds.
    pub tensor_beside: f64,
    /// Copies of saved tensors to or from the host's memory, by engines of their own. Seconds.
    pub copies: f64,
    /// Dispatches whose number of rows the host waits for.
    pub waits: f64,
}

impl PassTime {
    /// Adds `times` repetitions of `other`.
    pub fn add(&mut self, other: &Self, times: f64) {
        self.cost = self.cost + scaled(other.cost, times);
        for (mine, theirs) in self.by_class.iter_mut().zip(other.by_class) {
            *mine += theirs * times;
        }
        for (mine, theirs) in self.comm.iter_mut().zip(other.comm) {
            *mine += theirs * times;
        }
        self.collectives += other.collectives * times;
        self.tensor_beside += other.tensor_beside * times;
        self.copies += other.copies * times;
        self.waits += other.waits * times;
    }

    fn exchange(&mut self, axis: CommAxis, seconds: f64) {
        self.comm[axis as usize] += seconds;
        self.collectives += if seconds > 0.0 { 1.0 } else { 0.0 };
    }

    /// An exchange with the product it is sliced together with, of `product` seconds.
    fn sliced(&mut self, axis: CommAxis, seconds: f64, product: f64) {
        self.exchange(axis, seconds);
        if axis == CommAxis::Tensor {
            self.tensor_beside += seconds.min(product);
        }
    }

    fn compute(&mut self, cost: Cost, class: Class) {
        self.cost = self.cost + cost;
        self.by_class[class as usize] += cost.seconds;
    }
}

/// One segment's passes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SegmentTime {
    /// Forward.
    pub forward: PassTime,
    /// What the backward pass computes again first.
    pub recompute: PassTime,
    /// Input gradients.
    pub backward_input: PassTime,
    /// Weight gradients.
    pub weight: PassTime,
}

impl SegmentTime {
    /// Adds `times` repetitions of `other`.
    pub fn add(&mut self, other: &Self, times: f64) {
        self.forward.add(&other.forward, times);
        self.recompute.add(&other.recompute, times);
        self.backward_input.add(&other.backward_input, times);
        self.weight.add(&other.weight, times);
    }
}

/// A program's prices on a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    /// One per segment.
    pub segments: Vec<SegmentTime>,
    /// Sending one micro-batch over a stage boundary. Seconds.
    pub boundary_s: f64,
}

/// Prices every segment of `program` on `machine`.
pub fn price(program: &Program, machine: &Machine) -> Prices {
    let placed = Placed::of(program, machine);
    let how = (program.recorded.as_slice(), program.frozen);
    let operators: Vec<[Cost; 3]> =
        program.operators.iter().map(|o| operator_costs(o, how, machine)).collect();
    let exchanges: Vec<[f64; 2]> = program
        .exchanges
        .iter()
        .map(|e| {
            let Exchange { axis, forward, forward_bytes, backward, backward_bytes, .. } = *e;
            [
                placed.seconds(axis, forward, forward_bytes),
                placed.seconds(axis, backward, backward_bytes),
            ]
        })
        .collect();
    let segments = program
        .segments
        .iter()
        .map(|s| {
            let mut time = segment_time(s, program, &operators, &exchanges);
            shard_traffic(&s.gathered, program.scatter_run(), &placed, &mut time);
            host_copies(s.offloaded_bytes, machine, &mut time);
            time
        })
        .collect();
    let boundary_s = placed.seconds(Axis::Pipeline, Collective::SendRecv, program.boundary_bytes);
    Prices { segments, boundary_s }
}

/// Forward, input-gradient and weight-gradient cost of one operator on `machine`; the host launches
/// nothing of the classes that are `recorded`, but for [`model::AFTER_DISPATCH`]; `frozen` weights have no
/// gradients to write operands for.
pub fn operator_costs(
    operator: &Operator,
    (recorded, frozen): (&[Class], bool),
    machine: &Machine,
) -> [Cost; 3] {
    let (chip, calibration) = (&machine.cluster.chip, &machine.calibration);
    let dtype = role_dtype(machine, operator.role);
    let factor =
        machine.kernel_time.value * machine.slowest() * stack_factor(operator, dtype, machine);
    let [cast_in, cast_out] = casts(chip, calibration, &operator.work, dtype, frozen)
        .map(|cost| Cost { seconds: cost.seconds * machine.stack.casts.value, ..cost });
    let second = match operator.work {
        // The other operand of a product inside attention is no weight: nothing is added to.
        Work::Gemm { m, n, k, count } if operator.role == Role::Attention => {
            let turned = Work::Gemm { m: k, n, k: m, count };
            forward(chip, calibration, &turned, dtype, operator.launches)
        }
        _ => weight_gradient(chip, calibration, &operator.work, dtype, operator.launches),
    };
    let first = |pass: fn(&_, &_, &_, _, _) -> Cost| {
        pass(chip, calibration, &operator.work, dtype, operator.launches)
    };
    let mut costs = [first(forward), first(data_gradient), second]
        .map(|cost| Cost { seconds: cost.seconds * factor, ..cost });
    if model::EXPERT_SORTS.contains(&operator.name) && narrow_experts(machine) {
        // Exchanges that sort rows themselves bring them padded.
        let passes = 1.0 + machine.stack.expert_padding.value;
        costs = costs.map(|cost| scaled(cost, passes));
    }
    one_by_one(&mut costs, operator, factor, machine);
    costs[0] = costs[0] + cast_in;
    costs[1] = costs[1] + cast_out;
    if matches!(operator.work, Work::Gemm { .. } | Work::GroupedGemm { .. }) {
        costs[2].seconds *= machine.product_share(dtype) / machine.weight_share(dtype);
    }
    costs[2] = costs[2] + accumulation(operator, machine);
    let share = share_apart(operator.name, machine);
    costs = costs.map(|cost| scaled(cost, share));
    if recorded.contains(&operator.class) && !model::AFTER_DISPATCH.contains(&operator.name) {
        return costs.map(|cost| Cost { launches: 0.0, ..cost });
    }
    costs
}

/// Share of an operator that the stack runs outside the kernels around it.
fn share_apart(name: &str, machine: &Machine) -> f64 {
    if model::EXPERT_EXTRAS.contains(&name) {
        machine.stack.expert_extras.value
    } else if model::SCALED_ROTARY.contains(&name) {
        machine.stack.scaled_rotary.value
    } else {
        1.0
    }
}

/// Kernels that move elements one by one take the longer of their traffic's time and of the vector
/// operations that the stack's kernels need for each element, `factor` times as long.
fn one_by_one(costs: &mut [Cost; 3], operator: &Operator, factor: f64, machine: &Machine) {
    let Work::Elements { elements, backward_elements, .. } = operator.work else { return };
    let each = machine.element_operations() / machine.cluster.chip.vector.value;
    for (cost, elements) in costs.iter_mut().zip([elements, backward_elements]) {
        cost.vector_s = elements * each;
        cost.seconds = cost.seconds.max(cost.vector_s * factor);
    }
}

/// Whether experts run in a format of 8 bits or fewer, whose products take rows in multiples.
fn narrow_experts(machine: &Machine) -> bool {
    let dtype = role_dtype(machine, Role::Expert);
    effective_dtype(&machine.cluster.chip, dtype).is_some_and(|(d, _)| d.bytes() < 2.0)
}

/// Adding a product's weight gradient to its accumulator, where the stack does so in a kernel of its
/// own.
fn accumulation(operator: &Operator, machine: &Machine) -> Cost {
    let weights = match operator.work {
        Work::Gemm { n, k, count, .. } if operator.role != Role::Attention => n * k * count,
        Work::GroupedGemm { groups, n, k, .. } => groups * n * k,
        _ => return Cost::default(),
    };
    let bytes = weights * machine.stack.gradient_bytes.value;
    if bytes == 0.0 {
        return Cost::default();
    }
    let work = Work::Memory { bytes, backward_bytes: 0.0, flops: 0.0 };
    forward(&machine.cluster.chip, &machine.calibration, &work, catalog::Dtype::Bf16, 1.0)
}

/// How much longer the stack's own kernel takes than the calibration's: memory-bound work moves its
/// traffic's multiple; fused attention and FP8 products run at their share of the speed.
fn stack_factor(operator: &Operator, dtype: catalog::Dtype, machine: &Machine) -> f64 {
    let routing = machine.calibration.memory.routing.value;
    match operator.work {
        Work::Memory { .. } if operator.class == Class::Routing => 1.0 / routing,
        Work::Memory { .. } | Work::Elements { .. } if operator.class == Class::Elementwise => {
            machine.stack.traffic.value
        }
        Work::Attention { .. } => 1.0 / machine.attention_share(),
        Work::Gemm { .. } | Work::GroupedGemm { .. } => 1.0 / machine.product_share(dtype),
        _ => 1.0,
    }
}

fn role_dtype(machine: &Machine, role: Role) -> catalog::Dtype {
    plan::role_dtype(&machine.precision, role)
}

fn segment_time(
    segment: &Segment,
    program: &Program,
    operators: &[[Cost; 3]],
    exchanges: &[[f64; 2]],
) -> SegmentTime {
    let mut time = SegmentTime::default();
    let product = |step: &StepRef| match *step {
        StepRef::Compute { operator, .. } if is_product(&program.operators[operator as usize]) => {
            let [forward, data, _] = operators[operator as usize];
            Some([forward.seconds, data.seconds])
        }
        _ => None,
    };
    for (i, step) in segment.steps.iter().enumerate() {
        match *step {
            StepRef::Compute { operator, recomputed } => {
                let class = program.operators[operator as usize].class;
                let [forward, data, weight] = operators[operator as usize];
                let weight = if program.frozen { Cost::default() } else { weight };
                time.forward.compute(forward, class);
                time.backward_input.compute(data, class);
                time.weight.compute(weight, class);
                if recomputed {
                    time.recompute.compute(forward, class);
                }
            }
            StepRef::Exchange { exchange, recomputed } => {
                let Some(axis) = comm_axis(program.exchanges[exchange as usize].axis) else {
                    continue;
                };
                let [forward, backward] = exchanges[exchange as usize];
                let Exchange { forward: kind, name, .. } = program.exchanges[exchange as usize];
                let [beside, beside_back] = partner(&segment.steps, i, kind, product);
                time.forward.sliced(axis, forward, beside);
                time.forward.waits += waits(name);
                time.backward_input.sliced(axis, backward, beside_back);
                if recomputed {
                    time.recompute.sliced(axis, forward, beside);
                    time.recompute.waits += waits(name);
                }
            }
        }
    }
    time
}

/// Whether the host waits for what the exchange named `name` brings: going forward only, whose counts
/// the backward pass keeps.
fn waits(name: &str) -> f64 {
    if name == model::DISPATCH { 1.0 } else { 0.0 }
}

/// Whether an operator is a dense product that a tensor-parallel exchange can be sliced with.
fn is_product(operator: &Operator) -> bool {
    let dense = [Class::Projection, Class::FeedForward, Class::Head].contains(&operator.class);
    dense && matches!(operator.work, Work::Gemm { .. })
}

/// Times, forward and of the input gradient, of the product beside exchange `i` of `steps`: a gather
/// feeds the next one, sums follow the one before.
fn partner<T>(
    steps: &[T],
    i: usize,
    kind: Collective,
    product: impl Fn(&T) -> Option<[f64; 2]>,
) -> [f64; 2] {
    let found = if kind == Collective::AllGather {
        steps[i + 1..].iter().find_map(product)
    } else {
        steps[..i].iter().rev().find_map(product)
    };
    found.unwrap_or_default()
}

/// One block's passes, with recomputation by tag: what a set of tags repeats is the sum over it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockPrice {
    /// Forward.
    pub forward: PassTime,
    /// Input gradients.
    pub backward_input: PassTime,
    /// Weight gradients.
    pub weight: PassTime,
    /// What recomputing the whole block repeats.
    pub again: PassTime,
    /// What each tag repeats, in [`Tag`]'s order; not the tags that change how products run.
    pub repeated: [PassTime; Tag::WORDS.len()],
}

impl BlockPrice {
    /// The price of `steps`, of which recomputing the whole block repeats the first `repeats`, with
    /// `costs` of an operator's passes and `seconds` of a collective; `frozen` weights have no
    /// gradients.
    pub fn new(
        (steps, repeats): (&[Step], usize),
        frozen: bool,
        mut costs: impl FnMut(&Operator) -> [Cost; 3],
        mut seconds: impl FnMut(Axis, Collective, f64) -> f64,
    ) -> Self {
        let mut price = Self::default();
        let all: Vec<[Cost; 3]> = steps
            .iter()
            .map(|step| match step {
                Step::Compute(operator) => costs(operator),
                Step::Exchange(_) => [Cost::default(); 3],
            })
            .collect();
        let indices: Vec<usize> = (0..steps.len()).collect();
        let product = |&i: &usize| match &steps[i] {
            Step::Compute(o) if is_product(o) => Some([all[i][0].seconds, all[i][1].seconds]),
            _ => None,
        };
        for (i, step) in steps.iter().enumerate() {
            match step {
                Step::Compute(operator) => {
                    let [forward, data, weight] = all[i];
                    if i < repeats {
                        price.again.compute(forward, operator.class);
                    }
                    let weight = if frozen { Cost::default() } else { weight };
                    price.forward.compute(forward, operator.class);
                    price.backward_input.compute(data, operator.class);
                    price.weight.compute(weight, operator.class);
                    if let Some(tag) = operator.tag {
                        price.repeated[tag as usize].compute(forward, operator.class);
                    }
                }
                Step::Exchange(e) => {
                    let Some(axis) = comm_axis(e.axis) else { continue };
                    let forward = seconds(e.axis, e.forward, e.forward_bytes);
                    let [beside, beside_back] = partner(&indices, i, e.forward, product);
                    price.forward.sliced(axis, forward, beside);
                    price.forward.waits += waits(e.name);
                    if i < repeats {
                        price.again.sliced(axis, forward, beside);
                        price.again.waits += waits(e.name);
                    }
                    let backward = seconds(e.axis, e.backward, e.backward_bytes);
                    price.backward_input.sliced(axis, backward, beside_back);
                    if axis == CommAxis::Expert {
                        price.repeated[Tag::Moe as usize].exchange(axis, forward);
                        price.repeated[Tag::Moe as usize].waits += waits(e.name);
                    }
                }
            }
        }
        price
    }

    /// The block with the tensors of `tags` (or, `full`, everything) computed again.
    pub fn recomputing(&self, tags: u32, full: bool) -> SegmentTime {
        let mut again = PassTime::default();
        if full {
            again = self.again;
        } else {
            for (tag, repeated) in self.repeated.iter().enumerate() {
                if tags >> tag & 1 == 1 {
                    again.add(repeated, 1.0);
                }
            }
        }
        SegmentTime {
            forward: self.forward,
            recompute: again,
            backward_input: self.backward_input,
            weight: self.weight,
        }
    }
}

/// Sharded weights are gathered before each pass, their gradients scattered after (ZeRO-3: three
/// times the weights per micro-batch, arXiv 1910.02054): the traffic of one block, added to `time`.
/// Of sharded gradients (ZeRO-2) the scatters alone, one for every `run` micro-batches.
/// A block moves at once, or matrix by matrix where the stack's host works through lists of every
/// member's part; hooks of single matrices gather once more for recomputation, which a block gathered
/// at once shares with its backward pass.
pub fn shard_traffic(gathered: &Gathered, run: u64, placed: &Placed<'_>, time: &mut SegmentTime) {
    let member_s = placed.machine.stack.gather_member.value;
    let calls = if member_s > 0.0 { gathered.matrices.max(1.0) } else { 1.0 };
    let one = |axis, operation, bytes: f64| {
        let seconds = placed.seconds(axis, operation, bytes / calls);
        let host = if seconds > 0.0 { member_s * placed.members(axis) } else { 0.0 };
        calls * (seconds + host)
    };
    let both = |operation, dense, expert| {
        one(Axis::Data, operation, dense) + one(Axis::ExpertData, operation, expert)
    };
    if *gathered == Gathered::default() {
        return;
    }
    let gather = both(Collective::AllGather, gathered.dense_bytes, gathered.expert_bytes);
    let scatter = both(
        Collective::ReduceScatter,
        gathered.dense_gradient_bytes,
        gathered.expert_gradient_bytes,
    );
    time.forward.exchange(CommAxis::Shard, gather);
    time.backward_input.exchange(CommAxis::Shard, gather);
    time.backward_input.exchange(CommAxis::Shard, scatter / run as f64);
    if member_s > 0.0 && time.recompute.cost.seconds > 0.0 {
        time.recompute.exchange(CommAxis::Shard, gather);
    }
    gather_copies(gathered, placed.machine, time);
}

/// Saved tensors copied to the host's memory in the forward pass and back in the backward pass.
///
/// # Panics
/// If there are some and the chip states no `host_link`: whoever reads plans and programs asks for it.
pub fn host_copies(bytes: f64, machine: &Machine, time: &mut SegmentTime) {
    if bytes == 0.0 {
        return;
    }
    let link = machine.cluster.chip.host_link.as_ref();
    assert!(link.is_some(), "`{}` states no `host_link`", machine.cluster.chip.id);
    let seconds = link.map_or(0.0, |link| bytes / link.value);
    time.forward.copies += seconds;
    time.backward_input.copies += seconds;
}

/// Copies of gathered weights out of the buffer they arrive in, where the stack makes them (`PyTorch`'s
/// FSDP2 splits one buffer into parameters): before the forward and before the backward pass.
fn gather_copies(gathered: &Gathered, machine: &Machine, time: &mut SegmentTime) {
    let elements =
        (gathered.dense_bytes + gathered.expert_bytes) / machine.precision.weights.bytes();
    let bytes = elements * machine.stack.gather_bytes.value;
    if bytes == 0.0 {
        return;
    }
    let work = Work::Memory { bytes, backward_bytes: 0.0, flops: 0.0 };
    let chip = &machine.cluster.chip;
    let copy = forward(chip, &machine.calibration, &work, catalog::Dtype::Bf16, 1.0);
    time.forward.compute(copy, Class::Elementwise);
    time.backward_input.compute(copy, Class::Elementwise);
}

pub(crate) fn comm_axis(axis: Axis) -> Option<CommAxis> {
    match axis {
        Axis::Tensor => Some(CommAxis::Tensor),
        Axis::Context => Some(CommAxis::Context),
        Axis::Expert | Axis::ExpertTensor => Some(CommAxis::Expert),
        Axis::Data | Axis::Replica | Axis::ExpertData => Some(CommAxis::Shard),
        Axis::Pipeline => None,
    }
}

/// `cost` repeated.
pub fn scaled(cost: Cost, times: f64) -> Cost {
    Cost {
        seconds: cost.seconds * times,
        matrix_s: cost.matrix_s * times,
        vector_s: cost.vector_s * times,
        memory_s: cost.memory_s * times,
        launch_s: cost.launch_s * times,
        launches: cost.launches * times,
    }
}
