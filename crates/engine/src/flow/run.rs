//! The event loop: nodes run their passes, streams carry communication, links are shared.
//!
//! Time is whole picoseconds; events are ordered by time and then by the order in which they were
//! made. Between events every running thing goes at a constant speed: compute at its chip's, less the
//! cores that communication kernels take; communication as fast as the links let it. When a flow
//! begins or ends, the speeds of all that share a link with it, however indirectly, are set anew.

use super::flows::{Flow, Network, Owner};
use super::lines::Line;
use super::node::{Doing, Node, Wants};
use super::pieces::{Comm, Pieces, SEND};
use super::record::Recorder;
use program::{Pass, Program, Timetable};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Something that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A flow, if its version is still this one.
    Flow(u32, u32),
    /// A node's compute, likewise.
    Compute(u32, u32),
    /// The host has launched all of a node's pass.
    Launched(u32),
}

/// Longest step that is run: 53 days. What is asked beyond that is a slip of units. Picoseconds.
pub(super) const LONGEST_PS: u64 = 1 << 62;

/// What the loop leaves.
pub(super) struct Outcome {
    pub recorder: Recorder,
    pub nodes: Vec<Node>,
    pub network: Network,
    pub step_ps: u64,
    pub events: u64,
}

/// Ranks that must all come before a collective begins.
#[derive(Clone, Debug, Default)]
struct Meeting {
    members: Vec<u32>,
    arrived: usize,
}

pub(super) struct Loop<'a> {
    program: &'a Program,
    pub(super) pieces: &'a Pieces,
    lines: &'a [Line],
    /// By micro-batches: lines that carry as many run the same timetable.
    tables: &'a [Timetable],
    stages: usize,
    pub(super) nodes: Vec<Node>,
    network: Network,
    meetings: Vec<Meeting>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    pub(super) now: u64,
    events: u64,
    /// Nodes that have just become able to go on.
    awake: VecDeque<u32>,
    pub(super) recorder: Recorder,
}

impl<'a> Loop<'a> {
    pub(super) fn new(
        program: &'a Program,
        pieces: &'a Pieces,
        lines: &'a [Line],
        tables: &'a [Timetable],
        shared: bool,
        recorder: Recorder,
    ) -> Self {
        let stages = program.classes.len();
        let mut run = Self {
            program,
            pieces,
            lines,
            tables,
            stages,
            nodes: Vec::new(),
            network: Network::new(lines.len() * stages, pieces.capacity, shared),
            meetings: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            now: 0,
            events: 0,
            awake: VecDeque::new(),
            recorder,
        };
        for (at, line) in lines.iter().enumerate() {
            let table =
                tables.iter().position(|t| u64::from(t.micro_batches) == line.micro_batches);
            let table = table.expect("a timetable for every number of micro-batches");
            for stage in 0..stages {
                let steps = &pieces.classes[stage].steps;
                run.nodes.push(Node::new(at, stage, table, &tables[table], steps));
            }
        }
        run.meet();
        run
    }

    /// Puts every node into its meetings: tensor, context, expert, shard, data, the rank at the same
    /// distance from the other end.
    fn meet(&mut self) {
        let mut known: Vec<(usize, usize, u32)> = Vec::new();
        for node in 0..self.nodes.len() {
            let (line, stage) = (self.nodes[node].line, self.nodes[node].stage);
            let keys = self.lines[line].groups;
            let wanted = [
                (0, stage, keys[0]),
                (1, stage, keys[1]),
                (2, stage, keys[2]),
                (3, stage, 0),
                (4, stage, 0),
                (5, stage.min(self.stages - 1 - stage), line as u32),
            ];
            for (which, key) in wanted.into_iter().enumerate() {
                // Only the ends of a pipeline share a tied embedding; DualPipe has all stages twice.
                let shares =
                    self.program.schedule.mirrored() || stage == 0 || stage + 1 == self.stages;
                if which == 5 && !shares {
                    continue;
                }
                let at = known.iter().rposition(|k| *k == key).unwrap_or_else(|| {
                    known.push(key);
                    self.meetings.push(Meeting::default());
                    known.len() - 1
                });
                self.meetings[at].members.push(node as u32);
                self.nodes[node].meetings[which] = at as u32;
            }
        }
    }

    /// Whether link loads are kept over time.
    pub(super) fn record(&mut self, on: bool) {
        self.network.recorded = on;
    }

    /// Runs to the end; `None` if that is beyond [`LONGEST_PS`].
    ///
    /// # Panics
    /// If time goes back, or nodes wait for ever, which a valid program cannot cause.
    pub(super) fn run(mut self) -> Option<Outcome> {
        for node in 0..self.nodes.len() {
            if !self.program.schedule.follows_on() {
                self.gather_first(node);
            }
            self.awake.push_back(node as u32);
        }
        self.wake();
        while let Some(Reverse((time, _, event))) = self.queue.pop() {
            assert!(time >= self.now, "time goes back from {} to {time} ps", self.now);
            if time > LONGEST_PS {
                return None;
            }
            self.now = time;
            self.events += 1;
            self.handle(event);
            self.wake();
        }
        for node in &mut self.nodes {
            assert!(node.doing == Doing::Done, "rank class {} waits for ever", node.stage);
        }
        let step_ps = self.nodes.iter().map(|n| n.end).max().unwrap_or(0);
        self.network.finish(step_ps);
        Some(Outcome {
            recorder: self.recorder,
            nodes: self.nodes,
            network: self.network,
            step_ps,
            events: self.events,
        })
    }

    fn push(&mut self, time: u64, event: Event) {
        self.queue.push(Reverse((time, self.sequence, event)));
        self.sequence += 1;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Flow(flow, version) => {
                if self.network.is_current(flow, version) {
                    self.end_flow(flow);
                }
            }
            Event::Compute(node, version) => {
                let n = &mut self.nodes[node as usize];
                if n.compute.active && n.compute.version == version {
                    n.settle(self.now);
                    n.compute.active = false;
                    n.open -= 1;
                    self.awake.push_back(node);
                }
            }
            Event::Launched(node) => {
                let n = &mut self.nodes[node as usize];
                n.settle(self.now);
                n.launched = true;
                self.awake.push_back(node);
            }
        }
    }

    /// Lets every node that can go on do so.
    fn wake(&mut self) {
        while let Some(node) = self.awake.pop_front() {
            while self.advance(node as usize) {}
        }
    }

    /// One move of a node; `false` if it must wait.
    fn advance(&mut self, node: usize) -> bool {
        match self.nodes[node].doing {
            Doing::Waiting => self.begin_pass(node),
            Doing::Pass => self.go_on_with_pass(node),
            Doing::Sending => {
                let free = self.nodes[node].sends.is_empty();
                if free {
                    self.nodes[node].turn(self.now, Doing::Waiting);
                }
                free
            }
            Doing::Finishing => self.finish_step(node),
            Doing::Optimizer => {
                let done = self.nodes[node].open == 0;
                if done {
                    self.optimizer_done(node);
                }
                done
            }
            Doing::Done => false,
        }
    }

    /// How many times as long a stream of a node takes.
    fn longer(&self, node: usize, stream: usize) -> f64 {
        self.lines[self.nodes[node].line].longer[self.nodes[node].stage][stream]
    }

    fn table(&self, node: usize) -> &'a Timetable {
        &self.tables[self.nodes[node].table]
    }

    fn pass(&self, node: usize) -> Option<Pass> {
        self.table(node).ranks[self.nodes[node].stage].get(self.nodes[node].next).copied()
    }

    fn begin_pass(&mut self, node: usize) -> bool {
        let Some(pass) = self.pass(node) else {
            self.nodes[node].turn(self.now, Doing::Finishing);
            self.queue_alone(node, false);
            return true;
        };
        if !self.nodes[node].has_inputs(&pass) {
            return false;
        }
        if self.nodes[node].first_start.is_none() {
            self.nodes[node].first_start = Some(self.now);
            if self.program.schedule.follows_on() {
                self.gather_first(node);
            }
        }
        let piece = self.pieces.classes[self.nodes[node].stage].of(&pass);
        let n = &mut self.nodes[node];
        n.turn(self.now, Doing::Pass);
        n.pass_start = self.now;
        n.stretch = 0;
        n.launched = piece.host_s == 0.0;
        n.reserved = piece.reserved;
        if pass.forward().is_some() {
            self.recorder.memory(node, self.now, 1.0);
        }
        if piece.host_s > 0.0 {
            let at = self.now + picoseconds(piece.host_s);
            self.push(at, Event::Launched(node as u32));
        }
        if self.nodes[node].is_last_weight(&pass) {
            self.queue_last(node);
        }
        self.begin_stretch(node);
        let load = self.lines[self.nodes[node].line].load;
        for comm in &piece.beside {
            self.nodes[node].beside += 1;
            self.post(node, loaded(comm, load), Owner::Beside);
        }
        true
    }

    /// Starts the node's current stretch, if it has one.
    fn begin_stretch(&mut self, node: usize) {
        let Some(pass) = self.pass(node) else { return };
        let (line, stage) = (self.nodes[node].line, self.nodes[node].stage);
        let piece = self.pieces.classes[stage].of(&pass);
        let Some(stretch) = piece.stretches.get(self.nodes[node].stretch) else { return };
        let load = self.lines[line].load;
        let compute = stretch.compute_s + stretch.experts_s * load;
        if compute > 0.0 {
            self.start_compute(node, compute);
        }
        if let Some(comm) = &stretch.comm {
            self.nodes[node].open += 1;
            self.post(node, loaded(comm, load), Owner::Stretch);
        }
    }

    pub(super) fn start_compute(&mut self, node: usize, seconds: f64) {
        let speed = self.lines[self.nodes[node].line].speed[self.nodes[node].stage];
        let n = &mut self.nodes[node];
        n.settle(self.now);
        n.open += 1;
        n.compute.active = true;
        n.compute.remaining_s = seconds;
        n.compute.speed = speed;
        n.compute.rate = 0.0;
        self.repace(node);
    }

    /// Sets the speed of a node's compute by the communication beside it.
    fn repace(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        n.settle(self.now);
        if !n.compute.active {
            return;
        }
        let beside = n.flowing[..SEND].iter().any(|&f| f > 0);
        let taken = match n.reserved {
            aside if aside > 0.0 => aside,
            _ if beside => self.pieces.cores,
            _ => 0.0,
        };
        let rate = n.compute.speed * (1.0 - taken);
        if rate == n.compute.rate {
            return;
        }
        n.compute.rate = rate;
        n.compute.version += 1;
        let end = self.now + picoseconds(n.compute.remaining_s / rate);
        let event = Event::Compute(node as u32, n.compute.version);
        self.push(end, event);
    }

    fn go_on_with_pass(&mut self, node: usize) -> bool {
        if self.nodes[node].open > 0 {
            return false;
        }
        let Some(pass) = self.pass(node) else { return false };
        let piece = self.pieces.classes[self.nodes[node].stage].of(&pass);
        if self.nodes[node].stretch < piece.stretches.len() {
            self.nodes[node].stretch += 1;
            self.nodes[node].settle(self.now);
            self.begin_stretch(node);
            return true;
        }
        let n = &self.nodes[node];
        let gathered = pass.forward().is_none_or(|(chunk, _)| n.gathers[chunk as usize] == 0);
        if n.beside > 0 || !n.launched || !gathered {
            return false;
        }
        self.end_pass(node, &pass);
        true
    }

    fn end_pass(&mut self, node: usize, pass: &Pass) {
        let piece = self.pieces.classes[self.nodes[node].stage].of(pass);
        let load = self.lines[self.nodes[node].line].load;
        self.nodes[node].settle(self.now);
        self.nodes[node].count_classes(&piece.by_class, load);
        let took = self.now - self.nodes[node].pass_start;
        self.nodes[node].totals.passes[pass.kind as usize] += took as f64;
        self.recorder.pass(node, pass, self.nodes[node].pass_start, self.now);
        if pass.weight().is_some() {
            self.recorder.memory(node, self.now, -1.0);
        }
        self.nodes[node].next += 1;
        self.nodes[node].reserved = 0.0;
        self.nodes[node].turn(self.now, Doing::Waiting);
        let mut away = false;
        for (back, of) in [(false, pass.forward()), (true, pass.backward())] {
            let Some((chunk, micro)) = of else { continue };
            if !back {
                self.nodes[node].mark(Wants::Own, chunk, micro);
            }
            let stage = self.nodes[node].stage;
            let Some((to, to_chunk)) = next_stage(self.table(node), stage, chunk, back) else {
                continue;
            };
            let want = if back { Wants::Gradient } else { Wants::Activation };
            if to == stage {
                self.nodes[node].mark(want, to_chunk, micro);
                continue;
            }
            away = true;
            let target = self.nodes[node].line * self.stages + to;
            self.nodes[node].sends.push_back((target as u32, want, to_chunk, micro));
            if self.nodes[node].sends.len() == 1 {
                self.send_next(node);
            }
        }
        if away && !self.program.overlap.pipeline && !self.nodes[node].sends.is_empty() {
            self.nodes[node].turn(self.now, Doing::Sending);
        }
    }

    /// Hands the first queued message to the network, or delivers it at once if it takes no time.
    fn send_next(&mut self, node: usize) {
        while let Some(&(target, want, chunk, micro)) = self.nodes[node].sends.front() {
            let boundary = &self.pieces.boundary;
            if boundary.seconds > 0.0 {
                let either = self.longer(node, SEND).max(self.longer(target as usize, SEND));
                let boundary = boundary.longer(either);
                let flow =
                    self.network.message(node as u32, target, &boundary, (want, chunk, micro));
                self.start_flow(flow);
                return;
            }
            self.nodes[node].sends.pop_front();
            self.deliver(target as usize, want, chunk, micro);
        }
    }

    fn deliver(&mut self, node: usize, want: Wants, chunk: u32, micro: u32) {
        self.nodes[node].mark(want, chunk, micro);
        self.awake.push_back(node as u32);
    }

    /// A node is ready for a collective; it begins when all of its meeting are.
    pub(super) fn post(&mut self, node: usize, comm: Comm, owner: Owner) {
        let which = match owner {
            Owner::Tied(_) => 5,
            _ => comm.stream,
        };
        let at = self.nodes[node].meetings[which] as usize;
        self.nodes[node].settle(self.now);
        if self.nodes[node].posted[comm.stream].is_some() {
            self.nodes[node].queued[comm.stream].push_back((comm, owner));
            return;
        }
        let comm = comm.longer(self.longer(node, comm.stream));
        self.nodes[node].posted[comm.stream] = Some((comm, owner));
        let meeting = &mut self.meetings[at];
        meeting.arrived += 1;
        if meeting.arrived < meeting.members.len() {
            return;
        }
        meeting.arrived = 0;
        let members = meeting.members.clone();
        let posted = members.iter().map(|&m| self.nodes[m as usize].posted[comm.stream]);
        // The slowest member's share decides: of uneven expert loads the heaviest.
        let comm = posted
            .filter_map(|p| p.map(|(c, _)| c))
            .max_by(|a, b| a.seconds.total_cmp(&b.seconds))
            .unwrap_or(comm);
        let flow = self.network.collective(members, &comm);
        self.start_flow(flow);
    }

    fn start_flow(&mut self, flow: u32) {
        for change in self.network.begin(flow, self.now) {
            self.push(change.end_ps, Event::Flow(change.flow, change.version));
        }
        self.count_flow(flow, 1);
    }

    /// Counts a flow on its members' streams, and the cores it takes.
    fn count_flow(&mut self, flow: u32, by: i32) {
        let Flow { members, stream, .. } = self.network.flow(flow);
        let (members, stream) = (members.clone(), *stream);
        for member in members {
            let n = &mut self.nodes[member as usize];
            n.settle(self.now);
            n.flowing[stream] += by;
            self.repace(member as usize);
        }
    }

    fn end_flow(&mut self, flow: u32) {
        self.count_flow(flow, -1);
        let (ended, changes) = self.network.end(flow, self.now);
        for change in changes {
            self.push(change.end_ps, Event::Flow(change.flow, change.version));
        }
        if let Some((want, chunk, micro)) = ended.message {
            let (from, to) = (ended.members[0], ended.members[1]);
            self.recorder.message(&ended, self.now, (want, micro));
            self.nodes[from as usize].sends.pop_front();
            self.deliver(to as usize, want, chunk, micro);
            self.send_next(from as usize);
            self.awake.push_back(from);
            return;
        }
        for &member in &ended.members {
            let n = &mut self.nodes[member as usize];
            let Some((_, owner)) = n.posted[ended.stream].take() else { continue };
            let pass = self.table(member as usize).ranks[self.nodes[member as usize].stage]
                .get(self.nodes[member as usize].next);
            self.recorder.flow(member as usize, &ended, self.now, owner, pass);
            let n = &mut self.nodes[member as usize];
            match owner {
                Owner::Stretch => n.open -= 1,
                Owner::Beside => n.beside -= 1,
                Owner::Step(_) | Owner::Tied(_) => {
                    let item = n.items.pop_front();
                    if let Some(chunk) = item.and_then(|i| i.gathers) {
                        n.gathers[chunk as usize] -= 1;
                    }
                    self.next_item(member as usize);
                }
            }
            if let Some((comm, owner)) =
                self.nodes[member as usize].queued[ended.stream].pop_front()
            {
                self.post(member as usize, comm, owner);
            }
            self.awake.push_back(member);
        }
    }
}

/// Where the output of a chunk goes: pipeline rank and chunk of the next stage, or with `back` of the
/// one before. Of two ranks that hold it (`DualPipe`) the one of the same direction.
fn next_stage(table: &Timetable, rank: usize, chunk: u32, back: bool) -> Option<(usize, u32)> {
    let stage = table.stages[rank][chunk as usize];
    let wanted = if back { stage.checked_sub(1)? } else { stage + 1 };
    let holders = || {
        table.stages.iter().enumerate().flat_map(|(r, chunks)| {
            chunks
                .iter()
                .enumerate()
                .filter(|(_, s)| **s == wanted)
                .map(move |(c, _)| (r, c as u32))
        })
    };
    holders().find(|(_, c)| *c == chunk).or_else(|| holders().next())
}

/// Expert traffic follows the load of the busiest member.
fn loaded(comm: &Comm, load: f64) -> Comm {
    if comm.stream == crate::price::CommAxis::Expert as usize { comm.part(load) } else { *comm }
}

/// Seconds as picoseconds, rounded up: an interval that takes time never takes none. What takes longer
/// than any step may ends beyond [`LONGEST_PS`], and far from where 64 bits end.
pub(super) fn picoseconds(seconds: f64) -> u64 {
    (libm::ceil(seconds * 1e12) as u64).min(LONGEST_PS + 1)
}
