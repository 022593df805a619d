//! `supernode fabric`: a collective on a pod or on an ad-hoc network, and what a network is like.

use super::{json, read, stamp};
use crate::args::Format;
use crate::output::{Done, Failure};
use crate::whole_file::write_file;
use catalog::{Cluster, Kind};
use clap::Args;
use collective::{
    GraphCost, OPERATIONS, Operation, Placed, SCHEMES, Scheme, Spread, on_graph, seconds, unfolded,
};
use diagnostic::{Diagnostic, Diagnostics, counted, nearest};
use fabric::{Network, Routing, Topology};
use report::{FabricQuestion, FabricRow};

/// Most sizes of one sweep.
const MAX_ROWS: usize = 64;

#[derive(Args, Debug)]
pub struct Fabric {
    /// A cluster of the catalog, a cluster file, or a line such as `ring:64@50GB/s,500ns`
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Describe the topology: levels, ports, diameter, bisection
    #[arg(long)]
    pub show: bool,
    /// With --show: draw it into this SVG file
    #[arg(short, long, value_name = "FILE", requires = "show")]
    pub out: Option<String>,
    /// all-reduce, all-gather, reduce-scatter, all-to-all, broadcast, send-recv, dispatch or combine
    #[arg(long, value_name = "WORD", required_unless_present = "show")]
    pub collective: Option<String>,
    /// Chips that take part [default: all]
    #[arg(long, value_name = "N")]
    pub ranks: Option<u64>,
    /// nccl-tests' size, or a sweep by doubling: `1MiB..1GiB`
    #[arg(long, value_name = "B[..B2]", default_value = "1GiB")]
    pub bytes: String,
    #[arg(long, value_name = "WORD", help = schemes())]
    pub algorithm: Option<String>,
    /// Of a dispatch or combine: routed experts
    #[arg(long, value_name = "E", default_value = "256", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub experts: u64,
    /// Of a dispatch or combine: experts a token
    #[arg(long, value_name = "K", default_value = "8", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub topk: u64,
    /// first, split, modulo, ecmp, ecmp:SEED, detour or borrow
    #[arg(long, value_name = "WORD", default_value = "split")]
    pub routing: String,
    /// A fault: link:A-B, port:CHIP/LEVEL/K, chip:N, spare:N, switch:LEVEL/K, LEVEL:K; `=SHARE` of
    /// the rate
    #[arg(long = "fail", value_name = "FAULT")]
    pub fail: Vec<String>,
    /// Run every message by itself; needs an algorithm
    #[arg(long, requires = "algorithm")]
    pub unfolded: bool,
    /// Times to run it, one after another
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub repeat: u64,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// The algorithms, for the help.
fn schemes() -> String {
    let words = SCHEMES.map(|(_, word)| word);
    let (last, others) = words.split_last().unwrap_or((&"", &[]));
    format!("{} or {last} [default: the fastest]", others.join(", "))
}

/// What the arguments mean.
struct Question {
    operation: Operation,
    word: &'static str,
    sizes: Vec<u64>,
    scheme: Option<Scheme>,
    routing: Routing,
}

pub fn fabric(args: &Fabric) -> Result<Done, Failure> {
    let (topology, text, cluster) = topology(args)?;
    let plain = |problem: Diagnostic| Failure {
        problems: problem.into(),
        texts: vec![(fabric::TOPOLOGY_FILE.to_owned(), args.pod.clone())],
    };
    let mut problems = Diagnostics::default();
    let faults: Vec<_> = args
        .fail
        .iter()
        .filter_map(|f| fabric::parse_fault(f).map_err(|e| problems.push(e)).ok())
        .collect();
    let question = if args.show { None } else { question(args, &mut problems) };
    let failed = |problems| Failure { problems, texts: Vec::new() };
    let (faults, question) = problems.into_result((faults, question)).map_err(failed)?;
    let whole = Network::new(topology).map_err(plain)?;
    let broken = if faults.is_empty() {
        None
    } else {
        Some(whole.clone().with_faults(&faults).map_err(failed)?)
    };
    let hashed = format!("{text}\n{}", args.fail.join("\n"));
    match question {
        None => show(args, broken.as_ref().unwrap_or(&whole), &hashed),
        Some(question) => {
            run(args, (&whole, broken.as_ref()), cluster.as_ref(), &question, &hashed)
        }
    }
}

/// A topology, the text it comes from, and the cluster if it is one.
type Asked = (Topology, String, Option<Cluster>);

fn topology(args: &Fabric) -> Result<Asked, Failure> {
    let pod = args.pod.as_str();
    if pod.contains(['@', '+']) && catalog::text(Kind::Cluster, pod).is_none() {
        let texts = vec![(fabric::TOPOLOGY_FILE.to_owned(), pod.to_owned())];
        let read =
            fabric::parse_topology(pod).map_err(|p| Failure { problems: p.into(), texts })?;
        return Ok((read, pod.to_owned(), None));
    }
    let (name, text) = match catalog::text(Kind::Cluster, pod) {
        Some(text) => (format!("catalog/clusters/{pod}.toml"), text.to_owned()),
        None => (pod.to_owned(), read(pod, catalog::cluster_ids())?),
    };
    let cluster: Cluster = catalog::parse_cluster(&name, &text)
        .map_err(|problems| Failure { problems, texts: vec![(name, text.clone())] })?;
    // Faults may lie anywhere, and what is shown is the whole.
    let whole = args.show || !args.fail.is_empty();
    let ranks = if whole { cluster.chips } else { args.ranks.unwrap_or(cluster.chips) };
    let topology = fabric::topology_of(&cluster, ranks.max(1))?;
    Ok((topology, text, Some(cluster)))
}

fn question(args: &Fabric, problems: &mut Diagnostics) -> Option<Question> {
    let mut word = |code, given: &str, words: &[&'static str]| {
        let found = words.iter().position(|w| *w == given);
        if found.is_none() {
            let hint = nearest(given, words.iter().copied()).map_or_else(
                || format!("one of {}", words.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            problems.push(Diagnostic::error(code, format!("`{given}` is unknown")).hint(hint));
        }
        found
    };
    let given = args.collective.as_deref().unwrap_or_default();
    let spread = Spread { experts: args.experts, topk: args.topk };
    let routed =
        [(Operation::Dispatch(spread), "dispatch"), (Operation::Combine(spread), "combine")];
    let operations: Vec<(Operation, &'static str)> = OPERATIONS.into_iter().chain(routed).collect();
    let words: Vec<&'static str> = operations.iter().map(|o| o.1).collect();
    let operation = word("fabric::collective", given, &words);
    let scheme = match args.algorithm.as_deref() {
        None => Some(None),
        Some(w) => word("fabric::algorithm", w, &SCHEMES.map(|s| s.1)).map(|i| Some(SCHEMES[i].0)),
    };
    if args.topk > args.experts {
        let problem = format!("{} experts a token of {}", args.topk, args.experts);
        problems.push(Diagnostic::error("fabric::experts", problem).hint("fewer by `--topk`"));
    }
    let routing = match args.routing.split_once(':') {
        Some(("ecmp", seed)) => seed.parse().ok().map(|seed| Routing::Ecmp { seed }),
        _ => match args.routing.as_str() {
            "first" => Some(Routing::First),
            "split" => Some(Routing::Split),
            "modulo" => Some(Routing::Modulo),
            "ecmp" => Some(Routing::Ecmp { seed: 0 }),
            "detour" => Some(Routing::Detour),
            "borrow" => Some(Routing::Borrow),
            _ => None,
        },
    };
    if routing.is_none() {
        let problem = format!("`{}` is no way of routing", args.routing);
        let hint = "first, split, modulo, ecmp, ecmp:SEED, detour or borrow";
        problems.push(Diagnostic::error("fabric::routing", problem).hint(hint));
    }
    let sizes = sizes(&args.bytes).map_err(|e| problems.push(e)).ok();
    let operation = operation?;
    Some(Question {
        operation: operations[operation].0,
        word: operations[operation].1,
        sizes: sizes?,
        scheme: scheme?,
        routing: routing?,
    })
}

/// `1MiB..1GiB` by doubling, or one size.
fn sizes(text: &str) -> Result<Vec<u64>, Diagnostic> {
    let one = |word: &str| {
        let word = word.trim();
        let bytes = word
            .parse::<f64>()
            .ok()
            .or_else(|| units::parse_quantity(word, units::Unit::Byte).ok());
        match bytes {
            Some(b) if (1.0..=1e15).contains(&b) => Ok(b.round() as u64),
            _ => Err(Diagnostic::error("fabric::bytes", format!("`{word}` is no size"))
                .hint("from 1 B to 1 PB, for example `--bytes 8..1GiB`")),
        }
    };
    let Some((from, to)) = text.split_once("..") else { return Ok(vec![one(text)?]) };
    let (from, to) = (one(from)?, one(to)?);
    if to < from {
        return Err(Diagnostic::error("fabric::bytes", format!("`{text}` goes down"))
            .hint("the smaller size first"));
    }
    let doubled = std::iter::successors(Some(from), |b| b.checked_mul(2).filter(|b| *b <= to));
    Ok(doubled.take(MAX_ROWS).collect())
}

fn show(args: &Fabric, network: &Network, hashed: &str) -> Result<Done, Failure> {
    let survey = fabric::survey(network.graph(), network.symmetry().is_some());
    let text = match args.format {
        Format::Json => {
            let stamp = stamp("supernode.topology/1", hashed);
            json(&report::topology_json(&stamp, network, &survey, &args.fail))
        }
        Format::Text => report::topology_text(network, &survey, &args.fail),
    };
    let mut notes = String::new();
    if let Some(file) = &args.out {
        write_file(file, report::topology_svg(network, &survey).as_bytes())?;
        notes = format!("wrote `{file}`\n");
    }
    Ok(Done { text, notes, yes: true })
}

/// The library's own time from measured curves and the words for it: on a cluster whose chip has them
/// or borrows them, as a rehearsal does, nothing forced.
fn measured(
    args: &Fabric,
    cluster: Option<&Cluster>,
    operation: Operation,
    ranks: u64,
    bytes: f64,
) -> Option<(f64, String)> {
    let free = args.algorithm.is_none() && args.routing == "split";
    let (Operation::Of(operation), Some(cluster), true) = (operation, cluster, free) else {
        return None;
    };
    let (calibration, borrowed) = kernel::for_chip(&cluster.chip).ok()?;
    let found = collective::library(cluster, &calibration, ranks, operation, bytes)?;
    let by_curve = !matches!(found.basis, collective::Basis::Formula(_));
    let of = format!("measured on {}", calibration.chip);
    let word = found.basis.word();
    let word = if borrowed.own { word.to_owned() } else { word.replacen("measured", &of, 1) };
    by_curve.then_some((found.seconds, word))
}

/// How much longer the graph needs once it is broken: 1 or more, and 1 for a whole one.
fn lengthened(
    networks: (&Network, Option<&Network>),
    asked: &Question,
    ranks: u64,
    bytes: f64,
    broken_ps: u64,
) -> Result<f64, Diagnostics> {
    if networks.1.is_none() {
        return Ok(1.0);
    }
    let group = Placed::first(networks.0, ranks);
    let whole = on_graph(networks.0, &group, asked.operation, asked.scheme, asked.routing, bytes)?;
    Ok((seconds(broken_ps) / seconds(whole.time_ps)).max(1.0))
}

fn run(
    args: &Fabric,
    networks: (&Network, Option<&Network>),
    cluster: Option<&Cluster>,
    asked: &Question,
    hashed: &str,
) -> Result<Done, Failure> {
    let failed = |problems| Failure { problems, texts: Vec::new() };
    let network = networks.1.unwrap_or(networks.0);
    let alive = network.alive().len() as u64;
    let ranks = args.ranks.unwrap_or(alive);
    if ranks < 2 || ranks > alive {
        let (ranks, chips) = (counted(ranks, "rank"), counted(alive, "chip"));
        let message = format!("{ranks} on {chips} that can take part");
        let hint = match alive {
            0 | 1 => "a collective takes two chips".to_owned(),
            _ => format!("--ranks from 2 to {alive}"),
        };
        return Err(Diagnostic::error("fabric::ranks", message).hint(hint).into());
    }
    let group = Placed::first(network, ranks);
    let mut rows = Vec::new();
    for (place, &bytes) in asked.sizes.iter().enumerate() {
        crate::progress::part("size", place, asked.sizes.len());
        let b = bytes as f64;
        let (operation, routing) = (asked.operation, asked.routing);
        let cost =
            on_graph(network, &group, operation, asked.scheme, routing, b).map_err(failed)?;
        let mut row = row(network, asked, ranks, bytes, &cost, args.repeat);
        if let Some((seconds, word)) = measured(args, cluster, operation, ranks, b) {
            let longer = lengthened(networks, asked, ranks, b, cost.time_ps).map_err(failed)?;
            row.time_s = seconds * longer * args.repeat as f64;
            row.algorithm = word;
            if networks.1.is_none() {
                (row.bound_s, row.bottleneck, row.flows) = (None, None, (0, 0));
            }
        }
        if args.unfolded {
            let scheme = cost.scheme;
            let (time, messages) =
                unfolded(network, &group, operation, scheme, routing, b).map_err(failed)?;
            row.time_s = seconds(time) * args.repeat as f64;
            row.flows = (messages, messages);
        }
        rows.push(row);
    }
    let question = FabricQuestion {
        network: network.topology().name.clone(),
        collective: asked.word,
        ranks,
        faults: args.fail.clone(),
        routing: args.routing.clone(),
    };
    let text = match args.format {
        Format::Json => {
            json(&report::fabric_json(&stamp("supernode.fabric/1", hashed), &question, &rows))
        }
        Format::Text => report::fabric_text(&question, &rows),
    };
    Ok(Done { text, notes: String::new(), yes: true })
}

fn row(
    network: &Network,
    asked: &Question,
    ranks: u64,
    bytes: u64,
    cost: &GraphCost,
    repeat: u64,
) -> FabricRow {
    use model::Collective::{AllGather, AllReduce, AllToAll, ReduceScatter};
    let parts = match asked.operation {
        Operation::Of(AllGather | ReduceScatter | AllToAll) => ranks,
        _ => 1,
    };
    let reduction = match asked.operation {
        Operation::Of(AllReduce | ReduceScatter) => "sum",
        _ => "none",
    };
    let times = repeat as f64;
    let word = SCHEMES.iter().find(|s| s.0 == cost.scheme).map_or("?", |s| s.1);
    FabricRow {
        bytes,
        count: bytes / 4 / parts,
        reduction,
        time_s: seconds(cost.time_ps) * times,
        bus_factor: asked.operation.bus_factor(ranks) * times,
        algorithm: word.to_owned(),
        bound_s: Some(seconds(cost.bound_ps) * times),
        bottleneck: cost.bottleneck.map(|l| network.graph().link_name(l as usize)),
        flows: cost.flows,
    }
}
