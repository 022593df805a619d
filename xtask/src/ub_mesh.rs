//! `cargo xtask ub-mesh`: figures 17, 19 and 20 of UB-Mesh (arXiv 2503.20377) by the planner, as the
//! page `docs/src/concepts/ub-mesh.md`. Takes ten minutes or more; the page is kept with the sources.

use anyhow::{Context, Result, anyhow, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

const FOLDER: &str = "studies/ub-mesh";
const PAGE: &str = "docs/src/concepts/ub-mesh.md";

/// Scenario and the paper's name of each model.
const MODELS: [(&str, &str); 5] = [
    ("llama-3.1-70b", "LLAMA-70B"),
    ("gpt3-175b", "GPT3-175B"),
    ("dense-1t", "Dense-1T"),
    ("gpt4-2t", "GPT4-2T"),
    ("moe-10t", "MoE-10T"),
];
/// Sequence length and sequences a step: one short and one long of the paper's 8K to 10M.
const LENGTHS: [(u64, u64); 2] = [(8_192, 2_048), (262_144, 64)];
const ALL: &[usize] = &[0, 1];
/// The paper's two ranges of lengths.
const RANGES: [(&str, &[usize]); 2] =
    [("8-32K tokens; here 8K", &[0]), ("64K-10M tokens; here 256K", &[1])];
/// The length and the models that assumptions are tried at: short sequences, dense models.
const TRIED: usize = 0;
const DENSE: &[usize] = &[0, 1, 2];
const EVERY: &[usize] = &[0, 1, 2, 3, 4];

/// Figure 17 (a): model by 2D-FM, 1D-FM-A, 1D-FM-B, Clos = 100; read off the figure to 0.2.
const FIGURE_17: [[f64; 3]; 5] = [
    [95.8, 98.0, 99.3],
    [95.95, 97.5, 99.0],
    [95.0, 95.5, 98.0],
    [94.5, 94.7, 98.15],
    [93.2, 94.3, 96.9],
];
/// Figure 17 (b): the same for the two ranges of lengths.
const FIGURE_17_B: [[f64; 3]; 2] = [[95.5, 98.1, 99.2], [95.0, 96.0, 98.0]];
/// What is assumed otherwise for one row of a table: prefix of its cluster files, words on the page.
const ASSUMPTIONS: [(&str, &str); 5] = [
    ("", "as above"),
    ("fast-", "lanes of twice the rate, or a chip half as fast"),
    ("relay-", "idle links of boards and racks relay, as those between racks do"),
    ("alone-", "no mesh and switches at once"),
    ("four-", "four times the batch"),
];
const RACKS: [&str; 4] = ["ub-mesh-8192", "ub-mesh-1d-fm-a", "ub-mesh-1d-fm-b", "ub-mesh-clos"];

/// Figure 19: shortest, detour, borrow, both, Clos between racks = 100.
const FIGURE_19: [(usize, [f64; 4]); 3] = [
    (0, [99.60, 99.73, 99.86, 99.92]),
    (1, [99.97, 99.97, 100.0, 100.0]),
    (3, [99.03, 99.37, 99.48, 99.54]),
];
const ROUTES: [&str; 4] = ["shortest", "detour", "borrow", "both"];

/// Figure 20: x8, x16, x32 lanes between racks, x4 = 100; short and long sequences.
const FIGURE_20: [[f64; 3]; 2] = [[100.66, 101.11, 101.32], [103.5, 106.85, 108.7]];
const LANES: [u64; 4] = [4, 8, 16, 32];

/// One plan asked for: cluster file, model, length.
type Job = (String, usize, usize);

/// Writes the page.
pub fn run() -> Result<()> {
    let built = Command::new("cargo").args(["build", "--profile", "fast", "-p", "cli"]).status()?;
    ensure!(built.success(), "the program does not build");
    let folder = std::env::temp_dir().join(format!("ub-mesh-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let made = page(&folder);
    std::fs::remove_dir_all(&folder)?;
    std::fs::write(PAGE, made?)?;
    Ok(())
}

fn page(folder: &Path) -> Result<String> {
    let clusters = variants(folder)?;
    let mut jobs: Vec<Job> = Vec::new();
    for length in 0..LENGTHS.len() {
        for model in 0..MODELS.len() {
            jobs.extend(RACKS.map(|c| (c.to_owned(), model, length)));
        }
        for (model, _) in FIGURE_19 {
            jobs.extend(ROUTES.map(|c| (c.to_owned(), model, length)));
            jobs.extend(LANES.map(|l| (format!("x{l}"), model, length)));
        }
    }
    for (prefix, _) in &ASSUMPTIONS[1..] {
        for &model in DENSE {
            jobs.extend(RACKS.map(|c| (format!("{prefix}{c}"), model, TRIED)));
        }
    }
    let rates = rates(&clusters, &jobs)?;
    let rate = |c: &str, model: usize, length: usize| {
        rates.get(&(c.to_owned(), model, length)).copied().context("a plan that was asked for")
    };
    // Throughput against a reference, in percent, averaged over the lengths given.
    let against = |c: &str, of: &str, model: usize, lengths: &[usize]| -> Result<f64> {
        let shares: Result<Vec<f64>> =
            lengths.iter().map(|l| Ok(rate(c, model, *l)? / rate(of, model, *l)?)).collect();
        Ok(100.0 * shares?.iter().sum::<f64>() / lengths.len() as f64)
    };
    let mut out = HEAD.to_owned();
    figure_17(&mut out, &against)?;
    figure_19(&mut out, &against)?;
    figure_20(&mut out, &against)?;
    Ok(out)
}

type Against<'a> = &'a dyn Fn(&str, &str, usize, &[usize]) -> Result<f64>;

fn figure_17(out: &mut String, against: Against<'_>) -> Result<()> {
    out.push_str(
        "\n## Figure 17: wiring of the rack\n\nThroughput, Clos = 100; printed / here.\n\n\
         | model | 2D-FM | 1D-FM-A | 1D-FM-B | order kept |\n|---|---|---|---|---|\n",
    );
    let racks = |prefix: &str, model: usize, lengths: &[usize]| -> Result<[f64; 3]> {
        let clos = format!("{prefix}{}", RACKS[3]);
        let mut found = [0.0; 3];
        for (share, rack) in found.iter_mut().zip(RACKS) {
            *share = against(&format!("{prefix}{rack}"), &clos, model, lengths)?;
        }
        Ok(found)
    };
    for (model, printed) in FIGURE_17.iter().enumerate() {
        let found = racks("", model, ALL)?;
        ensure!(found.iter().all(|f| *f < 100.4), "{}: {found:?}, over the Clos", MODELS[model].1);
        let word = if ordered(&found) { "yes" } else { "no" };
        writeln!(out, "| {} | {} | {word} |", MODELS[model].1, pairs(printed, &found))?;
    }
    let mean = |prefix: &str, models: &[usize], lengths: &[usize]| -> Result<([f64; 3], usize)> {
        let (mut mean, mut kept) = ([0.0; 3], 0);
        for &model in models {
            let found = racks(prefix, model, lengths)?;
            kept += usize::from(ordered(&found));
            for (sum, share) in mean.iter_mut().zip(found) {
                *sum += share / models.len() as f64;
            }
        }
        Ok((mean, kept))
    };
    out.push_str(
        "\n| sequences, mean of the models | 2D-FM | 1D-FM-A | 1D-FM-B |\n|---|---|---|---|\n",
    );
    for ((words, lengths), printed) in RANGES.iter().zip(&FIGURE_17_B) {
        writeln!(out, "| {words} | {} |", pairs(printed, &mean("", EVERY, lengths)?.0))?;
    }
    out.push_str(
        "\nWhat the assumptions move, mean of the three dense models at 8K tokens:\n\n\
         | assumption | 2D-FM | 1D-FM-A | 1D-FM-B | models in order |\n|---|---|---|---|---|\n",
    );
    for (prefix, words) in ASSUMPTIONS {
        let ([x, a, b], kept) = mean(prefix, DENSE, &[TRIED])?;
        writeln!(out, "| {words} | {x:.1} | {a:.1} | {b:.1} | {kept} of {} |", DENSE.len())?;
    }
    Ok(())
}

/// Whether wirings come in the figure's order. Both sides of a pair are read off it to 0.2: less than
/// 0.4 apart is a tie.
fn ordered(found: &[f64; 3]) -> bool {
    found.windows(2).all(|w| w[1] > w[0] - 0.4) && found[2] < 100.4
}

/// Cells of printed and found shares.
fn pairs(printed: &[f64], found: &[f64]) -> String {
    let cells = printed.iter().zip(found).map(|(p, f)| format!("{p:.1} / {f:.1}"));
    cells.collect::<Vec<_>>().join(" | ")
}

fn figure_19(out: &mut String, against: Against<'_>) -> Result<()> {
    out.push_str(
        "\n## Figure 19: routes between racks\n\nThroughput, a Clos of 16 lanes between racks = 100; \
         printed / here.\n\n| model | shortest | detour | borrow | both |\n|---|---|---|---|---|\n",
    );
    for (model, printed) in FIGURE_19 {
        let mut found = [0.0; 4];
        for (i, route) in ROUTES.iter().enumerate() {
            found[i] = against(route, "x16", model, ALL)?;
        }
        let [shortest, detour, borrow, both] = found;
        let ordered = shortest <= detour + 0.01 && shortest <= borrow + 0.01;
        ensure!(ordered && both + 0.01 >= detour.max(borrow), "{}: {found:?}", MODELS[model].1);
        let cells: Vec<String> =
            printed.iter().zip(found).map(|(p, f)| format!("{p:.2} / {f:.2}")).collect();
        writeln!(out, "| {} | {} |", MODELS[model].1, cells.join(" | "))?;
    }
    Ok(())
}

fn figure_20(out: &mut String, against: Against<'_>) -> Result<()> {
    out.push_str(
        "\n## Figure 20: lanes between racks\n\nThroughput, x4 = 100, mean of LLAMA-70B, GPT3-175B and \
         GPT4-2T; printed / here.\n\n| sequences | x8 | x16 | x32 |\n|---|---|---|---|\n",
    );
    for ((words, lengths), printed) in RANGES.iter().zip(&FIGURE_20) {
        let mut found = Vec::new();
        for lanes in &LANES[1..] {
            let mut sum = 0.0;
            for (model, _) in FIGURE_19 {
                sum += against(&format!("x{lanes}"), "x4", model, lengths)?;
            }
            found.push(sum / FIGURE_19.len() as f64);
        }
        ensure!(found.windows(2).all(|w| w[1] > w[0] - 0.01), "wider is never slower: {found:?}");
        writeln!(out, "| {words} | {} |", pairs(printed, &found))?;
    }
    Ok(())
}

/// Every cluster file by its word: the catalog's four, and what differs from them in one thing.
fn variants(folder: &Path) -> Result<BTreeMap<String, String>> {
    let read = |id: &str| std::fs::read_to_string(format!("catalog/clusters/{id}.toml"));
    let racks: Vec<String> = RACKS.iter().map(|c| read(c)).collect::<Result<_, _>>()?;
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (id, text) in RACKS.iter().zip(&racks) {
        files.insert((*id).to_owned(), text.clone());
        for (prefix, _) in &ASSUMPTIONS[1..] {
            files.insert(format!("{prefix}{id}"), assumed(prefix, text));
        }
    }
    let mesh = &racks[0];
    for (word, detour, borrow) in [
        ("shortest", false, false),
        ("detour", true, false),
        ("borrow", false, true),
        ("both", true, true),
    ] {
        let text = mesh
            .replace("detour = true\n", if detour { "detour = true\n" } else { "" })
            .replace("borrow = true\n", if borrow { "borrow = true\n" } else { "" });
        files.insert(word.to_owned(), text);
    }
    let levels: Vec<&str> = mesh.split("\n[[level]]").collect();
    let [head, board, rack, .., pod] = &levels[..] else { return Err(anyhow!("five levels")) };
    for lanes in LANES {
        let pod = pod
            .replace("\"56 GB/s\"", &format!("\"{} GB/s\"", 14 * lanes))
            .replace("ports = 1", &format!("ports = {}", lanes / 4));
        let text = [*head, *board, *rack, &pod].join("\n[[level]]");
        files.insert(format!("x{lanes}"), text);
    }
    let mut paths = BTreeMap::new();
    for (word, text) in files {
        let path = folder.join(format!("{word}.toml"));
        std::fs::write(&path, text)?;
        paths.insert(word, path.display().to_string());
    }
    Ok(paths)
}

/// Tokens a second of the best plan of every job, two at a time.
fn rates(clusters: &BTreeMap<String, String>, jobs: &[Job]) -> Result<BTreeMap<Job, f64>> {
    let (next, found) = (Mutex::new(jobs.iter()), Mutex::new(BTreeMap::new()));
    let work = || -> Result<()> {
        loop {
            let Some(job) = next.lock().map_err(|e| anyhow!("{e}"))?.next() else { return Ok(()) };
            let rate = best(clusters, job)?;
            eprintln!("{} {} {}: {rate:.0} tokens/s", job.0, MODELS[job.1].0, LENGTHS[job.2].0);
            found.lock().map_err(|e| anyhow!("{e}"))?.insert(job.clone(), rate);
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work()?;
        other.join().map_err(|_| anyhow!("a worker panicked"))?
    })?;
    found.into_inner().map_err(|e| anyhow!("{e}"))
}

/// A rack's file under an assumption that is the machine's.
fn assumed(prefix: &str, text: &str) -> String {
    let mesh = "wiring = \"full-mesh\"\n";
    match prefix {
        "fast-" => {
            let twice =
                |rate: &str| rate.parse().map_or(rate.to_owned(), |r: u64| (2 * r).to_string());
            let mut parts = text.split("bandwidth = { value = \"");
            let mut out = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let (rate, rest) = part.split_once(' ').unwrap_or((part, ""));
                out += &format!("bandwidth = {{ value = \"{} {rest}", twice(rate));
            }
            out
        }
        "relay-" => {
            text.replace("detour = true\n", "").replace(mesh, &format!("{mesh}detour = true\n"))
        }
        "alone-" => ["anywhere", "beyond"].iter().fold(text.to_owned(), |text, word| {
            text.replace(&format!("concurrent = \"{word}\"\n"), "")
        }),
        _ => text.to_owned(),
    }
}

fn best(clusters: &BTreeMap<String, String>, (cluster, model, length): &Job) -> Result<f64> {
    let (sequence, mut batch) = LENGTHS[*length];
    if cluster.starts_with("four-") {
        batch *= 4;
    }
    let path = clusters.get(cluster).context("a variant")?;
    let program = Path::new("target/fast/supernode").canonicalize()?;
    let output = Command::new(program)
        .current_dir(FOLDER)
        .args(["plan", &format!("{}.toml", MODELS[*model].0)])
        .args(["--set", &format!("cluster={path}"), "--set", &format!("sequence={sequence}")])
        .args(["--set", &format!("batch_sequences={batch}")])
        .args(["--top", "1", "--format", "json"])
        .output()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    answer["leaders"][0]["tokens_per_s"].as_f64().context("no plan fits")
}

const HEAD: &str = "# UB-Mesh's figures\n\
\n\
![The five levels of ub-mesh-8192](../images/ub-mesh-8192.svg)\n\
\n\
Made by `cargo xtask ub-mesh`: the planner's best plan for every model, machine and length, on 8,192\n\
chips. The paper (arXiv 2503.20377) shows its authors' simulation.\n\
\n\
Not printed there, and assumed here: the chip (Ascend 950DT: 72 lanes of 14 GB/s a direction, as the\n\
paper's NPU has), 16.8 Mtoken a step, BF16 with FP32 gradients, every schedule the planner has, two\n\
experts a token, feed-forward widths that give the models' parameters, 85 % of\n\
every lane reached by large messages, and 64 lanes beyond the Clos's rack. Lengths are averaged over 8K to\n\
10M tokens there, over 8K and 256K here. Every machine has the plan that suits it best, which the paper does\n\
not say of its own.\n\
\n\
Two meshes that follow each other (board and rack, row and column) reduce and gather at once where that is\n\
sooner, as the paper's multi-ring does: a share of the bytes goes along one and then the other, the rest the\n\
other way round. An all-to-all does the same. Meshes and the lanes to switches beside them are used at once too, as\n\
HCCL does: on a board with switches in the same layer for every exchange (its concurrent algorithm), so that a tensor\n\
group of eight has 28 lanes of its board and 16 of its rack's switches on 1D-FM-A, 28 and 32 on 1D-FM-B; with switches\n\
of another layer for what goes on through them (its two-dimension parallel one), as the 2D-FM's four lanes to the\n\
high-radix switches. The paper does not say so of any of them; it is tried without below. A tensor group that fills\n\
its board gains nothing from the second mesh: each byte has to cross a link of some row, and the links of every row\n\
are busy with their own group. Where a group is a part of a board, the row's idle links can relay; HCCL does so for\n\
groups of two or four when asked to, and the assumption is tried below. Detour and borrow between racks are as in\n\
`Channel::usable`: idle links relay, each byte over two of them, and the lanes to the high-radix switches help.\n\
\n\
Read: the order of figure 17 holds for four of the five models; for LLAMA-70B the 2D-FM comes 1.0 before 1D-FM-A\n\
instead of 2.2 after it. The Clos is first and 1D-FM-B second everywhere, as printed. Losses against the Clos are\n\
larger than printed: of the 2D-FM 1.2 times for LLAMA-70B, 1.5 times for Dense-1T and about twice for the others, of\n\
1D-FM-A 1.3 to 1.6 times for the three largest models and three times for the two smallest, of 1D-FM-B 1.2 to 4 times.\n\
Two assumptions decide the order:\n\
\n\
- *Both networks at once.* Without it the order holds for one dense model of three at 8K tokens instead of two. It is\n\
  worth 3 points to 1D-FM-A and -B and next to nothing to the 2D-FM.\n\
- *The batch.* With 2,048 tokens a chip and step, gradients show, and they cross 28 lanes of the 2D-FM's rack but\n\
  16 of 1D-FM-A's. The paper's table 1 has data parallelism at 1.3 % of the traffic, which suggests more tokens\n\
  a step. With four times as many, LLAMA-70B is in the printed order as well, and the three dense models are at 93.8,\n\
  96.6 and 98.5 on average against 95.6, 97.0 and 98.8 printed.\n\
\n\
Faster lanes, or relaying inside boards and racks, put all three in order too. If boards of the 2D-FM also had the use\n\
of the lanes to switches beyond the rack, figure 17 would keep its order, but figure 19 would lose another 1 to 2\n\
points, and more such lanes would help short sequences by 2 to 8 % in figure 20, where 1 % is printed.\n";
