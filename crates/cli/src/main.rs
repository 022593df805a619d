//! The `supernode` binary.
fn main() {}
