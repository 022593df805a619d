//! How long 10,000 samples of a 60-day campaign take on one core.

use campaign::{
    Checkpoints, Process, Recovery, Run, Segment, Strike, Strikes, mean_ns, nanoseconds, share,
    simulate,
};
use criterion::{Criterion, criterion_group, criterion_main};

/// Sixty days on 16,384 H100: Llama 3's eighteen causes, 7.8 failures a day, Daly's checkpoints.
fn sixty_days() -> Run {
    let parts = catalog::reliability("llama3-h100").expect("shipped");
    let cluster = catalog::cluster("llama3-h100-roce").expect("shipped");
    let counts = campaign::Counts::new(&cluster, 16_384, &parts).expect("has hosts");
    let stop = |f: &catalog::Failure| Process {
        name: f.name.clone(),
        component: Some(f.component),
        mean_ns: mean_ns(f.rate.value * counts.of(f.component)),
        strike: Strike::Stop,
        replaced: f.replaced.value,
        hosts: 1,
    };
    let mut processes: Vec<Process> = parts.failures.iter().map(stop).collect();
    processes.push(Process {
        name: "slow".to_owned(),
        component: None,
        mean_ns: mean_ns(160.0),
        strike: Strike::Slow { loss: share(0.1), found_ns: nanoseconds(3_600.0) },
        replaced: 0.0,
        hosts: 1,
    });
    Run {
        segments: vec![Segment { work_ns: nanoseconds(60.0 * 86_400.0), ramp: 0, restarts: false }],
        processes,
        recovery: Recovery {
            detection_ns: nanoseconds(120.0),
            diagnosis_ns: nanoseconds(120.0),
            restart_ns: nanoseconds(360.0),
            in_place: 0.0,
            in_place_ns: 0,
            replacement_ns: nanoseconds(60.0),
            repair_ns: nanoseconds(86_400.0),
        },
        checkpoints: Checkpoints {
            interval_ns: nanoseconds(150.0),
            stall_ns: nanoseconds(1.0),
            persist_ns: nanoseconds(3.0),
        },
        spare_hosts: 41,
        replicas: 128,
        degraded: true,
        evaluation_every_ns: 0,
        evaluation_ns: 0,
        limit_ns: u64::MAX / 4,
        window: false,
    }
}

fn samples(c: &mut Criterion) {
    let run = sixty_days();
    let mut group = c.benchmark_group("campaign");
    group.sample_size(10);
    group.bench_function("10,000 samples of 60 days, 16,384 chips", |b| {
        b.iter(|| -> u64 {
            (0..10_000)
                .map(|i| simulate(&run, Strikes::random(&run, 1, i)).account.total())
                .fold(0, u64::wrapping_add)
        });
    });
    group.finish();
}

criterion_group!(benches, samples);
criterion_main!(benches);
