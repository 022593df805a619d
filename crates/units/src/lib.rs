//! Quantities with their units, and figures with their origin.
//!
//! [`Unit`] parses what people write (`"400 Gb/s"`, `"80 GiB"`) into SI base units and prints it
//! back; [`Figure`] is a quantity that knows how far it can be trusted. The crate never reads a
//! file. Start at [`Figure`].

mod figure;
mod quantity;

pub use figure::{Figure, Origin};
pub use quantity::{
    ParseQuantityError, Unit, format_bytes, format_quantity, format_seconds, parse_quantity,
};

/// 2^30 bytes, the unit in which memory is reported.
pub const GIB: f64 = 1_073_741_824.0;
