//! Measured collectives inside one scale-up domain.

use super::table::Table;
use super::write::trimmed;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Operations by the table's word and ours.
const WORDS: [(&str, &str); 4] = [
    ("all_reduce", "all-reduce"),
    ("all_gather", "all-gather"),
    ("reduce_scatter", "reduce-scatter"),
    ("alltoall", "all-to-all"),
];

/// Times of one operation by members and bytes. Microseconds.
pub struct Measured {
    /// Its word.
    pub operation: &'static str,
    /// Members, bytes, time.
    pub times_us: BTreeMap<u64, BTreeMap<u64, f64>>,
}

impl Measured {
    /// The `[[collective]]` table, over the sizes that every group has.
    pub fn text(&self, source: &str) -> String {
        let mut sizes: Vec<u64> = self.times_us.values().flat_map(|t| t.keys().copied()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes.retain(|s| self.times_us.values().all(|t| t.contains_key(s)));
        let list = |items: Vec<String>| items.join(", ");
        let members = list(self.times_us.keys().map(u64::to_string).collect());
        let mut out = format!(
            "\n[[collective]]\noperation = \"{}\"\norigin = \"measured\"\nsource = \"{source}\"\n\
             members = [{members}]\nbytes = [{}]\ntime_us = [\n",
            self.operation,
            list(sizes.iter().map(u64::to_string).collect()),
        );
        for times in self.times_us.values() {
            let row = sizes.iter().map(|s| trimmed(times[s], 2)).collect();
            let _ = writeln!(out, "    {},", list(row));
        }
        out + "]\n"
    }
}

/// Curves of `AIConfigurator`'s NCCL table: half precision, sizes in elements of two bytes.
pub fn read(table: &Table) -> Result<Vec<Measured>> {
    let (kind, dtype) = (table.word("collective")?, table.word("dtype")?);
    let (members, size) = (table.number("num_gpus")?, table.number("message_size")?);
    let ms = table.number("latency_ms")?;
    let curves = WORDS.iter().map(|(theirs, ours)| {
        let mut times_us: BTreeMap<u64, BTreeMap<u64, f64>> = BTreeMap::new();
        for i in (0..table.rows).filter(|i| kind[*i] == *theirs && dtype[*i] == "half") {
            let group = times_us.entry(members[i] as u64).or_default();
            group.insert(2 * size[i] as u64, ms[i] * 1e3);
        }
        Measured { operation: ours, times_us }
    });
    Ok(curves.filter(|c| !c.times_us.is_empty()).collect())
}

/// vTrain's all-reduce table as a machine with A100's kernels.
pub fn vtrain(path: &Path) -> Result<String> {
    let mut reader = csv::Reader::from_path(path).with_context(|| path.display().to_string())?;
    let mut times_us: BTreeMap<u64, BTreeMap<u64, f64>> = BTreeMap::new();
    for row in reader.records() {
        let row = row?;
        let (members, bytes, ns): (u64, u64, f64) =
            (row[0].parse()?, row[1].parse()?, row[2].parse()?);
        times_us.entry(members).or_default().insert(bytes, ns * 1e-3);
    }
    let curve = Measured { operation: "all-reduce", times_us };
    let head = "# Written by `cargo xtask calibrate`; do not edit.\n\
                name = \"vTrain's nodes of eight A100: A100 kernels, its own all-reduce\"\n\
                base = \"a100\"\n";
    Ok(format!("{head}{}", curve.text("VTRAIN")))
}
