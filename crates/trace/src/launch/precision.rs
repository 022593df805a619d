//! A recipe's formats and optimizer in the arguments of Megatron-LM and MindSpeed-LLM.

use super::Framework;
use super::line::Line;
use catalog::{Dtype, Optimizer, Precision};
use scenario::Scenario;

/// `sharded`: gradients or weights are, too.
pub(super) fn write(line: &mut Line, scenario: &Scenario, sharded: bool) {
    let precision = &scenario.recipe.precision;
    match precision.activations {
        Dtype::Bf16 => line.flag("--bf16"),
        Dtype::Fp16 => line.flag("--fp16"),
        other => line.lost(format!("activations in {}: BF16, FP16 or FP32", other.word())),
    }
    low_bits(line, scenario);
    states(line, precision);
    match scenario.recipe.optimizer {
        Optimizer::AdamW => line.set("--optimizer", "adam"),
        Optimizer::Muon { .. } if line.framework == Framework::MindSpeed => {
            line.set("--optimizer", "adam");
            line.lost("Muon: this command uses AdamW");
        }
        Optimizer::Muon { .. } if sharded => {
            line.set("--optimizer", "adam");
            line.lost("Muon beside sharded gradients or weights: this command uses AdamW");
        }
        Optimizer::Muon { iterations } => {
            line.set("--optimizer", "muon");
            line.set("--muon-num-ns-steps", iterations);
        }
    }
}

fn low_bits(line: &mut Line, scenario: &Scenario) {
    let precision = &scenario.recipe.precision;
    let (linear, expert) = (precision.linear, precision.expert);
    let words = (linear.word(), expert.word());
    match (linear, expert) {
        (Dtype::Fp8, _) => {
            line.set("--fp8-format", "e4m3");
            let scaling = match scenario.cluster.chip.family.as_str() {
                "hopper" => "blockwise",
                _ => "mxfp8",
            };
            line.set("--fp8-recipe", scaling);
            line.lost_hint(
                format!("how FP8 is scaled: `{scaling}` is assumed for this chip"),
                "the recipe names a format, not its scaling",
            );
            if expert != Dtype::Fp8 {
                line.lost(format!("experts in {} beside other products in {}", words.1, words.0));
            }
            if precision.weights == Dtype::Fp8 {
                line.flag("--fp8-param-gather");
            }
            if precision.dispatch == Dtype::Fp8 {
                line.lost("tokens dispatched to experts in FP8");
            }
        }
        (Dtype::Fp4, _) if line.framework == Framework::Megatron => {
            line.set("--fp4-format", "e2m1");
            if expert != Dtype::Fp4 {
                line.lost(format!("experts in {} beside other products in {}", words.1, words.0));
            }
        }
        (same, _) if same != precision.activations || expert != same => line.lost(format!(
            "products in {} with experts in {}: this command computes in {}",
            words.0,
            words.1,
            precision.activations.word()
        )),
        _ => {}
    }
}

/// Gradients, moments and master weights: FP32 unless said.
fn states(line: &mut Line, precision: &Precision) {
    match (precision.gradients, precision.gradient_wire) {
        (Dtype::Fp32, Dtype::Fp32) => line.flag("--accumulate-allreduce-grads-in-fp32"),
        (Dtype::Bf16, Dtype::Bf16) => line.flag("--grad-reduce-in-bf16"),
        (kept, wire) => {
            line.flag("--accumulate-allreduce-grads-in-fp32");
            line.lost(format!(
                "gradients kept in {} and sent in {}: both are FP32 here",
                kept.word(),
                wire.word()
            ));
        }
    }
    if precision.moments != Dtype::Fp32 {
        if line.framework == Framework::Megatron {
            line.flag("--use-precision-aware-optimizer");
            line.set("--exp-avg-dtype", precision.moments.word());
            line.set("--exp-avg-sq-dtype", precision.moments.word());
        } else {
            line.lost(format!("moments in {}: they are FP32 here", precision.moments.word()));
        }
    }
    if precision.master != Dtype::Fp32 {
        line.lost(format!("master weights in {}: they are FP32 here", precision.master.word()));
    }
}
