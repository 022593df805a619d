//! Fits a surface to measured kernels.

use kernel::Surface;

/// One measured kernel: one or more loads in a row and the time they took together.
#[derive(Clone, Debug)]
pub struct Point {
    /// Roofline time and place (logarithms) of each part. Seconds.
    pub parts: Vec<(f64, [f64; 3])>,
    /// Time that is not the parts': launches, permutations. Seconds.
    pub other_s: f64,
    /// Measured time. Seconds.
    pub measured_s: f64,
}

impl Point {
    /// Where the fit places the measurement: the mean of its parts, weighted by their time.
    fn place(&self) -> [f64; 3] {
        let total = self.ideal_s();
        let mut mean = [0.0; 3];
        for (seconds, place) in &self.parts {
            for (m, p) in mean.iter_mut().zip(place) {
                *m += p * seconds / total;
            }
        }
        mean
    }

    fn ideal_s(&self) -> f64 {
        self.parts.iter().map(|p| p.0).sum()
    }

    /// ln(efficiency) of the measurement; a kernel that beats its roofline (operands already in a
    /// cache) counts as reaching it.
    fn log_efficiency(&self) -> f64 {
        let kernel_s = (self.measured_s - self.other_s).max(0.05 * self.measured_s);
        libm::log(self.ideal_s() / kernel_s).min(0.0)
    }

    /// Time by a surface. Seconds.
    pub fn predicted_s(&self, surface: &Surface) -> f64 {
        let parts = self.parts.iter();
        parts.map(|(s, x)| s / libm::exp(surface.log_at(*x)).min(1.0)).sum::<f64>() + self.other_s
    }

    fn error(&self, surface: &Surface) -> f64 {
        (self.predicted_s(surface) / self.measured_s - 1.0).abs()
    }
}

/// Axis nodes; the last axis is the fastest in the table.
pub type Axes = [Vec<f64>; 3];

/// A fitted surface and its errors on kernels kept out of the fit.
pub struct Fitted {
    /// Axis nodes.
    pub axes: Axes,
    /// Efficiency at the nodes.
    pub values: Vec<f64>,
    /// The same as a surface.
    pub surface: Surface,
    /// Kernels.
    pub points: usize,
    /// Median and 90th percentile of the error over five folds.
    pub errors: (f64, f64),
}

/// Fits with five-fold cross-validation; `ideal` is the roofline time at a node, `limit` the highest
/// efficiency believed where nothing is measured, and `prior` an optional surface on the same axes
/// from which only smooth deviations are learnt.
pub fn fit(
    axes: &Axes,
    points: &[Point],
    ideal: &dyn Fn([f64; 3]) -> f64,
    smooth: f64,
    limit: &dyn Fn([f64; 3]) -> f64,
    prior: Option<&[f64]>,
) -> Result<Fitted, String> {
    let solve = |keep: &dyn Fn(usize) -> bool| -> Result<(Vec<f64>, Surface), String> {
        let chosen: Vec<&Point> =
            points.iter().enumerate().filter(|(i, _)| keep(*i)).map(|p| p.1).collect();
        let mut logs = least_absolute(axes, &chosen, smooth, prior)?;
        for (node, y) in logs.iter_mut().enumerate() {
            *y = y.min(libm::log(limit(place(axes, node))));
        }
        never_faster_when_larger(axes, &mut logs, ideal);
        let values: Vec<f64> = logs.iter().map(|y| rounded(libm::exp(*y).min(0.999))).collect();
        let surface = Surface::new(axes.clone(), &values)?;
        Ok((values, surface))
    };
    let mut errors = Vec::with_capacity(points.len());
    for fold in 0..5 {
        let (_, surface) = solve(&|i| i * 7919 % 1009 % 5 != fold)?;
        let out = points.iter().enumerate().filter(|(i, _)| i * 7919 % 1009 % 5 == fold);
        errors.extend(out.map(|(_, p)| p.error(&surface)));
    }
    errors.sort_by(f64::total_cmp);
    let at = |q: f64| errors[((errors.len() - 1) as f64 * q) as usize];
    let (values, surface) = solve(&|_| true)?;
    let errors = (at(0.5), at(0.9));
    Ok(Fitted { axes: axes.clone(), values, surface, points: points.len(), errors })
}

/// Least absolute deviations by reweighted least squares, with second differences held small.
fn least_absolute(
    axes: &Axes,
    points: &[&Point],
    smooth: f64,
    prior: Option<&[f64]>,
) -> Result<Vec<f64>, String> {
    let size = axes.iter().map(Vec::len).product::<usize>();
    let grid = Surface::new(axes.clone(), &vec![1.0; size])?;
    let base = match prior {
        Some(values) => Some(Surface::new(axes.clone(), values)?),
        None => None,
    };
    let rows: Vec<_> = points
        .iter()
        .map(|p| {
            let place = p.place();
            let known = base.as_ref().map_or(0.0, |b| b.log_at(place));
            (grid.weights(place), p.log_efficiency() - known)
        })
        .collect();
    let mut weights = vec![1.0; rows.len()];
    let mut values = vec![0.0; size];
    for _ in 0..6 {
        let mut matrix = vec![0.0; size * size];
        let mut right = vec![0.0; size];
        for ((corners, y), w) in rows.iter().zip(&weights) {
            for (i, a) in corners.iter().filter(|c| c.1 > 0.0) {
                right[*i] += w * a * y;
                for (j, b) in corners.iter().filter(|c| c.1 > 0.0) {
                    matrix[i * size + j] += w * a * b;
                }
            }
        }
        add_smoothness(axes, smooth * rows.len() as f64 / size as f64, &mut matrix);
        values = cholesky(matrix, right)?;
        for ((corners, y), w) in rows.iter().zip(&mut weights) {
            let got: f64 = corners.iter().map(|(i, a)| a * values[*i]).sum();
            *w = 0.03 / (got - y).abs().max(0.03);
        }
    }
    if let Some(prior) = prior {
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
    (value * scale).round() / scale
}

/// Coordinates of a node.
fn place(axes: &Axes, node: usize) -> [f64; 3] {
    let stride = [axes[1].len() * axes[2].len(), axes[2].len(), 1];
    [0, 1, 2].map(|axis| axes[axis][node / stride[axis] % axes[axis].len()])
}

/// Lowers efficiencies until no node takes less time than a smaller neighbour.
fn never_faster_when_larger(axes: &Axes, logs: &mut [f64], ideal: &dyn Fn([f64; 3]) -> f64) {
    let shape = [axes[0].len(), axes[1].len(), axes[2].len()];
    let stride = [shape[1] * shape[2], shape[2], 1];
    let ideals: Vec<f64> = (0..logs.len()).map(|n| libm::log(ideal(place(axes, n)))).collect();
    // Nodes are visited smaller neighbours first, so one sweep settles all axes.
    for node in 0..logs.len() {
        for axis in 0..3 {
            if !(node / stride[axis]).is_multiple_of(shape[axis]) {
                let smaller = node - stride[axis];
                let limit = logs[smaller] + ideals[node] - ideals[smaller] - 5e-3;
                logs[node] = logs[node].min(limit);
            }
        }
    }
}

/// Solves a symmetric positive system.
fn cholesky(mut a: Vec<f64>, mut b: Vec<f64>) -> Result<Vec<f64>, String> {
    let n = b.len();
    for j in 0..n {
        for i in j..n {
            let (head, row) = a.split_at(i * n);
            let left = if i == j { &row[..j] } else { &head[j * n..j * n + j] };
            let dot: f64 = left.iter().zip(&row[..j]).map(|(x, y)| x * y).sum();
            let value = a[i * n + j] - dot;
            if i == j && value <= 0.0 {
                return Err(format!("node {j} is not determined by the measurements"));
            }
            a[i * n + j] = if i == j { value.sqrt() } else { value / a[j * n + j] };
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|j| a[i * n + j] * b[j]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|j| a[j * n + i] * b[j]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    Ok(b)
}

/// Powers of two from `low` to `high`, each `step` times the last.
pub fn powers(low: f64, high: f64, step: f64) -> Vec<f64> {
    let mut nodes = vec![low];
    while nodes[nodes.len() - 1] * step <= high {
        nodes.push(nodes[nodes.len() - 1] * step);
    }
    nodes
}
