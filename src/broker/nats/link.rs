//! Requests that may be sent again: on a time-out, on a server that is starting, on a new connection.
//!
//! Every request of this room is one that does no harm twice: it reads, it carries a message id, or it
//! settles. So each is repeated until it is answered or [`NatsConfig::patience`] ends.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::{Client, Request, RequestError, RequestErrorKind};
use async_nats::connection::State;
use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::NatsConfig;
use crate::broker::Error;

/// How long one try may go unanswered on a connection that seems well.
const TRY_TIMEOUT: Duration = Duration::from_secs(3);
/// How long JetStream may be off on a server that has just started.
const START_MAX: Duration = Duration::from_secs(2);
/// How long a cluster of servers may take to agree on a leader; it does not answer before.
const ELECTION_MAX: Duration = Duration::from_secs(30);
/// Pause before a refused try is repeated.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection, shared by all that a broker does.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) client: Client,
    /// Counts connections made, so that whoever waits for an answer hears that it will not come.
    connections: Arc<watch::Sender<u64>>,
    patience: Duration,
    url: String,
}

/// What JetStream says when it refuses.
#[derive(Debug, Clone, serde::Deserialize, thiserror::Error)]
#[error("{description} (code {code}, error {err_code})")]
pub(super) struct ApiError {
    pub(super) code: u16,
    #[serde(default)]
    pub(super) err_code: u32,
    #[serde(default)]
    pub(super) description: String,
}

/// Names of the refusals that are told apart.
pub(super) mod refusal {
    pub(in super::super) const NO_SUCH_CONSUMER: u32 = 10014;
    pub(in super::super) const NO_MESSAGE: u32 = 10037;
    pub(in super::super) const STREAM_NAME_IN_USE: u32 = 10058;
    pub(in super::super) const NO_SUCH_STREAM: u32 = 10059;
    pub(in super::super) const SUBJECTS_OVERLAP: u32 = 10065;
    pub(in super::super) const REPLICAS_WITHOUT_CLUSTER: u32 = 10074;
    pub(super) const OFF: u32 = 10076;
    pub(super) const OFF_FOR_ACCOUNT: u32 = 10039;
    /// Limits of streams, accounts and servers.
    pub(super) const FULL: [u32; 6] = [10077, 10023, 10002, 10028, 10047, 10122];
}

#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<ApiError>,
}

impl Link {
    pub(super) fn new(
        client: Client,
        connections: watch::Sender<u64>,
        config: &NatsConfig,
    ) -> Self {
        Self {
            client,
            connections: Arc::new(connections),
            patience: config.patience,
            url: config.shown_url(),
        }
    }

    /// Tells of every connection made from now on.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        self.connections.subscribe()
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request until it is answered, and returns the answer.
    pub(super) async fn request(
        &self,
        action: &'static str,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Error> {
        self.request_until(action, subject, headers, payload, usize::MAX)
            .await
    }

    /// Sends a request until it is answered, or goes unanswered on a good connection `silences_max`
    /// times.
    pub(super) async fn request_until(
        &self,
        action: &'static str,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
        silences_max: usize,
    ) -> Result<Message, Error> {
        let deadline = Instant::now() + self.patience;
        let mut connections = self.connections();
        let mut silences = 0;
        loop {
            connections.borrow_and_update();
            let mut request = Request::new()
                .payload(payload.clone())
                .timeout(Some(TRY_TIMEOUT));
            request.headers = headers.clone();
            let answer = tokio::select! {
                answer = self.client.send_request(subject.clone(), request) => answer,
                // What was sent before may be lost with the old connection.
                _ = connections.changed() => continue,
            };
            let error = match answer {
                Ok(message) if !is_busy(&message) => return Ok(message),
                Ok(message) => api_error(&message).map_or_else(|| "busy".into(), Into::into),
                Err(error) => {
                    let silent = error.kind() == RequestErrorKind::TimedOut;
                    let connected = self.client.connection_state() == State::Connected;
                    silences += usize::from(silent && connected);
                    boxed_if_passing(action, error)?
                }
            };
            if silences >= silences_max {
                return Err(Link::failed(action, error));
            }
            if Instant::now() + PAUSE >= deadline {
                let within = self.patience;
                return Err(Link::failed(
                    action,
                    Unanswered {
                        within,
                        source: error,
                    },
                ));
            }
            tracing::debug!(%error, action, "nats request repeated");
            // A reconnection is a reason to try at once.
            let _ = timeout(PAUSE, connections.changed()).await;
        }
    }

    /// Publishes to a stream and waits until it is recorded.
    pub(super) async fn record(
        &self,
        action: &'static str,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Error> {
        let answer = self
            .request(action, subject, Some(headers), payload)
            .await?;
        match Recorded::of(action, &answer)? {
            Recorded::Yes => Ok(()),
            Recorded::NotNow => Err(Self::failed(action, "the server is busy")),
        }
    }

    /// Asks JetStream's API; the outer error is of the transport, the inner one a refusal.
    pub(super) async fn api<T: DeserializeOwned>(
        &self,
        action: &'static str,
        subject: String,
        body: &impl Serialize,
    ) -> Result<Result<T, ApiError>, Error> {
        self.api_until(action, subject, body, usize::MAX).await
    }

    /// As [`Self::api`], but gives up when the server was silent on a good connection `silences_max` times.
    pub(super) async fn api_until<T: DeserializeOwned>(
        &self,
        action: &'static str,
        subject: String,
        body: &impl Serialize,
        silences_max: usize,
    ) -> Result<Result<T, ApiError>, Error> {
        let wrong = |source: serde_json::Error| Error::Request {
            action,
            source: source.into(),
        };
        let body = serde_json::to_vec(body).map_err(wrong)?;
        let subject = format!("$JS.API.{subject}");
        let answer = self
            .request_until(action, subject, None, body.into(), silences_max)
            .await?;
        if let Some(error) = api_error(&answer) {
            return Ok(Err(error));
        }
        serde_json::from_slice(&answer.payload)
            .map(Ok)
            .map_err(wrong)
    }

    /// Asks whether JetStream is on; a server that starts just now is given a moment.
    pub(super) async fn has_jetstream(&self) -> Result<bool, Error> {
        let started = Instant::now();
        loop {
            let request = Request::new().timeout(Some(TRY_TIMEOUT));
            let answer = self.client.send_request("$JS.API.INFO", request).await;
            let (off, source): (bool, BoxedError) = match answer {
                Ok(message) => match api_error(&message) {
                    None => return Ok(true),
                    Some(error) => (
                        matches!(error.err_code, refusal::OFF | refusal::OFF_FOR_ACCOUNT),
                        error.into(),
                    ),
                },
                Err(error) => (error.kind() == RequestErrorKind::NoResponders, error.into()),
            };
            let patience = if off { START_MAX } else { ELECTION_MAX };
            if started.elapsed() < patience {
                sleep_until(Instant::now() + PAUSE).await;
            } else if off {
                return Ok(false);
            } else {
                let url = self.url.clone();
                return Err(Error::Unreachable { url, source });
            }
        }
    }

    /// Fails an `action` for a reason of our own.
    pub(super) fn failed(action: &'static str, source: impl Into<BoxedError>) -> Error {
        Error::Request {
            action,
            source: source.into(),
        }
    }
}

/// Says that a server did not do for long what it was asked, over and over.
#[derive(Debug, thiserror::Error)]
#[error(
    "no answer within {within:?}; the server's own log says why (its disk is full, or too few of its peers are up)"
)]
struct Unanswered {
    within: Duration,
    source: BoxedError,
}

/// What an acknowledgement of a stream says.
pub(super) enum Recorded {
    /// The message is recorded, now or before.
    Yes,
    /// The server asks for another try.
    NotNow,
}

impl Recorded {
    pub(super) fn of(action: &'static str, answer: &Message) -> Result<Self, Error> {
        match api_error(answer) {
            None => Ok(Self::Yes),
            Some(error) if is_passing(&error) => Ok(Self::NotNow),
            Some(error) if refusal::FULL.contains(&error.err_code) => Err(Error::Full {
                reason: error.to_string(),
            }),
            Some(error) => Err(Link::failed(action, error)),
        }
    }
}

pub(super) type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Returns the error if repeating the request may help.
fn boxed_if_passing(action: &'static str, error: RequestError) -> Result<BoxedError, Error> {
    match error.kind() {
        RequestErrorKind::TimedOut | RequestErrorKind::NoResponders => Ok(error.into()),
        RequestErrorKind::InvalidSubject
        | RequestErrorKind::MaxPayloadExceeded
        | RequestErrorKind::Other => Err(Link::failed(action, error)),
    }
}

fn is_busy(message: &Message) -> bool {
    api_error(message).is_some_and(|error| is_passing(&error))
}

/// A server that starts, or that seeks a leader, answers 503 and is better in a moment.
fn is_passing(error: &ApiError) -> bool {
    error.code == 503
        && !refusal::FULL.contains(&error.err_code)
        && ![refusal::OFF, refusal::OFF_FOR_ACCOUNT].contains(&error.err_code)
}

fn api_error(message: &Message) -> Option<ApiError> {
    // A refusal is short and without headers; anything else is an answer, maybe of raw bytes.
    if message.payload.len() > 4096 || message.headers.is_some() {
        return None;
    }
    serde_json::from_slice::<Answer>(&message.payload)
        .ok()?
        .error
}
