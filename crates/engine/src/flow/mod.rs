//! The event engine: one step of a program, pass by pass and message by message.
//!
//! [`flow`] runs the program of [`crate::estimate`] as events. Passes follow the schedule's timetable
//! ([`program::Timetable`]); operators and collectives cost what they cost there, but what waits for
//! what, what hides behind what and what shares a link comes out instead of being assumed. Cost grows
//! with classes of ranks, passes and stretches of a pass, never with ranks.

mod answer;
mod degrade;
mod effects;
mod explain;
mod fault;
mod finish;
mod flows;
mod lines;
mod loads;
mod node;
mod pieces;
mod record;
mod rehearse;
mod run;
mod share;
mod wires;

pub use answer::{FlowAnswer, FlowOptions, Gap, LinkUse};
pub use fault::{Fault, FaultKind};
pub use rehearse::rehearse_flow;

use crate::estimate::estimate;
use crate::machine::Machine;
use diagnostic::{Diagnostic, Diagnostics};
use lines::Line;
use pieces::Pieces;
use program::{Program, Timetable};
use record::Recorder;
use run::{Loop, Outcome};

/// Most passes of all pipeline ranks and lines that one run takes on: about 4 GB of state.
const MOST_PASSES: u64 = 50_000_000;

/// Runs one step of `program` on `machine`.
///
/// Every class of ranks runs its passes in the schedule's order, each as soon as its inputs are there;
/// collectives of a pass stop it or run beside it by the plan's overlap; flows on the same ports of a
/// rank share them max-min fairly; communication kernels take their share of the cores from compute
/// while they run. The step ends when the last class has updated its weights (of schedules that
/// [`program::Schedule::follows_on`]: it is the longest any class takes).
///
/// Folded classes give what every rank on its own gives (test `folding_changes_nothing`). Not valid
/// for congestion inside switches and between jobs, retransmission, and operators that speed up or
/// slow down in the course of a step. Gradients' norm is not waited for across stages.
///
/// # Errors
/// A program that breaks its own rules or its timetable's; a fault that names what is not there; a step
/// of more than 53 days.
///
/// # Panics
/// If bytes are lost, a link carries more than it can, time goes back or the parts do not sum to the
/// step: bugs.
pub fn flow(
    program: &Program,
    machine: &Machine,
    options: &FlowOptions,
) -> Result<FlowAnswer, Diagnostics> {
    program.validate().map_err(|problems| all("flow::program", problems))?;
    let chip = &machine.cluster.chip;
    if chip.host_link.is_none() && program.segments.iter().any(|s| s.offloaded_bytes > 0.0) {
        let message =
            format!("chip `{}` states no `host_link` to copy saved tensors over", chip.id);
        return Err(all("flow::program", vec![message]));
    }
    let pieces = Pieces::new(program, machine);
    let levels: Vec<String> = machine.cluster.levels.iter().map(|l| l.name.clone()).collect();
    let lines = lines_of(program, machine, options)?;
    let tables = timetables(program, &lines)?;
    let once = |shared: bool, recorded: bool| {
        let recorder = Recorder::new(recorded, &lines, &pieces, program.boundary_bytes)
            .with_memory(&options.memory, program);
        let mut run = Loop::new(program, &pieces, &lines, &tables, shared, recorder);
        run.record(recorded);
        run.run().ok_or_else(too_long)
    };
    let outcome = once(true, options.recorded)?;
    let alone = options.explained.then(|| once(false, false)).transpose()?;
    let estimate = estimate(program, machine);
    let classes = outcome.nodes.len();
    let view = explain::View { program };
    let (critical, step_s) = view.critical(&outcome);
    let parts = view.parts(&outcome, critical, step_s);
    let hidden = explain::hidden(&outcome, critical);
    let ranks = explain::ranks(&outcome, step_s);
    let phases = view.phases(&outcome, critical);
    let mut gaps = view.gaps(&outcome, alone.as_ref(), &estimate);
    if options.explained && !(options.faults.is_empty() && options.expert_tokens.is_empty()) {
        let normal = FlowOptions { explained: true, ..FlowOptions::default() };
        let normal = flow(program, machine, &normal)?;
        let cause = "what is broken, slow or uneven";
        gaps = normal.gaps;
        gaps.push(Gap { cause, seconds: step_s - normal.step_s });
    }
    let busiest = explain::busiest(&outcome, &pieces, &levels);
    let critical = outcome.nodes[critical].stage;
    let Outcome { recorder, network, step_ps, events, .. } = outcome;
    Ok(FlowAnswer {
        step_s,
        estimate_s: estimate.step_s,
        timeline: recorder.finish(step_ps, network, &pieces, &levels),
        disturbed: disturbed(options),
        critical,
        parts,
        hidden,
        ranks,
        phases,
        busiest,
        gaps,
        classes,
        unfolded_classes: classes.saturating_sub(program.classes.len()),
        events,
    })
}

fn disturbed(options: &FlowOptions) -> Vec<String> {
    let load = match options.expert_tokens.len() {
        0 => None,
        experts => Some(format!("the load of {experts} experts")),
    };
    options.faults.iter().map(ToString::to_string).chain(load).collect()
}

/// Who is run: one line, what faults or loads make of it, or every rank.
fn lines_of(
    program: &Program,
    machine: &Machine,
    options: &FlowOptions,
) -> Result<Vec<Line>, Diagnostics> {
    let (faults, tokens) = (&options.faults, &options.expert_tokens);
    if !faults.is_empty() || !tokens.is_empty() {
        return effects::lines(program, machine, faults, tokens, options.unfolded);
    }
    Ok(if options.unfolded { lines::unfolded(program) } else { lines::folded(program) })
}

fn too_long() -> Diagnostics {
    let days = run::LONGEST_PS as f64 * 1e-12 / 86_400.0;
    let message = format!("the step takes more than {days:.0} days");
    Diagnostic::error("flow::too-long", message).hint("is a rate or a size off by its unit?").into()
}

fn all(code: &'static str, problems: Vec<String>) -> Diagnostics {
    Diagnostics(problems.into_iter().map(|p| Diagnostic::error(code, p)).collect())
}

/// One timetable for every number of micro-batches that a line carries.
fn timetables(program: &Program, lines: &[Line]) -> Result<Vec<Timetable>, Diagnostics> {
    let mut wanted: Vec<u64> = lines.iter().map(|l| l.micro_batches).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let ranks = program.classes.len() as u64;
    let passes = |m: u64| m.saturating_mul(ranks).saturating_mul(3 * program.chunks);
    let most = lines.iter().map(|l| passes(l.micro_batches)).fold(0_u64, u64::saturating_add);
    if most > MOST_PASSES {
        let message = format!("{most} passes in a step, more than {MOST_PASSES}");
        let problem = Diagnostic::error("flow::size", message);
        return Err(problem.hint("fewer micro-batches, pipeline ranks or classes").into());
    }
    let mut tables = Vec::new();
    for micro_batches in wanted {
        let table = timetable(program, micro_batches);
        let problems = table.problems();
        if !problems.is_empty() {
            return Err(all("flow::schedule", problems));
        }
        tables.push(table);
    }
    Ok(tables)
}

/// The timetable of `program` with `micro_batches` a pipeline.
fn timetable(program: &Program, micro_batches: u64) -> Timetable {
    let ranks = program.classes.len() as u64;
    Timetable::new(program.schedule, ranks, program.chunks, micro_batches, program.pairs())
}
