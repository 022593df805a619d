//! Attention to keys that each query gathers: few shapes, so deviations of a law with a factor for each
//! number of heads and one for what a query takes beside its keys.

use super::{Run, SurfaceFit};
use crate::fit::{Axes, Point, place};
use crate::kind::Kind;
use crate::linear::least_absolute_positive;
use crate::points::sequences::{self, Pass};
use catalog::Dtype;
use diagnostic::Diagnostics;
use kernel::Operation;

impl Run<'_> {
    /// Attention to gathered keys, forward and backward, each where it is measured.
    pub(super) fn gathered(&mut self, dtype: Dtype) -> Result<Vec<SurfaceFit>, Diagnostics> {
        let axes = sequences::gathered_axes();
        let mut fits = Vec::new();
        for (operation, pass) in
            [(Operation::Gathered, Pass::Forward), (Operation::GatheredBackward, Pass::Backward)]
        {
            let mut points = Vec::new();
            for table in self.tables(Kind::Training) {
                points.extend(sequences::gathered(table, &self.machine, dtype, pass)?);
            }
            let prior = law(&axes, &points);
            let problem = (None, &axes, points.as_slice());
            if let Some(fit) = self.leaning(operation, dtype, problem, Some(prior))? {
                self.report(&fit, &points, 0, &[]);
                fits.push(fit);
            }
        }
        Ok(fits)
    }
}

/// Efficiency at the nodes if time is that of the products at a rate for each number of heads, which are
/// the rows of a query's tile, and a share for starting and ending a query, whatever its keys:
/// time / roofline = a(heads) + b / keys.
fn law(axes: &Axes, points: &[Point]) -> Vec<f64> {
    let heads = &axes[1];
    // The node a number of heads is nearest to, in logarithms.
    let nearest = |log: f64| {
        let off = |i: &usize| libm::fabs(libm::log(heads[*i]) - log);
        (0..heads.len()).min_by(|i, j| off(i).total_cmp(&off(j))).unwrap_or(0)
    };
    let terms = |at: usize, keys: f64| {
        let rates = (0..heads.len()).map(move |i| f64::from(u8::from(i == at)));
        rates.chain([1.0 / keys])
    };
    let width = heads.len() + 1;
    let rows: Vec<f64> = points
        .iter()
        .flat_map(|p| {
            let (ideal_s, place) = p.parts[0];
            let share = ideal_s / (p.measured_s - p.other_s);
            terms(nearest(place[1]), libm::exp(place[0])).map(move |t| t * share)
        })
        .collect();
    let factors = least_absolute_positive(&rows, &vec![1.0; points.len()], width);
    let at = |node: usize| {
        let [keys, count, _] = place(axes, node);
        let over: f64 =
            terms(nearest(libm::log(count)), keys).zip(&factors).map(|(t, f)| t * f).sum();
        1.0 / over.max(1.0)
    };
    (0..axes.iter().map(Vec::len).product()).map(at).collect()
}
