//! Machines made equal before they are compared.

use campaign::{Asked, Equal, at_equal, prepare};
use scenario::Scenario;

fn shipped() -> Scenario {
    let id = "deepseek-v4-pro-on-atlas-950";
    let text = catalog::text(catalog::Kind::Scenario, id).expect("shipped");
    let no_file = |path: &str| Err(format!("no `{path}`"));
    scenario::load(id, text, &[], &no_file).expect("a scenario").scenario
}

#[test]
fn a_pod_too_small_gives_way_to_pods_joined() {
    let reference = shipped();
    let cluster = catalog::cluster("atlas-950-1024").expect("shipped");
    let small = Scenario { cluster, ranks: 1024, ..reference.clone() };
    let joined = catalog::cluster("atlas-950-98-pods-1024").expect("shipped");
    let equal = |larger| {
        at_equal(Equal::Chips, &small, larger, &reference, Asked::WithoutMoney).expect("no money")
    };
    let sizes = |s: &Scenario| s.cluster.levels.iter().map(|l| l.size).collect::<Vec<_>>();
    let found = equal(Some(&joined));
    assert_eq!((found.ranks, found.cluster.chips), (8192, 8192));
    assert_eq!(sizes(&found), [8, 64, 1024, 8192]);
    // Without one its outermost level grows, whatever such a pod is.
    assert_eq!(sizes(&equal(None)), [8, 64, 8192]);
}

#[test]
fn what_a_machine_costs_an_hour_needs_no_plan() {
    let listed = shipped();
    let rehearsal = engine::rehearse(&listed).expect("it runs");
    let campaign = prepare(&listed, &rehearsal, Asked::WithMoney).expect("it is priced");
    // 20 kUSD over 4 years at 5 % and 8 USD/W of 1.1 kW over 15, used 80 %, a tenth for staff; 1.375 kW
    // at 0.07 USD/kWh.
    let by_hand = 1.1 * (20_000.0 * 0.282_011_8 + 8_800.0 * 0.096_342_3) / 7_008.0 + 1.375 * 0.07;
    let found = campaign.owner_usd_per_hour().expect("it is priced");
    assert!((found - by_hand).abs() < 1e-4, "{found} {by_hand}");
    // 35 kUSD a chip are 1.779 USD an hour: 5,134 of them, and 5 x 1,024 is the number one would buy.
    let mut dear = listed.clone();
    dear.cluster.chip.id = "ascend-960".to_owned();
    let equal = at_equal(Equal::Money, &dear, None, &listed, Asked::WithMoney).expect("priced");
    assert_eq!(equal.ranks, 5120);
}
