//! Formats out and back in.

mod captured;
mod fuzz;
mod infragraph;
mod msccl;
mod perfetto;
mod step;
