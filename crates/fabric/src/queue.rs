//! An event queue that is fast where delays repeat.
//!
//! Time never goes back, so events pushed with one and the same delay come due in the order in
//! which they were pushed: each delay gets a first-in-first-out lane, and only the heads of lanes
//! are compared. Delays beyond the few lanes go to a heap. Order is (time, sequence) throughout.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Lanes kept; more delays than that at once fall back to the heap.
const LANES: usize = 6;

/// Time, sequence, event.
type Entry<T> = (u64, u64, T);

/// Events of payload `T`, by time and then by order of pushing.
pub(crate) struct Queue<T> {
    /// Each with its delay.
    lanes: Vec<(u64, VecDeque<Entry<T>>)>,
    heap: BinaryHeap<Reverse<Entry<T>>>,
    sequence: u64,
    now: u64,
}

impl<T: Copy + Ord> Queue<T> {
    pub fn new() -> Self {
        Self { lanes: Vec::new(), heap: BinaryHeap::new(), sequence: 0, now: 0 }
    }

    /// An event `delay` after now.
    pub fn push(&mut self, delay: u64, event: T) {
        let time = self.now.checked_add(delay).expect("a time within 213 days");
        self.sequence += 1;
        let entry = (time, self.sequence, event);
        if let Some(lane) = self.lanes.iter_mut().find(|l| l.0 == delay) {
            lane.1.push_back(entry);
        } else if self.lanes.len() < LANES {
            self.lanes.push((delay, VecDeque::from([entry])));
        } else if let Some(lane) = self.lanes.iter_mut().find(|l| l.1.is_empty()) {
            lane.0 = delay;
            lane.1.push_back(entry);
        } else {
            self.heap.push(Reverse(entry));
        }
    }

    /// When the next event is due.
    pub fn next_time(&self) -> Option<u64> {
        let lanes = self.lanes.iter().filter_map(|l| l.1.front().map(|e| e.0));
        lanes.chain(self.heap.peek().map(|e| e.0.0)).min()
    }

    /// Takes the next event.
    ///
    /// # Panics
    /// If time would go backwards, a bug here.
    pub fn pop(&mut self) -> Option<(u64, T)> {
        let mut best: Option<(u64, u64, usize)> = None;
        for (index, lane) in self.lanes.iter().enumerate() {
            if let Some(&(time, sequence, _)) = lane.1.front()
                && best.is_none_or(|b| (time, sequence) < (b.0, b.1))
            {
                best = Some((time, sequence, index));
            }
        }
        let from_heap = match (self.heap.peek(), best) {
            (Some(Reverse(h)), Some(b)) => (h.0, h.1) < (b.0, b.1),
            (Some(_), None) => true,
            (None, _) => false,
        };
        let (time, _, event) =
            if from_heap { self.heap.pop()?.0 } else { self.lanes[best?.2].1.pop_front()? };
        assert!(time >= self.now, "time went from {} back to {time}", self.now);
        self.now = time;
        Some((time, event))
    }

    pub fn now(&self) -> u64 {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;

    #[test]
    fn events_come_in_order_of_time_and_then_of_pushing() {
        let mut queue = Queue::new();
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for event in 0..200_u64 {
            queue.push(next() % 50, event);
        }
        let (mut last, mut taken) = ((0, 0), 0);
        while let Some((time, event)) = queue.pop() {
            assert!((time, event) > last || taken == 0, "{time} {event} after {last:?}");
            last = (time, event);
            taken += 1;
            if taken < 400 && event % 2 == 0 {
                queue.push(1 + next() % 9, 1_000 + taken);
            }
        }
        assert!(taken > 250);
    }
}
