//! What a program's own parser and checks ask of a line, as far as a plan can break it. Each rule is
//! named by what the program says: megatron-core 0.19.2 `megatron/training/arguments.py` and
//! `transformer_config.py`; torchtitan 0.3.0's configurations; MindSpeed-LLM's
//! `mindspeed_llm/training/arguments.py` at 501538c6 and the feature files of MindSpeed.

use trace::launch::{Framework, Launch};

/// Every rule the line breaks.
pub fn broken(line: &Launch) -> Vec<String> {
    let said = Said(line.groups.iter().flatten().cloned().collect());
    let mut found: Vec<String> =
        said.0.iter().filter_map(|argument| value_problem(line.framework, argument)).collect();
    for (at, argument) in said.0.iter().enumerate() {
        if said.0[..at].iter().any(|earlier| earlier[0] == argument[0]) {
            found.push(format!("{} is said twice", argument[0]));
        }
    }
    let rules = match line.framework {
        Framework::Megatron => megatron(&said),
        Framework::MindSpeed => [megatron(&said), mindspeed(&said)].concat(),
        Framework::TorchTitan => torchtitan(&said),
    };
    let wrong = rules.into_iter().filter(|(_, holds)| !holds);
    found.extend(wrong.map(|(rule, _)| format!("{}: {rule}", line.framework.word())));
    found
}

/// A rule in words and whether the line keeps it.
type Rule = (&'static str, bool);

struct Said(Vec<Vec<String>>);

impl Said {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument[0] == name)
    }

    fn word(&self, name: &str) -> &str {
        let found = self.0.iter().find(|argument| argument[0] == name);
        found.and_then(|argument| argument.get(1)).map_or("", String::as_str)
    }

    /// A number; 1 if the argument is not there.
    fn number(&self, name: &str) -> u64 {
        self.word(name).parse().unwrap_or(1)
    }

    /// If the first is there, so is the second.
    fn needs(&self, name: &str, other: &str) -> bool {
        !self.has(name) || self.has(other)
    }

    fn bars(&self, name: &str, other: &str) -> bool {
        !(self.has(name) && self.has(other))
    }
}

/// What is wrong with an argument by itself: its name, how many values, and of what kind.
fn value_problem(framework: Framework, argument: &[String]) -> Option<String> {
    let (name, values) = argument.split_first()?;
    let Some(takes) = framework.takes(name) else {
        return Some(format!("{name} is no argument of {}", framework.word()));
    };
    let (kind, many) = match takes.strip_suffix(['+', '*', '?']) {
        Some(kind) => (kind, &takes[kind.len()..]),
        None => (takes, ""),
    };
    let counts = match (kind, many) {
        ("", _) => 0..=0,
        (_, "") => 1..=1,
        (_, "+") => 1..=usize::MAX,
        (_, "?") => 0..=1,
        _ => 0..=usize::MAX,
    };
    // A variable is the user's to set.
    let fits = |value: &String| match kind {
        _ if value.starts_with('$') => true,
        "int" => value.parse::<i64>().is_ok(),
        "float" => value.parse::<f64>().is_ok(),
        "text" => !value.is_empty(),
        choices => choices.split('|').any(|choice| choice == value),
    };
    let wrong = !counts.contains(&values.len()) || !values.iter().all(fits);
    wrong.then(|| format!("{name} {values:?} is not `{takes}`"))
}

/// Rules of Megatron-LM that MindSpeed-LLM's lines are held to as well.
fn megatron(said: &Said) -> Vec<Rule> {
    let n = |name: &str| said.number(name);
    let (tensor, context) = (n("--tensor-model-parallel-size"), n("--context-parallel-size"));
    let pipeline = n("--pipeline-model-parallel-size");
    let cuts = [
        "--num-layers-per-virtual-pipeline-stage",
        "--num-virtual-stages-per-pipeline-rank",
        "--pipeline-model-parallel-layout",
    ];
    let interleaved = cuts[..2].iter().any(|name| said.has(name));
    let cut = said.has("--num-layer-list") || said.has(cuts[2]);
    let full = said.word("--recompute-granularity") == "full";
    let fsdp = said.has("--use-megatron-fsdp");
    let variant = said.word("--experimental-attention-variant");
    let chunks = n("--num-virtual-stages-per-pipeline-rank");
    vec![
        ("one way to cut stages", cuts.iter().filter(|name| said.has(name)).count() <= 1),
        (
            "layers divide over stages unless a cut is said",
            cut || n("--num-layers").is_multiple_of(pipeline * chunks),
        ),
        (
            "interleaving without overlapped sends needs more than two ranks",
            !(interleaved && said.has("--no-overlap-p2p-communication")) || pipeline > 2,
        ),
        (
            "gathering overlaps only beside reducing",
            said.needs("--overlap-param-gather", "--overlap-grad-reduce"),
        ),
        (
            "gathering overlaps only with a sharded optimizer",
            said.needs("--overlap-param-gather", "--use-distributed-optimizer"),
        ),
        (
            "tensor exchange overlaps with sequence parallelism only",
            !said.has("--tp-comm-overlap") || (said.has("--sequence-parallel") && tensor > 1),
        ),
        ("blocks are recomputed by a method", !full || said.has("--recompute-method")),
        ("only whole blocks have a method", full || !said.has("--recompute-method")),
        (
            "modules are recomputed selectively",
            !said.has("--recompute-modules") || said.word("--recompute-granularity") == "selective",
        ),
        ("graphs do not hold recomputed blocks", !full || !said.has("--cuda-graph-impl")),
        (
            "the loss fusion of Transformer Engine is refused",
            said.word("--cross-entropy-fusion-impl") != "te",
        ),
        ("FSDP wants its checkpoint format", !fsdp || said.word("--ckpt-format") == "fsdp_dtensor"),
        ("FSDP has no Muon", !fsdp || said.word("--optimizer") != "muon"),
        (
            "experts are exchanged between experts' ranks only",
            !said.has("--overlap-moe-expert-parallel-comm")
                || n("--expert-model-parallel-size") > 1,
        ),
        ("sparse attention rotates apart", variant != "dsa" || said.has("--no-rope-fusion")),
        (
            "sparse attention gathers its context",
            variant != "dsa" || context == 1 || said.word("--cp-comm-type") == "allgather",
        ),
        (
            "a sequence divides into twice the context ranks",
            context == 1 || n("--seq-length").is_multiple_of(2 * context),
        ),
        ("positions reach the sequence's end", n("--max-position-embeddings") >= n("--seq-length")),
        (
            "experts divide over their ranks",
            n("--num-experts").is_multiple_of(n("--expert-model-parallel-size"))
                || !said.has("--num-experts"),
        ),
        (
            "latent attention has no query groups",
            said.bars("--multi-latent-attention", "--group-query-attention"),
        ),
        ("one low format", said.bars("--fp8-format", "--fp4-format")),
        ("no dropout is modelled", said.word("--hidden-dropout") == "0.0"),
        (
            "experts cut over tensor ranks have no biases",
            n("--expert-tensor-parallel-size") == 1 || said.has("--disable-bias-linear"),
        ),
    ]
}

fn mindspeed(said: &Said) -> Vec<Rule> {
    let n = |name: &str| said.number(name);
    let dual = said.word("--schedules-method") == "dualpipev";
    let pipeline = n("--pipeline-model-parallel-size");
    let stages = if dual { 2 * pipeline } else { pipeline };
    let side_by_side = said.has("--moe-fb-overlap");
    let each = "--num-layers-per-virtual-pipeline-stage";
    let uniform = said.word("--recompute-method") == "uniform";
    let selective = said.word("--recompute-granularity") == "selective";
    let own = said.has("--recompute-norm") || said.has("--recompute-activation-function");
    let list = said.word("--num-layer-list");
    let parts: Vec<u64> = list.split(',').filter_map(|part| part.parse().ok()).collect();
    vec![
        ("dualpipev bars overlapped reducing", !dual || !said.has("--overlap-grad-reduce")),
        ("dualpipev bars context ranks", !dual || n("--context-parallel-size") == 1),
        ("dualpipev bars virtual stages", !dual || !said.has(each)),
        ("dualpipev bars a list of layers", !dual || list.is_empty()),
        ("dualpipev has a pipeline", !dual || pipeline > 1),
        (
            "dualpipev has a head of its own",
            !dual || said.has("--untie-embeddings-and-output-weights"),
        ),
        (
            "layers divide over dualpipev's stages",
            !dual || n("--num-layers").is_multiple_of(stages),
        ),
        (
            "side by side bars overlapped reducing",
            said.bars("--moe-fb-overlap", "--overlap-grad-reduce"),
        ),
        (
            "side by side wants whole experts on several ranks",
            !side_by_side
                || (n("--expert-tensor-parallel-size") == 1
                    && n("--expert-model-parallel-size") > 1),
        ),
        (
            "side by side wants grouped products",
            said.needs("--moe-fb-overlap", "--moe-grouped-gemm"),
        ),
        (
            "one overlap of the experts",
            said.bars("--moe-fb-overlap", "--moe-alltoall-overlap-comm"),
        ),
        (
            "overlapped experts want grouped products",
            said.needs("--moe-alltoall-overlap-comm", "--moe-grouped-gemm"),
        ),
        ("MC2 bars experts", said.bars("--use-ascend-mc2", "--num-experts")),
        (
            "MC2 wants sequence parallelism over tensor ranks",
            !said.has("--use-ascend-mc2")
                || (said.has("--sequence-parallel") && n("--tensor-model-parallel-size") > 1),
        ),
        ("norms are not recomputed in uniform blocks", !(own && uniform)),
        ("norms are not recomputed beside selective recomputation", !(own && selective)),
        (
            "the up-projection is recomputed where its exchange overlaps",
            said.needs("--recompute-mla-up-proj", "--mla-up-proj-tp-overlap")
                && said.needs("--mla-up-proj-tp-overlap", "--mla-mm-split")
                && said.needs("--mla-up-proj-tp-overlap", "--sequence-parallel"),
        ),
        (
            "a list of layers says each rank's, and all",
            list.is_empty()
                || (parts.len() as u64 == pipeline
                    && parts.iter().sum::<u64>() == n("--num-layers")),
        ),
        ("a list of layers bars virtual stages", said.bars("--num-layer-list", each)),
        ("a list of layers bars empty ones", said.bars("--num-layer-list", "--noop-layers")),
        (
            "virtual stages divide a rank's layers, and are several",
            !said.has(each)
                || (n("--num-layers").is_multiple_of(pipeline * n(each))
                    && n("--num-layers") > pipeline * n(each)),
        ),
        (
            "windows bar context ranks",
            !said.has("--sliding-window") || n("--context-parallel-size") == 1,
        ),
        (
            "experts' own arguments want experts",
            said.needs("--first-k-dense-replace", "--num-experts"),
        ),
        ("fused norms are RMS norms", {
            !said.has("--use-fused-rmsnorm") || said.word("--normalization") == "RMSNorm"
        }),
        ("fused SwiGLU is SwiGLU", said.needs("--use-fused-swiglu", "--swiglu")),
    ]
}

fn torchtitan(said: &Said) -> Vec<Rule> {
    let n = |name: &str| said.number(&format!("--{name}"));
    let pipeline = n("parallelism.pipeline_parallel_degree");
    let micro = n("parallelism.pipeline_parallel_microbatch_size");
    let each = "--parallelism.pipeline_parallel_layers_per_stage";
    let schedule = said.word("--parallelism.pipeline_parallel_schedule");
    let single = ["1F1B", "GPipe"].contains(&schedule);
    vec![
        (
            "tensor exchange overlaps in compiled models only",
            said.needs("--compile.enable_async_tensor_parallel", "--compile.enable"),
        ),
        (
            "graphs hold no exchange between experts",
            !said.has("--training.no_disable_cuda_graphs")
                || n("parallelism.expert_parallel_degree") == 1,
        ),
        ("a pipeline has a schedule", pipeline == 1 || !schedule.is_empty()),
        (
            "a batch divides into micro-batches",
            pipeline == 1 || n("training.local_batch_size").is_multiple_of(micro),
        ),
        ("a schedule of one stage a rank says no more", !single || pipeline > 1 || !said.has(each)),
    ]
}
