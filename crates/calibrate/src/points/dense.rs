//! Dense products.

use super::{Fastest, keep, names};
use crate::fit::{Axes, Point, powers};
use crate::fold::block;
use crate::machine::Machine;
use crate::table::Table;
use catalog::Dtype;
use diagnostic::Diagnostic;
use kernel::{Waves, load};
use model::Work;

/// Nodes of the surface.
pub fn axes() -> Axes {
    [powers(128.0, 32_768.0, 2.0), powers(128.0, 65_536.0, 2.0), powers(128.0, 65_536.0, 2.0)]
}

/// A node as work.
pub fn node([m, n, k]: [f64; 3]) -> Work {
    Work::Gemm { m, n, k, count: 1.0 }
}

/// Fastest times by m, n, k, of rows in whole tiles of 32 and at least 128 in n and k; and how many
/// shapes that leaves out. (Other numbers of rows run in other kernels: their operands cannot be
/// fetched by whole tiles.)
pub fn times(table: &Table, dtype: Dtype) -> Result<(Fastest<3>, usize), Diagnostic> {
    let (m, n, k) = (table.number("m")?, table.number("n")?, table.number("k")?);
    let (ms, format) = (table.number("latency_ms")?, table.word("dtype")?);
    let (mut fastest, mut others) = (Fastest::new(), Fastest::new());
    for i in (0..table.rows).filter(|i| names(dtype).contains(&format[*i].as_str())) {
        let shape = [m[i], n[i], k[i]].map(|v| v as u64);
        let whole = m[i] % 32.0 == 0.0 && n[i] >= 128.0 && k[i] >= 128.0;
        keep(if whole { &mut fastest } else { &mut others }, shape, ms[i] * 1e-3);
    }
    Ok((fastest, others.len()))
}

/// What the smallest kernels take: products below 2^24 multiply-adds, 5th percentile. Seconds.
pub fn fixed_s(fastest: &Fastest<3>) -> Option<f64> {
    let small = |s: &[u64; 3]| s.iter().product::<u64>() < 1 << 24;
    let mut tiny: Vec<f64> = fastest.iter().filter(|(s, _)| small(s)).map(|(_, t)| *t).collect();
    tiny.sort_by(f64::total_cmp);
    tiny.get(tiny.len() / 20).copied()
}

/// Points in blocks of one weight matrix: all its numbers of rows are kept out together.
pub fn points(
    fastest: &Fastest<3>,
    machine: &Machine,
    dtype: Dtype,
    waves: Option<Waves>,
) -> Vec<Point> {
    let point = |(&[m, n, k], &measured_s): (&[u64; 3], &f64)| {
        let work = node([m, n, k].map(|v| v as f64));
        Point {
            parts: vec![machine.part(&load(&work, dtype), dtype, waves)],
            terms: Vec::new(),
            other_s: machine.fixed_s,
            starts: 0.0,
            measured_s,
            block: block(&[n, k]),
            operator: "gemm",
        }
    };
    fastest.iter().map(point).collect()
}
