//! Meshes of several dimensions used at once: the closed form against the steps on the graph, and
//! against the bound of busy links.

use catalog::Cluster;
use collective::{Algorithm, Operation, Placed, Scheme, on_graph, price, traffic};
use fabric::{Fabric, MAX_LEVELS, Network, Routing};
use model::Collective;
use proptest::prelude::*;

const PLAIN: [f64; MAX_LEVELS] = [1.0; MAX_LEVELS];
const HALVES: [Collective; 3] =
    [Collective::AllReduce, Collective::AllGather, Collective::ReduceScatter];

/// Two pods of meshes of `fans` members and links of `rates` GB/s, and switches between them.
fn pods(fans: &[u64], rates: &[f64]) -> Cluster {
    let mut cluster = catalog::cluster("ub-mesh-8192").expect("in the catalog");
    let switch = cluster.levels.pop().expect("a switch above");
    let mut size = 1;
    cluster.levels.truncate(fans.len());
    for ((level, fan), rate) in cluster.levels.iter_mut().zip(fans).zip(rates) {
        size *= fan;
        level.size = size;
        level.bandwidth.value = rate * 1e9 * (fan - 1) as f64;
        level.utilisation.value = 1.0;
        level.latency.value = 1e-6;
        (level.cabling.detour, level.cabling.borrow) = (false, false);
        level.cabling.ports = None;
    }
    cluster.chips = 2 * size;
    cluster.levels.push(catalog::Level { size: 2 * size, ..switch });
    cluster
}

/// Seconds by the closed form and on the graph.
fn both(
    cluster: &Cluster,
    ranks: u64,
    operation: Collective,
    algorithm: Algorithm,
    scheme: Scheme,
    bytes: f64,
) -> (f64, f64) {
    let fabric = Fabric::new(cluster, ranks);
    let span = fabric.span(1, ranks);
    let closed = price(&fabric, &span, operation, algorithm, bytes, &PLAIN).expect("legal");
    let topology = fabric::topology_of(cluster, ranks).expect("no torus");
    let network = Network::new(topology).expect("a network");
    let group = Placed::first(&network, ranks);
    let what = Operation::Of(operation);
    let found = on_graph(&network, &group, what, Some(scheme), Routing::Split, bytes);
    (closed.seconds, collective::seconds(found.expect("it runs").time_ps))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_closed_form_is_what_the_steps_take(
        fans in prop::collection::vec(2_u64..6, 2..5),
        rates in prop::collection::vec(10.0_f64..60.0, 4),
        operation in prop::sample::select(HALVES.to_vec()),
        outer in 1_u64..3,
    ) {
        let cluster = pods(&fans, &rates);
        let ranks = outer * fans.iter().product::<u64>();
        let (closed, graph) =
            both(&cluster, ranks, operation, Algorithm::Crossed, Scheme::Crossed, 1e9);
        prop_assert!((closed / graph - 1.0).abs() < 1e-6, "{fans:?} {rates:?}: {closed} {graph}");
        let (closed, graph) =
            both(&cluster, ranks, operation, Algorithm::Hierarchical, Scheme::Hierarchical, 1e9);
        prop_assert!((closed / graph - 1.0).abs() < 1e-6, "{fans:?} {rates:?}: {closed} {graph}");
    }

    #[test]
    fn both_meshes_beat_one_after_the_other_and_never_their_links(
        x in 2_u64..10,
        y in 2_u64..10,
        p in 10.0_f64..60.0,
        q in 10.0_f64..60.0,
        operation in prop::sample::select(HALVES.to_vec()),
    ) {
        let cluster = pods(&[x, y], &[p, q]);
        let fabric = Fabric::new(&cluster, x * y);
        let span = fabric.span(1, x * y);
        let of = |a| price(&fabric, &span, operation, a, 1e12, &PLAIN).unwrap().seconds;
        let passes = if operation == Collective::AllReduce { 2.0 } else { 1.0 };
        let sent = passes * (1.0 - 1.0 / (x * y) as f64) * 1e12;
        let ports = (x - 1) as f64 * p * 1e9 + (y - 1) as f64 * q * 1e9;
        let (crossed, bound) = (of(Algorithm::Crossed), sent / ports);
        prop_assert!(crossed > bound && crossed < of(Algorithm::Hierarchical));
        // No other split of the bytes does better.
        let moved = traffic(&fabric, &span, operation, Algorithm::Crossed, 1e12, &PLAIN).unwrap();
        prop_assert!(((moved[0] + moved[1]) / sent - 1.0).abs() < 1e-9, "as few bytes as any");
        let (x, y) = (x as f64, y as f64);
        let (a, b) = (1e3 / (x * p), 1e3 / (y * q));
        let split = |s: f64| {
            passes * ((s * a).max((1.0 - s) * b) + ((1.0 - s) * a / y).max(s * b / x))
        };
        for step in 0..=100 {
            let s = f64::from(step) / 100.0;
            prop_assert!(split(s) + passes * 2e-6 > crossed * (1.0 - 1e-9), "{s} is better");
        }
    }

    #[test]
    fn everything_to_everyone_keeps_every_mesh_busy_already(
        x in 2_u64..7,
        y in 2_u64..7,
        p in 10.0_f64..60.0,
        q in 10.0_f64..60.0,
    ) {
        let mut cluster = pods(&[x, y], &[p, q]);
        // Switches would be a third way between members of different rows and columns.
        cluster.levels.pop();
        cluster.chips = x * y;
        let (closed, graph) =
            both(&cluster, x * y, Collective::AllToAll, Algorithm::Direct, Scheme::Direct, 1e9);
        // On the graph half of each message takes either way round, and shares change as flows end.
        prop_assert!((closed / graph - 1.0).abs() < 0.01, "{x} {y} {p} {q}: {closed} {graph}");
    }
}

#[test]
fn a_square_of_alike_links_is_used_whole() {
    let cluster = catalog::cluster("atlas-950-superpod").expect("in the catalog");
    let fabric = Fabric::new(&cluster, 8192);
    let span = fabric.span(1, 64);
    let of = |a| price(&fabric, &span, Collective::AllReduce, a, 1e10, &PLAIN).unwrap();
    let best = of(Algorithm::Crossed);
    let ports = fabric.channels()[0].bytes_per_s + fabric.channels()[1].bytes_per_s;
    let bound = 2.0 * 63.0 / 64.0 * 1e10 / ports;
    let latency = 4.0 * fabric.channels()[0].latency_s;
    assert!((best.seconds / (bound + latency) - 1.0).abs() < 1e-12, "{}", best.seconds);
    let one = of(Algorithm::Hierarchical);
    // (7/8)(1 + 1/8) over one mesh against 63/64 over two: twice as fast.
    assert!((one.seconds / best.seconds - 2.0).abs() < 1e-3);
}
