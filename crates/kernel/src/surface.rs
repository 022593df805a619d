//! Tables over three axes, interpolated in logarithms.

/// ln(efficiency) over three logarithmic axes.
///
/// Between nodes ln(value) is trilinear in the logarithms of the coordinates; outside the grid the
/// value at the border holds, so a shape far outside is only as good as the border.
///
/// ```
/// let axes = [vec![1.0, 4.0], vec![1.0], vec![1.0]];
/// let surface = kernel::Surface::new(axes, &[0.25, 1.0]).expect("a table of two");
/// assert!((surface.at([2.0, 7.0, 7.0]) - 0.5).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Surface {
    axes: [Vec<f64>; 3],
    values: Vec<f64>,
}

impl Surface {
    /// A table from axis nodes (positive, rising) and positive values, the last axis fastest.
    ///
    /// # Errors
    /// A sentence saying which axis or value is wrong.
    pub fn new(axes: [Vec<f64>; 3], values: &[f64]) -> Result<Self, String> {
        for (i, axis) in axes.iter().enumerate() {
            let positive = axis.iter().all(|x| x.is_finite() && *x > 0.0);
            if axis.is_empty() || !positive || axis.windows(2).any(|w| w[0] >= w[1]) {
                return Err(format!("axis {} needs positive numbers that rise", i + 1));
            }
        }
        let size = axes.iter().map(Vec::len).product::<usize>();
        if values.len() != size {
            return Err(format!("{} values where the axes need {size}", values.len()));
        }
        if values.iter().any(|v| !v.is_finite() || *v <= 0.0) {
            return Err("every value must be positive".to_owned());
        }
        let logs = |v: &[f64]| v.iter().map(|x| libm::log(*x)).collect::<Vec<f64>>();
        Ok(Self { axes: axes.map(|a| logs(&a)), values: logs(values) })
    }

    /// The value at a point (coordinates positive).
    pub fn at(&self, point: [f64; 3]) -> f64 {
        libm::exp(self.log_at(point.map(libm::log)))
    }

    /// ln(value) at a point given by its logarithms.
    pub fn log_at(&self, logs: [f64; 3]) -> f64 {
        let [x, y, z] = [0, 1, 2].map(|axis| locate(&self.axes[axis], logs[axis]));
        let (width, depth) = (self.axes[1].len(), self.axes[2].len());
        // Stepping by 0 where the share is 0 keeps the upper corner inside the table.
        let step = |share: f64, stride: usize| if share > 0.0 { stride } else { 0 };
        let at = (x.0 * width + y.0) * depth + z.0;
        let (dx, dy, dz) = (step(x.1, width * depth), step(y.1, depth), step(z.1, 1));
        let mix = |low: f64, high: f64, share: f64| low + (high - low) * share;
        let line = |at: usize| mix(self.values[at], self.values[at + dz], z.1);
        let plane = |at: usize| mix(line(at), line(at + dy), y.1);
        mix(plane(at), plane(at + dx), x.1)
    }

    /// The eight nodes around a point given by its logarithms, with their shares; what a fit needs.
    pub fn weights(&self, logs: [f64; 3]) -> [(usize, f64); 8] {
        let [first, second, third] = [0, 1, 2].map(|axis| locate(&self.axes[axis], logs[axis]));
        let (width, depth) = (self.axes[1].len(), self.axes[2].len());
        let mut out = [(0, 0.0); 8];
        for (corner, slot) in out.iter_mut().enumerate() {
            let pick = |(low, share): (usize, f64), bit: usize, len: usize| {
                let upper = corner >> bit & 1;
                ((low + upper).min(len - 1), if upper == 1 { share } else { 1.0 - share })
            };
            let (plane, a) = pick(first, 2, self.axes[0].len());
            let (row, b) = pick(second, 1, width);
            let (column, c) = pick(third, 0, depth);
            *slot = ((plane * width + row) * depth + column, a * b * c);
        }
        out
    }

    /// Numbers of nodes along the axes.
    pub fn shape(&self) -> [usize; 3] {
        [self.axes[0].len(), self.axes[1].len(), self.axes[2].len()]
    }
}

/// The node below `x` and how far on `x` lies towards the next, 0..=1.
fn locate(axis: &[f64], x: f64) -> (usize, f64) {
    let above = axis.partition_point(|node| *node <= x);
    if above == 0 {
        return (0, 0.0);
    }
    if above == axis.len() {
        return (above - 1, 0.0);
    }
    let (low, high) = (axis[above - 1], axis[above]);
    (above - 1, (x - low) / (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Surface {
        let axes = [vec![1.0, 2.0, 8.0], vec![16.0, 64.0], vec![1.0, 10.0]];
        let values: Vec<f64> = (1..=12).map(|i| f64::from(i) / 12.0).collect();
        Surface::new(axes, &values).expect("well formed")
    }

    #[test]
    fn is_exact_at_the_nodes() {
        let mut expected = (1..=12).map(|i| f64::from(i) / 12.0);
        for x in [1.0, 2.0, 8.0] {
            for y in [16.0, 64.0] {
                for z in [1.0, 10.0] {
                    let want = expected.next().expect("twelve");
                    assert!((table().at([x, y, z]) - want).abs() < 1e-12, "{x} {y} {z}");
                }
            }
        }
    }

    #[test]
    fn holds_its_border_outside() {
        let t = table();
        assert!((t.at([1e-9, 1.0, 1e-3]) - t.at([1.0, 16.0, 1.0])).abs() < 1e-12);
        assert!((t.at([1e9, 1e9, 1e9]) - t.at([8.0, 64.0, 10.0])).abs() < 1e-12);
    }

    #[test]
    fn shares_of_the_corners_sum_to_one() {
        for x in [0.5, 1.0, 1.3, 5.0, 8.0, 100.0] {
            let sum: f64 = table().weights([x, 40.0, 3.0].map(libm::log)).iter().map(|w| w.1).sum();
            assert!((sum - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn refuses_tables_that_are_not() {
        let one = || vec![1.0];
        assert!(Surface::new([one(), one(), vec![]], &[]).is_err());
        assert!(Surface::new([vec![2.0, 1.0], one(), one()], &[1.0, 1.0]).is_err());
        assert!(Surface::new([vec![0.0], one(), one()], &[1.0]).is_err());
        assert!(Surface::new([one(), one(), one()], &[1.0, 1.0]).is_err());
        assert!(Surface::new([one(), one(), one()], &[-0.5]).is_err());
        assert!(Surface::new([one(), one(), one()], &[f64::NAN]).is_err());
    }
}
