//! Columns of a measured table.

use anyhow::{Context, Result, bail};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use std::collections::BTreeMap;
use std::path::Path;

/// A table by column.
#[derive(Default)]
pub struct Table {
    numbers: BTreeMap<String, Vec<f64>>,
    words: BTreeMap<String, Vec<String>>,
    /// Rows.
    pub rows: usize,
}

impl Table {
    /// Reads a Parquet file with flat columns.
    pub fn parquet(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        let reader = SerializedFileReader::new(file)?;
        let mut table = Self::default();
        for row in reader.get_row_iter(None)? {
            for (name, field) in row?.get_column_iter() {
                let number = match field {
                    Field::Long(v) => *v as f64,
                    Field::Int(v) => f64::from(*v),
                    Field::Double(v) => *v,
                    Field::Float(v) => f64::from(*v),
                    Field::Null => f64::NAN,
                    Field::Str(word) => {
                        table.words.entry(name.clone()).or_default().push(word.clone());
                        continue;
                    }
                    other => bail!("{}: column `{name}` holds {other:?}", path.display()),
                };
                table.numbers.entry(name.clone()).or_default().push(number);
            }
            table.rows += 1;
        }
        Ok(table)
    }

    /// A column of numbers.
    pub fn number(&self, name: &str) -> Result<&[f64]> {
        self.numbers.get(name).map(Vec::as_slice).with_context(|| format!("no column `{name}`"))
    }

    /// A column of words.
    pub fn word(&self, name: &str) -> Result<&[String]> {
        self.words.get(name).map(Vec::as_slice).with_context(|| format!("no column `{name}`"))
    }
}
