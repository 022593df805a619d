//! Every figure a campaign rests on, in one list that can be drawn from.

use crate::strikes::{stream, uniform};
use engine::{drawn, normal_quantile};
use units::Figure;

/// A list of figures by path; a *choice* is a value for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assumptions {
    /// Path and figure, in the order of their making.
    pub list: Vec<(String, Figure)>,
}

/// The place of a figure in [`Assumptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

impl Place {
    /// The figure's value in a choice.
    pub fn of(self, choice: &[f64]) -> f64 {
        choice[self.0]
    }

    /// Whether it is the `index`-th figure.
    pub(crate) fn is(self, index: usize) -> bool {
        self.0 == index
    }

    /// A choice with this figure at `value`.
    pub(crate) fn set(self, choice: &[f64], value: f64) -> Vec<f64> {
        let mut changed = choice.to_vec();
        changed[self.0] = value;
        changed
    }
}

impl Assumptions {
    /// Adds a figure.
    pub fn add(&mut self, path: impl Into<String>, figure: Figure) -> Place {
        self.list.push((path.into(), figure));
        Place(self.list.len() - 1)
    }

    /// Every figure at its value.
    pub fn central(&self) -> Vec<f64> {
        self.list.iter().map(|(_, figure)| figure.value).collect()
    }

    /// Every figure drawn from its range, each from a stream of its own by `(seed, group, path)`.
    ///
    /// Not valid for figures that are wrong together: each is drawn on its own.
    pub fn draw(&self, seed: u64, group: u64) -> Vec<f64> {
        let one = |(path, figure): &(String, Figure)| {
            if !figure.is_uncertain() {
                return figure.value;
            }
            let mut stream = stream(seed ^ IGNORANCE, group, name_hash(path));
            drawn(figure, normal_quantile(uniform(&mut stream)))
        };
        self.list.iter().map(one).collect()
    }
}

/// Keeps the streams of figures apart from those of strikes.
const IGNORANCE: u64 = 0x1640_7ace_0000_0001;

/// FNV-1a: a stream belongs to a figure's path, whatever else is in the list.
fn name_hash(path: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    path.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
