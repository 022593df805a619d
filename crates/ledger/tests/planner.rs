//! The planner against published plans: never slower by its own measure, and near the measured best.

use ledger::{Prepared, prepare, shipped};
use plan::{FullBlocks, Recompute};
use search::{Limits, Options, Problem, Space, best, leader};
use std::ops::ControlFlow;

fn rows(table: &str) -> Vec<Prepared> {
    let found = shipped().into_iter().find(|(name, _)| name.contains(table));
    let (name, text) = found.expect("a shipped table");
    prepare(name, text).expect("a good table")
}

fn problem(row: &Prepared) -> Problem {
    Problem {
        model: row.model.clone(),
        recipe: row.recipe.clone(),
        machine: row.machine.clone(),
        ranks: row.plan.ranks(),
        sequence: row.sequence,
        batch_sequences: row.batch_sequences,
        base: row.plan.clone(),
        memory_bytes: row.machine.cluster.chip.memory.value,
    }
}

/// Megatron's options, cut down to a few micro-batches and recompute policies to be quick.
fn limits(row: &Prepared) -> Limits {
    let policy = |blocks| Recompute { blocks, tags: Vec::new(), ..row.plan.recompute.clone() };
    Limits {
        zero: Some(vec![row.plan.zero]),
        micro_batch: Some(vec![row.plan.micro_batch, 2 * row.plan.micro_batch]),
        expert_tensor: Some(vec![row.plan.expert_tensor]),
        pipeline_innermost: Some(vec![row.plan.pipeline_innermost]),
        stage_blocks: Some(row.plan.stage_blocks.clone().into_iter().collect()),
        recompute: Some(vec![
            row.plan.recompute.clone(),
            policy(FullBlocks::None),
            policy(FullBlocks::All),
        ]),
        ..Limits::megatron()
    }
}

/// Megatron-Bridge's plans are in the planner's space: what it finds is predicted at least as fast
/// as each that fits by the prediction.
#[test]
fn no_published_plan_that_fits_beats_the_planner() {
    let mut seen: Vec<(String, String, u64)> = Vec::new();
    let mut faster = 0;
    for row in rows("nvidia-bridge") {
        let key = (row.model_name.clone(), row.machine.cluster.id.clone(), row.plan.ranks());
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let problem = problem(&row);
        let published = leader(&problem, &row.plan).expect("a legal plan");
        let space = Space::new(&problem, &limits(&row));
        let findings =
            best(&problem, &space, &Options { top: 1 }, &mut |_| ControlFlow::Continue(()));
        let found = findings.leaders.first();
        if published.found.peak_bytes <= problem.memory_bytes {
            let found_s = found.map_or(f64::INFINITY, |found| found.step_s);
            assert!(
                found_s <= published.found.step_s * (1.0 + 1e-9),
                "{}: published {} s, found {found_s} s",
                row.row_id,
                published.found.step_s,
            );
            faster += usize::from(found_s < 0.99 * published.found.step_s);
        }
    }
    assert!(seen.len() >= 25 && faster >= 5, "{} questions, {faster} answered faster", seen.len());
}

/// vTrain measured many plans of three models: the fastest is among the first three by prediction.
#[test]
fn the_measured_best_is_among_the_first_three() {
    let rows = rows("vtrain-multi");
    let mut sizes: Vec<u64> = rows.iter().map(|row| row.plan.ranks()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    assert!(sizes.len() >= 3, "{sizes:?}");
    for ranks in sizes {
        let mut plans: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.plan.ranks() == ranks)
            .map(|row| (engine::estimate(&row.program, &row.machine).step_s, row.measured_step_s))
            .collect();
        plans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let measured = |place: usize| plans[place].1;
        let fastest = (0..plans.len()).min_by(|&a, &b| measured(a).total_cmp(&measured(b)));
        assert!(fastest.is_some_and(|place| place < 3), "{ranks} chips: {fastest:?} of {plans:?}");
    }
}
