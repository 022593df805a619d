//! The `[plan]` table and a stage's changes to it.

use catalog::toml_reader::{Item, Table};
use diagnostic::{Diagnostic, nearest};
use model::Tag;
use plan::{FullBlocks, Plan, Recompute, Zero};
use program::{Overlap, Schedule};
use std::ops::Range;

/// What a `[plan]` table says; a stage's table is laid over the scenario's.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlanTable {
    tensor: Option<u64>,
    context: Option<u64>,
    pipeline: Option<u64>,
    virtual_pipeline: Option<u64>,
    data: Option<u64>,
    expert: Option<u64>,
    expert_tensor: Option<u64>,
    expert_data: Option<u64>,
    sequence_parallel: Option<bool>,
    zero: Option<Zero>,
    shard_group: Option<u64>,
    micro_batch: Option<u64>,
    schedule: Option<Schedule>,
    recompute: Option<Recompute>,
    overlap: Option<Overlap>,
    graphs: Option<bool>,
    offload_blocks: Option<u64>,
    unfused_attention: Option<bool>,
    adapters: Option<u64>,
    adapters_on_qkv: Option<bool>,
    fused_loss: Option<bool>,
    deduplicated_dispatch: Option<bool>,
    routing_gathered: Option<bool>,
    pipeline_innermost: Option<bool>,
    pipeline_before_data: Option<bool>,
    stage_blocks: Option<Vec<u64>>,
    /// Where each key's value stands, also of one that could not be read.
    spans: Vec<(String, Range<usize>)>,
}

/// Keys without which a plan means nothing.
const REQUIRED: [&str; 8] =
    ["tensor", "context", "pipeline", "expert", "zero", "micro_batch", "schedule", "recompute"];

impl PlanTable {
    /// Reads and closes a table. The launchers' short names are answered with ours.
    pub(crate) fn read(mut table: Table<'_>) -> Self {
        for (short, ours) in [
            ("tp", "tensor"),
            ("cp", "context"),
            ("pp", "pipeline"),
            ("vpp", "virtual_pipeline"),
            ("dp", "data"),
            ("ep", "expert"),
            ("etp", "expert_tensor"),
            ("edp", "expert_data"),
            ("mbs", "micro_batch"),
        ] {
            if table.keys().iter().any(|k| k == short) {
                let message = format!("unknown key `{}`", table.path_of(short));
                table.reject(short, "catalog::unknown-key", message, format!("write `{ours}`"));
                let _ = table.take(short);
            }
        }
        let mut count = |key: &str| if table.has(key) { table.take_positive(key) } else { None };
        let mut read = Self {
            tensor: count("tensor"),
            context: count("context"),
            pipeline: count("pipeline"),
            virtual_pipeline: count("virtual_pipeline"),
            data: count("data"),
            expert: count("expert"),
            expert_tensor: count("expert_tensor"),
            expert_data: count("expert_data"),
            shard_group: count("shard_group"),
            micro_batch: count("micro_batch"),
            adapters: count("adapters"),
            offload_blocks: count("offload_blocks"),
            ..Self::default()
        };
        let mut switch = |key: &str| if table.has(key) { table.take_bool(key) } else { None };
        read.sequence_parallel = switch("sequence_parallel");
        read.graphs = switch("graphs");
        read.unfused_attention = switch("unfused_attention");
        read.adapters_on_qkv = switch("adapters_on_qkv");
        read.fused_loss = switch("fused_loss");
        read.deduplicated_dispatch = switch("deduplicated_dispatch");
        read.routing_gathered = switch("routing_gathered");
        read.pipeline_innermost = switch("pipeline_innermost");
        read.pipeline_before_data = switch("pipeline_before_data");
        read.zero = table.has("zero").then(|| zero(&mut table)).flatten();
        if table.has("schedule") {
            let words = Schedule::WORDS.map(|(s, w)| (s, w));
            read.schedule = table.take_word("schedule", &words);
        }
        read.recompute = table.has("recompute").then(|| recompute(&mut table)).flatten();
        if table.has("overlap") {
            read.overlap = table.take_array("overlap").and_then(overlap);
        }
        if table.has("stage_blocks") {
            let items = table.take_array("stage_blocks");
            read.stage_blocks =
                items.and_then(|list| list.into_iter().map(Item::into_u64).collect());
        }
        read.spans = table.keys().into_iter().map(|k| (k.clone(), table.span_of(&k))).collect();
        table.finish();
        read
    }

    /// Where the value of `key` stands, if the table has it.
    pub(crate) fn span_of(&self, key: &str) -> Option<&Range<usize>> {
        self.spans.iter().find(|(k, _)| k == key).map(|(_, span)| span)
    }

    /// Which required keys are absent.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        REQUIRED.into_iter().filter(|key| self.span_of(key).is_none()).collect()
    }

    /// `over` where it says something, else `self`.
    pub(crate) fn overlaid(&self, over: &Self) -> Self {
        // A stage that changes a degree leaves the rest of its grid to be derived anew.
        let changes_attention =
            over.tensor.is_some() || over.context.is_some() || over.pipeline.is_some();
        let changes_expert =
            over.expert.is_some() || over.expert_tensor.is_some() || over.pipeline.is_some();
        Self {
            tensor: over.tensor.or(self.tensor),
            context: over.context.or(self.context),
            pipeline: over.pipeline.or(self.pipeline),
            virtual_pipeline: over.virtual_pipeline.or(self.virtual_pipeline),
            data: over.data.or(self.data.filter(|_| !changes_attention)),
            expert: over.expert.or(self.expert),
            expert_tensor: over.expert_tensor.or(self.expert_tensor),
            expert_data: over.expert_data.or(self.expert_data.filter(|_| !changes_expert)),
            sequence_parallel: over.sequence_parallel.or(self.sequence_parallel),
            zero: over.zero.or(self.zero),
            shard_group: over.shard_group.or(self.shard_group),
            micro_batch: over.micro_batch.or(self.micro_batch),
            schedule: over.schedule.or(self.schedule),
            recompute: over.recompute.clone().or_else(|| self.recompute.clone()),
            overlap: over.overlap.or(self.overlap),
            graphs: over.graphs.or(self.graphs),
            offload_blocks: over.offload_blocks.or(self.offload_blocks),
            unfused_attention: over.unfused_attention.or(self.unfused_attention),
            adapters: over.adapters.or(self.adapters),
            adapters_on_qkv: over.adapters_on_qkv.or(self.adapters_on_qkv),
            fused_loss: over.fused_loss.or(self.fused_loss),
            deduplicated_dispatch: over.deduplicated_dispatch.or(self.deduplicated_dispatch),
            routing_gathered: over.routing_gathered.or(self.routing_gathered),
            pipeline_innermost: over.pipeline_innermost.or(self.pipeline_innermost),
            pipeline_before_data: over.pipeline_before_data.or(self.pipeline_before_data),
            stage_blocks: over.stage_blocks.clone().or_else(|| self.stage_blocks.clone()),
            spans: over.spans.iter().chain(&self.spans).cloned().collect(),
        }
    }

    /// The plan on `ranks` ranks; `None` if a required key is missing.
    ///
    /// What is derived: `data` and `expert_data` fill the job. What is off unless said: virtual
    /// stages, expert tensor parallelism, sequence parallelism, overlap, graphs, the fused loss,
    /// deduplicated dispatch, the gather of routing before it, offloading.
    pub(crate) fn plan(&self, ranks: u64) -> Option<Plan> {
        let (tensor, context, pipeline) = (self.tensor?, self.context?, self.pipeline?);
        let (expert, expert_tensor) = (self.expert?, self.expert_tensor.unwrap_or(1));
        let fill = |used: u64| (ranks / used.max(1)).max(1);
        let dense_used = tensor.saturating_mul(context).saturating_mul(pipeline);
        let expert_used = expert_tensor.saturating_mul(expert).saturating_mul(pipeline);
        Some(Plan {
            tensor,
            context,
            pipeline,
            virtual_pipeline: self.virtual_pipeline.unwrap_or(1),
            data: self.data.unwrap_or_else(|| fill(dense_used)),
            expert,
            expert_tensor,
            expert_data: self.expert_data.unwrap_or_else(|| fill(expert_used)),
            sequence_parallel: self.sequence_parallel.unwrap_or(false),
            zero: self.zero?,
            shard_group: self.shard_group,
            micro_batch: self.micro_batch?,
            schedule: self.schedule?,
            recompute: self.recompute.clone()?,
            overlap: self.overlap.unwrap_or(Overlap::NONE),
            graphs: self.graphs.unwrap_or(false),
            recorded: Vec::new(),
            offload_blocks: self.offload_blocks.unwrap_or(0),
            unfused_attention: self.unfused_attention.unwrap_or(false),
            adapters: self.adapters,
            adapters_on_qkv: self.adapters_on_qkv.unwrap_or(false),
            fused_loss: self.fused_loss.unwrap_or(false),
            deduplicated_dispatch: self.deduplicated_dispatch.unwrap_or(false),
            routing_gathered: self.routing_gathered.unwrap_or(false),
            pipeline_innermost: self.pipeline_innermost.unwrap_or(false),
            pipeline_before_data: self.pipeline_before_data.unwrap_or(false),
            stage_blocks: self.stage_blocks.clone(),
        })
    }
}

fn zero(table: &mut Table<'_>) -> Option<Zero> {
    match table.take_u64("zero")? {
        0 => Some(Zero::None),
        1 => Some(Zero::Optimizer),
        2 => Some(Zero::Gradients),
        3 => Some(Zero::Weights),
        n => {
            let message = format!("there is no ZeRO stage {n}");
            table.reject("zero", "scenario::plan", message, "0, 1, 2 or 3");
            None
        }
    }
}

/// `"none"`, `"full"`, `"full-early-stop"`, or a list of tags and of whole blocks: `["norm", "blocks:5"]`.
fn recompute(table: &mut Table<'_>) -> Option<Recompute> {
    let item = table.take("recompute")?;
    if item.is_str() {
        let words = [
            ((FullBlocks::None, false), "none"),
            ((FullBlocks::All, false), "full"),
            ((FullBlocks::All, true), "full-early-stop"),
        ];
        let (blocks, early_stop) = item.into_word(&words)?;
        return Some(Recompute { blocks, tags: Vec::new(), early_stop });
    }
    let mut read = Recompute { blocks: FullBlocks::None, tags: Vec::new(), early_stop: false };
    let mut complete = true;
    for item in item.into_array()? {
        let (reader, span) = (item.reader(), item.span());
        let Some(word) = item.into_str() else {
            complete = false;
            continue;
        };
        let blocks = word.strip_prefix("blocks:").and_then(|n| n.parse().ok());
        let tag = Tag::WORDS.iter().find(|(_, w)| *w == word);
        match (blocks, tag) {
            (Some(n), _) => read.blocks = FullBlocks::PerStage(n),
            (_, Some((tag, _))) => read.tags.push(*tag),
            _ => {
                complete = false;
                let words = Tag::WORDS.map(|(_, w)| w);
                let hint = nearest(&word, words).map_or_else(
                    || format!("one of {}, blocks:N", words.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                let message = format!("`{word}` is not something to recompute");
                reader.report(Diagnostic::error("catalog::word", message).hint(hint), span);
            }
        }
    }
    complete.then_some(read)
}

fn overlap(items: Vec<Item<'_>>) -> Option<Overlap> {
    let mut read = Overlap::NONE;
    let words: Vec<(&str, &str)> = Overlap::WORDS.iter().map(|w| (*w, *w)).collect();
    let mut complete = true;
    for item in items {
        match item.into_word(&words).and_then(|word| read.switch(word)) {
            Some(on) => *on = true,
            None => complete = false,
        }
    }
    complete.then_some(read)
}
