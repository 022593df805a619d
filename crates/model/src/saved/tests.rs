#![expect(clippy::float_cmp, reason = "whole numbers far below 2^53 are exact")]

use super::*;
use crate::samples::{gpt3, grouped_dense, moe, shard, v3, v4_pro};

/// Bytes kept with 2-byte activations, `linear` bytes for inputs of linear layers, tags freed.
fn bytes(saved: &[Saved], linear: f64, freed: &[Tag]) -> f64 {
    saved
        .iter()
        .filter(|saved| !saved.tags.iter().any(|tag| freed.contains(tag)))
        .map(|saved| {
            saved.elements
                * match saved.width {
                    Width::Bytes(bytes) => bytes as f64,
                    Width::Activation => 2.0,
                    Width::LinearInput | Width::ExpertInput => linear,
                }
        })
        .sum()
}

#[test]
fn v4_pro_keeps_the_derived_bytes_per_token_and_layer() {
    const RECOMPUTED: [Tag; 4] = [Tag::Norm, Tag::UpProjection, Tag::Activation, Tag::Hyper];
    let arch = v4_pro();
    let shard = shard(4096);
    for (layer, none, v4, fp8) in
        [(2, 958_656.0, 401_600.0, 312_512.0), (1, 938_512.0, 381_456.0, 292_368.0)]
    {
        let saved = layer_saved(&arch, &arch.layers[layer], &shard);
        assert_eq!(bytes(&saved, 2.0, &[]) / 4096.0, none);
        assert_eq!(bytes(&saved, 2.0, &RECOMPUTED) / 4096.0, v4);
        assert_eq!(bytes(&saved, 1.0, &RECOMPUTED) / 4096.0, fp8);
    }
}

#[test]
fn gpt_blocks_keep_korthikantis_bytes() {
    let arch = gpt3();
    let sbh = 2048.0 * 12288.0;
    let kept = |tensor: u64, sequence_parallel| {
        let shard = Shard { tensor, sequence_parallel, ..shard(2048) };
        let mut saved = layer_saved(&arch, &arch.layers[0], &shard);
        // Table 2 counts no log-sum-exp: it is older than flash attention.
        saved.retain(|saved| saved.name != "lse");
        bytes(&saved, 2.0, &[])
    };
    assert_eq!(kept(1, false), 34.0 * sbh);
    assert_eq!(kept(8, false), (10.0 + 24.0 / 8.0) * sbh);
    assert_eq!(kept(8, true), 34.0 / 8.0 * sbh);
}

#[test]
fn llama_blocks_keep_the_listed_elements() {
    let arch = grouped_dense();
    let saved = layer_saved(&arch, &arch.layers[0], &shard(8192));
    // Norms in and out 4d, q, k, v and output, log-sum-exp of 32 heads in FP32, SwiGLU 3f.
    let elements = 4.0 * 4096.0 + 2.0 * 4096.0 + 2.0 * 1024.0 + 2.0 * 32.0 + 3.0 * 14336.0;
    assert_eq!(bytes(&saved, 2.0, &[]), 2.0 * 8192.0 * elements);
}

#[test]
fn context_cuts_everything_and_experts_nothing() {
    for arch in [grouped_dense(), moe(), v3(), v4_pro()] {
        let layer = arch.layers.last().unwrap();
        let whole = bytes(&layer_saved(&arch, layer, &shard(8192)), 2.0, &[]);
        let cut = Shard { context: 4, expert: 8, ..shard(8192) };
        assert_eq!(bytes(&layer_saved(&arch, layer, &cut), 2.0, &[]), whole / 4.0);
    }
}

#[test]
fn recomputing_more_never_keeps_more() {
    for arch in [grouped_dense(), moe(), v3(), v4_pro(), gpt3()] {
        let saved = layer_saved(&arch, arch.layers.last().unwrap(), &shard(4096));
        let mut freed = Vec::new();
        let mut last = bytes(&saved, 2.0, &freed);
        for (tag, _) in Tag::WORDS {
            freed.push(tag);
            let now = bytes(&saved, 2.0, &freed);
            assert!(now <= last, "{tag:?}");
            last = now;
        }
        let input = 2.0 * layer_input_elements(&arch, &shard(4096));
        assert!(input < bytes(&saved, 2.0, &[]));
    }
}

#[test]
fn the_up_projection_tag_leaves_latents_and_output() {
    let arch = v3();
    let saved = layer_saved(&arch, &arch.layers[10], &shard(4096));
    let names: Vec<_> = saved
        .iter()
        .filter(|saved| saved.tags.contains(&Tag::UpProjection))
        .map(|saved| saved.name)
        .collect();
    assert_eq!(names, ["q", "k", "v"]);
}

#[test]
fn fp32_logits_are_kept_unless_the_loss_is_fused() {
    let arch = grouped_dense();
    let shard = Shard { tensor: 8, sequence_parallel: true, ..shard(8192) };
    let kept = bytes(&head_saved(&arch, &shard, false), 2.0, &[]);
    let fused = bytes(&head_saved(&arch, &shard, true), 2.0, &[]);
    let logits = 8192.0 * 128_256.0 / 8.0;
    assert_eq!(kept - fused, 6.0 * logits);
    assert_eq!(fused, 2.0 * logits + 2.0 * 2.0 * 8192.0 * 4096.0 / 8.0);
}

#[test]
fn only_gpt_keeps_an_embedding_mask() {
    let masks = |arch: &Architecture| {
        embedding_saved(arch, &shard(2048)).iter().filter(|s| s.width == Width::Bytes(1)).count()
    };
    assert_eq!((masks(&gpt3()), masks(&grouped_dense())), (1, 0));
}

#[test]
fn a_prediction_block_keeps_a_second_set_of_logits() {
    let arch = v4_pro();
    let shard = shard(4096);
    let kept = bytes(&mtp_saved(&arch, &arch.mtp[0], &shard, false), 2.0, &[]);
    let fused = bytes(&mtp_saved(&arch, &arch.mtp[0], &shard, true), 2.0, &[]);
    let block = bytes(&layer_saved(&arch, &arch.mtp[0], &shard), 2.0, &[]);
    let logits = 4096.0 * 129_280.0;
    assert_eq!(kept - fused, 6.0 * logits);
    // Token ids, two norms over five widths in and out, and the head's streams and norm.
    assert_eq!(fused - block, 2.0 * logits + 4096.0 * (8.0 + 2.0 * 7168.0 * (10.0 + 6.0)));
}
