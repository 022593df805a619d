//! How many parameters, counted one by one.

use crate::{Architecture, Ffn, Layer, Weights};

/// Parameters that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// `attention_csa`, `moe_routed`, `embedding`; `mtp` for all of the prediction blocks.
    pub name: &'static str,
    /// Exact number of parameters.
    pub count: u64,
}

/// Exact parameter counts of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// All parameters by component, largest first; they sum to `total_with_mtp`.
    pub components: Vec<Component>,
    /// Those in matrices an optimizer may orthogonalise (Muon), prediction blocks included.
    pub matrices: u64,
    /// The others, which Muon leaves to `AdamW`: embedding, head, norms, biases, gating factors.
    pub vectors: u64,
    /// Main model and prediction blocks.
    pub total_with_mtp: u64,
    /// Main model.
    pub total_main: u64,
    /// Of the main model, what one token passes through: `topk` of the routed experts.
    pub active_with_embedding: u64,
    /// The same without the input tables (an embedding that is also the head stays): what authors
    /// of mixture models call active.
    pub active_without_embedding: u64,
}

impl Parameters {
    /// Parameters of one component; 0 if the model has none such.
    pub fn component(&self, name: &str) -> u64 {
        self.components.iter().find(|c| c.name == name).map_or(0, |c| c.count)
    }
}

impl Architecture {
    /// Counts every weight.
    ///
    /// ```
    /// # let text = include_str!("../../../catalog/models/deepseek-v4-pro.json");
    /// let v4_pro = model::parse_config("deepseek-v4-pro", "config.json", text).unwrap();
    /// let parameters = v4_pro.parameters();
    /// assert_eq!(parameters.total_main, 1_572_997_201_763);
    /// assert_eq!(parameters.active_without_embedding, 48_852_402_019);
    /// ```
    pub fn parameters(&self) -> Parameters {
        let top = self.top_weights();
        let main: Vec<Weights> = self
            .layers
            .iter()
            .flat_map(|layer| self.layer_weights(layer))
            .chain(top.into_iter().map(|(_, weights)| weights))
            .collect();
        let mtp: Vec<Weights> = self.mtp.iter().flat_map(|l| self.mtp_weights(l)).collect();
        let total_main = total(&main);
        let total_with_mtp = total_main + total(&mtp);
        let matrices =
            main.iter().chain(&mtp).filter(|w| w.matrix.is_some()).map(|w| w.count as u64).sum();
        let idle: u64 = self.layers.iter().map(|layer| self.idle(layer)).sum();
        let active = total_main - idle;
        let components = components(&main, total(&mtp));
        let tables: u64 = components
            .iter()
            .filter(|c| c.name == "positions" || c.name == "embedding" && !self.tied_embedding)
            .map(|c| c.count)
            .sum();
        Parameters {
            components,
            matrices,
            vectors: total_with_mtp - matrices,
            total_with_mtp,
            total_main,
            active_with_embedding: active,
            active_without_embedding: active - tables,
        }
    }

    /// Parameters of the routed experts a token does not choose.
    fn idle(&self, layer: &Layer) -> u64 {
        let Ffn::Moe { experts, topk, .. } = layer.ffn else { return 0 };
        let weights = self.layer_weights(layer);
        let routed: u64 =
            weights.iter().filter(|w| w.component == "moe_routed").map(|w| w.count as u64).sum();
        routed / experts.max(1) * experts.saturating_sub(topk)
    }
}

/// Counts are whole and below 2^53, so the conversion is exact.
fn total(weights: &[Weights]) -> u64 {
    weights.iter().map(|w| w.count as u64).sum()
}

fn components(main: &[Weights], mtp: u64) -> Vec<Component> {
    let mut all: Vec<Component> = Vec::new();
    let mut add = |name, count| match all.iter_mut().find(|c| c.name == name) {
        Some(component) => component.count += count,
        None => all.push(Component { name, count }),
    };
    for weights in main {
        add(weights.component, weights.count as u64);
    }
    if mtp > 0 {
        add("mtp", mtp);
    }
    all.sort_by(|a, b| b.count.cmp(&a.count).then(a.name.cmp(b.name)));
    all
}
