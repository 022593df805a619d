//! What the fit must be told of each chip.

use calibrate::{Machine, Written};
use catalog::Dtype;

/// One chip.
pub struct Spec {
    /// Folder of its measurements.
    pub folder: &'static str,
    /// Calibration id and catalog chip id.
    pub id: &'static str,
    /// What was measured.
    pub name: &'static str,
    /// Family of the catalog.
    pub family: &'static str,
    /// Beginnings of ids of its relatives.
    pub relatives: &'static [&'static str],
    /// Matrix peaks. FLOP/s.
    pub peaks: &'static [(Dtype, f64)],
    /// Memory bandwidth. Bytes/s.
    pub memory: f64,
    /// One direction of a chip's scale-up links. Bytes/s.
    pub link: f64,
    /// Streaming multiprocessors.
    pub cores: f64,
    /// Chip of the training attention's table, and its peaks over this chip's.
    pub training: Option<(&'static str, f64)>,
    /// The same of attention to gathered keys, of several chips.
    pub gathered: &'static [(&'static str, f64)],
    /// Share of its surface, or of the forward rate, that the backward pass of attention reaches:
    /// value, low, high.
    pub attention_backward: (f64, f64, f64),
    /// Origin and derivation of that share.
    pub attention_note: (&'static str, &'static str, &'static str),
}

const FA2: (&str, &str, &str) = (
    "derived",
    "FA2",
    "causal FlashAttention-2 on H100, head 128: 319 TFLOP/s forward (as in the FlashAttention-3 \
     figures) and 257 to 326 forward and backward give 0.74 to 1.0 of the forward rate",
);
const CUDNN: (&str, &str, &str) = (
    "measured",
    "CUDNN",
    "by its own surface; low: deterministic kernels, high: FlashAttention on the same chip",
);

/// Every chip with measured tables. Peaks are dense and as in the catalog's chips.
pub const CHIPS: [Spec; 4] = [
    Spec {
        folder: "a100-sxm",
        id: "a100",
        name: "A100 SXM 80 GB, TensorRT-LLM 1.0.0 kernels",
        family: "ampere",
        relatives: &["a800"],
        peaks: &[(Dtype::Bf16, 312e12)],
        memory: 2.0e12,
        link: 300e9,
        cores: 108.0,
        training: None,
        gathered: &[],
        attention_backward: (0.87, 0.74, 1.0),
        attention_note: FA2,
    },
    Spec {
        folder: "h100-sxm",
        id: "h100",
        name: "H100 SXM 80 GB, TensorRT-LLM 1.3.0rc10 kernels",
        family: "hopper",
        relatives: &["h800", "h200", "h20", "gh200"],
        peaks: &[(Dtype::Bf16, 989e12), (Dtype::Fp8, 1979e12)],
        memory: 3.35e12,
        link: 450e9,
        cores: 132.0,
        training: Some(("H200", 1.0)),
        gathered: &[("H200", 1.0)],
        attention_backward: (1.0, 0.84, 1.15),
        attention_note: CUDNN,
    },
    Spec {
        folder: "b200-sxm",
        id: "b200",
        name: "B200 SXM, TensorRT-LLM 1.3.0rc10 kernels",
        family: "blackwell",
        relatives: &["b300"],
        peaks: &[(Dtype::Bf16, 2.25e15), (Dtype::Fp8, 4.5e15), (Dtype::Fp4, 9e15)],
        memory: 8e12,
        link: 900e9,
        cores: 148.0,
        training: Some(("GB200", 2.5 / 2.25)),
        gathered: &[("GB200", 2.5 / 2.25), ("B200", 1.0)],
        attention_backward: (1.0, 0.84, 1.1),
        attention_note: CUDNN,
    },
    Spec {
        folder: "gb200",
        id: "gb200",
        name: "GB200, TensorRT-LLM 1.3.0rc10 kernels",
        family: "blackwell",
        relatives: &["gb300", "rubin", "vr200"],
        peaks: &[(Dtype::Bf16, 2.5e15), (Dtype::Fp8, 5e15), (Dtype::Fp4, 1e16)],
        memory: 8e12,
        link: 900e9,
        cores: 152.0,
        training: Some(("GB200", 1.0)),
        gathered: &[("GB200", 1.0), ("B200", 2.25 / 2.5)],
        attention_backward: (1.0, 0.84, 1.1),
        attention_note: CUDNN,
    },
];

impl Spec {
    /// The backward share of attention as written.
    pub fn attention(&self) -> Written {
        let (value, low, high) = self.attention_backward;
        let (origin, source, note) = self.attention_note;
        Written::new(value, "", origin, source).range(low, high).note(note)
    }

    /// What its measurements are shares of.
    pub fn machine(&self) -> Machine {
        Machine {
            matrix: self.peaks.iter().copied().collect(),
            memory: self.memory,
            link: self.link,
            cores: Some(self.cores),
            fixed_s: 0.0,
        }
    }
}
