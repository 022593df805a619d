//! An operator on a chip: how long it takes.
//!
//! Time is the roofline (matrix units, vector units, memory; each at the chip's own peak) over an
//! efficiency, plus a fixed time per kernel. The efficiency is read from a [`Calibration`]:
//! surfaces over shape and number format, fitted to measured kernels (`cargo xtask calibrate`). The
//! crate knows no model, no plan and no fabric, and never opens a file. Start at [`forward`].
//!
//! Not valid when kernels share a chip with communication or with each other, or when power limits
//! the clock for longer than the measurement lasted: a kernel here runs alone.

mod calibration;
mod choose;
mod cost;
mod curve;
mod parse;
mod shape;
mod surface;

pub use calibration::{
    Backward, Calibration, Family, FitError, MemoryKind, Operation, Peaks, SurfaceEntry, Waves,
};
pub use choose::{Borrowed, calibration, calibrations, for_chip};
pub use cost::{Cost, Launch, casts, data_gradient, effective_dtype, forward, weight_gradient};
pub use curve::Curve;
pub use parse::parse_calibration;
pub use shape::{Load, data_load, load, weight_load};
pub use surface::Surface;
