//! A campaign as one HTML file: the answer first, then what would change it.

use super::{
    CampaignAnswer, SHOWN, claim_words, days, energy, per_cent, region_words, shown_figure,
    unfinished, usd,
};
use crate::page::pictures::{Swing, histogram, tornado};
use crate::page::{Fact, Html, Page, Row, Rows, Scale, Table, data, text};
use campaign::{Answer, Held, Spread, Summary, widest};
use serde_json::Value;
use units::{Origin, Unit, format_quantity, format_seconds};

/// The page of a campaign; `json` is the same answer as [`super::campaign_json`] gives it.
pub fn campaign_page(json: &Value, answer: &CampaignAnswer<'_>) -> String {
    let campaign = answer.campaign;
    let tokens = campaign.tokens(&campaign.assumptions.central());
    let subtitle = format!(
        "{} on {} chips, from the first step to the last",
        format_quantity(tokens, Unit::Token),
        campaign.ranks
    );
    let mut page = Page::new(&campaign.name, &subtitle);
    page.facts(&facts(answer));
    page.say(&conclusion(answer));
    for held in answer.held {
        claim(&mut page, held);
    }
    distribution(&mut page, answer);
    where_time_went(&mut page, answer.summary);
    interruptions(&mut page, answer.summary);
    bill(&mut page, answer.summary);
    what_moves(&mut page, answer);
    operation(&mut page, answer);
    assumptions(&mut page, answer);
    page.finish(json)
}

fn fact(name: &str, spread: &Spread, shown: impl Fn(f64) -> String) -> Fact {
    let range = format!("{} .. {}", shown(spread.p5), shown(spread.p95));
    Fact::new(name, data(spread.p50, &shown(spread.p50)), &range)
}

fn facts(answer: &CampaignAnswer<'_>) -> Vec<Fact> {
    let summary = answer.summary;
    let mut facts = vec![
        match answer.campaign.window_s {
            Some(_) => fact("tokens", &summary.tokens, |v| format_quantity(v, Unit::Token)),
            None => fact("days", &summary.days, days),
        },
        fact("goodput", &summary.goodput, per_cent),
        fact("failures", &summary.failures, |v| format!("{v:.0}")),
    ];
    facts.extend(summary.energy_j.as_ref().map(|s| fact("energy", s, energy)));
    if let Some(money) = &summary.money {
        facts.push(fact("rented", &money.rental, usd));
        facts.push(fact("owned", &money.owning, usd));
    }
    facts
}

fn conclusion(answer: &CampaignAnswer<'_>) -> String {
    let summary = answer.summary;
    let first = |of: Answer| widest(answer.bars, of).first().map(|b| b.path.clone());
    let moved = first(Answer::Days)
        .map_or_else(String::new, |path| format!(" What moves the days most is {path}."));
    let cut = unfinished(answer).map_or_else(String::new, |words| format!(" {words}."));
    let (of, spread) = match answer.campaign.window_s {
        Some(s) => (format!("failures in {} days", days(s / 86_400.0)), &summary.failures),
        None => ("days".to_owned(), &summary.days),
    };
    format!(
        "Middle values, with the range that holds nine of ten of {} played runs. {:.0} % of the \
         spread in {of} is ignorance of the figures below; the rest is chance.{moved}{cut}",
        summary.samples,
        100.0 * spread.ignorance
    )
}

fn claim(page: &mut Page, held: &Held) {
    page.section(&format!("Is it {}?", claim_words(held)));
    page.html(&Html(format!(
        "<p>In {} of the runs. In {} it is less, in {} more. With every figure at its value: {}.</p>",
        data(held.share, &per_cent(held.share)).0,
        data(held.outside.0, &per_cent(held.outside.0)).0,
        data(held.outside.1, &per_cent(held.outside.1)).0,
        if held.central { "yes" } else { "no" }
    )));
    if held.share > 0.0 && held.share < 1.0 {
        fifths(page, held);
    }
    let mut table = Table {
        head: ["figure", "its range", "holds, the others at their values, for"]
            .map(str::to_owned)
            .to_vec(),
        left: 3,
        ..Table::default()
    };
    for region in &held.regions {
        let cells = [region.path.clone(), shown_figure(&region.figure), region_words(region)];
        table.rows.push(cells.iter().map(|c| text(c)).collect());
    }
    page.table(&table);
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
            row.group =
                (fifth == 0).then(|| format!("{}: {}", region.path, shown_figure(&region.figure)));
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

fn distribution(page: &mut Page, answer: &CampaignAnswer<'_>) {
    page.section("How sure it is");
    if answer.campaign.window_s.is_none() {
        let values: Vec<f64> = answer.samples.iter().map(campaign::Sample::days).collect();
        let picture = histogram("days of the played runs", &values, 30, days, "days");
        page.figure(&picture.draw(), "Days of the played runs.");
    }
    if answer.summary.money.is_some() {
        let values: Vec<f64> = answer.samples.iter().map(|s| Answer::Owning.of(s)).collect();
        let picture = histogram("cost of owning", &values, 30, usd, "owned");
        page.figure(&picture.draw(), "Cost of the played runs to an owner of the machine.");
        let values: Vec<f64> = answer.samples.iter().map(|s| Answer::Rental.of(s)).collect();
        let picture = histogram("cost of renting", &values, 30, usd, "rented");
        page.figure(&picture.draw(), "Cost of the played runs at a price per chip and hour.");
    }
}

fn where_time_went(page: &mut Page, summary: &Summary) {
    page.section("Where the time went");
    let total: f64 = summary.causes.iter().map(|(_, s)| s.mean).sum();
    let lost: Vec<_> = summary
        .causes
        .iter()
        .filter(|(c, s)| *c != campaign::Cause::Useful && s.mean > 0.0)
        .collect();
    let most = lost.iter().map(|(_, s)| s.p95).fold(0.0, f64::max);
    let mut rows = Rows::new("days lost by cause", Scale::linear(0.0, most.max(1e-9)));
    rows.tick = Some(|v| format!("{v:.2}"));
    for (cause, spread) in &lost {
        let mut row =
            Row::new(cause.words(), "").bar(0.0, spread.mean, 1).whisker(spread.p5, spread.p95);
        let shown = data(spread.mean, &format!("{:.2} d", spread.mean)).0;
        row.value = Html(format!("{shown} \u{b7} {:.2} %", 100.0 * spread.mean / total));
        rows.rows.push(row);
    }
    page.figure(
        &rows.draw(),
        "Days that were not useful steps: the mean, and nine of ten runs. Every nanosecond of a run \
         has one cause.",
    );
}

fn interruptions(page: &mut Page, summary: &Summary) {
    page.section("What stopped it");
    let mut found: Vec<_> = summary.strikes.iter().filter(|(_, s)| s.p95 > 0.0).collect();
    found.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean).then(a.0.cmp(&b.0)));
    let most = found.iter().map(|(_, s)| s.p95).fold(1.0, f64::max);
    let mut rows = Rows::new("interruptions by cause", Scale::linear(0.0, most));
    rows.tick = Some(|v| format!("{v:.0}"));
    for (name, spread) in found {
        let mut row = Row::new(name, "").bar(0.0, spread.mean, 0).whisker(spread.p5, spread.p95);
        row.value = data(spread.mean, &format!("{:.1}", spread.mean));
        rows.rows.push(row);
    }
    page.figure(&rows.draw(), "Interruptions by cause: the mean, and nine of ten runs.");
}

fn bill(page: &mut Page, summary: &Summary) {
    let Some(money) = &summary.money else { return };
    page.section("The bill");
    let head = ["", "p5", "p50", "p95"].map(str::to_owned).to_vec();
    let mut table = Table { head, left: 1, ..Table::default() };
    let mut line = |name: &str, spread: &Spread, shown: fn(f64) -> String| {
        let mut cells = vec![text(name)];
        cells.extend([spread.p5, spread.p50, spread.p95].map(|v| data(v, &shown(v))));
        table.rows.push(cells);
    };
    line("rented", &money.rental, usd);
    line("owned", &money.owning, usd);
    for (name, spread) in &money.parts {
        line(&format!("\u{2003}{name}"), spread, usd);
    }
    line("rented, per million tokens", &money.per_million_tokens.0, usd);
    line("owned, per million tokens", &money.per_million_tokens.1, usd);
    let million: fn(f64) -> String = |v| usd(v * 1e6);
    line("rented, per 10\u{b2}\u{b9} useful FLOP", &money.per_petaflop.0, million);
    line("owned, per 10\u{b2}\u{b9} useful FLOP", &money.per_petaflop.1, million);
    page.table(&table);
}

fn what_moves(page: &mut Page, answer: &CampaignAnswer<'_>) {
    page.section("What would change the conclusion");
    let mut draw = |of: Answer, name: &str, shown: fn(f64) -> String| {
        page.heading(name);
        let swings: Vec<Swing> = widest(answer.bars, of)
            .into_iter()
            .take(SHOWN)
            .map(|bar| Swing {
                name: format!("{}: {}", bar.path, shown_figure(&bar.figure)),
                at_low: bar.at_low.of(of),
                at_high: bar.at_high.of(of),
            })
            .collect();
        let picture = tornado(name, answer.medians.of(of), &swings, shown);
        page.figure(
            &picture.draw(),
            "Each figure at the ends of its range, the others at their values.",
        );
    };
    if answer.campaign.window_s.is_none() {
        draw(Answer::Days, "Days", days);
    }
    if answer.summary.money.is_some() {
        draw(Answer::Rental, "Rented", usd);
        draw(Answer::Owning, "Owned", usd);
    }
}

fn operation(page: &mut Page, answer: &CampaignAnswer<'_>) {
    let campaign = answer.campaign;
    let run = campaign.run(&campaign.assumptions.central());
    let seconds = |ns: u64| format_seconds(ns as f64 / 1e9);
    page.section("How it is run");
    let c = &campaign.counts;
    page.say(&format!(
        "{} chips in {:.0} hosts with {} spare, {:.0} cables, {:.0} optical modules, {:.0} switches \
         (counted from the topology). Failure rates: {}: one every {}. A checkpoint of {} every {}, {}: it stalls \
         the job for {} and is durable {} later.",
        campaign.ranks,
        c.hosts,
        run.spare_hosts,
        c.cables,
        c.optics,
        c.switches,
        campaign.reliability.name,
        super::format_seconds_long(campaign.between_failures_s(&campaign.assumptions.central())),
        format_quantity(campaign.checkpoint_bytes.0, Unit::Byte),
        seconds(run.checkpoints.interval_ns),
        campaign.checkpoint.word(),
        seconds(run.checkpoints.stall_ns),
        seconds(run.checkpoints.persist_ns),
    ));
}

fn assumptions(page: &mut Page, answer: &CampaignAnswer<'_>) {
    page.section("What it rests on");
    let list = &answer.campaign.assumptions.list;
    let assumed = list.iter().filter(|(_, f)| f.origin == Origin::Assumed).count();
    page.say(&format!(
        "{} figures, {assumed} of them assumed: nobody measured or published them. Everything that \
         makes a step (peaks, bandwidths, efficiencies) is in the step time, and in the rehearsal's own \
         page.",
        list.len()
    ));
    let head = ["figure", "value and range", "origin", "source"].map(str::to_owned).to_vec();
    let mut table = Table { head, left: 4, ..Table::default() };
    for (path, figure) in list {
        let cells = [path, &shown_figure(figure), figure.origin.word(), &figure.source];
        table.rows.push(cells.iter().map(|c| text(c)).collect());
    }
    page.table(&table);
}
