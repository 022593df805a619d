//! The planner: the best legal plan of a model on a machine, proven.
//!
//! A [`Problem`] says what is to be trained on what; a [`Space`] which plans are meant; [`best`]
//! finds the fastest that fit, by branch and bound with proven bounds (`bound.rs`); [`every`] is
//! the exhaustive search it is tested against. A plan's time and memory are exactly
//! [`engine::estimate`]'s and [`plan::memory`]'s: the evaluator keeps prices that many plans share
//! and calls the same parts. The crate starts no thread, reads no clock and opens no file: a caller
//! with threads works a [`Search`] round by round.

mod balanced;
mod best;
mod bound;
mod contents;
mod evaluator;
mod explain;
mod family;
mod fix;
mod leaders;
mod problem;
mod space;
mod twin;

pub use best::{
    Counts, Findings, NEAR, Options, Progress, Search, StemResult, Worker, best, every,
};
pub use explain::{Leader, Neighbour, Verdict, leader, neighbours};
pub use leaders::{Found, Leaders, NearMiss};
pub use problem::Problem;
pub use space::{Limits, Node, Space, Stem};
pub use twin::{Straddle, straddles, twins};
