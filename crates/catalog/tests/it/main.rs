//! The catalog as shipped, and what it says to bad files.

mod bad;
mod shipped;
mod totals;
