//! What an operator asks of a chip, and where on a surface it lies.

use crate::calibration::Operation;
use catalog::Dtype;
use model::Work;

/// Least width of a shared key-value head whose queries gather their keys: the latent of DeepSeek's
/// sparse attention (V3.2, V4), for which Megatron-LM has no other fused kernels. Kernels of narrower
/// shared heads read whole runs of keys.
const GATHERED_WIDTH: f64 = 512.0;

/// What one pass of an operator asks of the chip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Which surface its efficiency comes from.
    pub operation: Operation,
    /// Coordinates on that surface.
    pub point: [f64; 3],
    /// Surface and coordinates that serve where the calibration has no surface of `operation`, if those
    /// are others.
    pub otherwise: Option<(Operation, [f64; 3])>,
    /// Operations of the matrix units.
    pub matrix_flops: f64,
    /// Operations of the vector units.
    pub vector_flops: f64,
    /// Bytes to and from memory if every operand crosses once.
    pub bytes: f64,
    /// Bytes that bound the time at the rate of a memory-bound kernel, whatever the surface says:
    /// the operands of attention, the accumulator of a weight gradient.
    pub stream_bytes: f64,
}

/// The forward load of `work` with operands in `dtype`.
///
/// Outputs of products are written in two bytes (four from TF32 or FP32 operands), as all
/// frameworks do below a linear layer of FP8. Bytes assume each operand crosses the memory
/// interface once: a lower bound, which the measured efficiency absorbs.
///
/// ```
/// use kernel::load;
/// use model::Work;
/// let l = load(&Work::Gemm { m: 4096.0, n: 8192.0, k: 8192.0, count: 1.0 }, catalog::Dtype::Bf16);
/// assert_eq!(l.matrix_flops, 549_755_813_888.0);
/// assert_eq!(l.bytes, 2.0 * (4096.0 * 8192.0 + 8192.0 * 8192.0 + 4096.0 * 8192.0));
/// ```
pub fn load(work: &Work, dtype: Dtype) -> Load {
    let width = dtype.bytes();
    let out = width.max(2.0);
    let matrix_flops = work.matrix_flops();
    let zero = Load {
        operation: Operation::Memory,
        point: [1.0; 3],
        otherwise: None,
        matrix_flops,
        vector_flops: 0.0,
        bytes: 0.0,
        stream_bytes: 0.0,
    };
    match *work {
        Work::Gemm { m, n, k, count } => Load {
            operation: Operation::Gemm,
            // Independent products of one call fill the chip together.
            point: [m * count, n, k],
            bytes: count * (width * (m * k + k * n) + out * m * n),
            ..zero
        },
        Work::GroupedGemm { groups, rows, n, k } => Load {
            operation: Operation::GroupedGemm,
            // Tiles are cut from n, the loop runs over k: their geometric mean tells both.
            point: [rows / groups, groups, libm::sqrt(n * k)],
            bytes: width * (rows * k + groups * k * n) + out * rows * n,
            ..zero
        },
        Work::Attention { rows, heads, kv_heads, d_qk, d_v, context, keys } => {
            let (wide, dense) = (0.5 * (d_qk + d_v), Operation::Attention);
            let point = [context, rows * heads, wide];
            let gathered = kv_heads == 1.0 && heads > 1.0 && wide >= GATHERED_WIDTH;
            let (operation, point, otherwise) = if gathered {
                (Operation::Gathered, [context, heads, wide], Some((dense, point)))
            } else {
                (dense, point, None)
            };
            let stream_bytes =
                width * (d_qk + d_v) * keys * kv_heads + rows * heads * (width * d_qk + out * d_v);
            Load { operation, point, otherwise, stream_bytes, ..zero }
        }
        // The scores of one query are summed over the heads before they are written, in FP32.
        Work::Scores { rows, heads, dim, context } => Load {
            operation: Operation::Scores,
            point: [context, rows * heads, dim],
            stream_bytes: rows * (heads * dim * width + 4.0 * context),
            ..zero
        },
        Work::Memory { bytes, flops, .. } => Load { bytes, vector_flops: flops, ..zero },
        Work::Elements { bytes, .. } => Load { bytes, ..zero },
    }
}

/// The load of the product that gives the gradient of the weight, \[k,n\] over `m` rows, added to
/// an FP32 accumulator (four bytes read, four written). `None` for an operator without weights.
pub fn weight_load(work: &Work, dtype: Dtype) -> Option<Load> {
    match *work {
        Work::Gemm { m, n, k, count } => {
            let turned = load(&Work::Gemm { m: k, n, k: m, count }, dtype);
            Some(Load { stream_bytes: 8.0 * count * n * k, ..turned })
        }
        Work::GroupedGemm { groups, n, k, .. } => {
            Some(Load { stream_bytes: 8.0 * groups * n * k, ..load(work, dtype) })
        }
        _ => None,
    }
}

/// The load of the product that gives the gradient of the data, or the whole backward of an
/// operator without weights.
pub fn data_load(work: &Work, dtype: Dtype) -> Load {
    match *work {
        Work::Gemm { m, n, k, count } => load(&Work::Gemm { m, n: k, k: n, count }, dtype),
        Work::GroupedGemm { groups, rows, n, k } => {
            load(&Work::GroupedGemm { groups, rows, n: k, k: n }, dtype)
        }
        // Flash attention recomputes the scores: five products where the forward pass has two. It
        // reads q, k, v, the output and its gradient and writes three gradients.
        Work::Attention { .. } => {
            let forward = load(work, dtype);
            let operation = match forward.operation {
                Operation::Gathered => Operation::GatheredBackward,
                _ => Operation::AttentionBackward,
            };
            Load {
                operation,
                otherwise: forward.otherwise.map(|o| (Operation::AttentionBackward, o.1)),
                matrix_flops: 2.5 * forward.matrix_flops,
                bytes: 2.5 * forward.bytes,
                ..forward
            }
        }
        Work::Scores { .. } => {
            let forward = load(work, dtype);
            Load { matrix_flops: 2.0 * forward.matrix_flops, bytes: 2.0 * forward.bytes, ..forward }
        }
        Work::Memory { backward_bytes, flops, .. } => {
            let forward = load(work, dtype);
            Load { bytes: backward_bytes, vector_flops: 2.0 * flops, ..forward }
        }
        Work::Elements { backward_bytes, .. } => {
            Load { bytes: backward_bytes, ..load(work, dtype) }
        }
    }
}
