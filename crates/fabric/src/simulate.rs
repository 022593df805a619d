//! Flows and messages over time: integer picoseconds, links shared max-min fairly.
//!
//! [`transfer`] runs flows that all start at once. [`simulate`] runs messages one by one, each
//! waiting for what its sender must have received: about 60 ns a message where links are not
//! shared (two queue operations on lanes, a counter a link), and a re-solve of the flows that are
//! connected to a change where they are.

use crate::queue::Queue;
use crate::share::{FlowSet, max_min};

/// What a transfer of flows came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// When the last byte is there. Picoseconds.
    pub finish_ps: u64,
    /// When each flow's last byte is there. Picoseconds.
    pub arrival_ps: Vec<u64>,
    /// The link busiest over the whole time, in the flow set's own numbers.
    pub bottleneck: Option<usize>,
    /// Share of the bottleneck's capacity that was used until the last byte was sent.
    pub utilisation: f64,
    /// The time that the busiest link alone needs: no sharing can be faster. Picoseconds.
    pub bound_ps: u64,
}

/// Picoseconds for `bytes` at `rate`, rounded up.
fn duration_ps(bytes: f64, rate: f64) -> u64 {
    (bytes / rate * 1e12).ceil() as u64
}

/// Runs flows that all start at time 0.
///
/// # Panics
/// If bytes are not conserved or a rate exceeds a capacity, which would be a bug here.
pub fn transfer(set: &FlowSet) -> Outcome {
    let mut load = vec![0.0; set.capacity.len()];
    for flow in 0..set.len() {
        for (link, weight) in set.row(flow) {
            load[link as usize] += weight * set.count[flow] * set.bytes[flow];
        }
    }
    let needs = |l: usize| if load[l] > 0.0 { load[l] / set.capacity[l] } else { 0.0 };
    let bottleneck = (0..load.len()).reduce(|a, b| if needs(b) > needs(a) { b } else { a });
    let bound_ps = bottleneck.map_or(0, |l| duration_ps(load[l], set.capacity[l]));
    let mut active: Vec<bool> = set.bytes.iter().map(|b| *b > 0.0).collect();
    let mut rest = set.bytes.clone();
    let mut arrival_ps = set.latency_ps.clone();
    let mut now = 0_u64;
    while active.iter().any(|a| *a) {
        let rate = max_min(set, &active);
        let left = |f: usize| duration_ps(rest[f], rate[f]);
        let step = (0..set.len()).filter(|f| active[*f]).map(left).min().unwrap_or(0);
        now = now.saturating_add(step);
        let done: Vec<bool> = (0..set.len()).map(|f| active[f] && left(f) <= step).collect();
        for flow in 0..set.len() {
            if done[flow] {
                active[flow] = false;
                rest[flow] = 0.0;
                arrival_ps[flow] = now.saturating_add(set.latency_ps[flow]);
            } else if active[flow] {
                rest[flow] -= rate[flow] * step as f64 * 1e-12;
            }
        }
    }
    // Every round of filling rounds a finish up by at most one picosecond.
    let slack = 1e-9 * bound_ps as f64 + 1.0;
    assert!(now as f64 + slack >= bound_ps as f64, "{now} ps is less than {bound_ps} needed");
    let utilisation = if now == 0 { 0.0 } else { (bound_ps as f64 / now as f64).min(1.0) };
    let finish_ps = arrival_ps.iter().copied().max().unwrap_or(0);
    Outcome { finish_ps, arrival_ps, bottleneck, utilisation, bound_ps }
}

/// One exchange pattern: each rank's sends, repeated for a number of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Flows of the pattern; one row each, sorted by sender.
    pub set: FlowSet,
    /// Start of each rank's sends, `ranks + 1` long.
    pub sends: Vec<u32>,
    /// Receiver of each flow.
    pub to: Vec<u32>,
    /// Time after a message's arrival until its receiver can go on. Picoseconds.
    pub handling_ps: u64,
    /// Steps.
    pub times: u32,
}

/// Patterns run one after another, each rank going on as soon as *it* can: a rank sends its
/// messages of a step when it has sent and received all of the step before.
#[derive(Clone, Debug, PartialEq)]
pub struct Messages {
    /// Ranks.
    pub ranks: u32,
    /// Patterns in order.
    pub streams: Vec<Stream>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A flow's last byte has been sent: slot and version.
    Sent(u32, u32),
    /// A message of a step is there and dealt with: receiver and step.
    There(u32, u32),
}

#[derive(Clone, Copy, Default)]
struct Slot {
    stream: u32,
    flow: u32,
    rank: u32,
    step: u32,
    version: u32,
    rate: f64,
    rest: f64,
    since: u64,
    live: bool,
}

/// A flow by itself: its rate and the time for all its bytes.
#[derive(Clone, Copy)]
struct Alone {
    bytes_per_s: f64,
    time_ps: u64,
}

/// A rank's present step, the pattern that is (their number after the last), and the sends it waits for.
#[derive(Clone, Copy, Default)]
struct At {
    step: u32,
    stream: u32,
    sending: u32,
}

struct State<'a> {
    messages: &'a Messages,
    queue: Queue<Event>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Flows on each link, all streams' links in one numbering.
    on_link: Vec<Vec<u32>>,
    /// For each stream, the link of each entry of its rows in that numbering.
    global: Vec<Vec<u32>>,
    /// For each stream and flow, what it gets and takes where it shares no link.
    alone: Vec<Vec<Alone>>,
    capacity: Vec<f64>,
    started: Vec<u32>,
    relieved: Vec<u32>,
    /// Where each rank is.
    at: Vec<At>,
    arrived: Vec<u16>,
    expected: Vec<Vec<u16>>,
    starts: Vec<u32>,
    delivered: u64,
}

/// Runs messages; returns the time of the last one in picoseconds and their number.
///
/// # Panics
/// If a message is lost, which would be a bug here.
pub fn simulate(messages: &Messages) -> (u64, u64) {
    let mut state = State::new(messages);
    for rank in 0..messages.ranks {
        state.begin(rank);
    }
    state.settle();
    let mut last = 0;
    while let Some((time, event)) = state.queue.pop() {
        match event {
            Event::Sent(slot, version) => state.sent(slot, version),
            Event::There(rank, step) => {
                last = time;
                state.there(rank, step);
            }
        }
        if state.is_unsettled() && state.queue.next_time() != Some(time) {
            state.settle();
        }
    }
    let expected: u64 =
        messages.streams.iter().map(|s| s.set.len() as u64 * u64::from(s.times)).sum();
    assert_eq!(state.delivered, expected, "messages delivered against messages sent");
    (last, state.delivered)
}

impl<'a> State<'a> {
    fn new(messages: &'a Messages) -> Self {
        let ranks = messages.ranks as usize;
        let steps: u32 = messages.streams.iter().map(|s| s.times).sum();
        let mut numbers = std::collections::BTreeMap::new();
        let (mut global, mut alone, mut capacity) = (Vec::new(), Vec::new(), Vec::new());
        for stream in &messages.streams {
            let set = &stream.set;
            let map = set.link_id.iter().zip(&set.capacity).map(|(id, c)| {
                *numbers.entry(*id).or_insert_with(|| {
                    capacity.push(*c);
                    capacity.len() as u32 - 1
                })
            });
            let map: Vec<u32> = map.collect();
            global.push(set.link.iter().map(|l| map[*l as usize]).collect());
            let by_itself = |flow| {
                let rates = set.row(flow).map(|(l, weight)| set.capacity[l as usize] / weight);
                let bytes_per_s = rates.fold(f64::INFINITY, f64::min);
                Alone { bytes_per_s, time_ps: duration_ps(set.bytes[flow], bytes_per_s) }
            };
            alone.push((0..set.len()).map(by_itself).collect());
        }
        let count = |s: &Stream| {
            let mut expected = vec![0_u16; ranks];
            for &to in &s.to {
                expected[to as usize] += 1;
            }
            expected
        };
        let mut starts = vec![0];
        for stream in &messages.streams {
            starts.push(starts[starts.len() - 1] + stream.times);
        }
        Self {
            messages,
            queue: Queue::new(),
            slots: Vec::new(),
            free: Vec::new(),
            on_link: vec![Vec::new(); capacity.len()],
            global,
            alone,
            capacity,
            started: Vec::new(),
            relieved: Vec::new(),
            at: vec![At::default(); ranks],
            arrived: vec![0; ranks * steps as usize],
            expected: messages.streams.iter().map(count).collect(),
            starts,
            delivered: 0,
        }
    }

    /// Starts a rank's sends of its present step, passing over steps it has no part in.
    fn begin(&mut self, rank: u32) {
        loop {
            let at = &mut self.at[rank as usize];
            while self.starts.get(at.stream as usize + 1).is_some_and(|end| *end <= at.step) {
                at.stream += 1;
            }
            let stream = at.stream as usize;
            let Some(Stream { sends, .. }) = self.messages.streams.get(stream) else { return };
            let (from, to) = (sends[rank as usize], sends[rank as usize + 1]);
            at.sending = to - from;
            for flow in from..to {
                self.start(stream as u32, flow, rank);
            }
            if from < to || !self.is_complete(rank) {
                return;
            }
            self.at[rank as usize].step += 1;
        }
    }

    /// Whether a rank has sent and received all of its present step.
    fn is_complete(&self, rank: u32) -> bool {
        let At { step, stream, sending } = self.at[rank as usize];
        let Some(expected) = self.expected.get(stream as usize) else { return false };
        let at = step as usize * self.messages.ranks as usize + rank as usize;
        sending == 0 && self.arrived[at] == expected[rank as usize]
    }

    fn advance(&mut self, rank: u32) {
        if self.is_complete(rank) {
            self.at[rank as usize].step += 1;
            self.begin(rank);
        }
    }

    fn start(&mut self, stream: u32, flow: u32, rank: u32) {
        let step = self.at[rank as usize].step;
        let rest = self.messages.streams[stream as usize].set.bytes[flow as usize];
        let since = self.queue.now();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let version = self.slots[slot as usize].version + 1;
        self.slots[slot as usize] =
            Slot { stream, flow, rank, step, version, rate: 0.0, rest, since, live: true };
        let set = &self.messages.streams[stream as usize].set;
        let row = set.first[flow as usize] as usize..set.first[flow as usize + 1] as usize;
        for &link in &self.global[stream as usize][row] {
            self.on_link[link as usize].push(slot);
        }
        self.started.push(slot);
    }

    /// Links of a slot's flow.
    fn links(&self, slot: u32) -> &[u32] {
        let Slot { stream, flow, .. } = self.slots[slot as usize];
        let first = &self.messages.streams[stream as usize].set.first[flow as usize..];
        &self.global[stream as usize][first[0] as usize..first[1] as usize]
    }

    fn sent(&mut self, at: u32, version: u32) {
        let slot = self.slots[at as usize];
        if !slot.live || slot.version != version {
            return;
        }
        self.slots[at as usize].live = false;
        let stream = &self.messages.streams[slot.stream as usize];
        let set = &stream.set;
        let flow = slot.flow as usize;
        let row = set.first[flow] as usize..set.first[flow + 1] as usize;
        for &link in &self.global[slot.stream as usize][row] {
            let on = &mut self.on_link[link as usize];
            if let Some(place) = on.iter().position(|s| *s == at) {
                on.swap_remove(place);
            }
            if !on.is_empty() {
                self.relieved.push(link);
            }
        }
        self.free.push(at);
        let delay = set.latency_ps[flow] + stream.handling_ps;
        self.queue.push(delay, Event::There(stream.to[flow], slot.step));
        self.at[slot.rank as usize].sending -= 1;
        self.advance(slot.rank);
    }

    fn there(&mut self, rank: u32, step: u32) {
        self.delivered += 1;
        let at = step as usize * self.messages.ranks as usize + rank as usize;
        self.arrived[at] += 1;
        if step == self.at[rank as usize].step {
            self.advance(rank);
        }
    }

    fn is_unsettled(&self) -> bool {
        !self.started.is_empty() || !self.relieved.is_empty()
    }

    /// Gives rates to what has started and to what shares links with it or with what has ended.
    fn settle(&mut self) {
        let mut shared = std::mem::take(&mut self.relieved);
        let started = std::mem::take(&mut self.started);
        for &at in &started {
            let links = self.links(at);
            if links.iter().any(|link| self.on_link[*link as usize].len() > 1) {
                shared.extend(links);
                continue;
            }
            let slot = &mut self.slots[at as usize];
            let alone = self.alone[slot.stream as usize][slot.flow as usize];
            if slot.rate != alone.bytes_per_s {
                slot.rate = alone.bytes_per_s;
                slot.version += 1;
                self.queue.push(alone.time_ps, Event::Sent(at, slot.version));
            }
        }
        self.started = started;
        self.started.clear();
        if !shared.is_empty() {
            self.solve(&shared);
        }
        shared.clear();
        self.relieved = shared;
    }

    /// Re-solves the flows connected to some links.
    fn solve(&mut self, links: &[u32]) {
        let mut local = std::collections::BTreeMap::new();
        let mut open: Vec<u32> = links.to_vec();
        let mut members: Vec<u32> = Vec::new();
        let mut known = std::collections::BTreeSet::new();
        while let Some(link) = open.pop() {
            if local.contains_key(&link) {
                continue;
            }
            local.insert(link, local.len() as u32);
            for &at in &self.on_link[link as usize] {
                if known.insert(at) {
                    members.push(at);
                    open.extend(self.links(at));
                }
            }
        }
        members.sort_unstable();
        let mut set = FlowSet::new();
        set.capacity = vec![0.0; local.len()];
        for (&link, &at) in &local {
            set.capacity[at as usize] = self.capacity[link as usize];
        }
        for &at in &members {
            let Slot { stream, flow, .. } = self.slots[at as usize];
            let weights = self.messages.streams[stream as usize].set.row(flow as usize);
            for (link, (_, weight)) in self.links(at).iter().zip(weights) {
                set.link.push(local[link]);
                set.weight.push(weight);
            }
            set.close(1.0, 0.0, 0);
        }
        let rates = max_min(&set, &vec![true; set.len()]);
        for (&at, &rate) in members.iter().zip(&rates) {
            self.set_rate(at, rate);
        }
    }

    fn set_rate(&mut self, at: u32, rate: f64) {
        let now = self.queue.now();
        let slot = &mut self.slots[at as usize];
        if slot.rate == rate {
            return;
        }
        slot.rest = (slot.rest - slot.rate * (now - slot.since) as f64 * 1e-12).max(0.0);
        slot.rate = rate;
        slot.since = now;
        slot.version += 1;
        self.queue.push(duration_ps(slot.rest, rate), Event::Sent(at, slot.version));
    }
}
