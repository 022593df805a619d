//! A rehearsal as one HTML file: the answer, pictures, what moves it, what it rests on.

use crate::page::pictures::{Ranged, Swing, ratios, stacked, tornado};
use crate::page::{Fact, Html, Mark, Page, Row, Rows, Scale, Table, data, text};
use crate::sheet::{assumed_figures, overfull_words, phase_list, plan_line};
use diagnostic::Diagnostics;
use engine::{FlowAnswer, Interval, Rehearsal, StageAnswer};
use scenario::Scenario;
use serde_json::Value;
use units::{Figure, GIB, Unit, format_quantity, format_seconds};

/// The page of a rehearsed scenario; `json` is the same answer as [`crate::rehearse_json`] gives it,
/// and `flow` its main stage as the event engine ran it.
pub fn rehearse_page(
    json: &Value,
    scenario: &Scenario,
    rehearsal: &Rehearsal,
    flow: Option<&FlowAnswer>,
) -> String {
    let stage = &rehearsal.stages[rehearsal.main];
    let chip = &scenario.cluster.chip;
    let machine = format!("{} x {} on {}", scenario.ranks, chip.name, scenario.cluster.name);
    let mut page = Page::new(&scenario.name, &machine);
    page.facts(&answer(scenario, rehearsal, stage));
    page.say(&format!("Plan: {}.", plan_line(stage)));
    page.say(&summary(scenario, stage));
    for over in rehearsal.overfull().iter().filter(|o| o.sequence != stage.job.sequence) {
        page.say(&format!("The {}.", overfull_words(over)));
    }
    where_the_step_goes(&mut page, stage);
    if let Some(flow) = flow {
        crate::flow_page::sections(&mut page, flow);
    }
    memory(&mut page, scenario, stage);
    days(&mut page, scenario, rehearsal);
    published(&mut page, scenario, stage);
    drivers(&mut page, stage);
    assumptions(&mut page, scenario, rehearsal);
    page.finish(json)
}

/// The page of a plan that was checked; `json` as [`crate::check_json`] gives it.
pub fn check_page(json: &Value, scenario: &Scenario, rehearsal: &Rehearsal) -> String {
    let capacity = scenario.cluster.chip.memory.value;
    let fits = rehearsal.stages.iter().all(|s| s.fullest().1 <= capacity);
    let machine = format!("{} ranks on {}", scenario.ranks, scenario.cluster.name);
    let mut page = Page::new(&scenario.name, &machine);
    let verdict = if fits { "fits in memory" } else { "does not fit in memory" };
    page.facts(&[Fact::new("the plan is legal and", text(verdict), "every length stage")]);
    for stage in &rehearsal.stages {
        page.section(&format!("Stage of {} tokens", stage.job.sequence));
        page.say(&format!("Plan: {}.", plan_line(stage)));
        memory(&mut page, scenario, stage);
    }
    page.finish(json)
}

/// The page of a plan that is not legal; `json` as [`crate::illegal_json`] gives it.
pub fn illegal_page(json: &Value, name: &str, problems: &Diagnostics) -> String {
    let mut page = Page::new(name, "the plan is not legal");
    for problem in &problems.0 {
        let hint = problem.hint.as_ref().map(|hint| format!(" {hint}.")).unwrap_or_default();
        page.say(&format!("{}.{hint}", problem.message));
    }
    page.finish(json)
}

fn span(interval: &Interval, shown: impl Fn(f64) -> String) -> (Html, String) {
    let range = format!("{} .. {}", shown(interval.low), shown(interval.high));
    (data(interval.value, &shown(interval.value)), range)
}

fn answer(scenario: &Scenario, rehearsal: &Rehearsal, stage: &StageAnswer) -> Vec<Fact> {
    let fact = |name: &str, (value, range): (Html, String)| Fact::new(name, value, &range);
    let per_cent = |v: f64| format!("{:.1} %", 100.0 * v);
    let tokens = format_quantity(scenario.recipe.tokens.value, Unit::Token);
    vec![
        fact("step time", span(&stage.step_s, format_seconds)),
        fact("MFU (causal, of BF16 peak)", span(&stage.mfu, per_cent)),
        fact("tokens/s", span(&stage.tokens_per_s, |v| format!("{:.3} M", v / 1e6))),
        fact(&format!("days for {tokens}"), span(&rehearsal.days, |v| format!("{v:.1}"))),
    ]
}

/// What decides the answer, in two sentences.
fn summary(scenario: &Scenario, stage: &StageAnswer) -> String {
    let mut parts: Vec<_> = stage.estimate.parts.iter().filter(|p| p.seconds > 0.0).collect();
    parts.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let share = |seconds: f64| 100.0 * seconds / stage.estimate.step_s;
    let most: Vec<String> = parts
        .iter()
        .take(3)
        .map(|p| format!("{} ({:.0} %)", p.kind.word(), share(p.seconds)))
        .collect();
    let (rank, bytes) = stage.fullest();
    let free = (scenario.cluster.chip.memory.value - bytes) / GIB;
    let verdict = if free >= 0.0 {
        format!("The fullest chip (pipeline rank {rank}) has {free:.1} GiB free")
    } else {
        format!("It does not fit: pipeline rank {rank} is {:.1} GiB over", -free)
    };
    format!("Most of the step goes to {}. {verdict}.", most.join(", "))
}

fn seconds_tick(value: f64) -> String {
    format_seconds(value)
}

fn where_the_step_goes(page: &mut Page, stage: &StageAnswer) {
    page.section("Where the step goes");
    let parts: Vec<_> = stage.estimate.parts.iter().filter(|p| p.seconds > 0.0).collect();
    let most = parts.iter().map(|p| p.seconds).fold(0.0, f64::max);
    let mut rows = Rows::new("parts of the step", Scale::linear(0.0, most));
    rows.tick = Some(seconds_tick);
    for part in &parts {
        let colour = usize::from(!is_compute(part.kind));
        let share = 100.0 * part.seconds / stage.estimate.step_s;
        let mut row = Row::new(part.kind.word(), "").bar(0.0, part.seconds, colour);
        let shown = data(part.seconds, &format_seconds(part.seconds)).0;
        row.value = Html(format!("{shown} \u{b7} {share:.1} %"));
        rows.rows.push(row);
    }
    rows.legend = vec![(0, "computing".to_owned()), (1, "waiting".to_owned())];
    let caption = format!(
        "Pipeline rank {}, the slowest: these parts sum to its step.",
        stage.estimate.critical
    );
    page.figure(&rows.draw(), &caption);
    let bars: Vec<_> = stage
        .estimate
        .ranks
        .iter()
        .map(|r| {
            let total = r.busy_s + r.bubble_s + r.finish_s;
            let name = format!("rank {}", r.pipeline_rank);
            (name, text(&format_seconds(total)), vec![r.busy_s, r.bubble_s, r.finish_s])
        })
        .collect();
    let names =
        ["passes, with what they wait for", "waiting for other stages", "exchange, optimizer"];
    let mut rows = stacked("time of each pipeline rank", &bars, &names, seconds_tick);
    rows.height_px = 16;
    page.figure(
        &rows.draw(),
        "Every pipeline rank. A rank shorter than the step waits at its end.",
    );
    let hidden: Vec<String> = stage
        .estimate
        .hidden
        .iter()
        .filter(|h| h.seconds > 0.0)
        .map(|h| format!("{} {}", h.axis, format_seconds(h.seconds)))
        .collect();
    if !hidden.is_empty() {
        page.say(&format!("Communication hidden behind compute: {}.", hidden.join(", ")));
    }
}

fn is_compute(kind: engine::PartKind) -> bool {
    matches!(kind, engine::PartKind::Compute(_) | engine::PartKind::Optimizer)
}

fn memory(page: &mut Page, scenario: &Scenario, stage: &StageAnswer) {
    let capacity = &scenario.cluster.chip.memory;
    page.section("Memory");
    let bars: Vec<_> = stage
        .memory
        .iter()
        .enumerate()
        .map(|(rank, m)| {
            let parts = [m.weights, m.gradients, m.optimizer, m.activations, m.buffers];
            let total = data(m.total(), &gib_tick(m.total() / GIB));
            (format!("rank {rank}"), total, parts.map(|bytes| bytes / GIB).to_vec())
        })
        .collect();
    let names = ["weights", "gradients", "optimizer", "activations", "buffers"];
    let mut rows = stacked("peak memory by pipeline rank", &bars, &names, gib_tick);
    let most = stage.memory.iter().map(plan::StageMemory::total).fold(capacity.value, f64::max);
    rows.scale = Scale::linear(0.0, 1.05 * most / GIB);
    let limit = capacity.value / GIB;
    rows.limits = vec![(limit, format!("capacity {}", gib_tick(limit)))];
    rows.height_px = 16;
    page.figure(&rows.draw(), "Peak of a chip of each pipeline rank, by what holds it.");
}

/// GiB to the nearest tenth.
pub(crate) fn gib_tick(gib: f64) -> String {
    format!("{} GiB", (10.0 * gib).round() / 10.0)
}

fn days(page: &mut Page, scenario: &Scenario, rehearsal: &Rehearsal) {
    page.section("Days");
    let tokens = format_quantity(scenario.recipe.tokens.value, Unit::Token);
    let mut table = Table {
        head: ["sequence", "share of tokens", "step", "days", "range"].map(str::to_owned).to_vec(),
        ..Table::default()
    };
    for stage in &rehearsal.stages {
        let (days, range) = span(&stage.days, |v| format!("{v:.1}"));
        table.rows.push(vec![
            text(&stage.job.sequence.to_string()),
            text(&stage.job.share.to_string()),
            data(stage.step_s.value, &format_seconds(stage.step_s.value)),
            days,
            text(&range),
        ]);
    }
    let (days, range) = span(&rehearsal.days, |v| format!("{v:.1}"));
    table.rows.push(vec![text("all"), Html::default(), Html::default(), days, text(&range)]);
    page.table(&table);
    page.say(&format!(
        "For {tokens}, every step at full batch, without failures. A campaign adds those."
    ));
}

fn published(page: &mut Page, scenario: &Scenario, stage: &StageAnswer) {
    if scenario.published.is_empty() {
        return;
    }
    page.section("Beside what was published");
    let phases = phase_list(stage);
    let mut items = Vec::new();
    let mut table = Table {
        head: ["phase", "ours", "published", "difference"].map(str::to_owned).to_vec(),
        left: 1,
        ..Table::default()
    };
    for (key, figure) in &scenario.published {
        let Some((_, word, seconds)) = phases.iter().find(|(k, _, _)| k == key) else { continue };
        let ratio = seconds / figure.value;
        items.push((*word, ratio));
        table.rows.push(vec![
            text(word),
            data(*seconds, &format_seconds(*seconds)),
            data(figure.value, &format_seconds(figure.value)),
            text(&format!("{:+.1} %", 100.0 * (ratio - 1.0))),
        ]);
    }
    let ranged: Vec<Ranged> = items
        .iter()
        .map(|&(name, value)| Ranged { name: name.to_owned(), value, low: value, high: value })
        .collect();
    let mut rows = ratios("our time over the published one", &ranged, "as published");
    for (row, (_, ratio)) in rows.rows.iter_mut().zip(&items) {
        row.marks.retain(|m| !matches!(m, Mark::Whisker { .. }));
        row.value = text(&format!("{ratio:.2}\u{d7}"));
    }
    page.figure(&rows.draw(), "Our time over the published one, by phase of the step.");
    page.table(&table);
}

fn drivers(page: &mut Page, stage: &StageAnswer) {
    page.section("What moves the answer");
    let swings: Vec<Swing> = stage
        .drivers
        .iter()
        .take(12)
        .map(|d| Swing {
            name: format!("{}: {}", d.path, d.figure),
            at_low: d.step_at_low_s,
            at_high: d.step_at_high_s,
        })
        .collect();
    if swings.is_empty() {
        page.say("No input of this answer has a range.");
        return;
    }
    let rows =
        tornado("step time at each figure's ends", stage.step_s.value, &swings, seconds_tick);
    page.figure(&rows.draw(), "Step time with one figure at an end of its range, others as given.");
}

fn assumptions(page: &mut Page, scenario: &Scenario, rehearsal: &Rehearsal) {
    page.section("What it rests on");
    let calibration = &rehearsal.machine.calibration;
    if !rehearsal.machine.own_calibration {
        page.say(&format!(
            "Kernel times are borrowed from {} (calibration {}): no kernels of {} are published.",
            calibration.chip, calibration.id, scenario.cluster.chip.name
        ));
    }
    page.heading("Assumed: nobody's measurement or statement");
    let assumed = assumed_figures(scenario, rehearsal);
    page.table(&figures(assumed.iter().map(|(path, figure)| (path.clone(), figure))));
    page.heading("The machine");
    let cluster = scenario.cluster.figures();
    let chip = scenario.cluster.chip.figures();
    let known = chip.into_iter().chain(cluster);
    page.table(&figures(known));
}

/// Figures with range, origin and linked sources.
pub(crate) fn figures<'a>(list: impl Iterator<Item = (String, &'a Figure)>) -> Table {
    let head = ["figure", "value and range", "origin", "source"].map(str::to_owned).to_vec();
    let rows = list
        .map(|(path, figure)| {
            let origin = figure.origin.word();
            vec![text(&path), text(&figure.to_string()), text(origin), source(&figure.source)]
        })
        .collect();
    Table { head, rows, left: 4 }
}

/// Sources by key as links, with the note that follows them.
fn source(cited: &str) -> Html {
    let (keys, note) = catalog::cited(cited);
    let known: Option<Vec<_>> = keys.iter().map(|k| catalog::source(k)).collect();
    let Some(sources) = known else { return text(cited) };
    let mut links: Vec<String> = sources
        .iter()
        .map(|s| {
            let title = text(&s.title).0;
            if s.url.starts_with("https://") || s.url.starts_with("http://") {
                format!("<a href=\"{}\" title=\"{title}\">{}</a>", text(&s.url).0, text(&s.key).0)
            } else {
                format!("<span title=\"{title}\">{}</span>", text(&s.key).0)
            }
        })
        .collect();
    if let Some(note) = note {
        links.push(text(note).0);
    }
    Html(links.join(", "))
}
