//! A scenario while it is read from a launch line, and the files it becomes.

use catalog::Dtype;
use model::Architecture;
use program::Schedule;
use serde_json::{Map, Value, json};

/// What a line says about a run, before it is written as files.
#[derive(Debug)]
pub(super) struct Draft {
    /// Keys of `[plan]` with their TOML values, in order.
    pub plan: Vec<(&'static str, String)>,
    /// What runs beside compute.
    pub overlap: Vec<&'static str>,
    /// Tokens of a sequence.
    pub sequence: u64,
    /// Sequences of a step.
    pub batch: u64,
    /// Sequences of the whole run.
    pub samples: u64,
    /// The model: a catalog id, or a `config.json`.
    pub model: Model,
    /// Format of products.
    pub products: Dtype,
    /// Format of activations and weights.
    pub activations: Dtype,
    /// Format of gradients, kept and sent.
    pub gradients: Dtype,
    /// Format of the optimizer's moments.
    pub moments: Dtype,
    /// Newton-Schulz steps, if the optimizer is Muon.
    pub muon: Option<u64>,
}

/// A model known by id, or described.
#[derive(Debug)]
pub(super) enum Model {
    /// Of the catalog.
    Catalog(String),
    /// An HF configuration.
    Config(Map<String, Value>),
}

/// Sets a key of the plan.
pub(super) fn set(draft: &mut Draft, key: &'static str, value: impl ToString) {
    draft.plan.push((key, value.to_string()));
}

/// `schedule` as a scenario writes it.
pub(super) fn schedule(draft: &mut Draft, schedule: Schedule) {
    set(draft, "schedule", format!("\"{}\"", schedule.word()));
}

/// `["a", "b"]`.
pub(super) fn list<T: AsRef<str>>(words: &[T]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("\"{}\"", w.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// The `config.json` of a model that is not in the catalog.
pub(super) fn config_text(config: &Map<String, Value>) -> String {
    let mut text = serde_json::to_string_pretty(&json!(config)).unwrap_or_default();
    text.push('\n');
    text
}

/// The id of the catalog's model that has the same shape, whatever either is called.
pub(super) fn catalog_id(model: &Architecture) -> Option<String> {
    let unnamed = |known: Architecture| Architecture {
        name: model.name.clone(),
        model_type: model.model_type.clone(),
        ..known
    };
    let same = |id: &&str| {
        let text = catalog::text(catalog::Kind::Model, id).unwrap_or_default();
        model::parse_config(id, id, text).is_ok_and(|known| unnamed(known) == *model)
    };
    catalog::model_ids().into_iter().find(|id| same(id)).map(str::to_owned)
}

/// The scenario file.
pub(super) fn scenario_text(
    draft: &Draft,
    name: &str,
    model: &str,
    recipe: &str,
    cluster: &str,
    chips: u64,
) -> String {
    let mut text = format!(
        "name = {}\nmodel = {}\nrecipe = {}\ncluster = {}\nchips = {chips}\n\n[plan]\n",
        quoted(name),
        quoted(model),
        quoted(recipe),
        quoted(cluster)
    );
    for (key, value) in &draft.plan {
        text.push_str(&format!("{key} = {value}\n"));
    }
    if !draft.overlap.is_empty() {
        text.push_str(&format!("overlap = {}\n", list(&draft.overlap)));
    }
    text
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The recipe file.
pub(super) fn recipe_text(draft: &Draft, model: &str) -> String {
    let tokens = u128::from(draft.samples) * u128::from(draft.sequence);
    let batch = u128::from(draft.batch) * u128::from(draft.sequence);
    let figure = |value: u128, note: &str| {
        format!(
            "{{ value = \"{value} token\", origin = \"derived\", source = \"LINE\", note = \"{note}\" }}"
        )
    };
    let optimizer = match draft.muon {
        Some(steps) => format!("{{ kind = \"muon\", iterations = {steps} }}"),
        None => "{ kind = \"adamw\" }".to_owned(),
    };
    let (products, wide) = (draft.products.word(), draft.activations.word());
    let (gradients, moments) = (draft.gradients.word(), draft.moments.word());
    // Kept inputs of products have the products' format where that is the narrower one.
    let inputs =
        if draft.products.bytes() < draft.activations.bytes() { Dtype::Fp8.word() } else { wide };
    let formats = [
        ("linear", products),
        ("expert", products),
        ("attention", wide),
        ("indexer", wide),
        ("sensitive", wide),
        ("head", wide),
        ("weights", wide),
        ("gradients", gradients),
        ("gradient_wire", gradients),
        ("master", "fp32"),
        ("moments", moments),
        ("activations", wide),
        ("linear_inputs", inputs),
        ("expert_inputs", inputs),
        ("dispatch", wide),
        ("combine", wide),
    ];
    let lines: Vec<String> = formats.iter().map(|(k, w)| format!("{k} = \"{w}\"")).collect();
    let lines = lines.join("\n");
    format!(
        "model = {}\ntokens = {}\nbatch_tokens = {}\noptimizer = {optimizer}\nprecision_note = \
         {{ value = 1, origin = \"assumed\", source = \"LINE\", note = \"the line's formats; those \
         it does not name are the program's usual ones\" }}\n\n[precision]\n{lines}\n\n[[stage]]\n\
         sequence = {}\nshare = {{ value = 1.0, origin = \"derived\", source = \"LINE\", note = \
         \"one line trains one length\" }}\n",
        quoted(model),
        figure(tokens, "samples times sequence length"),
        figure(batch, "global batch times sequence length"),
        draft.sequence
    )
}
