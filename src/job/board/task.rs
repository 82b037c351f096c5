//! The record of one task: 24 bytes, since there may be a million.

use crate::ids::{Attempt, ExecutionId};

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskState {
    /// It is to be published, as soon as its inputs stand and the window has room.
    Waiting,
    /// It was published, and its attempt has not been answered.
    Published,
    /// It has a winner that stands.
    Done,
}

/// What is known of a task that was published at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Task {
    /// The run that won last.
    execution: ExecutionId,
    /// Where it ran: an index into the table of workers.
    worker: u32,
    /// The attempt that is published, or that will be.
    pub(super) attempt: Attempt,
    /// Failures of the task's own.
    pub(super) charged: u32,
    /// Where it is.
    pub(super) state: TaskState,
    /// Whether it ever ended well.
    pub(super) succeeded_once: bool,
}

const _: () = assert!(size_of::<Task>() == 24, "a task record grew");

impl Task {
    /// Makes the record of a task that is about to be published for the first time.
    pub(super) const fn new() -> Self {
        Self {
            execution: ExecutionId(0),
            worker: 0,
            attempt: Attempt(0),
            charged: 0,
            state: TaskState::Waiting,
            succeeded_once: false,
        }
    }

    /// Returns the worker and the run whose result stands.
    pub(super) fn winner(&self) -> Option<(u32, ExecutionId)> {
        (self.state == TaskState::Done).then_some((self.worker, self.execution))
    }

    /// Tells whether this attempt is the one that is published and not answered.
    pub(super) fn awaits(&self, attempt: Attempt) -> bool {
        self.state == TaskState::Published && self.attempt == attempt
    }

    /// Tells whether a success of this attempt can count: no winner stands, and the attempt was published.
    pub(super) fn may_win(&self, attempt: Attempt) -> bool {
        match self.state {
            TaskState::Waiting => attempt < self.attempt,
            TaskState::Published => attempt <= self.attempt,
            TaskState::Done => false,
        }
    }

    /// Notes the run that won.
    pub(super) fn win(&mut self, worker: u32, execution: ExecutionId) {
        self.worker = worker;
        self.execution = execution;
        self.state = TaskState::Done;
        self.succeeded_once = true;
    }

    /// Turns to the next attempt, to be published later.
    pub(super) fn wait_again(&mut self) {
        self.attempt = Attempt(self.attempt.0.saturating_add(1));
        self.state = TaskState::Waiting;
    }
}
