//! Collectives under faults.

use collective::{Operation, Placed, Scheme, degraded, on_graph};
use fabric::{Network, Routing, parse_fault, parse_topology};
use model::Collective;

const ALL_TO_ALL: Operation = Operation::Of(Collective::AllToAll);
const ALL_REDUCE: Operation = Operation::Of(Collective::AllReduce);

fn pod() -> Network {
    let cluster = catalog::cluster("atlas-950-1024").expect("in the catalog");
    Network::new(fabric::topology_of(&cluster, 1_024).expect("a topology")).expect("it builds")
}

#[test]
fn faults_found_pair_by_pair_are_faults_found_flow_by_flow() {
    let text = "mesh:4x4@10GB/s,1us+switch:3@10GB/s,1us,planes=4";
    let whole = Network::new(parse_topology(text).unwrap()).unwrap();
    for fault in ["link:0-1", "port:5/switch2/2", "switch:switch2/1", "chip:17", "link:2-3=0.25"] {
        let broken = whole.with_faults(&[parse_fault(fault).unwrap()]).unwrap();
        let group = Placed::of(&broken, broken.alive());
        let short = broken.affected_pairs(Routing::Split, 1e6).expect(fault).expect(fault);
        let pairs = group
            .members
            .iter()
            .flat_map(|to| group.members.iter().map(move |from| (*from, *to, 1e6)));
        let set = broken.flows(Routing::Split, pairs).unwrap();
        let long = fabric::transfer(&fabric::fold(&set).set);
        let bound = long.bound_ps as f64 * 1e-12;
        assert!((short.seconds / bound - 1.0).abs() < 1e-6, "{fault}: {} {bound}", short.seconds);
    }
}

#[test]
fn a_pod_with_one_fault_is_answered_from_what_changed() {
    let whole = pod();
    let everyone = Placed::first(&whole, 1024);
    let direct = Some(Scheme::Direct);
    for (fault, least) in [("link:0-1", 1.0), ("port:0/pod/0", 1.3), ("port:9/pod/3=0.5", 1.9)] {
        let faults = [parse_fault(fault).unwrap()];
        let found =
            degraded(&whole, &faults, &everyone, ALL_TO_ALL, direct, Routing::Split, 1e9).unwrap();
        assert!(found.slowdown() >= least && found.slowdown() < 2.1, "{fault}: {found:?}");
        assert!(found.broken.flows.0 < 2_100, "{fault}: {} pairs", found.broken.flows.0);
    }
    // A whole plane: three of four ports left to everyone, and still the same from everywhere.
    let plane = [parse_fault("switch:pod/2").unwrap()];
    let found =
        degraded(&whole, &plane, &everyone, ALL_TO_ALL, direct, Routing::Split, 1e9).unwrap();
    assert!((found.slowdown() - 4.0 / 3.0).abs() < 0.01, "{found:?}");
    let broken = whole.with_faults(&[parse_fault("board:3").unwrap()]).unwrap();
    assert_eq!(broken.alive().len(), 1016);
    let dead = Placed::of(&broken, (0..64).collect());
    let problem = on_graph(&broken, &dead, ALL_REDUCE, None, Routing::Split, 1e9).unwrap_err();
    assert_eq!(problem.0.len(), 8, "every dead member is named");
}

#[test]
fn a_slow_link_slows_only_what_crosses_it() {
    let ring = Network::new(parse_topology("ring:16@10GB/s,1us").unwrap()).unwrap();
    let faults = [parse_fault("link:4-5=0.5").unwrap()];
    let run = |members: std::ops::Range<u32>| {
        let group = Placed::of(&ring, members.collect());
        let scheme = Some(Scheme::Ring);
        degraded(&ring, &faults, &group, ALL_REDUCE, scheme, Routing::First, 1e9).unwrap()
    };
    assert!((run(0..16).slowdown() - 2.0).abs() < 0.01);
    assert_eq!(run(8..12).slowdown(), 1.0);
}

#[test]
fn switches_that_reduce_carry_each_byte_up_and_down_once() {
    let text = "switch:8@10GB/s,1us,planes=4+switch:1@10GB/s,1us";
    let network = Network::new(parse_topology(text).unwrap()).unwrap();
    let group = Placed::first(&network, 8);
    let scheme = Some(Scheme::InNetwork);
    let found = on_graph(&network, &group, ALL_REDUCE, scheme, Routing::Split, 1e9).unwrap();
    let wanted = 1e9 * 1.125 / 40e9 * 1e12;
    assert!((found.bound_ps as f64 / wanted - 1.0).abs() < 1e-6, "{found:?}");
}

/// Reduction in switches takes one switch that all members hang on.
#[test]
fn switches_reduce_for_their_own_chips_only() {
    let pod = catalog::cluster("dgx-h100").unwrap();
    let network = Network::new(fabric::topology_of(&pod, 32).unwrap()).unwrap();
    let time = |members: Vec<u32>, scheme| {
        let group = Placed::of(&network, members);
        on_graph(&network, &group, ALL_REDUCE, scheme, Routing::Split, 1e9).map(|c| c.time_ps)
    };
    // Seven chips of one host have a switch in common, twelve of two hosts have not.
    assert!(time((0..7).collect(), Some(Scheme::InNetwork)).is_ok());
    assert!(time((0..12).collect(), Some(Scheme::InNetwork)).is_err());
    let four = time(vec![0, 1, 8, 9], None).unwrap();
    assert!(four > time((0..4).collect(), None).unwrap());
    // 1 GB over two ports of 50 GB/s to the other host, there and back halved.
    assert!(four as f64 * 1e-12 > 1e9 / 100e9, "{four}");
}

/// What is ruled out by its least time is slower than what is found.
#[test]
fn ruling_schemes_out_changes_no_answer() {
    for (text, faults) in [
        (
            "switch:4@100GB/s,1us,planes=2+rail:4@25GB/s,2us",
            &["", "chip:3", "port:0/rail1/0=0.5"][..],
        ),
        ("mesh:3x3@50GB/s,500ns+switch:2@25GB/s,1us", &["", "link:0-1", "chip:9"]),
        ("ring:16@50GB/s,500ns", &["", "link:3-4", "link:0-1=0.3"]),
        ("switch:16@50GB/s,500ns,memory=1600GB/s,endpoint=10ns", &["", "chip:15"]),
    ] {
        let whole = Network::new(fabric::parse_topology(text).unwrap()).unwrap();
        for fault in faults {
            let faults: Vec<_> =
                fault.split_terminator(' ').map(|f| fabric::parse_fault(f).unwrap()).collect();
            let network = whole.with_faults(&faults).unwrap();
            let group = Placed::first(&network, network.alive().len() as u64);
            for (operation, _) in collective::OPERATIONS {
                for bytes in [1e3, 1e9] {
                    let run = |s| on_graph(&network, &group, operation, s, Routing::Split, bytes);
                    let schemes = operation.schemes().iter();
                    let reduces = |s: &Scheme| {
                        !matches!(s, Scheme::InNetwork | Scheme::SwitchTree) || network.reduces()
                    };
                    let one_by_one =
                        schemes.filter(|s| reduces(s)).filter_map(|s| run(Some(*s)).ok());
                    let best = one_by_one.min_by_key(|cost| cost.time_ps);
                    assert_eq!(run(None).ok(), best, "{text} {fault} {operation:?} {bytes}");
                }
            }
        }
    }
}
