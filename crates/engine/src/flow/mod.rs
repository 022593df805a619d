//! The event engine: one step of a program, pass by pass and message by message.

mod answer;
mod fault;

pub use answer::{FlowAnswer, FlowOptions, Gap, LinkUse};
pub use fault::{Fault, FaultKind};
