//! Properties of launch lines.

use super::{Framework, Wanted, import, launch};
use model::{Architecture, Tag};
use plan::{FullBlocks, Plan, Recompute, Zero};
use program::{Overlap, Schedule};
use proptest::prelude::*;
use scenario::Scenario;

const MODELS: [&str; 11] = [
    "llama-3.1-8b",
    "llama-3.1-70b",
    "llama-3.1-405b",
    "deepseek-v2",
    "deepseek-v3",
    "deepseek-v3.2",
    "mixtral-8x7b",
    "qwen3-235b-a22b",
    "gpt-oss-120b",
    "nemotron-4-340b",
    "gpt3-175b",
];

const PROGRAMS: [Framework; 3] = [Framework::Megatron, Framework::MindSpeed, Framework::TorchTitan];

fn no_files(path: &str) -> Result<String, String> {
    Err(format!("cannot read `{path}`"))
}

/// A BF16 run of the model on so many H100s, with the simplest plan.
fn base(model: &str, ranks: u64, batch: u64) -> Scenario {
    let text = format!(
        "name = \"x\"\nmodel = \"{model}\"\nrecipe = \"llama-3.1-405b\"\ncluster = \"dgx-h100\"\n\
         chips = 8\nbatch_sequences = {batch}\n[plan]\ntensor = 1\ncontext = 1\npipeline = 1\n\
         expert = 1\nzero = 1\nmicro_batch = 1\nschedule = \"1f1b\"\nrecompute = \"none\"\n"
    );
    let loaded = scenario::load("x.toml", &text, &[], &no_files).expect("a legal scenario");
    let mut scenario = loaded.scenario;
    // Within the positions of every model.
    scenario.jobs[0].sequence = SEQUENCE;
    scenario.ranks = ranks;
    scenario
}

const SEQUENCE: u64 = 2048;

fn is_moe(model: &Architecture) -> bool {
    model.layers.iter().any(|l| matches!(l.ffn, model::Ffn::Moe { .. }))
}

prop_compose! {
    fn any_overlap()(bits in any::<[bool; 6]>()) -> Overlap {
        let [gradient_reduce, parameter_gather, expert, tensor, context, pipeline] = bits;
        Overlap { gradient_reduce, parameter_gather, expert, tensor, context, pipeline }
    }
}

fn any_recompute() -> impl Strategy<Value = Recompute> {
    let all: Vec<Tag> = Tag::WORDS.iter().map(|(tag, _)| *tag).collect();
    let blocks = prop_oneof![
        3 => Just(FullBlocks::None),
        1 => Just(FullBlocks::All),
        1 => (1_u64..4).prop_map(FullBlocks::PerStage),
    ];
    let tags = prop::sample::subsequence(all, 0..4);
    (blocks, tags, any::<bool>()).prop_map(|(blocks, tags, early)| match blocks {
        FullBlocks::None => Recompute { blocks, tags, early_stop: false },
        _ => Recompute { blocks, tags: Vec::new(), early_stop: early && blocks == FullBlocks::All },
    })
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        6 => Just(Schedule::OneFOneB),
        1 => Just(Schedule::GPipe),
        1 => Just(Schedule::ZbV),
        1 => Just(Schedule::DualPipeV),
        1 => Just(Schedule::DualPipe),
    ]
}

/// Powers of two below 2^`most`.
fn power(most: u32) -> impl Strategy<Value = u64> {
    (0..most).prop_map(|n| 1_u64 << n)
}

prop_compose! {
    fn any_plan()(
        (tensor, context, pipeline, data) in (power(4), power(3), power(4), power(4)),
        (virtual_pipeline, expert, expert_tensor) in (power(3), power(4), power(3)),
        micro_batch in power(2),
        (zero, group) in (0_u8..4, prop::option::weighted(0.2, power(3))),
        (schedule, recompute, overlap) in (any_schedule(), any_recompute(), any_overlap()),
        switches in any::<[bool; 6]>(),
        rare in (0_u8..8, 0_u8..8, prop::option::weighted(0.1, 1_u64..64)),
    ) -> Plan {
        let [sequence_parallel, graphs, fused_loss, deduplicated_dispatch, innermost, gathered] =
            switches;
        let virtual_pipeline =
            if schedule == Schedule::OneFOneB && pipeline > 1 { virtual_pipeline } else { 1 };
        let zero = [Zero::None, Zero::Optimizer, Zero::Gradients, Zero::Weights][zero as usize];
        let whole = data * context;
        Plan {
            tensor, context, pipeline, virtual_pipeline, data, expert, expert_tensor,
            expert_data: (tensor * whole / (expert * expert_tensor)).max(1),
            sequence_parallel,
            zero,
            shard_group: group.filter(|g| zero != Zero::None && *g < whole),
            micro_batch,
            schedule,
            recompute,
            overlap,
            graphs,
            recorded: Vec::new(),
            offload_blocks: u64::from(rare.1 == 1),
            unfused_attention: rare.0 == 0,
            adapters: rare.2,
            adapters_on_qkv: rare.2.is_some() && rare.0 == 1,
            fused_loss,
            deduplicated_dispatch,
            routing_gathered: deduplicated_dispatch && gathered,
            pipeline_innermost: innermost && rare.1 == 0,
            pipeline_before_data: false,
            stage_blocks: None,
        }
    }
}

/// The plan without what cannot matter, and so need not be said: overlap of groups of one rank, expert
/// options without experts, neighbours in a pipeline of one.
fn settled(mut plan: Plan, model: &Architecture) -> Plan {
    plan.overlap.context &= plan.context > 1;
    plan.overlap.tensor &= plan.tensor > 1;
    plan.overlap.expert &= plan.expert > 1;
    plan.overlap.pipeline &= plan.pipeline > 1;
    plan.pipeline_innermost &= plan.pipeline > 1;
    if plan.pipeline == 1 {
        plan.schedule = Schedule::OneFOneB;
    }
    if plan.data * plan.context == 1 {
        (plan.zero, plan.shard_group, plan.overlap.gradient_reduce) = (Zero::None, None, false);
    }
    plan.overlap.parameter_gather &= plan.zero != Zero::None;
    if !is_moe(model) {
        (plan.expert, plan.expert_tensor) = (1, 1);
        plan.expert_data = plan.tensor * plan.context * plan.data;
        (plan.deduplicated_dispatch, plan.routing_gathered) = (false, false);
        plan.overlap.expert = false;
    }
    plan
}

/// The plan moved to what the program has words for, so that most cases say everything.
fn lean(mut plan: Plan, framework: Framework, model: &Architecture) -> Plan {
    plan.recompute.tags.retain(|tag| *tag != Tag::Hyper);
    plan.overlap.tensor &= plan.sequence_parallel;
    plan.overlap.parameter_gather &= plan.overlap.gradient_reduce;
    plan.overlap.pipeline |= plan.pipeline == 2 && plan.virtual_pipeline > 1;
    if framework != Framework::MindSpeed {
        (plan.adapters, plan.adapters_on_qkv) = (None, false);
    }
    match framework {
        Framework::TorchTitan => {
            if plan.zero == Zero::Optimizer {
                plan.zero = Zero::Weights;
            }
            plan.shard_group = None;
            plan.context = 1;
            plan.expert_tensor = 1;
            plan.fused_loss = true;
            plan.recompute.tags.clear();
            plan.recompute.early_stop = plan.recompute.blocks != FullBlocks::None;
            if plan.recompute.early_stop {
                plan.recompute.blocks = FullBlocks::All;
            }
            let sharded = plan.zero != Zero::None;
            let tensor = plan.overlap.tensor;
            plan.overlap = Overlap {
                gradient_reduce: sharded,
                parameter_gather: sharded,
                tensor,
                expert: false,
                context: false,
                pipeline: false,
            };
            plan.graphs &= plan.pipeline == 1 && plan.expert == 1;
            (plan.unfused_attention, plan.pipeline_innermost) = (false, false);
            plan.offload_blocks = 0;
            (plan.deduplicated_dispatch, plan.routing_gathered) = (false, false);
        }
        Framework::MindSpeed => {
            let dual = plan.schedule == Schedule::DualPipeV;
            plan.overlap.gradient_reduce &= !dual;
            plan.overlap.tensor &= !is_moe(model);
            plan.zero = plan.zero.min(Zero::Optimizer);
            (plan.graphs, plan.fused_loss, plan.offload_blocks) = (false, false, 0);
            (plan.deduplicated_dispatch, plan.routing_gathered) = (false, false);
            plan.unfused_attention &= plan.context == 1;
            plan.recompute.tags.retain(|tag| [Tag::Norm, Tag::Activation, Tag::Moe].contains(tag));
            plan.recompute.early_stop = false;
            plan.overlap.expert |= plan.schedule == Schedule::DualPipeV;
            let waits = plan.schedule == Schedule::OneFOneB && plan.virtual_pipeline == 1;
            plan.overlap.pipeline = plan.pipeline > 1 && !waits;
        }
        Framework::Megatron => {
            plan.fused_loss = false;
            plan.graphs &= plan.recompute.blocks == FullBlocks::None;
            plan.recompute.early_stop = false;
            let plain = plan.recompute.blocks == FullBlocks::None
                && !plan.recompute.tags.contains(&Tag::Moe);
            plan.overlap.expert &= plain && (plan.pipeline == 1 || plan.virtual_pipeline > 1);
            plan.overlap.pipeline &= plan.virtual_pipeline > 1;
            if !is_moe(model) {
                plan.recompute.tags.retain(|t| ![Tag::Moe, Tag::Activation].contains(t));
            }
        }
    }
    let whole = plan.tensor * plan.context * plan.data;
    plan.expert_data = (whole / (plan.expert * plan.expert_tensor)).max(1);
    plan.shard_group = plan.shard_group.filter(|_| plan.zero != Zero::None);
    plan
}

/// `import(launch(plan))` of a scenario whose first job has the plan.
fn round_trip(framework: Framework, scenario: &Scenario) -> Scenario {
    let line = launch(framework, scenario, &scenario.jobs[0]).script();
    let wanted = Wanted {
        file: "line",
        text: &line,
        framework: Some(framework),
        cluster: "dgx-h100",
        chips: None,
        folder: "f",
    };
    let back = import(&wanted).unwrap_or_else(|e| panic!("{e:?}\n{line}"));
    let recognised = import(&Wanted { framework: None, ..wanted });
    let unmistakable = line.contains("--swiglu") || framework != Framework::MindSpeed;
    assert!(!unmistakable || recognised.as_ref() == Ok(&back), "{line}");
    let read_file = |path: &str| match path {
        "f/recipe.toml" => Ok(back.recipe.clone()),
        "f/config.json" => back.config.clone().ok_or_else(|| "no configuration".to_owned()),
        _ => no_files(path),
    };
    let loaded = scenario::load("f/scenario.toml", &back.scenario, &[], &read_file);
    loaded.unwrap_or_else(|e| panic!("{e:?}\n{}", back.scenario)).scenario
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, max_global_rejects: 40_000, failure_persistence: None, ..Default::default()
    })]

    /// Whatever a launch line does not note as lost comes back as it was.
    #[test]
    fn what_a_line_says_comes_back(
        plan in any_plan(),
        model in prop::sample::select(MODELS.to_vec()),
        framework in prop::sample::select(PROGRAMS.to_vec()),
        whole in prop::bool::weighted(0.8),
    ) {
        let mut scenario = base(model, 8, 1024);
        let plan = settled(plan, &scenario.model);
        let plan = if whole { lean(plan, framework, &scenario.model) } else { plan };
        let plan = settled(plan, &scenario.model);
        let ranks = plan.ranks();
        scenario.ranks = ranks;
        let legal = plan::violations(&plan, &scenario.model, ranks, 1024, SEQUENCE).is_empty();
        prop_assume!(legal);
        scenario.jobs[0].plan = plan;
        let line = launch(framework, &scenario, &scenario.jobs[0]);
        let script = line.script();
        for argument in line.groups.iter().flatten() {
            prop_assert!(framework.knows(&argument[0]), "{} is no argument", argument[0]);
        }
        if line.notes.0.is_empty() {
            let back = round_trip(framework, &scenario);
            prop_assert_eq!(&back.jobs[0].plan, &scenario.jobs[0].plan, "{}", script);
            prop_assert_eq!(back.jobs[0].batch_sequences, 1024);
            prop_assert_eq!(back.ranks, ranks);
            let unnamed = |m: &Architecture| Architecture {
                name: String::new(), model_type: String::new(), ..m.clone()
            };
            prop_assert_eq!(unnamed(&back.model), unnamed(&scenario.model), "{}", script);
        }
    }

    /// No text makes the reader of lines panic.
    #[test]
    fn no_line_panics(text in "(--|pretrain_gpt.py |torchrun |\\$|'|\"|\\\\|[a-z=\\-_.* \n(){}|;0-9\\[\\]])*") {
        let wanted = Wanted {
            file: "line", text: &text, framework: None, cluster: "dgx-h100", chips: Some(8),
            folder: "f",
        };
        let _ = import(&wanted);
    }

    /// Nor does any value of a known argument.
    #[test]
    fn no_value_panics(
        names in prop::collection::vec(prop::sample::select(
            Framework::MindSpeed.names().chain(Framework::TorchTitan.names()).collect::<Vec<_>>()
        ), 1..20),
        values in prop::collection::vec(
            "([0-9]{1,30}|-1|1e9|[a-z]{1,8}|[0-9,()\\[\\]*+|EtmL]{0,12}|\\$X|é)", 20
        ),
        chips in prop::option::of(1_u64..u64::MAX),
    ) {
        let words = names.iter().zip(&values).map(|(n, v)| format!("{n} '{v}'"));
        let text = format!("pretrain_gpt.py {}", words.collect::<Vec<_>>().join(" "));
        let wanted = Wanted {
            file: "line", text: &text, framework: None, cluster: "dgx-h100", chips, folder: "f",
        };
        let _ = import(&wanted);
    }
}

/// The property above is not empty: for each program, some plans of each model say everything.
#[test]
fn every_program_says_simple_plans_whole() {
    for framework in PROGRAMS {
        for model in ["llama-3.1-8b", "llama-3.1-70b"] {
            let mut scenario = base(model, 16, 1024);
            let plan = &mut scenario.jobs[0].plan;
            (plan.tensor, plan.data, plan.zero) = (2, 8, Zero::Optimizer);
            plan.overlap.gradient_reduce = true;
            plan.overlap.parameter_gather = true;
            if framework == Framework::TorchTitan {
                (plan.zero, plan.fused_loss) = (Zero::Weights, true);
            }
            plan.expert_data = 16;
            let line = launch(framework, &scenario, &scenario.jobs[0]);
            assert_eq!(line.notes.0, [], "{model} for {}", framework.word());
            let back = round_trip(framework, &scenario);
            assert_eq!(back.jobs[0].plan, scenario.jobs[0].plan);
        }
    }
}

/// Each of the catalog's models that Megatron-LM has words for comes back as itself.
#[test]
fn models_come_back() {
    for model in MODELS {
        let scenario = base(model, 8, 1024);
        let line = launch(Framework::Megatron, &scenario, &scenario.jobs[0]);
        assert_eq!(line.notes.0, [], "{model}");
        let back = round_trip(Framework::Megatron, &scenario);
        assert_eq!(back.model.name, model);
    }
}

#[test]
fn lists_of_arguments_hold_names_only() {
    for framework in PROGRAMS {
        let names: Vec<_> = framework.names().collect();
        assert!(names.len() > 100, "{}", framework.word());
        let is_name = |n: &&&str| !n.starts_with("--") && !n.starts_with("activation-checkpoint:");
        assert_eq!(names.iter().find(is_name), None);
    }
}
