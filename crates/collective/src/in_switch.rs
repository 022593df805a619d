//! What an in-switch reduction costs beyond its bytes: NCCL's NVLink SHARP as a pipeline of loops.
//!
//! Constants are of NCCL 2.27's public source (`enqueue.cc`, `transport/nvls.cc`): every channel
//! takes a chunk for each head a loop, chunks shrink with the message, and one loop is scattered,
//! the one before reduced and spread in the switches, the one before that gathered. Filling that
//! pipeline costs what its loops take; over 72 chips a loop is 48 MiB.

/// Most ranks that reduce for the others (`NCCL_MAX_NVLS_ARITY`).
const MAX_HEADS: u64 = 32;

const KIB: u64 = 1_024;

/// Largest chunk in one domain, then `(loops, chunk)`: messages of fewer loops take that chunk.
const INSIDE: (u64, [(u64, u64); 3]) = (128 * KIB, [(64, 64 * KIB), (8, 32 * KIB), (2, 16 * KIB)]);
/// The same for trees of domains.
const BEYOND: (u64, [(u64, u64); 2]) = (128 * KIB, [(4, 64 * KIB), (1, 32 * KIB)]);
/// Domains from which a tree's chunks are at most 64 KiB.
const MANY_DOMAINS: u64 = 4;

/// Bytes in flight while an all-reduce of `bytes` fills its pipeline: their time at the steady rate
/// is what the fill costs. `channels` as [`catalog::Level::reduction_channels`]; `members` of one
/// domain, `domains` joined by a tree.
///
/// `stages · min(loop, bytes)`: two stages follow the first inside a domain, and one more for each
/// link of the tree on the way up and again on the way down.
///
/// Not valid for registered buffers, which skip the copies, and other libraries' reductions.
///
/// ```
/// // One rack of 72: two loops of 24 channels, 32 heads, 64 KiB.
/// let fill = collective::fill_bytes([24, 32], 72, 1, 1e9);
/// assert_eq!(fill, 2.0 * (24 * 32 * 64 * 1024) as f64);
/// assert_eq!(collective::fill_bytes([0, 0], 72, 1, 1e9), 0.0);
/// ```
pub fn fill_bytes(channels: [u64; 2], members: u64, domains: u64, bytes: f64) -> f64 {
    let [inside, beyond] = channels;
    let heads = members.min(MAX_HEADS);
    let (in_flight, stages) = if domains <= 1 {
        (loop_bytes(inside * heads, INSIDE.0, &INSIDE.1, bytes), 2)
    } else {
        let most = if domains >= MANY_DOMAINS { 64 * KIB } else { BEYOND.0 };
        let depth = u64::from(domains.next_power_of_two().trailing_zeros());
        (loop_bytes(beyond * heads, most, &BEYOND.1, bytes), 2 + 2 * depth)
    };
    stages as f64 * in_flight.min(bytes)
}

/// `chunks` at a time, each as large as the message's number of loops allows.
fn loop_bytes(chunks: u64, most: u64, limits: &[(u64, u64)], bytes: f64) -> f64 {
    let mut chunk = most;
    for &(loops, smaller) in limits {
        if bytes < (loops * chunks * chunk) as f64 && chunk > smaller {
            chunk = smaller;
        }
    }
    (chunks * chunk) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_nccls() {
        let mib = f64::from(1 << 20);
        // 24 · 32 · 128 KiB = 96 MiB from 64 such loops on; halved below, and again below 8.
        assert_eq!(fill_bytes([24, 32], 72, 1, 8192.0 * mib), 192.0 * mib);
        assert_eq!(fill_bytes([24, 32], 72, 1, 4096.0 * mib), 96.0 * mib);
        assert_eq!(fill_bytes([24, 32], 72, 1, 300.0 * mib), 48.0 * mib);
        assert_eq!(fill_bytes([24, 32], 72, 1, 40.0 * mib), 24.0 * mib);
        // Never more than the message itself a stage.
        assert_eq!(fill_bytes([24, 32], 72, 1, mib), 2.0 * mib);
        // Two racks: 32 · 32 · 128 KiB, two stages and one link up and down.
        assert_eq!(fill_bytes([24, 32], 72, 2, 4096.0 * mib), 4.0 * 128.0 * mib);
        // Eight nodes of eight: chunks of 64 KiB, three links each way.
        assert_eq!(fill_bytes([16, 16], 8, 8, 4096.0 * mib), 8.0 * 8.0 * mib);
    }

    #[test]
    fn a_larger_message_takes_no_less() {
        for domains in [1, 2, 4] {
            let mut last = 0.0;
            for e in 10..35 {
                let bytes = f64::from(e).exp2();
                let total = bytes + fill_bytes([24, 32], 72, domains, bytes);
                assert!(total > last, "{bytes} over {domains}");
                last = total;
            }
        }
    }
}
