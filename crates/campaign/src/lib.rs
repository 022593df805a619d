//! The whole run: months of steps with failures, checkpoints, spares, energy and money.
//!
//! [`Campaign`] is a scenario ready to be sampled; [`simulate`] plays one sample event by event and
//! accounts for every nanosecond; [`summarize`] turns samples into distributions and tells chance
//! from ignorance; [`tornado`] and [`holds`] say which assumptions matter. Pure: samples come in the
//! order asked, from seeds; the caller owns files and threads.

mod account;
mod assumptions;
mod campaign;
mod checkpoint;
mod compare;
mod counts;
mod money;
mod planning;
mod prepare;
mod run;
mod sample;
mod sensitivity;
mod simulate;
mod strikes;
mod summary;
mod work;

pub use account::{Account, Cause};
pub use assumptions::{Assumptions, Place};
pub use campaign::{Campaign, RampPart, Stage};
pub use checkpoint::{beside, bytes, bytes_per_chip, daly_s, young_s};
pub use compare::{
    Contender, Decider, Equal, Ratio, Terms, amount, at_equal, contend, deciders, peak, ratio,
};
pub use counts::Counts;
pub use money::{Bill, Prices, Used, meter_power, recovery, rental};
pub use planning::{GUARD, Planned, planned};
pub use prepare::{Asked, economics, prepare};
pub use run::{Checkpoints, NS, Process, Recovery, Run, Segment, Strike, nanoseconds, share};
pub use sample::{CUT, FEWEST, Sample, allowed, endless, played, sample, samples, unanswered};
pub use sensitivity::{Answer, Bar, CHANCES, Held, Medians, Region, holds, tornado, widest};
pub use simulate::{MOST_EVENTS, Outcome, simulate};
pub use strikes::{Strikes, mean_ns};
pub use summary::{Money, Spread, Summary, spread, summarize};
