//! Whether the order of a job's plans is kept: what a planner needs of an estimate.

use crate::{Row, Status};
use std::collections::BTreeMap;

/// Plans a job must have been measured with for its order to count.
const FEWEST: usize = 8;

/// How well the order of one job's measured plans is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Table and chip.
    pub family: String,
    /// Model, chips, batch and sequence: what the plans have in common.
    pub job: String,
    /// Plans measured.
    pub plans: usize,
    /// Kendall's tau between predicted and measured steps: pairs in the same order less pairs in the
    /// opposite order, over all pairs. 1 if the order is kept, 0 if it is chance.
    pub tau: f64,
}

/// The order of every job that was measured with enough plans, over full rows, by family and job.
pub fn orders(rows: &[Row]) -> Vec<Order> {
    let mut jobs: BTreeMap<(String, &str), Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.is_full() && r.status == Status::Replayed) {
        if let (Some(measured), Some(predicted)) = (row.measured_step_s, row.predicted_step_s) {
            jobs.entry((row.family_chip(), &row.job)).or_default().push((measured, predicted));
        }
    }
    jobs.into_iter()
        .filter(|(_, steps)| steps.len() >= FEWEST)
        .map(|((family, job), steps)| Order {
            family,
            job: job.to_owned(),
            plans: steps.len(),
            tau: kendall(&steps),
        })
        .collect()
}

/// Kendall's tau-a of pairs; a tie counts as neither.
fn kendall(pairs: &[(f64, f64)]) -> f64 {
    let mut sum = 0.0;
    for (i, a) in pairs.iter().enumerate() {
        for b in &pairs[..i] {
            let same = a.0.total_cmp(&b.0) as i32 * a.1.total_cmp(&b.1) as i32;
            sum += f64::from(same);
        }
    }
    let all = pairs.len() as f64 * (pairs.len() as f64 - 1.0) / 2.0;
    if all > 0.0 { sum / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::kendall;

    #[test]
    fn tau_counts_pairs() {
        let pairs = [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0), (4.0, 25.0)];
        // Five of six pairs in order, one not.
        assert!((kendall(&pairs) - 4.0 / 6.0).abs() < 1e-12);
        let reversed = pairs.map(|(a, b)| (a, -b));
        assert!((kendall(&reversed) + 4.0 / 6.0).abs() < 1e-12);
        assert!((kendall(&[(1.0, 1.0), (1.0, 2.0), (2.0, 3.0)]) - 2.0 / 3.0).abs() < 1e-12);
        assert!(kendall(&[(1.0, 1.0)]).abs() < 1e-12);
    }
}
