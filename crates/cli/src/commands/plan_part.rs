//! `supernode plan SCENARIO --shard I/N`: one part of one scenario's space, as a study of one run.

use super::candidates;
use super::plan::{Files, PlanFramework};
use super::plan_search::Run;
use super::study::{Piece, Ready, SCHEMA, answer, deliver, whole};
use super::{Answer, Texts, stamp};
use search::Space;

/// Searches the part and writes or prints it.
///
/// Every part begins from the same likely plans and takes every `of`-th stem of the same list, so a
/// part depends on its input and number alone. How many plans a part priced depends on what the others
/// would have ruled out; it is left out, so that the parts join to the bytes of the whole.
pub fn part(run: &Run<'_>, ready: Ready, texts: &Texts, part: (u64, u64), files: Files) -> Answer {
    let args = run.args;
    let space = Space::new(&ready.problem, &ready.limits);
    let findings = run.best(&ready.problem, &space)?;
    let mut found = answer(0, &ready, &findings);
    if let Some(run) = found.as_object_mut() {
        run.shift_remove("priced");
    }
    let stamp = stamp(SCHEMA, &asked(run, &ready, texts));
    let limits = (u64::from(args.top), args.guard);
    let value = whole(&stamp, &ready.name, limits, (Piece::Space, part), &[found]);
    let mut done = deliver(&value, args.format, files.output)?;
    if let Some(table) = files.candidates {
        done.notes.push_str(&candidates::fill(table, &ready.problem, &space, args)?);
    }
    Ok(done)
}

/// Everything that the answer depends on, so that parts of two questions are not joined.
fn asked(run: &Run<'_>, ready: &Ready, texts: &Texts) -> String {
    let mut all = ready.opened.loaded.text.clone();
    for (_, text) in texts {
        all.push_str(text);
    }
    for (key, value) in run.args.set.iter().chain(&run.args.fix) {
        all.push_str(&format!("\n{key}={value}"));
    }
    if run.args.framework == Some(PlanFramework::Megatron) {
        all.push_str("\nmegatron");
    }
    all
}
