//! Chakra execution traces: one file a rank, `name.0.et`, `name.1.et`, ..
//!
//! A file is messages, each with its length before it: `GlobalMetadata`, then `Node`s. Attributes
//! read: `comm_type comm_size pg_name comm_src comm_dst comm_tag num_ops tensor_size is_cpu_op`.
//! `comm_size` of an all-gather is what one rank gives, as ASTRA-sim reads it; here sizes are
//! nccl-tests', so it is multiplied by the group's ranks. `involved_dim` is understood where it holds
//! all dimensions; a part of them needs groups by name. Files that are equal are one trace; a trace
//! that sends messages belongs to one rank.
//!
//! Read without copying more than the file holds: a length beyond the end is a problem with its place.

pub mod messages;

use crate::program::{Node, Operation, RankTrace, TraceProgram, Work, shortened};
use diagnostic::{Diagnostic, Diagnostics};
use messages::{Attribute, GlobalMetadata, Value};
use model::Collective;
use prost::Message;
use prost::bytes::Buf;
use std::collections::BTreeMap;

const METADATA: i32 = 1;
const MEMORY_LOAD: i32 = 2;
const MEMORY_STORE: i32 = 3;
const COMPUTE: i32 = 4;
const SEND: i32 = 5;
const RECEIVE: i32 = 6;
const COLLECTIVE: i32 = 7;

/// Chakra's numbers of the collectives that can be run.
const COLLECTIVES: [(u64, Operation); 6] = [
    (0, Operation::Of(Collective::AllReduce)),
    (2, Operation::Of(Collective::AllGather)),
    (5, Operation::Broadcast),
    (6, Operation::Of(Collective::AllToAll)),
    (7, Operation::Of(Collective::ReduceScatter)),
    (9, Operation::Barrier),
];

/// Reads one file a rank, in order of rank, and the groups that `pg_name` refers to.
pub fn read(
    files: &[(&str, &[u8])],
    groups: BTreeMap<String, Vec<u64>>,
) -> Result<TraceProgram, Diagnostics> {
    let mut program = TraceProgram { ranks: files.len() as u64, traces: Vec::new(), groups };
    let mut problems = Diagnostics::default();
    // Where each distinct text was first seen.
    let mut known: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (rank, &(file, bytes)) in files.iter().enumerate() {
        if let Some(&trace) = known.get(bytes) {
            program.traces[trace].ranks.push(rank as u64);
            continue;
        }
        match read_file(file, bytes, &program) {
            Ok(nodes) => {
                let talks = |n: &Node| matches!(n.work, Work::Send { .. } | Work::Receive { .. });
                if !nodes.iter().any(talks) {
                    known.insert(bytes, program.traces.len());
                }
                let ranks = vec![rank as u64];
                program.traces.push(RankTrace { file: file.to_owned(), ranks, nodes });
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems.into_result(())?;
    program.check()?;
    Ok(program)
}

/// One message after its length, and where the next begins.
fn message<M: Message + Default>(
    file: &str,
    bytes: &[u8],
    at: usize,
) -> Result<(M, usize), Diagnostic> {
    let fault = |text: String| {
        let place = at.min(bytes.len())..bytes.len().min(at + 1);
        Diagnostic::error("trace::chakra", format!("{text}, at byte {at}")).at(file, place)
    };
    let mut rest = &bytes[at..];
    let length = prost::decode_length_delimiter(&mut rest)
        .map_err(|_| fault("the length of a message is cut off or too large".to_owned()))?;
    if length > rest.remaining() {
        let text = format!("a message of {length} bytes where {} are left", rest.remaining());
        return Err(fault(text).hint("the file is cut off, or is not a Chakra trace"));
    }
    let start = bytes.len() - rest.remaining();
    let message = M::decode(&rest[..length]).map_err(|e| fault(format!("not a message: {e}")))?;
    Ok((message, start + length))
}

fn read_file(file: &str, bytes: &[u8], program: &TraceProgram) -> Result<Vec<Node>, Diagnostic> {
    if bytes.is_empty() {
        return Err(Diagnostic::error("trace::chakra", "an empty file").at(file, 0..0));
    }
    let (_, mut at) = message::<GlobalMetadata>(file, bytes, 0)?;
    let mut nodes = Vec::new();
    while at < bytes.len() {
        let (raw, next) = message::<messages::Node>(file, bytes, at)?;
        nodes.push(node(&raw, program).map_err(|text| {
            let name = shortened(&raw.name);
            let text = format!("node `{}` ({name}), at byte {at}: {text}", raw.id);
            Diagnostic::error("trace::chakra", text).at(file, at..at + 1)
        })?);
        at = next;
    }
    nodes.sort_by_key(|n: &Node| n.id);
    Ok(nodes)
}

fn attribute<'a>(raw: &'a messages::Node, name: &str) -> Option<&'a Value> {
    raw.attr.iter().find(|a| a.name == name).and_then(|a| a.value.as_ref())
}

/// A count by name; whatever integer type it was written in.
fn count(raw: &messages::Node, name: &str) -> Result<Option<u64>, String> {
    let Some(value) = attribute(raw, name) else { return Ok(None) };
    let signed = |v: i64| u64::try_from(v).map_err(|_| format!("`{name}` is {v}, below zero"));
    Ok(Some(match value {
        Value::Int32(v) | Value::Sint32(v) | Value::Sfixed32(v) => signed(i64::from(*v))?,
        Value::Int64(v) | Value::Sint64(v) | Value::Sfixed64(v) => signed(*v)?,
        Value::Uint32(v) | Value::Fixed32(v) => u64::from(*v),
        Value::Uint64(v) | Value::Fixed64(v) => *v,
        _ => return Err(format!("`{name}` is not a whole number")),
    }))
}

fn needed(raw: &messages::Node, name: &str) -> Result<u64, String> {
    count(raw, name)?.ok_or_else(|| format!("attribute `{name}` is missing"))
}

fn node(raw: &messages::Node, program: &TraceProgram) -> Result<Node, String> {
    let work = match raw.r#type {
        METADATA => Work::Nothing,
        MEMORY_LOAD | MEMORY_STORE | COMPUTE => {
            // ASTRA-sim's feeder takes a node without the attribute as one of the host.
            let host = match attribute(raw, "is_cpu_op") {
                Some(Value::Bool(host)) => *host,
                Some(_) => return Err("`is_cpu_op` is not a truth value".to_owned()),
                None => raw.r#type == COMPUTE,
            };
            let micros = raw.duration_micros;
            let recorded = micros.checked_mul(1_000_000).ok_or("its duration is absurd")?;
            Work::Compute {
                host,
                duration_ps: (micros > 0).then_some(recorded),
                flop: count(raw, "num_ops")?.unwrap_or(0),
                bytes: count(raw, "tensor_size")?.unwrap_or(0),
            }
        }
        SEND | RECEIVE => {
            let tag = count(raw, "comm_tag")?.unwrap_or(0);
            let bytes = needed(raw, "comm_size")?;
            if raw.r#type == SEND {
                Work::Send { peer: needed(raw, "comm_dst")?, tag, bytes }
            } else {
                Work::Receive { peer: needed(raw, "comm_src")?, tag, bytes }
            }
        }
        COLLECTIVE => collective(raw, program)?,
        other => return Err(format!("nodes of type {other} cannot be run")),
    };
    let mut after = [raw.ctrl_deps.as_slice(), raw.data_deps.as_slice()].concat();
    after.sort_unstable();
    after.dedup();
    Ok(Node { id: raw.id, name: raw.name.clone(), work, after })
}

fn collective(raw: &messages::Node, program: &TraceProgram) -> Result<Work, String> {
    let number = needed(raw, "comm_type")?;
    let operation = COLLECTIVES.iter().find(|(n, _)| *n == number).map(|(_, o)| *o);
    let operation = operation.ok_or_else(|| {
        format!(
            "collective {number} cannot be run: 0 all-reduce, 2 all-gather, 5 broadcast, \
                 6 all-to-all, 7 reduce-scatter, 9 barrier can"
        )
    })?;
    let group = match attribute(raw, "pg_name") {
        Some(Value::Text(name)) if !name.is_empty() => Some(name.clone()),
        Some(Value::Text(_)) | None => None,
        Some(_) => return Err("`pg_name` is not a text".to_owned()),
    };
    if let (None, Some(Value::Bools(dims))) = (&group, attribute(raw, "involved_dim"))
        && dims.values.contains(&false)
    {
        return Err("`involved_dim` leaves out a dimension: give the group by `pg_name`".to_owned());
    }
    let size = if operation == Operation::Barrier { 0 } else { needed(raw, "comm_size")? };
    let bytes = if operation == Operation::Of(Collective::AllGather) {
        let members = match &group {
            None => program.ranks,
            Some(name) => program.groups.get(name).map_or(1, |m| m.len() as u64),
        };
        size.checked_mul(members).ok_or("its `comm_size` is absurd")?
    } else {
        size
    };
    Ok(Work::Collective { operation, bytes, group })
}

/// The files of a program, one a rank, in order of rank.
///
/// Durations are written in whole microseconds, as the format has them, rounded up.
pub fn write(program: &TraceProgram) -> Vec<Vec<u8>> {
    let mut files = vec![Vec::new(); program.ranks as usize];
    for trace in &program.traces {
        let mut out =
            GlobalMetadata { version: "0.0.4".to_owned() }.encode_length_delimited_to_vec();
        for node in &trace.nodes {
            out.extend(raw(node, program).encode_length_delimited_to_vec());
        }
        for &rank in &trace.ranks {
            if let Some(file) = files.get_mut(rank as usize) {
                file.clone_from(&out);
            }
        }
    }
    files
}

fn raw(node: &Node, program: &TraceProgram) -> messages::Node {
    let number = |v: u64| Value::Int64(i64::try_from(v).unwrap_or(i64::MAX));
    let named = |name: &str, value| Attribute { name: name.to_owned(), value: Some(value) };
    let mut out = messages::Node {
        id: node.id,
        name: node.name.clone(),
        data_deps: node.after.clone(),
        ..messages::Node::default()
    };
    let message = |out: &mut messages::Node, end: &str, peer, tag, bytes| {
        out.attr = vec![
            named("is_cpu_op", Value::Bool(false)),
            named(end, number(peer)),
            named("comm_tag", number(tag)),
            named("comm_size", number(bytes)),
        ];
    };
    match &node.work {
        Work::Nothing => out.r#type = METADATA,
        Work::Compute { host, duration_ps, flop, bytes } => {
            out.r#type = COMPUTE;
            out.duration_micros = duration_ps.map_or(0, |ps| ps.div_ceil(1_000_000));
            out.attr = vec![
                named("is_cpu_op", Value::Bool(*host)),
                named("num_ops", number(*flop)),
                named("tensor_size", number(*bytes)),
            ];
        }
        Work::Collective { operation, bytes, group } => {
            let kind = COLLECTIVES.iter().find(|(_, o)| o == operation).map_or(0, |(n, _)| *n);
            let members = program.members(group.as_deref()).map_or(1, |m| m.len().max(1)) as u64;
            let gather = *operation == Operation::Of(Collective::AllGather);
            let size = if gather { bytes / members } else { *bytes };
            out.r#type = COLLECTIVE;
            out.attr = vec![
                named("is_cpu_op", Value::Bool(false)),
                named("comm_type", number(kind)),
                named("comm_size", number(size)),
            ];
            let name = group.iter().map(|g| named("pg_name", Value::Text(g.clone())));
            out.attr.extend(name);
        }
        Work::Send { peer, tag, bytes } => {
            out.r#type = SEND;
            message(&mut out, "comm_dst", *peer, *tag, *bytes);
        }
        Work::Receive { peer, tag, bytes } => {
            out.r#type = RECEIVE;
            message(&mut out, "comm_src", *peer, *tag, *bytes);
        }
    }
    out
}

/// Groups of a JSON object `{"name": [ranks]}`, as ASTRA-sim's communicator groups are written.
pub fn groups(file: &str, text: &str) -> Result<BTreeMap<String, Vec<u64>>, Diagnostic> {
    let mut groups: BTreeMap<String, Vec<u64>> = serde_json::from_str(text).map_err(|e| {
        let text = format!("groups are not an object of lists of ranks: {e}");
        Diagnostic::error("trace::groups", text).at(file, 0..0)
    })?;
    for members in groups.values_mut() {
        members.sort_unstable();
    }
    Ok(groups)
}

/// The object that [`groups`] reads, a group a line.
pub fn write_groups(groups: &BTreeMap<String, Vec<u64>>) -> String {
    let line = |(name, members): (&String, &Vec<u64>)| {
        format!("  {}: {}", serde_json::json!(name), serde_json::json!(members))
    };
    format!("{{\n{}\n}}\n", groups.iter().map(line).collect::<Vec<_>>().join(",\n"))
}
