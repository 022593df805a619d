//! The best plans by events: the closed form's leaders and what is near them in other schedules.

use crate::commands::campaign::with_threads;
use crate::commands::plan_search::Run;
use crate::output::Failure;
use engine::FlowOptions;
use rayon::prelude::*;
use search::{Findings, Found, Leader, Leaders, Limits, Problem, Space};

/// Plans that are run by events, at most.
const MOST: usize = 40;

/// Leaders whose surroundings are searched, at most.
const CENTRES: usize = 3;

/// Time by the closed form, over the best's, up to which a plan is run by events: what the two forms
/// differ by at most where both are sound.
const WITHIN: f64 = 1.15;

/// A leader with its step by events, or why it has none. Seconds.
pub type Ran = (Leader, Result<f64, String>);

/// The leaders and, for the degrees of the first of them, the best plan of every pipeline, virtual
/// pipeline and schedule that the closed form has within [`WITHIN`] of its best; all by events, the
/// fastest first.
///
/// # Errors
/// As [`Run::best`].
pub fn ranked(
    run: &Run<'_>,
    problem: &Problem,
    limits: &Limits,
    findings: &Findings,
) -> Result<Vec<Ran>, Failure> {
    let Some(best) = findings.leaders.first() else { return Ok(Vec::new()) };
    let mut all = Leaders::new(MOST);
    let wide = Run { top: MOST, ..*run };
    let centre = |f: &Found| {
        let p = &f.plan;
        [p.tensor, p.context, p.expert, p.expert_tensor, p.micro_batch]
    };
    let mut centres = Vec::new();
    for leader in &findings.leaders {
        all.offer(leader.clone());
        if centres.len() < CENTRES && !centres.contains(&centre(leader)) {
            centres.push(centre(leader));
            let space = Space::new(problem, &limits.around(&leader.plan));
            for found in wide.best(problem, &space)?.leaders {
                all.offer(found);
            }
        }
    }
    let near = |found: &&Found| found.step_s <= WITHIN * best.step_s;
    let leaders: Vec<Leader> =
        all.list.iter().filter(near).filter_map(|f| search::leader(problem, &f.plan)).collect();
    let one = |leader: Leader| {
        let step = by_events(&leader, problem);
        (leader, step)
    };
    let mut ran: Vec<Ran> =
        with_threads(run.args.threads, || leaders.into_par_iter().map(one).collect())?;
    let key = |(_, step): &Ran| step.as_ref().copied().unwrap_or(f64::INFINITY);
    ran.sort_by(|a, b| key(a).total_cmp(&key(b)));
    Ok(ran)
}

/// One step of a leader by events. Seconds.
pub fn by_events(leader: &Leader, problem: &Problem) -> Result<f64, String> {
    let options = FlowOptions::default();
    engine::flow(&leader.program, &problem.machine, &options).map(|answer| answer.step_s).map_err(
        |problems| problems.0.first().map_or_else(String::new, |problem| problem.message.clone()),
    )
}
