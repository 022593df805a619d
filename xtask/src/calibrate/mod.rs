//! `cargo xtask calibrate FOLDER`: fits catalog/calibrations to folders of measured kernels.
//!
//! FOLDER holds one folder per chip (`a100-sxm`, `h100-sxm`, `b200-sxm`, `gb200`) with the Parquet
//! tables of NVIDIA `AIConfigurator`, and `simumax-b200/ops.csv` of `SimuMax`. Prints the errors on
//! kernels kept out of each fit. `calibrate blind FOLDER` prints how well one chip's calibration
//! foretells the others' kernels.

mod chips;
mod machine_fits;
mod sheet;
pub mod steps;

use anyhow::{Context, Result, anyhow};
use calibrate::{
    Calibrated, Kind, Measured, Subject, Table, Written, blind, calibrate, collective,
};
use chips::{CHIPS, Spec};
use machine_fits::Fits;
use sheet::{Known, document};
use std::path::Path;

/// Runs the command.
pub fn run(folder: &Path, out: &Path) -> Result<()> {
    let mut b200 = None;
    // Each chip is a fit of its own, so they run beside each other.
    let texts = std::thread::scope(|scope| {
        let fits = CHIPS.each_ref().map(|spec| scope.spawn(move || chip(folder, spec)));
        fits.map(|fit| fit.join().unwrap_or_else(|_| Err(anyhow!("the fit was cut off"))))
    });
    for (spec, text) in CHIPS.iter().zip(texts) {
        let text = text.with_context(|| spec.id.to_owned())?;
        std::fs::write(out.join(format!("{}.toml", spec.id)), &text)?;
        if spec.id == "b200" {
            b200 = Some((spec, text));
        }
    }
    let (spec, text) = b200.context("no b200")?;
    let base =
        kernel::parse_calibration("b200", "b200.toml", &text).map_err(|d| anyhow!("{d:?}"))?;
    let text = simumax(&folder.join("simumax-b200"), spec, &base)?;
    std::fs::write(out.join("simumax-b200.toml"), text)?;
    let table = read(&folder.join("a100-sxm/allreduce_vtrain.csv"))?;
    let subject = Subject { machine: CHIPS[0].machine(), base: None };
    let fits = calibrate(&[table], &subject).map_err(|d| anyhow!("{d:?}"))?;
    std::fs::write(out.join("vtrain-a100.toml"), vtrain(&fits.curves))?;
    Ok(())
}

/// How well the calibration of the catalog's `reference` foretells the kernels of the other chips.
pub fn run_blind(folder: &Path, reference: &str) -> Result<()> {
    let calibration = kernel::calibration(reference).map_err(|d| anyhow!("{d:?}"))?;
    for spec in CHIPS.iter().filter(|s| s.id != reference) {
        let mut tables = tables(&folder.join(spec.folder))?;
        tables.extend(training(spec)?);
        let rows = blind(&calibration, &spec.machine(), &tables).map_err(|d| anyhow!("{d:?}"))?;
        for row in rows {
            eprintln!(
                "{reference} -> {:6} {:24} {:6} shapes  signed {:+6.1} %  median {:5.1} %  p90 {:5.1} %{}",
                spec.id,
                row.operator,
                row.points,
                100.0 * row.signed_median,
                100.0 * row.median,
                100.0 * row.p90,
                row.stand_in.map_or(String::new(), |d| format!("  by the share of {}", d.word()))
            );
        }
    }
    Ok(())
}

fn chip(folder: &Path, spec: &Spec) -> Result<String> {
    let mut tables = tables(&folder.join(spec.folder))?;
    tables.extend(training(spec)?);
    let subject = Subject { machine: spec.machine(), base: None };
    let fits = calibrate(&tables, &subject).map_err(|d| anyhow!("{d:?}"))?;
    print(spec.id, &fits);
    let mut text = document(spec, &Known::of(spec, &fits), &fits).text(&fits);
    if spec.id == "gb200" {
        collective(&mut text, &rack()?, "COREWEAVE");
    }
    Ok(text)
}

/// Attention by the kernels of training on the chip or its nearest relatives, not the deterministic
/// ones, at the same share of this chip's peaks: cuDNN's, but for heads 512 wide those that gather keys.
fn training(spec: &Spec) -> Result<Option<Table>> {
    if spec.training.is_none() && spec.gathered.is_empty() {
        return Ok(None);
    }
    let path = Path::new("catalog/measurements/kernels/attention.csv");
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().context("no head")?.split(',').collect();
    let column = |name| head.iter().position(|h| *h == name).with_context(|| format!("no {name}"));
    let (ours, library) = (column("chip")?, column("library")?);
    let (deterministic, time) = (column("deterministic")?, column("latency_ms")?);
    let mut kept = head.join(",");
    for line in lines {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        let relatives = match cells[library].as_str() {
            "cudnn" => spec.training.as_slice(),
            "cudnn-dsa" => spec.gathered,
            _ => &[],
        };
        let Some((_, peaks)) = relatives.iter().find(|(chip, _)| *chip == cells[ours]) else {
            continue;
        };
        if cells[deterministic] == "no" {
            cells[time] = (cells[time].parse::<f64>()? * peaks).to_string();
            kept = kept + "\n" + &cells.join(",");
        }
    }
    Table::csv("attention.csv", &kept).map(Some).map_err(|d| anyhow!("{}", d.message))
}

/// All-reduce over a whole NVL72, which the tables of single hosts do not hold.
fn rack() -> Result<Measured> {
    let path = Path::new("catalog/measurements/collectives/nccl.csv");
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let table = Table::csv("nccl.csv", &text).map_err(|d| anyhow!("{}", d.message))?;
    let column = |name| table.word(name).map_err(|d| anyhow!("{}", d.message));
    let (network, time) = (column("network")?, column("time_us")?);
    let bytes = table.number("msg_bytes").map_err(|d| anyhow!("{}", d.message))?;
    let mut times = std::collections::BTreeMap::new();
    for i in (0..table.rows).filter(|i| network[*i] == "NVL72 only") {
        times.insert(bytes[i] as u64, time[i].parse()?);
    }
    Ok(Measured { operation: "all-reduce", times_us: [(72, times)].into() })
}

fn simumax(folder: &Path, spec: &Spec, base: &kernel::Calibration) -> Result<String> {
    let table = read(&folder.join("ops.csv"))?;
    let authors = Fits::read(&folder.join("fits.json"))?;
    let subject = Subject { machine: spec.machine(), base: Some(base) };
    let mut fits = calibrate(&[table], &subject).map_err(|d| anyhow!("{d:?}"))?;
    print("simumax-b200", &fits);
    fits.curves = authors.curves()?;
    let inside = "inside the measured efficiency";
    let known = Known {
        name: "The B200 machine of the SimuMax measurements".to_owned(),
        machine: true,
        source: "SIMUMAX",
        fixed: Written::new(0.0, "us", "measured", "SIMUMAX").note(inside),
        fixed_vector: authors.fixed_vector()?,
        memory: authors.efficiency()?,
        routing: authors.routing()?,
        sustained: Some(Written::new(0.99, "", "measured", "SIMUMAX").range(0.96, 1.0).note(
            "fitted to its 20 steps over its kernels, 3.3 % on rows kept out, which is the range",
        )),
    };
    Ok(document(spec, &known, &fits).text(&fits))
}

/// vTrain's all-reduce table as a machine with A100's kernels.
fn vtrain(curves: &[Measured]) -> String {
    let mut text = "# Written by `cargo xtask calibrate`; do not edit.\n\
                    name = \"vTrain's nodes of eight A100: A100 kernels, its own all-reduce\"\n\
                    base = \"a100\"\n"
        .to_owned();
    for curve in curves {
        collective(&mut text, curve, "VTRAIN");
    }
    text
}

/// Every Parquet table of a folder, by name.
fn tables(folder: &Path) -> Result<Vec<Table>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "parquet") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Table> {
    let name = path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let table = if path.extension().is_some_and(|e| e == "parquet") {
        Table::parquet(&name, bytes)
    } else {
        Table::csv(&name, &String::from_utf8(bytes)?)
    };
    let table = table.map_err(|d| anyhow!("{}", d.message))?;
    Kind::of(&table).map_err(|d| anyhow!("{d:?}"))?;
    Ok(table)
}

fn print(id: &str, fits: &Calibrated) {
    for row in &fits.errors {
        eprintln!(
            "{id:14} {:22} {:6} shapes ({:5} left out)  median {:5.1} %  p90 {:5.1} %",
            row.operator,
            row.points,
            row.left_out,
            100.0 * row.median,
            100.0 * row.p90
        );
    }
    for warning in &fits.warnings.0 {
        eprintln!("{id:14} {}", warning.message);
    }
}
