//! The crate from outside: the catalog's configurations and their known totals.

#![expect(clippy::float_cmp, reason = "counts and bytes are whole numbers, exact in f64")]

mod activation;
mod bad;
mod catalog;
mod families;
mod flops;
mod property;
