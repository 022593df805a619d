//! The crate from outside: the catalog's configurations and their known totals.

mod catalog;
