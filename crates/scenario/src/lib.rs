//! A scenario file -> cluster, model, recipe and a legal plan for each length stage.
//!
//! [`load`] reports every problem at once, with its place. The crate opens no file: the caller
//! passes a function that reads the ones a scenario names.
//!
//! ```
//! let text = catalog::text(catalog::Kind::Scenario, "deepseek-v4-pro-on-atlas-950").unwrap();
//! let no_files = |path: &str| Err(format!("cannot read `{path}`"));
//! let loaded = scenario::load("v4.toml", text, &[], &no_files).unwrap();
//! assert_eq!(loaded.scenario.ranks, 8192);
//! ```

mod campaign_table;
mod files;
mod load;
mod open;
mod overrides;
mod plan_table;
mod set;

pub use campaign_table::{Campaign, CheckpointMode, Evaluation, Ramp};
pub use files::{NAMING, ReadFile, beside, is_path, moved};
pub use load::{Loaded, edited, load};
pub use open::{Opened, SEARCHED, open};
pub use set::{Machine, Set, is_set, parse_set};

use catalog::{Cluster, Recipe};
use model::Architecture;
use plan::Plan;
use units::Figure;

/// Everything one answer is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// The model.
    pub model: Architecture,
    /// The training run.
    pub recipe: Recipe,
    /// The machine.
    pub cluster: Cluster,
    /// Ranks used.
    pub ranks: u64,
    /// A named calibration, if not the chip's own.
    pub calibration: Option<kernel::Calibration>,
    /// A named software stack, if not the chip family's usual one.
    pub stack: Option<catalog::Stack>,
    /// One per length stage of the recipe.
    pub jobs: Vec<Job>,
    /// Published times of this very run by phase (`step`, `forward`, ..), shown beside ours. Seconds.
    pub published: Vec<(String, Figure)>,
    /// The job whose step the sheet shows: the named one, or the stage with most tokens.
    pub main: usize,
    /// How the run is operated and priced.
    pub campaign: Campaign,
}

/// One length stage with its plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Sequence length in tokens.
    pub sequence: u64,
    /// Share of the run's tokens.
    pub share: Figure,
    /// Sequences of one optimizer step.
    pub batch_sequences: u64,
    /// The layout.
    pub plan: Plan,
}

impl Job {
    /// Tokens of one optimizer step.
    pub fn batch_tokens(&self) -> f64 {
        self.sequence as f64 * self.batch_sequences as f64
    }
}
