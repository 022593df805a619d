//! From values to places, with round ticks.

/// An axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    /// Even steps from `low` to `high`; an empty or senseless span becomes one of width 1.
    pub fn linear(low: f64, high: f64) -> Self {
        let low = if low.is_finite() { low } else { 0.0 };
        let high = if high.is_finite() && high > low { high } else { low + 1.0 };
        Self { low, high, logarithmic: false }
    }

    /// Even factors from `low` to `high`; ends that are not positive become a decade around 1.
    pub fn logarithmic(low: f64, high: f64) -> Self {
        let valid = low.is_finite() && high.is_finite() && low > 0.0 && high > low;
        let (low, high) = if valid { (low, high) } else { (0.1, 10.0) };
        Self { low, high, logarithmic: true }
    }

    /// Whether its steps are factors.
    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Even steps that hold every one of `values`, with a little room, from zero if `from_zero`.
    pub fn around(values: impl IntoIterator<Item = f64>, from_zero: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|v| v.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            return Self::linear(0.0, 1.0);
        }
        let room = 0.04 * (high - low).max(high.abs() * 1e-3);
        let bottom = if from_zero && low >= 0.0 { 0.0 } else { low - room };
        Self::linear(bottom, high + room)
    }

    /// The place of `value` as a share of the axis, held inside it.
    ///
    /// ```
    /// use report::page::Scale;
    /// assert_eq!(Scale::linear(0.0, 4.0).place(1.0), 0.25);
    /// assert_eq!(Scale::logarithmic(0.25, 4.0).place(1.0), 0.5);
    /// ```
    pub fn place(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            let ratio = (value / self.low).max(f64::MIN_POSITIVE);
            libm::log(ratio) / libm::log(self.high / self.low)
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// Round values on the axis: at most about `most`.
    ///
    /// ```
    /// use report::page::Scale;
    /// assert_eq!(Scale::linear(0.0, 10.0).ticks(6), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    /// assert_eq!(Scale::logarithmic(0.4, 3.0).ticks(6), [0.5, 1.0, 2.0]);
    /// ```
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        if self.logarithmic { self.factors(most) } else { self.steps(most) }
    }

    fn steps(&self, most: usize) -> Vec<f64> {
        let span = self.high - self.low;
        let power = libm::pow(10.0, libm::floor(libm::log10(span / most.max(1) as f64)));
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * power)
            .into_iter()
            .find(|s| span / s <= most.max(1) as f64)
            .unwrap_or(span);
        let first = (self.low / step - 1e-9).ceil();
        let count = ((self.high - first * step) / step + 1e-9).floor().max(0.0) as usize;
        // Through whole multiples, so that 0.3 is shown and not 0.30000000000000004.
        (0..=count.min(2 * most + 2))
            .map(|k| {
                let multiple = first + k as f64;
                let tick = multiple * step;
                if step < 1.0 {
                    let inverse = (1.0 / step).round();
                    if (inverse * step - 1.0).abs() < 1e-9 { multiple / inverse } else { tick }
                } else {
                    tick
                }
            })
            .collect()
    }

    fn factors(&self, most: usize) -> Vec<f64> {
        let decades = |m: &[f64]| -> Vec<f64> {
            let first = libm::floor(libm::log10(self.low)) as i32;
            let last = libm::ceil(libm::log10(self.high)) as i32;
            let at = |p: i32| {
                if p < 0 {
                    1.0 / libm::pow(10.0, f64::from(-p))
                } else {
                    libm::pow(10.0, f64::from(p))
                }
            };
            (first..=last)
                .flat_map(|p| m.iter().map(move |m| m * at(p)))
                .filter(|t| *t >= self.low * 0.999_999 && *t <= self.high * 1.000_001)
                .collect()
        };
        let fine = decades(&[1.0, 2.0, 5.0]);
        if fine.len() <= most {
            return fine;
        }
        let middle = decades(&[1.0, 3.0]);
        if middle.len() <= most {
            return middle;
        }
        let coarse = decades(&[1.0]);
        let keep = coarse.len().div_ceil(most.max(1)).max(1);
        coarse.into_iter().step_by(keep).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn senseless_spans_stay_drawable() {
        for (low, high) in
            [(f64::NAN, 1.0), (1.0, 1.0), (5.0, -5.0), (0.0, f64::INFINITY), (-1e300, 1e300)]
        {
            for scale in [Scale::linear(low, high), Scale::logarithmic(low, high)] {
                for value in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
                    assert!((0.0..=1.0).contains(&scale.place(value)));
                }
                assert!(scale.ticks(5).len() <= 14);
            }
        }
    }
}
