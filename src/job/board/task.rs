//! The record of one task: 24 bytes, since there may be a million.

use crate::ids::{Attempt, ExecutionId};
use crate::time::Timestamp;

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskState {
    /// It is to be published, as soon as its inputs stand and the window has room.
    Waiting {
        /// Whether it ever ended well.
        ended_well: bool,
    },
    /// It was published, and its attempt has not been answered.
    Published {
        /// The moment before which it is not to start.
        not_before: Timestamp,
        /// Whether it ever ended well.
        ended_well: bool,
    },
    /// Its attempts are used up, or it broke its workers: it is not published again in this life of the job.
    Dead {
        /// Whether it ever ended well.
        ended_well: bool,
    },
    /// It has a winner that stands.
    Done {
        /// The run that won.
        execution: ExecutionId,
        /// Where it ran: an index into the table of workers.
        worker: u32,
    },
}

/// What is known of a task that was published at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Task {
    /// Where it is.
    state: TaskState,
    /// The attempt that is published, or that will be.
    pub(super) attempt: Attempt,
    /// Failures of the task's own.
    pub(super) charged: u32,
}

const _: () = assert!(size_of::<Task>() == 24, "a task record grew");

impl Task {
    /// Makes the record of a task that is about to be published for the first time.
    pub(super) const fn new() -> Self {
        Self {
            state: TaskState::Waiting { ended_well: false },
            attempt: Attempt(0),
            charged: 0,
        }
    }

    /// Returns the worker and the run whose result stands.
    pub(super) fn winner(&self) -> Option<(u32, ExecutionId)> {
        match self.state {
            TaskState::Done { execution, worker } => Some((worker, execution)),
            TaskState::Waiting { .. } | TaskState::Published { .. } | TaskState::Dead { .. } => {
                None
            }
        }
    }

    /// Tells whether it ever ended well.
    pub(super) const fn ended_well(&self) -> bool {
        match self.state {
            TaskState::Waiting { ended_well }
            | TaskState::Published { ended_well, .. }
            | TaskState::Dead { ended_well } => ended_well,
            TaskState::Done { .. } => true,
        }
    }

    /// Returns the moment before which it is not to start, while it is published and not answered.
    pub(super) const fn not_before(&self) -> Option<Timestamp> {
        match self.state {
            TaskState::Published { not_before, .. } => Some(not_before),
            TaskState::Waiting { .. } | TaskState::Dead { .. } | TaskState::Done { .. } => None,
        }
    }

    /// Tells whether this attempt is the one that is published and not answered.
    pub(super) fn awaits(&self, attempt: Attempt) -> bool {
        self.not_before().is_some() && self.attempt == attempt
    }

    /// Tells whether a success of this attempt can count: no winner stands, and the attempt was published.
    pub(super) fn may_win(&self, attempt: Attempt) -> bool {
        match self.state {
            TaskState::Waiting { .. } => attempt < self.attempt,
            TaskState::Published { .. } | TaskState::Dead { .. } => attempt <= self.attempt,
            TaskState::Done { .. } => false,
        }
    }

    /// Notes that it is published.
    pub(super) const fn publish(&mut self, not_before: Timestamp) {
        let ended_well = self.ended_well();
        self.state = TaskState::Published {
            not_before,
            ended_well,
        };
    }

    /// Notes that it is not published any more.
    pub(super) const fn unpublish(&mut self) {
        let ended_well = self.ended_well();
        self.state = TaskState::Waiting { ended_well };
    }

    /// Notes the run that won.
    pub(super) const fn win(&mut self, worker: u32, execution: ExecutionId) {
        self.state = TaskState::Done { execution, worker };
    }

    /// Notes that it is dead.
    pub(super) const fn die(&mut self) {
        let ended_well = self.ended_well();
        self.state = TaskState::Dead { ended_well };
    }

    /// Turns to the next attempt, to be published later.
    pub(super) fn wait_again(&mut self) {
        self.attempt = Attempt(self.attempt.0.saturating_add(1));
        self.unpublish();
    }
}
