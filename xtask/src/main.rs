//! Project tasks: `cargo xtask TASK`.

mod calibrate;

use anyhow::{Result, bail};
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["calibrate", folder] => {
            calibrate::run(Path::new(folder), Path::new("catalog/calibrations"))
        }
        _ => bail!("usage: cargo xtask calibrate FOLDER"),
    }
}
