//! Samples to distributions, chance told from ignorance.

use crate::account::Cause;
use crate::campaign::Campaign;
use crate::money::Bill;
use crate::sample::Sample;

/// A distribution over samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// 5th percentile.
    pub p5: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Mean.
    pub mean: f64,
    /// Share of the variance that ignorance makes; the rest is chance. Ratio.
    pub ignorance: f64,
}

/// What the samples say.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How many.
    pub samples: usize,
    /// How many did all of the run's work.
    pub finished: usize,
    /// Wall clock. Days.
    pub days: Spread,
    /// Useful steps over wall clock. Ratio.
    pub goodput: Spread,
    /// Days by cause.
    pub causes: Vec<(Cause, Spread)>,
    /// Interruptions by process.
    pub strikes: Vec<(String, Spread)>,
    /// Tokens trained.
    pub tokens: Spread,
    /// Interruptions that were failures.
    pub failures: Spread,
    /// Chip-hours of the job as papers print them: spares wait beside it and are in the bill alone.
    pub chip_hours: Spread,
    /// Joules.
    pub energy_j: Option<Spread>,
    /// Money, if asked.
    pub money: Option<Money>,
}

/// Money over samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Money {
    /// Rented. USD.
    pub rental: Spread,
    /// Owned. USD.
    pub owning: Spread,
    /// Parts of owning. USD.
    pub parts: Vec<(&'static str, Spread)>,
    /// Per million tokens, rented and owned. USD.
    pub per_million_tokens: (Spread, Spread),
    /// Per useful petaFLOP, rented and owned. USD.
    pub per_petaflop: (Spread, Spread),
}

/// Quantiles of every answer; `samples` are in order of index.
///
/// Samples come in pairs that share their figures. By the law of total variance the covariance within
/// pairs is the variance that ignorance makes (the first-order index of Sobol for all figures
/// together); what is left is chance.
pub fn summarize(campaign: &Campaign, samples: &[Sample]) -> Summary {
    let of = |f: &dyn Fn(&Sample) -> f64| spread(&samples.iter().map(f).collect::<Vec<_>>());
    let day = 86_400e9;
    let causes = Cause::ALL
        .iter()
        .map(|&cause| (cause, of(&|s| s.account.of(cause) as f64 / day)))
        .collect();
    let processes = campaign.run(&campaign.assumptions.central()).processes;
    let strikes = processes
        .iter()
        .enumerate()
        .map(|(i, process)| (process.name.clone(), of(&|s| s.strikes[i] as f64)))
        .collect();
    let failed: Vec<bool> = processes.iter().map(|p| p.component.is_some()).collect();
    let failures =
        of(&|s| s.strikes.iter().zip(&failed).filter(|(_, f)| **f).map(|(n, _)| *n as f64).sum());
    let energetic = samples.iter().all(|s| s.energy_j.is_finite());
    Summary {
        samples: samples.len(),
        finished: samples.iter().filter(|s| s.finished).count(),
        days: of(&Sample::days),
        goodput: of(&Sample::goodput),
        causes,
        strikes,
        tokens: of(&|s| s.tokens),
        failures,
        chip_hours: of(&|s| campaign.counts.chips * s.days() * 24.0),
        energy_j: (energetic && !samples.is_empty()).then(|| of(&|s| s.energy_j)),
        money: money(samples),
    }
}

fn money(samples: &[Sample]) -> Option<Money> {
    let bills: Vec<(Bill, &Sample)> =
        samples.iter().map(|s| Some((s.bill?, s))).collect::<Option<_>>()?;
    if bills.is_empty() {
        return None;
    }
    let of = |f: &dyn Fn(&Bill, &Sample) -> f64| {
        spread(&bills.iter().map(|(bill, sample)| f(bill, sample)).collect::<Vec<_>>())
    };
    let parts = Bill::default()
        .parts()
        .iter()
        .enumerate()
        .map(|(i, (word, _))| (*word, of(&|bill, _| bill.parts()[i].1)))
        .collect();
    Some(Money {
        rental: of(&|bill, _| bill.rental),
        owning: of(&|bill, _| bill.owning()),
        parts,
        per_million_tokens: (
            of(&|bill, s| bill.rental / s.tokens * 1e6),
            of(&|bill, s| bill.owning() / s.tokens * 1e6),
        ),
        per_petaflop: (
            of(&|bill, s| bill.rental / s.flops * 1e15),
            of(&|bill, s| bill.owning() / s.flops * 1e15),
        ),
    })
}

/// Quantiles and shares of variance of values in pairs.
pub fn spread(values: &[f64]) -> Spread {
    let count = values.len();
    if count == 0 {
        let none = f64::NAN;
        return Spread { p5: none, p50: none, p95: none, mean: none, ignorance: none };
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / count as f64;
    Spread {
        p5: quantile(&sorted, 0.05),
        p50: quantile(&sorted, 0.5),
        p95: quantile(&sorted, 0.95),
        mean,
        ignorance: ignorance(values, mean),
    }
}

/// The sorted value below which a share `q` lies, linear between neighbours.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, rest) = (place as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * rest
}

/// Covariance within pairs over variance, between 0 and 1.
fn ignorance(values: &[f64], mean: f64) -> f64 {
    let pairs = values.chunks_exact(2);
    let count = pairs.len() as f64;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for pair in pairs {
        let (a, b) = (pair[0] - mean, pair[1] - mean);
        covariance += a * b;
        variance += f64::midpoint(a * a, b * b);
    }
    if count == 0.0 || variance <= 0.0 { 0.0 } else { (covariance / variance).clamp(0.0, 1.0) }
}
