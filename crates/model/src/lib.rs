//! Models: from HF `config.json` to blocks, and from blocks to parameters, FLOPs, memory and operators.
//!
//! Start at [`Architecture`]; [`parse_config`] makes one. The crate never knows a chip or a fabric.

mod architecture;
mod config;
mod operator;
mod shapes;
mod visible;
mod weights;

pub use architecture::{Architecture, Attention, Ffn, Indexer, Layer, Mlp, Norm, Residual};
pub use config::parse_config;
pub use operator::{
    Axis, Class, Collective, Cut, Exchange, Operator, Role, Saved, Shard, Step, Tag, Weights,
    Width, Work,
};
pub use visible::{Visible, visible};
pub use weights::Place;
