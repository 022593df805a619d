//! `supernode compare`: the same run on different machines.

use crate::args::PageFormat;
use crate::commands::campaign::{PlanChoice, Playing, bar, with_threads};
use crate::commands::{Answer, beside, json, reading_text, scenario_text, stamp, with_texts};
use crate::output::{Done, Failure, deliver};
use campaign::{Asked, Contender, Equal, Terms, at_equal, contend};
use catalog::{Cluster, Kind};
use clap::{Args, ValueEnum};
use diagnostic::{Diagnostic, Diagnostics};
use rayon::prelude::*;
use report::{CompareAnswer, CompareGroup};
use scenario::{Scenario, Set, is_set, parse_set};

#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Scenarios (files or ids), the first of which the others are compared with; or one set
    #[arg(required = true, value_name = "SCENARIO|SET")]
    pub names: Vec<String>,
    /// What to make equal by changing the number of chips; plans are then searched
    #[arg(long, value_enum, default_value = "listed")]
    pub at: At,
    /// Whose plans: a set's are always searched
    #[arg(long, value_enum, default_value = "own")]
    pub plan: PlanChoice,
    /// Runs to play on each machine
    #[arg(long, default_value = "400", value_parser = crate::args::samples::<100_000>)]
    pub samples: u64,
    #[command(flatten)]
    pub playing: Playing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum At {
    /// As many chips as each is listed with
    Listed,
    /// As many chips as the first
    EqualChips,
    /// The first's matrix peak, in the format of the recipe's linear layers
    EqualPeak,
    /// The first's power
    EqualPower,
    /// The first's cost an hour to its owner
    EqualMoney,
}

/// Contenders of one run, before they are played.
struct Group {
    name: String,
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    scenario: Scenario,
    /// Name and cluster of what stands for it where it has too few chips.
    larger: Option<(String, Cluster)>,
}

impl Entry {
    fn played(
        &self,
        equal: Equal,
        reference: &Scenario,
        terms: Terms,
    ) -> Result<Contender, Diagnostics> {
        let larger = self.larger.as_ref();
        let cluster = larger.map(|(_, cluster)| cluster);
        let scenario = at_equal(equal, &self.scenario, cluster, reference, terms.asked)?;
        let named = larger.filter(|(_, cluster)| scenario.cluster.id == cluster.id);
        contend(named.map_or(&self.name, |(name, _)| name), &scenario, terms)
    }
}

pub fn compare(args: &CompareArgs) -> Answer {
    let (title, groups, searched, text) = groups(args)?;
    let asked = if args.playing.without.is_some() { Asked::WithoutMoney } else { Asked::WithMoney };
    let equal = match args.at {
        At::Listed => Equal::Listed,
        At::EqualChips => Equal::Chips,
        At::EqualPeak => Equal::Peak,
        At::EqualPower => Equal::Power,
        At::EqualMoney => Equal::Money,
    };
    if (equal, asked) == (Equal::Money, Asked::WithoutMoney) {
        let message = "machines at equal money cannot be compared without money";
        let hint = "leave out `--without money`, or make something else equal";
        return Err(Diagnostic::error("campaign::money", message).hint(hint).into());
    }
    let plan = searched || equal != Equal::Listed || args.plan == PlanChoice::Best;
    let samples = args.samples.next_multiple_of(2);
    let terms = Terms { plan, asked, seed: args.playing.seed, samples };
    let count = groups.iter().map(|g| g.entries.len() as u64).sum();
    let bar = bar(args.playing.progress, count, "machines");
    let played: Vec<CompareGroup> = with_threads(args.playing.threads, || {
        groups.iter().map(|group| played(group, equal, terms, &bar)).collect::<Result<_, Failure>>()
    })??;
    bar.finish_and_clear();
    let any = played.iter().any(|g| g.contenders.len() > 1);
    let answer = CompareAnswer { title: &title, equal, terms, groups: &played };
    let stamp = stamp("supernode.compare/1", &text);
    let text = match args.playing.format {
        PageFormat::Text => report::compare_text(&answer),
        PageFormat::Json => json(&report::compare_json(&stamp, &answer)),
        PageFormat::Html => report::compare_page(&report::compare_json(&stamp, &answer), &answer),
    };
    deliver(Done { text, notes: String::new(), yes: any }, args.playing.output.as_deref())
}

fn played(
    group: &Group,
    equal: Equal,
    terms: Terms,
    bar: &indicatif::ProgressBar,
) -> Result<CompareGroup, Failure> {
    let reference = &group.entries[0].scenario;
    let results: Vec<Result<Contender, Diagnostics>> = group
        .entries
        .par_iter()
        .map(|entry| {
            let played = entry.played(equal, reference, terms);
            bar.inc(1);
            played
        })
        .collect();
    let (mut contenders, mut absent) = (Vec::new(), Vec::new());
    let mut problems = Diagnostics::default();
    for (entry, result) in group.entries.iter().zip(results) {
        match result {
            Ok(contender) => contenders.push(contender),
            // That no plan fits is an answer; anything else is the input's fault.
            Err(found) if found.0.iter().all(|d| d.code == "campaign::plan") => {
                absent.push((entry.name.clone(), found.0[0].message.clone()));
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.has_errors() {
        return Err(Failure { problems, texts: Vec::new() });
    }
    Ok(CompareGroup { name: group.name.clone(), contenders, absent })
}

type Asking = (String, Vec<Group>, bool, String);

fn groups(args: &CompareArgs) -> Result<Asking, Failure> {
    // Each is read once: a pipe has no second time.
    let mut read = args.names.iter().map(|name| text_of(name)).collect::<Result<Vec<_>, _>>()?;
    if let [(file, text)] = read.as_slice()
        && is_set(text)
    {
        let set = parse_set(file, text)
            .map_err(|problems| Failure { problems, texts: vec![(file.clone(), text.clone())] })?;
        return of_set(file, &set, text.clone());
    }
    let mut entries = Vec::new();
    let mut texts = String::new();
    for (at, name) in args.names.iter().enumerate() {
        if args.names.len() > 1 && is_set(&read[at].1) {
            let message = format!("`{name}` is a set of its own");
            let hint = "compare one set, or scenarios with each other";
            return Err(Diagnostic::error("cli::compare", message).hint(hint).into());
        }
        if args.names[..at].contains(name) {
            let message = format!("`{name}` is named twice");
            let hint = "a scenario compared with itself differs by nothing";
            return Err(Diagnostic::error("cli::compare", message).hint(hint).into());
        }
        let (loaded, _) = reading_text(std::mem::take(&mut read[at]), &[], scenario::load)?;
        texts.push_str(&loaded.text);
        let name = loaded.scenario.name.clone();
        entries.push(Entry { name, scenario: loaded.scenario, larger: None });
    }
    if entries.len() < 2 {
        let message = "one scenario cannot be compared";
        let known = catalog::ids(Kind::Set).join(", ");
        let hint = format!("name two or more, or a set: {known}");
        return Err(Diagnostic::error("cli::compare", message).hint(hint).into());
    }
    let others: Vec<&str> = entries[1..].iter().map(|entry| entry.name.as_str()).collect();
    let title = match others.as_slice() {
        [one, two, ..] if others.len() > 3 => {
            format!("{} against {one}, {two} and {} more", entries[0].name, others.len() - 2)
        }
        _ => format!("{} against {}", entries[0].name, others.join(", ")),
    };
    let name = "The same question to each".to_owned();
    Ok((title, vec![Group { name, entries }], false, texts))
}

/// A shipped set or scenario, or a file: its name in messages and its text.
fn text_of(name: &str) -> Result<(String, String), Failure> {
    if let Some(text) = catalog::text(Kind::Set, name) {
        return Ok((format!("scenarios/sets/{name}.toml"), text.to_owned()));
    }
    scenario_text(name)
}

fn of_set(file: &str, set: &Set, mut text: String) -> Result<Asking, Failure> {
    let mut groups = Vec::new();
    for (name, base) in &set.runs {
        let (loaded, _) = with_texts(&beside(file, base), &[])?;
        text.push_str(&loaded.text);
        let mut entries = Vec::new();
        let known = |id: &str| {
            catalog::cluster(id).map_err(|problems| Failure { problems, texts: Vec::new() })
        };
        for machine in &set.machines {
            let larger = match &machine.larger {
                Some((name, id)) => Some((name.clone(), known(id)?)),
                None => None,
            };
            let scenario = Scenario {
                name: format!("{name} on {}", machine.name),
                cluster: known(&machine.cluster)?,
                ranks: machine.chips,
                stack: None,
                calibration: None,
                ..loaded.scenario.clone()
            };
            entries.push(Entry { name: machine.name.clone(), scenario, larger });
        }
        groups.push(Group { name: name.clone(), entries });
    }
    Ok((set.name.clone(), groups, true, text))
}
