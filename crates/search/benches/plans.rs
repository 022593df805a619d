//! Complete evaluations a second, time and memory of every pipeline rank, beside Calculon's rate.

use criterion::Criterion;
use search::{Limits, Problem, Space, every};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

/// Calculon (caa4b11, Python 3.11) on a 2-vCPU EPYC Zen 4: configurations per second per core.
const CALCULON_PER_S: f64 = 73.0;

fn problem(id: &str) -> Problem {
    let text = catalog::text(catalog::Kind::Scenario, id).expect("shipped");
    let no_files = |path: &str| Err(format!("no file {path}"));
    let loaded = scenario::load(id, text, &[], &no_files).expect("a good scenario");
    Problem::new(&loaded.scenario, 0.1).expect("a calibrated chip")
}

/// Evaluates plans of the space in their order, up to `most`; how many.
fn evaluate(problem: &Problem, space: &Space, most: u64) -> u64 {
    let mut done = 0;
    every(problem, space, &mut |found| {
        black_box(found);
        done += 1;
        if done == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    done
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    for (id, pipelines) in [
        ("deepseek-v4-pro-on-atlas-950", vec![1, 2, 4, 8, 16, 32]),
        ("llama-3.1-405b-on-h100", vec![1, 2, 4, 8, 16]),
    ] {
        let problem = problem(id);
        // The pipelines in use, in turn: deeper ones have more ranks to price.
        let space =
            Space::new(&problem, &Limits { pipeline: Some(pipelines), ..Limits::default() });
        criterion.bench_function(&format!("100,000 plans, {id}"), |b| {
            b.iter(|| evaluate(&problem, &space, 100_000));
        });
        let begun = Instant::now();
        let done = evaluate(&problem, &space, 2_000_000);
        let rate = done as f64 / begun.elapsed().as_secs_f64();
        eprintln!(
            "{id}: {done} complete evaluations, {rate:.0} a second per core: {:.0} times Calculon's \
             {CALCULON_PER_S} a second",
            rate / CALCULON_PER_S
        );
    }
}
