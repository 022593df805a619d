//! A catalog cluster as a topology.

use crate::topology::{Layout, Level, Topology};
use catalog::{Cluster, Concurrent, Wiring};
use diagnostic::Diagnostic;

/// Endpoints above which only as many instances of the outermost level are built as a job needs.
const WHOLE: u64 = 32_768;

/// The composition of `cluster`, or of as much of it as holds `ranks` where it is very large.
///
/// A link carries the level's `bandwidth · utilisation` over the links of a chip; its latency is
/// the level's over the links that a message passes there.
///
/// # Errors
/// A torus whose file does not give its dimensions.
pub fn topology_of(cluster: &Cluster, ranks: u64) -> Result<Topology, Diagnostic> {
    let mut levels: Vec<Level> = Vec::new();
    let (mut below, last) = (1_u64, cluster.levels.len() - 1);
    for (index, level) in cluster.levels.iter().enumerate() {
        let mut fan = (level.size / below).max(1);
        if index == last && cluster.chips > WHOLE {
            fan = fan.min(ranks.div_ceil(below).max(1));
        }
        below = level.size;
        let fan = u32::try_from(fan).unwrap_or(u32::MAX);
        let cabling = &level.cabling;
        let rate = level.bandwidth.value * level.utilisation.value;
        let ports = cabling.ports.unwrap_or(0) as u32;
        let make = |name: &str, layout, fan: u32, links: u32, hops: u32| Level {
            name: name.to_owned(),
            layout,
            fan,
            link_bytes_per_s: rate / f64::from(links.max(1)),
            latency_ps: (level.latency.value * 1e12 / f64::from(hops)).round() as u64,
            ports: ports / links.max(1),
        };
        let name = level.name.as_str();
        let planes = cabling.planes as u32;
        match level.wiring {
            Wiring::FullMesh => levels.push(make(name, Layout::FullMesh, fan, fan - 1, 1)),
            Wiring::Torus => {
                let dims = torus(cluster, level, fan)?;
                let links = 2 * dims.len() as u32;
                for (at, dim) in dims.iter().enumerate() {
                    let named = format!("{name}-{}", ["x", "y", "z", "w"][at.min(3)]);
                    levels.push(make(&named, Layout::Ring, *dim, links, 1));
                }
            }
            Wiring::Switch if cabling.rails => levels.push(make(name, Layout::Rail, fan, 1, 2)),
            Wiring::Switch if cabling.trunk => {
                // Four links up and down again; the lower two have their level's latency.
                let lower = levels.last().map_or(0, |l| 2 * l.latency_ps);
                let whole = (level.latency.value * 1e12).round() as u64;
                let layout = Layout::Trunk {
                    spines: cabling.spines as u32,
                    oversubscription: level.oversubscription.value,
                };
                let mut trunk = make(name, layout, fan, planes, 4);
                trunk.latency_ps = whole.saturating_sub(lower) / 2;
                levels.push(trunk);
            }
            Wiring::Switch => {
                // Without a trunk of its own the level's oversubscription narrows the ports.
                let mut own = make(name, Layout::Switch { planes }, fan, planes, 2);
                own.link_bytes_per_s /= level.oversubscription.value;
                levels.push(own);
            }
        }
    }
    // With nothing but meshes below, its place is the same among the topology's levels.
    let first = cluster.levels.iter().position(|l| l.wiring != Wiring::FullMesh);
    let concurrent = first.and_then(|at| match cluster.levels[at].cabling.concurrent {
        Concurrent::Never => None,
        Concurrent::Beyond => Some((at, false)),
        Concurrent::Anywhere => Some((at, true)),
    });
    Ok(Topology {
        name: cluster.name.clone(),
        levels,
        acknowledgement: 0.0,
        memory_bytes_per_s: f64::INFINITY,
        endpoint_ps: 0,
        concurrent,
        reduces: cluster.levels[0].in_network_reduction,
        port_budget: cluster.ports.map(|p| p as u32),
    })
}

fn torus(cluster: &Cluster, level: &catalog::Level, fan: u32) -> Result<Vec<u32>, Diagnostic> {
    let dims: Vec<u32> = level.cabling.dims.iter().map(|d| *d as u32).collect();
    if dims.is_empty() {
        return Err(Diagnostic::error(
            "fabric::torus",
            format!("level `{}` of `{}` does not say its dimensions", level.name, cluster.id),
        )
        .hint(format!("add `dims = [..]` with a product of {fan}")));
    }
    Ok(dims)
}
