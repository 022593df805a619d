//! Files that are broken in every way a file is broken: no panic, no hang, nothing made that the file
//! does not state. Deterministic: a failure prints its format and seed, which go into [`KNOWN`].

use crate::captured::{compute, nodes, program, reduce};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use trace::{OnInfraGraph, Operation, Price, TraceProgram, Work};
use trace::{astra, chakra, infragraph, json_program, msccl};

/// Seeds that once failed: `(format, seed)`.
const KNOWN: [(&str, u64); 0] = [];

/// Broken files of each format.
const CASES: u64 = 400;

struct Free;

impl Price for Free {
    fn collective(&self, _: Operation, bytes: u64, _: &[u64]) -> Result<u64, String> {
        Ok(bytes % 1000)
    }
    fn send(&self, _: u64, _: u64, bytes: u64) -> Result<u64, String> {
        Ok(bytes % 1000)
    }
    fn compute(&self, flop: u64, _: u64) -> Result<u64, String> {
        Ok(flop % 1000)
    }
}

/// A program with everything in it.
fn everything() -> TraceProgram {
    let send = Work::Send { peer: 1, tag: 3, bytes: 64 };
    let receive = Work::Receive { peer: 0, tag: 3, bytes: 64 };
    let recorded = Work::Compute { host: true, duration_ps: Some(5_000_000), flop: 0, bytes: 0 };
    let first =
        nodes(&[(compute(9), &[]), (reduce(96, None), &[0]), (send, &[1]), (recorded, &[])]);
    let second = nodes(&[(Work::Nothing, &[]), (reduce(96, None), &[0]), (receive, &[])]);
    let mut made = program(vec![first, second]);
    made.groups = BTreeMap::from([("pair".to_owned(), vec![0, 1])]);
    made
}

const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1e999",
    "18446744073709551615",
    "9223372036854775808",
    "99999999999999999999999",
    "nan",
    ".inf",
    "0.0000001",
    "4294967296",
    "1048577",
    "\"1\"",
];

/// `good` broken in one to three ways.
fn broken(good: &[u8], other: &[u8], rng: &mut Pcg64Mcg) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=rng.next_u64() % 3 {
        let mut place = |n: usize| (rng.next_u64() % (n as u64 + 1)) as usize;
        let (at, kind, dice) = (place(bytes.len()), place(7), place(1 << 20));
        match kind {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << (dice % 8),
            2 if at < bytes.len() => bytes[at] = dice as u8,
            // A piece of another file, or of itself, in between.
            3 => {
                let from = dice % (other.len() + 1);
                let piece = &other[from..(from + dice % 97).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            // A run of digits becomes another number.
            4 => {
                let digit = |b: &u8| b.is_ascii_digit();
                let start = at + bytes[at..].iter().position(digit).unwrap_or(0);
                let end = start + bytes[start..].iter().take_while(|b| digit(b)).count();
                let number = NUMBERS[dice % NUMBERS.len()];
                bytes.splice(start..end, number.bytes());
            }
            // Nesting without end.
            5 => {
                let opening = ["[", "{\"a\":", "<a>", "- ", "((", "\u{12}\u{7f}"][dice % 6];
                let deep = opening.repeat(1 + dice % 4000);
                bytes.splice(at..at, deep.into_bytes());
            }
            // A piece left out, or lengths that say too much.
            6 => drop(bytes.drain(at..(at + dice % 40).min(bytes.len()))),
            _ => drop(bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        }
    }
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a program may hold for the file it came from, and that it runs or says why not.
fn held(program: &TraceProgram, bytes: usize) {
    let nodes: usize = program.traces.iter().map(|t| t.nodes.len()).sum();
    let waits: usize = program.traces.iter().flat_map(|t| &t.nodes).map(|n| n.after.len()).sum();
    assert!(nodes + waits <= bytes, "{nodes} nodes and {waits} waits out of {bytes} bytes");
    let _ = trace::run(program, &Free);
}

type Read = Box<dyn Fn(&[u8])>;

/// Every format: its name, a good file, and its reader.
fn formats() -> Vec<(&'static str, Vec<u8>, Read)> {
    let all = everything();
    let file = chakra::write(&all).swap_remove(0);
    let whole = file.clone();
    let mut list: Vec<(&'static str, Vec<u8>, Read)> = Vec::new();
    let mut add = |name, good: Vec<u8>, read: Read| list.push((name, good, read));
    add(
        "chakra",
        file,
        Box::new(move |b| {
            for files in [vec![("0.et", b)], vec![("0.et", b), ("1.et", whole.as_slice())]] {
                let length = files.iter().map(|f| f.1.len()).sum();
                if let Ok(program) = chakra::read(&files, BTreeMap::new()) {
                    held(&program, length);
                }
            }
        }),
    );
    add(
        "program",
        json_program::write(&all).into_bytes(),
        Box::new(|b| {
            if let Ok(program) = json_program::read("p.json", &text(b)) {
                held(&program, b.len());
            }
        }),
    );
    add(
        "groups",
        br#"{"a": [0, 1], "b": [1]}"#.to_vec(),
        Box::new(|b| {
            let _ = chakra::groups("g.json", &text(b));
        }),
    );
    add(
        "msccl",
        crate::msccl::ring(4, 2).into_bytes(),
        Box::new(|b| {
            let Ok(made) = msccl::read("a.xml", &text(b)) else { return };
            assert!(made.steps.len() + made.blocks.len() <= b.len());
            let _ = made.prove();
            let network = fabric::parse_topology("switch:8@50GB/s,500ns").expect("a topology");
            let _ = made.run(&fabric::Network::new(network).expect("a network"), 1e6);
        }),
    );
    let network = "topology: [ Ring, Switch ]\nnpus_count: [ 4, 2 ]\nbandwidth: [ 50.0, 25 ]\n\
                   latency: [ 500.0, 2e3 ]\n";
    add(
        "astra network",
        network.as_bytes().to_vec(),
        Box::new(|b| {
            let _ = astra::network("n.yml", &text(b));
        }),
    );
    let system = r#"{ "endpoint-delay": 10, "local-mem-bw": 1600,
                      "all-reduce-implementation": ["ring"] }"#;
    add(
        "astra system",
        system.as_bytes().to_vec(),
        Box::new(|b| {
            let _ = astra::system("s.json", &text(b));
        }),
    );
    let servers = crate::infragraph::SERVERS.as_bytes().to_vec();
    let read = |b: &[u8]| {
        let Ok(graph) = infragraph::read("i.yaml", &text(b)) else { return };
        let on = OnInfraGraph::new(graph, None, None);
        let _ = on.collective(Operation::Barrier, 0, &[0, 1, 5]);
        let _ = on.send(0, 7, 1 << 20);
    };
    list.push(("infragraph", servers, Box::new(read)));
    own(&mut list);
    list
}

/// The formats of the house.
fn own(list: &mut Vec<(&'static str, Vec<u8>, Read)>) {
    use catalog::Kind;
    let file = |kind, id| catalog::text(kind, id).expect("a shipped file").as_bytes().to_vec();
    let mut add = |name, good: Vec<u8>, read: Read| list.push((name, good, read));
    add(
        "scenario",
        file(Kind::Scenario, "deepseek-v3-on-h800"),
        Box::new(|b| {
            let none = |path: &str| Err(format!("cannot read `{path}`"));
            let _ = scenario::load("s.toml", &text(b), &[], &none);
        }),
    );
    add(
        "chip",
        file(Kind::Chip, "h100"),
        Box::new(|b| {
            let _ = catalog::parse_chip("c.toml", &text(b));
        }),
    );
    add(
        "cluster",
        file(Kind::Cluster, "dgx-h100"),
        Box::new(|b| {
            let _ = catalog::parse_cluster("c.toml", &text(b));
        }),
    );
    add(
        "model",
        file(Kind::Model, "deepseek-v3"),
        Box::new(|b| {
            let _ = model::parse_config("m", "config.json", &text(b));
        }),
    );
    add(
        "topology",
        b"mesh:8x8@56GB/s,1us+switch:128@56GB/s,1us,planes=4".to_vec(),
        Box::new(|b| {
            let _ = fabric::parse_topology(&text(b));
        }),
    );
}

#[test]
fn broken_files_are_problems_and_nothing_worse() {
    let formats = formats();
    let mut failed = Vec::new();
    for (k, (name, good, read)) in formats.iter().enumerate() {
        read(good);
        let other = &formats[(k + 1) % formats.len()].1;
        let known = KNOWN.iter().filter(|(format, _)| format == name).map(|(_, seed)| *seed);
        for seed in known.chain(0..CASES) {
            let mut rng = Pcg64Mcg::seed_from_u64(seed);
            let bytes = broken(good, other, &mut rng);
            if catch_unwind(AssertUnwindSafe(|| read(&bytes))).is_err() {
                failed.push((*name, seed));
            }
        }
    }
    assert!(failed.is_empty(), "add to KNOWN and mend: {failed:?}");
}
