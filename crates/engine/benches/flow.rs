//! The event engine against the size of the job, and with every rank on its own.
//!
//! `cargo bench -p engine --bench flow -- --write` draws the book's picture from what it measures.

use engine::{FlowOptions, Machine, flow};
use program::Program;
use std::fmt::Write;
use std::time::Instant;

/// One measured size.
struct Point {
    ranks: u64,
    classes: usize,
    events: u64,
    seconds: f64,
    peak_mib: f64,
}

fn job(chips: u64) -> (Program, Machine) {
    let width = chips / 8;
    let text = format!(
        "name = \"scale\"\nmodel = \"deepseek-v4-pro\"\nrecipe = \"deepseek-v4-pro\"\n\
         cluster = \"atlas-950-supercluster\"\nchips = {chips}\nsequence = 4096\n\
         batch_sequences = {}\n[plan]\ntensor = 1\ncontext = 1\npipeline = 8\nexpert = {}\n\
         zero = 1\nmicro_batch = 1\nschedule = \"dualpipev\"\nrecompute = [\"norm\"]\n\
         overlap = [\"gradient_reduce\", \"parameter_gather\", \"expert\", \"pipeline\"]\n\
         deduplicated_dispatch = true\ngraphs = true\n",
        45 * width,
        width.min(64)
    );
    let loaded = scenario::load("scale", &text, &[], &|p| Err(format!("no {p}"))).expect("legal");
    let machine = engine::machine(&loaded.scenario).expect("a calibrated chip");
    let program = engine::lowered(&loaded.scenario, &loaded.scenario.jobs[0]).expect("divides").0;
    (program, machine)
}

/// Peak memory of this process so far, where the system tells. MiB.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn measure(chips: u64, unfolded: bool) -> Point {
    let (program, machine) = job(chips);
    let options = FlowOptions { unfolded, ..FlowOptions::default() };
    let (mut best, mut answer) = (f64::INFINITY, None);
    for _ in 0..if unfolded { 1 } else { 9 } {
        let begun = Instant::now();
        answer = Some(flow(&program, &machine, &options).expect("a good program"));
        best = best.min(begun.elapsed().as_secs_f64());
    }
    let answer = answer.expect("ran");
    let (classes, events) = (answer.classes, answer.events);
    Point { ranks: chips, classes, events, seconds: best, peak_mib: peak_mib() }
}

fn main() {
    let sizes = [64, 512, 4096, 8192, 65_536, 524_288];
    let folded: Vec<Point> = sizes.iter().map(|&n| measure(n, false)).collect();
    let unfolded: Vec<Point> = [64, 512, 1024].iter().map(|&n| measure(n, true)).collect();
    for (word, points) in [("folded", &folded), ("every rank", &unfolded)] {
        for p in points {
            eprintln!(
                "{word}: {} ranks, {} classes, {} events, {:.2} ms, {:.0} MiB",
                p.ranks,
                p.classes,
                p.events,
                p.seconds * 1e3,
                p.peak_mib
            );
        }
    }
    if std::env::args().any(|a| a == "--write") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/concepts/flow-scale.svg");
        std::fs::write(path, picture(&folded, &unfolded)).expect("the book's folder is there");
    }
}

/// Time of a step against ranks, both logarithmic.
fn picture(folded: &[Point], unfolded: &[Point]) -> String {
    let x = |ranks: u64| 70.0 + ((ranks as f64).log2() - 6.0) / 13.0 * 460.0;
    let y = |seconds: f64| 300.0 - (seconds.log10() + 3.0) / 4.0 * 270.0;
    let mut out = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 350\" role=\"img\" \
        aria-label=\"Time of a step by events against ranks\" font-family=\"sans-serif\" \
        font-size=\"12\">\n<style>text{fill:#777} .grid{stroke:#8884}</style>\n"
        .to_owned();
    for (seconds, word) in
        [(1e-3, "1 ms"), (1e-2, "10 ms"), (1e-1, "100 ms"), (1.0, "1 s"), (10.0, "10 s")]
    {
        let at = y(seconds);
        writeln!(out, "<path class=\"grid\" d=\"M70 {at:.0}H530\"/><text x=\"64\" y=\"{:.0}\" text-anchor=\"end\">{word}</text>", at + 4.0).expect("a string grows");
    }
    for (points, colour, word) in
        [(folded, "#0072b2", "folded: 8 classes"), (unfolded, "#d55e00", "every rank a class")]
    {
        let line: Vec<String> =
            points.iter().map(|p| format!("{:.1} {:.1}", x(p.ranks), y(p.seconds))).collect();
        writeln!(
            out,
            "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" d=\"M{}\"/>",
            line.join("L")
        )
        .expect("a string grows");
        for p in points {
            writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
                x(p.ranks),
                y(p.seconds)
            )
            .expect("a string grows");
        }
        let last = points.last().expect("points");
        writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.0}\">{word}</text>",
            x(last.ranks) + 10.0,
            y(last.seconds) + 4.0
        )
        .expect("a string grows");
    }
    for p in folded {
        writeln!(
            out,
            "<text x=\"{:.0}\" y=\"318\" text-anchor=\"middle\">{}</text>",
            x(p.ranks),
            p.ranks
        )
        .expect("a string grows");
    }
    out.push_str("<text x=\"300\" y=\"340\" text-anchor=\"middle\">ranks (across), time of one step by events (up)</text>\n</svg>\n");
    out
}
