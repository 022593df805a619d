//! Prices of collectives against hand-written bounds, and properties no fabric may break.

use catalog::{Cluster, Wiring};
use collective::{Algorithm, cost, deduplication, price, traffic};
use fabric::{Fabric, MAX_LEVELS};
use model::{Collective, expected_touched};
use proptest::prelude::*;

const PLAIN: [f64; MAX_LEVELS] = [1.0; MAX_LEVELS];

fn cluster(id: &str) -> Cluster {
    catalog::cluster(id).expect("a catalog cluster")
}

fn seconds(fabric: &Fabric, stride: u64, size: u64, operation: Collective, bytes: f64) -> f64 {
    cost(fabric, &fabric.span(stride, size), operation, bytes, &PLAIN).map_or(0.0, |c| c.seconds)
}

#[test]
fn ring_all_reduce_is_the_textbook_formula() {
    let fabric = Fabric::new(&cluster("dgx-h100"), 8);
    let channel = fabric.channels()[0];
    let span = fabric.span(1, 8);
    let bytes = 1e9;
    let ring =
        price(&fabric, &span, Collective::AllReduce, Algorithm::Ring, bytes, &PLAIN).unwrap();
    let want = 2.0 * 7.0 / 8.0 * bytes / channel.bytes_per_s + 14.0 * channel.latency_s;
    assert!((ring.seconds / want - 1.0).abs() < 1e-12, "{} {want}", ring.seconds);
}

#[test]
fn a_mesh_carries_only_what_its_links_to_members_can() {
    // Two of the eight chips of a board share one of seven links.
    let fabric = Fabric::new(&cluster("atlas-950-superpod"), 8192);
    let channel = fabric.channels()[0];
    assert_eq!(channel.wiring, Wiring::FullMesh);
    let bytes = 7e9;
    let two = seconds(&fabric, 1, 2, Collective::SendRecv, bytes);
    let link = channel.bytes_per_s / 7.0;
    assert!((two - bytes / link - channel.latency_s).abs() < 1e-9);
}

#[test]
fn an_all_to_all_respects_every_port() {
    // The defect of a published simulator: no port limit at the endpoints. 1 GiB a rank over 512.
    let fabric = Fabric::new(&cluster("dgx-h100"), 512);
    let bytes = 1_073_741_824.0;
    let all = seconds(&fabric, 1, 512, Collective::AllToAll, bytes);
    let port = fabric.channels()[1].bytes_per_s;
    assert!(all >= bytes * (504.0 / 512.0) / port);
}

#[test]
fn tokens_that_enter_a_node_once_send_fewer_copies() {
    let fabric = Fabric::new(&cluster("hgx-h800-infiniband"), 2048);
    let span = fabric.span(1, 64);
    let limited = deduplication(&span, 256, 8, Some(4));
    assert!((limited[1] - 0.5).abs() < 1e-12, "4 nodes for 8 experts: {limited:?}");
    let free = deduplication(&span, 256, 8, None);
    assert!((free[1] * 8.0 - 5.29).abs() < 0.01, "5.29 of 8 nodes: {free:?}");
}

#[test]
fn a_copy_for_a_node_is_spread_inside_it() {
    let fabric = Fabric::new(&cluster("hgx-h800-infiniband"), 2048);
    let span = fabric.span(1, 64);
    let fewer = deduplication(&span, 256, 8, Some(4));
    let sent = |fewer: &[f64; MAX_LEVELS]| {
        traffic(&fabric, &span, Collective::AllToAll, Algorithm::Direct, 8.0, fewer).unwrap()
    };
    // Of 8 copies a token, 7.68 reach ranks of their own, 7 of 8 of them over a node's own links.
    let ranks = expected_touched(64, 256, 8);
    assert!((ranks - 7.68).abs() < 0.005, "{ranks}");
    let relayed = sent(&fewer);
    assert!((relayed[0] - ranks * 7.0 / 8.0).abs() < 1e-9, "{relayed:?}");
    assert!((relayed[1] - 4.0 * 7.0 / 8.0).abs() < 1e-9, "{relayed:?}");
    // Without sending once, 7 of 64 ranks are in the sender's node.
    let plain = sent(&PLAIN);
    assert!((plain[0] - 8.0 * 7.0 / 64.0).abs() < 1e-9, "{plain:?}");
}

#[test]
fn what_crosses_a_trunk_leaves_through_the_ports_below() {
    let fabric = Fabric::new(&cluster("atlas-900-a3-superpod"), 768);
    let span = fabric.span(1, 64);
    let sent = |fewer: &[f64; MAX_LEVELS]| {
        traffic(&fabric, &span, Collective::AllToAll, Algorithm::Direct, 64.0, fewer).unwrap()
    };
    // Package of 2, node of 16, pod: all but the package's own bytes use a die's seven ports.
    let plain = sent(&PLAIN);
    assert_eq!(plain[..3], [1.0, 62.0, 48.0]);
    // The ports are the same, so one copy a node and another on its way inside save nothing.
    let fewer = deduplication(&span, 256, 8, None);
    let once = sent(&fewer);
    assert!((once[1] - 62.0 * fewer[0]).abs() < 1e-9, "{once:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn more_bytes_and_less_bandwidth_are_never_faster(
        log_bytes in 10.0_f64..32.0,
        log_size in 1_u32..9,
        operation in prop::sample::select(vec![
            Collective::AllReduce, Collective::AllGather, Collective::ReduceScatter,
            Collective::AllToAll, Collective::SendRecv,
        ]),
        id in prop::sample::select(vec!["dgx-h100", "atlas-950-superpod", "gb200-nvl72", "dgx-a100"]),
    ) {
        let whole = cluster(id);
        let size = 1 << log_size;
        let bytes = log_bytes.exp2();
        let fabric = Fabric::new(&whole, 512);
        let base = seconds(&fabric, 1, size, operation, bytes);
        prop_assert!(base > 0.0);
        prop_assert!(seconds(&fabric, 1, size, operation, bytes * 1.5) >= base);
        for level in 0..whole.levels.len() {
            let mut slower = whole.clone();
            slower.levels[level].bandwidth.value *= 0.5;
            let slow = seconds(&Fabric::new(&slower, 512), 1, size, operation, bytes);
            prop_assert!(slow >= base, "{id} level {level}: {slow} < {base}");
        }
    }

    #[test]
    fn an_all_reduce_is_never_faster_than_its_bytes_through_one_port(
        log_bytes in 20.0_f64..32.0,
        log_size in 1_u32..10,
    ) {
        let fabric = Fabric::new(&cluster("dgx-a100"), 1024);
        let bytes = log_bytes.exp2();
        let fastest = fabric.channels().iter().map(|c| c.bytes_per_s).fold(0.0, f64::max);
        let size = 1 << log_size;
        let time = seconds(&fabric, 1, size, Collective::AllReduce, bytes);
        // In-network reduction sends each byte at least once.
        prop_assert!(time >= bytes / fastest);
    }
}
