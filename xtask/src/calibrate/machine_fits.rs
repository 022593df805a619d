//! What the authors of the `SimuMax` measurements fitted to their machine's memory and links.

use anyhow::{Context, Result};
use calibrate::{Measured, Written};
use std::path::Path;

/// The file.
pub struct Fits(serde_json::Value);

impl Fits {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self(serde_json::from_str(&text)?))
    }

    fn number(&self, keys: &[&str]) -> Result<f64> {
        let found = keys.iter().try_fold(&self.0, |v, k| v.get(k));
        found.and_then(serde_json::Value::as_f64).with_context(|| format!("no {keys:?}"))
    }

    fn memory(&self, what: &str, key: &str) -> Result<f64> {
        self.number(&["memory_bandwidth", what, key])
    }

    /// Share of the bandwidth of memory-bound operators.
    pub fn efficiency(&self) -> Result<Written> {
        let share = self.memory("default", "efficient_factor")?;
        let note = "fitted by its authors, of 8 TB/s";
        Ok(Written::new(share, "", "measured", "SIMUMAX").range(0.5, 0.67).note(note))
    }

    /// What a memory-bound operator takes beyond its bytes.
    pub fn fixed_vector(&self) -> Result<Written> {
        let us = self.memory("default", "latency_us")?;
        let note = "fitted by its authors: what a memory-bound operator takes beyond its bytes";
        Ok(Written::new(us, "us", "measured", "SIMUMAX").note(note))
    }

    /// Rate of token permutation against other memory-bound operators.
    pub fn routing(&self) -> Result<Written> {
        let all = self.memory("default", "efficient_factor")?;
        let share = self.memory("permute_fwd", "efficient_factor")? / all;
        let note = "token permutation against other memory-bound kernels";
        Ok(Written::new(share, "", "measured", "SIMUMAX").note(note))
    }

    /// Times of 2, 4 and 8 members from the fit: scale·(n-1)/n of the bytes at the fitted share of
    /// the links (its GB are 2^30 bytes), a latency a step, and a fixed latency.
    pub fn curves(&self) -> Result<Vec<Measured>> {
        let operations = [
            ("all_reduce", "all-reduce"),
            ("all_gather", "all-gather"),
            ("reduce_scatter", "reduce-scatter"),
            ("all2all", "all-to-all"),
        ];
        let link = self.number(&["intra_node", "bandwidth", "gbps"])? * (1_u64 << 30) as f64;
        let curve = |(theirs, ours)| -> Result<Measured> {
            let get = |key| self.number(&["intra_node", "op", theirs, key]);
            let (scale, share) = (get("scale")?, get("efficient_factor")?);
            let (step, fixed) = (get("latency_us")?, get("fixed_latency_us")?);
            let time_us = |n: u64, bytes: u64| {
                let by_number = ["intra_node", "op", theirs, "fixed_latency_us_by_comm_num"];
                let own = self.number(&[&by_number[..], &[&n.to_string()]].concat());
                let moved = scale * (n - 1) as f64 / n as f64 * bytes as f64;
                moved / (link * share) * 1e6 + step * scale * (n - 1) as f64 + own.unwrap_or(fixed)
            };
            let sizes = (14..=30).map(|e| 1_u64 << e);
            let row = |n| (n, sizes.clone().map(|b| (b, time_us(n, b))).collect());
            Ok(Measured { operation: ours, times_us: [2, 4, 8].map(row).into_iter().collect() })
        };
        operations.into_iter().map(curve).collect()
    }
}
