//! Formats out and back in.

mod captured;
mod fuzz;
mod infragraph;
mod launch;
mod launch_rules;
mod msccl;
mod perfetto;
mod step;
