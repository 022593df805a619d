//! What a rank does once a step: gradients, parameters and the optimizer.

use super::flows::Owner;
use super::node::{Doing, StepItem};
use super::pieces::DATA;
use super::run::Loop;
use program::During;

impl Loop<'_> {
    /// Queues the parameters' gathering behind the first forward pass, a part for each chunk.
    pub(super) fn gather_first(&mut self, node: usize) {
        let stage = self.nodes[node].stage;
        let order = self.nodes[node].first_chunks.clone();
        let share = 1.0 / order.len().max(1) as f64;
        let steps = &self.pieces.classes[stage].steps;
        for chunk in order {
            for (at, step) in steps.iter().enumerate() {
                if step.during == During::FirstForward {
                    self.nodes[node].gathers[chunk as usize] += 1;
                    let comm = step.comm.part(share);
                    self.queue_item(node, StepItem { step: at, comm, gathers: Some(chunk) });
                }
            }
        }
    }

    /// Queues a chunk's part of the gradients' reduction behind its last backward pass.
    pub(super) fn queue_last(&mut self, node: usize) {
        let stage = self.nodes[node].stage;
        let share = 1.0 / self.nodes[node].first_chunks.len().max(1) as f64;
        for (at, step) in self.pieces.classes[stage].steps.iter().enumerate() {
            if step.during == During::LastBackward {
                let comm = step.comm.part(share);
                self.queue_item(node, StepItem { step: at, comm, gathers: None });
            }
        }
    }

    /// Queues the exchanges that nothing hides, before or after the optimizer.
    pub(super) fn queue_alone(&mut self, node: usize, after: bool) {
        let stage = self.nodes[node].stage;
        for (at, step) in self.pieces.classes[stage].steps.iter().enumerate() {
            if step.during == During::Alone && step.after_optimizer == after {
                self.queue_item(node, StepItem { step: at, comm: step.comm, gathers: None });
            }
        }
    }

    pub(super) fn queue_item(&mut self, node: usize, item: StepItem) {
        self.nodes[node].items.push_back(item);
        if self.nodes[node].items.len() == 1 {
            self.next_item(node);
        }
    }

    pub(super) fn next_item(&mut self, node: usize) {
        let Some(item) = self.nodes[node].items.front().copied() else { return };
        let tied = self.pieces.classes[self.nodes[node].stage].steps[item.step].tied;
        let owner = if tied { Owner::Tied(item.step) } else { Owner::Step(item.step) };
        debug_assert_eq!(item.comm.stream, DATA);
        self.post(node, item.comm, owner);
    }

    pub(super) fn finish_step(&mut self, node: usize) -> bool {
        if !self.nodes[node].items.is_empty() {
            return false;
        }
        if self.nodes[node].optimized {
            self.nodes[node].turn(self.now, Doing::Done);
            self.nodes[node].end = self.now;
            return true;
        }
        self.nodes[node].turn(self.now, Doing::Optimizer);
        self.nodes[node].pass_start = self.now;
        let seconds = self.pieces.classes[self.nodes[node].stage].optimizer_s;
        if seconds > 0.0 {
            self.start_compute(node, seconds);
        }
        true
    }

    pub(super) fn optimizer_done(&mut self, node: usize) {
        self.recorder.optimizer(node, self.nodes[node].pass_start, self.now);
        self.nodes[node].optimized = true;
        self.nodes[node].turn(self.now, Doing::Finishing);
        self.queue_alone(node, true);
    }
}
