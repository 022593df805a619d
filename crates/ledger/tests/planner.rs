//! The planner against published plans: never slower by its own measure, and near the measured best.

use ledger::{Prepared, prepare, shipped};
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

/// Megatron's options, cut down to a few micro-batches to be quick.
fn limits(row: &Prepared) -> Limits {
    Limits {
        zero: Some(vec![row.plan.zero]),
        micro_batch: Some(vec![1, row.plan.micro_batch, 2 * row.plan.micro_batch]),
        expert_tensor: Some(vec![row.plan.expert_tensor]),
        pipeline_innermost: Some(vec![row.plan.pipeline_innermost]),
        stage_blocks: Some(row.plan.stage_blocks.clone().into_iter().collect()),
        ..Limits::megatron()
    }
}

/// Megatron-Bridge's plans are in the planner's space: what it finds that fits is predicted at least
/// as fast as each of the 60, whether that fits by the prediction or not.
#[test]
fn no_published_plan_beats_the_planner() {
    let rows = rows("nvidia-bridge");
    let mut faster = 0;
    for row in &rows {
        let problem = problem(row);
        let published = leader(&problem, &row.plan).expect("a legal plan");
        let space = Space::new(&problem, &limits(row));
        let findings =
            best(&problem, &space, &Options { top: 1 }, &mut |_| ControlFlow::Continue(()));
        let found_s = findings.leaders.first().map_or(f64::INFINITY, |found| found.step_s);
        assert!(
            found_s <= published.found.step_s * (1.0 + 1e-9),
            "{}: published {} s, found {found_s} s",
            row.row_id,
            published.found.step_s,
        );
        faster += usize::from(found_s < 0.99 * published.found.step_s);
    }
    assert!(rows.len() >= 60 && faster >= 5, "{} questions, {faster} answered faster", rows.len());
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
