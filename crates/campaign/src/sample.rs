//! Samples over chance and ignorance.

use crate::account::Account;
use crate::campaign::Campaign;
use crate::money::Bill;
use crate::run::NS;
use crate::simulate::{MOST_EVENTS, simulate};
use crate::strikes::Strikes;
use diagnostic::Diagnostic;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Where the wall clock went.
    pub account: Account,
    /// Strikes by process.
    pub strikes: Vec<u64>,
    /// Whether all of the run's work was done.
    pub finished: bool,
    /// Whether it was given up before its end or its limit; see [`crate::Outcome::cut`].
    pub cut: bool,
    /// Tokens trained.
    pub tokens: f64,
    /// Model FLOPs of them.
    pub flops: f64,
    /// Chips, with the spares.
    pub chips: f64,
    /// Joules; NaN without the powers.
    pub energy_j: f64,
    /// If money was asked.
    pub bill: Option<Bill>,
}

impl Sample {
    /// Wall clock. Days.
    pub fn days(&self) -> f64 {
        self.account.total() as f64 / NS / 86_400.0
    }

    /// Useful steps over wall clock.
    pub fn goodput(&self) -> f64 {
        self.account.of(crate::Cause::Useful) as f64 / self.account.total().max(1) as f64
    }
}

/// Fewest samples that a 5th and a 95th percentile are printed of: figures are drawn for pairs of samples,
/// and of fewer pairs than 1 / 0.05 = 20 none is expected beyond either.
pub const FEWEST: u64 = 40;

/// Sample `index` of `campaign`: figures drawn for its pair, strikes for itself.
///
/// Samples `2k` and `2k + 1` share their figures, so that what differs within pairs is chance and
/// what pairs share is ignorance; see [`crate::summarize`].
pub fn sample(campaign: &Campaign, seed: u64, index: u64) -> Sample {
    let choice = campaign.assumptions.draw(seed, index / 2);
    played(campaign, &choice, seed, index)
}

/// The sample with the figures of `choice` and the chance of `(seed, index)`.
pub fn played(campaign: &Campaign, choice: &[f64], seed: u64, index: u64) -> Sample {
    let run = campaign.run(choice);
    let outcome = simulate(&run, Strikes::random(&run, seed, index));
    let used = campaign.used(choice, &outcome);
    let bill = campaign.bill(choice, &used);
    let (tokens, flops) = campaign.trained(choice, &outcome);
    Sample {
        account: outcome.account,
        strikes: outcome.strikes,
        finished: outcome.finished,
        cut: outcome.cut,
        tokens,
        flops,
        chips: used.chips,
        energy_j: used.energy_j,
        bill,
    }
}

/// Largest share of samples that may never end: 95th percentiles are then still of runs that do.
pub const CUT: f64 = 0.05;

/// Whether `sample` says nothing of how `campaign` goes: it did not come to its end, or, in a window, not to
/// the end of that.
pub fn unanswered(campaign: &Campaign, sample: &Sample) -> bool {
    match campaign.window_s {
        Some(_) => sample.cut,
        None => !sample.finished,
    }
}

/// How many of `count` samples may be [`unanswered`]; with one more there is no answer, whatever the others
/// come to.
pub fn allowed(campaign: &Campaign, count: u64) -> u64 {
    if campaign.window_s.is_some() { 0 } else { (CUT * count as f64) as u64 }
}

/// The samples from 0 to `count`, drawn one by one.
///
/// # Errors
/// [`endless`], as soon as more are [`unanswered`] than are [`allowed`].
pub fn samples(campaign: &Campaign, seed: u64, count: u64) -> Result<Vec<Sample>, Diagnostic> {
    let mut left = allowed(campaign, count);
    let one = |index| {
        let sample = sample(campaign, seed, index);
        if unanswered(campaign, &sample) {
            left = left.checked_sub(1).ok_or_else(|| endless(campaign))?;
        }
        Ok(sample)
    };
    (0..count).map(one).collect()
}

/// Why there is no answer where more samples are [`unanswered`] than are [`allowed`]: they fail faster than they
/// recover.
pub fn endless(campaign: &Campaign) -> Diagnostic {
    let (name, share) = (&campaign.name, 100.0 * CUT);
    let (message, hint) = if campaign.window_s.is_some() {
        (
            format!("a run of `{name}` has more than {MOST_EVENTS} events in its window"),
            "check the rates and how often it is evaluated, or ask for a shorter window",
        )
    } else {
        (
            format!("more than {share} % of the runs of `{name}` never come to their end"),
            "they fail faster than they recover: check the rates, the restart and the spares, or ask for a \
             window: `--set campaign.window=\"54 day\"`",
        )
    };
    Diagnostic::error("campaign::endless", message).hint(hint)
}
