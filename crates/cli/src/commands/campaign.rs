//! `supernode campaign`: the whole run, its failures and its bill.

use crate::args::PageFormat;
use crate::commands::{Answer, json, stamp, with_texts};
use crate::output::{Done, Failure, deliver};
use crate::samples::{Wanted, drawn};
use campaign::{Asked, Bar, Campaign, Held, Sample, holds, planned, prepare, summarize, tornado};
use clap::{Args, ValueEnum};
use diagnostic::Diagnostic;
use indicatif::{ProgressBar, ProgressDrawTarget};
use report::CampaignAnswer;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// Most samples of one campaign: a gigabyte of records.
const MOST: u64 = 2_000_000;

#[derive(Args, Debug)]
pub struct CampaignArgs {
    /// A scenario file, or the id of a shipped one (see `catalog list`)
    #[arg(default_value = crate::args::DEFAULT)]
    pub scenario: String,
    /// Change a key of the scenario: `--set campaign.spare_hosts=16`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = crate::args::pair)]
    pub set: Vec<(String, String)>,
    /// How many runs to play; an even number, since figures are drawn for pairs
    #[arg(long, default_value = "2000", value_parser = crate::args::samples::<MOST>)]
    pub samples: u64,
    /// Where a claim holds: `--what must-hold 50M..200M` (USD) or `40d..60d` (days)
    #[arg(long, num_args = 2, value_names = ["QUESTION", "RANGE"])]
    pub what: Option<Vec<String>>,
    /// Keep every sample in a Parquet file; a killed campaign resumes from it
    #[arg(long, value_name = "FILE")]
    pub keep: Option<String>,
    /// Whose plan each length stage runs
    #[arg(long, value_enum, default_value = "own")]
    pub plan: PlanChoice,
    #[command(flatten)]
    pub playing: Playing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanChoice {
    /// As the scenario says
    Own,
    /// The best found
    Best,
}

/// How runs are played and shown, by every command that plays them.
#[derive(Args, Debug)]
pub struct Playing {
    /// The seed of every draw: one seed is one answer
    #[arg(long, default_value = "1")]
    pub seed: u64,
    /// Leave something out of the answer
    #[arg(long, value_enum)]
    pub without: Option<Without>,
    /// Threads; without: one a core. The answer does not depend on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: PageFormat,
    /// Write the answer to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,
    /// Progress on standard error
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Without {
    /// No economics are read
    Money,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A bar, if it takes long and someone watches
    Auto,
    /// None
    Never,
    /// A line of JSON every second
    Json,
}

pub fn campaign(args: &CampaignArgs) -> Answer {
    let claim = args.what.as_deref().map(claim).transpose()?;
    let (loaded, mut texts) = with_texts(&args.scenario, &args.set)?;
    let scenario = &loaded.scenario;
    texts.extend(scenario.campaign.economics.clone());
    let failure = |problems| Failure { problems, texts: texts.clone() };
    let replanned = match args.plan {
        PlanChoice::Own => None,
        PlanChoice::Best => Some(planned(scenario).map_err(failure)?.0),
    };
    let scenario = replanned.as_ref().unwrap_or(scenario);
    let rehearsal = engine::rehearse(scenario).map_err(failure)?;
    let asked = if args.playing.without.is_some() { Asked::WithoutMoney } else { Asked::WithMoney };
    let campaign = prepare(scenario, &rehearsal, asked).map_err(failure)?;
    let stamp = stamp("supernode.campaign/1", &loaded.text);
    let count = args.samples.next_multiple_of(2);
    let samples = with_threads(args.playing.threads, || {
        let bar = bar(args.playing.progress, count, "samples");
        let keep = args.keep.as_deref();
        let hash = xxh3_64(format!("{stamp:?} {asked:?} {:?}", args.plan).as_bytes());
        drawn(&Wanted { campaign: &campaign, seed: args.playing.seed, count, keep, hash }, &bar)
    })??;
    let summary = summarize(&campaign, &samples);
    let (medians, bars) = tornado(&campaign, args.playing.seed);
    let held = claim
        .map(|claim| judged(&campaign, args.playing.seed, &samples, &bars, claim))
        .transpose()?;
    let yes = held.as_ref().is_none_or(|all| all.iter().any(|h| h.share > 0.0));
    let answer = CampaignAnswer {
        campaign: &campaign,
        seed: args.playing.seed,
        summary: &summary,
        medians,
        bars: &bars,
        held: held.as_deref().unwrap_or_default(),
        samples: &samples,
    };
    let text = match args.playing.format {
        PageFormat::Text => report::campaign_text(&answer),
        PageFormat::Json => json(&report::campaign_json(&stamp, &answer)),
        PageFormat::Html => report::campaign_page(&report::campaign_json(&stamp, &answer), &answer),
    };
    let notes = report::render(&loaded.warnings, &|_| None);
    deliver(Done { text, notes, yes }, args.playing.output.as_deref())
}

/// A claim's range and whether it is about days.
struct Claim {
    days: bool,
    range: (f64, f64),
}

fn judged(
    campaign: &Campaign,
    seed: u64,
    samples: &[Sample],
    bars: &[Bar],
    claim: Claim,
) -> Result<Vec<Held>, Failure> {
    use campaign::Answer::{Days, Owning, Rental};
    if !claim.days && campaign.economics.is_none() {
        let message = "a claim about money cannot be judged without money";
        let hint = "ask about days (`40d..60d`), or leave out `--without money`";
        return Err(Diagnostic::error("cli::what", message).hint(hint).into());
    }
    let answers = if claim.days { vec![Days] } else { vec![Rental, Owning] };
    let count = answers.len();
    let one = |(place, answer)| {
        crate::progress::part("where the claim holds: answer", place, count);
        holds(campaign, seed, samples, bars, answer, claim.range)
    };
    Ok(answers.into_iter().enumerate().map(one).collect())
}

fn claim(words: &[String]) -> Result<Claim, Failure> {
    let wrong = |message: String| {
        let hint = "write `--what must-hold 50M..200M` for dollars, `40d..60d` for days";
        Failure::from(Diagnostic::error("cli::what", message).hint(hint))
    };
    let [question, range] = words else {
        return Err(wrong("a question and a range are wanted".to_owned()));
    };
    if question != "must-hold" {
        return Err(wrong(format!("`{question}` is no question")));
    }
    let ends = range.split_once("..").and_then(|(low, high)| Some((end(low)?, end(high)?)));
    match ends {
        Some(((low, low_days), (high, high_days))) if low <= high && low_days == high_days => {
            Ok(Claim { days: low_days, range: (low, high) })
        }
        _ => Err(wrong(format!("`{range}` is no range"))),
    }
}

/// `50M` is dollars, `40d` days.
fn end(text: &str) -> Option<(f64, bool)> {
    let text = text.trim();
    let (digits, scale, days) = match text.chars().last()? {
        'd' => (&text[..text.len() - 1], 1.0, true),
        'k' => (&text[..text.len() - 1], 1e3, false),
        'M' => (&text[..text.len() - 1], 1e6, false),
        'B' => (&text[..text.len() - 1], 1e9, false),
        _ => (text, 1.0, false),
    };
    let value = digits.parse::<f64>().ok()? * scale;
    (value.is_finite() && value >= 0.0).then_some((value, days))
}

/// Runs `work` on as many threads as asked.
pub fn with_threads<T: Send>(
    threads: Option<u16>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, Failure> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.map_or(0, usize::from));
    let pool = builder.build().map_err(|e| {
        Failure::from(Diagnostic::error("cli::threads", format!("cannot start threads: {e}")))
    })?;
    Ok(pool.install(work))
}

/// A bar, for whoever watches.
pub fn bar(progress: Progress, count: u64, what: &str) -> ProgressBar {
    match progress {
        Progress::Never => ProgressBar::hidden(),
        Progress::Auto => {
            let template = format!("{{wide_bar}} {{pos}}/{{len}} {what}, {{eta}} left");
            crate::progress::bar(count, &template)
        }
        Progress::Json => json_lines(count, what),
    }
}

/// Prints a line a second until the bar is dropped or full.
fn json_lines(count: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::hidden());
    let (seen, what) = (bar.downgrade(), what.to_owned());
    std::thread::spawn(move || {
        while let Some(bar) = seen.upgrade() {
            let (done, left) = (bar.position(), bar.eta().as_secs());
            eprintln!("{{\"what\":\"{what}\",\"done\":{done},\"of\":{count},\"eta_s\":{left}}}");
            if done >= count {
                return;
            }
            drop(bar);
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    bar
}
