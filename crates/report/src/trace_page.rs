//! A captured program that was run: text, JSON (`supernode.trace-run/1`) and page.

use crate::flow_page::gantt;
use crate::json::Stamp;
use crate::page::{Fact, Page, Table, data, text};
use crate::table::{aligned, row};
use diagnostic::counted;
use engine::{ClassTimeline, Lane, Timeline};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use units::format_seconds;

/// Most classes listed one by one in text and page.
const LISTED: usize = 32;

fn seconds(picoseconds: u64) -> f64 {
    picoseconds as f64 * 1e-12
}

/// Time that the lanes of a class are busy, and time during which communication has no compute of the
/// chip beside it. Picoseconds.
fn busy(class: &ClassTimeline) -> (BTreeMap<&'static str, u64>, u64) {
    let mut lanes = BTreeMap::new();
    for span in &class.spans {
        *lanes.entry(span.lane.word()).or_insert(0) += span.duration_ps();
    }
    // Sweep over begins and ends: +1 and -1 of compute and of communication.
    let mut edges: Vec<(u64, i64, i64)> = Vec::new();
    for span in class.spans.iter().filter(|s| s.lane != Lane::Comm("host")) {
        let (compute, other) = if span.lane == Lane::Compute { (1, 0) } else { (0, 1) };
        edges.push((span.start_ps, compute, other));
        edges.push((span.end_ps, -compute, -other));
    }
    edges.sort_unstable();
    let (mut exposed, mut last, mut computing, mut talking) = (0, 0, 0, 0);
    for (at, compute, other) in edges {
        if computing == 0 && talking > 0 {
            exposed += at - last;
        }
        (last, computing, talking) = (at, computing + compute, talking + other);
    }
    (lanes, exposed)
}

/// The run as JSON.
pub fn trace_json(stamp: &Stamp, source: &str, network: &str, timeline: &Timeline) -> Value {
    let classes: Vec<Value> = timeline
        .classes
        .iter()
        .map(|class| {
            let (lanes, exposed) = busy(class);
            let lanes: serde_json::Map<String, Value> =
                lanes.into_iter().map(|(l, ps)| (format!("{l}_s"), seconds(ps).into())).collect();
            let end = class.spans.iter().map(|s| s.end_ps).max().unwrap_or(0);
            json!({
                "label": class.label, "ranks": class.ranks, "end_s": seconds(end),
                "busy": lanes, "exposed_communication_s": seconds(exposed),
            })
        })
        .collect();
    stamp.on(json!({
        "source": source,
        "network": network,
        "ranks": timeline.classes.iter().map(|c| c.ranks).sum::<u64>(),
        "step_s": seconds(timeline.step_ps),
        "messages": timeline.messages.len(),
        "classes": classes,
    }))
}

/// The run as text.
pub fn trace_text(source: &str, network: &str, timeline: &Timeline) -> String {
    let ranks: u64 = timeline.classes.iter().map(|c| c.ranks).sum();
    let mut rows = vec![row(["ranks", "end", "compute", "communication", "exposed"])];
    for class in timeline.classes.iter().take(LISTED) {
        let (lanes, exposed) = busy(class);
        let of = |word: &str| lanes.get(word).copied().unwrap_or(0);
        let end = class.spans.iter().map(|s| s.end_ps).max().unwrap_or(0);
        let times = [end, of("compute"), of("collectives") + of("send"), exposed];
        let mut cells = vec![class.label.clone()];
        cells.extend(times.iter().map(|ps| format_seconds(seconds(*ps))));
        rows.push(cells);
    }
    let more = timeline.classes.len().saturating_sub(LISTED);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    format!(
        "{source}\n  {} in {} on {network}\n\n  {} from begin to end\n\n{}{more}",
        counted(ranks, "rank"),
        match timeline.classes.len() {
            1 => "1 class".to_owned(),
            classes => format!("{classes} classes"),
        },
        format_seconds(seconds(timeline.step_ps)),
        aligned(&rows, 1)
    )
}

/// The run as a page; `json` as [`trace_json`] gives it.
pub fn trace_page(json: &Value, source: &str, network: &str, timeline: &Timeline) -> String {
    let ranks: u64 = timeline.classes.iter().map(|c| c.ranks).sum();
    let mut page = Page::new(source, &format!("{} on {network}", counted(ranks, "rank")));
    let step = seconds(timeline.step_ps);
    page.facts(&[Fact::new("from begin to end", data(step, &format_seconds(step)), "")]);
    page.section("What ran when");
    let picture = gantt(timeline, (0, timeline.step_ps.max(1)), true);
    page.figure(
        &picture.draw(),
        "Lanes of each class of ranks; a class is ranks that do the same.",
    );
    page.section("Where the time goes");
    let head = ["ranks", "compute", "collectives", "send", "exposed"].map(str::to_owned).to_vec();
    let mut table = Table { head, left: 1, ..Table::default() };
    for class in timeline.classes.iter().take(LISTED) {
        let (lanes, exposed) = busy(class);
        let mut cells = vec![text(&class.label)];
        let shown = ["compute", "collectives", "send"];
        let times = shown.map(|w| lanes.get(w).copied().unwrap_or(0));
        for ps in times.into_iter().chain([exposed]) {
            let value = seconds(ps);
            let shown = format_seconds(value);
            cells.push(if ps == 0 { text("0") } else { data(value, &shown) });
        }
        table.rows.push(cells);
    }
    page.table(&table);
    page.finish(json)
}
