//! What was published of whole runs, against runs played here: `published.csv`.

use campaign::{Asked, Campaign, Spread, Summary, prepare, sample, summarize};
use std::collections::BTreeMap;

const TABLE: &str = include_str!("published.csv");
const SAMPLES: u64 = 600;

struct Check<'a> {
    name: &'a str,
    scenario: &'a str,
    set: &'a str,
    of: &'a str,
    published: f64,
    range: (f64, f64),
    contained: bool,
}

fn checks() -> Vec<Check<'static>> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#')).skip(1);
    let one = |line: &'static str| {
        let cells: Vec<&str> = line.splitn(9, ',').collect();
        let number = |i: usize| cells[i].parse::<f64>().expect("a number");
        Check {
            name: cells[0],
            scenario: cells[1],
            set: cells[2],
            of: cells[3],
            published: number(4),
            range: (number(5), number(6)),
            contained: cells[7] == "yes",
        }
    };
    rows.map(one).collect()
}

fn played(scenario: &str, set: &str) -> (Campaign, Summary) {
    let text = catalog::text(catalog::Kind::Scenario, scenario).expect("shipped");
    let set: Vec<(String, String)> = set
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let no_file = |path: &str| Err(format!("no `{path}`"));
    let loaded = scenario::load(scenario, text, &set, &no_file).expect("a scenario");
    let rehearsal = engine::rehearse(&loaded.scenario).expect("it runs");
    let campaign = prepare(&loaded.scenario, &rehearsal, Asked::WithMoney).expect("a campaign");
    let samples: Vec<_> = (0..SAMPLES).map(|index| sample(&campaign, 1, index)).collect();
    let summary = summarize(&campaign, &samples);
    (campaign, summary)
}

fn found((campaign, summary): &(Campaign, Summary), of: &str) -> Spread {
    if let Some(cause) = of.strip_prefix("per:") {
        return summary.strikes.iter().find(|(name, _)| name == cause).expect("a cause").1;
    }
    match of {
        "failures" => summary.failures,
        "goodput" => summary.goodput,
        "chip_hours" => summary.chip_hours,
        "rental" => summary.money.as_ref().expect("asked").rental,
        "between_failures_h" => {
            let hours = campaign.between_failures_s(&campaign.assumptions.central()) / 3_600.0;
            Spread { p5: hours, p50: hours, p95: hours, mean: hours, ignorance: 0.0 }
        }
        _ => panic!("nothing is called `{of}`"),
    }
}

#[test]
fn runs_agree_with_what_was_published_of_them() {
    let mut runs = BTreeMap::new();
    let mut wrong = Vec::new();
    for check in checks() {
        let key = (check.scenario, check.set);
        let run = runs.entry(key).or_insert_with(|| played(check.scenario, check.set));
        let spread = found(run, check.of);
        let Check { name, published, range: (least, most), .. } = check;
        let near = least <= spread.p50 && spread.p50 <= most;
        let held = spread.p5 <= published && published <= spread.p95;
        if !near || (check.contained && !held) {
            wrong.push(format!(
                "{name}: published {published}, {least} .. {most}; found {spread:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_checkpoint_holds_each_weight_once() {
    // DeepSeek-V3 with its prediction block: FP32 masters and two BF16 moments, though DualPipe keeps
    // every weight twice.
    let text = catalog::text(catalog::Kind::Scenario, "deepseek-v3-on-h800").expect("shipped");
    let no_file = |path: &str| Err(format!("no `{path}`"));
    let loaded = scenario::load("v3", text, &[], &no_file).expect("a scenario");
    let rehearsal = engine::rehearse(&loaded.scenario).expect("it runs");
    let bytes = campaign::bytes(&rehearsal.stages[0], loaded.scenario.ranks);
    assert!((bytes / (8.0 * 682_636_487_424.0) - 1.0).abs() < 1e-9, "{bytes}");
}
