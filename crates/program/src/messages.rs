//! What an order makes ranks wait for besides its bubble: messages that no pass can hide, passes that
//! are not as long as those it was made for.

use crate::schedule::{Schedule, StageMeans};

impl Schedule {
    /// Messages between stages that a step waits for one after another, though they run beside
    /// compute, with `(ranks, chunks of a rank, micro-batches)`; `pairs` says whether 1F1B runs a
    /// forward beside a backward pass.
    ///
    /// A message is hidden only where its receiver has other passes to run. Filling and emptying a
    /// pipeline it has none: interleaved 1F1B turns p micro-batches round p ranks in p passes, so that
    /// the first crosses all p·v stages and back with every message in sight, 2(pv-1). Where every pass
    /// of the steady state is a pair, each hands on both results at its end and two ranks wait for each
    /// other in every pass; of the two messages of a pair the gradient leaves by the same port after
    /// the activation, so that each slot takes two messages more, less what the last stage does not
    /// send. Schedules in a V turn round at once too; V-Half holds so few micro-batches that each waits
    /// for the last one's return.
    ///
    /// Derived here: the longest path through each order for passes of equal length and messages
    /// shorter than a pass, checked against a replay. Stages of unequal length hide some of it, most in
    /// plain 1F1B, of which only filling and emptying is counted here: 2(p-1).
    ///
    /// ```
    /// use program::Schedule;
    /// assert_eq!(Schedule::OneFOneB.exposed_messages((2, 22, 10), false), 86.0);
    /// assert_eq!(Schedule::OneFOneB.exposed_messages((2, 22, 10), true), 430.0);
    /// ```
    pub fn exposed_messages(
        self,
        (ranks, chunks, micro_batches): (u64, u64, u64),
        pairs: bool,
    ) -> f64 {
        if ranks < 2 {
            return 0.0;
        }
        let (p, v, m) = (ranks as f64, chunks as f64, micro_batches as f64);
        match self {
            Self::OneFOneB if chunks > 1 && pairs => {
                m * v + p * (v + 1.0) - 4.0 + (m - p).max(0.0) * (v - 2.0 / p)
            }
            Self::OneFOneB if chunks > 1 => 2.0 * (p * v - 1.0),
            Self::OneFOneB if pairs => (2.0 * m + 2.0 * p - 6.0).max(2.0 * (p - 1.0)),
            Self::GPipe | Self::OneFOneB | Self::ZbH2 => 2.0 * (p - 1.0),
            Self::ZbH1 => 4.0 * (p - 1.0),
            Self::ZbV => 6.0 * p - 8.0,
            Self::VHalf => m * (6.0 - 8.0 / p) + p - 2.0,
            Self::DualPipe => (m * (p - 1.0) / p + 1.5 * p - 3.0).max(2.0 * (p - 1.0)),
            Self::DualPipeV => 2.0 * (m * (p - 1.0) / p + p - 2.0),
        }
    }

    /// Least time between a rank's micro-batches that the order itself allows, whatever the rank's work,
    /// for ranks whose times per micro-batch are `mean`; zero where it allows any. Seconds.
    ///
    /// V-Half is made for forward, input-gradient and weight-gradient passes of one length, and holds so
    /// few micro-batches that a longer pass is not made up for by shorter ones: going round its closed
    /// loops meets three passes of one kind for each of a rank's (two input gradients and a forward
    /// between two ranks; up to 6 ranks, two forwards and an input gradient). Derived here; checked
    /// against a replay for 2, 4, 8 and 16 ranks. The other orders follow a rank's own work.
    ///
    /// ```
    /// use program::{Schedule, StageMeans};
    /// let mean = StageMeans { forward: 2.0, backward_input: 4.0, weight: 2.0, pair: 8.0 };
    /// assert_eq!(Schedule::VHalf.pace_s(8, mean), 12.0); // of 8.0 of work
    /// ```
    pub fn pace_s(self, ranks: u64, mean: StageMeans) -> f64 {
        let StageMeans { forward, backward_input, .. } = mean;
        match (self, ranks) {
            (Self::VHalf, 2) => 2.0 * backward_input + forward,
            (Self::VHalf, 3..=6) => (3.0 * backward_input).max(2.0 * forward + backward_input),
            (Self::VHalf, 7..) => 3.0 * backward_input.max(forward),
            _ => 0.0,
        }
    }
}
