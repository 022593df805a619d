//! `supernode fabric`: nccl-tests' columns, and what a topology is like.

use crate::json::Stamp;
use crate::table::{aligned, row};
use fabric::{Layout, Network, Survey};
use serde_json::{Value, json};
use units::{Unit, format_quantity, format_seconds};

/// One size of one exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct FabricRow {
    /// nccl-tests' size. Bytes.
    pub bytes: u64,
    /// Elements of four bytes by nccl-tests' count.
    pub count: u64,
    /// `sum` or `none`.
    pub reduction: &'static str,
    /// Time. Seconds.
    pub time_s: f64,
    /// Factor from algorithm to bus bandwidth.
    pub bus_factor: f64,
    /// What ran, or where a measured time is from.
    pub algorithm: String,
    /// Time the busiest links need for the bytes alone; absent where the time is measured. Seconds.
    pub bound_s: Option<f64>,
    /// The busiest link.
    pub bottleneck: Option<String>,
    /// Flows solved and flows they stand for, or messages run one by one.
    pub flows: (u64, u64),
}

impl FabricRow {
    /// Bytes over time. Bytes/s.
    pub fn algorithm_bandwidth(&self) -> f64 {
        self.bytes as f64 / self.time_s
    }

    /// nccl-tests' bus bandwidth. Bytes/s.
    pub fn bus_bandwidth(&self) -> f64 {
        self.algorithm_bandwidth() * self.bus_factor
    }
}

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct FabricQuestion {
    /// The network's name.
    pub network: String,
    /// nccl-tests' word.
    pub collective: &'static str,
    /// Ranks.
    pub ranks: u64,
    /// Faults as given.
    pub faults: Vec<String>,
    /// Way of routing.
    pub routing: String,
}

/// nccl-tests' table.
pub fn fabric_text(question: &FabricQuestion, rows: &[FabricRow]) -> String {
    let mut out = format!(
        "{} over {} ranks of {}, routing {}{}\n\n",
        question.collective,
        question.ranks,
        question.network,
        question.routing,
        if question.faults.is_empty() {
            String::new()
        } else {
            format!(", with {}", question.faults.join(", "))
        }
    );
    let mut cells = vec![
        row([
            "size",
            "count",
            "type",
            "redop",
            "time",
            "algbw",
            "busbw",
            "bound",
            "algorithm",
            "busiest link",
        ]),
        row(["(B)", "(elements)", "", "", "(us)", "(GB/s)", "(GB/s)", "(us)", "", ""]),
    ];
    for r in rows {
        cells.push(vec![
            r.bytes.to_string(),
            r.count.to_string(),
            "float".to_owned(),
            r.reduction.to_owned(),
            format!("{:.2}", r.time_s * 1e6),
            format!("{:.2}", r.algorithm_bandwidth() / 1e9),
            format!("{:.2}", r.bus_bandwidth() / 1e9),
            r.bound_s.map_or_else(|| "-".to_owned(), |b| format!("{:.2}", b * 1e6)),
            r.algorithm.clone(),
            r.bottleneck.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    out.push_str(&aligned(&cells, 0));
    if let Some(last) = rows.last() {
        let (solved, meant) = last.flows;
        if meant > 0 {
            out.push_str(&format!("\n{solved} flows solved for {meant} in the last row\n"));
        }
    }
    out
}

/// The same, schema `supernode.fabric/1`.
pub fn fabric_json(stamp: &Stamp, question: &FabricQuestion, rows: &[FabricRow]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|r| {
            json!({
                "size_bytes": r.bytes,
                "count": r.count,
                "type": "float",
                "redop": r.reduction,
                "time_s": r.time_s,
                "algorithm_bytes_per_s": r.algorithm_bandwidth(),
                "bus_bytes_per_s": r.bus_bandwidth(),
                "bound_s": r.bound_s,
                "algorithm": r.algorithm,
                "bottleneck": r.bottleneck,
                "flows_solved": r.flows.0,
                "flows_meant": r.flows.1,
            })
        })
        .collect();
    stamp.on(json!({
        "network": question.network,
        "collective": question.collective,
        "ranks": question.ranks,
        "routing": question.routing,
        "faults": question.faults,
        "rows": rows,
    }))
}

/// How a level is joined, in words.
pub(crate) fn layout_word(layout: Layout) -> String {
    match layout {
        Layout::FullMesh => "full mesh".to_owned(),
        Layout::Ring => "ring".to_owned(),
        Layout::Switch { planes: 1 } => "switch".to_owned(),
        Layout::Switch { planes } => format!("{planes} switch planes"),
        Layout::Trunk { spines, oversubscription } if oversubscription > 1.0 => {
            format!("{spines} spines a plane, {oversubscription}:1")
        }
        Layout::Trunk { spines, .. } => format!("{spines} spines a plane, 1:1"),
        Layout::Rail => "rails".to_owned(),
        Layout::Dragonfly => "dragonfly".to_owned(),
    }
}

/// A topology as text: levels, ports, diameter, bisection.
pub fn topology_text(network: &Network, survey: &Survey, faults: &[String]) -> String {
    let topology = network.topology();
    let mut out = format!("{}\n", topology.name);
    if !faults.is_empty() {
        out.push_str(&format!("with {}\n", faults.join(", ")));
    }
    out.push('\n');
    let ports = topology.ports();
    let mut cells = vec![row(["level", "joins", "how", "link", "latency", "ports a chip"])];
    for (level, (_, used)) in topology.levels.iter().zip(&ports) {
        let trunk = matches!(level.layout, Layout::Trunk { .. });
        cells.push(vec![
            level.name.clone(),
            level.fan.to_string(),
            layout_word(level.layout),
            format_quantity(level.link_bytes_per_s, Unit::BytePerSecond),
            format_seconds(level.latency_ps as f64 * 1e-12),
            if trunk {
                "-".to_owned()
            } else if *used == 0 {
                "?".to_owned()
            } else {
                used.to_string()
            },
        ]);
    }
    out.push_str(&aligned(&cells, 3));
    let used: u32 = ports.iter().map(|p| p.1).sum();
    let budget = topology.port_budget.map_or_else(
        || format!("{used} ports a chip, budget not given"),
        |b| format!("{used} of {b} ports a chip"),
    );
    let mut facts = vec![
        vec!["chips".to_owned(), survey.endpoints.to_string()],
        vec!["switches".to_owned(), survey.switches.to_string()],
        vec!["one-way links".to_owned(), survey.links.to_string()],
        vec!["ports".to_owned(), budget],
        vec![
            "diameter".to_owned(),
            format!(
                "{}{} links, {}",
                if survey.diameter_is_exact { "" } else { "at least " },
                survey.diameter.0,
                format_seconds(survey.diameter.1 as f64 * 1e-12)
            ),
        ],
        vec![
            "bisection".to_owned(),
            format!(
                "{} one way, {} a chip",
                format_quantity(survey.bisection_bytes_per_s, Unit::BytePerSecond),
                format_quantity(
                    survey.bisection_bytes_per_s * 2.0 / f64::from(survey.endpoints.max(1)),
                    Unit::BytePerSecond
                )
            ),
        ],
        vec![
            "symmetric".to_owned(),
            if network.symmetry().is_some() { "yes, checked link by link" } else { "no" }
                .to_owned(),
        ],
    ];
    facts.push(Vec::new());
    out.push('\n');
    out.push_str(&aligned(&facts, 2));
    let mut cells = vec![row(["node", "how many", "links at", "each", "rate of one node"])];
    for port in &survey.ports {
        let (least, most) = port.links;
        cells.push(vec![
            if port.node == "chip" { "chip".to_owned() } else { format!("{} switch", port.node) },
            port.nodes.to_string(),
            port.level.clone(),
            if least == most { most.to_string() } else { format!("{least}..{most}") },
            format_quantity(port.bytes_per_s, Unit::BytePerSecond),
        ]);
    }
    out.push_str(&aligned(&cells, 1));
    out
}

/// The same, schema `supernode.topology/1`.
pub fn topology_json(
    stamp: &Stamp,
    network: &Network,
    survey: &Survey,
    faults: &[String],
) -> Value {
    let topology = network.topology();
    let ports = topology.ports();
    let levels: Vec<Value> = topology
        .levels
        .iter()
        .zip(&ports)
        .map(|(l, p)| {
            json!({
                "name": l.name, "joins": l.fan, "how": layout_word(l.layout),
                "link_bytes_per_s": l.link_bytes_per_s,
                "latency_s": l.latency_ps as f64 * 1e-12, "ports": p.1,
            })
        })
        .collect();
    let nodes: Vec<Value> = survey
        .ports
        .iter()
        .map(|p| {
            json!({
                "node": p.node, "nodes": p.nodes, "level": p.level, "fewest_links": p.links.0,
                "most_links": p.links.1, "bytes_per_s": p.bytes_per_s,
            })
        })
        .collect();
    stamp.on(json!({
        "network": topology.name,
        "faults": faults,
        "levels": levels,
        "port_budget": topology.port_budget,
        "chips": survey.endpoints,
        "switches": survey.switches,
        "links": survey.links,
        "diameter_links": survey.diameter.0,
        "diameter_s": survey.diameter.1 as f64 * 1e-12,
        "diameter_is_exact": survey.diameter_is_exact,
        "bisection_bytes_per_s": survey.bisection_bytes_per_s,
        "symmetric": network.symmetry().is_some(),
        "nodes": nodes,
    }))
}
