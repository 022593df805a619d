//! Whether a row's cells are what their columns hold: numbers that are numbers, words that are known.
//!
//! A cell that says nothing understood is not passed over: a prediction without it would be of another
//! step than the one measured.

use crate::columns::Fields;

/// Columns of whole numbers.
const COUNTS: [&str; 18] = [
    "n_layers",
    "hidden",
    "heads",
    "kv_heads",
    "head_dim",
    "ffn",
    "vocab",
    "n_experts",
    "topk",
    "moe_ffn",
    "shared_experts",
    "dense_layers",
    "mtp_layers",
    "chips_per_node",
    "n_chips",
    "MBS",
    "GBS",
    "seq",
];

/// Columns of what was measured; none of it can be 0.
const MEASURED: [&str; 7] = [
    "step_s",
    "step_s_derived",
    "tokens_s_chip",
    "tflops_per_chip",
    "mfu_pct",
    "peak_tflops_used",
    "peak_mem_gib",
];

/// Columns of words: one of the first list is how a cell begins, or one of the second is in it. A column
/// whose words choose something is read where it is chosen (`recompute`, `zero_fsdp`, `attn_type`).
const WORDS: [(&str, &[&str], &[&str]); 5] = [
    ("SP", &["yes", "no", "attention sequence parallel"], &[]),
    // Eight-bit integers are run as the sixteen-bit format beside them.
    ("precision", &["16-bit"], &["fp16", "bf16", "fp8", "float8", "fp4", "int8"]),
    (
        "overlap",
        &["no"],
        &["overlap", "grad-reduce", "param-gather", "prefetch", "async", "mc2", "coc", "dualpipe"],
    ),
    (
        "cuda_graph",
        &["no", "off", "per layer"],
        &["full", "attn", "mlp", "mamba", "moe_router", "moe_preprocess"],
    ),
    ("dispatcher", &["all-to-all", "alltoall", "allgather"], &["hybridep", "deepep"]),
];

/// Refuses a row with a cell that is not what its column holds.
///
/// # Errors
/// The first such cell.
pub(crate) fn understood(fields: &Fields) -> Result<(), String> {
    for column in COUNTS {
        fields.count(column)?;
    }
    for column in MEASURED {
        if fields.number(column)? == Some(0.0) {
            return Err(format!("`{column}` is 0"));
        }
    }
    for (column, begins, within) in WORDS {
        let text = fields.lower(column);
        let known = text.is_empty()
            || begins.iter().any(|word| text.starts_with(word))
            || within.iter().any(|word| text.contains(word));
        if !known {
            return Err(format!("`{column}` is `{}`, a word not known", fields.text(column)));
        }
    }
    Ok(())
}
