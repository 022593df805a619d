//! Samples of a campaign: drawn on all cores, kept as they come, resumed after a kill.
//!
//! While a campaign runs, `FILE.partial` grows by one record a sample, in order: its words and their
//! xxh3. A record that a kill cut short fails its sum and is drawn again. At the end all records become
//! `FILE`, a Parquet file, by a rename: it is there whole or not at all.

use crate::output::Failure;
use campaign::{Account, Bill, Campaign, Cause, Sample, allowed, endless, sample, unanswered};
use diagnostic::Diagnostic;
use indicatif::ProgressBar;
use parquet::data_type::{DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rayon::prelude::*;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// Samples that the cores draw before they are written.
const CHUNK: u64 = 64;

/// What to draw.
pub struct Wanted<'a> {
    pub campaign: &'a Campaign,
    pub seed: u64,
    pub count: u64,
    /// Where to keep them.
    pub keep: Option<&'a str>,
    /// Of everything the samples depend on.
    pub hash: u64,
}

/// All samples in order of index.
///
/// # Errors
/// A file that cannot be read or written; [`endless`], as soon as that is certain: whichever samples came
/// first, more are unanswered than are allowed.
pub fn drawn(wanted: &Wanted<'_>, progress: &ProgressBar) -> Result<Vec<Sample>, Failure> {
    let processes = processes(wanted.campaign).len();
    let mut log = wanted.keep.map(|file| Log::open(file, wanted, processes)).transpose()?;
    let mut samples = log.as_mut().map(|log| std::mem::take(&mut log.read)).unwrap_or_default();
    progress.set_position(samples.len() as u64);
    let (campaign, allowed) = (wanted.campaign, allowed(wanted.campaign, wanted.count));
    let lost = AtomicU64::new(0);
    let answers = |sample: &Sample| {
        let one = u64::from(unanswered(campaign, sample));
        lost.fetch_add(one, Ordering::Relaxed) + one <= allowed
    };
    let mut certain = !samples.iter().all(answers);
    while !certain && (samples.len() as u64) < wanted.count {
        let from = samples.len() as u64;
        let to = (from + CHUNK).min(wanted.count);
        let one = |index| Some(sample(campaign, wanted.seed, index)).filter(answers);
        let Some(chunk) = (from..to).into_par_iter().map(one).collect::<Option<Vec<Sample>>>()
        else {
            certain = true;
            break;
        };
        if let Some(log) = &mut log {
            log.append(&chunk)?;
        }
        samples.extend(chunk);
        progress.set_position(to);
    }
    if certain {
        // Only a tidy folder depends on it.
        let _ = log.map(|log| fs::remove_file(&log.partial));
        return Err(endless(campaign).into());
    }
    if let Some(log) = log {
        log.finish(campaign, &samples)?;
    }
    Ok(samples)
}

fn processes(campaign: &Campaign) -> Vec<String> {
    let run = campaign.run(&campaign.assumptions.central());
    run.processes.into_iter().map(|process| process.name).collect()
}

struct Log {
    file: String,
    partial: String,
    open: File,
    read: Vec<Sample>,
}

/// The first words of a log: a name, a version and what it belongs to.
fn header(wanted: &Wanted<'_>) -> [u64; 4] {
    [u64::from_le_bytes(*b"supernod"), 1, wanted.hash ^ wanted.seed.rotate_left(17), wanted.count]
}

impl Log {
    fn open(file: &str, wanted: &Wanted<'_>, processes: usize) -> Result<Self, Failure> {
        if std::path::Path::new(file).is_dir() {
            // Told now, not when all is drawn.
            return Err(crate::whole_file::cannot_write(file, &"it is a folder"));
        }
        let partial = format!("{file}.partial");
        let header: Vec<u8> = header(wanted).iter().flat_map(|word| word.to_le_bytes()).collect();
        if fs::metadata(&partial).is_ok_and(|found| !found.is_file()) {
            return Err(crate::whole_file::cannot_write(&partial, &"it is no plain file"));
        }
        let found = fs::read(&partial).unwrap_or_default();
        // A log that a kill cut within its header holds nothing.
        let (samples, good) = if found.len() < header.len() {
            (Vec::new(), 0)
        } else if found[..header.len()] == header[..] {
            let (samples, bytes) = records(&found[header.len()..], processes);
            (samples, header.len() + bytes)
        } else {
            let message = format!("`{partial}` belongs to another campaign");
            let hint = "delete it, or keep the samples in another file";
            return Err(Diagnostic::error("cli::samples", message).hint(hint).into());
        };
        let failed = |e: std::io::Error| cannot_write(&partial, &e);
        let options = OpenOptions::new().create(true).write(true).truncate(false).open(&partial);
        let mut open = options.map_err(failed)?;
        open.set_len(good as u64).map_err(failed)?;
        std::io::Seek::seek(&mut open, std::io::SeekFrom::End(0)).map_err(failed)?;
        if good == 0 {
            open.write_all(&header).map_err(failed)?;
        }
        let mut read = samples;
        read.truncate(wanted.count as usize);
        Ok(Self { file: file.to_owned(), partial, open, read })
    }

    fn append(&mut self, samples: &[Sample]) -> Result<(), Failure> {
        let bytes: Vec<u8> = samples.iter().flat_map(record).collect();
        self.open.write_all(&bytes).map_err(|e| cannot_write(&self.partial, &e))
    }

    fn finish(self, campaign: &Campaign, samples: &[Sample]) -> Result<(), Failure> {
        let bytes = parquet(&processes(campaign), samples).map_err(|e| {
            let message = format!("cannot write `{}`: {e}", self.file);
            Failure::from(Diagnostic::error("cli::write", message))
        })?;
        crate::whole_file::write_file(&self.file, &bytes)?;
        // Only a tidy folder depends on it.
        let _ = fs::remove_file(&self.partial);
        Ok(())
    }
}

fn cannot_write(file: &str, error: &std::io::Error) -> Failure {
    let problem = Diagnostic::error("cli::write", format!("cannot write `{file}`: {error}"));
    problem.hint("the folder must exist and be writable").into()
}

/// A sample's words; floats as their bits.
fn words(sample: &Sample) -> Vec<u64> {
    let mut words = sample.account.0.to_vec();
    words.extend(&sample.strikes);
    let flags = [sample.finished, sample.bill.is_some(), sample.cut];
    words.push(flags.iter().rev().fold(0, |word, flag| word << 1 | u64::from(*flag)));
    let plain = [sample.tokens, sample.flops, sample.chips, sample.energy_j];
    words.extend(plain.map(f64::to_bits));
    let bill = sample.bill.unwrap_or_default();
    words.push(bill.rental.to_bits());
    words.extend(bill.parts().map(|(_, usd)| usd.to_bits()));
    words
}

fn record(sample: &Sample) -> Vec<u8> {
    let mut bytes: Vec<u8> = words(sample).iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(xxh3_64(&bytes).to_le_bytes());
    bytes
}

/// The whole records at the start of `bytes`, and how long they are.
fn records(bytes: &[u8], processes: usize) -> (Vec<Sample>, usize) {
    let length = 8 * (Cause::ALL.len() + processes + 1 + 4 + 8);
    let mut samples = Vec::new();
    for record in bytes.chunks_exact(length + 8) {
        let (body, sum) = record.split_at(length);
        if xxh3_64(body).to_le_bytes() != sum[..] {
            break;
        }
        samples.push(sample_of(body, processes));
    }
    let used = samples.len() * (length + 8);
    (samples, used)
}

fn sample_of(body: &[u8], processes: usize) -> Sample {
    let word = |index: usize| {
        let bytes = &body[8 * index..8 * index + 8];
        bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
    };
    let causes = Cause::ALL.len();
    let flags = word(causes + processes);
    let float = |index: usize| f64::from_bits(word(causes + processes + 1 + index));
    Sample {
        account: Account(std::array::from_fn(word)),
        strikes: (0..processes).map(|i| word(causes + i)).collect(),
        finished: flags & 1 == 1,
        cut: flags & 4 == 4,
        tokens: float(0),
        flops: float(1),
        chips: float(2),
        energy_j: float(3),
        bill: (flags & 2 == 2).then(|| Bill {
            rental: float(4),
            chips: float(5),
            hosts: float(6),
            fabric: float(7),
            optics: float(8),
            building: float(9),
            electricity: float(10),
            staff: float(11),
        }),
    }
}

/// One row a sample: nanoseconds by cause, strikes by process, energy, money.
fn parquet(
    processes: &[String],
    samples: &[Sample],
) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let mut integers: Vec<(String, Vec<i64>)> =
        vec![("sample".into(), (0_i64..).take(samples.len()).collect())];
    let integer = |f: &dyn Fn(&Sample) -> u64| -> Vec<i64> {
        samples.iter().map(|s| i64::try_from(f(s)).unwrap_or(i64::MAX)).collect()
    };
    for cause in Cause::ALL {
        integers.push((format!("{}_ns", cause.key()), integer(&|s| s.account.of(cause))));
    }
    for (i, name) in processes.iter().enumerate() {
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        integers.push((format!("interruptions_{i}_{name}"), integer(&|s| s.strikes[i])));
    }
    integers.push(("finished".into(), integer(&|s| u64::from(s.finished))));
    let float = |f: &dyn Fn(&Sample) -> f64| -> Vec<f64> { samples.iter().map(f).collect() };
    let mut floats = vec![
        ("tokens".to_owned(), float(&|s| s.tokens)),
        ("flops".to_owned(), float(&|s| s.flops)),
        ("chips".to_owned(), float(&|s| s.chips)),
        ("energy_j".to_owned(), float(&|s| s.energy_j)),
    ];
    if samples.iter().all(|s| s.bill.is_some()) {
        let bill = |s: &Sample| s.bill.unwrap_or_default();
        floats.push(("rental_usd".to_owned(), float(&|s| bill(s).rental)));
        for (i, (word, _)) in Bill::default().parts().iter().enumerate() {
            floats.push((format!("owning_{word}_usd"), float(&|s| bill(s).parts()[i].1)));
        }
    }
    let mut message = String::from("message sample {\n");
    for (name, _) in &integers {
        message.push_str(&format!("  required int64 {name};\n"));
    }
    for (name, _) in &floats {
        message.push_str(&format!("  required double {name};\n"));
    }
    message.push('}');
    let schema = Arc::new(parse_message_type(&message)?);
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties)?;
    let mut group = writer.next_row_group()?;
    for (_, values) in &integers {
        if let Some(mut column) = group.next_column()? {
            column.typed::<Int64Type>().write_batch(values, None, None)?;
            column.close()?;
        }
    }
    for (_, values) in &floats {
        if let Some(mut column) = group.next_column()? {
            column.typed::<DoubleType>().write_batch(values, None, None)?;
            column.close()?;
        }
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(k: u64) -> Sample {
        Sample {
            account: Account(std::array::from_fn(|i| i as u64 * 1_000 + k)),
            strikes: vec![k, 2 * k],
            finished: k.is_multiple_of(2),
            cut: k.is_multiple_of(5),
            tokens: 1e12,
            flops: 2e24,
            chips: 8_192.0,
            energy_j: f64::NAN,
            bill: k.is_multiple_of(3).then(|| Bill { rental: 5.0, staff: 7.0, ..Bill::default() }),
        }
    }

    #[test]
    fn records_come_back_and_a_cut_one_does_not() {
        let bytes: Vec<u8> = (0..5).flat_map(|k| record(&one(k))).collect();
        let length = bytes.len() / 5;
        for cut in [0, 1, length - 1, length, 3 * length + 8, bytes.len()] {
            let (samples, used) = records(&bytes[..cut], 2);
            assert_eq!((samples.len(), used), (cut / length, cut / length * length));
            for (k, sample) in samples.iter().enumerate() {
                assert_eq!(words(sample), words(&one(k as u64)));
            }
        }
        let mut torn = bytes.clone();
        torn[2 * length + 3] ^= 1;
        assert_eq!(records(&torn, 2).0.len(), 2);
    }
}
