//! What a server is and how a cluster's streams lie on it, for whoever looks for what is wrong. Reads, and makes nothing.

use std::time::SystemTime;

use async_nats::jetstream::stream;
use serde::Deserialize;

use super::NatsConfig;
use super::connect;
use super::layout::Layout;
use super::link::{Link, refusal};
use crate::broker::Error;
use crate::time::Timestamp;

/// What a client sees of a server.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Names this run of the server: its monitoring endpoint says the same.
    pub server_id: String,
    /// The host to which the client is connected, as it was given.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Whether that is 2.12 or later, which Swath needs.
    pub supported: bool,
    /// The cluster of servers that it belongs to.
    pub cluster: Option<String>,
    /// The largest message that it takes, in bytes.
    pub payload_bytes_max: usize,
    /// What JetStream holds for the account; nothing when it is off.
    pub storage: Option<Storage>,
    /// The streams and the bucket of the prefix that there are.
    pub streams: Vec<StreamSurvey>,
    /// The names of those that there are not.
    pub missing: Vec<String>,
    /// How the clock of a server compares with this machine's; nothing when no stream was there to tell.
    pub clock: Option<ClockReading>,
}

/// What JetStream holds of one account, in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Storage {
    /// Bytes held.
    #[serde(rename = "storage")]
    pub used_bytes: u64,
    limits: StorageLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct StorageLimits {
    max_storage: i64,
}

impl Storage {
    /// Returns how many bytes the account may hold; nothing where only the server's own limit counts.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<u64> {
        u64::try_from(self.limits.max_storage).ok()
    }
}

/// One stream, or the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSurvey {
    /// Its name.
    pub name: String,
    /// How many copies it is to have.
    pub replicas: usize,
    /// Whether a server leads it, so that it can be written.
    pub has_leader: bool,
    /// The servers of its other copies that are gone.
    pub offline: Vec<String>,
    /// Bytes held.
    pub bytes: u64,
}

/// How another clock compares with this machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Microseconds that it is ahead; negative when it is behind.
    pub ahead_us: i64,
    /// How far off that may be, in microseconds: half the time that asking took.
    pub within_us: i64,
}

impl ClockReading {
    /// Compares a clock that was read between two moments of this machine's.
    #[must_use]
    pub fn between(before: SystemTime, read: Timestamp, after: SystemTime) -> Self {
        let [before, after] = [before, after].map(|time| Timestamp::from_system(time).0);
        let half = after.saturating_sub(before) / 2;
        Self {
            ahead_us: read.0.saturating_sub(before.saturating_add(half)),
            within_us: half,
        }
    }

    /// Returns what is certain of the difference, in microseconds.
    #[must_use]
    pub fn certain_us(&self) -> u64 {
        let within = u64::try_from(self.within_us).unwrap_or(0);
        self.ahead_us.unsigned_abs().saturating_sub(within)
    }
}

#[derive(Deserialize)]
struct StreamInfo {
    config: stream::Config,
    state: StreamState,
    cluster: Option<Copies>,
    ts: Option<String>,
}

#[derive(Deserialize)]
struct StreamState {
    #[serde(default)]
    bytes: u64,
}

#[derive(Deserialize)]
struct Copies {
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Copy>,
}

#[derive(Deserialize)]
struct Copy {
    name: String,
    #[serde(default)]
    offline: bool,
}

impl Survey {
    /// Connects and looks around, however old the server, and whether JetStream is on or not.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no server answers within the connect timeout, [`Error::Unsuitable`] when it refuses
    /// the credentials or the configuration is wrong, [`Error::Request`] when it stops answering.
    pub async fn of(config: &NatsConfig) -> Result<Self, Error> {
        let link = connect::open(config).await?;
        let server = link.client.server_info();
        let mut survey = Self {
            server_id: server.server_id,
            host: host_of(&config.url),
            supported: link.client.is_server_compatible(2, 12, 0),
            version: server.version,
            cluster: server.cluster.filter(|name| !name.is_empty()),
            payload_bytes_max: server.max_payload,
            storage: None,
            streams: Vec::new(),
            missing: Vec::new(),
            clock: None,
        };
        if !link.has_jetstream().await? {
            return Ok(survey);
        }
        let nothing = serde_json::json!({});
        let storage = link.api("look at the account", "INFO".to_owned(), &nothing);
        survey.storage = storage.await?.ok();
        for name in Layout::new(&config.prefix).stream_names(config) {
            survey.look_at(&link, name).await?;
        }
        Ok(survey)
    }

    async fn look_at(&mut self, link: &Link, name: String) -> Result<(), Error> {
        const ACTION: &str = "look at a stream";
        let before = SystemTime::now();
        let api = format!("STREAM.INFO.{name}");
        let info = match link
            .api::<StreamInfo>(ACTION, api, &serde_json::json!({}))
            .await?
        {
            Ok(info) => info,
            Err(error) if error.err_code == refusal::NO_SUCH_STREAM => {
                self.missing.push(name);
                return Ok(());
            }
            Err(error) => return Err(Link::failed(ACTION, error)),
        };
        let after = SystemTime::now();
        let read = info.ts.as_deref().and_then(timestamp);
        let reading = read.map(|read| ClockReading::between(before, read, after));
        // The quickest answer says it best.
        self.clock = self
            .clock
            .into_iter()
            .chain(reading)
            .min_by_key(|it| it.within_us);
        let copies = info.cluster.unwrap_or(Copies {
            leader: None,
            replicas: Vec::new(),
        });
        let gone = copies.replicas.into_iter().filter(|copy| copy.offline);
        self.streams.push(StreamSurvey {
            name,
            replicas: info.config.num_replicas,
            has_leader: copies.leader.is_some_and(|leader| !leader.is_empty()),
            offline: gone.map(|copy| copy.name).collect(),
            bytes: info.state.bytes,
        });
        Ok(())
    }
}

/// Reads a time as servers write it.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    let time = async_nats::datetime::parse_rfc3339(text).ok()?;
    Some(Timestamp(
        i64::try_from(time.unix_timestamp_nanos() / 1_000).ok()?,
    ))
}

/// Returns the host of the first server of a list of URLs.
fn host_of(urls: &str) -> String {
    let first = urls.split(',').next().unwrap_or_default().trim();
    let rest = first.split_once("://").map_or(first, |(_, rest)| rest);
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.trim_end_matches('/');
    match place.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
        _ => place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_host_is_what_stands_between_credentials_and_port() {
        for (url, host) in [
            ("nats://a:4222", "a"),
            ("tls://me:secret@b.c:4222,nats://d", "b.c"),
            ("127.0.0.1", "127.0.0.1"),
            ("nats://[::1]:4222/", "[::1]"),
        ] {
            assert_eq!(host_of(url), host);
        }
    }

    #[test]
    fn a_clock_is_known_as_well_as_the_answer_was_quick() {
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let after = before + Duration::from_secs(2);
        let read = |seconds: i64| {
            let read = ClockReading::between(before, Timestamp(seconds * 1_000_000), after);
            (read.ahead_us, read.within_us, read.certain_us())
        };
        assert_eq!(read(101), (0, 1_000_000, 0));
        assert_eq!(read(102), (1_000_000, 1_000_000, 0));
        assert_eq!(read(111), (10_000_000, 1_000_000, 9_000_000));
        assert_eq!(read(91), (-10_000_000, 1_000_000, 9_000_000));
    }
}
