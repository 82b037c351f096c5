//! Worker records in a key-value bucket, each with a time to live that every write renews.

use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::layout::Layout;
use super::link::Link;
use super::survey::timestamp;
use crate::broker::{Error, WorkerRecord};
use crate::ids::{Incarnation, WorkerId};

const INCARNATION: &str = "Swath-Incarnation";
/// How long the mark of a withdrawn record stays.
const WITHDRAWN_MARK_TTL: &str = "60s";
/// How long the server may take to list the records.
const LIST_MAX: Duration = Duration::from_secs(5);
const LIST: &str = "list the workers";

pub(super) async fn announce(
    link: &Link,
    layout: &Layout,
    id: &WorkerId,
    incarnation: Incarnation,
    payload: Bytes,
    ttl: Duration,
) -> Result<(), Error> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-TTL", format!("{}s", ttl.as_secs()));
    headers.insert(INCARNATION, incarnation.to_string());
    let subject = format!("{}{id}", layout.workers_subject());
    link.record("announce a worker", subject, headers, payload)
        .await
}

pub(super) async fn withdraw(link: &Link, layout: &Layout, id: &WorkerId) -> Result<(), Error> {
    let mut headers = HeaderMap::new();
    headers.insert("KV-Operation", "PURGE");
    headers.insert("Nats-Rollup", "sub");
    headers.insert("Nats-TTL", WITHDRAWN_MARK_TTL);
    let subject = format!("{}{id}", layout.workers_subject());
    link.record("withdraw a worker", subject, headers, Bytes::new())
        .await
}

/// Lists the records with one request, which JetStream answers for up to 1,024 keys.
pub(super) async fn list(link: &Link, layout: &Layout) -> Result<Vec<WorkerRecord>, Error> {
    let deadline = Instant::now() + link.patience();
    loop {
        match list_once(link, layout).await {
            Ok(records) => return Ok(records),
            Err(Missed::Refused(error)) => return Err(error),
            Err(Missed::Passing(source)) if Instant::now() >= deadline => {
                return Err(Link::failed(LIST, source));
            }
            Err(Missed::Passing(reason)) => {
                tracing::debug!(reason, "workers listed again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

enum Missed {
    Refused(Error),
    Passing(&'static str),
}

async fn list_once(link: &Link, layout: &Layout) -> Result<Vec<WorkerRecord>, Missed> {
    let refused = |source: &str| Missed::Refused(Link::failed(LIST, source));
    let mut connections = link.connections();
    let inbox = link.client.new_inbox();
    let mut answers = link
        .client
        .subscribe(inbox.clone())
        .await
        .map_err(|error| refused(&error.to_string()))?;
    let subject = format!("$JS.API.DIRECT.GET.{}", layout.workers_stream());
    let body = serde_json::json!({ "multi_last": [format!("{}>", layout.workers_subject())] });
    link.client
        .publish_with_reply(subject, inbox, body.to_string().into())
        .await
        .map_err(|error| refused(&error.to_string()))?;
    let until = Instant::now() + LIST_MAX;
    let mut records = Vec::new();
    loop {
        let answer = tokio::select! {
            answer = timeout_at(until, answers.next()) => answer,
            _ = connections.changed() => return Err(Missed::Passing("a new connection")),
        };
        let message = match answer {
            Ok(Some(message)) => message,
            Ok(None) => return Err(refused("the connection is closed")),
            Err(_) => return Err(Missed::Passing("no answer")),
        };
        match message.status.map(|status| status.as_u16()) {
            None => records.extend(record(&message, layout)),
            // The end, or nothing there.
            Some(204 | 404) => return Ok(records),
            Some(413) => return Err(refused("there are more than 1,024 workers")),
            Some(_) if message.status == Some(StatusCode::NO_RESPONDERS) => {
                return Err(Missed::Passing("the server is starting"));
            }
            Some(_) => return Err(refused(&message.description.unwrap_or_default())),
        }
    }
}

/// Reads a record; `None` for the mark of one that ended.
fn record(message: &Message, layout: &Layout) -> Option<WorkerRecord> {
    let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.as_str());
    if header("KV-Operation").is_some() || header("Nats-Marker-Reason").is_some() {
        return None;
    }
    let id = header("Nats-Subject")?.strip_prefix(&layout.workers_subject())?;
    Some(WorkerRecord {
        id: WorkerId::new(id).ok()?,
        incarnation: Incarnation(header(INCARNATION)?.parse().ok()?),
        at: timestamp(header("Nats-Time-Stamp")?)?,
        payload: message.payload.clone(),
    })
}
