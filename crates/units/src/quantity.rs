//! Text to SI base units and back.

use std::fmt;

/// What a number counts; values are always held in the base unit named here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Floating-point (or integer multiply-add) operations per second; a fused multiply-add is two.
    FlopPerSecond,
    /// Bytes (8 bits).
    Byte,
    /// Bytes per second, one direction.
    BytePerSecond,
    /// Seconds.
    Second,
    /// Watts.
    Watt,
    /// US dollars.
    Usd,
    /// US dollars per hour.
    UsdPerHour,
    /// US dollars per kilowatt-hour.
    UsdPerKwh,
    /// US dollars per watt of capacity.
    UsdPerWatt,
    /// Events, or a share, per year of 8,760 hours: failures, interest.
    PerYear,
    /// Tokens.
    Token,
    /// Things: chips, links, sequences.
    Count,
    /// A share or factor without a unit.
    Ratio,
}

impl Unit {
    /// The accepted spellings after any prefix, first the one printed; `bits` marks those that
    /// count bits and so scale by 1/8.
    fn spellings(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::FlopPerSecond => &[("FLOP/s", 1.0), ("OP/s", 1.0)],
            Self::Byte => &[("B", 1.0)],
            Self::BytePerSecond => &[("B/s", 1.0), ("b/s", 0.125)],
            Self::Second => &[
                ("s", 1.0),
                ("min", 60.0),
                ("h", 3_600.0),
                ("day", 86_400.0),
                ("year", 31_536_000.0),
            ],
            Self::Watt => &[("W", 1.0)],
            Self::Usd => &[("USD", 1.0)],
            Self::UsdPerHour => &[("USD/h", 1.0)],
            Self::UsdPerKwh => &[("USD/kWh", 1.0), ("USD/MWh", 1e-3)],
            Self::UsdPerWatt => &[("USD/W", 1.0), ("USD/kW", 1e-3)],
            Self::PerYear => &[
                ("/year", 1.0),
                ("%/year", 0.01),
                ("/day", 365.0),
                ("/h", 8_760.0),
                ("FIT", 8_760e-9),
            ],
            Self::Token => &[("token", 1.0)],
            Self::Count => &[("", 1.0)],
            Self::Ratio => &[("", 1.0), ("%", 0.01)],
        }
    }

    /// Suffix for a JSON key that carries this unit: `_bytes_per_s`.
    pub fn key_suffix(self) -> &'static str {
        match self {
            Self::FlopPerSecond => "_flop_per_s",
            Self::Byte => "_bytes",
            Self::BytePerSecond => "_bytes_per_s",
            Self::Second => "_s",
            Self::Watt => "_w",
            Self::Usd => "_usd",
            Self::UsdPerHour => "_usd_per_h",
            Self::UsdPerKwh => "_usd_per_kwh",
            Self::UsdPerWatt => "_usd_per_w",
            Self::PerYear => "_per_year",
            Self::Token => "_tokens",
            Self::Count => "_count",
            Self::Ratio => "_ratio",
        }
    }

    /// An example of a well-written quantity, for hints.
    pub fn example(self) -> &'static str {
        match self {
            Self::FlopPerSecond => "376 TFLOP/s",
            Self::Byte => "64 GB",
            Self::BytePerSecond => "400 Gb/s",
            Self::Second => "2.1 us",
            Self::Watt => "700 W",
            Self::Usd => "25 kUSD",
            Self::UsdPerHour => "2 USD/h",
            Self::UsdPerKwh => "0.08 USD/kWh",
            Self::UsdPerWatt => "12 USD/W",
            Self::PerYear => "3 %/year",
            Self::Token => "33 Ttoken",
            Self::Count => "8192",
            Self::Ratio => "0.85",
        }
    }
}

/// Why a text is not a quantity of the wanted unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseQuantityError {
    /// There is no number at the start.
    NoNumber,
    /// The number is infinite, NaN or negative.
    OutOfRange,
    /// A number without the unit that is needed.
    MissingUnit(Unit),
    /// A unit that does not measure what is wanted.
    WrongUnit {
        /// What was written.
        found: String,
        /// What is wanted.
        wanted: Unit,
    },
}

impl fmt::Display for ParseQuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber => write!(f, "a quantity starts with a number"),
            Self::OutOfRange => write!(f, "a quantity is finite and not negative"),
            Self::MissingUnit(u) => {
                write!(f, "the unit is missing; expected e.g. `{}`", u.example())
            }
            Self::WrongUnit { found, wanted } => {
                write!(f, "`{found}` is not the unit wanted; expected e.g. `{}`", wanted.example())
            }
        }
    }
}

impl std::error::Error for ParseQuantityError {}

/// Decimal and binary prefixes; the empty one last so that longer ones win.
const PREFIXES: [(&str, f64); 14] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("", 1.0),
];

/// Reads `text` as a quantity of `unit`, in base units.
///
/// # Errors
/// See [`ParseQuantityError`]; a bare number is accepted only for counts and ratios.
///
/// ```
/// use units::{Unit, parse_quantity};
/// assert_eq!(parse_quantity("400 Gb/s", Unit::BytePerSecond), Ok(50e9));
/// assert_eq!(parse_quantity("80 GiB", Unit::Byte), Ok(80.0 * units::GIB));
/// assert!(parse_quantity("400", Unit::BytePerSecond).is_err());
/// ```
pub fn parse_quantity(text: &str, unit: Unit) -> Result<f64, ParseQuantityError> {
    let text = text.trim();
    // The longest prefix that is a number; `1e3` is one number, `1 EB` is not `1e..`.
    let end = text
        .char_indices()
        .map(|(i, c)| i + c.len_utf8())
        .filter(|&i| text[..i].parse::<f64>().is_ok() && !text[..i].ends_with(char::is_alphabetic))
        .max()
        .ok_or(ParseQuantityError::NoNumber)?;
    let number: f64 = text[..end].parse().map_err(|_| ParseQuantityError::NoNumber)?;
    let rest = text[end..].trim();
    let scale = unit_scale(rest, unit).ok_or_else(|| {
        if rest.is_empty() {
            ParseQuantityError::MissingUnit(unit)
        } else {
            ParseQuantityError::WrongUnit { found: rest.to_owned(), wanted: unit }
        }
    })?;
    let value = number * scale;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(ParseQuantityError::OutOfRange) }
}

fn unit_scale(text: &str, unit: Unit) -> Option<f64> {
    unit.spellings().iter().find_map(|&(spelling, factor)| {
        let prefix = text.strip_suffix(spelling)?;
        PREFIXES.iter().find(|(p, _)| *p == prefix).map(|(_, scale)| scale * factor)
    })
}

/// Four significant digits with the prefix that suits: `353.9 TFLOP/s`.
///
/// ```
/// use units::{Unit, format_quantity};
/// assert_eq!(format_quantity(353.9e12, Unit::FlopPerSecond), "353.9 TFLOP/s");
/// assert_eq!(format_quantity(0.85, Unit::Ratio), "0.85");
/// ```
pub fn format_quantity(value: f64, unit: Unit) -> String {
    let spelling = unit.spellings()[0].0;
    if spelling.is_empty() {
        return significant(value);
    }
    let (prefix, scale) = PREFIXES
        .iter()
        .filter(|(p, s)| !p.ends_with('i') && (*s >= 1.0 || unit == Unit::Second))
        .filter(|(_, s)| value.abs() >= *s && !(unit == Unit::Second && *s > 1.0))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .copied()
        .unwrap_or(("", 1.0));
    format!("{} {prefix}{spelling}", significant(value / scale))
}

/// Bytes in GiB, two decimals: `12.34 GiB`.
pub fn format_bytes(bytes: f64) -> String {
    format!("{:.2} GiB", bytes / crate::GIB)
}

/// Seconds with the prefix that suits; days from two days up.
pub fn format_seconds(seconds: f64) -> String {
    if seconds >= 2.0 * 86_400.0 {
        format!("{} days", significant(seconds / 86_400.0))
    } else {
        format_quantity(seconds, Unit::Second)
    }
}

/// At most four significant digits, no trailing zeros.
fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // No number of digits brings these between 1 and 10.
    if !value.is_finite() {
        return value.to_string();
    }
    let mut magnitude = 0_i32;
    let mut rest = value.abs();
    while rest >= 10.0 {
        rest /= 10.0;
        magnitude += 1;
    }
    while rest < 1.0 {
        rest *= 10.0;
        magnitude -= 1;
    }
    let decimals = (3 - magnitude).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, unit, value) in [
            ("376 TFLOP/s", Unit::FlopPerSecond, 376e12),
            ("1.6 TB/s", Unit::BytePerSecond, 1.6e12),
            ("112Gb/s", Unit::BytePerSecond, 14e9),
            ("2.1 us", Unit::Second, 2.1e-6),
            ("5 min", Unit::Second, 300.0),
            ("1 EB", Unit::Byte, 1e18),
            ("1e3 B", Unit::Byte, 1e3),
            ("85 %", Unit::Ratio, 0.85),
            ("33 Ttoken", Unit::Token, 33e12),
            ("4 year", Unit::Second, 4.0 * 8_760.0 * 3_600.0),
            ("3 %/year", Unit::PerYear, 0.03),
            ("250 FIT", Unit::PerYear, 2.19e-3),
            ("80 USD/MWh", Unit::UsdPerKwh, 0.08),
            ("12 kUSD/kW", Unit::UsdPerWatt, 12.0),
        ] {
            let got = parse_quantity(text, unit).expect(text);
            assert!((got / value - 1.0).abs() < 1e-12, "{text}: {got}");
        }
    }

    #[test]
    fn what_is_not_finite_is_written_too() {
        assert_eq!(format_seconds(f64::INFINITY), "inf days");
        assert_eq!(format_quantity(f64::NAN, Unit::Ratio), "NaN");
    }

    #[test]
    fn refuses_what_is_not_a_quantity() {
        for (text, unit) in [
            ("", Unit::Byte),
            ("GB", Unit::Byte),
            ("-1 GB", Unit::Byte),
            ("NaN GB", Unit::Byte),
            ("inf GB", Unit::Byte),
            ("1e400 GB", Unit::Byte),
            ("64", Unit::Byte),
            ("64 GB/s", Unit::Byte),
            ("64 Gb", Unit::Byte),
            ("1 XB", Unit::Byte),
        ] {
            assert!(parse_quantity(text, unit).is_err(), "{text}");
        }
    }
}
