//! What a run leaves behind for people and for traces.

use super::flows::{Flow, Network, Owner};
use super::lines::Line;
use super::node::Wants;
use super::pieces::{Pieces, STREAM_WORDS};
use crate::timeline::{ClassTimeline, Lane, LinkLoad, Message, Span, SpanKind, Timeline};
use plan::StageMemory;
use program::{Pass, PassKind, Program};
use std::borrow::Cow;

/// Collects spans, messages and memory; does nothing unless asked.
pub(super) struct Recorder {
    on: bool,
    stages: usize,
    classes: Vec<ClassTimeline>,
    messages: Vec<Message>,
    boundary_bytes: f64,
    step_names: Vec<Vec<&'static str>>,
    /// Bytes that one micro-batch on one chunk keeps, by pipeline rank.
    kept: Vec<f64>,
}

impl Recorder {
    pub(super) fn new(on: bool, lines: &[Line], pieces: &Pieces, boundary_bytes: f64) -> Self {
        let stages = pieces.classes.len();
        let class = |line: &Line, stage: usize| {
            let mut label = format!("pipeline {stage}");
            if !line.label.is_empty() {
                label = format!("{label}, {}", line.label);
            }
            let pipeline_rank = stage as u64;
            ClassTimeline { label, pipeline_rank, ranks: line.ranks, ..ClassTimeline::default() }
        };
        let classes =
            lines.iter().flat_map(|line| (0..stages).map(move |s| class(line, s))).collect();
        let names = |c: &super::pieces::ClassPieces| c.steps.iter().map(|s| s.name).collect();
        Self {
            on,
            stages,
            classes,
            messages: Vec::new(),
            boundary_bytes,
            step_names: pieces.classes.iter().map(names).collect(),
            kept: Vec::new(),
        }
    }

    /// Follows memory over time: what a rank always holds, and what a micro-batch adds.
    pub(super) fn with_memory(mut self, memory: &[StageMemory], program: &Program) -> Self {
        if !self.on || memory.len() != self.stages {
            return self;
        }
        let ranks = self.stages as u64;
        for (rank, held) in memory.iter().enumerate() {
            let Program { schedule, chunks, micro_batches, .. } = *program;
            let most = schedule.in_flight(ranks, chunks, micro_batches, rank as u64);
            self.kept.push(held.activations / most.max(1) as f64);
        }
        for (at, class) in self.classes.iter_mut().enumerate() {
            let held = &memory[at % self.stages];
            class.memory.push((0, held.total() - held.activations));
        }
        self
    }

    pub(super) fn memory(&mut self, node: usize, now: u64, sign: f64) {
        let Some(kept) = self.kept.get(node % self.stages) else { return };
        let memory = &mut self.classes[node].memory;
        let bytes = memory.last().map_or(0.0, |m| m.1) + sign * kept;
        if memory.last().is_some_and(|m| m.0 == now) && memory.len() > 1 {
            memory.pop();
        }
        memory.push((now, bytes));
    }

    pub(super) fn pass(&mut self, node: usize, pass: &Pass, start_ps: u64, end_ps: u64) {
        if !self.on {
            return;
        }
        let (kind, word) = pass_kind(pass.kind);
        let name = match pass.back {
            Some((_, back)) => format!("forward {} with backward {back}", pass.micro_batch),
            None => format!("{word} {}", pass.micro_batch),
        };
        self.span(
            node,
            Span {
                lane: Lane::Compute,
                kind,
                name: Cow::Owned(name),
                micro_batch: Some(u64::from(pass.micro_batch)),
                chunk: Some(u64::from(pass.chunk)),
                start_ps,
                end_ps,
            },
        );
    }

    pub(super) fn optimizer(&mut self, node: usize, start_ps: u64, end_ps: u64) {
        if self.on && end_ps > start_ps {
            self.span(
                node,
                step_span(Lane::Compute, SpanKind::Optimizer, "optimizer", start_ps, end_ps),
            );
        }
    }

    /// A collective that ended, of the pass that runs or of the step.
    pub(super) fn flow(
        &mut self,
        node: usize,
        flow: &Flow,
        end_ps: u64,
        owner: Owner,
        pass: Option<&Pass>,
    ) {
        if !self.on {
            return;
        }
        let lane = Lane::Comm(STREAM_WORDS[flow.stream]);
        if let Owner::Step(step) | Owner::Tied(step) = owner {
            let name = self.step_names[node % self.stages][step];
            self.span(node, step_span(lane, SpanKind::StepExchange, name, flow.start, end_ps));
            return;
        }
        let Some(pass) = pass else { return };
        let name = format!("{} of {}", STREAM_WORDS[flow.stream], pass_kind(pass.kind).1);
        self.span(
            node,
            Span {
                lane,
                kind: SpanKind::Exchange,
                name: Cow::Owned(name),
                micro_batch: Some(u64::from(pass.micro_batch)),
                chunk: Some(u64::from(pass.chunk)),
                start_ps: flow.start,
                end_ps,
            },
        );
    }

    pub(super) fn message(&mut self, flow: &Flow, received_ps: u64, (want, micro): (Wants, u32)) {
        if !self.on {
            return;
        }
        let word = if want == Wants::Gradient { "gradient" } else { "activation" };
        let name: Cow<'static, str> = Cow::Owned(format!("{word} {micro}"));
        let (from, to) = (flow.members[0] as usize, flow.members[1] as usize);
        let span = Span {
            lane: Lane::Send,
            kind: SpanKind::Send,
            name: name.clone(),
            micro_batch: Some(u64::from(micro)),
            chunk: None,
            start_ps: flow.start,
            end_ps: received_ps,
        };
        self.span(from, span);
        let (bytes, sent_ps) = (self.boundary_bytes, flow.start);
        self.messages.push(Message { from, to, bytes, sent_ps, received_ps, name });
    }

    fn span(&mut self, node: usize, span: Span) {
        self.classes[node].spans.push(span);
    }

    /// The timeline of a finished run.
    pub(super) fn finish(
        mut self,
        step_ps: u64,
        network: Network,
        pieces: &Pieces,
        levels: &[String],
    ) -> Timeline {
        if !self.on {
            return Timeline { step_ps, ..Timeline::default() };
        }
        for class in &mut self.classes {
            class.spans.sort_by_key(|s| (s.lane, s.start_ps, s.end_ps));
        }
        self.messages.sort_by_key(|m| (m.sent_ps, m.from, m.to));
        let names: Vec<String> = self.classes.iter().map(|c| c.label.clone()).collect();
        let links = network.links.into_iter().enumerate().filter(|(_, l)| l.bytes > 0.0);
        let links = links.map(|(at, link)| LinkLoad {
            name: link_name(at, &names, levels),
            capacity_bytes_per_s: pieces.capacity[Network::place(at).1],
            samples: link.samples,
            bytes: link.bytes,
        });
        Timeline { step_ps, links: links.collect(), classes: self.classes, messages: self.messages }
    }

    /// Labels of the classes.
    pub(super) fn labels(&self) -> Vec<String> {
        self.classes.iter().map(|c| c.label.clone()).collect()
    }
}

/// `pipeline 3 pod out`.
pub(super) fn link_name(link: usize, classes: &[String], levels: &[String]) -> String {
    let (node, level, inward) = Network::place(link);
    let direction = if inward { "in" } else { "out" };
    format!("{} {} {direction}", classes[node], levels[level])
}

fn step_span(lane: Lane, kind: SpanKind, name: &'static str, start_ps: u64, end_ps: u64) -> Span {
    let name = Cow::Borrowed(name);
    Span { lane, kind, name, micro_batch: None, chunk: None, start_ps, end_ps }
}

fn pass_kind(kind: PassKind) -> (SpanKind, &'static str) {
    let kind = match kind {
        PassKind::Forward => SpanKind::Forward,
        PassKind::Backward => SpanKind::Backward,
        PassKind::BackwardInput => SpanKind::BackwardInput,
        PassKind::Weight => SpanKind::Weight,
        PassKind::Pair => SpanKind::Pair,
    };
    (kind, kind.word())
}
