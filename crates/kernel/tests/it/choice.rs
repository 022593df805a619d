//! Which calibration a chip gets.

use crate::measured::chip;
use catalog::Dtype;
use kernel::{calibration, calibrations, effective_dtype, for_chip, forward};
use model::Work;
use units::Origin;

#[test]
fn every_chip_of_the_catalog_is_served_by_its_kin() {
    for (id, wanted) in [
        ("a100", "a100"),
        ("h100", "h100"),
        ("h800", "h100"),
        ("h20", "h100"),
        ("b200", "b200"),
        ("b300", "b200"),
        ("gb300", "gb200"),
        ("rubin", "gb200"),
        ("ascend-910b-280t", "ascend-910"),
        ("ascend-910c-die", "ascend-910"),
        ("ascend-950pr-28core", "ascend-950"),
        ("ascend-970", "ascend-950"),
        ("tpu-v5e", "tpu"),
    ] {
        assert_eq!(for_chip(&chip(id)).expect(id).0.id, wanted, "{id}");
    }
    for id in catalog::chip_ids() {
        assert!(for_chip(&chip(id)).is_ok(), "{id}");
    }
}

#[test]
fn what_is_borrowed_is_assumed_and_wider() {
    let (own, direct) = for_chip(&chip("h100")).expect("own");
    let (_, borrowed) = for_chip(&chip("h800")).expect("borrowed");
    assert!(direct.own && !borrowed.own);
    assert_eq!(direct.factor, own.range);
    assert_eq!(borrowed.factor.origin, Origin::Assumed);
    assert!(borrowed.factor.low < direct.factor.low && borrowed.factor.high > direct.factor.high);
}

#[test]
fn a_machine_is_never_chosen_by_chip() {
    assert!(calibration("simumax-b200").expect("shipped").machine);
    assert_eq!(for_chip(&chip("b200")).expect("own").0.id, "b200");
}

#[test]
fn a_borrowed_share_is_of_the_borrowers_peak() {
    let h100 = chip("h100");
    let mut half = h100.clone();
    half.id = "half".to_owned();
    half.matrix.values_mut().for_each(|f| *f = f.scaled(0.5));
    half.memory_bandwidth = half.memory_bandwidth.scaled(0.5);
    let cal = for_chip(&half).expect("a relative").0;
    let work = Work::Gemm { m: 8192.0, n: 8192.0, k: 8192.0, count: 1.0 };
    let time = |c| forward(c, &cal, &work, Dtype::Bf16, 0.0).seconds;
    assert!((time(&half) / time(&h100) - 2.0).abs() < 1e-12);
}

#[test]
fn an_unknown_family_or_calibration_is_an_error() {
    let mut strange = chip("h100");
    strange.id = "strange".to_owned();
    strange.family = "strange".to_owned();
    assert!(for_chip(&strange).is_err());
    let hint = calibration("h10").expect_err("unknown").0[0].hint.clone().expect("a hint");
    assert!(hint.contains("h100"), "{hint}");
}

#[test]
fn peaks_are_those_of_the_catalog() {
    for cal in calibrations().expect("shipped") {
        let chip = chip(&cal.chip);
        for (dtype, peak) in &cal.peaks.matrix {
            let own = chip.matrix[dtype].value;
            assert!((own / peak - 1.0).abs() < 1e-3, "{} {dtype:?}: {own} {peak}", cal.id);
        }
        let own = chip.memory_bandwidth.value;
        assert!((own / cal.peaks.memory - 1.0).abs() < 1e-3, "{}: {own}", cal.id);
        assert!(cal.surfaces.iter().all(|s| !s.source.is_empty()));
    }
}

#[test]
fn a_format_the_chip_lacks_becomes_the_next_wider() {
    assert_eq!(effective_dtype(&chip("a100"), Dtype::Fp8), Some((Dtype::Bf16, true)));
    assert_eq!(effective_dtype(&chip("h100"), Dtype::Fp8), Some((Dtype::Fp8, false)));
    assert_eq!(effective_dtype(&chip("h100"), Dtype::Fp4), Some((Dtype::Fp8, true)));
    let mut bare = chip("h100");
    bare.matrix.clear();
    assert_eq!(effective_dtype(&bare, Dtype::Bf16), None);
}
