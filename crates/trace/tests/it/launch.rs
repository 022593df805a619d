//! Launch lines of many plans, held against what the programs take.
//!
//! The lists under `src/launch/flags` say of every argument what values it takes; the rules here are
//! those of the programs' own checks that a plan can break. `LAUNCH_LINES=FILE` writes all lines as
//! JSON, one a line, for `tests/parse_launch_lines.py`, which passes them to the programs themselves.

use crate::launch_rules::broken;
use model::{Ffn, Tag};
use plan::{FullBlocks, Plan, Recompute, Zero};
use program::{Overlap, Schedule};
use rand_core::Rng;
use rand_pcg::Pcg64Mcg;
use scenario::Scenario;
use std::sync::OnceLock;
use trace::launch::{Framework, Launch, Wanted, import, launch};

const PROGRAMS: [Framework; 3] = [Framework::Megatron, Framework::MindSpeed, Framework::TorchTitan];

/// A machine a program is used on, and a recipe whose formats it has.
const RUNS: [(&str, &str, u64); 5] = [
    ("dgx-h100", "llama-3.1-405b", 1024),
    ("dgx-h100", "deepseek-v3", 2048),
    ("gb200-nvl72", "deepseek-v4-pro", 512),
    ("atlas-950-superpod", "deepseek-v3", 8192),
    ("atlas-900-a3-24pods", "llama-3.1-405b", 4096),
];

/// Legal plans of each model, machine and program.
const PLANS: usize = 6;

struct Draws(Pcg64Mcg);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 0
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize].clone()
    }
}

fn no_files(path: &str) -> Result<String, String> {
    Err(format!("cannot read `{path}`"))
}

/// The model on the machine with the simplest plan, at a length that every model has.
fn base(model: &str, (cluster, recipe, chips): (&str, &str, u64)) -> Scenario {
    let text = format!(
        "name = \"{model} on {cluster}\"\nmodel = \"{model}\"\nrecipe = \"{recipe}\"\n\
         cluster = \"{cluster}\"\nchips = 1\nbatch_sequences = 8192\n[plan]\ntensor = 1\ncontext = 1\n\
         pipeline = 1\nexpert = 1\nzero = 1\nmicro_batch = 1\nschedule = \"1f1b\"\n\
         recompute = \"none\"\n"
    );
    let loaded = scenario::load("x.toml", &text, &[], &no_files);
    let mut scenario = loaded.unwrap_or_else(|e| panic!("{model} on {cluster}: {e:?}")).scenario;
    scenario.jobs.truncate(1);
    scenario.main = 0;
    scenario.jobs[0].sequence = 2048;
    scenario.jobs[0].batch_sequences = 8192;
    scenario.ranks = chips.min(scenario.cluster.chips);
    scenario
}

fn drawn(draws: &mut Draws, scenario: &Scenario) -> Plan {
    let moe = scenario.model.layers.iter().any(|l| matches!(l.ffn, Ffn::Moe { .. }));
    let (tensor, context) = (draws.of(&[1, 1, 2, 4, 8]), draws.of(&[1, 1, 1, 2, 4]));
    let pipeline = draws.of(&[1, 1, 2, 4, 8, 16]);
    let schedule = match draws.below(3) {
        0 => draws.of(&Schedule::WORDS).0,
        _ => Schedule::OneFOneB,
    };
    let schedule = if pipeline == 1 { Schedule::OneFOneB } else { schedule };
    let vpp = draws.of(&[1, 1, 2, 3, 4]);
    let plain = schedule != Schedule::OneFOneB || pipeline == 1;
    let data = scenario.ranks / (tensor * context * pipeline);
    let expert = if moe { draws.of(&[1, 2, 8, 16, 32]) } else { 1 };
    let expert_tensor = if moe { draws.of(&[1, 1, 2]) } else { 1 };
    let expert_data = (tensor * context * data / (expert * expert_tensor)).max(1);
    let tags: Vec<Tag> = Tag::WORDS.iter().map(|(tag, _)| *tag).collect();
    let recompute = match draws.below(4) {
        0 => Recompute { blocks: FullBlocks::All, tags: Vec::new(), early_stop: draws.yes() },
        1 => Recompute { blocks: FullBlocks::PerStage(1), tags: Vec::new(), early_stop: false },
        2 => {
            let mut some = [draws.of(&tags), draws.of(&tags)].to_vec();
            some.sort_unstable();
            some.dedup();
            Recompute { blocks: FullBlocks::None, tags: some, early_stop: false }
        }
        _ => Recompute { blocks: FullBlocks::None, tags: Vec::new(), early_stop: false },
    };
    let zero =
        draws.of(&[Zero::None, Zero::Optimizer, Zero::Optimizer, Zero::Gradients, Zero::Weights]);
    let blocks = (scenario.model.layers.len() + scenario.model.mtp.len()) as u64;
    let stages = pipeline * if plain { 1 } else { vpp };
    // Now and then the embedding and the head count as a block.
    let even = draws.below(3) > 0 || !matches!(schedule, Schedule::OneFOneB);
    let stage_blocks = (!even && stages > 1).then(|| {
        let mut cut = plan::even_cut(blocks + 2, stages);
        cut[0] = cut[0].saturating_sub(1);
        cut[stages as usize - 1] = cut[stages as usize - 1].saturating_sub(1);
        cut
    });
    Plan {
        tensor,
        context,
        pipeline,
        virtual_pipeline: if plain { 1 } else { vpp },
        data,
        expert,
        expert_tensor,
        expert_data,
        sequence_parallel: draws.below(4) > 0,
        zero,
        shard_group: (draws.below(6) == 0 && zero != Zero::None).then_some(data * context / 2),
        micro_batch: draws.of(&[1, 1, 2]),
        schedule,
        recompute,
        overlap: Overlap {
            gradient_reduce: draws.yes(),
            parameter_gather: draws.yes(),
            expert: moe && draws.yes(),
            tensor: draws.below(3) == 0,
            context: context > 1 && draws.yes(),
            pipeline: pipeline > 1 && draws.yes(),
        },
        graphs: draws.below(4) == 0,
        recorded: Vec::new(),
        offload_blocks: 0,
        unfused_attention: draws.below(8) == 0,
        adapters: (draws.below(12) == 0).then_some(16),
        adapters_on_qkv: false,
        fused_loss: draws.yes(),
        deduplicated_dispatch: moe && draws.below(4) == 0,
        routing_gathered: draws.below(2) == 0,
        pipeline_innermost: pipeline > 1 && draws.below(8) == 0,
        pipeline_before_data: false,
        stage_blocks,
    }
}

/// Lines of drawn plans for every model, machine and program, with what they were made of.
fn many() -> &'static [(Scenario, Launch)] {
    static LINES: OnceLock<Vec<(Scenario, Launch)>> = OnceLock::new();
    LINES.get_or_init(made)
}

fn made() -> Vec<(Scenario, Launch)> {
    let mut draws = Draws(Pcg64Mcg::new(7));
    let mut lines = Vec::new();
    for model in catalog::model_ids() {
        for run in RUNS {
            let mut scenario = base(model, run);
            let mut kept = 0;
            for _ in 0..4000 {
                let plan = drawn(&mut draws, &scenario);
                let job = &scenario.jobs[0];
                let (batch, length) = (job.batch_sequences, job.sequence);
                if plan.ranks() != scenario.ranks
                    || !plan::violations(&plan, &scenario.model, plan.ranks(), batch, length)
                        .is_empty()
                {
                    continue;
                }
                scenario.jobs[0].plan = plan;
                for program in PROGRAMS {
                    let line = launch(program, &scenario, &scenario.jobs[0]);
                    lines.push((scenario.clone(), line));
                }
                kept += 1;
                if kept == PLANS {
                    break;
                }
            }
            assert!(kept == PLANS, "{kept} legal plans of {model} on {}", run.0);
        }
    }
    for id in catalog::scenario_ids() {
        let text = catalog::text(catalog::Kind::Scenario, id).unwrap_or_default();
        let scenario =
            scenario::load(id, text, &[], &no_files).expect("a shipped scenario").scenario;
        for program in PROGRAMS {
            for job in &scenario.jobs {
                lines.push((scenario.clone(), launch(program, &scenario, job)));
            }
        }
    }
    lines
}

#[test]
fn every_line_is_one_its_program_takes() {
    let lines = many();
    assert!(lines.len() > 1700, "{} lines", lines.len());
    if let Some(file) = std::env::var_os("LAUNCH_LINES") {
        let one = |(scenario, line): &(Scenario, Launch)| {
            serde_json::json!({
                "name": scenario.name, "program": line.framework.word(), "ranks": scenario.ranks,
                "environment": line.environment, "arguments": line.arguments(),
            })
            .to_string()
        };
        let text: Vec<String> = lines.iter().map(one).collect();
        std::fs::write(file, text.join("\n")).expect("written");
    }
    let mut found = std::collections::BTreeMap::new();
    for (_, line) in lines {
        for what in broken(line) {
            found.entry(what).or_insert_with(|| line.script());
        }
    }
    let told: Vec<String> = found.iter().map(|(what, line)| format!("{what}\n{line}")).collect();
    assert!(told.is_empty(), "{} rules are broken\n\n{}", told.len(), told.join("\n"));
}

/// What a line says is a scenario again, but for a model that the program has no words for.
#[test]
fn every_line_comes_back() {
    let mut back = 0;
    for (scenario, line) in many().iter().step_by(3) {
        let text = line.script();
        let wanted = Wanted {
            file: "line",
            text: &text,
            framework: Some(line.framework),
            cluster: &scenario.cluster.id,
            chips: None,
            folder: "f",
        };
        match import(&wanted) {
            Ok(_) => back += 1,
            Err(problems) => assert!(!line.notes.0.is_empty(), "{problems:?}\n{text}"),
        }
    }
    assert!(back > 300, "{back} lines came back");
}
