//! The event engine: folding changes nothing, nothing is faster than its bounds, and where the closed
//! form applies both agree.

use engine::{FlowOptions, Machine, PartKind, flow};
use program::Program;
use proptest::prelude::*;

/// A job of Mixtral 8x7B on H100 servers: `(tensor, context, pipeline, virtual, expert)` of `chips`.
fn job(
    chips: u64,
    degrees: [u64; 5],
    schedule: &str,
    micro_batches: u64,
    options: &str,
) -> Option<(Program, Machine)> {
    let [tensor, context, pipeline, virtual_pipeline, expert] = degrees;
    let data = chips / (tensor * context * pipeline);
    let batch = data * micro_batches;
    let text = format!(
        "name = \"test\"\nmodel = \"mixtral-8x7b\"\nrecipe = \"llama-3.1-405b\"\n\
         cluster = \"dgx-h100\"\nchips = {chips}\nsequence = 8192\nbatch_sequences = {batch}\n\
         [plan]\ntensor = {tensor}\ncontext = {context}\npipeline = {pipeline}\n\
         virtual_pipeline = {virtual_pipeline}\nexpert = {expert}\nmicro_batch = 1\n\
         schedule = \"{schedule}\"\nrecompute = [\"norm\"]\nsequence_parallel = true\n{options}\n"
    );
    let loaded = scenario::load("test", &text, &[], &|p| Err(format!("no {p}"))).ok()?;
    let scenario = loaded.scenario;
    let machine = engine::machine(&scenario).ok()?;
    let job = scenario.jobs.iter().find(|j| j.sequence == 8192)?;
    Some((engine::lowered(&scenario, job)?.0, machine))
}

const OVERLAP: &str =
    "overlap = [\"gradient_reduce\", \"parameter_gather\", \"expert\", \"tensor\", \"pipeline\"]";

fn run(program: &Program, machine: &Machine, unfolded: bool) -> engine::FlowAnswer {
    let options = FlowOptions { unfolded, ..FlowOptions::default() };
    flow(program, machine, &options).expect("a good program")
}

/// Ways a job of 64 may be laid out: tp, cp, pp, vpp, ep.
const DEGREES: [[u64; 5]; 6] = [
    [2, 1, 4, 1, 8],
    [1, 2, 4, 1, 4],
    [4, 2, 2, 1, 8],
    [8, 1, 8, 1, 1],
    [1, 1, 1, 1, 8],
    [2, 2, 4, 2, 2],
];

/// Options of a plan by number.
fn options(which: usize, place: usize) -> String {
    let zero = [0, 1, 3][which % 3];
    let overlap = if which.is_multiple_of(2) { "overlap = []" } else { OVERLAP };
    let place = ["", "pipeline_innermost = true", "pipeline_before_data = true"][place];
    format!("zero = {zero}\n{place}\n{overlap}")
}

fn assert_folds(degrees: [u64; 5], schedule: &str, micro_batches: u64, options: &str) {
    // Not every schedule can run every layout.
    let Some((program, machine)) = job(64, degrees, schedule, micro_batches, options) else {
        return;
    };
    let folded = run(&program, &machine, false);
    let unfolded = run(&program, &machine, true);
    let what = format!("{degrees:?} {schedule} {micro_batches} {options}");
    assert_eq!(folded.timeline.step_ps, unfolded.timeline.step_ps, "{what}");
    assert_eq!(folded.step_s, unfolded.step_s, "{what}");
    for (a, b) in folded.parts.iter().zip(&unfolded.parts) {
        assert_eq!((a.kind, a.seconds), (b.kind, b.seconds), "{what}");
    }
    assert_eq!(folded.classes as u64, degrees[2]);
    assert_eq!(unfolded.classes, 64);
}

#[test]
fn folding_changes_nothing() {
    for (schedule, word) in program::Schedule::WORDS {
        for degrees in DEGREES {
            if degrees[3] == 1 || schedule == program::Schedule::OneFOneB {
                assert_folds(degrees, word, 2 * degrees[2].max(2), &options(1, 0));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Looks for a plan whose ranks do not all do what their class does.
    #[test]
    fn no_plan_unfolds_differently(
        which in 0_usize..9,
        layout in 0_usize..6,
        more in 0_u64..3,
        option in 0_usize..6,
        place in 0_usize..3,
    ) {
        let degrees = DEGREES[layout];
        // Interleaving is 1F1B with virtual stages.
        let schedule = program::Schedule::WORDS[which % 8].1;
        let schedule = if degrees[3] > 1 { "1f1b" } else { schedule };
        assert_folds(degrees, schedule, (2 + more) * degrees[2].max(2), &options(option, place));
    }
}

#[test]
fn the_same_step_runs_the_same_way() {
    let (program, machine) = job(64, DEGREES[0], "dualpipe", 8, &options(1, 0)).expect("legal");
    let options = FlowOptions { recorded: true, explained: true, ..FlowOptions::default() };
    let answer = || flow(&program, &machine, &options).expect("a good program");
    assert_eq!(answer(), answer());
}

#[test]
fn no_step_is_shorter_than_its_bounds() {
    for (schedule, word) in program::Schedule::WORDS {
        let (program, machine) = job(64, DEGREES[0], word, 8, &options(1, 0)).expect("legal");
        let options = FlowOptions { recorded: true, explained: true, ..FlowOptions::default() };
        let answer = flow(&program, &machine, &options).expect("a good program");
        let timeline = &answer.timeline;
        // Every link: bytes over rate. Every lane: its spans, which do not overlap.
        for link in &timeline.links {
            assert!(link.utilisation(timeline.step_ps) <= 1.0 + 1e-9, "{word} {}", link.name);
            let over = link.samples.iter().find(|s| s.1 > link.capacity_bytes_per_s * (1.0 + 1e-9));
            assert_eq!(over, None, "{word} {}", link.name);
        }
        for class in &timeline.classes {
            assert!(!class.spans.is_empty());
            for pair in class.spans.windows(2).filter(|p| p[0].lane == p[1].lane) {
                assert!(pair[0].end_ps <= pair[1].start_ps, "{word} {pair:?}");
            }
            assert!(class.spans.iter().all(|s| s.end_ps <= timeline.step_ps));
        }
        // Every rank's kernels, priced as the closed form prices them.
        let compute = answer.parts.iter().filter(|p| matches!(p.kind, PartKind::Compute(_)));
        assert!(compute.map(|p| p.seconds).sum::<f64>() <= answer.step_s, "{word}");
        let gap: f64 = answer.gaps.iter().map(|g| g.seconds).sum();
        assert!((gap - (answer.step_s - answer.estimate_s)).abs() < 1e-9 * answer.step_s, "{word}");
        // What is sent is received.
        let bytes = |inward: bool| -> f64 {
            let side = timeline.links.iter().filter(|l| l.name.ends_with(" in") == inward);
            side.map(|l| l.bytes).sum()
        };
        let (sent, received) = (bytes(false), bytes(true));
        assert!((sent / received - 1.0).abs() < 1e-6, "{word}: {sent} sent, {received} received");
        let once = if schedule == program::Schedule::DualPipe { 1 } else { schedule.chunks(1) };
        let boundaries = match schedule {
            // Down and up the V, without the turn.
            _ if once == 2 => 2 * 3,
            _ => 3,
        };
        assert_eq!(timeline.messages.len() as u64, 2 * boundaries * 8, "{word}");
    }
}

#[test]
fn both_engines_agree_where_nothing_contends() {
    for (degrees, schedule, m) in [
        ([1, 1, 1, 1, 8], "1f1b", 8),
        ([8, 1, 1, 1, 1], "1f1b", 4),
        ([1, 1, 4, 1, 1], "1f1b", 16),
        ([2, 1, 8, 1, 1], "1f1b", 32),
        ([1, 1, 4, 1, 1], "gpipe", 16),
        ([1, 1, 4, 1, 1], "zb-h1", 16),
        ([1, 1, 4, 1, 8], "dualpipe", 32),
        ([1, 1, 4, 1, 8], "dualpipev", 32),
        ([1, 1, 4, 1, 1], "zb-v", 32),
    ] {
        for overlap in ["overlap = []", OVERLAP] {
            // Recorded as graphs: a late host is where the two engines differ by design.
            let options = format!("zero = 1\ngraphs = true\n{overlap}");
            let (program, machine) = job(64, degrees, schedule, m, &options).expect("legal");
            let answer = run(&program, &machine, false);
            let gap = answer.step_s / answer.estimate_s - 1.0;
            assert!(
                gap.abs() < 0.03,
                "{degrees:?} {schedule} {m} {overlap}: {gap:+.4} {:?}",
                answer.gaps
            );
        }
    }
}
