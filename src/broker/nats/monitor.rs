//! What only a server's monitoring endpoint tells: when it writes to disk what it has acknowledged, and how much room it has.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::survey::{ClockReading, timestamp};
use super::tls::install_crypto_provider;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What a server says at its monitoring endpoint (`http_port` in its configuration).
#[derive(Debug, Clone)]
pub struct Monitored {
    /// Names this run of the server: [`super::Survey::server_id`] of a client that is connected to it.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// How its clock compares with this machine's; nothing when it did not say.
    pub clock: Option<ClockReading>,
    /// How JetStream keeps its files; nothing when it is off.
    pub files: Option<Files>,
}

/// How JetStream keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Whether every write is on disk before it is acknowledged.
    pub sync_always: bool,
    /// How often written files are synced otherwise.
    pub sync_interval: Duration,
    /// Bytes that it holds.
    pub used_bytes: u64,
    /// Bytes that it may hold.
    pub limit_bytes: Option<u64>,
    /// Where they are.
    pub folder: String,
}

/// Says why a server did not tell.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not reached, or did not answer with success.
    #[error("no monitoring endpoint answers at {url}")]
    Request {
        /// What was asked for.
        url: String,
        /// What the client said.
        source: reqwest::Error,
    },
    /// The answer is longer than any server's.
    #[error("what answers at {url} is no nats-server: it sends more than {ANSWER_BYTES_MAX} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
    },
    /// The answer is something else.
    #[error("what answers at {url} is no nats-server")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Varz {
    server_id: String,
    #[serde(default)]
    server_name: String,
    now: Option<String>,
    #[serde(default)]
    jetstream: JetStream,
}

#[derive(Deserialize, Default)]
struct JetStream {
    config: Option<Config>,
    stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    sync_always: bool,
    #[serde(default)]
    sync_interval: u64,
    #[serde(default)]
    max_storage: i64,
    #[serde(default)]
    store_dir: String,
}

#[derive(Deserialize)]
struct Stats {
    #[serde(default)]
    storage: u64,
}

impl Monitored {
    /// Asks the endpoint at a URL such as `http://host:8222`; waits at most `patience`.
    ///
    /// # Errors
    /// When nothing answers in time, or something that is no nats-server does.
    pub async fn read(url: &str, patience: Duration) -> Result<Self, Error> {
        let url = format!("{}/varz", url.trim_end_matches('/'));
        let failed = |source| Error::Request {
            url: url.clone(),
            source,
        };
        install_crypto_provider();
        let client = reqwest::Client::builder().timeout(patience).no_proxy();
        let request = client.build().map_err(failed)?.get(&url);
        let before = SystemTime::now();
        let answer = request.send().await;
        let mut answer = answer
            .and_then(reqwest::Response::error_for_status)
            .map_err(failed)?;
        let after = SystemTime::now();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Error::TooLong { url });
            }
        }
        let varz: Varz =
            serde_json::from_slice(&body).map_err(|source| Error::Answer { url, source })?;
        let clock = varz.now.as_deref().and_then(timestamp);
        Ok(Self {
            server_id: varz.server_id,
            server_name: varz.server_name,
            clock: clock.map(|read| ClockReading::between(before, read, after)),
            files: files(varz.jetstream),
        })
    }
}

fn files(jetstream: JetStream) -> Option<Files> {
    let config = jetstream.config?;
    // Without JetStream the answer has an empty configuration.
    if config.store_dir.is_empty() {
        return None;
    }
    Some(Files {
        sync_always: config.sync_always,
        sync_interval: Duration::from_nanos(config.sync_interval),
        used_bytes: jetstream.stats.map_or(0, |stats| stats.storage),
        limit_bytes: u64::try_from(config.max_storage)
            .ok()
            .filter(|limit| *limit > 0),
        folder: config.store_dir,
    })
}
