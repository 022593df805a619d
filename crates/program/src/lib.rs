//! What every engine executes: the work of each class of ranks, and the schedule that orders it.
//!
//! A plan lowers to one [`Program`]. Ranks that do the same are one [`RankClass`]; blocks that do
//! the same are one [`Segment`]; operators and collectives that are the same are priced once. The
//! crate holds no chip, no fabric and no time. Start at [`Program`], then [`Schedule`].

mod listing;
mod messages;
mod orders;
mod passes;
mod schedule;

pub use passes::{Pass, PassKind, RankRun, Stuck, Timetable};
pub use schedule::{PhaseCounts, Schedule, StageMeans, idle_1f1b, idle_1f1b_between};

use model::{Axis, Class, Exchange, Operator};

/// One optimizer step of a job, folded.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Distinct operators of all segments.
    pub operators: Vec<Operator>,
    /// Distinct collectives of all segments.
    pub exchanges: Vec<Exchange>,
    /// Distinct pieces of a stage: a kind of block, the embedding, the head.
    pub segments: Vec<Segment>,
    /// One class per pipeline rank, in order.
    pub classes: Vec<RankClass>,
    /// Communication groups by axis.
    pub groups: Vec<Group>,
    /// Order of passes.
    pub schedule: Schedule,
    /// Micro-batches each pipeline handles in a step.
    pub micro_batches: u64,
    /// Chunks of a rank (virtual stages; 2 for the V-shaped and bidirectional schedules).
    pub chunks: u64,
    /// Bytes sent over one stage boundary for one micro-batch.
    pub boundary_bytes: f64,
    /// What may run at the same time as compute.
    pub overlap: Overlap,
    /// Whether kernels are launched as recorded graphs, so that the host is never late.
    pub graphs: bool,
    /// Classes of operators recorded as graphs where not all kernels are.
    pub recorded: Vec<Class>,
    /// Whether weights are frozen: no weight gradients are computed.
    pub frozen: bool,
    /// How expert tokens travel.
    pub routing: Option<Routing>,
    /// Ranks in all.
    pub ranks: u64,
}

/// A piece of a stage that many stages share.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// `block attention_csa moe`, `embedding`, `head`, `mtp`.
    pub name: String,
    /// What it does forward, in order.
    pub steps: Vec<StepRef>,
    /// Gradient bytes that a sharded-weights plan gathers before and scatters after each pass.
    pub gathered: Gathered,
    /// Saved tensors copied to the host's memory in the forward pass and back in the backward pass, per
    /// micro-batch. Bytes.
    pub offloaded_bytes: f64,
}

/// One step of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepRef {
    /// Index into [`Program::operators`].
    Compute {
        /// Which.
        operator: u32,
        /// Whether the backward pass runs it once more before using its output.
        recomputed: bool,
    },
    /// Index into [`Program::exchanges`].
    Exchange {
        /// Which.
        exchange: u32,
        /// Whether the backward pass repeats it.
        recomputed: bool,
    },
}

/// What of one segment moves over the data group in every micro-batch: sharded weights, gathered for
/// use (ZeRO-3), and gradients scattered as they are made (ZeRO-2 and 3; see [`Program::scatter_run`]).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gathered {
    /// Bytes of the whole dense weights on this rank after tensor sharding.
    pub dense_bytes: f64,
    /// Bytes of the expert weights on this rank after expert sharding.
    pub expert_bytes: f64,
    /// Bytes of dense gradients reduced per use.
    pub dense_gradient_bytes: f64,
    /// Bytes of expert gradients reduced per use.
    pub expert_gradient_bytes: f64,
    /// Weight matrices among them.
    pub matrices: f64,
}

/// Ranks of one pipeline position: same ops, same timing.
#[derive(Clone, Debug, PartialEq)]
pub struct RankClass {
    /// Pipeline rank.
    pub pipeline_rank: u64,
    /// Ranks in the class.
    pub ranks: u64,
    /// What each chunk runs: `(segment, times)`.
    pub chunks: Vec<Vec<(u32, u64)>>,
    /// What is done once a step, after the last micro-batch.
    pub finish: Finish,
}

/// Gradient exchange and optimizer of one rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// Collectives over gradients and weights, `(during, exchange)`.
    pub exchanges: Vec<(During, StepExchange)>,
    /// Bytes the optimizer reads and writes.
    pub optimizer_bytes: f64,
    /// Matrix FLOPs of the optimizer (Newton-Schulz).
    pub optimizer_flops: f64,
    /// Kernel launches of the optimizer.
    pub optimizer_launches: f64,
}

/// A once-a-step collective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepExchange {
    /// `gradient_reduce`, `parameter_gather`, `tied_embedding`.
    pub name: &'static str,
    /// Over which axis.
    pub axis: Axis,
    /// What is done.
    pub operation: model::Collective,
    /// Size by nccl-tests' convention.
    pub bytes: f64,
}

/// When a once-a-step collective may hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// Behind the backward pass of the last micro-batch.
    LastBackward,
    /// Behind the forward pass of the first micro-batch.
    FirstForward,
    /// Nowhere.
    Alone,
}

/// A communication group: `size` ranks, `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which axis.
    pub axis: Axis,
    /// Members.
    pub size: u64,
    /// Distance between neighbours in rank order.
    pub stride: u64,
}

/// What may run beside compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five independent switches, named as launchers name them"
)]
pub struct Overlap {
    /// Gradient reduction behind the last backward pass.
    pub gradient_reduce: bool,
    /// Parameter gathering behind the first forward pass (or, sharded weights, the layer before).
    pub parameter_gather: bool,
    /// Expert dispatch and combine behind another micro-batch's compute.
    pub expert: bool,
    /// Tensor-parallel collectives behind the product they feed, in slices.
    pub tensor: bool,
    /// Context-parallel exchange behind attention.
    pub context: bool,
    /// Stage-boundary sends and receives behind compute.
    pub pipeline: bool,
}

impl Overlap {
    /// Every switch by the word that plans and program files use.
    pub const WORDS: [&str; 6] =
        ["gradient_reduce", "parameter_gather", "expert", "tensor", "context", "pipeline"];

    /// Nothing beside compute.
    pub const NONE: Self = Self {
        gradient_reduce: false,
        parameter_gather: false,
        expert: false,
        tensor: false,
        context: false,
        pipeline: false,
    };

    /// The switch called `word`; `None` if there is none.
    ///
    /// ```
    /// let mut overlap = program::Overlap::NONE;
    /// *overlap.switch("expert").unwrap() = true;
    /// assert_eq!(overlap.words(), ["expert"]);
    /// ```
    pub fn switch(&mut self, word: &str) -> Option<&mut bool> {
        Some(match word {
            "gradient_reduce" => &mut self.gradient_reduce,
            "parameter_gather" => &mut self.parameter_gather,
            "expert" => &mut self.expert,
            "tensor" => &mut self.tensor,
            "context" => &mut self.context,
            "pipeline" => &mut self.pipeline,
            _ => return None,
        })
    }

    /// The words of what is on, in [`Self::WORDS`]' order.
    pub fn words(mut self) -> Vec<&'static str> {
        Self::WORDS.into_iter().filter(|word| self.switch(word).is_some_and(|on| *on)).collect()
    }
}

/// How tokens reach their experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// Routed experts.
    pub experts: u64,
    /// Experts per token.
    pub topk: u64,
    /// Whether a token crosses into an instance of a level only once.
    pub deduplicated: bool,
    /// Most groups (instances) a token may go to, where routing is limited.
    pub group_limit: Option<u64>,
}

/// Most experts of a program, beyond every model.
const MOST_EXPERTS: u64 = 1 << 20;

impl Program {
    /// The group of `axis`; of one rank if the program does not name it.
    pub fn group(&self, axis: Axis) -> Group {
        self.groups.iter().find(|g| g.axis == axis).copied().unwrap_or(Group {
            axis,
            size: 1,
            stride: 1,
        })
    }

    /// Whether 1F1B runs a forward beside a backward pass: there is expert traffic, and it may hide.
    pub fn pairs(&self) -> bool {
        let experts = [Axis::Expert, Axis::ExpertTensor];
        self.overlap.expert && self.exchanges.iter().any(|e| experts.contains(&e.axis))
    }

    /// Whether weights are gathered for use (ZeRO-3).
    pub fn gathers(&self) -> bool {
        self.segments.iter().any(|s| s.gathered.dense_bytes + s.gathered.expert_bytes > 0.0)
    }

    /// Micro-batches whose gradients are added up before they are scattered: one where weights are
    /// gathered for each pass, else the schedule's [`Schedule::backward_run`].
    pub fn scatter_run(&self) -> u64 {
        let run = self.schedule.backward_run(self.classes.len() as u64, self.chunks);
        if self.gathers() { 1 } else { run }
    }

    /// How often a step scatters a block's gradients, where it does so before its end.
    pub fn scatters(&self) -> f64 {
        self.micro_batches as f64 / self.scatter_run() as f64
    }

    /// Checks what every engine relies on: indices exist, classes partition the ranks, groups fit.
    ///
    /// # Errors
    /// One sentence per violation.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut problems = self.shape_problems();
        let ranks: u64 = self.classes.iter().fold(0, |sum, c| sum.saturating_add(c.ranks));
        if ranks != self.ranks {
            problems.push(format!("classes hold {ranks} ranks, the program {}", self.ranks));
        }
        for group in &self.groups {
            let reach = group.size.checked_mul(group.stride);
            if group.size == 0 || group.stride == 0 || !self.ranks.is_multiple_of(group.size) {
                problems.push(format!(
                    "group {:?} of {} does not divide the ranks",
                    group.axis, group.size
                ));
            } else if reach.is_none_or(|r| r > self.ranks) {
                problems.push(format!("group {:?} reaches beyond the ranks", group.axis));
            }
        }
        for segment in &self.segments {
            for step in &segment.steps {
                let known = match *step {
                    StepRef::Compute { operator, .. } => (operator as usize) < self.operators.len(),
                    StepRef::Exchange { exchange, .. } => {
                        (exchange as usize) < self.exchanges.len()
                    }
                };
                if !known {
                    problems
                        .push(format!("segment `{}` has a step without a target", segment.name));
                }
            }
        }
        for class in &self.classes {
            if class.chunks.len() as u64 != self.chunks {
                problems.push(format!(
                    "rank {} has {} chunks",
                    class.pipeline_rank,
                    class.chunks.len()
                ));
            }
            if class.chunks.iter().flatten().any(|&(s, _)| s as usize >= self.segments.len()) {
                problems.push(format!("rank {} runs an unknown segment", class.pipeline_rank));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// What is wrong with the pipeline's own shape: ranks in order, each as many; chunks and
    /// micro-batches as the schedule has them.
    fn shape_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.micro_batches == 0 {
            problems.push("no micro-batches".to_owned());
        }
        if self.classes.is_empty() {
            problems.push("no classes of ranks".to_owned());
        }
        for (at, class) in self.classes.iter().enumerate() {
            if class.pipeline_rank != at as u64 {
                problems.push(format!("class {at} is pipeline rank {}", class.pipeline_rank));
            }
            if class.ranks == 0 || class.ranks != self.classes[0].ranks {
                problems.push(format!("class {at} holds {} ranks, others differ", class.ranks));
            }
        }
        if self.chunks == 0 || self.schedule.chunks(self.chunks) != self.chunks {
            let word = self.schedule.word();
            problems.push(format!("schedule `{word}` does not run {} chunks", self.chunks));
        }
        if let Some(r) = self.routing
            && !(1..=r.experts).contains(&r.topk)
        {
            problems.push(format!("a token goes to {} of {} experts", r.topk, r.experts));
        }
        if let Some(r) = self.routing.filter(|r| r.experts > MOST_EXPERTS) {
            problems.push(format!("{} experts, more than {MOST_EXPERTS}", r.experts));
        }
        let (ranks, m) = (self.classes.len() as u64, self.micro_batches);
        if self.schedule == Schedule::DualPipe && !(ranks.is_multiple_of(2) && m.is_multiple_of(2))
        {
            problems.push("schedule `dualpipe` needs even ranks and micro-batches".to_owned());
        }
        problems
    }
}
