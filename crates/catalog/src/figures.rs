//! Every figure of a thing with its path, for listings and for propagating uncertainty.
//!
//! Paths: `chip.matrix.fp8`, `chip.memory`, `level.rack.bandwidth`, `recipe.stage.4096.share`.

use crate::stack::Stack;
use crate::types::{Chip, Cluster, Level, Recipe};
use units::Figure;

impl Chip {
    /// Every figure with its path.
    ///
    /// ```
    /// let chip = catalog::chip("h100").unwrap();
    /// assert!(chip.figures().iter().any(|(path, _)| path == "chip.matrix.bf16"));
    /// ```
    pub fn figures(&self) -> Vec<(String, &Figure)> {
        let mut all: Vec<_> =
            self.matrix.iter().map(|(dtype, f)| (matrix_path(dtype.word()), f)).collect();
        let [vector, memory, bandwidth, sustained, spread, cores, host, power, price, rental] =
            CHIP_PATHS;
        all.extend(
            [
                (vector, Some(&self.vector)),
                (memory, Some(&self.memory)),
                (bandwidth, Some(&self.memory_bandwidth)),
                (sustained, Some(&self.sustained)),
                (spread, Some(&self.spread)),
                (cores, Some(&self.communication_cores)),
                (host, self.host_link.as_ref()),
                (power, self.power.as_ref()),
                (price, self.price.as_ref()),
                (rental, self.rental.as_ref()),
            ]
            .into_iter()
            .filter_map(|(path, figure)| Some((path.to_owned(), figure?))),
        );
        all
    }

    /// The same figures in the same order, to be changed in place.
    pub fn figures_mut(&mut self) -> Vec<&mut Figure> {
        let mut all: Vec<_> = self.matrix.values_mut().collect();
        all.extend([
            &mut self.vector,
            &mut self.memory,
            &mut self.memory_bandwidth,
            &mut self.sustained,
            &mut self.spread,
            &mut self.communication_cores,
        ]);
        let some = [&mut self.host_link, &mut self.power, &mut self.price, &mut self.rental];
        all.extend(some.into_iter().flatten());
        all
    }
}

/// The chip's figures outside `matrix`, in the order of its fields.
const CHIP_PATHS: [&str; 10] = [
    "chip.vector",
    "chip.memory",
    "chip.memory_bandwidth",
    "chip.sustained",
    "chip.spread",
    "chip.communication_cores",
    "chip.host_link",
    "chip.power",
    "chip.price",
    "chip.rental",
];

fn matrix_path(word: &str) -> String {
    format!("chip.matrix.{word}")
}

impl Cluster {
    /// Every figure with its path, those of the chip first.
    pub fn figures(&self) -> Vec<(String, &Figure)> {
        let mut all = self.chip.figures();
        for level in &self.levels {
            let Level { name, bandwidth, utilisation, latency, oversubscription, .. } = level;
            all.push((format!("level.{name}.bandwidth"), bandwidth));
            all.push((format!("level.{name}.utilisation"), utilisation));
            all.push((format!("level.{name}.latency"), latency));
            all.push((format!("level.{name}.oversubscription"), oversubscription));
        }
        all.extend(self.overhead_power.iter().map(|f| ("cluster.overhead_power".to_owned(), f)));
        all
    }

    /// The same figures in the same order, to be changed in place.
    pub fn figures_mut(&mut self) -> Vec<&mut Figure> {
        let mut all = self.chip.figures_mut();
        for level in &mut self.levels {
            let Level { bandwidth, utilisation, latency, oversubscription, .. } = level;
            all.extend([bandwidth, utilisation, latency, oversubscription]);
        }
        all.extend(&mut self.overhead_power);
        all
    }
}

impl Recipe {
    /// Every figure with its path.
    pub fn figures(&self) -> Vec<(String, &Figure)> {
        let mut all = vec![
            ("recipe.tokens".to_owned(), &self.tokens),
            ("recipe.batch_tokens".to_owned(), &self.batch_tokens),
        ];
        for stage in &self.stages {
            all.push((format!("recipe.stage.{}.share", stage.sequence), &stage.share));
        }
        all.push(("recipe.precision".to_owned(), &self.precision_note));
        all
    }
}

impl Stack {
    /// Every figure with its path.
    pub fn figures(&self) -> Vec<(String, &Figure)> {
        let mut all = vec![
            ("stack.launch".to_owned(), &self.launch),
            ("stack.collective_launch".to_owned(), &self.collective_launch),
            ("stack.traffic".to_owned(), &self.traffic),
            ("stack.casts".to_owned(), &self.casts),
            ("stack.gradient_bytes".to_owned(), &self.gradient_bytes),
            ("stack.gather_bytes".to_owned(), &self.gather_bytes),
            ("stack.gather_member".to_owned(), &self.gather_member),
            ("stack.expert_padding".to_owned(), &self.expert_padding),
            ("stack.reserved_cores".to_owned(), &self.reserved_cores),
            ("stack.expert_extras".to_owned(), &self.expert_extras),
            ("stack.scaled_rotary".to_owned(), &self.scaled_rotary),
            ("stack.dispatch_waits".to_owned(), &self.dispatch_waits),
            ("stack.step".to_owned(), &self.step),
        ];
        all.extend(self.fp8.iter().map(|(f, s)| (format!("stack.fp8.{f}"), s)));
        all.extend(self.fp8_weight.iter().map(|(f, s)| (format!("stack.fp8_weight.{f}"), s)));
        all.extend(self.relayed.iter().map(|(f, s)| (format!("stack.relayed.{f}"), s)));
        all.extend(self.relayed_pair.iter().map(|(f, s)| (format!("stack.relayed_pair.{f}"), s)));
        all.extend(self.attention.iter().map(|(f, s)| (format!("stack.attention.{f}"), s)));
        let each = self.element_operations.iter();
        all.extend(each.map(|(f, s)| (format!("stack.element_operations.{f}"), s)));
        all
    }

    /// The same figures in the same order, to be changed in place.
    pub fn figures_mut(&mut self) -> Vec<&mut Figure> {
        let mut all = vec![
            &mut self.launch,
            &mut self.collective_launch,
            &mut self.traffic,
            &mut self.casts,
            &mut self.gradient_bytes,
            &mut self.gather_bytes,
            &mut self.gather_member,
            &mut self.expert_padding,
            &mut self.reserved_cores,
            &mut self.expert_extras,
            &mut self.scaled_rotary,
            &mut self.dispatch_waits,
            &mut self.step,
        ];
        let by_family = [
            &mut self.fp8,
            &mut self.fp8_weight,
            &mut self.relayed,
            &mut self.relayed_pair,
            &mut self.attention,
            &mut self.element_operations,
        ];
        all.extend(by_family.into_iter().flat_map(|figures| figures.values_mut()));
        all
    }
}
