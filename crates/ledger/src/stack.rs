//! A row's software stack.

use crate::columns::Fields;

/// Words of `other_opts`, `source_title` and `notes` and the stack they mean; the first that is found
/// counts. What is not found runs the chip family's usual stack.
const STACKS: [(&str, &str); 11] = [
    ("zero-3 (deepspeed)", "deepspeed-zero3"),
    ("megatron-deepspeed", "megatron-deepspeed"),
    ("deepspeed", "megatron-deepspeed"),
    ("torchtitan", "torchtitan"),
    ("llm-foundry", "llm-foundry"),
    ("mosaic", "llm-foundry"),
    ("korthikanti", "megatron-2021"),
    ("reducing activation recomputation", "megatron-2021"),
    ("efficient large-scale language model training", "megatron-2021"),
    ("deepseek-v3 technical", "hai-llm"),
    ("cutedsl fused grouped mlp", "megatron-core-fused-experts"),
];

/// The id of the row's stack, if its text names one.
pub(crate) fn stack(fields: &Fields) -> Option<&'static str> {
    let text = format!(
        "{} {} {} {}",
        fields.lower("other_opts"),
        fields.lower("source_title"),
        fields.lower("zero_fsdp"),
        fields.lower("notes"),
    );
    let by_block = fields.lower("precision").contains("blockwise");
    let Some((_, id)) = STACKS.iter().find(|(word, _)| text.contains(word)) else {
        return by_block.then_some("megatron-core-blockwise");
    };
    if *id != "torchtitan" {
        return Some(id);
    }
    let eager = !fields.lower("other_opts").contains("torch.compile");
    let by_row = fields.lower("precision").contains("rowwise");
    Some(match (eager, by_row) {
        (true, _) => "torchtitan-eager",
        (_, true) => "torchtitan-rowwise",
        _ => id,
    })
}

/// Whether the stack's recomputation of a block stops at the last tensor the backward pass needs:
/// torchtitan's checkpoints are without re-entrance and compiled, MaxText's are XLA's.
pub(crate) fn stops_early(fields: &Fields) -> bool {
    let title = fields.lower("source_title");
    title.contains("maxtext") || stack(fields).is_some_and(|id| id.starts_with("torchtitan"))
}

/// Whether the stack's attention writes its scores to memory: frameworks before FlashAttention, where
/// the row does not say otherwise.
pub(crate) fn unfused_attention(fields: &Fields) -> bool {
    let early =
        matches!(stack(fields), Some("megatron-2021" | "megatron-deepspeed" | "deepspeed-zero3"));
    early && !fields.lower("other_opts").contains("flash")
}
