//! Flows and the links they share.

use super::node::Wants;
use super::pieces::{Comm, SEND};
use super::run::picoseconds;
use super::share::{Demand, speeds};
use fabric::MAX_LEVELS;

/// Whose communication a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The present stretch of a pass.
    Stretch,
    /// The whole pass.
    Beside,
    /// A once-a-step exchange, by its place in the class's list.
    Step(usize),
    /// One between the ends of the pipeline.
    Tied(usize),
}

/// Communication that runs: a collective of its members, or a message from the first to the second.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    pub members: Vec<u32>,
    pub stream: usize,
    pub message: Option<(Wants, u32, u32)>,
    pub start: u64,
    demand: Demand,
    seconds: f64,
    remaining_s: f64,
    speed: f64,
    since: u64,
    version: u32,
    active: bool,
}

/// A flow whose end moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub flow: u32,
    pub version: u32,
    pub end_ps: u64,
}

/// What one link carried.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// Flows on it.
    flows: Vec<u32>,
    /// What it carries, of normal.
    load: f64,
    since: u64,
    pub bytes: f64,
    pub busy_ps: u64,
    /// `(from when, bytes/s)`.
    pub samples: Vec<(u64, f64)>,
}

/// Every link of every node: two directions a level.
pub(super) struct Network {
    flows: Vec<Flow>,
    free: Vec<u32>,
    pub links: Vec<Link>,
    levels: [f64; MAX_LEVELS],
    /// Whether flows share links; without, each runs as if alone.
    shared: bool,
    pub recorded: bool,
    /// Bytes of finished flows, sent and received. They must be equal to what links carried.
    sent: f64,
    received: f64,
}

impl Network {
    pub(super) fn new(nodes: usize, levels: [f64; MAX_LEVELS], shared: bool) -> Self {
        Self {
            flows: Vec::new(),
            free: Vec::new(),
            links: vec![Link::default(); 2 * MAX_LEVELS * nodes],
            levels,
            shared,
            recorded: false,
            sent: 0.0,
            received: 0.0,
        }
    }

    pub(super) fn flow(&self, flow: u32) -> &Flow {
        &self.flows[flow as usize]
    }

    pub(super) fn is_current(&self, flow: u32, version: u32) -> bool {
        let f = &self.flows[flow as usize];
        f.active && f.version == version
    }

    /// Node, level and direction of a link.
    pub(super) fn place(link: usize) -> (usize, usize, bool) {
        (link / (2 * MAX_LEVELS), link / 2 % MAX_LEVELS, link % 2 == 1)
    }

    fn link(node: u32, level: usize, inward: bool) -> u32 {
        (node as usize * 2 * MAX_LEVELS + 2 * level + usize::from(inward)) as u32
    }

    /// A collective of `members`: each pushes and takes as much.
    pub(super) fn collective(&mut self, members: Vec<u32>, comm: &Comm) -> u32 {
        let mut links = Vec::new();
        for (level, share) in self.shares(comm) {
            for &member in &members {
                links.push((Self::link(member, level, false), share));
                links.push((Self::link(member, level, true), share));
            }
        }
        self.add(members, comm, links, None)
    }

    /// A message from one node to another.
    pub(super) fn message(
        &mut self,
        from: u32,
        to: u32,
        comm: &Comm,
        what: (Wants, u32, u32),
    ) -> u32 {
        let mut links = Vec::new();
        for (level, share) in self.shares(comm) {
            links.push((Self::link(from, level, false), share));
            links.push((Self::link(to, level, true), share));
        }
        self.add(vec![from, to], comm, links, Some(what))
    }

    /// Share of each level's bandwidth that the communication takes when alone.
    fn shares(&self, comm: &Comm) -> Vec<(usize, f64)> {
        let of = |(level, bytes): (usize, &f64)| {
            let share = bytes / comm.seconds / self.levels[level].max(f64::MIN_POSITIVE);
            (level, share.min(1.0))
        };
        comm.bytes.iter().enumerate().filter(|(_, b)| **b > 0.0).map(of).collect()
    }

    fn add(
        &mut self,
        members: Vec<u32>,
        comm: &Comm,
        links: Vec<(u32, f64)>,
        message: Option<(Wants, u32, u32)>,
    ) -> u32 {
        let peak = links.iter().fold(0.0, |most: f64, &(_, share)| most.max(share));
        let flow = Flow {
            members,
            stream: if message.is_some() { SEND } else { comm.stream },
            message,
            demand: Demand { links, peak },
            seconds: comm.seconds,
            remaining_s: comm.seconds,
            ..Flow::default()
        };
        if let Some(id) = self.free.pop() {
            let version = self.flows[id as usize].version;
            self.flows[id as usize] = Flow { version, ..flow };
            return id;
        }
        self.flows.push(flow);
        (self.flows.len() - 1) as u32
    }

    /// Starts a flow; the flows whose end is new.
    pub(super) fn begin(&mut self, flow: u32, now: u64) -> Vec<Change> {
        let f = &mut self.flows[flow as usize];
        (f.active, f.start, f.since, f.speed) = (true, now, now, 0.0);
        for at in 0..self.flows[flow as usize].demand.links.len() {
            let link = self.flows[flow as usize].demand.links[at].0;
            self.links[link as usize].flows.push(flow);
        }
        self.reshare(flow, now)
    }

    /// Ends a flow; what it was, and the flows whose end moved.
    pub(super) fn end(&mut self, flow: u32, now: u64) -> (Flow, Vec<Change>) {
        let touched: Vec<u32> =
            self.flows[flow as usize].demand.links.iter().map(|l| l.0).collect();
        self.settle(flow, now);
        let mut near = Vec::new();
        for link in touched {
            let flows = &mut self.links[link as usize].flows;
            flows.retain(|&f| f != flow);
            near.extend(flows.iter().copied());
            self.load(link, now);
        }
        let f = &mut self.flows[flow as usize];
        f.active = false;
        f.version += 1;
        let ended = f.clone();
        self.count(&ended);
        near.sort_unstable();
        near.dedup();
        self.free.push(flow);
        let mut changes = Vec::new();
        let mut done: Vec<u32> = Vec::new();
        for start in near {
            if !done.contains(&start) {
                let group = self.neighbours(start);
                changes.extend(self.pace(&group, now));
                done.extend(group);
            }
        }
        (ended, changes)
    }

    /// Adds a finished flow's bytes to both ends.
    fn count(&mut self, flow: &Flow) {
        for &(link, share) in &flow.demand.links {
            let (_, level, inward) = Self::place(link as usize);
            let bytes = share * self.levels[level] * flow.seconds;
            if inward {
                self.received += bytes;
            } else {
                self.sent += bytes;
            }
        }
    }

    fn reshare(&mut self, flow: u32, now: u64) -> Vec<Change> {
        let group = self.neighbours(flow);
        self.pace(&group, now)
    }

    /// All flows that share links with `flow`, however indirectly, in a fixed order: by stream, then by
    /// first member.
    fn neighbours(&self, flow: u32) -> Vec<u32> {
        let mut group = vec![flow];
        if self.shared {
            let mut at = 0;
            while at < group.len() {
                for &(link, _) in &self.flows[group[at] as usize].demand.links {
                    for &other in &self.links[link as usize].flows {
                        if !group.contains(&other) {
                            group.push(other);
                        }
                    }
                }
                at += 1;
            }
        }
        let key = |&f: &u32| {
            let flow = &self.flows[f as usize];
            (flow.stream, flow.members[0], f)
        };
        group.sort_unstable_by_key(key);
        group
    }

    /// Sets the speeds of a closed set of flows.
    fn pace(&mut self, group: &[u32], now: u64) -> Vec<Change> {
        let demands: Vec<&Demand> = group.iter().map(|&f| &self.flows[f as usize].demand).collect();
        let new = if self.shared { speeds(&demands, |_| 1.0) } else { vec![1.0; demands.len()] };
        let mut changes = Vec::new();
        for (&flow, speed) in group.iter().zip(new) {
            if speed == self.flows[flow as usize].speed {
                continue;
            }
            self.settle(flow, now);
            let f = &mut self.flows[flow as usize];
            f.speed = speed;
            f.version += 1;
            let end_ps = now + picoseconds(f.remaining_s / speed);
            changes.push(Change { flow, version: f.version, end_ps });
        }
        for change in &changes {
            for at in 0..self.flows[change.flow as usize].demand.links.len() {
                let link = self.flows[change.flow as usize].demand.links[at].0;
                self.load(link, now);
            }
        }
        changes
    }

    /// Moves a flow on to now.
    fn settle(&mut self, flow: u32, now: u64) {
        let f = &mut self.flows[flow as usize];
        let passed = (now - f.since) as f64 * 1e-12;
        f.remaining_s = (f.remaining_s - passed * f.speed).max(0.0);
        f.since = now;
    }

    /// Sets a link's load from the flows on it.
    ///
    /// # Panics
    /// If the link carries more than it can.
    fn load(&mut self, link: u32, now: u64) {
        let (_, level, _) = Self::place(link as usize);
        let mut load = 0.0;
        for &flow in &self.links[link as usize].flows {
            let f = &self.flows[flow as usize];
            let share = f.demand.links.iter().find(|l| l.0 == link).map_or(0.0, |l| l.1);
            load += share * f.speed;
        }
        let l = &mut self.links[link as usize];
        assert!(!self.shared || load <= 1.0 + 1e-9, "a link carries {load} of what it can");
        let passed = now - l.since;
        l.bytes += l.load * self.levels[level] * passed as f64 * 1e-12;
        l.busy_ps += if l.load > 0.0 { passed } else { 0 };
        l.since = now;
        if self.recorded && load != l.load {
            if l.samples.last().is_some_and(|s| s.0 == now) {
                l.samples.pop();
            }
            l.samples.push((now, load * self.levels[level]));
        }
        l.load = load;
    }

    /// Closes the books.
    ///
    /// # Panics
    /// If bytes sent, bytes received and what links carried differ.
    pub(super) fn finish(&mut self, step_ps: u64) {
        for link in 0..self.links.len() {
            self.load(link as u32, step_ps.max(self.links[link].since));
        }
        let (mut out, mut inward) = (0.0, 0.0);
        for (at, link) in self.links.iter().enumerate() {
            if Self::place(at).2 { inward += link.bytes } else { out += link.bytes }
        }
        let most = self.sent.max(1.0);
        // Ends are rounded up to whole picoseconds, so links carry a trifle more.
        for (what, bytes) in [("received", self.received), ("carried out", out), ("in", inward)] {
            let sent = self.sent;
            assert!((bytes - sent).abs() <= 1e-5 * most, "{sent} bytes sent, {bytes} {what}");
        }
    }
}
