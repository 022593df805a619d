#![expect(clippy::float_cmp, reason = "whole numbers far below 2^53 are exact")]

use super::*;
use crate::samples::{grouped_dense, moe, shard, v3, v4_pro};
use crate::{Attention, Axis, Collective, Exchange, Ffn, Layer, Operator, Role, Tag, Work};

const WIRE: Wire =
    Wire { activation_bytes: 2.0, gather_bytes: 2.0, dispatch_bytes: 1.0, combine_bytes: 2.0 };

fn flops(steps: &[Step]) -> f64 {
    operators(steps).map(|operator| operator.work.matrix_flops()).sum()
}

fn operators(steps: &[Step]) -> impl Iterator<Item = &Operator> {
    steps.iter().filter_map(|step| match step {
        Step::Compute(operator) => Some(operator),
        Step::Exchange(_) => None,
    })
}

fn exchange(steps: &[Step], name: &str) -> Option<Exchange> {
    steps.iter().find_map(|step| match step {
        Step::Exchange(exchange) if exchange.name == name => Some(*exchange),
        _ => None,
    })
}

/// Matrix FLOPs of the main model on one rank, per token of the rank.
fn main_flops(arch: &Architecture, shard: &Shard) -> f64 {
    let mut total = flops(&head_steps(arch, shard, &WIRE));
    for layer in &arch.layers {
        total += flops(&layer_steps(arch, layer, shard, &WIRE));
    }
    total
}

fn close(got: f64, expected: f64) {
    assert!((got / expected - 1.0).abs() < 1e-9, "{got} is not {expected}");
}

#[test]
fn v4_pro_forward_flops_are_the_reports_at_each_length() {
    let arch = v4_pro();
    // Forward GF a token with hyper-connection application, which is vector work here:
    // 61 · 2 sub-layers · (4·n·d + 2·n²·d).
    let apply = 61.0 * 2.0 * 7168.0 * (4.0 * 4.0 + 2.0 * 16.0);
    for (sequence, published) in [(4096, 104.16e9), (65536, 113.7e9), (1 << 20, 205.5e9)] {
        let got = main_flops(&arch, &shard(sequence)) / sequence as f64 + apply;
        assert!((got / published - 1.0).abs() < 5e-4, "{sequence}: {got}");
    }
}

#[test]
fn v4_pro_mtp_adds_a_block_its_projections_and_a_second_head() {
    let arch = v4_pro();
    let got = flops(&mtp_steps(&arch, &arch.mtp[0], &shard(4096), &WIRE)) / 4096.0;
    // 108.1 - 104.2 GF in the derivation; vector part of one block left out.
    assert!((3.85e9..4.0e9).contains(&got), "{got}");
}

#[test]
fn v3_flops_count_causal_attention_at_192_and_128() {
    let got = main_flops(&v3(), &shard(4096)) / 4096.0;
    // 6N of weights plus 6·L·heads·(192 + 128)·S/2, a third of it forward: 250 GF a token.
    close(got, 2.0 * v3_weights() + v3_core());
    assert!((3.0 * got / 250e9 - 1.0).abs() < 0.01, "{got}");
}

fn v3_weights() -> f64 {
    let d = 7168.0;
    let attention =
        d * 1536.0 + 1536.0 * 128.0 * 192.0 + d * 576.0 + 512.0 * 128.0 * 256.0 + 128.0 * 128.0 * d;
    61.0 * attention
        + 3.0 * 3.0 * d * 18432.0
        + 58.0 * (9.0 * 3.0 * d * 2048.0 + d * 256.0)
        + 129_280.0 * d
}

fn v3_core() -> f64 {
    61.0 * 2.0 * 128.0 * 320.0 * 4097.0 / 2.0
}

#[test]
fn cutting_conserves_matrix_work() {
    for arch in [grouped_dense(), moe(), v4_pro(), v3()] {
        let whole = shard(8192);
        let layer = arch.layers.last().unwrap();
        let one = flops(&layer_steps(&arch, layer, &whole, &WIRE));
        let latent = matches!(layer.attention, Attention::Latent { .. });
        let indexed = matches!(layer.attention, Attention::Compressed { .. });
        for (tensor, context, expert, expert_tensor) in
            [(1, 1, 8, 1), (1, 4, 8, 2), (8, 1, 4, 1), (4, 2, 8, 4)]
        {
            if (latent && context > 1) || (indexed && tensor > 1) {
                continue;
            }
            let cut = Shard {
                tensor,
                context,
                expert,
                expert_tensor,
                sequence_parallel: tensor > 1,
                ..whole
            };
            let ranks = (tensor * context) as f64;
            close(ranks * flops(&layer_steps(&arch, layer, &cut, &WIRE)), one);
        }
    }
}

#[test]
fn context_repeats_only_the_latent_up_projection() {
    let arch = v3();
    let layer = arch.layers.last().unwrap();
    let by_name = |shard: &Shard, name: &str| {
        let steps = layer_steps(&arch, layer, shard, &WIRE);
        operators(&steps).filter(|o| o.name == name).map(|o| o.work.matrix_flops()).sum::<f64>()
    };
    let (one, four) = (shard(8192), Shard { context: 4, ..shard(8192) });
    close(by_name(&four, "kv_b"), by_name(&one, "kv_b"));
    for name in ["q_a", "q_b", "kv_a", "core", "o", "expert_up", "shared_down", "router"] {
        close(4.0 * by_name(&four, name), by_name(&one, name));
    }
}

#[test]
fn v4_pro_dispatch_and_combine_bytes_and_their_backward() {
    let arch = v4_pro();
    let shard = Shard { expert: 64, ..shard(4096) };
    let steps = layer_steps(&arch, &arch.layers[5], &shard, &WIRE);
    let dispatch = exchange(&steps, "dispatch").unwrap();
    let combine = exchange(&steps, "combine").unwrap();
    assert_eq!(dispatch.forward_bytes / 4096.0, 43_008.0);
    assert_eq!(combine.forward_bytes / 4096.0, 86_016.0);
    assert_eq!(dispatch.backward_bytes, combine.forward_bytes);
    assert_eq!(combine.backward_bytes, dispatch.forward_bytes);
    assert_eq!(boundary_bytes(&arch, &shard, &WIRE) / 4096.0, 57_344.0);
}

#[test]
fn v4_pro_context_gathers_compressed_entries_only() {
    let arch = v4_pro();
    let shard = Shard { context: 16, ..shard(1 << 20) };
    let gathered = |layer: usize| {
        let steps = layer_steps(&arch, &arch.layers[layer], &shard, &WIRE);
        exchange(&steps, "cp_entries").unwrap().forward_bytes
    };
    assert_eq!(gathered(1), 8192.0 * 512.0 * 2.0);
    assert_eq!(gathered(2), 262_144.0 * 640.0 * 2.0);
}

#[test]
fn tensor_exchanges_follow_sequence_parallelism() {
    let arch = grouped_dense();
    let tensor = |sequence_parallel| {
        let shard = Shard { tensor: 8, sequence_parallel, ..shard(4096) };
        layer_steps(&arch, &arch.layers[0], &shard, &WIRE)
            .into_iter()
            .filter_map(|step| match step {
                Step::Exchange(exchange) => Some(exchange),
                Step::Compute(_) => None,
            })
            .collect::<Vec<_>>()
    };
    let bytes = 4096.0 * 4096.0 * 2.0;
    let kinds = |exchanges: &[Exchange]| exchanges.iter().map(|e| e.forward).collect::<Vec<_>>();
    let (with, without) = (tensor(true), tensor(false));
    let (gather, scatter) = (Collective::AllGather, Collective::ReduceScatter);
    assert_eq!(kinds(&with), [gather, scatter, gather, scatter]);
    assert_eq!(kinds(&without), [Collective::AllReduce; 2]);
    for exchange in with.iter().chain(&without) {
        assert_eq!(exchange.axis, Axis::Tensor);
        assert_eq!((exchange.forward_bytes, exchange.backward_bytes), (bytes, bytes));
    }
}

#[test]
fn a_rank_alone_exchanges_nothing() {
    for arch in [grouped_dense(), moe(), v3(), v4_pro()] {
        let shard = shard(4096);
        let mut steps = embedding_steps(&arch, &shard, &WIRE);
        steps.extend(layer_steps(&arch, arch.layers.last().unwrap(), &shard, &WIRE));
        steps.extend(head_steps(&arch, &shard, &WIRE));
        assert!(steps.iter().all(|step| matches!(step, Step::Compute(_))));
    }
}

#[test]
fn key_value_heads_are_repeated_when_fewer_than_ranks() {
    let arch = grouped_dense();
    let shard = Shard { tensor: 16, sequence_parallel: true, ..shard(4096) };
    let steps = layer_steps(&arch, &arch.layers[0], &shard, &WIRE);
    let core = operators(&steps).find(|operator| operator.name == "core").unwrap();
    let Work::Attention { heads, kv_heads, .. } = core.work else { panic!("core is attention") };
    assert_eq!((heads, kv_heads), (2.0, 1.0));
}

#[test]
fn every_operator_does_finite_positive_work_under_its_role() {
    for arch in [grouped_dense(), moe(), v3(), v4_pro()] {
        for layer in &arch.layers {
            let shard = Shard { expert: 8, context: 2, ..shard(1024) };
            for operator in operators(&layer_steps(&arch, layer, &shard, &WIRE)) {
                let work = match operator.work {
                    Work::Memory { bytes, backward_bytes, .. } => bytes.min(backward_bytes),
                    work => work.matrix_flops(),
                };
                assert!(work.is_finite() && work > 0.0, "{}", operator.name);
                assert!(operator.launches >= 1.0, "{}", operator.name);
                let expert = matches!(operator.work, Work::GroupedGemm { .. });
                assert_eq!(expert, operator.role == Role::Expert, "{}", operator.name);
            }
        }
    }
}

#[test]
fn recompute_tags_name_the_work_they_repeat() {
    let arch = v4_pro();
    let steps = layer_steps(&arch, &arch.layers[2], &shard(4096), &WIRE);
    let tagged =
        |tag| operators(&steps).filter(|o| o.tag == Some(tag)).map(|o| o.name).collect::<Vec<_>>();
    assert_eq!(tagged(Tag::UpProjection), ["q_b", "head_norm_rotary"]);
    assert_eq!(tagged(Tag::Activation), ["expert_act"]);
    assert_eq!(tagged(Tag::Core), ["core"]);
}

/// Steps and formulas are written down separately; they must tell the same FLOPs.
#[test]
fn steps_do_the_flops_the_formulas_count() {
    for (name, text) in [
        ("gpt-oss-120b", include_str!("../../../../catalog/models/gpt-oss-120b.json")),
        ("kimi-k2", include_str!("../../../../catalog/models/kimi-k2.json")),
        ("deepseek-v2", include_str!("../../../../catalog/models/deepseek-v2.json")),
        ("deepseek-v3.2", include_str!("../../../../catalog/models/deepseek-v3.2.json")),
        ("deepseek-v4-flash", include_str!("../../../../catalog/models/deepseek-v4-flash.json")),
        ("deepseek-v4-pro", include_str!("../../../../catalog/models/deepseek-v4-pro.json")),
        ("gpt3-175b", include_str!("../../../../catalog/models/gpt3-175b.json")),
        ("llama-3.1-405b", include_str!("../../../../catalog/models/llama-3.1-405b.json")),
        ("nemotron-4-340b", include_str!("../../../../catalog/models/nemotron-4-340b.json")),
        ("pangu", include_str!("../../../../catalog/models/pangu-ultra-moe-718b.json")),
        ("qwen3-235b", include_str!("../../../../catalog/models/qwen3-235b-a22b.json")),
    ] {
        let arch = crate::parse_config(name, "config.json", text).unwrap();
        for sequence in [512, 4096, 65536] {
            let shard = shard(sequence);
            let mut steps_flops = main_flops(&arch, &shard);
            for layer in &arch.mtp {
                steps_flops += flops(&mtp_steps(&arch, layer, &shard, &WIRE));
            }
            let counted = arch.flops_per_token(sequence);
            let apply = |parts: &[crate::FlopsPart]| {
                parts.iter().filter(|p| p.name == "mhc_apply").map(|p| p.forward).sum::<f64>()
            };
            let mut expected =
                counted.forward_with_mtp() - apply(&counted.main) - apply(&counted.mtp);
            if let Residual::Hyper { streams, .. } = arch.residual {
                // The formulas leave out the prediction block's own last collapse.
                expected += (2 * arch.mtp.len() as u64 * streams * streams * arch.hidden) as f64;
            }
            let got = steps_flops / sequence as f64;
            assert!((got / expected - 1.0).abs() < 1e-9, "{name} at {sequence}: {got} {expected}");
        }
    }
}

#[test]
fn grouped_context_gathers_keys_and_values_of_the_whole_sequence() {
    let arch = grouped_dense();
    let shard = Shard { context: 4, tensor: 2, sequence_parallel: true, ..shard(8192) };
    let steps = layer_steps(&arch, &arch.layers[0], &shard, &WIRE);
    let gather = exchange(&steps, "cp_kv").unwrap();
    // 2·n_kv·s·e over two tensor ranks; backward gathers again and sums the gradients.
    assert_eq!(gather.forward_bytes, 2.0 * 8.0 * 128.0 * 8192.0 * 2.0 / 2.0);
    assert_eq!(gather.backward_bytes, 2.0 * gather.forward_bytes);
    assert_eq!(gather.axis, Axis::Context);
}

#[test]
fn routed_rows_are_dispatched_once_per_tensor_group() {
    let arch = moe();
    let steps = |sequence_parallel| {
        let shard =
            Shard { tensor: 4, sequence_parallel, expert: 4, expert_tensor: 2, ..shard(4096) };
        layer_steps(&arch, &arch.layers[0], &shard, &WIRE)
    };
    let (with, without) = (steps(true), steps(false));
    // A quarter of the tokens, two experts each, one byte forward.
    let sent = 4096.0 / 4.0 * 2.0 * 4096.0;
    for steps in [&with, &without] {
        assert_eq!(exchange(steps, "dispatch").unwrap().forward_bytes, sent);
        assert_eq!(exchange(steps, "etp_gather").unwrap().forward_bytes, 2.0 * sent);
        assert_eq!(exchange(steps, "etp_scatter").unwrap().forward_bytes, 4.0 * sent);
    }
    // Only replicated rows must be put together again.
    assert_eq!(exchange(&with, "tp_moe_out"), None);
    assert_eq!(exchange(&without, "tp_moe_out").unwrap().forward_bytes, 4096.0 * 4096.0 * 2.0);
}

#[test]
fn a_micro_batch_of_two_does_and_sends_twice_as_much() {
    for arch in [grouped_dense(), moe(), v3(), v4_pro()] {
        let one = Shard { expert: 8, context: 2, ..shard(4096) };
        let two = Shard { micro_batch: 2, ..one };
        let layer = arch.layers.last().unwrap();
        let (one, two) =
            (layer_steps(&arch, layer, &one, &WIRE), layer_steps(&arch, layer, &two, &WIRE));
        for (one, two) in one.iter().zip(&two) {
            match (one, two) {
                (Step::Exchange(one), Step::Exchange(two)) => {
                    assert_eq!(two.forward_bytes, 2.0 * one.forward_bytes, "{}", one.name);
                    assert_eq!(two.backward_bytes, 2.0 * one.backward_bytes, "{}", one.name);
                }
                (Step::Compute(one), Step::Compute(two)) => {
                    close(two.work.matrix_flops() + 1.0, 2.0 * one.work.matrix_flops() + 1.0);
                    if let (Work::Memory { bytes: one, .. }, Work::Memory { bytes: two, .. }) =
                        (one.work, two.work)
                    {
                        assert_eq!(two, 2.0 * one);
                    }
                }
                _ => panic!("a micro-batch of two takes other steps"),
            }
        }
    }
}

#[test]
fn rows_cast_before_they_are_gathered_take_half_the_wire() {
    let arch = grouped_dense();
    let cut = Shard { tensor: 8, sequence_parallel: true, ..shard(4096) };
    let narrow = Wire { gather_bytes: 1.0, ..WIRE };
    let layer = arch.layers.last().unwrap();
    let [wide, fp8] = [&WIRE, &narrow].map(|wire| layer_steps(&arch, layer, &cut, wire));
    let entering = |steps: &[Step]| exchange(steps, "tp_ffn_in").unwrap();
    assert_eq!(2.0 * entering(&fp8).forward_bytes, entering(&wide).forward_bytes);
    assert_eq!(entering(&fp8).backward_bytes, entering(&wide).backward_bytes);
    let leaving = |steps: &[Step]| exchange(steps, "tp_ffn_out").unwrap();
    assert_eq!(leaving(&fp8).forward_bytes, leaving(&wide).forward_bytes);
    assert_eq!(2.0 * leaving(&fp8).backward_bytes, leaving(&wide).backward_bytes);
    // The head is no narrow product.
    let [wide, fp8] = [&WIRE, &narrow].map(|wire| head_steps(&arch, &cut, wire));
    assert_eq!(exchange(&fp8, "tp_head_in"), exchange(&wide, "tp_head_in"));
}

#[test]
fn softmax_is_fused_for_whole_blocks_of_four_heads() {
    let arch = grouped_dense();
    let layer = arch.layers.last().unwrap();
    let softmax = |tensor, micro_batch| {
        let cut = Shard { micro_batch, tensor, ..shard(1024) };
        let steps = layer_steps(&arch, layer, &cut, &WIRE);
        let core = operators(&steps).find(|o| o.name == "core").unwrap().clone();
        let parts = unfused_attention(&arch, &cut, &core);
        let scores = 1024.0 * 1024.0 * 32.0 / tensor as f64 * micro_batch as f64;
        let Work::Memory { bytes, .. } = parts[1].work else { panic!("{parts:?}") };
        (bytes / scores, parts[1].launches)
    };
    // 32 heads over 8 and 16 ranks: four and two a sequence.
    assert_eq!(softmax(8, 1), (4.0, 1.0));
    assert_eq!(softmax(16, 1), (33.0, 5.0));
    assert_eq!(softmax(16, 2), (4.0, 1.0));
}

#[test]
fn weighed_biases_and_clamps_are_work_of_their_own() {
    let mut arch = moe();
    let extras = |arch: &Architecture| {
        let layer = arch.layers.last().unwrap();
        let steps = layer_steps(arch, layer, &shard(1024), &WIRE);
        let found = operators(&steps).filter(|o| super::EXPERT_EXTRAS.contains(&o.name));
        found.map(|o| (o.name, o.work)).collect::<Vec<_>>()
    };
    assert_eq!(extras(&arch), []);
    let Some(Layer { ffn: Ffn::Moe { expert, topk, .. }, .. }) = arch.layers.last_mut() else {
        panic!("the sample is routed");
    };
    (expert.bias, expert.clamped) = (true, true);
    let rows = 1024.0 * *topk as f64;
    let (halves, outputs) = (rows * expert.width as f64, rows * arch.hidden as f64);
    let found = extras(&arch);
    assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), super::EXPERT_EXTRAS);
    // Bytes an element: 2 clamps of 4 and a join of 8; masks and selections of 19 and joins of 11 back.
    assert_eq!(bytes_of(&found[..2], halves), [16.0, 30.0]);
    assert_eq!(bytes_of(&found[2..], outputs), [28.0, 40.0]);
    assert_eq!(passes_of(&found[0].1, halves), [2.0, 5.0]);
    assert_eq!(passes_of(&found[2].1, outputs), [2.0, 3.0]);
}

#[test]
fn scaled_rotary_positions_are_work_of_their_own() {
    let mut arch = moe();
    let extras = |arch: &Architecture| {
        let steps = layer_steps(arch, &arch.layers[0], &shard(1024), &WIRE);
        let found = operators(&steps).filter(|o| super::SCALED_ROTARY.contains(&o.name));
        found.map(|o| (o.name, o.work)).collect::<Vec<_>>()
    };
    assert_eq!(extras(&arch), []);
    arch.rotary_scaled = true;
    let Attention::Grouped { heads, kv_heads, head_dim, .. } = arch.layers[0].attention else {
        panic!("the sample's attention is grouped");
    };
    let elements = 1024.0 * ((heads + kv_heads) * head_dim) as f64;
    let found = extras(&arch);
    // 24 bytes forward and 28 back, of which the fused kernel has 4 each way.
    assert_eq!(bytes_of(&found, elements), [20.0, 24.0]);
    assert_eq!(passes_of(&found[0].1, elements), [3.5, 3.5]);
}

/// Bytes forward and backward over all of `found`, for each of `elements`.
fn bytes_of(found: &[(&str, Work)], elements: f64) -> [f64; 2] {
    found.iter().fold([0.0; 2], |[forward, backward], (_, work)| match *work {
        Work::Memory { bytes, backward_bytes, .. }
        | Work::Elements { bytes, backward_bytes, .. } => {
            [forward + bytes / elements, backward + backward_bytes / elements]
        }
        _ => panic!("{work:?}"),
    })
}

/// Kernels that each of `elements` passes one by one, forward and backward.
fn passes_of(work: &Work, of: f64) -> [f64; 2] {
    let Work::Elements { elements, backward_elements, .. } = *work else { panic!("{work:?}") };
    [elements / of, backward_elements / of]
}
