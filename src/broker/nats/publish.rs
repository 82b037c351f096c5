//! Publishes many messages in order without waiting for each: one inbox takes all acknowledgements.
//!
//! Whatever is not acknowledged, for whichever reason, is sent again under its id by [`Link::record`].

use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::link::{Link, Recorded};
use crate::broker::Error;

/// Messages published and not yet acknowledged.
const UNACKNOWLEDGED_MAX: usize = 2_000;
/// Their bytes, when messages are large.
const UNACKNOWLEDGED_BYTES_MAX: usize = 16 << 20;
/// Silence after which acknowledgements are not waited for any more.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const ACTION: &str = "publish to a queue";

/// A message on its way to a stream.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// Publishes messages in order and returns when all are recorded.
pub(super) async fn publish(link: &Link, messages: Vec<Outgoing>) -> Result<(), Error> {
    let largest = messages.iter().map(|message| message.payload.len()).max();
    let at_once =
        (UNACKNOWLEDGED_BYTES_MAX / largest.unwrap_or(1).max(1)).clamp(1, UNACKNOWLEDGED_MAX);
    let recorded = if messages.len() > 1 {
        Pipeline::open(link, messages.len())
            .await?
            .run(&messages, at_once)
            .await?
    } else {
        Vec::new()
    };
    let again = messages
        .into_iter()
        .enumerate()
        .filter(|(index, _)| !recorded.get(*index).copied().unwrap_or(false))
        .map(|(_, message)| link.record(ACTION, message.subject, message.headers, message.payload));
    stream::iter(again)
        .buffered(at_once)
        .try_collect::<()>()
        .await
}

struct Pipeline<'a> {
    link: &'a Link,
    inbox: String,
    acknowledgements: Subscriber,
    connections: watch::Receiver<u64>,
    recorded: Vec<bool>,
    waiting: usize,
}

/// Acknowledgements cannot be relied on any more.
struct Lost;

impl<'a> Pipeline<'a> {
    async fn open(link: &'a Link, messages: usize) -> Result<Self, Error> {
        let connections = link.connections();
        let inbox = link.client.new_inbox();
        let acknowledgements = link
            .client
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|error| Link::failed(ACTION, error))?;
        Ok(Self {
            link,
            inbox,
            acknowledgements,
            connections,
            recorded: vec![false; messages],
            waiting: 0,
        })
    }

    /// Returns which messages are recorded for certain.
    async fn run(mut self, messages: &[Outgoing], at_once: usize) -> Result<Vec<bool>, Error> {
        for (index, message) in messages.iter().enumerate() {
            self.link
                .client
                .publish_with_reply_and_headers(
                    message.subject.clone(),
                    format!("{}.{index}", self.inbox),
                    message.headers.clone(),
                    message.payload.clone(),
                )
                .await
                .map_err(|error| Link::failed(ACTION, error))?;
            self.waiting += 1;
            while self.waiting >= at_once {
                if let Err(Lost) = self.acknowledge().await? {
                    return Ok(self.recorded);
                }
            }
        }
        while self.waiting > 0 {
            if let Err(Lost) = self.acknowledge().await? {
                break;
            }
        }
        Ok(self.recorded)
    }

    async fn acknowledge(&mut self) -> Result<Result<(), Lost>, Error> {
        let message = tokio::select! {
            biased;
            message = timeout(SILENCE_MAX, self.acknowledgements.next()) => message,
            _ = self.connections.changed() => return Ok(Err(Lost)),
        };
        let Ok(Some(message)) = message else {
            return Ok(Err(Lost));
        };
        self.waiting -= 1;
        if let (true, Some(recorded)) = (is_recorded(&message)?, self.index(&message)) {
            *recorded = true;
        }
        Ok(Ok(()))
    }

    fn index(&mut self, message: &Message) -> Option<&mut bool> {
        let index = message.subject.rsplit('.').next()?.parse::<usize>().ok()?;
        self.recorded.get_mut(index)
    }
}

/// Reads an acknowledgement; `false` when the message is better sent again.
fn is_recorded(message: &Message) -> Result<bool, Error> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Ok(false);
    }
    match Recorded::of(ACTION, message)? {
        Recorded::Yes => Ok(true),
        Recorded::NotNow => Ok(false),
    }
}
