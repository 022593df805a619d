//! Whether a claim holds, and what would have to be true for it.

use crate::campaign::{days, dollars, grouped, per_cent, region_words, shown_figure, shown_value};
use crate::page::{Html, Page, Row, Rows, Scale, Table, data, text};
use crate::words::figure_words;
use campaign::{Answer, Held, Region, Spread, Summary};

/// Every claim that was asked about.
pub fn section(page: &mut Page, claims: &[Held], summary: &Summary) {
    if let Some(first) = claims.first() {
        let (low, high) = first.range;
        let words = |v| if first.answer == Answer::Days { days(v) } else { dollars(v) };
        let unit = if first.answer == Answer::Days { " days" } else { "" };
        page.section(&format!("Is it {} to {}{unit}?", words(low), words(high)));
        for held in claims {
            page.lead(&verdict(held, summary.samples));
        }
        picture(page, claims, summary);
        for held in claims {
            conditions(page, held);
        }
    }
}

/// What the answer is about, in a sentence.
fn subject(held: &Held) -> &'static str {
    match held.answer {
        Answer::Days => "In days",
        Answer::Rental => "Rented",
        Answer::Owning => "Owned",
    }
}

fn verdict(held: &Held, samples: usize) -> Html {
    let subject = subject(held);
    // Counts, where per cent would round them away.
    let few = 0.01 * samples as f64;
    let runs = |share: f64| (share * samples as f64).round();
    let (below, above) = held.outside;
    let counted = [held.share, below, above].iter().any(|v| *v > 0.0 && runs(*v) < few);
    let share = |value: f64| {
        let shown = if counted { grouped(runs(value) as u64) } else { per_cent(value) };
        data(value, &shown).0
    };
    let samples = grouped(samples as u64);
    if held.share <= 0.0 {
        let side = match (below > 0.0, above > 0.0) {
            (true, false) => "every one is below".to_owned(),
            (false, true) => "every one is above".to_owned(),
            _ => format!("{} are below, {} above", share(below), share(above)),
        };
        return Html(format!("<b>{subject}: no.</b> In none of {samples} played runs; {side}."));
    }
    let word = if held.share >= 0.95 {
        "yes"
    } else if held.share < 0.05 {
        "hardly"
    } else {
        "perhaps"
    };
    let sides = [(below, "below"), (above, "above")];
    let sides = sides.iter().filter(|(v, _)| *v > 0.0);
    let sides: Vec<String> = sides.map(|(v, side)| format!("; {} {side}", share(*v))).collect();
    Html(format!(
        "<b>{subject}: {word}.</b> In {} of {samples} played runs{}. With every figure at its \
         value: {}.",
        share(held.share),
        sides.concat(),
        if held.central { "yes" } else { "no" }
    ))
}

fn spread_of(held: &Held, summary: &Summary) -> Option<Spread> {
    match held.answer {
        Answer::Days => Some(summary.days),
        Answer::Rental => summary.money.as_ref().map(|m| m.rental),
        Answer::Owning => summary.money.as_ref().map(|m| m.owning),
    }
}

/// The played runs beside what is claimed, on one scale of factors.
fn picture(page: &mut Page, claims: &[Held], summary: &Summary) {
    let found: Vec<(&Held, Spread)> =
        claims.iter().filter_map(|held| Some((held, spread_of(held, summary)?))).collect();
    let Some((first, _)) = found.first() else { return };
    let (low, high) = first.range;
    let shown: fn(f64) -> String = if first.answer == Answer::Days { days } else { dollars };
    let ends = || found.iter().flat_map(|(_, s)| [s.p5, s.p95]).chain([low, high]);
    let from = ends().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min) / 1.3;
    let to = ends().fold(0.0, f64::max) * 1.3;
    let mut rows = Rows::new("played runs and the claim", Scale::logarithmic(from, to));
    rows.tick = Some(shown);
    rows.legend = vec![(0, "nine of ten played runs".into()), (1, "the claim".into())];
    for (held, spread) in &found {
        let name = format!("{}, played", subject(held).to_lowercase());
        let mut row = Row::new(&name, "").bar(spread.p5, spread.p95, 0);
        row.value = Html(format!(
            "{} to {}",
            data(spread.p5, &shown(spread.p5)).0,
            data(spread.p95, &shown(spread.p95)).0
        ));
        rows.rows.push(row);
    }
    let mut row = Row::new("claimed", "").bar(low, high, 1);
    row.value = Html(format!("{} to {}", data(low, &shown(low)).0, data(high, &shown(high)).0));
    rows.rows.push(row);
    page.figure(
        &rows.draw(),
        "What was played against what is claimed; each step of the scale is a factor.",
    );
}

/// For which values of single figures the claim is true.
fn conditions(page: &mut Page, held: &Held) {
    let name = subject(held);
    page.heading(&format!("{name}: what would have to be true"));
    if (0.02..0.98).contains(&held.share) {
        fifths(page, held);
    }
    let (able, unable): (Vec<&Region>, Vec<&Region>) = held.regions.iter().partition(|r| {
        r.tried.iter().any(|(_, h)| *h) || (r.reached.is_some() && factor(r) <= FAR)
    });
    if !able.is_empty() {
        page.say("One figure at a time, all others at their values:");
        let head =
            ["figure", "what is thought", "where the claim is true"].map(str::to_owned).to_vec();
        let mut table = Table { head, left: 3, ..Table::default() };
        for region in able {
            table.rows.push(vec![
                text(&figure_words(&region.path)),
                text(&shown_figure(&region.figure)),
                where_true(region),
            ]);
        }
        page.table(&table);
    }
    if !unable.is_empty() {
        let list: Vec<String> = unable.iter().map(|r| figure_words(&r.path)).collect();
        page.say(&format!(
            "None of these makes it true alone within {FAR:.0} times what is thought: {}.",
            list.join("; ")
        ));
    }
}

/// Beyond so many times a figure's value no claim is worth a line.
const FAR: f64 = 20.0;

/// How many times the figure, or one over it, the claim begins to hold at.
fn factor(region: &Region) -> f64 {
    let times = region.reached.map_or(1.0, |reached| reached / region.figure.value);
    if times >= 1.0 { times } else { 1.0 / times }
}

fn where_true(region: &Region) -> Html {
    if region.tried.iter().any(|(_, held)| *held) {
        return text(&region_words(region));
    }
    let Some(reached) = region.reached else { return text("nowhere") };
    let shown = data(reached, &shown_value(&region.figure, reached)).0;
    let times = factor(region);
    let way = if reached >= region.figure.value { "times as much" } else { "times less" };
    Html(format!("from {shown}, {times:.1} {way}"))
}

/// Where in the ranges of the figures that decide most the claim holds.
fn fifths(page: &mut Page, held: &Held) {
    let mut rows = Rows::new("share of runs in which it holds", Scale::linear(0.0, 1.0));
    rows.tick = Some(per_cent);
    rows.long_names = true;
    for region in &held.regions {
        for (fifth, share) in region.by_fifth.iter().enumerate() {
            let name = ["lowest fifth", "second", "middle", "fourth", "highest fifth"][fifth];
            let mut row = Row::new(name, "").bar(0.0, *share, 0);
            row.value = data(*share, &per_cent(*share));
            let group = format!("{}: {}", figure_words(&region.path), shown_figure(&region.figure));
            row.group = (fifth == 0).then_some(group);
            rows.rows.push(row);
        }
        if rows.rows.len() >= 20 {
            break;
        }
    }
    page.figure(
        &rows.draw(),
        "By fifths of what was drawn for each figure, the others drawn as well: the figures that \
         decide most.",
    );
}
