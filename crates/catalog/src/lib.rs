//! The facts: chips, clusters, recipes and models, each figure with its range, origin and source.
//!
//! The files of `catalog/` are built into the program, so that it stands alone. The crate parses
//! text and never opens a file itself.

mod types;

pub use types::{Chip, Cluster, Dtype, Level, Optimizer, Precision, Recipe, Stage, Wiring};
