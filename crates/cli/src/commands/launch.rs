//! `plan launch` and `plan import`.

use super::{Answer, json, stamp, with_texts};
use crate::args::{Format, Framework, Import, Launch};
use crate::commands::plan_save::from_folder_of;
use crate::input;
use crate::output::{Done, Failure};
use crate::whole_file::{WholeFile, cannot_write, keep_all};
use diagnostic::{Diagnostic, Diagnostics};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use trace::launch::{Imported, Wanted};

impl From<Framework> for trace::launch::Framework {
    fn from(framework: Framework) -> Self {
        match framework {
            Framework::Megatron => Self::Megatron,
            Framework::Mindspeed => Self::MindSpeed,
            Framework::Torchtitan => Self::TorchTitan,
        }
    }
}

pub fn launch(args: &Launch) -> Answer {
    let mut set = args.set.clone();
    if let Some(sequence) = args.sequence {
        set.push(("sequence".to_owned(), sequence.to_string()));
    }
    let (loaded, _) = with_texts(&args.scenario, &set)?;
    let scenario = &loaded.scenario;
    let launch =
        trace::launch::launch(args.framework.into(), scenario, &scenario.jobs[scenario.main]);
    let text = match args.format {
        Format::Text => launch.script(),
        Format::Json => {
            let stamp = stamp("supernode.launch/1", &loaded.text);
            json(&json!({
                "schema": stamp.schema,
                "version": stamp.version,
                "input_hash": stamp.input_hash,
                "program": launch.framework.word(),
                "program_version": launch.framework.version(),
                "ranks": scenario.ranks,
                "environment": launch.environment,
                "launcher": launch.launcher,
                "arguments": launch.arguments(),
                "not_expressed": sentences(&launch.notes),
            }))
        }
    };
    Ok(Done { text, notes: report::render(&loaded.warnings, &|_| None), yes: true })
}

fn sentences(notes: &Diagnostics) -> Vec<Value> {
    notes.0.iter().map(|n| json!({ "message": n.message, "hint": n.hint })).collect()
}

pub fn import(args: &Import) -> Answer {
    let (name, text) = line(&args.line)?;
    let cluster = if scenario::is_path(&args.cluster) {
        from_folder_of(&path(args, "scenario.toml"), &args.cluster)
    } else {
        args.cluster.clone()
    };
    let wanted = Wanted {
        file: &name,
        text: &text,
        framework: args.framework.map(Into::into),
        cluster: &cluster,
        chips: args.chips,
        folder: args.output.trim_end_matches('/'),
    };
    let failure = |problems: Diagnostics, imported: Option<&Imported>| {
        // A line of many pages is not printed again for each of its problems.
        let mut texts: Vec<_> =
            if text.len() < 1 << 16 { vec![(name.clone(), text.clone())] } else { Vec::new() };
        texts.extend(imported.map(|i| (path(args, "scenario.toml"), i.scenario.clone())));
        Failure { problems, texts }
    };
    let imported = trace::launch::import(&wanted).map_err(|p| failure(p, None))?;
    checked(args, &imported).map_err(|p| failure(p, Some(&imported)))?;
    write(args, &imported)?;
    let answer = match args.format {
        Format::Text => summary(args, &imported),
        Format::Json => {
            let stamp = stamp("supernode.import/1", &text);
            json(&json!({
                "schema": stamp.schema,
                "version": stamp.version,
                "input_hash": stamp.input_hash,
                "program": imported.framework.word(),
                "scenario": path(args, "scenario.toml"),
                "config": imported.config.as_ref().map(|_| path(args, "config.json")),
                "recipe": path(args, "recipe.toml"),
                "passed_over": imported.ignored,
                "notes": sentences(&imported.notes),
            }))
        }
    };
    let notes = report::render(&imported.notes, &|_| None);
    Ok(Done { text: answer, notes, yes: true })
}

/// The line's name in messages and its text.
fn line(given: &str) -> Result<(String, String), Failure> {
    if given == "-" {
        let text = input::text_from("standard input", std::io::stdin(), input::WRITTEN)?;
        return Ok(("standard input".to_owned(), text));
    }
    // Whatever is there by that name is read: a file, or the pipe of a shell.
    if given.contains('\n') || !Path::new(given).exists() {
        return Ok(("the line".to_owned(), given.to_owned()));
    }
    Ok((given.to_owned(), input::text(given, input::WRITTEN)?))
}

fn path(args: &Import, file: &str) -> String {
    format!("{}/{file}", args.output.trim_end_matches('/'))
}

/// Loads the scenario as it will lie on disk, so that an illegal plan is told now.
fn checked(args: &Import, imported: &Imported) -> Result<(), Diagnostics> {
    let read_file = |wanted: &str| {
        let own =
            [("recipe.toml", Some(&imported.recipe)), ("config.json", imported.config.as_ref())];
        let beside = |file: &str| scenario::beside(&path(args, "scenario.toml"), file);
        let found = own.iter().find(|(file, _)| beside(file) == wanted);
        match found.and_then(|(_, text)| text.cloned()) {
            Some(text) => Ok(text),
            None => input::text(wanted, input::WRITTEN).map_err(|problem| problem.message),
        }
    };
    scenario::load(&path(args, "scenario.toml"), &imported.scenario, &[], &read_file).map(|_| ())
}

fn write(args: &Import, imported: &Imported) -> Result<(), Failure> {
    let files = [
        ("recipe.toml", Some(&imported.recipe)),
        ("config.json", imported.config.as_ref()),
        ("scenario.toml", Some(&imported.scenario)),
    ];
    let files: Vec<_> = files.iter().filter_map(|(f, t)| Some((path(args, f), (*t)?))).collect();
    if let Some((taken, _)) = files.iter().find(|(f, _)| !args.force && Path::new(f).exists()) {
        let problem = Diagnostic::error("cli::write", format!("`{taken}` is there already"));
        return Err(problem.hint("another `--output`, or `--force` to replace it").into());
    }
    std::fs::create_dir_all(&args.output).map_err(|e| -> Failure {
        Diagnostic::error("cli::write", format!("cannot make `{}`: {e}", args.output)).into()
    })?;
    let begun = files.iter().map(|(file, text)| {
        let mut out = WholeFile::begin(file)?;
        out.write_all(text.as_bytes()).map_err(|e| cannot_write(file, &e))?;
        Ok(out)
    });
    // The scenario last: where it is, all that it names is.
    keep_all(begun.collect::<Result<_, Failure>>()?)
}

fn summary(args: &Import, imported: &Imported) -> String {
    let scenario = path(args, "scenario.toml");
    let mut text = format!("{}\n\n{}\n", imported.framework.version(), imported.scenario);
    if !imported.ignored.is_empty() {
        text.push_str("Passed over, since they bear on neither time nor memory here:\n");
        for name in &imported.ignored {
            text.push_str(&format!("  {name}\n"));
        }
        text.push('\n');
    }
    text.push_str(&format!("wrote `{scenario}`; next: supernode rehearse {scenario}\n"));
    text
}
