//! Project tasks: `cargo xtask ci | codegen | tidy`, and `calibrate` with its feature.

mod bill;
mod blocks;
mod book;
#[cfg(feature = "calibrate")]
mod calibrate;
mod ci;
mod codegen;
mod drawing;
mod plans;
mod plots;
mod tidy;
mod ub_mesh;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ci"] => ci::run(),
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        ["tidy"] => tidy::run(),
        ["ub-mesh"] => ub_mesh::run(),
        #[cfg(feature = "calibrate")]
        ["calibrate", "steps"] => calibrate::steps::run(),
        #[cfg(feature = "calibrate")]
        ["calibrate", "blind", folder] => {
            calibrate::run_blind(std::path::Path::new(folder), "h100")
        }
        #[cfg(feature = "calibrate")]
        ["calibrate", folder] => calibrate::run(
            std::path::Path::new(folder),
            std::path::Path::new("catalog/calibrations"),
        ),
        #[cfg(not(feature = "calibrate"))]
        ["calibrate", _] => {
            bail!("run `cargo run -p xtask --features calibrate -- calibrate FOLDER`")
        }
        _ => bail!("usage: cargo xtask ci | codegen [--check] | tidy | ub-mesh | calibrate FOLDER"),
    }
}
