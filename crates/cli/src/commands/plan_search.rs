//! The search on threads, with its clock; and what would make an infeasible question feasible.

use crate::commands::campaign::{Progress, with_threads};
use crate::commands::plan::PlanArgs;
use crate::output::Failure;
use indicatif::ProgressBar;
use report::plan_words;
use scenario::SEARCHED;
use scenario::Scenario;
use search::{Findings, Limits, Options, Problem, Search, Space, StemResult, Worker};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use units::{GIB, format_seconds};

/// How searches of this command run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Leaders to keep.
    pub top: usize,
    /// When to stop.
    pub until: Option<Instant>,
    /// The command's arguments, for threads and progress.
    pub args: &'a PlanArgs,
}

impl Run<'_> {
    /// The best plans of `space`.
    ///
    /// # Errors
    /// Threads that cannot be started.
    pub fn best(&self, problem: &Problem, space: &Space) -> Result<Findings, Failure> {
        with_threads(self.args.threads, || self.search(problem, space))
    }

    fn search(&self, problem: &Problem, space: &Space) -> Findings {
        let mut search = Search::new(problem, space, &Options { top: self.top });
        if let Some((part, of)) = self.args.shard {
            search = search.part(part, of);
        }
        let bar = self.bar(search.progress().stems as u64);
        let mut told = Instant::now();
        let mut workers: Vec<Worker<'_>> =
            (0..rayon::current_num_threads()).map(|_| search.worker()).collect();
        while !search.round().is_empty() {
            let results = settle(&search, &mut workers);
            search.absorb(&results);
            let progress = search.progress();
            let best = progress.best_s.map_or("none yet".to_owned(), format_seconds);
            // Infinite where nothing is left to settle.
            let bound = Some(progress.bound_s).filter(|s| s.is_finite());
            bar.set_position(progress.stems_done as u64);
            bar.set_message(format!(
                "{:.2e} plans settled, best {best}, none below {}",
                progress.counts.settled() as f64,
                bound.map_or("-".to_owned(), format_seconds),
            ));
            if self.args.progress == Progress::Json && told.elapsed().as_secs_f64() >= 1.0 {
                told = Instant::now();
                let number = |s: Option<f64>| s.map_or("null".to_owned(), |s| s.to_string());
                let (best, bound) = (number(progress.best_s), number(bound));
                eprintln!(
                    "{{\"what\":\"plans\",\"settled\":{},\"done\":{},\"of\":{},\"best_s\":{best},\
                     \"bound_s\":{bound}}}",
                    progress.counts.settled(),
                    progress.stems_done,
                    progress.stems,
                );
            }
            if self.until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
        }
        bar.finish_and_clear();
        search.finish()
    }

    fn bar(&self, stems: u64) -> ProgressBar {
        if self.args.progress != Progress::Auto {
            return ProgressBar::hidden();
        }
        crate::progress::bar(stems, "{bar:20} {msg}, {eta} left")
    }
}

/// Settles the round, each stem by whichever worker is free; results in the round's order.
pub fn settle<'p>(search: &Search<'p>, workers: &mut [Worker<'p>]) -> Vec<StemResult> {
    let round = search.round();
    let slots: Vec<Mutex<Option<StemResult>>> = round.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    rayon::scope(|scope| {
        for worker in workers.iter_mut().take(round.len()) {
            let (slots, next) = (&slots, &next);
            scope.spawn(move |_| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(stem) = round.get(at) else { return };
                    let result = search.settle(worker, stem);
                    if let Ok(mut slot) = slots[at].lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    slots.into_iter().filter_map(|slot| slot.into_inner().ok().flatten()).collect()
}

/// What, changed alone, would make a question without an answer have one: more memory, more chips, or
/// one fixed key set free.
///
/// # Errors
/// As [`Run::best`].
pub fn relaxations(
    run: &Run<'_>,
    scenario: &Scenario,
    problem: &Problem,
    limits: &Limits,
) -> Result<Vec<String>, Failure> {
    let run = Run { top: 1, ..*run };
    let mut lines = Vec::new();
    let best = |problem: &Problem, limits: &Limits| {
        let findings = run.best(problem, &Space::new(problem, limits))?;
        Ok::<_, Failure>(findings.leaders.into_iter().next())
    };
    if let Some(line) = more_memory(scenario, problem, &|p| best(p, limits))? {
        lines.push(line);
    }
    for (place, key) in SEARCHED.into_iter().enumerate() {
        crate::progress::part("no plan fits; key set free", place, SEARCHED.len());
        let mut freed = limits.clone();
        if freed.free(key)
            && let Some(found) = best(problem, &freed)?
        {
            lines.push(format!(
                "with `plan.{key}` free: {}, {}",
                format_seconds(found.step_s),
                plan_words(&found.plan)
            ));
        }
    }
    let mut ranks = problem.ranks.saturating_mul(2);
    while ranks <= scenario.cluster.chips {
        let larger = Problem { ranks, ..problem.clone() };
        if let Some(found) = best(&larger, limits)? {
            lines.push(format!(
                "with {ranks} chips: {}, {}",
                format_seconds(found.step_s),
                plan_words(&found.plan)
            ));
            break;
        }
        ranks = ranks.saturating_mul(2);
    }
    Ok(lines)
}

type Best<'a> = dyn Fn(&Problem) -> Result<Option<search::Found>, Failure> + 'a;

/// How much more memory a chip would let the smallest plan fit: doubled until one fits, then halved
/// in on to a hundredth.
fn more_memory(
    scenario: &Scenario,
    problem: &Problem,
    best: &Best<'_>,
) -> Result<Option<String>, Failure> {
    let with = |memory_bytes| Problem { memory_bytes, ..problem.clone() };
    let (mut low, mut high) = (problem.memory_bytes, 2.0 * problem.memory_bytes);
    let mut found = best(&with(high))?;
    while found.is_none() {
        (low, high) = (high, 4.0 * high);
        if high > 4096.0 * problem.memory_bytes {
            return Ok(None);
        }
        found = best(&with(high))?;
    }
    while let Some(smallest) = &found
        && smallest.peak_bytes / low > 1.01
    {
        let middle = f64::midpoint(low, smallest.peak_bytes);
        match best(&with(middle))? {
            Some(smaller) => found = Some(smaller),
            None => low = middle,
        }
    }
    Ok(found.map(|found| {
        let guard = 1.0 - problem.memory_bytes / scenario.cluster.chip.memory.value;
        let without = if found.peak_bytes <= scenario.cluster.chip.memory.value {
            format!(" (or a guard below {:.0} %)", 100.0 * guard)
        } else {
            String::new()
        };
        format!(
            "with {:.1} GiB more memory a chip{without}: {}, {}",
            (found.peak_bytes - problem.memory_bytes) / GIB,
            format_seconds(found.step_s),
            plan_words(&found.plan)
        )
    }))
}
