//! The life of a job: a pure state machine that folds the job's log.
//!
//! The log is the only truth. [`event`] is what the log holds, [`command`] what the machine asks its
//! shell to do, [`machine`] the fold itself. No clock, no IO: the time of an event is the time at
//! which the broker recorded it. Read [`machine`] first, then `board`, which keeps the tasks.
//!
//! What this room does not do: it does not know what a task computes, who coordinates, or how a message
//! looks. `invariants` says what must hold after every event, `simulation` shows that it does.

mod backoff;
mod board;
pub mod command;
mod error;
pub mod event;
pub mod failure;
pub mod invariants;
pub mod machine;
mod progress;
mod shape;
#[cfg(test)]
mod simulation;
mod window;

pub use command::Command;
pub use error::Error;
pub use event::{Event, Outcome, Payload, StageShape, Submission, TaskFailure, TaskSuccess};
pub use failure::{Failure, FailureClass};
pub use machine::JobMachine;
pub use progress::{JobState, Progress, StageProgress};
