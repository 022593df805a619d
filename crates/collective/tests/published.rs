//! Fabrics that others have measured or simulated. The book's page on fabrics has the tables.

use fabric::{Network, Router, Routing, parse_topology, transfer};

fn close(found: f64, wanted: f64, within: f64) {
    assert!((found / wanted - 1.0).abs() < within, "{found} against {wanted}");
}

/// Rate of the slowest of some transfers of 10 GB that start together. GB/s.
fn rate(network: &Network, pairs: &[(u32, u32)]) -> f64 {
    let transfers = pairs.iter().map(|(a, b)| (*a, *b, 1e10));
    let outcome = transfer(&network.flows(Routing::Split, transfers).expect("a path"));
    1e10 / (outcome.finish_ps as f64 * 1e-12) / 1e9
}

/// CloudMatrix384, arXiv 2506.12708 table 1: path, GB/s between and inside nodes, us of 512 bytes.
const CLOUD_MATRIX: [(&str, f64, f64, f64, f64); 4] = [
    ("NPU-NPU read", 164.0, 167.0, 1.9, 1.2),
    ("NPU-NPU write", 135.0, 137.0, 2.1, 1.3),
    ("NPU-CPU read", 147.0, 151.0, 1.7, 1.0),
    ("NPU-CPU write", 107.0, 110.0, 1.9, 1.1),
];

#[test]
fn cloud_matrix_384_has_its_bandwidths_and_latencies() {
    let cluster = catalog::cluster("atlas-900-a3-superpod").unwrap();
    let network = Network::new(fabric::topology_of(&cluster, 768).unwrap()).unwrap();
    let mut router = Router::new(network.graph(), Routing::First, None);
    let switches = |router: &mut Router<'_>, to| router.route(0, to).unwrap().0.len() - 1;
    // Chip 2 is in another package of the node, chip 16 in another node: two tiers up and down.
    let (inside, between) = (switches(&mut router, 2), switches(&mut router, 16));
    assert_eq!((inside, between), (1, 3));
    // The trunk is 1:1, so a transfer between nodes has the rate of one inside.
    let ports = rate(&network, &[(0, 2)]);
    close(rate(&network, &[(0, 16)]), ports, 0.02);
    close(rate(&network, &[(0, 16)]), 164.0, 0.10);
    close(ports, 167.0, 0.10);
    // All of a node to the next at once: no contention in the switches.
    let all: Vec<(u32, u32)> = (0..16).map(|i| (i, i + 16)).collect();
    close(rate(&network, &all), 164.0, 0.10);
    // 200 ns a switch (vendor), there and back; what the ends take is fixed by the row inside a node.
    let hop_us = 0.2;
    for (path, rate_between, rate_inside, us_between, us_inside) in CLOUD_MATRIX {
        close(rate_inside, rate_between, 0.10);
        let ends = us_inside - 2.0 * inside as f64 * hop_us;
        let found = ends + 2.0 * between as f64 * hop_us;
        eprintln!("{path}: {found:.2} us against {us_between}");
        close(found, us_between, 0.10);
    }
}

#[test]
fn eight_ports_of_a_950_server_carry_what_was_measured() {
    // Raw ports, before any calibration: 8 x 400 Gb/s; measured 389.4 from one chip, 778.7 from two.
    let raw = parse_topology("mesh:8@56GB/s,2us+switch:2@50GB/s,1.5us,planes=8").unwrap();
    let network = Network::new(raw).unwrap();
    close(rate(&network, &[(0, 8)]), 389.4, 0.05);
    close(2.0 * rate(&network, &[(0, 8), (1, 9)]), 778.7, 0.05);
    // As the catalog has it, with the measured share.
    let cluster = catalog::cluster("atlas-850-1024").unwrap();
    let network = Network::new(fabric::topology_of(&cluster, 1024).unwrap()).unwrap();
    close(rate(&network, &[(0, 8)]), 389.4, 0.01);
}

#[test]
fn wider_uplinks_gain_as_ub_mesh_reports() {
    // Figure 20: throughput against x4 lanes a chip. One unknown, the share of an iteration that
    // waits for the uplink at x4, is taken from the x8 bar; the wider bars follow.
    for (printed, within) in [([100.66, 101.11, 101.32], 0.003), ([103.5, 106.85, 108.7], 0.03)] {
        let gain = printed[0] / 100.0;
        let waits = 2.0 * (gain - 1.0) / (2.0 - gain);
        let found = [2.0, 4.0, 8.0].map(|width| 100.0 * (1.0 + waits) / (1.0 + waits / width));
        eprintln!("waits {waits:.3} of the rest at x4: {found:.2?} against {printed:?}");
        assert!(found.windows(2).all(|w| w[0] < w[1]), "wider is never slower");
        for (found, printed) in found.iter().zip(printed) {
            close(*found, printed, within);
        }
    }
}
