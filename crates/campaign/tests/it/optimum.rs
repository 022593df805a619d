//! Young's and Daly's optimum, found numerically.

use crate::trace::plain;
use campaign::{Checkpoints, Run, Segment, Strikes, daly_s, nanoseconds, simulate, young_s};

/// Mean wall clock of 40 runs of 200 hours with a failure every `between_s`, checkpoints of
/// `stall_s` after each `interval_s`; the same chance for every interval.
fn wall_s(interval_s: f64, stall_s: f64, between_s: f64) -> f64 {
    let mut run = Run {
        segments: vec![Segment { work_ns: nanoseconds(720_000.0), ramp: 0, restarts: false }],
        checkpoints: Checkpoints {
            interval_ns: nanoseconds(interval_s),
            stall_ns: nanoseconds(stall_s),
            persist_ns: 0,
        },
        limit_ns: u64::MAX / 4,
        ..plain()
    };
    run.processes.truncate(1);
    run.processes[0].mean_ns = between_s * 1e9;
    run.recovery.detection_ns = 0;
    run.recovery.diagnosis_ns = 0;
    run.recovery.restart_ns = 0;
    let total: f64 = (0..40)
        .map(|sample| simulate(&run, Strikes::random(&run, 11, sample)).account.total() as f64)
        .sum();
    total / 40e9
}

/// The vertex of the parabola through the walls around the formula's optimum, in the logarithm of the
/// interval: one formula's value is compared with a whole curve, not with a noisy minimum.
fn found_s(around_s: f64, stall_s: f64, between_s: f64) -> f64 {
    let points: Vec<(f64, f64)> = (-8..=8)
        .map(|k| {
            let x = f64::from(k) * 0.08;
            (x, wall_s(around_s * libm::exp(x), stall_s, between_s))
        })
        .collect();
    // Least squares of a + b x + c x^2 + d x^3; x is symmetric, so even and odd parts separate.
    let sum = |f: &dyn Fn(f64, f64) -> f64| points.iter().map(|(x, y)| f(*x, *y)).sum::<f64>();
    let n = points.len() as f64;
    let (s2, s4, s6) = (sum(&|x, _| x.powi(2)), sum(&|x, _| x.powi(4)), sum(&|x, _| x.powi(6)));
    let (y0, y1) = (sum(&|_, y| y), sum(&|x, y| x * y));
    let (y2, y3) = (sum(&|x, y| x * x * y), sum(&|x, y| x.powi(3) * y));
    let c = (n * y2 - s2 * y0) / (n * s4 - s2 * s2);
    let b = (s6 * y1 - s4 * y3) / (s2 * s6 - s4 * s4);
    around_s * libm::exp(-b / (2.0 * c))
}

#[test]
fn the_optimum_is_young_and_daly_where_they_hold() {
    // A stall of 20 s and a failure every 2 hours: a hundredth, as the formulas want.
    let (stall_s, between_s) = (20.0, 7_200.0);
    let (young, daly) = (young_s(stall_s, between_s), daly_s(stall_s, between_s));
    let found = found_s(young, stall_s, between_s);
    assert!((found / daly - 1.0).abs() < 0.05, "found {found:.0} s, Daly {daly:.0} s");
    assert!((found / young - 1.0).abs() < 0.05, "found {found:.0} s, Young {young:.0} s");
}

#[test]
fn daly_holds_where_young_does_not() {
    // A stall of a tenth of the time between failures.
    let (stall_s, between_s) = (600.0, 6_000.0);
    let (young, daly) = (young_s(stall_s, between_s), daly_s(stall_s, between_s));
    assert!(young / daly > 1.1, "the case tells them apart");
    let found = found_s(daly, stall_s, between_s);
    assert!((found / daly - 1.0).abs() < 0.1, "found {found:.0} s, Daly {daly:.0} s");
}

#[test]
fn effective_time_is_the_formula_of_metas_clusters() {
    // Kokolis et al. (arXiv 2410.21680): (1 - N r_f (u0 + dt/2)) / (1 + w/dt), to first order in the
    // rate. 256 hosts at 6.5 failures per 1,000 days, a restart of 10 minutes, a checkpoint of 10 s an hour.
    let per_day = 256.0 * 6.5e-3;
    let mut run = Run {
        segments: vec![Segment { work_ns: nanoseconds(5e6), ramp: 0, restarts: false }],
        checkpoints: Checkpoints {
            interval_ns: nanoseconds(3_600.0),
            stall_ns: nanoseconds(10.0),
            persist_ns: 0,
        },
        limit_ns: u64::MAX / 4,
        ..plain()
    };
    run.processes.truncate(1);
    run.processes[0].mean_ns = 86_400e9 / per_day;
    run.recovery.detection_ns = 0;
    run.recovery.diagnosis_ns = 0;
    run.recovery.restart_ns = nanoseconds(600.0);
    let total: f64 = (0..200)
        .map(|sample| simulate(&run, Strikes::random(&run, 5, sample)).account.total() as f64)
        .sum();
    let found = 200.0 * 5e15 / total;
    let formula = (1.0 - per_day / 86_400.0 * (600.0 + 1_800.0)) / (1.0 + 10.0 / 3_600.0);
    assert!((found / formula - 1.0).abs() < 0.004, "found {found}, formula {formula}");
}
