//! A captured program executed: nodes run as soon as what they wait for has ended.
//!
//! A rank has three lanes: the host, the chip, and communication; each runs one node at a time, the
//! lowest id of those that are ready. A collective starts when every member is ready and free, and
//! ends for all at once; a message leaves when its sender is free, and receiving takes no lane (as in
//! ASTRA-sim). Traces shared by ranks run once. How long a node takes is asked of a [`Price`].
//!
//! Not valid where communication of one rank overlaps in reality, or where collectives of different
//! groups share links: each is priced as if alone.

use crate::program::{Node, Operation, TraceProgram, Work, shortened};
use diagnostic::{Diagnostic, Diagnostics};
use engine::{ClassTimeline, Lane, Message, Span, SpanKind, Timeline};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

/// Durations, in picoseconds; an error is one sentence for the user.
pub trait Price {
    /// A collective of `bytes` (nccl-tests' size) over `ranks`.
    fn collective(&self, operation: Operation, bytes: u64, ranks: &[u64]) -> Result<u64, String>;
    /// A message.
    fn send(&self, from: u64, to: u64, bytes: u64) -> Result<u64, String>;
    /// Work of the chip without a recorded duration.
    fn compute(&self, flop: u64, bytes: u64) -> Result<u64, String>;
}

/// Longest time of a run: beyond it a sum is no longer a step. Picoseconds (30 days).
const LONGEST_PS: u64 = 30 * 86_400 * 1_000_000_000_000;

const LANES: usize = 3;
const HOST: usize = 0;
const CHIP: usize = 1;
const COMMUNICATION: usize = 2;

/// One occurrence of a collective: `(trace, node)` of every member trace, and what it costs.
struct Meeting {
    members: Vec<(usize, usize)>,
    ready: usize,
    duration_ps: u64,
}

/// What a node takes part in besides its own lane.
#[derive(Clone, Copy)]
enum Role {
    Alone,
    Meeting(usize),
    Send { message: usize },
    Receive { message: usize },
}

struct Letter {
    from: (usize, usize),
    to: (usize, usize),
    bytes: u64,
    duration_ps: u64,
    sent_ps: Option<u64>,
    arrived_ps: Option<u64>,
    awaited: bool,
}

/// A trace being run.
struct State {
    waits: Vec<u32>,
    next: Vec<Vec<u32>>,
    role: Vec<Role>,
    duration_ps: Vec<u64>,
    ready: [BTreeSet<usize>; LANES],
    busy: [bool; LANES],
    started_ps: Vec<u64>,
    ended: usize,
    meetings: BTreeSet<usize>,
}

struct Run<'a> {
    program: &'a TraceProgram,
    states: Vec<State>,
    meetings: Vec<Meeting>,
    letters: Vec<Letter>,
    /// `(when, order, what)`.
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    /// Collectives that all members have come to since the last look.
    fresh: Vec<usize>,
    timeline: Timeline,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End { trace: usize, node: usize },
    Part { meeting: usize },
    Arrive { letter: usize },
}

/// Runs a program to its end.
///
/// # Errors
/// Everything that cannot be matched or priced, or the nodes that wait for each other.
pub fn run(program: &TraceProgram, price: &dyn Price) -> Result<Timeline, Diagnostics> {
    program.check()?;
    let mut run = Run {
        program,
        states: program.traces.iter().map(|t| state(&t.nodes)).collect(),
        meetings: Vec::new(),
        letters: Vec::new(),
        events: BinaryHeap::new(),
        order: 0,
        fresh: Vec::new(),
        timeline: Timeline::default(),
    };
    let mut problems = Diagnostics::default();
    run.durations(price, &mut problems);
    run.meet(price, &mut problems);
    run.post(price, &mut problems);
    problems.into_result(())?;
    run.execute()?;
    Ok(run.timeline)
}

fn state(nodes: &[Node]) -> State {
    let place: BTreeMap<u64, usize> = nodes.iter().enumerate().map(|(k, n)| (n.id, k)).collect();
    let mut next = vec![Vec::new(); nodes.len()];
    let mut waits = vec![0; nodes.len()];
    for (k, node) in nodes.iter().enumerate() {
        for id in &node.after {
            next[place[id]].push(k as u32);
            waits[k] += 1;
        }
    }
    State {
        waits,
        next,
        role: vec![Role::Alone; nodes.len()],
        duration_ps: vec![0; nodes.len()],
        ready: Default::default(),
        busy: [false; LANES],
        started_ps: vec![0; nodes.len()],
        ended: 0,
        meetings: BTreeSet::new(),
    }
}

fn lane(work: &Work) -> Option<usize> {
    match work {
        Work::Compute { host: true, .. } => Some(HOST),
        Work::Compute { .. } => Some(CHIP),
        Work::Collective { .. } | Work::Send { .. } => Some(COMMUNICATION),
        Work::Receive { .. } | Work::Nothing => None,
    }
}

impl Run<'_> {
    fn problem(&self, (trace, node): (usize, usize), text: &str) -> Diagnostic {
        let trace = &self.program.traces[trace];
        let node = &trace.nodes[node];
        let text = format!("node `{}` ({}): {text}", node.id, shortened(&node.name));
        Diagnostic::error("trace::run", text).at(trace.file.as_str(), 0..0)
    }

    fn durations(&mut self, price: &dyn Price, problems: &mut Diagnostics) {
        for (t, trace) in self.program.traces.iter().enumerate() {
            for (k, node) in trace.nodes.iter().enumerate() {
                let Work::Compute { host, duration_ps, flop, bytes } = node.work else { continue };
                let asked = match duration_ps {
                    Some(recorded) => Ok(recorded),
                    None if host || (flop, bytes) == (0, 0) => Ok(0),
                    None => price.compute(flop, bytes),
                };
                match asked {
                    Ok(ps) => self.states[t].duration_ps[k] = ps,
                    Err(text) => {
                        problems.push(self.problem((t, k), &text));
                        return;
                    }
                }
            }
        }
    }

    /// Matches collectives: the k-th on a group in each member's order of ids.
    fn meet(&mut self, price: &dyn Price, problems: &mut Diagnostics) {
        type Places = BTreeMap<usize, Vec<usize>>;
        let mut by_group: BTreeMap<Option<&str>, Places> = BTreeMap::new();
        for (t, trace) in self.program.traces.iter().enumerate() {
            for (k, node) in trace.nodes.iter().enumerate() {
                if let Work::Collective { group, .. } = &node.work {
                    let places = by_group.entry(group.as_deref()).or_default();
                    places.entry(t).or_default().push(k);
                }
            }
        }
        let owner: BTreeMap<u64, usize> = (self.program.traces.iter().enumerate())
            .flat_map(|(t, trace)| trace.ranks.iter().map(move |r| (*r, t)))
            .collect();
        let mut prices = BTreeMap::new();
        for (group, places) in by_group {
            let ranks = self.program.members(group).unwrap_or_default();
            let members: BTreeSet<usize> =
                ranks.iter().filter_map(|r| owner.get(r).copied()).collect();
            let most = places.values().map(Vec::len).max().unwrap_or(0);
            for k in 0..most {
                let have: Vec<(usize, usize)> =
                    places.iter().filter_map(|(t, list)| Some((*t, *list.get(k)?))).collect();
                let first = have[0];
                if have.len() != members.len() {
                    let missing = members.iter().find(|t| !have.iter().any(|(h, _)| h == *t));
                    let rank = missing.map_or(0, |t| self.program.traces[*t].ranks[0]);
                    let text = format!("rank `{rank}` never joins it (number {k} of its group)");
                    problems.push(self.problem(first, &text));
                    break;
                }
                let work = |(t, n): (usize, usize)| &self.program.traces[t].nodes[n].work;
                if let Some(other) = have.iter().find(|h| work(**h) != work(first)) {
                    let rank = self.program.traces[other.0].ranks[0];
                    let text = format!("rank `{rank}` does something else at its turn");
                    problems.push(self.problem(first, &text));
                    break;
                }
                let Work::Collective { operation, bytes, .. } = work(first) else { continue };
                let asked = prices
                    .entry((group, *operation, *bytes))
                    .or_insert_with(|| price.collective(*operation, *bytes, &ranks));
                match asked {
                    Ok(ps) => {
                        let id = self.meetings.len();
                        for &(t, n) in &have {
                            self.states[t].role[n] = Role::Meeting(id);
                        }
                        self.meetings.push(Meeting { members: have, ready: 0, duration_ps: *ps });
                    }
                    Err(text) => {
                        let text = text.clone();
                        problems.push(self.problem(first, &text));
                        break;
                    }
                }
            }
        }
    }

    /// Matches messages: the k-th from a rank to a rank with a tag.
    fn post(&mut self, price: &dyn Price, problems: &mut Diagnostics) {
        type Ends = [VecDeque<(usize, usize, u64)>; 2];
        let mut ends: BTreeMap<(u64, u64, u64), Ends> = BTreeMap::new();
        for (t, trace) in self.program.traces.iter().enumerate() {
            for (k, node) in trace.nodes.iter().enumerate() {
                let (key, end, bytes) = match node.work {
                    Work::Send { peer, tag, bytes } => ((trace.ranks[0], peer, tag), 0, bytes),
                    Work::Receive { peer, tag, bytes } => ((peer, trace.ranks[0], tag), 1, bytes),
                    _ => continue,
                };
                if trace.ranks.len() > 1 {
                    problems.push(self.problem((t, k), "messages need a trace of one rank"));
                    return;
                }
                ends.entry(key).or_default()[end].push_back((t, k, bytes));
            }
        }
        let mut prices: BTreeMap<(u64, u64, u64), Result<u64, String>> = BTreeMap::new();
        for ((from, to, _), [sends, receives]) in ends {
            for (&(t, k, bytes), &(rt, rk, expected)) in sends.iter().zip(&receives) {
                if bytes != expected {
                    let text = format!("it sends {bytes} bytes, rank `{to}` expects {expected}");
                    problems.push(self.problem((t, k), &text));
                    continue;
                }
                let message = self.letters.len();
                let known = prices.entry((from, to, bytes));
                match known.or_insert_with(|| price.send(from, to, bytes)).clone() {
                    Ok(duration_ps) => self.letters.push(Letter {
                        from: (t, k),
                        to: (rt, rk),
                        bytes,
                        duration_ps,
                        sent_ps: None,
                        arrived_ps: None,
                        awaited: false,
                    }),
                    Err(text) => {
                        problems.push(self.problem((t, k), &text));
                        continue;
                    }
                }
                self.states[t].role[k] = Role::Send { message };
                self.states[rt].role[rk] = Role::Receive { message };
            }
            let matched = sends.len().min(receives.len());
            for (t, k, _) in sends.iter().skip(matched) {
                let text = format!("rank `{to}` never receives it");
                problems.push(self.problem((*t, *k), &text));
            }
            for (t, k, _) in receives.iter().skip(matched) {
                let text = format!("rank `{from}` never sends it");
                problems.push(self.problem((*t, *k), &text));
            }
        }
    }

    fn at(&mut self, when: u64, event: Event) {
        self.events.push(Reverse((when, self.order, event)));
        self.order += 1;
    }

    fn execute(&mut self) -> Result<(), Diagnostics> {
        for trace in &self.program.traces {
            self.timeline.classes.push(ClassTimeline {
                label: label(&trace.ranks),
                pipeline_rank: trace.ranks[0],
                ranks: trace.ranks.len() as u64,
                ..ClassTimeline::default()
            });
        }
        for t in 0..self.states.len() {
            let first: Vec<usize> =
                (0..self.states[t].waits.len()).filter(|k| self.states[t].waits[*k] == 0).collect();
            for node in first {
                self.ready(t, node, 0);
            }
        }
        for t in 0..self.states.len() {
            self.start(t, 0);
        }
        self.meet_fresh(0);
        let mut now = 0;
        while let Some(Reverse((when, _, event))) = self.events.pop() {
            assert!(when >= now, "time runs forward: {when} after {now}");
            if when > LONGEST_PS {
                let text = "the run takes longer than 30 days; a duration or a size is absurd";
                return Err(Diagnostic::error("trace::run", text).into());
            }
            now = when;
            match event {
                Event::End { trace, node } => self.end(&[(trace, node)], now),
                Event::Part { meeting } => {
                    let members = self.meetings[meeting].members.clone();
                    self.end(&members, now);
                }
                Event::Arrive { letter } => {
                    self.letters[letter].arrived_ps = Some(now);
                    if self.letters[letter].awaited {
                        let to = self.letters[letter].to;
                        self.end(&[to], now);
                    }
                }
            }
        }
        self.timeline.step_ps = now;
        self.stuck()?;
        self.record();
        Ok(())
    }

    /// A node whose waiting is over.
    fn ready(&mut self, t: usize, node: usize, now: u64) {
        let work = &self.program.traces[t].nodes[node].work;
        match (lane(work), self.states[t].role[node]) {
            (_, Role::Meeting(id)) => {
                self.meetings[id].ready += 1;
                if self.meetings[id].ready == self.meetings[id].members.len() {
                    self.fresh.push(id);
                    for &(member, _) in &self.meetings[id].members {
                        self.states[member].meetings.insert(id);
                    }
                }
            }
            (None, Role::Receive { message }) => {
                self.states[t].started_ps[node] = now;
                self.letters[message].awaited = true;
                if self.letters[message].arrived_ps.is_some() {
                    self.at(now, Event::End { trace: t, node });
                }
            }
            (None, _) => {
                self.states[t].started_ps[node] = now;
                self.at(now, Event::End { trace: t, node });
            }
            (Some(lane), _) => {
                self.states[t].ready[lane].insert(node);
            }
        }
    }

    /// Starts what is ready on the free lanes of a trace, but for collectives.
    fn start(&mut self, t: usize, now: u64) {
        for lane in [HOST, CHIP, COMMUNICATION] {
            if !self.states[t].busy[lane]
                && let Some(node) = self.states[t].ready[lane].pop_first()
            {
                self.begin(t, node, lane, now);
            }
        }
    }

    fn can_meet(&self, id: usize) -> bool {
        self.meetings[id].members.iter().all(|m| !self.states[m.0].busy[COMMUNICATION])
    }

    /// Starts the first collective of a trace whose members are all free.
    fn meet_first(&mut self, t: usize, now: u64) {
        if !self.states[t].busy[COMMUNICATION] {
            let first = self.states[t].meetings.iter().copied().find(|id| self.can_meet(*id));
            if let Some(id) = first {
                self.begin_meeting(id, now);
            }
        }
    }

    /// Starts those of the collectives that just became ready whose members are all free.
    fn meet_fresh(&mut self, now: u64) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_unstable();
        for id in fresh {
            let waits = self.states[self.meetings[id].members[0].0].meetings.contains(&id);
            if waits && self.can_meet(id) {
                self.begin_meeting(id, now);
            }
        }
    }

    fn begin_meeting(&mut self, id: usize, now: u64) {
        for &(member, node) in &self.meetings[id].members {
            let state = &mut self.states[member];
            state.meetings.remove(&id);
            state.busy[COMMUNICATION] = true;
            state.started_ps[node] = now;
        }
        let when = now.saturating_add(self.meetings[id].duration_ps);
        self.at(when, Event::Part { meeting: id });
    }

    fn begin(&mut self, t: usize, node: usize, lane: usize, now: u64) {
        self.states[t].busy[lane] = true;
        self.states[t].started_ps[node] = now;
        let mut duration_ps = self.states[t].duration_ps[node];
        if let Role::Send { message } = self.states[t].role[node] {
            self.letters[message].sent_ps = Some(now);
            duration_ps = self.letters[message].duration_ps;
            let when = now.saturating_add(duration_ps);
            self.at(when, Event::Arrive { letter: message });
        }
        self.at(now.saturating_add(duration_ps), Event::End { trace: t, node });
    }

    /// Nodes that end together: lets go on what waited for them, then starts what can start.
    fn end(&mut self, ended: &[(usize, usize)], now: u64) {
        for &(t, node) in ended {
            self.leave(t, node, now);
        }
        for &(t, _) in ended {
            self.start(t, now);
        }
        for &(t, node) in ended {
            // Collectives wait for the communication lane alone.
            if lane(&self.program.traces[t].nodes[node].work) == Some(COMMUNICATION) {
                self.meet_first(t, now);
            }
        }
        self.meet_fresh(now);
    }

    fn leave(&mut self, t: usize, node: usize, now: u64) {
        let here = &self.program.traces[t].nodes[node];
        if let Some(lane) = lane(&here.work) {
            self.states[t].busy[lane] = false;
        }
        self.states[t].ended += 1;
        let started = self.states[t].started_ps[node];
        if let (true, Some((lane, kind))) = (now > started, shown(&here.work)) {
            self.timeline.classes[t].spans.push(Span {
                lane,
                kind,
                name: here.name.clone().into(),
                micro_batch: None,
                chunk: None,
                start_ps: started,
                end_ps: now,
            });
        }
        for next in std::mem::take(&mut self.states[t].next[node]) {
            let waits = &mut self.states[t].waits[next as usize];
            *waits -= 1;
            if *waits == 0 {
                self.ready(t, next as usize, now);
            }
        }
    }

    /// The first nodes that never ran, if any.
    fn stuck(&self) -> Result<(), Diagnostics> {
        let mut problems = Diagnostics::default();
        for (t, state) in self.states.iter().enumerate() {
            if state.ended < state.waits.len() && problems.0.len() < 5 {
                let left = state.waits.len() - state.ended;
                // A collective that others never came to, else the first that still waits.
                let alone = |m: &&Meeting| m.ready > 0 && m.ready < m.members.len();
                let met = self.meetings.iter().filter(alone).flat_map(|m| &m.members);
                let met = met.filter(|m| m.0 == t && state.waits[m.1] == 0).map(|m| m.1).next();
                let node = state.waits.iter().position(|w| *w > 0);
                let place = (t, met.or(node).unwrap_or(0));
                let text = format!("it never ran, with {left} nodes: nodes wait for each other");
                problems.push(self.problem(place, &text));
            }
        }
        problems.into_result(())
    }

    fn record(&mut self) {
        for class in &mut self.timeline.classes {
            class.spans.sort_by_key(|s| (s.lane, s.start_ps, s.end_ps));
        }
        for letter in &self.letters {
            let (Some(sent_ps), Some(received_ps)) = (letter.sent_ps, letter.arrived_ps) else {
                continue;
            };
            let name = self.program.traces[letter.from.0].nodes[letter.from.1].name.clone();
            self.timeline.messages.push(Message {
                from: letter.from.0,
                to: letter.to.0,
                bytes: letter.bytes as f64,
                sent_ps,
                received_ps,
                name: name.into(),
            });
        }
        self.timeline.messages.sort_by_key(|m| (m.sent_ps, m.from, m.to));
    }
}

/// The lane and kind of a node's span; receives overlap and take no lane, so they leave none.
fn shown(work: &Work) -> Option<(Lane, SpanKind)> {
    match work {
        Work::Compute { host: true, .. } => Some((Lane::Comm("host"), SpanKind::Forward)),
        Work::Compute { .. } => Some((Lane::Compute, SpanKind::Forward)),
        Work::Collective { .. } => Some((Lane::Comm("collectives"), SpanKind::Exchange)),
        Work::Send { .. } => Some((Lane::Send, SpanKind::Send)),
        Work::Receive { .. } | Work::Nothing => None,
    }
}

/// `ranks 0-7`, `rank 3`, `16 ranks`.
fn label(ranks: &[u64]) -> String {
    match ranks {
        [one] => format!("rank {one}"),
        [first, .., last] if last - first + 1 == ranks.len() as u64 => {
            format!("ranks {first}-{last}")
        }
        _ => format!("{} ranks from {}", ranks.len(), ranks[0]),
    }
}
