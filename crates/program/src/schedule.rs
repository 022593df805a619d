//! Pipeline schedules: which stage lies where, what runs when, what is held in memory.

/// A pipeline schedule by its published name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schedule {
    /// All forward, then all backward (arXiv 1811.06965).
    GPipe,
    /// One forward, one backward (arXiv 2104.04473); interleaved when a rank has several chunks.
    OneFOneB,
    /// Zero-bubble with 1F1B's memory (arXiv 2401.10241).
    ZbH1,
    /// Zero-bubble with about twice 1F1B's memory (arXiv 2401.10241).
    ZbH2,
    /// Zero-bubble, two chunks in a V (arXiv 2405.15362).
    ZbV,
    /// Two chunks in a V with half of 1F1B's memory (arXiv 2405.15362).
    VHalf,
    /// Bidirectional, forward and backward overlapped (`DeepSeek`-V3 report).
    DualPipe,
    /// `DualPipe` cut in half: a V of two chunks.
    DualPipeV,
}

/// How often a rank runs each kind of pass alone and how often overlapped, over one step.
///
/// Passes are counted per chunk and micro-batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseCounts {
    /// Forward passes with nothing beside them.
    pub forward: f64,
    /// Backward passes (input and weight gradients) with nothing beside them.
    pub backward: f64,
    /// Input-gradient passes whose weight gradients run later.
    pub backward_input: f64,
    /// Weight-gradient passes run on their own.
    pub weight: f64,
    /// A forward and a whole backward pass of two micro-batches, overlapped.
    pub pair: f64,
}

impl Schedule {
    /// Every schedule with the word a plan uses.
    pub const WORDS: [(Self, &'static str); 8] = [
        (Self::GPipe, "gpipe"),
        (Self::OneFOneB, "1f1b"),
        (Self::ZbH1, "zb-h1"),
        (Self::ZbH2, "zb-h2"),
        (Self::ZbV, "zb-v"),
        (Self::VHalf, "v-half"),
        (Self::DualPipe, "dualpipe"),
        (Self::DualPipeV, "dualpipev"),
    ];

    /// The word a plan uses.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(s, _)| *s == self).map_or("?", |(_, w)| w)
    }

    /// Whether the next step's first passes begin before this step's last have ended: the
    /// zero-bubble schedules are published with optimizer steps that need no barrier (post-validation,
    /// arXiv 2401.10241 section 4), so that filling the pipeline costs nothing. Their step is the
    /// longest any rank takes from its first pass to its end.
    pub fn follows_on(self) -> bool {
        matches!(self, Self::ZbH2 | Self::ZbV | Self::VHalf)
    }

    /// Whether the ranks at the same distance from both ends hold the same two stages, so that each
    /// weight has two copies, whose gradients are summed (`DualPipe`).
    pub fn mirrored(self) -> bool {
        self == Self::DualPipe
    }

    /// Chunks of a rank, given the plan's virtual stages.
    pub fn chunks(self, virtual_stages: u64) -> u64 {
        match self {
            Self::ZbV | Self::VHalf | Self::DualPipe | Self::DualPipeV => 2,
            _ => virtual_stages,
        }
    }

    /// Stages the model is cut into.
    ///
    /// ```
    /// use program::Schedule;
    /// assert_eq!(Schedule::OneFOneB.stages(8, 4), 32);
    /// assert_eq!(Schedule::DualPipe.stages(16, 1), 16); // each rank holds two of the sixteen
    /// assert_eq!(Schedule::DualPipeV.stages(16, 1), 32);
    /// ```
    pub fn stages(self, ranks: u64, virtual_stages: u64) -> u64 {
        match self {
            Self::DualPipe => ranks,
            _ => ranks * self.chunks(virtual_stages),
        }
    }

    /// The stage that chunk `chunk` of `rank` holds.
    pub fn stage_of(self, ranks: u64, rank: u64, chunk: u64) -> u64 {
        match self {
            Self::ZbV | Self::VHalf | Self::DualPipeV if chunk == 1 => 2 * ranks - 1 - rank,
            Self::DualPipe if chunk == 1 => ranks - 1 - rank,
            _ => chunk * ranks + rank,
        }
    }

    /// Passes a chunk makes per step, as a share of the step's micro-batches: `DualPipe` sends half
    /// of them in at each end.
    pub fn chunk_share(self) -> f64 {
        if self == Self::DualPipe { 0.5 } else { 1.0 }
    }

    /// Most chunk-activations a rank holds at once (one micro-batch on one of its chunks each).
    ///
    /// `GPipe` m·v; 1F1B p - rank; interleaved warm-up 2(p-rank-1) + (v-1)p + 1; ZB-H1 p;
    /// ZB-H2 2p-1; ZB-V 2p; V-Half p+2 (the paper's p/2 of whole stages and the one being turned
    /// round); `DualPipe` and `DualPipeV` one more than the stages' number
    /// (`DualPipe` README; arXiv 2405.15362, 2205.05198). 1F1B that runs a forward beside a backward pass
    /// holds no more: block by block the one frees what the other fills, but for the block at hand.
    ///
    /// ```
    /// use program::Schedule;
    /// assert_eq!(Schedule::OneFOneB.in_flight(8, 1, 32, 0), 8);
    /// assert_eq!(Schedule::OneFOneB.in_flight(8, 1, 32, 7), 1);
    /// assert_eq!(Schedule::DualPipe.in_flight(16, 1, 120, 3), 17);
    /// ```
    pub fn in_flight(self, ranks: u64, virtual_stages: u64, micro_batches: u64, rank: u64) -> u64 {
        let (p, v, m) = (ranks, virtual_stages, micro_batches);
        match self {
            Self::GPipe => m * v,
            Self::OneFOneB if v == 1 => (p - rank).min(m),
            Self::OneFOneB => (2 * (p - rank - 1) + (v - 1) * p + 1).min(m * v),
            Self::ZbH1 => p.min(m),
            Self::ZbH2 => (2 * p - 1).min(m),
            Self::ZbV => (2 * p).min(2 * m),
            Self::VHalf => (p + 2).min(2 * m),
            Self::DualPipe => (p + 1).min(m),
            Self::DualPipeV => (2 * p + 1).min(2 * m),
        }
    }

    /// Micro-batches that a chunk runs backward before the rank turns to another chunk, at least: what
    /// shards gradients and keeps weights whole adds up so many before it scatters them.
    ///
    /// Interleaved 1F1B takes each chunk through p micro-batches (arXiv 2104.04473, figure 4); plain 1F1B
    /// has one chunk, whose run would end with the step and its gradients be whole until then; schedules
    /// in a V change chunks all the time. Not valid for `GPipe`, whose runs are longer.
    ///
    /// ```
    /// use program::Schedule;
    /// assert_eq!(Schedule::OneFOneB.backward_run(16, 4), 16);
    /// assert_eq!(Schedule::OneFOneB.backward_run(16, 1), 1);
    /// ```
    pub fn backward_run(self, ranks: u64, virtual_stages: u64) -> u64 {
        if self == Self::OneFOneB && virtual_stages > 1 { ranks } else { 1 }
    }

    /// How often `rank` runs each kind of pass, over all its chunks.
    ///
    /// The overlapped schedules follow the eight phases of `DualPipe`'s published code; in the
    /// second half of the cool-down weight gradients are put off to fill the bubble.
    ///
    /// ```
    /// use program::Schedule;
    /// let c = Schedule::DualPipe.phase_counts(16, 1, 120, 0);
    /// assert_eq!(c.forward + c.pair, 120.0);
    /// assert_eq!(c.backward + c.backward_input + c.pair, 120.0);
    /// assert_eq!(c.weight, c.backward_input);
    /// ```
    pub fn phase_counts(
        self,
        ranks: u64,
        virtual_stages: u64,
        micro_batches: u64,
        rank: u64,
    ) -> PhaseCounts {
        let (p, m) = (ranks as f64, micro_batches as f64);
        let all = m * self.chunks(virtual_stages) as f64 * self.chunk_share();
        match self {
            Self::GPipe | Self::OneFOneB => PhaseCounts {
                forward: all,
                backward: all,
                backward_input: 0.0,
                weight: 0.0,
                pair: 0.0,
            },
            Self::ZbH1 | Self::ZbH2 | Self::ZbV | Self::VHalf => PhaseCounts {
                forward: all,
                backward: 0.0,
                backward_input: all,
                weight: all,
                pair: 0.0,
            },
            Self::DualPipe => {
                let half = (p / 2.0).max(1.0);
                dual(half, rank.min(ranks - 1 - rank) as f64, all)
            }
            Self::DualPipeV => dual(p, rank as f64, all),
        }
    }

    /// Time a rank waits in a step, given the mean over ranks of a rank's times per micro-batch:
    /// forward, input gradient, weight gradient, and an overlapped pair. Seconds in, seconds out.
    ///
    /// `GPipe` and 1F1B (p-1)(F+B); interleaved that over v; ZB-H1 (p-1)(F+Bi-W); ZB-H2
    /// (p-1)(F+Bi-2W); V-Half half of 1F1B's; ZB-V zero when
    /// F = Bi = W, else (p-1)(F+Bi-2W)/2, which becomes two-chunk interleaving when weight
    /// gradients fill nothing; `DualPipe` (p/2-1)(F&B + B - 3W) and `DualPipeV` (p-1)(..)/2
    /// with its chunks half as long. Never negative. Sources: arXiv 2104.04473, 2401.10241,
    /// 2405.15362, `DualPipe` README. Exact for equal stages and free communication.
    pub fn bubble_s(self, ranks: u64, virtual_stages: u64, mean: StageMeans) -> f64 {
        let p = ranks as f64;
        let StageMeans { forward, backward_input, weight, pair } = mean;
        let backward = backward_input + weight;
        let idle = match self {
            Self::GPipe | Self::OneFOneB => {
                (p - 1.0) * (forward + backward) / self.chunks(virtual_stages) as f64
            }
            Self::ZbH1 => (p - 1.0) * (forward + backward_input - weight),
            Self::ZbH2 => (p - 1.0) * (forward + backward_input - 2.0 * weight),
            Self::ZbV => (p - 1.0) * (forward + backward_input - 2.0 * weight) / 2.0,
            Self::VHalf => (p - 1.0) * (forward + backward) / 2.0,
            // Means are per micro-batch and rank: one chunk of DualPipe, two of DualPipeV.
            Self::DualPipe => (p / 2.0 - 1.0) * (pair + backward - 3.0 * weight),
            Self::DualPipeV => (p - 1.0) * (pair + backward - 3.0 * weight) / 2.0,
        };
        idle.max(0.0)
    }
}

/// Time that rank `r` of plain 1F1B waits in a step when stages are unequal and `r` is the slowest.
///
/// It waits for its first micro-batch and for the return of its last through the stages before it,
/// Σ(F+B) over i < r; for the first gradient from the stages after it, less the w = p-1-r forward
/// passes it makes meanwhile, max(0, Σ(F+B) - w·F_r); and in the cool-down for each of w gradients
/// that come at the pace of the stages after it, w·max(0, mean(F+B) - B_r). Equal stages give
/// (p-1)(F+B). Derived here; checked against a replay.
///
/// ```
/// use program::{StageMeans, idle_1f1b};
/// let equal = [StageMeans { forward: 1.0, backward_input: 1.0, weight: 1.0, pair: 3.0 }; 4];
/// assert!((0..4).all(|r| idle_1f1b(&equal, r) == 9.0));
/// ```
pub fn idle_1f1b(ranks: &[StageMeans], r: usize) -> f64 {
    let sum = |part: &[StageMeans]| part.iter().map(StageMeans::both).sum::<f64>();
    idle_1f1b_between(sum(&ranks[..r]), &ranks[r], sum(&ranks[r + 1..]), ranks.len() - 1 - r)
}

/// [`idle_1f1b`] of a rank that takes `own`, with the sums of forward and backward times of the
/// stages `before` and `after` it and its number `warm` of stages after it. Seconds.
pub fn idle_1f1b_between(before: f64, own: &StageMeans, after: f64, warm: usize) -> f64 {
    if warm == 0 {
        return before;
    }
    let warm = warm as f64;
    let first = (after - warm * own.forward).max(0.0);
    let last = warm * (after / warm - (own.backward_input + own.weight)).max(0.0);
    before + first + last
}

/// Mean times over ranks of one micro-batch on all of a rank's chunks that it passes. Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageMeans {
    /// Forward.
    pub forward: f64,
    /// Input gradients.
    pub backward_input: f64,
    /// Weight gradients.
    pub weight: f64,
    /// Forward and backward of two micro-batches overlapped.
    pub pair: f64,
}

impl StageMeans {
    /// Forward and backward together.
    pub fn both(&self) -> f64 {
        self.forward + self.backward_input + self.weight
    }
}

/// `DualPipe`'s eight phases for the rank `r` steps from the end, `half` ranks a side.
fn dual(half: f64, r: f64, all: f64) -> PhaseCounts {
    let (outer, inner) = (half - r - 1.0, r + 1.0);
    // 1: 2·outer F; 2: inner pairs of F; 3: outer (B input, W, F); 4: main pairs; 5: outer (B, pair);
    // 6: inner pairs of B, the second half of them zero-bubble; 7: outer (W, B input); 8: inner W.
    let forward = (2.0 * outer + 2.0 * inner + outer).min(all);
    let pair = all - forward;
    let solo = all - pair;
    let backward_input = (outer + inner + outer).min(solo);
    PhaseCounts {
        forward,
        backward: solo - backward_input,
        backward_input,
        weight: backward_input,
        pair,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_bubbles_are_the_published_ratios() {
        let mean = StageMeans { forward: 1.0, backward_input: 1.0, weight: 1.0, pair: 3.0 };
        let plain = Schedule::OneFOneB.bubble_s(8, 1, mean);
        assert_eq!(plain, 21.0);
        assert_eq!(Schedule::OneFOneB.bubble_s(8, 3, mean), plain / 3.0);
        assert_eq!(Schedule::ZbH1.bubble_s(8, 1, mean), plain / 3.0);
        assert_eq!(Schedule::ZbV.bubble_s(8, 1, mean), 0.0);
        assert_eq!(Schedule::DualPipe.bubble_s(8, 1, mean), 3.0 * (3.0 + 2.0 - 3.0));
    }

    #[test]
    fn every_stage_lies_on_one_rank() {
        for (schedule, _) in Schedule::WORDS {
            for (p, v) in [(4, 1), (8, 3)] {
                let stages = schedule.stages(p, v);
                let mut held: Vec<u64> = (0..p)
                    .flat_map(|r| (0..schedule.chunks(v)).map(move |c| schedule.stage_of(p, r, c)))
                    .collect();
                held.sort_unstable();
                held.dedup();
                assert_eq!(held, (0..stages).collect::<Vec<_>>(), "{schedule:?}");
            }
        }
    }

    #[test]
    fn passes_are_conserved() {
        for (schedule, _) in Schedule::WORDS {
            for rank in 0..8 {
                let c = schedule.phase_counts(8, 2, 40, rank);
                let all = 40.0 * schedule.chunks(2) as f64 * schedule.chunk_share();
                assert_eq!(c.forward + c.pair, all, "{schedule:?}");
                assert_eq!(c.backward + c.backward_input + c.pair, all, "{schedule:?}");
                assert_eq!(c.weight, c.backward_input, "{schedule:?}");
            }
        }
    }
}
