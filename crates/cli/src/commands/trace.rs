//! `supernode trace`: captured programs and collectives of other tools.

use super::{Answer, json, stamp};
use crate::args::PageFormat;
use crate::input;
use crate::output::{Done, Failure, deliver, ends_in};
use crate::whole_file::{apart, write_file};
use clap::{Args, Subcommand};
use diagnostic::{Diagnostic, Diagnostics, counted};
use fabric::Network;
use std::collections::BTreeMap;
use std::path::Path;
use trace::{OnInfraGraph, OnNetwork, TraceProgram};
use units::{Unit, parse_quantity};

#[derive(Args, Debug)]
pub struct Trace {
    #[command(subcommand)]
    command: TraceCommand,
}

#[derive(Debug, Subcommand)]
enum TraceCommand {
    /// Run a captured program on a machine
    Run(Run),
    /// Read a program in one format and write it in another
    Convert(Convert),
}

#[derive(Args, Debug)]
struct Input {
    /// Chakra files, one a rank (`name.%d.et` stands for all), one `.json` program, or (to run) one
    /// `.xml` collective of MSCCL
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Members of process groups: a JSON object of lists of ranks
    #[arg(long, value_name = "FILE")]
    groups: Option<String>,
}

#[derive(Args, Debug)]
struct Run {
    #[command(flatten)]
    input: Input,
    /// A cluster of the catalog; rank 0 is its first chip
    #[arg(
        long,
        value_name = "ID",
        required_unless_present = "network",
        conflicts_with = "network"
    )]
    cluster: Option<String>,
    /// A network: an ASTRA-sim YAML file, an InfraGraph (YAML, JSON), or a line such as `ring:8@50GB/s,500ns`
    #[arg(long, value_name = "FILE")]
    network: Option<String>,
    /// An ASTRA-sim system file, for its algorithms and costs at the endpoints
    #[arg(long, value_name = "FILE")]
    system: Option<String>,
    /// Operations a chip does, for compute without a recorded duration: `400 TFLOP/s`
    #[arg(long, value_name = "RATE")]
    flops: Option<String>,
    /// Bandwidth of a chip's memory, for the same: `3 TB/s`
    #[arg(long, value_name = "RATE")]
    memory: Option<String>,
    /// Size of an `.xml` collective by nccl-tests' convention: `1 GiB`
    #[arg(long, value_name = "SIZE")]
    bytes: Option<String>,
    /// Write what ran when: `.pftrace` for Perfetto, `.json` for Chrome's trace viewer
    #[arg(long, value_name = "FILE")]
    trace: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    format: PageFormat,
    /// Write the answer to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
}

#[derive(Args, Debug)]
struct Convert {
    #[command(flatten)]
    input: Input,
    /// `name.json` for one file, `name.%d.et` for Chakra, one a rank
    #[arg(short, long, value_name = "FILE")]
    output: String,
}

pub fn trace(args: &Trace) -> Answer {
    match &args.command {
        TraceCommand::Run(run) => run_program(run),
        TraceCommand::Convert(convert) => convert_program(convert),
    }
}

fn read_bytes(path: &str) -> Result<Vec<u8>, Failure> {
    Ok(input::bytes(path, input::CAPTURED)?)
}

fn read_text(path: &str) -> Result<String, Failure> {
    Ok(input::text(path, input::CAPTURED)?)
}

/// Problems with the texts they are in.
fn failure(problems: impl Into<Diagnostics>, file: &str, text: &str) -> Failure {
    Failure { problems: problems.into(), texts: vec![(file.to_owned(), text.to_owned())] }
}

fn plain(problems: Diagnostics) -> Failure {
    Failure { problems, texts: Vec::new() }
}

/// The files of all ranks, in order of rank.
fn rank_files(files: &[String]) -> Result<Vec<String>, Diagnostic> {
    if let [pattern] = files
        && let Some((before, after)) = pattern.split_once("%d")
    {
        let names = (0..1_u64 << 20).map(|rank| format!("{before}{rank}{after}"));
        let found: Vec<String> = names.take_while(|name| Path::new(name).is_file()).collect();
        if let Some(later) = beyond(before, after, found.len() as u64) {
            let text = format!("there is no file `{before}{}{after}`", found.len());
            let hint = format!("`{before}{later}{after}` is there: give the file of every rank");
            return Err(Diagnostic::error("cli::file", text).hint(hint));
        }
        if found.is_empty() {
            let text = format!("there is no file `{before}0{after}`");
            return Err(Diagnostic::error("cli::file", text));
        }
        return Ok(found);
    }
    let rank = |name: &String| name.strip_suffix(".et")?.rsplit_once('.')?.1.parse::<u64>().ok();
    let mut numbered: Vec<(u64, String)> = Vec::new();
    for name in files {
        let Some(rank) = rank(name) else {
            if files.len() == 1 {
                return Ok(files.to_vec());
            }
            let text = format!("`{name}` does not end in a rank and `.et`");
            return Err(Diagnostic::error("cli::file", text)
                .hint("Chakra files are called `name.0.et`, `name.1.et`, .."));
        };
        numbered.push((rank, name.clone()));
    }
    numbered.sort();
    if let Some(((rank, _), at)) = numbered.iter().zip(0..).find(|((rank, _), at)| rank != at) {
        let text = format!("rank `{rank}` where rank `{at}` should be");
        return Err(Diagnostic::error("cli::file", text).hint("give the file of every rank, once"));
    }
    Ok(numbered.into_iter().map(|(_, name)| name).collect())
}

/// The lowest number beyond `from` of a file `before`, number, `after`: what a gap in the numbers leaves.
fn beyond(before: &str, after: &str, from: u64) -> Option<u64> {
    let (folder, begin) = before.rsplit_once('/').map_or((".", before), |(f, b)| (f, b));
    let folder = if before.starts_with('/') && folder.is_empty() { "/" } else { folder };
    let end = after.split('/').next().unwrap_or_default();
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let digits = name.strip_prefix(begin)?.strip_suffix(end)?;
        let number = digits.parse::<u64>().ok().filter(|n| *n > from && n.to_string() == digits)?;
        Path::new(&format!("{before}{number}{after}")).is_file().then_some(number)
    };
    std::fs::read_dir(folder).ok()?.filter_map(number).min()
}

fn program(input: &Input) -> Result<(TraceProgram, String), Failure> {
    let mut groups = BTreeMap::new();
    if let Some(path) = &input.groups {
        let text = read_text(path)?;
        groups = trace::chakra::groups(path, &text).map_err(|p| failure(p, path, &text))?;
    }
    if let [path] = input.files.as_slice()
        && ends_in(path, "json")
    {
        let text = read_text(path)?;
        let program =
            trace::json_program::read(path, &text).map_err(|p| failure(p, path, &text))?;
        return Ok((program, text));
    }
    if let Some(path) = input.files.iter().find(|path| ends_in(path, "xml")) {
        let text = format!("`{path}` is a collective of MSCCL, and no program of ranks");
        let hint = "its steps move chunks, which the formats of programs do not hold: \
                    `supernode trace run FILE.xml --bytes 1GiB --cluster ID` runs it alone";
        return Err(Diagnostic::error("cli::option", text).hint(hint).into());
    }
    let names = rank_files(&input.files)?;
    let files: Vec<(String, Vec<u8>)> = names
        .into_iter()
        .map(|name| read_bytes(&name).map(|bytes| (name, bytes)))
        .collect::<Result<_, _>>()?;
    let views: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let program = trace::chakra::read(&views, groups).map_err(plain)?;
    // For the hash of the input.
    let text = trace::json_program::write(&program);
    Ok((program, text))
}

fn quantity(option: &str, text: Option<&String>, unit: Unit) -> Result<Option<f64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    match parse_quantity(text, unit) {
        Ok(value) if value > 0.0 => Ok(Some(value)),
        _ => {
            let message = format!("`{option}` cannot be `{text}`");
            let hint = format!("for example `{}`", unit.example());
            Err(Diagnostic::error("cli::option", message).hint(hint).into())
        }
    }
}

/// What a program runs on, with its name.
enum Machine {
    Network(Box<OnNetwork>),
    Infrastructure(OnInfraGraph),
}

fn machine(run: &Run, ranks: u64) -> Result<(Machine, String), Failure> {
    let mut flop_per_s = quantity("--flops", run.flops.as_ref(), Unit::FlopPerSecond)?;
    let mut memory_bytes_per_s = quantity("--memory", run.memory.as_ref(), Unit::BytePerSecond)?;
    let mut topology = if let Some(id) = &run.cluster {
        let cluster = catalog::cluster(id).map_err(plain)?;
        let peak = cluster.chip.matrix.get(&catalog::Dtype::Bf16).map(|f| f.value);
        flop_per_s = flop_per_s.or(peak);
        memory_bytes_per_s = memory_bytes_per_s.or(Some(cluster.chip.memory_bandwidth.value));
        fabric::topology_of(&cluster, ranks)?
    } else {
        let path = run.network.as_deref().unwrap_or_default();
        if path.contains('@') {
            fabric::parse_topology(path).map_err(|p| failure(p, fabric::TOPOLOGY_FILE, path))?
        } else {
            let text = read_text(path)?;
            if trace::infragraph::is_infrastructure(&text) {
                let graph =
                    trace::infragraph::read(path, &text).map_err(|p| failure(p, path, &text))?;
                let name = if graph.name.is_empty() { path.to_owned() } else { graph.name.clone() };
                let made = OnInfraGraph::new(graph, flop_per_s, memory_bytes_per_s);
                return Ok((Machine::Infrastructure(made), name));
            }
            trace::astra::network(path, &text).map_err(|p| failure(p, path, &text))?
        }
    };
    let mut schemes = BTreeMap::new();
    if let Some(path) = &run.system {
        let text = read_text(path)?;
        let system = trace::astra::system(path, &text).map_err(|p| failure(p, path, &text))?;
        topology.endpoint_ps = system.endpoint_ps.unwrap_or(topology.endpoint_ps);
        let given = system.memory_bytes_per_s;
        topology.memory_bytes_per_s = given.unwrap_or(topology.memory_bytes_per_s);
        schemes = system.schemes;
    }
    let name = topology.name.clone();
    let network = Network::new(topology)?;
    let made = OnNetwork { network, schemes, flop_per_s, memory_bytes_per_s };
    Ok((Machine::Network(Box::new(made)), name))
}

/// Runs a collective of MSCCL.
fn run_algorithm(args: &Run, path: &str) -> Answer {
    let text = read_text(path)?;
    let algorithm = trace::msccl::read(path, &text).map_err(|p| failure(p, path, &text))?;
    let Some(bytes) = quantity("--bytes", args.bytes.as_ref(), Unit::Byte)? else {
        let problem = Diagnostic::error("cli::option", "a collective needs its size");
        return Err(problem.hint("add --bytes, for example `--bytes 1GiB`").into());
    };
    if args.trace.is_some() || args.format == PageFormat::Html {
        let text = "a collective's run has no page and no trace";
        return Err(Diagnostic::error("cli::option", text).into());
    }
    let (machine, network) = machine(args, u64::from(algorithm.ranks))?;
    let Machine::Network(machine) = machine else {
        let text = "a collective's steps run on a cluster or a composed network, not an InfraGraph";
        return Err(Diagnostic::error("cli::option", text).into());
    };
    let time_ps = algorithm.run(&machine.network, bytes).map_err(plain)?;
    let run = report::AlgorithmRun { algorithm: &algorithm, network: &network, bytes, time_ps };
    let text = match args.format {
        PageFormat::Json => json(&run.json(&stamp("supernode.collective-run/1", &text))),
        _ => run.text(),
    };
    let wrong = matches!(algorithm.prove(), Some(Err(_)));
    deliver(Done { text, notes: String::new(), yes: !wrong }, args.output.as_deref())
}

fn run_program(args: &Run) -> Answer {
    if let [path] = args.input.files.as_slice()
        && ends_in(path, "xml")
    {
        return run_algorithm(args, path);
    }
    apart(&[&args.trace, &args.output])?;
    let (program, text) = program(&args.input)?;
    let (machine, network) = machine(args, program.ranks)?;
    let timeline = match &machine {
        Machine::Network(on) => trace::run(&program, on.as_ref()),
        Machine::Infrastructure(on) => trace::run(&program, on),
    };
    let timeline = timeline.map_err(plain)?;
    let mut notes = String::new();
    if let Some(path) = &args.trace {
        notes = super::write_timeline(path, &timeline)?;
    }
    let source = &args.input.files[0];
    let stamp = stamp("supernode.trace-run/1", &text);
    let answer = || report::trace_json(&stamp, source, &network, &timeline);
    let text = match args.format {
        PageFormat::Text => report::trace_text(source, &network, &timeline),
        PageFormat::Json => json(&answer()),
        PageFormat::Html => report::trace_page(&answer(), source, &network, &timeline),
    };
    deliver(Done { text, notes, yes: true }, args.output.as_deref())
}

fn convert_program(args: &Convert) -> Answer {
    let (program, _) = program(&args.input)?;
    if ends_in(&args.output, "json") {
        write_file(&args.output, trace::json_program::write(&program).as_bytes())?;
        let notes = format!("wrote `{}`\n", args.output);
        return Ok(Done { text: String::new(), notes, yes: true });
    }
    let Some((before, after)) = args.output.split_once("%d") else {
        let text = format!("`{}` is neither `name.json` nor `name.%d.et`", args.output);
        return Err(Diagnostic::error("cli::option", text).into());
    };
    let files = trace::chakra::write(&program);
    for (rank, bytes) in files.iter().enumerate() {
        write_file(&format!("{before}{rank}{after}"), bytes)?;
    }
    let mut notes = format!("wrote {}\n", counted(files.len() as u64, "file"));
    if !program.groups.is_empty() {
        // A Chakra trace names its groups; who is in them stands in a file of its own.
        let file = format!("{before}groups.json");
        write_file(&file, trace::chakra::write_groups(&program.groups).as_bytes())?;
        notes.push_str(&format!("wrote the groups they name; `trace run` needs --groups {file}\n"));
    }
    Ok(Done { text: String::new(), notes, yes: true })
}
