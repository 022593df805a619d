//! Names of figures for readers who are not engineers, and their sources as links.

use crate::page::{Html, text};
use catalog::{cited, source};

/// What a figure is, in plain words; a path nobody has worded yet stays as it is.
///
/// ```
/// assert_eq!(report::figure_words("economics.h100.rental"), "rent of an h100 for an hour");
/// assert_eq!(report::figure_words("recipe.stage.4096.share"), "share of tokens trained in sequences of 4096");
/// assert_eq!(report::figure_words("something.else"), "something.else");
/// ```
pub fn figure_words(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    let spaced = |name: &str| name.replace('_', " ");
    let worded = match parts.as_slice() {
        ["calibration", name] => calibration(name).map(str::to_owned),
        ["chip", "matrix", format] => Some(format!("arithmetic peak in {}", format.to_uppercase())),
        ["chip", name] => chip(name).map(str::to_owned),
        ["stack", name] | ["stack", name, _] => stack(name).map(str::to_owned),
        ["level", level, name] => network(name).map(|words| format!("{words}, {level} network")),
        ["recipe", "tokens"] => Some("tokens to train on".to_owned()),
        ["recipe", "stage", length, "share"] => {
            Some(format!("share of tokens trained in sequences of {length}"))
        }
        ["failure", part, "rate"] => Some(match *part {
            // The catalog counts software by hosts.
            "software" | "software_bug" | "dependency" | "NCCL_watchdog" => {
                format!("failures by {} a year and host", spaced(part))
            }
            "silent_data_corruption" => {
                "failures by silent data corruption a year and chip".to_owned()
            }
            _ => format!("failures a year: {}", spaced(part)),
        }),
        ["failure", part, "replaced"] => {
            Some(format!("share of failures that need a replacement: {}", spaced(part)))
        }
        ["operations", name] => operations(name).map(str::to_owned),
        ["economics", _, name] => region(name).map(str::to_owned).or_else(|| price(&parts)),
        [id, "power"] => Some(format!("power of {} {id}", article(id))),
        [id, "overhead_power"] => Some(format!("power around a chip of {id}: host, network, fans")),
        _ => None,
    };
    worded.unwrap_or_else(|| path.to_owned())
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'h']) { "an" } else { "a" }
}

fn price(parts: &[&str]) -> Option<String> {
    let [_, chip, name] = parts else { return None };
    let a = article(chip);
    Some(match *name {
        "rental" => format!("rent of {a} {chip} for an hour"),
        "price" => format!("price of {a} {chip}"),
        "host" => format!("price of the host, for {a} {chip}"),
        "fabric" => format!("price of the network, for {a} {chip}"),
        _ => return None,
    })
}

fn region(name: &str) -> Option<&'static str> {
    Some(match name {
        "pue" => "power the building draws, over that of its machines (PUE)",
        "idle_power" => "power of a chip that waits, over a busy one's",
        "electricity" => "price of electricity",
        "building" => "price of the building, a watt",
        "building_life" => "years until the building is written off",
        "machine_life" => "years until the machine is written off",
        "utilisation" => "share of its life the machine is in use",
        "capital" => "cost of capital",
        "staff" => "staff, over the yearly cost of the machine",
        "optic" => "price of an optical module",
        _ => return None,
    })
}

fn calibration(name: &str) -> Option<&'static str> {
    Some(match name {
        "kernel_time" => "time the chip's arithmetic takes, over the best guess",
        "memory_efficiency" => "share of the memory's speed that is reached",
        "backward_attention" => "speed of attention backward, over forward",
        _ => return None,
    })
}

fn chip(name: &str) -> Option<&'static str> {
    Some(match name {
        "sustained" => "clock under load, over the rated one",
        "spread" => "how far the slowest of the chips lags behind",
        "communication_cores" => "share of the chip that communication keeps busy",
        "power" => "power of a chip",
        "memory_bandwidth" => "speed of the chip's memory",
        _ => return None,
    })
}

fn stack(name: &str) -> Option<&'static str> {
    Some(match name {
        "launch" => "time to start an operation",
        "collective_launch" => "time to start an exchange between chips",
        "traffic" => "memory traffic of the software, over the least possible",
        "expert_extras" => "share of experts' clamps and biases in kernels of their own",
        "scaled_rotary" => "share of scaled rotary positions in kernels of their own",
        "element_operations" => "work of an element-wise kernel that is not vectorised",
        "reserved_cores" => "share of the chip set aside for communication",
        "step" => "housekeeping between two steps",
        "fp8" => "speed of FP8 products as training scales them, over the fastest",
        "attention" => "speed of attention in this software, over the fastest",
        _ => return None,
    })
}

fn network(name: &str) -> Option<&'static str> {
    Some(match name {
        "bandwidth" => "speed",
        "utilisation" => "share of its speed that is reached",
        "latency" => "delay",
        "oversubscription" => "how many share what one is promised",
        _ => return None,
    })
}

fn operations(name: &str) -> Option<&'static str> {
    Some(match name {
        "detection" => "time until a failure is noticed",
        "diagnosis" => "time until its place is known",
        "restart" => "time to start the job again",
        "in_place" => "share of failures mended without a new start",
        "in_place_restart" => "time of a repair without a new start",
        "replacement" => "time until a spare stands in",
        "repair" => "time until a host is mended",
        "silent_detection" => "time until wrong results are noticed",
        "slow_rate" => "chips that become slow, a year",
        "slow_loss" => "speed a slow chip loses",
        "slow_detection" => "time until a slow chip is noticed",
        "spares" => "share of hosts kept as spares",
        "maintenance" => "length of a planned stop",
        "maintenance_rate" => "planned stops a year",
        "checkpoint_stall" => "stop of the job at a checkpoint",
        "snapshot_bandwidth" => "speed of a chip's copy to its host",
        "storage_bandwidth" => "speed of storage, a chip",
        _ => return None,
    })
}

/// Where a figure is written, its keys linked to what they stand for.
pub(crate) fn source_links(written: &str) -> Html {
    let (keys, note) = cited(written);
    let link = |key: &&str| match source(key) {
        Some(s) if !s.url.is_empty() => format!(
            "<a href=\"{}\" title=\"{}\">{}</a>",
            text(&s.url).0,
            text(&s.title).0,
            text(key).0
        ),
        _ => text(key).0,
    };
    let links = keys.iter().map(link).collect::<Vec<_>>().join(", ");
    Html(note.map_or_else(|| links.clone(), |note| format!("{links}: {}", text(note).0)))
}
