//! Fits a surface of efficiency, and the times beside it, to measured kernels.

use crate::fold::{FOLDS, folds, quantiles};
use crate::linear::{cholesky, least_absolute_positive};
use kernel::Surface;

/// One measured kernel, or kernels in a row measured together.
#[derive(Clone, Debug)]
pub struct Point {
    /// Roofline time (seconds) and place on the surface (logarithms) of each part.
    pub parts: Vec<(f64, [f64; 3])>,
    /// What else takes time, each to be scaled by one factor common to all points. Seconds.
    pub terms: Vec<f64>,
    /// Known time that is not the parts'. Seconds.
    pub other_s: f64,
    /// Kernels that are started one by one; 0 where that is not known to bound the time.
    pub starts: f64,
    /// Measured time. Seconds.
    pub measured_s: f64,
    /// Points that are nearly the same share a block.
    pub block: u64,
    /// Which operator it is reported under.
    pub operator: &'static str,
}

/// Axis nodes; the last axis is the fastest in the table.
pub type Axes = [Vec<f64>; 3];

/// What a surface is fitted to and how.
pub struct Problem<'a> {
    /// Axis nodes.
    pub axes: &'a Axes,
    /// Measured kernels.
    pub points: &'a [Point],
    /// Roofline time at a node. Seconds.
    pub ideal: &'a dyn Fn([f64; 3]) -> f64,
    /// Highest efficiency believed at a node where nothing is measured.
    pub limit: &'a dyn Fn([f64; 3]) -> f64,
    /// Axes along which a larger kernel is known to take longer: the first so many.
    pub rising: usize,
    /// Weight of second differences.
    pub smooth: f64,
    /// Values at the nodes from which only smooth deviations are learnt.
    pub prior: Option<&'a [f64]>,
}

/// A surface with the factors of the times beside it.
#[derive(Clone, Debug)]
pub struct Solution {
    /// Efficiency at the nodes.
    pub values: Vec<f64>,
    /// The same as a surface.
    pub surface: Surface,
    /// Factor of each term.
    pub factors: Vec<f64>,
    /// Least time from one start to the next. Seconds.
    pub start_s: f64,
}

impl Solution {
    /// Time of a kernel. Seconds.
    pub fn predicted_s(&self, point: &Point) -> f64 {
        let parts = point.parts.iter();
        let kernels: f64 =
            parts.map(|(s, x)| s / libm::exp(self.surface.log_at(*x)).min(1.0)).sum();
        kernels.max(point.starts * self.start_s) + beside(point, &self.factors)
    }
}

/// A fit and its errors on kernels kept out of it.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Axis nodes.
    pub axes: Axes,
    /// Fit of all kernels.
    pub solution: Solution,
    /// Signed error of each kernel by the fit of the other folds: predicted/measured − 1.
    pub errors: Vec<f64>,
}

impl Fitted {
    /// Median and 90th percentile of |error| over points that `chosen` keeps.
    pub fn error(&self, chosen: impl Fn(usize) -> bool) -> Option<(f64, f64)> {
        let kept = self.errors.iter().enumerate().filter(|(i, _)| chosen(*i));
        quantiles(kept.map(|(_, e)| libm::fabs(*e)).collect())
    }

    /// Takes the planes of the last axis that `other` has too from it; the other axes are the same.
    pub fn take_planes(&mut self, other: &Self) {
        let (depth, their_depth) = (self.axes[2].len(), other.axes[2].len());
        for (to, from) in other.axes[2].iter().enumerate().filter_map(|(from, node)| {
            Some((self.axes[2].iter().position(|mine| mine == node)?, from))
        }) {
            let theirs = other.solution.values.chunks(their_depth);
            for (row, other_row) in self.solution.values.chunks_mut(depth).zip(theirs) {
                row[to] = other_row[from];
            }
        }
        if let Ok(surface) = Surface::new(self.axes.clone(), &self.solution.values) {
            self.solution.surface = surface;
        }
    }
}

/// Fits, and fits again without each fold.
///
/// # Errors
/// Nodes that nothing determines.
pub fn fit(problem: &Problem<'_>) -> Result<Fitted, String> {
    let blocks: Vec<u64> = problem.points.iter().map(|p| p.block).collect();
    let folds = folds(&blocks);
    let mut errors = vec![0.0; problem.points.len()];
    for fold in 0..FOLDS {
        let solution = solve(problem, &|i| folds[i] != fold)?;
        for (i, point) in problem.points.iter().enumerate().filter(|(i, _)| folds[*i] == fold) {
            errors[i] = solution.predicted_s(point) / point.measured_s - 1.0;
        }
    }
    let solution = solve(problem, &|_| true)?;
    Ok(Fitted { axes: problem.axes.clone(), solution, errors })
}

/// The least time from one start to the next that was measured; 0 where none are one by one.
fn least_start_s(points: &[&Point]) -> f64 {
    let started = points.iter().filter(|p| p.starts > 0.0);
    started.map(|p| p.measured_s / p.starts).min_by(f64::total_cmp).unwrap_or(0.0)
}

fn beside(point: &Point, factors: &[f64]) -> f64 {
    point.other_s + point.terms.iter().zip(factors).map(|(t, f)| t * f).sum::<f64>()
}

/// Surface and factors in turn, each given the other, until they have settled.
fn solve(problem: &Problem<'_>, keep: &dyn Fn(usize) -> bool) -> Result<Solution, String> {
    let points: Vec<&Point> =
        problem.points.iter().enumerate().filter(|(i, _)| keep(*i)).map(|p| p.1).collect();
    let width = points.first().map_or(0, |p| p.terms.len());
    let mut factors = start(&points, width);
    let start_s = least_start_s(&points);
    let mut solution = surface(problem, &points, &factors, start_s)?;
    if width > 0 {
        for _ in 0..5 {
            factors = refitted(&points, &solution, width);
            solution = surface(problem, &points, &factors, start_s)?;
        }
        factors = refitted(&points, &solution, width);
    }
    Ok(Solution { factors, ..solution })
}

/// First factors: the parts at one common efficiency.
fn start(points: &[&Point], width: usize) -> Vec<f64> {
    if width == 0 {
        return Vec::new();
    }
    let row = |p: &&Point| {
        let ideal: f64 = p.parts.iter().map(|x| x.0).sum();
        let all = p.terms.iter().copied().chain([ideal]);
        all.map(|t| t / p.measured_s).collect::<Vec<f64>>()
    };
    let rows: Vec<f64> = points.iter().flat_map(row).collect();
    let right: Vec<f64> = points.iter().map(|p| 1.0 - p.other_s / p.measured_s).collect();
    let mut found = least_absolute_positive(&rows, &right, width + 1);
    found.truncate(width);
    found
}

fn refitted(points: &[&Point], solution: &Solution, width: usize) -> Vec<f64> {
    let row = |p: &&Point| p.terms.iter().map(|t| t / p.measured_s).collect::<Vec<f64>>();
    let rows: Vec<f64> = points.iter().flat_map(row).collect();
    let alone = Solution { factors: vec![0.0; width], ..solution.clone() };
    let right: Vec<f64> =
        points.iter().map(|p| 1.0 - alone.predicted_s(p) / p.measured_s).collect();
    least_absolute_positive(&rows, &right, width)
}

fn surface(
    problem: &Problem<'_>,
    points: &[&Point],
    factors: &[f64],
    start_s: f64,
) -> Result<Solution, String> {
    let axes = problem.axes;
    let mut logs = least_absolute(problem, points, factors, start_s)?;
    for (node, y) in logs.iter_mut().enumerate() {
        *y = y.min(libm::log((problem.limit)(place(axes, node))));
    }
    never_faster_when_larger(axes, problem.rising, &mut logs, problem.ideal);
    let values: Vec<f64> = logs.iter().map(|y| rounded(libm::exp(*y).min(0.999))).collect();
    let surface = Surface::new(axes.clone(), &values)?;
    Ok(Solution { values, surface, factors: factors.to_vec(), start_s })
}

/// Where the fit places a measurement (the mean of its parts by their time), ln(efficiency) there,
/// and the share of the measured time that it explains.
///
/// A kernel that beats its roofline (operands already in a cache) counts as reaching it.
fn observed(point: &Point, factors: &[f64]) -> ([f64; 3], f64, f64) {
    let ideal: f64 = point.parts.iter().map(|p| p.0).sum();
    let mut mean = [0.0; 3];
    for (seconds, place) in &point.parts {
        for (m, p) in mean.iter_mut().zip(place) {
            *m += p * seconds / ideal;
        }
    }
    let kernel_s = (point.measured_s - beside(point, factors)).max(0.05 * point.measured_s);
    (mean, libm::log(ideal / kernel_s).min(0.0), (kernel_s / point.measured_s).min(1.0))
}

/// Least absolute deviations of time by reweighted least squares, with second differences held
/// small. What `start_s` a start bounds says nothing of the kernels: such a measurement counts only
/// as long as the surface is slower than its starts.
fn least_absolute(
    problem: &Problem<'_>,
    points: &[&Point],
    factors: &[f64],
    start_s: f64,
) -> Result<Vec<f64>, String> {
    let axes = problem.axes;
    let size = axes.iter().map(Vec::len).product::<usize>();
    let grid = Surface::new(axes.clone(), &vec![1.0; size])?;
    let base = match problem.prior {
        Some(values) => Some(Surface::new(axes.clone(), values)?),
        None => None,
    };
    let rows: Vec<_> = points
        .iter()
        .map(|p| {
            let (place, log, share) = observed(p, factors);
            let known = base.as_ref().map_or(0.0, |b| b.log_at(place));
            let ideal: f64 = p.parts.iter().map(|x| x.0).sum();
            // Infinite where nothing is started one by one.
            let bound = libm::log(ideal / (p.starts * start_s)) - known;
            (grid.weights(place), log - known, share, bound)
        })
        .collect();
    let mut weights: Vec<f64> = rows.iter().map(|r| r.2 * r.2).collect();
    let mut values = vec![0.0; size];
    for _ in 0..6 {
        let mut matrix = vec![0.0; size * size];
        let mut right = vec![0.0; size];
        for ((corners, y, ..), w) in rows.iter().zip(&weights) {
            for (i, a) in corners.iter().filter(|c| c.1 > 0.0) {
                right[*i] += w * a * y;
                for (j, b) in corners.iter().filter(|c| c.1 > 0.0) {
                    matrix[i * size + j] += w * a * b;
                }
            }
        }
        add_smoothness(axes, problem.smooth * rows.len() as f64 / size as f64, &mut matrix);
        values = cholesky(matrix, right)?;
        for ((corners, y, share, bound), w) in rows.iter().zip(&mut weights) {
            let got: f64 = corners.iter().map(|(i, a)| a * values[*i]).sum();
            let weight = share * share * 0.03 / (share * libm::fabs(got - y)).max(0.03);
            *w = if got > *bound { 0.0 } else { weight };
        }
    }
    if let Some(prior) = problem.prior {
        values.iter_mut().zip(prior).for_each(|(v, p)| *v += libm::log(*p));
    }
    Ok(values)
}

/// Adds `strength` × (second differences)² along each axis, and a little of the first, which
/// carries values to nodes without measurements.
fn add_smoothness(axes: &Axes, strength: f64, matrix: &mut [f64]) {
    let shape = [axes[0].len(), axes[1].len(), axes[2].len()];
    let size = shape.iter().product::<usize>();
    let stride = [shape[1] * shape[2], shape[2], 1];
    let mut add = |terms: &[(usize, f64)], w: f64| {
        for (i, a) in terms {
            for (j, b) in terms {
                matrix[i * size + j] += w * a * b;
            }
        }
    };
    for node in 0..size {
        add(&[(node, 1.0)], 1e-6 * strength.max(1.0));
        for axis in 0..3 {
            let at = node / stride[axis] % shape[axis];
            if at + 1 < shape[axis] {
                add(&[(node, -1.0), (node + stride[axis], 1.0)], 0.05 * strength);
            }
            if at + 2 < shape[axis] {
                let next = node + stride[axis];
                add(&[(node, 1.0), (next, -2.0), (next + stride[axis], 1.0)], strength);
            }
        }
    }
}

/// As written to the file: at least three significant digits.
fn rounded(value: f64) -> f64 {
    let scale = if value < 0.1 { 1e6 } else { 1e4 };
    (libm::round(value * scale) / scale).max(1e-6)
}

/// Coordinates of a node.
pub fn place(axes: &Axes, node: usize) -> [f64; 3] {
    let stride = [axes[1].len() * axes[2].len(), axes[2].len(), 1];
    [0, 1, 2].map(|axis| axes[axis][node / stride[axis] % axes[axis].len()])
}

/// Lowers efficiencies until no node takes less time than a smaller neighbour along the first axes.
fn never_faster_when_larger(
    axes: &Axes,
    rising: usize,
    logs: &mut [f64],
    ideal: &dyn Fn([f64; 3]) -> f64,
) {
    let shape = [axes[0].len(), axes[1].len(), axes[2].len()];
    let stride = [shape[1] * shape[2], shape[2], 1];
    let ideals: Vec<f64> = (0..logs.len()).map(|n| libm::log(ideal(place(axes, n)))).collect();
    // Nodes are visited smaller neighbours first, so one sweep settles all axes.
    for node in 0..logs.len() {
        for axis in 0..rising {
            if !(node / stride[axis]).is_multiple_of(shape[axis]) {
                let smaller = node - stride[axis];
                let limit = logs[smaller] + ideals[node] - ideals[smaller] - 5e-3;
                logs[node] = logs[node].min(limit);
            }
        }
    }
}

/// Powers from `low` to `high`, each `step` times the last.
pub fn powers(low: f64, high: f64, step: f64) -> Vec<f64> {
    let mut nodes = vec![low];
    while nodes[nodes.len() - 1] * step <= high {
        nodes.push(nodes[nodes.len() - 1] * step);
    }
    nodes
}
