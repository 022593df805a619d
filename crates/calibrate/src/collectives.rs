//! Measured collectives inside one scale-up domain: curves, and how far one point is from the line
//! through the others.

use crate::fold::{FOLDS, quantiles};
use crate::points::{Fastest, keep};
use crate::table::Table;
use diagnostic::Diagnostic;
use std::collections::BTreeMap;

/// Operations by the tables' word and ours.
pub const WORDS: [(&str, &str); 4] = [
    ("all_reduce", "all-reduce"),
    ("all_gather", "all-gather"),
    ("reduce_scatter", "reduce-scatter"),
    ("alltoall", "all-to-all"),
];

/// Times of one operation by members and bytes (nccl-tests' size). Microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its word.
    pub operation: &'static str,
    /// Members, bytes, time.
    pub times_us: BTreeMap<u64, BTreeMap<u64, f64>>,
}

impl Measured {
    /// Sizes that every group has: those of the curve.
    pub fn sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> = self.times_us.values().flat_map(|t| t.keys().copied()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes.retain(|s| self.times_us.values().all(|t| t.contains_key(s)));
        sizes
    }

    /// |interpolated/measured − 1| of each size, from the sizes of the other folds: log-linear between
    /// them. The smallest and the largest size of a group are never kept out: a curve does not claim
    /// what lies beyond them.
    pub fn errors(&self) -> Vec<f64> {
        let mut errors = Vec::new();
        for times in self.times_us.values() {
            let points: Vec<(f64, f64)> = times.iter().map(|(b, t)| (*b as f64, *t)).collect();
            for fold in 0..FOLDS {
                let ends = |i: usize| i == 0 || i + 1 == points.len();
                let kept = |i: &usize| ends(*i) || i % FOLDS != fold;
                let line: Vec<(f64, f64)> =
                    (0..points.len()).filter(kept).map(|i| points[i]).collect();
                for i in (0..points.len()).filter(|i| !kept(i)) {
                    errors.push(libm::fabs(at(&line, points[i].0) / points[i].1 - 1.0));
                }
            }
        }
        errors
    }

    /// Median and 90th percentile of the errors.
    pub fn error(&self) -> Option<(f64, f64)> {
        quantiles(self.errors())
    }
}

/// Log-linear interpolation; constant beyond the ends.
fn at(line: &[(f64, f64)], bytes: f64) -> f64 {
    let upper = line.partition_point(|p| p.0 <= bytes);
    if upper == 0 || upper == line.len() {
        return line[upper.min(line.len() - 1)].1;
    }
    let ((a, ta), (b, tb)) = (line[upper - 1], line[upper]);
    ta * libm::pow(tb / ta, libm::log(bytes / a) / libm::log(b / a))
}

/// Curves of a table of sizes in elements (`half`: two bytes; `int8`: one; `float`: four), of the
/// widest choice of sizes that one format offers.
///
/// # Errors
/// An operation or a format that is not known.
pub fn read(table: &Table) -> Result<Vec<Measured>, Diagnostic> {
    let (kind, dtype) = (table.word("collective")?, table.word("dtype")?);
    let (members, size) = (table.number("num_gpus")?, table.number("message_size")?);
    let ms = table.number("latency_ms")?;
    let mut widths = Vec::with_capacity(table.rows);
    for i in 0..table.rows {
        widths.push(width(&dtype[i]).ok_or_else(|| {
            table.problem("calibrate::dtype", i, format!("`{}` is not a known format", dtype[i]))
        })?);
        if !WORDS.iter().any(|(theirs, _)| *theirs == kind[i]) {
            let known = WORDS.map(|w| w.0).join(", ");
            let message = format!("`{}` is not a collective with a curve: {known}", kind[i]);
            return Err(table.problem("calibrate::collective", i, message));
        }
    }
    let preferred = ["half", "float16", "bfloat16", "float", "float32"];
    let format = preferred.iter().find(|p| dtype.iter().any(|d| d == *p)).copied();
    let mut out = Vec::new();
    for (theirs, operation) in WORDS {
        let mut fastest = Fastest::<2>::new();
        for i in 0..table.rows {
            let wanted = format.is_none_or(|f| dtype[i] == f);
            if wanted && kind[i] == theirs {
                let shape = [members[i] as u64, (widths[i] * size[i]) as u64];
                keep(&mut fastest, shape, ms[i] * 1e-3);
            }
        }
        let mut times_us: BTreeMap<u64, BTreeMap<u64, f64>> = BTreeMap::new();
        for ([members, bytes], seconds) in fastest {
            times_us.entry(members).or_default().insert(bytes, seconds * 1e6);
        }
        if !times_us.is_empty() {
            out.push(Measured { operation, times_us });
        }
    }
    Ok(out)
}

/// vTrain's all-reduce table.
///
/// # Errors
/// Columns that are missing.
pub fn all_reduce(table: &Table) -> Result<Vec<Measured>, Diagnostic> {
    let (members, bytes) = (table.number("num_gpus")?, table.number("bytes")?);
    let ns = table.number("time_ns")?;
    let mut times_us: BTreeMap<u64, BTreeMap<u64, f64>> = BTreeMap::new();
    for i in 0..table.rows {
        times_us.entry(members[i] as u64).or_default().insert(bytes[i] as u64, ns[i] * 1e-3);
    }
    Ok(vec![Measured { operation: "all-reduce", times_us }])
}

/// The word of an operation that curves exist for.
pub fn name(operation: model::Collective) -> Option<&'static str> {
    match operation {
        model::Collective::AllReduce => Some("all-reduce"),
        model::Collective::AllGather => Some("all-gather"),
        model::Collective::ReduceScatter => Some("reduce-scatter"),
        model::Collective::AllToAll => Some("all-to-all"),
        model::Collective::SendRecv => None,
    }
}

/// Bytes of an element by the word of NCCL and nccl-tests.
pub fn width(word: &str) -> Option<f64> {
    Some(match word {
        "int8" | "uint8" | "fp8" | "f8e4m3" | "f8e5m2" => 1.0,
        "half" | "float16" | "bfloat16" => 2.0,
        "float" | "float32" | "int32" | "uint32" => 4.0,
        "double" | "float64" | "int64" | "uint64" => 8.0,
        _ => return None,
    })
}

/// Least time the links allow: each rank takes in (n − 1)/n of the bytes, or all of them where every
/// rank ends with a sum of everything. Seconds.
pub fn bound_s(operation: &str, members: f64, bytes: f64, link: f64) -> f64 {
    let share = if operation == "all_reduce" { 1.0 } else { (members - 1.0) / members };
    bytes * share / link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_found_again() {
        let times = (0..20).map(|e| (1_u64 << e, 5.0 * f64::from(1_u32 << e))).collect();
        let curve = Measured { operation: "all-reduce", times_us: BTreeMap::from([(8, times)]) };
        assert!(curve.errors().iter().all(|e| *e < 1e-9));
        assert_eq!(curve.errors().len(), 18);
    }
}
