//! What the machine asks its shell to do. Every command may be carried out twice.

use super::event::Outcome;
use crate::ids::{Attempt, TaskId};
use crate::time::Timestamp;

/// An order of the machine to its shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Read the inputs' headers, not before a moment, plan, and append `Planned` or `PlanFailed`.
    Plan {
        /// Which try of this life.
        attempt: Attempt,
        /// The earliest moment.
        not_before: Timestamp,
    },
    /// Put a task on the queue, not before a moment (the past means now).
    Publish {
        /// The task.
        task: TaskId,
        /// Which try of it; part of the message's id.
        attempt: Attempt,
        /// The earliest moment.
        not_before: Timestamp,
    },
    /// Put a second message of a published attempt on the queue, for a run beside the one that takes too long.
    PublishAgain {
        /// The task.
        task: TaskId,
        /// Which try of it.
        attempt: Attempt,
    },
    /// Tell all workers to stop runs of a task, up to this attempt: another run has ended well. It may be skipped.
    Stop {
        /// The task.
        task: TaskId,
        /// The last attempt that is of no use.
        attempt: Attempt,
    },
    /// Append `DeadlineReached` for this life at this moment, unless it has ended by then.
    WatchDeadline {
        /// The moment.
        at: Timestamp,
    },
    /// Keep a dead letter of a task that will not be tried again in this life of the job, with what happened to it.
    Bury {
        /// The task.
        task: TaskId,
    },
    /// Append `Finished` for this life with this outcome; in a box, since there is one in a life, and thousands of
    /// the others.
    Finish(Box<Outcome>),
    /// Tell all workers to stop the job's running tasks, and to drop its partitions, or to keep those of a failed job.
    Release,
}

const _: () = assert!(
    size_of::<Command>() <= 24,
    "a command grew: a window of them is made at once"
);
