//! A collective of another tool that was run: text and JSON (`supernode.collective-run/1`).

use crate::json::Stamp;
use serde_json::{Value, json};
use trace::msccl::Algorithm;
use units::{Unit, format_bytes, format_quantity, format_seconds};

/// An algorithm, where it ran, and how long it took.
pub struct AlgorithmRun<'a> {
    /// What was run.
    pub algorithm: &'a Algorithm,
    /// The network's name.
    pub network: &'a str,
    /// Size by nccl-tests' convention.
    pub bytes: f64,
    /// Picoseconds.
    pub time_ps: u64,
}

impl AlgorithmRun<'_> {
    fn seconds(&self) -> f64 {
        self.time_ps as f64 * 1e-12
    }

    /// Size over time. Bytes/s.
    fn bandwidth(&self) -> f64 {
        if self.time_ps == 0 { 0.0 } else { self.bytes / self.seconds() }
    }

    /// nccl-tests' factor from algorithm to bus bandwidth, where it has one.
    fn bus_factor(&self) -> Option<f64> {
        let n = f64::from(self.algorithm.ranks);
        match self.algorithm.collective.to_lowercase().replace('_', "").as_str() {
            "allreduce" => Some(2.0 * (n - 1.0) / n),
            "allgather" | "reducescatter" | "alltoall" => Some((n - 1.0) / n),
            _ => None,
        }
    }

    /// Whether the collective comes out, in words.
    fn proof(&self) -> (&'static str, Option<String>) {
        match self.algorithm.prove() {
            Some(Ok(())) => ("proven", None),
            Some(Err(text)) => ("wrong", Some(text)),
            None => ("not followed", None),
        }
    }

    /// As JSON.
    pub fn json(&self, stamp: &Stamp) -> Value {
        let (proof, reason) = self.proof();
        let bus = self.bus_factor().map(|f| f * self.bandwidth());
        stamp.on(json!({
            "algorithm": self.algorithm.name, "collective": self.algorithm.collective,
            "ranks": self.algorithm.ranks, "network": self.network, "bytes": self.bytes,
            "time_s": self.seconds(), "algbw_bytes_per_s": self.bandwidth(),
            "busbw_bytes_per_s": bus, "sent_bytes": self.algorithm.traffic(self.bytes),
            "steps": self.algorithm.steps.len(), "outcome": proof, "reason": reason,
        }))
    }

    /// As text.
    pub fn text(&self) -> String {
        let rate = |v: f64| format_quantity(v, Unit::BytePerSecond);
        let bus = self
            .bus_factor()
            .map_or_else(|| "-".to_owned(), |factor| rate(factor * self.bandwidth()));
        let (proof, reason) = self.proof();
        let outcome = match (proof, reason) {
            ("proven", _) => "every rank ends with what the collective promises".to_owned(),
            (_, Some(reason)) => format!("WRONG: {reason}"),
            _ => "not followed: an unknown collective, or too large".to_owned(),
        };
        format!(
            "{} ({}, {} ranks, {} steps) on {}\n\n  size     {}\n  time     {}\n  algbw    {}\n  \
             busbw    {bus}\n  sent     {}\n  outcome  {outcome}\n",
            self.algorithm.name,
            self.algorithm.collective,
            self.algorithm.ranks,
            self.algorithm.steps.len(),
            self.network,
            format_bytes(self.bytes),
            format_seconds(self.seconds()),
            rate(self.bandwidth()),
            format_bytes(self.algorithm.traffic(self.bytes)),
        )
    }
}
