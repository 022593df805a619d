//! A step's program as JSON, schema `supernode.program/1`: what a plan lowers to, written out whole, to
//! keep, to change by hand and to run again.
//!
//! [`write()`] and [`read`] are inverse: a program read back is equal to the last bit. Reading checks
//! everything the engines rely on (the program's own rules and its timetable's), so that what was read
//! runs to its end.

mod raw;
mod words;

use crate::place::json;
use diagnostic::{Diagnostic, Diagnostics};
use program::{Program, Timetable};
use raw::RawProgram;
use serde_json::Value;

/// The schema's name and version.
pub const SCHEMA: &str = "supernode.program/1";
/// Most passes (ranks times micro-batches times chunks, three kinds each) that a file may ask for.
const MOST_PASSES: u64 = 10_000_000;

/// A program as JSON.
pub fn write(program: &Program) -> Value {
    serde_json::to_value(RawProgram::of(program)).unwrap_or(Value::Null)
}

/// Reads a program.
///
/// # Errors
/// Text that is no JSON of the schema, at its place; else every rule that the program breaks.
pub fn read(file: &str, text: &str) -> Result<Program, Diagnostics> {
    let raw: RawProgram = json("program::json", file, text)?;
    if raw.schema != SCHEMA {
        let message = format!("the schema is `{}`, not `{SCHEMA}`", raw.schema);
        return Err(Diagnostic::error("program::schema", message).at(file, 0..0).into());
    }
    let mut problems = Diagnostics::default();
    let program = raw.program(file, &mut problems);
    let program = problems.into_result(program)?;
    let all = |messages: Vec<String>| {
        let each =
            messages.into_iter().map(|m| Diagnostic::error("program::rule", m).at(file, 0..0));
        Diagnostics(each.collect())
    };
    program.validate().map_err(all)?;
    let ranks = program.classes.len() as u64;
    let passes = program.micro_batches.saturating_mul(ranks).saturating_mul(3 * program.chunks);
    if passes > MOST_PASSES {
        return Err(all(vec![format!("{passes} passes in a step, more than {MOST_PASSES}")]));
    }
    let (schedule, chunks) = (program.schedule, program.chunks);
    let table = Timetable::new(schedule, ranks, chunks, program.micro_batches, program.pairs());
    let wrong = table.problems();
    if wrong.is_empty() { Ok(program) } else { Err(all(wrong)) }
}
