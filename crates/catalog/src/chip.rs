//! `catalog/chips/*.toml` to [`Chip`].

use crate::embedded::{Kind, Values, text, unknown_id};
use crate::figure::{NOT_NEGATIVE, POSITIVE, SHARE};
use crate::toml_reader::{Reader, Table};
use crate::types::{Chip, Dtype};
use diagnostic::{Diagnostic, Diagnostics};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use units::{Figure, Unit};

/// Families a chip can belong to; each has a calibration to borrow from.
pub(crate) const FAMILIES: [(&str, &str); 5] = [
    ("ascend", "ascend"),
    ("ampere", "ampere"),
    ("hopper", "hopper"),
    ("blackwell", "blackwell"),
    ("tpu", "tpu"),
];

/// The built-in chip of that id.
///
/// ```
/// let chip = catalog::chip("ascend-950dt").unwrap();
/// // The cube alone, without the vector unit that the headline figure adds.
/// assert_eq!(chip.matrix[&catalog::Dtype::Fp8].value, 973e12);
/// ```
///
/// # Errors
/// If there is none.
pub fn chip(id: &str) -> Result<Chip, Diagnostics> {
    static ALL: LazyLock<Values<Chip>> = LazyLock::new(|| Values::new(Kind::Chip));
    ALL.get(id, || match text(Kind::Chip, id) {
        Some(text) => parse_chip(&format!("catalog/chips/{id}.toml"), text),
        None => Err(unknown_id(Kind::Chip, id).into()),
    })
}

/// Reads a chip file; the id is the file's name without folder and ending.
///
/// # Errors
/// Every problem of the text, each with its place.
pub fn parse_chip(file_name: &str, text: &str) -> Result<Chip, Diagnostics> {
    let reader = Reader::new(file_name, text);
    let chip = reader.root().and_then(|root| read(root, id_of(file_name)));
    reader.into_result(chip)
}

/// `a/b/h100.toml` is `h100`.
pub(crate) fn id_of(file_name: &str) -> String {
    let name = file_name.rsplit('/').next().unwrap_or(file_name);
    name.strip_suffix(".toml").unwrap_or(name).to_owned()
}

/// A figure if its key is there; a wrong one is reported and so refuses the file anyway.
pub(crate) fn optional_figure(table: &mut Table<'_>, key: &str, unit: Unit) -> Option<Figure> {
    if table.has(key) { table.take_figure(key, unit, &POSITIVE) } else { None }
}

fn read(mut root: Table<'_>, id: String) -> Option<Chip> {
    let name = root.take_str("name");
    let vendor = root.take_str("vendor");
    let family = root.take_word("family", &FAMILIES);
    let matrix = root.take_table("matrix").and_then(read_matrix);
    let vector = root.take_figure("vector", Unit::FlopPerSecond, &POSITIVE);
    let memory = root.take_figure("memory", Unit::Byte, &POSITIVE);
    let memory_bandwidth = root.take_figure("memory_bandwidth", Unit::BytePerSecond, &POSITIVE);
    let sustained = root.take_figure("sustained", Unit::Ratio, &SHARE);
    let spread = root.take_figure("spread", Unit::Ratio, &NOT_NEGATIVE);
    let communication_cores = root.take_figure("communication_cores", Unit::Ratio, &SHARE);
    let host_link = optional_figure(&mut root, "host_link", Unit::BytePerSecond);
    let power = optional_figure(&mut root, "power", Unit::Watt);
    let price = optional_figure(&mut root, "price", Unit::Usd);
    let rental = optional_figure(&mut root, "rental", Unit::UsdPerHour);
    root.finish();
    Some(Chip {
        id,
        name: name?,
        vendor: vendor?,
        family: family?.to_owned(),
        matrix: matrix?,
        vector: vector?,
        memory: memory?,
        memory_bandwidth: memory_bandwidth?,
        sustained: sustained?,
        spread: spread?,
        communication_cores: communication_cores?,
        host_link,
        power,
        price,
        rental,
    })
}

/// Peaks by format; at least one.
fn read_matrix(mut table: Table<'_>) -> Option<BTreeMap<Dtype, Figure>> {
    let mut peaks = BTreeMap::new();
    let mut complete = true;
    for (dtype, word) in Dtype::WORDS {
        if table.has(word) {
            match table.take_figure(word, Unit::FlopPerSecond, &POSITIVE) {
                Some(peak) => drop(peaks.insert(dtype, peak)),
                None => complete = false,
            }
        }
    }
    if peaks.is_empty() && complete {
        let problem = Diagnostic::error("catalog::missing-key", "`matrix` names no peak");
        table.report(problem.hint("at least one of `bf16`, `fp16`, `fp8`"), table.span());
        complete = false;
    }
    table.finish();
    complete.then_some(peaks)
}
