//! How many parts a job stands on, from its topology.

use catalog::{Cluster, Component, Level, Reliability, Wiring};
use diagnostic::Diagnostic;

/// Parts under one job.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Chips of the job.
    pub chips: f64,
    /// Hosts.
    pub hosts: f64,
    /// Chips of one host.
    pub chips_per_host: f64,
    /// Electrical links: meshes, and switched levels within a rack.
    pub cables: f64,
    /// Optical modules: two a link of the switched levels beyond a rack.
    pub optics: f64,
    /// Switch chips.
    pub switches: f64,
    /// Hosts that hang on one switch of the first tier.
    pub hosts_per_switch: f64,
}

/// Chips within which links are electrical: the largest racks hold 88.
const RACK: u64 = 128;

impl Counts {
    /// Parts under `ranks` chips of `cluster`.
    ///
    /// A full mesh of `n` has `n(n-1)/2` links. A switched level is a folded Clos of `radix`-port
    /// switches: `t` tiers serve `2(radix/2)^t` ports, each port crosses one link a tier, and every
    /// tier but the last spends as many ports up as down (less where it is oversubscribed). Two
    /// switched levels of one bandwidth are the same ports, more tiers of them. Rails are as many
    /// networks as an instance below has chips, each of one chip of every instance.
    ///
    /// Not valid where the inside of the network is known to differ: no maker's part list is used.
    ///
    /// # Errors
    /// A cluster that does not say how many chips a host holds.
    pub fn new(cluster: &Cluster, ranks: u64, parts: &Reliability) -> Result<Self, Diagnostic> {
        let per_host = chips_per_host(cluster)? as f64;
        let chips = ranks as f64;
        let (radix, port) = (parts.radix.value, parts.port.value);
        let mut counts = Self {
            chips,
            chips_per_host: per_host,
            hosts: (chips / per_host).ceil(),
            hosts_per_switch: (radix / 2.0 / per_host).ceil().max(1.0),
            ..Self::default()
        };
        let mut below: Option<&Level> = None;
        for level in &cluster.levels {
            let fan = level.size as f64 / below.map_or(1.0, |b| b.size as f64);
            let ports = (level.bandwidth.value / port).ceil();
            match level.wiring {
                Wiring::FullMesh => counts.cables += chips * (fan - 1.0) / 2.0,
                Wiring::Torus => counts.cables += chips * ports / 2.0,
                Wiring::Switch => counts.add_clos(level, below, chips * ports, radix),
            }
            below = Some(level);
        }
        Ok(counts)
    }

    fn add_clos(&mut self, level: &Level, below: Option<&Level>, ports: f64, radix: f64) {
        let same_ports = below.filter(|b| {
            b.wiring == Wiring::Switch
                && b.bandwidth.value.total_cmp(&level.bandwidth.value).is_eq()
        });
        let inner = same_ports.map_or(0, |b| tiers(b.size, radix));
        let reach = match below {
            Some(instance) if level.cabling.rails => level.size / instance.size,
            _ => level.size,
        };
        let outer = tiers(reach, radix).max(inner + 1);
        for tier in inner..outer {
            let last = tier + 1 == outer;
            // What leaves the last tier below it may be less than what enters.
            let links = if last && tier > 0 { ports / level.oversubscription.value } else { ports };
            self.switches += links * if last { 1.0 } else { 2.0 } / radix;
            if level.size <= RACK { self.cables += links } else { self.optics += 2.0 * links }
        }
    }

    /// How many of `component` there are.
    pub fn of(&self, component: Component) -> f64 {
        match component {
            Component::Chip | Component::Memory | Component::Nic | Component::Silent => self.chips,
            Component::Host | Component::Software => self.hosts,
            Component::Cable => self.cables,
            Component::Optic => self.optics,
            Component::Switch => self.switches,
        }
    }

    /// Every count with its word.
    pub fn list(&self) -> [(&'static str, f64); 5] {
        [
            ("chips", self.chips),
            ("hosts", self.hosts),
            ("cables", self.cables),
            ("optics", self.optics),
            ("switches", self.switches),
        ]
    }
}

/// Tiers of a folded Clos for `size` ports: `2 (radix/2)^t` at most.
fn tiers(size: u64, radix: f64) -> u32 {
    let mut tiers = 1;
    let mut served = radix;
    while served < size as f64 && tiers < 8 {
        tiers += 1;
        served *= radix / 2.0;
    }
    tiers
}

/// As the cluster says, else the size of its level of hosts.
fn chips_per_host(cluster: &Cluster) -> Result<u64, Diagnostic> {
    let named = |level: &&Level| ["node", "server", "board"].contains(&level.name.as_str());
    let level = cluster.levels.iter().find(named).map(|level| level.size);
    cluster.chips_per_host.or(level).ok_or_else(|| {
        let message = format!("`{}` does not say how many chips a host holds", cluster.id);
        Diagnostic::error("campaign::host", message)
            .hint("add `chips_per_host`, or call the level of hosts `node`, `server` or `board`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_of_a_clos() {
        assert_eq!((tiers(64, 64.0), tiers(65, 64.0), tiers(2048, 64.0)), (1, 2, 2));
        assert_eq!((tiers(2049, 64.0), tiers(65_536, 64.0)), (3, 3));
    }

    #[test]
    fn parts_of_an_atlas_950_of_h800_planes_and_of_llama_3() {
        let parts = catalog::reliability("ascend").unwrap();
        let pod = catalog::cluster("atlas-950-superpod").unwrap();
        let counts = Counts::new(&pod, 8192, &parts).unwrap();
        // 448 links in each of 128 racks, as the maker's topology file has them.
        assert_eq!(counts.cables, 448.0 * 128.0);
        assert_eq!(counts.hosts, 1024.0);
        // Five 400 Gb/s ports a chip through two tiers of 128 ports.
        assert_eq!(counts.optics, 2.0 * 2.0 * 5.0 * 8192.0);
        assert_eq!(counts.switches, 5.0 * 8192.0 * 3.0 / 128.0);
        // Eight planes of 2,048 endpoints each: two tiers do (arXiv 2505.09343, table 3).
        let parts = catalog::reliability("hopper").unwrap();
        let planes = catalog::cluster("hgx-h800-infiniband").unwrap();
        let counts = Counts::new(&planes, 16_384, &parts).unwrap();
        assert_eq!(counts.optics, 2.0 * 2.0 * 16_384.0);
        let parts = catalog::reliability("llama3-h100").unwrap();
        let cluster = catalog::cluster("llama3-h100-roce").unwrap();
        let counts = Counts::new(&cluster, 16_384, &parts).unwrap();
        assert_eq!(counts.optics.round(), 70_217.0);
        assert_eq!(counts.hosts, 2048.0);
    }
}
