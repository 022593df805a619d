//! The page about one run's days and bill, for readers who are not engineers.

use crate::book::Made;
use crate::codegen::Program;
use crate::drawing;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write;

/// The question of the page.
const QUESTION: [&str; 4] = ["campaign", "--what", "must-hold", "50M..200M"];

/// Beyond so many times a figure's value no condition is worth a line.
const FAR: f64 = 20.0;

/// Bars shown of each tornado.
const BARS: usize = 7;

/// The blocks of the page.
pub fn blocks(program: &Program) -> Result<Made> {
    let run = program.json(&QUESTION)?;
    Ok(vec![
        ("answer", answer(&run)?),
        ("lost", lost(&run)?),
        ("moves", moves(&run)?),
        ("claim", claim(&run)?),
        ("conditions", conditions(&run)?),
        ("figures", figures(&run)?),
    ])
}

/// The pictures of the page: `(path, SVG)`.
pub fn pictures(program: &Program) -> Result<Vec<(&'static str, String)>> {
    let run = program.json(&QUESTION)?;
    let ends = |of: &str| -> Result<(f64, f64)> {
        let money = &run["money"][of];
        Ok((number(&money["p5"])?, number(&money["p95"])?))
    };
    let first = run["claims"].get(0).context("no claim")?;
    let claim = (number(&first["low"])?, number(&first["high"])?);
    let lanes = [
        ("rented, played", ends("rental_usd")?, 0),
        ("owned, played", ends("owning_usd")?, 0),
        ("claimed", claim, 1),
    ];
    let days = &run["histograms"]["days"];
    let counts: Vec<f64> = list(&days["counts"]).iter().filter_map(Value::as_f64).collect();
    let span = (number(&days["low"])?, number(&days["high"])?);
    let swings: Vec<drawing::Swing> = list(&run["tornado"]["days"])
        .iter()
        .take(BARS)
        .map(|bar| {
            Ok(drawing::Swing {
                name: format!("{}: {}", word(&bar["words"]), word(&bar["shown"])),
                ends: (number(&bar["at_low"])?, number(&bar["at_high"])?),
            })
        })
        .collect::<Result<_>>()?;
    let middle = number(&run["central"]["days"])?;
    Ok(vec![
        (
            "docs/src/guide/bill-days.svg",
            drawing::histogram("days of the played runs", span, &counts),
        ),
        (
            "docs/src/guide/bill-claim.svg",
            drawing::spans("played and claimed bills", &lanes, dollars),
        ),
        ("docs/src/guide/bill-moves.svg", drawing::tornado("what moves the days", middle, &swings)),
    ])
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().with_context(|| format!("`{value}` is no number"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// `$13.8M`, `$964k`, `$0.42`: three digits.
fn dollars(value: f64) -> String {
    let (scaled, prefix) = match value {
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let decimals = if scaled >= 100.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{scaled:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("${text}{prefix}")
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(head.to_vec()) + &line(vec!["---"; head.len()]);
    for row in rows {
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}

fn answer(run: &Value) -> Result<String> {
    let mut rows = Vec::new();
    let mut row = |name: &str, spread: &Value, shown: &dyn Fn(f64) -> String| -> Result<()> {
        let at = |end: &str| Ok::<_, anyhow::Error>(shown(number(&spread[end])?));
        rows.push(vec![
            name.to_owned(),
            format!("**{}**", at("p50")?),
            format!("{} to {}", at("p5")?, at("p95")?),
        ]);
        Ok(())
    };
    let money = &run["money"];
    row("days from the first step to the last", &run["days"], &|v| format!("{v:.0}"))?;
    row("share of them spent on steps that count", &run["goodput_ratio"], &per_cent)?;
    row("failures that stop the job", &run["failures"], &|v| format!("{v:.0}"))?;
    row("electricity", &run["energy_j"], &|v| format!("{:.1} GWh", v / 3.6e12))?;
    row("bill, the machine rented by the hour", &money["rental_usd"], &dollars)?;
    row("bill, the machine owned", &money["owning_usd"], &dollars)?;
    row("a million tokens, rented", &money["rental_usd_per_million_tokens"], &dollars)?;
    row("a million tokens, owned", &money["owning_usd_per_million_tokens"], &dollars)?;
    let mut out = table(&["", "likely", "nine of ten played runs"], &rows);
    let watts = number(&run["energy_j"]["p50"])? / number(&run["days"]["p50"])? / 86_400.0;
    let ignorance = number(&run["days"]["ignorance_ratio"])?;
    write!(
        out,
        "\nThe electricity is that of {:.0} MW drawn day and night. Luck makes {} of the spread in days; \
         the rest is what nobody has measured or published.\n",
        watts / 1e6,
        per_cent(1.0 - ignorance)
    )?;
    out.push_str(&prices(run));
    Ok(out)
}

/// What both bills are multiplied by, and why it is thought so.
fn prices(run: &Value) -> String {
    let mut out = String::new();
    for item in list(&run["assumptions"]) {
        let paid = match word(&item["path"]).split('.').collect::<Vec<_>>().as_slice() {
            ["economics", _, "rental"] => "Rented",
            ["economics", _, "price"] => "Owned",
            _ => continue,
        };
        let figure = &item["figure"];
        let written = word(&figure["source"]);
        let why = written.split_once(": ").map_or(written, |(_, note)| note);
        let (shown, origin) = (word(&item["shown"]), word(&figure["origin"]));
        out.push_str(&format!("\n{paid} at {shown} a chip, {origin}: {why}.\n"));
    }
    out
}

fn per_cent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn lost(run: &Value) -> Result<String> {
    let causes = run["where"].as_object().context("no causes")?;
    let mut found = Vec::new();
    let mut total = 0.0;
    for (cause, spread) in causes {
        let mean = number(&spread["mean"])?;
        total += mean;
        found.push((cause_words(cause.trim_end_matches("_days")).to_owned(), mean));
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    let rows: Vec<Vec<String>> = found
        .iter()
        .filter(|(_, mean)| *mean >= 0.005)
        .map(|(cause, mean)| {
            vec![cause.clone(), format!("{mean:.2}"), format!("{:.1} %", 100.0 * mean / total)]
        })
        .collect();
    Ok(table(&["where the days go, on average", "days", "of all"], &rows))
}

fn cause_words(cause: &str) -> &str {
    match cause {
        "useful" => "steps that count",
        "ramp" => "small batches at the beginning",
        "checkpoint" => "saving the state",
        "lost" => "steps done again after a failure",
        "detection" => "until a failure is noticed",
        "diagnosis" => "until its place is found",
        "restart" => "starting again",
        "spares" => "waiting for a spare or a repair",
        "degraded" => "running on with fewer chips",
        "slow" => "slow chips",
        "evaluation" => "tests of the model in between",
        "maintenance" => "planned stops",
        other => other,
    }
}

fn moves(run: &Value) -> Result<String> {
    let middle = &run["central"];
    let mut out = format!(
        "With every figure at its value: {:.0} days, {} rented, {} owned. The likely run \
         above is another: most ranges reach further to one side.\n\n",
        number(&middle["days"])?,
        dollars(number(&middle["rental_usd"])?),
        dollars(number(&middle["owning_usd"])?)
    );
    let whole: fn(f64) -> String = |v| format!("{v:.0}");
    for (of, name, shown) in [
        ("days", "days", whole),
        ("rental", "the rented bill", dollars),
        ("owning", "the owner's bill", dollars),
    ] {
        let mut rows = Vec::new();
        for bar in list(&run["tornado"][of]).iter().take(BARS) {
            rows.push(vec![
                word(&bar["words"]).to_owned(),
                word(&bar["shown"]).to_owned(),
                shown(number(&bar["at_low"])?),
                shown(number(&bar["at_high"])?),
                word(&bar["figure"]["origin"]).to_owned(),
            ]);
        }
        let head = format!("what moves {name} most");
        let head =
            [head.as_str(), "what is thought", "at its low end", "at its high end", "known how"];
        writeln!(out, "{}", table(&head, &rows))?;
    }
    Ok(out)
}

fn claim(run: &Value) -> Result<String> {
    let mut out = String::new();
    let samples = number(&run["samples"])?;
    for claim in list(&run["claims"]) {
        let of = word(&claim["of"]);
        let name = if of == "rental" { "Rented" } else { "Owned" };
        let share = number(&claim["share"])?;
        let dearest = number(&run["histograms"][of]["high"])?;
        let likely = number(&run["money"][format!("{of}_usd")]["p50"])?;
        let low = number(&claim["low"])?;
        let verdict = if share > 0.0 {
            format!("in {:.0} of {samples} played runs", share * samples)
        } else {
            format!("**no**, in none of {samples} played runs")
        };
        writeln!(
            out,
            "* {name}: {verdict}; the dearest of them costs {}. {} pays for {:.1} runs as likely as this \
             one.",
            dollars(dearest),
            dollars(low),
            low / likely
        )?;
    }
    Ok(out)
}

fn conditions(run: &Value) -> Result<String> {
    let mut rows = Vec::new();
    let mut far = Vec::new();
    for claim in list(&run["claims"]) {
        let name = if word(&claim["of"]) == "rental" { "rented" } else { "owned" };
        for region in list(&claim["regions"]) {
            let Some(reached) = region["reached_at"].as_f64() else { continue };
            let times = reached / number(&region["figure"]["value"])?;
            if times.max(1.0 / times) > FAR {
                far.push(format!("{} ({name})", word(&region["words"])));
                continue;
            }
            let times = if times >= 1.0 {
                format!("{times:.1} times as much")
            } else {
                format!("{:.1} times less", 1.0 / times)
            };
            let words = word(&region["words"]).to_owned();
            let reached = word(&region["reached_shown"]).to_owned();
            rows.push(vec![
                name.to_owned(),
                words,
                word(&region["shown"]).to_owned(),
                reached,
                times,
            ]);
        }
    }
    let head =
        ["bill", "one figure, all others as they are", "what is thought", "true from", "that is"];
    let mut out = table(&head, &rows);
    if !far.is_empty() {
        writeln!(out, "\nNot within {FAR:.0} times what is thought: {}.", far.join("; "))?;
    }
    Ok(out)
}

/// Every figure with its sources as links.
fn figures(run: &Value) -> Result<String> {
    let mut out =
        String::from("| figure | value and range | known how | source |\n|---|---|---|---|\n");
    for item in list(&run["assumptions"]) {
        let figure = &item["figure"];
        let written = word(&figure["source"]);
        let (keys, note) = written.split_once(": ").unwrap_or((written, ""));
        let links: Vec<String> = keys
            .split(", ")
            .map(|key| match run["sources"][key]["url"].as_str() {
                Some(url) if !url.is_empty() => format!("[{key}](<{url}>)"),
                _ => key.to_owned(),
            })
            .collect();
        let note = if note.is_empty() { String::new() } else { format!(": {note}") };
        writeln!(
            out,
            "| {} | {} | {} | {}{} |",
            word(&item["words"]),
            word(&item["shown"]),
            word(&figure["origin"]),
            links.join(", "),
            note.replace('|', "/")
        )?;
    }
    Ok(out)
}
