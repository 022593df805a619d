//! The facts: chips, clusters, recipes and models, each figure with its range, origin and source.
//!
//! The files of `catalog/` and `scenarios/` are built into the program, so that it stands alone.
//! The crate parses text and never opens a file itself; every problem of a text is reported at
//! once, with its place. Start at [`chip`] and [`cluster`]; rooms with files of their own read them
//! with [`toml_reader`].

mod chip;
mod cluster;
mod economics;
mod embedded;
pub mod figure;
mod figures;
mod recipe;
mod reliability;
mod source;
mod stack;
pub mod toml_reader;
mod types;

pub use chip::{chip, parse_chip};
pub use cluster::{cluster, parse_cluster};
pub use economics::{ChipPrices, Economics, economics, economics_for, parse_economics};
pub use embedded::{
    Kind, chip_ids, cluster_ids, files, ids, model_ids, recipe_ids, scenario_ids, text, unknown_id,
};
pub use recipe::{parse_recipe, recipe};
pub use reliability::{
    Component, Failure, Operations, Reliability, parse_reliability, reliability, reliability_for,
};
pub use source::{Source, cited, source, source_keys};
pub use stack::{Stack, parse_stack, stack, stack_for};
pub use types::{
    Cabling, Chip, Cluster, Concurrent, Dtype, Level, Optimizer, Precision, Recipe, Stage, Wiring,
};
