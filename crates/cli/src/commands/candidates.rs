//! `supernode plan --candidates FILE`: every plan that a search priced and that fits, as Parquet or as
//! lines of JSON.

use crate::commands::campaign::{bar, with_threads};
use crate::commands::plan::PlanArgs;
use crate::commands::plan_search::settle;
use crate::output::Failure;
use crate::whole_file::{WholeFile, cannot_write};
use diagnostic::Diagnostic;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use report::recompute_words;
use search::{Found, Options, Problem, Search, Space, Worker};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;

/// Plans of a row group at least, but for the last.
const GROUP: usize = 1 << 16;

/// Searches again and fills `table`; a note of what is in it.
///
/// # Errors
/// A file that cannot be written. Nothing is left behind then.
pub fn fill(
    mut table: Table,
    problem: &Problem,
    space: &Space,
    args: &PlanArgs,
) -> Result<String, Failure> {
    with_threads(args.threads, || -> Result<(), Failure> {
        let mut search = Search::new(problem, space, &Options::default()).keeping();
        if let Some((part, of)) = args.shard {
            search = search.part(part, of);
        }
        let bar = bar(args.progress, search.progress().stems as u64, "parts of the space");
        let mut workers: Vec<Worker<'_>> =
            (0..rayon::current_num_threads()).map(|_| search.worker()).collect();
        while !search.round().is_empty() {
            let results = settle(&search, &mut workers);
            search.absorb(&results);
            for found in results.iter().flat_map(search::StemResult::evaluated) {
                table.push(problem, found)?;
            }
            bar.set_position(search.progress().stems_done as u64);
        }
        bar.finish_and_clear();
        Ok(())
    })??;
    let file = table.name().to_owned();
    let rows = table.finish()?;
    Ok(format!("supernode: {rows} plans that fit are in {file}\n"))
}

/// What a column holds of a plan.
type Column<T> = (&'static str, fn(&Problem, &Found) -> T);

/// A file of plans under way.
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub enum Table {
    Lines { file: String, out: WholeFile, rows: u64 },
    Parquet { file: String, out: SerializedFileWriter<WholeFile>, columns: Columns, rows: u64 },
}

/// Whole numbers of a plan, by column.
const COUNTS: [Column<u64>; 12] = [
    ("tensor", |_, f| f.plan.tensor),
    ("context", |_, f| f.plan.context),
    ("pipeline", |_, f| f.plan.pipeline),
    ("virtual_pipeline", |_, f| f.plan.virtual_pipeline),
    ("data", |_, f| f.plan.data),
    ("expert", |_, f| f.plan.expert),
    ("expert_tensor", |_, f| f.plan.expert_tensor),
    ("expert_data", |_, f| f.plan.expert_data),
    ("micro_batch", |_, f| f.plan.micro_batch),
    ("micro_batches", |p, f| f.plan.micro_batches(p.batch_sequences).unwrap_or(0)),
    ("zero", |_, f| u64::from(f.plan.zero as u8)),
    ("shard_group", |_, f| f.plan.shard_group.unwrap_or(0)),
];

/// Quantities.
const FLOATS: [Column<f64>; 3] = [
    ("step_s", |_, f| f.step_s),
    ("tokens_per_s", |p, f| p.batch_tokens() / f.step_s),
    ("peak_bytes", |_, f| f.peak_bytes),
];

/// Words.
const WORDS: [Column<String>; 3] = [
    ("schedule", |_, f| f.plan.schedule.word().to_owned()),
    ("recompute", |_, f| recompute_words(&f.plan)),
    ("stage_blocks", |_, f| {
        let cut = f.plan.stage_blocks.as_deref().unwrap_or_default();
        cut.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
    }),
];

/// Switches.
const SWITCHES: [Column<bool>; 2] = [
    ("sequence_parallel", |_, f| f.plan.sequence_parallel),
    ("pipeline_innermost", |_, f| f.plan.pipeline_innermost),
];

/// Plans of a row group, by column.
#[derive(Default)]
pub struct Columns {
    floats: [Vec<f64>; 3],
    counts: [Vec<i64>; 12],
    words: [Vec<ByteArray>; 3],
    switches: [Vec<bool>; 2],
}

impl Table {
    /// Begins the file, whose name ends in `.parquet` or `.jsonl`.
    ///
    /// # Errors
    /// Another ending; a file that cannot be written.
    pub fn begin(file: &str) -> Result<Self, Failure> {
        let name = file.to_owned();
        let ending = std::path::Path::new(file).extension().and_then(|e| e.to_str());
        match ending {
            Some("parquet") => {
                let wrong = |e: ParquetError| cannot_write(file, &e);
                let schema = Arc::new(parse_message_type(&message()).map_err(wrong)?);
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()));
                let out = WholeFile::begin(file)?;
                let out = SerializedFileWriter::new(out, schema, Arc::new(properties.build()))
                    .map_err(wrong)?;
                Ok(Self::Parquet { file: name, out, columns: Columns::default(), rows: 0 })
            }
            Some("jsonl") => Ok(Self::Lines { file: name, out: WholeFile::begin(file)?, rows: 0 }),
            _ => {
                let message = format!("`{file}` ends in neither `.parquet` nor `.jsonl`");
                Err(Diagnostic::error("cli::candidates", message).into())
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Lines { file, .. } | Self::Parquet { file, .. } => file,
        }
    }

    fn push(&mut self, problem: &Problem, found: &Found) -> Result<(), Failure> {
        match self {
            Self::Lines { file, out, rows } => {
                *rows += 1;
                writeln!(out, "{}", line(problem, found)).map_err(|e| cannot_write(file, &e))
            }
            Self::Parquet { file, out, columns, rows } => {
                *rows += 1;
                columns.push(problem, found);
                if columns.floats[0].len() < GROUP {
                    return Ok(());
                }
                columns.write(out).map_err(|e| cannot_write(file, &e))
            }
        }
    }

    fn finish(self) -> Result<u64, Failure> {
        match self {
            Self::Lines { out, rows, .. } => out.keep().map(|()| rows),
            Self::Parquet { file, mut out, mut columns, rows } => {
                let wrong = |e: ParquetError| cannot_write(&file, &e);
                columns.write(&mut out).map_err(wrong)?;
                out.into_inner().map_err(wrong)?.keep()?;
                Ok(rows)
            }
        }
    }
}

fn message() -> String {
    let mut message = String::from("message candidate {\n");
    let mut column = |kind: &str, name: &str| {
        message.push_str(&format!("  required {kind} {name};\n"));
    };
    for (name, _) in FLOATS {
        column("double", name);
    }
    for (name, _) in COUNTS {
        column("int64", name);
    }
    for (name, _) in WORDS {
        column("binary", &format!("{name} (UTF8)"));
    }
    for (name, _) in SWITCHES {
        column("boolean", name);
    }
    message.push('}');
    message
}

fn line(problem: &Problem, found: &Found) -> serde_json::Value {
    let mut value = json!({});
    for (name, of) in FLOATS {
        value[name] = of(problem, found).into();
    }
    for (name, of) in COUNTS {
        value[name] = of(problem, found).into();
    }
    for (name, of) in WORDS {
        value[name] = of(problem, found).into();
    }
    for (name, of) in SWITCHES {
        value[name] = of(problem, found).into();
    }
    value
}

impl Columns {
    fn push(&mut self, problem: &Problem, found: &Found) {
        for (column, (_, of)) in self.floats.iter_mut().zip(FLOATS) {
            column.push(of(problem, found));
        }
        for (column, (_, of)) in self.counts.iter_mut().zip(COUNTS) {
            column.push(i64::try_from(of(problem, found)).unwrap_or(i64::MAX));
        }
        for (column, (_, of)) in self.words.iter_mut().zip(WORDS) {
            column.push(ByteArray::from(of(problem, found).into_bytes()));
        }
        for (column, (_, of)) in self.switches.iter_mut().zip(SWITCHES) {
            column.push(of(problem, found));
        }
    }

    fn write(&mut self, out: &mut SerializedFileWriter<WholeFile>) -> Result<(), ParquetError> {
        let mut group = out.next_row_group()?;
        for values in &self.floats {
            if let Some(mut column) = group.next_column()? {
                column.typed::<DoubleType>().write_batch(values, None, None)?;
                column.close()?;
            }
        }
        for values in &self.counts {
            if let Some(mut column) = group.next_column()? {
                column.typed::<Int64Type>().write_batch(values, None, None)?;
                column.close()?;
            }
        }
        for values in &self.words {
            if let Some(mut column) = group.next_column()? {
                column.typed::<ByteArrayType>().write_batch(values, None, None)?;
                column.close()?;
            }
        }
        for values in &self.switches {
            if let Some(mut column) = group.next_column()? {
                column.typed::<BoolType>().write_batch(values, None, None)?;
                column.close()?;
            }
        }
        group.close()?;
        *self = Self::default();
        Ok(())
    }
}
