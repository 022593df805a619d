//! Calibrations that stand on another: what one machine measured, before what is known of its chip.

use super::{Reader, fit, raw};
use crate::calibration::{Backward, Calibration, index};
use diagnostic::Diagnostics;
use units::{Figure, Unit};

impl Reader<'_> {
    /// The base with everything the file holds put in its place.
    pub(super) fn derived(
        mut self,
        id: &str,
        raw: &raw::Derived,
    ) -> Result<Calibration, Diagnostics> {
        let mut calibration = crate::choose::calibration(&raw.base)?;
        (calibration.id, calibration.name) = (id.to_owned(), raw.name.clone());
        calibration.machine = true;
        if let Some(chip) = &raw.chip {
            calibration.chip.clone_from(chip);
        }
        if let Some(peaks) = &raw.peaks {
            let mut own = self.peaks(peaks);
            if own.link == 0.0 {
                own.link = calibration.peaks.link;
            }
            calibration.peaks = own;
        }
        self.figures(&mut calibration, raw);
        let peaks = calibration.peaks.clone();
        for own in raw.surface.iter().filter_map(|s| self.surface(s, &peaks)) {
            let same =
                |s: &crate::SurfaceEntry| (s.operation, s.dtype) == (own.operation, own.dtype);
            calibration.surfaces.retain(|s| !same(s));
            calibration.surfaces.push(own);
        }
        calibration.index = index(&calibration.surfaces);
        let own: Vec<_> = raw.collective.iter().filter_map(|c| self.curve(c)).collect();
        if !own.is_empty() && calibration.peaks.link == 0.0 {
            let message = "`peaks.link` is missing, the rate the collectives were measured on";
            self.problem(message, None);
        }
        calibration.curves.retain(|c| own.iter().all(|o| o.operation != c.operation));
        calibration.curves.extend(own);
        if !raw.fit.is_empty() {
            calibration.fits = raw.fit.iter().map(fit).collect();
        }
        if self.found.0.is_empty() { Ok(calibration) } else { Err(self.found) }
    }

    fn figures(&mut self, calibration: &mut Calibration, raw: &raw::Derived) {
        let share = |v: f64| v > 0.0 && v <= 1.0;
        let factor = |v: f64| v > 0.0 && v <= 100.0;
        let time = |v: f64| (0.0..=1e-3).contains(&v);
        let mut put =
            |slot: &mut Figure, path: &str, raw: &raw::Figure, unit, ok: &dyn Fn(f64) -> bool| {
                if let Some(figure) = self.figure(path, raw, unit, ok) {
                    *slot = figure;
                }
            };
        if let Some(fixed) = &raw.fixed {
            put(&mut calibration.fixed_matrix, "fixed.matrix", &fixed.matrix, Unit::Second, &time);
            put(&mut calibration.fixed_vector, "fixed.vector", &fixed.vector, Unit::Second, &time);
            if let Some(raw) = &fixed.expert {
                let mut figure = calibration.fixed_matrix.clone();
                put(&mut figure, "fixed.expert", raw, Unit::Second, &time);
                calibration.expert_start = Some(figure);
            }
        }
        if let Some(memory) = &raw.memory {
            let slot = &mut calibration.memory.efficiency;
            put(slot, "memory.efficiency", &memory.efficiency, Unit::Ratio, &share);
        }
        if let Some(b) = &raw.backward {
            let Backward { data_gradient, weight_gradient, grouped_weight_gradient, attention } =
                &mut calibration.backward;
            for (slot, path, raw) in [
                (data_gradient, "backward.data_gradient", &b.data_gradient),
                (weight_gradient, "backward.weight_gradient", &b.weight_gradient),
                (
                    grouped_weight_gradient,
                    "backward.grouped_weight_gradient",
                    &b.grouped_weight_gradient,
                ),
                (attention, "backward.attention", &b.attention),
            ] {
                put(slot, path, raw, Unit::Ratio, &factor);
            }
        }
        if let Some(range) = &raw.range {
            put(&mut calibration.range, "range", range, Unit::Ratio, &factor);
        }
        for (name, raw) in &raw.skew {
            if let Some(figure) = self.figure(&format!("skew.{name}"), raw, Unit::Ratio, &factor) {
                calibration.skew.retain(|(n, _)| n != name);
                calibration.skew.push((name.clone(), figure));
            }
        }
    }
}
