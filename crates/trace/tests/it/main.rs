//! Formats out and back in.

mod captured;
mod perfetto;
