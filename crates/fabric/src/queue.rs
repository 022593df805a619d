//! An event queue that is fast where delays repeat.
//!
//! Time never goes back, so events pushed with one and the same delay come due in the order in
//! which they were pushed: each delay gets a first-in-first-out lane, and only the heads of lanes
//! are compared. Delays beyond the few lanes go to a heap. Order is (time, sequence) throughout.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Lanes kept; more delays than that at once fall back to the heap.
const LANES: usize = 6;

/// Time and sequence, compared together; event.
type Entry<T> = (u128, T);

/// Later than any event.
const NEVER: u128 = u128::MAX;

/// When an entry is due.
fn time(key: u128) -> u64 {
    (key >> 64) as u64
}

/// Events pushed with one delay, in order.
struct Lane<T> {
    delay: u64,
    /// Key of the first, [`NEVER`] without any.
    head: u128,
    events: VecDeque<Entry<T>>,
}

impl<T> Lane<T> {
    fn push(&mut self, entry: Entry<T>) {
        self.head = self.head.min(entry.0);
        self.events.push_back(entry);
    }

    fn pop(&mut self) -> Option<Entry<T>> {
        let entry = self.events.pop_front();
        self.head = self.events.front().map_or(NEVER, |e| e.0);
        entry
    }
}

/// Events of payload `T`, by time and then by order of pushing.
pub(crate) struct Queue<T> {
    lanes: Vec<Lane<T>>,
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
        let entry = (u128::from(time) << 64 | u128::from(self.sequence), event);
        if let Some(lane) = self.lanes.iter_mut().find(|l| l.delay == delay) {
            lane.push(entry);
        } else if self.lanes.len() < LANES {
            let events = VecDeque::from([entry]);
            self.lanes.push(Lane { delay, head: entry.0, events });
        } else if let Some(lane) = self.lanes.iter_mut().find(|l| l.head == NEVER) {
            lane.delay = delay;
            lane.push(entry);
        } else {
            self.heap.push(Reverse(entry));
        }
    }

    fn heap_head(&self) -> u128 {
        self.heap.peek().map_or(NEVER, |e| e.0.0)
    }

    /// When the next event is due.
    pub fn next_time(&self) -> Option<u64> {
        let lanes = self.lanes.iter().map(|lane| lane.head);
        let head = lanes.fold(self.heap_head(), u128::min);
        (head < NEVER).then_some(time(head))
    }

    /// Takes the next event.
    ///
    /// # Panics
    /// If time would go backwards, a bug here.
    pub fn pop(&mut self) -> Option<(u64, T)> {
        let heap_head = self.heap_head();
        let first = self.lanes.iter_mut().min_by_key(|lane| lane.head);
        let (key, event) = match first.filter(|lane| lane.head < NEVER) {
            Some(lane) if lane.head < heap_head => lane.pop()?,
            _ => self.heap.pop()?.0,
        };
        let time = time(key);
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
