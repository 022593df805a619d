//! A measured table of collectives, carried to groups and sizes that it does not hold.

use kernel::Curve;
use model::Collective;

/// Time of `operation` of `bytes` over `members` of the innermost level by the nearest measured
/// group, and whether that very group was measured. Seconds.
///
/// The largest measured group that is no larger counts (else the smallest of all), times what
/// `formula(members, bytes)` says this one takes longer. Below the sizes of that group the formula
/// carries its smallest one down, but never under what the smallest message of another measured
/// group takes. `slower` is the measured links' rate over those asked about.
///
/// `None` without a measured table of the operation.
pub fn measured(
    curves: &[Curve],
    operation: Collective,
    members: u64,
    bytes: f64,
    slower: f64,
    formula: &dyn Fn(u64, f64) -> Option<f64>,
) -> Option<(f64, bool)> {
    let nearest = |c: &Curve| {
        let near = c.nearest(members);
        (near <= members, if near <= members { near } else { u64::MAX - near })
    };
    let known = || curves.iter().filter(|c| c.operation == operation);
    let curve = known().max_by_key(|c| nearest(c))?;
    let near = curve.nearest(members);
    let finer = known().find(|c| c.bytes[0] < curve.bytes[0]).filter(|_| bytes < curve.bytes[0]);
    let from = if finer.is_some() { curve.bytes[0] } else { bytes };
    let seconds = curve.seconds(near, from, slower);
    if near == members && finer.is_none() {
        return Some((seconds, true));
    }
    let scaled = seconds * formula(members, bytes)? / formula(near, from)?;
    let least = finer.map_or(0.0, |c| c.seconds(c.nearest(members), c.bytes[0], slower));
    Some((scaled.max(least), false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Origin;

    fn curve(members: u64, bytes: [f64; 2], seconds: [f64; 2]) -> Curve {
        Curve {
            operation: Collective::AllReduce,
            members: vec![members],
            bytes: bytes.to_vec(),
            seconds: seconds.to_vec(),
            origin: Origin::Measured,
            source: "test".into(),
        }
    }

    #[test]
    fn the_nearest_group_counts_and_is_carried() {
        let small = curve(4, [1e3, 1e9], [10e-6, 1e-3]);
        let large = curve(72, [1e8, 1e9], [400e-6, 2e-3]);
        let curves = [small, large];
        let formula = |n: u64, b: f64| Some(b * (1.0 + 1.0 / n as f64));
        let time =
            |n, b| measured(&curves, Collective::AllReduce, n, b, 1.0, &formula).expect("known");
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        assert!(time(72, 1e9).1 && near(time(72, 1e9).0, 2e-3));
        // Between the measured groups: from the smaller, by the formula.
        assert!(!time(8, 1e9).1 && near(time(8, 1e9).0, 1e-3 * 1.125 / 1.25));
        // Below the sizes of the large group: down with the formula, to the latency of the small.
        assert!(near(time(72, 5e7).0, 200e-6));
        assert!(near(time(72, 1e3).0, 10e-6));
        assert!(measured(&curves, Collective::AllGather, 8, 1.0, 1.0, &formula).is_none());
    }
}
