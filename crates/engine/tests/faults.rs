//! Faults: what is hit is unfolded, what is unfolded runs as every rank on its own would, and nothing
//! broken makes a step shorter.

use engine::{Fault, FlowAnswer, FlowOptions, Machine, flow};
use program::Program;
use scenario::Scenario;

fn load(id: &str, sets: &[(&str, &str)]) -> Scenario {
    let text = catalog::text(catalog::Kind::Scenario, id).expect("a shipped scenario");
    let sets: Vec<(String, String)> =
        sets.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    scenario::load(id, text, &sets, &|p| Err(format!("no {p}"))).expect("a good scenario").scenario
}

fn step(scenario: &Scenario) -> (Program, Machine) {
    let machine = engine::machine(scenario).expect("a calibrated chip");
    let program = engine::lowered(scenario, &scenario.jobs[0]).expect("a legal batch").0;
    (program, machine)
}

fn faults(fail: &[&str], slow: &[&str]) -> Vec<Fault> {
    let fail = fail.iter().map(|t| Fault::fail(t).expect("well written"));
    fail.chain(slow.iter().map(|t| Fault::slow(t).expect("well written"))).collect()
}

fn run(job: &(Program, Machine), faults: Vec<Fault>, unfolded: bool) -> FlowAnswer {
    run_uneven(job, faults, Vec::new(), unfolded)
}

fn run_uneven(
    job: &(Program, Machine),
    faults: Vec<Fault>,
    expert_tokens: Vec<f64>,
    unfolded: bool,
) -> FlowAnswer {
    let explained = !unfolded;
    let options =
        FlowOptions { faults, expert_tokens, unfolded, explained, ..FlowOptions::default() };
    flow(&job.0, &job.1, &options).expect("a good program")
}

#[test]
fn one_fault_in_a_pod_unfolds_its_block_only() {
    let job = step(&load("deepseek-v4-pro-on-atlas-950", &[]));
    let whole = run(&job, Vec::new(), false);
    assert_eq!((whole.classes, whole.unfolded_classes), (8, 0));
    // Rank 7171 is in the last stage, which is the slowest. Two lines of eight stages are added: the
    // rank's own and its block's.
    for (fail, slow, classes) in [
        (vec!["link:7168-7169"], vec![], 24),
        (vec!["port:7171/board"], vec![], 24),
        (vec![], vec!["rank:7171=0.9"], 24),
        (vec!["board:896=0.9"], vec![], 24),
        (vec!["board:896"], vec![], 8),
        (vec!["chip:7171"], vec![], 8),
        (vec!["switch:pod/0=0.5"], vec![], 8),
    ] {
        let hit = run(&job, faults(&fail, &slow), false);
        assert!(hit.step_s > whole.step_s, "{fail:?} {slow:?}: {} {}", hit.step_s, whole.step_s);
        assert_eq!(hit.classes, classes, "{fail:?} {slow:?}");
        let why: f64 = hit.gaps.iter().map(|g| g.seconds).sum();
        assert!((why - (hit.step_s - hit.estimate_s)).abs() < 1e-9 * hit.step_s);
    }
    // A tenth slower in the slowest stage is at most a tenth of the step.
    let slow = run(&job, faults(&[], &["rank:7171=0.9"]), false);
    assert!(slow.step_s < whole.step_s / 0.9 * 1.001, "{} {}", slow.step_s, whole.step_s);
    // Sixteen blocks share the work of one that is gone: 45 micro-batches become 48.
    let gone = run(&job, faults(&["chip:0"], &[]), false);
    assert!((gone.step_s / whole.step_s) < 48.0 / 45.0 + 0.001);
}

#[test]
fn a_fault_folds_as_every_rank_would_run() {
    // Blocks of eight experts' ranks, without tensor or context groups inside: the folding is exact.
    let sets = [
        ("chips", "64"),
        ("plan.pipeline", "4"),
        ("plan.expert", "8"),
        ("batch_sequences", "512"),
        ("plan.stage_blocks", "[15, 16, 16, 15]"),
    ];
    for schedule in ["dualpipe", "1f1b", "zb-h1"] {
        let mut sets = sets.to_vec();
        let word = format!("\"{schedule}\"");
        sets.push(("plan.schedule", &word));
        let job = step(&load("deepseek-v3-on-h800", &sets));
        for (fail, slow) in [
            (vec![], vec!["rank:35=0.8"]),
            (vec!["port:35/scale-out=0.5"], vec![]),
            (vec!["port:3/scale-out=0.5"], vec!["rank:35=0.8", "rank:50=0.7"]),
            (vec!["chip:9"], vec!["rank:35=0.8"]),
        ] {
            let folded = run(&job, faults(&fail, &slow), false);
            let unfolded = run(&job, faults(&fail, &slow), true);
            assert!(folded.classes < unfolded.classes);
            assert_eq!(folded.step_s, unfolded.step_s, "{schedule} {fail:?} {slow:?}");
            // Two of eight holders of experts are busier, the slow rank 35 one of them.
            let tokens: Vec<f64> = (0..256).map(|e| [1.0, 1.5][usize::from(e / 64 == 1)]).collect();
            let folded = run_uneven(&job, faults(&fail, &slow), tokens.clone(), false);
            let unfolded = run_uneven(&job, faults(&fail, &slow), tokens, true);
            assert!(folded.classes < unfolded.classes);
            assert_eq!(folded.step_s, unfolded.step_s, "{schedule} {fail:?} {slow:?}, uneven");
        }
    }
}

#[test]
fn a_broken_link_costs_what_its_graph_says() {
    // Eight experts' ranks on one board, everyone with everyone: what two send each other goes two
    // hops, over the six others or four planes of switches, so that links carry a tenth more; and ports to
    // the switches, which take a share of everyone's bytes and are done when the links are, a tenth of
    // what a link carries.
    let sets = [
        ("chips", "512"),
        ("plan.expert", "8"),
        ("plan.overlap", "[\"pipeline\"]"),
        ("plan.virtual_pipeline", "1"),
        ("batch_sequences", "512"),
    ];
    let job = step(&load("qwen3-235b-on-atlas-950", &sets));
    let exposed = |answer: &FlowAnswer| {
        let part = answer.parts.iter().find(|p| p.kind == engine::PartKind::Exposed(2));
        part.expect("expert traffic").seconds
    };
    let whole = run(&job, Vec::new(), false);
    // In the stage that takes longest: others would wait for it anyway.
    let rank = 64 * whole.critical;
    let link = format!("link:{rank}-{}", rank + 1);
    let hit = run(&job, faults(&[&link], &[]), false);
    let ratio = exposed(&hit) / exposed(&whole);
    let channels = fabric::Fabric::new(&job.1.cluster, 512).channels().to_vec();
    let (link, port) = (channels[0].bytes_per_s / 7.0, channels[2].bytes_per_s / 4.0);
    let slowest = 1.0 + 0.1 * (link / port).max(1.0);
    assert!((ratio - slowest).abs() < 0.005, "{ratio} {slowest}");
}

#[test]
fn uneven_experts_cost_what_the_busiest_carries() {
    let job = step(&load("deepseek-v4-pro-on-atlas-950", &[]));
    let run = |tokens: Vec<f64>| {
        let options = FlowOptions { expert_tokens: tokens, ..FlowOptions::default() };
        flow(&job.0, &job.1, &options).expect("good loads")
    };
    let even = run(vec![1.0; 384]);
    assert_eq!(even.step_s, run(Vec::new()).step_s);
    let mut tokens = vec![1.0; 384];
    tokens[..6].fill(2.0);
    let uneven = run(tokens);
    assert!(uneven.step_s > even.step_s);
    // One rank of 64 has other experts than the rest: a line more.
    assert_eq!(uneven.classes, 2 * even.classes);
}

#[test]
fn impossible_faults_are_named_all_at_once() {
    let job = step(&load("deepseek-v4-pro-on-atlas-950", &[]));
    let wrong = ["chip:9000", "link:0-9", "port:3/bord", "switch:pod/9", "switch:board/0=0.5"];
    let options = FlowOptions { faults: faults(&wrong, &[]), ..FlowOptions::default() };
    let problems = flow(&job.0, &job.1, &options).expect_err("none of them is there");
    assert_eq!(problems.0.len(), wrong.len(), "{problems:?}");
    assert!(
        problems
            .0
            .iter()
            .all(|p| p.code == "flow::fault" && p.hint.is_some()
                || p.message.contains("no switches"))
    );
    for text in ["", "link", "link:1", "link:a-b", "chip:-1", "chip:3=2", "chip:3=nan", "gpu:3"] {
        assert!(Fault::fail(text).is_err(), "{text}");
    }
    for text in ["", "rank:3", "rank:x=0.5", "rank:3=0", "rank:3=1.5", "chip:3=0.5"] {
        assert!(Fault::slow(text).is_err(), "{text}");
    }
    let everything = FlowOptions {
        faults: (0..16).map(|b| Fault::fail(&format!("chip:{}", 64 * b)).expect("ok")).collect(),
        ..FlowOptions::default()
    };
    let problems = flow(&job.0, &job.1, &everything).expect_err("nothing is left");
    assert!(problems.0[0].message.contains("nothing is left"), "{problems:?}");
}
