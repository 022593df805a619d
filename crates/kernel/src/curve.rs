//! Measured times of collectives inside the innermost level of a fabric, over size and members.

use model::Collective;
use units::Origin;

/// Words of the operations that curves exist for.
pub(crate) const WORDS: [(Collective, &str); 4] = [
    (Collective::AllReduce, "all-reduce"),
    (Collective::AllGather, "all-gather"),
    (Collective::ReduceScatter, "reduce-scatter"),
    (Collective::AllToAll, "all-to-all"),
];

/// One operation's times: nccl-tests' size against members of the group.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What is done.
    pub operation: Collective,
    /// Members of the group, ascending.
    pub members: Vec<u64>,
    /// Sizes by nccl-tests' convention, ascending. Bytes.
    pub bytes: Vec<f64>,
    /// `members × bytes` times. Seconds.
    pub seconds: Vec<f64>,
    /// How they are known.
    pub origin: Origin,
    /// Where from.
    pub source: String,
}

impl Curve {
    /// Checks the table.
    pub(crate) fn problem(&self) -> Option<String> {
        let ascending = |v: &[f64]| v.windows(2).all(|w| w[0] < w[1]);
        let members: Vec<f64> = self.members.iter().map(|m| *m as f64).collect();
        if self.members.is_empty() || self.bytes.len() < 2 {
            return Some("needs at least one group and two sizes".to_owned());
        }
        if !ascending(&members) || !ascending(&self.bytes) || self.bytes[0] <= 0.0 {
            return Some("members and sizes must ascend from above zero".to_owned());
        }
        if self.seconds.len() != self.members.len() * self.bytes.len() {
            let (m, b) = (self.members.len(), self.bytes.len());
            return Some(format!("{} times for {m} groups of {b} sizes", self.seconds.len()));
        }
        (!self.seconds.iter().all(|t| t.is_finite() && *t > 0.0))
            .then(|| "a time is not above zero".to_owned())
    }

    /// The measured group nearest to `members` from below, else the smallest.
    pub fn nearest(&self, members: u64) -> u64 {
        self.members.iter().rev().find(|m| **m <= members).copied().unwrap_or(self.members[0])
    }

    /// Time in a measured group: log-linear between sizes, of constant time below the smallest size.
    /// Seconds.
    ///
    /// Above the largest, each byte more takes what it took between the last two sizes: a start and a
    /// rate (Hockney's model). Where the last size is below its half-performance length, most of its
    /// time is the start and says nothing of the rate: there the whole time grows with the bytes.
    ///
    /// Of the time, what the smallest size takes is latency; the rest is scaled by `slower`, the
    /// measured links' rate over those asked about.
    pub fn seconds(&self, members: u64, bytes: f64, slower: f64) -> f64 {
        let row = self.members.iter().position(|m| *m == members).unwrap_or(0);
        let times = &self.seconds[row * self.bytes.len()..(row + 1) * self.bytes.len()];
        let time = self.at(times, bytes);
        let latency = times[0].min(time);
        latency + (time - latency) * slower
    }

    fn at(&self, times: &[f64], bytes: f64) -> f64 {
        let last = self.bytes.len() - 1;
        if bytes <= self.bytes[0] {
            return times[0];
        }
        if bytes >= self.bytes[last] {
            let whole = times[last] / self.bytes[last];
            let more = (times[last] - times[last - 1]) / (self.bytes[last] - self.bytes[last - 1]);
            let rate = if more >= 0.5 * whole { more } else { whole };
            return times[last] + (bytes - self.bytes[last]) * rate;
        }
        let upper = self.bytes.iter().position(|b| *b > bytes).unwrap_or(last);
        let (a, b) = (self.bytes[upper - 1], self.bytes[upper]);
        let share = libm::log(bytes / a) / libm::log(b / a);
        times[upper - 1] * libm::pow(times[upper] / times[upper - 1], share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> Curve {
        Curve {
            operation: Collective::AllReduce,
            members: vec![2, 8],
            bytes: vec![1e3, 1e6, 4e6],
            seconds: vec![10e-6, 40e-6, 160e-6, 20e-6, 80e-6, 320e-6],
            origin: Origin::Measured,
            source: "test".into(),
        }
    }

    #[test]
    fn curves_pass_their_points_and_go_on_at_their_last_rate() {
        let c = curve();
        assert_eq!(c.problem(), None);
        assert_eq!(c.nearest(6), 2);
        assert_eq!(c.nearest(64), 8);
        assert_eq!(c.seconds(2, 1.0, 1.0), 10e-6);
        assert!((c.seconds(2, 2e6, 1.0) / 80e-6 - 1.0).abs() < 1e-9);
        assert!((c.seconds(8, 8e6, 1.0) / 640e-6 - 1.0).abs() < 1e-9);
        // A start of 100 us and 100 us/MB: a byte more takes the rate, not a share of the start.
        let started = Curve { seconds: vec![100e-6, 200e-6, 500e-6], members: vec![2], ..curve() };
        assert!((started.seconds(2, 14e6, 1.0) / 1500e-6 - 1.0).abs() < 1e-9);
        // Mostly start: the whole time grows.
        let flat = Curve { seconds: vec![20e-6, 20e-6, 21e-6], members: vec![2], ..curve() };
        assert!((flat.seconds(2, 40e6, 1.0) / 210e-6 - 1.0).abs() < 1e-9);
        // Links half as fast: the latency stays.
        assert!((c.seconds(8, 4e6, 2.0) / 620e-6 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn broken_tables_are_named() {
        let broken = Curve { seconds: vec![1.0], ..curve() };
        assert_eq!(broken.problem().unwrap(), "1 times for 2 groups of 3 sizes");
    }
}
