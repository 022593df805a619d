//! A campaign's answer as text and JSON.

mod json;
mod page;
mod prices;

pub use json::campaign_json;
pub(crate) use json::{named, sources, summary as summary_json};
pub use page::campaign_page;
pub(crate) use prices::{chip_prices, price_line, prices_markup, within_others};

use crate::sheet::overfull_words;
use crate::table::{aligned, bar, row};
use campaign::{
    Answer, Bar, Campaign, Held, Medians, Region, Sample, Spread, Summary, nanoseconds, widest,
};
use std::fmt::Write;
use units::{Figure, Unit, format_quantity, format_seconds};

/// All that an answer shows.
#[derive(Clone, Copy, Debug)]
pub struct CampaignAnswer<'a> {
    /// What was sampled.
    pub campaign: &'a Campaign,
    /// With which seed.
    pub seed: u64,
    /// What the samples say.
    pub summary: &'a Summary,
    /// With every figure at its value.
    pub medians: Medians,
    /// With one at its ends.
    pub bars: &'a [Bar],
    /// Claims that were asked about.
    pub held: &'a [Held],
    /// The samples themselves, for pictures.
    pub samples: &'a [Sample],
}

/// Bars of a tornado that are shown.
pub(crate) const SHOWN: usize = 12;

/// Columns of a histogram.
pub(crate) const BINS: usize = 30;

/// Dollars with the prefix that suits: `12.3 M USD`.
pub(crate) fn usd(value: f64) -> String {
    let (scale, prefix) = match value.abs() {
        v if v >= 1e9 => (1e9, " B"),
        v if v >= 1e6 => (1e6, " M"),
        v if v >= 1e3 => (1e3, " k"),
        _ => (1.0, ""),
    };
    if value == 0.0 {
        return "0 USD".to_owned();
    }
    let scaled = value / scale;
    let decimals = match scaled.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.01 => 2,
        _ => 5,
    };
    format!("{scaled:.decimals$}{prefix} USD")
}

/// Dollars for pages: `$12.3M`, `$50M`, `$0.42`.
pub(crate) fn dollars(value: f64) -> String {
    let words = usd(value);
    let (digits, rest) = words.split_once(' ').unwrap_or((&words, ""));
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    };
    format!("${digits}{}", rest.trim_end_matches("USD").trim())
}

/// A range in words, its unit once where both ends have it.
pub(crate) fn span_words(low: &str, high: &str) -> String {
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number} to {high}"),
        _ => format!("{low} to {high}"),
    }
}

/// A whole number in groups of three digits.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A place on an axis, without needless zeros.
pub(crate) fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Days with a decimal where it tells.
pub(crate) fn days(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

pub(crate) fn energy(joules: f64) -> String {
    format!("{:.1} GWh", joules / 3.6e12)
}

pub(crate) fn per_cent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A figure for people: durations and yearly rates read better than base units.
pub(crate) fn shown_figure(figure: &Figure) -> String {
    let one = |value: f64| match figure.unit {
        Unit::Second => format_seconds_long(value),
        // The ends in the unit of the value.
        Unit::PerYear if figure.value < 1.0 => format!("{} %/year", short(100.0 * value)),
        Unit::PerYear => format!("{} /year", short(value)),
        unit => format_quantity(value, unit),
    };
    if figure.is_uncertain() {
        let all = [figure.value, figure.low, figure.high].map(one);
        let apart = all.each_ref().map(|text| text.split_once(' '));
        match apart {
            // One unit for the three reads better than three.
            [Some((value, unit)), Some((low, b)), Some((high, c))] if unit == b && unit == c => {
                format!("{value} ({low} .. {high}) {unit}")
            }
            _ => format!("{} ({} .. {})", all[0], all[1], all[2]),
        }
    } else {
        one(figure.value)
    }
}

/// Three significant digits.
pub(crate) fn short(value: f64) -> String {
    let magnitude = if value > 0.0 { value.log10().floor() as i32 } else { 0 };
    let decimals = (2 - magnitude).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

fn format_seconds_long(seconds: f64) -> String {
    seconds_like(seconds, seconds)
}

/// `seconds` in the unit in which `like` reads best.
fn seconds_like(like: f64, seconds: f64) -> String {
    let (one, unit) = match like {
        s if s >= 365.0 * 86_400.0 => (31_536_000.0, "years"),
        s if s >= 2.0 * 86_400.0 => (86_400.0, "days"),
        s if s >= 7_200.0 => (3_600.0, "h"),
        s if s >= 120.0 => (60.0, "min"),
        _ => return format_seconds(seconds),
    };
    format!("{} {unit}", short(seconds / one))
}

/// The answer for people.
pub fn campaign_text(answer: &CampaignAnswer<'_>) -> String {
    let mut out = head(answer);
    out.push_str(&headline(answer));
    out.push_str(&where_time_went(answer.summary));
    out.push_str(&interruptions(answer.summary));
    out.push_str(&money(answer.summary));
    out.push_str(&tornadoes(answer));
    for held in answer.held {
        out.push_str(&claim(held));
    }
    out.push_str(&assumed(answer.campaign));
    out
}

fn head(answer: &CampaignAnswer<'_>) -> String {
    let campaign = answer.campaign;
    let run = campaign.run(&campaign.assumptions.central());
    let seconds = |ns: u64| format_seconds(ns as f64 / 1e9);
    let c = &campaign.counts;
    let prices =
        campaign.economics.as_ref().map_or_else(String::new, |e| format!(", prices: {}", e.name));
    let over: Vec<String> = campaign.overfull.iter().map(overfull_words).collect();
    let over = if over.is_empty() { String::new() } else { format!("  {}\n", over.join("\n  ")) };
    format!(
        "{}\n{over}  {} chips, {:.0} hosts, {:.0} cables, {:.0} optical modules, {:.0} switches, {} spare \
         hosts\n  rates: {}, a failure every {}{prices}\n  a checkpoint of {} every {} ({}, stalls {}, durable after {})\n",
        campaign.name,
        campaign.ranks,
        c.hosts,
        c.cables,
        c.optics,
        c.switches,
        run.spare_hosts,
        campaign.reliability.name,
        format_seconds_long(campaign.between_failures_s(&campaign.assumptions.central())),
        format_quantity(campaign.checkpoint_bytes.0, Unit::Byte),
        seconds(run.checkpoints.interval_ns),
        campaign.checkpoint.word(),
        seconds(run.checkpoints.stall_ns),
        seconds(run.checkpoints.persist_ns),
    )
}

fn line(name: &str, spread: &Spread, shown: impl Fn(f64) -> String) -> Vec<String> {
    vec![
        name.to_owned(),
        shown(spread.p5),
        shown(spread.p50),
        shown(spread.p95),
        format!("{:.0} %", 100.0 * spread.ignorance),
    ]
}

const HEAD: [&str; 5] = ["", "p5", "p50", "p95", "of it ignorance"];

fn headline(answer: &CampaignAnswer<'_>) -> String {
    let summary = answer.summary;
    let mut rows = vec![row(HEAD)];
    if answer.campaign.window_s.is_some() {
        rows.push(line("tokens", &summary.tokens, |v| format_quantity(v, Unit::Token)));
    } else {
        rows.push(line("days", &summary.days, days));
    }
    rows.push(line("goodput", &summary.goodput, per_cent));
    rows.push(line("failures", &summary.failures, |v| format!("{v:.0}")));
    rows.push(line("chip-hours", &summary.chip_hours, |v| format!("{:.3} M", v / 1e6)));
    if let Some(spread) = &summary.energy_j {
        rows.push(line("energy", spread, energy));
    }
    if let Some(money) = &summary.money {
        rows.push(line("rented", &money.rental, usd));
        rows.push(line("owned", &money.owning, usd));
    }
    let of = answer.campaign.window_s.map_or_else(
        || "The run".to_owned(),
        |s| format!("The first {} days of the run", days(s / 86_400.0)),
    );
    let prices = chip_prices(answer.campaign);
    let prices: Vec<String> =
        prices.iter().map(|(paid, figure)| format!("  {}\n", price_line(paid, figure))).collect();
    format!(
        "\n{of}, {} samples of chance and of every uncertain figure\n{}{}{}",
        summary.samples,
        aligned(&rows, 1),
        prices.concat(),
        unfinished(answer).map_or_else(String::new, |words| format!("  {words}\n"))
    )
}

/// What to say of samples that did not do all of the work.
pub(crate) fn unfinished(answer: &CampaignAnswer<'_>) -> Option<String> {
    let summary = answer.summary;
    let short = summary.samples - summary.finished;
    if short == 0 {
        return None;
    }
    let share = per_cent(short as f64 / summary.samples as f64);
    Some(if answer.campaign.window_s.is_some() {
        format!("{share} of the runs are not done by then")
    } else {
        format!(
            "{share} of the runs never end, failing faster than they recover: they count as the longest, \
             and means are too low"
        )
    })
}

fn where_time_went(summary: &Summary) -> String {
    let total: f64 = summary.causes.iter().map(|(_, s)| s.mean).sum();
    let mut rows = vec![row(["", "", "p5", "mean", "p95", ""])];
    for (cause, spread) in &summary.causes {
        if spread.mean > 0.0 {
            rows.push(vec![
                cause.words().to_owned(),
                bar(spread.mean / total),
                format!("{:.2}", spread.p5),
                format!("{:.2}", spread.mean),
                format!("{:.2}", spread.p95),
                format!("{:.2} %", 100.0 * spread.mean / total),
            ]);
        }
    }
    format!("\nWhere the days went\n{}", aligned(&rows, 2))
}

fn interruptions(summary: &Summary) -> String {
    let mut rows = vec![row(["", "p5", "mean", "p95"])];
    for (name, spread) in summary.strikes.iter().filter(|(_, s)| s.p95 > 0.0) {
        let cells = [spread.p5, spread.mean, spread.p95].map(|v| format!("{v:.1}"));
        rows.push([vec![name.clone()], cells.to_vec()].concat());
    }
    format!("\nInterruptions by cause\n{}", aligned(&rows, 1))
}

fn money(summary: &Summary) -> String {
    let Some(money) = &summary.money else { return String::new() };
    let mut rows = vec![row(HEAD)];
    for (name, spread) in money.parts.iter().filter(|(_, spread)| spread.p95 > 0.0) {
        rows.push(line(&format!("owned: {name}"), spread, usd));
    }
    let (rented, owned) = &money.per_million_tokens;
    rows.push(line("rented, per million tokens", rented, usd));
    rows.push(line("owned, per million tokens", owned, usd));
    let (rented, owned) = &money.per_petaflop;
    let million = |v: f64| usd(v * 1e6);
    rows.push(line("rented, per million useful petaFLOP", rented, million));
    rows.push(line("owned, per million useful petaFLOP", owned, million));
    let held = within_others(money).map_or_else(String::new, |words| format!("  {words}\n"));
    format!("\nThe bill\n{}{held}", aligned(&rows, 1))
}

fn tornadoes(answer: &CampaignAnswer<'_>) -> String {
    let mut out = tornado(answer, Answer::Days, "days", days);
    if answer.summary.money.is_some() {
        out.push_str(&tornado(answer, Answer::Rental, "the rented bill", usd));
        out.push_str(&tornado(answer, Answer::Owning, "the owner's bill", usd));
    }
    out
}

fn tornado(
    answer: &CampaignAnswer<'_>,
    of: Answer,
    name: &str,
    shown: fn(f64) -> String,
) -> String {
    if answer.bars.iter().all(|bar| bar.swing(of) <= 0.0) {
        return String::new();
    }
    let mut rows = vec![row(["figure", "value", "at its low end", "at its high end", "origin"])];
    for bar in widest(answer.bars, of).into_iter().take(SHOWN) {
        rows.push(vec![
            bar.path.clone(),
            shown_figure(&bar.figure),
            shown(bar.at_low.of(of)),
            shown(bar.at_high.of(of)),
            bar.figure.origin.word().to_owned(),
        ]);
    }
    format!(
        "\nWhat moves {name} ({} with every figure at its value)\n{}",
        shown(answer.medians.of(of)),
        aligned(&rows, 2)
    )
}

/// Where along a figure's range a claim held when the others stood at their values.
pub(crate) fn region_words(region: &Region) -> String {
    let held: Vec<f64> = region.tried.iter().filter(|(_, held)| *held).map(|(v, _)| *v).collect();
    let one = |value: f64| shown_value(&region.figure, value);
    match (held.first(), held.last()) {
        (Some(_), Some(_)) if held.len() == region.tried.len() => "all of it".to_owned(),
        (Some(low), Some(high)) if low < high => format!("{} .. {}", one(*low), one(*high)),
        (Some(only), _) => format!("about {}", one(*only)),
        _ => match region.reached {
            Some(value) => format!("none of it; from {}", one(value)),
            None => "none of it".to_owned(),
        },
    }
}

/// Another value of a figure, as the figure is shown.
pub(crate) fn shown_value(figure: &Figure, value: f64) -> String {
    match figure.unit {
        Unit::Second => seconds_like(figure.value, value),
        Unit::PerYear if figure.value < 1.0 => format!("{} %/year", short(100.0 * value)),
        _ => shown_figure(&Figure { value, low: value, high: value, ..figure.clone() }),
    }
}

/// The claim in words.
pub(crate) fn claim_words(held: &Held) -> String {
    let (low, high) = held.range;
    match held.answer {
        Answer::Days => format!("{} to {} days", days(low), days(high)),
        Answer::Rental => format!("{} to {}, rented", usd(low), usd(high)),
        Answer::Owning => format!("{} to {}, owned", usd(low), usd(high)),
    }
}

fn claim(held: &Held) -> String {
    let mut rows = vec![row([
        "figure",
        "its range",
        "holds, others at their values, for",
        "% held by fifths",
    ])];
    for region in &held.regions {
        let fifths: Vec<String> =
            region.by_fifth.iter().map(|s| format!("{:3.0}", 100.0 * s)).collect();
        rows.push(vec![
            region.path.clone(),
            shown_figure(&region.figure),
            region_words(region),
            fifths.join(" "),
        ]);
    }
    format!(
        "\nIs it {}?\n  yes in {} of the samples, below in {}, above in {}; with every figure at its \
         value: {}\n{}",
        claim_words(held),
        per_cent(held.share),
        per_cent(held.outside.0),
        per_cent(held.outside.1),
        if held.central { "yes" } else { "no" },
        aligned(&rows, 4)
    )
}

fn assumed(campaign: &Campaign) -> String {
    let mut out = String::from("\nWhat is assumed\n");
    for (path, figure) in &campaign.assumptions.list {
        if figure.origin == units::Origin::Assumed {
            let _ = writeln!(out, "  {path}: {}", shown_figure(figure));
        }
    }
    out
}

/// The ideal days: every step once, at full speed.
pub(crate) fn ideal_days(campaign: &Campaign) -> f64 {
    let run = campaign.run(&campaign.assumptions.central());
    run.work_ns() as f64 / nanoseconds(86_400.0) as f64
}

#[cfg(test)]
mod tests {
    use super::{dollars, grouped, plain, shown_figure, shown_value, span_words};
    use units::{Figure, Origin, Unit};

    #[test]
    fn a_unit_is_written_once_where_it_is_the_same() {
        let rent = Figure::ranged(1.3, (0.7, 2.2), Unit::UsdPerHour, Origin::Assumed, "judgement");
        assert_eq!(shown_figure(&rent), "1.3 (0.7 .. 2.2) USD/h");
        let notice =
            Figure::ranged(21_600.0, (3_600.0, 172_800.0), Unit::Second, Origin::Assumed, "");
        assert_eq!(shown_figure(&notice), "6.00 h (60.0 min .. 2.00 days)");
        let software = Figure::ranged(0.312, (0.104, 1.04), Unit::PerYear, Origin::Assumed, "");
        assert_eq!(shown_figure(&software), "31.2 (10.4 .. 104) %/year");
        assert_eq!(shown_value(&software, 1.24), "124 %/year");
        let life = Figure { value: 4.0 * 31_536_000.0, ..notice };
        assert_eq!(shown_value(&life, 0.65 * 31_536_000.0), "0.650 years");
    }

    #[test]
    fn numbers_read_well() {
        let shown = [12_345_678.0, 50e6, 0.416, 0.0, 964_000.0].map(dollars);
        assert_eq!(shown, ["$12.3M", "$50M", "$0.42", "$0", "$964k"]);
        assert_eq!(span_words("9.6 GWh", "22.7 GWh"), "9.6 to 22.7 GWh");
        assert_eq!(span_words("$964k", "$1.2M"), "$964k to $1.2M");
        assert_eq!([7, 8_192, 1_048_576].map(grouped), ["7", "8,192", "1,048,576"]);
        assert_eq!([0.0, 2.5, 40.0, 0.25].map(plain), ["0", "2.5", "40", "0.25"]);
    }
}
