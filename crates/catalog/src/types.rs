//! The things of the catalog, typed.

use std::collections::BTreeMap;
use units::Figure;

/// Number formats of matrix units and stored tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// IEEE single.
    Fp32,
    /// 19-bit matrix format of single-precision inputs (TF32, HF32).
    Tf32,
    /// bfloat16.
    Bf16,
    /// IEEE half.
    Fp16,
    /// 8-bit float (FP8, MXFP8, `HiF8`).
    Fp8,
    /// 4-bit float (MXFP4, NVFP4, `HiF4`).
    Fp4,
    /// 8-bit integer.
    Int8,
}

impl Dtype {
    /// Every format with its word.
    pub const WORDS: [(Self, &'static str); 7] = [
        (Self::Fp32, "fp32"),
        (Self::Tf32, "tf32"),
        (Self::Bf16, "bf16"),
        (Self::Fp16, "fp16"),
        (Self::Fp8, "fp8"),
        (Self::Fp4, "fp4"),
        (Self::Int8, "int8"),
    ];

    /// Bytes of one stored element.
    pub fn bytes(self) -> f64 {
        match self {
            Self::Fp32 | Self::Tf32 => 4.0,
            Self::Bf16 | Self::Fp16 => 2.0,
            Self::Fp8 | Self::Int8 => 1.0,
            Self::Fp4 => 0.5,
        }
    }

    /// The word used in files and output.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(d, _)| *d == self).map_or("?", |(_, w)| w)
    }
}

/// One accelerator as a rank sees it (for the 910C: one die).
#[derive(Clone, Debug, PartialEq)]
pub struct Chip {
    /// File name without ending.
    pub id: String,
    /// Name as printed by the maker.
    pub name: String,
    /// Maker.
    pub vendor: String,
    /// Family whose calibration a chip without its own borrows: `ascend`, `ampere`, `hopper`,
    /// `blackwell`, `tpu`.
    pub family: String,
    /// Dense matrix peak by format. FLOP/s.
    pub matrix: BTreeMap<Dtype, Figure>,
    /// Vector peak at FP32. FLOP/s.
    pub vector: Figure,
    /// HBM capacity. Bytes.
    pub memory: Figure,
    /// HBM bandwidth. Bytes/s.
    pub memory_bandwidth: Figure,
    /// Share of the matrix rate of kernels measured one at a time that is kept when they follow each
    /// other for minutes: clocks fall at the power limit.
    pub sustained: Figure,
    /// Standard deviation of the speed of chips of this type at the same work, over their mean: a
    /// synchronous step runs at the speed of its slowest chip.
    pub spread: Figure,
    /// Share of the matrix and vector units that communication kernels occupy while they overlap
    /// with compute (0 where an engine does it).
    pub communication_cores: Figure,
    /// Copies between the chip's memory and its host's, one way; `None` where nothing is stated.
    /// Bytes/s.
    pub host_link: Option<Figure>,
    /// Power of the package under load. Watts.
    pub power: Option<Figure>,
    /// Purchase price. USD.
    pub price: Option<Figure>,
    /// Rental. USD/h.
    pub rental: Option<Figure>,
}

/// How the members of one level are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wiring {
    /// A direct link between every two members; a member's bandwidth is the sum over its links.
    FullMesh,
    /// One or more tiers of switches, any pair at full rate unless oversubscribed.
    Switch,
    /// A ring or torus; a member's bandwidth is the sum over its links.
    Torus,
}

/// Groups for which a library uses switches at the same time as the full meshes below them, whose ports
/// are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concurrent {
    /// None.
    Never,
    /// Those that go on through the switches (HCCL's two-dimension parallel algorithm).
    Beyond,
    /// Those inside the meshes as well (HCCL's concurrent algorithm).
    Anywhere,
}

/// One level of a cluster's fabric, innermost first.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// `board`, `rack`, `pod`, `scale-out`.
    pub name: String,
    /// How members are joined.
    pub wiring: Wiring,
    /// Chips in one instance of this level (cumulative); the last may be the whole cluster.
    pub size: u64,
    /// Raw bandwidth of one chip into this level, one direction. Bytes/s.
    pub bandwidth: Figure,
    /// Share of the raw bandwidth that large messages reach.
    pub utilisation: Figure,
    /// Time of one collective step or message, end to end, without bytes. Seconds.
    pub latency: Figure,
    /// Down-to-up ratio above this level's non-blocking part; 1 is non-blocking.
    pub oversubscription: Figure,
    /// Whether switches reduce in flight (NVLS, SHARP).
    pub in_network_reduction: bool,
    /// Channels the library's in-switch reduction runs on inside one instance, and where the group
    /// goes on beyond it; 0 if not known (NCCL's NVLS channels).
    pub reduction_channels: [u64; 2],
    /// How it is cabled, for the graph.
    pub cabling: Cabling,
}

/// What the graph of a level needs beyond its link class.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cabling {
    /// Switches side by side over every chip, each with its share of the bandwidth.
    pub planes: u64,
    /// Physical ports of a chip that this level takes, if known.
    pub ports: Option<u64>,
    /// Whether it is reached through the switches of the level below, without ports of its own.
    pub trunk: bool,
    /// Switches above those of the level below, in each plane of a trunk.
    pub spines: u64,
    /// Whether chips at the same place of each instance below share a switch.
    pub rails: bool,
    /// Sizes of a torus, innermost first; empty if not given.
    pub dims: Vec<u64>,
    /// Whether a full mesh also sends through members that are neither sender nor receiver
    /// (UB-Mesh's detour).
    pub detour: bool,
    /// Whether a full mesh also sends over the switches of the next switched level (UB-Mesh's
    /// borrow).
    pub borrow: bool,
    /// Whether and for whom the library uses these switches at the same time as the full meshes below.
    pub concurrent: Concurrent,
}

impl Default for Cabling {
    fn default() -> Self {
        Self {
            planes: 1,
            ports: None,
            trunk: false,
            spines: 1,
            rails: false,
            dims: Vec::new(),
            detour: false,
            borrow: false,
            concurrent: Concurrent::Never,
        }
    }
}

/// Chips joined by a fabric: a pod, or pods joined by a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// File name without ending.
    pub id: String,
    /// Name.
    pub name: String,
    /// The chip.
    pub chip: Chip,
    /// Chips (ranks) in the cluster as described.
    pub chips: u64,
    /// Fabric levels, innermost first; sizes grow; the last spans the cluster.
    pub levels: Vec<Level>,
    /// Ports of one chip, if known; the levels' ports must fit.
    pub ports: Option<u64>,
    /// Chips of one host (server or tray), if stated.
    pub chips_per_host: Option<u64>,
    /// Power of everything but the chips, per chip. Watts.
    pub overhead_power: Option<Figure>,
}

/// One length stage of a training run.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Sequence length in tokens.
    pub sequence: u64,
    /// Share of the run's tokens trained at this length (shares sum to 1).
    pub share: Figure,
}

/// Optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// `AdamW` for everything.
    AdamW,
    /// Muon for matrices, `AdamW` for the rest.
    Muon {
        /// Newton-Schulz iterations.
        iterations: u64,
    },
}

/// Number formats of one training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Projections, dense and shared feed-forward.
    pub linear: Dtype,
    /// Routed experts.
    pub expert: Dtype,
    /// Attention core.
    pub attention: Dtype,
    /// Indexer scores.
    pub indexer: Dtype,
    /// Router, compressors, hyper-connection projections.
    pub sensitive: Dtype,
    /// Output head.
    pub head: Dtype,
    /// Weights as kept for compute.
    pub weights: Dtype,
    /// Gradient accumulation.
    pub gradients: Dtype,
    /// Gradients on the wire.
    pub gradient_wire: Dtype,
    /// Master weights.
    pub master: Dtype,
    /// Optimizer moments.
    pub moments: Dtype,
    /// Saved activations.
    pub activations: Dtype,
    /// Saved inputs of linear layers.
    pub linear_inputs: Dtype,
    /// Saved inputs of experts.
    pub expert_inputs: Dtype,
    /// Rows gathered over the tensor group before a product, if not as saved activations are: FP8
    /// where they are cast before they are sent.
    pub tensor_gather: Dtype,
    /// Expert dispatch on the wire.
    pub dispatch: Dtype,
    /// Expert combine on the wire.
    pub combine: Dtype,
}

/// What is trained, for how long, in which precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// File name without ending.
    pub id: String,
    /// Model id it belongs to.
    pub model: String,
    /// Tokens of the run.
    pub tokens: Figure,
    /// Tokens of one optimizer step at full batch.
    pub batch_tokens: Figure,
    /// Length stages in order.
    pub stages: Vec<Stage>,
    /// Number formats.
    pub precision: Precision,
    /// Where the formats are stated, and what of them is assumed.
    pub precision_note: Figure,
    /// Optimizer.
    pub optimizer: Optimizer,
}
