//! The answer of a comparison before its pictures, and what it rests on.

use crate::campaign::{days, dollars, energy, per_cent, shown_figure, span_words};
use crate::compare::{CompareAnswer, CompareGroup, MEASURES, decided, own_figures, ratio_of};
use crate::page::{Fact, Html, Page, Table, data, text};
use crate::words::{figure_words, source_links};
use campaign::{Contender, Ratio, Spread};

/// Ratios of every machine in every run.
pub fn in_short(page: &mut Page, answer: &CompareAnswer<'_>) {
    page.section("In short");
    let Some(first) = answer.groups.iter().find_map(|g| g.contenders.first()) else { return };
    for (index, name) in [(0, "Days"), (3, "Cost to the owner")] {
        let mut table = Table { head: vec![String::new()], left: 1, ..Table::default() };
        let short = |name: &str| name.split(',').next().unwrap_or(name).to_owned();
        table.head.extend(answer.groups.iter().map(|g| short(&g.name)));
        for machine in machines(answer) {
            let mut cells = vec![text(machine)];
            cells.extend(answer.groups.iter().map(|g| {
                let contender = g.contenders.iter().find(|c| c.name == machine);
                let ratio = contender.and_then(|c| ratio_of(g, c, MEASURES[index].1));
                match (ratio, contender) {
                    (Some(_), Some(c)) if machine == first.name => own(c, index),
                    (Some(r), _) => cell(&r),
                    (None, _) => text("no plan"),
                }
            }));
            table.rows.push(cells);
        }
        let priced = answer.groups.iter().flat_map(|g| &g.contenders);
        if index == 0 || priced.into_iter().any(|c| c.summary.money.is_some()) {
            page.heading(&format!("{name} on {}, and of the others over it", first.name));
            page.table(&table);
        }
    }
    page.say("Medians of paired runs. Bold: the difference is larger than the uncertainty.");
}

/// Every machine of any run, in order.
fn machines<'a>(answer: &'a CompareAnswer<'_>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for group in answer.groups {
        let absent = group.absent.iter().map(|(name, _)| name.as_str());
        for name in group.contenders.iter().map(|c| c.name.as_str()).chain(absent) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The first machine's own days or cost, which the others are ratios to.
fn own(c: &Contender, index: usize) -> Html {
    match (&c.summary.money, index) {
        (Some(money), 3) => data(money.owning.p50, &dollars(money.owning.p50)),
        _ => data(c.summary.days.p50, &format!("{} days", days(c.summary.days.p50))),
    }
}

fn cell(ratio: &Ratio) -> Html {
    let shown = data(ratio.p50, &format!("{:.2}\u{d7}", ratio.p50));
    if ratio.differs() { Html(format!("<b>{}</b>", shown.0)) } else { shown }
}

fn fact(name: &str, spread: &Spread, shown: impl Fn(f64) -> String) -> Fact {
    let range = span_words(&shown(spread.p5), &shown(spread.p95));
    Fact::new(name, data(spread.p50, &shown(spread.p50)), &range)
}

/// The first machine's figures, and who is surely better or worse.
pub fn headline(page: &mut Page, group: &CompareGroup) {
    let Some(first) = group.contenders.first() else { return };
    let mut facts = vec![fact(&format!("days on {}", first.name), &first.summary.days, days)];
    facts.extend(first.summary.energy_j.as_ref().map(|s| fact("energy", s, energy)));
    if let Some(money) = &first.summary.money {
        facts.push(fact("rented", &money.rental, dollars));
        facts.push(fact("owned", &money.owning, dollars));
    }
    page.facts(&facts);
    let head = [format!("over {}", first.name)]
        .into_iter()
        .chain(["surely lower on", "not told apart on", "surely higher on"].map(str::to_owned));
    let mut table = Table { head: head.collect(), left: 4, ..Table::default() };
    for (name, of) in MEASURES {
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        for contender in &group.contenders[1..] {
            if let Some(r) = ratio_of(group, contender, of) {
                let at = if r.p95 < 1.0 { 0 } else { 1 + usize::from(r.p5 > 1.0) };
                lists[at].push(contender.name.as_str());
            }
        }
        if lists.iter().any(|list| !list.is_empty()) {
            let shown = |list: &Vec<&str>| {
                text(&if list.is_empty() { "\u{2013}".to_owned() } else { list.join(", ") })
            };
            table.rows.push([vec![text(name)], lists.iter().map(shown).collect()].concat());
        }
    }
    page.table(&table);
}

/// Figures whose measuring would tell most.
pub fn what_decides(page: &mut Page, group: &CompareGroup, seed: u64) {
    let mut table = Table {
        head: ["machine", "days", "cost to the owner"].map(str::to_owned).to_vec(),
        left: 3,
        ..Table::default()
    };
    for contender in group.contenders.iter().skip(1) {
        let list = |index: usize| {
            let found = decided(group, contender, seed, MEASURES[index].1);
            let one = |d: &campaign::Decider| {
                let share = data(d.share, &per_cent(d.share)).0;
                format!("{} {share}", text(&figure_words(&d.path)).0)
            };
            Html(found.iter().map(one).collect::<Vec<_>>().join("; "))
        };
        table.rows.push(vec![text(&contender.name), list(0), list(3)]);
    }
    if !table.rows.is_empty() {
        page.heading("What would change the conclusion");
        page.say(
            "The uncertain figures that the ratio to the first goes with, and the share of its spread \
             that is theirs.",
        );
        page.table(&table);
    }
}

/// Powers, prices and step times of each machine, with their sources.
pub fn assumptions(page: &mut Page, answer: &CompareAnswer<'_>) {
    page.section("What it rests on");
    page.say(
        "What is each machine's own; what all share (failure rates of their makers, the operation of \
         a cluster, electricity, building, interest) is listed by `supernode campaign` on any of them.",
    );
    let head = ["figure", "value and range", "origin", "source"].map(str::to_owned).to_vec();
    let mut table = Table { head, left: 4, ..Table::default() };
    let mut seen: Vec<&str> = Vec::new();
    for contender in answer.groups.iter().flat_map(|g| &g.contenders) {
        for (path, figure) in own_figures(contender) {
            // A step's factor is of one run; the same price is of all.
            if !seen.contains(&path) {
                seen.push(path);
                table.rows.push(vec![
                    text(&figure_words(path)),
                    text(&shown_figure(figure)),
                    text(figure.origin.word()),
                    source_links(&figure.source),
                ]);
            }
        }
    }
    page.table(&table);
}
