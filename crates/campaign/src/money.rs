//! What a run costs: rented, or owned.

use crate::assumptions::{Assumptions, Place};
use crate::counts::Counts;
use catalog::{Chip, ChipPrices, Cluster, Economics};
use diagnostic::{Diagnostic, Diagnostics};
use units::Figure;

/// Seconds of a year of 365 days.
const YEAR_S: f64 = 31_536_000.0;

/// Where the prices of a campaign are in its assumptions.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    rental: Place,
    price: Place,
    host: Place,
    fabric: Place,
    optic: Option<Place>,
    electricity: Place,
    building: Place,
    building_life: Place,
    machine_life: Place,
    utilisation: Place,
    capital: Place,
    staff: Place,
}

/// Money of one run. USD.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// At a price per chip-hour.
    pub rental: f64,
    /// Owning: the chips.
    pub chips: f64,
    /// Owning: servers.
    pub hosts: f64,
    /// Owning: switches and cables.
    pub fabric: f64,
    /// Owning: optical modules.
    pub optics: f64,
    /// Owning: building, power supply and cooling.
    pub building: f64,
    /// Owning: electricity at the meter.
    pub electricity: f64,
    /// Owning: staff, repair and software.
    pub staff: f64,
}

impl Bill {
    /// Owning, all together.
    pub fn owning(&self) -> f64 {
        self.parts().iter().map(|(_, usd)| usd).sum()
    }

    /// What owning is made of, with its words.
    pub fn parts(&self) -> [(&'static str, f64); 7] {
        [
            ("chips", self.chips),
            ("hosts", self.hosts),
            ("fabric", self.fabric),
            ("optics", self.optics),
            ("building", self.building),
            ("electricity", self.electricity),
            ("staff", self.staff),
        ]
    }
}

/// What one run used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Used {
    /// Chips of the job and its spares.
    pub chips: f64,
    /// Wall clock. Seconds.
    pub wall_s: f64,
    /// Energy at the meter. Joules.
    pub energy_j: f64,
    /// Power of all machines under load. Watts.
    pub power_w: f64,
}

/// Rent of one chip-hour: of `economics`, else of the chip's own catalog entry, if either has one.
/// USD/h.
pub fn rental<'a>(economics: &'a Economics, chip: &'a Chip) -> Option<&'a Figure> {
    let own = economics.chips.get(&chip.id).and_then(|prices| prices.rental.as_ref());
    own.or(chip.rental.as_ref())
}

/// Power at the meter of one chip under load with its share of the machine, (chip + overhead) · PUE,
/// if both powers are known. Watts.
pub fn meter_power(economics: &Economics, cluster: &Cluster) -> Option<f64> {
    let chip = cluster.chip.power.as_ref()?.value;
    let overhead = cluster.overhead_power.as_ref()?.value;
    Some((chip + overhead) * economics.pue.value)
}

impl Prices {
    /// The prices of `chip` in `economics`; the chip's own catalog entry fills in.
    ///
    /// # Errors
    /// Every price that neither has, named.
    pub fn new(
        economics: &Economics,
        chip: &Chip,
        assumptions: &mut Assumptions,
    ) -> Result<Self, Diagnostics> {
        let absent = ChipPrices::default();
        let own = economics.chips.get(&chip.id).unwrap_or(&absent);
        let mut problems = Diagnostics::default();
        let mut find = |key: &str, first: Option<&Figure>, second: Option<&Figure>| {
            let found = first.or(second).cloned();
            if found.is_none() {
                problems.push(missing(economics, chip, key));
            }
            found
        };
        let rental = find("rental", rental(economics, chip), None);
        let price = find("price", own.price.as_ref(), chip.price.as_ref());
        let host = find("host", own.host.as_ref(), None);
        let fabric = find("fabric", own.fabric.as_ref(), None);
        let (Some(rental), Some(price), Some(host), Some(fabric)) = (rental, price, host, fabric)
        else {
            return Err(problems);
        };
        let path = |key: &str| format!("economics.{}.{key}", chip.id);
        let mut common = |key: &str, figure: &Figure| {
            assumptions.add(format!("economics.{}.{key}", economics.id), figure.clone())
        };
        let optic = (!own.optics_included).then(|| common("optic", &economics.optic));
        Ok(Self {
            electricity: common("electricity", &economics.electricity),
            building: common("building", &economics.building),
            building_life: common("building_life", &economics.building_life),
            machine_life: common("machine_life", &economics.machine_life),
            utilisation: common("utilisation", &economics.utilisation),
            capital: common("capital", &economics.capital),
            staff: common("staff", &economics.staff),
            rental: assumptions.add(path("rental"), rental),
            price: assumptions.add(path("price"), price),
            host: assumptions.add(path("host"), host),
            fabric: assumptions.add(path("fabric"), fabric),
            optic,
        })
    }

    /// The bill of a run that used `used`, at the prices of `choice`.
    ///
    /// Owning: each part's price is paid back in equal yearly amounts over its life at the cost of
    /// capital ([`recovery`]), spread over the share of the year in which machines are used. The
    /// building is sized by the power of the machines. Staff is a share of the yearly capital cost.
    /// Optical modules are those of the job, scaled to its spares.
    pub fn bill(&self, choice: &[f64], counts: &Counts, used: &Used) -> Bill {
        let years = used.wall_s / YEAR_S / self.utilisation.of(choice);
        let rate = self.capital.of(choice);
        let machine = years * recovery(rate, self.machine_life.of(choice) / YEAR_S);
        let building = years * recovery(rate, self.building_life.of(choice) / YEAR_S);
        let optics = self
            .optic
            .map_or(0.0, |price| price.of(choice) * counts.optics * used.chips / counts.chips);
        let mut bill = Bill {
            rental: self.rental.of(choice) * used.chips * used.wall_s / 3_600.0,
            chips: machine * self.price.of(choice) * used.chips,
            hosts: machine * self.host.of(choice) * used.chips,
            fabric: machine * self.fabric.of(choice) * used.chips,
            optics: machine * optics,
            building: building * self.building.of(choice) * used.power_w,
            electricity: used.energy_j / 3.6e6 * self.electricity.of(choice),
            staff: 0.0,
        };
        let capital = bill.chips + bill.hosts + bill.fabric + bill.optics + bill.building;
        bill.staff = self.staff.of(choice) * capital;
        bill
    }

    /// What a chip costs its owner an hour under load, of a job of `counts` at the prices of `choice`;
    /// `watts` is its power with what stands around it, `pue` what the building draws over that. USD/h.
    pub fn owner_usd_per_hour(&self, choice: &[f64], counts: &Counts, watts: f64, pue: f64) -> f64 {
        let chips = counts.chips;
        let power_w = watts * chips;
        let used = Used { chips, wall_s: 3_600.0, energy_j: power_w * pue * 3_600.0, power_w };
        self.bill(choice, counts, &used).owning() / chips
    }
}

/// Share of a price paid each year over `years` at `rate`: `r / (1 - (1 + r)^-n)`, `1/n` without
/// interest (the capital recovery factor of engineering economics).
///
/// ```
/// assert!((campaign::recovery(0.10, 4.0) - 0.315_470_8).abs() < 1e-7);
/// assert_eq!(campaign::recovery(0.0, 4.0), 0.25);
/// ```
pub fn recovery(rate: f64, years: f64) -> f64 {
    // Below this the formula loses its digits and the limit is exact enough.
    if rate < 1e-9 { 1.0 / years } else { rate / (1.0 - libm::pow(1.0 + rate, -years)) }
}

fn missing(economics: &Economics, chip: &Chip, key: &str) -> Diagnostic {
    let message = format!("`{}` has no `chip.{}.{key}`", economics.id, chip.id);
    Diagnostic::error("campaign::price", message)
        .hint("add it with a range and a source, or answer `--without money`")
}
