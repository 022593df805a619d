//! `rehearse --engine flow`: what is broken, what the experts carry, and where the events go.

use crate::args::{Engine, Rehearse};
use crate::input;
use crate::output::Failure;
use crate::whole_file::write_file;
use clap::Args;
use diagnostic::{Diagnostic, Diagnostics, counted};
use engine::{Fault, FlowAnswer, FlowOptions, Rehearsal};
use program::Program;
use scenario::Scenario;

/// Options of the event engine.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "With --engine flow")]
pub struct FlowArgs {
    /// What is broken, with =SHARE for what is left: link:FROM-TO, port:RANK/LEVEL, chip:RANK,
    /// board:N, switch:LEVEL/N; may be repeated
    #[arg(long = "fail", value_name = "WHAT")]
    pub fail: Vec<String>,
    /// A slow chip: rank:N=SHARE; may be repeated
    #[arg(long = "slow", value_name = "rank:N=SHARE")]
    pub slow: Vec<String>,
    /// Tokens of every routed expert, a CSV file with columns `expert` and `tokens`
    #[arg(long = "expert-load", value_name = "CSV")]
    pub expert_load: Option<String>,
    /// Write what ran when, for ui.perfetto.dev; a name that ends in .json gives Chrome's format
    #[arg(long = "trace", value_name = "FILE")]
    pub trace: Option<String>,
    /// Write the program that ran, schema supernode.program/1
    #[arg(long = "write-program", value_name = "FILE")]
    pub write_program: Option<String>,
    /// Run this program (schema supernode.program/1) instead of the one that the scenario's plan
    /// lowers to at the length shown; the machine is the scenario's
    #[arg(long = "program", value_name = "FILE")]
    pub program: Option<String>,
}

impl FlowArgs {
    /// The first option given, if any.
    fn given(&self) -> Option<&'static str> {
        let given: [(&str, bool); 6] = [
            ("--fail", !self.fail.is_empty()),
            ("--slow", !self.slow.is_empty()),
            ("--expert-load", self.expert_load.is_some()),
            ("--trace", self.trace.is_some()),
            ("--write-program", self.write_program.is_some()),
            ("--program", self.program.is_some()),
        ];
        given.iter().find(|(_, is)| *is).map(|(name, _)| *name)
    }
}

/// Refuses options that the closed form cannot honour.
pub fn refuse(args: &Rehearse) -> Result<(), Failure> {
    let Some(option) = args.flow.given() else { return Ok(()) };
    let message = format!("`{option}` needs the event engine");
    Err(Diagnostic::error("cli::engine", message).hint("add --engine flow").into())
}

/// Refuses options of a rehearsal where a plan is only checked: nothing runs.
pub fn refuse_where_nothing_runs(args: &Rehearse) -> Result<(), Failure> {
    let engine = (args.engine == Engine::Flow).then_some("--engine flow");
    let Some(option) = args.flow.given().or(engine) else { return Ok(()) };
    let message = format!("`plan check` runs nothing: no `{option}`");
    Err(Diagnostic::error("cli::engine", message).hint("`supernode rehearse` takes it").into())
}

/// Rehearses a scenario by events.
pub fn rehearse(
    args: &FlowArgs,
    scenario: &Scenario,
) -> Result<(Rehearsal, Vec<FlowAnswer>), Failure> {
    let options = options(args)?;
    engine::rehearse_flow(scenario, &options)
        .map_err(|problems| Failure { problems, texts: Vec::new() })
}

fn options(args: &FlowArgs) -> Result<FlowOptions, Failure> {
    let mut problems = Diagnostics::default();
    let mut faults = Vec::new();
    let read =
        args.fail.iter().map(|t| Fault::fail(t)).chain(args.slow.iter().map(|t| Fault::slow(t)));
    for fault in read {
        match fault {
            Ok(fault) => faults.push(fault),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.has_errors() {
        return Err(Failure { problems, texts: Vec::new() });
    }
    let expert_tokens = match &args.expert_load {
        Some(path) => {
            let text = super::read(path, Vec::new())?;
            ::trace::experts::read(path, &text).map_err(|problems| Failure {
                problems,
                texts: vec![(path.clone(), text.clone())],
            })?
        }
        None => Vec::new(),
    };
    Ok(FlowOptions {
        faults,
        expert_tokens,
        recorded: true,
        explained: true,
        ..FlowOptions::default()
    })
}

/// Writes the timeline and the program where they were asked for; a note that they were.
pub fn write_files(
    args: &FlowArgs,
    answer: &FlowAnswer,
    program: &Program,
) -> Result<String, Failure> {
    let mut notes = String::new();
    if let Some(path) = &args.trace {
        notes.push_str(&super::write_timeline(path, &answer.timeline)?);
    }
    if let Some(path) = &args.write_program {
        write_file(path, super::json(&::trace::step::write(program)).as_bytes())?;
        notes.push_str(&format!("wrote `{path}`; `--program {path}` runs it\n"));
    }
    Ok(notes)
}

/// Runs a program from a file on a scenario's machine.
pub fn run_program(args: &FlowArgs, path: &str, scenario: &Scenario) -> Result<Ran, Failure> {
    let text = input::text(path, input::CAPTURED)?;
    let failure = |problems| Failure { problems, texts: vec![(path.to_owned(), text.clone())] };
    let program = ::trace::step::read(path, &text).map_err(failure)?;
    if program.ranks > scenario.cluster.chips {
        let message = format!(
            "{}; `{}` has {}",
            counted(program.ranks, "rank"),
            scenario.cluster.id,
            counted(scenario.cluster.chips, "chip")
        );
        return Err(Diagnostic::error("cli::program", message).into());
    }
    let machine = engine::machine(scenario).map_err(failure)?;
    let answer = engine::flow(&program, &machine, &options(args)?).map_err(failure)?;
    Ok(Ran { program, answer, text })
}

/// A program from a file, run.
pub struct Ran {
    /// The program.
    pub program: Program,
    /// What came out.
    pub answer: FlowAnswer,
    /// The file's text.
    pub text: String,
}
