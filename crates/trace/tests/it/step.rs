//! Step programs as files: out and in again unchanged, and no file, however spoilt, breaks the reader or
//! an engine.

use engine::{FlowOptions, flow};
use program::Program;
use proptest::prelude::*;
use scenario::Scenario;
use std::sync::LazyLock;
use trace::step::{SCHEMA, read, write};

fn load(id: &str) -> Scenario {
    let text = catalog::text(catalog::Kind::Scenario, id).expect("a shipped scenario");
    scenario::load(id, text, &[], &|p| Err(format!("no {p}"))).expect("a good scenario").scenario
}

fn programs(scenario: &Scenario) -> Vec<Program> {
    scenario.jobs.iter().filter_map(|j| engine::lowered(scenario, j)).map(|p| p.0).collect()
}

#[test]
fn every_shipped_program_comes_back_as_it_was() {
    for id in catalog::scenario_ids() {
        let scenario = load(id);
        let machine = engine::machine(&scenario).expect("a calibrated chip");
        for program in programs(&scenario) {
            let text = write(&program).to_string();
            let back = read("program.json", &text).unwrap_or_else(|e| panic!("{id}: {e:?}"));
            assert_eq!(back, program, "{id}");
            let options = FlowOptions::default();
            let step = |p| flow(p, &machine, &options).expect("a good program").step_s;
            assert_eq!(step(&back), step(&program), "{id}");
        }
    }
}

static SMALL: LazyLock<String> = LazyLock::new(|| {
    let mut program = programs(&load("deepseek-v3-on-h800")).remove(0);
    program.micro_batches = 32;
    write(&program).to_string()
});

/// Everything an engine may be asked with what was read.
fn survives(text: &str) {
    let Ok(program) = read("program.json", text) else { return };
    let scenario = load("deepseek-v3-on-h800");
    let machine = engine::machine(&scenario).expect("a calibrated chip");
    engine::estimate(&program, &machine);
    let _ = flow(&program, &machine, &FlowOptions::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Cut short, or with a byte or a number changed: a problem or a program that runs, never a panic.
    #[test]
    fn a_spoilt_file_is_a_problem(at in any::<prop::sample::Index>(), with in 0_u8..128, cut in any::<bool>()) {
        let mut bytes = SMALL.clone().into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = with }
        survives(&String::from_utf8(bytes).expect("ASCII stays ASCII"));
    }

    #[test]
    fn an_absurd_number_is_a_problem(
        key in 0_usize..9,
        number in prop::sample::select(vec!["0", "1", "2", "3", "7", "63", "4294967297", "18446744073709551615"]),
    ) {
        let keys = ["ranks", "micro_batches", "chunks", "size", "stride", "pipeline_rank", "experts", "topk", "operator"];
        let key = format!("\"{}\":", keys[key]);
        let start = SMALL.find(&key).expect("a key of the file") + key.len();
        let end = start + SMALL[start..].find([',', '}']).expect("more follows");
        survives(&format!("{}{number}{}", &SMALL[..start], &SMALL[end..]));
    }
}

#[test]
fn what_is_wrong_is_said() {
    let changed = |from: &str, to: &str| {
        assert!(SMALL.contains(from), "{from}");
        let problems = read("program.json", &SMALL.replacen(from, to, 1)).expect_err(to);
        problems.0[0].message.clone()
    };
    assert_eq!(
        changed(SCHEMA, "supernode.program/9"),
        format!("the schema is `supernode.program/9`, not `{SCHEMA}`")
    );
    assert_eq!(changed("\"dualpipe\"", "\"dualpip\""), "schedule `dualpip` is not known");
    assert!(changed("\"micro_batches\":32", "\"micro_batches\":8").contains("is not there"));
    assert!(changed("\"micro_batches\":32", "\"micro_batches\":33").contains("even"));
    assert!(changed("\"micro_batches\":32", "\"micro_batches\":0").contains("no micro-batches"));
    assert!(
        changed("\"micro_batches\":32", "\"micro_batches\":99999999998")
            .contains("passes in a step")
    );
    assert!(changed("\"boundary_bytes\":", "\"boundary_bytes\":-").contains("boundary_bytes"));
    assert!(changed("\"operator\":0", "\"operator\":9999").contains("without a target"));
    assert!(changed("\"pipeline_rank\":3", "\"pipeline_rank\":4").contains("pipeline rank"));
    assert!(!read("program.json", "").expect_err("nothing").0.is_empty());
}
