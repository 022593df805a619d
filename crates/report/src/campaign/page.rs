//! A campaign as one HTML file: the answer first, then what would change it.

mod claims;

use super::{
    BINS, CampaignAnswer, SHOWN, days, dollars, energy, grouped, per_cent, plain, prices_markup,
    shown_figure, span_words, unfinished, within_others,
};
use crate::page::pictures::{Swing, histogram, tornado};
use crate::page::{Fact, Html, Page, Row, Rows, Scale, Table, data, text};
use crate::sheet::overfull_words;
use crate::words::{figure_words, source_links};
use campaign::{Answer, Spread, Summary, widest};
use serde_json::Value;
use units::{Origin, Unit, format_quantity, format_seconds};

/// The page of a campaign; `json` is the same answer as [`super::campaign_json`] gives it.
pub fn campaign_page(json: &Value, answer: &CampaignAnswer<'_>) -> String {
    let campaign = answer.campaign;
    let tokens = campaign.tokens(&campaign.assumptions.central());
    let subtitle = format!(
        "{} trillion tokens on {} chips, from the first step to the last",
        plain(tokens / 1e12),
        grouped(campaign.ranks)
    );
    let mut page = Page::new(&campaign.name, &subtitle);
    page.facts(&facts(answer));
    for over in &campaign.overfull {
        page.say(&format!("The {}.", overfull_words(over)));
    }
    page.say(&conclusion(answer));
    if let Some(prices) = prices_markup(campaign) {
        page.html(&Html(format!("<p class=\"note\">Prices: {}.</p>", prices.0)));
    }
    claims::section(&mut page, answer.held, answer.summary);
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
    let range = span_words(&shown(spread.p5), &shown(spread.p95));
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
        facts.push(fact("rented", &money.rental, dollars));
        facts.push(fact("owned", &money.owning, dollars));
    }
    facts
}

fn conclusion(answer: &CampaignAnswer<'_>) -> String {
    let summary = answer.summary;
    let most = |of: Answer| widest(answer.bars, of).first().map(|bar| figure_words(&bar.path));
    let moved = |name: &str, of: Answer| {
        most(of).map_or_else(String::new, |what| format!(" What moves {name} most: {what}."))
    };
    let bill = if summary.money.is_some() {
        moved("the rent", Answer::Rental) + &moved("the owner's cost", Answer::Owning)
    } else {
        String::new()
    };
    let cut = unfinished(answer).map_or_else(String::new, |words| format!(" {words}."));
    let (of, spread) = match answer.campaign.window_s {
        Some(s) => (format!("failures in {} days", days(s / 86_400.0)), &summary.failures),
        None => ("days".to_owned(), &summary.days),
    };
    format!(
        "Middle values, and below them the range that holds nine of ten of {} played runs. Goodput is the \
         share of the time that is steps which count; failures are those that stop the job. Luck makes \
         {:.0} % of the spread in {of}; the rest is what nobody has measured or published.{}{bill}{cut}",
        grouped(summary.samples as u64),
        100.0 * (1.0 - spread.ignorance),
        moved("the days", Answer::Days),
    )
}

fn distribution(page: &mut Page, answer: &CampaignAnswer<'_>) {
    page.section("How sure it is");
    let values: Vec<f64> = answer.samples.iter().map(campaign::Sample::days).collect();
    let picture = histogram("days of the played runs", &values, BINS, plain, "days");
    page.figure(&picture.draw(), "Days of the played runs.");
    if answer.summary.money.is_some() {
        let values: Vec<f64> = answer.samples.iter().map(|s| Answer::Owning.of(s)).collect();
        let picture = histogram("cost of owning", &values, BINS, dollars, "owned");
        page.figure(&picture.draw(), "Cost of the played runs to an owner of the machine.");
        let values: Vec<f64> = answer.samples.iter().map(|s| Answer::Rental.of(s)).collect();
        let picture = histogram("cost of renting", &values, BINS, dollars, "rented");
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
    rows.tick = Some(plain);
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
    line("rented", &money.rental, dollars);
    line("owned", &money.owning, dollars);
    for (name, spread) in money.parts.iter().filter(|(_, spread)| spread.p95 > 0.0) {
        line(&format!("\u{2003}{name}"), spread, dollars);
    }
    line("rented, per million tokens", &money.per_million_tokens.0, dollars);
    line("owned, per million tokens", &money.per_million_tokens.1, dollars);
    let million: fn(f64) -> String = |v| dollars(v * 1e6);
    line("rented, per 10\u{b2}\u{b9} useful FLOP", &money.per_petaflop.0, million);
    line("owned, per 10\u{b2}\u{b9} useful FLOP", &money.per_petaflop.1, million);
    page.table(&table);
    if let Some(words) = within_others(money) {
        page.say(&format!("Owned, {words}."));
    }
}

fn what_moves(page: &mut Page, answer: &CampaignAnswer<'_>) {
    page.section("What would change the conclusion");
    let mut draw = |of: Answer, name: &str, shown: fn(f64) -> String| {
        page.heading(name);
        let swings: Vec<Swing> = widest(answer.bars, of)
            .into_iter()
            .take(SHOWN)
            .map(|bar| Swing {
                name: format!("{}: {}", figure_words(&bar.path), shown_figure(&bar.figure)),
                at_low: bar.at_low.of(of),
                at_high: bar.at_high.of(of),
            })
            .collect();
        let picture = tornado(name, answer.medians.of(of), &swings, shown);
        page.figure(
            &picture.draw(),
            "Each figure at the ends of its range, the others at their values. The middle of the played \
             runs is another number than all at their values: most ranges reach further to one side.",
        );
    };
    if answer.campaign.window_s.is_none() {
        draw(Answer::Days, "Days", days);
    }
    if answer.summary.money.is_some() {
        draw(Answer::Rental, "Rented", dollars);
        draw(Answer::Owning, "Owned", dollars);
    }
}

fn whole(count: f64) -> String {
    grouped(count.round() as u64)
}

fn operation(page: &mut Page, answer: &CampaignAnswer<'_>) {
    let campaign = answer.campaign;
    let run = campaign.run(&campaign.assumptions.central());
    let seconds = |ns: u64| format_seconds(ns as f64 / 1e9);
    page.section("How it is run");
    let c = &campaign.counts;
    page.say(&format!(
        "{} chips in {} hosts with {} spare, {} cables, {} optical modules, {} switches \
         (counted from the topology). Failure rates: {}: one every {}. A checkpoint of {} every {}, {}: it stalls \
         the job for {} and is durable {} later.",
        grouped(campaign.ranks),
        whole(c.hosts),
        run.spare_hosts,
        whole(c.cables),
        whole(c.optics),
        whole(c.switches),
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
        table.rows.push(vec![
            Html(format!(
                "{}<br/><span class=\"key\">{}</span>",
                text(&figure_words(path)).0,
                text(path).0
            )),
            text(&shown_figure(figure)),
            text(figure.origin.word()),
            source_links(&figure.source),
        ]);
    }
    page.table(&table);
}
