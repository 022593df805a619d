//! Campaigns against hand-computed traces and oracles.

mod accounting;
mod optimum;
mod trace;
mod ub_mesh;
