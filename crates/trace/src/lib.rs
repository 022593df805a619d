//! Foreign formats in and out. Pure: bytes in, values or problems out.
//!
//! Out: a step's timeline as a [`perfetto`] trace or as [`chrome`] JSON.

pub mod chrome;
pub mod perfetto;
