//! Passes of a rank in order: what a schedule makes every rank run.

use crate::schedule::Schedule;

/// What a pass computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PassKind {
    /// Forward.
    Forward,
    /// Backward: input and weight gradients.
    Backward,
    /// Input gradients only.
    BackwardInput,
    /// Weight gradients put off.
    Weight,
    /// A forward and a whole backward pass of two micro-batches at the same time.
    Pair,
}

/// One pass of a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pass {
    /// What is computed.
    pub kind: PassKind,
    /// Chunk of the rank (of a pair: the forward one).
    pub chunk: u32,
    /// Micro-batch (of a pair: the forward one).
    pub micro_batch: u32,
    /// Of a pair, chunk and micro-batch of the backward pass.
    pub back: Option<(u32, u32)>,
}

impl Pass {
    /// A pass of `kind` for one micro-batch on one chunk.
    pub fn new(kind: PassKind, chunk: u32, micro_batch: u32) -> Self {
        Self { kind, chunk, micro_batch, back: None }
    }

    /// A forward pass beside a backward pass, each `(chunk, micro-batch)`.
    pub fn pair(forward: (u32, u32), back: (u32, u32)) -> Self {
        Self { kind: PassKind::Pair, chunk: forward.0, micro_batch: forward.1, back: Some(back) }
    }

    /// Chunk and micro-batch that go forward here.
    pub fn forward(&self) -> Option<(u32, u32)> {
        matches!(self.kind, PassKind::Forward | PassKind::Pair)
            .then_some((self.chunk, self.micro_batch))
    }

    /// Chunk and micro-batch whose input gradients are made here.
    pub fn backward(&self) -> Option<(u32, u32)> {
        match self.kind {
            PassKind::Backward | PassKind::BackwardInput => Some((self.chunk, self.micro_batch)),
            PassKind::Pair => self.back,
            PassKind::Forward | PassKind::Weight => None,
        }
    }

    /// Chunk and micro-batch whose weight gradients are made here.
    pub fn weight(&self) -> Option<(u32, u32)> {
        match self.kind {
            PassKind::Backward | PassKind::Weight => Some((self.chunk, self.micro_batch)),
            PassKind::Pair => self.back,
            PassKind::Forward | PassKind::BackwardInput => None,
        }
    }
}

/// Every rank's passes in order, with the stage each chunk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// One list per pipeline rank.
    pub ranks: Vec<Vec<Pass>>,
    /// Stage of each chunk of each rank: `[rank][chunk]`.
    pub stages: Vec<Vec<u32>>,
    /// Micro-batches of a step.
    pub micro_batches: u32,
}

/// When a rank of a timetable began and ended, and how long it worked between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RankRun {
    /// Begin of the first pass.
    pub start: u64,
    /// End of the last.
    pub end: u64,
    /// Sum of its passes.
    pub busy: u64,
}

impl RankRun {
    /// Waiting between its first and its last pass: what papers call bubble.
    pub fn idle(&self) -> u64 {
        self.end - self.start - self.busy
    }
}

impl Timetable {
    /// The timetable of a schedule for `ranks` pipeline ranks, `virtual_stages` chunks where the
    /// plan chooses them, and `micro_batches`. With `batch_overlap`, 1F1B pairs the forward and the
    /// backward pass of its steady state (Megatron's `--overlap-moe-expert-parallel-comm`).
    ///
    /// ```
    /// use program::{Schedule, Timetable};
    /// let t = Timetable::new(Schedule::ZbH1, 4, 1, 8, false);
    /// let runs = t.replay(|_, _| 1, 0).unwrap();
    /// // Three units a micro-batch, and the published (p-1)(F+Bi-W) of waiting.
    /// assert_eq!(runs.iter().map(|r| r.end).max(), Some(8 * 3 + 3));
    /// ```
    pub fn new(
        schedule: Schedule,
        ranks: u64,
        virtual_stages: u64,
        micro_batches: u64,
        batch_overlap: bool,
    ) -> Self {
        let chunks = schedule.chunks(virtual_stages);
        let shape = crate::orders::Shape {
            ranks: ranks as u32,
            chunks: chunks as u32,
            micro_batches: micro_batches as u32,
        };
        let stages = (0..ranks)
            .map(|r| (0..chunks).map(|c| schedule.stage_of(ranks, r, c) as u32).collect())
            .collect();
        let ranks = crate::orders::orders(schedule, shape, batch_overlap);
        Self { ranks, stages, micro_batches: micro_batches as u32 }
    }

    /// Stages of the pipeline.
    pub fn stage_count(&self) -> u32 {
        self.stages.iter().flatten().max().map_or(0, |s| s + 1)
    }

    /// Runs every pass as soon as its rank is free and its inputs are there; `cost` is a pass's
    /// duration on a rank, `send` the time of a message between ranks, both in a unit of the
    /// caller's. A pair hands on both results at its end.
    ///
    /// # Errors
    /// The order waits for itself: the first rank that cannot go on and its next pass.
    pub fn replay(
        &self,
        cost: impl Fn(usize, &Pass) -> u64,
        send: u64,
    ) -> Result<Vec<RankRun>, Stuck> {
        let mut done = Done::new(self);
        let mut runs = vec![RankRun::default(); self.ranks.len()];
        let mut next = vec![0_usize; self.ranks.len()];
        loop {
            let mut moved = false;
            for rank in 0..self.ranks.len() {
                while let Some(pass) = self.ranks[rank].get(next[rank]) {
                    let Some(ready) = done.ready(self, rank, pass, send) else { break };
                    let begin = runs[rank].end.max(ready);
                    if next[rank] == 0 {
                        runs[rank].start = begin;
                    }
                    let took = cost(rank, pass);
                    runs[rank].end = begin + took;
                    runs[rank].busy += took;
                    done.finish(self, rank, pass, runs[rank].end);
                    next[rank] += 1;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        match (0..self.ranks.len()).find(|&r| next[r] < self.ranks[r].len()) {
            Some(rank) => Err(Stuck { rank, pass: self.ranks[rank][next[rank]] }),
            None => Ok(runs),
        }
    }

    /// Most chunk-activations (one micro-batch on one chunk each) a rank holds at once: from a
    /// forward pass until the weight gradients of the same micro-batch are done.
    pub fn most_held(&self, rank: usize) -> u64 {
        let (mut held, mut most) = (0_u64, 0);
        for pass in &self.ranks[rank] {
            held += u64::from(pass.forward().is_some());
            most = most.max(held);
            held -= u64::from(pass.weight().is_some()).min(held);
        }
        most
    }

    /// What makes the timetable wrong; empty if every micro-batch passes every stage once forward,
    /// once backward and once for its weights, and no order waits for itself.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (stages, m) = (self.stage_count() as usize, self.micro_batches as usize);
        let mut counts = vec![[0_u8; 3]; stages * m];
        for (rank, passes) in self.ranks.iter().enumerate() {
            for pass in passes {
                let parts = [pass.forward(), pass.backward(), pass.weight()];
                for (which, (chunk, micro)) in
                    parts.iter().enumerate().filter_map(|(i, of)| of.map(|of| (i, of)))
                {
                    let stage = self.stages[rank].get(chunk as usize);
                    let Some(&stage) = stage.filter(|_| (micro as usize) < m) else {
                        // One wrong size makes all passes wrong.
                        if found.len() < 8 {
                            found.push(format!("rank {rank} runs {pass:?}, which is not there"));
                        }
                        continue;
                    };
                    let count = &mut counts[stage as usize * m + micro as usize][which];
                    *count = count.saturating_add(1);
                }
            }
        }
        if let Some(at) = counts.iter().position(|c| *c != [1, 1, 1]) {
            found.push(format!(
                "micro-batch {} passes stage {} {:?} times forward, backward and for its weights",
                at % m,
                at / m,
                counts[at]
            ));
        }
        if found.is_empty()
            && let Err(stuck) = self.replay(|_, _| 1, 0)
        {
            found.push(format!("rank {} waits for ever before {:?}", stuck.rank, stuck.pass));
        }
        found
    }
}

/// Where a timetable waits for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The rank that cannot go on.
    pub rank: usize,
    /// Its next pass.
    pub pass: Pass,
}

/// When forward, backward and weight passes ended, by stage and micro-batch.
struct Done {
    micro_batches: usize,
    /// `(end, rank)`, by `stage * micro_batches + micro_batch`.
    forward: Vec<Option<(u64, usize)>>,
    backward: Vec<Option<(u64, usize)>>,
}

impl Done {
    fn new(table: &Timetable) -> Self {
        let micro_batches = table.micro_batches as usize;
        let all = table.stage_count() as usize * micro_batches;
        Self { micro_batches, forward: vec![None; all], backward: vec![None; all] }
    }

    fn at(&self, table: &Timetable, rank: usize, of: (u32, u32)) -> (usize, usize) {
        let stage = table.stages[rank][of.0 as usize] as usize;
        (stage, stage * self.micro_batches + of.1 as usize)
    }

    /// When the inputs of a pass are on its rank; `None` if one is not made yet.
    fn ready(&self, table: &Timetable, rank: usize, pass: &Pass, send: u64) -> Option<u64> {
        let mut ready = 0;
        let arrive = |(end, from): (u64, usize)| if from == rank { end } else { end + send };
        if let Some(of) = pass.forward() {
            let (stage, at) = self.at(table, rank, of);
            if stage > 0 {
                ready = ready.max(arrive(self.forward[at - self.micro_batches]?));
            }
        }
        if let Some(of) = pass.backward() {
            let (stage, at) = self.at(table, rank, of);
            ready = ready.max(self.forward[at]?.0);
            if stage + 1 < table.stage_count() as usize {
                ready = ready.max(arrive(self.backward[at + self.micro_batches]?));
            }
        } else if let Some(of) = pass.weight() {
            ready = ready.max(self.backward[self.at(table, rank, of).1]?.0);
        }
        Some(ready)
    }

    fn finish(&mut self, table: &Timetable, rank: usize, pass: &Pass, end: u64) {
        if let Some(of) = pass.forward() {
            let at = self.at(table, rank, of).1;
            self.forward[at] = Some((end, rank));
        }
        if let Some(of) = pass.backward() {
            let at = self.at(table, rank, of).1;
            self.backward[at] = Some((end, rank));
        }
    }
}
