//! The `supernode` binary from outside: what it prints and how it ends.

mod answers;
mod bad;
mod campaign;
mod flow;
mod guide;
mod launch;
mod study;
mod writing;

use std::path::Path;
use std::process::{Command, Output};

/// Runs the binary in `folder`.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_supernode"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the binary starts")
}
