//! What is to be planned: model, machine, batch and room.

use catalog::Recipe;
use diagnostic::Diagnostics;
use engine::Machine;
use model::Architecture;
use plan::{Block, FullBlocks, Layout, Plan, Recompute};
use scenario::Scenario;

/// One question to the planner.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The model.
    pub model: Architecture,
    /// Number formats and optimizer.
    pub recipe: Recipe,
    /// Chips, fabric, calibration and software stack.
    pub machine: Machine,
    /// Ranks of the job.
    pub ranks: u64,
    /// Sequence length in tokens.
    pub sequence: u64,
    /// Sequences of one optimizer step.
    pub batch_sequences: u64,
    /// The plan whose switches (overlap, graphs, fused loss, ..) every candidate shares.
    pub base: Plan,
    /// Memory a rank may fill. Bytes.
    pub memory_bytes: f64,
}

impl Problem {
    /// The main length stage of `scenario` on its machine, with a share `guard` of memory left free
    /// (for the allocator's fragmentation, the runtime and its libraries, which nobody publishes).
    ///
    /// # Errors
    /// As [`engine::machine`].
    pub fn new(scenario: &Scenario, guard: f64) -> Result<Self, Diagnostics> {
        let job = &scenario.jobs[scenario.main];
        Ok(Self {
            model: scenario.model.clone(),
            recipe: scenario.recipe.clone(),
            machine: engine::machine(scenario)?,
            ranks: scenario.ranks,
            sequence: job.sequence,
            batch_sequences: job.batch_sequences,
            // Where pipeline ranks lie between others is not searched.
            base: Plan { pipeline_before_data: false, ..job.plan.clone() },
            memory_bytes: scenario.cluster.chip.memory.value * (1.0 - guard),
        })
    }

    /// Blocks of the model that pipeline stages share out.
    pub fn blocks(&self) -> u64 {
        (self.model.layers.len() + self.model.mtp.len()) as u64
    }

    /// Tokens of one optimizer step.
    pub fn batch_tokens(&self) -> f64 {
        self.sequence as f64 * self.batch_sequences as f64
    }

    /// Nothing recomputed.
    pub(crate) fn nothing(&self) -> Recompute {
        let early_stop = self.base.recompute.early_stop;
        Recompute { blocks: FullBlocks::None, tags: Vec::new(), early_stop }
    }

    /// Every kind of block, with how many the model has, in the order first met.
    pub(crate) fn kinds(&self) -> Vec<(Block, u64)> {
        let whole = Plan {
            pipeline: 1,
            virtual_pipeline: 1,
            schedule: program::Schedule::OneFOneB,
            stage_blocks: None,
            recompute: self.nothing(),
            ..self.base.clone()
        };
        let mut kinds: Vec<(Block, u64)> = Vec::new();
        for block in Layout::new(&whole, &self.model).stages.into_iter().flatten() {
            match kinds.iter_mut().find(|(known, _)| *known == block) {
                Some((_, times)) => *times += 1,
                None => kinds.push((block, 1)),
            }
        }
        kinds
    }
}
