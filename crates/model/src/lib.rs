//! Models: from HF `config.json` to blocks, and from blocks to parameters, FLOPs, memory and operators.
//!
//! Start at [`Architecture`]; [`parse_config`] makes one. The crate never knows a chip or a fabric.

mod activation;
mod architecture;
mod cache;
mod config;
mod flops;
mod operator;
mod parameters;
#[cfg(test)]
mod samples;
mod saved;
mod shapes;
mod steps;
mod visible;
mod weights;

pub use activation::{ActivationRow, DEEPSEEK_TAGS, Recompute, Storage};
pub use architecture::{Architecture, Attention, Ffn, Indexer, Layer, Mlp, Norm, Residual};
pub use cache::KvBytes;
pub use config::parse_config;
pub use flops::{FlopsPart, FlopsPerToken};
pub use operator::adapter;
pub use operator::{
    Axis, Class, Collective, Cut, Exchange, Operator, Role, Saved, Shard, Step, Tag, Weights,
    Width, Work,
};
pub use parameters::{Component, Parameters};
pub use saved::{embedding_saved, head_saved, layer_input_elements, layer_saved, mtp_saved};
pub use steps::{
    AFTER_DISPATCH, DISPATCH, EXPERT_EXTRAS, EXPERT_SORTS, expected_touched, permuted_on_arrival,
};
pub use steps::{SCALED_ROTARY, fused_loss, products_apart, unfused_attention, unfused_saved};
pub use steps::{Wire, boundary_bytes, embedding_steps, head_steps, layer_steps, mtp_steps};
pub use visible::{Visible, visible};
pub use weights::Place;
