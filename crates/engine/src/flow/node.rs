//! One class of ranks as it runs: what it does now, what it waits for, where its time went.

use super::flows::Owner;
use super::pieces::{Comm, SEND, STREAMS, StepComm};
use crate::price::CLASSES;
use model::Class;
use program::{Pass, Timetable};
use std::collections::VecDeque;

/// What a node is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Waiting for the inputs of its next pass.
    Waiting,
    /// In a pass.
    Pass,
    /// Sending, with nothing beside.
    Sending,
    /// Past its last pass, exchanging gradients or parameters.
    Finishing,
    /// In the optimizer.
    Optimizer,
    /// At the end of its step.
    Done,
}

/// What a pass waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Output of the stage before.
    Activation,
    /// Gradient from the stage after.
    Gradient,
    /// The rank's own forward pass.
    Own,
}

/// Compute that runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compute {
    pub active: bool,
    /// At the normal chip's speed. Seconds.
    pub remaining_s: f64,
    /// The chip's speed, 1 for normal.
    pub speed: f64,
    /// Progress per second.
    pub rate: f64,
    pub version: u32,
}

/// A once-a-step exchange in a node's queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepItem {
    pub step: usize,
    pub comm: Comm,
    /// The chunk whose first forward pass needs it.
    pub gathers: Option<u32>,
}

/// Where a node's time went. Picoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Kernels at full speed.
    pub compute: f64,
    pub by_class_s: [f64; CLASSES],
    pub contention: f64,
    pub exposed: [f64; STREAMS],
    pub hidden: [f64; STREAMS],
    pub launch: f64,
    pub bubble: f64,
    /// Waiting for once-a-step exchanges, in all and past the last pass.
    pub data: f64,
    pub data_alone: f64,
    pub optimizer: f64,
    /// Passes by kind, from begin to end.
    pub passes: [f64; 5],
}

/// One class of ranks.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub line: usize,
    pub stage: usize,
    pub table: usize,
    pub doing: Doing,
    /// Next pass in its timetable.
    pub next: usize,
    pub pass_start: u64,
    pub stretch: usize,
    /// Things of the present stretch that run.
    pub open: u32,
    /// Communication beside the pass that runs.
    pub beside: u32,
    pub launched: bool,
    /// Share of the cores set aside for communication during the present pass.
    pub reserved: f64,
    pub compute: Compute,
    /// Flows that run, by stream.
    pub flowing: [i32; STREAMS],
    pub posted: [Option<(Comm, Owner)>; STREAMS],
    /// What waits for a stream to be free, by stream.
    pub queued: [VecDeque<(Comm, Owner)>; STREAMS],
    pub meetings: [u32; 6],
    pub sends: VecDeque<(u32, Wants, u32, u32)>,
    pub items: VecDeque<StepItem>,
    /// Parts of the parameters' gathering that a chunk still waits for.
    pub gathers: Vec<u32>,
    /// Chunks in the order of their first forward passes.
    pub first_chunks: Vec<u32>,
    /// Index of each chunk's last pass that makes weight gradients.
    last_weight: Vec<usize>,
    pub optimized: bool,
    pub first_start: Option<u64>,
    pub end: u64,
    pub totals: Totals,
    since: u64,
    /// Micro-batches of the step.
    micro_batches: usize,
    /// By want, chunk and micro-batch.
    have: Vec<bool>,
    /// Whether a chunk is the first stage, the last stage.
    ends: Vec<(bool, bool)>,
}

impl Node {
    pub(super) fn new(
        line: usize,
        stage: usize,
        table_at: usize,
        table: &Timetable,
        steps: &[StepComm],
    ) -> Self {
        let chunks = table.stages[stage].len();
        let (mut first_chunks, mut last_weight) = (Vec::new(), vec![usize::MAX; chunks]);
        for (at, pass) in table.ranks[stage].iter().enumerate() {
            if let Some((chunk, _)) = pass.forward()
                && !first_chunks.contains(&chunk)
            {
                first_chunks.push(chunk);
            }
            if let Some((chunk, _)) = pass.weight() {
                last_weight[chunk as usize] = at;
            }
        }
        let micro_batches = table.micro_batches as usize;
        let last = table.stage_count() - 1;
        Self {
            line,
            stage,
            table: table_at,
            doing: Doing::Waiting,
            next: 0,
            pass_start: 0,
            stretch: 0,
            open: 0,
            beside: 0,
            launched: true,
            reserved: 0.0,
            compute: Compute::default(),
            flowing: [0; STREAMS],
            posted: [None; STREAMS],
            queued: Default::default(),
            meetings: [0; 6],
            sends: VecDeque::new(),
            items: VecDeque::with_capacity(steps.len()),
            gathers: vec![0; chunks],
            first_chunks,
            last_weight,
            optimized: false,
            first_start: None,
            end: 0,
            totals: Totals::default(),
            since: 0,
            micro_batches,
            have: vec![false; 3 * chunks * micro_batches],
            ends: table.stages[stage].iter().map(|&s| (s == 0, s == last)).collect(),
        }
    }

    fn at(&self, want: Wants, chunk: u32, micro: u32) -> usize {
        (want as usize * self.ends.len() + chunk as usize) * self.micro_batches + micro as usize
    }

    pub(super) fn mark(&mut self, want: Wants, chunk: u32, micro: u32) {
        let at = self.at(want, chunk, micro);
        self.have[at] = true;
    }

    pub(super) fn has_inputs(&self, pass: &Pass) -> bool {
        let forward = pass.forward().is_none_or(|(chunk, micro)| {
            self.ends[chunk as usize].0 || self.have[self.at(Wants::Activation, chunk, micro)]
        });
        let backward = pass.backward().is_none_or(|(chunk, micro)| {
            let gradient = self.have[self.at(Wants::Gradient, chunk, micro)];
            self.have[self.at(Wants::Own, chunk, micro)]
                && (self.ends[chunk as usize].1 || gradient)
        });
        forward && backward
    }

    /// Whether the pass, its next, makes the last weight gradients of a chunk.
    pub(super) fn is_last_weight(&self, pass: &Pass) -> bool {
        pass.weight().is_some_and(|(chunk, _)| self.last_weight[chunk as usize] == self.next)
    }

    /// Counts the time since the last change under what the node was doing, and moves its compute on.
    pub(super) fn settle(&mut self, now: u64) {
        let passed = (now - self.since) as f64;
        self.since = now;
        if passed == 0.0 {
            return;
        }
        if self.compute.active {
            let seconds = passed * 1e-12 * self.compute.rate;
            self.compute.remaining_s = (self.compute.remaining_s - seconds).max(0.0);
            let full = self.compute.rate / self.compute.speed;
            if self.doing == Doing::Optimizer {
                self.totals.optimizer += passed;
            } else {
                self.totals.compute += passed * full;
                self.totals.contention += passed * (1.0 - full);
            }
            for (hidden, &flows) in self.totals.hidden.iter_mut().zip(&self.flowing) {
                *hidden += if flows > 0 { passed } else { 0.0 };
            }
            return;
        }
        match self.doing {
            Doing::Waiting => self.totals.bubble += passed,
            Doing::Sending => self.totals.exposed[SEND] += passed,
            Doing::Finishing => {
                self.totals.data += passed;
                self.totals.data_alone += passed;
            }
            Doing::Optimizer => self.totals.optimizer += passed,
            Doing::Done => {}
            Doing::Pass => match self.waits_on() {
                Some(stream) => self.totals.exposed[stream] += passed,
                None if !self.launched => self.totals.launch += passed,
                None => self.totals.data += passed,
            },
        }
    }

    /// The stream a pass without running compute waits for.
    fn waits_on(&self) -> Option<usize> {
        let of = |wanted: Owner| {
            let posted = self.posted.iter().enumerate();
            posted.filter_map(|(s, p)| p.map(|(_, o)| (s, o))).find(|(_, o)| *o == wanted)
        };
        of(Owner::Stretch).or_else(|| of(Owner::Beside)).map(|(stream, _)| stream)
    }

    /// Turns to something else.
    pub(super) fn turn(&mut self, now: u64, doing: Doing) {
        self.settle(now);
        self.doing = doing;
    }

    /// Counts a pass's kernels by class.
    pub(super) fn count_classes(&mut self, by_class: &[f64; CLASSES], load: f64) {
        for (class, (sum, seconds)) in self.totals.by_class_s.iter_mut().zip(by_class).enumerate() {
            let load = if class == Class::Experts as usize { load } else { 1.0 };
            *sum += seconds * load;
        }
    }
}
