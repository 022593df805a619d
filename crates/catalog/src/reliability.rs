//! `catalog/reliability/*.toml` to [`Reliability`]: how often parts fail, and what is done about it.

use crate::chip::{FAMILIES, id_of};
use crate::embedded::{Kind, ids, text, unknown_id};
use crate::figure::{NOT_NEGATIVE, POSITIVE, SHARE};
use crate::toml_reader::{Item, Reader, Table};
use diagnostic::{Diagnostic, Diagnostics};
use std::ops::RangeInclusive;
use units::{Figure, Unit};

/// What a rate is counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The accelerator without its memory.
    Chip,
    /// The memory of one accelerator.
    Memory,
    /// A server: processors, memory, disks, power, chassis.
    Host,
    /// The network adapter of one accelerator.
    Nic,
    /// An electrical cable or backplane link.
    Cable,
    /// An optical module; a fibre has one at each end.
    Optic,
    /// A switch chip.
    Switch,
    /// The software of one host.
    Software,
    /// Results of one accelerator that are wrong without an error.
    Silent,
}

impl Component {
    /// Every component with its word.
    pub const WORDS: [(Self, &'static str); 9] = [
        (Self::Chip, "chip"),
        (Self::Memory, "memory"),
        (Self::Host, "host"),
        (Self::Nic, "nic"),
        (Self::Cable, "cable"),
        (Self::Optic, "optic"),
        (Self::Switch, "switch"),
        (Self::Software, "software"),
        (Self::Silent, "silent"),
    ];

    /// The word used in files and output.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(c, _)| *c == self).map_or("?", |(_, word)| word)
    }
}

/// One cause of interruptions.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What it is called where it was counted.
    pub name: String,
    /// What it is counted over.
    pub component: Component,
    /// Interruptions of one component. Per year.
    pub rate: Figure,
    /// Share of them after which a host (for a switch: all that hang on it) must be replaced.
    pub replaced: Figure,
}

/// What is done when something fails, and how long it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Operations {
    /// From the failure to the stop of the job. Seconds.
    pub detection: Figure,
    /// From the stop until it is known what to restart without. Seconds.
    pub diagnosis: Figure,
    /// Scheduling, loading the checkpoint, first step. Seconds.
    pub restart: Figure,
    /// Share of the failures that need no replacement and are mended in place.
    pub in_place: Figure,
    /// The restart of one mended in place. Seconds.
    pub in_place_restart: Figure,
    /// Bringing a spare host into the job. Seconds.
    pub replacement: Figure,
    /// From the failure of a host until it is a spare again. Seconds.
    pub repair: Figure,
    /// Between wrong results and their discovery. Seconds.
    pub silent_detection: Figure,
    /// Spare hosts over the hosts of the job.
    pub spares: Figure,
    /// Chips that become slow. Per chip and year.
    pub slow_rate: Figure,
    /// What the job loses while one is: time of a step over its usual time, less one.
    pub slow_loss: Figure,
    /// Until the slow chip is found and evicted. Seconds.
    pub slow_detection: Figure,
    /// Planned stops of the job. Per year.
    pub maintenance_rate: Figure,
    /// Duration of one. Seconds.
    pub maintenance: Figure,
    /// What every checkpoint stops the job for besides its bytes. Seconds.
    pub checkpoint_stall: Figure,
    /// Checkpoint bytes that one chip moves to storage. Bytes/s.
    pub storage_bandwidth: Figure,
    /// Checkpoint bytes that one chip copies to its host. Bytes/s.
    pub snapshot_bandwidth: Figure,
}

/// Rates of one machine and how it is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    /// File name without ending.
    pub id: String,
    /// Where it was counted.
    pub name: String,
    /// Chip families it stands for unless another is named.
    pub default_for: Vec<String>,
    /// Ports of a switch chip, for counting.
    pub radix: Figure,
    /// Rate of one port, for counting. Bytes/s.
    pub port: Figure,
    /// Causes of interruptions.
    pub failures: Vec<Failure>,
    /// How it is run.
    pub operations: Option<Operations>,
}

/// The built-in reliability file of that id.
///
/// ```
/// let own = catalog::reliability("llama3-h100").unwrap();
/// assert_eq!(own.failures.len(), 18);
/// ```
///
/// # Errors
/// If there is none.
pub fn reliability(id: &str) -> Result<Reliability, Diagnostics> {
    match text(Kind::Reliability, id) {
        Some(text) => parse_reliability(&format!("catalog/reliability/{id}.toml"), text),
        None => Err(unknown_id(Kind::Reliability, id).into()),
    }
}

/// The file that stands for chips of `family` unless another is named.
///
/// # Errors
/// A family that no file stands for.
pub fn reliability_for(family: &str) -> Result<Reliability, Diagnostics> {
    for id in ids(Kind::Reliability) {
        let read = reliability(id)?;
        if read.default_for.iter().any(|f| f == family) {
            return Ok(read);
        }
    }
    let message = format!("no reliability figures stand for chips of family `{family}`");
    let hint = "name some with `reliability = \"..\"` in `[campaign]`";
    Err(Diagnostic::error("catalog::reliability", message).hint(hint).into())
}

/// Reads a reliability file; the id is the file's name without folder and ending.
///
/// # Errors
/// Every problem of the text, each with its place.
pub fn parse_reliability(file_name: &str, text: &str) -> Result<Reliability, Diagnostics> {
    let reader = Reader::new(file_name, text);
    let read = reader.root().and_then(|root| read(root, id_of(file_name)));
    reader.into_result(read)
}

/// Ports of a switch chip.
const RADIX: RangeInclusive<f64> = 2.0..=65_536.0;

fn read(mut root: Table<'_>, id: String) -> Option<Reliability> {
    let name = root.take_str("name");
    let default_for = words(&mut root, "default_for");
    let radix = root.take_figure("radix", Unit::Count, &RADIX);
    let port = root.take_figure("port", Unit::BytePerSecond, &POSITIVE);
    let failures = root.take_array("failure").and_then(|items| {
        let read: Vec<_> = items.into_iter().map(read_failure).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let operations = if root.has("operations") {
        root.take_table("operations").and_then(read_operations).map(Some)
    } else {
        Some(None)
    };
    root.finish();
    Some(Reliability {
        id,
        name: name?,
        default_for: default_for?,
        radix: radix?,
        port: port?,
        failures: failures?,
        operations: operations?,
    })
}

fn words(root: &mut Table<'_>, key: &str) -> Option<Vec<String>> {
    if !root.has(key) {
        return Some(Vec::new());
    }
    let items = root.take_array(key)?;
    let read: Vec<Option<&str>> = items.into_iter().map(|i| i.into_word(&FAMILIES)).collect();
    read.into_iter().map(|word| word.map(str::to_owned)).collect()
}

fn read_failure(item: Item<'_>) -> Option<Failure> {
    let mut table = item.into_table()?;
    let name = table.take_str("name");
    let component = table.take_word("component", &Component::WORDS);
    let rate = table.take_figure("rate", Unit::PerYear, &NOT_NEGATIVE);
    let replaced = table.take_figure("replaced", Unit::Ratio, &SHARE);
    table.finish();
    Some(Failure { name: name?, component: component?, rate: rate?, replaced: replaced? })
}

fn read_operations(mut table: Table<'_>) -> Option<Operations> {
    let mut take =
        |key: &str, unit, limits: &RangeInclusive<f64>| table.take_figure(key, unit, limits);
    let detection = take("detection", Unit::Second, &NOT_NEGATIVE);
    let diagnosis = take("diagnosis", Unit::Second, &NOT_NEGATIVE);
    let restart = take("restart", Unit::Second, &NOT_NEGATIVE);
    let in_place = take("in_place", Unit::Ratio, &SHARE);
    let in_place_restart = take("in_place_restart", Unit::Second, &NOT_NEGATIVE);
    let replacement = take("replacement", Unit::Second, &NOT_NEGATIVE);
    let repair = take("repair", Unit::Second, &NOT_NEGATIVE);
    let silent_detection = take("silent_detection", Unit::Second, &NOT_NEGATIVE);
    let spares = take("spares", Unit::Ratio, &NOT_NEGATIVE);
    let slow_rate = take("slow_rate", Unit::PerYear, &NOT_NEGATIVE);
    let slow_loss = take("slow_loss", Unit::Ratio, &NOT_NEGATIVE);
    let slow_detection = take("slow_detection", Unit::Second, &NOT_NEGATIVE);
    let maintenance_rate = take("maintenance_rate", Unit::PerYear, &NOT_NEGATIVE);
    let maintenance = take("maintenance", Unit::Second, &NOT_NEGATIVE);
    let checkpoint_stall = take("checkpoint_stall", Unit::Second, &NOT_NEGATIVE);
    let storage_bandwidth = take("storage_bandwidth", Unit::BytePerSecond, &POSITIVE);
    let snapshot_bandwidth = take("snapshot_bandwidth", Unit::BytePerSecond, &POSITIVE);
    table.finish();
    Some(Operations {
        detection: detection?,
        diagnosis: diagnosis?,
        restart: restart?,
        in_place: in_place?,
        in_place_restart: in_place_restart?,
        replacement: replacement?,
        repair: repair?,
        silent_detection: silent_detection?,
        spares: spares?,
        slow_rate: slow_rate?,
        slow_loss: slow_loss?,
        slow_detection: slow_detection?,
        maintenance_rate: maintenance_rate?,
        maintenance: maintenance?,
        checkpoint_stall: checkpoint_stall?,
        storage_bandwidth: storage_bandwidth?,
        snapshot_bandwidth: snapshot_bandwidth?,
    })
}

impl Reliability {
    /// Every figure with its path.
    pub fn figures(&self) -> Vec<(String, &Figure)> {
        let mut all = vec![
            ("reliability.radix".to_owned(), &self.radix),
            ("reliability.port".to_owned(), &self.port),
        ];
        for failure in &self.failures {
            let name = failure.name.replace(' ', "_");
            all.push((format!("failure.{name}.rate"), &failure.rate));
            all.push((format!("failure.{name}.replaced"), &failure.replaced));
        }
        let operations = self.operations.iter().flat_map(Operations::figures);
        all.extend(operations.map(|(key, figure)| (format!("operations.{key}"), figure)));
        all
    }
}

impl Operations {
    /// Every figure with its key.
    pub fn figures(&self) -> [(&'static str, &Figure); 17] {
        [
            ("detection", &self.detection),
            ("diagnosis", &self.diagnosis),
            ("restart", &self.restart),
            ("in_place", &self.in_place),
            ("in_place_restart", &self.in_place_restart),
            ("replacement", &self.replacement),
            ("repair", &self.repair),
            ("silent_detection", &self.silent_detection),
            ("spares", &self.spares),
            ("slow_rate", &self.slow_rate),
            ("slow_loss", &self.slow_loss),
            ("slow_detection", &self.slow_detection),
            ("maintenance_rate", &self.maintenance_rate),
            ("maintenance", &self.maintenance),
            ("checkpoint_stall", &self.checkpoint_stall),
            ("storage_bandwidth", &self.storage_bandwidth),
            ("snapshot_bandwidth", &self.snapshot_bandwidth),
        ]
    }
}
