//! look
#![allow(clippy::all, clippy::pedantic, clippy::print_stdout)]
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let sets: Vec<(String, String)> = std::env::args()
        .skip(2)
        .map(|s| {
            let (a, b) = s.split_once('=').unwrap();
            (a.into(), b.into())
        })
        .collect();
    let text = std::fs::read_to_string(&path).unwrap();
    let loaded = match scenario::load(&path, &text, &sets, &|p| {
        std::fs::read_to_string(p).map_err(|e| e.to_string())
    }) {
        Ok(l) => l,
        Err(d) => {
            for x in d.0 {
                println!("{} {:?} {:?}", x.message, x.hint, x.label);
            }
            return;
        }
    };
    let t = std::time::Instant::now();
    let r = match engine::rehearse(&loaded.scenario) {
        Ok(r) => r,
        Err(d) => {
            println!("{d:?}");
            return;
        }
    };
    println!("took {:?}", t.elapsed());
    for s in &r.stages {
        println!(
            "== seq {} step {:.3} [{:.3} {:.3}] mfu {:.3} days {:.1} m {}",
            s.job.sequence,
            s.step_s.value,
            s.step_s.low,
            s.step_s.high,
            s.mfu.value,
            s.days.value,
            s.program.micro_batches
        );
        for p in &s.estimate.parts {
            if p.seconds > 0.0 {
                println!(
                    "   {:20} {:8.4}  {:5.1}%",
                    p.kind.word(),
                    p.seconds,
                    100.0 * p.seconds / s.step_s.value
                );
            }
        }
        println!(
            "   hidden {:?}",
            s.estimate.hidden.iter().map(|h| (h.axis, h.seconds)).collect::<Vec<_>>()
        );
        println!("   {:?}", s.estimate.phases);
        println!(
            "   ranks {:?}",
            s.estimate.ranks.iter().map(|r| (r.busy_s * 10.).round() / 10.).collect::<Vec<_>>()
        );
        for d in s.drivers.iter().take(6) {
            println!(
                "   driver {} {:.3} {:.3} {}",
                d.path, d.step_at_low_s, d.step_at_high_s, d.figure
            );
        }
        for (i, m) in s.memory.iter().enumerate() {
            if i == 0 || i + 1 == s.memory.len() || i == s.memory.len() / 2 {
                println!(
                    "   mem {i} total {:.1} w {:.1} g {:.1} o {:.1} a {:.1} b {:.1}",
                    m.total() / 1.073741824e9,
                    m.weights / 1.07e9,
                    m.gradients / 1.07e9,
                    m.optimizer / 1.07e9,
                    m.activations / 1.07e9,
                    m.buffers / 1.07e9
                );
            }
        }
        let t = std::time::Instant::now();
        for _ in 0..1000 {
            std::hint::black_box(engine::estimate(&s.program, &r.machine));
        }
        println!("   estimate {:?}", t.elapsed() / 1000);
        println!(
            "   ops {} exch {} seg {}",
            s.program.operators.len(),
            s.program.exchanges.len(),
            s.program.segments.len()
        );
    }
    println!("days {:?}", r.days);
}
