//! Where a step went, and why it is not the closed form's.

use super::answer::{Gap, LinkUse};
use super::flows::Network;
use super::node::Node;
use super::pieces::{COMM_STREAMS, Pieces, SEND, STREAM_WORDS};
use super::record::link_name;
use super::run::Outcome;
use crate::estimate::{CLASS_LIST, Estimate, Hidden, Part, PartKind, Phases, RankTime};
use program::{PassKind, Program};

/// How many ports the answer names.
const BUSIEST: usize = 8;

/// What ran, to read an outcome by.
pub(super) struct View<'a> {
    pub program: &'a Program,
}

impl View<'_> {
    /// The class that took longest and how long, in seconds; of several that end together, the one
    /// that the others waited for.
    pub(super) fn critical(&self, outcome: &Outcome) -> (usize, f64) {
        let took = |at: usize| {
            let node = &outcome.nodes[at];
            node.end - self.begin(outcome, at)
        };
        let waited = |at: usize| {
            let totals = &outcome.nodes[at].totals;
            totals.bubble + totals.data
        };
        let later =
            |&a: &usize, &b: &usize| took(a).cmp(&took(b)).then(waited(b).total_cmp(&waited(a)));
        let last = (0..outcome.nodes.len()).rev().max_by(later).unwrap_or(0);
        (last, took(last) as f64 * 1e-12)
    }

    /// When a class's step begins: with the step, or, where steps follow on, with its first pass.
    fn begin(&self, outcome: &Outcome, at: usize) -> u64 {
        let first = outcome.nodes[at].first_start.unwrap_or(0);
        if self.program.schedule.follows_on() { first } else { 0 }
    }

    /// Where the step of one class went; sums to `step_s`.
    ///
    /// # Panics
    /// If it does not.
    pub(super) fn parts(&self, outcome: &Outcome, at: usize, step_s: f64) -> Vec<Part> {
        let node = &outcome.nodes[at];
        let t = &node.totals;
        let seconds = |ps: f64| ps * 1e-12;
        // Device time by class, at the speed of this class's chips.
        let nominal: f64 = t.by_class_s.iter().sum();
        let scale = if nominal > 0.0 { seconds(t.compute) / nominal } else { 1.0 };
        let mut parts: Vec<Part> = CLASS_LIST
            .iter()
            .map(|&class| Part {
                kind: PartKind::Compute(class),
                seconds: t.by_class_s[class as usize] * scale,
            })
            .collect();
        let mut push = |kind, seconds| parts.push(Part { kind, seconds });
        push(PartKind::LaunchGaps, seconds(t.launch));
        for stream in 0..COMM_STREAMS {
            push(PartKind::Exposed(stream), seconds(t.exposed[stream]));
        }
        push(PartKind::Contention, seconds(t.contention));
        push(PartKind::PipelineSend, seconds(t.exposed[SEND]));
        push(PartKind::Bubble, seconds(t.bubble - self.begin(outcome, at) as f64));
        push(PartKind::DataExchange, seconds(t.data));
        push(PartKind::Optimizer, seconds(t.optimizer));
        let sum: f64 = parts.iter().map(|p| p.seconds).sum();
        assert!((sum - step_s).abs() <= 1e-9 * step_s, "parts sum to {sum}, the step is {step_s}");
        parts
    }

    /// One class's step by kind of pass.
    pub(super) fn phases(&self, outcome: &Outcome, at: usize) -> Phases {
        let t = &outcome.nodes[at].totals;
        let of = |kind: PassKind| t.passes[kind as usize] * 1e-12;
        Phases {
            forward_s: of(PassKind::Forward) + t.exposed[SEND] * 1e-12,
            backward_s: of(PassKind::Backward) + of(PassKind::BackwardInput),
            weight_s: of(PassKind::Weight),
            pair_s: of(PassKind::Pair),
            bubble_s: (t.bubble - self.begin(outcome, at) as f64) * 1e-12,
            exchange_s: t.data_alone * 1e-12,
            optimizer_s: t.optimizer * 1e-12,
        }
    }

    /// Why the step differs from the closed form's, which lists every part; sums to the difference. `alone` is the same run
    /// with every flow as fast as if nothing shared its links.
    pub(super) fn gaps(
        &self,
        outcome: &Outcome,
        alone: Option<&Outcome>,
        estimate: &Estimate,
    ) -> Vec<Gap> {
        let base = alone.unwrap_or(outcome);
        let base_s = self.critical(base).1;
        // The rank that the closed form finds slowest, waiting at its end for whoever is last.
        let at = base.nodes.iter().position(|n| n.stage == estimate.critical).unwrap_or(0);
        let own_s = (base.nodes[at].end - self.begin(base, at)) as f64 * 1e-12;
        let mut parts = self.parts(base, at, own_s);
        for part in parts.iter_mut().filter(|p| p.kind == PartKind::Bubble) {
            part.seconds += base_s - own_s;
        }
        let mut gaps: Vec<Gap> = Vec::new();
        for theirs in &estimate.parts {
            // Copies to the host are among this engine's waits for the host.
            let ours = parts.iter().find(|part| part.kind == theirs.kind);
            let cause = cause(theirs.kind);
            let seconds = ours.map_or(0.0, |part| part.seconds) - theirs.seconds;
            match gaps.iter_mut().find(|g| g.cause == cause) {
                Some(gap) => gap.seconds += seconds,
                None => gaps.push(Gap { cause, seconds }),
            }
        }
        if alone.is_some() {
            let shared = self.critical(outcome).1 - base_s;
            gaps.push(Gap { cause: "streams share links", seconds: shared });
        }
        gaps
    }
}

/// Every class: passes, waiting, exchange and update; sums to the step. Seconds.
pub(super) fn ranks(outcome: &Outcome, step_s: f64) -> Vec<RankTime> {
    let of = |node: &Node| {
        let t = &node.totals;
        let busy_s = (t.passes.iter().sum::<f64>() + t.exposed[SEND]) * 1e-12;
        let finish_s = (t.data_alone + t.optimizer) * 1e-12;
        let bubble_s = step_s - busy_s - finish_s;
        RankTime { pipeline_rank: node.stage as u64, busy_s, bubble_s, finish_s }
    };
    outcome.nodes.iter().map(of).collect()
}

/// Communication of one class that ran beside its compute.
pub(super) fn hidden(outcome: &Outcome, at: usize) -> Vec<Hidden> {
    let t = &outcome.nodes[at].totals;
    let of = |(stream, word): (usize, &&'static str)| Hidden {
        axis: word,
        seconds: t.hidden[stream] * 1e-12,
    };
    STREAM_WORDS.iter().enumerate().map(of).collect()
}

fn cause(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Compute(_)
        | PartKind::LaunchGaps
        | PartKind::Contention
        | PartKind::HostCopies => "kernels wait for the host or for cores otherwise",
        PartKind::Exposed(_) => "traffic hides as it comes, streams beside each other",
        PartKind::PipelineSend => "messages between stages",
        PartKind::Bubble => "stages wait for each other as they come, not by formula",
        PartKind::DataExchange => "gradients and parameters travel while stages wait",
        PartKind::Optimizer => "optimizer",
    }
}

/// The ports that carried most of what they could.
pub(super) fn busiest(outcome: &Outcome, pieces: &Pieces, levels: &[String]) -> Vec<LinkUse> {
    let labels = outcome.recorder.labels();
    let step_s = outcome.step_ps as f64 * 1e-12;
    let mut all: Vec<(usize, LinkUse)> = outcome
        .network
        .links
        .iter()
        .enumerate()
        .filter(|(_, link)| link.bytes > 0.0)
        .map(|(at, link)| {
            let most = pieces.capacity[Network::place(at).1] * step_s;
            let utilisation = link.bytes / most;
            let busy = link.busy_ps as f64 / outcome.step_ps as f64;
            (
                at,
                LinkUse {
                    name: link_name(at, &labels, levels),
                    bytes: link.bytes,
                    utilisation,
                    busy,
                },
            )
        })
        .collect();
    all.sort_by(|(i, a), (j, b)| b.utilisation.total_cmp(&a.utilisation).then(i.cmp(j)));
    all.into_iter().take(BUSIEST).map(|(_, link)| link).collect()
}
