//! V-Half's order, found by running it with equal costs under a bound on memory.

use crate::orders::Shape;
use crate::passes::{Pass, PassKind};
use PassKind::{BackwardInput, Forward, Weight};

/// What each rank has done, by chunk.
#[derive(Clone, Default)]
struct Rank {
    order: Vec<Pass>,
    forward: [u32; 2],
    back: [u32; 2],
    weight: [u32; 2],
}

/// Half of 1F1B's memory on a V of two chunks (arXiv 2405.15362).
///
/// The paper gives the repeating block; this fills the same V greedily, each pass one unit long: input
/// gradients first, then forward passes as far as memory goes, weight gradients in what is left. A
/// rank holds at most p+2 chunk-activations of 1F1B's 2p: of its first chunk p+1-r/2, as they live
/// long before the turn and briefly behind it; of its second 2+r/2, the other way round.
pub(crate) fn v_half(shape: Shape) -> Vec<Vec<Pass>> {
    let (p, m) = (shape.ranks as usize, shape.micro_batches);
    let mut ranks = vec![Rank::default(); p];
    let all = 6 * m as usize;
    // By stage and micro-batch: the time from which the next stage may use it.
    let mut done = [vec![u64::MAX; 2 * p * m as usize], vec![u64::MAX; 2 * p * m as usize]];
    let mut now = 0;
    while ranks.iter().any(|r| r.order.len() < all) {
        for (rank, state) in ranks.iter_mut().enumerate() {
            let Some(pass) = choose(state, rank, p, m, &done, now) else { continue };
            let (chunk, micro) = (pass.chunk as usize, pass.micro_batch as usize);
            let at = stage(rank, chunk, p) * m as usize + micro;
            match pass.kind {
                Forward => {
                    state.forward[chunk] += 1;
                    done[0][at] = now + 1;
                }
                BackwardInput => {
                    state.back[chunk] += 1;
                    done[1][at] = now + 1;
                }
                _ => state.weight[chunk] += 1,
            }
            state.order.push(pass);
        }
        now += 1;
    }
    ranks.into_iter().map(|r| r.order).collect()
}

fn stage(rank: usize, chunk: usize, ranks: usize) -> usize {
    if chunk == 0 { rank } else { 2 * ranks - 1 - rank }
}

fn choose(
    state: &Rank,
    rank: usize,
    p: usize,
    m: u32,
    done: &[Vec<u64>; 2],
    now: u64,
) -> Option<Pass> {
    let stages = 2 * p;
    let at = |stage: usize, micro: u32| stage * m as usize + micro as usize;
    for chunk in [1, 0] {
        let (s, i) = (stage(rank, chunk, p), state.back[chunk]);
        let known = i < state.forward[chunk] && done[0][at(s, i)] <= now;
        if known && (s + 1 == stages || done[1][at(s + 1, i)] <= now) {
            return Some(Pass::new(BackwardInput, chunk as u32, i));
        }
    }
    let held = [0, 1].map(|c| (state.forward[c] - state.weight[c]) as usize);
    let most = [p - rank / 2 + 1, rank.div_ceil(2) + 2];
    for chunk in [1, 0] {
        let (s, i) = (stage(rank, chunk, p), state.forward[chunk]);
        // The first chunk leaves room for the second, without which nothing would be freed.
        let kept_free = usize::from(chunk == 0 && held[1] == 0);
        let room = held[chunk] < most[chunk] && held[0] + held[1] + kept_free < p + 2;
        if i < m && room && (s == 0 || done[0][at(s - 1, i)] <= now) {
            return Some(Pass::new(Forward, chunk as u32, i));
        }
    }
    let owed = [1, 0].into_iter().find(|&c| state.weight[c] < state.back[c])?;
    Some(Pass::new(Weight, owed as u32, state.weight[owed]))
}
