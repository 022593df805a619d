//! The whole run: failures, checkpoints, spares, energy and money, as distributions.
