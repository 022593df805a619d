//! Which assumptions move the answer, and where a claim about it is true.

use crate::campaign::Campaign;
use crate::sample::{Sample, played};
use crate::summary::quantile;
use units::{Figure, Unit};

/// Samples of chance behind each end of a bar; the same for every bar, so that bars differ by their
/// figure alone.
pub const CHANCES: u64 = 48;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Wall clock. Days.
    Days,
    /// Rented. USD.
    Rental,
    /// Owned. USD.
    Owning,
}

impl Answer {
    /// Its value in a sample; NaN for money that was not asked.
    pub fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Days => sample.days(),
            Self::Rental => sample.bill.map_or(f64::NAN, |b| b.rental),
            Self::Owning => sample.bill.map_or(f64::NAN, |b| b.owning()),
        }
    }

    /// The key used in output.
    pub fn key(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Rental => "rental",
            Self::Owning => "owning",
        }
    }
}

/// Medians of the answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Medians {
    /// Days.
    pub days: f64,
    /// USD.
    pub rental: f64,
    /// USD.
    pub owning: f64,
}

impl Medians {
    /// One of them.
    pub fn of(&self, answer: Answer) -> f64 {
        match answer {
            Answer::Days => self.days,
            Answer::Rental => self.rental,
            Answer::Owning => self.owning,
        }
    }
}

/// What the answers are with one figure at the ends of its range and the others at their values.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The figure's path.
    pub path: String,
    /// The figure.
    pub figure: Figure,
    /// At its low end.
    pub at_low: Medians,
    /// At its high end.
    pub at_high: Medians,
}

impl Bar {
    /// Width of the change of one answer.
    pub fn swing(&self, answer: Answer) -> f64 {
        (self.at_high.of(answer) - self.at_low.of(answer)).abs()
    }
}

/// The medians with every figure at its value, and a bar for each figure that moves any of them.
///
/// The step's own figures (peaks, bandwidths, efficiencies) act through the step time that the
/// engine found with them at their ends.
pub fn tornado(campaign: &Campaign, seed: u64) -> (Medians, Vec<Bar>) {
    let central = campaign.assumptions.central();
    let base = medians(campaign, &central, seed);
    let mut bars = Vec::new();
    let step = campaign.step_place();
    for (path, figure, low, high) in &campaign.step_drivers {
        let at = |factor: f64| medians(campaign, &step.set(&central, factor), seed);
        bars.push(bar(path, figure, at(*low), at(*high)));
    }
    for (index, (path, figure)) in campaign.assumptions.list.iter().enumerate() {
        // The step as a whole is the sum of its drivers above.
        if figure.is_uncertain() && !step.is(index) {
            let at = |value: f64| {
                let mut choice = central.clone();
                choice[index] = value;
                medians(campaign, &choice, seed)
            };
            bars.push(bar(path, figure, at(figure.low), at(figure.high)));
        }
    }
    bars.retain(|b| b.at_low != b.at_high);
    (base, bars)
}

fn bar(path: &str, figure: &Figure, at_low: Medians, at_high: Medians) -> Bar {
    Bar { path: path.to_owned(), figure: figure.clone(), at_low, at_high }
}

/// The widest bars of one answer, widest first; ties by path.
pub fn widest(bars: &[Bar], answer: Answer) -> Vec<&Bar> {
    let mut sorted: Vec<&Bar> = bars.iter().filter(|b| b.swing(answer) > 0.0).collect();
    sorted.sort_by(|a, b| {
        b.swing(answer).total_cmp(&a.swing(answer)).then_with(|| a.path.cmp(&b.path))
    });
    sorted
}

fn medians(campaign: &Campaign, choice: &[f64], seed: u64) -> Medians {
    medians_of(&chances(campaign, choice, seed))
}

fn chances(campaign: &Campaign, choice: &[f64], seed: u64) -> Vec<Sample> {
    (0..CHANCES).map(|index| played(campaign, choice, seed, index)).collect()
}

fn medians_of(samples: &[Sample]) -> Medians {
    let median = |answer: Answer| {
        let mut values: Vec<f64> = samples.iter().map(|s| answer.of(s)).collect();
        values.sort_by(f64::total_cmp);
        quantile(&values, 0.5)
    };
    Medians {
        days: median(Answer::Days),
        rental: median(Answer::Rental),
        owning: median(Answer::Owning),
    }
}

/// In which part of one figure's range a claim is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The figure's path.
    pub path: String,
    /// The figure.
    pub figure: Figure,
    /// Values, from its low end to its high end, at which the claim was tried with the other figures
    /// at their values, and whether it held.
    pub tried: Vec<(f64, bool)>,
    /// The value nearest to the figure's own, also beyond its range, at which the claim holds with the
    /// other figures at their values; `None` within a factor of a thousand.
    pub reached: Option<f64>,
    /// Share of the samples in which it held, by fifths of the figure as drawn, lowest first.
    pub by_fifth: [f64; 5],
}

/// A claim about an answer, and where it is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// What is claimed to lie in the range.
    pub answer: Answer,
    /// The range.
    pub range: (f64, f64),
    /// Share of all samples in which it is true: over chance and ignorance.
    pub share: f64,
    /// Shares of samples below and above the range.
    pub outside: (f64, f64),
    /// Whether it is true with every figure at its value.
    pub central: bool,
    /// By figure, the ones that decide most first.
    pub regions: Vec<Region>,
}

/// Values tried over a figure's range.
const TRIED: usize = 9;

/// Where `answer` lies in `range`. `samples` are those of [`crate::sample`] for `seed`, in order, and
/// `bars` those of [`tornado`].
///
/// Figures stand in the order of how much the share of true samples differs between their fifths;
/// those for which it does not, in the order of their bars.
pub fn holds(
    campaign: &Campaign,
    seed: u64,
    samples: &[Sample],
    bars: &[Bar],
    answer: Answer,
    range: (f64, f64),
) -> Held {
    let within = |value: f64| range.0 <= value && value <= range.1;
    let count = samples.len().max(1) as f64;
    let share = |test: &dyn Fn(f64) -> bool| {
        samples.iter().filter(|s| test(answer.of(s))).count() as f64 / count
    };
    let central = campaign.assumptions.central();
    let draws: Vec<Vec<f64>> =
        (0..samples.len() as u64).map(|index| campaign.assumptions.draw(seed, index / 2)).collect();
    let verdicts: Vec<bool> = samples.iter().map(|s| within(answer.of(s))).collect();
    let mut regions: Vec<((f64, f64), Region)> = Vec::new();
    for (index, (path, figure)) in campaign.assumptions.list.iter().enumerate() {
        if !figure.is_uncertain() {
            continue;
        }
        let by_fifth = fifths(&draws, &verdicts, index);
        let most = by_fifth.iter().copied().fold(0.0, f64::max);
        let least = by_fifth.iter().copied().fold(1.0, f64::min);
        let swing = bars.iter().find(|b| b.path == *path).map_or(0.0, |b| b.swing(answer));
        let region = Region {
            path: path.clone(),
            figure: figure.clone(),
            tried: Vec::new(),
            reached: None,
            by_fifth,
        };
        regions.push(((most - least, swing), region));
    }
    regions.sort_by(|(a, first), (b, second)| {
        b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then_with(|| first.path.cmp(&second.path))
    });
    regions.truncate(8);
    let mut regions: Vec<Region> = regions.into_iter().map(|(_, region)| region).collect();
    for region in &mut regions {
        let index = campaign.assumptions.list.iter().position(|(p, _)| *p == region.path);
        let mut try_at = |value: f64| {
            let mut choice = central.clone();
            if let Some(index) = index {
                choice[index] = value;
            }
            let played = chances(campaign, &choice, seed);
            let ends = played.iter().filter(|s| s.finished).count() * 2 > played.len();
            Tried {
                holds: within(medians_of(&played).of(answer)),
                answers: ends || campaign.window_s.is_some(),
            }
        };
        region.tried = (0..TRIED)
            .map(|k| between(&region.figure, k as f64 / (TRIED - 1) as f64))
            .map(|value| (value, try_at(value).holds))
            .collect();
        region.reached = reached(&region.figure, &mut try_at);
    }
    Held {
        answer,
        range,
        share: share(&within),
        outside: (share(&|v| v < range.0), share(&|v| v > range.1)),
        central: within(medians(campaign, &central, seed).of(answer)),
        regions,
    }
}

/// What came of a claim with one figure changed.
struct Tried {
    /// Whether it holds.
    holds: bool,
    /// Whether most runs come to their end, so that there is an answer to judge.
    answers: bool,
}

/// Steps of 15 % away from the figure's value, up and down in turn, until the claim holds. A share does
/// not go beyond 1, and nothing is tried beyond what lets no run end.
fn reached(figure: &Figure, try_at: &mut impl FnMut(f64) -> Tried) -> Option<f64> {
    let most = if figure.unit == Unit::Ratio && figure.high <= 1.0 { 1.0 } else { f64::INFINITY };
    let mut open = [true, true];
    for (k, way) in (0..50).flat_map(|k| [(k, 0), (-k, 1)]) {
        let value = figure.value * libm::pow(1.15, f64::from(k));
        // What is 0 stays it.
        let known = (k, way) == (0, 1) || (k != 0 && value == figure.value);
        if !open[way] || value > most || known {
            continue;
        }
        let tried = try_at(value);
        if tried.holds {
            return Some(value);
        }
        open[way] = tried.answers;
    }
    None
}

/// A value along a figure's range: in equal factors where it is above 0, else in equal steps.
fn between(figure: &Figure, along: f64) -> f64 {
    if figure.low > 0.0 {
        figure.low * libm::pow(figure.high / figure.low, along)
    } else {
        figure.low + (figure.high - figure.low) * along
    }
}

fn fifths(draws: &[Vec<f64>], verdicts: &[bool], index: usize) -> [f64; 5] {
    let mut order: Vec<usize> = (0..draws.len()).collect();
    order.sort_by(|&a, &b| draws[a][index].total_cmp(&draws[b][index]).then(a.cmp(&b)));
    let mut shares = [0.0; 5];
    for (fifth, share) in shares.iter_mut().enumerate() {
        let part = &order[order.len() * fifth / 5..order.len() * (fifth + 1) / 5];
        let held = part.iter().filter(|&&i| verdicts[i]).count();
        *share = held as f64 / part.len().max(1) as f64;
    }
    shares
}
