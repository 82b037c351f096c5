//! Reads a stream in order, without gap or repetition, over reconnects and restarts of the server.
//!
//! An ephemeral consumer pushes; its heartbeats tell of silence, its sequence of gaps. On either, and on a
//! new connection, another consumer is made from after the last message seen.

use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy};
use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::delivery::Facts;
use super::link::Link;
use crate::broker::{Error, LogRecord};

const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence after which the consumer is taken for dead.
const SILENCE_MAX: Duration = Duration::from_millis(2_500);
/// How long the server keeps a consumer that nobody listens to.
const ABANDONED_AFTER: Duration = Duration::from_secs(10);

/// A place in a stream, and what reads on from there.
pub(super) struct Follow {
    link: Link,
    stream: String,
    filter: String,
    /// The sequence of the last message seen.
    seen: u64,
    session: Option<Session>,
    connections: watch::Receiver<u64>,
}

struct Session {
    subscriber: Subscriber,
    consumer: String,
    /// How many messages this consumer delivered.
    delivered: u64,
}

/// What comes next.
pub(super) enum Next {
    Record(LogRecord),
    /// There is nothing now.
    Nothing,
}

enum Step {
    Next(Next),
    Skip,
    Broken(&'static str),
}

impl Follow {
    /// Opens a stream before its first message.
    pub(super) async fn open(link: &Link, stream: String, filter: String) -> Result<Self, Error> {
        let mut follow = Self {
            connections: link.connections(),
            link: link.clone(),
            stream,
            filter,
            seen: 0,
            session: None,
        };
        follow.session = Some(follow.new_session().await?);
        Ok(follow)
    }

    /// Makes a consumer, under another name each time that the servers do not answer: one that they gave to a server
    /// that has just died is never made.
    async fn new_session(&self) -> Result<Session, Error> {
        let deadline = Instant::now() + self.link.patience();
        loop {
            match self.try_session().await? {
                Ok(session) => return Ok(session),
                Err(silent) if Instant::now() >= deadline => return Err(silent),
                Err(silent) => {
                    tracing::debug!(error = %silent, stream = self.stream, "another consumer is tried");
                }
            }
        }
    }

    /// The inner error says that nobody answered.
    async fn try_session(&self) -> Result<Result<Session, Error>, Error> {
        const ACTION: &str = "follow a stream";
        let inbox = self.link.client.new_inbox();
        let consumer = format!("f{:016x}", rand::random::<u64>());
        let subscriber = self
            .link
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| Link::failed(ACTION, error))?;
        let config = consumer::Config {
            deliver_subject: Some(inbox),
            name: Some(consumer.clone()),
            deliver_policy: match self.seen {
                0 => DeliverPolicy::All,
                seen => DeliverPolicy::ByStartSequence {
                    start_sequence: seen.saturating_add(1),
                },
            },
            ack_policy: AckPolicy::None,
            filter_subject: self.filter.clone(),
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: ABANDONED_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..consumer::Config::default()
        };
        let subject = format!("CONSUMER.CREATE.{}.{consumer}.{}", self.stream, self.filter);
        let body = serde_json::json!({ "stream_name": self.stream, "config": config });
        let made = self
            .link
            .api_until::<serde::de::IgnoredAny>(ACTION, subject, &body, 1);
        match made.await {
            Ok(Ok(_)) => Ok(Ok(Session {
                subscriber,
                consumer,
                delivered: 0,
            })),
            Ok(Err(refusal)) => Err(Link::failed(ACTION, refusal)),
            Err(silent) => Ok(Err(silent)),
        }
    }

    /// Waits for the next record, or for a heartbeat that says there is none.
    pub(super) async fn next(&mut self) -> Result<Next, Error> {
        loop {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => {
                    self.connections.borrow_and_update();
                    self.new_session().await?
                }
            };
            let step = tokio::select! {
                message = timeout(SILENCE_MAX, session.subscriber.next()) => match message {
                    Ok(Some(message)) => self.take(&mut session, message).await,
                    Ok(None) => Step::Broken("subscription ended"),
                    Err(_) => Step::Broken("no heartbeat"),
                },
                _ = self.connections.changed() => Step::Broken("new connection"),
            };
            match step {
                Step::Broken(why) => {
                    tracing::debug!(why, stream = self.stream, "following again");
                }
                Step::Skip => self.session = Some(session),
                Step::Next(next) => {
                    self.session = Some(session);
                    return Ok(next);
                }
            }
        }
    }

    async fn take(&mut self, session: &mut Session, message: Message) -> Step {
        if let Some(status) = message.status {
            return match status {
                StatusCode::IDLE_HEARTBEAT => self.heartbeat(session, message).await,
                _ => Step::Broken("status"),
            };
        }
        let Some(facts) = message.reply.as_deref().and_then(Facts::parse) else {
            return Step::Skip;
        };
        if facts.consumer_sequence != session.delivered.saturating_add(1) {
            return Step::Broken("gap");
        }
        session.delivered = facts.consumer_sequence;
        self.seen = facts.sequence;
        Step::Next(Next::Record(LogRecord {
            sequence: facts.sequence,
            at: facts.at,
            payload: message.payload,
        }))
    }

    async fn heartbeat(&self, session: &Session, message: Message) -> Step {
        let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.as_str().to_owned());
        // A request of flow control comes with a reply subject, or names it in a header.
        let flow = message
            .reply
            .as_ref()
            .map(ToString::to_string)
            .or_else(|| header("Nats-Consumer-Stalled"));
        if let Some(flow) = flow {
            // An error is a lost connection: the next heartbeat is missed.
            let _ = self.link.client.publish(flow, Default::default()).await;
            return Step::Skip;
        }
        match header("Nats-Last-Consumer").and_then(|last| last.parse::<u64>().ok()) {
            Some(last) if last != session.delivered => Step::Broken("gap before a heartbeat"),
            _ => Step::Next(Next::Nothing),
        }
    }

    /// Removes the consumer at once, where many are made one after the other.
    async fn close(self) {
        if let Some(session) = self.session {
            let subject = format!(
                "$JS.API.CONSUMER.DELETE.{}.{}",
                self.stream, session.consumer
            );
            let reply = self.link.client.new_inbox();
            // If it is lost, the server removes the consumer after a while.
            let _ = self
                .link
                .client
                .publish_with_reply(subject, reply, Default::default())
                .await;
        }
    }
}

/// Reads all that a stream holds now under a subject.
pub(super) async fn read_all(
    link: &Link,
    stream: String,
    filter: String,
) -> Result<Vec<LogRecord>, Error> {
    let mut records = Vec::new();
    let Some(mut last) = last_sequence(link, &stream, &filter).await? else {
        return Ok(records);
    };
    let mut follow = Follow::open(link, stream.clone(), filter.clone()).await?;
    loop {
        match follow.next().await? {
            Next::Record(record) => {
                let sequence = record.sequence;
                records.push(record);
                if sequence >= last {
                    break;
                }
            }
            // The last record may have been removed since.
            Next::Nothing => match last_sequence(link, &stream, &filter).await? {
                Some(now) if now > follow.seen => last = now,
                _ => break,
            },
        }
    }
    follow.close().await;
    Ok(records)
}

#[derive(serde::Deserialize)]
struct Last {
    message: LastMessage,
}

#[derive(serde::Deserialize)]
struct LastMessage {
    seq: u64,
}

/// Asks the leader of the stream for the last sequence under a subject.
async fn last_sequence(link: &Link, stream: &str, subject: &str) -> Result<Option<u64>, Error> {
    const ACTION: &str = "find the last record";
    let api = format!("STREAM.MSG.GET.{stream}");
    let body = serde_json::json!({ "last_by_subj": subject });
    match link.api::<Last>(ACTION, api, &body).await? {
        Ok(last) => Ok(Some(last.message.seq)),
        Err(error) if error.err_code == super::link::refusal::NO_MESSAGE => Ok(None),
        Err(error) => Err(Link::failed(ACTION, error)),
    }
}
