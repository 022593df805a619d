//! Steps over full meshes and the switches above them at once; the closed form of the same is
//! [`crate::Algorithm::Concurrent`].

use crate::crossed::in_pairs;
use crate::steps::{Pattern, Placed, alone, direct, lines, nhr};
use fabric::{Layout, Network};

/// Steps with their times in seconds without latency.
type Timed = Vec<(Pattern, f64)>;

/// A group on meshes with switches above.
struct Laid {
    /// Level of the switches.
    at: usize,
    /// Members inside the meshes.
    members: u64,
    /// Parts of the group that the switches join.
    parts: u64,
    /// Rate of a member through the switches. Bytes/s.
    bytes_per_s: f64,
}

impl Laid {
    /// `None` where the network does not use both at once, the group uses no mesh, or lies irregularly.
    fn of(network: &Network, group: &Placed) -> Option<Self> {
        let topology = network.topology();
        let (at, anywhere) = topology.concurrent?;
        let level = &topology.levels[at];
        let Layout::Switch { planes } = level.layout else { return None };
        if group.fan.len() != topology.levels.len() {
            return None;
        }
        let (members, parts) = (group.fan[..at].iter().product(), group.fan[at]);
        let legal = parts > 1 || (anywhere && members == group.members.len() as u64);
        let bytes_per_s = f64::from(planes) * level.link_bytes_per_s;
        (members > 1 && legal).then_some(Self { at, members, parts, bytes_per_s })
    }
}

/// A reduce-scatter. A group that goes on through the switches: the share s of the bytes along the
/// meshes and then through the switches, the rest the other way round. A group inside the meshes: the
/// same exchange on both, each with what it can carry in the time.
pub(crate) fn scatter(network: &Network, group: &Placed, bytes: f64) -> Option<Vec<Pattern>> {
    let laid = Laid::of(network, group)?;
    let n = group.members.len() as u64;
    let (meshes, _) = in_pairs(network, group, laid.at, bytes);
    let ways = if laid.parts > 1 { laid.parts } else { n };
    let rounds = if laid.parts > 1 {
        nhr(group, &lines(group, laid.at, &group.fan), bytes)
    } else {
        let all = nhr(group, &lines(group, 0, &[n]), bytes);
        all.iter().map(|round| through(network, laid.at, round)).collect::<Option<_>>()?
    };
    let whole: f64 = rounds.iter().map(|r| r.transfers[0].2).sum();
    let (along, across) = (
        meshes.iter().map(|s| s.1).sum::<f64>(),
        bytes * (ways - 1) as f64 / ways as f64 / laid.bytes_per_s,
    );
    let timed = |round: Pattern| {
        let seconds = round.transfers[0].2 / whole * across;
        (round, seconds)
    };
    let switches: Timed = rounds.into_iter().map(timed).collect();
    let share = across / (along + across);
    let mut out = beside([(&meshes, share), (&switches, 1.0 - share)]);
    if laid.parts > 1 {
        let (x, y) = (laid.members as f64, laid.parts as f64);
        out.extend(beside([(&meshes, (1.0 - share) / y), (&switches, share / x)]));
    }
    let mut left = bytes / laid.members as f64 / laid.parts as f64;
    for level in (laid.at + 1..group.fan.len()).filter(|l| group.fan[*l] > 1) {
        out.extend(alone(network, group, level, left));
        left /= group.fan[level] as f64;
    }
    Some(out)
}

/// Two lists of steps at the same time, of a share of its bytes each: cut where either goes on to its
/// next, so that every part of the time has the same share of both.
fn beside(lists: [(&Timed, f64); 2]) -> Vec<Pattern> {
    let ends = lists.map(|(steps, _)| -> Vec<f64> {
        let whole: f64 = steps.iter().map(|s| s.1).sum();
        steps.iter().scan(0.0, |sum, s| (*sum += s.1 / whole, Some(*sum)).1).collect()
    });
    let (mut at, mut now, mut out) = ([0, 0], 0.0, Vec::new());
    while at[0] < ends[0].len() && at[1] < ends[1].len() {
        let next = ends[0][at[0]].min(ends[1][at[1]]);
        let mut transfers = Vec::new();
        for ((steps, share), (ends, here)) in lists.iter().zip(ends.iter().zip(&mut at)) {
            let begin = if *here == 0 { 0.0 } else { ends[*here - 1] };
            let part = share * (next - now) / (ends[*here] - begin);
            let sized = steps[*here].0.transfers.iter().map(|&(a, b, size)| (a, b, size * part));
            transfers.extend(sized);
            // What ends at the same time does so to rounding.
            *here += usize::from(ends[*here] <= next + 1e-12);
        }
        out.push(Pattern::new(transfers, 1, 2.0));
        now = next;
    }
    out
}

/// Switches of `level` that a chip has working links to.
fn planes(network: &Network, level: usize, chip: u32) -> Vec<u32> {
    let (graph, name) = (network.graph(), &network.topology().levels[level].name);
    let links = graph.out(chip).filter(|l| graph.level_name(*l) == name);
    let working = links.filter(|l| graph.bytes_per_s(*l) > 0.0).map(|l| graph.to(l));
    working.filter(|to| *to >= graph.endpoints()).collect()
}

/// The same transfers up to the switches of `level` and down again, although there are shorter ways.
/// The second link's latency is not counted, since both halves are on their way at once.
fn through(network: &Network, level: usize, step: &Pattern) -> Option<Pattern> {
    let mut transfers = Vec::new();
    for &(from, to, size) in &step.transfers {
        let there = planes(network, level, to);
        let common: Vec<u32> =
            planes(network, level, from).into_iter().filter(|s| there.contains(s)).collect();
        if common.is_empty() {
            return None;
        }
        let share = size / common.len() as f64;
        transfers.extend(common.iter().flat_map(|s| [(from, *s, share), (*s, to, share)]));
    }
    Some(Pattern { transfers, ..*step })
}

/// All-to-all over one mesh or two in which part of what would cross every mesh of a block takes the
/// switches instead. Over two meshes half of the rest turns at either corner.
pub(crate) fn all_to_all(network: &Network, group: &Placed, bytes: f64) -> Option<Vec<Pattern>> {
    let laid = Laid::of(network, group)?;
    let (n, levels) = (group.members.len() as u64, &network.topology().levels);
    let meshes: Vec<usize> = (0..laid.at).filter(|l| group.fan[*l] > 1).collect();
    let size = bytes / n as f64;
    let beyond = (n - laid.members) as f64 * size;
    let rate = laid.bytes_per_s;
    let needs = |&l: &usize| {
        let others = (group.fan[l] - 1) as f64;
        let (here, sent) = (levels[l].link_bytes_per_s * others, laid.members as f64 * size);
        (sent * others / group.fan[l] as f64 * rate - beyond * here) / (here + rate)
    };
    let far: f64 = meshes.iter().map(|l| (group.fan[*l] - 1) as f64).product::<f64>() * size;
    let moved = meshes.iter().map(needs).fold(0.0, f64::max).min(far);
    if moved <= 0.0 || meshes.len() > 2 {
        return None;
    }
    let kept = size * (1.0 - moved / far);
    let mut all = direct(group, &lines(group, 0, &[n]), bytes);
    (all.passes, all.transfers) = (1.0, Vec::new());
    let row = group.fan[meshes[0]];
    for from in 0..n {
        for to in (0..n).filter(|to| *to != from) {
            let mut send = |a: u64, b: u64, size| {
                all.transfers.push((group.chip(a), group.chip(b), size));
            };
            let corner = |x: u64, y: u64| x % row + y / row * row;
            let turns = from % row != to % row && from / row != to / row;
            if from / laid.members != to / laid.members || (meshes.len() == 2 && !turns) {
                send(from, to, size);
            } else if meshes.len() == 1 {
                send(from, to, kept);
            } else {
                for turn in [corner(to, from), corner(from, to)] {
                    send(from, turn, kept / 2.0);
                    send(turn, to, kept / 2.0);
                }
            }
        }
        let switches = planes(network, laid.at, group.chip(from));
        let share = moved / switches.len() as f64;
        let chip = group.chip(from);
        all.transfers.extend(switches.iter().flat_map(|s| [(chip, *s, share), (*s, chip, share)]));
    }
    Some(vec![all])
}
