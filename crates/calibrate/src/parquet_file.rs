//! The bytes of a Parquet file to a table.

use crate::table::Table;
use diagnostic::Diagnostic;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use std::collections::BTreeMap;

/// Most rows read: forty times the largest table known.
const MOST_ROWS: i64 = 4_000_000;

enum Column {
    Numbers(Vec<f64>),
    Words(Vec<String>),
}

impl Table {
    /// Reads a Parquet file with flat columns of numbers and words.
    ///
    /// # Errors
    /// The file is cut off or no Parquet, a column is nested or of another type, or a file that
    /// makes the decoder give up.
    pub fn parquet(file: &str, bytes: Vec<u8>) -> Result<Self, Diagnostic> {
        let wrong = |message: String| {
            Diagnostic::error("calibrate::parquet", format!("`{file}`: {message}"))
                .at(file, 0..0)
                .hint("the file may be cut off; write it again, or give it as CSV")
        };
        // The decoder is not ours: what it asserts about a hostile file is the file's fault.
        let read = std::panic::catch_unwind(|| decode(file, bytes));
        match read {
            Ok(result) => result.map_err(wrong),
            Err(_) => Err(wrong("the Parquet decoder cannot read it".to_owned())),
        }
    }
}

fn decode(file: &str, bytes: Vec<u8>) -> Result<Table, String> {
    let text = |e: parquet::errors::ParquetError| e.to_string();
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(text)?;
    let stated = reader.metadata().file_metadata().num_rows();
    if !(1..=MOST_ROWS).contains(&stated) {
        return Err(format!("says it has {stated} rows; 1 to {MOST_ROWS} are read"));
    }
    let mut columns: BTreeMap<String, Column> = BTreeMap::new();
    let mut rows = 0;
    for row in reader.get_row_iter(None).map_err(text)? {
        for (name, field) in row.map_err(text)?.get_column_iter() {
            add(&mut columns, name, field, rows)?;
        }
        rows += 1;
    }
    if i64::try_from(rows) != Ok(stated) {
        return Err(format!("says it has {stated} rows and holds {rows}"));
    }
    let mut table = Table::new(file, rows);
    for (name, column) in columns {
        match column {
            Column::Numbers(v) if v.len() == rows => table.add_numbers(&name, v),
            Column::Words(v) if v.len() == rows => table.add_words(&name, v),
            _ => return Err(format!("column `{name}` is not there in every row")),
        }
    }
    Ok(table)
}

fn add(
    columns: &mut BTreeMap<String, Column>,
    name: &str,
    field: &Field,
    row: usize,
) -> Result<(), String> {
    let number = match field {
        Field::Long(v) => *v as f64,
        Field::Int(v) => f64::from(*v),
        Field::ULong(v) => *v as f64,
        Field::UInt(v) => f64::from(*v),
        Field::Double(v) => *v,
        Field::Float(v) => f64::from(*v),
        Field::Null => f64::NAN,
        Field::Str(word) => {
            let column = columns.entry(name.to_owned()).or_insert(Column::Words(Vec::new()));
            let Column::Words(words) = column else {
                return Err(format!("row {}: `{name}` is a word among numbers", row + 1));
            };
            words.push(word.clone());
            return Ok(());
        }
        _ => return Err(format!("column `{name}` holds neither numbers nor words")),
    };
    match columns.entry(name.to_owned()).or_insert(Column::Numbers(Vec::new())) {
        Column::Numbers(numbers) => numbers.push(number),
        Column::Words(_) if number.is_nan() => {
            return Err(format!("row {}: `{name}` is empty", row + 1));
        }
        Column::Words(_) => {
            return Err(format!("row {}: `{name}` is a number among words", row + 1));
        }
    }
    Ok(())
}
