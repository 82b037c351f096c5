//! The broker of a cluster: NATS JetStream.
//!
//! Everything that is sent may be sent again (message ids, settling, reading), so every call survives a
//! restart of the server in between. Read `layout` first (what is on the server), then `link` (how
//! requests are repeated), `pull` and `follow`.

mod blobs;
mod config;
mod connect;
mod delivery;
mod follow;
mod layout;
mod link;
pub mod monitor;
mod publish;
mod pull;
mod survey;
mod tls;
mod workers;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

pub use self::config::NatsConfig;
pub use self::monitor::Monitored;
pub use self::survey::{ClockReading, Storage, StreamSurvey, Survey};
pub use self::tls::install_crypto_provider;

use self::blobs::Blobs;
use self::follow::{Follow, Next};
use self::layout::Layout;
use self::link::Link;
use self::publish::Outgoing;
use self::pull::Pullers;
use super::{
    Broker, DeadLetter, Delivery, Error, Lease, LogRecord, LogStream, Message, Queue, Settle,
    Signal, WorkerRecord,
};
use crate::ids::{Incarnation, JobId, LetterId, QueueName, WorkerId};
use crate::wire;

/// How often settling may go unanswered. A server that was killed can forget that it delivered a message;
/// it never answers to settling it, and delivers it again.
const SETTLE_SILENCES_MAX: usize = 2;
/// Longest cause kept in a dead letter.
const CAUSE_BYTES_MAX: usize = 4_096;

/// Tries and bytes of each one's cause that a dead letter holds.
const TRIES_MAX: usize = 16;
const TRY_BYTES_MAX: usize = 512;
/// The header by which the server knows a message again.
const ID_HEADER: &str = "Nats-Msg-Id";

/// Pullers by what they pull.
type PullersOf = HashMap<(Queue, Vec<QueueName>), Arc<Pullers>>;

/// A broker on a NATS server, or a cluster of them.
#[derive(Debug)]
pub struct NatsBroker {
    config: NatsConfig,
    link: Link,
    layout: Layout,
    pullers: Mutex<PullersOf>,
    blobs: Blobs,
    payload_limit: usize,
}

impl NatsBroker {
    /// Connects, makes the streams, consumers and the bucket that are missing, and checks the others.
    /// Once connected it connects again by itself for as long as it lives.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no server answers within the connect timeout; [`Error::Unsuitable`]
    /// when it is older than 2.12, has no JetStream or refuses the credentials, or the configuration is
    /// wrong; [`Error::Conflict`] when something exists that is set up otherwise.
    pub async fn connect(config: NatsConfig) -> Result<Arc<Self>, Error> {
        let link = connect::connect(&config).await?;
        let layout = Layout::new(&config.prefix);
        layout.ensure(&link, &config).await?;
        let payload_limit = link
            .client
            .max_payload()
            .saturating_sub(super::PAYLOAD_SLACK_BYTES)
            .max(1);
        Ok(Arc::new(Self {
            pullers: Mutex::default(),
            blobs: Blobs::new(&link, &layout, payload_limit),
            config,
            link,
            layout,
            payload_limit,
        }))
    }

    /// Finds the pullers of these queues; when they are new, the queues' consumers are made.
    async fn pullers(&self, queue: Queue, names: &[QueueName]) -> Result<Arc<Pullers>, Error> {
        let known = |key: &_| {
            let pullers = self.pullers.lock();
            let pullers = pullers.unwrap_or_else(PoisonError::into_inner);
            pullers.get(key).cloned()
        };
        let key = (queue, names.to_vec());
        if let Some(pullers) = known(&key) {
            return Ok(pullers);
        }
        self.ensure(queue, names).await?;
        let lease = self.lease_duration(queue);
        let made = Pullers::new(&self.link, &self.layout, (queue, names), lease);
        let pullers = self.pullers.lock();
        let mut pullers = pullers.unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(
            pullers.entry(key).or_insert_with(|| Arc::new(made)),
        ))
    }

    /// Makes and checks the consumers of queues; those of the default queue are, since the connection.
    async fn ensure(&self, queue: Queue, names: &[QueueName]) -> Result<(), Error> {
        for name in names.iter().filter(|name| !name.is_default()) {
            let (link, config) = (&self.link, &self.config);
            self.layout.ensure_queue(link, config, queue, name).await?;
        }
        Ok(())
    }

    async fn confirm(&self, lease: &Lease, action: &'static str, how: String) -> Result<(), Error> {
        self.check_lease(lease)?;
        let subject = lease.0.clone();
        self.link
            .request_until(action, subject, None, how.into(), SETTLE_SILENCES_MAX)
            .await?;
        Ok(())
    }

    /// Says something of a delivery without waiting for an answer.
    async fn say(
        &self,
        lease: &Lease,
        action: &'static str,
        how: &'static str,
    ) -> Result<(), Error> {
        self.check_lease(lease)?;
        self.link
            .client
            .publish(lease.0.clone(), how.into())
            .await
            .map_err(|error| Link::failed(action, error))
    }

    fn check_lease(&self, lease: &Lease) -> Result<(), Error> {
        match delivery::Facts::parse(&lease.0) {
            Some(_) => Ok(()),
            None => Err(super::foreign_lease(lease)),
        }
    }
}

fn with_id(id: String) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ID_HEADER, id);
    headers
}

async fn purge(link: &Link, stream: &str, subject: String) -> Result<(), Error> {
    const ACTION: &str = "remove records";
    let api = format!("STREAM.PURGE.{stream}");
    let body = serde_json::json!({ "filter": subject });
    link.api::<serde::de::IgnoredAny>(ACTION, api, &body)
        .await?
        .map_err(|error| Link::failed(ACTION, error))?;
    Ok(())
}

#[async_trait]
impl Broker for NatsBroker {
    fn payload_limit(&self) -> usize {
        self.payload_limit
    }

    async fn publish(&self, queue: Queue, messages: Vec<Message>) -> Result<(), Error> {
        for message in &messages {
            super::check_size(message.payload.len(), self.payload_limit)?;
        }
        let outgoing = messages.into_iter().map(|message| Outgoing {
            subject: self.layout.queue_subject(
                queue,
                &message.queue,
                message.priority,
                message.lane,
            ),
            headers: with_id(message.id),
            payload: message.payload,
        });
        publish::publish(&self.link, outgoing.collect()).await
    }

    async fn pull(
        &self,
        queue: Queue,
        names: &[QueueName],
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, Error> {
        let pullers = self.pullers(queue, names).await?;
        let pulled = pullers.pull(max, wait).await;
        if pullers.was_refused() {
            // The next pull makes the consumers that are missing.
            let mut known = self.pullers.lock().unwrap_or_else(PoisonError::into_inner);
            known.remove(&(queue, names.to_vec()));
        }
        pulled
    }

    async fn serve(&self, names: &[QueueName]) -> Result<(), Error> {
        self.ensure(Queue::Jobs, names).await?;
        self.ensure(Queue::Tasks, names).await
    }

    fn lease_duration(&self, queue: Queue) -> Duration {
        match queue {
            Queue::Jobs => self.config.jobs_lease,
            Queue::Tasks => self.config.tasks_lease,
        }
    }

    async fn extend(&self, lease: &Lease) -> Result<(), Error> {
        self.say(lease, "extend a lease", "+WPI").await
    }

    async fn settle(&self, lease: &Lease, how: Settle) -> Result<(), Error> {
        match how {
            Settle::Recorded => self.say(lease, "settle a delivery", "+ACK").await,
            Settle::Done => {
                self.confirm(lease, "settle a delivery", "+ACK".into())
                    .await
            }
            Settle::Retry { delay } => {
                let delay = serde_json::json!({ "delay": u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX) });
                let how = format!("-NAK {delay}");
                self.confirm(lease, "give a delivery back", how).await
            }
            Settle::Drop { reason } => {
                let how = format!("+TERM {}", one_line(&reason));
                self.confirm(lease, "drop a delivery", how).await
            }
        }
    }

    async fn append(&self, job: &JobId, id: Option<String>, payload: Bytes) -> Result<(), Error> {
        super::check_size(payload.len(), self.payload_limit)?;
        // The ids of all jobs share one stream. A record without an id needs one all the same, so that
        // it can be sent again.
        let id = id.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let headers = with_id(format!("{job}/{id}"));
        let subject = self.layout.log_subject(job);
        self.link
            .record("append to a log", subject, headers, payload)
            .await
    }

    async fn tail(&self, job: &JobId) -> Result<LogStream, Error> {
        let subject = self.layout.log_subject(job);
        let follow = Follow::open(&self.link, self.layout.log_stream(), subject).await?;
        Ok(stream::try_unfold(follow, |mut follow| async move {
            loop {
                if let Next::Record(record) = follow.next().await? {
                    return Ok(Some((record, follow)));
                }
            }
        })
        .boxed())
    }

    async fn read_log(&self, job: &JobId) -> Result<Vec<LogRecord>, Error> {
        let subject = self.layout.log_subject(job);
        follow::read_all(&self.link, self.layout.log_stream(), subject).await
    }

    async fn jobs(&self) -> Result<Vec<JobId>, Error> {
        layout::jobs(&self.layout, &self.link).await
    }

    async fn put_blob(&self, job: &JobId, name: &str, payload: Bytes) -> Result<(), Error> {
        self.blobs.put(job, name, payload).await
    }

    async fn get_blob(&self, job: &JobId, name: &str) -> Result<Option<Bytes>, Error> {
        self.blobs.get(job, name).await
    }

    async fn forget(&self, job: &JobId) -> Result<(), Error> {
        let subject = self.layout.log_subject(job);
        purge(&self.link, &self.layout.log_stream(), subject).await?;
        self.blobs.forget(job).await
    }

    async fn announce(
        &self,
        id: &WorkerId,
        incarnation: Incarnation,
        payload: Bytes,
        ttl: Duration,
    ) -> Result<(), Error> {
        super::check_size(payload.len(), self.payload_limit)?;
        let ttl = super::whole_seconds(ttl);
        workers::announce(&self.link, &self.layout, id, incarnation, payload, ttl).await
    }

    async fn withdraw(&self, id: &WorkerId) -> Result<(), Error> {
        workers::withdraw(&self.link, &self.layout, id).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>, Error> {
        let mut records = workers::list(&self.link, &self.layout).await?;
        records.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(records)
    }

    async fn signal(&self, signal: Signal) -> Result<(), Error> {
        const ACTION: &str = "send a signal";
        let payload = wire::encode(&signal).map_err(|error| Link::failed(ACTION, error))?;
        let client = &self.link.client;
        client
            .publish(self.layout.signal_subject(), payload)
            .await
            .map_err(|error| Link::failed(ACTION, error))?;
        client
            .flush()
            .await
            .map_err(|error| Link::failed(ACTION, error))
    }

    async fn signals(&self) -> Result<BoxStream<'static, Signal>, Error> {
        let subject = self.layout.signal_subject();
        let subscriber = self
            .link
            .client
            .subscribe(subject)
            .await
            .map_err(|error| Link::failed("listen to signals", error))?;
        // The answer to anything sent after the subscription says that the server has it.
        self.link.has_jetstream().await?;
        Ok(subscriber
            .filter_map(|message| async move {
                wire::decode(&message.payload)
                    .inspect_err(|error| tracing::warn!(%error, "signal not understood"))
                    .ok()
            })
            .boxed())
    }

    async fn bury(&self, mut letter: DeadLetter) -> Result<(), Error> {
        const ACTION: &str = "keep a dead letter";
        shorten(&mut letter.cause, CAUSE_BYTES_MAX);
        let surplus = letter.tries.len().saturating_sub(TRIES_MAX);
        letter.tries.drain(..surplus);
        for tried in &mut letter.tries {
            shorten(&mut tried.cause, TRY_BYTES_MAX);
        }
        let payload = wire::encode(&letter).map_err(|error| Link::failed(ACTION, error))?;
        let headers = with_id(format!("{:032x}", rand::random::<u128>()));
        self.link
            .record(
                ACTION,
                self.layout.dead_subject(&letter.id),
                headers,
                payload,
            )
            .await
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        let (stream, subject) = (self.layout.dead_stream(), self.layout.dead_subjects());
        let records = follow::read_all(&self.link, stream, subject).await?;
        let decoded = records.iter().filter_map(|record| {
            wire::decode(&record.payload)
                .inspect_err(|error| {
                    tracing::warn!(sequence = record.sequence, %error, "dead letter not understood");
                })
                .ok()
        });
        Ok(decoded.collect())
    }

    async fn unbury(&self, id: &LetterId) -> Result<(), Error> {
        let subject = self.layout.dead_subject(id);
        purge(&self.link, &self.layout.dead_stream(), subject).await
    }
}

fn shorten(text: &mut String, bytes_max: usize) {
    let end = text.floor_char_boundary(bytes_max);
    text.truncate(end);
}

/// Makes a reason fit into one line of the protocol.
fn one_line(reason: &str) -> String {
    let end = reason.floor_char_boundary(CAUSE_BYTES_MAX);
    let line = reason.get(..end).unwrap_or_default();
    line.replace(|c: char| c.is_control(), " ")
}
