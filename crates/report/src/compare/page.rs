//! A comparison as one HTML file.

mod summary;

use super::{
    CompareAnswer, CompareGroup, MEASURES, equal_words, fabric_words, head_room, losses,
    main_stage, ratio_of, share_of_first, short_plan,
};
use crate::campaign::{days, dollars, energy, grouped, per_cent, plain};
use crate::page::pictures::{Ranged, intervals, ratios, stacked};
use crate::page::{Html, Page, Rows, Table, data, text};
use campaign::{Cause, Contender, Equal, Spread, peak};
use serde_json::Value;
use units::{GIB, Unit, format_quantity, format_seconds};

/// The page of a comparison; `json` is the same answer as [`super::compare_json`] gives it.
pub fn compare_page(json: &Value, answer: &CompareAnswer<'_>) -> String {
    let how = if answer.terms.plan { "every plan searched" } else { "the scenarios' own plans" };
    let subtitle = format!(
        "{}, {how}; {} played runs a machine",
        summary::chips_words(answer).unwrap_or_else(|| equal_words(answer.equal).to_owned()),
        answer.terms.samples
    );
    let mut page = Page::new(answer.title, &subtitle);
    summary::lead(&mut page, answer);
    if answer.groups.len() > 1 {
        summary::in_short(&mut page, answer);
    }
    for group in answer.groups {
        page.section(&group.name);
        summary::headline(&mut page, group);
        pictures(&mut page, group);
        summary::what_decides(&mut page, group, answer.terms.seed);
        tables(&mut page, answer.equal, group);
        for (name, why) in &group.absent {
            page.say(&format!("{name}: {why}."));
        }
    }
    summary::assumptions(&mut page, answer);
    page.section("How to read it");
    page.say(
        "Bars and dots are medians (p50), steps too, and whiskers hold nine of ten played runs, over chance (failures) and \
         over every uncertain figure. A ratio compares runs pair by pair: what two machines share, such as \
         the number of tokens or how a cluster is operated, cancels. A difference is called larger than \
         the uncertainty when nine of ten pairs agree on its sign. Dollars are US dollars of the year of \
         the price list. MFU is the model's operations over the peak in BF16, also where products run in \
         FP8 or FP4; the peak shown is that of the format of most weights. The count is of one run that succeeds: no failed attempts, no experiments before \
         it.",
    );
    page.finish(json)
}

fn short_days(value: f64) -> String {
    days(value).trim_end_matches(".0").to_owned()
}

/// Drawn in GWh, so that places on the axis are round.
fn used_energy(page: &mut Page, group: &CompareGroup) {
    let used = ranged(group, |c| c.summary.energy_j);
    let in_gwh = |v: f64| v / 3.6e12;
    let scaled: Vec<Ranged> = used
        .iter()
        .map(|r| Ranged {
            name: r.name.clone(),
            value: in_gwh(r.value),
            low: in_gwh(r.low),
            high: in_gwh(r.high),
        })
        .collect();
    let mut rows = intervals("Energy", &scaled, |v| format!("{} GWh", plain(v)));
    for (row, used) in rows.rows.iter_mut().zip(&used) {
        row.value = data(used.value, &energy(used.value));
    }
    if !used.is_empty() {
        page.heading("Energy");
        let caption = "With cooling and all else that the building draws.";
        page.figure(&rows.draw(), &format!("{caption}{}", factors(&rows)));
    }
}

/// What a caption says of a scale of factors.
fn factors(rows: &Rows) -> &'static str {
    if rows.scale.is_logarithmic() { " Each step of the scale is a factor." } else { "" }
}

fn ranged(group: &CompareGroup, of: impl Fn(&Contender) -> Option<Spread>) -> Vec<Ranged> {
    let one = |c: &Contender| {
        let s = of(c)?;
        Some(Ranged { name: c.name.clone(), value: s.p50, low: s.p5, high: s.p95 })
    };
    group.contenders.iter().filter_map(one).collect()
}

fn pictures(page: &mut Page, group: &CompareGroup) {
    let mut draw = |heading: &str, items: &[Ranged], shown: fn(f64) -> String, caption: &str| {
        if !items.is_empty() {
            page.heading(heading);
            let rows = intervals(heading, items, shown);
            page.figure(&rows.draw(), &format!("{caption}{}", factors(&rows)));
        }
    };
    let items = ranged(group, |c| Some(c.summary.days));
    draw("Days", &items, short_days, "From the first step to the last.");
    let owned = ranged(group, |c| c.summary.money.as_ref().map(|m| m.owning));
    draw("Cost to an owner of the machine", &owned, dollars, "Its share of the machine's life.");
    let rented = ranged(group, |c| c.summary.money.as_ref().map(|m| m.rental));
    draw("Cost of renting it", &rented, dollars, "At a price per chip and hour.");
    used_energy(page, group);
    let first = group.contenders.first().map_or("the first", |c| c.name.as_str());
    for (index, name) in [(0, "Days"), (3, "Cost to the owner")] {
        let items: Vec<Ranged> = group
            .contenders
            .iter()
            .skip(1)
            .filter_map(|c| {
                let r = ratio_of(group, c, MEASURES[index].1)?;
                Some(Ranged { name: c.name.clone(), value: r.p50, low: r.p5, high: r.p95 })
            })
            .collect();
        if !items.is_empty() {
            page.heading(&format!("{name}, over {first}"));
            let caption = "Ratios of paired runs; a whisker that misses the line is a difference \
                           larger than the uncertainty.";
            page.figure(&ratios(name, &items, first).draw(), caption);
        }
    }
    page.heading("Where a step goes");
    step_shares(page, group);
    page.heading("Where the days go");
    lost_days(page, group);
}

/// What a day is lost to, in groups that pictures tell apart.
const LOSSES: [(&str, &[Cause]); 4] = [
    ("steps done again", &[Cause::Lost]),
    ("noticing, finding and starting again", &[Cause::Detection, Cause::Diagnosis, Cause::Restart]),
    (
        "waiting for spares, fewer replicas, slow chips",
        &[Cause::Spares, Cause::Degraded, Cause::Slow],
    ),
    (
        "checkpoints, ramp, planned stops",
        &[Cause::Checkpoint, Cause::Ramp, Cause::Evaluation, Cause::Maintenance],
    ),
];

fn lost_days(page: &mut Page, group: &CompareGroup) {
    let bars: Vec<(String, Html, Vec<f64>)> = group
        .contenders
        .iter()
        .map(|c| {
            let causes = &c.summary.causes;
            let total: f64 = causes.iter().map(|(_, s)| s.mean).sum();
            let of = |wanted: &[Cause]| {
                let found = causes.iter().filter(|(cause, _)| wanted.contains(cause));
                found.map(|(_, s)| s.mean).sum::<f64>() / total
            };
            let goodput = c.summary.goodput.p50;
            let shown = format!("{} useful", per_cent(goodput));
            let parts = LOSSES.iter().map(|(_, wanted)| of(wanted)).collect();
            (c.name.clone(), data(goodput, &shown), parts)
        })
        .collect();
    let names = LOSSES.map(|(name, _)| name);
    page.figure(
        &stacked("shares of the days lost", &bars, &names, per_cent).draw(),
        "Shares of the days that were not useful steps, on average, and the share that was (median).",
    );
}

/// Kinds of a step's parts that pictures tell apart.
const KINDS: [&str; 7] = [
    "matrix products",
    "attention",
    "bound by memory",
    "exchange that shows",
    "pipeline bubble",
    "optimizer",
    "other",
];

/// The kind of a part, by its words.
fn kind(part: &str) -> usize {
    let has = |words: &[&str]| words.iter().any(|word| part.contains(word));
    match part {
        _ if has(&["bubble"]) => 4,
        _ if has(&["optimizer"]) => 5,
        _ if has(&["exposed", "contention", "exchange", "gradient", "gather"]) => 3,
        _ if has(&["attention", "indexer"]) => 1,
        _ if has(&["projections", "experts", "feed-forward", "head"]) => 0,
        _ if has(&["norm", "hyper", "embedding", "rout", "compress"]) => 2,
        _ => 6,
    }
}

fn step_shares(page: &mut Page, group: &CompareGroup) {
    let bars: Vec<(String, Html, Vec<f64>)> = group
        .contenders
        .iter()
        .map(|c| {
            let mut parts = vec![0.0; KINDS.len()];
            for (word, share) in losses(c) {
                parts[kind(word)] += share;
            }
            let step = main_stage(c).step_s.median;
            (c.name.clone(), data(step, &format_seconds(step)), parts)
        })
        .collect();
    let rows = stacked("shares of a step", &bars, &KINDS, per_cent);
    page.figure(
        &rows.draw(),
        "Shares of a step of the stage with most tokens, and its duration (p50).",
    );
}

fn tables(page: &mut Page, equal: Equal, group: &CompareGroup) {
    let head = [
        "machine",
        "chips",
        "peak a chip",
        "memory",
        "free",
        "p50 step",
        "MFU",
        "useful",
        "energy",
    ];
    let mut table = Table { head: head.map(str::to_owned).to_vec(), left: 1, ..Table::default() };
    if equal != Equal::Listed {
        table.head.push("of the first's".to_owned());
    }
    for c in &group.contenders {
        let (stage, chip) = (main_stage(c), &c.scenario.cluster.chip);
        let peak = peak(chip, &c.scenario);
        let chips = c.scenario.ranks;
        let mark = if c.grown { "+" } else { "" };
        let free = head_room(c);
        let mut cells = vec![
            text(&c.name),
            data(chips as f64, &format!("{}{mark}", grouped(chips))),
            data(peak, &format_quantity(peak, Unit::FlopPerSecond)),
            data(chip.memory.value, &format_quantity(chip.memory.value, Unit::Byte)),
            data(free, &format!("{:.0} GiB", free / GIB)),
            data(stage.step_s.median, &format_seconds(stage.step_s.median)),
            data(stage.mfu.median, &per_cent(stage.mfu.median)),
            data(c.summary.goodput.p50, &per_cent(c.summary.goodput.p50)),
            c.summary.energy_j.as_ref().map_or_else(|| text("?"), |e| data(e.p50, &energy(e.p50))),
        ];
        cells.extend(share_of_first(equal, group, c).map(|share| data(share, &plain(share))));
        table.rows.push(cells);
    }
    page.heading("Machines and steps");
    page.table(&table);
    let head = ["machine", "plan of the main stage", "fabric, one way and chip"];
    let mut table = Table { head: head.map(str::to_owned).to_vec(), left: 3, ..Table::default() };
    for c in &group.contenders {
        let cells = [c.name.clone(), short_plan(main_stage(c)), fabric_words(c)];
        table.rows.push(cells.iter().map(|cell| text(cell)).collect());
    }
    page.table(&table);
}
