//! Graphs, routes, sharing and folding against brute force.

use fabric::{FlowSet, Network, Routing, fold, max_min, parse_fault, parse_topology, transfer};
use proptest::prelude::*;

fn network(text: &str) -> Network {
    Network::new(parse_topology(text).expect(text)).expect(text)
}

/// Max-min by its definition: raise all open flows together in tiny exact steps of filling.
fn by_definition(set: &FlowSet) -> Vec<f64> {
    let mut rate = vec![0.0_f64; set.len()];
    let mut open = vec![true; set.len()];
    while open.iter().any(|o| *o) {
        let mut step = f64::INFINITY;
        for link in 0..set.capacity.len() {
            let (mut used, mut grows) = (0.0, 0.0);
            for flow in 0..set.len() {
                for (l, w) in set.row(flow).filter(|r| r.0 as usize == link) {
                    assert_eq!(l as usize, link);
                    used += w * set.count[flow] * rate[flow];
                    grows += if open[flow] { w * set.count[flow] } else { 0.0 };
                }
            }
            if grows > 0.0 {
                step = step.min((set.capacity[link] - used) / grows);
            }
        }
        for flow in 0..set.len() {
            rate[flow] += if open[flow] { step.max(0.0) } else { 0.0 };
        }
        for link in 0..set.capacity.len() {
            let on = |f: &usize| set.row(*f).any(|r| r.0 as usize == link);
            let used: f64 = (0..set.len())
                .flat_map(|f| set.row(f).map(move |r| (f, r)))
                .filter(|(_, r)| r.0 as usize == link)
                .map(|(f, r)| r.1 * set.count[f] * rate[f])
                .sum();
            if used >= set.capacity[link] * (1.0 - 1e-12) {
                for flow in (0..set.len()).filter(on) {
                    open[flow] = false;
                }
            }
        }
    }
    rate
}

/// Random flows over random links; every flow uses at least one.
fn flows() -> impl Strategy<Value = FlowSet> {
    let row = prop::collection::btree_set(0_u32..8, 1..5);
    let flow = (row, prop::sample::select(vec![1.0, 2.0, 3.0]), 1_u32..4);
    let capacity = prop::collection::vec(prop::sample::select(vec![1e9, 2e9, 5e9]), 8);
    (prop::collection::vec(flow, 1..12), capacity).prop_map(|(rows, capacity)| {
        let mut set = FlowSet { capacity, link_id: (0..8).collect(), ..FlowSet::new() };
        for (row, count, size) in rows {
            for link in row {
                set.link.push(link);
                set.weight.push(if link % 3 == 0 { 0.5 } else { 1.0 });
            }
            set.first.push(set.link.len() as u32);
            set.count.push(count);
            set.bytes.push(f64::from(size) * 1e6);
            set.latency_ps.push(1_000);
        }
        set
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn rates_are_max_min_by_definition(set in flows()) {
        let rates = max_min(&set, &vec![true; set.len()]);
        for (found, wanted) in rates.iter().zip(by_definition(&set)) {
            prop_assert!((found / wanted - 1.0).abs() < 1e-9, "{rates:?}");
        }
    }

    #[test]
    fn folding_changes_no_time(set in flows()) {
        let plain = transfer(&set);
        let folded = fold(&set);
        let quick = transfer(&folded.set);
        for flow in 0..set.len() {
            let (a, b) = (plain.arrival_ps[flow], quick.arrival_ps[folded.class[flow] as usize]);
            prop_assert!(a.abs_diff(b) <= 1 + a / 1_000_000_000, "{a} {b}");
        }
        prop_assert!(plain.finish_ps >= plain.bound_ps);
    }

    #[test]
    fn random_pairs_on_random_graphs_share_fairly(
        text in prop::sample::select(vec![
            "ring:7@1GB/s,1us", "torus:4x3@2GB/s,1us", "mesh:4x4@1GB/s,1us",
            "clos:4x4@1GB/s,1us,spines=2,over=2", "switch:4@8GB/s,1us,planes=2+rail:3@1GB/s,1us",
            "mesh:4@1GB/s,1us+dragonfly:5@1GB/s,1us",
        ]),
        seed in 0_u64..1_000,
        routing in prop::sample::select(vec![
            Routing::First, Routing::Split, Routing::Modulo, Routing::Ecmp { seed: 5 },
            Routing::Detour, Routing::Borrow,
        ]),
    ) {
        let net = network(text);
        let n = net.graph().endpoints();
        let pair = |k: u64| {
            let x = (seed + 1).wrapping_mul(6_364_136_223_846_793_005).wrapping_mul(2 * k + 1);
            ((x >> 20) as u32 % n, (x >> 40) as u32 % n, 1e6 * (1 + k % 3) as f64)
        };
        let set = net.flows(routing, (0..9).map(pair)).unwrap();
        let rates = max_min(&set, &vec![true; set.len()]);
        for (found, wanted) in rates.iter().zip(by_definition(&set)) {
            prop_assert!((found / wanted - 1.0).abs() < 1e-9, "{text} {routing:?}");
        }
        let quick = transfer(&fold(&set).set);
        let plain = transfer(&set);
        prop_assert!(plain.finish_ps.abs_diff(quick.finish_ps) <= 9 + plain.finish_ps / 1_000_000);
    }

    #[test]
    fn routes_arrive_whole(
        text in prop::sample::select(vec![
            "torus:4x4@2GB/s,1us", "mesh:3x3x3@1GB/s,1us", "clos:4x4@1GB/s,1us,spines=4",
            "switch:4@8GB/s,1us,planes=2+rail:3@1GB/s,1us", "mesh:4@1GB/s,1us+dragonfly:5@1GB/s,1us",
            "mesh:4x2@1GB/s,1us+switch:3@1GB/s,1us,planes=2",
        ]),
        from in 0_u32..12,
        to in 0_u32..12,
        routing in prop::sample::select(vec![
            Routing::First, Routing::Split, Routing::Modulo, Routing::Ecmp { seed: 5 },
            Routing::Detour, Routing::Borrow,
        ]),
    ) {
        prop_assume!(from != to);
        let net = network(text);
        let graph = net.graph();
        for symmetry in [None, net.symmetry()] {
            let mut router = fabric::Router::new(graph, routing, symmetry);
            let (route, latency) = router.route(from, to).unwrap();
            prop_assert!(latency > 0);
            let mut balance = vec![0.0; graph.nodes() as usize];
            for (link, weight) in route {
                balance[graph.from(link as usize) as usize] -= weight;
                balance[graph.to(link as usize) as usize] += weight;
            }
            balance[from as usize] += 1.0;
            balance[to as usize] -= 1.0;
            prop_assert!(balance.iter().all(|b: &f64| b.abs() < 1e-9), "{text} {routing:?}");
        }
    }
}

#[test]
fn all_pairs_by_symmetry_are_all_pairs_one_by_one() {
    for text in [
        "ring:9@1GB/s,1us",
        "torus:4x3@1GB/s,1us",
        "mesh:4x3@1GB/s,1us+switch:3@1GB/s,1us,planes=2",
        "clos:4x4@1GB/s,1us,spines=2,over=2",
        "switch:4@8GB/s,1us,planes=2+rail:3@1GB/s,1us",
    ] {
        let net = network(text);
        let n = net.graph().endpoints();
        let pairs = (0..n).flat_map(|a| (0..n).map(move |b| (a, b, 1e6)));
        let one_by_one = transfer(&net.flows(Routing::Split, pairs).unwrap());
        let folded = transfer(&net.all_pairs(Routing::Split, 1e6).expect(text));
        let (a, b) = (one_by_one.finish_ps, folded.finish_ps);
        assert!(a.abs_diff(b) <= a / 1_000_000 + 10, "{text}: {a} {b}");
    }
}

#[test]
fn all_pairs_by_the_destinations_number_are_all_pairs_one_by_one() {
    // Four spines serve eight hosts a leaf; six do not go into eight, nor into the next level's sixteen.
    for (text, folds) in [
        ("clos:8x4@1GB/s,1us,spines=4", true),
        ("clos:8x4@1GB/s,1us,spines=8,ack=0.05", true),
        ("clos:4x6@1GB/s,1us,spines=2,over=2,ack=0.1", true),
        ("clos:8x4@1GB/s,1us,spines=6", false),
        ("mesh:4@1GB/s,1us+switch:3@1GB/s,1us,planes=2", true),
        ("mesh:3@1GB/s,1us+switch:3@1GB/s,1us,planes=2", false),
    ] {
        let net = network(text);
        let n = net.graph().endpoints();
        let pairs = (0..n).flat_map(|a| (0..n).map(move |b| (a, b, 1e6)));
        let one_by_one = transfer(&net.flows(Routing::Modulo, pairs).unwrap());
        let Some(set) = net.all_pairs(Routing::Modulo, 1e6) else {
            assert!(!folds, "{text}");
            continue;
        };
        assert!(folds, "{text}");
        let folded = transfer(&set);
        let (a, b) = (one_by_one.finish_ps, folded.finish_ps);
        assert!(a.abs_diff(b) <= a / 1_000_000 + 10, "{text}: {a} {b}");
        assert_eq!(one_by_one.bound_ps, folded.bound_ps, "{text}");
    }
}

#[test]
fn what_is_not_symmetric_is_not_folded_so() {
    let net = network("mesh:4@1GB/s,1us+dragonfly:5@1GB/s,1us");
    assert!(net.symmetry().is_none(), "only some members of a group have a global link");
    let ring = network("ring:8@1GB/s,1us");
    let broken = ring.with_faults(&[parse_fault("link:0-1=0.5").unwrap()]).unwrap();
    assert!(ring.symmetry().is_some() && broken.symmetry().is_none());
}

#[test]
fn traffic_goes_round_a_dead_link() {
    let ring = network("ring:8@1GB/s,1us");
    let broken = ring.with_faults(&[parse_fault("link:0-1").unwrap()]).unwrap();
    let alone = [(0, 1, 1e6)];
    let quick = transfer(&ring.flows(Routing::First, alone).unwrap());
    let slow = transfer(&broken.flows(Routing::First, alone).unwrap());
    assert_eq!(quick.finish_ps, 1_000_000_000 + 1_000_000);
    assert_eq!(slow.finish_ps, 1_000_000_000 + 7_000_000, "seven hops the other way");
    let cut = ["link:0-1", "link:0-7"].map(|f| parse_fault(f).unwrap());
    let cut = ring.with_faults(&cut).unwrap();
    assert_eq!(cut.flows(Routing::First, alone).unwrap_err().code, "fabric::cut");
}

#[test]
fn ports_are_counted_against_the_budget() {
    let legal = "mesh:8x8@56GB/s,1us+switch:16@56GB/s,1us,planes=4,budget=18";
    assert!(parse_topology(legal).unwrap().build().is_ok());
    let over = legal.replace("18", "17");
    let problem = parse_topology(&over).unwrap().build().unwrap_err();
    assert_eq!(problem.code, "fabric::ports");
}

#[test]
fn a_survey_knows_known_figures() {
    let net = network("clos:4x4@1GB/s,1us,spines=4,over=2");
    let found = fabric::survey(net.graph(), net.symmetry().is_some());
    assert_eq!((found.endpoints, found.switches), (16, 8));
    assert_eq!(found.diameter, (4, 4_000_000));
    assert!((found.bisection_bytes_per_s / 4e9 - 1.0).abs() < 1e-9, "8 hosts at half rate");
    let ring = network("ring:8@1GB/s,1us");
    let found = fabric::survey(ring.graph(), true);
    assert_eq!((found.diameter.0, found.bisection_bytes_per_s), (4, 2e9));
}

#[test]
fn hashed_routes_collide_and_repeat() {
    let net = network("clos:8x4@1GB/s,1us,spines=8");
    let shift = |routing| {
        let pairs = (0..32).map(|i| (i, (i + 8) % 32, 1e6));
        transfer(&net.flows(routing, pairs).unwrap()).finish_ps
    };
    let ideal = shift(Routing::Split);
    let hashed = shift(Routing::Ecmp { seed: 1 });
    assert!(hashed >= 2 * (ideal - 4_000_000), "two of eight flows meet: {hashed} {ideal}");
    assert_eq!(hashed, shift(Routing::Ecmp { seed: 1 }));
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_built() {
    for text in [
        "mesh:4294967295@1GB/s,1us",
        "switch:4@1GB/s,1us,planes=4294967295",
        "clos:4x4@1GB/s,1us,spines=4294967295",
        "clos:4x4@1GB/s,1us,planes=65536,spines=65536",
        "ring:4@1GB/s,1us,ports=4294967295,budget=9",
        "ring:65536@1GB/s,1us+ring:65536@1GB/s,1us",
    ] {
        assert!(parse_topology(text).unwrap().build().is_err(), "{text}");
    }
}

#[test]
fn a_spare_stands_in_through_the_switches() {
    let whole = network("mesh:8x8@56GB/s,1us+switch:2@56GB/s,1us,planes=4,budget=18");
    let spared = whole.with_faults(&[parse_fault("spare:5").unwrap()]).unwrap();
    let links = |n: &Network, from, to| {
        let mut router = fabric::Router::new(n.graph(), Routing::Split, None);
        let (route, latency) = router.route(from, to).expect("a path");
        (route, latency)
    };
    // Chips 4 and 5 share a board: one link before, up and down through four planes after.
    assert_eq!(links(&whole, 4, 5).0.len(), 1);
    let (route, latency) = links(&spared, 4, 5);
    assert_eq!((route.len(), latency), (8, 2_000_000));
    assert!(route.iter().all(|(_, share)| (share - 0.25).abs() < 1e-12));
    // Its peers' four ports are the limit, not its own, which are all eighteen.
    let rate = |pairs: &[(u32, u32)]| {
        let flows = spared.flows(Routing::Split, pairs.iter().map(|p| (p.0, p.1, 1e9))).unwrap();
        1e9 / (transfer(&flows).finish_ps as f64 * 1e-12)
    };
    assert!((rate(&[(4, 5)]) / (4.0 * 56e9) - 1.0).abs() < 1e-3);
    let four: Vec<(u32, u32)> = [0, 1, 2, 3, 4, 6].map(|n| (n, 5)).to_vec();
    assert!((rate(&four) / (18.0 * 56e9 / 6.0) - 1.0).abs() < 1e-3);
    // The rest of the rack goes on as before.
    assert_eq!(links(&spared, 0, 7).0, links(&whole, 0, 7).0);
    let none = network("mesh:8@56GB/s,1us").with_faults(&[parse_fault("spare:5").unwrap()]);
    assert!(none.unwrap_err().0[0].message.contains("no switch"));
}
