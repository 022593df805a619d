//! The closed form: against a replay of 1F1B pass by pass, and properties of whole scenarios.

use engine::{Rehearsal, estimate, rehearse};
use program::StageMeans;
use proptest::prelude::*;
use scenario::Scenario;

fn load(id: &str, sets: &[(&str, &str)]) -> Scenario {
    let text = catalog::text(catalog::Kind::Scenario, id).expect("a shipped scenario");
    let sets: Vec<(String, String)> =
        sets.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let no_files = |path: &str| Err(format!("no file {path}"));
    scenario::load(id, text, &sets, &no_files).expect("a good scenario").scenario
}

fn answer(scenario: &Scenario) -> Rehearsal {
    rehearse(scenario).expect("a calibrated chip")
}

/// Finish time of 1F1B with given forward and backward times per rank, pass by pass: the oracle.
fn replay_1f1b(forward: &[f64], backward: &[f64], m: usize) -> f64 {
    let p = forward.len();
    let mut orders: Vec<Vec<(bool, usize)>> = Vec::new();
    for rank in 0..p {
        let warm = (p - rank - 1).min(m);
        let mut order: Vec<(bool, usize)> = (0..warm).map(|i| (true, i)).collect();
        for i in 0..m - warm {
            order.push((true, warm + i));
            order.push((false, i));
        }
        order.extend((m - warm..m).map(|i| (false, i)));
        orders.push(order);
    }
    let mut done = vec![vec![[None::<f64>; 2]; m]; p];
    let (mut next, mut free) = (vec![0; p], vec![0.0_f64; p]);
    while (0..p).any(|r| next[r] < orders[r].len()) {
        for rank in 0..p {
            let Some(&(is_forward, i)) = orders[rank].get(next[rank]) else { continue };
            let ready = match (is_forward, rank) {
                (true, 0) => Some(0.0),
                (true, _) => done[rank - 1][i][0],
                (false, _) if rank + 1 == p => done[rank][i][0],
                (false, _) => done[rank + 1][i][1],
            };
            let Some(ready) = ready else { continue };
            let time = if is_forward { forward[rank] } else { backward[rank] };
            free[rank] = free[rank].max(ready) + time;
            done[rank][i][usize::from(!is_forward)] = Some(free[rank]);
            next[rank] += 1;
        }
    }
    free.into_iter().fold(0.0, f64::max)
}

proptest! {
    /// The closed form follows the slowest stage: exact where one stage is slow.
    #[test]
    fn one_f_one_b_matches_a_replay(
        p in 2_usize..7,
        extra in 0_usize..9,
        slow_at in 0_usize..7,
        slow in 1.0_f64..2.0,
    ) {
        let (m, slow_at) = (p + extra, slow_at % p);
        let stage = StageMeans { forward: 1.0, backward_input: 1.0, weight: 1.0, pair: 3.0 };
        let mut stages = vec![stage; p];
        stages[slow_at] =
            StageMeans { forward: slow, backward_input: slow, weight: slow, pair: 3.0 * slow };
        let f: Vec<f64> = stages.iter().map(|s| s.forward).collect();
        let b: Vec<f64> = stages.iter().map(|s| s.backward_input + s.weight).collect();
        let closed = (0..p)
            .map(|r| m as f64 * (f[r] + b[r]) + program::idle_1f1b(&stages, r))
            .fold(0.0, f64::max);
        let exact = replay_1f1b(&f, &b, m);
        prop_assert!((closed / exact - 1.0).abs() < 0.02, "closed {closed} replay {exact}");
    }
}

#[test]
fn the_same_input_gives_the_same_answer() {
    let scenario = load("deepseek-v4-pro-on-atlas-950", &[]);
    assert_eq!(answer(&scenario), answer(&scenario));
}

#[test]
fn intervals_hold_their_value_and_parts_sum_to_the_step() {
    for id in catalog::scenario_ids() {
        let rehearsal = answer(&load(id, &[]));
        for stage in &rehearsal.stages {
            let s = stage.step_s;
            assert!(s.low <= s.value && s.value <= s.high, "{id}: {s:?}");
            let sum: f64 = stage.estimate.parts.iter().map(|p| p.seconds).sum();
            assert!((sum / s.value - 1.0).abs() < 1e-9, "{id}");
            assert!(stage.estimate.parts.iter().all(|p| p.seconds >= 0.0), "{id}");
        }
        assert!(rehearsal.days.low <= rehearsal.days.value);
    }
}

#[test]
fn a_better_machine_is_never_slower() {
    let scenario = load("deepseek-v4-pro-on-atlas-950", &[]);
    let rehearsal = answer(&scenario);
    let stage = &rehearsal.stages[rehearsal.main];
    let base = stage.estimate.step_s;
    let improve = |change: &dyn Fn(&mut catalog::Cluster)| {
        let mut machine = rehearsal.machine.clone();
        change(&mut machine.cluster);
        estimate(&stage.program, &machine).step_s
    };
    assert!(improve(&|c| c.chip.memory_bandwidth.value *= 2.0) <= base);
    for level in 0..scenario.cluster.levels.len() {
        assert!(improve(&|c| c.levels[level].bandwidth.value *= 2.0) <= base);
        assert!(improve(&|c| c.levels[level].latency.value *= 0.5) <= base);
    }
    assert!(improve(&|c| c.chip.matrix.values_mut().for_each(|f| f.value *= 2.0)) < base);
}

#[test]
fn overlap_and_recomputation_move_the_step_the_right_way() {
    let step = |sets: &[(&str, &str)]| {
        let rehearsal = answer(&load("deepseek-v3-on-h800", sets));
        rehearsal.stages[rehearsal.main].estimate.step_s
    };
    let base = step(&[]);
    assert!(step(&[("plan.recompute", "full")]) > base);
    assert!(step(&[("plan.recompute", "none")]) < base);
    assert!(step(&[("plan.overlap", "[]")]) > base);
    assert!(step(&[("plan.deduplicated_dispatch", "false")]) > base);
}

/// Sharded weights over many ranks: rings and lists of parts cost by the member, and a copy by the byte.
#[test]
fn sharded_weights_cost_more_over_more_ranks_and_through_lists() {
    let step = |chips: &str, stack: &str| {
        let batch = format!("chips={chips}");
        let sets = [
            batch.split_once('=').unwrap(),
            ("plan.zero", "3"),
            ("plan.tensor", "1"),
            ("plan.pipeline", "1"),
            ("plan.virtual_pipeline", "1"),
            ("plan.sequence_parallel", "false"),
        ];
        let scenario = load("llama-3.1-405b-on-h100", &sets);
        let machine = engine::machine(&scenario).expect("a machine");
        let machine = machine.with_stack(catalog::stack(stack).expect(stack));
        let job = &scenario.jobs[scenario.main];
        let (program, _) = engine::lowered(&scenario, job).expect("a program");
        let found = estimate(&program, &machine);
        let hidden: f64 =
            found.hidden.iter().filter(|h| h.axis == "shard").map(|h| h.seconds).sum();
        let shown = found.parts.iter().find(|p| p.kind.word() == "shard exposed");
        let shard_s = hidden + shown.map_or(0.0, |p| p.seconds);
        (found.step_s, shard_s / program.micro_batches as f64)
    };
    let (few, many) = (step("256", "torchtitan").1, step("2048", "torchtitan").1);
    assert!(few > 0.0 && many > few, "{few} {many}");
    let (flat, lists) = (step("512", "megatron-core").0, step("512", "deepspeed-zero3").0);
    assert!(lists > 1.05 * flat, "{flat} {lists}");
}

/// What moves of gradients in a step, by how they are sharded: once, or once a micro-batch or run of them.
#[test]
fn sharded_gradients_move_in_every_micro_batch() {
    let moved = |zero: &str, chunks: &str| {
        let sets = [("plan.zero", zero), ("plan.virtual_pipeline", chunks)];
        let scenario = load("llama-3.1-405b-on-h100", &sets);
        let machine = engine::machine(&scenario).expect("a machine");
        let job = &scenario.jobs[scenario.main];
        let (program, _) = engine::lowered(&scenario, job).expect("a program");
        let found = estimate(&program, &machine);
        let axis = if zero == "1" { "data" } else { "shard" };
        let hidden = found.hidden.iter().filter(|h| h.axis == axis).map(|h| h.seconds);
        let word = format!("{axis} exposed");
        let shown = found.parts.iter().filter(|p| p.kind.word() == word).map(|p| p.seconds);
        (hidden.chain(shown).sum::<f64>(), program.micro_batches)
    };
    // Sixteen micro-batches through sixteen ranks: one run of them a chunk when interleaved.
    let (interleaved, m) = moved("2", "4");
    assert_eq!(m, 16);
    let (plain, _) = moved("2", "1");
    assert!((plain / interleaved / 16.0 - 1.0).abs() < 0.1, "{plain} {interleaved}");
    // The first stage has the weights gathered besides, half as many bytes.
    let (once, _) = moved("1", "4");
    assert!(once > interleaved && once < 1.8 * interleaved, "{once} {interleaved}");
}
