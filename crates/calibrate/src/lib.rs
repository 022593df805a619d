//! Measured kernels and collectives to a calibration, with the fit's own error.
//!
//! Tables ([`Table`], from CSV, Parquet or nccl-tests' output) are told apart by their columns
//! ([`Kind`]), checked, reduced to points (a roofline time, a place on a surface, a measured time) and
//! fitted: a smooth surface of efficiency for products and attention, non-negative factors for what a
//! whole module must do, curves for collectives. Every fit is made again without each of five folds;
//! shapes that are nearly the same are always kept out together. Start at [`calibrate`].
//!
//! The room holds no figures of chips and never opens a file.

mod blind;
mod check;
mod collectives;
mod fit;
mod fitting;
mod fold;
mod kind;
mod linear;
mod machine;
pub mod nccl;
mod parquet_file;
mod points;
mod table;
mod user;
mod write;

pub use blind::{BlindRow, blind};
pub use check::{PEAK_SLACK, REPEAT_LIMIT, REPEAT_SHARE, UNCACHED_BYTES};
pub use collectives::Measured;
pub use fit::Fitted;
pub use fitting::{Calibrated, ErrorRow, NOISE, Ratio, Subject, SurfaceFit, calibrate};
pub use kind::Kind;
pub use machine::Machine;
pub use table::Table;
pub use user::{document, measured_ratio};
pub use write::{Document, Known, Written, collective, expert_start, quoted, trimmed};
