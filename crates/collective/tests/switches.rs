//! Full meshes and the switches above them at once: the closed form against the steps on the graph, and
//! against every other split of the bytes.

use catalog::{Cluster, Concurrent};
use collective::{Algorithm, Operation, Placed, Scheme, cost, on_graph, price, traffic};
use fabric::{Fabric, MAX_LEVELS, Network, Routing};
use model::Collective;
use proptest::prelude::*;

const PLAIN: [f64; MAX_LEVELS] = [1.0; MAX_LEVELS];
const HALVES: [Collective; 3] =
    [Collective::AllReduce, Collective::AllGather, Collective::ReduceScatter];

/// `outer` blocks of meshes of `fans` members and links of `rates` GB/s, and switches of `rate` GB/s a
/// member over them, used at once for `groups`.
fn blocks(fans: &[u64], rates: &[f64], outer: u64, rate: f64, groups: Concurrent) -> Cluster {
    let mut cluster = catalog::cluster("ub-mesh-8192").expect("in the catalog");
    let mut switch = cluster.levels.pop().expect("a switch above");
    let mut size = 1;
    cluster.levels.truncate(fans.len());
    for ((level, fan), rate) in cluster.levels.iter_mut().zip(fans).zip(rates) {
        size *= fan;
        level.size = size;
        level.bandwidth.value = rate * 1e9 * (fan - 1) as f64;
        level.utilisation.value = 1.0;
        level.latency.value = 3e-6;
        (level.cabling.detour, level.cabling.borrow) = (false, false);
        level.cabling.ports = None;
    }
    switch.bandwidth.value = rate * 1e9;
    switch.utilisation.value = 1.0;
    switch.latency.value = 3e-6;
    (switch.cabling.planes, switch.cabling.ports) = (2, None);
    switch.cabling.concurrent = groups;
    cluster.chips = outer * size;
    cluster.levels.push(catalog::Level { size: outer * size, ..switch });
    cluster
}

/// Seconds by the closed form and on the graph of everyone's exchange, or of the first block's.
fn both(cluster: &Cluster, ranks: u64, operation: Collective, bytes: f64) -> Option<(f64, f64)> {
    let fabric = Fabric::new(cluster, cluster.chips);
    let span = fabric.span(1, ranks);
    let closed = price(&fabric, &span, operation, Algorithm::Concurrent, bytes, &PLAIN);
    let topology = fabric::topology_of(cluster, cluster.chips).expect("no torus");
    let network = Network::new(topology).expect("a network");
    let (group, what) = (Placed::first(&network, ranks), Operation::Of(operation));
    let scheme = Some(Scheme::Concurrent);
    let found = on_graph(&network, &group, what, scheme, Routing::Split, bytes).ok();
    assert_eq!(closed.is_some(), found.is_some(), "legal in both or in neither");
    Some((closed?.seconds, collective::seconds(found?.time_ps)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_closed_form_is_what_the_steps_take(
        fans in prop::collection::vec(2_u64..5, 1..4),
        rates in prop::collection::vec(10.0_f64..60.0, 3),
        outer in 2_u64..8,
        rate in 10.0_f64..400.0,
        operation in prop::sample::select(HALVES.to_vec()),
    ) {
        let cluster = blocks(&fans, &rates, outer, rate, Concurrent::Anywhere);
        // Bytes that latencies are nothing against: where both networks go on to their next step at
        // once, the graph has a step fewer.
        for ranks in [cluster.chips, cluster.chips / outer] {
            let (closed, graph) = both(&cluster, ranks, operation, 1e13).expect("legal");
            prop_assert!((closed / graph - 1.0).abs() < 1e-6, "{ranks}: {closed} {graph}");
        }
        // One mesh is one step: latencies are the same as well, where the networks' are alike.
        let cluster = blocks(&fans[..1], &rates, outer, rate, Concurrent::Anywhere);
        let (closed, graph) = both(&cluster, cluster.chips, operation, 1e6).expect("legal");
        prop_assert!((closed / graph - 1.0).abs() < 1e-6, "{closed} {graph}");
    }

    #[test]
    fn no_other_split_does_better(
        x in 2_u64..10,
        y in 2_u64..10,
        p in 10.0_f64..60.0,
        q in 10.0_f64..400.0,
        operation in prop::sample::select(HALVES.to_vec()),
    ) {
        let cluster = blocks(&[x], &[p], y, q, Concurrent::Anywhere);
        let fabric = Fabric::new(&cluster, cluster.chips);
        let passes = if operation == Collective::AllReduce { 2.0 } else { 1.0 };
        let (p, q) = (p * 1e9 * (x - 1) as f64, q * 1e9);
        let share = |n: u64| (n - 1) as f64 / n as f64;
        for ranks in [x, x * y] {
            let span = fabric.span(1, ranks);
            let of = |a| price(&fabric, &span, operation, a, 1e13, &PLAIN).unwrap().seconds;
            let concurrent = of(Algorithm::Concurrent);
            prop_assert!(concurrent < of(Algorithm::Hierarchical));
            let moved = traffic(&fabric, &span, operation, Algorithm::Concurrent, 1e13, &PLAIN);
            let sent: f64 = moved.unwrap().iter().sum();
            prop_assert!((sent / (passes * share(ranks) * 1e13) - 1.0).abs() < 1e-9, "{sent}");
            prop_assert!(concurrent > sent / (p + q), "no faster than all ports");
            let (a, b) = (1e13 * share(x) / p, 1e13 * share(y) / q);
            let split = |s: f64| if ranks == x {
                (s * a).max((1.0 - s) * 1e13 * share(x) / q)
            } else {
                let second = ((1.0 - s) * a / y as f64).max(s * b / x as f64);
                (s * a).max((1.0 - s) * b) + second
            };
            for step in 0..=100 {
                let s = f64::from(step) / 100.0;
                let least = concurrent * (1.0 - 1e-6);
                prop_assert!(passes * split(s) > least, "{ranks}: {s} is better");
            }
        }
    }

    #[test]
    fn an_all_to_all_takes_what_its_steps_take_and_less_than_without(
        fans in prop::collection::vec(2_u64..6, 1..3),
        rates in prop::collection::vec(10.0_f64..60.0, 2),
        outer in 2_u64..5,
        rate in 10.0_f64..800.0,
    ) {
        let cluster = blocks(&fans, &rates, outer, rate, Concurrent::Anywhere);
        let fabric = Fabric::new(&cluster, cluster.chips);
        for ranks in [cluster.chips, cluster.chips / outer] {
            let span = fabric.span(1, ranks);
            let direct =
                price(&fabric, &span, Collective::AllToAll, Algorithm::Direct, 1e12, &PLAIN);
            // With slow switches nothing is to be lent.
            if let Some((closed, graph)) = both(&cluster, ranks, Collective::AllToAll, 1e12) {
                prop_assert!((closed / graph - 1.0).abs() < 1e-5, "{ranks}: {closed} {graph}");
                prop_assert!(closed < direct.unwrap().seconds);
            } else {
                prop_assert!(ranks == cluster.chips);
            }
        }
    }
}

#[test]
fn only_where_the_catalog_says_so() {
    for groups in [Concurrent::Never, Concurrent::Beyond, Concurrent::Anywhere] {
        let cluster = blocks(&[4], &[50.0], 4, 800.0, groups);
        for operation in HALVES.into_iter().chain([Collective::AllToAll]) {
            let found = |ranks| both(&cluster, ranks, operation, 1e9).is_some();
            assert_eq!(found(16), groups != Concurrent::Never, "{operation:?}");
            assert_eq!(found(4), groups == Concurrent::Anywhere, "{operation:?}");
        }
    }
    for id in ["dgx-h100", "gb200-nvl72", "atlas-800t-a2", "atlas-900-a3-superpod", "tpu-v5p"] {
        let cluster = catalog::cluster(id).expect("in the catalog");
        let fabric = Fabric::new(&cluster, 64);
        for ranks in [2, 8, 64] {
            let span = fabric.span(1, ranks);
            for operation in HALVES.into_iter().chain([Collective::AllToAll]) {
                let found = price(&fabric, &span, operation, Algorithm::Concurrent, 1e9, &PLAIN);
                assert_eq!(found, None, "{id}");
            }
        }
    }
}

#[test]
fn a_rack_of_two_meshes_lends_and_goes_on() {
    let cluster = catalog::cluster("atlas-950-superpod").expect("in the catalog");
    let fabric = Fabric::new(&cluster, 8192);
    let best =
        |ranks| cost(&fabric, &fabric.span(1, ranks), Collective::AllReduce, 1e11, &PLAIN).unwrap();
    let rates = fabric.channels()[..3].iter().map(|c| c.bytes_per_s).collect::<Vec<_>>();
    // A board: seven links and four ports at once. A rack: as many links again.
    for (ranks, rate) in [(8, rates[0] + rates[2]), (64, rates[0] + rates[1] + rates[2])] {
        let found = best(ranks);
        assert_eq!(found.algorithm, Algorithm::Concurrent);
        let bound = 2.0 * (1.0 - 1.0 / ranks as f64) * 1e11 / rate;
        assert!((found.seconds / bound - 1.0).abs() < 1e-3, "{} {bound}", found.seconds);
    }
    // Sixteen racks: s of the bytes ends both first steps at once.
    let (a, b) = (63.0 / 64.0 / (rates[0] + rates[1]), 15.0 / 16.0 / rates[2]);
    let second = (a * a / 16.0).max(b * b / 64.0) / (a + b);
    let whole = 2e11 * (a * b / (a + b) + second);
    assert!((best(1024).seconds / whole - 1.0).abs() < 1e-3, "{}", best(1024).seconds);
}
