//! The event engine's answer as pictures: what ran when, memory over time, the links.

use crate::page::pictures::loads;
use crate::page::{
    Chart, Heat, IDLE, Mark, Page, Row, Rows, Scale, Series, Shape, Table, data, text,
};
use crate::rehearse_page::gib_tick;
use engine::{ClassTimeline, FlowAnswer, Lane, SpanKind, Timeline};
use units::{GIB, format_seconds};

/// Most lanes drawn; a longer pipeline shows every so-manieth class.
const MOST_CLASSES: usize = 32;
/// A span narrower than this share of the picture is joined with its neighbours.
const NARROWEST: f64 = 1.0 / 1600.0;

/// Adds the event engine's sections.
pub(crate) fn sections(page: &mut Page, flow: &FlowAnswer) {
    page.section("The step as events");
    let seconds = |v: f64| data(v, &format_seconds(v));
    let mut table = Table { left: 1, ..Table::default() };
    table.rows.push(vec![text("step by events"), seconds(flow.step_s)]);
    table.rows.push(vec![text("step by the closed form"), seconds(flow.estimate_s)]);
    // A billionth of a second is rounding.
    for gap in flow.gaps.iter().filter(|g| g.seconds.abs() >= 1e-9) {
        table.rows.push(vec![text(gap.cause), seconds(gap.seconds)]);
    }
    page.table(&table);
    let timeline = &flow.timeline;
    if timeline.classes.iter().any(|c| !c.spans.is_empty()) {
        gantt_figures(page, timeline);
        memory(page, timeline);
    }
    links(page, flow);
}

fn gantt_figures(page: &mut Page, timeline: &Timeline) {
    let whole = gantt(timeline, (0, timeline.step_ps), false);
    page.figure(
        &whole.draw(),
        "One optimizer step: each lane is the compute of one pipeline rank.",
    );
    if let Some(window) = detail(timeline) {
        let close = gantt(timeline, window, true);
        page.figure(
            &close.draw(),
            "A few micro-batches in the middle of the step, with each rank's communication.",
        );
    }
}

/// A stretch in the middle that holds about eight of the longest passes.
fn detail(timeline: &Timeline) -> Option<(u64, u64)> {
    let spans = timeline.classes.iter().flat_map(|c| &c.spans);
    let passes = spans.filter(|s| s.lane == Lane::Compute && s.micro_batch.is_some());
    let longest = passes.map(|s| s.end_ps - s.start_ps).max()?;
    let width = longest.saturating_mul(8);
    if width.saturating_mul(2) > timeline.step_ps {
        return None;
    }
    let from = timeline.step_ps / 2 - width / 2;
    Some((from, from + width))
}

const COLOURS: [(SpanKind, usize); 9] = [
    (SpanKind::Forward, 0),
    (SpanKind::Backward, 2),
    (SpanKind::BackwardInput, 9),
    (SpanKind::Weight, 8),
    (SpanKind::Pair, 4),
    (SpanKind::Exchange, 1),
    (SpanKind::Send, 6),
    (SpanKind::StepExchange, 3),
    (SpanKind::Optimizer, 5),
];

fn colour(kind: SpanKind) -> usize {
    COLOURS.iter().find(|(k, _)| *k == kind).map_or(7, |(_, c)| *c)
}

/// The spans of a stretch of time by class and lane; with `lanes`, communication too.
///
/// Neighbours of one kind that are too narrow to be seen apart are drawn as one.
pub(crate) fn gantt(timeline: &Timeline, (from, to): (u64, u64), lanes: bool) -> Rows {
    let scale = Scale::linear(from as f64 * 1e-12, to as f64 * 1e-12);
    let mut rows = Rows::new("what each pipeline rank runs over time", scale);
    rows.tick = Some(|v| format_seconds((v * 1e6).round() / 1e6));
    rows.wide = true;
    rows.height_px = if timeline.classes.len() > 16 { 14 } else { 18 };
    let most = if lanes { MOST_CLASSES / 4 } else { MOST_CLASSES };
    let every = timeline.classes.len().div_ceil(most).max(1);
    let mut kinds = Vec::new();
    for class in timeline.classes.iter().step_by(every) {
        let within = class.spans.iter().filter(|s| s.end_ps > from && s.start_ps < to);
        let mut shown: Vec<Lane> = within.map(|s| s.lane).collect();
        shown.sort_unstable();
        shown.dedup();
        let mut first = true;
        for lane in shown.into_iter().filter(|l| lanes || *l == Lane::Compute) {
            let name = if lanes { lane.word() } else { class.label.as_str() };
            let mut row = Row::new(name, "").bar(from as f64 * 1e-12, to as f64 * 1e-12, IDLE);
            if lanes && first {
                row.group = Some(class.label.clone());
                first = false;
            }
            row.marks.extend(bars(class, lane, (from, to), &mut kinds));
            rows.rows.push(row);
        }
    }
    kinds.sort_unstable();
    rows.legend = kinds.iter().map(|k| (colour(*k), k.word().to_owned())).collect();
    rows.legend.push((IDLE, "waiting".to_owned()));
    rows
}

fn bars(
    class: &ClassTimeline,
    lane: Lane,
    (from, to): (u64, u64),
    kinds: &mut Vec<SpanKind>,
) -> Vec<Mark> {
    let narrow = ((to - from) as f64 * NARROWEST) as u64;
    let mut marks = Vec::new();
    // Begin, end and kind of the bar under construction, the spans in it, and its words.
    let mut open: Option<(u64, u64, SpanKind, u64, String, String)> = None;
    let mut close = |bar: Option<(u64, u64, SpanKind, u64, String, String)>| {
        let Some((start, end, kind, count, title, inside)) = bar else { return };
        let several = format!("{count} x {}", kind.word());
        marks.push(Mark::Bar {
            from: start as f64 * 1e-12,
            to: end as f64 * 1e-12,
            colour: colour(kind),
            title: if count > 1 { several } else { title },
            inside: if count > 1 { String::new() } else { inside },
        });
    };
    let within = |s: &&engine::Span| s.lane == lane && s.end_ps > from && s.start_ps < to;
    for span in class.spans.iter().filter(within) {
        let (start, end) = (span.start_ps.max(from), span.end_ps.min(to));
        if !kinds.contains(&span.kind) {
            kinds.push(span.kind);
        }
        if let Some((_, last, kind, count, _, _)) = &mut open
            && *kind == span.kind
            && end - start < narrow
            && start.saturating_sub(*last) < narrow
        {
            *last = end;
            *count += 1;
            continue;
        }
        let duration = format_seconds(span.duration_ps() as f64 * 1e-12);
        let inside = span.micro_batch.map_or_else(String::new, |m| m.to_string());
        let next = (start, end, span.kind, 1, format!("{}, {duration}", span.name), inside);
        close(open.replace(next));
    }
    close(open);
    marks
}

/// Memory in use over the step, of the fullest class and of its neighbours at the pipeline's ends.
fn memory(page: &mut Page, timeline: &Timeline) {
    let peak = |c: &ClassTimeline| c.memory.iter().map(|m| m.1).fold(0.0, f64::max);
    let held: Vec<&ClassTimeline> =
        timeline.classes.iter().filter(|c| !c.memory.is_empty()).collect();
    let Some(fullest) = held.iter().copied().max_by(|a, b| peak(a).total_cmp(&peak(b))) else {
        return;
    };
    let mut shown = vec![fullest];
    for end in [held[0], held[held.len() - 1]] {
        if shown.iter().all(|c| c.pipeline_rank != end.pipeline_rank) {
            shown.push(end);
        }
    }
    let series: Vec<Series> = shown
        .iter()
        .enumerate()
        .map(|(colour, class)| {
            let mut points: Vec<(f64, f64)> =
                class.memory.iter().map(|&(at, bytes)| (at as f64 * 1e-12, bytes / GIB)).collect();
            points.extend(points.last().map(|m| (timeline.step_ps as f64 * 1e-12, m.1)));
            Series::new(&class.label, colour, Shape::Steps, &points)
        })
        .collect();
    let chart = Chart {
        label: "memory in use over the step".to_owned(),
        x: Scale::linear(0.0, timeline.step_ps as f64 * 1e-12),
        y: Scale::linear(0.0, 1.05 * peak(fullest) / GIB),
        x_tick: (format_seconds, "time in the step".to_owned()),
        y_tick: (gib_tick, "memory in use".to_owned()),
        series,
        limits: Vec::new(),
        height_px: 220,
    };
    page.figure(&chart.draw(), "Memory in use of one chip of the fullest rank and of the ends.");
}

/// How many columns of time the link picture has.
const COLUMNS: usize = 120;

fn links(page: &mut Page, flow: &FlowAnswer) {
    if flow.busiest.is_empty() {
        return;
    }
    page.heading("The busiest ports");
    let items: Vec<(String, f64, String)> = flow
        .busiest
        .iter()
        .take(12)
        .map(|l| {
            let share = 100.0 * l.utilisation;
            (l.name.clone(), l.utilisation, format!("{share:.0} %, {:.1} GB", l.bytes / 1e9))
        })
        .collect();
    page.figure(
        &loads("share of each port's capacity used over the step", &items).draw(),
        "What was carried over the step, of what the port could have carried.",
    );
    let timeline = &flow.timeline;
    let lines: Vec<_> = flow
        .busiest
        .iter()
        .filter_map(|l| timeline.links.iter().find(|load| load.name == l.name))
        .take(12)
        .map(|load| (load.name.clone(), shares(load, timeline.step_ps)))
        .collect();
    if lines.iter().any(|(_, cells)| cells.iter().any(Option::is_some)) {
        let heat = Heat {
            label: "load of the busiest ports over the step".to_owned(),
            lines,
            full: "at capacity".to_owned(),
            ends: ("0 s".to_owned(), format_seconds(timeline.step_ps as f64 * 1e-12)),
        };
        page.figure(&heat.draw(), "Load over time; at the right, the fullest moment drawn.");
    }
}

/// Mean load in each column of time, as a share of capacity.
fn shares(load: &engine::LinkLoad, step_ps: u64) -> Vec<Option<f64>> {
    let width = (step_ps as f64 / COLUMNS as f64).max(1.0);
    let mut bytes = vec![0.0; COLUMNS];
    for (k, &(from, rate)) in load.samples.iter().enumerate() {
        let to = load.samples.get(k + 1).map_or(step_ps, |next| next.0);
        let (mut at, end) = (from as f64, to as f64);
        while at < end && rate > 0.0 {
            let column = ((at / width) as usize).min(COLUMNS - 1);
            let until =
                if column + 1 == COLUMNS { end } else { end.min(width * (column + 1) as f64) };
            if until <= at {
                break;
            }
            bytes[column] += rate * (until - at);
            at = until;
        }
    }
    let most = load.capacity_bytes_per_s * width;
    bytes.into_iter().map(|b| (most > 0.0).then_some(b / most)).collect()
}
