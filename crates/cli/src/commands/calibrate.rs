//! `supernode calibrate`: measured kernels and collectives to a calibration file.

use super::{json, stamp};
use crate::args::Format;
use crate::input;
use crate::output::{Done, Failure};
use crate::whole_file::write_file;
use calibrate::{Machine, Subject, Table, blind, calibrate as fit, document, nccl};
use catalog::Chip;
use clap::Args;
use diagnostic::{Diagnostic, Diagnostics};
use kernel::Operation;

#[derive(Args, Debug)]
pub struct Calibrate {
    /// Measurements: CSV, Parquet, or what nccl-tests prints (text or `-J` JSON)
    #[arg(value_name = "KERNELS", required = true)]
    pub kernels: Vec<String>,
    /// The chip measured, by its catalog id
    #[arg(long, value_name = "ID")]
    pub chip: String,
    /// Where to write the calibration
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,
    /// What to call the machine [default: the chip's name]
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Fit nothing: how well does this calibration of the catalog foretell the measurements?
    #[arg(long, value_name = "ID", conflicts_with = "output")]
    pub blind: Option<String>,
    /// How to print the errors
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

pub fn calibrate(args: &Calibrate) -> Result<Done, Failure> {
    let chip = catalog::chip(&args.chip).map_err(bare)?;
    let (tables, texts) = read_all(&args.kernels)?;
    let failure = |problems| Failure { problems, texts: texts.clone() };
    let (base, _) = kernel::for_chip(&chip).map_err(bare)?;
    // Cores are those of the chip itself, or of the one its calibration was measured on.
    let waves = base.surfaces.iter().filter(|s| s.operation == Operation::Gemm);
    let cores = waves.filter_map(|s| s.waves).map(|w| w.cores).next();
    let machine = Machine::of(&chip, link(&chip, &base), cores);
    if let Some(reference) = &args.blind {
        let reference = kernel::calibration(reference).map_err(bare)?;
        let rows = blind(&reference, &machine, &tables).map_err(failure)?;
        let text = match args.format {
            Format::Text => report::blind_text(&reference.id, &chip.id, &rows),
            Format::Json => {
                let stamp = stamp("supernode.calibrate-blind/1", &contents(&args.kernels));
                json(&report::blind_json(&stamp, &reference.id, &chip.id, &rows))
            }
        };
        return Ok(Done { text, notes: String::new(), yes: true });
    }
    let link = machine.link;
    let subject = Subject { machine, base: Some(&base) };
    let fits = fit(&tables, &subject).map_err(failure)?;
    let name = args.name.clone().unwrap_or_else(|| format!("{}, measured", chip.name));
    let mut notes = report::render(&fits.warnings, &|file| {
        texts.iter().find(|(name, _)| name == file).map(|(_, text)| text.clone())
    });
    if let Some(output) = &args.output {
        let files: Vec<&str> = args.kernels.iter().map(|k| file_name(k)).collect();
        let document = document(&name, &chip, link, &base, &fits, &files.join(", "));
        let text = document.text(&fits);
        // What is written must be read again: a fault here is ours.
        if let Err(problems) = kernel::parse_calibration("written", output, &text) {
            return Err(Failure { problems, texts: vec![(output.clone(), text)] });
        }
        write_file(output, text.as_bytes())?;
        notes.push_str(&format!(
            "wrote `{output}`; a scenario beside it names it: calibration = \"{}\"\n",
            file_name(output)
        ));
    }
    let text = match args.format {
        Format::Text => report::calibrate_text(&name, &chip.id, &base.id, &fits),
        Format::Json => {
            let stamp = stamp("supernode.calibrate/1", &contents(&args.kernels));
            json(&report::calibrate_json(&stamp, &name, &chip.id, &base.id, &fits))
        }
    };
    Ok(Done { text, notes, yes: true })
}

/// What the files hold, one after another, for the stamp of an answer.
fn contents(paths: &[String]) -> String {
    let read = |path: &String| input::bytes(path, input::CAPTURED).unwrap_or_default();
    paths.iter().map(|path| String::from_utf8_lossy(&read(path)).into_owned()).collect()
}

fn bare(problems: Diagnostics) -> Failure {
    Failure { problems, texts: Vec::new() }
}

/// Rate of a chip into its innermost level: of the catalog's clusters the fastest, else of the
/// calibration it stands on. Bytes/s; 0 if unknown.
fn link(chip: &Chip, base: &kernel::Calibration) -> f64 {
    let clusters = catalog::cluster_ids().into_iter().filter_map(|id| catalog::cluster(id).ok());
    let own = clusters.filter(|c| c.chip.id == chip.id);
    let fastest = own.filter_map(|c| Some(c.levels.first()?.bandwidth.value)).fold(0.0, f64::max);
    if fastest > 0.0 { fastest } else { base.peaks.link }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

type Texts = Vec<(String, String)>;

/// Every file as a table, with the texts for messages, or what is wrong with any of them.
fn read_all(paths: &[String]) -> Result<(Vec<Table>, Texts), Failure> {
    let (mut tables, mut texts, mut problems) = (Vec::new(), Vec::new(), Diagnostics::default());
    for path in paths {
        match read_one(path, &mut texts) {
            Ok(table) => tables.push(table),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.has_errors() { Err(Failure { problems, texts }) } else { Ok((tables, texts)) }
}

fn read_one(path: &str, texts: &mut Texts) -> Result<Table, Diagnostic> {
    if std::path::Path::new(path).is_dir() {
        let message = format!("cannot read `{path}`: it is a folder");
        let hint = format!("name its files: {path}/*");
        return Err(Diagnostic::error("cli::file", message).hint(hint));
    }
    let bytes = input::bytes(path, input::CAPTURED)?;
    if bytes.starts_with(b"PAR1") || path.ends_with(".parquet") {
        return Table::parquet(path, bytes);
    }
    let text = input::text_from(path, bytes.as_slice(), input::CAPTURED)?;
    let table = if text.trim_start().starts_with('{') {
        nccl::json(path, &text)
    } else if nccl::is_text(&text) {
        nccl::text(path, &text)
    } else {
        Table::csv(path, &text)
    };
    texts.push((path.to_owned(), text));
    table
}
