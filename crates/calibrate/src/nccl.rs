//! What nccl-tests prints, as text and as JSON (`-J`), to a table of collectives.

use crate::table::Table;
use diagnostic::{Diagnostic, counted};
use serde_json::Value;

/// nccl-tests' programs by the collective they run.
const PROGRAMS: [(&str, &str); 4] = [
    ("all_reduce", "all_reduce"),
    ("all_gather", "all_gather"),
    ("reduce_scatter", "reduce_scatter"),
    ("alltoall", "alltoall"),
];

struct Row {
    bytes: f64,
    count: f64,
    format: String,
    us: f64,
}

/// Whether a text looks like nccl-tests'.
pub fn is_text(text: &str) -> bool {
    text.lines().any(|l| l.trim_start().starts_with('#') && l.contains("algbw"))
}

/// nccl-tests' text: the out-of-place times under its own head, the ranks from its list of devices, the
/// collective from `name` (the file's) or a line of the text that names the program.
///
/// # Errors
/// A collective or a number of ranks that cannot be told, rows that are cut off, no rows, times of
/// the host, or ranks that found wrong results.
pub fn text(name: &str, text: &str) -> Result<Table, Diagnostic> {
    let wrong = |message: String| Diagnostic::error("calibrate::nccl", message).at(name, 0..0);
    let operation =
        operation(name).or_else(|| text.lines().find_map(operation)).ok_or_else(|| untold(name))?;
    let device = |l: &&str| l.starts_with('#') && l.contains("Rank") && l.contains("Pid");
    let members = text.lines().filter(device).count();
    let head = |l: &&str| l.starts_with('#') && l.contains("algbw");
    let head = text.lines().find(head).ok_or_else(|| wrong("no head of columns".to_owned()))?;
    let head: Vec<&str> = head.trim_start_matches('#').split_whitespace().collect();
    let column = |word: &str| {
        head.iter().position(|h| *h == word).ok_or_else(|| wrong(format!("no column `{word}`")))
    };
    let columns = [column("size")?, column("count")?, column("type")?, column("time")?];
    let mut rows = Vec::new();
    for line in text.lines().filter(|l| !l.trim_start().starts_with('#')) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        if cells.first().is_none_or(|c| c.parse::<f64>().is_err()) {
            continue;
        }
        let row = row(&cells, columns).filter(|_| cells.len() >= head.len()).ok_or_else(|| {
            wrong(format!(
                "row {}: `{}` is cut off or not nccl-tests'",
                rows.len() + 1,
                line.trim()
            ))
        })?;
        rows.push(row);
    }
    let failed = |l: &str| l.contains("Out of bounds values") && l.contains("FAILED");
    if text.lines().any(failed) {
        return Err(wrong("the ranks found wrong results: out of bounds values".to_owned()));
    }
    table(name, operation, members, &rows)
}

fn untold(name: &str) -> Diagnostic {
    let known = PROGRAMS.map(|p| p.0).join(", ");
    Diagnostic::error("calibrate::nccl", "which collective it is cannot be told")
        .at(name, 0..0)
        .hint(format!(
            "name the file after the program, for example `all_reduce_perf.txt`: {known}"
        ))
}

fn row(cells: &[&str], [size, count, format, time]: [usize; 4]) -> Option<Row> {
    let number = |at: usize| cells.get(at)?.parse::<f64>().ok();
    let format = (*cells.get(format)?).to_owned();
    crate::collectives::width(&format)?;
    Some(Row { bytes: number(size)?, count: number(count)?, format, us: number(time)? })
}

/// nccl-tests' JSON.
///
/// # Errors
/// As [`text`].
pub fn json(name: &str, text: &str) -> Result<Table, Diagnostic> {
    let wrong = |message: String| Diagnostic::error("calibrate::nccl", message).at(name, 0..0);
    let value: Value = serde_json::from_str(text).map_err(|e| wrong(format!("no JSON: {e}")))?;
    let args = value.get("args").map(ToString::to_string).unwrap_or_default();
    let operation = operation(name).or_else(|| operation(&args)).ok_or_else(|| untold(name))?;
    let devices = value.get("config").and_then(|c| c.get("devices")).or(value.get("devices"));
    let members = devices.and_then(Value::as_array).map_or(0, Vec::len);
    let okay = value.get("out_of_bounds").and_then(|o| o.get("okay"));
    if okay.and_then(Value::as_str) == Some("false") {
        return Err(wrong("the ranks found wrong results: out_of_bounds".to_owned()));
    }
    let results = value.get("results").and_then(Value::as_array);
    let results = results.ok_or_else(|| wrong("no `results`".to_owned()))?;
    let mut rows = Vec::new();
    for (i, result) in results.iter().enumerate() {
        let row = json_row(result).ok_or_else(|| {
            wrong(format!("row {}: size, count, type or out_of_place.time is missing", i + 1))
        })?;
        rows.push(row);
    }
    table(name, operation, members, &rows)
}

fn json_row(result: &Value) -> Option<Row> {
    let format = result.get("type")?.as_str()?.to_owned();
    crate::collectives::width(&format)?;
    let out = result.get("out_of_place")?;
    Some(Row {
        bytes: result.get("size")?.as_f64()?,
        count: result.get("count")?.as_f64()?,
        format,
        us: out.get("time")?.as_f64()?,
    })
}

fn operation(text: &str) -> Option<&'static str> {
    // nccl-tests says `alltoall_perf` or prints `AllToAll`.
    let lower = text.to_lowercase().replace('_', "");
    PROGRAMS.iter().find(|(word, _)| lower.contains(&word.replace('_', ""))).map(|p| p.1)
}

fn table(name: &str, operation: &str, members: usize, rows: &[Row]) -> Result<Table, Diagnostic> {
    let wrong = |message: String| Diagnostic::error("calibrate::nccl", message).at(name, 0..0);
    if members < 2 {
        let listed = counted(members as u64, "rank");
        return Err(wrong(format!("{listed} in the list; a collective has 2 and more")));
    }
    if rows.is_empty() {
        return Err(wrong("no rows of measurements".to_owned()));
    }
    // The smallest messages may have no element for every rank.
    let rows: Vec<&Row> = rows.iter().filter(|r| r.bytes > 0.0 && r.count > 0.0).collect();
    let mut table = Table::new(name, rows.len());
    table.add_words("collective", vec![operation.to_owned(); rows.len()]);
    table.add_words("dtype", rows.iter().map(|r| r.format.clone()).collect());
    table.add_numbers("num_gpus", vec![members as f64; rows.len()]);
    let elements =
        |r: &&Row| libm::round(r.bytes / crate::collectives::width(&r.format).unwrap_or(1.0));
    table.add_numbers("message_size", rows.iter().map(elements).collect());
    table.add_numbers("latency_ms", rows.iter().map(|r| r.us * 1e-3).collect());
    Ok(table)
}
