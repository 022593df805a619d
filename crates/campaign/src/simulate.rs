//! One campaign from its first step to its last, event by event.
//!
//! Time jumps from event to event (a strike, a repair, a discovery, the end of a segment); whole
//! cycles of training and checkpoint between two events are one multiplication. About 500 events of
//! 50 ns a sample: 10,000 samples of two months are below a second.

use crate::account::{Account, Cause};
use crate::run::{Run, SHARE_BITS, Strike};
use crate::strikes::Strikes;
use std::collections::VecDeque;

/// What came of one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Where the wall clock went; sums to it.
    pub account: Account,
    /// Strikes by process.
    pub strikes: Vec<u64>,
    /// Whether all work was done before [`Run::limit_ns`].
    pub finished: bool,
    /// Whether it was given up before either; what was left until the limit then counts as restarts.
    pub cut: bool,
}

/// Events after which a run is given up: ten thousand times what months on thousands of chips have.
pub const MOST_EVENTS: u64 = 1 << 22;

/// Events between two looks at whether a run that is played to its end gets anywhere.
const LOOK: u64 = 1 << 16;

/// A run is given up that would take this many times its limit at the pace of all its events so far: a
/// hundred and sixty times the work, or more.
const HOPELESS: f64 = 8.0;

/// Plays `run` against `strikes`.
///
/// A failed host is repaired in a constant time; strikes go on while the job is down, and one that
/// stops the job again begins its recovery anew. Only one slow chip is felt at a time: a synchronous
/// step waits for the slowest.
///
/// # Panics
/// If the account does not sum to the wall clock, or its useful part to the work: our bug.
pub fn simulate(run: &Run, strikes: Strikes) -> Outcome {
    let mut state = State::new(run, strikes);
    let finished = state.play();
    let cut = !finished && state.now < run.limit_ns;
    if cut {
        state.spend(Cause::Restart, run.limit_ns - state.now);
    }
    let account = state.account;
    assert_eq!(account.total(), state.now, "the account does not sum to the wall clock");
    assert_eq!(account.of(Cause::Useful), state.work, "kept work is not what was done");
    Outcome { account, strikes: state.counts, finished, cut }
}

/// A checkpoint that can be, or soon can be, restarted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Saved {
    work: u64,
    durable_at: u64,
}

/// Overheads on work, as shares.
#[derive(Clone, Copy, Debug, Default)]
struct Drag {
    ramp: u64,
    degraded: u64,
    slow: u64,
}

impl Drag {
    fn parts(self) -> [(Cause, u64); 3] {
        [(Cause::Ramp, self.ramp), (Cause::Degraded, self.degraded), (Cause::Slow, self.slow)]
    }

    /// Wall clock of `work`. Each part is rounded down on its own, as it is accounted.
    fn wall(self, work: u64) -> u64 {
        self.parts().iter().fold(work, |sum, (_, share)| sum.saturating_add(of(work, *share)))
    }

    /// The most work whose wall clock is at most `wall`.
    fn work(self, wall: u64) -> u64 {
        let all = self.parts().iter().map(|(_, share)| share).sum::<u64>();
        if all == 0 {
            return wall;
        }
        let whole = (1_u128 << SHARE_BITS) + u128::from(all);
        let mut work = ((u128::from(wall) << SHARE_BITS) / whole) as u64;
        // Rounding each part down can leave room for a nanosecond or two.
        while self.wall(work.saturating_add(1)) <= wall {
            work += 1;
        }
        work
    }
}

/// A share of work; saturates, which no run reaches before its limit.
fn of(work: u64, share: u64) -> u64 {
    u64::try_from((u128::from(work) * u128::from(share)) >> SHARE_BITS).unwrap_or(u64::MAX)
}

struct State<'a> {
    run: &'a Run,
    strikes: Strikes,
    account: Account,
    counts: Vec<u64>,
    /// What was handled so far, each host that is taken out and each pause that is looked through by itself.
    events: u64,
    next_look: u64,
    /// Wall clock.
    now: u64,
    /// Useful work kept so far.
    work: u64,
    segment: usize,
    segment_end: u64,
    next_evaluation: u64,
    /// Work since the last checkpoint began, or since the restart.
    since: u64,
    /// What is left of a checkpoint being taken.
    stall_left: u64,
    last: Saved,
    before: u64,
    /// What the job does instead of training, in order.
    pauses: VecDeque<(Cause, u64)>,
    free: u64,
    missing: u64,
    /// When hosts come back, earliest first.
    repairs: VecDeque<u64>,
    slow: Option<(u64, u64)>,
    /// When wrong results will be found, and the work before them.
    corrupt: Option<(u64, u64)>,
    drag: Drag,
}

impl<'a> State<'a> {
    fn new(run: &'a Run, strikes: Strikes) -> Self {
        let first = run.segments.first();
        Self {
            run,
            strikes,
            account: Account::default(),
            counts: vec![0; run.processes.len()],
            events: 0,
            next_look: LOOK,
            now: 0,
            work: 0,
            segment: 0,
            segment_end: first.map_or(0, |s| s.work_ns),
            next_evaluation: match run.evaluation_every_ns {
                0 => u64::MAX,
                every => every,
            },
            since: 0,
            stall_left: 0,
            last: Saved { work: 0, durable_at: 0 },
            before: 0,
            pauses: VecDeque::new(),
            free: run.spare_hosts,
            missing: 0,
            repairs: VecDeque::new(),
            slow: None,
            corrupt: None,
            drag: Drag { ramp: first.map_or(0, |s| s.ramp), ..Drag::default() },
        }
    }

    fn play(&mut self) -> bool {
        let total = self.run.work_ns();
        while self.work < total {
            self.events += 1;
            if self.now >= self.run.limit_ns || self.events > MOST_EVENTS || self.hopeless(total) {
                return false;
            }
            let event = self.next_event();
            if let Some((cause, left)) = self.pauses.front_mut() {
                let spent = (*left).min(event - self.now);
                *left -= spent;
                let (cause, done) = (*cause, *left == 0);
                self.spend(cause, spent);
                if done {
                    self.pauses.pop_front();
                }
            } else {
                self.train(event);
            }
            if self.now == event {
                self.handle();
            }
        }
        true
    }

    /// Looked at now and then: after so many events chance is averaged out.
    fn hopeless(&mut self, total: u64) -> bool {
        if self.run.window || self.events < self.next_look {
            return false;
        }
        self.next_look = self.events + LOOK;
        let share = self.work as f64 / total as f64;
        self.now as f64 > HOPELESS * self.run.limit_ns as f64 * share
    }

    fn spend(&mut self, cause: Cause, ns: u64) {
        self.account.add(cause, ns);
        self.now += ns;
    }

    /// The earliest of everything that is not training; never before now.
    fn next_event(&self) -> u64 {
        let mut event = self.strikes.next_ns();
        if let Some(back) = self.repairs.front() {
            event = event.min(*back);
        }
        if let Some((found, _)) = self.slow {
            event = event.min(found);
        }
        if let Some((found, _)) = self.corrupt {
            event = event.min(found);
        }
        event.max(self.now).min(self.run.limit_ns.max(self.now))
    }

    /// Trains until `event`, or until the segment or the time for an evaluation ends.
    fn train(&mut self, event: u64) {
        let goal = self.segment_end.min(self.next_evaluation);
        self.advance(event, goal);
        if self.work == self.next_evaluation && self.stall_left == 0 {
            self.pauses.push_back((Cause::Evaluation, self.run.evaluation_ns));
            self.next_evaluation =
                self.next_evaluation.saturating_add(self.run.evaluation_every_ns);
        }
        self.enter_segment();
    }

    /// Makes `segment` the one that holds `work`.
    fn enter_segment(&mut self) {
        while self.work >= self.segment_end && self.segment + 1 < self.run.segments.len() {
            self.segment += 1;
            let next = self.run.segments[self.segment];
            self.segment_end += next.work_ns;
            if next.restarts {
                self.checkpoint_now();
                self.pauses.push_back((Cause::Restart, self.run.recovery.restart_ns));
            }
        }
        while self.work < self.segment_end - self.run.segments[self.segment].work_ns {
            self.segment_end -= self.run.segments[self.segment].work_ns;
            self.segment -= 1;
        }
        self.drag.ramp = self.run.segments[self.segment].ramp;
    }

    fn advance(&mut self, event: u64, goal: u64) {
        let checkpoints = self.run.checkpoints;
        while self.now < event && (self.work < goal || self.stall_left > 0) {
            if self.stall_left > 0 {
                let spent = self.stall_left.min(event - self.now);
                self.stall_left -= spent;
                self.spend(Cause::Checkpoint, spent);
                if self.stall_left == 0 {
                    self.saved();
                }
                continue;
            }
            if self.since == 0 {
                self.cycles(event, goal);
                if self.now == event || self.work == goal {
                    return;
                }
            }
            let wanted = (checkpoints.interval_ns - self.since).min(goal - self.work);
            if self.now.saturating_add(self.drag.wall(wanted)) <= event {
                self.steps(wanted);
                if self.since == checkpoints.interval_ns {
                    self.since = 0;
                    self.stall_left = checkpoints.stall_ns;
                    if self.stall_left == 0 {
                        self.saved();
                    }
                }
            } else {
                let left = event - self.now;
                let work = self.drag.work(left);
                self.steps(work);
                // The rest is a piece of a nanosecond's overhead: it has a cause all the same.
                let rest = event - self.now;
                let cause = self.drag.parts().into_iter().rev().find(|(_, share)| *share > 0);
                self.spend(cause.map_or(Cause::Checkpoint, |(cause, _)| cause), rest);
            }
        }
    }

    /// As many whole cycles of training and checkpoint as fit.
    fn cycles(&mut self, event: u64, goal: u64) {
        let checkpoints = self.run.checkpoints;
        let cycle = self.drag.wall(checkpoints.interval_ns).saturating_add(checkpoints.stall_ns);
        let fit = (event - self.now) / cycle;
        let count = fit.min((goal - self.work) / checkpoints.interval_ns);
        if count == 0 {
            return;
        }
        for (cause, share) in self.drag.parts() {
            self.spend(cause, count * of(checkpoints.interval_ns, share));
        }
        self.spend(Cause::Useful, count * checkpoints.interval_ns);
        self.spend(Cause::Checkpoint, count * checkpoints.stall_ns);
        if count > 1 {
            self.last =
                Saved { work: self.work + (count - 1) * checkpoints.interval_ns, durable_at: 0 };
        }
        self.work += count * checkpoints.interval_ns;
        self.saved();
    }

    fn steps(&mut self, work: u64) {
        for (cause, share) in self.drag.parts() {
            self.spend(cause, of(work, share));
        }
        self.spend(Cause::Useful, work);
        self.work += work;
        self.since += work;
    }

    /// A checkpoint of the present work has left the job.
    fn saved(&mut self) {
        // The one before is durable by now: no interval is shorter than the writing.
        self.before = self.last.work;
        let durable_at = self.now + self.run.checkpoints.persist_ns;
        self.last = Saved { work: self.work, durable_at };
        self.since = 0;
    }

    /// The work that a restart begins from.
    fn restartable(&self) -> u64 {
        if self.last.durable_at <= self.now { self.last.work } else { self.before }
    }

    fn handle(&mut self) {
        if self.repairs.front() == Some(&self.now) {
            self.repairs.pop_front();
            self.host_back();
        } else if self.slow.is_some_and(|(found, _)| found <= self.now) {
            self.evict();
        } else if let Some((_, work)) = self.corrupt.filter(|(found, _)| *found <= self.now) {
            self.corrupt = None;
            self.stop(work);
            self.take_out(1);
            self.pauses.push_back((Cause::Restart, self.run.recovery.restart_ns));
        } else if self.strikes.next_ns() <= self.now {
            let process = self.strikes.take();
            self.counts[process] += 1;
            self.strike(process);
        }
    }

    fn strike(&mut self, index: usize) {
        let (run, process) = (self.run, &self.run.processes[index]);
        match process.strike {
            Strike::Stop => {
                self.stop(self.restartable());
                let recovery = run.recovery;
                if self.strikes.happens(index, process.replaced) {
                    self.take_out(process.hosts);
                    self.pauses.push_back((Cause::Restart, recovery.restart_ns));
                } else if self.strikes.happens(index, recovery.in_place) {
                    self.pauses.push_back((Cause::Restart, recovery.in_place_ns));
                } else {
                    self.pauses.push_back((Cause::Restart, recovery.restart_ns));
                }
            }
            Strike::Corrupt { found_ns } => {
                if self.corrupt.is_none() {
                    let before = self.restartable();
                    self.corrupt = Some((self.now.saturating_add(found_ns), before));
                }
            }
            Strike::Slow { loss, found_ns } => {
                if self.slow.is_none() {
                    self.slow = Some((self.now.saturating_add(found_ns), loss));
                    self.drag.slow = loss;
                }
            }
            Strike::Maintenance { pause_ns } => {
                self.checkpoint_now();
                self.pauses.push_back((Cause::Maintenance, pause_ns));
                self.pauses.push_back((Cause::Restart, run.recovery.restart_ns));
            }
        }
    }

    /// The job is down and goes back to `work`.
    fn stop(&mut self, work: u64) {
        let back = work.min(self.work);
        self.account.shift(Cause::Useful, Cause::Lost, self.work - back);
        self.work = back;
        if self.last.work > back {
            self.last = Saved { work: back, durable_at: 0 };
        }
        self.before = self.before.min(back);
        if self.corrupt.is_some_and(|(_, before)| back <= before) {
            self.corrupt = None;
        }
        self.since = 0;
        self.stall_left = 0;
        self.pauses.clear();
        self.enter_segment();
        self.pauses.push_back((Cause::Detection, self.run.recovery.detection_ns));
        self.pauses.push_back((Cause::Diagnosis, self.run.recovery.diagnosis_ns));
    }

    /// A checkpoint outside the rhythm, waited for to the end.
    fn checkpoint_now(&mut self) {
        // A job that is down already stands at a checkpoint.
        if self.work <= self.restartable() {
            return;
        }
        if self.last.work == self.work {
            // One of this very work is on its way.
            self.pauses.push_back((Cause::Checkpoint, self.last.durable_at - self.now));
        } else {
            let checkpoints = self.run.checkpoints;
            let wait = checkpoints.stall_ns + checkpoints.persist_ns;
            self.pauses.push_back((Cause::Checkpoint, wait));
            self.before = self.restartable();
            self.last = Saved { work: self.work, durable_at: self.now + wait };
            self.since = 0;
            self.stall_left = 0;
        }
    }

    /// Replaces `hosts`, or goes on without, or waits.
    fn take_out(&mut self, hosts: u64) {
        let recovery = self.run.recovery;
        self.events += hosts + self.pauses.len() as u64;
        for _ in 0..hosts {
            self.repairs.push_back(self.now + recovery.repair_ns);
        }
        let taken = hosts.min(self.free);
        self.free -= taken;
        self.missing += hosts - taken;
        if taken > 0 {
            self.pauses.push_back((Cause::Spares, recovery.replacement_ns));
        }
        if self.missing > 0 && !(self.run.degraded && self.missing < self.run.replicas) {
            // Until enough are back that the job is whole, or has a replica to run on.
            let needed = if self.run.degraded {
                self.missing + 1 - self.run.replicas.max(1)
            } else {
                self.missing
            };
            let at = (needed as usize).clamp(1, self.repairs.len()) - 1;
            let until = self.repairs[at];
            let queued: u64 = self.pauses.iter().map(|(_, ns)| ns).sum();
            self.pauses.push_back((Cause::Spares, (until - self.now).saturating_sub(queued)));
        }
        self.set_degraded();
    }

    fn host_back(&mut self) {
        if self.missing == 0 {
            self.free += 1;
            return;
        }
        self.missing -= 1;
        if self.run.degraded && self.pauses.is_empty() {
            // The job grows again: a checkpoint, and a restart with one replica more.
            self.checkpoint_now();
            self.pauses.push_back((Cause::Restart, self.run.recovery.restart_ns));
        }
        self.set_degraded();
    }

    fn set_degraded(&mut self) {
        let lost = self.missing.min(self.run.replicas.saturating_sub(1));
        let kept = (self.run.replicas - lost).max(1);
        self.drag.degraded = ((u128::from(lost) << SHARE_BITS) / u128::from(kept)) as u64;
    }

    fn evict(&mut self) {
        self.slow = None;
        self.drag.slow = 0;
        self.checkpoint_now();
        self.take_out(1);
        self.pauses.push_back((Cause::Restart, self.run.recovery.restart_ns));
    }
}
