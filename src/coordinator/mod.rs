//! Drives jobs: pulls a job, replays its log, does what the machine says, until it ends.
//!
//! A job is itself a delivery. Whoever holds the lease coordinates; when a coordinator dies, the lease runs
//! out and the next holder replays the log and goes on. Two coordinators at once are wasteful, never
//! wrong. [`run`] is the service, [`driver`] one job, `publish` makes the tasks' messages, `plan` reads
//! headers and plans, `live` knows which workers live.

pub mod driver;
mod letters;
mod live;
mod plan;
mod publish;
pub mod run;
mod stragglers;
mod zones;

pub use plan::make_plan;
pub use run::{CoordinatorService, Driven};

/// Says why a job cannot be driven any further by this coordinator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker failed; another try, or another coordinator, goes on.
    #[error("the job's coordinator lost its broker")]
    Broker(#[from] crate::broker::Error),
    /// A record or a message cannot be read or written.
    #[error("the job's log or plan cannot be used")]
    Wire(#[from] crate::wire::Error),
    /// A blob that the log names is not there.
    #[error("blob '{name}' of the job is missing on the broker")]
    BlobMissing {
        /// Its name.
        name: String,
    },
    /// The log's stream ended.
    #[error("the job's log ended")]
    LogEnded,
    /// Something that cannot be was seen.
    #[error("a bug in the coordinator: {what}")]
    Bug {
        /// What was seen.
        what: &'static str,
    },
}
