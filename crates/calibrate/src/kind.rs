//! Which operator a table measures, read from its columns.

use crate::table::Table;
use diagnostic::{Diagnostic, Diagnostics};

/// What a table measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Dense products.
    Gemm,
    /// Causal attention, forward.
    Attention,
    /// Causal attention as trained, forward and backward.
    Training,
    /// Latent attention's core, forward.
    Mla,
    /// Routed experts of one rank.
    Moe,
    /// Dispatch, experts and combine in one kernel.
    MegaMoe,
    /// Collectives of one scale-up domain.
    Collectives,
    /// Dispatch to experts and combine, by cores used.
    DeepEp,
    /// Hyper-connections.
    Mhc,
    /// DeepSeek-V4's attention modules: CSA by a ratio of 4, HCA by 128.
    Compressed,
    /// Efficiencies of products, experts and attention, forward and backward, as `SimuMax` prints.
    Efficiencies,
    /// All-reduce times by bytes, as vTrain prints.
    AllReduce,
}

/// Where the columns of every table stand.
pub(crate) const PAGE: &str = "columns and words: the book's page `Formats of other tools`, section \
                               `Measured kernels` (docs/src/reference/formats.md)";

/// Kinds with their word and columns, those with the most telling columns first.
const KINDS: [(Kind, &str, &[&str]); 12] = [
    (
        Kind::Compressed,
        "v4_csa, v4_hca",
        &[
            "model",
            "gemm_type",
            "num_heads",
            "batch_size",
            "seq_len",
            "tp_size",
            "prefix_len",
            "compress_ratio",
            "latency_ms",
        ],
    ),
    (
        Kind::MegaMoe,
        "megamoe",
        &[
            "moe_dtype",
            "num_tokens",
            "global_num_tokens",
            "hidden_size",
            "inter_size",
            "topk",
            "num_experts",
            "moe_ep_size",
            "distribution",
            "latency_ms",
        ],
    ),
    (
        Kind::Moe,
        "moe",
        &[
            "kernel_source",
            "dtype",
            "num_tokens",
            "hidden_size",
            "inter_size",
            "topk",
            "num_experts",
            "moe_tp_size",
            "moe_ep_size",
            "distribution",
            "latency_ms",
        ],
    ),
    (
        Kind::Training,
        "training attention",
        &[
            "dtype",
            "pass",
            "batch_size",
            "seq_len",
            "num_heads",
            "num_kv_heads",
            "head_dim_qk",
            "head_dim_v",
            "window_size",
            "latency_ms",
        ],
    ),
    (
        Kind::Attention,
        "attention",
        &[
            "dtype",
            "batch_size",
            "seq_len",
            "num_heads",
            "num_kv_heads",
            "head_dim",
            "window_size",
            "latency_ms",
        ],
    ),
    (
        Kind::Mla,
        "mla",
        &["dtype", "kv_cache_dtype", "num_heads", "batch_size", "seq_len", "latency_ms"],
    ),
    (
        Kind::DeepEp,
        "deepep",
        &[
            "node_num",
            "hidden_size",
            "num_token",
            "num_topk",
            "num_experts",
            "dispatch_sms",
            "dispatch_transmit_us",
            "combine_sms",
            "combine_transmit_us",
        ],
    ),
    (
        Kind::Mhc,
        "mhc",
        &["op_name", "num_tokens", "num_sites", "hc_mult", "hidden_size", "latency_ms"],
    ),
    (Kind::Collectives, "nccl", &["collective", "dtype", "num_gpus", "message_size", "latency_ms"]),
    (Kind::Efficiencies, "ops", &["op", "peak_tflops", "shape", "efficiency"]),
    (Kind::AllReduce, "all-reduce", &["num_gpus", "bytes", "time_ns"]),
    (Kind::Gemm, "gemm", &["dtype", "m", "n", "k", "latency_ms"]),
];

/// Refuses a table of several chips: a calibration is of one, and shares of its own peaks.
///
/// # Errors
/// The values of the column that tells chips apart.
pub(crate) fn one_chip(table: &Table) -> Result<(), Diagnostics> {
    for column in ["chip", "accelerator"] {
        let Ok(words) = table.word(column) else { continue };
        let mut chips: Vec<&str> = words.iter().map(String::as_str).collect();
        chips.sort_unstable();
        chips.dedup();
        if chips.len() > 1 {
            let message =
                format!("rows of {} chips in column `{column}`: {}", chips.len(), chips.join(", "));
            return Err(Diagnostic::error("calibrate::chips", message)
                .at(&table.file, 0..0)
                .hint("a calibration is of one chip: keep the rows of the one that `--chip` names")
                .into());
        }
    }
    Ok(())
}

impl Kind {
    /// What tables can measure: a word for it, and the columns that tell it.
    ///
    /// ```
    /// let gemm = calibrate::Kind::tables().find(|(word, _)| *word == "gemm").expect("products");
    /// assert_eq!(gemm.1, ["dtype", "m", "n", "k", "latency_ms"]);
    /// ```
    pub fn tables() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
        KINDS.iter().map(|(_, word, columns)| (*word, *columns))
    }

    /// The kind whose columns are all there.
    ///
    /// # Errors
    /// None: the columns missing for the nearest kind.
    pub fn of(table: &Table) -> Result<Self, Diagnostics> {
        let lacks = |columns: &[&str]| columns.iter().filter(|c| !table.has(c)).count();
        if let Some(found) = KINDS.iter().find(|(_, _, columns)| lacks(columns) == 0) {
            return Ok(found.0);
        }
        // Nearest: the largest share of its columns present, and of those the most columns.
        let share = |c: &[&str]| (c.len() - lacks(c)) as f64 / c.len() as f64;
        let nearest = KINDS
            .iter()
            .max_by(|a, b| share(a.2).total_cmp(&share(b.2)).then(a.2.len().cmp(&b.2.len())));
        let Some((_, word, columns)) = nearest.filter(|(_, _, columns)| share(columns) >= 0.5)
        else {
            let words: Vec<&str> = KINDS.iter().map(|k| k.1).collect();
            let columns =
                |kind| KINDS.iter().find(|k| k.0 == kind).map_or(String::new(), |k| k.2.join(", "));
            let nearer = if table.has("collective") {
                format!("collectives have the columns {}; ", columns(Self::Collectives))
            } else {
                String::new()
            };
            return Err(Diagnostic::error(
                "calibrate::kind",
                format!("the columns are of no known table: {}", table.names().join(", ")),
            )
            .at(&table.file, 0..0)
            .hint(format!("{nearer}tables are read of {}; {PAGE}", words.join(", ")))
            .into());
        };
        let missing = columns.iter().filter(|c| !table.has(c)).map(|c| {
            Diagnostic::error("calibrate::column", format!("no column `{c}`"))
                .at(&table.file, 0..0)
                .hint(format!("a table of {word} has the columns {}", columns.join(", ")))
        });
        Err(Diagnostics(missing.collect()))
    }

    /// Columns that hold measured times, with their unit in seconds.
    pub(crate) fn times(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::DeepEp => &[("dispatch_transmit_us", 1e-6), ("combine_transmit_us", 1e-6)],
            Self::Efficiencies => &[("efficiency", 1.0)],
            Self::AllReduce => &[("time_ns", 1e-9)],
            _ => &[("latency_ms", 1e-3)],
        }
    }

    /// Columns that say nothing of what was measured.
    pub(crate) fn results(self) -> &'static [&'static str] {
        match self {
            Self::DeepEp => &["dispatch_transmit_us", "combine_transmit_us"],
            Self::Efficiencies => &["efficiency"],
            Self::AllReduce => &["time_ns", "busbw_gb_s"],
            _ => &["latency_ms", "algbw_gb_s", "busbw_gb_s"],
        }
    }

    /// Columns that must hold whole numbers from 1 on.
    pub(crate) fn counts(self) -> &'static [&'static str] {
        match self {
            Self::Gemm => &["m", "n", "k"],
            Self::Attention => &["batch_size", "seq_len", "num_heads", "num_kv_heads", "head_dim"],
            Self::Training => {
                &["batch_size", "seq_len", "num_heads", "num_kv_heads", "head_dim_qk", "head_dim_v"]
            }
            Self::Mla => &["num_heads", "batch_size", "seq_len"],
            Self::Moe => &[
                "num_tokens",
                "hidden_size",
                "inter_size",
                "topk",
                "num_experts",
                "moe_tp_size",
                "moe_ep_size",
            ],
            Self::MegaMoe => {
                &["num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_ep_size"]
            }
            Self::Collectives => &["num_gpus", "message_size"],
            Self::DeepEp => {
                &["hidden_size", "num_token", "num_topk", "dispatch_sms", "combine_sms", "node_num"]
            }
            Self::Mhc => &["num_tokens", "num_sites", "hc_mult", "hidden_size"],
            Self::Compressed => {
                &["num_heads", "batch_size", "seq_len", "tp_size", "compress_ratio"]
            }
            Self::Efficiencies => &[],
            Self::AllReduce => &["num_gpus", "bytes"],
        }
    }
}
