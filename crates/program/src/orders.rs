//! The order of passes on every rank, schedule by schedule.
//!
//! Each order is fixed before anything is timed, as the frameworks fix theirs; what depends on costs
//! is only when a pass can begin.

use crate::passes::{Pass, PassKind};
use crate::schedule::Schedule;
use PassKind::{Backward, BackwardInput, Forward, Weight};
use std::collections::VecDeque;

/// Sizes of a pipeline.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub ranks: u32,
    pub chunks: u32,
    pub micro_batches: u32,
}

pub(crate) fn orders(schedule: Schedule, shape: Shape, batch_overlap: bool) -> Vec<Vec<Pass>> {
    let each = |order: &dyn Fn(u32) -> Vec<Pass>| (0..shape.ranks).map(order).collect();
    match schedule {
        Schedule::GPipe => each(&|_| gpipe(shape)),
        Schedule::OneFOneB if batch_overlap => each(&|r| batch_overlapped(shape, r)),
        Schedule::OneFOneB => each(&|r| one_f_one_b(shape, r)),
        Schedule::ZbH1 => each(&|r| split_1f1b(shape, shape.ranks - r, r)),
        Schedule::ZbH2 => each(&|r| split_1f1b(shape, 2 * (shape.ranks - r) - 1, 2 * r)),
        Schedule::ZbV => each(&|r| zb_v(shape, r)),
        Schedule::VHalf => crate::listing::v_half(shape),
        Schedule::DualPipe => each(&|r| dual_pipe(shape, r)),
        Schedule::DualPipeV => each(&|r| dual(Dual::of_v(shape, r))),
    }
}

/// All forward, then all backward from the last micro-batch, whose activations are newest.
fn gpipe(shape: Shape) -> Vec<Pass> {
    let (v, m) = (shape.chunks, shape.micro_batches);
    let forward = (0..v).flat_map(|c| (0..m).map(move |i| Pass::new(Forward, c, i)));
    let back = (0..v).rev().flat_map(|c| (0..m).rev().map(move |i| Pass::new(Backward, c, i)));
    forward.chain(back).collect()
}

/// Chunk and micro-batch of a rank's `k`-th forward pass (backward: chunks from the last): groups of
/// `ranks` micro-batches pass chunk after chunk (arXiv 2104.04473, figure 4).
fn interleaved(shape: Shape, k: u32, back: bool) -> (u32, u32) {
    let (p, v) = (shape.ranks, shape.chunks);
    let (group, inside) = (k / (p * v), k % (p * v));
    let chunk = inside / p;
    let chunk = if back { v - 1 - chunk } else { chunk };
    (chunk, group * p + inside % p)
}

/// Forward passes before the first backward pass of 1F1B, plain or interleaved.
fn warm_up(shape: Shape, rank: u32) -> u32 {
    let (p, v) = (shape.ranks, shape.chunks);
    let ahead = if v == 1 { p - rank - 1 } else { 2 * (p - rank - 1) + (v - 1) * p };
    ahead.min(shape.micro_batches * v)
}

fn one_f_one_b(shape: Shape, rank: u32) -> Vec<Pass> {
    let all = shape.micro_batches * shape.chunks;
    let warm = warm_up(shape, rank);
    let pass = |kind, k| {
        let (chunk, micro) = interleaved_or_plain(shape, k, kind == Backward);
        Pass::new(kind, chunk, micro)
    };
    let mut order: Vec<Pass> = (0..warm).map(|k| pass(Forward, k)).collect();
    for k in warm..all {
        order.extend([pass(Forward, k), pass(Backward, k - warm)]);
    }
    order.extend((all - warm..all).map(|k| pass(Backward, k)));
    order
}

fn interleaved_or_plain(shape: Shape, k: u32, back: bool) -> (u32, u32) {
    if shape.chunks == 1 { (0, k) } else { interleaved(shape, k, back) }
}

/// 1F1B whose steady state runs a forward pass beside a backward pass of an earlier micro-batch: one
/// more forward pass in the warm-up, so that the two never belong together.
fn batch_overlapped(shape: Shape, rank: u32) -> Vec<Pass> {
    let all = shape.micro_batches * shape.chunks;
    let warm = (warm_up(shape, rank) + 1).min(all);
    let forward = |k| interleaved_or_plain(shape, k, false);
    let back = |k| interleaved_or_plain(shape, k, true);
    let alone = |kind, (chunk, micro)| Pass::new(kind, chunk, micro);
    let mut order: Vec<Pass> = (0..warm).map(|k| alone(Forward, forward(k))).collect();
    order.extend((warm..all).map(|k| Pass::pair(forward(k), back(k - warm))));
    order.extend((all - warm..all).map(|k| alone(Backward, back(k))));
    order
}

/// 1F1B with the backward pass split: `warm` forward passes, then input gradients, a weight pass
/// once `lag` of them are owed, and the next forward pass. ZB-H1: warm p-r, lag r, so that every rank
/// holds p; ZB-H2: warm 2(p-r)-1, lag 2r, 2p-1 (arXiv 2401.10241, section 2.2).
fn split_1f1b(shape: Shape, warm: u32, lag: u32) -> Vec<Pass> {
    let m = shape.micro_batches;
    let mut forward = warm.min(m);
    let mut order: Vec<Pass> = (0..forward).map(|i| Pass::new(Forward, 0, i)).collect();
    let mut weight = 0;
    for back in 0..m {
        order.push(Pass::new(BackwardInput, 0, back));
        if back + 1 - weight > lag {
            order.push(Pass::new(Weight, 0, weight));
            weight += 1;
        }
        if forward < m {
            order.push(Pass::new(Forward, 0, forward));
            forward += 1;
        }
    }
    order.extend((weight..m).map(|i| Pass::new(Weight, 0, i)));
    order
}

/// Passes by chunk, with what each chunk has done so far.
struct Writer {
    order: Vec<Pass>,
    micro_batches: u32,
    forward: [u32; 2],
    back: [u32; 2],
    owed: VecDeque<(u32, u32)>,
    /// Micro-batch number at which each chunk's begin.
    first: [u32; 2],
    /// 1 where the two directions change places.
    swap: u32,
}

impl Writer {
    fn new(micro_batches: u32) -> Self {
        let order = Vec::new();
        let owed = VecDeque::new();
        Self { order, micro_batches, forward: [0; 2], back: [0; 2], owed, first: [0; 2], swap: 0 }
    }

    fn push(&mut self, kind: PassKind, chunk: u32, micro: u32) {
        if micro < self.micro_batches {
            self.order.push(Pass::new(kind, chunk, self.first[chunk as usize] + micro));
        }
    }

    fn next(&mut self, phase: u32, back: bool) -> (u32, u32) {
        let chunk = phase ^ self.swap;
        let counts = if back { &mut self.back } else { &mut self.forward };
        let micro = counts[chunk as usize];
        counts[chunk as usize] += 1;
        (chunk, micro)
    }

    fn forward(&mut self, phase: u32) {
        let (chunk, micro) = self.next(phase, false);
        self.push(Forward, chunk, micro);
    }

    /// A backward pass; `split`, its weight gradients are owed.
    fn back(&mut self, phase: u32, split: bool) {
        let (chunk, micro) = self.next(phase, true);
        if split && micro < self.micro_batches {
            self.owed.push_back((chunk, micro));
        }
        self.push(if split { BackwardInput } else { Backward }, chunk, micro);
    }

    fn weight(&mut self) {
        if let Some((chunk, micro)) = self.owed.pop_front() {
            self.push(Weight, chunk, micro);
        }
    }

    /// Input gradients and, right after them, weight gradients.
    fn back_at_once(&mut self, chunk: u32) {
        let (chunk, micro) = self.next(chunk, true);
        self.push(BackwardInput, chunk, micro);
        self.push(Weight, chunk, micro);
    }

    fn pair(&mut self, forward: u32, back: u32) {
        let (f, b) = (self.next(forward, false), self.next(back, true));
        let with_first = |(c, i): (u32, u32)| (c, self.first[c as usize] + i);
        self.order.push(Pass::pair(with_first(f), with_first(b)));
    }
}

/// ZB-V (arXiv 2405.15362, section 4): forward passes go down the V and up again; weight gradients
/// follow their input gradients at once except in the cool-down, whose gaps they fill.
///
/// With fewer than 2p-1 micro-batches the order is that of 2p-1 with the missing ones left out.
fn zb_v(shape: Shape, rank: u32) -> Vec<Pass> {
    let (p, m) = (shape.ranks, shape.micro_batches);
    let counted = m.max(2 * p - 1);
    let mut w = Writer::new(m);
    (0..2 * (p - rank) - 1).for_each(|_| w.forward(0));
    for _ in 0..rank {
        w.forward(1);
        w.forward(0);
    }
    for _ in 0..p - rank {
        w.forward(1);
        w.back_at_once(1);
    }
    while w.forward[1] < w.forward[0] || w.forward[0] < counted {
        if w.forward[0] < counted {
            w.forward(0);
        }
        w.back_at_once(0);
        w.forward(1);
        w.back_at_once(1);
    }
    for _ in 0..rank {
        w.back(0, true);
        w.back(1, true);
    }
    for _ in 0..p - rank {
        w.back(0, true);
        // The first chunk's weights first: the second chunk's fill the end.
        let first = w.owed.iter().position(|(chunk, _)| *chunk == 0);
        if let Some((chunk, micro)) = first.and_then(|at| w.owed.remove(at)) {
            w.push(Weight, chunk, micro);
        }
    }
    let rest = std::mem::take(&mut w.owed);
    for wanted in [1, 0] {
        for &(chunk, micro) in rest.iter().filter(|(chunk, _)| *chunk == wanted) {
            w.push(Weight, chunk, micro);
        }
    }
    w.order
}

/// Lengths of the eight phases of the overlapped schedules on one rank (`DualPipe`'s published code).
struct Dual {
    /// Ranks between this one and the turn, and this one and the end, with itself.
    outer: u32,
    inner: u32,
    main: u32,
    /// Whether this rank's first main pair is two passes one after the other.
    first_apart: bool,
    writer: Writer,
}

impl Dual {
    /// `DualPipeV`: the V turns on the last rank.
    fn of_v(shape: Shape, rank: u32) -> Self {
        let (p, m) = (shape.ranks, shape.micro_batches);
        let (outer, inner) = (p - rank - 1, rank + 1);
        let main = (m + rank + 1).saturating_sub(2 * p);
        Self { outer, inner, main, first_apart: outer == 0, writer: Writer::new(m) }
    }
}

/// `DualPipe`: half the micro-batches enter at each end; ranks behind the middle see the two
/// directions swapped.
fn dual_pipe(shape: Shape, rank: u32) -> Vec<Pass> {
    let (p, half_batches) = (shape.ranks, shape.micro_batches / 2);
    let half = p / 2;
    let from_end = rank.min(p - 1 - rank);
    let mut writer = Writer::new(half_batches);
    writer.first = [0, half_batches];
    writer.swap = u32::from(rank >= half);
    dual(Dual {
        outer: half - from_end - 1,
        inner: from_end + 1,
        main: (half_batches + from_end + 1).saturating_sub(p),
        first_apart: from_end + 1 == half,
        writer,
    })
}

fn dual(shape: Dual) -> Vec<Pass> {
    let Dual { outer, inner, main, first_apart, writer: mut w } = shape;
    (0..2 * outer).for_each(|_| w.forward(0));
    for _ in 0..inner {
        w.forward(0);
        w.forward(1);
    }
    for _ in 0..outer {
        w.back(1, true);
        w.weight();
        w.forward(1);
    }
    for i in 0..main {
        if i == 0 && first_apart {
            w.forward(0);
            w.back(1, false);
        } else {
            w.pair(0, 1);
        }
        w.pair(1, 0);
    }
    for _ in 0..outer {
        w.back(1, false);
        w.pair(1, 0);
    }
    // The second half of the pairs of backward passes puts its weight gradients off.
    let mut split = false;
    for i in 0..inner {
        split |= i == inner / 2 && inner.is_multiple_of(2);
        w.back(1, split);
        split |= i == inner / 2 && !inner.is_multiple_of(2);
        w.back(0, split);
    }
    for _ in 0..outer {
        w.weight();
        w.back(0, true);
    }
    while !w.owed.is_empty() {
        w.weight();
    }
    w.order
}
