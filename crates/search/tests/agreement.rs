//! The search against the whole space, and its evaluation against the estimate of the same plan.

use catalog::Recipe;
use model::{Architecture, Attention, Ffn, Layer, Mlp, Norm, Residual};
use plan::{Layout, Plan, Shape, Zero};
use program::{Overlap, Schedule};
use rand_core::Rng;
use rand_pcg::Pcg64Mcg;
use search::{Found, Leaders, Limits, Options, Problem, Space, best, every};
use std::ops::ControlFlow;

/// A generator of small questions: model, cluster, batch, memory, limits.
struct Dice(Pcg64Mcg);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::new(u128::from(seed) << 1 | 1))
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[(self.0.next_u64() % of.len() as u64) as usize].clone()
    }

    fn flip(&mut self) -> bool {
        self.pick(&[false, true])
    }
}

fn attention(dice: &mut Dice) -> Attention {
    let (heads, head_dim) = (dice.pick(&[4, 8]), 64);
    if dice.flip() {
        Attention::Grouped {
            heads,
            kv_heads: 2,
            head_dim,
            window: dice.pick(&[None, Some(512)]),
            qkv_bias: false,
            out_bias: false,
            qk_norm: false,
            sinks: false,
        }
    } else {
        Attention::Latent {
            heads,
            q_rank: 256,
            kv_rank: 128,
            nope_dim: head_dim,
            rope_dim: 32,
            v_dim: head_dim,
            indexer: None,
        }
    }
}

fn model(dice: &mut Dice) -> Architecture {
    let mlp = |width| Mlp { width, gated: true, bias: false, clamped: false };
    let attention = attention(dice);
    let dense = Layer { attention, ffn: Ffn::Dense(mlp(2048)) };
    let routed = Ffn::Moe {
        expert: mlp(512),
        experts: 8,
        topk: 2,
        shared_width: dice.pick(&[0, 512]),
        router_bias: false,
        hash_routed: false,
        group_limit: None,
    };
    let routed = Layer { attention, ffn: routed };
    let count = dice.pick(&[3_usize, 4, 6]);
    let (first, rest) = if dice.flip() { (dense, routed) } else { (dense, dense) };
    let mut layers = vec![rest; count];
    layers[0] = first;
    Architecture {
        name: "small".into(),
        model_type: "small".into(),
        hidden: 1024,
        vocab: 32_000,
        tied_embedding: dice.flip(),
        learned_positions: 0,
        rotary_scaled: false,
        max_positions: 8192,
        norm: Norm { bias: false, sandwich: false },
        residual: Residual::Plain,
        layers,
        mtp: if dice.flip() { vec![rest] } else { Vec::new() },
    }
}

fn problem(dice: &mut Dice) -> Problem {
    let id = dice.pick(&["dgx-h100", "hgx-h800-infiniband", "atlas-950-superpod", "gb200-nvl72"]);
    let cluster = catalog::cluster(id).expect("a shipped cluster");
    let mut recipe: Recipe = catalog::recipe("deepseek-v3").expect("a shipped recipe");
    if dice.flip() {
        recipe = catalog::recipe("deepseek-v4-pro").expect("a shipped recipe");
    }
    let machine = engine::Machine::new(cluster, recipe.precision).expect("a calibrated chip");
    let mut flag = || dice.flip();
    let overlap = Overlap {
        gradient_reduce: flag(),
        parameter_gather: flag(),
        expert: flag(),
        tensor: flag(),
        context: flag(),
        pipeline: flag(),
    };
    let copies = machine.cluster.chip.host_link.is_some() && dice.flip();
    let base = Plan {
        tensor: 1,
        context: 1,
        pipeline: 1,
        virtual_pipeline: 1,
        data: 1,
        expert: 1,
        expert_tensor: 1,
        expert_data: 1,
        sequence_parallel: false,
        zero: Zero::None,
        shard_group: None,
        micro_batch: 1,
        schedule: Schedule::OneFOneB,
        recompute: plan::Recompute {
            blocks: plan::FullBlocks::None,
            tags: Vec::new(),
            early_stop: dice.flip(),
        },
        overlap,
        graphs: dice.flip(),
        recorded: if dice.flip() { vec![model::Class::Projection] } else { Vec::new() },
        offload_blocks: if copies { 2 } else { 0 },
        unfused_attention: false,
        adapters: None,
        adapters_on_qkv: false,
        fused_loss: dice.flip(),
        deduplicated_dispatch: dice.flip(),
        routing_gathered: dice.flip(),
        pipeline_before_data: false,
        pipeline_innermost: false,
        stage_blocks: None,
    };
    Problem {
        model: model(dice),
        recipe,
        machine,
        ranks: dice.pick(&[2, 4, 4, 8]),
        sequence: 4096,
        batch_sequences: dice.pick(&[8, 12]),
        base,
        memory_bytes: dice.pick(&[2e9, 4e9, 8e9, 80e9]),
    }
}

/// Limits that keep the exhaustive search small.
fn limits(dice: &mut Dice) -> Limits {
    let recompute = |tags: &[model::Tag], blocks| plan::Recompute {
        blocks,
        tags: tags.to_vec(),
        early_stop: false,
    };
    let pair = overlaps(dice);
    let overlap = dice.pick(&[None, None, Some(pair)]);
    let some = |dice: &mut Dice, list: &[u64]| if dice.flip() { Some(list.to_vec()) } else { None };
    Limits {
        tensor: some(dice, &[1, 2]),
        context: some(dice, &[1, 2]).or(Some(vec![1])),
        expert_tensor: Some(vec![1]),
        micro_batch: some(dice, &[1]).or(Some(vec![1, 2])),
        zero: dice.pick(&[
            Some(vec![Zero::Optimizer]),
            Some(vec![Zero::None, Zero::Weights]),
            Some(vec![Zero::Gradients, Zero::Optimizer]),
            None,
        ]),
        sequence_parallel: if dice.flip() { Some(vec![true]) } else { None },
        pipeline_innermost: if dice.flip() { Some(vec![false]) } else { None },
        virtual_pipeline: some(dice, &[1, 2]),
        overlap,
        recompute: Some(vec![
            recompute(&[], plan::FullBlocks::None),
            recompute(&[model::Tag::Norm, model::Tag::Activation], plan::FullBlocks::None),
            recompute(&[], plan::FullBlocks::PerStage(1)),
            recompute(&[], plan::FullBlocks::All),
        ]),
        ..Limits::default()
    }
}

/// Two random sets of switches.
fn overlaps(dice: &mut Dice) -> Vec<Overlap> {
    let mut one = || Overlap {
        gradient_reduce: dice.flip(),
        parameter_gather: dice.flip(),
        expert: dice.flip(),
        tensor: dice.flip(),
        context: dice.flip(),
        pipeline: dice.flip(),
    };
    let (first, second) = (one(), one());
    if first == second { vec![first] } else { vec![first, second] }
}

fn estimate(problem: &Problem, found: &Found) -> (f64, f64) {
    let (plan, model, recipe) = (&found.plan, &problem.model, &problem.recipe);
    let illegal =
        plan::violations(plan, model, problem.ranks, problem.batch_sequences, problem.sequence);
    assert!(illegal.is_empty(), "{plan:?}: {illegal:?}");
    let shape = Shape::new(plan, model, problem.batch_sequences, problem.sequence).expect("legal");
    let layout = Layout::new(plan, model);
    let program = plan::lower(plan, model, recipe, &layout, &shape);
    let step_s = engine::estimate(&program, &problem.machine).step_s;
    let peak = (0..plan.pipeline)
        .map(|rank| plan::memory(plan, model, recipe, &layout, &shape, rank).total())
        .fold(0.0, f64::max);
    (step_s, peak)
}

/// The assembly is the estimate: time and memory of random plans, to rounding.
#[test]
fn an_evaluation_is_the_estimate_of_its_plan() {
    let mut compared = 0;
    for seed in 0..30 {
        let mut dice = Dice::new(seed);
        let problem = problem(&mut dice);
        let space = Space::new(&problem, &Limits::default());
        every(&problem, &space, &mut |found| {
            if dice.0.next_u64().is_multiple_of(211) {
                let (step_s, peak_bytes) = estimate(&problem, found);
                let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
                assert!(close(found.step_s, step_s), "seed {seed}: {step_s} of {found:?}");
                assert!(close(found.peak_bytes, peak_bytes), "seed {seed}: {found:?}");
                compared += 1;
                if compared % 20 == 0 {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
    }
    assert!(compared >= 300, "only {compared} plans compared");
}

/// Nothing the bounds rule out was among the best.
#[test]
fn branch_and_bound_finds_what_exhaustive_search_finds() {
    let (mut with_answer, mut near_misses, mut plans, mut twins) = (0, 0, 0_u64, 0_u64);
    for seed in 1000..1200 {
        let mut dice = Dice::new(seed);
        let problem = problem(&mut dice);
        let limits = limits(&mut dice);
        let space = Space::new(&problem, &limits);
        let (mut all, mut met) = (Leaders::new(5), 0);
        let mut large: Vec<(f64, f64)> = Vec::new();
        every(&problem, &space, &mut |found| {
            met += 1;
            if found.peak_bytes <= problem.memory_bytes {
                all.offer(found.clone());
            } else if found.peak_bytes <= search::NEAR * problem.memory_bytes {
                large.push((found.peak_bytes, found.step_s));
            }
            ControlFlow::Continue(())
        });
        let best_s = all.list.first().map_or(f64::INFINITY, |found| found.step_s);
        let faster = large.into_iter().filter(|(_, step_s)| *step_s < best_s);
        let nearest = faster.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let go_on = &mut |_: &_| ControlFlow::Continue(());
        let findings = best(&problem, &space, &Options::default(), go_on);
        assert_eq!(findings.leaders, all.list, "seed {seed}");
        let near = findings.near_miss.as_ref().map(|found| (found.peak_bytes, found.step_s));
        assert_eq!(near, nearest, "seed {seed}");
        near_misses += usize::from(near.is_some());
        twins += findings.counts.by_twin;
        assert_eq!(findings.counts.space, met, "seed {seed}");
        assert_eq!(findings.counts.settled(), met, "seed {seed}");
        assert!(!findings.cut_short && findings.gap() == 0.0);
        with_answer += usize::from(!findings.leaders.is_empty());
        plans += met;
    }
    assert!(with_answer > 120, "{with_answer} of 200 questions have an answer");
    assert!(plans > 50_000, "{plans} plans in all");
    assert!(near_misses > 10, "{near_misses} questions have a plan that would be faster");
    assert!(twins > 1_000, "{twins} plans ruled out by their twins");
}
