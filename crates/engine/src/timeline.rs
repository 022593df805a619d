//! What happened when: the record of one step that the event engine leaves.
//!
//! Times are whole picoseconds from the start of the step. A [`ClassTimeline`] stands for every rank
//! of its class: folding keeps one record for ranks that do the same at the same time.

use std::borrow::Cow;

/// One step as it ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Duration of the step. Picoseconds.
    pub step_ps: u64,
    /// One per class of ranks, by pipeline rank.
    pub classes: Vec<ClassTimeline>,
    /// Messages between classes (activations forward, gradients back), by time sent.
    pub messages: Vec<Message>,
    /// Load of every port class that carried something.
    pub links: Vec<LinkLoad>,
}

/// What the ranks of one class did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassTimeline {
    /// `pipeline 3`, `pipeline 3, slow`.
    pub label: String,
    /// Pipeline rank of the class.
    pub pipeline_rank: u64,
    /// Ranks it stands for.
    pub ranks: u64,
    /// What ran, by lane and then by time; spans of one lane do not overlap.
    pub spans: Vec<Span>,
    /// Memory in use: `(from when in picoseconds, bytes)`, each until the next; empty if not asked.
    pub memory: Vec<(u64, f64)>,
}

/// One thing on one lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Where.
    pub lane: Lane,
    /// What kind of thing.
    pub kind: SpanKind,
    /// What, in words: `forward 12`, `dispatch`, `gradient_reduce`.
    pub name: Cow<'static, str>,
    /// Micro-batch (of a pair: the forward one), if it belongs to one.
    pub micro_batch: Option<u64>,
    /// Chunk of the rank (of a pair: the forward one), if it belongs to one.
    pub chunk: Option<u64>,
    /// Begin. Picoseconds.
    pub start_ps: u64,
    /// End. Picoseconds.
    pub end_ps: u64,
}

impl Span {
    /// How long it took. Picoseconds.
    pub fn duration_ps(&self) -> u64 {
        self.end_ps - self.start_ps
    }
}

/// A lane of a rank: what runs on one lane runs one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Kernels of the model and the optimizer.
    Compute,
    /// A communication stream, by the axis it serves: `tensor`, `context`, `expert`, `shard`, `data`.
    Comm(&'static str),
    /// Messages to other pipeline ranks.
    Send,
}

impl Lane {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Comm(axis) => axis,
            Self::Send => "send",
        }
    }
}

/// What kind of thing a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpanKind {
    /// A forward pass.
    Forward,
    /// A whole backward pass.
    Backward,
    /// Input gradients only.
    BackwardInput,
    /// Weight gradients put off.
    Weight,
    /// A forward and a backward pass of two micro-batches, overlapped.
    Pair,
    /// Communication inside a pass.
    Exchange,
    /// A message to another pipeline rank.
    Send,
    /// A once-a-step exchange of gradients or parameters.
    StepExchange,
    /// The optimizer.
    Optimizer,
}

impl SpanKind {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::BackwardInput => "backward input",
            Self::Weight => "weight",
            Self::Pair => "pair",
            Self::Exchange => "exchange",
            Self::Send => "send",
            Self::StepExchange => "step exchange",
            Self::Optimizer => "optimizer",
        }
    }
}

/// A message between two classes, standing for one between each pair of their ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Index of the sending class in [`Timeline::classes`].
    pub from: usize,
    /// Index of the receiving class.
    pub to: usize,
    /// Bytes from one rank to its peer.
    pub bytes: f64,
    /// When it was handed over. Picoseconds.
    pub sent_ps: u64,
    /// When its last byte arrived. Picoseconds.
    pub received_ps: u64,
    /// `activation 12`, `gradient 12`.
    pub name: Cow<'static, str>,
}

/// Load of one port class: the ports of one rank of a class into one level of the fabric, one
/// direction.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkLoad {
    /// `pipeline 3 pod out`.
    pub name: String,
    /// Most it can carry. Bytes/s.
    pub capacity_bytes_per_s: f64,
    /// `(from when in picoseconds, bytes/s)`, each until the next.
    pub samples: Vec<(u64, f64)>,
    /// What it carried over the step. Bytes.
    pub bytes: f64,
}

impl LinkLoad {
    /// Share of the step's capacity that was used.
    pub fn utilisation(&self, step_ps: u64) -> f64 {
        let most = self.capacity_bytes_per_s * step_ps as f64 * 1e-12;
        if most > 0.0 { self.bytes / most } else { 0.0 }
    }
}
