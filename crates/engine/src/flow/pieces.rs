//! Passes as few stretches of compute and communication: what the event loop runs.
//!
//! A pass of a chunk sums its segments' operators and collectives, priced once each, into at most
//! seven stretches: communication that nothing may hide, axis by axis; products with tensor traffic
//! beside them; attention with context traffic beside it; the rest. Traffic that may hide behind the
//! whole pass starts with it. A stretch ends when all in it has ended.

use crate::exposure::{Rules, expert_share, sum_of, waiting};
use crate::machine::Machine;
use crate::placed::Placed;
use crate::price::{CLASSES, CommAxis, PassTime, Prices, comm_axis, price};
use fabric::MAX_LEVELS;
use model::{Axis, Class, Collective};
use program::{During, Gathered, Pass, PassKind, Program, RankClass, StepRef};

/// Streams of a rank: the four axes of [`CommAxis`], the once-a-step exchanges, messages.
pub(super) const STREAMS: usize = 6;
/// Streams inside passes.
pub(super) const COMM_STREAMS: usize = 4;
/// Stream of once-a-step exchanges.
pub(super) const DATA: usize = 4;
/// Stream of messages between stages.
pub(super) const SEND: usize = 5;
/// Words of the streams.
pub(super) const STREAM_WORDS: [&str; STREAMS] =
    ["tensor", "context", "expert", "shard", "data", "pipeline"];

/// Communication on one stream: how long it takes alone and what it pushes into each level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Comm {
    pub stream: usize,
    pub seconds: f64,
    pub bytes: [f64; MAX_LEVELS],
}

impl Comm {
    fn add(&mut self, seconds: f64, bytes: [f64; MAX_LEVELS], times: f64) {
        self.seconds += seconds * times;
        for (mine, theirs) in self.bytes.iter_mut().zip(bytes) {
            *mine += theirs * times;
        }
    }

    /// The same bytes in so many times the time.
    pub(super) fn longer(&self, times: f64) -> Self {
        Self { seconds: self.seconds * times, ..*self }
    }

    pub(super) fn part(&self, share: f64) -> Self {
        let bytes = self.bytes.map(|b| b * share);
        Self { seconds: self.seconds * share, bytes, ..*self }
    }
}

/// Compute and the communication beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    /// Kernels other than the routed experts'. Seconds.
    pub compute_s: f64,
    /// Kernels of the routed experts, which follow the load. Seconds.
    pub experts_s: f64,
    pub comm: Option<Comm>,
}

/// One kind of pass of one chunk (or pair of chunks).
#[derive(Clone, Debug, Default)]
pub(super) struct Piece {
    pub stretches: Vec<Stretch>,
    /// Communication that starts with the pass and may last until its end.
    pub beside: Vec<Comm>,
    /// Time before which it cannot end: of the host to launch it (0 if graphs are replayed), or of
    /// copies to and from the host's memory, which start after the first block. Seconds.
    pub host_s: f64,
    pub by_class: [f64; CLASSES],
    /// Share of the cores set aside for communication while it runs, whatever runs beside it.
    pub reserved: f64,
}

/// A once-a-step exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepComm {
    pub during: During,
    pub name: &'static str,
    pub comm: Comm,
    /// Whether it gathers what the optimizer made, so runs after it if it cannot hide.
    pub after_optimizer: bool,
    /// Whether it joins the ends of the pipeline instead of the replicas of a stage.
    pub tied: bool,
}

/// All that one pipeline rank runs.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassPieces {
    forward: Vec<Piece>,
    backward: Vec<Piece>,
    backward_input: Vec<Piece>,
    weight: Vec<Piece>,
    /// By forward chunk, then backward chunk.
    pair: Vec<Vec<Piece>>,
    pub steps: Vec<StepComm>,
    pub optimizer_s: f64,
}

impl ClassPieces {
    pub(super) fn of(&self, pass: &Pass) -> &Piece {
        let chunk = pass.chunk as usize;
        match pass.kind {
            PassKind::Forward => &self.forward[chunk],
            PassKind::Backward => &self.backward[chunk],
            PassKind::BackwardInput => &self.backward_input[chunk],
            PassKind::Weight => &self.weight[chunk],
            PassKind::Pair => &self.pair[chunk][pass.back.map_or(0, |b| b.0) as usize],
        }
    }
}

/// A program's pieces on a machine.
pub(super) struct Pieces {
    pub classes: Vec<ClassPieces>,
    /// A message over a stage boundary.
    pub boundary: Comm,
    /// Bandwidth of a rank's ports into each level: the fabric's, or what a measured collective
    /// shows them to carry. Bytes/s.
    pub capacity: [f64; MAX_LEVELS],
    /// Share of the cores that communication kernels take.
    pub cores: f64,
}

/// Forward, recomputation, input gradients and weight gradients of a chunk: time and traffic.
type Chunk = [(PassTime, [Comm; 4]); 4];

impl Pieces {
    pub(super) fn new(program: &Program, machine: &Machine) -> Self {
        let prices = price(program, machine);
        let placed = Placed::of(program, machine);
        let tensor = program.group(Axis::Tensor).size;
        let rules = Rules::new(program.overlap, program.graphs, tensor, machine);
        let traffic = segment_traffic(program, &placed);
        let classes: Vec<ClassPieces> = program
            .classes
            .iter()
            .map(|class| {
                let chunks: Vec<Chunk> =
                    class.chunks.iter().map(|c| chunk(c, &prices, &traffic)).collect();
                let blocks: u64 = class.chunks.iter().flatten().map(|(_, times)| times).sum();
                let rules = rules.of_rank(
                    blocks as f64,
                    chunks.len() as f64,
                    program.gathers(),
                    program.scatters(),
                );
                class_pieces(class, &chunks, &rules, &placed, machine)
            })
            .collect();
        let boundary = Comm {
            stream: SEND,
            seconds: prices.boundary_s,
            bytes: placed.traffic(Axis::Pipeline, Collective::SendRecv, program.boundary_bytes),
        };
        let capacity = capacity(&placed, &classes, &boundary);
        Self { classes, boundary, capacity, cores: rules.cores }
    }
}

/// The fabric's bandwidth of each level, or more where a measured collective moved more.
fn capacity(placed: &Placed<'_>, classes: &[ClassPieces], boundary: &Comm) -> [f64; MAX_LEVELS] {
    let mut capacity = [0.0; MAX_LEVELS];
    for (level, channel) in placed.fabric().channels().iter().enumerate() {
        capacity[level] = channel.bytes_per_s;
    }
    let passes = classes.iter().flat_map(|c| {
        let alone = [&c.forward, &c.backward, &c.backward_input, &c.weight];
        alone.into_iter().chain(&c.pair).flatten()
    });
    let inside =
        passes.flat_map(|p| p.stretches.iter().filter_map(|s| s.comm).chain(p.beside.clone()));
    let steps = classes.iter().flat_map(|c| c.steps.iter().map(|s| s.comm));
    for comm in inside.chain(steps).chain([*boundary]).filter(|c| c.seconds > 0.0) {
        for (most, bytes) in capacity.iter_mut().zip(comm.bytes) {
            *most = most.max(bytes / comm.seconds);
        }
    }
    capacity
}

/// Bytes of every segment into every level, by stream: forward, recomputation, input gradients.
/// Durations are the price's; only what competes for ports is found here.
fn segment_traffic(program: &Program, placed: &Placed<'_>) -> Vec<[[Levels; 4]; 3]> {
    let exchanges: Vec<_> = program
        .exchanges
        .iter()
        .map(|e| {
            let forward = placed.traffic(e.axis, e.forward, e.forward_bytes);
            let backward = placed.traffic(e.axis, e.backward, e.backward_bytes);
            (comm_axis(e.axis), forward, backward)
        })
        .collect();
    let of_segment = |segment: &program::Segment| {
        let mut all = [[[0.0; MAX_LEVELS]; 4]; 3];
        for step in &segment.steps {
            let StepRef::Exchange { exchange, recomputed } = *step else { continue };
            let (Some(axis), forward, backward) = exchanges[exchange as usize] else { continue };
            add(&mut all[0][axis as usize], &forward, 1.0);
            if recomputed {
                add(&mut all[1][axis as usize], &forward, 1.0);
            }
            add(&mut all[2][axis as usize], &backward, 1.0);
        }
        gathers(&segment.gathered, program.scatter_run(), placed, &mut all);
        all
    };
    program.segments.iter().map(of_segment).collect()
}

/// Bytes into each level.
type Levels = [f64; MAX_LEVELS];

fn add(sum: &mut Levels, bytes: &Levels, times: f64) {
    for (mine, theirs) in sum.iter_mut().zip(bytes) {
        *mine += theirs * times;
    }
}

/// Gathers before each pass (before recomputation too, where the price has one) and scatters after, of
/// `run` micro-batches together.
fn gathers(gathered: &Gathered, run: u64, placed: &Placed<'_>, all: &mut [[Levels; 4]; 3]) {
    let shard = CommAxis::Shard as usize;
    for (axis, weights, gradients) in [
        (Axis::Data, gathered.dense_bytes, gathered.dense_gradient_bytes),
        (Axis::ExpertData, gathered.expert_bytes, gathered.expert_gradient_bytes),
    ] {
        let gather = placed.traffic(axis, Collective::AllGather, weights);
        for pass in all.iter_mut() {
            add(&mut pass[shard], &gather, 1.0);
        }
        let scatter = placed.traffic(axis, Collective::ReduceScatter, gradients);
        add(&mut all[2][shard], &scatter, 1.0 / run as f64);
    }
}

fn chunk(segments: &[(u32, u64)], prices: &Prices, traffic: &[[[Levels; 4]; 3]]) -> Chunk {
    let mut all: Chunk = Default::default();
    for (_, comms) in &mut all {
        for (stream, comm) in comms.iter_mut().enumerate() {
            comm.stream = stream;
        }
    }
    for &(segment, times) in segments {
        let (segment, times) = (segment as usize, times as f64);
        let t = &prices.segments[segment];
        let priced = [&t.forward, &t.recompute, &t.backward_input, &t.weight];
        for (sum, pass) in all.iter_mut().zip(priced) {
            sum.0.add(pass, times);
        }
        for ((sum, bytes), priced) in all.iter_mut().zip(&traffic[segment]).zip(priced) {
            for ((mine, bytes), &seconds) in sum.1.iter_mut().zip(bytes).zip(&priced.comm) {
                // Traffic that takes no time is not there.
                if seconds > 0.0 {
                    mine.add(seconds, *bytes, times);
                }
            }
        }
    }
    all
}

fn class_pieces(
    class: &RankClass,
    chunks: &[Chunk],
    rules: &Rules,
    placed: &Placed<'_>,
    machine: &Machine,
) -> ClassPieces {
    let each = |parts: &[usize]| -> Vec<Piece> {
        chunks
            .iter()
            .map(|c| piece(&parts.iter().map(|&p| &c[p]).collect::<Vec<_>>(), rules, None))
            .collect()
    };
    let pair = chunks
        .iter()
        .map(|f| {
            let beside = |b: &Chunk| {
                let back = sum_of(&[&b[1].0, &b[2].0, &b[3].0]);
                let experts = expert_share(&f[0].0, &back, rules);
                piece(&[&f[0], &b[1], &b[2], &b[3]], rules, Some(experts))
            };
            chunks.iter().map(beside).collect()
        })
        .collect();
    let steps = class.finish.exchanges.iter().map(|&(during, e)| StepComm {
        during,
        name: e.name,
        comm: Comm {
            stream: DATA,
            seconds: placed.seconds(e.axis, e.operation, e.bytes),
            bytes: placed.traffic(e.axis, e.operation, e.bytes),
        },
        after_optimizer: e.operation == Collective::AllGather,
        tied: e.axis == Axis::Pipeline,
    });
    ClassPieces {
        forward: each(&[0]),
        backward: each(&[1, 2, 3]),
        backward_input: each(&[1, 2]),
        weight: each(&[3]),
        pair,
        steps: steps.filter(|s| s.comm.seconds > 0.0).collect(),
        optimizer_s: crate::estimate::optimizer_s(&class.finish, machine),
    }
}

/// Passes run as one, under the same rules of overlap as the closed form's ([`crate::run`]); `experts`
/// is the share of two micro-batches' expert traffic that can hide.
fn piece(passes: &[&(PassTime, [Comm; 4])], rules: &Rules, experts: Option<f64>) -> Piece {
    let mut sum = PassTime::default();
    let mut comms = [Comm::default(); 4];
    for (time, traffic) in passes {
        sum.add(time, 1.0);
        for (stream, (mine, theirs)) in comms.iter_mut().zip(traffic).enumerate() {
            mine.stream = stream;
            mine.add(theirs.seconds, theirs.bytes, 1.0);
        }
    }
    let launches = sum.cost.launches * rules.launch.host_s + sum.collectives * rules.collective_s;
    let copies =
        if sum.copies > 0.0 { sum.copies + sum.cost.seconds / rules.pass_blocks } else { 0.0 };
    // What the device waits for the host comes on top of the longer of both.
    let waiting = if experts.is_some() { 0.0 } else { waiting(&sum, rules) };
    let waited = if waiting > 0.0 {
        let without = Rules { wait_s: 0.0, ..*rules };
        waiting + crate::exposure::run(&[&sum], &without).seconds()
    } else {
        0.0
    };
    let mut piece = Piece {
        host_s: if rules.launch.graphs { copies } else { launches.max(copies).max(waited) },
        by_class: sum.by_class,
        reserved: experts.map_or(0.0, |_| rules.reserved),
        ..Piece::default()
    };
    let cores = if piece.reserved > 0.0 { piece.reserved } else { rules.cores };
    let [tensor, context, expert, shard] = comms;
    let overlap = &rules.overlap;
    // The first slice of a tensor exchange has no product before it to run behind, nor have the others
    // where their product is shorter.
    let later = 1.0 - 1.0 / rules.tensor_slices;
    let fits = sum.tensor_beside / (1.0 - cores);
    let first = if overlap.tensor && tensor.seconds > 0.0 {
        1.0 - later.min(fits / tensor.seconds)
    } else {
        1.0
    };
    // Nor has the first gather of a pass, or the last scatter; it goes before the others of its stream.
    let shard_first = 1.0 - rules.shards_beside;
    let mut alone = vec![shard.part(shard_first), tensor.part(first)];
    // What no partner hides of expert traffic comes last: a stream keeps its order, so before the compute
    // it would wait for what runs beside that compute.
    let mut shown = None;
    match experts.filter(|_| overlap.expert && expert.seconds > 0.0) {
        Some(share) => {
            piece.beside.push(expert.part(share));
            shown = Some(expert.part(1.0 - share));
        }
        None => alone.push(expert),
    }
    let context_beside = overlap.context.then_some(context);
    if context_beside.is_none() {
        alone.push(context);
    }
    piece.beside.push(shard.part(1.0 - shard_first));
    piece.beside.retain(|c| c.seconds > 0.0);
    let exchange = |comm| Stretch { comm: Some(comm), ..Stretch::default() };
    let products = [Class::Projection, Class::FeedForward, Class::Head];
    let rest = (0..CLASSES)
        .filter(|&c| products.iter().all(|&p| p as usize != c))
        .filter(|&c| c != Class::AttentionCore as usize && c != Class::Experts as usize);
    let of = |class: Class| sum.by_class[class as usize];
    let compute = [
        Stretch {
            compute_s: products.iter().map(|&c| of(c)).sum(),
            experts_s: 0.0,
            comm: Some(tensor.part(1.0 - first)),
        },
        Stretch { compute_s: of(Class::AttentionCore), experts_s: 0.0, comm: context_beside },
        Stretch {
            compute_s: rest.map(|c| sum.by_class[c]).sum(),
            experts_s: of(Class::Experts),
            comm: None,
        },
    ];
    let stretches = alone.into_iter().map(exchange).chain(compute).chain(shown.map(exchange));
    piece.stretches = stretches.filter_map(worth_running).collect();
    piece
}

/// A stretch without what takes no time; `None` if nothing is left.
fn worth_running(stretch: Stretch) -> Option<Stretch> {
    let comm = stretch.comm.filter(|c| c.seconds > 0.0);
    let something = stretch.compute_s + stretch.experts_s > 0.0 || comm.is_some();
    something.then_some(Stretch { comm, ..stretch })
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, Comm, piece};
    use crate::exposure::Rules;
    use crate::price::PassTime;
    use model::Class;
    use program::Overlap;

    /// A stream keeps its order: what no partner hides of expert traffic, posted before the compute but
    /// after tensor traffic, would wait there for what runs beside that compute.
    #[test]
    fn expert_traffic_that_shows_comes_after_the_compute() {
        let overlap = Overlap {
            gradient_reduce: false,
            parameter_gather: false,
            expert: true,
            tensor: false,
            context: false,
            pipeline: false,
        };
        let rules = Rules {
            overlap,
            shards_beside: 0.0,
            launch: kernel::Launch { graphs: true, host_s: 0.0 },
            wait_s: 0.0,
            collective_s: 0.0,
            tensor_slices: 2.0,
            pass_blocks: f64::INFINITY,
            cores: 0.0,
            reserved: 0.0,
        };
        let mut by_class = [0.0; CLASSES];
        by_class[Class::Experts as usize] = 8.0;
        let mut traffic = [Comm::default(); 4];
        traffic[0].seconds = 1.0;
        traffic[2].seconds = 10.0;
        let pass = (PassTime { by_class, ..PassTime::default() }, traffic);
        let pair = piece(&[&pass], &rules, Some(0.8));
        let order: Vec<_> = pair
            .stretches
            .iter()
            .map(|s| (s.comm.map(|c| (c.stream, c.seconds)), s.experts_s))
            .collect();
        let shown = 10.0 * (1.0 - 0.8);
        assert_eq!(order, [(Some((0, 1.0)), 0.0), (None, 8.0), (Some((2, shown)), 0.0)]);
        assert!((pair.beside[0].seconds - 8.0).abs() < 1e-12);
        // On its own it ends no sooner than the closed form: its 8 s, all traffic, and four waits.
        let launch = kernel::Launch { graphs: false, host_s: 0.0 };
        let rules = Rules { launch, wait_s: 0.5, ..rules };
        let cost = kernel::Cost { seconds: 8.0, ..kernel::Cost::default() };
        let comm = [1.0, 0.0, 10.0, 0.0];
        let waiting = PassTime { by_class, cost, comm, waits: 4.0, ..PassTime::default() };
        let alone = piece(&[&(waiting, traffic)], &rules, None);
        assert!((alone.host_s - 21.0).abs() < 1e-12, "{}", alone.host_s);
        assert!(piece(&[&(waiting, traffic)], &rules, Some(0.8)).host_s.abs() < 1e-12);
    }
}
