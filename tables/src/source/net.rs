//! Requests to servers: one client, patience with servers that fail for a while.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderMap, RANGE, RETRY_AFTER};
use reqwest::{Client, Method};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may send nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a request is tried again after a failure that may pass.
const RETRIES: u32 = 5;
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// The longest wait before a retry; a server that asks for more is taken at its word, as a failure.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest answer to a request that names no range: a page of a listing.
const LISTING_BYTES_MAX: usize = 16 << 20;

/// The client of a process, and where its requests run.
#[derive(Debug, Default)]
pub(super) struct Net {
    client: OnceLock<Client>,
    runtime: Option<tokio::runtime::Handle>,
}

/// A right answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no right answer; never holds the URL, which may be signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the server answers with status {status}")]
    Status {
        status: u16,
        after: Option<Duration>,
    },
    #[error("the server does not serve ranges; download the file first")]
    NoRanges,
    #[error("the server sends {got} bytes where {wanted} were asked for")]
    Length { got: usize, wanted: u64 },
    #[error("the request fails")]
    Request(#[source] reqwest::Error),
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
    #[error("the runtime that sends requests has ended")]
    Ended(#[source] tokio::task::JoinError),
}

impl Net {
    /// Sends all requests on a runtime: one that no computation holds up, and that outlives every task.
    pub(super) fn on(runtime: tokio::runtime::Handle) -> Self {
        Self {
            runtime: Some(runtime),
            ..Self::default()
        }
    }

    /// Asks until an answer comes, an error is final, or patience ends.
    ///
    /// - `url`: makes the URL anew for each try, since signatures age.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: impl Fn() -> Url,
        range: Option<Range<u64>>,
    ) -> Result<Answer, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.try_once(method.clone(), url(), range.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wait = match failure.wait(tries) {
                Some(wait) if tries <= RETRIES && wait <= WAIT_MAX => wait,
                _ => return Err(failure),
            };
            tracing::debug!(tries, ?wait, %failure, "a request is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_once(
        &self,
        method: Method,
        url: Url,
        range: Option<Range<u64>>,
    ) -> Result<Answer, Failure> {
        let request = exchange(self.client()?.clone(), method, url, range);
        match &self.runtime {
            None => request.await,
            Some(runtime) => runtime.spawn(request).await.map_err(Failure::Ended)?,
        }
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Without a provider the client would panic. An error says that another thread was faster: then there is one.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _ = rustls_graviola::default_provider().install_default();
        }
        let client = Client::builder()
            .user_agent(concat!("swath/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(Failure::Client)?;
        Ok(self.client.get_or_init(|| client))
    }
}

async fn exchange(
    client: Client,
    method: Method,
    url: Url,
    range: Option<Range<u64>>,
) -> Result<Answer, Failure> {
    let request = |error: reqwest::Error| Failure::Request(error.without_url());
    // A compressed answer would be a range of other bytes.
    let mut asked = client.request(method.clone(), url);
    asked = asked.header(ACCEPT_ENCODING, "identity");
    if let Some(range) = &range {
        let last = range.end.saturating_sub(1);
        asked = asked.header(RANGE, format!("bytes={}-{last}", range.start));
    }
    let mut response = asked.send().await.map_err(request)?;
    match (response.status().as_u16(), &range) {
        (200, None) | (206, Some(_)) => {}
        (200, Some(_)) => return Err(Failure::NoRanges),
        (status, _) => {
            let after = response.headers().get(RETRY_AFTER);
            let after = after.and_then(|value| retry_after(value.to_str().ok()?));
            return Err(Failure::Status { status, after });
        }
    }
    let headers = std::mem::take(response.headers_mut());
    // A range may reach behind the end of the file, which only the answer tells.
    let wanted = match &range {
        Some(_) => content_range(&headers).map(|(got, _)| got.end - got.start),
        None => None,
    };
    let most = wanted.map_or(LISTING_BYTES_MAX, |n| usize::try_from(n).unwrap_or(0));
    let mut body = BytesMut::new();
    while let Some(part) = response.chunk().await.map_err(request)? {
        body.extend_from_slice(&part);
        if body.len() > most {
            break;
        }
    }
    match wanted {
        Some(wanted) if body.len() as u64 != wanted => Err(Failure::Length {
            got: body.len(),
            wanted,
        }),
        None if range.is_some() => Err(Failure::NoRanges),
        _ => Ok(Answer {
            headers,
            body: body.freeze(),
        }),
    }
}

impl Failure {
    /// Returns how long to wait before trying again, or nothing when that would not help.
    fn wait(&self, tries: u32) -> Option<Duration> {
        let doubled = BACKOFF_MIN.saturating_mul(2u32.saturating_pow(tries.saturating_sub(1)));
        // The clock's last digits are chance enough to keep many tasks from asking in step.
        let chance = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |t| t.subsec_micros() % 1000);
        let own = doubled.mul_f64(0.5 + f64::from(chance) / 2000.0);
        match self {
            Self::Status {
                status: 408 | 425 | 429 | 500..=599,
                after,
            } => Some(own.max(after.unwrap_or_default())),
            Self::Request(error) if !error.is_builder() && !error.is_redirect() => Some(own),
            Self::Length { .. } => Some(own),
            _ => None,
        }
    }
}

fn retry_after(header: &str) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(header).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Reads `Content-Range: bytes 0-99/1234`.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, len) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let len = len.trim().parse().ok()?;
    (first <= last && last < len).then(|| (first..last + 1, len))
}
