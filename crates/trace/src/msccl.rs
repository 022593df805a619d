//! Collectives of MSCCL and its compilers: XML in, checked, and run on a network.
//!
//! An `algo` holds `gpu`s, these thread blocks (`tb`), these steps in order. Types read: `s r rcs rrs
//! rrc rrcs cpy re nop` as MSCCL's interpreter has them. A thread block sends to one peer and
//! receives from one peer on a channel; the k-th send on a channel meets the k-th receive. A step also
//! waits for step `deps` of thread block `depid`.
//!
//! [`Algorithm::run`] moves the chunks' bytes over a network, links shared max-min fairly, each
//! step as soon as it can. [`Algorithm::prove`] follows what every chunk holds and says whether the
//! collective comes out. Not valid for what the interpreter costs (its slices, its protocols).

use crate::program::shortened;
use diagnostic::{Diagnostic, Diagnostics};
use fabric::{FlowSet, Network, Routing, max_min};
use roxmltree::{Document, Node};
use std::collections::{BTreeMap, VecDeque};

/// Most ranks of an algorithm, and most steps.
const MOST_RANKS: i64 = 4096;
const MOST_STEPS: i64 = 1 << 20;
/// Most chunks of a buffer.
const MOST_CHUNKS: i64 = 1 << 16;

/// A collective as steps of thread blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Algorithm {
    /// Its name.
    pub name: String,
    /// `allreduce`, `allgather`, `reduce_scatter`, `alltoall`, ..
    pub collective: String,
    /// Ranks.
    pub ranks: u32,
    /// Chunks that the data of one loop is cut into.
    pub chunks_per_loop: u64,
    /// Whether input and output are one buffer.
    pub in_place: bool,
    /// Chunks of input, output and scratch of each rank.
    pub buffers: Vec<[u64; 3]>,
    /// Thread blocks of all ranks.
    pub blocks: Vec<Block>,
    /// Steps of all blocks.
    pub steps: Vec<Step>,
}

/// A thread block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its rank.
    pub rank: u32,
    /// Where its steps lie in [`Algorithm::steps`].
    pub steps: std::ops::Range<usize>,
    /// Whom it sends to.
    pub send: Option<u32>,
    /// Whom it receives from.
    pub receive: Option<u32>,
    /// Its channel.
    pub channel: u32,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What it does.
    pub kind: Kind,
    /// Source buffer and first chunk.
    pub source: (usize, u64),
    /// Destination buffer and first chunk.
    pub destination: (usize, u64),
    /// Chunks.
    pub count: u64,
    /// A step (index into [`Algorithm::steps`]) that must have ended.
    pub after: Option<usize>,
}

/// What a step does, by MSCCL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `s`
    Send,
    /// `r`
    Receive,
    /// `rcs`: receive, keep, send on.
    ReceiveCopySend,
    /// `rrs`: receive, add the source, send on without keeping.
    ReceiveReduceSend,
    /// `rrc`: receive, add the source, keep.
    ReceiveReduceCopy,
    /// `rrcs`: all of it.
    ReceiveReduceCopySend,
    /// `cpy`: from source to destination.
    Copy,
    /// `re`: add the source to the destination.
    Reduce,
    /// `nop`: only waits.
    Nothing,
}

const KINDS: [(&str, Kind); 9] = [
    ("s", Kind::Send),
    ("r", Kind::Receive),
    ("rcs", Kind::ReceiveCopySend),
    ("rrs", Kind::ReceiveReduceSend),
    ("rrc", Kind::ReceiveReduceCopy),
    ("rrcs", Kind::ReceiveReduceCopySend),
    ("cpy", Kind::Copy),
    ("re", Kind::Reduce),
    ("nop", Kind::Nothing),
];

impl Kind {
    /// Whether it receives.
    pub fn receives(self) -> bool {
        !matches!(self, Self::Send | Self::Copy | Self::Reduce | Self::Nothing)
    }

    /// Whether it adds.
    pub fn reduces(self) -> bool {
        use Kind::{ReceiveReduceCopy, ReceiveReduceCopySend, ReceiveReduceSend, Reduce};
        matches!(self, ReceiveReduceSend | ReceiveReduceCopy | ReceiveReduceCopySend | Reduce)
    }

    /// Whether it keeps the outcome in memory.
    pub fn keeps(self) -> bool {
        !matches!(self, Self::Send | Self::ReceiveReduceSend | Self::Nothing)
    }

    /// Whether it sends.
    pub fn sends(self) -> bool {
        use Kind::{ReceiveCopySend, ReceiveReduceCopySend, ReceiveReduceSend, Send};
        matches!(self, Send | ReceiveCopySend | ReceiveReduceSend | ReceiveReduceCopySend)
    }
}

struct Reader<'a> {
    file: &'a str,
    problems: Diagnostics,
}

impl Reader<'_> {
    fn tell(&mut self, node: Node<'_, '_>, text: String) {
        if self.problems.0.len() < 20 {
            let problem = Diagnostic::error("trace::msccl", text);
            self.problems.push(problem.at(self.file, node.range()));
        }
    }

    fn text<'t>(&mut self, node: Node<'t, '_>, name: &str) -> &'t str {
        node.attribute(name).unwrap_or_else(|| {
            self.tell(node, format!("`{}` has no `{name}`", node.tag_name().name()));
            ""
        })
    }

    /// A whole number from `least` to `most`.
    fn number(&mut self, node: Node<'_, '_>, name: &str, least: i64, most: i64) -> i64 {
        let text = self.text(node, name);
        match text.parse::<i64>() {
            Ok(n) if n >= least && n <= most => n,
            _ if text.is_empty() => least,
            _ => {
                let text = shortened(text);
                self.tell(node, format!("`{name}` is `{text}`, not one of {least} .. {most}"));
                least
            }
        }
    }

    fn chunk(&mut self, node: Node<'_, '_>, end: &str) -> (usize, u64) {
        let word = self.text(node, &format!("{end}buf"));
        let buffer = match word {
            "i" => 0,
            "o" => 1,
            "s" => 2,
            _ => {
                let word = shortened(word);
                self.tell(node, format!("buffer `{word}` is none of `i`, `o`, `s`"));
                0
            }
        };
        (buffer, self.number(node, &format!("{end}off"), -1, MOST_CHUNKS).max(0) as u64)
    }
}

/// Reads an algorithm and checks it: ids, places, sends and receives, and that it ends.
///
/// # Errors
/// Everything that is wrong, with its place.
pub fn read(file: &str, text: &str) -> Result<Algorithm, Diagnostics> {
    // Attributes alone carry meaning; entities and doctypes are refused by the parser.
    let document = Document::parse(text).map_err(|e| {
        let at = e.pos();
        let span = crate::place::place(text, at.row as usize, at.col as usize);
        Diagnostic::error("trace::msccl", format!("not XML: {e}")).at(file, span)
    })?;
    let mut reader = Reader { file, problems: Diagnostics::default() };
    let algo = document.root_element();
    if !algo.has_tag_name("algo") {
        let name = shortened(algo.tag_name().name());
        reader.tell(algo, format!("the root is `{name}`, not `algo`"));
        return Err(reader.problems);
    }
    let ranks = reader.number(algo, "ngpus", 1, MOST_RANKS) as u32;
    let mut made = Algorithm {
        name: algo.attribute("name").unwrap_or("unnamed").to_owned(),
        collective: reader.text(algo, "coll").to_owned(),
        ranks,
        chunks_per_loop: reader.number(algo, "nchunksperloop", 1, MOST_CHUNKS) as u64,
        in_place: algo.attribute("inplace").is_none_or(|v| v != "0"),
        buffers: vec![[0; 3]; ranks as usize],
        blocks: Vec::new(),
        steps: Vec::new(),
    };
    let gpus: Vec<Node<'_, '_>> = algo.children().filter(Node::is_element).collect();
    for (at, gpu) in gpus.iter().enumerate() {
        let id = reader.number(*gpu, "id", 0, i64::from(ranks) - 1) as usize;
        if id != at {
            reader.tell(*gpu, format!("gpu `{id}` where gpu `{at}` should be"));
        }
        if at < ranks as usize {
            gpu_of(&mut reader, *gpu, at as u32, &mut made);
        }
    }
    if gpus.len() != ranks as usize {
        reader.tell(algo, format!("{} gpus, `ngpus` says {ranks}", gpus.len()));
    }
    reader.problems.into_result(())?;
    made.meetings().map_err(|text| {
        let problem = Diagnostic::error("trace::msccl", text);
        Diagnostics::from(problem.at(file, algo.range().start..algo.range().start + 5))
    })?;
    Ok(made)
}

fn gpu_of(reader: &mut Reader<'_>, gpu: Node<'_, '_>, rank: u32, made: &mut Algorithm) {
    for (k, name) in ["i_chunks", "o_chunks", "s_chunks"].into_iter().enumerate() {
        made.buffers[rank as usize][k] = reader.number(gpu, name, 0, MOST_CHUNKS) as u64;
    }
    let last = i64::from(made.ranks) - 1;
    let first_block = made.blocks.len();
    let mut waits: Vec<(usize, Node<'_, '_>, i64, i64)> = Vec::new();
    for (at, tb) in (0_i64..).zip(gpu.children().filter(Node::is_element)) {
        if reader.number(tb, "id", 0, MOST_STEPS) != at {
            reader.tell(tb, format!("thread block `{at}` of gpu `{rank}` has another id"));
        }
        let peer = |n: i64| u32::try_from(n).ok().filter(|p| *p != rank);
        let send = peer(reader.number(tb, "send", -1, last));
        let receive = peer(reader.number(tb, "recv", -1, last));
        let channel = reader.number(tb, "chan", 0, 1024) as u32;
        let start = made.steps.len();
        for (k, node) in (0_i64..).zip(tb.children().filter(Node::is_element)) {
            if made.steps.len() as u64 >= MOST_STEPS as u64 {
                reader.tell(node, format!("more than {MOST_STEPS} steps"));
                return;
            }
            if reader.number(node, "s", 0, MOST_STEPS) != k {
                reader.tell(node, format!("step `{k}` has another number"));
            }
            let word = reader.text(node, "type");
            let found = KINDS.iter().find(|(w, _)| *w == word).map(|(_, k)| *k);
            let kind = found.unwrap_or_else(|| {
                let word = shortened(word);
                reader.tell(node, format!("type `{word}` is not known"));
                Kind::Nothing
            });
            if kind.sends() && send.is_none() || kind.receives() && receive.is_none() {
                reader.tell(node, format!("`{word}` in a thread block without such a peer"));
            }
            let (source, destination) = (reader.chunk(node, "src"), reader.chunk(node, "dst"));
            let count = reader.number(node, "cnt", 0, MOST_CHUNKS) as u64;
            let depid = reader.number(node, "depid", -1, MOST_STEPS);
            let deps = reader.number(node, "deps", -1, MOST_STEPS);
            if depid >= 0 {
                waits.push((made.steps.len(), node, depid, deps));
            }
            made.steps.push(Step { kind, source, destination, count, after: None });
        }
        let steps = start..made.steps.len();
        made.blocks.push(Block { rank, steps, send, receive, channel });
    }
    for (step, node, depid, deps) in waits {
        let block = made.blocks.get(first_block + depid as usize);
        let found = block.and_then(|b| b.steps.clone().nth(deps.max(0) as usize));
        match found {
            Some(other) => made.steps[step].after = Some(other),
            None => reader.tell(node, format!("it waits for step {deps} of {depid}, not there")),
        }
    }
}

/// Steps that send and steps that receive.
type Ends = (Vec<usize>, Vec<usize>);

/// What may go on once a step has ended.
struct Order {
    /// The receive that meets each send, by step.
    meets: Vec<Option<usize>>,
    /// How many things each step waits for.
    waits: Vec<u32>,
    /// What waits for each step's end.
    next: Vec<Vec<u32>>,
    /// The thread block of each step.
    block: Vec<u32>,
}

impl Order {
    /// Steps in an order in which they can run; shorter than all if some never can.
    fn sorted(&self) -> Vec<usize> {
        let mut waits = self.waits.clone();
        let mut ready: VecDeque<usize> = (0..waits.len()).filter(|s| waits[*s] == 0).collect();
        let mut done = Vec::with_capacity(waits.len());
        while let Some(step) = ready.pop_front() {
            done.push(step);
            for &next in &self.next[step] {
                waits[next as usize] -= 1;
                if waits[next as usize] == 0 {
                    ready.push_back(next as usize);
                }
            }
        }
        done
    }
}

impl Algorithm {
    /// Pairs sends with receives and checks that all steps can end.
    fn meetings(&self) -> Result<Order, String> {
        let count = self.steps.len();
        let mut order = Order {
            meets: vec![None; count],
            waits: vec![0; count],
            next: vec![Vec::new(); count],
            block: vec![0; count],
        };
        let mut ends: BTreeMap<(u32, u32, u32), Ends> = BTreeMap::new();
        for (b, block) in self.blocks.iter().enumerate() {
            for step in block.steps.clone() {
                order.block[step] = b as u32;
                let mut wait = |other: usize| {
                    order.waits[step] += 1;
                    order.next[other].push(step as u32);
                };
                if step > block.steps.start {
                    wait(step - 1);
                }
                if let Some(other) = self.steps[step].after.filter(|o| *o != step) {
                    wait(other);
                }
                let kind = self.steps[step].kind;
                if let (true, Some(to)) = (kind.sends(), block.send) {
                    ends.entry((block.rank, to, block.channel)).or_default().0.push(step);
                }
                if let (true, Some(from)) = (kind.receives(), block.receive) {
                    ends.entry((from, block.rank, block.channel)).or_default().1.push(step);
                }
            }
        }
        for ((from, to, channel), (sends, receives)) in ends {
            if sends.len() != receives.len() {
                return Err(format!(
                    "gpu `{from}` sends {} times to gpu `{to}` on channel {channel}, which receives {}",
                    sends.len(),
                    receives.len()
                ));
            }
            for (&send, &receive) in sends.iter().zip(&receives) {
                if self.steps[send].count != self.steps[receive].count {
                    return Err(format!(
                        "gpu `{from}` sends {} chunks on channel {channel} where gpu `{to}` expects {}",
                        self.steps[send].count, self.steps[receive].count
                    ));
                }
                order.meets[send] = Some(receive);
                order.waits[receive] += 1;
                order.next[send].push(receive as u32);
            }
        }
        let reached = order.sorted();
        if reached.len() < count {
            let left = count - reached.len();
            return Err(format!("{left} of {count} steps wait for each other and never run"));
        }
        Ok(order)
    }

    /// Bytes that ranks send in all, for `bytes` of data a rank (the larger of input and output).
    pub fn traffic(&self, bytes: f64) -> f64 {
        let chunk = bytes / self.chunks_per_loop as f64;
        let chunks = self.steps.iter().filter(|s| s.kind.sends()).map(|s| s.count).sum::<u64>();
        chunks as f64 * chunk
    }

    /// Runs it on the first chips of a network, with `bytes` of data cut into `chunks_per_loop`
    /// chunks. Picoseconds.
    ///
    /// A send and the receive that meets it are one transfer: it starts when the sender's turn has
    /// come and holds the sender until the bytes are on the wire; the receiver goes on when they are
    /// there. All else is free. Links are shared max-min fairly among the transfers under way.
    ///
    /// # Errors
    /// Fewer chips than ranks, or chips without a path.
    pub fn run(&self, network: &Network, bytes: f64) -> Result<u64, Diagnostics> {
        let endpoints = network.graph().endpoints();
        if endpoints < self.ranks {
            let text = format!("{} ranks on a network of {endpoints} chips", self.ranks);
            return Err(Diagnostic::error("trace::msccl", text).into());
        }
        if !(1.0..1e18).contains(&bytes) {
            let text = format!("{bytes} bytes cannot be run");
            return Err(Diagnostic::error("trace::msccl", text).into());
        }
        let order = self.meetings().map_err(|text| Diagnostic::error("trace::msccl", text))?;
        let chunk = bytes / self.chunks_per_loop as f64;
        // One flow for each pair of ranks and channel: its transfers come one after another.
        let mut pairs: Vec<(u32, u32, u32)> =
            (self.blocks.iter()).filter_map(|b| b.send.map(|to| (b.rank, to, b.channel))).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let transfers = pairs.iter().map(|&(from, to, _)| (from, to, chunk));
        let set = network.flows(Routing::Split, transfers)?;
        crate::price::bearable(self.traffic(bytes), &set.capacity)
            .map_err(|text| Diagnostic::error("trace::msccl", text))?;
        let lane_of = |step: usize| {
            let block = &self.blocks[order.block[step] as usize];
            let to = block.send.unwrap_or(block.rank);
            pairs.binary_search(&(block.rank, to, block.channel)).unwrap_or(0)
        };
        let size = |step: usize| self.steps[step].count as f64 * chunk;
        let mut wire = Wire::new(&set);
        let mut waits = order.waits.clone();
        let mut ready: VecDeque<usize> = (0..waits.len()).filter(|s| waits[*s] == 0).collect();
        let (mut now, mut last) = (0_u64, 0_u64);
        loop {
            while let Some(step) = ready.pop_front() {
                if order.meets[step].is_some() && size(step) > 0.0 {
                    wire.start(lane_of(step), step, size(step));
                } else {
                    wire.sent.push_back((step, now, now));
                }
                release(&order, &mut wire, &mut waits, &mut ready);
            }
            let Some(when) = wire.next(now) else { break };
            wire.advance(now, when);
            now = when;
            release(&order, &mut wire, &mut waits, &mut ready);
            last = last.max(now);
        }
        Ok(last)
    }

    /// Follows the data: whether every rank ends with what the collective promises.
    ///
    /// Known for `allreduce`, `allgather`, `reduce_scatter` and `alltoall`; `None` for others, and for
    /// data too large to follow.
    pub fn prove(&self) -> Option<Result<(), String>> {
        let order = self.meetings().ok()?;
        crate::msccl_proof::prove(self, &order.sorted(), &order.meets)
    }
}

/// Lets go on what waited for the steps whose bytes are out, or there.
fn release(order: &Order, wire: &mut Wire<'_>, waits: &mut [u32], ready: &mut VecDeque<usize>) {
    while let Some((step, out, there)) = wire.sent.pop_front() {
        for &next in &order.next[step] {
            if order.meets[step] == Some(next as usize) && there > out {
                wire.arriving.push((there, next as usize));
                continue;
            }
            settle(next as usize, waits, ready);
        }
    }
    for step in std::mem::take(&mut wire.arrived) {
        settle(step, waits, ready);
    }
}

fn settle(step: usize, waits: &mut [u32], ready: &mut VecDeque<usize>) {
    waits[step] -= 1;
    if waits[step] == 0 {
        ready.push_back(step);
    }
}

/// Transfers under way, one queue a pair of ranks and channel.
struct Wire<'a> {
    set: &'a FlowSet,
    queue: Vec<VecDeque<(usize, f64)>>,
    active: Vec<bool>,
    rate: Vec<f64>,
    stale: bool,
    /// Step, when its bytes were out, when they are there.
    sent: VecDeque<(usize, u64, u64)>,
    arriving: Vec<(u64, usize)>,
    arrived: Vec<usize>,
}

impl<'a> Wire<'a> {
    fn new(set: &'a FlowSet) -> Self {
        Self {
            set,
            queue: vec![VecDeque::new(); set.len()],
            active: vec![false; set.len()],
            rate: vec![0.0; set.len()],
            stale: false,
            sent: VecDeque::new(),
            arriving: Vec::new(),
            arrived: Vec::new(),
        }
    }

    fn start(&mut self, lane: usize, step: usize, bytes: f64) {
        self.stale |= !self.active[lane];
        self.active[lane] = true;
        self.queue[lane].push_back((step, bytes));
    }

    /// Time left until the first transfer of a lane is out. Picoseconds, at least one.
    fn left_ps(&self, lane: usize) -> u64 {
        let bytes = self.queue[lane].front().map_or(0.0, |(_, b)| *b);
        ((bytes / self.rate[lane] * 1e12).ceil() as u64).max(1)
    }

    /// When the next transfer is out or there.
    fn next(&mut self, now: u64) -> Option<u64> {
        if std::mem::take(&mut self.stale) {
            self.rate = max_min(self.set, &self.active);
        }
        let lanes = (0..self.active.len()).filter(|l| self.active[*l]);
        let out = lanes.map(|l| now.saturating_add(self.left_ps(l))).min();
        let there = self.arriving.iter().map(|(when, _)| *when).min();
        [out, there].into_iter().flatten().min()
    }

    fn advance(&mut self, now: u64, when: u64) {
        let seconds = (when - now) as f64 * 1e-12;
        for lane in (0..self.active.len()).filter(|l| self.active[*l]).collect::<Vec<_>>() {
            let done = now.saturating_add(self.left_ps(lane)) <= when;
            if !done {
                if let Some((_, bytes)) = self.queue[lane].front_mut() {
                    *bytes -= self.rate[lane] * seconds;
                }
                continue;
            }
            if let Some((step, _)) = self.queue[lane].pop_front() {
                self.sent.push_back((step, when, when + self.set.latency_ps[lane]));
            }
            if self.queue[lane].is_empty() {
                self.active[lane] = false;
                self.stale = true;
            }
        }
        let (there, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.arriving).into_iter().partition(|(at, _)| *at <= when);
        self.arriving = later;
        self.arrived.extend(there.into_iter().map(|(_, step)| step));
    }
}
