//! The words of a program file.

use diagnostic::{Diagnostic, Diagnostics, nearest};
use model::{Axis, Class, Collective, Role};
use program::During;

pub(super) const AXES: [(Axis, &str); 8] = Axis::WORDS;

pub(super) const COLLECTIVES: [(Collective, &str); 5] = [
    (Collective::AllReduce, "all_reduce"),
    (Collective::AllGather, "all_gather"),
    (Collective::ReduceScatter, "reduce_scatter"),
    (Collective::AllToAll, "all_to_all"),
    (Collective::SendRecv, "send_recv"),
];

pub(super) const ROLES: [(Role, &str); 6] = [
    (Role::Linear, "linear"),
    (Role::Expert, "expert"),
    (Role::Attention, "attention"),
    (Role::Indexer, "indexer"),
    (Role::Sensitive, "sensitive"),
    (Role::Head, "head"),
];

pub(super) const CLASSES: [(Class, &str); 10] = [
    (Class::Embedding, "embedding"),
    (Class::Projection, "projection"),
    (Class::AttentionCore, "attention_core"),
    (Class::Indexer, "indexer"),
    (Class::FeedForward, "feed_forward"),
    (Class::Experts, "experts"),
    (Class::Routing, "routing"),
    (Class::Elementwise, "elementwise"),
    (Class::HyperConnection, "hyper_connection"),
    (Class::Head, "head"),
];

pub(super) const DURING: [(During, &str); 3] = [
    (During::LastBackward, "last_backward"),
    (During::FirstForward, "first_forward"),
    (During::Alone, "alone"),
];

/// Names of operators and exchanges, which the engines only show.
const NAMES: &str = "adapter attention_norm attention_post_norm attention_residual combine compressor \
    compressor_pool core cp_entries cp_halo cp_kv cp_latents dispatch embedding etp_gather etp_scatter \
    expert_act expert_down expert_sort expert_unsort expert_up ffn_norm ffn_post_norm ffn_residual \
    final_norm gate gradient_reduce head head_norm_rotary hyper_collapse hyper_expand hyper_head \
    hyper_head_collapse hyper_project hyper_write index_choice index_compressor index_compressor_pool \
    index_k index_k_norm index_q index_rotate index_scores index_weights k kv kv_a kv_b kv_norm \
    kv_norm_rotary loss mhc_apply mirror_reduce mlp_act mlp_down mlp_up mtp_e_proj mtp_embedding_norm mtp_h_proj \
    mtp_hidden_norm o o_a o_b parameter_gather permute permute_arrived q q_a q_b q_norm qk_norm qkv replica_reduce \
    rotary router router_choice routing_gather scores shared_act shared_down shared_up softmax tied_embedding \
    tp_attention_in tp_attention_out tp_embedding tp_ffn_in tp_ffn_out tp_head_in tp_latents tp_loss \
    tp_moe_out tp_shared_in tp_shared_out unpermute up v values";

/// The word of a value.
pub(super) fn word<T: PartialEq>(words: &[(T, &'static str)], value: &T) -> String {
    words.iter().find(|(v, _)| v == value).map_or("?", |(_, w)| w).to_owned()
}

/// Reads words, collecting those that are none.
pub(super) struct Reader<'a> {
    pub file: &'a str,
    pub problems: &'a mut Diagnostics,
}

impl Reader<'_> {
    /// The value of a word; the first of the list, with a problem, if it is none.
    pub(super) fn of<T: Copy>(&mut self, what: &str, words: &[(T, &str)], word: &str) -> T {
        let found = words.iter().find(|(_, w)| *w == word);
        if found.is_none() {
            self.unknown(what, word, words.iter().map(|(_, w)| *w));
        }
        found.unwrap_or(&words[0]).0
    }

    /// A name that outlives the file.
    pub(super) fn name(&mut self, name: &str) -> &'static str {
        let found = NAMES.split_whitespace().find(|n| *n == name);
        if found.is_none() {
            self.unknown("name", name, NAMES.split_whitespace());
        }
        found.unwrap_or("core")
    }

    /// A size: a number from 0 up.
    pub(super) fn size(&mut self, what: &str, value: f64) -> f64 {
        if !(value.is_finite() && value >= 0.0) {
            self.push(
                format!("{what} of `{value}`"),
                Some("sizes are numbers from 0 up".to_owned()),
            );
        }
        value
    }

    pub(super) fn push(&mut self, message: String, hint: Option<String>) {
        // A file of another kind would give a problem a word.
        if self.problems.0.len() < 20 {
            let problem = Diagnostic::error("program::word", message).at(self.file, 0..0);
            self.problems.push(Diagnostic { hint, ..problem });
        }
    }

    fn unknown<'w>(
        &mut self,
        what: &str,
        word: &str,
        words: impl Iterator<Item = &'w str> + Clone,
    ) {
        let hint = nearest(word, words.clone()).map_or_else(
            || words.collect::<Vec<_>>().join(" "),
            |near| format!("did you mean `{near}`?"),
        );
        self.push(format!("{what} `{word}` is not known"), Some(hint));
    }
}
