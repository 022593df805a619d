//! The answer of a comparison before its pictures, and what it rests on.

use crate::campaign::{
    chip_prices, days, dollars, energy, grouped, per_cent, prices_markup, shown_figure, span_words,
};
use crate::compare::{CompareAnswer, CompareGroup, MEASURES, decided, own_figures, ratio_of};
use crate::page::{Fact, Html, Page, Table, data, text};
use crate::words::{figure_words, source_links};
use campaign::{Contender, Equal, Ratio, Sample, Spread};
use units::Origin;

/// How many chips each has, where all are as listed.
pub fn chips_words(answer: &CompareAnswer<'_>) -> Option<String> {
    let group = answer.groups.first().filter(|_| answer.equal == Equal::Listed)?;
    let chips = group.contenders.first()?.scenario.ranks;
    let other = |c: &&Contender| c.scenario.ranks != chips;
    let others: Vec<String> = group
        .contenders
        .iter()
        .filter(other)
        .map(|c| format!("{}: {}", c.name, grouped(c.scenario.ranks)))
        .collect();
    let others =
        if others.is_empty() { String::new() } else { format!(" ({})", others.join("; ")) };
    Some(format!("{} chips each{others}", grouped(chips)))
}

/// The answer of the first run in sentences: the first machine's days and cost, and who differs by more
/// than the uncertainty.
pub fn lead(page: &mut Page, answer: &CompareAnswer<'_>) {
    let Some(group) = answer.groups.iter().find(|g| !g.contenders.is_empty()) else { return };
    let first = &group.contenders[0];
    let span = |s: &Spread, shown: fn(f64) -> String| {
        let [p5, p50, p95] = [s.p5, s.p50, s.p95].map(|v| data(v, &shown(v)).0);
        format!("{p50} ({p5} to {p95})")
    };
    let (name, run) = (text(&first.name).0, text(&group.name).0);
    let time = span(&first.summary.days, days);
    page.lead(&Html(format!(
        "<b>{run}: {time} days on {name}.</b> {}",
        text(&sides(group, 0, ["Faster", "Slower"])).0
    )));
    if let Some(money) = &first.summary.money {
        let cost = span(&money.owning, dollars);
        page.lead(&Html(format!(
            "<b>It costs the owner {cost}.</b> {}",
            text(&sides(group, 3, ["Cheaper to own", "Dearer to own"])).0
        )));
        let assumed = |c: &&Contender| {
            chip_prices(&c.campaign).iter().any(|(_, f)| f.origin == Origin::Assumed)
        };
        let names: Vec<&str> =
            group.contenders.iter().filter(assumed).map(|c| c.name.as_str()).collect();
        if let Some(prices) = prices_markup(&first.campaign) {
            let prices = prices.0;
            page.html(&Html(format!("<p class=\"note\">Prices on {name}: {prices}.</p>")));
        }
        if !names.is_empty() {
            page.html(&Html(format!(
                "<p class=\"note\">Rent, price or both are assumed for {}; each with its reason under \
                 <a href=\"#rests\">What it rests on</a>.</p>",
                text(&names.join(", ")).0
            )));
        }
    }
}

/// The two sides beyond the uncertainty, and the rest.
fn sides(group: &CompareGroup, measure: usize, words: [&str; 2]) -> String {
    let [below, same, above] = split(group, MEASURES[measure].1);
    let list = |names: &[&str]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    format!(
        "{}: {}. {}: {}. Within 1 % or not told apart: {}.",
        words[0],
        list(&below),
        words[1],
        list(&above),
        list(&same)
    )
}

/// Names of the machines whose ratio to the first is below 1, within 1 % or not told apart from it, and
/// above.
fn split(group: &CompareGroup, of: fn(&Sample) -> f64) -> [Vec<&str>; 3] {
    let mut lists = [Vec::new(), Vec::new(), Vec::new()];
    for contender in group.contenders.iter().skip(1) {
        if let Some(r) = ratio_of(group, contender, of) {
            let same = !r.differs() || (r.p50 - 1.0).abs() < 0.01;
            let at = if same { 1 } else { 2 * usize::from(r.p50 > 1.0) };
            lists[at].push(contender.name.as_str());
        }
    }
    lists
}

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
        _ => data(c.summary.days.p50, &days(c.summary.days.p50)),
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

/// The first machine's figures, and who differs by more than the uncertainty.
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
        .chain(["lower on", "within 1 % or not told apart on", "higher on"].map(str::to_owned));
    let mut table = Table { head: head.collect(), left: 4, ..Table::default() };
    for (name, of) in MEASURES {
        let lists = split(group, of);
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
    page.html(&Html("<h2 id=\"rests\">What it rests on</h2>".to_owned()));
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
