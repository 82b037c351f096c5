//! Queues with leases, logs, blobs, worker records: one trait, two brokers, one suite.
//!
//! The trait speaks of jobs; no subject, header or stream name crosses it. It promises only what
//! JetStream can keep, and the embedded broker is no kinder: messages are delivered at least once, a
//! late settle is accepted, ids are remembered for minutes only, payloads have a limit.
//!
//! A lease is a hint of life, never a lock. What counts is the log.

#[cfg(test)]
mod conformance;
pub mod embedded;
pub mod nats;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use embedded::{EmbeddedBroker, EmbeddedConfig};
pub use nats::{NatsBroker, NatsConfig, install_crypto_provider};

use crate::ids::{Attempt, Incarnation, JobId, LetterId, QueueName, TaskId, WorkerId, WorkerRef};
use crate::job::{Event, JobMachine};
use crate::spec::Priority;
use crate::time::Timestamp;
use crate::wire::{self, LogEntry, StoredRun};

/// How long a job's delivery is leased by default.
const JOBS_LEASE: Duration = Duration::from_secs(5);
/// How long a task's delivery is leased by default.
const TASKS_LEASE: Duration = Duration::from_secs(10);
/// How long the id of a message is remembered by default.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// What headers, subjects and the cause of a dead letter may add to a payload.
const PAYLOAD_SLACK_BYTES: usize = 16 << 10;

fn check_size(bytes: usize, limit: usize) -> Result<(), Error> {
    if bytes > limit {
        return Err(Error::TooLarge { bytes, limit });
    }
    Ok(())
}

/// Rounds a time to live up to whole seconds, at least one: JetStream knows no shorter.
fn whole_seconds(ttl: Duration) -> Duration {
    let partial = u64::from(ttl.subsec_nanos() > 0);
    Duration::from_secs(ttl.as_secs().saturating_add(partial).max(1))
}

fn foreign_lease(lease: &Lease) -> Error {
    Error::Request {
        action: "use a lease of another broker",
        source: format!("'{}' is not one of this broker's leases", lease.0).into(),
    }
}

/// What lies on a queue. There is one of each kind under every [`QueueName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// One message a job; whoever holds it coordinates the job.
    Jobs,
    /// One message a task.
    Tasks,
}

/// Which messages of one priority go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// The first few of each job: none waits long behind the many of another one.
    #[default]
    First,
    /// The others, of tasks alone. Of four pulls one begins here, so that these never starve.
    Rest,
}

/// One of so many pulls begins with [`Lane::Rest`].
const REST_TURN: usize = 4;

/// Returns with which lane a turn begins, and with which of so many queues: over time with each as often, in either lane.
const fn turn_begins(turn: usize, queues: usize) -> (Lane, usize) {
    let (rests, queues) = (turn / REST_TURN, if queues == 0 { 1 } else { queues });
    if turn % REST_TURN == REST_TURN - 1 {
        (Lane::Rest, rests % queues)
    } else {
        (Lane::First, (turn - rests) % queues)
    }
}

/// A message for a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Two messages of one id within two minutes are one message.
    pub id: String,
    /// The message.
    pub payload: Bytes,
    /// Whose pulls find it: those that name this queue.
    pub queue: QueueName,
    /// Which messages go first.
    pub priority: Priority,
    /// Which messages of its priority go first; the queue of jobs has one lane.
    pub lane: Lane,
}

/// A message pulled from a queue, leased to the puller until the lease runs out or it is settled.
#[derive(Debug)]
pub struct Delivery {
    /// The id under which it was published; empty when whoever published it gave none.
    pub id: String,
    /// The message.
    pub payload: Bytes,
    /// How often it was delivered, this time counted: 1 is the first.
    pub deliveries: u64,
    /// Extends and settles it.
    pub lease: Lease,
}

/// The right to extend and settle a delivery; each broker reads only its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease(pub(crate) String);

/// How a delivery ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// It is done: remove it. Returns only when the broker has recorded that.
    Done,
    /// It is done, and its job's log says so: remove it. Returns when that is on its way; a word lost on the way
    /// means that it is delivered again. Words keep their order, so a [`Self::Done`] that follows and returns
    /// covers those before it.
    Recorded,
    /// Give it back, to be delivered again after a wait.
    Retry {
        /// The wait.
        delay: Duration,
    },
    /// It can never be done: remove it.
    Drop {
        /// Why.
        reason: String,
    },
}

/// A record of a job's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Grows along the log, not always by one.
    pub sequence: u64,
    /// When the broker recorded it.
    pub at: Timestamp,
    /// The record.
    pub payload: Bytes,
}

/// Folds the records of a job's log. One that does not decode is left out, by every reader alike.
#[must_use]
pub fn replay(records: &[LogRecord]) -> JobMachine {
    let mut machine = JobMachine::new();
    for record in records {
        let _ = LogEntry::fold(&record.payload, record.at, &mut machine);
    }
    machine
}

/// Lists the events of a job's log from its submission on, each with when it was recorded: what comes before is of a job of the same id
/// that was forgotten. A record that does not decode is left out, by every reader alike.
pub fn events(records: &[LogRecord]) -> impl Iterator<Item = (Timestamp, Event)> {
    let entries = records.iter().filter_map(|record| {
        let entry: LogEntry = wire::decode(&record.payload).ok()?;
        Some((record.at, entry.events))
    });
    entries
        .flat_map(|(at, events)| events.into_iter().map(move |event| (at, event)))
        .skip_while(|(_, event)| !matches!(event, Event::Submitted(_)))
}

/// Tells whether there is no job to a log that was folded into `machine`: it is empty, or holds only what workers that came late wrote
/// after it was forgotten. What only a newer reader can read may be the beginning of a job.
#[must_use]
pub fn is_forgotten(machine: &JobMachine, records: &[LogRecord]) -> bool {
    let known = |record: &LogRecord| wire::decode::<LogEntry>(&record.payload).is_ok();
    machine.submission().is_none() && records.iter().all(known)
}

/// What a live worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRecord {
    /// The worker.
    pub id: WorkerId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// When the broker last heard of it.
    pub at: Timestamp,
    /// The encoded [`crate::wire::WorkerState`].
    pub payload: Bytes,
}

/// A message to all workers; it may be missed, so it only ever hastens what would happen anyway.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Signal {
    /// Stop the running tasks of a job and drop its partitions.
    Release {
        /// The job.
        job: JobId,
        /// Which life of it: see [`crate::job::JobMachine::seed`].
        seed: u64,
        /// Whether partitions stay for a retry, as long as there is room for them.
        #[serde(default)]
        keep: bool,
    },
    /// Stop runs of a task: another one has ended well.
    Stop {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// The last attempt of which runs are of no use.
        attempt: Attempt,
    },
    /// Fetch partitions from a worker that leaves, keep them, and record that they have moved; then say [`Self::Adopted`].
    Adopt {
        /// Who is asked.
        by: WorkerId,
        /// Who leaves.
        from: WorkerRef,
        /// What it holds.
        runs: Vec<StoredRun>,
    },
    /// What was asked of a worker with [`Self::Adopt`] is done, as far as it could be.
    Adopted {
        /// Who was asked.
        by: WorkerId,
        /// Who leaves.
        from: WorkerId,
    },
    /// Finish what runs and leave.
    Drain(WorkerId),
}

/// A task that is not tried again, or a message that nobody can read, kept with what happened to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeadLetter {
    /// Names it: another letter of the same name replaces it.
    pub id: LetterId,
    /// A stable name of the cause, such as `panic`.
    pub code: String,
    /// Why it is here.
    pub cause: String,
    /// The tries that failed, the oldest first; of very many the last ones.
    pub tries: Vec<FailedTry>,
    /// The message; empty when it could not be made any more.
    pub payload: Bytes,
}

/// A try of a task that failed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FailedTry {
    /// When that was recorded.
    pub at: Timestamp,
    /// Where it ran.
    pub worker: WorkerId,
    /// Which try it was.
    pub attempt: Attempt,
    /// Why it failed.
    pub cause: String,
}

/// A stream of log records: first those there are, then those to come; it ends only with an error.
pub type LogStream = BoxStream<'static, Result<LogRecord, Error>>;

/// Queues with leases, logs, blobs and worker records.
#[async_trait]
pub trait Broker: Send + Sync + std::fmt::Debug {
    /// Returns the most bytes that one message, record or blob chunk may hold.
    fn payload_limit(&self) -> usize;

    /// Puts messages on a queue, durably, in order, pipelined; returns when all are recorded.
    async fn publish(&self, queue: Queue, messages: Vec<Message>) -> Result<(), Error>;

    /// Leases up to `max` messages of the queues of these names: of the queues in turn, of each the most urgent first, within a priority
    /// by [`Lane`]. Waits up to `wait` for the first one and returns as soon as there is one. An empty vector means that none came.
    /// A pull that is dropped gives back what comes to it.
    async fn pull(
        &self,
        queue: Queue,
        names: &[QueueName],
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, Error>;

    /// Returns how long a lease of a queue lasts when it is not extended.
    fn lease_duration(&self, queue: Queue) -> Duration;

    /// Prepares for pulls of queues of these names, so that what hinders them is known before.
    async fn serve(&self, names: &[QueueName]) -> Result<(), Error>;

    /// Extends a lease by [`Self::lease_duration`] from now. Extending an expired or settled lease is
    /// not an error: nobody can know.
    async fn extend(&self, lease: &Lease) -> Result<(), Error>;

    /// Ends a delivery. A late settle, of an expired lease, is accepted, and may remove the message
    /// while another holder works on it.
    async fn settle(&self, lease: &Lease, how: Settle) -> Result<(), Error>;

    /// Appends a record to a job's log, durably. Two records of one id within two minutes are one.
    async fn append(&self, job: &JobId, id: Option<String>, payload: Bytes) -> Result<(), Error>;

    /// Follows a job's log from its first record.
    async fn tail(&self, job: &JobId) -> Result<LogStream, Error>;

    /// Reads what a job's log holds now; empty when there is no such job.
    async fn read_log(&self, job: &JobId) -> Result<Vec<LogRecord>, Error>;

    /// Lists the jobs that have a log.
    async fn jobs(&self) -> Result<Vec<JobId>, Error>;

    /// Stores a blob of a job under a name, in as many chunks as it takes. Storing it again replaces it.
    async fn put_blob(&self, job: &JobId, name: &str, payload: Bytes) -> Result<(), Error>;

    /// Reads a blob of a job; `None` when there is none, or not all of it.
    async fn get_blob(&self, job: &JobId, name: &str) -> Result<Option<Bytes>, Error>;

    /// Removes a job's log and blobs.
    async fn forget(&self, job: &JobId) -> Result<(), Error>;

    /// Writes a worker's record; it ends by itself after `ttl` unless written again.
    async fn announce(
        &self,
        id: &WorkerId,
        incarnation: Incarnation,
        payload: Bytes,
        ttl: Duration,
    ) -> Result<(), Error>;

    /// Removes a worker's record at once.
    async fn withdraw(&self, id: &WorkerId) -> Result<(), Error>;

    /// Lists the workers whose record has not ended.
    async fn workers(&self) -> Result<Vec<WorkerRecord>, Error>;

    /// Sends a signal to all workers that listen now.
    async fn signal(&self, signal: Signal) -> Result<(), Error>;

    /// Listens to signals from now on.
    async fn signals(&self) -> Result<BoxStream<'static, Signal>, Error>;

    /// Keeps a dead letter, in place of an earlier one of its name.
    async fn bury(&self, letter: DeadLetter) -> Result<(), Error>;

    /// Lists the dead letters, oldest first.
    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error>;

    /// Removes a dead letter; one that is not there is not an error.
    async fn unbury(&self, id: &LetterId) -> Result<(), Error>;
}

/// Says what a broker could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker does not answer.
    #[error("cannot reach the broker at {url}")]
    Unreachable {
        /// Where it was sought.
        url: String,
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server is too old, or lacks JetStream.
    #[error("the broker at {url} cannot be used: {reason}")]
    Unsuitable {
        /// Where it is.
        url: String,
        /// Why, and the way out.
        reason: String,
    },
    /// A stream, consumer or bucket exists with another configuration.
    #[error(
        "{kind} '{name}' exists with another configuration: {difference}; use another --prefix, or remove it"
    )]
    Conflict {
        /// `stream`, `consumer` or `bucket`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What differs: found and wanted.
        difference: String,
    },
    /// A payload is larger than the broker takes.
    #[error("a message of {bytes} bytes passes the broker's limit of {limit} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A queue or log refused more: its size limit is met.
    #[error("the broker is full: {reason}; raise its limits, or remove jobs (`swath forget`)")]
    Full {
        /// What the server said.
        reason: String,
    },
    /// A request failed or timed out; it may or may not have been carried out.
    #[error("the broker failed to {action}")]
    Request {
        /// What was being done.
        action: &'static str,
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The broker has shut down.
    #[error("the broker is closed")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_begins_a_turn_as_often_in_either_lane() {
        for queues in 1..=16 {
            let mut begun = vec![[0; 2]; queues];
            for turn in 0..queues * REST_TURN {
                let (lane, queue) = turn_begins(turn, queues);
                begun[queue][usize::from(lane == Lane::Rest)] += 1;
            }
            assert_eq!(begun, vec![[3, 1]; queues]);
        }
    }
}
