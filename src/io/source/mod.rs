//! Ranges of bytes of a local file or of an http(s) URL.
//!
//! [`Sources`] is what a process shares: the HTTP client, its limits and the cache of headers. A [`Source`] is one
//! opened file. It knows bytes, not formats; it does not write, list or sign. Read `http.rs` for what happens when a
//! server misbehaves.

mod coalesce;
mod error;
mod http;
mod local;
mod policy;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

pub use error::Error;
pub use policy::HttpPolicy;

use crate::io::raster::read::HeaderCache;
use coalesce::Plan;
use http::{HttpFile, HttpPool};
use local::LocalFile;

/// Opens files and URLs; cloning shares the HTTP client and the cache of headers.
#[derive(Clone, Debug)]
pub struct Sources {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: HttpPool,
    headers: HeaderCache,
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
        policy.validate()?;
        Ok(Self {
            shared: Arc::new(Shared {
                http: HttpPool::new(policy),
                headers: HeaderCache::default(),
            }),
        })
    }

    /// Opens a local path, or a URL that begins with `http://` or `https://`.
    ///
    /// # Errors
    /// When there is no such file, when it may not be read, or when a server does not serve ranges of it.
    pub async fn open(&self, path: &str) -> Result<Source, Error> {
        let kind = match path.split_once("://") {
            Some(("http" | "https", _)) => Kind::Http(self.shared.http.open(path).await?),
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
        })
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
        let plan = match &*self.kind {
            Kind::Local(_) => Plan::new(ranges, local::GAP_BYTES, local::REQUEST_BYTES_MAX),
            Kind::Http(_) => Plan::new(ranges, http::GAP_BYTES, http::REQUEST_BYTES_MAX),
        };
        let parts = match &*self.kind {
            Kind::Local(file) => file.read(&plan.requests).await?,
            Kind::Http(file) => file.read(&plan.requests).await?,
        };
        Ok(plan.cut(&parts))
    }
}
