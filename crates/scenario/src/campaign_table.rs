//! The `[campaign]` table: how the run is operated and priced.

use crate::files::{Files, is_path};
use crate::load::part;
use catalog::figure::{NOT_NEGATIVE, POSITIVE};
use catalog::toml_reader::{Item, Table};
use catalog::{Kind, Reliability};
use diagnostic::{Diagnostic, Diagnostics};
use units::Unit;

/// How a checkpoint leaves the chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointMode {
    /// Copied to the host, then written beside the training.
    Overlapped,
    /// The job waits until it is written.
    Synchronous,
}

impl CheckpointMode {
    const WORDS: [(Self, &'static str); 2] =
        [(Self::Overlapped, "overlapped"), (Self::Synchronous, "synchronous")];

    /// The word used in files and output.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(mode, _)| *mode == self).map_or("?", |(_, word)| word)
    }
}

/// A part of the run, from its start, at a smaller batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// Tokens of the run at which it ends.
    pub until_tokens: f64,
    /// Sequences of one optimizer step.
    pub batch_sequences: u64,
}

/// Pauses of the job for evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Tokens between two.
    pub every_tokens: f64,
    /// Duration of one. Seconds.
    pub pause_s: f64,
}

/// What the `[campaign]` table says; all of it may be left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// Rates and operations; else those of the chip's family.
    pub reliability: Option<Reliability>,
    /// Name and text of the economics; else those of the chip's maker. Read only when money is asked.
    pub economics: Option<(String, String)>,
    /// How checkpoints are taken.
    pub checkpoint: CheckpointMode,
    /// Training between checkpoints; else Young's and Daly's optimum. Seconds.
    pub interval_s: Option<f64>,
    /// Whether the job runs on with fewer replicas when no spare is left, rather than waits.
    pub degraded: bool,
    /// Spare hosts; else by the operations' share.
    pub spare_hosts: Option<u64>,
    /// Parts at a smaller batch, in order.
    pub ramp: Vec<Ramp>,
    /// Pauses for evaluation.
    pub evaluation: Option<Evaluation>,
    /// Wall clock after which playing stops, done or not; else the run is played to its end. Seconds.
    pub window_s: Option<f64>,
}

impl Default for Campaign {
    /// What an absent table means.
    fn default() -> Self {
        Self {
            reliability: None,
            economics: None,
            checkpoint: CheckpointMode::Overlapped,
            interval_s: None,
            degraded: true,
            spare_hosts: None,
            ramp: Vec::new(),
            evaluation: None,
            window_s: None,
        }
    }
}

/// The scenario's `[campaign]`, or what its absence means.
pub(crate) fn campaign(root: &mut Table<'_>, files: &Files<'_>) -> Option<Campaign> {
    if !root.has("campaign") {
        return Some(Campaign::default());
    }
    let mut table = root.take_table("campaign")?;
    let reliability = optional(&mut table, "reliability", |table| {
        part(table, "reliability", |value| reliability(value, files))
    });
    let economics = optional(&mut table, "economics", |table| {
        part(table, "economics", |value| economics(value, files))
    });
    let checkpoint = optional(&mut table, "checkpoint", |table| {
        table.take_word("checkpoint", &CheckpointMode::WORDS)
    });
    let interval_s = optional(&mut table, "interval", |table| {
        table.take_quantity("interval", Unit::Second, &POSITIVE)
    });
    let degraded = optional(&mut table, "degraded", |table| table.take_bool("degraded"));
    let spare_hosts = optional(&mut table, "spare_hosts", |table| table.take_u64("spare_hosts"));
    let ramp = optional(&mut table, "ramp", |table| {
        let parts: Vec<_> = table.take_array("ramp")?.into_iter().map(ramp).collect();
        let parts: Vec<Ramp> = parts.into_iter().collect::<Option<_>>()?;
        rising(table, parts)
    });
    let evaluation =
        optional(&mut table, "evaluation", |table| table.take_table("evaluation").and_then(pause));
    let window_s = optional(&mut table, "window", |table| {
        table.take_quantity("window", Unit::Second, &POSITIVE)
    });
    table.finish();
    Some(Campaign {
        reliability: reliability?,
        economics: economics?,
        checkpoint: checkpoint?.unwrap_or(CheckpointMode::Overlapped),
        interval_s: interval_s?,
        degraded: degraded?.unwrap_or(true),
        spare_hosts: spare_hosts?,
        ramp: ramp?.unwrap_or_default(),
        evaluation: evaluation?,
        window_s: window_s?,
    })
}

/// `Some(None)` if the key is absent, `None` if its value is wrong.
#[expect(clippy::option_option, reason = "absent, wrong and there are three things")]
fn optional<T>(
    table: &mut Table<'_>,
    key: &str,
    take: impl Fn(&mut Table<'_>) -> Option<T>,
) -> Option<Option<T>> {
    if table.has(key) { take(table).map(Some) } else { Some(None) }
}

fn reliability(value: &str, files: &Files<'_>) -> Result<Reliability, Diagnostics> {
    if is_path(value) {
        let (path, text) = files.text("campaign.reliability", value)?;
        return catalog::parse_reliability(&path, &text);
    }
    catalog::reliability(value)
}

fn economics(value: &str, files: &Files<'_>) -> Result<(String, String), Diagnostics> {
    if is_path(value) {
        return files.text("campaign.economics", value);
    }
    match catalog::text(Kind::Economics, value) {
        Some(text) => Ok((format!("catalog/economics/{value}.toml"), text.to_owned())),
        None => Err(catalog::unknown_id(Kind::Economics, value).into()),
    }
}

fn ramp(item: Item<'_>) -> Option<Ramp> {
    let mut table = item.into_table()?;
    let until_tokens = table.take_quantity("until", Unit::Token, &POSITIVE);
    let batch_sequences = table.take_positive("batch_sequences");
    table.finish();
    Some(Ramp { until_tokens: until_tokens?, batch_sequences: batch_sequences? })
}

fn rising(table: &Table<'_>, parts: Vec<Ramp>) -> Option<Vec<Ramp>> {
    if parts.windows(2).all(|pair| pair[0].until_tokens < pair[1].until_tokens) {
        return Some(parts);
    }
    let message = "each part of `campaign.ramp` ends after the one before it";
    table.report(Diagnostic::error("scenario::ramp", message), table.span_of("ramp"));
    None
}

fn pause(mut table: Table<'_>) -> Option<Evaluation> {
    let every_tokens = table.take_quantity("every", Unit::Token, &POSITIVE);
    let pause_s = table.take_quantity("pause", Unit::Second, &NOT_NEGATIVE);
    table.finish();
    Some(Evaluation { every_tokens: every_tokens?, pause_s: pause_s? })
}
