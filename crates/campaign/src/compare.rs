//! The same run on different machines.

use crate::assumptions::Assumptions;
use crate::campaign::{Campaign, reliability};
use crate::counts::Counts;
use crate::money::Prices;
use crate::planning::{Planned, planned};
use crate::prepare::{Asked, economics, prepare};
use crate::sample::{Sample, samples};
use crate::summary::{Summary, quantile, summarize};
use catalog::{Chip, Cluster, Dtype};
use diagnostic::{Diagnostic, Diagnostics};
use engine::{Rehearsal, rehearse};
use scenario::Scenario;
use units::Figure;

/// What is made equal before machines are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equal {
    /// Nothing: as many chips as each is listed with.
    Listed,
    /// Chips.
    Chips,
    /// Dense matrix peak in the format of the recipe's linear layers.
    Peak,
    /// Power of chips and what stands around them.
    Power,
    /// What an hour costs the owner.
    Money,
}

/// One machine with the run on it.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Its name in the comparison.
    pub name: String,
    /// The run.
    pub scenario: Scenario,
    /// Its steps.
    pub rehearsal: Rehearsal,
    /// How each stage's plan was found; empty for a scenario's own plan.
    pub planned: Vec<Planned>,
    /// Whether the cluster was made larger than the catalog has it.
    pub grown: bool,
    /// The campaign.
    pub campaign: Campaign,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// What they say.
    pub summary: Summary,
}

/// Chance and plan of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether to search plans rather than take the scenarios' own.
    pub plan: bool,
    /// Whether to price.
    pub asked: Asked,
    /// Seed of every draw.
    pub seed: u64,
    /// Samples of each.
    pub samples: u64,
}

/// Plays `scenario` under `terms`.
///
/// # Errors
/// No plan fits (code `campaign::plan`), and as [`prepare`].
pub fn contend(name: &str, scenario: &Scenario, terms: Terms) -> Result<Contender, Diagnostics> {
    let (scenario, how) =
        if terms.plan { planned(scenario)? } else { (scenario.clone(), Vec::new()) };
    let rehearsal = rehearse(&scenario)?;
    let campaign = prepare(&scenario, &rehearsal, terms.asked)?;
    let samples = samples(&campaign, terms.seed, terms.samples)?;
    let summary = summarize(&campaign, &samples);
    let listed = catalog::cluster(&scenario.cluster.id);
    let grown = listed.is_ok_and(|c| c.chips < scenario.cluster.chips);
    Ok(Contender {
        name: name.to_owned(),
        scenario,
        rehearsal,
        planned: how,
        grown,
        campaign,
        samples,
        summary,
    })
}

/// The dense matrix peak of the recipe's linear layers on `chip`: in their format, else in BF16. FLOP/s.
pub fn peak(chip: &Chip, scenario: &Scenario) -> f64 {
    let wanted = scenario.recipe.precision.linear;
    let found = chip.matrix.get(&wanted).or_else(|| chip.matrix.get(&Dtype::Bf16));
    found.map_or(f64::NAN, |figure| figure.value)
}

/// Power of a chip with its share of everything. Watts.
fn power(cluster: &Cluster) -> Option<f64> {
    Some(cluster.chip.power.as_ref()?.value + cluster.overhead_power.as_ref()?.value)
}

/// `scenario` on as many chips as make it equal to `reference`. A cluster too small gives way to
/// `larger`, of which the outermost level is built for those chips alone; without one it grows at its
/// own outermost level.
///
/// Chips are a number with a small odd part, as one would buy, so that good layouts exist: what is
/// called equal is so within a sixteenth ([`amount`] tells).
///
/// # Errors
/// A power or price that is not known.
pub fn at_equal(
    equal: Equal,
    scenario: &Scenario,
    larger: Option<&Cluster>,
    reference: &Scenario,
    asked: Asked,
) -> Result<Scenario, Diagnostics> {
    let chip = |s: &Scenario| peak(&s.cluster.chip, s);
    let share = match equal {
        Equal::Listed => return Ok(scenario.clone()),
        Equal::Chips => 1.0,
        Equal::Peak => chip(reference) / chip(scenario),
        Equal::Power => watts(reference)? / watts(scenario)?,
        Equal::Money => owner(reference, asked)? / owner(scenario, asked)?,
    };
    let ranks = regular(reference.ranks as f64 * share);
    let mut cluster = scenario.cluster.clone();
    if ranks > cluster.chips {
        cluster = larger.cloned().unwrap_or(cluster);
        size(&mut cluster, ranks);
    }
    Ok(Scenario { cluster, ranks, ..scenario.clone() })
}

/// Of the numbers within a sixteenth of `chips` the one with the smallest odd part, of those the
/// nearest; the nearest whole number if there is none.
fn regular(chips: f64) -> u64 {
    let most = (chips * 17.0 / 16.0) as u64;
    let off = |n: u64| (n as f64 - chips).abs();
    let near = |n: &u64| off(*n) <= chips / 16.0;
    let with_odd = |odd: u64| {
        let powers = (0..64).map_while(|k| odd.checked_shl(k).filter(|n| *n <= most));
        powers.filter(near).min_by(|a, b| off(*a).total_cmp(&off(*b)))
    };
    (1..=most).step_by(2).find_map(with_odd).unwrap_or(chips.round().max(1.0) as u64)
}

fn watts(scenario: &Scenario) -> Result<f64, Diagnostics> {
    power(&scenario.cluster).ok_or_else(|| {
        let message = format!("the power of `{}` is not known", scenario.cluster.id);
        Diagnostic::error("campaign::power", message).into()
    })
}

/// How much of what is made equal a contender has: chips, FLOP/s, watts, or USD an hour to its owner.
/// `None` when nothing is made equal, or when it is not known.
pub fn amount(equal: Equal, contender: &Contender) -> Option<f64> {
    let scenario = &contender.scenario;
    let of_one = match equal {
        Equal::Listed => None,
        Equal::Chips => Some(1.0),
        Equal::Peak => Some(peak(&scenario.cluster.chip, scenario)),
        Equal::Power => power(&scenario.cluster),
        Equal::Money => contender.campaign.owner_usd_per_hour(),
    };
    Some(of_one? * scenario.ranks as f64)
}

/// USD an hour and chip to the owner, on the machine as it is listed, whatever its plan.
fn owner(scenario: &Scenario, asked: Asked) -> Result<f64, Diagnostics> {
    if asked == Asked::WithoutMoney {
        let message = "machines at equal money cannot be compared without money";
        return Err(Diagnostic::error("campaign::money", message).into());
    }
    let economics = economics(scenario)?;
    let counts = Counts::new(&scenario.cluster, scenario.ranks, &reliability(scenario)?)?;
    let mut assumptions = Assumptions::default();
    let prices = Prices::new(&economics, &scenario.cluster.chip, &mut assumptions)?;
    let watts = watts(scenario)?;
    Ok(prices.owner_usd_per_hour(&assumptions.central(), &counts, watts, economics.pue.value))
}

/// Makes the outermost level hold `ranks`, in whole units of the level below.
fn size(cluster: &mut Cluster, ranks: u64) {
    let below = cluster.levels.iter().rev().nth(1).map_or(1, |level| level.size);
    let chips = ranks.div_ceil(below) * below;
    if let Some(last) = cluster.levels.last_mut() {
        last.size = chips;
    }
    cluster.chips = chips;
}

/// A ratio over paired samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// 5th percentile.
    pub p5: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
}

impl Ratio {
    /// Whether nine of ten samples agree that it is not 1.
    pub fn differs(&self) -> bool {
        self.p5 > 1.0 || self.p95 < 1.0
    }
}

/// `of` in `contender` over the same in `reference`, sample by sample.
///
/// Figures of one path (the recipe's tokens, how machines are run, prices of one region) are drawn
/// once for both, so that what both share cancels; figures of different chips are drawn apart.
pub fn ratio(
    contender: &Contender,
    reference: &Contender,
    of: impl Fn(&Sample) -> f64,
) -> Option<Ratio> {
    let pairs = contender.samples.iter().zip(&reference.samples);
    let mut ratios: Vec<f64> = pairs.map(|(a, b)| of(a) / of(b)).collect();
    if ratios.is_empty() || ratios.iter().any(|r| !r.is_finite()) {
        return None;
    }
    ratios.sort_by(f64::total_cmp);
    let at = |q| quantile(&ratios, q);
    Some(Ratio { p5: at(0.05), p50: at(0.5), p95: at(0.95) })
}

/// A figure that decides a ratio.
#[derive(Clone, Debug, PartialEq)]
pub struct Decider {
    /// Its path.
    pub path: String,
    /// The figure.
    pub figure: Figure,
    /// Share of the spread of the ratio's logarithm that goes with it. Ratio.
    pub share: f64,
}

/// The figures that decide how `of` in `contender` compares with `reference`, most first: the square of
/// the correlation of the figure as drawn with the logarithm of the ratio, over the pairs of samples.
///
/// Not valid for figures that act both ways, and no better than one over the pairs of samples.
pub fn deciders(
    contender: &Contender,
    reference: &Contender,
    seed: u64,
    of: impl Fn(&Sample) -> f64,
) -> Vec<Decider> {
    let pairs = contender.samples.iter().zip(&reference.samples);
    let logs: Vec<f64> = pairs.map(|(a, b)| libm::log(of(a) / of(b))).collect();
    // Two samples share a draw; their mean leaves less chance.
    let logs: Vec<f64> = logs.chunks_exact(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect();
    let mut found: Vec<Decider> = Vec::new();
    for campaign in [&contender.campaign, &reference.campaign] {
        let list = &campaign.assumptions;
        let draws: Vec<Vec<f64>> =
            (0..logs.len() as u64).map(|group| list.draw(seed, group)).collect();
        for (index, (path, figure)) in list.list.iter().enumerate() {
            if figure.is_uncertain() && found.iter().all(|known| known.path != *path) {
                let drawn: Vec<f64> = draws.iter().map(|draw| draw[index]).collect();
                let share = squared_correlation(&drawn, &logs);
                found.push(Decider { path: path.clone(), figure: figure.clone(), share });
            }
        }
    }
    found.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.path.cmp(&b.path)));
    found
}

/// Zero where either does not vary.
fn squared_correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
    let (a_mean, b_mean) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        a.iter().zip(b).map(|(x, y)| f(x - a_mean, y - b_mean)).sum::<f64>()
    };
    let (both, alone) = (sum(&|x, y| x * y), sum(&|x, _| x * x) * sum(&|_, y| y * y));
    if alone > 0.0 { both * both / alone } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{regular, squared_correlation};

    #[test]
    fn chips_are_regular_and_near_what_is_wanted() {
        for wanted in (2..4_000).map(|k| f64::from(k) * 7.3) {
            let chips = regular(wanted);
            assert!((chips as f64 / wanted - 1.0).abs() <= 1.0 / 16.0, "{chips} for {wanted}");
            assert!(chips >> chips.trailing_zeros() <= 15, "{chips}");
        }
        assert_eq!([8_192.0, 4_028.0, 26_929.0, 0.2].map(regular), [8_192, 4_096, 26_624, 1]);
    }

    #[test]
    fn what_goes_together_correlates() {
        let a = [1.0, 2.0, 3.0, 4.0];
        assert!((squared_correlation(&a, &a.map(|x| 7.0 - 2.0 * x)) - 1.0).abs() < 1e-12);
        assert_eq!(squared_correlation(&a, &[1.0, -1.0, -1.0, 1.0]), 0.0);
        assert_eq!(squared_correlation(&a, &[5.0; 4]), 0.0);
    }
}
