//! FLOPs and cache bytes against published figures.

use crate::catalog::load;

fn close(got: f64, expected: f64, tolerance: f64, what: &str) {
    let error = got / expected - 1.0;
    assert!(error.abs() <= tolerance, "{what}: {got} against {expected}, {error:+.5}");
}

#[test]
fn v4_main_and_training_flops_at_every_length() {
    // GFLOPs per token: forward of the main model, forward and backward with prediction block.
    let table = [
        ("deepseek-v4-pro", 4096, 104.16, 324.27),
        ("deepseek-v4-pro", 16384, 108.35, 336.85),
        ("deepseek-v4-pro", 65536, 113.69, 352.87),
        ("deepseek-v4-pro", 131_072, 119.92, 371.57),
        ("deepseek-v4-pro", 1 << 20, 205.53, 628.39),
        ("deepseek-v4-flash", 4096, 28.54, 91.05),
        ("deepseek-v4-flash", 16384, 29.46, 93.83),
        ("deepseek-v4-flash", 65536, 32.15, 101.89),
        ("deepseek-v4-flash", 131_072, 35.65, 112.39),
        ("deepseek-v4-flash", 1 << 20, 84.52, 258.99),
    ];
    for (id, sequence, main, training) in table {
        let flops = load(id).flops_per_token(sequence);
        let what = format!("{id} at {sequence}");
        close(flops.forward() / 1e9, main, 2e-4, &what);
        close(flops.training() / 1e9, training, 1e-4, &what);
    }
}

#[test]
fn v4_parts_are_exact() {
    let flops = load("deepseek-v4-pro").flops_per_token(4096);
    let expected = [
        ("attn_proj", 36_586_913_792.0),
        ("compressor", 1_335_885_824.0),
        ("indexer_proj", 1_002_700_800.0),
        ("routed", 48_356_130_816.0),
        ("shared", 8_059_355_136.0),
        ("router", 335_806_464.0),
        ("mhc_gemm", 168_132_608.0),
        ("mhc_apply", 41_975_808.0),
        ("core_hca", 1_150_085_120.0),
        ("core_csa", 5_015_592_960.0),
        ("indexer_score", 251_535_360.0),
        ("head", 1_853_358_080.0),
    ];
    for (name, value) in expected {
        close(flops.part(name), value, 1e-12, name);
    }
    assert_eq!(flops.main.len(), expected.len(), "{:?}", flops.main);
}

#[test]
fn megatron_convention_gives_nvidias_figures() {
    // GFLOPs per token, forward and backward: what NVIDIA's published rates imply
    // (NVIDIA-NeMo/Megatron-Bridge, docs/performance-summary.md), and 6 per active weight with the
    // causal half of attention.
    let table = [
        ("deepseek-v3", 4096, 260.6, 260.0),
        ("kimi-k2", 4096, 205.5, 204.6),
        ("qwen3-235b-a22b", 4096, 148.3, 148.1),
        ("llama-3.1-405b", 8192, 2524.0, 2525.0),
        ("gpt-oss-120b", 4096, 32.7, 32.6),
        ("deepseek-v4-flash", 4096, 90.95, 91.05),
    ];
    for (id, sequence, published, derived) in table {
        let flops = load(id).flops_per_token(sequence);
        close(flops.megatron_causal / 1e9, published, 5e-3, id);
        close(flops.training() / 1e9, derived, 5e-3, id);
    }
}

#[test]
fn v3_flops_match_both_conventions_of_its_authors() {
    // arXiv 2505.09343: 385 causal and 432 non-causal TFLOP/s at 272.80e9 tokens a day on 2048
    // GPUs, prediction block not counted.
    let flops = load("deepseek-v3").flops_per_token(4096);
    let tokens = 272.80e9 / 86_400.0 / 2048.0;
    close(3.0 * flops.forward(), 385e12 / tokens, 5e-3, "causal");
    close(flops.palm, 432e12 / tokens, 5e-3, "non-causal");
    close(3.0 * flops.forward() / 1e9, 250.0, 5e-3, "without the prediction block");
    close(flops.six_n, 6.0 * 36.62e9, 1e-3, "6N");
}

#[test]
fn linear_flops_are_twice_the_active_matrices() {
    for id in ["llama-3.1-405b", "deepseek-v3", "qwen3-235b-a22b", "nemotron-4-340b"] {
        let architecture = load(id);
        let flops = architecture.flops_per_token(4096);
        let linear = flops.forward() - flops.part("core");
        let active = architecture.parameters().active_without_embedding as f64;
        // The difference is norms and biases, which multiply nothing as matrices.
        assert!(linear <= 2.0 * active, "{id}");
        close(linear, 2.0 * active, 1e-4, id);
    }
}

#[test]
fn cache_bytes_are_the_known_ones() {
    let table = [
        ("deepseek-v4-pro", 4096, 24_852_480.0),
        ("deepseek-v4-pro", 65536, 330_178_560.0),
        ("deepseek-v4-pro", 1 << 20, 5_215_395_840.0),
        ("deepseek-v4-flash", 65536, 230_645_760.0),
        ("deepseek-v4-flash", 1 << 20, 3_642_777_600.0),
        // 61 blocks of 656 + 132 bytes a token.
        ("deepseek-v3.2", 1 << 20, 61.0 * 788.0 * 1_048_576.0),
        // 126 blocks, keys and values of 8 heads of 128 in BF16.
        ("llama-3.1-405b", 8192, 126.0 * 4096.0 * 8192.0),
        // 18 blocks see everything, 18 see 128 tokens.
        ("gpt-oss-120b", 4096, 18.0 * 2048.0 * (4096.0 + 128.0)),
        ("deepseek-v3", 4096, 61.0 * 1152.0 * 4096.0),
    ];
    for (id, sequence, bytes) in table {
        assert_eq!(load(id).kv_bytes(sequence).total(), bytes, "{id} at {sequence}");
    }
}

/// The operators a rank runs and the closed forms must count the same work: two derivations.
#[test]
fn operators_do_the_flops_that_are_counted() {
    use model::{Shard, Step, Wire, head_steps, layer_steps, mtp_steps};
    let wire =
        Wire { activation_bytes: 2.0, gather_bytes: 2.0, dispatch_bytes: 1.0, combine_bytes: 2.0 };
    let ids = [
        "deepseek-v4-pro",
        "deepseek-v4-flash",
        "deepseek-v3",
        "deepseek-v3.2",
        "qwen3-235b-a22b",
        "gpt-oss-120b",
        "gpt3-175b",
        "nemotron-4-340b",
        "grok-1",
        "pangu-ultra-moe-718b",
    ];
    for id in ids {
        let a = load(id);
        for sequence in [1024, 4096, 65536] {
            let shard = Shard {
                micro_batch: 1,
                sequence,
                tensor: 1,
                sequence_parallel: false,
                context: 1,
                expert: 1,
                expert_tensor: 1,
            };
            let blocks = a.layers.iter().flat_map(|l| layer_steps(&a, l, &shard, &wire));
            let mtp = a.mtp.iter().flat_map(|l| mtp_steps(&a, l, &shard, &wire));
            let steps = blocks.chain(mtp).chain(head_steps(&a, &shard, &wire));
            let done: f64 = steps
                .filter_map(|step| match step {
                    Step::Compute(operator) => Some(operator.work.matrix_flops()),
                    Step::Exchange(_) => None,
                })
                .sum();
            let flops = a.flops_per_token(sequence);
            let parts = || flops.main.iter().chain(&flops.mtp);
            // Applying hyper-connections is memory-bound work, and no operator's matrix product.
            let vector: f64 = parts().filter(|p| p.name == "mhc_apply").map(|p| p.forward).sum();
            let counted = flops.forward_with_mtp() - vector;
            close(done / sequence as f64, counted, 1e-4, &format!("{id} at {sequence}"));
        }
    }
}
