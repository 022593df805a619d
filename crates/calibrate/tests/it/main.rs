//! Tests of calibrations from tables.

mod hostile;
mod nccl;
mod recorded;
mod tables;
