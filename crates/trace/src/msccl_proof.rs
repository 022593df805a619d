//! Whether an algorithm does what its name says: what every chunk holds, followed step by step.
//!
//! A chunk holds a sum of inputs `(rank, chunk)`. Steps are followed in one order in which they can
//! run; where two orders would give different sums, the algorithm has a race that only its own checks
//! for dependencies can find.

use crate::msccl::Algorithm;
use std::collections::{BTreeMap, VecDeque};

/// Most chunks moved and inputs held in all together: beyond it the data is not followed.
const MOST_HELD: usize = 1 << 24;

/// What a chunk holds: inputs `(rank, chunk)` and how often, sorted.
type Held = Vec<(u32, u32, u32)>;

fn sum(a: &[(u32, u32, u32)], b: &[(u32, u32, u32)]) -> Held {
    let mut all: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for &(rank, chunk, times) in a.iter().chain(b) {
        *all.entry((rank, chunk)).or_insert(0) += times;
    }
    all.into_iter().map(|((r, c), n)| (r, c, n)).collect()
}

/// Follows `steps`, in an order in which they can run; `meets` gives the receive of each send.
pub(crate) fn prove(
    algorithm: &Algorithm,
    steps: &[usize],
    meets: &[Option<usize>],
) -> Option<Result<(), String>> {
    let wanted = Wanted::of(algorithm)?;
    let ranks = algorithm.ranks as usize;
    // Every rank's chunks at the end, each with an input of every rank.
    let last = wanted.inputs.max(wanted.outputs).saturating_mul(wanted.ranks * wanted.ranks);
    if last > MOST_HELD as u64 {
        return None;
    }
    let mut rank_of = vec![0_u32; algorithm.steps.len()];
    for block in &algorithm.blocks {
        rank_of[block.steps.clone()].fill(block.rank);
    }
    // Buffers by rank: input, output, scratch; in place, input and output are one.
    let mut held: Vec<[BTreeMap<u64, Held>; 3]> = vec![Default::default(); ranks];
    for (rank, buffers) in held.iter_mut().enumerate() {
        for chunk in 0..wanted.inputs {
            let at = wanted.input_at(rank as u64, chunk);
            buffers[0].insert(at, vec![(rank as u32, chunk as u32, 1)]);
        }
    }
    let shared = |buffer: usize| if buffer == 1 && wanted.in_place { 0 } else { buffer };
    let mut flying: BTreeMap<usize, VecDeque<Held>> = BTreeMap::new();
    let mut total = 0;
    for &at in steps {
        let (step, rank) = (&algorithm.steps[at], rank_of[at] as usize);
        let mut sent = VecDeque::new();
        let mut received = flying.remove(&at).unwrap_or_default();
        for k in 0..step.count {
            let get = |(buffer, first): (usize, u64)| {
                held[rank][shared(buffer)].get(&(first + k)).cloned().unwrap_or_default()
            };
            let came = if step.kind.receives() {
                received.pop_front().unwrap_or_default()
            } else {
                get(step.source)
            };
            // `rrs` and its like add to their source; `re` adds its source to its destination.
            let base = if step.kind.receives() { step.source } else { step.destination };
            let value = if step.kind.reduces() { sum(&came, &get(base)) } else { came };
            total += 1 + value.len();
            if total > MOST_HELD {
                return None;
            }
            if step.kind.keeps() {
                let (buffer, first) = step.destination;
                held[rank][shared(buffer)].insert(first + k, value.clone());
            }
            if step.kind.sends() {
                sent.push_back(value);
            }
        }
        if let (true, Some(receive)) = (step.kind.sends(), meets[at]) {
            flying.insert(receive, sent);
        }
    }
    for (rank, buffers) in held.iter().enumerate() {
        for chunk in 0..wanted.outputs {
            let (at, expected) = wanted.output(rank as u64, chunk);
            let found = buffers[usize::from(!wanted.in_place)].get(&at);
            if found.map(Vec::as_slice) != Some(expected.as_slice()) {
                return Some(Err(format!(
                    "gpu `{rank}` does not end with chunk {at} of {}: it holds {} of {} inputs",
                    algorithm.collective,
                    found.map_or(0, Vec::len),
                    expected.len()
                )));
            }
        }
    }
    Some(Ok(()))
}

/// What a collective starts from and promises.
struct Wanted {
    word: String,
    ranks: u64,
    /// Chunks a rank starts with, and ends with.
    inputs: u64,
    outputs: u64,
    in_place: bool,
}

impl Wanted {
    fn of(algorithm: &Algorithm) -> Option<Self> {
        let (ranks, chunks) = (u64::from(algorithm.ranks), algorithm.chunks_per_loop);
        let word = algorithm.collective.to_lowercase().replace('_', "");
        let (inputs, outputs) = match word.as_str() {
            "allreduce" | "alltoall" => (chunks, chunks),
            "allgather" if chunks.is_multiple_of(ranks) => (chunks / ranks, chunks),
            "reducescatter" if chunks.is_multiple_of(ranks) => (chunks, chunks / ranks),
            _ => return None,
        };
        if word == "alltoall" && !chunks.is_multiple_of(ranks) {
            return None;
        }
        // An output buffer of its own is an algorithm out of place, whatever the flag allows.
        let apart = algorithm.buffers.iter().all(|b| b[1] > 0)
            && algorithm.steps.iter().any(|s| s.destination.0 == 1 || s.source.0 == 1);
        Some(Self { word, ranks, inputs, outputs, in_place: algorithm.in_place && !apart })
    }

    /// Where a rank's input chunk lies in its input buffer.
    fn input_at(&self, rank: u64, chunk: u64) -> u64 {
        let gathered = self.word == "allgather" && self.in_place;
        if gathered { rank * self.inputs + chunk } else { chunk }
    }

    /// Where a rank's output chunk lies, and the inputs it holds.
    fn output(&self, rank: u64, chunk: u64) -> (u64, Held) {
        let of_all = |c: u64| (0..self.ranks).map(|r| (r as u32, c as u32, 1)).collect();
        match self.word.as_str() {
            "allgather" => {
                let (from, own) = (chunk / self.inputs, chunk % self.inputs);
                (chunk, vec![(from as u32, own as u32, 1)])
            }
            "reducescatter" => {
                let global = rank * self.outputs + chunk;
                (if self.in_place { global } else { chunk }, of_all(global))
            }
            "alltoall" => {
                let each = self.outputs / self.ranks;
                let (from, k) = (chunk / each, chunk % each);
                (chunk, vec![(from as u32, (rank * each + k) as u32, 1)])
            }
            _ => (chunk, of_all(chunk)),
        }
    }
}
