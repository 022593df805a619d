//! A number that says where it comes from.

use crate::quantity::{Unit, format_quantity};
use std::fmt;

/// How a figure came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Measured on the real thing, and published.
    Measured,
    /// Stated by the maker.
    Vendor,
    /// Arithmetic on other figures.
    Derived,
    /// A judgement; always shown with the answer.
    Assumed,
}

impl Origin {
    /// The word used in catalog files and output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Vendor => "vendor",
            Self::Derived => "derived",
            Self::Assumed => "assumed",
        }
    }

    /// The origin of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Measured, Self::Vendor, Self::Derived, Self::Assumed]
            .into_iter()
            .find(|o| o.word() == word)
    }
}

/// A value in base units with its range, origin and source.
///
/// The range is where the true value is believed to lie (90 %); `low == high == value` means exact
/// by definition or undisputed.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Best value, in the base unit of `unit`.
    pub value: f64,
    /// Low end, at most `value`.
    pub low: f64,
    /// High end, at least `value`.
    pub high: f64,
    /// What is counted.
    pub unit: Unit,
    /// How it is known.
    pub origin: Origin,
    /// Where it is written: a key of `catalog/sources.toml`, or a short sentence for a derivation.
    pub source: String,
}

impl Figure {
    /// A figure without uncertainty.
    pub fn exact(value: f64, unit: Unit, origin: Origin, source: impl Into<String>) -> Self {
        Self { value, low: value, high: value, unit, origin, source: source.into() }
    }

    /// A figure with a range.
    ///
    /// # Panics
    /// If not `low <= value <= high`: the parser of the input must have refused it.
    pub fn ranged(
        value: f64,
        range: (f64, f64),
        unit: Unit,
        origin: Origin,
        source: impl Into<String>,
    ) -> Self {
        let (low, high) = range;
        assert!(low <= value && value <= high, "range {low}..{high} does not hold {value}");
        Self { value, low, high, unit, origin, source: source.into() }
    }

    /// Whether the range has a width.
    pub fn is_uncertain(&self) -> bool {
        self.low < self.high
    }

    /// The same figure in multiples of `factor`; unit, origin and source stay.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            low: self.low * factor,
            high: self.high * factor,
            ..self.clone()
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format_quantity(self.value, self.unit))?;
        if self.is_uncertain() {
            let (low, high) =
                (format_quantity(self.low, self.unit), format_quantity(self.high, self.unit));
            write!(f, " ({low} .. {high})")?;
        }
        Ok(())
    }
}
