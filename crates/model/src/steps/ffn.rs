//! Feed-forward sub-layers: dense, and routed experts with their exchanges.

use super::rank::{Eager, Rank, Traffic};
use crate::{Axis, Class, Collective, Ffn, Mlp, Operator, Role, Tag, Work};

/// Bytes of a router score (FP32), in activation elements of two bytes.
const SCORE: f64 = 2.0;

/// Everything from the sub-layer's normalised input to its output.
pub(super) fn ffn(rank: &mut Rank, ffn: &Ffn) {
    match *ffn {
        Ffn::Dense(mlp) => {
            rank.enter_tensor("tp_ffn_in", rank.hidden);
            dense(rank, &mlp, &DENSE);
            rank.leave_tensor("tp_ffn_out", rank.hidden);
        }
        Ffn::Moe { expert, experts, topk, shared_width, hash_routed, .. } => {
            route(rank, experts as f64, topk as f64, hash_routed);
            routed(rank, &expert, experts as f64, topk as f64);
            if shared_width > 0 {
                rank.enter_tensor("tp_shared_in", rank.hidden);
                dense(rank, &Mlp { width: shared_width, ..expert }, &SHARED);
                rank.leave_tensor("tp_shared_out", rank.hidden);
            }
        }
    }
}

/// Names of a feed-forward's three operators and the tag of its activation.
struct Names {
    up: &'static str,
    act: &'static str,
    down: &'static str,
    act_tag: Tag,
}

const DENSE: Names =
    Names { up: "mlp_up", act: "mlp_act", down: "mlp_down", act_tag: Tag::Activation };
const SHARED: Names =
    Names { up: "shared_up", act: "shared_act", down: "shared_down", act_tag: Tag::Mlp };
const EXPERT: Names =
    Names { up: "expert_up", act: "expert_act", down: "expert_down", act_tag: Tag::Activation };

/// A feed-forward every token passes; gate and up are one product. Biases run in its epilogues.
fn dense(rank: &mut Rank, mlp: &Mlp, names: &Names) {
    let (tokens, hidden) = (rank.tokens, rank.hidden);
    let width = mlp.width as f64 / rank.tensor;
    let (class, role) = (Class::FeedForward, Role::Linear);
    let up = (tokens, width * up_matrices(mlp), hidden);
    rank.gemm(names.up, class, role, Some(Tag::Mlp), up);
    activation(rank, names, mlp.gated, tokens * width);
    // Not needed backward, but a checkpointed function is run whole (Megatron's `mlp`).
    rank.gemm(names.down, class, role, Some(Tag::Mlp), (tokens, hidden, width));
}

/// Matrices before the activation.
fn up_matrices(mlp: &Mlp) -> f64 {
    if mlp.gated { 2.0 } else { 1.0 }
}

/// The activation function: a gated one reads two inputs. Backward reads inputs and gradient and
/// writes the inputs' gradients. About 6 operations an output for `SwiGLU`, 8 for `GELU`.
fn activation(rank: &mut Rank, names: &Names, gated: bool, elements: f64) {
    let (forward, backward, flops) = if gated { (3.0, 5.0, 6.0) } else { (2.0, 3.0, 8.0) };
    rank.memory(
        names.act,
        Class::Elementwise,
        Traffic {
            forward: forward * elements,
            backward: backward * elements,
            flops: flops * elements,
            launches: 1.0,
            tag: Some(names.act_tag),
        },
    );
}

/// Scores and choice. A hash-routed layer keeps its gate, whose scores weigh the chosen experts,
/// and looks the choice up instead of selecting it.
fn route(rank: &mut Rank, experts: f64, topk: f64, hash_routed: bool) {
    let (rows, hidden) = (rank.rows, rank.hidden);
    let shape = (rows, experts, hidden);
    rank.gemm("router", Class::Routing, Role::Sensitive, Some(Tag::Moe), shape);
    // Score function, bias, selection, normalisation: two passes over the scores read and written,
    // one when the choice is looked up.
    let passes = if hash_routed { 1.0 } else { 2.0 };
    rank.memory(
        "router_choice",
        Class::Routing,
        Traffic {
            forward: rows * SCORE * (2.0 * passes * experts + 2.0 * topk),
            backward: rows * SCORE * (3.0 * experts + 2.0 * topk),
            flops: rows * experts * (4.0 + if hash_routed { 0.0 } else { topk }),
            // Casts, scores, choice, masks, counts, auxiliary loss: small kernels of their own.
            launches: 12.0 + passes,
            tag: Some(Tag::Moe),
        },
    );
}

/// Permute, dispatch, experts, combine, un-permute. Loads are balanced: every expert group sends and
/// receives as many rows. Router weights are applied before the down product.
fn routed(rank: &mut Rank, expert: &Mlp, experts: f64, topk: f64) {
    let (owned, hidden) = (rank.owned_rows(), rank.hidden);
    let sent = owned * topk * hidden;
    let moved = Traffic {
        forward: sent + owned * hidden,
        backward: sent + owned * hidden,
        flops: 0.0,
        launches: 4.0,
        tag: Some(Tag::Moe),
    };
    rank.memory("permute", Class::Routing, moved);
    let (dispatch_bytes, combine_bytes) =
        (sent * rank.wire.dispatch_bytes, sent * rank.wire.combine_bytes);
    if rank.shard.expert > 1 {
        // The gradient of dispatched rows comes home as results do: in the combine's precision.
        let all = Collective::AllToAll;
        rank.exchange(DISPATCH, Axis::Expert, (all, dispatch_bytes), (all, combine_bytes));
        sort_rows(rank, EXPERT_SORTS[0], experts, sent);
    }
    let cut = rank.shard.expert_tensor as f64;
    if rank.shard.expert_tensor > 1 {
        let (forward, backward) = (dispatch_bytes * cut, combine_bytes * cut);
        let gather = (Collective::AllGather, forward);
        let scatter = (Collective::ReduceScatter, backward);
        rank.exchange("etp_gather", Axis::ExpertTensor, gather, scatter);
    }
    experts_work(rank, expert, experts, owned * topk * cut);
    if rank.shard.expert_tensor > 1 {
        let (forward, backward) = (combine_bytes * cut, dispatch_bytes * cut);
        let scatter = (Collective::ReduceScatter, forward);
        let gather = (Collective::AllGather, backward);
        rank.exchange("etp_scatter", Axis::ExpertTensor, scatter, gather);
    }
    if rank.shard.expert > 1 {
        sort_rows(rank, EXPERT_SORTS[1], experts, sent);
        let all = Collective::AllToAll;
        rank.exchange("combine", Axis::Expert, (all, combine_bytes), (all, dispatch_bytes));
    }
    rank.memory(
        "unpermute",
        Class::Routing,
        Traffic {
            forward: sent + owned * hidden,
            backward: sent + owned * hidden,
            flops: sent,
            launches: 1.0,
            tag: Some(Tag::Moe),
        },
    );
    if rank.shard.tensor > 1 && !rank.shard.sequence_parallel {
        // Each rank routed its own slice of the replicated rows; slicing's backward gathers too.
        let bytes = rank.tokens * hidden * rank.wire.activation_bytes;
        let gather = (Collective::AllGather, bytes);
        rank.exchange("tp_moe_out", Axis::Tensor, gather, gather);
    }
}

/// Rows arrive by sender and are worked on by expert: one more pass unless the rank has one expert.
fn sort_rows(rank: &mut Rank, name: &'static str, experts: f64, elements: f64) {
    if experts > rank.shard.expert as f64 {
        rank.memory(
            name,
            Class::Routing,
            Traffic {
                forward: 2.0 * elements,
                backward: 2.0 * elements,
                flops: 0.0,
                launches: 1.0,
                tag: Some(Tag::Moe),
            },
        );
    }
}

/// Operators that put rows a plain all-to-all brought in the order of their experts, and back.
pub const EXPERT_SORTS: [&str; 2] = ["expert_sort", "expert_unsort"];

/// The exchange that brings rows to their experts.
pub const DISPATCH: &str = "dispatch";

/// Routing operators that no graph of a part of a block holds (Megatron-Core's `moe_router` and
/// `moe_preprocess` end before the dispatch): they work on rows whose number the host learns as they come.
/// Beside a plain all-to-all the permutation before it is held.
pub const AFTER_DISPATCH: [&str; 4] = [ARRIVED, "unpermute", EXPERT_SORTS[0], EXPERT_SORTS[1]];

/// A permutation of what an exchange brought that sends a token once ([`permuted_on_arrival`]).
const ARRIVED: &str = "permute_arrived";

/// Operators of experts that a stack may run outside the kernels around them: the clamp before the
/// activation, and the second product's bias, weighed by the router's score of each row; each as
/// kernels that move elements one by one, and copies. A stack's `expert_extras` says whether it does;
/// where its kernels take them in, they cost nothing.
pub const EXPERT_EXTRAS: [&str; 4] =
    ["expert_clamp", "expert_clamp_copies", "expert_bias", "expert_bias_copies"];

/// The experts of this rank on `rows` rows. Frameworks launch a grouped product as one kernel an
/// expert over several streams (Transformer Engine with cuBLAS). The first product's bias runs in its
/// epilogue. The second's is weighed by the router's score of each row and added in FP32, kernel by
/// kernel, and a clamp before the activation splits, clamps and joins both halves (Megatron-Core's
/// `TEGroupedMLP._apply_bias` and `weighted_bias_quick_geglu_impl`): [`EXPERT_EXTRAS`].
fn experts_work(rank: &mut Rank, expert: &Mlp, experts: f64, rows: f64) {
    let groups = experts / rank.shard.expert as f64;
    let width = expert.width as f64 / rank.shard.expert_tensor as f64;
    let hidden = rank.hidden;
    let (class, role) = (Class::Experts, Role::Expert);
    let work = Work::GroupedGemm { groups, rows, n: width * up_matrices(expert), k: hidden };
    let tag = Some(Tag::Moe);
    rank.operator(Operator { name: EXPERT.up, class, role, work, launches: groups, tag });
    if expert.clamped {
        clamp(rank, rows * width);
    }
    activation(rank, &EXPERT, expert.gated, rows * width);
    let work = Work::GroupedGemm { groups, rows, n: hidden, k: width };
    rank.operator(Operator { name: EXPERT.down, class, role, work, launches: groups, tag });
    if expert.bias {
        weighed_bias(rank, groups, rows * hidden);
    }
}

/// Two 16-bit halves of `elements` each, strided: two clamps read and write one, a join both. Backward
/// (`PyTorch`'s `clamp_backward`) three comparisons with a limit write a mask of a byte, two selections
/// by mask read it and the gradient; two masks are joined, and so are the split's gradients.
fn clamp(rank: &mut Rank, elements: f64) {
    let [name, copies, ..] = EXPERT_EXTRAS;
    let eager = Eager {
        class: Class::Experts,
        passes: [2.0, 5.0],
        bytes: [2.0 * 4.0, 3.0 * 3.0 + 2.0 * 5.0],
        copied: [8.0, 3.0 + 8.0],
        launches: 2.0,
        tag: Some(EXPERT.act_tag),
    };
    rank.eager([name, copies], elements, &eager);
}

/// Forward, in bytes an element: bias times score, both broadcast, written (4), sum of 16 and 32 bits
/// (2 + 4 read, 4 written); experts joined (4 + 4) and cast (4 + 2). Backward: the gradient cast up
/// (2 + 4), times score and times bias (4 + 4 each); its cast to 16 bits (4 + 2), the experts joined
/// (2 + 2) and the products' sums (4 each).
fn weighed_bias(rank: &mut Rank, groups: f64, elements: f64) {
    let [.., name, copies] = EXPERT_EXTRAS;
    let eager = Eager {
        class: Class::Experts,
        passes: [2.0, 3.0],
        bytes: [4.0 + 10.0, 6.0 + 2.0 * 8.0],
        copied: [8.0 + 6.0, 6.0 + 4.0 + 2.0 * 4.0],
        launches: 2.0 * groups + 1.0,
        tag: Some(Tag::Moe),
    };
    rank.eager([name, copies], elements, &eager);
}

/// Expected distinct groups among `groups` equal ones touched by `topk` of `experts` draws without
/// replacement.
///
/// ```
/// let n = model::expected_touched(8, 384, 6);
/// assert!((n - 4.43).abs() < 0.005, "{n}");
/// ```
pub fn expected_touched(groups: u64, experts: u64, topk: u64) -> f64 {
    let (g, e) = (groups as f64, experts as f64);
    // Probability that one given group is missed by all draws.
    let missed: f64 =
        (0..topk).map(|i| ((e - e / g - i as f64) / (e - i as f64)).max(0.0)).product();
    g * (1.0 - missed)
}

/// A permutation beside an exchange that sends a token once to every rank with some of its experts
/// (DeepEP, HybridEP): R rows a token arrive and are copied to those of its topk experts, and summed on
/// the way back, so R + topk rows move where 1 + topk do beside a plain all-to-all.
///
/// R is `touched`, [`expected_touched`] of the group's ranks. Not valid where the exchange itself writes
/// rows by expert.
///
/// ```
/// use model::{Class, Operator, Role, Work, permuted_on_arrival};
/// let work = Work::Memory { bytes: 9e6, backward_bytes: 9e6, flops: 0.0 };
/// let (class, role) = (Class::Routing, Role::Sensitive);
/// let plain = Operator { name: "permute", class, role, work, launches: 4.0, tag: None };
/// // Of 8 rows a token, 5.3 arrive.
/// let Work::Memory { bytes, .. } = permuted_on_arrival(&plain, 5.3, 8).work else { panic!() };
/// assert!((bytes - 13.3e6).abs() < 1.0);
/// ```
pub fn permuted_on_arrival(permute: &Operator, touched: f64, topk: u64) -> Operator {
    let Work::Memory { bytes, backward_bytes, flops } = permute.work else {
        return permute.clone();
    };
    let more = (topk as f64 + touched) / (topk as f64 + 1.0);
    let work = Work::Memory { bytes: bytes * more, backward_bytes: backward_bytes * more, flops };
    let name = if permute.name == "permute" { ARRIVED } else { permute.name };
    Operator { name, work, ..permute.clone() }
}
