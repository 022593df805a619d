//! Every nanosecond has one cause, whatever strikes.

use crate::trace::plain;
use campaign::{Cause, Checkpoints, MOST_EVENTS, Run, Segment, Strikes, share, simulate};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn any_run() -> impl Strategy<Value = Run> {
    let segments =
        prop::collection::vec((1..2_000_000_000_000_u64, 0.0..2.0_f64, any::<bool>()), 1..4);
    let durations = (1..400_000_000_000_u64, 0..90_000_000_000_u64, 0..60_000_000_000_u64);
    let spares = (0..3_u64, 1..5_u64, any::<bool>());
    let rates = prop::collection::vec(20.0..5_000.0_f64, 6);
    let evaluation = (0..900_u64, 0..20_u64);
    (segments, durations, spares, rates, evaluation).prop_map(
        |(segments, (interval, stall, persist), (spare, replicas, degraded), rates, evaluation)| {
            let mut run = plain();
            run.segments = segments
                .into_iter()
                .map(|(work_ns, ramp, restarts)| Segment { work_ns, ramp: share(ramp), restarts })
                .collect();
            run.checkpoints = Checkpoints {
                interval_ns: interval.max(persist),
                stall_ns: stall,
                persist_ns: persist,
            };
            (run.spare_hosts, run.replicas, run.degraded) = (spare, replicas, degraded);
            for (process, mean_s) in run.processes.iter_mut().zip(rates) {
                process.mean_ns = mean_s * 1e9;
                process.replaced *= 0.5;
            }
            run.recovery.in_place = 0.5;
            run.evaluation_every_ns = evaluation.0 * SECOND;
            run.evaluation_ns = evaluation.1 * SECOND;
            run.limit_ns = 200_000 * SECOND;
            run
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The simulator itself asserts that the account sums to its clock and its useful part to the work
    /// kept; here also that all the work is kept, and that a seed is a result.
    #[test]
    fn the_account_sums_to_the_wall_clock(run in any_run(), seed in any::<u64>()) {
        let outcome = simulate(&run, Strikes::random(&run, seed, 7));
        if outcome.finished {
            prop_assert_eq!(outcome.account.of(Cause::Useful), run.work_ns());
        } else {
            prop_assert!(outcome.account.total() >= run.limit_ns);
        }
        prop_assert!(outcome.account.total() >= outcome.account.of(Cause::Useful));
        prop_assert_eq!(&outcome, &simulate(&run, Strikes::random(&run, seed, 7)));
    }

    /// A failure more is never a shorter run, when nothing but software fails.
    #[test]
    fn one_failure_more_is_never_faster(
        times in prop::collection::vec(1..1_500_u64, 0..6), extra in 1..1_000_u64,
    ) {
        let run = plain();
        let trace = |times: &[u64]| {
            let strikes = times.iter().map(|s| (s * SECOND, 0)).collect();
            simulate(&run, Strikes::trace(&run, strikes)).account.total()
        };
        let without = trace(&times);
        let mut with = times.clone();
        with.push(extra);
        prop_assert!(trace(&with) >= without);
    }
}

/// Each process and each sample has a stream of its own.
#[test]
fn streams_are_independent_of_their_neighbours() {
    let mut run = plain();
    run.processes[0].mean_ns = 100e9;
    let alone: Vec<u64> =
        (0..20).map(|s| simulate(&run, Strikes::random(&run, 1, s)).strikes[0]).collect();
    assert!(alone.iter().any(|n| *n != alone[0]), "all samples alike: {alone:?}");
    let first = |run: &Run| Strikes::random(run, 1, 3).next_ns();
    let before = first(&run);
    run.processes[4].mean_ns = 1e18;
    assert_eq!(before, first(&run), "a process moved another's stream");
}

/// Every process strikes every nanosecond, or a pause comes every nanosecond of work: playing stops, and what is
/// left until the limit has its cause too.
#[test]
fn what_never_gets_anywhere_is_given_up() {
    for (every, window) in [(0, false), (0, true), (1, false), (1, true)] {
        let mut run = plain();
        (run.evaluation_every_ns, run.evaluation_ns) = (every, 1_000_000);
        if every == 0 {
            run.processes.iter_mut().for_each(|process| process.mean_ns = 1e-9);
        }
        run.window = window;
        let outcome = simulate(&run, Strikes::random(&run, 1, 0));
        assert!(outcome.cut && !outcome.finished);
        assert_eq!(outcome.account.total(), run.limit_ns);
        let most = if window { MOST_EVENTS } else { MOST_EVENTS / 32 };
        assert!(outcome.strikes.iter().sum::<u64>() <= most);
    }
    // A limit that is reached is no cut.
    let mut run = plain();
    run.limit_ns = SECOND;
    let outcome = simulate(&run, Strikes::random(&run, 1, 0));
    assert!(!outcome.cut && !outcome.finished);
}
