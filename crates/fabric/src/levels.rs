//! A cluster's fabric as channels, and a communication group as its footprint on them.
//!
//! Not valid for irregular groups, faults or uneven links: those need the graph.
use catalog::{Cluster, Wiring};

/// Most levels a cluster can have.
pub const MAX_LEVELS: usize = 8;

/// Most dimensions a torus can have.
pub const MAX_DIMENSIONS: usize = 4;

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
    /// Of a torus: the job's ranks along each of its dimensions, longest first; 0 past the last one,
    /// and all 0 where the dimensions are not known or the job does not fill a box of them.
    pub rings: [u64; MAX_DIMENSIONS],
}

impl Channel {
    /// Of a torus: members of a group of `fan` along each ring it lies on. A group takes the fewest
    /// dimensions that hold it, as mappings of parallel axes onto a torus do: its traffic uses the
    /// links of those only, and groups on different dimensions share none.
    ///
    /// ```
    /// let cluster = catalog::cluster("tpu-v5p").unwrap();
    /// // 512 chips are 8 x 8 x 8: 64 of them are two dimensions.
    /// let torus = fabric::Fabric::new(&cluster, 512).channels()[0];
    /// assert_eq!(torus.along(64).collect::<Vec<_>>(), [8, 8]);
    /// assert_eq!(torus.along(4).collect::<Vec<_>>(), [4]);
    /// ```
    pub fn along(&self, fan: u64) -> impl Iterator<Item = u64> {
        let mut left = fan;
        self.rings.into_iter().take_while(|&r| r > 1).map_while(move |ring| {
            let members = left.min(ring);
            left = left.div_ceil(ring);
            (members > 1).then_some(members)
        })
    }

    /// Dimensions of the torus, used by the job or not.
    pub fn dimensions(&self) -> usize {
        self.rings.iter().take_while(|&&r| r > 0).count()
    }
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
                    rings: rings(&level.cabling.dims, held / below),
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

    /// The chip that rank `rank` of the job runs on, numbered with the innermost level fastest.
    ///
    /// ```
    /// let cluster = catalog::cluster("gb200-nvl72").unwrap();
    /// // 64 ranks on each rack of 72.
    /// let fabric = fabric::Fabric::new(&cluster, 256);
    /// assert_eq!([63, 64, 200].map(|r| fabric.chip(r)), [63, 72, 224]);
    /// ```
    pub fn chip(&self, rank: u64) -> u64 {
        let (mut below, mut size, mut chip) = (1, 1, 0);
        for (at, channel) in self.channels.iter().enumerate() {
            let last = at + 1 == self.channels.len();
            let inside = if last { rank } else { rank % channel.ranks };
            chip += inside / below * size;
            (below, size) = (channel.ranks, size * channel.fan);
        }
        chip
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

/// Lengths of the box of `ranks` chips that is nearest to a cube in a torus of `dims`, longest first;
/// all 0 if there is none.
fn rings(dims: &[u64], ranks: u64) -> [u64; MAX_DIMENSIONS] {
    let mut box_of = [0; MAX_DIMENSIONS];
    if dims.is_empty() || dims.len() > MAX_DIMENSIONS || ranks == 0 {
        return box_of;
    }
    box_of[..dims.len()].fill(1);
    // Prime factors, largest first, each onto the shortest side that it can lengthen.
    for prime in primes(ranks).into_iter().rev() {
        let fits = |at: &usize| dims[*at].is_multiple_of(box_of[*at] * prime);
        let Some(at) = (0..dims.len()).filter(fits).min_by_key(|&at| (box_of[at], dims[at])) else {
            return [0; MAX_DIMENSIONS];
        };
        box_of[at] *= prime;
    }
    box_of.sort_unstable_by_key(|&side| std::cmp::Reverse(side));
    box_of
}

/// Prime factors of `n`, smallest first.
fn primes(mut n: u64) -> Vec<u64> {
    let (mut all, mut p) = (Vec::new(), 2);
    while p * p <= n {
        while n.is_multiple_of(p) {
            all.push(p);
            n /= p;
        }
        p += 1;
    }
    all.extend((n > 1).then_some(n));
    all
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
    use super::{even_share, rings};

    #[test]
    fn a_job_on_a_torus_is_a_box_near_a_cube() {
        let pod = [16, 16, 24];
        assert_eq!(rings(&pod, 128), [8, 4, 4, 0]);
        assert_eq!(rings(&pod, 2048), [16, 16, 8, 0]);
        assert_eq!(rings(&pod, 6144), [24, 16, 16, 0]);
        assert_eq!(rings(&[16, 16], 256), [16, 16, 0, 0]);
        // No box of a 16 x 16 torus holds seven; without dimensions nothing is known.
        assert_eq!(rings(&[16, 16], 7), [0; 4]);
        assert_eq!(rings(&[], 256), [0; 4]);
    }

    #[test]
    fn jobs_are_laid_evenly() {
        assert_eq!(even_share(72, 1, 256), 64);
        assert_eq!(even_share(72, 1, 144), 72);
        assert_eq!(even_share(8, 1, 4), 4);
        assert_eq!(even_share(8192, 64, 8192), 8192);
        assert_eq!(even_share(72, 4, 7 * 4), 28);
    }
}
