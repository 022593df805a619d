//! Refuses measurements that cannot be: no times, impossible times, times that contradict each other.

use crate::collectives::{bound_s, width};
use crate::kind::Kind;
use crate::machine::Machine;
use crate::points::{FORMATS, names, sequences};
use crate::table::Table;
use catalog::Dtype;
use diagnostic::{Diagnostic, Diagnostics, Severity};
use std::collections::BTreeMap;

/// Most that two measurements of the same thing may differ by, the longer over the shorter.
pub const REPEAT_LIMIT: f64 = 1.25;
/// Share of a table's shapes that may contradict themselves; they are left out with a warning.
pub const REPEAT_SHARE: f64 = 0.01;
/// Least share of the time at the chip's peak that is believed: clocks may beat the data sheet's.
pub const PEAK_SLACK: f64 = 0.97;
/// Bytes that no cache holds: beyond them the memory bandwidth is a bound. Bytes.
pub const UNCACHED_BYTES: f64 = 268_435_456.0;
/// Most problems of one sort told for one file.
const TOLD: usize = 5;

/// Rows fit to be used, or every reason why the table is not.
///
/// # Errors
/// Times that are not positive and finite, counts that are no whole numbers, times below what the
/// chip's peak or bandwidth allows, the same shape measured differently in more than
/// [`REPEAT_SHARE`] of the shapes.
pub fn check(table: &Table, kind: Kind, machine: &Machine) -> Result<Vec<Diagnostic>, Diagnostics> {
    let mut found = Found { problems: Diagnostics::default(), counts: BTreeMap::new() };
    for (name, _) in kind.times() {
        match table.number(name) {
            Ok(values) => values.iter().enumerate().for_each(|(row, v)| {
                if !(v.is_finite() && *v > 0.0) {
                    let message = format!("`{name}` is {v}; a measurement is above zero");
                    found.add(table.problem("calibrate::time", row, message));
                }
            }),
            Err(problem) => found.problems.push(problem),
        }
    }
    for name in kind.counts() {
        match table.number(name) {
            Ok(values) => values.iter().enumerate().for_each(|(row, v)| {
                let most = if matches!(*name, "message_size" | "bytes") { 1e13 } else { 1e8 };
                if !(*v >= 1.0 && *v <= most && libm::floor(*v) == *v) {
                    let message = format!("`{name}` is {v}; it counts from 1 to {most:e}");
                    found.add(table.problem("calibrate::count", row, message));
                }
            }),
            Err(problem) => found.problems.push(problem),
        }
    }
    heads(table, kind, &mut found);
    if found.problems.has_errors() {
        return Err(found.finish(table));
    }
    if let Err(problem) = bounds(table, kind, machine, &mut found) {
        found.problems.push(problem);
    }
    let mut warnings = repeats(table, kind, &mut found);
    warnings.extend(unread(table));
    if found.problems.has_errors() { Err(found.finish(table)) } else { Ok(warnings) }
}

/// Attention that cannot be: windows that are no count, heads that do not share keys evenly, passes that
/// are none.
fn heads(table: &Table, kind: Kind, found: &mut Found) {
    if !matches!(kind, Kind::Attention | Kind::Training) {
        return;
    }
    let number = |name| table.number(name).unwrap_or_default();
    let (heads, shared) = (number("num_heads"), number("num_kv_heads"));
    for (row, (all, shared)) in heads.iter().zip(shared).enumerate() {
        if all % shared != 0.0 {
            let message = format!("{shared} `num_kv_heads` do not divide {all} `num_heads`");
            found.add(table.problem("calibrate::heads", row, message));
        }
    }
    for (row, window) in number("window_size").iter().enumerate() {
        if !(*window >= 0.0 && *window <= 1e8 && libm::floor(*window) == *window) {
            let message = format!("`window_size` is {window}; it counts keys, 0 for no window");
            found.add(table.problem("calibrate::window", row, message));
        }
    }
    if kind == Kind::Training {
        for (row, pass) in table.word("pass").unwrap_or_default().iter().enumerate() {
            if !matches!(pass.as_str(), "forward" | "backward") {
                let message = format!("`pass` is `{pass}`");
                let problem = table.problem("calibrate::pass", row, message);
                found.add(problem.hint("forward or backward"));
            }
        }
    }
}

/// A warning for each word of the column `dtype` that names no format, with its rows.
fn unread(table: &Table) -> Vec<Diagnostic> {
    let mut rows: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let words = if table.has("dtype") { table.word("dtype").ok() } else { None };
    for (row, word) in words.into_iter().flatten().enumerate() {
        if !FORMATS.iter().any(|d| names(*d).contains(&word.as_str())) {
            rows.entry(word).or_insert((row, 0)).1 += 1;
        }
    }
    let warn = |(word, (first, count)): (&str, (usize, usize))| {
        let message =
            format!("{count} rows of `dtype` `{word}` are left out: no format is called so");
        Diagnostic {
            severity: Severity::Warning,
            ..table.problem("calibrate::dtype", first, message)
        }
    };
    rows.into_iter().map(warn).collect()
}

struct Found {
    problems: Diagnostics,
    counts: BTreeMap<&'static str, usize>,
}

impl Found {
    fn add(&mut self, problem: Diagnostic) {
        let count = self.counts.entry(problem.code).or_default();
        *count += 1;
        if *count <= TOLD {
            self.problems.push(problem);
        }
    }

    /// The problems, with how many more there are.
    fn finish(mut self, table: &Table) -> Diagnostics {
        for (code, count) in &self.counts {
            if *count > TOLD {
                let message = format!("{} more rows like the last of `{code}`", count - TOLD);
                self.problems.push(Diagnostic::error(code, message).at(&table.file, 0..0));
            }
        }
        self.problems
    }
}

/// Times below the chip's own bounds.
fn bounds(
    table: &Table,
    kind: Kind,
    machine: &Machine,
    found: &mut Found,
) -> Result<(), Diagnostic> {
    match kind {
        Kind::Gemm => {
            let (m, n, k) = (table.number("m")?, table.number("n")?, table.number("k")?);
            each(table, machine, found, "dtype", &|i, _| 2.0 * m[i] * n[i] * k[i], &|i, width| {
                width * (m[i] * k[i] + k[i] * n[i]) + width.max(2.0) * m[i] * n[i]
            })
        }
        Kind::Attention => {
            let column = |name| table.number(name);
            let (batch, seq, heads) =
                (column("batch_size")?, column("seq_len")?, column("num_heads")?);
            let (width, window) = (column("head_dim")?, column("window_size")?);
            let flops = |i: usize, _: f64| {
                4.0 * batch[i] * seq[i] * heads[i] * width[i] * visible(seq[i], window[i])
            };
            each(table, machine, found, "dtype", &flops, &|_, _| 0.0)
        }
        Kind::Training => {
            let column = |name| table.number(name);
            let (batch, seq, heads) =
                (column("batch_size")?, column("seq_len")?, column("num_heads")?);
            let (d_qk, d_v) = (column("head_dim_qk")?, column("head_dim_v")?);
            let (window, pass) = (column("window_size")?, table.word("pass")?);
            let gathered = sequences::gathered_keys(table)?;
            let flops = |i: usize, _: f64| {
                let products = if pass[i] == "backward" { 2.5 } else { 1.0 };
                let context =
                    if gathered[i] > 0.0 { gathered[i] } else { visible(seq[i], window[i]) };
                2.0 * products * batch[i] * seq[i] * heads[i] * (d_qk[i] + d_v[i]) * context
            };
            each(table, machine, found, "dtype", &flops, &|_, _| 0.0)
        }
        Kind::Moe => {
            let column = |name| table.number(name);
            let (tokens, hidden, inner) =
                (column("num_tokens")?, column("hidden_size")?, column("inter_size")?);
            let (topk, tp, ep) = (column("topk")?, column("moe_tp_size")?, column("moe_ep_size")?);
            let flops =
                |i: usize, _: f64| 4.0 * tokens[i] * topk[i] / ep[i] * hidden[i] * inner[i] / tp[i];
            each(table, machine, found, "dtype", &flops, &|_, _| 0.0)
        }
        Kind::Collectives if machine.link > 0.0 => {
            let column = |name| table.number(name);
            let (members, size, ms) =
                (column("num_gpus")?, column("message_size")?, column("latency_ms")?);
            let (operation, dtype) = (table.word("collective")?, table.word("dtype")?);
            for i in 0..table.rows {
                let Some(width) = width(&dtype[i]) else { continue };
                let least = bound_s(&operation[i], members[i], size[i] * width, machine.link);
                if ms[i] * 1e-3 < PEAK_SLACK * least {
                    found.add(below(table, i, ms[i] * 1e-3, least, "the links'"));
                }
            }
            Ok(())
        }
        Kind::Efficiencies => {
            let share = table.number("efficiency")?;
            for (i, share) in share.iter().enumerate().filter(|(_, s)| **s > 2.0 / PEAK_SLACK) {
                let message =
                    format!("an efficiency of {share} is above any count of causal FLOPs");
                found.add(table.problem("calibrate::bound", i, message));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Mean keys of a causal query. Half of the last square of keys may be skipped, so a bound counts no
/// diagonal.
fn visible(seq: f64, window: f64) -> f64 {
    let reach = if window > 0.0 { window.min(seq) } else { seq };
    (reach - reach * reach / (2.0 * seq)).max(0.0)
}

type PerRow<'a> = &'a dyn Fn(usize, f64) -> f64;

fn each(
    table: &Table,
    machine: &Machine,
    found: &mut Found,
    format: &str,
    flops: PerRow<'_>,
    bytes: PerRow<'_>,
) -> Result<(), Diagnostic> {
    let (words, ms) = (table.word(format)?, table.number("latency_ms")?);
    for i in 0..table.rows {
        let dtype = FORMATS.iter().find(|d| names(**d).contains(&words[i].as_str()));
        let Some((dtype, peak)) = dtype.and_then(|d: &Dtype| Some((*d, machine.peak(*d)?))) else {
            continue;
        };
        let measured_s = ms[i] * 1e-3;
        let matrix_s = flops(i, dtype.bytes()) / peak;
        let moved = bytes(i, dtype.bytes());
        if measured_s < PEAK_SLACK * matrix_s {
            found.add(below(table, i, measured_s, matrix_s, "the matrix units'"));
        } else if moved > UNCACHED_BYTES && measured_s < PEAK_SLACK * moved / machine.memory {
            found.add(below(table, i, measured_s, moved / machine.memory, "the memory's"));
        }
    }
    Ok(())
}

fn below(table: &Table, row: usize, measured_s: f64, least_s: f64, whose: &str) -> Diagnostic {
    let message = format!(
        "{:.3} us is below {:.3} us, the least at {whose} peak",
        measured_s * 1e6,
        least_s * 1e6
    );
    table
        .problem("calibrate::bound", row, message)
        .hint("is the time per call, the unit right, and `--chip` the chip that was measured?")
}

/// The same shape measured again must agree; a few that do not are warnings.
fn repeats(table: &Table, kind: Kind, found: &mut Found) -> Vec<Diagnostic> {
    let mut seen: BTreeMap<String, (usize, Vec<(usize, f64)>)> = BTreeMap::new();
    let times: Vec<&[f64]> =
        kind.times().iter().filter_map(|(name, _)| table.number(name).ok()).collect();
    for row in 0..table.rows {
        let key = table.key(row, kind.results());
        let slot = seen.entry(key).or_insert((row, Vec::new()));
        slot.1.extend(times.first().map(|t| (row, t[row])));
    }
    let shapes = seen.len();
    let mut apart = Vec::new();
    for (_, repeats) in seen.values() {
        let by = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (repeats.iter().min_by(by), repeats.iter().max_by(by));
        if let (Some(low), Some(high)) = (low, high)
            && high.1 > REPEAT_LIMIT * low.1
        {
            let (first, later) = (low.0.min(high.0), low.0.max(high.0));
            let message = format!(
                "the same as row {}, and the times differ by a factor of {:.2}, more than {}",
                first + 1,
                high.1 / low.1,
                REPEAT_LIMIT
            );
            let hint = "which of the two holds? measure again, or remove one";
            apart.push(table.problem("calibrate::repeat", later, message).hint(hint));
        }
    }
    apart.sort_by_key(|d| d.label.as_ref().map_or(0, |l| l.span.start));
    if apart.len() as f64 > REPEAT_SHARE * shapes as f64 {
        for problem in apart {
            found.add(problem);
        }
        return Vec::new();
    }
    let soften = |d: Diagnostic| Diagnostic { severity: Severity::Warning, ..d };
    apart.into_iter().map(soften).collect()
}
