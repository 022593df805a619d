//! Networks of a rank used at the same time, in closed form: two meshes, or meshes and switches.

use crate::algorithm::{MAX_PHASES, Phase, Phases, alone, log2_ceil, one_copy_each, used};
use catalog::{Concurrent, Wiring};
use fabric::{Channel, Fabric, MAX_LEVELS, Span};

/// As the hierarchical one, but full meshes that follow each other in pairs. `None` where no two do,
/// or where members lie unevenly.
pub(crate) fn crossed(fabric: &Fabric, span: &Span, bytes: f64, passes: f64) -> Option<Phases> {
    if span.least != span.most {
        return None;
    }
    let (out, pairs) = in_pairs(fabric, span, MAX_LEVELS, true, bytes, passes);
    (pairs > 0).then_some(out)
}

/// The levels below `end`, a full mesh and the next one at once: of the bytes left the share s goes
/// along the first and then the second, the rest the other way round, in two steps. With the number
/// of pairs. Meshes that `borrow` of switches do so.
///
/// With x and y members, and a = (x-1)/x/P and b = (y-1)/y/Q seconds a byte at rates P and Q, the
/// first step takes max(s·a, (1-s)·b) and the second max((1-s)·a/y, s·b/x). s = b/(a+b) ends the
/// first on both at once and makes the sum least: beside it the first step grows by a or b, and the
/// second falls by no more than a/y or b/x. Where x = y and P = Q it is the bound of every algorithm,
/// (1 - 1/(x·y))·B over P + Q, all links busy all the time; else the shorter part of the second step
/// waits. UB-Mesh (arXiv 2503.20377, multi-ring) and HCCL (its two-shot mesh of two dimensions, which
/// splits by x and y) use both meshes.
fn in_pairs(
    fabric: &Fabric,
    span: &Span,
    end: usize,
    borrow: bool,
    bytes: f64,
    passes: f64,
) -> (Phases, usize) {
    let mut out = Phases::new();
    let mut levels = used(fabric, span)
        .take_while(|(level, ..)| *level < end)
        .map(|(level, channel, fan, below)| {
            let lent = if borrow { channel.borrowed_bytes_per_s } else { 0.0 };
            (level, Channel { borrowed_bytes_per_s: lent, ..*channel }, fan, below)
        })
        .peekable();
    let (mut stage, mut pairs) = (0, 0);
    while let Some((level, channel, fan, below)) = levels.next() {
        let left = bytes / below as f64;
        let mesh = |c: &Channel| c.wiring == Wiring::FullMesh;
        let next = if mesh(&channel) { levels.next_if(|n| mesh(&n.1)) } else { None };
        let Some((other, second, across, _)) = next else {
            out.push(alone(level, &channel, fan, stage, left, passes));
            stage += 1;
            continue;
        };
        // What both borrow of the same switches is half for each.
        let shared = channel.borrowed_bytes_per_s.min(second.borrowed_bytes_per_s) / 2.0;
        let rate = |c: &Channel, f: u64| c.usable(f) - shared;
        let seconds = |c: &Channel, f: u64| (f - 1) as f64 / f as f64 / rate(c, f);
        let (a, b) = (seconds(&channel, fan), seconds(&second, across));
        let share = b / (a + b);
        // Both meshes take their step at the same time: the longer latency counts.
        let slower = if channel.latency_s >= second.latency_s { level } else { other };
        let mut step = |level: usize, channel: &Channel, fan: u64, stage: usize, left: f64| {
            let phase = alone(level, channel, fan, stage, left, passes);
            let steps = if level == slower { passes } else { 0.0 };
            out.push(Phase { steps, bytes_per_s: rate(channel, fan), ..phase });
        };
        step(level, &channel, fan, stage, share * left);
        step(other, &second, across, stage, (1.0 - share) * left);
        step(level, &channel, fan, stage + 1, (1.0 - share) * left / across as f64);
        step(other, &second, across, stage + 1, share * left / fan as f64);
        (stage, pairs) = (stage + 2, pairs + 1);
    }
    (out, pairs)
}

/// The switched level that is used beside the meshes below it: the one that the group goes on through,
/// or, for a group inside the meshes, the nearest above. `None` where it has no ports beside theirs
/// that the library uses with them, or where the group uses no mesh, or another network below.
fn switches(fabric: &Fabric, span: &Span) -> Option<usize> {
    let channels = fabric.channels();
    let outermost = span.outermost()?;
    let switched = |l: &usize| channels[*l].wiring == Wiring::Switch;
    let at = (0..channels.len()).find(|l| switched(l) && (span.fan[*l] > 1 || *l > outermost))?;
    let (mut below, even) = ((0..at).filter(|l| span.fan[*l] > 1), span.least == span.most);
    let first = below.next()?;
    let meshes = |l: usize| channels[l].wiring == Wiring::FullMesh;
    let legal = match channels[at].concurrent {
        Concurrent::Never => false,
        Concurrent::Beyond => span.fan[at] > 1,
        Concurrent::Anywhere => true,
    };
    (legal && even && meshes(first) && below.all(meshes)).then_some(at)
}

/// Reductions and gathers over meshes and the switches above them at once. `None` where there are no
/// such, see [`switches`].
///
/// A group that goes on through the switches: of the bytes the share s goes along the meshes (of x
/// members) and then through the switches (to y), the rest the other way round, s as in [`in_pairs`]
/// (HCCL's two-dimension parallel algorithm of mesh and NHR, of the Ascend 950's user guide:
/// `HCCL_ALG_MULTIPLE_DIMENSION_SPLIT_RATIO`). A group inside the meshes: both carry a share of the
/// same exchange all the time, in proportion to what they can (HCCL's concurrent algorithm of mesh and
/// NHR, `InsReduceScatterConcurrentMeshNHR`, where a mesh joins all ranks and switches do too).
///
/// Meshes go in pairs, in J steps; the switches by halving and doubling, in R. Cut where either goes on
/// to its next, that are R + J - 1 steps, each with the longest latency.
pub(crate) fn concurrent(fabric: &Fabric, span: &Span, bytes: f64, passes: f64) -> Option<Phases> {
    let at = switches(fabric, span)?;
    let channels = fabric.channels();
    let (members, fan) = (span.most[at - 1], span.fan[at]);
    let meshes = in_pairs(fabric, span, at, false, bytes, passes).0;
    let mut seconds = [0.0_f64; MAX_PHASES];
    for phase in meshes.iter() {
        let here = &mut seconds[phase.stage];
        *here = here.max(phase.bytes / phase.bytes_per_s);
    }
    let stages = meshes.iter().map(|p| p.stage + 1).max()?;
    let along: f64 = seconds[..stages].iter().sum();

    let ways = if fan > 1 { fan } else { members };
    let switched = alone(at, &channels[at], ways, 0, bytes, passes);
    let through = switched.bytes / switched.bytes_per_s;
    let mut out = Phases::new();
    // Shares of what goes along the meshes alone, and through the switches alone.
    let mut lay = |from: usize, mesh: f64, switch: f64| {
        for p in meshes.iter() {
            out.push(Phase { stage: from + p.stage, steps: 0.0, bytes: p.bytes * mesh, ..*p });
        }
        for (stage, here) in seconds[..stages].iter().enumerate() {
            let bytes = switched.bytes * switch * here / along;
            out.push(Phase { stage: from + stage, steps: 0.0, bytes, ..switched });
        }
    };
    let share = through / (along + through);
    lay(0, share, 1.0 - share);
    if fan > 1 {
        lay(stages, (1.0 - share) / fan as f64, share / members as f64);
    }
    let rounds = if fan > 1 { 2.0 } else { 1.0 };
    let steps = passes * rounds * (log2_ceil(ways) + stages as f64 - 1.0);
    let latency = |p: &&mut Phase| channels[p.level].latency_s;
    let slowest = out.iter_mut().max_by(|a, b| latency(a).total_cmp(&latency(b)))?;
    slowest.steps = steps;
    let beyond = used(fabric, span).skip_while(|(level, ..)| *level <= at);
    for (stage, (level, channel, fan, below)) in beyond.enumerate() {
        let left = bytes / below as f64;
        out.push(alone(level, channel, fan, 2 * stages + stage, left, passes));
    }
    Some(out)
}

/// All-to-all in which part of the bytes that would cross every mesh of a block take the switches
/// above instead, so that one link stands for as many. `None` where there are none, see [`switches`],
/// or where the switches are the slower ones already.
///
/// With a rank's bytes m at rate P on a mesh and c at rate Q through the switches, d = (m·Q - c·P) /
/// (P + Q) bytes more end both at once; the mesh that needs most decides. The same is borrowed of
/// switches in UB-Mesh (arXiv 2503.20377, all-path routing).
pub(crate) fn all_to_all(
    fabric: &Fabric,
    span: &Span,
    bytes: f64,
    fewer: &[f64; MAX_LEVELS],
) -> Option<Phases> {
    let at = switches(fabric, span)?;
    let channel = &fabric.channels()[at];
    let sent = bytes * fewer[0];
    let mut out = one_copy_each(fabric, span, sent);
    if out.iter().any(|p| p.level < at && fabric.channels()[p.level].borrowed_bytes_per_s > 0.0) {
        return None;
    }
    let switch = |p: &&Phase| p.level == at;
    let through = out.iter().find(switch).map_or(0.0, |p| p.bytes);
    let rate = channel.bytes_per_s;
    let needs = |p: &Phase| (p.bytes * rate - through * p.bytes_per_s) / (p.bytes_per_s + rate);
    let moved = out.iter().filter(|p| p.level < at).map(needs).fold(0.0, f64::max);
    let others: f64 = span.fan[..at].iter().filter(|f| **f > 1).map(|f| (f - 1) as f64).product();
    let moved = moved.min(sent * others / span.size() as f64);
    if moved <= 0.0 {
        return None;
    }
    for phase in out.iter_mut() {
        if phase.level < at {
            phase.bytes -= moved;
        } else if phase.level == at {
            phase.bytes += moved;
        }
    }
    if span.fan[at] == 1 {
        let bytes_per_s = rate;
        out.push(Phase { level: at, stage: 0, steps: 1.0, bytes: moved, bytes_per_s });
    }
    Some(out)
}
