//! Pages of whole runs and of comparisons.

use crate::pages::check;
use campaign::{Answer, Asked, Equal, Terms, contend, holds, prepare, summarize, tornado};
use report::{CampaignAnswer, CompareAnswer, CompareGroup, Stamp};
use scenario::Scenario;

fn scenario(id: &str) -> Scenario {
    let text = catalog::text(catalog::Kind::Scenario, id).expect("a shipped scenario");
    let none = |path: &str| Err(format!("cannot read `{path}`"));
    scenario::load(id, text, &[], &none).expect("it loads").scenario
}

fn stamp(schema: &'static str) -> Stamp {
    Stamp { schema, version: "0.1.0", input_hash: "0".repeat(32) }
}

#[test]
fn a_campaigns_page_shows_the_numbers_of_its_json() {
    let scenario = scenario("deepseek-v3-on-h800");
    let rehearsal = engine::rehearse(&scenario).expect("it is rehearsed");
    let campaign = prepare(&scenario, &rehearsal, Asked::WithMoney).expect("it is priced");
    let samples: Vec<_> = (0..20).map(|index| campaign::sample(&campaign, 1, index)).collect();
    let summary = summarize(&campaign, &samples);
    let (medians, bars) = tornado(&campaign, 1);
    // A claim that is always false, one that is sometimes true, one that is always true.
    let claims = [(50e6, 200e6), (1e6, summary.days.p50 * 1e5), (1e3, 1e12)];
    let held: Vec<_> = claims
        .map(|range| holds(&campaign, 1, &samples, &bars, Answer::Owning, range))
        .into_iter()
        .collect();
    let answer = CampaignAnswer {
        campaign: &campaign,
        seed: 1,
        summary: &summary,
        medians,
        bars: &bars,
        held: &held,
        samples: &samples,
    };
    let json = report::campaign_json(&stamp("supernode.campaign/1"), &answer);
    let page = report::campaign_page(&json, &answer);
    check(&page, &json);
    assert!(page.contains("<b>Owned: no.</b>") && page.contains("<b>Owned: yes.</b>"));
    let counts = json["histograms"]["days"]["counts"].as_array().expect("counts");
    assert_eq!(counts.iter().filter_map(serde_json::Value::as_u64).sum::<u64>(), 20);
}

#[test]
fn a_comparisons_page_shows_the_numbers_of_its_json() {
    let terms = Terms { plan: false, asked: Asked::WithMoney, seed: 1, samples: 20 };
    let contenders = ["deepseek-v4-pro-on-h800", "deepseek-v4-pro-on-atlas-950"]
        .map(|id| contend(id, &scenario(id), terms).expect("it is played"));
    let groups = [CompareGroup {
        name: "two".to_owned(),
        contenders: contenders.to_vec(),
        absent: vec![("third".to_owned(), "none of 12 plans fits".to_owned())],
    }];
    let answer =
        CompareAnswer { title: "two machines", equal: Equal::Listed, terms, groups: &groups };
    let json = report::compare_json(&stamp("supernode.compare/1"), &answer);
    let page = report::compare_page(&json, &answer);
    check(&page, &json);
    assert!(page.contains("none of 12 plans fits"));
}
