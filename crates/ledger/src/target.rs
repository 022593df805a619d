//! A row's measured step time: as printed, or from the rate it prints.

use crate::columns::{Fields, number_before};
use model::Architecture;

/// Seconds of the measured step, and nothing where the row prints no rate that fixes it.
///
/// In order: `step_s`; `step_s_derived`; tokens per second and chip, or and device; FLOP rate (or MFU times its
/// peak) by the row's own convention.
pub(crate) fn measured(
    fields: &Fields,
    model: &Architecture,
    chips: u64,
    batch: u64,
    sequence: u64,
) -> Result<Option<f64>, String> {
    for column in ["step_s", "step_s_derived"] {
        if let Some(seconds) = fields.number(column)?.filter(|s| *s > 0.0) {
            return Ok(Some(seconds));
        }
    }
    let tokens = (batch * sequence) as f64;
    if let Some(rate) = fields.number("tokens_s_chip")?.filter(|r| *r > 0.0) {
        return Ok(Some(tokens / (rate * chips as f64)));
    }
    if let Some(rate) = per_device(fields) {
        return Ok(Some(tokens / (rate * chips as f64)));
    }
    // Where two printed rates contradict each other, the row's note says which is a misprint.
    let misprint = fields.lower("notes").contains("do not use tflop/s");
    let printed = fields.number("tflops_per_chip")?.filter(|_| !misprint);
    let peak = fields.number("peak_tflops_used")?;
    let from_mfu = fields.number("mfu_pct")?.zip(peak).map(|(mfu, peak)| mfu / 100.0 * peak);
    let Some(tflops) = printed.or(from_mfu).filter(|t| *t > 0.0) else { return Ok(None) };
    let per_token = flops_per_token(fields, model, sequence);
    Ok(per_token.map(|flops| flops * tokens / (tflops * 1e12 * chips as f64)))
}

/// Tokens per second of one rank from `MindSpeed`'s tables of throughput, which print "Tokens/s" for a
/// device: on the 910C a device is two dies, a die is a rank (their sum over all devices would be a
/// few per cent of the peak).
fn per_device(fields: &Fields) -> Option<f64> {
    let metric = fields.lower("other_metric");
    if !fields.lower("source_title").contains("mindspeed") {
        return None;
    }
    let rate = number_before(&metric, "tokens/s").filter(|r| *r > 0.0)?;
    let dies = if fields.lower("accelerator").contains("2 dies per npu") { 2.0 } else { 1.0 };
    Some(rate / dies)
}

/// FLOPs of a token by the row's convention: Megatron 2021 (recomputation counted), Korthikanti,
/// 6N with full attention, or Megatron's present causal count.
fn flops_per_token(fields: &Fields, model: &Architecture, sequence: u64) -> Option<f64> {
    let convention = fields.lower("flop_convention");
    let (l, h) = (model.layers.len() as f64, model.hidden as f64);
    let (s, v) = (sequence as f64, model.vocab as f64);
    let flops = model.flops_per_token(sequence);
    let bracket = |vocab_share: f64| 1.0 + s / (6.0 * h) + v / (vocab_share * l * h);
    if convention.contains("96 b s l h^2") {
        Some(96.0 * l * h * h * bracket(16.0))
    } else if convention.contains("72 b") {
        Some(72.0 * l * h * h * bracket(12.0))
    } else if convention.contains("6n") || convention.contains("palm") {
        let half = convention.contains("/2") || convention.contains("causal");
        Some(if half { f64::midpoint(flops.palm, flops.six_n) } else { flops.palm })
    } else if convention.contains("causal") {
        Some(flops.megatron_causal)
    } else {
        None
    }
}
