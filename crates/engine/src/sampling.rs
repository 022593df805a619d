//! From the ranges of the figures to the range of the answer, by Latin-hypercube sampling.

use crate::estimate::estimate;
use crate::machine::Machine;
use crate::uncertainty::Interval;
use program::Program;
use rand_core::Rng;
use rand_pcg::Pcg64Mcg;
use units::{Figure, Unit};

/// Samples behind the sheet's intervals.
pub const SAMPLES: usize = 500;

/// The seed of every interval: the same input gives the same bytes.
const SEED: u64 = 0x5eed_5a9e;

/// z of the 95th percentile of the standard normal.
const Z95: f64 = 1.644_853_627;

/// Samples every uncertain figure of `machine` and estimates `program` on each sample: p5, p50, p95.
///
/// A figure is believed to lie in its range nine times of ten, log-normally to either side of its
/// value (normally where the range reaches zero); a share never leaves its range above. Each figure
/// has a random stream of its own, from the seed and its path, and falls once into each of `samples`
/// equally likely strata (McKay et al., Technometrics 21, 1979).
///
/// Not valid for figures that are wrong together: each is drawn on its own.
pub fn interval(program: &Program, machine: &Machine, samples: usize) -> Interval {
    let value = estimate(program, machine).step_s;
    let uncertain: Vec<(usize, Figure, Vec<u32>)> = machine
        .figures()
        .into_iter()
        .enumerate()
        .filter(|(_, (_, figure))| figure.is_uncertain())
        .map(|(i, (path, figure))| (i, figure.clone(), strata(&path, samples)))
        .collect();
    if uncertain.is_empty() || samples < 20 {
        return Interval { value, median: value, low: value, high: value };
    }
    let mut moved = machine.clone();
    let mut steps: Vec<f64> = (0..samples)
        .map(|sample| {
            let mut figures = moved.figures_mut();
            for (index, figure, strata) in &uncertain {
                let share = (f64::from(strata[sample]) + 0.5) / samples as f64;
                figures[*index].value = drawn(figure, normal_quantile(share));
            }
            estimate(program, &moved).step_s
        })
        .collect();
    steps.sort_by(f64::total_cmp);
    let at = |q: f64| steps[((samples as f64 * q) as usize).min(samples - 1)];
    Interval { value, median: at(0.5), low: at(0.05).min(value), high: at(0.95).max(value) }
}

/// A random order of the strata, from the figure's own stream.
fn strata(path: &str, samples: usize) -> Vec<u32> {
    let mut random = Pcg64Mcg::new(u128::from(SEED ^ fnv(path)) << 1 | 1);
    let mut order: Vec<u32> = (0..samples as u32).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, (random.next_u64() % (i as u64 + 1)) as usize);
    }
    order
}

fn fnv(text: &str) -> u64 {
    let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The figure `z` standard deviations from its value: its ends lie at the 5th and 95th percentile.
pub fn drawn(figure: &Figure, z: f64) -> f64 {
    let (value, low, high) = (figure.value, figure.low, figure.high);
    let end = if z < 0.0 { low } else { high };
    let far = libm::fabs(z) / Z95;
    let drawn = if low > 0.0 {
        value * libm::pow(end / value, far)
    } else {
        (value + (end - value) * far).max(0.0)
    };
    if figure.unit == Unit::Ratio && high <= 1.0 { drawn.min(1.0) } else { drawn }
}

/// Inverse of the standard normal distribution function (Acklam's rational approximation, relative
/// error below 1.2e-9).
pub fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -54.476_098_798_224_06,
        161.585_836_858_040_9,
        -155.698_979_859_886_6,
        66.801_311_887_719_72,
        -13.280_681_552_885_72,
        1.0,
    ];
    const C: [f64; 6] = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        0.007_784_695_709_041_462,
        0.322_467_129_070_039_8,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    let poly = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, k| sum * x + k);
    let tail = |p: f64| {
        let q = libm::sqrt(-2.0 * libm::log(p));
        poly(&C, q) / poly(&D, q)
    };
    if p < 0.024_25 {
        tail(p)
    } else if p > 0.975_75 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        q * poly(&A, q * q) / poly(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Origin;

    #[test]
    fn quantiles_of_the_normal() {
        assert!((normal_quantile(0.95) - Z95).abs() < 1e-8);
        assert!((normal_quantile(0.001) + 3.090_232_306).abs() < 1e-7);
        assert!(normal_quantile(0.5).abs() < 1e-12);
    }

    #[test]
    fn a_drawn_figure_keeps_its_ends_at_the_fifth_and_ninety_fifth() {
        let ranged = |value, low, high, unit| {
            Figure::ranged(value, (low, high), unit, Origin::Assumed, "test")
        };
        let rate = ranged(4.0, 1.0, 8.0, Unit::BytePerSecond);
        assert!((drawn(&rate, -Z95) - 1.0).abs() < 1e-9 && (drawn(&rate, Z95) - 8.0).abs() < 1e-9);
        assert_eq!(drawn(&rate, 0.0), 4.0);
        let share = ranged(0.9, 0.8, 1.0, Unit::Ratio);
        assert_eq!(drawn(&share, 3.0), 1.0);
        let latency = ranged(1e-6, 0.0, 2e-6, Unit::Second);
        assert_eq!(drawn(&latency, -3.0), 0.0);
    }

    #[test]
    fn every_stratum_is_met_once() {
        let mut order = strata("chip.matrix.bf16", 100);
        assert_ne!(order, strata("chip.matrix.fp8", 100));
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<u32>>());
    }
}
