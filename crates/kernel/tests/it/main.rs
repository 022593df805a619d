//! The crate from outside: shipped calibrations against measured kernels, physics and bad files.

mod bad;
mod choice;
mod measured;
mod physics;
mod training;
