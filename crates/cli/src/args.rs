//! What can be typed.

use crate::examples;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Rehearse the training of a large model on a supernode.
#[derive(Debug, Parser)]
#[command(
    name = "supernode",
    version,
    about,
    after_help = examples::ALL,
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// How to print the main answer
    #[arg(long, value_enum, default_value = "text")]
    pub format: PageFormat,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Step time, memory and days of a scenario, with ranges and origins
    #[command(after_help = examples::REHEARSE)]
    Rehearse(Rehearse),
    /// Parameters, FLOPs, activations and cache of a model
    #[command(after_help = examples::MODEL)]
    Model(Model),
    /// The facts behind the answers
    #[command(after_help = examples::CATALOG)]
    Catalog(Catalog),
    /// Collectives on a pod or an ad-hoc network; what a topology is like
    #[command(after_help = examples::FABRIC)]
    Fabric(crate::commands::fabric::Fabric),
    /// The best plan for a scenario, why, and the questions about plans
    #[command(after_help = examples::PLAN)]
    Plan(Box<PlanQuestion>),
    /// The whole run: days, failures, energy and money as distributions
    #[command(after_help = examples::CAMPAIGN)]
    Campaign(crate::commands::campaign::CampaignArgs),
    /// A calibration from measured kernels and collectives, with the fit's own error
    #[command(after_help = examples::CALIBRATE)]
    Calibrate(crate::commands::calibrate::Calibrate),
    /// The same run on different machines, side by side
    #[command(after_help = examples::COMPARE)]
    Compare(crate::commands::compare::CompareArgs),
    /// Replay published training steps and print the errors
    #[command(after_help = examples::VALIDATE)]
    Validate(Validate),
    /// Programs captured elsewhere: Chakra traces in and out, run on a machine
    #[command(after_help = examples::TRACE)]
    Trace(crate::commands::trace::Trace),
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PlanQuestion {
    #[command(subcommand)]
    pub command: Option<PlanCommand>,
    #[command(flatten)]
    pub search: crate::commands::plan::PlanArgs,
}

#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Is the plan legal, and does it fit in memory?
    Check(Rehearse),
    /// The command that runs a scenario's plan with a training program
    Launch(Launch),
    /// A scenario from a training program's command, script or configuration
    Import(Import),
    /// The best plans of many scenarios, whole or in parts that run anywhere
    Study(crate::commands::study::Study),
    /// Joins the parts of a study, or of one scenario's search
    Merge(crate::commands::merge::Merge),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Framework {
    /// Megatron-LM
    Megatron,
    /// MindSpeed-LLM
    Mindspeed,
    /// torchtitan
    Torchtitan,
}

#[derive(Args, Debug)]
pub struct Launch {
    /// A scenario file, or the id of a shipped one (see `catalog list`)
    #[arg(default_value = DEFAULT)]
    pub scenario: String,
    /// The training program
    #[arg(long = "launch", value_enum, value_name = "PROGRAM")]
    pub framework: Framework,
    /// Change a key of the scenario: `--set plan.pipeline=8`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// The length stage to launch; without, the one with most tokens
    #[arg(long, value_name = "TOKENS")]
    pub sequence: Option<u64>,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct Import {
    /// The command itself, a file that holds it, or `-` for standard input
    pub line: String,
    /// The cluster to run on: an id of `catalog list`, or a file
    #[arg(long)]
    pub cluster: String,
    /// Ranks, if the line's launcher does not say
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub chips: Option<u64>,
    /// The training program, if not to be told from the arguments
    #[arg(long, value_enum)]
    pub framework: Option<Framework>,
    /// The folder for `scenario.toml` and the files it names
    #[arg(short, long, value_name = "FOLDER")]
    pub output: String,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs; carries a schema name and version
    Json,
}

/// Of commands that draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PageFormat {
    /// For people
    Text,
    /// For programs; carries a schema name and version
    Json,
    /// One self-contained page with pictures
    Html,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The closed form
    Estimate,
    /// Events: passes, messages, shared links
    Flow,
}

#[derive(Args, Debug)]
pub struct Rehearse {
    /// A scenario file, or the id of a shipped one (see `catalog list`)
    #[arg(default_value = DEFAULT)]
    pub scenario: String,
    /// Change a key of the scenario: `--set plan.pipeline=8`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Which engine runs the program
    #[arg(long, value_enum, default_value = "estimate")]
    pub engine: Engine,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: PageFormat,
    /// Write the answer to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,
    #[command(flatten)]
    pub flow: crate::commands::flow::FlowArgs,
}

#[derive(Args, Debug)]
pub struct Model {
    /// A model of the catalog, or a path to an HF config.json
    #[arg(value_name = "MODEL")]
    pub name: String,
    /// Sequence length in tokens; may be repeated
    #[arg(long = "seq", value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub seq: Vec<u64>,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct Catalog {
    #[command(subcommand)]
    pub command: CatalogCommand,
}

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Every id, by kind
    List {
        /// How to print
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Every figure of a chip, cluster, recipe, calibration, stack, reliability or economics file, with
    /// range, origin and source
    Show {
        /// Its id; `calibrations/h100` where kinds share a name
        id: String,
        /// How to print
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
}

#[derive(Args, Debug)]
pub struct Validate {
    /// A table of measured steps; may be repeated. Without: the shipped tables
    #[arg(long = "rows", value_name = "CSV")]
    pub rows: Vec<String>,
    /// Which engine predicts
    #[arg(long, value_enum, default_value = "estimate")]
    pub engine: Engine,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// The scenario of no arguments.
pub const DEFAULT: &str = "deepseek-v4-pro-on-atlas-950";

impl Rehearse {
    /// What `supernode` without arguments does.
    pub fn default_scenario(format: PageFormat) -> Self {
        Self {
            scenario: DEFAULT.to_owned(),
            set: Vec::new(),
            engine: Engine::Estimate,
            flow: crate::commands::flow::FlowArgs::default(),
            format,
            output: None,
        }
    }
}

/// Whether `option value` or `option=value` was typed: known even where the rest cannot be read.
pub fn given(option: &str, value: &str) -> bool {
    let words: Vec<_> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let joined = format!("{option}={value}");
    words.contains(&joined) || words.windows(2).any(|pair| pair[0] == option && pair[1] == value)
}

/// How many samples: few enough to hold, many enough for the percentiles that are printed of them.
pub fn samples<const MOST: u64>(text: &str) -> Result<u64, String> {
    let least = campaign::FEWEST;
    match text.parse::<u64>() {
        Ok(samples) if samples < least => Err(format!(
            "{samples} samples have no 5th and 95th percentile; {least} are the fewest: figures are \
             drawn for pairs of them, and one in twenty pairs lies beyond either"
        )),
        Ok(samples) if samples <= MOST => Ok(samples),
        _ => Err(format!("a whole number from {least} to {MOST}")),
    }
}

/// `KEY=VALUE` apart.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or("write KEY=VALUE, for example plan.pipeline=8")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}
