//! Attention by the kernels of training: few shapes, so deviations of what is known at many.

use super::{Run, SurfaceFit};
use crate::fit::{Axes, Point};
use crate::kind::Kind;
use crate::points::sequences::{self, Pass};
use catalog::Dtype;
use diagnostic::Diagnostics;
use kernel::{Operation, Surface};

impl Run<'_> {
    /// Forward and backward attention by the kernels of training, each as a smooth deviation: of
    /// the `known` values on axes of kernels measured at many shapes the first, of the first the second.
    /// Empty if not measured.
    pub(super) fn training(
        &mut self,
        dtype: Dtype,
        axes: Axes,
        known: Vec<f64>,
    ) -> Result<Vec<SurfaceFit>, Diagnostics> {
        let mut fits: Vec<SurfaceFit> = Vec::new();
        let (all, mut prior) = (axes, known);
        for (operation, pass) in
            [(Operation::Attention, Pass::Forward), (Operation::AttentionBackward, Pass::Backward)]
        {
            let mut points = Vec::new();
            for table in self.tables(Kind::Training) {
                points.extend(sequences::training(table, &self.machine, dtype, pass)?);
            }
            let planes = measured(&all[2], &points);
            let axes = [all[0].clone(), all[1].clone(), all[2][planes.clone()].to_vec()];
            let narrow = prior.chunks(all[2].len()).flat_map(|row| row[planes.clone()].to_vec());
            let problem = (None, &axes, points.as_slice());
            let Some(mut fit) = self.leaning(operation, dtype, problem, Some(narrow.collect()))?
            else {
                break;
            };
            self.report(&fit, &points, 0, &[]);
            widen(&mut fit, all.clone(), &prior, planes.start);
            prior.clone_from(&fit.fitted.solution.values);
            fits.push(fit);
        }
        Ok(fits)
    }
}

/// The planes of the last axis between the narrowest and the widest heads measured.
fn measured(nodes: &[f64], points: &[Point]) -> std::ops::Range<usize> {
    let widths = || points.iter().flat_map(|p| &p.parts).map(|(_, place)| libm::exp(place[2]));
    let (low, high) = (widths().fold(f64::INFINITY, f64::min), widths().fold(0.0, f64::max));
    let start = nodes.partition_point(|node| *node < low * 0.999);
    let end = nodes.partition_point(|node| *node < high * 1.001);
    start.min(nodes.len() - 1)..end.max(start.min(nodes.len() - 1) + 1)
}

/// The fit over `all` nodes: beyond its own widths of a head the deviation of the nearest holds.
fn widen(fit: &mut SurfaceFit, all: Axes, prior: &[f64], first: usize) {
    let (depth, own) = (all[2].len(), fit.fitted.axes[2].len());
    let mut values = Vec::with_capacity(prior.len());
    for (known, fitted) in prior.chunks(depth).zip(fit.fitted.solution.values.chunks(own)) {
        for (node, value) in known.iter().enumerate() {
            let near = node.clamp(first, first + own - 1);
            values.push((value * fitted[near - first] / known[near]).min(0.999));
        }
    }
    if let Ok(surface) = Surface::new(all.clone(), &values) {
        let solution = &mut fit.fitted.solution;
        (solution.surface, solution.values, fit.fitted.axes) = (surface, values, all);
    }
}
