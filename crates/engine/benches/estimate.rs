//! One estimate of a lowered plan, beside the rate of Calculon on a machine of this kind.

use criterion::Criterion;
use std::hint::black_box;
use std::time::Instant;

/// Calculon (caa4b11, Python 3.11) on a 2-vCPU EPYC Zen 4: configurations per second per core.
const CALCULON_PER_S: f64 = 73.0;

fn main() {
    let id = "deepseek-v4-pro-on-atlas-950";
    let text = catalog::text(catalog::Kind::Scenario, id).expect("shipped");
    let no_files = |path: &str| Err(format!("no file {path}"));
    let loaded = scenario::load(id, text, &[], &no_files).expect("a good scenario");
    let rehearsal = engine::rehearse(&loaded.scenario).expect("a calibrated chip");
    let program = &rehearsal.stages[rehearsal.main].program;
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("estimate, V4-Pro on 8,192 chips, lowered", |b| {
        b.iter(|| engine::estimate(black_box(program), black_box(&rehearsal.machine)));
    });
    let (runs, begun) = (20_000, Instant::now());
    for _ in 0..runs {
        black_box(engine::estimate(black_box(program), black_box(&rehearsal.machine)));
    }
    let each = begun.elapsed().as_secs_f64() / f64::from(runs);
    let rate = 1.0 / each;
    eprintln!(
        "{:.1} us each, {rate:.0} a second per core: {:.0} times Calculon's {CALCULON_PER_S} a second",
        each * 1e6,
        rate / CALCULON_PER_S
    );
}
