//! `catalog/economics/*.toml` to [`Economics`]: what a run costs in one region and year.

use crate::chip::id_of;
use crate::embedded::{Kind, ids, text, unknown_id};
use crate::figure::{NOT_NEGATIVE, POSITIVE, SHARE};
use crate::toml_reader::{Item, Reader, Table};
use diagnostic::{Diagnostic, Diagnostics};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use units::{Figure, Unit};

/// Prices of one kind of chip with what stands around it; what is absent has no public figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChipPrices {
    /// Rental of one chip with its share of everything. USD/h.
    pub rental: Option<Figure>,
    /// Purchase of the chip. USD.
    pub price: Option<Figure>,
    /// Its share of a server. USD.
    pub host: Option<Figure>,
    /// Its share of switches and cables, without optics. USD.
    pub fabric: Option<Figure>,
    /// Whether `price` holds the optics too.
    pub optics_included: bool,
}

/// Prices of one region and year.
#[derive(Clone, Debug, PartialEq)]
pub struct Economics {
    /// File name without ending.
    pub id: String,
    /// What it is.
    pub name: String,
    /// Where.
    pub region: String,
    /// When.
    pub year: u64,
    /// Makers whose chips are priced with it unless another is named.
    pub default_for: Vec<String>,
    /// Electricity. USD/kWh.
    pub electricity: Figure,
    /// Power at the meter over power of the machines.
    pub pue: Figure,
    /// Power of a chip that waits over its power under load.
    pub idle_power: Figure,
    /// Building with power and cooling, by power of the machines. USD/W.
    pub building: Figure,
    /// Years over which the building is paid. Seconds.
    pub building_life: Figure,
    /// Years over which the machines are paid. Seconds.
    pub machine_life: Figure,
    /// Share of the machines' life in which they are used.
    pub utilisation: Figure,
    /// Cost of capital. Per year.
    pub capital: Figure,
    /// Staff, repair and software over the yearly cost of capital.
    pub staff: Figure,
    /// One optical module. USD.
    pub optic: Figure,
    /// By chip id.
    pub chips: BTreeMap<String, ChipPrices>,
}

/// The built-in economics file of that id.
///
/// ```
/// assert_eq!(catalog::economics("us-2026").unwrap().year, 2026);
/// ```
///
/// # Errors
/// If there is none.
pub fn economics(id: &str) -> Result<Economics, Diagnostics> {
    match text(Kind::Economics, id) {
        Some(text) => parse_economics(&format!("catalog/economics/{id}.toml"), text),
        None => Err(unknown_id(Kind::Economics, id).into()),
    }
}

/// The file with which chips of `vendor` are priced unless another is named.
///
/// # Errors
/// A maker whose chips no file prices.
pub fn economics_for(vendor: &str) -> Result<Economics, Diagnostics> {
    for id in ids(Kind::Economics) {
        let read = economics(id)?;
        if read.default_for.iter().any(|v| v == vendor) {
            return Ok(read);
        }
    }
    let message = format!("no economics stand for chips of `{vendor}`");
    let hint = "name some with `economics = \"..\"` in `[campaign]`, or answer `--without money`";
    Err(Diagnostic::error("catalog::economics", message).hint(hint).into())
}

/// Reads an economics file; the id is the file's name without folder and ending.
///
/// # Errors
/// Every problem of the text, each with its place.
pub fn parse_economics(file_name: &str, text: &str) -> Result<Economics, Diagnostics> {
    let reader = Reader::new(file_name, text);
    let read = reader.root().and_then(|root| read(root, id_of(file_name)));
    reader.into_result(read)
}

/// From a month to a century.
const LIFE: RangeInclusive<f64> = 2_592_000.0..=3_153_600_000.0;
/// No cooling takes nothing, and none takes ten times the machines.
const PUE: RangeInclusive<f64> = 1.0..=10.0;
/// Interest that doubles the capital within a year is no interest.
const INTEREST: RangeInclusive<f64> = 0.0..=1.0;
/// What is never used has no cost an hour.
const UTILISATION: RangeInclusive<f64> = 0.01..=1.0;

fn read(mut root: Table<'_>, id: String) -> Option<Economics> {
    let name = root.take_str("name");
    let region = root.take_str("region");
    let year = root.take_positive("year");
    let default_for = if root.has("default_for") {
        let items = root.take_array("default_for")?;
        items.into_iter().map(Item::into_str).collect::<Option<Vec<_>>>()
    } else {
        Some(Vec::new())
    };
    let electricity = root.take_figure("electricity", Unit::UsdPerKwh, &NOT_NEGATIVE);
    let pue = root.take_figure("pue", Unit::Ratio, &PUE);
    let idle_power = root.take_figure("idle_power", Unit::Ratio, &SHARE);
    let building = root.take_figure("building", Unit::UsdPerWatt, &NOT_NEGATIVE);
    let building_life = root.take_figure("building_life", Unit::Second, &LIFE);
    let machine_life = root.take_figure("machine_life", Unit::Second, &LIFE);
    let utilisation = root.take_figure("utilisation", Unit::Ratio, &UTILISATION);
    let capital = root.take_figure("capital", Unit::PerYear, &INTEREST);
    let staff = root.take_figure("staff", Unit::Ratio, &NOT_NEGATIVE);
    let optic = root.take_figure("optic", Unit::Usd, &NOT_NEGATIVE);
    let chips = root.take_table("chip").and_then(read_chips);
    root.finish();
    Some(Economics {
        id,
        name: name?,
        region: region?,
        year: year?,
        default_for: default_for?,
        electricity: electricity?,
        pue: pue?,
        idle_power: idle_power?,
        building: building?,
        building_life: building_life?,
        machine_life: machine_life?,
        utilisation: utilisation?,
        capital: capital?,
        staff: staff?,
        optic: optic?,
        chips: chips?,
    })
}

fn read_chips(mut table: Table<'_>) -> Option<BTreeMap<String, ChipPrices>> {
    let mut chips = BTreeMap::new();
    let mut complete = true;
    for id in table.keys() {
        match table.take_table(&id).and_then(read_prices) {
            Some(prices) => drop(chips.insert(id, prices)),
            None => complete = false,
        }
    }
    table.finish();
    complete.then_some(chips)
}

fn read_prices(mut table: Table<'_>) -> Option<ChipPrices> {
    let mut optional = |key: &str, unit, limits: &RangeInclusive<f64>| {
        if table.has(key) { table.take_figure(key, unit, limits).map(Some) } else { Some(None) }
    };
    let rental = optional("rental", Unit::UsdPerHour, &POSITIVE);
    let price = optional("price", Unit::Usd, &POSITIVE);
    let host = optional("host", Unit::Usd, &NOT_NEGATIVE);
    let fabric = optional("fabric", Unit::Usd, &NOT_NEGATIVE);
    let optics_included =
        if table.has("optics_included") { table.take_bool("optics_included") } else { Some(false) };
    table.finish();
    Some(ChipPrices {
        rental: rental?,
        price: price?,
        host: host?,
        fabric: fabric?,
        optics_included: optics_included?,
    })
}

impl Economics {
    /// Every figure that belongs to no chip, with its path.
    pub fn common_figures(&self) -> [(&'static str, &Figure); 10] {
        [
            ("economics.electricity", &self.electricity),
            ("economics.pue", &self.pue),
            ("economics.idle_power", &self.idle_power),
            ("economics.building", &self.building),
            ("economics.building_life", &self.building_life),
            ("economics.machine_life", &self.machine_life),
            ("economics.utilisation", &self.utilisation),
            ("economics.capital", &self.capital),
            ("economics.staff", &self.staff),
            ("economics.optic", &self.optic),
        ]
    }

    /// Every figure with its path.
    pub fn figures(&self) -> Vec<(String, &Figure)> {
        let common = self.common_figures();
        let mut all: Vec<_> = common.into_iter().map(|(p, f)| (p.to_owned(), f)).collect();
        for (id, prices) in &self.chips {
            let ChipPrices { rental, price, host, fabric, .. } = prices;
            let parts = [("rental", rental), ("price", price), ("host", host), ("fabric", fabric)];
            all.extend(parts.into_iter().filter_map(|(key, figure)| {
                Some((format!("economics.chip.{id}.{key}"), figure.as_ref()?))
            }));
        }
        all
    }
}
