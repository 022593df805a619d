//! Foreign formats in and out. Pure: bytes in, values or problems out.
//!
//! Out: a step's timeline as a [`perfetto`] trace or as [`chrome`] JSON. In: [`chakra`] files become a
//! [`TraceProgram`], which [`run`](run::run) executes on a [`Price`] and which goes out again. Out and
//! in: the command lines of training programs ([`launch`]).

pub mod astra;
pub mod chakra;
pub mod chrome;
pub mod experts;
pub mod infragraph;
pub mod json_program;
pub mod launch;
pub mod msccl;
mod msccl_proof;
mod on_infragraph;
pub mod perfetto;
mod place;
mod price;
mod program;
mod run;
pub mod step;

pub use on_infragraph::OnInfraGraph;
pub use price::OnNetwork;
pub use program::{Node, Operation, RankTrace, TraceProgram, Work};
pub use run::{Price, run};
