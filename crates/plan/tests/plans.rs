//! Plans: every violation at once, and memory that adds up.

use catalog::Recipe;
use model::{Architecture, Axis, Tag};
use plan::{FullBlocks, Layout, Plan, Recompute, Shape, Zero, lower, memory, violations};
use program::{Overlap, Schedule};

fn model(id: &str) -> Architecture {
    let text = catalog::text(catalog::Kind::Model, id).expect("a catalog model");
    model::parse_config(id, id, text).expect("a good configuration")
}

fn recipe(id: &str) -> Recipe {
    catalog::recipe(id).expect("a catalog recipe")
}

fn plan() -> Plan {
    Plan {
        tensor: 1,
        context: 1,
        pipeline: 16,
        virtual_pipeline: 1,
        data: 128,
        expert: 64,
        expert_tensor: 1,
        expert_data: 2,
        sequence_parallel: false,
        zero: Zero::Optimizer,
        shard_group: None,
        micro_batch: 1,
        schedule: Schedule::OneFOneB,
        recompute: Recompute { blocks: FullBlocks::None, tags: vec![Tag::Norm], early_stop: false },
        overlap: Overlap {
            gradient_reduce: true,
            parameter_gather: true,
            expert: false,
            tensor: false,
            context: false,
            pipeline: true,
        },
        graphs: false,
        recorded: vec![],
        offload_blocks: 0,
        unfused_attention: false,
        adapters: None,
        adapters_on_qkv: false,
        fused_loss: true,
        deduplicated_dispatch: false,
        routing_gathered: false,
        pipeline_innermost: false,
        pipeline_before_data: false,
        stage_blocks: None,
    }
}

/// [`plan`] for a model without experts: tensor 8, data 16.
fn dense_plan() -> Plan {
    Plan { tensor: 8, sequence_parallel: true, data: 16, expert: 1, expert_data: 128, ..plan() }
}

#[test]
fn v3s_published_grid_is_legal() {
    assert_eq!(violations(&plan(), &model("deepseek-v3"), 2048, 15_360, 4096), []);
}

#[test]
fn every_violation_is_reported_at_once() {
    let broken = Plan {
        tensor: 3,
        expert: 60,
        virtual_pipeline: 2,
        schedule: Schedule::DualPipe,
        micro_batch: 7,
        stage_blocks: Some(vec![1, 2]),
        ..plan()
    };
    let found = violations(&broken, &model("deepseek-v3"), 2048, 15_360, 4096);
    for key in [
        "data",
        "expert_data",
        "micro_batch",
        "virtual_pipeline",
        "stage_blocks",
        "tensor",
        "expert",
    ] {
        assert!(found.iter().any(|v| v.key == key), "{key} in {found:?}");
    }
    let data = found.iter().find(|v| v.key == "data").unwrap();
    assert!(data.message.contains("3 · 1 · 128 · 16 = 6144"), "{}", data.message);
}

fn weights_of_all_ranks(plan: &Plan, model: &Architecture, recipe: &Recipe) -> f64 {
    let shape = Shape::new(plan, model, 15_360, 4096).expect("the batch divides");
    let layout = Layout::new(plan, model);
    (0..plan.pipeline).map(|r| memory(plan, model, recipe, &layout, &shape, r).weights).sum()
}

#[test]
fn one_replica_of_the_weights_is_the_model() {
    // One rank of every pipeline and expert position: dense weights once, experts over 64 ranks.
    let (model, recipe, plan) = (model("deepseek-v3"), recipe("deepseek-v3"), plan());
    let parameters = model.parameters();
    let experts: f64 = model
        .layers
        .iter()
        .chain(&model.mtp)
        .flat_map(|l| model.layer_weights(l))
        .filter(|w| w.cut == model::Cut::Expert)
        .map(|w| w.count)
        .sum();
    let dense = parameters.total_with_mtp as f64 - experts;
    let want = (dense + experts / 64.0) * recipe.precision.weights.bytes();
    let got = weights_of_all_ranks(&plan, &model, &recipe);
    assert!((got / want - 1.0).abs() < 1e-9, "{got} {want}");
    // DualPipe keeps every stage twice.
    let dual = Plan { schedule: Schedule::DualPipe, ..plan };
    let twice = weights_of_all_ranks(&dual, &model, &recipe);
    assert!((twice / want - 2.0).abs() < 1e-9, "{twice} {want}");
}

#[test]
fn sharding_and_recomputation_never_cost_memory() {
    let (model, recipe) = (model("llama-3.1-405b"), recipe("llama-3.1-405b"));
    let total = |plan: &Plan| {
        let shape = Shape::new(plan, &model, 2048, 8192).unwrap();
        let layout = Layout::new(plan, &model);
        memory(plan, &model, &recipe, &layout, &shape, 0).total()
    };
    let base = dense_plan();
    let mut last = f64::INFINITY;
    for zero in [Zero::None, Zero::Optimizer, Zero::Gradients] {
        let now = total(&Plan { zero, ..base.clone() });
        assert!(now < last, "{zero:?}: {now} {last}");
        last = now;
    }
    let none = Recompute { blocks: FullBlocks::None, tags: vec![], early_stop: false };
    let full = Recompute { blocks: FullBlocks::All, tags: vec![], early_stop: false };
    let kept = total(&Plan { recompute: none, ..base.clone() });
    assert!(total(&base) < kept);
    assert!(total(&Plan { recompute: full, ..base.clone() }) < total(&base));
}

#[test]
fn a_program_holds_distinct_behaviours_only() {
    let (model, recipe, plan) = (model("deepseek-v3"), recipe("deepseek-v3"), plan());
    let shape = Shape::new(&plan, &model, 15_360, 4096).unwrap();
    let program = lower(&plan, &model, &recipe, &Layout::new(&plan, &model), &shape);
    assert_eq!(program.validate(), Ok(()));
    // Embedding, dense and routed blocks, prediction block, head.
    assert_eq!(program.segments.len(), 5);
    let wide = Plan { data: 1024, expert_data: 16, ..plan };
    let shape = Shape::new(&wide, &model, 122_880, 4096).unwrap();
    let larger = lower(&wide, &model, &recipe, &Layout::new(&wide, &model), &shape);
    assert_eq!(larger.operators.len(), program.operators.len());
}

/// Names of the products that a block of Llama recomputes under `recompute`.
fn recomputed(recompute: Recompute) -> Vec<&'static str> {
    let (model, recipe) = (model("llama-3.1-8b"), recipe("llama-3.1-405b"));
    let plan = Plan {
        pipeline: 1,
        data: 8,
        expert: 1,
        expert_data: 8,
        zero: Zero::Weights,
        recompute,
        ..plan()
    };
    let shape = Shape::new(&plan, &model, 64, 4096).expect("a shape");
    let program = lower(&plan, &model, &recipe, &Layout::new(&plan, &model), &shape);
    let block = program.segments.iter().find(|s| s.name.contains("grouped")).expect("a block");
    let operators = block.steps.iter().filter_map(|step| match step {
        program::StepRef::Compute { operator, recomputed: true } => {
            let operator = &program.operators[*operator as usize];
            matches!(operator.work, model::Work::Gemm { .. }).then_some(operator.name)
        }
        _ => None,
    });
    operators.collect()
}

#[test]
fn recomputation_stops_where_frameworks_stop() {
    let full = |early_stop| Recompute { blocks: FullBlocks::All, tags: vec![], early_stop };
    assert_eq!(recomputed(full(false)), ["qkv", "o", "mlp_up", "mlp_down"]);
    // The last product's output is needed by nothing in the block's backward pass.
    assert_eq!(recomputed(full(true)), ["qkv", "o", "mlp_up"]);
    // torchtitan's operators: q k v o gate up down, every second one computed again.
    let tags = vec![Tag::SecondProducts];
    let second = Recompute { blocks: FullBlocks::None, tags, early_stop: true };
    assert_eq!(recomputed(second), ["k", "o", "up"]);
}

#[test]
fn dual_pipe_sums_the_gradients_of_both_copies() {
    let (model, recipe) = (model("deepseek-v3"), recipe("deepseek-v3"));
    let exchanged = |schedule| {
        let plan = Plan { schedule, ..plan() };
        let shape = Shape::new(&plan, &model, 15_360, 4096).unwrap();
        let layout = Layout::new(&plan, &model);
        let program = lower(&plan, &model, &recipe, &layout, &shape);
        let mirrored = |c: &program::RankClass| {
            let found = c.finish.exchanges.iter().find(|(_, e)| e.name == "mirror_reduce");
            found.map(|(_, e)| e.bytes)
        };
        program.classes.iter().map(mirrored).collect::<Vec<_>>()
    };
    assert!(exchanged(Schedule::OneFOneB).iter().all(Option::is_none));
    let bytes = exchanged(Schedule::DualPipe);
    // Eight blocks of four of 256 experts, halved over two ranks; the dense part is a 128th of 2 G.
    let experts = 8.0 * 4.0 * 3.0 * 7168.0 * 2048.0 / 2.0 * 4.0;
    assert!((bytes[4].unwrap() / experts - 1.0).abs() < 0.05, "{bytes:?}");
    // Ranks at the same distance from both ends hold the same.
    assert!((0..16).all(|r| bytes[r] == bytes[15 - r]), "{bytes:?}");
}

#[test]
fn sharded_gradients_leave_with_every_run_of_micro_batches() {
    let (model, recipe) = (model("llama-3.1-405b"), recipe("llama-3.1-405b"));
    let base = Plan { schedule: Schedule::OneFOneB, zero: Zero::Gradients, ..dense_plan() };
    let program = |plan: &Plan| {
        let shape = Shape::new(plan, &model, 16 * 64, 4096).unwrap();
        lower(plan, &model, &recipe, &Layout::new(plan, &model), &shape)
    };
    let once = |program: &program::Program| -> Vec<&str> {
        program.classes[0].finish.exchanges.iter().map(|(_, e)| e.name).collect()
    };
    let plain = program(&base);
    assert_eq!(once(&plain), ["parameter_gather"]);
    assert_eq!(plain.scatter_run(), 1);
    let block = &plain.segments[1].gathered;
    // A block's weights in FP32 over eight tensor ranks; none are gathered.
    assert!((block.dense_gradient_bytes / (3.188e9 * 4.0 / 8.0) - 1.0).abs() < 1e-3, "{block:?}");
    assert_eq!(block.dense_bytes, 0.0);
    let interleaved = Plan { virtual_pipeline: 2, ..base.clone() };
    assert_eq!(program(&interleaved).scatter_run(), base.pipeline);
    let first = program(&Plan { zero: Zero::Optimizer, ..base });
    assert_eq!(once(&first), ["gradient_reduce", "parameter_gather"]);
    assert_eq!(first.segments[1].gathered, program::Gathered::default());
}

#[test]
fn a_token_sent_once_is_copied_to_its_experts_where_it_arrives() {
    let (model, recipe) = (model("deepseek-v3"), recipe("deepseek-v3"));
    let moved = |deduplicated_dispatch, name: &str| {
        let plan = Plan { deduplicated_dispatch, ..plan() };
        let shape = Shape::new(&plan, &model, 15_360, 4096).expect("the batch divides");
        let program = lower(&plan, &model, &recipe, &Layout::new(&plan, &model), &shape);
        let found = program.operators.iter().find(|o| o.name == name);
        found.map(|o| match o.work {
            model::Work::Memory { bytes, backward_bytes, .. } => [bytes, backward_bytes],
            _ => panic!("{name} is memory-bound"),
        })
    };
    let row = 4096.0 * 7168.0 * 2.0;
    for [name, arrived] in [["permute", "permute_arrived"], ["unpermute"; 2]] {
        assert_eq!(moved(false, name), Some([9.0 * row; 2]), "{name}");
        // Eight of 256 experts, drawn evenly, lie on 7.68 of 64 ranks.
        let [forward, backward] = moved(true, arrived).unwrap();
        assert!((15.67..15.68).contains(&(forward / row)), "{name} {}", forward / row);
        assert!((forward / backward - 1.0).abs() < 1e-12);
    }
    // One pass, where a plain all-to-all is sorted after it came.
    assert_eq!(moved(true, "expert_sort"), None);
    assert_eq!(moved(false, "expert_sort"), Some([2.0 * 8.0 * row; 2]));
}

#[test]
fn a_routing_map_is_gathered_before_a_dispatch_and_not_on_the_way_back() {
    let (model, recipe) = (model("deepseek-v3"), recipe("deepseek-v3"));
    let gathers = |deduplicated_dispatch, routing_gathered| {
        let plan = Plan { deduplicated_dispatch, routing_gathered, ..plan() };
        let shape = Shape::new(&plan, &model, 15_360, 4096).expect("the batch divides");
        let program = lower(&plan, &model, &recipe, &Layout::new(&plan, &model), &shape);
        let found = program.exchanges.into_iter().filter(|e| e.name == "routing_gather");
        found.map(|e| [e.forward_bytes, e.backward_bytes]).collect::<Vec<_>>()
    };
    // 4,096 tokens of each of 64 ranks, a byte for each of 256 experts.
    assert_eq!(gathers(true, true), [[4096.0 * 64.0 * 256.0, 0.0]]);
    assert!(gathers(true, false).is_empty() && gathers(false, true).is_empty());
}

#[test]
fn adapters_stand_beside_the_layers_that_have_them() {
    let (model, recipe) = (model("llama-3.1-405b"), recipe("llama-3.1-405b"));
    let adapters = |plan: &Plan| {
        let shape = Shape::new(plan, &model, 2048, 8192).unwrap();
        let program = lower(plan, &model, &recipe, &Layout::new(plan, &model), &shape);
        program.operators.iter().filter(|o| o.name == "adapter").count()
    };
    assert_eq!(adapters(&dense_plan()), 0);
    let everywhere = Plan { adapters: Some(16), ..dense_plan() };
    // Queries, keys and values; output; gate and up; down.
    assert!(adapters(&everywhere) >= 4, "{}", adapters(&everywhere));
    assert_eq!(adapters(&Plan { adapters_on_qkv: true, ..everywhere }), 1);
}

#[test]
fn llama_3_has_its_stages_near_each_other_and_its_replicas_apart() {
    let near = Plan { pipeline: 16, pipeline_before_data: true, ..dense_plan() };
    let stride = |axis| near.groups().iter().find(|g| g.axis == axis).expect("a group").stride;
    let axes = [Axis::Tensor, Axis::Pipeline, Axis::Data].map(stride);
    assert_eq!(axes, [1, 8, 8 * 16]);
    let cut = Plan { expert: 8, expert_tensor: 1, ..near };
    let found = violations(&cut, &model("mixtral-8x7b"), 2048, 2048, 8192);
    assert!(found.iter().any(|v| v.key == "pipeline_before_data"), "{found:?}");
}
