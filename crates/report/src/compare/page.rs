//! A comparison as one HTML file.

use super::{
    CompareAnswer, CompareGroup, MEASURES, equal_words, fabric_words, head_room, losses,
    main_stage, ratio_of, short_plan,
};
use crate::campaign::{days, energy, per_cent, usd};
use crate::page::pictures::{Ranged, intervals, ratios, stacked};
use crate::page::{Fact, Html, Page, Table, data, text};
use campaign::{Contender, Spread, peak};
use serde_json::Value;
use units::{GIB, Unit, format_quantity, format_seconds};

/// The page of a comparison; `json` is the same answer as [`super::compare_json`] gives it.
pub fn compare_page(json: &Value, answer: &CompareAnswer<'_>) -> String {
    let how = if answer.terms.plan { "every plan searched" } else { "the scenarios' own plans" };
    let subtitle = format!(
        "{}, {how}; {} played runs a machine",
        equal_words(answer.equal),
        answer.terms.samples
    );
    let mut page = Page::new(answer.title, &subtitle);
    for group in answer.groups {
        page.section(&group.name);
        headline(&mut page, group);
        pictures(&mut page, group);
        tables(&mut page, group);
        for (name, why) in &group.absent {
            page.say(&format!("{name}: {why}."));
        }
    }
    page.section("How to read it");
    page.say(
        "Bars are medians and whiskers hold nine of ten played runs, over chance (failures) and over \
         every uncertain figure. A ratio compares runs pair by pair: what two machines share, such as \
         the number of tokens or how a cluster is operated, cancels. A difference is called larger than \
         the uncertainty when nine of ten pairs agree on its sign. Prices and powers of chips that are \
         not on sale, and failure rates of chips about which nothing is published, are assumptions with \
         wide ranges; each is named, with its source, by a campaign on that machine and in the catalog.",
    );
    page.finish(json)
}

fn fact(name: &str, spread: &Spread, shown: impl Fn(f64) -> String) -> Fact {
    let range = format!("{} .. {}", shown(spread.p5), shown(spread.p95));
    Fact::new(name, data(spread.p50, &shown(spread.p50)), &range)
}

/// The first machine's figures, and who is surely better or worse.
fn headline(page: &mut Page, group: &CompareGroup) {
    let Some(first) = group.contenders.first() else { return };
    let mut facts = vec![fact(&format!("days on {}", first.name), &first.summary.days, days)];
    facts.extend(first.summary.energy_j.as_ref().map(|s| fact("energy", s, energy)));
    if let Some(money) = &first.summary.money {
        facts.push(fact("rented", &money.rental, usd));
        facts.push(fact("owned", &money.owning, usd));
    }
    page.facts(&facts);
    for (index, verb) in [(0, "days"), (3, "cost to the owner")] {
        let (mut fewer, mut more, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for contender in &group.contenders[1..] {
            match ratio_of(group, contender, MEASURES[index].1) {
                Some(r) if r.p95 < 1.0 => fewer.push(contender.name.as_str()),
                Some(r) if r.p5 > 1.0 => more.push(contender.name.as_str()),
                Some(_) => open.push(contender.name.as_str()),
                None => {}
            }
        }
        let mut sentences = Vec::new();
        for (list, word) in [(fewer, "surely lower on"), (more, "surely higher on")] {
            if !list.is_empty() {
                sentences.push(format!("{word} {}", list.join(", ")));
            }
        }
        if !open.is_empty() {
            let list = open.join(", ");
            sentences.push(format!("not told apart from the uncertainty on {list}"));
        }
        if !sentences.is_empty() {
            let sentences = sentences.join("; ");
            page.say(&format!("Against {}, the {verb}: {sentences}.", first.name));
        }
    }
}

fn ranged(group: &CompareGroup, of: impl Fn(&Contender) -> Option<Spread>) -> Vec<Ranged> {
    let one = |c: &Contender| {
        let s = of(c)?;
        Some(Ranged { name: c.name.clone(), value: s.p50, low: s.p5, high: s.p95 })
    };
    group.contenders.iter().filter_map(one).collect()
}

fn pictures(page: &mut Page, group: &CompareGroup) {
    page.heading("Days");
    let items = ranged(group, |c| Some(c.summary.days));
    page.figure(&intervals("days", &items, days).draw(), "Days from the first step to the last.");
    let owned = ranged(group, |c| c.summary.money.as_ref().map(|m| m.owning));
    if !owned.is_empty() {
        page.heading("Cost");
        page.figure(&intervals("owned", &owned, usd).draw(), "Cost to an owner of the machine.");
        let rented = ranged(group, |c| c.summary.money.as_ref().map(|m| m.rental));
        page.figure(
            &intervals("rented", &rented, usd).draw(),
            "Cost at a price per chip and hour.",
        );
    }
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
            page.heading(&format!("{name} over those of {first}"));
            let caption = "Ratios of paired runs; a whisker that misses the line is a difference \
                           larger than the uncertainty.";
            page.figure(&ratios(name, &items, first).draw(), caption);
        }
    }
    page.heading("Where a step goes");
    step_shares(page, group);
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
    page.figure(&rows.draw(), "Shares of a step of the stage with most tokens, and its duration.");
}

fn tables(page: &mut Page, group: &CompareGroup) {
    let head =
        ["machine", "chips", "peak a chip", "memory", "free", "step", "MFU", "goodput", "energy"];
    let mut table = Table { head: head.map(str::to_owned).to_vec(), left: 1, ..Table::default() };
    for c in &group.contenders {
        let (stage, chip) = (main_stage(c), &c.scenario.cluster.chip);
        let peak = peak(chip, &c.scenario);
        let chips = c.scenario.ranks;
        let mark = if c.grown { "+" } else { "" };
        let free = head_room(c);
        table.rows.push(vec![
            text(&c.name),
            data(chips as f64, &format!("{chips}{mark}")),
            data(peak, &format_quantity(peak, Unit::FlopPerSecond)),
            data(chip.memory.value, &format_quantity(chip.memory.value, Unit::Byte)),
            data(free, &format!("{:.0} GiB", free / GIB)),
            data(stage.step_s.median, &format_seconds(stage.step_s.median)),
            data(stage.mfu.median, &per_cent(stage.mfu.median)),
            data(c.summary.goodput.p50, &per_cent(c.summary.goodput.p50)),
            c.summary.energy_j.as_ref().map_or_else(|| text("?"), |e| data(e.p50, &energy(e.p50))),
        ]);
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
