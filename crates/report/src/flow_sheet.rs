//! What the event engine adds to a rehearsal: text and JSON.

use crate::json::{Stamp, rehearse_json};
use crate::sheet::sheet;
use crate::table::{aligned, row};
use engine::{ClassTimeline, FlowAnswer, Lane, Rehearsal, SpanKind, Timeline};
use ledger::{Row, summarize};
use scenario::Scenario;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use units::{Unit, format_quantity, format_seconds};

/// Columns of a class's picture.
const COLUMNS: u64 = 64;
/// Most classes drawn as text.
const MOST_CLASSES: usize = 24;

/// The sheet of a rehearsed scenario with the events of its main stage.
pub fn flow_sheet(scenario: &Scenario, rehearsal: &Rehearsal, flow: &FlowAnswer) -> String {
    sheet(scenario, rehearsal) + &flow_text(flow)
}

/// The events alone.
pub fn flow_text(flow: &FlowAnswer) -> String {
    let mut out = String::from("\nThe step by events\n");
    let mut rows = vec![vec!["estimate".to_owned(), format_seconds(flow.estimate_s)]];
    for gap in flow.gaps.iter().filter(|g| g.seconds.abs() > 5e-5 * flow.step_s) {
        let sign = if gap.seconds < 0.0 { "-" } else { "+" };
        let seconds = format_seconds(gap.seconds.abs());
        rows.push(vec![format!("  {}", gap.cause), format!("{sign}{seconds}")]);
    }
    rows.push(vec!["flow".to_owned(), format_seconds(flow.step_s)]);
    out.push_str(&aligned(&rows, 1));
    let unfolded = if flow.unfolded_classes == 0 {
        String::new()
    } else {
        format!(", {} of them unfolded", flow.unfolded_classes)
    };
    let _ = writeln!(out, "  {} classes of ranks{unfolded}, {} events", flow.classes, flow.events);
    if !flow.disturbed.is_empty() {
        let _ = writeln!(out, "  with {}", flow.disturbed.join(", "));
    }
    out.push_str(&classes(&flow.timeline));
    out.push_str(&traffic(flow));
    out.push_str(&ports(flow));
    out
}

/// One line a class: what its compute lane did in each slot of the step.
fn classes(timeline: &Timeline) -> String {
    if timeline.classes.is_empty() {
        return String::new();
    }
    let mut rows = Vec::new();
    let step = timeline.classes.len().div_ceil(MOST_CLASSES);
    for class in timeline.classes.iter().step_by(step) {
        let most = class.memory.iter().map(|m| m.1).fold(0.0, f64::max);
        let memory = if most > 0.0 { format_quantity(most, Unit::Byte) } else { String::new() };
        rows.push(vec![
            class.label.clone(),
            class.ranks.to_string(),
            picture(class, timeline.step_ps),
            memory,
        ]);
    }
    let mut out =
        format!("\nWhat each class of ranks did, and its peak memory\n{}", aligned(&rows, 1));
    out.push_str("  F forward  B backward  b input gradients  w weight gradients  X both ways\n");
    out.push_str("  G exchange of gradients or parameters  O optimizer  . waiting\n");
    out
}

/// The kind that fills most of each slot.
fn picture(class: &ClassTimeline, step_ps: u64) -> String {
    let width = step_ps.div_ceil(COLUMNS).max(1);
    let mut slots = vec![[0_u64; SIGNS.len()]; COLUMNS as usize];
    for span in &class.spans {
        let wanted = span.lane == Lane::Compute || span.kind == SpanKind::StepExchange;
        let Some(sign) = SIGNS.iter().position(|(kind, _)| *kind == span.kind).filter(|_| wanted)
        else {
            continue;
        };
        let mut at = span.start_ps;
        while at < span.end_ps {
            let slot = at / width;
            let end = ((slot + 1) * width).min(span.end_ps);
            slots[(slot as usize).min(COLUMNS as usize - 1)][sign] += end - at;
            at = end;
        }
    }
    let sign = |slot: &[u64; SIGNS.len()]| {
        let compute: u64 = slot[..EXCHANGE].iter().chain(&slot[EXCHANGE + 1..]).sum();
        let most =
            (0..SIGNS.len()).filter(|&i| i != EXCHANGE).max_by_key(|&i| (slot[i], SIGNS.len() - i));
        match most {
            Some(i) if 4 * slot[i] > width || compute * 2 > width => SIGNS[i].1,
            _ if 2 * slot[EXCHANGE] > width => SIGNS[EXCHANGE].1,
            _ => '.',
        }
    };
    slots.iter().map(sign).collect()
}

/// Place of the exchanges in [`SIGNS`].
const EXCHANGE: usize = 6;

const SIGNS: [(SpanKind, char); 7] = [
    (SpanKind::Forward, 'F'),
    (SpanKind::Backward, 'B'),
    (SpanKind::BackwardInput, 'b'),
    (SpanKind::Weight, 'w'),
    (SpanKind::Pair, 'X'),
    (SpanKind::Optimizer, 'O'),
    (SpanKind::StepExchange, 'G'),
];

/// Exposed and hidden communication of the class that ended last.
fn traffic(flow: &FlowAnswer) -> String {
    let exposed = |axis: &str| {
        let word = format!("{axis} exposed");
        flow.parts.iter().find(|p| p.kind.word() == word).map_or(0.0, |p| p.seconds)
    };
    let mut rows = vec![row(["communication", "exposed", "beside compute"])];
    for hidden in &flow.hidden {
        let shown = exposed(hidden.axis);
        if shown + hidden.seconds > 0.0 {
            let (a, b) = (format_seconds(shown), format_seconds(hidden.seconds));
            rows.push(vec![hidden.axis.to_owned(), a, b]);
        }
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", aligned(&rows, 1)) }
}

fn ports(flow: &FlowAnswer) -> String {
    let mut rows = vec![row(["busiest ports", "bytes", "of capacity", "in use"])];
    for link in &flow.busiest {
        rows.push(vec![
            link.name.clone(),
            format_quantity(link.bytes, Unit::Byte),
            format!("{:.1} %", 100.0 * link.utilisation),
            format!("{:.1} %", 100.0 * link.busy),
        ]);
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", aligned(&rows, 1)) }
}

/// A rehearsal by events, schema `supernode.rehearse/1` with a `flow` object in every stage.
pub fn flow_json(
    stamp: &Stamp,
    scenario: &Scenario,
    rehearsal: &Rehearsal,
    answers: &[FlowAnswer],
) -> Value {
    let mut value = rehearse_json(stamp, scenario, rehearsal);
    value["engine"] = "flow".into();
    for (at, answer) in answers.iter().enumerate() {
        value["stages"][at]["flow"] = flow_object(answer);
    }
    value
}

/// A program run on its own, schema `supernode.flow/1`.
pub fn program_json(stamp: &Stamp, flow: &FlowAnswer) -> Value {
    stamp.on(flow_object(flow))
}

fn flow_object(flow: &FlowAnswer) -> Value {
    let gaps: Vec<Value> =
        flow.gaps.iter().map(|g| json!({ "cause": g.cause, "seconds_s": g.seconds })).collect();
    let links: Vec<Value> = flow
        .busiest
        .iter()
        .map(|l| {
            json!({
                "name": l.name, "sent_bytes": l.bytes,
                "utilisation_ratio": l.utilisation, "busy_ratio": l.busy,
            })
        })
        .collect();
    let classes: Vec<Value> = flow
        .timeline
        .classes
        .iter()
        .map(|c| {
            json!({
                "label": c.label, "pipeline_rank": c.pipeline_rank, "ranks": c.ranks,
                "picture": picture(c, flow.timeline.step_ps),
                "peak_bytes": c.memory.iter().map(|m| m.1).fold(0.0, f64::max),
            })
        })
        .collect();
    json!({
        "step_s": flow.step_s, "estimate_step_s": flow.estimate_s, "gap": gaps,
        "busiest_ports": links, "classes": classes, "class_count": flow.classes,
        "unfolded_class_count": flow.unfolded_classes, "events": flow.events,
        "disturbed": flow.disturbed,
    })
}

/// Rows on which the two engines differ by more than 3 %, with the cause, and the same by cause; both
/// engines' mean error. Empty for the closed form.
pub fn engine_gaps_text(rows: &[Row]) -> String {
    let ran: Vec<_> = rows.iter().filter_map(|r| r.gap.as_ref().map(|g| (r, g))).collect();
    if ran.is_empty() {
        return String::new();
    }
    let far: Vec<_> = ran.iter().filter(|(_, (gap, _))| gap.abs() > 0.03).collect();
    let mut table = vec![row(["row", "flow over estimate", "mostly because"])];
    let mut by_cause: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (row, (gap, causes)) in &far {
        // Of the causes that pull the way the gap goes, the largest.
        let along = causes.iter().filter(|c| (c.seconds > 0.0) == (*gap > 0.0));
        let along = along.max_by(|a, b| a.seconds.abs().total_cmp(&b.seconds.abs()));
        let cause = along.map_or("many small ones", |c| c.cause);
        by_cause.entry(cause).or_default().push(*gap);
        table.push(vec![row.row_id.clone(), percent(*gap), cause.to_owned()]);
    }
    let mut causes = vec![row(["mostly because", "rows", "flow over estimate"])];
    for (cause, gaps) in by_cause {
        let least = gaps.iter().copied().fold(f64::INFINITY, f64::min);
        let most = gaps.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = format!("{} to {}", percent(least), percent(most));
        causes.push(vec![cause.to_owned(), gaps.len().to_string(), range]);
    }
    let tables = if far.is_empty() {
        String::new()
    } else {
        format!("{}\n{}", aligned(&table, 1), aligned(&causes, 1))
    };
    let by_estimate: Vec<Row> = rows.iter().map(as_estimated).collect();
    let mean = |rows: &[Row]| 100.0 * summarize(rows).over_families.0;
    format!(
        "\nBoth engines on {} rows: {} differ by more than 3 %\n{tables}\nMean error over families: \
         {:.2} % by flow, {:.2} % by estimate\n",
        ran.len(),
        far.len(),
        mean(rows),
        mean(&by_estimate),
    )
}

/// A row as the closed form predicts it.
fn as_estimated(row: &Row) -> Row {
    let gap = row.gap.as_ref().map_or(0.0, |g| g.0);
    let signed_error = row.signed_error.map(|e| (1.0 + e) / (1.0 + gap) - 1.0);
    Row { signed_error, ..row.clone() }
}

fn percent(gap: f64) -> String {
    format!("{:+.1} %", 100.0 * gap)
}
