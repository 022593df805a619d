//! `supernode catalog show`.

use super::{Answer, json};
use crate::args::Format;
use crate::output::{Done, Failure};
use catalog::Kind;
use diagnostic::{Diagnostic, nearest};
use report::{Shown, Stamp};

/// Kinds that have figures, as `catalog list` calls them; of one name the first is meant.
const KINDS: [(Kind, &str); 7] = [
    (Kind::Chip, "chips"),
    (Kind::Cluster, "clusters"),
    (Kind::Recipe, "recipes"),
    (Kind::Calibration, "calibrations"),
    (Kind::Stack, "stacks"),
    (Kind::Reliability, "reliability"),
    (Kind::Economics, "economics"),
];

/// Every figure of the thing called `asked`, or `kind/id` where kinds share a name.
pub fn show(asked: &str, format: Format, stamp: &Stamp) -> Answer {
    let (kinds, id): (Vec<_>, _) = match asked.split_once('/') {
        Some((word, id)) => (KINDS.iter().filter(|(_, known)| *known == word).collect(), id),
        None => (KINDS.iter().collect(), asked),
    };
    let mut found = kinds.into_iter().filter(|(kind, _)| catalog::ids(*kind).contains(&id));
    let Some((kind, _)) = found.next() else { return Err(unknown(id).into()) };
    let text = of(*kind, id, format, stamp)?;
    let also: Vec<String> = found.map(|(_, word)| format!("{word}/{id}")).collect();
    let notes = match also.as_slice() {
        [] => String::new(),
        _ => format!("supernode: of the same name: {}\n", also.join(", ")),
    };
    Ok(Done { text, notes, yes: true })
}

fn of(kind: Kind, id: &str, format: Format, stamp: &Stamp) -> Result<String, Failure> {
    let page = |shown: Shown<'_>| match format {
        Format::Text => report::catalog_show(&shown),
        Format::Json => json(&report::catalog_show_json(stamp, &shown)),
    };
    let plain = |name, figures| page(Shown { name, figures, calibration: None });
    Ok(match kind {
        Kind::Cluster => {
            let cluster = catalog::cluster(id)?;
            plain(&cluster.name, cluster.figures())
        }
        Kind::Recipe => {
            let recipe = catalog::recipe(id)?;
            plain(&recipe.id, recipe.figures())
        }
        Kind::Calibration => {
            let calibration = kernel::calibration(id)?;
            let (name, figures) = (&calibration.name, calibration.figures());
            page(Shown { name, figures, calibration: Some(&calibration) })
        }
        Kind::Stack => {
            let stack = catalog::stack(id)?;
            plain(&stack.name, stack.figures())
        }
        Kind::Reliability => {
            let reliability = catalog::reliability(id)?;
            plain(&reliability.id, reliability.figures())
        }
        Kind::Economics => {
            let economics = catalog::economics(id)?;
            plain(&economics.name, economics.figures())
        }
        _ => {
            let chip = catalog::chip(id)?;
            plain(&chip.name, chip.figures())
        }
    })
}

fn unknown(id: &str) -> Diagnostic {
    let ids: Vec<&str> = KINDS.iter().flat_map(|(kind, _)| catalog::ids(*kind)).collect();
    let words: Vec<&str> = KINDS.iter().map(|(_, word)| *word).collect();
    let message = format!("nothing called `{id}` among {}", words.join(", "));
    let hint = nearest(id, ids).map_or_else(
        || "`supernode catalog list` names them; `supernode model` shows models".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Diagnostic::error("catalog::unknown", message).hint(hint)
}
