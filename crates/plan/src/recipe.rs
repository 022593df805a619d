//! What a recipe's number formats mean for an operator, a saved tensor and the wire.

use catalog::{Dtype, Precision};
use model::{Role, Width, Wire};

/// The format an operator computes in.
pub fn role_dtype(precision: &Precision, role: Role) -> Dtype {
    match role {
        Role::Linear => precision.linear,
        Role::Expert => precision.expert,
        Role::Attention => precision.attention,
        Role::Indexer => precision.indexer,
        Role::Sensitive => precision.sensitive,
        Role::Head => precision.head,
    }
}

/// Bytes of one saved element.
pub fn width_bytes(precision: &Precision, width: Width) -> f64 {
    match width {
        Width::Bytes(bytes) => bytes as f64,
        Width::Activation => precision.activations.bytes(),
        Width::LinearInput => precision.linear_inputs.bytes(),
        Width::ExpertInput => precision.expert_inputs.bytes(),
    }
}

/// Bytes of an element between ranks.
pub fn wire(precision: &Precision) -> Wire {
    Wire {
        activation_bytes: precision.activations.bytes(),
        gather_bytes: precision.tensor_gather.bytes(),
        dispatch_bytes: precision.dispatch.bytes(),
        combine_bytes: precision.combine.bytes(),
    }
}
