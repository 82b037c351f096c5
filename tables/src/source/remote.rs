//! Files on http(s) servers and in S3 buckets as an [`ObjectStore`] that only reads.
//!
//! `object_store`'s own clients bring C with them (ring); this one sends its requests through [`Net`].

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap, LAST_MODIFIED};
use url::Url;

use super::net::{Failure, Net, content_range};
use super::s3::Bucket;
use crate::ports::BoxError;

/// The longest single request; a longer range is a stream of them, so that a retry does not start over on too much.
const REQUEST_BYTES_MAX: u64 = 8 << 20;

/// Where a store's files are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Scheme, host and port.
    Http(Url),
    S3(Arc<Bucket>),
}

/// A store of files on one host or in one bucket.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) place: Place,
    pub(super) net: Arc<Net>,
}

/// Splits a URL into its store and the path there; a query, which may be a signature, is part of the path.
pub(super) fn split(url: &Url) -> Result<(ObjectStoreUrl, Path), BoxError> {
    let origin = &url[..url::Position::BeforePath];
    let store = ObjectStoreUrl::parse(origin)?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    // Percent-encodes once more what a path of a store must not hold: `url()` undoes it.
    Ok((store, Path::from(path.trim_start_matches('/'))))
}

/// Returns a URL without user, password, query and fragment, which may be secrets.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

impl Remote {
    fn url(&self, method: &Method, location: &Path) -> Url {
        match &self.place {
            Place::S3(bucket) => bucket.object_url(method, location.as_ref()),
            Place::Http(origin) => {
                let path = percent_encoding::percent_decode_str(location.as_ref());
                let path = path.decode_utf8_lossy();
                let (path, query) = match path.split_once('?') {
                    Some((path, query)) => (path, Some(query)),
                    None => (path.as_ref(), None),
                };
                let mut url = origin.clone();
                url.set_path(path);
                url.set_query(query);
                url
            }
        }
    }

    async fn fetch(&self, location: &Path, range: Range<u64>) -> Result<(Bytes, ObjectMeta)> {
        let url = || self.url(&Method::GET, location);
        let answer = self.net.ask(Method::GET, url, Some(range.clone())).await;
        let answer = answer.map_err(|failure| failed(location, failure))?;
        let (got, len) = content_range(&answer.headers)
            .filter(|(got, len)| got.start == range.start && got.end == range.end.min(*len))
            .ok_or_else(|| failed(location, Failure::NoRanges))?;
        debug_assert_eq!(got.end - got.start, answer.body.len() as u64);
        Ok((answer.body, meta(location, len, &answer.headers)))
    }

    async fn head(&self, location: &Path) -> Result<ObjectMeta> {
        let url = || self.url(&Method::HEAD, location);
        match self.net.ask(Method::HEAD, url, None).await {
            Ok(answer) => match length(&answer.headers) {
                Some(len) => Ok(meta(location, len, &answer.headers)),
                None => Ok(self.fetch(location, 0..1).await?.1),
            },
            // A URL may be signed for GET alone, and some servers know no HEAD.
            Err(Failure::Status {
                status: 403 | 405 | 501,
                ..
            }) => Ok(self.fetch(location, 0..1).await?.1),
            Err(failure) => Err(failed(location, failure)),
        }
    }

    /// Streams a range by requests of bounded length.
    fn stream(self, location: Path, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        futures::stream::try_unfold(range, move |rest| {
            let (remote, location) = (self.clone(), location.clone());
            async move {
                if rest.is_empty() {
                    return Ok(None);
                }
                let end = rest.end.min(rest.start.saturating_add(REQUEST_BYTES_MAX));
                let (bytes, _) = remote.fetch(&location, rest.start..end).await?;
                Ok(Some((bytes, end..rest.end)))
            }
        })
        .boxed()
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn meta(location: &Path, size: u64, headers: &HeaderMap) -> ObjectMeta {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let modified = text(LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok());
    ObjectMeta {
        location: location.clone(),
        last_modified: modified.unwrap_or(SystemTime::UNIX_EPOCH).into(),
        size,
        e_tag: text(ETAG).map(str::to_owned),
        version: None,
    }
}

pub(super) fn failed(location: &Path, failure: Failure) -> Error {
    // What stands behind `?` in the path of an http file may be a signature.
    let path = location.as_ref();
    let path = path.split("%3F").next().unwrap_or(path).to_owned();
    let source = Box::new(failure);
    match *source {
        Failure::Status {
            status: 404 | 410, ..
        } => Error::NotFound { path, source },
        Failure::Status { status: 401, .. } => Error::Unauthenticated { path, source },
        Failure::Status { status: 403, .. } => Error::PermissionDenied { path, source },
        Failure::NoRanges => Error::NotSupported { source },
        _ => Error::Generic {
            store: "remote",
            source,
        },
    }
}

#[derive(Debug, thiserror::Error)]
#[error("remote files are only read")]
struct ReadOnly;

fn read_only() -> Error {
    Error::NotSupported {
        source: Box::new(ReadOnly),
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Http(origin) => write!(f, "{}", shown(origin)),
            Place::S3(bucket) => write!(f, "s3://{}", bucket.name()),
        }
    }
}

#[async_trait]
impl ObjectStore for Remote {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        use object_store::GetRange::Bounded;
        let (payload, meta, range) = match &options.range {
            Some(Bounded(range))
                if !options.head && range.end - range.start <= REQUEST_BYTES_MAX =>
            {
                let (bytes, meta) = self.fetch(location, range.clone()).await?;
                let got = range.start..range.start + bytes.len() as u64;
                (
                    futures::stream::once(async { Ok(bytes) }).boxed(),
                    meta,
                    got,
                )
            }
            asked => {
                let meta = self.head(location).await?;
                let range = match asked {
                    None => 0..meta.size,
                    Some(asked) => asked.as_range(meta.size).map_err(|source| Error::Generic {
                        store: "remote",
                        source: Box::new(source),
                    })?,
                };
                let wanted = if options.head { 0..0 } else { range.clone() };
                (self.clone().stream(location.clone(), wanted), meta, range)
            }
        };
        options.check_preconditions(&meta)?;
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range,
            attributes: Attributes::default(),
        })
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match &self.place {
            Place::Http(_) => futures::stream::once(async { Err(read_only()) }).boxed(),
            Place::S3(bucket) => {
                let prefix = prefix.map_or_else(String::new, |p| p.to_string());
                let pages = Arc::clone(bucket).pages(Arc::clone(&self.net), prefix);
                pages
                    .map_ok(|page| futures::stream::iter(page.into_iter().map(Ok)))
                    .try_flatten()
                    .boxed()
            }
        }
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| Err(read_only())).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(read_only())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}
