//! Campaigns against hand-computed traces and oracles.

mod accounting;
mod equal;
mod optimum;
mod published;
mod trace;
mod ub_mesh;
