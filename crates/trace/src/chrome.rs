//! A timeline as Chrome's trace events in JSON, which many viewers read. Perfetto's own format is
//! smaller; use this below about 100 MB.

use engine::Timeline;
use serde_json::{Value, json};

/// Microseconds, as the format counts.
fn microseconds(picoseconds: u64) -> f64 {
    picoseconds as f64 / 1e6
}

/// The timeline as a JSON object of `traceEvents`: a process a class of ranks, a thread a lane.
pub fn write(timeline: &Timeline) -> Value {
    let mut events = Vec::new();
    for (index, class) in timeline.classes.iter().enumerate() {
        let pid = index + 1;
        events.push(meta(pid, 0, "process_name", json!({ "name": class.label })));
        events.push(meta(pid, 0, "process_sort_index", json!({ "sort_index": index })));
        let mut lanes: Vec<engine::Lane> = class.spans.iter().map(|s| s.lane).collect();
        lanes.sort_unstable();
        lanes.dedup();
        for (tid, lane) in lanes.iter().enumerate() {
            events.push(meta(pid, tid + 1, "thread_name", json!({ "name": lane.word() })));
        }
        for span in &class.spans {
            let tid = lanes.iter().position(|l| *l == span.lane).unwrap_or(0) + 1;
            events.push(json!({
                "ph": "X", "name": span.name, "cat": span.kind.word(), "pid": pid, "tid": tid,
                "ts": microseconds(span.start_ps), "dur": microseconds(span.duration_ps()),
                "args": {
                    "micro_batch": span.micro_batch, "chunk": span.chunk, "ranks": class.ranks,
                },
            }));
        }
        for (at, bytes) in &class.memory {
            events.push(count(pid, "memory in use", *at, *bytes));
        }
        if let Some((_, last)) = class.memory.last() {
            events.push(count(pid, "memory in use", timeline.step_ps, *last));
        }
    }
    for (flow, message) in timeline.messages.iter().enumerate() {
        let end = |phase: &str, class: usize, at: u64| {
            json!({
                "ph": phase, "name": message.name, "cat": "message", "id": flow + 1,
                "pid": class + 1, "tid": 1, "ts": microseconds(at), "bp": "e",
            })
        };
        events.push(end("s", message.from, message.sent_ps));
        events.push(end("f", message.to, message.received_ps));
    }
    let links = timeline.classes.len() + 1;
    if !timeline.links.is_empty() {
        events.push(meta(links, 0, "process_name", json!({ "name": "links" })));
    }
    for link in &timeline.links {
        let stop = (timeline.step_ps, 0.0);
        for (at, rate) in link.samples.iter().chain([&stop]) {
            events.push(count(links, &format!("{} B/s", link.name), *at, *rate));
        }
    }
    json!({ "displayTimeUnit": "ms", "traceEvents": events })
}

fn meta(pid: usize, tid: usize, name: &str, args: Value) -> Value {
    json!({ "ph": "M", "name": name, "pid": pid, "tid": tid, "args": args })
}

fn count(pid: usize, name: &str, at: u64, value: f64) -> Value {
    json!({
        "ph": "C", "name": name, "pid": pid, "ts": microseconds(at), "args": { "value": value },
    })
}
