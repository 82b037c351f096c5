//! The broker of one process: queues, logs, blobs and records in memory.
//!
//! It keeps the promises of JetStream and no others: at least once, late settles accepted, ids
//! remembered for minutes only, payloads limited. Read `queue` first. Nothing runs in the
//! background: leases expire when somebody pulls, records when somebody lists.

mod log;
mod memory_of_ids;
mod queue;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;
use tokio::time::Instant;

use self::log::Logs;
use self::queue::WaitingQueue;
use super::{
    Broker, DeadLetter, Delivery, Error, Lease, LogRecord, LogStream, Message, Queue, Settle,
    Signal, WorkerRecord,
};
use crate::ids::{Incarnation, JobId, LetterId, QueueName, WorkerId};
use crate::time::Timestamp;

/// Sets up an [`EmbeddedBroker`]; the defaults are those of [`super::NatsConfig`].
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// How long a job's delivery is leased when it is not extended; default 5 s.
    pub jobs_lease: Duration,
    /// How long a task's delivery is leased when it is not extended; default 10 s.
    pub tasks_lease: Duration,
    /// The most bytes of one message or record; default what a NATS server takes by default.
    pub payload_limit: usize,
    /// How long ids are remembered; default 2 minutes.
    pub duplicate_window: Duration,
    /// The most messages that a queue holds; more are refused with [`Error::Full`]. Default: no limit.
    pub queue_messages_max: Option<u64>,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            jobs_lease: super::JOBS_LEASE,
            tasks_lease: super::TASKS_LEASE,
            payload_limit: (1 << 20) - super::PAYLOAD_SLACK_BYTES,
            duplicate_window: super::DUPLICATE_WINDOW,
            queue_messages_max: None,
        }
    }
}

/// A broker for one process; share it behind its `Arc`.
#[derive(Debug)]
pub struct EmbeddedBroker {
    config: EmbeddedConfig,
    jobs: WaitingQueue,
    tasks: WaitingQueue,
    logs: Mutex<Logs>,
    blobs: Mutex<BTreeMap<(JobId, String), Bytes>>,
    workers: Mutex<HashMap<WorkerId, (WorkerRecord, Instant)>>,
    signals: broadcast::Sender<Signal>,
    dead: Mutex<Vec<DeadLetter>>,
}

/// Signals that a slow listener may fall behind before it misses some; they only hasten things.
const SIGNALS_BEHIND_MAX: usize = 1024;

impl EmbeddedBroker {
    /// Makes an empty broker.
    #[must_use]
    pub fn new(config: EmbeddedConfig) -> Arc<Self> {
        let queue = |name, lease| WaitingQueue::new(name, lease, &config);
        Arc::new(Self {
            jobs: queue('j', config.jobs_lease),
            tasks: queue('t', config.tasks_lease),
            logs: Mutex::new(Logs::new(config.duplicate_window)),
            blobs: Mutex::default(),
            workers: Mutex::default(),
            signals: broadcast::Sender::new(SIGNALS_BEHIND_MAX),
            dead: Mutex::default(),
            config,
        })
    }

    fn queue(&self, queue: Queue) -> &WaitingQueue {
        match queue {
            Queue::Jobs => &self.jobs,
            Queue::Tasks => &self.tasks,
        }
    }

    fn check_size(&self, payload: &Bytes) -> Result<(), Error> {
        super::check_size(payload.len(), self.config.payload_limit)
    }

    fn queue_of(&self, lease: &Lease) -> Result<(&WaitingQueue, u64), Error> {
        [&self.jobs, &self.tasks]
            .into_iter()
            .find_map(|queue| Some((queue, queue.key_of(lease)?)))
            .ok_or_else(|| super::foreign_lease(lease))
    }
}

/// Locks, whatever became of the thread that held the lock before: each critical section leaves
/// its value whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Broker for EmbeddedBroker {
    fn payload_limit(&self) -> usize {
        self.config.payload_limit
    }

    async fn publish(&self, queue: Queue, messages: Vec<Message>) -> Result<(), Error> {
        for message in &messages {
            self.check_size(&message.payload)?;
        }
        self.queue(queue).publish(messages)
    }

    async fn pull(
        &self,
        queue: Queue,
        names: &[QueueName],
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, Error> {
        Ok(self.queue(queue).pull(names, max, wait).await)
    }

    fn lease_duration(&self, queue: Queue) -> Duration {
        match queue {
            Queue::Jobs => self.config.jobs_lease,
            Queue::Tasks => self.config.tasks_lease,
        }
    }

    async fn serve(&self, _: &[QueueName]) -> Result<(), Error> {
        Ok(())
    }

    async fn extend(&self, lease: &Lease) -> Result<(), Error> {
        let (queue, key) = self.queue_of(lease)?;
        queue.extend(key);
        Ok(())
    }

    async fn settle(&self, lease: &Lease, how: Settle) -> Result<(), Error> {
        let (queue, key) = self.queue_of(lease)?;
        match how {
            Settle::Done | Settle::Recorded | Settle::Drop { .. } => queue.remove(key),
            Settle::Retry { delay } => queue.retry(key, delay),
        }
        Ok(())
    }

    async fn append(&self, job: &JobId, id: Option<String>, payload: Bytes) -> Result<(), Error> {
        self.check_size(&payload)?;
        lock(&self.logs).append(job, id, payload);
        Ok(())
    }

    async fn tail(&self, job: &JobId) -> Result<LogStream, Error> {
        let (log, changed) = lock(&self.logs).open(job);
        Ok(log::follow(log, changed).boxed())
    }

    async fn read_log(&self, job: &JobId) -> Result<Vec<LogRecord>, Error> {
        Ok(lock(&self.logs).read(job))
    }

    async fn jobs(&self) -> Result<Vec<JobId>, Error> {
        Ok(lock(&self.logs).jobs())
    }

    async fn put_blob(&self, job: &JobId, name: &str, payload: Bytes) -> Result<(), Error> {
        lock(&self.blobs).insert((job.clone(), name.to_owned()), payload);
        Ok(())
    }

    async fn get_blob(&self, job: &JobId, name: &str) -> Result<Option<Bytes>, Error> {
        let key = (job.clone(), name.to_owned());
        Ok(lock(&self.blobs).get(&key).cloned())
    }

    async fn forget(&self, job: &JobId) -> Result<(), Error> {
        lock(&self.logs).forget(job);
        lock(&self.blobs).retain(|(of, _), _| of != job);
        Ok(())
    }

    async fn announce(
        &self,
        id: &WorkerId,
        incarnation: Incarnation,
        payload: Bytes,
        ttl: Duration,
    ) -> Result<(), Error> {
        self.check_size(&payload)?;
        let record = WorkerRecord {
            id: id.clone(),
            incarnation,
            at: Timestamp::from_system(SystemTime::now()),
            payload,
        };
        let until = Instant::now() + super::whole_seconds(ttl);
        lock(&self.workers).insert(id.clone(), (record, until));
        Ok(())
    }

    async fn withdraw(&self, id: &WorkerId) -> Result<(), Error> {
        lock(&self.workers).remove(id);
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>, Error> {
        let now = Instant::now();
        let mut workers = lock(&self.workers);
        workers.retain(|_, (_, until)| *until > now);
        let mut records: Vec<_> = workers.values().map(|(record, _)| record.clone()).collect();
        records.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(records)
    }

    async fn signal(&self, signal: Signal) -> Result<(), Error> {
        // An error only says that nobody listens.
        let _ = self.signals.send(signal);
        Ok(())
    }

    async fn signals(&self) -> Result<BoxStream<'static, Signal>, Error> {
        let receiver = self.signals.subscribe();
        Ok(stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(signal) => return Some((signal, receiver)),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "signals missed");
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
        .boxed())
    }

    async fn bury(&self, letter: DeadLetter) -> Result<(), Error> {
        let mut dead = lock(&self.dead);
        dead.retain(|kept| kept.id != letter.id);
        dead.push(letter);
        Ok(())
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        Ok(lock(&self.dead).clone())
    }

    async fn unbury(&self, id: &LetterId) -> Result<(), Error> {
        lock(&self.dead).retain(|kept| kept.id != *id);
        Ok(())
    }
}
