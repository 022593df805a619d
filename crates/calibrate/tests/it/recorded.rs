//! The errors recorded in the catalog's calibrations stay under what is promised.

/// Bounds on the median error by operator.
fn bound(operator: &str) -> Option<f64> {
    Some(match operator.split(' ').next()? {
        "gemm" => 0.05,
        "mla" => 0.035,
        "attention" => 0.07,
        "grouped-gemm" => 0.08,
        "all-reduce" | "all-gather" | "reduce-scatter" | "all-to-all" => 0.10,
        _ => return None,
    })
}

#[test]
fn fits_of_the_catalog_stay_under_their_bounds() {
    let mut seen = 0;
    for calibration in kernel::calibrations().expect("shipped") {
        for fit in &calibration.fits {
            if let Some(bound) = bound(&fit.operator) {
                seen += 1;
                let (id, operator, median) = (&calibration.id, &fit.operator, fit.median_error);
                assert!(median <= bound, "{id} {operator}: {median} > {bound}");
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn calibrations_stay_compact() {
    for (id, text) in catalog::files(catalog::Kind::Calibration) {
        assert!(text.len() < 64_000, "{id}: {} bytes", text.len());
    }
}
