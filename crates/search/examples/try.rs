use std::ops::ControlFlow;
fn main() {
    let id = std::env::args().nth(1).unwrap();
    let text = catalog::text(catalog::Kind::Scenario, &id).unwrap();
    let sets: Vec<(String, String)> = std::env::args()
        .skip(2)
        .map(|a| {
            let (k, v) = a.split_once('=').unwrap();
            (k.to_owned(), v.to_owned())
        })
        .collect();
    let loaded = scenario::load(&id, text, &sets, &|p: &str| Err(format!("no file {p}"))).unwrap();
    let problem = search::Problem::new(&loaded.scenario, 0.1).unwrap();
    let space = search::Space::new(&problem, &search::Limits::default());
    let begun = std::time::Instant::now();
    println!(
        "stems {} seq {} batch {}",
        space.stems.len(),
        problem.sequence,
        problem.batch_sequences
    );
    let f = search::best(&problem, &space, &search::Options::default(), &mut |p| {
        eprintln!(
            "{:.1}s {}/{} best {:?} bound {} {:?}",
            begun.elapsed().as_secs_f64(),
            p.stems_done,
            p.stems,
            p.best_s,
            p.bound_s,
            p.counts
        );
        ControlFlow::Continue(())
    });
    println!("{:.2} s {:?}", begun.elapsed().as_secs_f64(), f.counts);
    for l in &f.leaders {
        println!("{:.4} {:.1} GB {:?}", l.step_s, l.peak_bytes / 1e9, l.plan);
    }
}
