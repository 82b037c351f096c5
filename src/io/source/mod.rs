//! Ranges of bytes of a local file, of an http(s) URL or of an object in a bucket of S3.
//!
//! [`Sources`] is what a process shares: the HTTP client, its limits and the cache of headers. A [`Source`] is one
//! opened file. It knows bytes, not formats; it does not list. Read `http.rs` for what happens when a
//! server misbehaves.

mod cache;
mod coalesce;
mod error;
mod http;
mod local;
mod policy;
mod request;
mod s3;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use twox_hash::XxHash3_64;

pub use error::Error;
pub use policy::HttpPolicy;
pub(crate) use request::{Answer, Request, contains};
pub(crate) use s3::{JOB_HEADER, Object};

use crate::io::raster::read::HeaderCache;
use cache::BlockCache;
use coalesce::Plan;
use http::{Address, HttpFile, HttpPool};
use local::LocalFile;
use s3::Settings;

/// Opens files and URLs; cloning shares the HTTP client and the cache of headers.
#[derive(Clone, Debug)]
pub struct Sources {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: HttpPool,
    headers: HeaderCache,
    blocks: BlockCache,
    settings: Settings,
}

impl Sources {
    /// Makes sources with the default [`HttpPolicy`]; the HTTP client is made on first use.
    ///
    /// # Errors
    /// When the policy contradicts itself, which the default does not.
    pub fn new() -> Result<Self, Error> {
        Self::with_policy(HttpPolicy::default())
    }

    /// Makes sources that treat servers as `policy` says.
    ///
    /// # Errors
    /// When the policy contradicts itself.
    pub fn with_policy(policy: HttpPolicy) -> Result<Self, Error> {
        Self::with_settings(policy, Settings::of_environment())
    }

    /// As [`Sources::with_policy`], where the environment's settings for S3 (`AWS_ENDPOINT_URL` and so on) do not count.
    ///
    /// # Errors
    /// When the policy contradicts itself.
    pub fn with_environment<'a>(
        policy: HttpPolicy,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        Self::with_settings(policy, Settings::new(environment))
    }

    fn with_settings(policy: HttpPolicy, settings: Settings) -> Result<Self, Error> {
        policy.validate()?;
        Ok(Self {
            shared: Arc::new(Shared {
                blocks: BlockCache::new(policy.cache_bytes),
                http: HttpPool::new(policy),
                headers: HeaderCache::default(),
                settings,
            }),
        })
    }

    /// Opens a local path, or a URL that begins with `http://`, `https://` or `s3://`.
    ///
    /// # Errors
    /// When there is no such file, when it may not be read, or when a server does not serve ranges of it.
    pub async fn open(&self, path: &str) -> Result<Source, Error> {
        let kind = match path.split_once("://") {
            Some(("http" | "https", _)) => {
                let address = Address::Url(path.to_owned());
                Kind::Http(self.shared.http.open(address).await?)
            }
            Some(("s3", _)) => {
                let address = Address::Object(Arc::new(self.object(path)?));
                Kind::Http(self.shared.http.open(address).await?)
            }
            Some((scheme, _)) => {
                return Err(Error::Scheme {
                    path: path.to_owned(),
                    scheme: scheme.to_owned(),
                });
            }
            None => Kind::Local(LocalFile::open(path).await?),
        };
        Ok(Source {
            kind: Arc::new(kind),
            shared: Arc::clone(&self.shared),
        })
    }

    /// Forgets what is known of a URL since it was opened a moment ago: it may have been replaced.
    pub fn forget(&self, path: &str) {
        match path.split_once("://") {
            Some(("http" | "https", _)) => self.shared.http.forget(&Address::Url(path.to_owned())),
            Some(("s3", _)) => {
                if let Ok(object) = self.object(path) {
                    self.shared.http.forget(&Address::Object(Arc::new(object)));
                }
            }
            _ => {}
        }
    }

    /// Returns an object of a bucket, whether it exists or not.
    ///
    /// # Errors
    /// When the path is not `s3://BUCKET/KEY`.
    pub(crate) fn object(&self, path: &str) -> Result<Object, Error> {
        Object::new(path, &self.shared.settings)
    }

    /// Asks a server; see [`Request`].
    ///
    /// # Errors
    /// When no final answer comes after all retries.
    pub(crate) async fn ask(&self, shown: &str, request: &Request<'_>) -> Result<Answer, Error> {
        self.shared.http.shared().ask(shown, request).await
    }

    /// Returns the cache of parsed headers that all clones share.
    pub(crate) fn headers(&self) -> &HeaderCache {
        &self.shared.headers
    }
}

/// One opened file or URL; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Source {
    kind: Arc<Kind>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Kind {
    Local(LocalFile),
    Http(HttpFile),
}

impl Source {
    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &*self.kind {
            Kind::Local(file) => file.len,
            Kind::Http(file) => file.len(),
        }
    }

    /// Tells whether there is no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the path or URL for people: without user, password and query of a URL.
    #[must_use]
    pub fn shown(&self) -> &str {
        match &*self.kind {
            Kind::Local(file) => &file.path,
            Kind::Http(file) => file.shown(),
        }
    }

    /// Returns a number that changes when a remote file does.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        match &*self.kind {
            Kind::Local(_) => None,
            Kind::Http(file) => Some(XxHash3_64::oneshot(file.identity().as_bytes())),
        }
    }

    /// Returns text that changes when the file does: its path, length, and modification time or entity tag.
    #[must_use]
    pub fn identity(&self) -> &str {
        match &*self.kind {
            Kind::Local(file) => &file.identity,
            Kind::Http(file) => file.identity(),
        }
    }

    /// Reads one range; see [`Source::read_many`].
    ///
    /// # Errors
    /// As [`Source::read_many`].
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let mut parts = self.read_many(&[range]).await?;
        Ok(parts.pop().unwrap_or_default())
    }

    /// Reads ranges of bytes, in the order asked for, each exactly as long as asked for.
    ///
    /// Ranges that lie near each other are read as one; requests to a server run side by side.
    ///
    /// # Errors
    /// When a range ends behind the file, when the file changed since it was opened, or when reading fails after all
    /// retries.
    pub async fn read_many(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let len = self.len();
        for range in ranges {
            if range.start > range.end || range.end > len {
                return Err(Error::OutOfRange {
                    path: self.shown().to_owned(),
                    start: range.start,
                    end: range.end,
                    len,
                });
            }
        }
        match &*self.kind {
            Kind::Local(file) => {
                let plan = Plan::new(ranges, local::GAP_BYTES, local::REQUEST_BYTES_MAX);
                Ok(plan.cut(&file.read(&plan.requests).await?))
            }
            Kind::Http(file) => self.read_remote(file, ranges).await,
        }
    }

    /// Reads ranges of a remote file: those that are not kept.
    async fn read_remote(
        &self,
        file: &HttpFile,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        let blocks = &self.shared.blocks;
        let mut pieces: Vec<Option<Bytes>> = ranges
            .iter()
            .map(|range| blocks.get(file.identity(), range))
            .collect();
        let missing: Vec<Range<u64>> = ranges
            .iter()
            .zip(&pieces)
            .filter(|(_, piece)| piece.is_none())
            .map(|(range, _)| range.clone())
            .collect();
        let plan = Plan::new(&missing, http::GAP_BYTES, http::REQUEST_BYTES_MAX);
        let read = plan.cut(&file.read(&plan.requests).await?);
        let places = pieces.iter_mut().filter(|piece| piece.is_none());
        for ((place, range), bytes) in places.zip(&missing).zip(read) {
            blocks.put(file.identity(), range, &bytes);
            *place = Some(bytes);
        }
        Ok(pieces.into_iter().map(Option::unwrap_or_default).collect())
    }
}
