//! What comes before the first block and after the last: embedding, head, MTP, pipeline boundary.

use super::rank::{self, Rank, Traffic};
use super::{Wire, block, hyper};
use crate::{
    Architecture, Axis, Class, Collective, Layer, Operator, Residual, Role, Shard, Step, Work,
};

/// Steps of the embedding on the first stage: look-up, learned positions, streams.
///
/// The table is cut by vocabulary over `tensor`: each rank looks up what it holds and the rows are
/// summed. The table's gradient is added to in FP32.
pub fn embedding_steps(arch: &Architecture, shard: &Shard, wire: &Wire) -> Vec<Step> {
    let mut rank = Rank::new(arch, shard, wire);
    look_up(&mut rank);
    if let Residual::Hyper { streams, .. } = arch.residual {
        let elements = rank.rows * rank.hidden * (streams as f64 + 1.0);
        let flops = 0.0;
        let expand =
            Traffic { forward: elements, backward: elements, flops, launches: 1.0, tag: None };
        rank.memory("hyper_expand", Class::HyperConnection, expand);
    }
    rank.steps
}

fn look_up(rank: &mut Rank) {
    let elements = rank.tokens * rank.hidden;
    let positions = if rank.arch.learned_positions > 0 { 3.0 } else { 0.0 };
    let traffic = Traffic {
        forward: (2.0 + positions) * elements,
        // Reads the gradient, reads and writes the FP32 sum.
        backward: (5.0 + positions) * elements,
        flops: 0.0,
        launches: if positions > 0.0 { 2.0 } else { 1.0 },
        tag: None,
    };
    rank.memory("embedding", Class::Embedding, traffic);
    let bytes = rank.tokens * rank.hidden * rank.wire.activation_bytes;
    if rank.shard.tensor == 1 {
        return;
    }
    let (forward, backward) = if rank.shard.sequence_parallel {
        ((Collective::ReduceScatter, bytes), (Collective::AllGather, bytes))
    } else {
        // The gradient is whole on every rank.
        ((Collective::AllReduce, bytes), (Collective::AllReduce, 0.0))
    };
    rank.exchange("tp_embedding", Axis::Tensor, forward, backward);
}

/// Steps of the head on the last stage: collapse of the streams, final norm, logits, loss.
///
/// The loss is Megatron's vocabulary-parallel cross-entropy with FP32 logits, kernel by kernel: 38
/// bytes a logit forward (cast 6, maximum 4, difference 8, exponential 8, sum 4, division 8), 14
/// backward (scale in place 8, cast 6). A plan with a fused loss replaces it by [`fused_loss`].
pub fn head_steps(arch: &Architecture, shard: &Shard, wire: &Wire) -> Vec<Step> {
    let mut rank = Rank::new(arch, shard, wire);
    head(&mut rank);
    rank.steps
}

fn head(rank: &mut Rank) {
    if let Residual::Hyper { streams, .. } = rank.arch.residual {
        hyper::head(rank, streams as f64);
    }
    rank.norm("final_norm", rank.rows, rank.hidden);
    let (tokens, hidden) = (rank.tokens, rank.hidden);
    let bytes = tokens * hidden * rank.wire.activation_bytes;
    if rank.shard.tensor > 1 && rank.shard.sequence_parallel {
        // In 16 bits, whatever the products of the blocks gather.
        let gather = (Collective::AllGather, bytes);
        rank.exchange("tp_head_in", Axis::Tensor, gather, (Collective::ReduceScatter, bytes));
    } else if rank.shard.tensor > 1 {
        // Only the gradient of the replicated input is summed.
        let reduce = Collective::AllReduce;
        rank.exchange("tp_head_in", Axis::Tensor, (reduce, 0.0), (reduce, bytes));
    }
    let vocab = rank.arch.vocab as f64 / rank.tensor;
    rank.gemm("head", Class::Head, Role::Head, None, (tokens, vocab, hidden));
    let logits = tokens * vocab;
    let loss = Traffic {
        forward: 19.0 * logits,
        backward: 7.0 * logits,
        flops: 5.0 * logits,
        launches: 6.0,
        tag: None,
    };
    rank.memory("loss", Class::Head, loss);
    if rank.shard.tensor > 1 {
        // Maximum, target's logit and sum of exponentials of each token, FP32.
        let reduce = Collective::AllReduce;
        rank.exchange("tp_loss", Axis::Tensor, (reduce, 3.0 * 4.0 * tokens), (reduce, 0.0));
    }
}

/// The loss as one fused kernel each way in place of `loss`: 16-bit logits are read twice and
/// overwritten by their gradient forward (6 bytes a logit), scaled backward (4).
pub fn fused_loss(loss: &Operator) -> Operator {
    let Work::Memory { bytes, flops, .. } = loss.work else { return loss.clone() };
    let logits = bytes / 38.0;
    let work = Work::Memory { bytes: 6.0 * logits, backward_bytes: 4.0 * logits, flops };
    Operator { work, launches: 1.0, ..loss.clone() }
}

/// Steps of one multi-token-prediction block: its own embedding look-up, two norms, the two
/// projections joining embedding and hidden state (the latter on each stream), a block, and the
/// shared head once more.
///
/// The projections are not cut over `tensor`; they work on a rank's own rows.
pub fn mtp_steps(arch: &Architecture, layer: &Layer, shard: &Shard, wire: &Wire) -> Vec<Step> {
    let mut rank = Rank::new(arch, shard, wire);
    let (rows, hidden) = (rank.rows, rank.hidden);
    let streams = rank::streams(arch);
    look_up(&mut rank);
    rank.norm("mtp_embedding_norm", rows, hidden);
    rank.norm("mtp_hidden_norm", rows * streams, hidden);
    rank.linear("mtp_e_proj", None, rows, hidden, hidden);
    rank.linear("mtp_h_proj", None, rows * streams, hidden, hidden);
    block(&mut rank, layer);
    head(&mut rank);
    rank.steps
}

/// Bytes a rank sends to the next pipeline stage for one micro-batch, and receives back as gradient.
///
/// Rows · d · streams · bytes: 57,344 a token for DeepSeek-V4-Pro in BF16. Each token of a tensor group
/// is sent once, with or without sequence parallelism (the scatter-gather of arXiv 2104.04473, section
/// 4.1); putting it together again inside the node is left out.
pub fn boundary_bytes(arch: &Architecture, shard: &Shard, wire: &Wire) -> f64 {
    let width = arch.hidden as f64 * rank::streams(arch);
    rank::tokens(shard) / shard.tensor as f64 * width * wire.activation_bytes
}
