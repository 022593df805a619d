//! The text of a calibration file to a [`Calibration`].

mod derived;

use crate::calibration::{
    Backward, Calibration, Family, FitError, MemoryKind, Operation, Peaks, SurfaceEntry, Waves,
    index,
};
use crate::curve::{Curve, WORDS};
use crate::surface::Surface;
use catalog::Dtype;
use diagnostic::{Diagnostic, Diagnostics, nearest};
use serde::Deserialize;
use std::collections::BTreeMap;
use units::{Figure, Origin, Unit, parse_quantity};

/// The file as written.
mod raw {
    use super::{BTreeMap, Deserialize};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct File {
        pub name: String,
        pub chip: String,
        pub family: String,
        #[serde(default)]
        pub relatives: Vec<String>,
        #[serde(default)]
        pub machine: bool,
        pub peaks: BTreeMap<String, String>,
        pub fixed: Fixed,
        pub memory: Memory,
        pub backward: Backward,
        #[serde(default)]
        pub skew: BTreeMap<String, Figure>,
        pub sustained: Option<Figure>,
        pub range: Figure,
        pub surface: Vec<Surface>,
        #[serde(default)]
        pub collective: Vec<Collective>,
        #[serde(default)]
        pub fit: Vec<Fit>,
    }

    /// A machine whose own measurements stand before those of another calibration.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Derived {
        pub name: String,
        pub base: String,
        pub chip: Option<String>,
        pub peaks: Option<BTreeMap<String, String>>,
        pub fixed: Option<Fixed>,
        pub memory: Option<MemoryOnly>,
        pub backward: Option<Backward>,
        #[serde(default)]
        pub skew: BTreeMap<String, Figure>,
        pub range: Option<Figure>,
        #[serde(default)]
        pub surface: Vec<Surface>,
        #[serde(default)]
        pub collective: Vec<Collective>,
        #[serde(default)]
        pub fit: Vec<Fit>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct MemoryOnly {
        pub efficiency: Figure,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Collective {
        pub operation: String,
        pub origin: String,
        pub source: String,
        pub members: Vec<u64>,
        pub bytes: Vec<f64>,
        pub time_us: Vec<f64>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Figure {
        pub value: String,
        pub low: Option<String>,
        pub high: Option<String>,
        pub origin: String,
        pub source: String,
        pub note: Option<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Fixed {
        pub matrix: Figure,
        pub vector: Figure,
        pub expert: Option<Figure>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Memory {
        pub efficiency: Figure,
        pub vector: Figure,
        pub routing: Figure,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Backward {
        pub data_gradient: Figure,
        pub weight_gradient: Figure,
        pub grouped_weight_gradient: Figure,
        pub attention: Figure,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Surface {
        pub operator: String,
        pub dtype: String,
        pub origin: String,
        pub source: String,
        pub note: Option<String>,
        pub waves: Option<Waves>,
        pub axes: [Vec<f64>; 3],
        pub efficiency: Vec<f64>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Waves {
        pub cores: f64,
        pub tile: [f64; 2],
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Fit {
        pub operator: String,
        pub points: u64,
        pub median_error: f64,
        pub p90_error: f64,
        #[serde(default)]
        pub terms: BTreeMap<String, f64>,
    }
}

/// Reads a calibration; `file` names the text in messages.
///
/// # Errors
/// Everything that is wrong with the text: keys, units, tables whose size does not fit their axes,
/// efficiencies above 1, formats without a peak.
pub fn parse_calibration(id: &str, file: &str, text: &str) -> Result<Calibration, Diagnostics> {
    let wrong = |e: toml::de::Error| {
        let span = e.span().unwrap_or(0..0);
        Diagnostics::from(
            Diagnostic::error("kernel::calibration", e.message().to_owned()).at(file, span),
        )
    };
    let mut reader = Reader { file, found: Diagnostics::default() };
    let keys: toml::Table = toml::from_str(text).map_err(wrong)?;
    if keys.contains_key("base") {
        let raw: raw::Derived = toml::from_str(text).map_err(wrong)?;
        return reader.derived(id, &raw);
    }
    let raw: raw::File = toml::from_str(text).map_err(wrong)?;
    let calibration = reader.calibration(id, &raw);
    match calibration {
        Some(calibration) if reader.found.0.is_empty() => Ok(calibration),
        _ => Err(reader.found),
    }
}

struct Reader<'a> {
    file: &'a str,
    found: Diagnostics,
}

impl Reader<'_> {
    fn problem(&mut self, message: impl Into<String>, hint: Option<String>) {
        let mut diagnostic = Diagnostic::error("kernel::calibration", message).at(self.file, 0..0);
        diagnostic.hint = hint;
        self.found.push(diagnostic);
    }

    fn curve(&mut self, raw: &raw::Collective) -> Option<Curve> {
        let operation = WORDS.iter().find(|(_, w)| *w == raw.operation).map(|(o, _)| *o);
        if operation.is_none() {
            let near = nearest(&raw.operation, WORDS.iter().map(|(_, w)| *w));
            self.problem(
                format!("`{}` is not a collective with a curve", raw.operation),
                near.map(|w| format!("did you mean `{w}`?")),
            );
        }
        let curve = Curve {
            operation: operation?,
            members: raw.members.clone(),
            bytes: raw.bytes.clone(),
            seconds: raw.time_us.iter().map(|t| t * 1e-6).collect(),
            origin: self.origin(&raw.origin)?,
            source: raw.source.clone(),
        };
        if let Some(problem) = curve.problem() {
            self.problem(format!("collective {}: {problem}", raw.operation), None);
        }
        Some(curve)
    }

    fn calibration(&mut self, id: &str, raw: &raw::File) -> Option<Calibration> {
        let share = |v: f64| v > 0.0 && v <= 1.0;
        let factor = |v: f64| v > 0.0 && v <= 100.0;
        let time = |v: f64| (0.0..=1e-3).contains(&v);
        let peaks = self.peaks(&raw.peaks);
        let surfaces: Vec<_> = raw.surface.iter().filter_map(|s| self.surface(s, &peaks)).collect();
        let curves: Vec<_> = raw.collective.iter().filter_map(|c| self.curve(c)).collect();
        if !curves.is_empty() && peaks.link == 0.0 {
            self.problem(
                "`peaks.link` is missing, the rate the collectives were measured on",
                None,
            );
        }
        let b = &raw.backward;
        let mut figure =
            |path: &str, f, unit, ok: &dyn Fn(f64) -> bool| self.figure(path, f, unit, ok);
        let fixed_matrix = figure("fixed.matrix", &raw.fixed.matrix, Unit::Second, &time);
        let fixed_vector = figure("fixed.vector", &raw.fixed.vector, Unit::Second, &time);
        let expert = raw.fixed.expert.as_ref();
        let expert = expert.map(|f| figure("fixed.expert", f, Unit::Second, &time));
        let efficiency = figure("memory.efficiency", &raw.memory.efficiency, Unit::Ratio, &share);
        let vector = figure("memory.vector", &raw.memory.vector, Unit::Ratio, &share);
        let routing = figure("memory.routing", &raw.memory.routing, Unit::Ratio, &share);
        let data = figure("backward.data_gradient", &b.data_gradient, Unit::Ratio, &factor);
        let weight = figure("backward.weight_gradient", &b.weight_gradient, Unit::Ratio, &factor);
        let grouped = figure(
            "backward.grouped_weight_gradient",
            &b.grouped_weight_gradient,
            Unit::Ratio,
            &factor,
        );
        let attention = figure("backward.attention", &b.attention, Unit::Ratio, &factor);
        let sustained = raw.sustained.as_ref();
        let sustained = sustained.map(|f| figure("sustained", f, Unit::Ratio, &share));
        let range = figure("range", &raw.range, Unit::Ratio, &factor);
        let skew: Option<Vec<_>> = raw
            .skew
            .iter()
            .map(|(name, f)| {
                Some((name.clone(), figure(&format!("skew.{name}"), f, Unit::Ratio, &factor)?))
            })
            .collect();
        Some(Calibration {
            id: id.to_owned(),
            name: raw.name.clone(),
            chip: raw.chip.clone(),
            machine: raw.machine,
            family: Family { name: raw.family.clone(), relatives: raw.relatives.clone() },
            index: index(&surfaces),
            peaks,
            surfaces,
            curves,
            memory: MemoryKind { efficiency: efficiency?, vector: vector?, routing: routing? },
            backward: Backward {
                data_gradient: data?,
                weight_gradient: weight?,
                grouped_weight_gradient: grouped?,
                attention: attention?,
            },
            fixed_matrix: fixed_matrix?,
            fixed_vector: fixed_vector?,
            expert_start: expert.flatten(),
            skew: skew?,
            sustained: sustained.flatten(),
            range: range?,
            fits: raw.fit.iter().map(fit).collect(),
        })
    }

    fn peaks(&mut self, raw: &BTreeMap<String, String>) -> Peaks {
        let mut peaks = Peaks { matrix: BTreeMap::new(), memory: 0.0, link: 0.0 };
        for (key, text) in raw {
            let unit = if key == "memory" || key == "link" {
                Unit::BytePerSecond
            } else {
                Unit::FlopPerSecond
            };
            match parse_quantity(text, unit) {
                Ok(value) if value > 0.0 && key == "memory" => peaks.memory = value,
                Ok(value) if value > 0.0 && key == "link" => peaks.link = value,
                Ok(value) if value > 0.0 => {
                    if let Some(dtype) = self.dtype(key) {
                        peaks.matrix.insert(dtype, value);
                    }
                }
                Ok(_) => self.problem(format!("`peaks.{key}` must be above zero"), None),
                Err(e) => self.problem(format!("`peaks.{key}`: {e}"), None),
            }
        }
        if !raw.contains_key("memory") {
            self.problem("`peaks.memory` is missing", None);
        }
        peaks
    }

    fn dtype(&mut self, word: &str) -> Option<Dtype> {
        let found = Dtype::WORDS.iter().find(|(_, w)| *w == word).map(|(d, _)| *d);
        if found.is_none() {
            let near = nearest(word, Dtype::WORDS.iter().map(|(_, w)| *w));
            self.problem(
                format!("`{word}` is not a number format"),
                near.map(|w| format!("did you mean `{w}`?")),
            );
        }
        found
    }

    fn origin(&mut self, word: &str) -> Option<Origin> {
        let found = Origin::from_word(word);
        if found.is_none() {
            let hint = "one of `measured`, `vendor`, `derived`, `assumed`".to_owned();
            self.problem(format!("`{word}` is not an origin"), Some(hint));
        }
        found
    }

    fn figure(
        &mut self,
        path: &str,
        raw: &raw::Figure,
        unit: Unit,
        ok: &dyn Fn(f64) -> bool,
    ) -> Option<Figure> {
        let mut quantity = |key: &str, text: &str| match parse_quantity(text, unit) {
            Ok(v) if ok(v) => Some(v),
            Ok(v) => {
                self.problem(format!("`{path}.{key}` cannot be `{v}`"), None);
                None
            }
            Err(e) => {
                self.problem(format!("`{path}.{key}`: {e}"), None);
                None
            }
        };
        let value = quantity("value", &raw.value)?;
        let low = raw.low.as_deref().map_or(Some(value), |t| quantity("low", t))?;
        let high = raw.high.as_deref().map_or(Some(value), |t| quantity("high", t))?;
        let origin = self.origin(&raw.origin)?;
        if !(low <= value && value <= high) {
            self.problem(format!("`{path}`: `{low}`..`{high}` does not hold `{value}`"), None);
            return None;
        }
        Some(Figure::ranged(
            value,
            (low, high),
            unit,
            origin,
            cited(&raw.source, raw.note.as_ref()),
        ))
    }

    fn surface(&mut self, raw: &raw::Surface, peaks: &Peaks) -> Option<SurfaceEntry> {
        let operation = Operation::WORDS.iter().find(|(_, w)| *w == raw.operator).map(|(o, _)| *o);
        if operation.is_none() {
            let near = nearest(&raw.operator, Operation::WORDS.iter().map(|(_, w)| *w));
            self.problem(
                format!("`{}` is not an operator with a surface", raw.operator),
                near.map(|w| format!("did you mean `{w}`?")),
            );
        }
        let dtype = self.dtype(&raw.dtype);
        let origin = self.origin(&raw.origin);
        let label = format!("surface {} {}", raw.operator, raw.dtype);
        if dtype.is_some_and(|d| !peaks.matrix.contains_key(&d)) {
            self.problem(format!("{label}: `peaks.{}` is missing", raw.dtype), None);
        }
        if raw.efficiency.iter().any(|e| *e > 1.0) {
            self.problem(format!("{label}: an efficiency is above 1"), None);
        }
        let surface = match Surface::new(raw.axes.clone(), &raw.efficiency) {
            Ok(surface) => Some(surface),
            Err(reason) => {
                self.problem(format!("{label}: {reason}"), None);
                None
            }
        };
        let waves = raw.waves.as_ref().map(|w| Waves { cores: w.cores, tile: w.tile });
        let sane = |v: f64| (1.0..=1e6).contains(&v);
        if waves.is_some_and(|w| !(sane(w.cores) && w.tile.into_iter().all(sane))) {
            self.problem(format!("{label}: cores and tiles are whole numbers from 1 on"), None);
        }
        Some(SurfaceEntry {
            waves,
            operation: operation?,
            dtype: dtype?,
            surface: surface?,
            origin: origin?,
            source: cited(&raw.source, raw.note.as_ref()),
        })
    }
}

fn cited(source: &str, note: Option<&String>) -> String {
    note.map_or_else(|| source.to_owned(), |note| format!("{source}: {note}"))
}

fn fit(raw: &raw::Fit) -> FitError {
    FitError {
        operator: raw.operator.clone(),
        points: raw.points,
        median_error: raw.median_error,
        p90_error: raw.p90_error,
        terms: raw.terms.iter().map(|(name, value)| (name.clone(), *value)).collect(),
    }
}
