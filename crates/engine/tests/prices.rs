//! What exchanges and products take beyond their algorithm's own bytes and FLOPs.

use engine::{Machine, Placed, operator_costs};
use model::{Axis, Class, Collective, Operator, Role, Work};
use program::{Group, Routing};

fn machine() -> Machine {
    let cluster = catalog::cluster("vtrain-a100").expect("in the catalog");
    let precision = catalog::recipe("deepseek-v3").expect("in the catalog").precision;
    Machine::new(cluster, precision).expect("in the catalog")
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

#[test]
fn a_fused_expert_takes_in_its_bias() {
    let operator = Operator {
        name: model::EXPERT_EXTRAS[1],
        class: Class::Experts,
        role: Role::Sensitive,
        work: Work::Memory { bytes: 1e9, backward_bytes: 2e9, flops: 0.0 },
        launches: 34.0,
        tag: None,
    };
    let costs = |stack: &str| {
        let machine = machine().with_stack(catalog::stack(stack).unwrap());
        operator_costs(&operator, (&[], false), &machine)
    };
    let [apart, fused] = ["megatron-core", "megatron-core-fused-experts"].map(costs);
    assert!(apart[0].seconds > 0.0 && apart[1].seconds > apart[0].seconds);
    assert!((apart[0].launches - 34.0).abs() < 1e-12);
    assert!(fused.iter().all(|cost| cost.seconds == 0.0 && cost.launches == 0.0));
}

#[test]
fn elements_one_by_one_take_the_longer_of_their_traffic_and_their_operations() {
    let machine = machine().with_stack(catalog::stack("megatron-core").unwrap());
    let operations = machine.element_operations();
    let cost = |elements: f64| {
        let operator = Operator {
            name: "eager",
            class: Class::Experts,
            role: Role::Sensitive,
            work: Work::Elements {
                bytes: 4e9,
                backward_bytes: 4e9,
                elements,
                backward_elements: 2.0 * elements,
            },
            launches: 1.0,
            tag: None,
        };
        operator_costs(&operator, (&[], false), &machine)
    };
    let [few, many] = [cost(1e6), cost(1e10)];
    assert!(few[0].seconds > few[0].memory_s && (few[1].seconds - few[0].seconds).abs() < 1e-12);
    // That many operations for each of 1e10 elements; twice as many back.
    let slowest = machine.slowest() * machine.kernel_time.value;
    let expected = 1e10 * operations / machine.cluster.chip.vector.value * slowest;
    assert!((many[0].seconds / expected - 1.0).abs() < 1e-9, "{:?}", many[0]);
    assert!((many[1].seconds / expected - 2.0).abs() < 1e-9, "{:?}", many[1]);
    // Compiled programs have no such kernels.
    let compiled = machine.clone().with_stack(catalog::stack("maxtext").unwrap());
    assert!(compiled.element_operations().abs() < 1e-12);
}

#[test]
fn published_times_of_element_wise_kernels_are_met() {
    let precision = catalog::recipe("llama-3.1-405b").unwrap().precision;
    let machine = Machine::new(catalog::cluster("dgx-b200").unwrap(), precision).unwrap();
    let cast = 1024.0 * 1024.0 * 1024.0;
    let rotated = 2.0 * 4.0 * 2048.0 * 32.0 * 128.0;
    // Source PYTORCH. Casts of 16 to 32 bits: one kernel, 2.774 ms. Rotary positions forward on B200:
    // 3.5 kernels an element one by one and a sum of 6 bytes, 0.868 ms for queries and keys.
    for (elements, passes, bytes, sum, measured) in
        [(cast, 1.0, 6.0, 0.0, 2.774e-3), (rotated, 3.5, 14.0, 6.0, 0.868e-3)]
    {
        let priced = |work| {
            let (class, role) = (Class::Experts, Role::Sensitive);
            let operator = Operator { name: "eager", class, role, work, launches: 1.0, tag: None };
            operator_costs(&operator, (&[], false), &machine)[0].seconds
        };
        let one_by_one = priced(Work::Elements {
            bytes: bytes * elements,
            backward_bytes: 0.0,
            elements: passes * elements,
            backward_elements: 0.0,
        });
        let sum = priced(Work::Memory { bytes: sum * elements, backward_bytes: 0.0, flops: 0.0 });
        let error = (one_by_one + sum) / measured - 1.0;
        assert!(error.abs() < 0.2, "{error}");
    }
}

#[test]
fn rows_of_narrow_experts_are_padded_by_copies_where_the_stack_makes_them() {
    let precision = catalog::recipe("deepseek-v3").unwrap().precision;
    let on = |stack: &str, expert| {
        let cluster = catalog::cluster("dgx-h100").unwrap();
        let precision = catalog::Precision { expert, ..precision };
        let stack = catalog::stack(stack).unwrap();
        Machine::new(cluster, precision).unwrap().with_stack(stack)
    };
    let sort = |name| Operator {
        name,
        class: Class::Routing,
        role: Role::Sensitive,
        work: Work::Memory { bytes: 1e9, backward_bytes: 1e9, flops: 0.0 },
        launches: 1.0,
        tag: None,
    };
    let cost = |name, machine: &Machine| operator_costs(&sort(name), (&[], false), machine);
    let (narrow, wide) = (catalog::Dtype::Fp8, catalog::Dtype::Bf16);
    let plain = cost("expert_sort", &on("megatron-core", wide));
    // Sorted and then copied once more, each way.
    let padded = cost("expert_sort", &on("megatron-core", narrow));
    for (padded, plain) in padded.iter().zip(&plain).take(2) {
        assert!((padded.seconds / plain.seconds - 2.0).abs() < 1e-9, "{padded:?} {plain:?}");
        assert!((padded.launches - 2.0).abs() < 1e-9, "{padded:?}");
    }
    // A sort that leaves the room copies nothing, nor does anything but the sort.
    assert_eq!(cost("expert_sort", &on("torchtitan", narrow)), plain);
    assert_eq!(cost("permute", &on("megatron-core", narrow)), plain);
}

#[test]
fn a_measured_all_to_all_carries_one_copy_for_each_rank() {
    // Eight chips of one node, whose all-to-all is measured: of eight copies of a token 5.29 go to
    // ranks of their own.
    let groups = [Group { axis: Axis::Expert, size: 8, stride: 1 }];
    let routing =
        |deduplicated| Some(Routing { experts: 256, topk: 8, deduplicated, group_limit: Some(4) });
    let machine = machine();
    assert!(machine.calibration.curves.iter().any(|c| c.operation == Collective::AllToAll));
    let seconds = |deduplicated, bytes| {
        Placed::new(&groups, routing(deduplicated), 8, &machine).seconds(
            Axis::Expert,
            Collective::AllToAll,
            bytes,
        )
    };
    let copies = model::expected_touched(8, 256, 8) / 8.0;
    assert!((copies - 0.662).abs() < 0.001, "{copies}");
    let [once, fewer, all] =
        [seconds(true, 1e9), seconds(false, 1e9 * copies), seconds(false, 1e9)];
    assert!((once / fewer - 1.0).abs() < 1e-12, "{once} {fewer}");
    assert!(once < 0.7 * all, "{once} {all}");
}

#[test]
fn graphs_of_parts_end_before_the_dispatch() {
    let machine = machine();
    let launches = |name| {
        let operator = Operator {
            name,
            class: Class::Routing,
            role: Role::Sensitive,
            work: Work::Memory { bytes: 1e9, backward_bytes: 1e9, flops: 0.0 },
            launches: 4.0,
            tag: None,
        };
        operator_costs(&operator, (&[Class::Routing], false), &machine).map(|c| c.launches)
    };
    assert_eq!(launches("router_choice"), [0.0; 3]);
    // Before a plain all-to-all it is in the graph; what works on the rows that came is not.
    assert_eq!(launches("permute"), [0.0; 3]);
    for name in model::AFTER_DISPATCH {
        assert_eq!(launches(name)[..2], [4.0; 2], "{name}");
    }
}

#[test]
fn tokens_sent_once_reach_the_published_rates_between_nodes() {
    // HybridEP's kernels on H100 with 16 SMs, 4,096 tokens of 7,168 in 16 bits to 8 of 8 experts a
    // rank: dispatch and combine in GB/s of what every node touched is sent, the sender's own too.
    let published = [(16, [71.71, 62.95]), (32, [57.69, 57.46]), (64, [49.97, 49.77])];
    let cluster = catalog::cluster("dgx-h100").unwrap();
    let precision = catalog::recipe("deepseek-v3").unwrap().precision;
    let machine = Machine::new(cluster, precision).unwrap();
    let bytes = 4096.0 * 7168.0 * 2.0;
    for (ranks, rates) in published {
        let groups = [Group { axis: Axis::Expert, size: ranks, stride: 1 }];
        let (experts, nodes) = (8 * ranks, ranks / 8);
        let routing = Routing { experts, topk: 8, deduplicated: true, group_limit: None };
        let placed = Placed::new(&groups, Some(routing), ranks, &machine);
        let seconds = placed.seconds(Axis::Expert, Collective::AllToAll, 8.0 * bytes);
        let counted = bytes * model::expected_touched(nodes, experts, 8);
        let mean = counted * (1.0 / rates[0] + 1.0 / rates[1]) / 2e9;
        assert!((seconds / mean - 1.0).abs() < 0.04, "{ranks} ranks: {seconds} {mean}");
    }
}
