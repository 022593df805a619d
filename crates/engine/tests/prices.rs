//! What exchanges and products take beyond their algorithm's own bytes and FLOPs.

use engine::{Machine, Placed, operator_costs};
use model::{Axis, Class, Collective, Operator, Role, Work};
use program::Group;

fn machine() -> Machine {
    let cluster = catalog::cluster("vtrain-a100").expect("in the catalog");
    let precision = catalog::recipe("deepseek-v3").expect("in the catalog").precision;
    Machine::new(cluster, precision).expect("in the catalog")
}

/// Seconds of an all-reduce of 10 GB over `size` of 64 ranks, `stride` apart.
fn all_reduce(machine: &Machine, size: u64, stride: u64) -> f64 {
    let groups = [Group { axis: Axis::Data, size, stride }];
    Placed::new(&groups, None, 64, machine).seconds(Axis::Data, Collective::AllReduce, 10e9)
}

#[test]
fn groups_strided_over_nodes_share_the_nodes_measured_rate() {
    let slow = machine();
    let rate = slow.cluster.levels[1].strided.as_ref().unwrap().value;
    let mut plain = slow.clone();
    plain.cluster.levels[1].strided = None;
    // Two of a node's eight chips: four groups leave it at once, each with 2·15/16 of its bytes.
    let expected = 2.0 * 15.0 / 16.0 * 10e9 * 4.0 / rate;
    assert!((all_reduce(&slow, 16, 4) / expected - 1.0).abs() < 1e-9);
    assert!(all_reduce(&plain, 16, 4) < 0.5 * expected);
    // One chip of a node, all of them, or neighbours: as their algorithm says.
    for (size, stride) in [(8, 8), (64, 1), (4, 1), (2, 4)] {
        let [with, without] = [&slow, &plain].map(|m| all_reduce(m, size, stride));
        assert_eq!(with.to_bits(), without.to_bits(), "{size} {stride}");
    }
}

#[test]
fn weight_gradients_run_at_their_own_speed() {
    let cluster = catalog::cluster("hgx-h800-infiniband").unwrap();
    let precision = catalog::recipe("deepseek-v3").unwrap().precision;
    let stack = catalog::stack("hai-llm").unwrap();
    let machine = Machine::new(cluster, precision).unwrap().with_stack(stack);
    let fp8 = catalog::Dtype::Fp8;
    assert!(machine.weight_share(fp8) < machine.product_share(fp8));
    // Formats without a figure of their own run as the calibration's.
    assert!((machine.weight_share(catalog::Dtype::Bf16) - 1.0).abs() < 1e-12);
}

#[test]
fn products_inside_attention_have_no_accumulator() {
    let machine = machine();
    let work = Work::Gemm { m: 2048.0, n: 2048.0, k: 128.0, count: 32.0 };
    let product = |role| Operator {
        name: "scores",
        class: Class::AttentionCore,
        role,
        work,
        launches: 1.0,
        tag: None,
    };
    let [inside, linear] = [Role::Attention, Role::Linear]
        .map(|role| operator_costs(&product(role), (&[], false), &machine));
    // Keys' gradients: scores and queries read, 16 bits a key written; a weight's are added to in FP32.
    let keys = 32.0 * 2048.0 * 128.0;
    let bandwidth = machine.cluster.chip.memory_bandwidth.value;
    let expected = 2.0 * (32.0 * 2048.0 * 2048.0 + 2.0 * keys) / bandwidth;
    assert!((inside[2].memory_s / expected - 1.0).abs() < 1e-9, "{:?}", inside[2]);
    assert!(linear[2].memory_s > inside[2].memory_s);
}
