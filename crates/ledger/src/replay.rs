//! A table of measured steps, replayed row by row.

use crate::columns::{Fields, read};
use crate::machine::cluster;
use crate::models::architecture;
use crate::options::plan;
use crate::recipe::recipe;
use crate::stack::stack;
use crate::stages::stage_blocks;
use crate::summary::{Summary, summarize};
use crate::target::measured;
use crate::understood::understood;
use catalog::{Kind, Recipe};
use diagnostic::Diagnostics;
use engine::{Estimate, FlowOptions, Gap, Machine, estimate, flow, interval};
use model::Architecture;
use plan::{Layout, Plan, Shape, lower, memory, violations};
use program::Program;
use units::{GIB, Origin};

/// Samples behind a row's interval: the fifth percentile is the fifth of a hundred.
const SAMPLES: usize = 100;

/// A table replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// Every row of the table, in its order.
    pub rows: Vec<Row>,
    /// Its sums.
    pub summary: Summary,
}

/// Whether a row could be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was.
    Replayed,
    /// It was not; the row says why.
    NotReplayed,
}

/// Which engine predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The closed form.
    Estimate,
    /// Events.
    Flow,
}

/// One measured step beside its prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The table's id.
    pub row_id: String,
    /// The table's name.
    pub family: String,
    /// Model as printed.
    pub model: String,
    /// Model, chips, batch and sequence: what different plans of one job have in common.
    pub job: String,
    /// Accelerator as printed.
    pub accelerator: String,
    /// Whether the model has routed experts.
    pub experts: bool,
    /// The machine whose own kernels were used, if its row names one.
    pub machine: String,
    /// `full`, `mostly (..)` or `partial (..)`.
    pub complete: String,
    /// Whether it was replayed.
    pub status: Status,
    /// Why not.
    pub reason: Option<String>,
    /// Whether kernels measured on this chip were used.
    pub calibrated: bool,
    /// Measured step. Seconds.
    pub measured_step_s: Option<f64>,
    /// Predicted step. Seconds.
    pub predicted_step_s: Option<f64>,
    /// Low end of the prediction. Seconds.
    pub predicted_low_s: Option<f64>,
    /// High end. Seconds.
    pub predicted_high_s: Option<f64>,
    /// Predicted over measured, less one.
    pub signed_error: Option<f64>,
    /// Measured allocator peak. GiB.
    pub measured_peak_mem_gib: Option<f64>,
    /// Predicted peak of the fullest rank. GiB.
    pub predicted_peak_mem_gib: Option<f64>,
    /// Where the predicted step goes: `(part, seconds)`, those above nothing.
    pub parts: Vec<(&'static str, f64)>,
    /// The event engine's step over the closed form's, less one, and what makes the difference; if
    /// it ran.
    pub gap: Option<(f64, Vec<Gap>)>,
}

impl Row {
    /// Whether its source states everything.
    pub fn is_full(&self) -> bool {
        self.complete.split([' ', '(']).next() == Some("full")
    }

    /// Whether the measured step lies in the predicted interval, if both are known.
    pub fn covered(&self) -> Option<bool> {
        let (low, high) = (self.predicted_low_s?, self.predicted_high_s?);
        self.measured_step_s.map(|m| low <= m && m <= high)
    }

    /// Table and chip, the unit of error.
    pub fn family_chip(&self) -> String {
        let chip = self.accelerator.split(' ').next().unwrap_or_default();
        format!("{} {chip}", self.family)
    }
}

/// The tables shipped with the program, `(name, text)`.
pub fn shipped() -> Vec<(&'static str, &'static str)> {
    catalog::files(Kind::Measurements)
}

/// Replays every row of a table.
///
/// # Errors
/// A text that is no such table. A row that cannot be replayed is no error: it says why.
pub fn replay(file: &str, text: &str) -> Result<Ledger, Diagnostics> {
    replay_by(file, text, By::Estimate)
}

/// Replays every row of a table with an engine of choice.
///
/// # Errors
/// As [`replay`].
pub fn replay_by(file: &str, text: &str, by: By) -> Result<Ledger, Diagnostics> {
    let table = Table::read(file, text)?;
    let rows: Vec<Row> = table.places().map(|place| table.replay(place, by)).collect();
    let summary = summarize(&rows);
    Ok(Ledger { rows, summary })
}

/// A table whose rows are replayed one by one, in any order.
#[derive(Clone, Debug)]
pub struct Table {
    family: String,
    rows: Vec<Fields>,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// A text that is no such table.
    pub fn read(file: &str, text: &str) -> Result<Self, Diagnostics> {
        Ok(Self { family: family_of(file).to_owned(), rows: read(file, text)? })
    }

    /// The place of every row, from 0.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.rows.len()
    }

    /// Replays the row in `place`.
    ///
    /// # Panics
    /// If there is none.
    pub fn replay(&self, place: usize, by: By) -> Row {
        row(&self.family, &self.rows[place], by)
    }
}

fn row(family: &str, fields: &Fields, by: By) -> Row {
    let mut row = blank(family, fields);
    match predict(fields, &mut row, by) {
        Ok(()) => row.status = Status::Replayed,
        Err(reason) => row.reason = Some(reason),
    }
    row
}

fn blank(family: &str, fields: &Fields) -> Row {
    let text = |column: &str| fields.text(column).to_owned();
    Row {
        row_id: text("row_id"),
        family: family.to_owned(),
        model: text("model"),
        job: format!(
            "{} {} x {}, {} chips, {} x {}",
            text("model"),
            text("n_layers"),
            text("hidden"),
            text("n_chips"),
            text("GBS"),
            text("seq")
        ),
        accelerator: text("accelerator"),
        experts: !text("n_experts").is_empty(),
        machine: text("machine"),
        complete: text("complete"),
        status: Status::NotReplayed,
        reason: None,
        calibrated: false,
        measured_step_s: None,
        predicted_step_s: None,
        predicted_low_s: None,
        predicted_high_s: None,
        signed_error: None,
        measured_peak_mem_gib: fields.number("peak_mem_gib").ok().flatten(),
        predicted_peak_mem_gib: None,
        parts: Vec::new(),
        gap: None,
    }
}

fn parts(estimate: &Estimate) -> Vec<(&'static str, f64)> {
    let parts = estimate.parts.iter().map(|p| (p.kind.word(), p.seconds));
    parts.filter(|(_, seconds)| *seconds > 0.0).collect()
}

/// A measured step made ready: what runs, on what, how long it took.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The table's id.
    pub row_id: String,
    /// Table and chip, the unit of error.
    pub family_chip: String,
    /// Measured step. Seconds.
    pub measured_step_s: f64,
    /// What runs.
    pub program: Program,
    /// On what.
    pub machine: Machine,
    /// Model as printed.
    pub model_name: String,
    /// The model.
    pub model: Architecture,
    /// Formats and optimizer.
    pub recipe: Recipe,
    /// The plan that was measured.
    pub plan: Plan,
    /// Sequence length in tokens.
    pub sequence: u64,
    /// Sequences of a step.
    pub batch_sequences: u64,
}

/// A row as the engines take it.
struct Ready {
    program: Program,
    machine: Machine,
    model: Architecture,
    recipe: Recipe,
    plan: Plan,
    sequence: u64,
    batch: u64,
}

/// Every row of a table that is marked `full` and can be replayed, made ready but not estimated: what
/// a fit of machine figures works on.
///
/// # Errors
/// A text that is no such table.
pub fn prepare(file: &str, text: &str) -> Result<Vec<Prepared>, Diagnostics> {
    let rows = read(file, text)?;
    let family = family_of(file);
    let prepared = rows.iter().filter_map(|fields| {
        let mut row = blank(family, fields);
        let Ready { program, machine, model, recipe, plan, sequence, batch } =
            ready(fields, &mut row).ok()?;
        let measured_step_s = row.measured_step_s.filter(|_| row.is_full())?;
        let family_chip = row.family_chip();
        Some(Prepared {
            row_id: row.row_id,
            family_chip,
            measured_step_s,
            program,
            machine,
            model_name: row.model,
            model,
            recipe,
            plan,
            sequence,
            batch_sequences: batch,
        })
    });
    Ok(prepared.collect())
}

fn family_of(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".csv").unwrap_or(name)
}

fn predict(fields: &Fields, row: &mut Row, by: By) -> Result<(), String> {
    let Ready { program, machine, .. } = ready(fields, row)?;
    let mut answer = interval(&program, &machine, SAMPLES);
    row.parts = parts(&estimate(&program, &machine));
    if by == By::Flow {
        let options = FlowOptions { explained: true, ..FlowOptions::default() };
        let ran = flow(&program, &machine, &options).map_err(|d| d.0[0].message.clone())?;
        let longer = ran.step_s / ran.estimate_s;
        answer = answer.map(|s| s * longer);
        row.parts = parts(&ran.as_estimate());
        row.gap = Some((longer - 1.0, ran.gaps));
    }
    // Kernels of the chip, or the clock its steps showed.
    row.calibrated =
        machine.own_kernels() || machine.cluster.chip.sustained.origin == Origin::Measured;
    row.predicted_step_s = Some(answer.value);
    row.predicted_low_s = Some(answer.low);
    row.predicted_high_s = Some(answer.high);
    row.signed_error = row.measured_step_s.map(|m| answer.value / m - 1.0);
    if row.measured_step_s.is_none() {
        return Err("no step time, token rate or FLOP rate whose convention is known".to_owned());
    }
    Ok(())
}

/// The program and machine of a row; fills in what is measured and the peak memory.
fn ready(fields: &Fields, row: &mut Row) -> Result<Ready, String> {
    understood(fields)?;
    let chips = fields.needed("n_chips")?;
    let (sequence, batch) = (fields.needed("seq")?, fields.needed("GBS")?);
    let model = architecture(fields)?;
    let cluster = cluster(fields)?;
    let mut plan = plan(fields, chips)?;
    if plan.offload_blocks > 0 && cluster.chip.host_link.is_none() {
        return Err(format!("chip `{}` states no `host_link`", cluster.chip.id));
    }
    if chips > cluster.chips {
        return Err(format!("{chips} chips; `{}` has {}", cluster.id, cluster.chips));
    }
    row.measured_step_s = measured(fields, &model, chips, batch, sequence)?;
    let recipe = recipe(fields, &model.name, sequence, batch);
    let blocks = (model.layers.len() + model.mtp.len()) as u64;
    plan.stage_blocks = stage_blocks(fields, plan.stages(), blocks)?;
    let broken = violations(&plan, &model, chips, batch, sequence);
    if let Some(first) = broken.first() {
        return Err(format!("plan.{}: {}", first.key, first.message));
    }
    let shape = Shape::new(&plan, &model, batch, sequence)
        .ok_or_else(|| "the batch does not divide".to_owned())?;
    let layout = Layout::new(&plan, &model);
    let program = lower(&plan, &model, &recipe, &layout, &shape);
    let named = fields.text("machine");
    let machine = if catalog::ids(Kind::Calibration).contains(&named) {
        Machine::with_calibration(cluster, recipe.precision, named)
    } else {
        Machine::new(cluster, recipe.precision)
    }
    .map_err(|d| d.0[0].message.clone())?
    .with_ranks(chips);
    let machine = match stack(fields) {
        Some(id) => machine.with_stack(catalog::stack(id).map_err(|d| d.0[0].message.clone())?),
        None => machine,
    };
    let peak = (0..plan.pipeline)
        .map(|rank| memory(&plan, &model, &recipe, &layout, &shape, rank).total() / GIB)
        .fold(0.0, f64::max);
    row.predicted_peak_mem_gib = Some(peak);
    Ok(Ready { program, machine, model, recipe, plan, sequence, batch })
}
