//! What a program that uses the library calls: submit a job, follow it, collect its results.
//!
//! [`Client`] speaks of any job; [`Coordinator`] is the handle of one program's jobs, under the names that
//! users of `oxigdal-distributed` know.

mod coordinator;
mod retry;
pub mod submit;
pub mod watch;

use std::sync::Arc;

use bytes::Bytes;

pub use coordinator::{Coordinator, CoordinatorConfig};
pub use submit::SubmitOptions;
use submit::job_message;
pub use watch::JobProgress;

use crate::broker::{self, Broker, DeadLetter, LogRecord, Queue, Signal};
use crate::ids::{JobId, LetterId, QueueName, WorkerId};
use crate::job::invariants::{self, Violation};
use crate::job::{Event, JobMachine, JobState, Payload};
use crate::spec::{JobSpec, Output};
use crate::time::Timestamp;
use crate::wire::{self, LogEntry, WorkerState};

/// Says why a client could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker failed.
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// A record cannot be read or written.
    #[error("a record of the job cannot be used")]
    Wire(#[from] wire::Error),
    /// There is no such job.
    #[error("there is no job '{job}'; `swath jobs` lists those there are")]
    NoSuchJob {
        /// The job.
        job: JobId,
    },
    /// A job of the same id exists, and asks for something else.
    #[error("job '{job}' exists and is another one; choose another --id")]
    IdTaken {
        /// The job.
        job: JobId,
    },
    /// There is nothing to retry: the job has not ended, or it succeeded.
    #[error("job '{job}' cannot be retried: it {state}")]
    NothingToRetry {
        /// The job.
        job: JobId,
        /// What it is doing.
        state: String,
    },
    /// The job has not ended.
    #[error("job '{job}' has not ended; cancel it first, with `swath cancel {job}`")]
    NotEnded {
        /// The job.
        job: JobId,
    },
    /// The job has not ended, or did not succeed.
    #[error("job '{job}' has no results: it {state}")]
    NoResults {
        /// The job.
        job: JobId,
        /// What it is doing.
        state: String,
    },
    /// The audit of a log came to no end; that is a fault of Swath.
    #[error("the log could not be audited")]
    Audit,
    /// A blob that the log names is not there.
    #[error("result '{name}' is missing on the broker")]
    BlobMissing {
        /// Its name.
        name: String,
    },
    /// A result is not of the type asked for.
    #[error("result of task {task} is of another type")]
    ResultType {
        /// The task.
        task: u32,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// A client of a cluster.
#[derive(Debug, Clone)]
pub struct Client {
    broker: Arc<dyn Broker>,
}

/// What a job's log was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Events in the log.
    pub events: usize,
    /// Records that this build cannot read, and leaves out as every reader of its version does.
    pub left_out: usize,
    /// The first invariant that does not hold.
    pub violation: Option<Violation>,
}

/// One line of a table of jobs.
#[derive(Debug, Clone)]
pub struct JobSummary {
    /// The job.
    pub job: JobId,
    /// Where it stands.
    pub progress: JobProgress,
}

impl Client {
    /// Makes a client on a broker.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker }
    }

    /// Returns the broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Returns where a job stands.
    ///
    /// # Errors
    /// When there is no such job, or the broker fails.
    pub async fn status(&self, job: &JobId) -> Result<JobProgress, Error> {
        Ok(JobProgress::of(job, &self.replay(job).await?))
    }

    /// Replays a job's log and checks every invariant after each event: see [`invariants::check`], also for how long that takes.
    ///
    /// # Errors
    /// When there is no such job, or the broker fails.
    pub async fn audit(&self, job: &JobId) -> Result<Audit, Error> {
        let records = self.broker.read_log(job).await?;
        if broker::is_forgotten(&broker::replay(&records), &records) {
            return Err(Error::NoSuchJob { job: job.clone() });
        }
        let audited = tokio::task::spawn_blocking(move || {
            let decode = |record: &LogRecord| {
                let entry: LogEntry = wire::decode(&record.payload).ok()?;
                Some((record.at, entry.events))
            };
            let entries: Vec<(Timestamp, Vec<Event>)> = records.iter().filter_map(decode).collect();
            let events = entries
                .iter()
                .flat_map(|(at, events)| events.iter().map(|event| (*at, event)));
            Audit {
                events: events.clone().count(),
                left_out: records.len() - entries.len(),
                violation: invariants::check(events).err(),
            }
        });
        audited.await.map_err(|_| Error::Audit)
    }

    /// Folds a job's log into its machine.
    async fn replay(&self, job: &JobId) -> Result<JobMachine, Error> {
        let records = self.broker.read_log(job).await?;
        let machine = broker::replay(&records);
        if broker::is_forgotten(&machine, &records) {
            return Err(Error::NoSuchJob { job: job.clone() });
        }
        Ok(machine)
    }

    /// Lists all jobs, the latest first.
    ///
    /// # Errors
    /// When the broker fails.
    pub async fn jobs(&self) -> Result<Vec<JobSummary>, Error> {
        let mut jobs = Vec::new();
        for job in self.broker.jobs().await? {
            match self.status(&job).await {
                // It is of a later version.
                Ok(progress) if progress.progress.state == JobState::Unknown => {}
                Ok(progress) => jobs.push(JobSummary { job, progress }),
                // Forgotten between the two requests; or since, a worker that came late has written something yet.
                Err(Error::NoSuchJob { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        jobs.sort_by_key(|summary| std::cmp::Reverse(summary.progress.progress.submitted_at));
        Ok(jobs)
    }

    /// Lists the live workers.
    ///
    /// # Errors
    /// When the broker fails.
    pub async fn workers(&self) -> Result<Vec<WorkerState>, Error> {
        let records = self.broker.workers().await?;
        let mut workers: Vec<WorkerState> = records
            .iter()
            .filter_map(|record| wire::decode(&record.payload).ok())
            .collect();
        workers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(workers)
    }

    /// Asks to cancel a job; a job that has ended is not changed.
    ///
    /// # Errors
    /// When there is no such job, or the broker fails.
    pub async fn cancel(&self, job: &JobId) -> Result<(), Error> {
        let machine = self.replay(job).await?;
        if machine.is_finished() {
            return Ok(());
        }
        let entry = LogEntry {
            events: vec![Event::CancelRequested],
        };
        let payload = wire::encode(&entry)?;
        self.broker.append(job, None, payload).await?;
        let Some(submission) = machine.submission() else {
            return Ok(());
        };
        let queue = &submission.options.queue;
        let served = match self.workers().await {
            Ok(workers) => workers
                .iter()
                .any(|it| it.serves(queue) || it.coordinates.contains(job)),
            // What was asked is recorded; a courtesy must not fail it.
            Err(_) => true,
        };
        // Nobody looks after it before it begins, nor where nobody serves its queue: whoever serves the default one ends it.
        if !served || machine.waits_until().is_some() {
            let mut message = job_message(job, machine.seed(), &submission.options)?;
            message.id.push_str(".cancel");
            let mut messages = vec![message.clone()];
            if !served && !message.queue.is_default() {
                message.id.push_str(".default");
                message.queue = QueueName::default();
                messages.push(message);
            }
            self.broker.publish(Queue::Jobs, messages).await?;
        }
        Ok(())
    }

    /// Removes a job's log and blobs.
    ///
    /// # Errors
    /// When there is no such job, it has not ended, or the broker fails.
    pub async fn forget(&self, job: &JobId) -> Result<(), Error> {
        let machine = self.replay(job).await?;
        if !machine.is_finished() {
            return Err(Error::NotEnded { job: job.clone() });
        }
        self.broker.forget(job).await?;
        self.remove_letters(job).await?;
        // What workers may have kept for a retry.
        let release = Signal::Release {
            job: job.clone(),
            seed: machine.seed(),
            keep: false,
        };
        Ok(self.broker.signal(release).await?)
    }

    /// Asks a worker to finish what runs and leave.
    ///
    /// # Errors
    /// When the broker fails.
    pub async fn drain(&self, worker: &WorkerId) -> Result<(), Error> {
        Ok(self.broker.signal(Signal::Drain(worker.clone())).await?)
    }

    /// Lists the dead letters, the oldest first.
    ///
    /// # Errors
    /// When the broker fails.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        Ok(self.broker.dead_letters().await?)
    }

    /// Removes a dead letter for good; its task can still be run again by [`Client::retry`].
    ///
    /// # Errors
    /// When the broker fails.
    pub async fn purge_letter(&self, id: &LetterId) -> Result<(), Error> {
        Ok(self.broker.unbury(id).await?)
    }

    async fn remove_letters(&self, job: &JobId) -> Result<(), Error> {
        for letter in self.broker.dead_letters().await? {
            if letter.id.job() == Some(job) {
                self.broker.unbury(&letter.id).await?;
            }
        }
        Ok(())
    }

    /// Returns where a job's output went, or nothing when it has none: a queue's tasks return values.
    ///
    /// # Errors
    /// When the job has not succeeded, or the broker fails.
    pub async fn output(&self, job: &JobId) -> Result<Option<Output>, Error> {
        let machine = self.replay(job).await?;
        let progress = JobProgress::of(job, &machine);
        if !progress.succeeded() {
            return Err(Error::NoResults {
                job: job.clone(),
                state: progress.sentence(),
            });
        }
        let spec = match machine.submission().map(|submission| &submission.spec) {
            None => return Ok(None),
            Some(Payload::Inline(bytes)) => bytes.clone(),
            Some(Payload::Blob(name)) => {
                let blob = self.broker.get_blob(job, name).await?;
                blob.ok_or_else(|| Error::BlobMissing { name: name.clone() })?
            }
        };
        Ok(wire::decode::<JobSpec>(&spec)?.output)
    }

    /// Returns what the tasks of a queue returned, by task number, as JSON. Tasks that returned nothing are
    /// left out.
    ///
    /// # Errors
    /// When the job has not succeeded, or the broker fails.
    pub async fn results(&self, job: &JobId) -> Result<Vec<(u32, Bytes)>, Error> {
        let progress = self.status(job).await?;
        if !progress.succeeded() {
            return Err(Error::NoResults {
                job: job.clone(),
                state: progress.sentence(),
            });
        }
        let mut found = std::collections::BTreeMap::new();
        for (_, event) in broker::events(&self.broker.read_log(job).await?) {
            if let Event::TaskSucceeded(success) = event {
                // The first success of a task counts.
                found.entry(success.task.index).or_insert(success.result);
            }
        }
        let mut results = Vec::new();
        for (task, result) in found {
            match result {
                None => {}
                Some(Payload::Inline(bytes)) => results.push((task, bytes)),
                Some(Payload::Blob(name)) => {
                    let blob = self.broker.get_blob(job, &name).await?;
                    results.push((task, blob.ok_or(Error::BlobMissing { name })?));
                }
            }
        }
        Ok(results)
    }
}
