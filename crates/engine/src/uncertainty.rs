//! From the ranges of the figures to the range of the answer.

use crate::estimate::estimate;
use crate::machine::Machine;
use program::Program;
use units::{Figure, Origin};

/// A value with its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Best value.
    pub value: f64,
    /// Low end.
    pub low: f64,
    /// High end.
    pub high: f64,
}

impl Interval {
    /// The interval of `1/x`, or of anything that falls as x grows: ends change places.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let (a, b) = (f(self.low), f(self.high));
        Self { value: f(self.value), low: a.min(b), high: a.max(b) }
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

/// A step's interval and what makes it wide.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The step. Seconds.
    pub step_s: Interval,
    /// Every uncertain figure that moves the step, the widest swing first.
    pub drivers: Vec<Driver>,
}

/// Moves each uncertain figure to both ends of its range, one at a time, and joins the changes in
/// quadrature: independent errors of about 90% each give about 90% together.
///
/// Not valid for figures that move together or where two ends interact (a collective that becomes
/// the bottleneck only when compute is fast too).
pub fn interval(program: &Program, machine: &Machine) -> Answer {
    let value = estimate(program, machine).step_s;
    let paths: Vec<usize> = machine
        .figures()
        .iter()
        .enumerate()
        .filter(|(_, (_, figure))| figure.is_uncertain())
        .map(|(i, _)| i)
        .collect();
    let (mut below, mut above) = (0.0, 0.0);
    let mut drivers = Vec::new();
    let mut moved = machine.clone();
    for index in paths {
        let Some((path, figure)) =
            machine.figures().into_iter().nth(index).map(|(p, f)| (p, f.clone()))
        else {
            continue;
        };
        let mut at = |end: f64| {
            set(&mut moved, index, end);
            let step_s = estimate(program, &moved).step_s;
            set(&mut moved, index, figure.value);
            step_s
        };
        let (step_at_low_s, step_at_high_s) = (at(figure.low), at(figure.high));
        for step_s in [step_at_low_s, step_at_high_s] {
            let change = step_s - value;
            if change < 0.0 {
                below += change * change;
            } else {
                above += change * change;
            }
        }
        if step_at_low_s.total_cmp(&step_at_high_s).is_ne() {
            drivers.push(Driver { path, figure, step_at_low_s, step_at_high_s });
        }
    }
    drivers.sort_by(|a, b| b.swing_s().total_cmp(&a.swing_s()).then_with(|| a.path.cmp(&b.path)));
    let step_s = Interval {
        value,
        low: (value - libm::sqrt(below)).max(0.0),
        high: value + libm::sqrt(above),
    };
    Answer { step_s, drivers }
}

fn set(machine: &mut Machine, index: usize, value: f64) {
    if let Some((_, figure)) = machine.figures_mut().into_iter().nth(index) {
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
