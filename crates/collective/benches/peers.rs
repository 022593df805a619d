//! The work of other network simulators, graph building included, beside their own times on a
//! machine of the same kind (2-vCPU EPYC Zen 4, one core): ASTRA-sim 518bd51 with network-analytical
//! 599a047, SimGrid 3.32, LogGOPSim of ATLAHS 8837294. Prints core time, a mean over
//! runs, and the ratio; an argument keeps the cases whose name holds it.

use collective::{Operation, Placed, Scheme, on_graph, unfolded};
use fabric::{Network, Routing, Topology, parse_topology};
use model::Collective;
use std::hint::black_box;
use std::time::Instant;

const GIB: f64 = 1_073_741_824.0;
const ALL_REDUCE: Operation = Operation::Of(Collective::AllReduce);
const ALL_TO_ALL: Operation = Operation::Of(Collective::AllToAll);

struct Case {
    name: String,
    /// What the peer took. Seconds; none if it cannot run it.
    peer_s: Option<f64>,
    topology: Topology,
    operation: Operation,
    scheme: Scheme,
    routing: Routing,
    bytes: f64,
    times: u32,
}

impl Case {
    /// Simulated seconds.
    fn run(&self) -> f64 {
        let network = Network::new(self.topology.clone()).expect("a legal topology");
        let group = Placed::first(&network, u64::from(network.graph().endpoints()));
        (0..self.times)
            .map(|_| {
                let cost = on_graph(
                    &network,
                    &group,
                    self.operation,
                    Some(self.scheme),
                    self.routing,
                    self.bytes,
                );
                cost.expect("it runs").time_ps as f64 * 1e-12
            })
            .sum()
    }
}

fn ring(n: u32, bytes: f64, times: u32, peer_s: Option<f64>) -> Case {
    let text = format!("ring:{n}@53.6870912GB/s,500ns,memory=1600GB/s,endpoint=10ns");
    Case {
        name: format!("{times} x ring all-reduce, {n} NPUs (ASTRA-sim)"),
        peer_s,
        topology: parse_topology(&text).expect("a topology"),
        operation: ALL_REDUCE,
        scheme: Scheme::Ring,
        routing: Routing::First,
        bytes,
        times,
    }
}

fn fat_tree(hosts: u32, leaves: u32, peer_s: Option<f64>) -> Case {
    let text = format!("clos:{hosts}x{leaves}@50GB/s,1us,spines={hosts},ack=0.05");
    let n = hosts * leaves;
    Case {
        name: format!("all pairs 1 MB, fat tree of {n} (SimGrid)"),
        peer_s,
        topology: parse_topology(&text).expect("a topology"),
        operation: ALL_TO_ALL,
        scheme: Scheme::Direct,
        routing: Routing::Modulo,
        bytes: 1e6 * f64::from(n),
        times: 1,
    }
}

fn main() {
    let pod = catalog::cluster("atlas-950-superpod").expect("in the catalog");
    let cases = vec![
        ring(64, GIB, 1, Some(0.024)),
        ring(512, GIB, 1, Some(0.596)),
        ring(1024, GIB, 1, Some(2.47)),
        ring(4096, GIB, 1, Some(56.2)),
        ring(8192, GIB, 1, None),
        ring(65_536, GIB, 1, None),
        ring(256, GIB / 16.0, 100, Some(10.7)),
        fat_tree(16, 8, Some(0.917)),
        fat_tree(16, 16, Some(21.7)),
        fat_tree(32, 16, None),
        fat_tree(32, 32, None),
        Case {
            name: "all-to-all, 8,192 NPUs of an Atlas 950".to_owned(),
            peer_s: None,
            topology: fabric::topology_of(&pod, 8_192).expect("a topology"),
            operation: ALL_TO_ALL,
            scheme: Scheme::Direct,
            routing: Routing::Split,
            bytes: GIB,
            times: 1,
        },
    ];
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    for case in cases.iter().filter(|c| c.name.contains(&wanted)) {
        let (took, simulated) = timed(|| black_box(case).run());
        let beside = case.peer_s.map_or_else(
            || "no peer's figure".to_owned(),
            |p| format!("peer {p} s, {:.0} times", p / took),
        );
        let (name, simulated, took) = (&case.name, simulated * 1e3, took * 1e3);
        eprintln!("{name}: {simulated:.3} ms simulated in {took:.2} ms of a core; {beside}");
    }
    if "messages one by one".contains(&wanted) {
        let topology = parse_topology("ring:1024@50GB/s,500ns").expect("a topology");
        let network = Network::new(topology).expect("a legal topology");
        let group = Placed::first(&network, 1024);
        let run = || unfolded(&network, &group, ALL_REDUCE, Scheme::Ring, Routing::First, GIB);
        let (took, result) = timed(|| run().expect("it runs"));
        let rate = result.1 as f64 / took / 1e6;
        eprintln!(
            "{} messages one by one, {rate:.1} M/s; LogGOPSim 2.1 M/s, {:.1} times",
            result.1,
            rate / 2.1
        );
    }
}

/// Core time of a run, on average over some, and what it answers. Seconds.
fn timed<T>(run: impl Fn() -> T) -> (f64, T) {
    let (begun, before, mut runs) = (Instant::now(), core_s(), 0.0);
    loop {
        let answer = run();
        runs += 1.0;
        let wall_s = begun.elapsed().as_secs_f64();
        if wall_s > 2.0 || runs >= 20.0 && wall_s > 0.3 {
            let core_s = before.zip(core_s()).map_or(wall_s, |(before, now)| now - before);
            return (core_s / runs, answer);
        }
    }
}

/// Time that this thread has had a core for, which others on the machine do not lengthen; none where
/// the system does not say. Seconds.
fn core_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? * 1e-9)
}
