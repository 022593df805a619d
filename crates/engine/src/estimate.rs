//! The closed form: one step of a program on a machine.

use crate::exposure::{Rules, Run, behind};
use crate::machine::Machine;
use crate::passes::{Passes, bubbles, message_wait_s, pass_counts, sends};
use crate::placed::Placed;
use crate::price::{CLASSES, COMM_AXES, Prices, SegmentTime, price};
use catalog::Dtype;
use kernel::forward;
use model::{Class, Work};
use program::{During, Finish, Program, RankClass, StageMeans};

/// One optimizer step as the closed form sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Duration of the step. Seconds.
    pub step_s: f64,
    /// Every pipeline rank.
    pub ranks: Vec<RankTime>,
    /// The rank that takes longest.
    pub critical: usize,
    /// Where the critical rank's step goes; sums to `step_s`.
    pub parts: Vec<Part>,
    /// Communication of the critical rank that ran behind compute.
    pub hidden: Vec<Hidden>,
    /// The critical rank's step by phase of the schedule.
    pub phases: Phases,
}

/// Totals of one pipeline rank over a step. Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankTime {
    /// Pipeline rank.
    pub pipeline_rank: u64,
    /// Busy with passes, with the communication they wait for.
    pub busy_s: f64,
    /// Waiting for other stages.
    pub bubble_s: f64,
    /// Gradient and parameter exchange that shows, and the optimizer.
    pub finish_s: f64,
}

/// A share of the step. Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// What.
    pub kind: PartKind,
    /// How long.
    pub seconds: f64,
}

/// What a share of the step is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    /// Kernels of one class.
    Compute(Class),
    /// Waiting for the host to launch kernels.
    LaunchGaps,
    /// Exposed communication inside passes: index into [`COMM_AXES`].
    Exposed(usize),
    /// Compute slowed by communication that runs beside it.
    Contention,
    /// Copies of saved tensors to and from the host's memory that show.
    HostCopies,
    /// Exposed sends and receives between stages.
    PipelineSend,
    /// Waiting for other stages.
    Bubble,
    /// Gradient and parameter exchange that shows.
    DataExchange,
    /// Optimizer.
    Optimizer,
}

impl PartKind {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Compute(class) => CLASS_WORDS[class as usize],
            Self::LaunchGaps => "launch gaps",
            Self::Exposed(axis) => {
                ["tensor exposed", "context exposed", "expert exposed", "shard exposed"][axis]
            }
            Self::Contention => "contention",
            Self::HostCopies => "host exposed",
            Self::PipelineSend => "pipeline exposed",
            Self::Bubble => "pipeline bubble",
            Self::DataExchange => "data exposed",
            Self::Optimizer => "optimizer",
        }
    }
}

/// Words of operator classes in [`Class`]'s order.
const CLASS_WORDS: [&str; CLASSES] = [
    "embedding",
    "projections",
    "attention core",
    "indexer",
    "feed-forward",
    "experts",
    "routing",
    "elementwise",
    "hyper-connections",
    "head and loss",
];

pub(crate) const CLASS_LIST: [Class; CLASSES] = [
    Class::Embedding,
    Class::Projection,
    Class::AttentionCore,
    Class::Indexer,
    Class::FeedForward,
    Class::Experts,
    Class::Routing,
    Class::Elementwise,
    Class::HyperConnection,
    Class::Head,
];

/// Communication that ran behind compute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hidden {
    /// `tensor`, `context`, `expert`, `shard`, `host`, `data`, `pipeline`.
    pub axis: &'static str,
    /// How long. Seconds.
    pub seconds: f64,
}

/// A step by phase of the schedule, as `DeepSeek` printed V3's (arXiv 2505.09343, table 4). Seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Phases {
    /// Forward passes on their own.
    pub forward_s: f64,
    /// Backward passes on their own (input gradients, with weight gradients not put off).
    pub backward_s: f64,
    /// Weight gradients put off.
    pub weight_s: f64,
    /// Forward and backward overlapped.
    pub pair_s: f64,
    /// Waiting for other stages.
    pub bubble_s: f64,
    /// Gradient and parameter exchange that shows.
    pub exchange_s: f64,
    /// Optimizer.
    pub optimizer_s: f64,
}

/// Times of one rank, summed over its chunks and over the step.
struct Rank {
    run: Run,
    phases: Phases,
    means: StageMeans,
    send_s: f64,
    send_hidden_s: f64,
    exchange_s: f64,
    exchange_hidden_s: f64,
    optimizer_s: f64,
}

impl Rank {
    fn busy_s(&self) -> f64 {
        self.run.seconds() + self.send_s
    }

    fn finish_s(&self) -> f64 {
        self.exchange_s + self.optimizer_s
    }
}

/// Estimates one step of `program` on `machine`.
///
/// Step = max over pipeline ranks of (passes with exposed communication + bubble + exposed gradient
/// exchange + optimizer). The bubble of plain 1F1B follows each stage's own times
/// ([`program::idle_1f1b`]); of other schedules it is their formula on the mean of the *other*
/// ranks' pass times. Not valid under link contention between axes, faults, or uneven load inside a
/// stage's group.
///
/// # Panics
/// If the parts do not sum to the step: a bug.
pub fn estimate(program: &Program, machine: &Machine) -> Estimate {
    let prices = price(program, machine);
    let placed = Placed::of(program, machine);
    let ranks: Vec<Rank> = program
        .classes
        .iter()
        .map(|class| rank_time(program, machine, &prices, &placed, class))
        .collect();
    let means: Vec<StageMeans> = ranks.iter().map(|rank| rank.means).collect();
    let mut idle = Vec::new();
    let wait_s = message_wait_s(
        program.schedule,
        (program.overlap.pipeline, program.pairs()),
        (program.classes.len() as u64, program.chunks, program.micro_batches),
        prices.boundary_s,
    );
    let shape = (program.chunks, program.micro_batches, program.pairs());
    bubbles(program.schedule, shape, wait_s, &means, &mut idle);
    let total = |r: usize| ranks[r].busy_s() + idle[r] + ranks[r].finish_s();
    let critical = (0..ranks.len()).max_by(|&a, &b| total(a).total_cmp(&total(b))).unwrap_or(0);
    let step_s = total(critical);
    let parts = parts(&ranks[critical], idle[critical]);
    let sum: f64 = parts.iter().map(|p| p.seconds).sum();
    assert!((sum - step_s).abs() <= 1e-9 * step_s, "parts sum to {sum}, the step is {step_s}");
    let times = ranks
        .iter()
        .enumerate()
        .map(|(r, rank)| RankTime {
            pipeline_rank: r as u64,
            busy_s: rank.busy_s(),
            // Faster ranks wait for the critical one.
            bubble_s: step_s - rank.busy_s() - rank.finish_s(),
            finish_s: rank.finish_s(),
        })
        .collect();
    let phases = Phases { bubble_s: idle[critical], ..ranks[critical].phases };
    Estimate { step_s, ranks: times, critical, parts, hidden: hidden(&ranks[critical]), phases }
}

fn rank_time(
    program: &Program,
    machine: &Machine,
    prices: &Prices,
    placed: &Placed<'_>,
    class: &RankClass,
) -> Rank {
    let tensor = program.group(model::Axis::Tensor).size;
    let chunks = class.chunks.len() as f64;
    let blocks: u64 = class.chunks.iter().flatten().map(|(_, times)| times).sum();
    let rules = Rules::new(program.overlap, program.graphs, tensor, machine).of_rank(
        blocks as f64,
        chunks,
        program.gathers(),
        program.scatters(),
    );
    // One micro-batch through the mean of the rank's chunks.
    let mut mean = SegmentTime::default();
    for &(segment, times) in class.chunks.iter().flatten() {
        mean.add(&prices.segments[segment as usize], times as f64 / chunks);
    }
    let counts = pass_counts(
        (program.schedule, program.overlap.expert),
        (program.classes.len() as u64, program.chunks, program.micro_batches),
        class.pipeline_rank,
    );
    let each = Passes::new(&mean, &rules);
    let Passes { forward: f, backward_input: bi, weight: w, backward: b, pair } = &each;
    let mut sum = Run::default();
    for (run, times) in each.counted(&counts) {
        sum.add(run, times);
    }
    // Per micro-batch on all the chunks it passes on this rank.
    let passes = chunks * program.schedule.chunk_share();
    let (send_s, send_hidden_s) = sends(
        program.overlap.pipeline,
        (program.classes.len() as u64, program.micro_batches),
        prices.boundary_s,
        passes,
    );
    let last_backward = b.seconds() * passes;
    let first_forward = f.seconds() * passes;
    let exchanges = in_buckets(&finish_seconds(&class.finish, placed), blocks as f64);
    let (exchange_s, exchange_hidden_s) =
        finish_exchanges(&exchanges, rules.cores, last_backward, first_forward);
    let optimizer_s = optimizer_s(&class.finish, machine);
    Rank {
        run: sum,
        phases: Phases {
            forward_s: f.seconds() * counts.forward + send_s,
            backward_s: b.seconds() * counts.backward + bi.seconds() * counts.backward_input,
            weight_s: w.seconds() * counts.weight,
            pair_s: pair.seconds() * counts.pair,
            bubble_s: 0.0,
            exchange_s,
            optimizer_s,
        },
        means: each.means(passes),
        send_s,
        send_hidden_s,
        exchange_s,
        exchange_hidden_s,
        optimizer_s,
    }
}

/// Seconds of every once-a-step collective, on its own.
pub fn finish_seconds(finish: &Finish, placed: &Placed<'_>) -> Vec<(During, f64)> {
    let seconds = |e: &program::StepExchange| placed.seconds(e.axis, e.operation, e.bytes);
    finish.exchanges.iter().map(|(during, exchange)| (*during, seconds(exchange))).collect()
}

/// Exchanges cut into a part for each of `blocks`, as frameworks reduce in buckets while the backward
/// pass runs: the last bucket has no pass left to hide behind, nor has the first gather one before it.
pub fn in_buckets(exchanges: &[(During, f64)], blocks: f64) -> Vec<(During, f64)> {
    let last = 1.0 / blocks.max(1.0);
    let cut =
        |&(during, s): &(During, f64)| [(during, s * (1.0 - last)), (During::Alone, s * last)];
    exchanges.iter().flat_map(cut).collect()
}

/// Exposed and hidden seconds of once-a-step collectives, of which some may run behind the last
/// backward or the first forward pass of `cores` less of the chip. Seconds in, seconds out.
pub fn finish_exchanges(
    exchanges: &[(During, f64)],
    cores: f64,
    last_backward: f64,
    first_forward: f64,
) -> (f64, f64) {
    let (mut exposed, mut hidden) = (0.0, 0.0);
    let (mut backward_left, mut forward_left) = (last_backward, first_forward);
    for &(during, comm) in exchanges {
        let window = match during {
            During::LastBackward => &mut backward_left,
            During::FirstForward => &mut forward_left,
            During::Alone => &mut 0.0,
        };
        let (behind_it, slow) = behind(comm, *window, cores);
        *window = (*window - behind_it).max(0.0);
        exposed += comm - behind_it + slow;
        hidden += behind_it;
    }
    (exposed, hidden)
}

/// Optimizer and what the stack does once a step: memory traffic of the states, Newton-Schulz
/// products in BF16 as square products of 4,096, kernels one after another. Seconds.
pub fn optimizer_s(finish: &Finish, machine: &Machine) -> f64 {
    let (chip, calibration) = (&machine.cluster.chip, &machine.calibration);
    let traffic = Work::Memory { bytes: finish.optimizer_bytes, backward_bytes: 0.0, flops: 0.0 };
    let update = forward(chip, calibration, &traffic, Dtype::Fp32, finish.optimizer_launches);
    let side = 4096.0;
    let count = finish.optimizer_flops / (2.0 * side * side * side);
    let products = if count > 0.0 {
        let work = Work::Gemm { m: side, n: side, k: side, count };
        forward(chip, calibration, &work, Dtype::Bf16, 1.0).seconds
    } else {
        0.0
    };
    (update.seconds + products) * machine.kernel_time.value * machine.slowest()
        + machine.stack.step.value
}

fn parts(rank: &Rank, bubble_s: f64) -> Vec<Part> {
    let run = &rank.run;
    let mut parts: Vec<Part> = CLASS_LIST
        .iter()
        .map(|&class| Part {
            kind: PartKind::Compute(class),
            seconds: run.by_class[class as usize],
        })
        .collect();
    let mut push = |kind, seconds| parts.push(Part { kind, seconds });
    push(PartKind::LaunchGaps, run.host_gap);
    for axis in 0..COMM_AXES.len() {
        push(PartKind::Exposed(axis), run.exposed[axis]);
    }
    push(PartKind::Contention, run.contention);
    if run.copies > 0.0 {
        push(PartKind::HostCopies, run.copies);
    }
    push(PartKind::PipelineSend, rank.send_s);
    push(PartKind::Bubble, bubble_s);
    push(PartKind::DataExchange, rank.exchange_s);
    push(PartKind::Optimizer, rank.optimizer_s);
    parts
}

fn hidden(rank: &Rank) -> Vec<Hidden> {
    let mut list: Vec<Hidden> = COMM_AXES
        .iter()
        .map(|&(axis, word)| Hidden { axis: word, seconds: rank.run.hidden[axis as usize] })
        .collect();
    if rank.run.copies_hidden > 0.0 {
        list.push(Hidden { axis: "host", seconds: rank.run.copies_hidden });
    }
    list.push(Hidden { axis: "data", seconds: rank.exchange_hidden_s });
    list.push(Hidden { axis: "pipeline", seconds: rank.send_hidden_s });
    list
}
