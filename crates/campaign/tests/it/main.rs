//! Campaigns against hand-computed traces, oracles and published runs.

mod accounting;
mod optimum;
mod published;
mod trace;
mod ub_mesh;
