//! The `supernode` binary: arguments, files and exit codes. Everything else is in the libraries.
//!
//! Exit codes: 0 done, 1 the answer is no, 2 the input is at fault, 70 a bug of ours.

mod args;
mod commands;
mod examples;
mod input;
mod output;
mod progress;
mod samples;
mod whole_file;

use args::{Arguments, Command, PlanCommand};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("supernode: internal error: {info}");
        eprintln!("   = hint: this is a bug; please report it with the command and its input");
    }));
    match std::panic::catch_unwind(run) {
        Ok(code) => code,
        Err(_) => ExitCode::from(70),
    }
}

fn run() -> ExitCode {
    let as_json = args::given("--format", "json");
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(asked) if !asked.use_stderr() => asked.exit(),
        Err(wrong) => return output::misused(&wrong, as_json),
    };
    if !args::given("--progress", "never") && !args::given("--progress", "json") {
        progress::begin();
    }
    whole_file::answer_signals();
    let result = match arguments.command {
        None => commands::rehearse(&args::Rehearse::default_scenario(arguments.format)),
        Some(Command::Rehearse(a)) => commands::rehearse(&a),
        Some(Command::Model(a)) => commands::model(&a),
        Some(Command::Catalog(a)) => commands::catalog(&a),
        Some(Command::Fabric(a)) => commands::fabric::fabric(&a),
        Some(Command::Plan(question)) => match question.command {
            None => commands::plan::plan(&question.search),
            Some(PlanCommand::Check(a)) => commands::plan_check(&a),
            Some(PlanCommand::Launch(a)) => commands::launch::launch(&a),
            Some(PlanCommand::Import(a)) => commands::launch::import(&a),
            Some(PlanCommand::Study(a)) => commands::study::study(&a),
            Some(PlanCommand::Merge(a)) => commands::merge::merge(&a),
        },
        Some(Command::Campaign(a)) => commands::campaign::campaign(&a),
        Some(Command::Compare(a)) => commands::compare::compare(&a),
        Some(Command::Validate(a)) => commands::validate(&a),
        Some(Command::Calibrate(a)) => commands::calibrate::calibrate(&a),
        Some(Command::Trace(a)) => commands::trace::trace(&a),
    };
    match result {
        Ok(done) => output::print(&done),
        Err(failure) => output::fail(&failure, as_json),
    }
}
