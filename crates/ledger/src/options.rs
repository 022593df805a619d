//! A row's mapping and options to a plan: one vocabulary a column.

use crate::columns::{Fields, number_after};
use crate::recipe::four_bit_entry;
use crate::stack::{stops_early, unfused_attention};
use model::{Class, Tag};
use plan::{FullBlocks, Plan, Recompute, Zero};
use program::{Overlap, Schedule};

/// Words in `recompute` and the tensors they name (Megatron's and MaxText's vocabularies; saving
/// only products, as `remat_policy minimal` does, recomputes norms and activations; torchtitan's
/// selective checkpointing of operators saves every second product only).
const TAG_WORDS: [(&str, &[Tag]); 9] = [
    ("mla_up_proj", &[Tag::UpProjection]),
    ("up_proj", &[Tag::UpProjection]),
    ("layernorm", &[Tag::Norm]),
    ("moe_act", &[Tag::Activation]),
    ("mlp", &[Tag::Mlp]),
    ("attention core", &[Tag::Core]),
    ("core_attn", &[Tag::Core]),
    ("minimal", &[Tag::Norm, Tag::Activation]),
    ("selective activation", &[Tag::Norm, Tag::Activation, Tag::SecondProducts]),
];

/// Rank of adapters where a row does not state it: Megatron-Bridge's performance recipes of LoRA, which
/// give them to the projection of queries, keys and values alone (`scripts/performance/configs/llama`).
const LORA_RANK: u64 = 16;

/// The plan of a row on `chips` ranks.
pub(crate) fn plan(fields: &Fields, chips: u64) -> Result<Plan, String> {
    let zero_text = fields.lower("zero_fsdp");
    // TPU rows name the tensor axis beside the sharding one.
    let tensor = match fields.text("TP") {
        "" => number_after(&zero_text, "tensor ").unwrap_or(1),
        _ => fields.degree("TP")?,
    };
    let (context, pipeline) = (fields.degree("CP")?, fields.degree("PP")?);
    let (expert, expert_tensor) = (fields.degree("EP")?, fields.degree("ETP")?);
    let fill = |used: u64, what: &str| {
        if used > 0 && chips.is_multiple_of(used) {
            Ok(chips / used)
        } else {
            Err(format!("{what} of {used} do not divide {chips} chips"))
        }
    };
    let data = fill(tensor.saturating_mul(context).saturating_mul(pipeline), "TP·CP·PP")?;
    // Some tables count replicas alone, others every rank that shares no block: the first is a part of
    // the second.
    let stated = fields.degree("DP")?;
    if !data.is_multiple_of(stated) {
        return Err(format!("`DP` is {stated}; TP·CP·PP leave {data} ranks of {chips} chips"));
    }
    let expert_data =
        fill(expert_tensor.saturating_mul(expert).saturating_mul(pipeline), "ETP·EP·PP")?;
    let zero = zero(&zero_text)?;
    let shard_group = shard_group(&zero_text).filter(|&g| g > 0 && g < data * context);
    let vpp_text = fields.lower("VPP");
    let options = fields.lower("other_opts");
    let dual = vpp_text.contains("dualpipev") || fields.lower("overlap").contains("dualpipev");
    let virtual_pipeline = if dual { 1 } else { fields.degree("VPP")? };
    let graphs = fields.lower("cuda_graph");
    let notes = format!("{} {options}", fields.lower("notes"));
    let dispatcher = dispatcher(fields);
    let mapped = Plan {
        tensor,
        context,
        pipeline,
        virtual_pipeline,
        data,
        expert,
        expert_tensor,
        expert_data,
        sequence_parallel: fields.lower("SP").starts_with("yes") && tensor > 1,
        zero,
        shard_group: shard_group.filter(|_| zero != Zero::None),
        micro_batch: fields.needed("MBS")?,
        schedule: if dual { Schedule::DualPipeV } else { Schedule::OneFOneB },
        recompute: recompute(&fields.lower("recompute"), stops_early(fields))?,
        overlap: overlap(fields, zero, virtual_pipeline),
        graphs: graphs.contains("full"),
        recorded: recorded(&graphs),
        offload_blocks: number_after(&options, "activation offload ").unwrap_or(0),
        unfused_attention: unfused_attention(fields),
        adapters: options.contains("lora").then_some(LORA_RANK),
        adapters_on_qkv: options.contains("lora") && notes.contains("recipe"),
        fused_loss: notes.contains("recipe")
            || fields.lower("source_title").contains("megatron-bridge"),
        deduplicated_dispatch: dispatcher.contains("hybridep") || dispatcher.contains("deepep"),
        routing_gathered: dispatcher.contains("hybridep"),
        pipeline_innermost: false,
        pipeline_before_data: false,
        stage_blocks: None,
    };
    Ok(mapped)
}

/// Parts of a block recorded as graphs of their own (Megatron's words) and the operators in them:
/// attention and dense feed-forward with their norms and residuals, the router with its choice.
const GRAPH_WORDS: [(&str, &[Class]); 4] = [
    ("attn", &[Class::Projection, Class::AttentionCore, Class::Elementwise]),
    ("mlp", &[Class::FeedForward, Class::Elementwise]),
    ("moe_router", &[Class::Routing]),
    ("moe_preprocess", &[Class::Routing]),
];

fn recorded(text: &str) -> Vec<Class> {
    let named = GRAPH_WORDS.iter().filter(|(word, _)| text.contains(word));
    let mut classes: Vec<Class> = named.flat_map(|(_, classes)| classes.iter().copied()).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// How tokens reach experts: as the row says; Megatron-Bridge's verification cards run its recipes of
/// 2026, whose default is HybridEP.
fn dispatcher(fields: &Fields) -> String {
    let stated = fields.lower("dispatcher");
    let card = fields.lower("source_title").contains("verification cards");
    if stated.is_empty() && card { "hybridep".to_owned() } else { stated }
}

fn zero(text: &str) -> Result<Zero, String> {
    let is = |words: &[&str]| words.iter().any(|w| text.contains(w));
    if text.is_empty() || text.starts_with("none") {
        Ok(Zero::None)
    } else if is(&["shard_grad_op", "zero-2", "not resharded after forward"]) {
        Ok(Zero::Gradients)
    } else if is(&["fsdp", "zero-3", "full_shard", "full shard"]) {
        Ok(Zero::Weights)
    } else if is(&["zero-1", "distributed optimizer", "distributed-optimizer"]) {
        Ok(Zero::Optimizer)
    } else {
        Err(format!("`zero_fsdp` is `{text}`, a word not known"))
    }
}

fn shard_group(text: &str) -> Option<u64> {
    number_after(text, "shard group ").or_else(|| number_after(text, "fsdp "))
}

fn recompute(text: &str, early_stop: bool) -> Result<Recompute, String> {
    let only = |blocks| Ok(Recompute { blocks, tags: Vec::new(), early_stop });
    if text.is_empty() || text.starts_with("none") {
        return only(FullBlocks::None);
    }
    let mut tags: Vec<Tag> = TAG_WORDS
        .iter()
        .filter(|(word, _)| text.contains(word))
        .flat_map(|(_, tags)| tags.iter().copied())
        .collect();
    tags.sort_unstable();
    tags.dedup();
    if let Some(n) = number_after(text, "full block,").or_else(|| number_after(text, "full block"))
    {
        return Ok(Recompute { blocks: FullBlocks::PerStage(n), tags, early_stop });
    }
    if text.starts_with("full") || text.contains("policy full") {
        return only(FullBlocks::All);
    }
    if text.starts_with("custom") && text.contains("offloaded") {
        // Kept tensors live on the host; what is not named is recomputed: with queries, keys and
        // values kept, all but the attention's projections.
        let tags = vec![Tag::Norm, Tag::Activation, Tag::Core, Tag::Mlp];
        return Ok(Recompute { blocks: FullBlocks::None, tags, early_stop });
    }
    if tags.is_empty() {
        return Err(format!("`recompute` is `{text}`, words not known"));
    }
    Ok(Recompute { blocks: FullBlocks::None, tags, early_stop })
}

/// What runs beside compute: what the row says, on top of its framework's defaults. Megatron-Bridge,
/// NeMo and MLPerf's Megatron overlap gradient reduction and parameter gathering, and for dense models
/// tensor-parallel collectives (`tp_comm_overlap` of their Llama recipes); so does XLA on TPUs, which
/// cuts them into steps between parts of the product (Wang et al., ASPLOS 2023); FSDP prefetches;
/// interleaving overlaps its sends; Megatron-DeepSpeed (vTrain) and 2021's Megatron overlap nothing.
fn overlap(fields: &Fields, zero: Zero, virtual_pipeline: u64) -> Overlap {
    let text = fields.lower("overlap");
    let source = fields.lower("source_title");
    let options = fields.lower("other_opts");
    let says = |words: &[&str]| words.iter().any(|w| text.contains(w) || options.contains(w));
    let nvidia = ["megatron-bridge", "nemo", "mlperf"].iter().any(|w| source.contains(w));
    let xla = fields.lower("accelerator").starts_with("tpu");
    // DeepSpeed fetches at most 5e7 elements ahead (`stage3_prefetch_bucket_size`), less than one
    // matrix of a large model: its ZeRO-3 waits for every gather.
    let waits = fields.lower("zero_fsdp").contains("zero-3 (deepspeed)");
    let sharded = (zero == Zero::Weights || zero == Zero::Gradients) && !waits;
    let default = nvidia || sharded;
    Overlap {
        gradient_reduce: (default || says(&["grad-reduce"])) && !says(&["grad-reduce overlap off"]),
        parameter_gather: default || says(&["param-gather"]),
        expert: says(&["ep all-to-all overlapped", "ep overlap on", "moe-fb-overlap"]),
        tensor: (xla
            || nvidia && fields.text("n_experts").is_empty()
            || says(&["tp comm overlap", "asynctp", "async tp", "mc2", "coc"]))
            && !says(&["tp_comm_overlap false"])
            && !four_bit_entry(fields),
        context: nvidia,
        pipeline: virtual_pipeline > 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_recomputation() {
        let tags = |text: &str| recompute(text, false).unwrap().tags;
        assert_eq!(tags("selective: mla_up_proj+mlp"), [Tag::UpProjection, Tag::Mlp]);
        assert_eq!(tags("none (recipe)"), []);
        assert_eq!(recompute("full", false).unwrap().blocks, FullBlocks::All);
        assert_eq!(
            recompute("full block, 5 layers", false).unwrap().blocks,
            FullBlocks::PerStage(5)
        );
        assert!(recompute("some of it", false).is_err());
    }

    #[test]
    fn words_of_sharding() {
        assert_eq!(zero("none (ddp)"), Ok(Zero::None));
        assert_eq!(zero("distributed optimizer (zero-1)"), Ok(Zero::Optimizer));
        assert_eq!(zero("fsdp shard_grad_op"), Ok(Zero::Gradients));
        let llama = "fsdp: optimizer+gradients sharded, weights not resharded after forward";
        assert_eq!(zero(llama), Ok(Zero::Gradients));
        assert_eq!(zero("fsdp2 full shard, float8 all-gather"), Ok(Zero::Weights));
        assert_eq!(shard_group("megatron-fsdp, shard group 8"), Some(8));
        assert_eq!(shard_group("fsdp 16 x tensor 16 in slice"), Some(16));
        assert!(zero("somehow").is_err());
    }
}
