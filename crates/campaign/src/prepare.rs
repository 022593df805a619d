//! From a rehearsed scenario to a campaign, with the parts that only a campaign rehearses.

use crate::campaign::{Campaign, RampPart};
use catalog::Economics;
use diagnostic::{Diagnostic, Diagnostics};
use engine::{Rehearsal, rehearse};
use scenario::{Job, Scenario};

/// What the caller wants to know about money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Everything.
    WithMoney,
    /// Days, goodput and, where the powers are known, the machines' own energy.
    WithoutMoney,
}

/// The campaign of a rehearsed scenario: rehearses its ramp, reads its economics if asked.
///
/// # Errors
/// A ramp whose batch the plan cannot run, more spare hosts than hosts, and as [`Campaign::new`].
pub fn prepare(
    scenario: &Scenario,
    rehearsal: &Rehearsal,
    asked: Asked,
) -> Result<Campaign, Diagnostics> {
    let economics = match asked {
        Asked::WithMoney => Some(economics(scenario)?),
        Asked::WithoutMoney => None,
    };
    let campaign = Campaign::new(scenario, rehearsal, ramp(scenario)?, economics)?;
    let (spares, hosts) = (scenario.campaign.spare_hosts.unwrap_or(0), campaign.counts.hosts);
    if spares as f64 > hosts {
        let message = format!("{spares} spare hosts for a job of {hosts:.0}");
        let hint = "`campaign.spare_hosts` is at most as many as the job has";
        return Err(Diagnostic::error("campaign::spares", message).hint(hint).into());
    }
    Ok(campaign)
}

/// The prices that the scenario names, else those of its chip's maker.
///
/// # Errors
/// A file of prices that does not read; no prices for the maker.
pub fn economics(scenario: &Scenario) -> Result<Economics, Diagnostics> {
    match &scenario.campaign.economics {
        Some((name, text)) => catalog::parse_economics(name, text),
        None => catalog::economics_for(&scenario.cluster.chip.vendor),
    }
}

fn ramp(scenario: &Scenario) -> Result<Vec<RampPart>, Diagnostics> {
    let Some(first) = scenario.jobs.first() else { return Ok(Vec::new()) };
    let mut problems = Diagnostics::default();
    let mut jobs = Vec::new();
    for part in &scenario.campaign.ramp {
        let (sequences, plan) = (part.batch_sequences, &first.plan);
        let ranks = scenario.ranks;
        for found in plan::violations(plan, &scenario.model, ranks, sequences, first.sequence) {
            let message = format!("`campaign.ramp` of {sequences} sequences: {}", found.message);
            let mut problem = Diagnostic::error("campaign::ramp", message);
            problem.hint = found.hint;
            problems.push(problem);
        }
        jobs.push(Job { batch_sequences: sequences, ..first.clone() });
    }
    let jobs = problems.into_result(jobs)?;
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let small = Scenario { jobs, main: 0, ..scenario.clone() };
    let rehearsal = rehearse(&small)?;
    let parts =
        scenario.campaign.ramp.iter().zip(&rehearsal.stages).map(|(part, stage)| RampPart {
            until_tokens: part.until_tokens,
            batch_tokens: stage.job.batch_tokens(),
            step_s: stage.step_s.median,
        });
    Ok(parts.collect())
}
