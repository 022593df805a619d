//! Failures at written times give hand-computed results exactly.

use campaign::{
    Cause, Checkpoints, Outcome, Process, Recovery, Run, Segment, Strike, Strikes, share, simulate,
};

const SECOND: u64 = 1_000_000_000;

/// 1,000 s of work; a checkpoint of 10 s after each 100 s, durable 20 s later; one spare host.
pub fn plain() -> Run {
    let process = |name: &str, strike, replaced, hosts| Process {
        name: name.to_owned(),
        component: None,
        mean_ns: f64::INFINITY,
        strike,
        replaced,
        hosts,
    };
    Run {
        segments: vec![Segment { work_ns: 1_000 * SECOND, ramp: 0, restarts: false }],
        processes: vec![
            process("software", Strike::Stop, 0.0, 1),
            process("host", Strike::Stop, 1.0, 1),
            process("silent", Strike::Corrupt { found_ns: 150 * SECOND }, 1.0, 1),
            process("slow", Strike::Slow { loss: share(0.5), found_ns: 30 * SECOND }, 0.0, 1),
            process("planned", Strike::Maintenance { pause_ns: 60 * SECOND }, 0.0, 0),
            process("switch", Strike::Stop, 1.0, 3),
        ],
        recovery: Recovery {
            detection_ns: 5 * SECOND,
            diagnosis_ns: 7 * SECOND,
            restart_ns: 30 * SECOND,
            in_place: 0.0,
            in_place_ns: 3 * SECOND,
            replacement_ns: 11 * SECOND,
            repair_ns: 400 * SECOND,
        },
        checkpoints: Checkpoints {
            interval_ns: 100 * SECOND,
            stall_ns: 10 * SECOND,
            persist_ns: 20 * SECOND,
        },
        spare_hosts: 1,
        replicas: 4,
        degraded: false,
        evaluation_every_ns: 0,
        evaluation_ns: 0,
        limit_ns: 100_000 * SECOND,
        window: false,
    }
}

/// Plays `run` with strikes of `(second, process)`.
fn at(run: &Run, strikes: &[(u64, usize)]) -> Outcome {
    let trace = strikes.iter().map(|(second, process)| (second * SECOND, *process)).collect();
    simulate(run, Strikes::trace(run, trace))
}

fn seconds(outcome: &Outcome) -> Vec<(&'static str, f64)> {
    Cause::ALL
        .iter()
        .map(|c| (c.key(), outcome.account.of(*c) as f64 / SECOND as f64))
        .filter(|(_, s)| *s > 0.0)
        .collect()
}

#[test]
fn without_failures_the_run_is_its_work_and_its_checkpoints() {
    let outcome = at(&plain(), &[]);
    assert_eq!(seconds(&outcome), [("useful", 1_000.0), ("checkpoint", 100.0)]);
    assert!(outcome.finished);
}

#[test]
fn a_failure_goes_back_to_the_last_durable_checkpoint() {
    // Checkpoint 2 is taken from 210 s to 220 s and durable at 240 s; at 235 s it is not.
    let early = at(&plain(), &[(235, 0)]);
    assert_eq!(
        seconds(&early),
        [
            ("useful", 1_000.0),
            // Twelve: two before the failure, then those of 900 s of work from 100 s on, ten less one.
            ("checkpoint", 110.0),
            // 215 s of work were done, 100 s were durable.
            ("lost", 115.0),
            ("detection", 5.0),
            ("diagnosis", 7.0),
            ("restart", 30.0),
        ]
    );
    // At 250 s it is: 230 s done, 200 s durable.
    let late = at(&plain(), &[(250, 0)]);
    assert_eq!(late.account.of(Cause::Lost), 30 * SECOND);
    assert_eq!(late.account.of(Cause::Checkpoint), 100 * SECOND);
}

#[test]
fn a_failure_within_a_checkpoint_loses_it() {
    // From 100 s to 110 s the first is taken.
    let outcome = at(&plain(), &[(104, 0)]);
    assert_eq!(outcome.account.of(Cause::Lost), 100 * SECOND);
    assert_eq!(outcome.account.of(Cause::Checkpoint), 104 * SECOND);
}

#[test]
fn a_failure_while_restarting_begins_the_recovery_anew() {
    // Down from 50 s; the second strike comes 20 s later, 8 s into the restart.
    let outcome = at(&plain(), &[(50, 0), (70, 0)]);
    assert_eq!(outcome.account.of(Cause::Lost), 50 * SECOND);
    assert_eq!(outcome.account.of(Cause::Detection), 10 * SECOND);
    assert_eq!(outcome.account.of(Cause::Diagnosis), 14 * SECOND);
    assert_eq!(outcome.account.of(Cause::Restart), 38 * SECOND);
    assert_eq!(outcome.strikes, [2, 0, 0, 0, 0, 0]);
}

#[test]
fn spares_run_out_and_the_job_waits() {
    // The first host has a spare: 11 s. The second, at 300 s, waits for the first's repair at 450 s.
    let outcome = at(&plain(), &[(50, 1), (300, 1)]);
    // Stopped at 300 s, 12 s until it is known, so 138 s of waiting.
    assert_eq!(outcome.account.of(Cause::Spares), (11 + 138) * SECOND);
    assert_eq!(outcome.account.of(Cause::Degraded), 0);
}

#[test]
fn or_it_runs_on_with_fewer_replicas() {
    let run = Run { degraded: true, spare_hosts: 0, ..plain() };
    let outcome = at(&run, &[(50, 1)]);
    // From 92 s to the repair at 450 s three of four replicas work, a third more time a step: two
    // whole cycles of 133.3 + 10 s, then 71.3 s of which a quarter is overhead.
    let degraded = outcome.account.of(Cause::Degraded) as f64 / SECOND as f64;
    let by_hand = 2.0 * 100.0 / 3.0 + (450.0 - 92.0 - 2.0 * (400.0 / 3.0 + 10.0)) / 4.0;
    assert!((degraded - by_hand).abs() < 1e-6, "{degraded}, {by_hand}");
    // The job grows again: one restart for the failure, one for the host that came back.
    assert_eq!(outcome.account.of(Cause::Restart), 60 * SECOND);
    assert_eq!(outcome.account.of(Cause::Spares), 0);
}

#[test]
fn a_switch_takes_its_hosts_along() {
    // Three hosts, one spare: two are missing until their repair 400 s after 50 s.
    let outcome = at(&plain(), &[(50, 5)]);
    assert_eq!(outcome.account.of(Cause::Spares), (400 - 12) * SECOND);
}

#[test]
fn wrong_results_are_found_late_and_cost_all_since() {
    // Wrong from 130 s; checkpoint 1 was durable at 130 s. Found at 280 s: 250 - 30 s of stalls..
    let outcome = at(&plain(), &[(130, 2)]);
    // By 280 s: 100 + 10 + 100 + 10 + 60: 260 s of work, 100 s of it before the fault.
    assert_eq!(outcome.account.of(Cause::Lost), 160 * SECOND);
}

#[test]
fn a_slow_chip_drags_all_until_it_is_evicted() {
    // Half as much again from 10 s to 40 s: 20 s of work in 30 s.
    let outcome = at(&plain(), &[(10, 3)]);
    assert_eq!(outcome.account.of(Cause::Slow), 10 * SECOND);
    assert_eq!(outcome.account.of(Cause::Spares), 11 * SECOND);
    assert_eq!(outcome.account.of(Cause::Restart), 30 * SECOND);
    assert_eq!(outcome.account.of(Cause::Lost), 0);
}

#[test]
fn planned_stops_lose_no_work() {
    let outcome = at(&plain(), &[(50, 4)]);
    assert_eq!(
        seconds(&outcome),
        [
            ("useful", 1_000.0),
            // One of 30 s for the stop; then every 100 s from 50 s of work: nine.
            ("checkpoint", 120.0),
            ("restart", 30.0),
            ("maintenance", 60.0),
        ]
    );
}

#[test]
fn smaller_batches_and_evaluations_have_their_causes() {
    let run = Run {
        segments: vec![
            Segment { work_ns: 200 * SECOND, ramp: share(0.25), restarts: false },
            Segment { work_ns: 800 * SECOND, ramp: 0, restarts: false },
        ],
        evaluation_every_ns: 300 * SECOND,
        evaluation_ns: 13 * SECOND,
        ..plain()
    };
    let outcome = at(&run, &[]);
    assert_eq!(outcome.account.of(Cause::Ramp), 50 * SECOND);
    assert_eq!(outcome.account.of(Cause::Evaluation), 39 * SECOND);
    assert_eq!(outcome.account.total(), (1_000 + 100 + 50 + 39) * SECOND);
}

#[test]
fn a_window_cuts_the_run_where_it_ends() {
    let outcome = at(&Run { limit_ns: 250 * SECOND, ..plain() }, &[(50, 0)]);
    // Down from 50 s to 92 s; then 100 s, a checkpoint of 10 s, and 48 s.
    assert!(!outcome.finished);
    assert_eq!(outcome.account.total(), 250 * SECOND);
    assert_eq!(outcome.account.of(Cause::Useful), 148 * SECOND);
    assert_eq!(outcome.account.of(Cause::Lost), 50 * SECOND);
}

#[test]
fn another_length_and_plan_is_a_planned_stop() {
    let segment = |seconds: u64, restarts| Segment { work_ns: seconds * SECOND, ramp: 0, restarts };
    let run = Run { segments: vec![segment(200, false), segment(800, true)], ..plain() };
    // The second checkpoint is of that very work: it is waited for, 20 s, and no third is taken.
    let whole = [("useful", 1_000.0), ("checkpoint", 100.0 + 20.0), ("restart", 30.0)];
    assert_eq!(seconds(&at(&run, &[])), whole);
    // Within a first stage of 150 s one is taken for it: 10 s and 20 s; then eight for 850 s.
    let run = Run { segments: vec![segment(150, false), segment(850, true)], ..plain() };
    let whole = [("useful", 1_000.0), ("checkpoint", 10.0 + 30.0 + 80.0), ("restart", 30.0)];
    assert_eq!(seconds(&at(&run, &[])), whole);
    // A failure in the second stage goes back to its start, and not to another stop.
    let failed = at(&run, &[(260, 0)]);
    assert_eq!(failed.account.of(Cause::Restart), 60 * SECOND);
}
