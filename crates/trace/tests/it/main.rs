//! Formats out and back in.

mod captured;
mod fuzz;
mod msccl;
mod perfetto;
mod step;
