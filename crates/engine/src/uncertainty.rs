//! An answer's interval, and which figures make it wide.

use crate::estimate::estimate;
use crate::machine::Machine;
use program::Program;
use units::{Figure, Origin};

/// A value with its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// With every figure at its value.
    pub value: f64,
    /// Median over the figures' ranges.
    pub median: f64,
    /// 5th percentile.
    pub low: f64,
    /// 95th percentile.
    pub high: f64,
}

impl Interval {
    /// The interval of `1/x`, or of anything that falls as x grows: ends change places.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let (a, b) = (f(self.low), f(self.high));
        Self { value: f(self.value), median: f(self.median), low: a.min(b), high: a.max(b) }
    }
}

/// How one figure's range moves the step.
#[derive(Clone, Debug, PartialEq)]
pub struct Driver {
    /// The figure's path: `level.pod.bandwidth`.
    pub path: String,
    /// The figure.
    pub figure: Figure,
    /// Step with the figure at the low end of its range. Seconds.
    pub step_at_low_s: f64,
    /// Step with the figure at the high end. Seconds.
    pub step_at_high_s: f64,
}

impl Driver {
    /// Width of the step's change. Seconds.
    pub fn swing_s(&self) -> f64 {
        (self.step_at_high_s - self.step_at_low_s).abs()
    }
}

/// Moves each uncertain figure to both ends of its range, one at a time: every figure that moves the
/// step, the widest swing first.
pub fn drivers(program: &Program, machine: &Machine) -> Vec<Driver> {
    let mut moved = machine.clone();
    let mut drivers = Vec::new();
    for (index, (path, figure)) in machine.figures().into_iter().enumerate() {
        if !figure.is_uncertain() {
            continue;
        }
        let mut at = |end: f64| {
            set(&mut moved, index, end);
            let step_s = estimate(program, &moved).step_s;
            set(&mut moved, index, figure.value);
            step_s
        };
        let (step_at_low_s, step_at_high_s) = (at(figure.low), at(figure.high));
        if step_at_low_s.total_cmp(&step_at_high_s).is_ne() {
            drivers.push(Driver { path, figure: figure.clone(), step_at_low_s, step_at_high_s });
        }
    }
    drivers.sort_by(|a, b| b.swing_s().total_cmp(&a.swing_s()).then_with(|| a.path.cmp(&b.path)));
    drivers
}

fn set(machine: &mut Machine, index: usize, value: f64) {
    if let Some(figure) = machine.figures_mut().into_iter().nth(index) {
        figure.value = value;
    }
}

/// The figures an answer rests on that nobody measured or published.
pub fn assumed(machine: &Machine) -> Vec<(String, Figure)> {
    machine
        .figures()
        .into_iter()
        .filter(|(_, f)| f.origin == Origin::Assumed)
        .map(|(p, f)| (p, f.clone()))
        .collect()
}
