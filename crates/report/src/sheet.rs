//! The answer sheet.

use crate::table::{aligned, bar, row};
use catalog::Kind;
use engine::{Interval, Overfull, Rehearsal, StageAnswer};
use scenario::Scenario;
use std::fmt::Write;
use units::{Figure, GIB, Origin, Unit, format_quantity, format_seconds};

/// The sheet of a rehearsed scenario.
pub fn sheet(scenario: &Scenario, rehearsal: &Rehearsal) -> String {
    let stage = &rehearsal.stages[rehearsal.main];
    let mut out = head(scenario, stage);
    out.push_str(&answer(stage));
    out.push_str(&memory(scenario, stage));
    for over in rehearsal.overfull().iter().filter(|o| o.sequence != stage.job.sequence) {
        let _ = writeln!(out, "  {}", overfull_words(over));
    }
    out.push_str(&time(stage));
    out.push_str(&phases(scenario, stage));
    out.push_str(&days(scenario, rehearsal));
    out.push_str(&drivers(stage));
    out.push_str(&assumed(scenario, rehearsal));
    out
}

/// Whether a plan fits, for `plan check`: the text and the answer.
pub fn check(scenario: &Scenario, rehearsal: &Rehearsal) -> (String, bool) {
    let mut out = head(scenario, &rehearsal.stages[rehearsal.main]);
    out.push_str("\nThe plan is legal for every length stage.\n");
    let mut fits = true;
    for stage in &rehearsal.stages {
        let _ = write!(out, "\nStage of {} tokens", stage.job.sequence);
        out.push_str(&memory(scenario, stage));
        fits &= stage.fullest().1 <= scenario.cluster.chip.memory.value;
    }
    (out, fits)
}

fn head(scenario: &Scenario, stage: &StageAnswer) -> String {
    let chip = &scenario.cluster.chip;
    format!(
        "{}\n  {} x {} on {}\n  {}\n",
        scenario.name,
        scenario.ranks,
        chip.name,
        scenario.cluster.name,
        plan_line(stage)
    )
}

/// A stage's degrees, schedule and batch in a line.
pub(crate) fn plan_line(stage: &StageAnswer) -> String {
    let plan = &stage.job.plan;
    format!(
        "tp {} cp {} pp {} vpp {} dp {}, ep {} etp {} edp {}, {}; {} x {} tokens, {} micro-batches \
         of {}",
        plan.tensor,
        plan.context,
        plan.pipeline,
        plan.virtual_pipeline,
        plan.data,
        plan.expert,
        plan.expert_tensor,
        plan.expert_data,
        plan.schedule.word(),
        stage.job.batch_sequences,
        stage.job.sequence,
        stage.program.micro_batches,
        plan.micro_batch,
    )
}

fn span(interval: &Interval, show: impl Fn(f64) -> String) -> [String; 2] {
    [show(interval.value), format!("{} .. {}", show(interval.low), show(interval.high))]
}

fn answer(stage: &StageAnswer) -> String {
    let line = |name: &str, [value, range]: [String; 2], note: &str| {
        vec![name.to_owned(), value, range, note.to_owned()]
    };
    let per_cent = |v: f64| format!("{:.1} %", 100.0 * v);
    let flops = |v| format_quantity(v, Unit::FlopPerSecond);
    let rows = vec![
        line("step time", span(&stage.step_s, format_seconds), ""),
        line("tokens/s", span(&stage.tokens_per_s, |v| format!("{:.3} M", v / 1e6)), ""),
        line("per chip", span(&stage.flops_per_chip, flops), ""),
        line("MFU", span(&stage.mfu, per_cent), "model FLOPs, causal, of BF16 peak"),
    ];
    format!("\n{}", aligned(&rows, 4))
}

fn memory(scenario: &Scenario, stage: &StageAnswer) -> String {
    let capacity = scenario.cluster.chip.memory.value;
    let mut rows = vec![row([
        "rank",
        "weights",
        "gradients",
        "optimizer",
        "activations",
        "buffers",
        "total",
        "of",
    ])];
    let gib = |bytes: f64| format!("{:.1}", bytes / GIB);
    let mut from = 0;
    while from < stage.memory.len() {
        let held = stage.memory[from];
        let same = stage.memory[from..].iter().take_while(|m| **m == held).count();
        let last = from + same - 1;
        let name = if same == 1 { from.to_string() } else { format!("{from}-{last}") };
        let parts = [held.weights, held.gradients, held.optimizer, held.activations, held.buffers];
        let mut cells = vec![name];
        cells.extend(parts.iter().map(|&b| gib(b)));
        cells.extend([gib(held.total()), gib(capacity)]);
        rows.push(cells);
        from += same;
    }
    let (rank, most) = stage.fullest();
    let verdict = if most <= capacity {
        format!("fits: pipeline rank {rank} is fullest, {} GiB free", gib(capacity - most))
    } else {
        format!("does not fit: pipeline rank {rank} is {} GiB over", gib(most - capacity))
    };
    format!("\nPeak memory of a pipeline rank, GiB\n{}  {verdict}\n", aligned(&rows, 1))
}

/// That a stage does not fit, in words.
pub(crate) fn overfull_words(over: &Overfull) -> String {
    let (sequence, rank, gib) = (over.sequence, over.rank, over.over_bytes / GIB);
    format!("stage of {sequence} tokens does not fit: pipeline rank {rank} is {gib:.1} GiB over")
}

fn time(stage: &StageAnswer) -> String {
    let step = stage.estimate.step_s;
    let rows: Vec<Vec<String>> = stage
        .estimate
        .parts
        .iter()
        .filter(|p| p.seconds > 0.0)
        .map(|p| {
            let share = p.seconds / step;
            vec![
                p.kind.word().to_owned(),
                bar(share),
                format_seconds(p.seconds),
                format!("{:.1} %", 100.0 * share),
            ]
        })
        .collect();
    let hidden: Vec<String> = stage
        .estimate
        .hidden
        .iter()
        .filter(|h| h.seconds > 0.0)
        .map(|h| format!("{} {}", h.axis, format_seconds(h.seconds)))
        .collect();
    let behind = if hidden.is_empty() { "nothing".to_owned() } else { hidden.join(", ") };
    format!(
        "\nWhere the step goes (pipeline rank {}, the slowest)\n{}  hidden behind compute: {behind}\n",
        stage.estimate.critical,
        aligned(&rows, 2)
    )
}

/// The step's phases in order: the scenario's key, what is shown, our seconds.
pub(crate) fn phase_list(stage: &StageAnswer) -> [(&'static str, &'static str, f64); 9] {
    let p = &stage.estimate.phases;
    [
        ("forward", "forward alone", p.forward_s),
        ("backward", "backward alone", p.backward_s),
        ("weight", "weight gradients put off", p.weight_s),
        ("pair", "forward and backward overlapped", p.pair_s),
        ("bubble", "bubble", p.bubble_s),
        ("exchange", "gradient and parameter exchange", p.exchange_s),
        ("optimizer", "optimizer", p.optimizer_s),
        ("finish", "exchange and optimizer", p.exchange_s + p.optimizer_s),
        ("step", "step", stage.estimate.step_s),
    ]
}

fn phases(scenario: &Scenario, stage: &StageAnswer) -> String {
    let mut rows = Vec::new();
    let published = |key: &str| scenario.published.iter().find(|(k, _)| k == key);
    if !scenario.published.is_empty() {
        rows.push(row(["", "ours", "published", "difference"]));
    }
    for (key, word, seconds) in phase_list(stage) {
        let mut cells = vec![word.to_owned(), format!("{seconds:.3} s")];
        if let Some((_, figure)) = published(key) {
            cells.push(format!("{} s", figure.value));
            cells.push(format!("{:+.1} %", 100.0 * (seconds / figure.value - 1.0)));
        }
        rows.push(cells);
    }
    format!("\nThe step by phase\n{}", aligned(&rows, 1))
}

fn days(scenario: &Scenario, rehearsal: &Rehearsal) -> String {
    let mut rows = vec![row(["sequence", "share of tokens", "step", "days", ""])];
    for stage in &rehearsal.stages {
        let [days, range] = span(&stage.days, |v| format!("{v:.1}"));
        rows.push(vec![
            stage.job.sequence.to_string(),
            stage.job.share.to_string(),
            format_seconds(stage.step_s.value),
            days,
            range,
        ]);
    }
    let [days, range] = span(&rehearsal.days, |v| format!("{v:.1}"));
    rows.push(vec!["all".to_owned(), String::new(), String::new(), days, range]);
    let tokens = format_quantity(scenario.recipe.tokens.value, Unit::Token);
    format!("\nDays for {tokens}, every step at full batch, no failures\n{}", aligned(&rows, 1))
}

fn drivers(stage: &StageAnswer) -> String {
    let mut rows = vec![row(["figure", "value", "step at the ends", "origin"])];
    for driver in stage.drivers.iter().take(5) {
        let ends = [driver.step_at_low_s, driver.step_at_high_s].map(format_seconds).join(" .. ");
        let origin = driver.figure.origin.word().to_owned();
        rows.push(vec![driver.path.clone(), driver.figure.to_string(), ends, origin]);
    }
    format!("\nWhat moves the answer most\n{}", aligned(&rows, 4))
}

/// Every figure the answer rests on that is nobody's measurement or statement.
pub(crate) fn assumed_figures(scenario: &Scenario, rehearsal: &Rehearsal) -> Vec<(String, Figure)> {
    let recipe = scenario.recipe.figures();
    let recipe = recipe
        .into_iter()
        .filter(|(_, f)| f.origin == Origin::Assumed)
        .map(|(path, figure)| (path, figure.clone()));
    engine::assumed(&rehearsal.machine).into_iter().chain(recipe).collect()
}

fn assumed(scenario: &Scenario, rehearsal: &Rehearsal) -> String {
    let mut out = String::from("\nWhat is assumed\n");
    if !rehearsal.machine.own_calibration {
        let _ = writeln!(
            out,
            "  calibration.{}: borrowed from {}, no kernels of {} are published",
            rehearsal.machine.calibration.id,
            rehearsal.machine.calibration.chip,
            scenario.cluster.chip.name
        );
    }
    for (path, figure) in assumed_figures(scenario, rehearsal) {
        let _ = writeln!(out, "  {path}: {figure}");
    }
    let machine = &rehearsal.machine;
    let used = [
        (Kind::Cluster, "clusters", &machine.cluster.id),
        (Kind::Calibration, "calibrations", &machine.calibration.id),
        (Kind::Stack, "stacks", &machine.stack.id),
        (Kind::Recipe, "recipes", &scenario.recipe.id),
    ];
    let shipped = used.iter().filter(|(kind, _, id)| catalog::text(*kind, id).is_some());
    let names: Vec<String> = shipped.map(|(_, word, id)| format!("{word}/{id}")).collect();
    let _ =
        writeln!(out, "  `supernode catalog show` has every figure's source: {}", names.join(", "));
    out
}
