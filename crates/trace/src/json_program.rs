//! A captured program as JSON, schema `supernode.trace-program/1`: to read, to write by hand.

use crate::place::json;
use crate::program::{Node, Operation, RankTrace, TraceProgram, Work};
use diagnostic::{Diagnostic, Diagnostics};
use model::Collective;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema's name and version.
pub const SCHEMA: &str = "supernode.trace-program/1";
/// Most ranks of a program.
const MOST_RANKS: u64 = 1 << 20;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawProgram {
    schema: String,
    ranks: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<String, Vec<[u64; 2]>>,
    traces: Vec<RawTrace>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawTrace {
    ranks: Vec<[u64; 2]>,
    nodes: Vec<RawNode>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    id: u64,
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<u64>,
    work: RawWork,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum RawWork {
    Nothing,
    Compute {
        #[serde(default)]
        host: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ps: Option<u64>,
        #[serde(default)]
        flop: u64,
        #[serde(default)]
        bytes: u64,
    },
    Collective {
        operation: RawOperation,
        bytes: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    Send {
        peer: u64,
        #[serde(default)]
        tag: u64,
        bytes: u64,
    },
    Receive {
        peer: u64,
        #[serde(default)]
        tag: u64,
        bytes: u64,
    },
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum RawOperation {
    AllReduce,
    AllGather,
    ReduceScatter,
    AllToAll,
    Broadcast,
    Barrier,
}

/// Reads a program.
///
/// # Errors
/// What is not of the schema, with its place, and what [`TraceProgram::check`] finds.
pub fn read(file: &str, text: &str) -> Result<TraceProgram, Diagnostics> {
    let raw: RawProgram = json("trace::program", file, text)?;
    let fault =
        |what: String| Diagnostics::from(Diagnostic::error("trace::program", what).at(file, 0..0));
    if raw.schema != SCHEMA {
        return Err(fault(format!(
            "schema `{}` is not `{SCHEMA}`",
            crate::program::shortened(&raw.schema)
        )));
    }
    if raw.ranks == 0 || raw.ranks > MOST_RANKS {
        return Err(fault(format!("{} ranks; 1 .. {MOST_RANKS} can be read", raw.ranks)));
    }
    // Spans are checked before they are written out: never more members than ranks.
    let members = |spans: &[[u64; 2]]| -> Result<Vec<u64>, Diagnostics> {
        let mut next = 0;
        for [first, last] in spans {
            if *first < next || last < first || *last >= raw.ranks {
                return Err(fault(format!("span [{first}, {last}] is out of order or too far")));
            }
            next = last + 1;
        }
        Ok(spans.iter().flat_map(|[first, last]| *first..=*last).collect())
    };
    // Together the groups of a program hold at most this many members: a few of every rank.
    let mut room = 16 * raw.ranks;
    let mut groups = BTreeMap::new();
    for (name, spans) in &raw.groups {
        let members = members(spans)?;
        room = room
            .checked_sub(members.len() as u64)
            .ok_or_else(|| fault("groups with more members than can be held".to_owned()))?;
        groups.insert(name.clone(), members);
    }
    let mut traces = Vec::new();
    let mut held = 0;
    for trace in raw.traces {
        let ranks = members(&trace.ranks)?;
        held += ranks.len() as u64;
        if held > raw.ranks || ranks.is_empty() {
            return Err(fault("a trace of no rank, or a rank with two traces".to_owned()));
        }
        let mut nodes: Vec<Node> = trace.nodes.into_iter().map(node).collect();
        nodes.sort_by_key(|n| n.id);
        traces.push(RankTrace { file: file.to_owned(), ranks, nodes });
    }
    let program = TraceProgram { ranks: raw.ranks, traces, groups };
    program.check()?;
    Ok(program)
}

fn node(raw: RawNode) -> Node {
    let work = match raw.work {
        RawWork::Nothing => Work::Nothing,
        RawWork::Compute { host, duration_ps, flop, bytes } => {
            Work::Compute { host, duration_ps, flop, bytes }
        }
        RawWork::Collective { operation, bytes, group } => {
            let operation = match operation {
                RawOperation::AllReduce => Operation::Of(Collective::AllReduce),
                RawOperation::AllGather => Operation::Of(Collective::AllGather),
                RawOperation::ReduceScatter => Operation::Of(Collective::ReduceScatter),
                RawOperation::AllToAll => Operation::Of(Collective::AllToAll),
                RawOperation::Broadcast => Operation::Broadcast,
                RawOperation::Barrier => Operation::Barrier,
            };
            Work::Collective { operation, bytes, group }
        }
        RawWork::Send { peer, tag, bytes } => Work::Send { peer, tag, bytes },
        RawWork::Receive { peer, tag, bytes } => Work::Receive { peer, tag, bytes },
    };
    let mut after = raw.after;
    after.sort_unstable();
    after.dedup();
    Node { id: raw.id, name: raw.name, work, after }
}

/// The program as JSON text.
pub fn write(program: &TraceProgram) -> String {
    let raw = RawProgram {
        schema: SCHEMA.to_owned(),
        ranks: program.ranks,
        groups: program.groups.iter().map(|(n, m)| (n.clone(), spans(m))).collect(),
        traces: program
            .traces
            .iter()
            .map(|t| RawTrace {
                ranks: spans(&t.ranks),
                nodes: t.nodes.iter().map(raw_node).collect(),
            })
            .collect(),
    };
    // Text keys and whole numbers always have a JSON form.
    let mut text = serde_json::to_string_pretty(&raw).unwrap_or_default();
    text.push('\n');
    text
}

/// Sorted numbers as spans with both ends.
fn spans(sorted: &[u64]) -> Vec<[u64; 2]> {
    let mut out: Vec<[u64; 2]> = Vec::new();
    for &n in sorted {
        match out.last_mut() {
            Some(span) if span[1] + 1 == n => span[1] = n,
            _ => out.push([n, n]),
        }
    }
    out
}

fn raw_node(node: &Node) -> RawNode {
    let work = match &node.work {
        Work::Nothing => RawWork::Nothing,
        Work::Compute { host, duration_ps, flop, bytes } => {
            RawWork::Compute { host: *host, duration_ps: *duration_ps, flop: *flop, bytes: *bytes }
        }
        Work::Collective { operation, bytes, group } => RawWork::Collective {
            operation: match operation {
                Operation::Of(Collective::AllGather) => RawOperation::AllGather,
                Operation::Of(Collective::ReduceScatter) => RawOperation::ReduceScatter,
                Operation::Of(Collective::AllToAll) => RawOperation::AllToAll,
                Operation::Broadcast => RawOperation::Broadcast,
                Operation::Barrier => RawOperation::Barrier,
                Operation::Of(Collective::AllReduce | Collective::SendRecv) => {
                    RawOperation::AllReduce
                }
            },
            bytes: *bytes,
            group: group.clone(),
        },
        Work::Send { peer, tag, bytes } => RawWork::Send { peer: *peer, tag: *tag, bytes: *bytes },
        Work::Receive { peer, tag, bytes } => {
            RawWork::Receive { peer: *peer, tag: *tag, bytes: *bytes }
        }
    };
    RawNode { id: node.id, name: node.name.clone(), after: node.after.clone(), work }
}
