//! The catalog as shipped, and what it says to bad files.

mod bad;
mod documented;
mod shipped;
mod totals;
