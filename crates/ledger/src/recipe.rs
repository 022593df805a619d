//! A row's number formats and batch.

use crate::columns::Fields;
use catalog::{Dtype, Optimizer, Precision, Recipe, Stage};
use units::{Figure, Origin, Unit};

/// The recipe of a row: AdamW, one stage.
///
/// Gradients accumulate in FP32 except under FP16, whose loss scaling keeps them in FP16 (Megatron's
/// `accumulate_allreduce_grads_in_fp32` goes with BF16), and in Megatron-Bridge's performance recipes.
pub(crate) fn recipe(fields: &Fields, model: &str, sequence: u64, batch: u64) -> Recipe {
    let text = fields.lower("precision");
    let sixteen = if text.contains("fp16") { Dtype::Fp16 } else { Dtype::Bf16 };

    let narrow = if text.contains("nvfp4") || text.contains("mxfp4") || four_bit_entry(fields) {
        Dtype::Fp4
    } else if text.contains("fp8") || text.contains("float8") {
        Dtype::Fp8
    } else {
        sixteen
    };
    // Transformer Engine gathers what it has quantised, in every narrow format
    // (`gather_along_first_dim` of its `distributed.py`). So does Float8 tensor parallelism of
    // torchtitan, but for scales by row.
    let source = fields.lower("source_title");
    let engine = ["megatron-bridge", "nemo", "mlperf", "megatron core"];
    let narrow_gather = engine.iter().any(|word| source.contains(word))
        || source.contains("torchtitan") && !text.contains("rowwise");
    let options = fields.lower("other_opts");
    let attention = if options.contains("fp8 attention") { Dtype::Fp8 } else { sixteen };
    let moments = if options.contains("bf16 adam moments") { Dtype::Bf16 } else { Dtype::Fp32 };
    let gradients = match sixteen {
        Dtype::Fp16 => Dtype::Fp16,
        _ if sixteen_bit_gradients(fields) => Dtype::Bf16,
        _ => Dtype::Fp32,
    };
    let exact =
        |value, unit| Figure::exact(value, unit, Origin::Measured, fields.text("source_title"));
    let tokens = (sequence * batch) as f64;
    Recipe {
        id: "row".to_owned(),
        model: model.to_owned(),
        tokens: exact(tokens, Unit::Token),
        batch_tokens: exact(tokens, Unit::Token),
        stages: vec![Stage { sequence, share: exact(1.0, Unit::Ratio) }],
        precision: Precision {
            linear: narrow,
            expert: narrow,
            attention,
            indexer: sixteen,
            sensitive: sixteen,
            head: sixteen,
            weights: sixteen,
            gradients,
            gradient_wire: gradients,
            master: Dtype::Fp32,
            moments,
            activations: sixteen,
            linear_inputs: if narrow == Dtype::Fp4 { Dtype::Fp8 } else { narrow },
            expert_inputs: if narrow == Dtype::Fp4 { Dtype::Fp8 } else { narrow },
            tensor_gather: if narrow_gather { narrow } else { sixteen },
            dispatch: sixteen,
            combine: sixteen,
        },
        precision_note: exact(1.0, Unit::Ratio),
        optimizer: Optimizer::AdamW,
    }
}

/// Whether gradients are kept and reduced in BF16: Megatron-Bridge's performance recipes, all models, set
/// `grad_reduce_in_fp32 = False` (`set_*_common_configs` of `scripts/performance/configs`, 25.11 to 26.08).
fn sixteen_bit_gradients(fields: &Fields) -> bool {
    fields.lower("source_title").contains("megatron-bridge")
}

/// Whether a row is one of NVIDIA's entries for Llama 3.1 405B in `MLPerf` Training v5.1, on its systems
/// tyche, theia and hsg. The README of each (`NVIDIA/benchmarks/llama31_405b/implementations/` of
/// `mlcommons/training_results_v5.1`) launches a configuration `config_GB*_cg_fp4.sh`, which reads
/// `config_common_fp4.sh` and turns tensor-parallel overlap off.
pub(crate) fn four_bit_entry(fields: &Fields) -> bool {
    let system = fields.lower("source_loc");
    fields.lower("source_title").contains("mlperf training v5.1 llama 3.1 405b")
        && ["tyche_", "theia_", "hsg_"].iter().any(|name| system.starts_with(name))
}
