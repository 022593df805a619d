//! What a bill is multiplied by: rent and price of a chip, and why they are thought so.

use super::shown_figure;
use crate::page::{Html, text};
use crate::words::source_links;
use campaign::{Campaign, Money};
use units::Figure;

/// Rent and price of the campaign's chip, after how it is paid for; none without money.
pub(crate) fn chip_prices(campaign: &Campaign) -> Vec<(&'static str, &Figure)> {
    let paid = |path: &str| match path.split('.').collect::<Vec<_>>().as_slice() {
        ["economics", _, "rental"] => Some("rented"),
        ["economics", _, "price"] => Some("owned"),
        _ => None,
    };
    let list = campaign.assumptions.list.iter();
    list.filter_map(|(path, figure)| Some((paid(path)?, figure))).collect()
}

fn at(paid: &str, figure: &Figure) -> String {
    format!("{paid} at {} a chip, {}", shown_figure(figure), figure.origin.word())
}

/// A price in a line: `rented at 1.3 (0.7 .. 2.2) USD/h a chip, assumed (judgement): why`.
pub(crate) fn price_line(paid: &str, figure: &Figure) -> String {
    let (keys, note) = catalog::cited(&figure.source);
    let why = note.map_or_else(String::new, |note| format!(": {note}"));
    format!("{} ({}){why}", at(paid, figure), keys.join(", "))
}

/// Both prices for pages, with links; none without money.
pub(crate) fn prices_markup(campaign: &Campaign) -> Option<Html> {
    let one = |(paid, figure): &(&str, &Figure)| {
        format!("{} ({})", text(&at(paid, figure)).0, source_links(&figure.source).0)
    };
    let all: Vec<String> = chip_prices(campaign).iter().map(one).collect();
    (!all.is_empty()).then(|| Html(all.join("; ")))
}

/// Parts of owning that cost nothing by themselves, in words: the price of a whole pod, or of a network,
/// holds them.
pub(crate) fn within_others(money: &Money) -> Option<String> {
    let parts = money.parts.iter().filter(|(_, spread)| spread.p95 <= 0.0);
    let names: Vec<&str> = parts.map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| format!("within the prices of other parts: {}", names.join(", ")))
}
