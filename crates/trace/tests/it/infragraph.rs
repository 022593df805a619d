//! InfraGraphs: the same times as the same network composed by us; wrong ones explained.

use crate::captured::{nodes, program, reduce};
use model::Collective;
use trace::{OnInfraGraph, OnNetwork, Operation, Price, infragraph};

/// Two servers of four chips on an inner switch, one card a chip, all cards on one leaf.
pub const SERVERS: &str = "\
name: two servers
devices:
- name: server
  components:
  - {name: xpu, count: 4, choice: xpu}
  - {name: nvsw, count: 1, choice: switch}
  - {name: cx, count: 2, choice: device}
  links:
  - {name: nvlink, physical: {bandwidth: {choice: gigabytes_per_second, gigabytes_per_second: 100}, latency: {choice: ns, ns: 500}}}
  - {name: pcie, physical: {bandwidth: {choice: gigabits_per_second, gigabits_per_second: 400}, latency: {choice: us, us: 1}}}
  edges:
  - {ep1: {component: xpu}, ep2: {component: nvsw}, scheme: many2many, link: nvlink}
  - {ep1: {component: 'xpu[0:2]'}, ep2: {device: 'cx[0]', component: port}, scheme: one2one, link: pcie}
  - {ep1: {component: 'xpu[2:4]'}, ep2: {device: 'cx[1]', component: port}, scheme: one2one, link: pcie}
- name: cx
  components:
  - {name: port, count: 2, choice: port}
  links: []
  edges: []
- name: leaf
  components:
  - {name: port, count: 8, choice: port}
  - {name: asic, count: 1, choice: switch}
  links:
  - {name: inner, physical: {bandwidth: {choice: gigabytes_per_second, gigabytes_per_second: 1000}, latency: {choice: ns, ns: 0}}}
  edges:
  - {ep1: {component: port}, ep2: {component: asic}, scheme: many2many, link: inner}
links:
- {name: cable, physical: {bandwidth: {choice: gigabits_per_second, gigabits_per_second: 400}, latency: {choice: ns, ns: 200}}}
instances:
- {name: host, device: server, count: 2}
- {name: leaf, device: leaf, count: 1}
edges:
- {ep1: {instance: host, component: 'cx.port'}, ep2: {instance: leaf, component: 'port[0:8]'}, scheme: one2one, link: cable}
";

#[test]
fn an_infrastructure_has_the_times_of_the_same_network() {
    let graph = infragraph::read("i.yaml", SERVERS).unwrap();
    // Eight chips, two inner switches, eight ports of cards, eight of the leaf and its chip.
    assert_eq!((graph.ranks.len(), graph.nodes), (8, 8 + 2 + 8 + 9));
    assert_eq!(graph.edges.len(), 8 + 8 + 8 + 8);
    let on = OnInfraGraph::new(graph, None, None);
    // A message over a card: 400 Gb/s, 1 + 0.2 + 0 + 0 + 0.2 + 1 microseconds.
    assert_eq!(on.send(0, 4, 50_000_000_000).unwrap(), 1_000_000_000_000 + 2_400_000);
    // Inside a server: as a switch of four ports.
    let topology = fabric::parse_topology("switch:4@100GB/s,500ns").unwrap();
    let network = fabric::Network::new(topology).unwrap();
    let ours = OnNetwork {
        network,
        schemes: [
            ("all_reduce", collective::Scheme::Direct),
            ("all_gather", collective::Scheme::Direct),
            ("all_to_all", collective::Scheme::Direct),
        ]
        .into(),
        flop_per_s: None,
        memory_bytes_per_s: None,
    };
    for of in [Collective::AllReduce, Collective::AllGather, Collective::AllToAll] {
        let operation = Operation::Of(of);
        let [a, b] = [&on as &dyn Price, &ours]
            .map(|p| p.collective(operation, 1 << 26, &[0, 1, 2, 3]).unwrap());
        assert!(a.abs_diff(b) <= 8, "{}: {a} and {b} ps", operation.word());
    }
    let one = nodes(&[(reduce(1 << 20, None), &[])]);
    assert!(trace::run(&program(vec![one; 8]), &on).unwrap().step_ps > 0);
    let one = nodes(&[(reduce(1 << 20, None), &[])]);
    assert!(trace::run(&program(vec![one; 9]), &on).is_err(), "nine ranks on eight chips");
}

#[test]
fn wrong_infrastructures_are_explained() {
    for (from, to, word) in [
        ("device: server", "device: sever", "no device `sever`"),
        ("instance: leaf", "instance: spine", "no instance `spine`"),
        ("component: nvsw", "component: nvws", "no component `nvws`"),
        ("link: cable", "link: cabel", "no link `cabel`"),
        ("scheme: one2one, link: cable", "scheme: some, link: cable", "`some` is not known"),
        ("port[0:8]", "port[0:9]", "beyond the 8"),
        ("port[0:8]", "port[0:7]", "one2one of 8 and 7"),
        ("port[0:8]", "port[a]", "not a slice"),
        ("count: 4", "count: 99999999999", "more than"),
        ("count: 2}\n- {name: leaf", "count: 99999999999}\n- {name: leaf", "instances of"),
        (
            "name: port, count: 2, choice: port",
            "name: cx, count: 2, choice: device",
            "inside itself",
        ),
        ("choice: xpu", "choice: gpu", "no component of choice `xpu`"),
        ("gigabytes_per_second: 100}", "gigabytes_per_second: -1}", "no amount"),
        ("instances:", "instance:", "instances"),
    ] {
        let text = SERVERS.replacen(from, to, 1);
        let problems = infragraph::read("i.yaml", &text).expect_err(word);
        assert!(problems.0.iter().any(|p| p.message.contains(word)), "{word}: {problems:?}");
    }
    // What a link lacks is missed by what uses it.
    let text = SERVERS
        .replace("gigabits_per_second: 400}, latency: {choice: ns", "x: 1}, latency: {choice: ns");
    let on = OnInfraGraph::new(infragraph::read("i.yaml", &text).unwrap(), None, None);
    assert!(on.send(0, 1, 1000).is_ok());
    assert!(on.send(0, 4, 1000).unwrap_err().contains("`cable` has no bandwidth"));
}
