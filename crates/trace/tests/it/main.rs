//! Formats out and back in.

mod perfetto;
