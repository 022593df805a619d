//! A cluster's fabric as channels, and a communication group as its footprint on them.
//!
//! Groups that straddle instances are priced by their worst footprint. Not valid for faults or uneven
//! links: those need the graph.
use catalog::{Cluster, Concurrent, Wiring};

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
    /// Whether a full mesh relays through members outside the group.
    pub detour: bool,
    /// Whether its switches stand above those of the level below, so that what crosses it leaves a chip
    /// through that level's ports.
    pub trunk: bool,
    /// For which groups the library uses its switches at the same time as the full meshes below.
    pub concurrent: Concurrent,
    /// Rate that a full mesh borrows from the switches above it. Bytes/s; 0 if none.
    pub borrowed_bytes_per_s: f64,
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

    /// Rate of a rank at this level in a group of `fan` of its members, where all members work in
    /// such groups at once.
    ///
    /// On a full mesh of F only the links to the `fan` - 1 others carry anything; with `detour` the
    /// other F - `fan` links carry relayed bytes, each over two of them. What is borrowed is on top
    /// and at its best: nothing else is taken to use those switches. On a torus only the links of the
    /// dimensions that the group lies on carry anything.
    pub fn usable(&self, fan: u64) -> f64 {
        if self.wiring == Wiring::Torus && self.dimensions() > 0 {
            let used = self.along(fan).count() as f64 / self.dimensions() as f64;
            return self.bytes_per_s * used;
        }
        if self.wiring != Wiring::FullMesh || self.fan <= 1 {
            return self.bytes_per_s;
        }
        let (links, direct) = ((self.fan - 1) as f64, fan.saturating_sub(1) as f64);
        let idle = if self.detour { (links - direct).max(0.0) / 2.0 } else { 0.0 };
        self.bytes_per_s * ((direct + idle) / links).min(1.0) + self.borrowed_bytes_per_s
    }
}

/// A cluster's levels as one job sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Fabric {
    channels: Vec<Channel>,
    ranks: u64,
}

/// A group's footprint: how its members lie in the instances of each level, innermost first.
///
/// Where groups lie differently (some straddle two instances), each figure is the worst over all
/// groups of the axis, since the step waits for the slowest. Regular groups have one footprint:
/// `least` and `most` are the product of `fan` up to their level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Most instances of the level below that a group touches inside one instance of the level.
    pub fan: [u64; MAX_LEVELS],
    /// Fewest members in an instance that a group touches: all of them share its way out.
    pub least: [u64; MAX_LEVELS],
    /// Most members in one instance.
    pub most: [u64; MAX_LEVELS],
    /// Most instances that a group touches.
    pub touched: [u64; MAX_LEVELS],
}

impl Fabric {
    /// The fabric of `cluster` for a job of `ranks` ranks, at the figures' present values.
    ///
    /// The job is laid evenly: every instance of a level holds the same number of its ranks, the
    /// largest that the level's size allows and that divides the job (64 of an NVL72's 72 for a job
    /// of 256), as schedulers do for regular grids. A job that the cluster does not hold so (100,000
    /// ranks on 98 pods of 1,024 chips) is packed: ranks fill the chips in order, and the last
    /// instance of each level is part filled.
    ///
    /// # Panics
    /// If the cluster has more than [`MAX_LEVELS`] levels, which its parser refuses.
    pub fn new(cluster: &Cluster, ranks: u64) -> Self {
        let levels = &cluster.levels;
        assert!(levels.len() <= MAX_LEVELS, "more than {MAX_LEVELS} levels");
        let (mut below, mut size_below) = (1_u64, 1_u64);
        let mut shares = [1; MAX_LEVELS];
        let mut even = true;
        for (share, level) in shares.iter_mut().zip(levels) {
            let most = (level.size / size_below).max(1).saturating_mul(below);
            *share = even_share(most, below, ranks);
            let there = cluster.chips.div_ceil(level.size);
            even &= ranks.is_multiple_of(*share) && ranks / *share <= there;
            (below, size_below) = (*share, level.size);
        }
        (below, size_below) = (1, 1);
        let channels = levels.iter().zip(shares).map(|(level, share)| {
            let held = if even { share } else { level.size.min(ranks) };
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
                detour: level.cabling.detour,
                trunk: level.cabling.trunk,
                concurrent: level.cabling.concurrent,
                borrowed_bytes_per_s: 0.0,
            };
            (below, size_below) = (held, level.size);
            channel
        });
        let mut fabric = Self { channels: channels.collect(), ranks };
        for (index, _) in levels.iter().enumerate().filter(|l| l.1.cabling.borrow) {
            let above = fabric.channels[index..].iter().find(|c| c.wiring == Wiring::Switch);
            fabric.channels[index].borrowed_bytes_per_s = above.map_or(0.0, |c| c.bytes_per_s);
        }
        fabric
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

    /// The footprint of the groups of `size` ranks, `stride` apart.
    ///
    /// ```
    /// # use fabric::{Fabric, Span};
    /// let cluster = catalog::cluster("dgx-h100").unwrap();
    /// let fabric = Fabric::new(&cluster, 64);
    /// assert_eq!(fabric.span(1, 64).fan[..2], [8, 8]);
    /// assert_eq!(fabric.span(8, 8).fan[..2], [1, 8]);
    /// // Groups of 32 lie in 4 nodes of 8; groups of 12 straddle: 8 and 4, or 4 and 8.
    /// let ragged = Fabric::new(&cluster, 48).span(1, 12);
    /// assert_eq!((ragged.least[0], ragged.most[0], ragged.touched[0]), (4, 8, 2));
    /// ```
    pub fn span(&self, stride: u64, size: u64) -> Span {
        let one = [1; MAX_LEVELS];
        let all = [size; MAX_LEVELS];
        let mut span = Span { fan: one, least: all, most: all, touched: one };
        let last = self.channels.len() - 1;
        for (level, channel) in self.channels[..last].iter().enumerate() {
            let parts = self.parts(channel.ranks, stride, size);
            (span.least[level], span.most[level], span.touched[level]) = parts;
        }
        for level in 0..=last {
            let held = span.most[level];
            span.fan[level] = match level {
                0 => held,
                _ if held == size => span.touched[level - 1],
                _ => {
                    let (_, _, touched) = self.parts(self.channels[level - 1].ranks, stride, held);
                    touched.min(span.touched[level - 1]).min(self.channels[level].fan)
                }
            };
        }
        span
    }

    /// Fewest and most members of a group in an instance of `held` ranks, and most instances that a
    /// group touches, over all groups of `size` ranks `stride` apart.
    fn parts(&self, held: u64, stride: u64, size: u64) -> (u64, u64, u64) {
        let extent = stride.saturating_mul(size);
        if held >= self.ranks || held.is_multiple_of(extent) {
            return (size, size, 1);
        }
        if stride >= held {
            return (1, 1, size);
        }
        if held.is_multiple_of(stride) && extent.is_multiple_of(held) {
            return (held / stride, held / stride, extent / held);
        }
        let (mut least, mut most, mut touched) = (size, 1, 1);
        let blocks = (self.ranks / extent).max(1);
        let (mut base, mut block) = (0, 0);
        // Where groups begin inside an instance repeats after at most `held` blocks.
        while block == 0 || (block < blocks && base != 0) {
            // Of the groups that interleave, those at the ends, and around an instance's end.
            for begin in [base, held - 1, held, base + stride - 1] {
                if begin < base || begin >= base + stride {
                    continue;
                }
                let begin = begin % held;
                let first = (held - begin).div_ceil(stride).min(size);
                let rest = size - first;
                let full = held / stride;
                let tail = if full > 0 { rest % full } else { 0 };
                least = least.min(first);
                most = most.max(first);
                if rest > 0 {
                    least = least.min(if tail > 0 { tail } else { full });
                    most = most.max(rest.min(held.div_ceil(stride)));
                }
                touched = touched.max((begin + (size - 1) * stride) / held + 1);
            }
            base = (base + extent) % held;
            block += 1;
        }
        (least, most, touched)
    }
}

impl Span {
    /// Members of the group.
    pub fn size(&self) -> u64 {
        self.most[MAX_LEVELS - 1]
    }

    /// The outermost level the group crosses, if it has more than one member.
    pub fn outermost(&self) -> Option<usize> {
        self.fan.iter().rposition(|&f| f > 1)
    }

    /// Most members in one instance of the level below `level`, fewest there, and the most such
    /// instances that the group touches; below the innermost every member is on its own.
    pub fn below(&self, level: usize) -> (u64, u64, u64) {
        match level.checked_sub(1) {
            Some(below) => (self.most[below], self.least[below], self.touched[below]),
            None => (1, 1, self.size()),
        }
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
    use super::{Channel, Fabric, even_share, rings};
    use catalog::{Concurrent, Wiring};

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
    fn idle_links_and_switches_carry_what_they_can() {
        let cluster = catalog::cluster("ub-mesh-8192").expect("shipped");
        let row = Fabric::new(&cluster, 8192).channels()[2];
        let links = |n: f64| n * 14e9 * 2.0 * 0.85;
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        // Two of four racks: one direct link of two lanes; with detours the two idle ones of each
        // are worth one more, and the four lanes to the switches come on top.
        let plain = Channel { detour: false, borrowed_bytes_per_s: 0.0, ..row };
        assert!(near(plain.usable(2), links(1.0)));
        let detour = Channel { borrowed_bytes_per_s: 0.0, ..row };
        assert!(near(detour.usable(2), links(2.0)));
        assert!(near(row.usable(2), links(4.0)));
        // All four: nothing is idle.
        assert!(near(plain.usable(4), links(3.0)) && near(detour.usable(4), links(3.0)));
    }

    #[test]
    fn jobs_are_laid_evenly() {
        assert_eq!(even_share(72, 1, 256), 64);
        assert_eq!(even_share(72, 1, 144), 72);
        assert_eq!(even_share(8, 1, 4), 4);
        assert_eq!(even_share(8192, 64, 8192), 8192);
        assert_eq!(even_share(72, 4, 7 * 4), 28);
    }

    #[test]
    fn what_no_even_layout_holds_is_packed() {
        let cluster = catalog::cluster("atlas-950-98-pods-1024").unwrap();
        let held = |ranks| Fabric::new(&cluster, ranks).channels[..3].to_vec();
        assert_eq!(held(98_304).iter().map(|c| c.ranks).collect::<Vec<_>>(), [8, 64, 1024]);
        assert_eq!(held(100_000).iter().map(|c| c.ranks).collect::<Vec<_>>(), [8, 64, 1024]);
        // Twenty-five data groups of 4,000: some have 32 ranks in their first or last pod.
        let span = Fabric::new(&cluster, 100_000).span(1, 4000);
        assert_eq!((span.least[2], span.most[2], span.touched[2]), (32, 1024, 5));
        // A power of two never straddles.
        let span = Fabric::new(&cluster, 100_000).span(1, 32);
        assert_eq!((span.least[1], span.touched[1]), (32, 1));
    }

    /// Footprints against members counted one by one.
    #[test]
    fn parts_are_what_counting_finds() {
        let mut compared = 0;
        for held in [4, 6, 8, 10] {
            for stride in [1, 2, 3, 4, 5, 7] {
                for size in [1, 2, 3, 4, 5, 8, 12, 25] {
                    for blocks in [1, 2, 3, 7] {
                        let ranks: u64 = blocks * stride * size;
                        if held >= ranks {
                            continue;
                        }
                        let channel = Channel {
                            wiring: Wiring::Switch,
                            fan: held,
                            ranks: held,
                            bytes_per_s: 1.0,
                            latency_s: 0.0,
                            reduces: false,
                            reduction_channels: [0; 2],
                            rings: [0; 4],
                            detour: false,
                            trunk: false,
                            concurrent: Concurrent::Never,
                            borrowed_bytes_per_s: 0.0,
                        };
                        let fabric = Fabric { channels: vec![channel; 2], ranks };
                        let (least, most, touched) = fabric.parts(held, stride, size);
                        let counted = counted(held, stride, size, blocks);
                        let what = format!("{held} {stride} {size} {blocks}");
                        if held % stride == 0 {
                            assert_eq!((least, most, touched), counted, "{what}");
                        } else {
                            let near =
                                least.abs_diff(counted.0) <= 1 && most.abs_diff(counted.1) <= 1;
                            assert!(
                                near && touched == counted.2,
                                "{what}: {least} {most}, {counted:?}"
                            );
                        }
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 500, "{compared}");
    }

    fn counted(held: u64, stride: u64, size: u64, blocks: u64) -> (u64, u64, u64) {
        let (mut least, mut most, mut touched) = (u64::MAX, 0, 0);
        for block in 0..blocks {
            for begin in 0..stride {
                let first = block * stride * size + begin;
                let mut parts = std::collections::BTreeMap::new();
                for i in 0..size {
                    *parts.entry((first + i * stride) / held).or_insert(0_u64) += 1;
                }
                least = least.min(*parts.values().min().unwrap());
                most = most.max(*parts.values().max().unwrap());
                touched = touched.max(parts.len() as u64);
            }
        }
        (least, most, touched)
    }
}
