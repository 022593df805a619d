//! A cluster's fabric as channels, and a communication group as its footprint on them.
//!
//! Not valid for irregular groups, faults or uneven links: those need the graph.
use catalog::{Cluster, Wiring};

/// Most levels a cluster can have.
pub const MAX_LEVELS: usize = 8;

/// One level at chosen values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// How members are joined.
    pub wiring: Wiring,
    /// Instances of the level below that this level joins.
    pub fan: u64,
    /// Ranks of this job in one instance.
    pub ranks: u64,
    /// Bandwidth of one rank into this level that large messages reach. Bytes/s, one direction.
    pub bytes_per_s: f64,
    /// Time of one step without bytes. Seconds.
    pub latency_s: f64,
    /// Whether switches reduce in flight.
    pub reduces: bool,
    /// Channels of that reduction inside one instance and beyond it; 0 if not known.
    pub reduction_channels: [u64; 2],
}

/// A cluster's levels as one job sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Fabric {
    channels: Vec<Channel>,
}

/// A group's footprint: how many members lie in one instance of each level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Fan-out at each level, innermost first; the product is the group's size.
    pub fan: [u64; MAX_LEVELS],
}

impl Fabric {
    /// The fabric of `cluster` for a job of `ranks` ranks, at the figures' present values.
    ///
    /// The job is laid evenly: every instance of a level holds the same number of its ranks, the
    /// largest that the level's size allows and that divides the job (64 of an NVL72's 72 for a job
    /// of 256), as schedulers do for regular grids.
    ///
    /// # Panics
    /// If the cluster has more than [`MAX_LEVELS`] levels, which its parser refuses.
    pub fn new(cluster: &Cluster, ranks: u64) -> Self {
        assert!(cluster.levels.len() <= MAX_LEVELS, "more than {MAX_LEVELS} levels");
        let (mut below, mut size_below) = (1_u64, 1_u64);
        let channels = cluster
            .levels
            .iter()
            .map(|level| {
                let held = even_share(level.size, below, ranks);
                let channel = Channel {
                    wiring: level.wiring,
                    fan: (level.size / size_below).max(1),
                    ranks: held,
                    bytes_per_s: level.bandwidth.value * level.utilisation.value
                        / level.oversubscription.value,
                    latency_s: level.latency.value,
                    reduces: level.in_network_reduction,
                    reduction_channels: level.reduction_channels,
                };
                (below, size_below) = (held, level.size);
                channel
            })
            .collect();
        Self { channels }
    }

    /// The levels, innermost first.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The footprint of a group of `size` ranks, `stride` apart.
    ///
    /// ```
    /// # use fabric::{Fabric, Span};
    /// let cluster = catalog::cluster("dgx-h100").unwrap();
    /// let fabric = Fabric::new(&cluster, 64);
    /// assert_eq!(fabric.span(1, 64).fan[..2], [8, 8]);
    /// assert_eq!(fabric.span(8, 8).fan[..2], [1, 8]);
    /// ```
    pub fn span(&self, stride: u64, size: u64) -> Span {
        let mut fan = [1; MAX_LEVELS];
        let mut inside = 1;
        let last = self.channels.len() - 1;
        for (level, channel) in self.channels.iter().enumerate() {
            let members =
                if level == last { size } else { (channel.ranks / stride).clamp(1, size) };
            let members = members.max(inside);
            fan[level] = members.div_ceil(inside);
            inside *= fan[level];
        }
        Span { fan }
    }
}

impl Span {
    /// Members of the group (rounded up where the group does not divide evenly).
    pub fn size(&self) -> u64 {
        self.fan.iter().product()
    }

    /// The outermost level the group crosses, if it has more than one member.
    pub fn outermost(&self) -> Option<usize> {
        self.fan.iter().rposition(|&f| f > 1)
    }
}

/// Most ranks, a multiple of `below`, that fit in `size` chips and divide the job evenly.
fn even_share(size: u64, below: u64, ranks: u64) -> u64 {
    let most = size.min(ranks) / below * below;
    let mut share = most;
    // Below half of the level, leaving chips idle costs more than an uneven job.
    while share * 2 > most {
        if ranks.is_multiple_of(share) {
            return share;
        }
        share -= below;
    }
    most.max(below)
}

#[cfg(test)]
mod tests {
    use super::even_share;

    #[test]
    fn jobs_are_laid_evenly() {
        assert_eq!(even_share(72, 1, 256), 64);
        assert_eq!(even_share(72, 1, 144), 72);
        assert_eq!(even_share(8, 1, 4), 4);
        assert_eq!(even_share(8192, 64, 8192), 8192);
        assert_eq!(even_share(72, 4, 7 * 4), 28);
    }
}
