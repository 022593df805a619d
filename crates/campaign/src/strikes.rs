//! When processes strike: by chance, or as written down.

use crate::run::{NS, Run};
use rand_core::Rng;
use rand_pcg::Pcg64Mcg;

/// The order of strikes in time; ties by process.
#[derive(Clone, Debug)]
pub struct Strikes {
    next_ns: Vec<u64>,
    streams: Vec<Pcg64Mcg>,
    means: Vec<f64>,
    /// A written trace, latest first.
    trace: Vec<(u64, usize)>,
    first: usize,
}

impl Strikes {
    /// Poisson processes; each has a stream of its own from `(seed, sample, process)`.
    pub fn random(run: &Run, seed: u64, sample: u64) -> Self {
        let mut strikes = Self {
            next_ns: Vec::with_capacity(run.processes.len()),
            streams: Vec::with_capacity(run.processes.len()),
            means: run.processes.iter().map(|p| p.mean_ns).collect(),
            trace: Vec::new(),
            first: 0,
        };
        for (index, process) in run.processes.iter().enumerate() {
            let mut stream = stream(seed, sample, index as u64);
            strikes.next_ns.push(wait(&mut stream, process.mean_ns));
            strikes.streams.push(stream);
        }
        strikes.find_first();
        strikes
    }

    /// Strikes at given times: `(nanoseconds, process)`, in any order.
    pub fn trace(run: &Run, mut trace: Vec<(u64, usize)>) -> Self {
        trace.sort_unstable_by(|a, b| b.cmp(a));
        let count = run.processes.len();
        Self {
            next_ns: vec![u64::MAX; count],
            streams: (0..count).map(|i| stream(0, 0, i as u64)).collect(),
            means: vec![f64::INFINITY; count],
            trace,
            first: 0,
        }
    }

    /// Time of the next strike; `u64::MAX` if there is none. Nanoseconds.
    pub fn next_ns(&self) -> u64 {
        let random = self.next_ns.get(self.first).copied().unwrap_or(u64::MAX);
        self.trace.last().map_or(random, |(time, _)| random.min(*time))
    }

    /// Takes the next strike's process and draws its successor.
    pub fn take(&mut self) -> usize {
        if let Some((_, process)) = self.trace.pop() {
            return process;
        }
        let process = self.first;
        let after = wait(&mut self.streams[process], self.means[process]);
        self.next_ns[process] = self.next_ns[process].saturating_add(after);
        self.find_first();
        process
    }

    /// Whether something of share `share` happens to this strike of `process`.
    pub fn happens(&mut self, process: usize, share: f64) -> bool {
        if share <= 0.0 || share >= 1.0 {
            return share >= 1.0;
        }
        uniform(&mut self.streams[process]) < share
    }

    fn find_first(&mut self) {
        let mut first = 0;
        for (index, time) in self.next_ns.iter().enumerate() {
            if *time < self.next_ns[first] {
                first = index;
            }
        }
        self.first = first;
    }
}

/// An independent generator for each triple.
pub(crate) fn stream(seed: u64, sample: u64, entity: u64) -> Pcg64Mcg {
    let low = mix(mix(mix(seed) ^ sample) ^ entity.wrapping_add(0x9e37_79b9_7f4a_7c15));
    let high = mix(low ^ 0xd1b5_4a32_d192_ed03);
    Pcg64Mcg::new((u128::from(high) << 64 | u128::from(low)) | 1)
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// In `(0, 1)`: the middles of 2^53 equal cells.
pub(crate) fn uniform(stream: &mut Pcg64Mcg) -> f64 {
    ((stream.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// An exponential waiting time of mean `mean_ns`, at least one nanosecond.
fn wait(stream: &mut Pcg64Mcg, mean_ns: f64) -> u64 {
    if !mean_ns.is_finite() {
        return u64::MAX;
    }
    let ns = -libm::log(uniform(stream)) * mean_ns;
    if ns >= u64::MAX as f64 { u64::MAX } else { (ns as u64).max(1) }
}

/// Events per year of the whole job to the mean time between them. Nanoseconds.
pub fn mean_ns(per_year: f64) -> f64 {
    if per_year > 0.0 { 8_760.0 * 3_600.0 * NS / per_year } else { f64::INFINITY }
}
