//! Every schedule's order: against its published bubble and memory bound for equal costs, and
//! against a longest-path computation of its own for unequal ones.

use program::{Pass, PassKind, Schedule, StageMeans, Timetable};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// End of a step with messages of `send`: of the last rank, or, where steps follow on, the longest.
fn end(table: &Timetable, schedule: Schedule, send: u64) -> f64 {
    let runs = table.replay(|_, pass| 1000 * unit(pass), send).expect("no deadlock");
    let took = |run: &program::RankRun| run.end - u64::from(schedule.follows_on()) * run.start;
    runs.iter().map(took).max().expect("ranks") as f64
}

/// Messages that the longest path through an order crosses: as counted, or, where stages that are not
/// equal would hide them or a pair's two messages leave one after the other, between the bounds given.
#[test]
fn exposed_messages_are_those_of_a_replay() {
    for (schedule, word) in Schedule::WORDS {
        for (p, v, m) in sizes(schedule) {
            if schedule == Schedule::OneFOneB && v == 1 {
                continue;
            }
            let table = Timetable::new(schedule, p, v, m, false);
            let found = (end(&table, schedule, 10) - end(&table, schedule, 0)) / 10.0;
            let counted = schedule.exposed_messages((p, v, m), false);
            let near = if schedule == Schedule::VHalf { 8.0 } else { 1.0 };
            let what = format!("{word} p {p} v {v} m {m}: {found} found, {counted} counted");
            assert!((found - counted).abs() <= near, "{what}");
        }
    }
    // Plain 1F1B in pairs takes two passes a micro-batch, and as many messages.
    for (p, m) in [(2, 10), (4, 8), (4, 32), (8, 32)] {
        let table = Timetable::new(Schedule::OneFOneB, p, 1, m, true);
        let found =
            (end(&table, Schedule::OneFOneB, 10) - end(&table, Schedule::OneFOneB, 0)) / 10.0;
        assert_eq!(found, Schedule::OneFOneB.exposed_messages((p, 1, m), true), "p {p} m {m}");
        let pairs = end(&table, Schedule::OneFOneB, 0) / 3000.0;
        assert_eq!(pairs, (m + p - 1 + m - 2) as f64, "p {p} m {m}");
    }
    // Paired 1F1B, its messages side by side: what is counted less the gradients that wait.
    for (p, v, m) in [(2, 4, 10), (2, 22, 6), (4, 4, 16), (8, 3, 16)] {
        let table = Timetable::new(Schedule::OneFOneB, p, v, m, true);
        let found =
            (end(&table, Schedule::OneFOneB, 10) - end(&table, Schedule::OneFOneB, 0)) / 10.0;
        let gradients = (m - p) as f64 * (v as f64 - 2.0 / p as f64);
        let counted = Schedule::OneFOneB.exposed_messages((p, v, m), true);
        assert_eq!(found + gradients, counted, "p {p} v {v} m {m}");
    }
}

/// V-Half's time a micro-batch, in passes that are not of one length, is its pace or a rank's work.
#[test]
fn the_pace_of_an_order_is_that_of_a_replay() {
    for p in [2, 4, 8, 16] {
        for [f, b, w] in [[10, 10, 10], [20, 10, 10], [10, 20, 10], [10, 20, 5], [10, 10, 20]] {
            let end = |m: u64| {
                let cost = |_: usize, pass: &Pass| match pass.kind {
                    PassKind::Forward => f,
                    PassKind::BackwardInput => b,
                    _ => w,
                };
                let table = Timetable::new(Schedule::VHalf, p, 1, m, false);
                let runs = table.replay(cost, 0).expect("no deadlock");
                runs.iter().map(|r| r.end - r.start).max().expect("ranks") as f64
            };
            let found = (end(96) - end(48)) / 48.0;
            let [forward, backward_input, weight] = [f, b, w].map(|s| 2.0 * s as f64);
            let mean = StageMeans { forward, backward_input, weight, pair: 0.0 };
            let pace = Schedule::VHalf.pace_s(p, mean).max(mean.both());
            assert!((found / pace - 1.0).abs() < 1e-9, "p {p}, {f} {b} {w}: {found}, not {pace}");
        }
    }
}

/// Unit costs: forward, input gradient and weight gradient take `unit`; a pair takes all three.
fn unit(pass: &Pass) -> u64 {
    match pass.kind {
        PassKind::Forward | PassKind::BackwardInput | PassKind::Weight => 1,
        PassKind::Backward => 2,
        PassKind::Pair => 3,
    }
}

/// Sizes that a schedule can run: ranks, virtual stages, micro-batches.
fn sizes(schedule: Schedule) -> Vec<(u64, u64, u64)> {
    let ranks = [2, 4, 8, 16];
    let sizes = ranks.into_iter().flat_map(|p| [(p, 1, 2 * p), (p, 1, 4 * p)]);
    match schedule {
        Schedule::OneFOneB => sizes.chain([(4, 2, 8), (4, 3, 16), (8, 2, 8)]).collect(),
        _ => sizes.collect(),
    }
}

/// Longest idle time between a rank's first and last pass, and the end of the last rank less the
/// work, for equal costs.
fn bubbles(table: &Timetable, work: u64) -> (u64, u64) {
    let runs = table.replay(|_, pass| unit(pass), 0).expect("no deadlock");
    let idle = runs.iter().map(program::RankRun::idle).max().expect("ranks");
    let end = runs.iter().map(|r| r.end).max().expect("ranks");
    (idle, end - work)
}

#[test]
fn every_order_is_complete_and_runs_to_its_end() {
    for (schedule, word) in Schedule::WORDS {
        for (p, v, m) in sizes(schedule) {
            for overlap in [false, true] {
                let table = Timetable::new(schedule, p, v, m, overlap);
                assert_eq!(table.problems(), Vec::<String>::new(), "{word} {p} {v} {m} {overlap}");
            }
        }
    }
}

/// Published waiting of the worst rank where F = Bi = W = 1 and a pair costs 3, in units of one pass:
/// `facts/models.md` section 6, arXiv 2104.04473, 2401.10241, 2405.15362, `DualPipe`'s README.
fn published(schedule: Schedule, p: u64) -> u64 {
    match schedule {
        // V-Half waits half as many passes, counted in those of a chunk: half as long.
        Schedule::GPipe | Schedule::OneFOneB | Schedule::VHalf => 3 * (p - 1),
        Schedule::ZbH1 => p - 1,
        Schedule::ZbH2 | Schedule::ZbV => 0,
        Schedule::DualPipe => 2 * (p / 2 - 1),
        Schedule::DualPipeV => 2 * (p - 1),
    }
}

#[test]
fn bubbles_are_the_published_ones_for_equal_costs() {
    for (schedule, word) in Schedule::WORDS {
        for (p, v, m) in sizes(schedule) {
            let table = Timetable::new(schedule, p, v, m, false);
            let chunks = if schedule == Schedule::DualPipe { 1 } else { schedule.chunks(v) };
            let (idle, after) = bubbles(&table, 3 * m * chunks);
            let wanted = published(schedule, p);
            let what = format!("{word} p {p} v {v} m {m}: idle {idle}, published {wanted}");
            if schedule == Schedule::VHalf {
                // Its order is a greedy one: up to one pass of each kind more.
                assert!(idle <= wanted + 3, "{what}");
            } else {
                assert_eq!(idle, wanted, "{what}");
            }
            // Zero-bubble schedules still fill the pipeline once: p-1 passes of a step on its own.
            let fill = if matches!(schedule, Schedule::ZbH2 | Schedule::ZbV) { p - 1 } else { 0 };
            assert_eq!(after, idle + fill, "{what}");
        }
    }
}

#[test]
fn held_activations_stay_in_the_published_bound() {
    for (schedule, word) in Schedule::WORDS {
        for (p, v, m) in sizes(schedule) {
            for overlap in [false, true] {
                let table = Timetable::new(schedule, p, v, m, overlap);
                // Counted by whole passes, both micro-batches of a pair are held.
                let pair = u64::from(overlap && schedule == Schedule::OneFOneB);
                for rank in 0..p {
                    let bound = schedule.in_flight(p, v, m, rank) + pair;
                    let held = table.most_held(rank as usize);
                    assert!(
                        held <= bound,
                        "{word} p {p} v {v} m {m} rank {rank}: {held} > {bound}"
                    );
                }
            }
        }
    }
}

/// End of every pass by the longest path through the graph of lanes and messages, found by relaxing
/// all edges until nothing moves: knows nothing of queues or readiness.
fn longest_path(table: &Timetable, cost: &dyn Fn(usize, &Pass) -> u64, send: u64) -> u64 {
    let stages = table.stage_count();
    // Who makes the output of a stage for a micro-batch: by (backward?, stage, micro-batch).
    let mut maker = BTreeMap::new();
    for (rank, passes) in table.ranks.iter().enumerate() {
        for (at, pass) in passes.iter().enumerate() {
            let stage = |(chunk, micro): (u32, u32)| (table.stages[rank][chunk as usize], micro);
            pass.forward().map(|of| maker.insert((false, stage(of)), (rank, at)));
            pass.backward().map(|of| maker.insert((true, stage(of)), (rank, at)));
        }
    }
    let mut edges = Vec::new();
    for (rank, passes) in table.ranks.iter().enumerate() {
        for (at, pass) in passes.iter().enumerate() {
            if at > 0 {
                edges.push(((rank, at - 1), (rank, at), 0));
            }
            let mut needs = |key: (bool, (u32, u32))| {
                let from = maker[&key];
                let delay = if from.0 == rank { 0 } else { send };
                edges.push((from, (rank, at), delay));
            };
            let stage = |(chunk, micro): (u32, u32)| (table.stages[rank][chunk as usize], micro);
            if let Some((s, micro)) = pass.forward().map(stage).filter(|(s, _)| *s > 0) {
                needs((false, (s - 1, micro)));
            }
            if let Some((s, micro)) = pass.backward().map(stage) {
                needs((false, (s, micro)));
                if s + 1 < stages {
                    needs((true, (s + 1, micro)));
                }
            }
        }
    }
    let mut end: Vec<Vec<u64>> = table
        .ranks
        .iter()
        .enumerate()
        .map(|(rank, passes)| passes.iter().map(|pass| cost(rank, pass)).collect())
        .collect();
    loop {
        let mut moved = false;
        for &(from, to, delay) in &edges {
            let own = cost(to.0, &table.ranks[to.0][to.1]);
            let least = end[from.0][from.1] + delay + own;
            if end[to.0][to.1] < least {
                end[to.0][to.1] = least;
                moved = true;
            }
        }
        if !moved {
            return end.into_iter().flatten().max().unwrap_or(0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Unequal stages, unequal passes, messages that take time: the replay is the longest path.
    #[test]
    fn a_replay_is_the_longest_path(
        which in 0_usize..8,
        half in 1_u64..3,
        more in 0_u64..3,
        v in 1_u64..3,
        send in 0_u64..5,
        overlap in any::<bool>(),
        costs in prop::collection::vec(1_u64..20, 12),
    ) {
        let schedule = Schedule::WORDS[which].0;
        // Only 1F1B takes virtual stages.
        let v = if schedule == Schedule::OneFOneB { v } else { 1 };
        let p = 2 * half;
        let m = 2 * p + 2 * more * if v > 1 { p } else { 1 };
        let table = Timetable::new(schedule, p, v, m, overlap);
        let cost = |rank: usize, pass: &Pass| costs[rank % 4] + costs[4 + pass.kind as usize];
        let runs = table.replay(cost, send).expect("a published order has no deadlock");
        let end = runs.iter().map(|r| r.end).max().expect("ranks");
        prop_assert_eq!(end, longest_path(&table, &cost, send));
        // Never sooner than any rank's own work.
        prop_assert!(runs.iter().all(|r| r.busy <= r.end - r.start));
    }
}

#[test]
fn a_broken_order_is_named() {
    let good = Timetable::new(Schedule::OneFOneB, 4, 1, 8, false);
    let mut lost = good.clone();
    lost.ranks[2].remove(3);
    assert!(lost.problems()[0].contains("passes stage 2"), "{:?}", lost.problems());
    let mut twice = good.clone();
    let again = twice.ranks[0][0];
    twice.ranks[0].push(again);
    assert!(twice.problems()[0].contains("[2, 1, 1]"), "{:?}", twice.problems());
    let mut circular = good.clone();
    circular.ranks[3].swap(0, 1);
    assert!(circular.problems()[0].contains("waits for ever"), "{:?}", circular.problems());
    let mut nowhere = good;
    nowhere.ranks[1][0].chunk = 7;
    assert!(nowhere.problems()[0].contains("not there"), "{:?}", nowhere.problems());
}
