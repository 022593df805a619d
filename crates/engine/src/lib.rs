//! Engines: a program on a machine -> how long it takes and where the time goes.
//!
//! [`estimate`] is the closed form: operators and collectives are priced once each
//! ([`price`]), passes are summed per rank, the schedule gives the bubble. [`interval`] carries the
//! range of every uncertain figure to the answer. [`rehearse`] does it for every stage of a
//! scenario. The crate opens no file.

mod estimate;
mod exposure;
mod flow;
mod machine;
mod passes;
mod placed;
mod price;
mod rehearse;
mod sampling;
mod timeline;
mod uncertainty;

pub use estimate::{Estimate, Hidden, Part, PartKind, Phases, RankTime, estimate};
pub use estimate::{finish_exchanges, finish_seconds, in_buckets, optimizer_s};
pub use exposure::{Rules, Run, run, run_pair};
pub use flow::{Fault, FaultKind, FlowAnswer, FlowOptions, Gap, LinkUse, flow, rehearse_flow};
pub use machine::Machine;
pub use passes::{Passes, bubbles, message_wait_s, pass_counts, sends};
pub use placed::Placed;
pub use price::{BlockPrice, host_copies, operator_costs, scaled, shard_traffic};
pub use price::{COMM_AXES, CommAxis, PassTime, Prices, SegmentTime, price};
pub use rehearse::{Overfull, Rehearsal, StageAnswer, lowered, machine, mfu_peak, rehearse};
pub use sampling::{SAMPLES, drawn, interval, normal_quantile};
pub use timeline::{ClassTimeline, Lane, LinkLoad, Message, Span, SpanKind, Timeline};
pub use uncertainty::{Driver, Interval, assumed, drivers};
