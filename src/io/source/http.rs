//! Ranges of a URL: one client, bounded requests, and patience with servers that fail for a while.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use futures::stream::{StreamExt, TryStreamExt};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED, RANGE, RETRY_AFTER,
};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::policy::retry_after;
use super::s3::Object;
use super::{Error, HttpPolicy};
use crate::job::FailureClass;

/// Ranges closer than this are read as one: at 30 ms a request, 64 KiB more are cheaper than one more request.
pub(super) const GAP_BYTES: u64 = 64 << 10;
/// The longest joined request, so that a retry does not start over on too much.
pub(super) const REQUEST_BYTES_MAX: u64 = 8 << 20;
/// What is read of a file before anything is known of it: the directories of most COGs.
const PREFIX_BYTES: u64 = 64 << 10;
/// URLs whose length and entity tag are remembered.
const PROBES_MAX: usize = 256;
/// Ranges of one file under way at once.
const SIDE_BY_SIDE: usize = 8;

/// The slowest that a part of an upload may go.
const UPLOAD_BYTES_A_SECOND: u64 = 128 << 10;

/// What all URLs share.
#[derive(Debug)]
pub(super) struct HttpPool {
    shared: Arc<Shared>,
    probes: Mutex<HashMap<String, (Instant, HttpFile)>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    policy: HttpPolicy,
    client: OnceCell<reqwest::Client>,
    /// Sends bodies: the wait for an answer would count from when a body begins.
    uploader: OnceCell<reqwest::Client>,
    permits: Semaphore,
}

/// A URL whose length is known.
#[derive(Debug, Clone)]
pub(super) struct HttpFile {
    facts: Arc<Facts>,
    shared: Arc<Shared>,
}

/// Where a file is.
#[derive(Debug, Clone)]
pub(super) enum Address {
    /// At a URL.
    Url(String),
    /// In a bucket; its URL is signed anew for each request.
    Object(Arc<Object>),
}

impl Address {
    fn url(&self) -> Cow<'_, str> {
        match self {
            Self::Url(url) => Cow::Borrowed(url),
            Self::Object(object) => Cow::Owned(object.get_url().into()),
        }
    }

    fn identity(&self) -> String {
        match self {
            Self::Url(url) => url.clone(),
            Self::Object(object) => object.identity(),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Url(url) => shown(url),
            Self::Object(object) => object.shown().to_owned(),
        }
    }
}

#[derive(Debug)]
struct Facts {
    address: Address,
    shown: String,
    identity: String,
    version: Version,
    /// The first bytes, which came with the answer that told the length.
    prefix: Bytes,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    len: u64,
    /// The entity tag, or else the time of the last change.
    tag: Option<String>,
}

/// An answer to a range request whose head is right.
struct Answer {
    version: Version,
    body: Bytes,
}

impl HttpPool {
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn new(policy: HttpPolicy) -> Self {
        Self {
            shared: Arc::new(Shared {
                permits: Semaphore::new(policy.requests_max),
                client: OnceCell::new(),
                uploader: OnceCell::new(),
                policy,
            }),
            probes: Mutex::default(),
        }
    }

    /// Opens a file, by asking for its first bytes unless that was done a moment ago.
    pub(super) async fn open(&self, address: Address) -> Result<HttpFile, Error> {
        let name = address.identity();
        if let Some(known) = self.remembered(&name) {
            return Ok(known);
        }
        let shown = address.shown();
        let first = 0..PREFIX_BYTES;
        let answer = self.shared.get(&address, &shown, first, None).await?;
        let tag = answer.version.tag.as_deref().unwrap_or("-");
        let file = HttpFile {
            facts: Arc::new(Facts {
                identity: format!("{name}|{}|{tag}", answer.version.len),
                address,
                shown,
                version: answer.version,
                prefix: answer.body,
            }),
            shared: Arc::clone(&self.shared),
        };
        self.remember(&name, &file);
        Ok(file)
    }

    /// Asks anew when the file is opened next.
    pub(super) fn forget(&self, address: &Address) {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        probes.remove(&address.identity());
    }

    fn remembered(&self, url: &str) -> Option<HttpFile> {
        let probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, file) = probes.get(url)?;
        (at.elapsed() < self.shared.policy.probe_age_max).then(|| file.clone())
    }

    fn remember(&self, url: &str, file: &HttpFile) {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        if probes.len() >= PROBES_MAX {
            let oldest = probes.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(url) = oldest.map(|(url, _)| url.clone()) {
                probes.remove(&url);
            }
        }
        probes.insert(url.to_owned(), (Instant::now(), file.clone()));
    }
}

impl HttpFile {
    pub(super) fn len(&self) -> u64 {
        self.facts.version.len
    }

    pub(super) fn shown(&self) -> &str {
        &self.facts.shown
    }

    pub(super) fn identity(&self) -> &str {
        &self.facts.identity
    }

    /// Reads each request, several side by side; all of them within the length.
    pub(super) async fn read(&self, requests: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let one = |range: Range<u64>| {
            let file = self.clone();
            async move { file.read_one(range).await }
        };
        let reads: Vec<_> = requests.iter().cloned().map(one).collect();
        futures::stream::iter(reads)
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await
    }

    async fn read_one(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let facts = &self.facts;
        let known = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| (end <= facts.prefix.len()).then_some(start..end));
        if let Some(known) = known {
            return Ok(facts.prefix.slice(known));
        }
        let answer = self
            .shared
            .get(&facts.address, &facts.shown, range, Some(&facts.version))
            .await?;
        Ok(answer.body)
    }
}

impl Shared {
    /// Asks for a range until it comes, an error is final, or patience ends.
    ///
    /// Without `version` the range may reach behind the end of the file and is cut there.
    async fn get(
        &self,
        address: &Address,
        shown: &str,
        range: Range<u64>,
        version: Option<&Version>,
    ) -> Result<Answer, Error> {
        let mut tries = 0;
        loop {
            match self.try_get(&address.url(), shown, &range, version).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.wait_after(error, &mut tries, shown).await?,
            }
        }
    }

    /// Waits as long as a failure asks for before the next try; gives the failure back when it is final, or patience ends.
    pub(super) async fn wait_after(
        &self,
        error: Error,
        tries: &mut u32,
        shown: &str,
    ) -> Result<(), Error> {
        *tries += 1;
        let error = match error {
            Error::Request { path, source, .. } => Error::Request {
                path,
                tries: *tries,
                source,
            },
            other => other,
        };
        let FailureClass::Retry { after_ms } = error.class() else {
            return Err(error);
        };
        let asked = Duration::from_millis(after_ms.unwrap_or(0));
        if *tries > self.policy.retries || asked > self.policy.retry_after_max {
            return Err(error);
        }
        let wait = self.policy.backoff(*tries).max(asked);
        tracing::debug!(url = shown, tries, ?wait, %error, "request is tried again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn try_get(
        &self,
        url: &str,
        shown: &str,
        range: &Range<u64>,
        version: Option<&Version>,
    ) -> Result<Answer, Error> {
        let client = self.client().await?;
        let _permit = self.permit().await;
        let last = range.end.saturating_sub(1);
        let mut response = client
            .get(url)
            .header(RANGE, format!("bytes={}-{last}", range.start))
            // A compressed answer would be a range of other bytes.
            .header(ACCEPT_ENCODING, "identity")
            .send()
            .await
            .map_err(|source| request_failed(shown, source))?;

        let (got, found) =
            check_head(shown, range, response.status().as_u16(), response.headers())?;
        if version.is_some_and(|expected| *expected != found) {
            return Err(Error::Changed {
                path: shown.to_owned(),
            });
        }
        let wanted = got.end - got.start;
        let mut body = BytesMut::new();
        while let Some(part) = response
            .chunk()
            .await
            .map_err(|source| request_failed(shown, source))?
        {
            body.extend_from_slice(&part);
            if body.len() as u64 > wanted {
                break;
            }
        }
        if body.len() as u64 != wanted {
            return Err(Error::WrongLength {
                path: shown.to_owned(),
                got: body.len() as u64,
                wanted,
            });
        }
        Ok(Answer {
            version: found,
            body: body.freeze(),
        })
    }

    /// Waits until one more request may go out.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed; if it were, the request would go out unbounded, which is survivable.
        self.permits.acquire().await.ok()
    }

    pub(super) async fn client(&self) -> Result<&reqwest::Client, Error> {
        self.client
            .get_or_try_init(|| async {
                build_client(&self.policy, Some(self.policy.idle_timeout))
            })
            .await
    }

    /// Returns the client that sends bodies, and how long one of so many bytes may take.
    pub(super) async fn uploader(
        &self,
        bytes: usize,
    ) -> Result<(&reqwest::Client, Duration), Error> {
        let client = self
            .uploader
            .get_or_try_init(|| async { build_client(&self.policy, None) })
            .await?;
        let seconds = u64::try_from(bytes).unwrap_or(u64::MAX) / UPLOAD_BYTES_A_SECOND;
        Ok((
            client,
            self.policy.idle_timeout + Duration::from_secs(seconds),
        ))
    }
}

/// Checks status and headers; returns the range that the body will hold, and the state of the file.
fn check_head(
    shown: &str,
    asked: &Range<u64>,
    status: u16,
    headers: &HeaderMap,
) -> Result<(Range<u64>, Version), Error> {
    let path = || shown.to_owned();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let content_range = text(CONTENT_RANGE).unwrap_or("");
    match status {
        206 => {}
        200 => return Err(Error::RangeIgnored { path: path() }),
        404 | 410 => return Err(Error::NotFound { path: path() }),
        401 | 403 => return Err(Error::Denied { path: path() }),
        // An empty file has no first byte; anything else that cannot be satisfied has become shorter.
        416 if content_range.trim() == "bytes */0" => {
            return Err(Error::OutOfRange {
                path: path(),
                start: 0,
                end: 1,
                len: 0,
            });
        }
        416 => return Err(Error::Changed { path: path() }),
        status => {
            return Err(Error::Status {
                path: path(),
                status,
                after: text(RETRY_AFTER).and_then(|t| retry_after(t, SystemTime::now())),
            });
        }
    }
    let (got, len) = parse_content_range(content_range)
        .filter(|(got, len)| got.start == asked.start && got.end == asked.end.min(*len))
        .ok_or_else(|| Error::WrongRange {
            path: path(),
            asked: format!("bytes {}-{}", asked.start, asked.end.saturating_sub(1)),
            got: content_range.to_owned(),
        })?;
    let tag = text(ETAG).or_else(|| text(LAST_MODIFIED));
    Ok((
        got,
        Version {
            len,
            tag: tag.map(str::to_owned),
        },
    ))
}

/// Reads `bytes 0-99/1234`.
fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, len) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let len = len.trim().parse().ok()?;
    (first <= last && last < len).then(|| (first..last + 1, len))
}

pub(super) fn request_failed(shown: &str, source: reqwest::Error) -> Error {
    // The URL may hold a signature, and stands in the message already.
    let source = source.without_url();
    let path = shown.to_owned();
    if source.is_builder() || source.is_redirect() {
        return Error::Url { path, source };
    }
    Error::Request {
        path,
        tries: 1,
        source,
    }
}

/// Makes the client, with the process's TLS provider or else with graviola, and the system's certificates.
///
/// Where the system has no certificates, plain http still works and https fails on every server.
fn build_client(policy: &HttpPolicy, idle: Option<Duration>) -> Result<reqwest::Client, Error> {
    let builder = || {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("swath/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(policy.connect_timeout);
        match idle {
            Some(idle) => builder.read_timeout(idle),
            None => builder,
        }
    };
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been first, which is as good.
        let _ = rustls_graviola::default_provider().install_default();
    }
    let error = match builder().build() {
        Ok(client) => return Ok(client),
        Err(error) => error,
    };
    tracing::warn!(%error, "no certificates of this system can be used: https will fail; install ca-certificates");
    let provider = Arc::new(rustls_graviola::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::Tls { source })?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    builder()
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|source| Error::Client { source })
}

/// Returns a URL without user, password, query and fragment, which may be secrets.
fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let plain = url.get(..end).unwrap_or(url);
    let Some((scheme, rest)) = plain.split_once("://") else {
        return plain.to_owned();
    };
    let host_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(host_end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_holds_no_secret() {
        assert_eq!(
            shown("https://user:pass@host:8080/a/b.tif?X-Signature=1#x"),
            "https://host:8080/a/b.tif"
        );
        assert_eq!(shown("http://host?token=1"), "http://host");
        assert_eq!(shown("http://host/a@b.tif"), "http://host/a@b.tif");
    }

    #[test]
    fn a_content_range_is_read_or_refused() {
        // The first is the example of RFC 9110, section 14.4.
        assert_eq!(
            parse_content_range("bytes 42-1233/1234"),
            Some((42..1234, 1234))
        );
        for wrong in [
            "",
            "bytes */1234",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes 0-9/*",
        ] {
            assert_eq!(parse_content_range(wrong), None, "{wrong}");
        }
    }
}
