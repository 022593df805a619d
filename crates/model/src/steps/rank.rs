//! One rank's share of a micro-batch, and short ways to write down what it does.

use super::Wire;
use crate::{
    Architecture, Axis, Class, Collective, Exchange, Norm, Operator, Residual, Role, Shard, Step,
    Tag, Work,
};

/// Bytes of an activation in memory between kernels. BF16 in every recipe modelled: FP8 copies are
/// made by the kernels that read them.
pub(super) const ACTIVATION_BYTES: f64 = 2.0;

/// Collects the steps of one rank.
pub(super) struct Rank<'a> {
    pub arch: &'a Architecture,
    pub shard: &'a Shard,
    pub wire: &'a Wire,
    /// Width of the residual stream.
    pub hidden: f64,
    /// Tokens this rank attends from: its part of the context.
    pub tokens: f64,
    /// Rows of the residual stream on this rank: `tokens`, over `tensor` with sequence parallelism.
    pub rows: f64,
    /// Degrees as numbers.
    pub tensor: f64,
    pub context: f64,
    pub steps: Vec<Step>,
}

impl<'a> Rank<'a> {
    pub fn new(arch: &'a Architecture, shard: &'a Shard, wire: &'a Wire) -> Self {
        Self {
            arch,
            shard,
            wire,
            hidden: arch.hidden as f64,
            tokens: tokens(shard),
            rows: rows(shard),
            tensor: shard.tensor as f64,
            context: shard.context as f64,
            steps: Vec::new(),
        }
    }

    /// Rows of the residual stream when each token of the tensor group is counted once: what a rank
    /// dispatches to experts, with or without sequence parallelism.
    pub fn owned_rows(&self) -> f64 {
        self.tokens / self.tensor
    }

    /// A dense product of `m` tokens from width `k` to width `n`.
    pub fn linear(&mut self, name: &'static str, tag: Option<Tag>, m: f64, n: f64, k: f64) {
        self.gemm(name, Class::Projection, Role::Linear, tag, (m, n, k));
    }

    /// A product with shape (m, n, k); nothing if a side is empty.
    pub fn gemm(
        &mut self,
        name: &'static str,
        class: Class,
        role: Role,
        tag: Option<Tag>,
        (m, n, k): (f64, f64, f64),
    ) {
        if m * n * k > 0.0 {
            let work = Work::Gemm { m, n, k, count: 1.0 };
            self.operator(Operator { name, class, role, work, launches: 1.0, tag });
        }
    }

    /// Memory-bound work: `forward` and `backward` are elements read and written of two bytes each.
    pub fn memory(&mut self, name: &'static str, class: Class, traffic: Traffic) {
        let Traffic { forward, backward, flops, launches, tag } = traffic;
        let work = Work::Memory {
            bytes: forward * ACTIVATION_BYTES,
            backward_bytes: backward * ACTIVATION_BYTES,
            flops,
        };
        self.operator(Operator { name, class, role: Role::Sensitive, work, launches, tag });
    }

    /// Work of kernels that move elements one by one, and copies beside them that do not. Of each of
    /// `elements` elements, forward and backward.
    pub fn eager(&mut self, [name, copies]: [&'static str; 2], elements: f64, eager: &Eager) {
        let Eager { class, passes, bytes, copied, launches, tag } = *eager;
        let role = Role::Sensitive;
        let work = Work::Elements {
            bytes: bytes[0] * elements,
            backward_bytes: bytes[1] * elements,
            elements: passes[0] * elements,
            backward_elements: passes[1] * elements,
        };
        self.operator(Operator { name, class, role, work, launches, tag });
        let work = Work::Memory {
            bytes: copied[0] * elements,
            backward_bytes: copied[1] * elements,
            flops: 0.0,
        };
        self.operator(Operator { name: copies, class, role, work, launches: 1.0, tag });
    }

    pub fn operator(&mut self, operator: Operator) {
        self.steps.push(Step::Compute(operator));
    }

    /// A norm of `rows` rows of `width`: reads and writes each once; backward reads the gradient
    /// and the input and writes the input's gradient. 4 operations an element, 7 with mean and bias.
    pub fn norm(&mut self, name: &'static str, rows: f64, width: f64) {
        let Norm { bias, .. } = self.arch.norm;
        let elements = rows * width;
        self.memory(
            name,
            Class::Elementwise,
            Traffic {
                forward: 2.0 * elements,
                backward: 3.0 * elements,
                flops: if bias { 7.0 } else { 4.0 } * elements,
                launches: 1.0,
                tag: Some(Tag::Norm),
            },
        );
    }

    pub fn exchange(&mut self, name: &'static str, axis: Axis, forward: Half, backward: Half) {
        self.steps.push(Step::Exchange(Exchange {
            name,
            axis,
            forward: forward.0,
            forward_bytes: forward.1,
            backward: backward.0,
            backward_bytes: backward.1,
        }));
    }

    /// Gathers `width` elements of every token over the tensor group (sequence parallelism only);
    /// backward sums their gradients back to the owners. The second gather of the saved rows in
    /// the backward pass (arXiv 2205.05198, section 4.2.2) hides under the weight gradient and is
    /// left out.
    pub fn enter_tensor(&mut self, name: &'static str, width: f64) {
        if self.shard.tensor > 1 && self.shard.sequence_parallel {
            let elements = self.tokens * width;
            self.exchange(
                name,
                Axis::Tensor,
                (Collective::AllGather, elements * self.wire.gather_bytes),
                (Collective::ReduceScatter, elements * self.wire.activation_bytes),
            );
        }
    }

    /// Sums the partial outputs of a row-cut product over the tensor group. Without sequence
    /// parallelism the backward all-reduce is the one at the sub-layer's entrance.
    pub fn leave_tensor(&mut self, name: &'static str, width: f64) {
        if self.shard.tensor == 1 {
            return;
        }
        let elements = self.tokens * width;
        let bytes = elements * self.wire.activation_bytes;
        let (forward, backward) = if self.shard.sequence_parallel {
            let gathered = elements * self.wire.gather_bytes;
            (Collective::ReduceScatter, (Collective::AllGather, gathered))
        } else {
            (Collective::AllReduce, (Collective::AllReduce, bytes))
        };
        self.exchange(name, Axis::Tensor, (forward, bytes), backward);
    }

    /// Gathers `elements` of this rank from every rank of the context group. Backward gathers them
    /// again, for they are not kept, and sums their gradients back: two collectives of one size
    /// written as one of twice the size.
    pub fn gather_context(&mut self, name: &'static str, elements: f64) {
        if self.shard.context > 1 {
            let bytes = elements * self.context * self.wire.activation_bytes;
            self.exchange(
                name,
                Axis::Context,
                (Collective::AllGather, bytes),
                (Collective::ReduceScatter, 2.0 * bytes),
            );
        }
    }
}

/// Collective and its size in bytes.
type Half = (Collective, f64);

/// What a memory-bound operator moves.
#[derive(Clone, Copy)]
pub(super) struct Traffic {
    /// Elements read and written forward.
    pub forward: f64,
    /// Elements read and written backward.
    pub backward: f64,
    /// Vector operations forward.
    pub flops: f64,
    /// Kernels forward.
    pub launches: f64,
    /// Recompute tag.
    pub tag: Option<Tag>,
}

/// What eager kernels do with each element, forward and backward.
#[derive(Clone, Copy)]
pub(super) struct Eager {
    /// Part of the step.
    pub class: Class,
    /// Kernels it passes that move elements one by one.
    pub passes: [f64; 2],
    /// Bytes these read and write.
    pub bytes: [f64; 2],
    /// Bytes that joins, casts and sums beside them read and write.
    pub copied: [f64; 2],
    /// Kernels that move elements one by one.
    pub launches: f64,
    /// Recompute tag.
    pub tag: Option<Tag>,
}

/// Tokens of a micro-batch on one rank: its part of the context.
pub(crate) fn tokens(shard: &Shard) -> f64 {
    shard.micro_batch as f64 * shard.sequence as f64 / shard.context as f64
}

/// Rows of the residual stream on one rank.
pub(crate) fn rows(shard: &Shard) -> f64 {
    let tokens = tokens(shard);
    if shard.sequence_parallel { tokens / shard.tensor as f64 } else { tokens }
}

/// Residual streams.
pub(crate) fn streams(arch: &Architecture) -> f64 {
    match arch.residual {
        Residual::Plain => 1.0,
        Residual::Hyper { streams, .. } => streams as f64,
    }
}

/// Key-value heads of one rank: the group replicates them once there are fewer than ranks.
pub(crate) fn local_kv_heads(kv_heads: u64, shard: &Shard) -> f64 {
    (kv_heads as f64 / shard.tensor as f64).max(1.0)
}
