//! Totals that the makers print for whole pods and racks, and properties that hold for all.

use catalog::{Chip, Cluster, Dtype, chip, chip_ids, cluster, cluster_ids};

fn get(id: &str) -> Cluster {
    cluster(id).unwrap_or_else(|e| panic!("{id}: {e:#?}"))
}

fn near(got: f64, printed: f64, tolerance: f64) {
    assert!((got / printed - 1.0).abs() <= tolerance, "{got:e} for {printed:e}");
}

fn total(cluster: &Cluster, figure: impl Fn(&Chip) -> f64) -> f64 {
    figure(&cluster.chip) * cluster.chips as f64
}

#[test]
fn atlas_950_is_8_exaflops_and_18_ports() {
    let pod = get("atlas-950-superpod");
    near(total(&pod, |c| c.matrix[&Dtype::Fp8].value), 8e18, 0.01);
    // The keynote's terabytes are binary: no others are 8192 times 144.
    near(total(&pod, |c| c.memory.value), 1152.0 * 1_099_511_627_776.0, 1e-12);
    let ports: f64 = pod.levels.iter().map(|l| l.bandwidth.value).sum();
    near(ports, 18.0 * 56e9, 1e-12);
    // Both directions, as the keynote counts.
    near(2.0 * ports * pod.chips as f64, 16.3e15, 0.02);
    assert_eq!(get("atlas-950-supercluster").chips, 64 * 8192);
}

#[test]
fn atlas_900_is_289_petaflops_and_49_terabytes() {
    let pod = get("atlas-900-a3-superpod");
    near(total(&pod, |c| c.matrix[&Dtype::Fp16].value), 288.7e15, 0.001);
    // Printed in 10^9 bytes; the driver counts binary ones.
    near(total(&pod, |c| c.memory.low), 49.2e12, 0.002);
    near(total(&pod, |c| c.memory_bandwidth.value), 1229e12, 0.001);
    near(2.0 * pod.levels[2].bandwidth.value * pod.chips as f64, 301e12, 0.001);
    assert_eq!(get("atlas-900-a3-24pods").chips, 2 * 9216);
}

#[test]
fn atlas_960_is_30_exaflops() {
    let pod = get("atlas-960-superpod");
    near(total(&pod, |c| c.matrix[&Dtype::Fp8].value), 30e18, 0.04);
    near(total(&pod, |c| c.memory.value), 4460e12, 0.001);
    let links: f64 = pod.levels.iter().map(|l| l.bandwidth.value).sum();
    near(2.0 * links * pod.chips as f64, 34e15, 0.01);
}

#[test]
fn nvl72_racks_are_what_nvidia_prints() {
    for (id, bf16, fp8, fp4, memory, links) in [
        ("gb200-nvl72", 180e15, 360e15, 720e15, 13.4e12, 130e12),
        ("gb300-nvl72", 180e15, 360e15, 1080e15, 20e12, 130e12),
        ("rubin-nvl72", 288e15, 1260e15, 2520e15, 20.7e12, 260e12),
    ] {
        let racks = get(id);
        let peak = |dtype| 72.0 * racks.chip.matrix[&dtype].value;
        near(peak(Dtype::Bf16), bf16, 1e-9);
        near(peak(Dtype::Fp8), fp8, 1e-9);
        near(peak(Dtype::Fp4), fp4, 1e-9);
        // As the data sheets read their GB.
        near(72.0 * racks.chip.memory.low, memory, 0.003);
        near(2.0 * 72.0 * racks.levels[0].bandwidth.value, links, 0.005);
    }
}

#[test]
fn a_narrower_format_is_never_slower() {
    for id in chip_ids() {
        let chip = chip(id).expect(id);
        let peak = |dtype| chip.matrix.get(&dtype).map(|f| f.value);
        for (wide, narrow) in
            [(Dtype::Tf32, Dtype::Bf16), (Dtype::Bf16, Dtype::Fp8), (Dtype::Fp8, Dtype::Fp4)]
        {
            if let (Some(wide), Some(narrow)) = (peak(wide), peak(narrow)) {
                assert!(wide <= narrow, "{id}");
            }
        }
        let bf16 = peak(Dtype::Bf16).unwrap_or_else(|| panic!("{id} has no BF16 peak"));
        assert!(chip.vector.high < bf16, "{id}");
    }
}

#[test]
fn bandwidth_never_grows_outward() {
    for id in cluster_ids() {
        let cluster = get(id);
        for pair in cluster.levels.windows(2) {
            // Unless the outer level has more ports, as a 950 server of eight has.
            let more_ports = pair[1].cabling.ports > pair[0].cabling.ports;
            let narrower = pair[0].bandwidth.value >= pair[1].bandwidth.value;
            assert!(narrower || more_ports, "{id} {}", pair[1].name);
        }
    }
}

#[test]
fn figures_can_be_changed_by_their_paths() {
    let mut cluster = get("atlas-950-superpod");
    let paths: Vec<_> = cluster.figures().into_iter().map(|(path, _)| path).collect();
    let mut sorted = paths.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), paths.len(), "a path names one figure");
    for (path, figure) in paths.iter().zip(cluster.figures_mut()) {
        if path == "level.rack.bandwidth" || path == "chip.matrix.fp8" {
            figure.value *= 2.0;
        }
    }
    near(cluster.levels[1].bandwidth.value, 784e9, 1e-12);
    near(cluster.chip.matrix[&Dtype::Fp8].value, 1946e12, 1e-12);
    for (place, figure) in cluster.figures_mut().into_iter().enumerate() {
        figure.value = place as f64;
    }
    let in_order = cluster.figures().into_iter().map(|(_, figure)| figure.value);
    assert!(in_order.eq((0..paths.len()).map(|place| place as f64)));
}
