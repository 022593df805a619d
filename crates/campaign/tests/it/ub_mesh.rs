//! Table 6 of UB-Mesh from counts of parts (arXiv 2503.20377).

use catalog::{Component, Reliability};

/// Failures a year of `(switches, cables, optical links)` at the rates of `parts`.
fn per_year(parts: &Reliability, switches: f64, cables: f64, links: f64) -> f64 {
    let rate = |c: Component| {
        parts.failures.iter().find(|f| f.component == c).expect("in the file").rate.value
    };
    rate(Component::Switch) * switches
        + rate(Component::Cable) * cables
        + rate(Component::Optic) * links
}

fn mtbf_h(per_year: f64) -> f64 {
    8_760.0 / per_year
}

/// Mean time to repair of the paper: 75 minutes.
fn availability(mtbf_h: f64) -> f64 {
    mtbf_h / (mtbf_h + 1.25)
}

/// 8,192 chips of 64 lanes, 512 lanes a switch, two tiers without oversubscription; 16 low-radix
/// switches a rack (72 x 18 / 81: the table's rows share one rate); an electrical cable for each four
/// lanes; an optical link for each eight lanes of one tier.
fn clos() -> (f64, f64, f64) {
    let lanes = 8_192.0 * 64.0;
    (3.0 * lanes / 512.0 + 16.0 * 128.0, lanes / 4.0, lanes / 8.0)
}

/// 72 low-radix switches a rack, 64 high-radix ones for the four lanes of each chip that leave its
/// racks; 57,344 cables in racks are 86.7 % of all, 93.9 % are copper.
fn mesh() -> (f64, f64, f64) {
    (72.0 * 128.0 + 8_192.0 * 4.0 / 512.0, 448.0 * 128.0 / 0.867 * 0.939, 8_192.0 * 4.0 / 8.0)
}

#[test]
fn one_rate_gives_the_rows_of_switches_and_of_the_clos_s_optics() {
    let parts = catalog::reliability("ub-mesh").expect("shipped");
    // Printed: high-radix and low-radix switches of both networks, optics of the Clos.
    for (count, printed, digits) in [
        (8_192.0 * 64.0 * 3.0 / 512.0, 27.0, 0.5),
        (16.0 * 128.0, 18.0, 0.5),
        (72.0 * 128.0, 81.0, 0.5),
        (8_192.0 * 4.0 / 512.0, 0.56, 0.005),
    ] {
        let found = per_year(&parts, count, 0.0, 0.0);
        assert!((found - printed).abs() < digits, "{count}: {found} against {printed}");
    }
    let optics = per_year(&parts, 0.0, 0.0, 65_536.0);
    assert!((optics - 574.0).abs() < 0.5, "{optics}");
}

#[test]
fn the_clos_follows_from_its_counts() {
    let parts = catalog::reliability("ub-mesh").expect("shipped");
    let (switches, cables, links) = clos();
    // Printed: 13.8 + 574 + 18 + 27 = 632.8 failures a year, 13.8 h, 91.6 % (13.8 / 15.05 = 91.7).
    let found = mtbf_h(per_year(&parts, switches, cables, links));
    assert!((found - 13.8).abs() < 0.1, "{found}");
    assert!((availability(found) - 0.916).abs() < 0.002, "{}", availability(found));
}

#[test]
fn the_mesh_follows_except_for_its_optics() {
    let parts = catalog::reliability("ub-mesh").expect("shipped");
    let (switches, cables, links) = mesh();
    // Printed: 5.82 + 1.55 + 81 + 0.56 = 88.9 failures a year, 98.5 h, 98.8 %.
    let without = per_year(&parts, switches, cables, 0.0);
    let found = mtbf_h(without + 1.55);
    assert!((found - 98.5).abs() < 0.5, "{found}");
    assert!((availability(found) - 0.988).abs() < 0.001);
    // The Clos's rate an optical link gives 35.9 a year where the table prints 1.55: a factor of 23
    // that no count of links explains: the paper itself says that 93 % of the optics are saved. With it the mesh has 71 h and 98.3 %.
    let counted = mtbf_h(per_year(&parts, switches, cables, links));
    assert!((counted - 71.1).abs() < 0.5, "{counted}");
    assert!((availability(counted) - 0.983).abs() < 0.001);
}
