//! ASTRA-sim's analytical network (YAML) as a topology, and what counts of its system file (JSON).
//!
//! A dimension is a `Ring`, a `FullyConnected` mesh or a `Switch` over the chips at the same place of
//! the dimensions before it. ASTRA-sim's "GB/s" are 2^30 bytes a second; its latency is one link's.

use crate::place::{json, yaml};
use collective::Scheme;
use diagnostic::{Diagnostic, Diagnostics, nearest};
use fabric::{Layout, Level, Topology};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNetwork {
    topology: Vec<String>,
    npus_count: Vec<u64>,
    bandwidth: Vec<f64>,
    latency: Vec<f64>,
}

const KINDS: [&str; 3] = ["Ring", "FullyConnected", "Switch"];
/// Most chips of a network: what a graph can hold.
const MOST: u64 = 1 << 20;

/// Whether a text looks like such a network.
pub fn is_network(text: &str) -> bool {
    text.lines().any(|l| l.trim_start().starts_with("npus_count"))
}

/// Reads a network.
///
/// ```
/// let text = "topology: [ Ring ]\nnpus_count: [ 8 ]\nbandwidth: [ 50.0 ]\nlatency: [ 500.0 ]\n";
/// let ring = trace::astra::network("net.yml", text).unwrap();
/// assert_eq!(ring.endpoints(), 8);
/// assert_eq!(ring.levels[0].link_bytes_per_s, 50.0 * 1_073_741_824.0);
/// ```
///
/// # Errors
/// Every value that is missing, unknown or out of range.
pub fn network(file: &str, text: &str) -> Result<Topology, Diagnostics> {
    let raw: RawNetwork = yaml("trace::astra", file, text)?;
    let mut problems = Diagnostics::default();
    let mut tell = |key: &str, text_of: String| {
        let at = text.find(key).unwrap_or(0);
        let span = at..(at + key.len()).min(text.len());
        problems.push(Diagnostic::error("trace::astra", text_of).at(file, span));
    };
    let dims = raw.topology.len();
    if dims == 0 || dims > 8 {
        tell("topology", format!("{dims} dimensions; 1 to 8 can be read"));
    }
    let lists = [
        ("npus_count", raw.npus_count.len()),
        ("bandwidth", raw.bandwidth.len()),
        ("latency", raw.latency.len()),
    ];
    for (key, length) in lists {
        if length != dims {
            tell(key, format!("`{key}` has {length} values for {dims} dimensions"));
        }
    }
    let product = raw.npus_count.iter().try_fold(1_u64, |all, n| all.checked_mul(*n));
    if !product.is_some_and(|all| (2..=MOST).contains(&all)) {
        tell("npus_count", format!("`npus_count` must multiply to 2 .. {MOST} chips"));
    }
    if let Some(rate) = raw.bandwidth.iter().find(|b| !(**b > 0.0 && **b < 1e9)) {
        tell("bandwidth", format!("a bandwidth of `{rate}` GB/s"));
    }
    if let Some(latency) = raw.latency.iter().find(|l| !(**l >= 0.0 && **l < 1e12)) {
        tell("latency", format!("a latency of `{latency}` ns"));
    }
    let mut levels: Vec<Level> = Vec::new();
    for (at, kind) in raw.topology.iter().enumerate() {
        let layout = match kind.as_str() {
            "Ring" => Layout::Ring,
            "FullyConnected" => Layout::FullMesh,
            // One switch for each place in the dimensions before it.
            "Switch" if levels.is_empty() => Layout::Switch { planes: 1 },
            "Switch" => Layout::Rail,
            _ => {
                let near = nearest(kind, KINDS).unwrap_or("Ring");
                tell("topology", format!("topology `{kind}` is not known; did you mean `{near}`?"));
                continue;
            }
        };
        let value = |list: &[f64]| list.get(at).copied().unwrap_or(0.0);
        let fan = raw.npus_count.get(at).copied().unwrap_or(1);
        if fan > 1 {
            levels.push(Level {
                name: format!("dim{}", at + 1),
                layout,
                fan: u32::try_from(fan).unwrap_or(u32::MAX),
                link_bytes_per_s: value(&raw.bandwidth) * units::GIB,
                latency_ps: (value(&raw.latency) * 1000.0).round() as u64,
                ports: 1,
            });
        }
    }
    problems.into_result(())?;
    Ok(Topology {
        name: file.to_owned(),
        levels,
        acknowledgement: 0.0,
        memory_bytes_per_s: f64::INFINITY,
        endpoint_ps: 0,
        reduces: false,
        concurrent: None,
        port_budget: None,
    })
}

/// What a system file says of costs at the endpoints and of algorithms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct System {
    /// `endpoint-delay`. Picoseconds.
    pub endpoint_ps: Option<u64>,
    /// `local-mem-bw`. Bytes/s.
    pub memory_bytes_per_s: Option<f64>,
    /// `all-reduce-implementation` and its like, of one dimension.
    pub schemes: BTreeMap<&'static str, Scheme>,
}

/// Reads `endpoint-delay` (ns), `local-mem-bw` (GB/s) and the four `..-implementation` lists of a
/// system file; other keys are left alone. Lists of several dimensions name no one scheme: the fastest
/// is taken.
///
/// # Errors
/// What cannot be read or is not known.
pub fn system(file: &str, text: &str) -> Result<System, Diagnostic> {
    let raw: serde_json::Map<String, serde_json::Value> = json("trace::astra", file, text)?;
    let fault = |text_of: String, key: &str| {
        let at = text.find(key).unwrap_or(0);
        let span = at..(at + key.len()).min(text.len());
        Diagnostic::error("trace::astra", text_of).at(file, span)
    };
    let number = |key: &str, most: f64| match raw.get(key) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(v) if v >= 0.0 && v < most => Ok(Some(v)),
            _ => Err(fault(format!("`{key}` is not a number from 0 to {most}"), key)),
        },
    };
    let mut system = System {
        endpoint_ps: number("endpoint-delay", 1e12)?.map(|ns| (ns * 1000.0) as u64),
        memory_bytes_per_s: number("local-mem-bw", 1e9)?.filter(|v| *v > 0.0).map(|v| v * 1e9),
        schemes: BTreeMap::new(),
    };
    for (key, word) in [
        ("all-reduce-implementation", "all_reduce"),
        ("all-gather-implementation", "all_gather"),
        ("reduce-scatter-implementation", "reduce_scatter"),
        ("all-to-all-implementation", "all_to_all"),
    ] {
        let list = raw.get(key).and_then(|v| v.as_array()).map(Vec::as_slice);
        let Some([serde_json::Value::String(name)]) = list else { continue };
        let scheme = match name.as_str() {
            // ASTRA-sim forwards an all-to-all along its ring; routed directly it takes a quarter.
            "ring" | "oneRing" if word == "all_to_all" => Scheme::Direct,
            "ring" | "oneRing" => Scheme::Ring,
            "direct" | "oneDirect" => Scheme::Direct,
            "halvingDoubling" | "oneHalvingDoubling" => Scheme::HalvingDoubling,
            "doubleBinaryTree" => Scheme::Tree,
            other => return Err(fault(format!("algorithm `{other}` is not known"), key)),
        };
        system.schemes.insert(word, scheme);
    }
    Ok(system)
}
