//! Schema `supernode.campaign/1`.

use super::{BINS, CampaignAnswer, SHOWN, ideal_days, shown_figure, shown_value};
use crate::json::{Stamp, figure};
use crate::page::pictures::binned;
use crate::words::figure_words;
use campaign::{Answer, Held, Spread, Summary, widest};
use serde_json::{Map, Value, json};
use units::Figure;

pub(crate) fn spread(s: &Spread) -> Value {
    json!({ "p5": s.p5, "p50": s.p50, "p95": s.p95, "mean": s.mean, "ignorance_ratio": s.ignorance })
}

/// A campaign's answer.
pub fn campaign_json(stamp: &Stamp, answer: &CampaignAnswer<'_>) -> Value {
    let campaign = answer.campaign;
    let run = campaign.run(&campaign.assumptions.central());
    let mut body = summary(answer.summary);
    let head = json!({
        "scenario": campaign.name,
        "seed": answer.seed,
        "chips": campaign.ranks,
        "fits": campaign.overfull.is_empty(),
        "parts": campaign.counts.list().iter().map(|(k, v)| ((*k).to_owned(), json!(v)))
            .collect::<Map<_, _>>(),
        "reliability": campaign.reliability.id,
        "economics": campaign.economics.as_ref().map(|e| json!({
            "id": e.id, "name": e.name, "region": e.region, "year": e.year,
        })),
        "spare_hosts": run.spare_hosts,
        "checkpoint": {
            "mode": campaign.checkpoint.word(),
            "bytes": campaign.checkpoint_bytes.0,
            "interval_ns": run.checkpoints.interval_ns,
            "stall_ns": run.checkpoints.stall_ns,
            "persist_ns": run.checkpoints.persist_ns,
        },
        "ideal_days": ideal_days(campaign),
        "window_days": campaign.window_s.map(|s| s / 86_400.0),
        "between_failures_s": campaign.between_failures_s(&campaign.assumptions.central()),
        "central": { "days": answer.medians.days, "rental_usd": money_or_null(answer.medians.rental),
            "owning_usd": money_or_null(answer.medians.owning) },
    });
    let mut all = Map::new();
    for part in [head, std::mem::take(&mut body)] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    all.insert("histograms".into(), histograms(answer));
    all.insert("tornado".into(), tornado(answer));
    all.insert("claims".into(), answer.held.iter().map(claim).collect());
    let list = &campaign.assumptions.list;
    let assumptions = list.iter().map(|(path, f)| named(path, f, json!({}))).collect();
    all.insert("assumptions".into(), assumptions);
    let cited = list.iter().map(|(_, f)| f).chain(answer.bars.iter().map(|bar| &bar.figure));
    all.insert("sources".into(), sources(cited));
    stamp.on(Value::Object(all))
}

/// A figure with its path, and both in words, before what was found about it.
pub(crate) fn named(path: &str, f: &Figure, found: Value) -> Value {
    let mut all = json!({
        "path": path, "words": figure_words(path), "shown": shown_figure(f), "figure": figure(f),
    });
    if let (Value::Object(all), Value::Object(found)) = (&mut all, found) {
        all.extend(found);
    }
    all
}

/// What the keys of the figures' sources stand for.
pub(crate) fn sources<'a>(figures: impl Iterator<Item = &'a Figure>) -> Value {
    let mut all = Map::new();
    for key in figures.flat_map(|f| catalog::cited(&f.source).0) {
        if let Some(source) = catalog::source(key) {
            all.insert(key.to_owned(), json!({ "title": source.title, "url": source.url }));
        }
    }
    Value::Object(all)
}

/// How the played runs are spread, as the page draws them.
fn histograms(answer: &CampaignAnswer<'_>) -> Value {
    let mut all = Map::new();
    for of in [Answer::Days, Answer::Rental, Answer::Owning] {
        let values: Vec<f64> = answer.samples.iter().map(|s| of.of(s)).collect();
        if values.iter().all(|v| v.is_finite()) {
            let (low, high, counts) = binned(&values, BINS);
            all.insert(of.key().into(), json!({ "low": low, "high": high, "counts": counts }));
        }
    }
    Value::Object(all)
}

fn money_or_null(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { Value::Null }
}

pub(crate) fn summary(s: &Summary) -> Value {
    let causes: Map<String, Value> =
        s.causes.iter().map(|(cause, sp)| (format!("{}_days", cause.key()), spread(sp))).collect();
    let strikes: Vec<Value> =
        s.strikes.iter().map(|(name, sp)| json!({ "cause": name, "count": spread(sp) })).collect();
    let money = s.money.as_ref().map(|m| {
        let parts: Map<String, Value> =
            m.parts.iter().map(|(name, sp)| (format!("{name}_usd"), spread(sp))).collect();
        json!({
            "rental_usd": spread(&m.rental),
            "owning_usd": spread(&m.owning),
            "owning_parts": parts,
            "rental_usd_per_million_tokens": spread(&m.per_million_tokens.0),
            "owning_usd_per_million_tokens": spread(&m.per_million_tokens.1),
            "rental_usd_per_petaflop": spread(&m.per_petaflop.0),
            "owning_usd_per_petaflop": spread(&m.per_petaflop.1),
        })
    });
    json!({
        "samples": s.samples,
        "finished": s.finished,
        "days": spread(&s.days),
        "goodput_ratio": spread(&s.goodput),
        "tokens": spread(&s.tokens),
        "failures": spread(&s.failures),
        "chip_hours": spread(&s.chip_hours),
        "energy_j": s.energy_j.as_ref().map(spread),
        "where": causes,
        "interruptions": strikes,
        "money": money,
    })
}

fn tornado(answer: &CampaignAnswer<'_>) -> Value {
    let mut all = Map::new();
    for of in [Answer::Days, Answer::Rental, Answer::Owning] {
        if of != Answer::Days && answer.summary.money.is_none() {
            continue;
        }
        let bars: Vec<Value> = widest(answer.bars, of)
            .into_iter()
            .take(SHOWN)
            .map(|bar| {
                let ends = json!({ "at_low": bar.at_low.of(of), "at_high": bar.at_high.of(of) });
                named(&bar.path, &bar.figure, ends)
            })
            .collect();
        all.insert(of.key().into(), bars.into());
    }
    Value::Object(all)
}

fn claim(held: &Held) -> Value {
    let regions: Vec<Value> = held
        .regions
        .iter()
        .map(|region| {
            let tried: Vec<Value> = region
                .tried
                .iter()
                .map(|(value, held)| json!({ "value": value, "holds": held }))
                .collect();
            let found = json!({
                "alone": tried,
                "reached_at": region.reached,
                "reached_shown": region.reached.map(|v| shown_value(&region.figure, v)),
                "share_by_fifth": region.by_fifth,
            });
            named(&region.path, &region.figure, found)
        })
        .collect();
    json!({
        "of": held.answer.key(), "low": held.range.0, "high": held.range.1,
        "share": held.share, "below": held.outside.0, "above": held.outside.1,
        "holds_at_values": held.central, "regions": regions,
    })
}
