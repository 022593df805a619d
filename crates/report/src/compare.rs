//! Machines side by side as text, JSON and HTML.

mod json;
mod page;

pub use json::compare_json;
pub use page::compare_page;

use crate::campaign::{chip_prices, days, energy, per_cent, price_line, usd};
use crate::table::aligned;
use campaign::{
    Answer, Contender, Decider, Equal, Ratio, Sample, Terms, amount, deciders, peak, ratio,
};
use engine::StageAnswer;
use units::{GIB, Unit, format_quantity, format_seconds};

/// All that a comparison shows.
#[derive(Clone, Copy, Debug)]
pub struct CompareAnswer<'a> {
    /// What it is called.
    pub title: &'a str,
    /// What was made equal.
    pub equal: Equal,
    /// Plan, money, seed and samples.
    pub terms: Terms,
    /// One for each run.
    pub groups: &'a [CompareGroup],
}

/// One run on every machine.
#[derive(Clone, Debug)]
pub struct CompareGroup {
    /// The run.
    pub name: String,
    /// Machines in order; the first is what others are compared with.
    pub contenders: Vec<Contender>,
    /// Machines on which no plan fits, and why.
    pub absent: Vec<(String, String)>,
}

/// A name and how it is read from a sample.
pub(crate) type Measure = (&'static str, fn(&Sample) -> f64);

/// What machines are compared by.
pub(crate) const MEASURES: [Measure; 4] = [
    ("days", Sample::days),
    ("energy", |s| s.energy_j),
    ("rented", |s| Answer::Rental.of(s)),
    ("owned", |s| Answer::Owning.of(s)),
];

/// What is equal, in words.
pub(crate) fn equal_words(equal: Equal) -> &'static str {
    match equal {
        Equal::Listed => "each with the chips it is listed with",
        Equal::Chips => "at equal chips",
        Equal::Peak => "at equal peak",
        Equal::Power => "at equal power",
        Equal::Money => "at equal cost an hour to the owner",
    }
}

/// The stage with most tokens.
pub(crate) fn main_stage(contender: &Contender) -> &StageAnswer {
    &contender.rehearsal.stages[contender.rehearsal.main]
}

/// Memory left on the fullest chip, over all stages. Bytes.
pub(crate) fn head_room(contender: &Contender) -> f64 {
    let fullest = contender.rehearsal.stages.iter().map(|s| s.fullest().1).fold(0.0, f64::max);
    contender.scenario.cluster.chip.memory.value - fullest
}

/// The main stage's plan in short.
pub(crate) fn short_plan(stage: &StageAnswer) -> String {
    let p = &stage.job.plan;
    let parts = [
        ("tp", p.tensor),
        ("cp", p.context),
        ("pp", p.pipeline),
        ("vpp", p.virtual_pipeline),
        ("dp", p.data),
        ("ep", p.expert),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(_, n)| *n > 1).map(|(name, n)| format!("{name}{n}")).collect();
    format!("{} {}", shown.join(" "), p.schedule.word())
}

/// Levels of the fabric in short: chips and bandwidth of one.
pub(crate) fn fabric_words(contender: &Contender) -> String {
    let levels = contender.scenario.cluster.levels.iter().map(|level| {
        format!("{} {}: {:.0} GB/s", level.name, level.size, level.bandwidth.value / 1e9)
    });
    levels.collect::<Vec<_>>().join(", ")
}

/// Where a step of the main stage goes: parts by share, largest first.
pub(crate) fn losses(contender: &Contender) -> Vec<(&'static str, f64)> {
    let stage = main_stage(contender);
    let mut parts: Vec<(&'static str, f64)> = stage
        .estimate
        .parts
        .iter()
        .filter(|p| p.seconds > 0.0)
        .map(|p| (p.kind.word(), p.seconds / stage.estimate.step_s))
        .collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    parts
}

pub(crate) fn ratio_of(
    group: &CompareGroup,
    contender: &Contender,
    of: fn(&Sample) -> f64,
) -> Option<Ratio> {
    ratio(contender, group.contenders.first()?, of)
}

/// How much of what was made equal a contender has, over the first.
pub(crate) fn share_of_first(equal: Equal, group: &CompareGroup, c: &Contender) -> Option<f64> {
    Some(amount(equal, c)? / amount(equal, group.contenders.first()?)?)
}

/// The few figures that decide a ratio to the first: a tenth of its spread or more.
pub(crate) fn decided(
    group: &CompareGroup,
    contender: &Contender,
    seed: u64,
    of: fn(&Sample) -> f64,
) -> Vec<Decider> {
    let Some(first) = group.contenders.first() else { return Vec::new() };
    let mut found = deciders(contender, first, seed, of);
    found.retain(|d| d.share >= 0.1);
    found.truncate(3);
    found
}

/// Figures of a machine alone: its step, powers and prices.
pub(crate) fn own_figures(c: &Contender) -> Vec<(&str, &units::Figure)> {
    let (chip, cluster) = (&c.scenario.cluster.chip.id, &c.scenario.cluster.id);
    let priced = format!(".{chip}.");
    let own = |path: &str| {
        path.contains(&priced)
            || path == format!("{chip}.power")
            || path == format!("{cluster}.overhead_power")
            || path == format!("step time on {chip}")
    };
    let list = &c.campaign.assumptions.list;
    list.iter().filter(|(path, _)| own(path)).map(|(path, f)| (path.as_str(), f)).collect()
}

/// The comparison for people.
pub fn compare_text(answer: &CompareAnswer<'_>) -> String {
    let how = if answer.terms.plan { "plans searched" } else { "the scenarios' own plans" };
    let mut out = format!(
        "{}\n  {}, {how}, {} played runs each\n",
        answer.title,
        equal_words(answer.equal),
        answer.terms.samples
    );
    for (index, group) in answer.groups.iter().enumerate() {
        out.push_str(&format!("\n{}\n", group.name));
        if group.contenders.is_empty() {
            out.push_str("\nNo machine has a plan\n");
        } else {
            // The same chips cost the same in every run.
            out.push_str(&tables(answer, group, index == 0));
        }
        for (name, why) in &group.absent {
            out.push_str(&format!("  {name}: {why}\n"));
        }
    }
    out
}

fn tables(answer: &CompareAnswer<'_>, group: &CompareGroup, priced: bool) -> String {
    let mut out = machines(answer.equal, group);
    for part in [fabrics, steps, runs, bills] {
        out.push_str(&part(group));
    }
    if priced {
        out.push_str(&prices(group));
    }
    out.push_str(&ratios(group));
    out.push_str(&what_decides(group, answer.terms.seed));
    out.push_str(&where_lost(group));
    if !group.absent.is_empty() {
        out.push_str("\nNo plan\n");
    }
    out
}

fn table(title: &str, head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all = vec![head.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()];
    all.extend(rows);
    format!("\n{title}\n{}", aligned(&all, 1))
}

/// A line of words for each machine.
fn words(title: &str, group: &CompareGroup, of: impl Fn(&Contender) -> String) -> String {
    format!("\n{title}\n{}", aligned(&rows(group, |c| vec![of(c)]), 2))
}

fn rows(group: &CompareGroup, row: impl Fn(&Contender) -> Vec<String>) -> Vec<Vec<String>> {
    group.contenders.iter().map(|c| [vec![c.name.clone()], row(c)].concat()).collect()
}

fn machines(equal: Equal, group: &CompareGroup) -> String {
    let row = |c: &Contender| {
        let chip = &c.scenario.cluster.chip;
        let chips = c.scenario.ranks;
        let pod: f64 = peak(chip, &c.scenario) * chips as f64;
        let mut cells = vec![
            format!("{chips}{}", if c.grown { "+" } else { "" }),
            format_quantity(peak(chip, &c.scenario), Unit::FlopPerSecond),
            format_quantity(pod, Unit::FlopPerSecond),
            format_quantity(chip.memory.value, Unit::Byte),
            format_quantity(chip.memory_bandwidth.value, Unit::BytePerSecond),
        ];
        cells.extend(share_of_first(equal, group, c).map(|share| format!("{share:.2}")));
        cells
    };
    let mut head = vec!["machine", "chips", "peak a chip", "in all", "memory", "its rate"];
    if equal != Equal::Listed {
        head.push("of the first's");
    }
    let grown = group.contenders.iter().any(|c| c.grown);
    let note = if grown { " (+: more than the catalog's cluster has)" } else { "" };
    table(&format!("Machines{note}"), &head, rows(group, row))
}

fn fabrics(group: &CompareGroup) -> String {
    words("Fabric, one way and chip", group, fabric_words)
}

fn what_decides(group: &CompareGroup, seed: u64) -> String {
    let others = CompareGroup {
        contenders: group.contenders.get(1..).unwrap_or_default().to_vec(),
        ..group.clone()
    };
    let (_, of) = MEASURES[0];
    let of_days = |c: &Contender| {
        let found = decided(group, c, seed, of);
        let list = found.iter().map(|d| format!("{} {:.0} %", d.path, 100.0 * d.share));
        list.collect::<Vec<_>>().join(", ")
    };
    words("What decides the ratio of days, share of its spread", &others, of_days)
}

fn steps(group: &CompareGroup) -> String {
    let row = |c: &Contender| {
        let stage = main_stage(c);
        let gap = c.planned.iter().map(|p| p.gap).fold(0.0, f64::max);
        let left = match c.planned.is_empty() {
            true => "not searched".to_owned(),
            false if gap == 0.0 => "none".to_owned(),
            false => format!("by {} at most", per_cent(gap)),
        };
        vec![
            format_seconds(stage.step_s.value),
            format_seconds(stage.step_s.median),
            per_cent(stage.mfu.median),
            format!("{:.1}", head_room(c) / GIB),
            left,
            short_plan(stage),
        ]
    };
    let head = [
        "machine",
        "step",
        "p50 step",
        "p50 MFU",
        "GiB free",
        "a faster plan",
        "plan of the main stage",
    ];
    let note = "step: every figure at its value, as `rehearse` prints it; p50: the median over the \
                figures' ranges, on which all below rests; MFU of the BF16 peak\n";
    table("Steps", &head, rows(group, row)) + note
}

fn spread(s: &campaign::Spread, shown: fn(f64) -> String) -> String {
    format!("{} ({}..{})", shown(s.p50), shown(s.p5), shown(s.p95))
}

fn gwh(joules: f64) -> String {
    energy(joules).replace(" GWh", "")
}

fn short_usd(value: f64) -> String {
    usd(value).replace(" USD", "").replace(' ', "")
}

fn runs(group: &CompareGroup) -> String {
    let row = |c: &Contender| {
        let s = &c.summary;
        vec![
            spread(&s.days, days),
            per_cent(s.goodput.p50),
            format!("{:.0}", s.failures.p50),
            s.energy_j.as_ref().map_or("?".to_owned(), |e| spread(e, gwh)),
        ]
    };
    let head = ["machine", "days", "goodput", "failures", "energy, GWh"];
    table("The run (p50, p5..p95)", &head, rows(group, row))
}

fn bills(group: &CompareGroup) -> String {
    if group.contenders.iter().all(|c| c.summary.money.is_none()) {
        return String::new();
    }
    let row = |c: &Contender| {
        let money = c.summary.money.as_ref();
        let shown = |of: fn(&campaign::Money) -> campaign::Spread| {
            money.map_or_else(String::new, |m| spread(&of(m), short_usd))
        };
        vec![shown(|m| m.rental), shown(|m| m.owning), shown(|m| m.per_million_tokens.1)]
    };
    let head = ["machine", "rented", "owned", "owned, a million tokens"];
    table("The bill in USD (p50, p5..p95)", &head, rows(group, row))
}

/// Rent and price of each machine's chip, with the reason of each.
fn prices(group: &CompareGroup) -> String {
    let mut lines = Vec::new();
    for c in &group.contenders {
        for (at, (paid, figure)) in chip_prices(&c.campaign).into_iter().enumerate() {
            let name = if at == 0 { c.name.clone() } else { String::new() };
            lines.push(vec![name, price_line(paid, figure)]);
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    format!("\nWhat a chip costs, how that is known, and why\n{}", aligned(&lines, 2))
}

fn ratios(group: &CompareGroup) -> String {
    // Without money there is nothing to say of it.
    let known =
        |(_, of): &&Measure| group.contenders.iter().any(|c| ratio_of(group, c, *of).is_some());
    let measures: Vec<&Measure> = MEASURES.iter().filter(known).collect();
    let row = |c: &Contender| {
        measures.iter().map(|(_, of)| ratio_words(ratio_of(group, c, *of))).collect()
    };
    let head: Vec<&str> =
        std::iter::once("machine").chain(measures.iter().map(|(name, _)| *name)).collect();
    table("Ratio to the first (* larger than the uncertainty)", &head, rows(group, row))
}

fn ratio_words(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(String::new, |r| {
        let star = if r.differs() { "*" } else { " " };
        format!("{:.2} ({:.2}..{:.2}){star}", r.p50, r.p5, r.p95)
    })
}

fn where_lost(group: &CompareGroup) -> String {
    let of = |c: &Contender| {
        let parts: Vec<String> =
            losses(c).iter().take(4).map(|(w, s)| format!("{w} {:.0} %", 100.0 * s)).collect();
        parts.join(", ")
    };
    words("Where a step goes", group, of)
}
