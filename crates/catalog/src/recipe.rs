//! `catalog/recipes/*.toml` to [`Recipe`].

use crate::chip::id_of;
use crate::embedded::{Kind, text, unknown_id};
use crate::figure::{POSITIVE, SHARE};
use crate::toml_reader::{Item, Reader, Table};
use crate::types::{Dtype, Optimizer, Precision, Recipe, Stage};
use diagnostic::{Diagnostic, Diagnostics};
use units::{Figure, Unit};

/// The built-in recipe of that id.
///
/// ```
/// let recipe = catalog::recipe("deepseek-v4-pro").unwrap();
/// assert_eq!(recipe.tokens.value, 33e12);
/// ```
///
/// # Errors
/// If there is none.
pub fn recipe(id: &str) -> Result<Recipe, Diagnostics> {
    match text(Kind::Recipe, id) {
        Some(text) => parse_recipe(&format!("catalog/recipes/{id}.toml"), text),
        None => Err(unknown_id(Kind::Recipe, id).into()),
    }
}

/// Reads a recipe file.
///
/// # Errors
/// Every problem of the text, each with its place.
pub fn parse_recipe(file_name: &str, text: &str) -> Result<Recipe, Diagnostics> {
    let reader = Reader::new(file_name, text);
    let recipe = reader.root().and_then(|root| read(root, id_of(file_name)));
    reader.into_result(recipe)
}

fn read(mut root: Table<'_>, id: String) -> Option<Recipe> {
    let model = root.take_str("model");
    let tokens = root.take_figure("tokens", Unit::Token, &POSITIVE);
    let batch_tokens = root.take_figure("batch_tokens", Unit::Token, &POSITIVE);
    let stages = root.take_array("stage").and_then(|items| {
        let stages: Vec<_> = items.into_iter().map(read_stage).collect();
        stages.into_iter().collect::<Option<Vec<_>>>()
    });
    let stages = stages.filter(|stages| check_stages(&root, stages));
    let precision = root.take_table("precision").and_then(read_precision);
    let precision_note = root.take_figure("precision_note", Unit::Ratio, &(1.0..=1.0));
    let optimizer = root.take_table("optimizer").and_then(read_optimizer);
    root.finish();
    Some(Recipe {
        id,
        model: model?,
        tokens: tokens?,
        batch_tokens: batch_tokens?,
        stages: stages?,
        precision: precision?,
        precision_note: precision_note?,
        optimizer: optimizer?,
    })
}

fn read_stage(item: Item<'_>) -> Option<Stage> {
    let mut table = item.into_table()?;
    let sequence = table.take_positive("sequence");
    let share: Option<Figure> = table.take_figure("share", Unit::Ratio, &SHARE);
    table.finish();
    Some(Stage { sequence: sequence?, share: share? })
}

/// At least one stage, and the shares make the whole run.
fn check_stages(root: &Table<'_>, stages: &[Stage]) -> bool {
    let sum: f64 = stages.iter().map(|stage| stage.share.value).sum();
    // Shares are written with a few digits.
    let whole = (sum - 1.0).abs() < 1e-6;
    if !whole {
        let message = format!("the shares of the stages sum to {sum}, not 1");
        let problem = Diagnostic::error("catalog::stages", message);
        root.report(problem, root.span_of("stage"));
    }
    whole
}

fn read_precision(mut table: Table<'_>) -> Option<Precision> {
    let own_gather = table.has("tensor_gather");
    let mut take = |key: &str| table.take_word(key, &Dtype::WORDS);
    let (linear, expert) = (take("linear"), take("expert"));
    let (attention, indexer) = (take("attention"), take("indexer"));
    let (sensitive, head) = (take("sensitive"), take("head"));
    let (weights, master, moments) = (take("weights"), take("master"), take("moments"));
    let (gradients, gradient_wire) = (take("gradients"), take("gradient_wire"));
    let activations = take("activations");
    let tensor_gather = if own_gather { take("tensor_gather") } else { activations };
    let (linear_inputs, expert_inputs) = (take("linear_inputs"), take("expert_inputs"));
    let (dispatch, combine) = (take("dispatch"), take("combine"));
    table.finish();
    Some(Precision {
        linear: linear?,
        expert: expert?,
        attention: attention?,
        indexer: indexer?,
        sensitive: sensitive?,
        head: head?,
        weights: weights?,
        gradients: gradients?,
        gradient_wire: gradient_wire?,
        master: master?,
        moments: moments?,
        activations: activations?,
        linear_inputs: linear_inputs?,
        expert_inputs: expert_inputs?,
        tensor_gather: tensor_gather?,
        dispatch: dispatch?,
        combine: combine?,
    })
}

fn read_optimizer(mut table: Table<'_>) -> Option<Optimizer> {
    let muon = table.take_word("kind", &[(false, "adamw"), (true, "muon")])?;
    let optimizer = if muon {
        Optimizer::Muon { iterations: table.take_positive("iterations")? }
    } else {
        Optimizer::AdamW
    };
    table.finish();
    Some(optimizer)
}
