//! Buckets of S3: signed URLs and listings.
//!
//! `AWS_ENDPOINT_URL` (or `AWS_ENDPOINT_URL_S3`), `AWS_REGION` (or `AWS_DEFAULT_REGION`), `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` say where and who; without a key, requests are anonymous.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, Result};
use reqwest::Method;
use rusty_s3::actions::{GetObject, HeadObject, ListObjectsV2, S3Action};
use rusty_s3::{Credentials, UrlStyle};
use url::Url;

use super::net::Net;
use super::remote::failed;
use crate::ports::BoxError;

/// How long a signature holds; it is made right before its request.
const SIGNED_FOR: Duration = Duration::from_secs(900);

/// A bucket and who reads it.
#[derive(Debug)]
pub(super) struct Bucket {
    bucket: rusty_s3::Bucket,
    credentials: Option<Credentials>,
}

impl Bucket {
    /// Makes a bucket from settings as the environment has them.
    pub(super) fn new(
        name: &str,
        setting: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BoxError> {
        let region = setting("AWS_REGION")
            .or_else(|| setting("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = setting("AWS_ENDPOINT_URL_S3").or_else(|| setting("AWS_ENDPOINT_URL"));
        // A name with dots does not match Amazon's certificate as a host, and other servers have no host per bucket.
        let style = match endpoint.is_none() && !name.contains('.') {
            true => UrlStyle::VirtualHost,
            false => UrlStyle::Path,
        };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let bucket = rusty_s3::Bucket::new(endpoint.parse()?, style, name.to_owned(), region)?;
        let credentials = setting("AWS_ACCESS_KEY_ID")
            .zip(setting("AWS_SECRET_ACCESS_KEY"))
            .map(|(key, secret)| match setting("AWS_SESSION_TOKEN") {
                Some(token) => Credentials::new_with_token(key, secret, token),
                None => Credentials::new(key, secret),
            });
        Ok(Self {
            bucket,
            credentials,
        })
    }

    pub(super) fn name(&self) -> &str {
        self.bucket.name()
    }

    pub(super) fn object_url(&self, method: &Method, key: &str) -> Url {
        let credentials = self.credentials.as_ref();
        match *method {
            Method::HEAD => HeadObject::new(&self.bucket, credentials, key).sign(SIGNED_FOR),
            _ => GetObject::new(&self.bucket, credentials, key).sign(SIGNED_FOR),
        }
    }

    /// Lists the objects whose keys begin with a prefix, a page at a time.
    pub(super) fn pages(
        self: Arc<Self>,
        net: Arc<Net>,
        prefix: String,
    ) -> BoxStream<'static, Result<Vec<ObjectMeta>>> {
        futures::stream::try_unfold(Some(None), move |next: Option<Option<String>>| {
            let (bucket, net, prefix) = (Arc::clone(&self), Arc::clone(&net), prefix.clone());
            async move {
                let Some(token) = next else { return Ok(None) };
                let (page, token) = bucket.page(&net, &prefix, token).await?;
                Ok(Some((page, token.map(Some))))
            }
        })
        .boxed()
    }

    async fn page(
        &self,
        net: &Net,
        prefix: &str,
        token: Option<String>,
    ) -> Result<(Vec<ObjectMeta>, Option<String>)> {
        let url = || {
            let mut list = ListObjectsV2::new(&self.bucket, self.credentials.as_ref());
            list.with_prefix(prefix.to_owned());
            if let Some(token) = &token {
                list.with_continuation_token(token.clone());
            }
            list.sign(SIGNED_FOR)
        };
        let location = Path::from(prefix);
        let answer = net.ask(Method::GET, url, None).await;
        let answer = answer.map_err(|failure| failed(&location, failure))?;
        let bad = |source: BoxError| object_store::Error::Generic {
            store: "S3",
            source,
        };
        let text = std::str::from_utf8(&answer.body).map_err(|e| bad(e.into()))?;
        let parsed = ListObjectsV2::parse_response(text).map_err(|e| bad(e.into()))?;
        let metas = parsed.contents.into_iter().map(|object| {
            Ok(ObjectMeta {
                location: Path::parse(&object.key).map_err(|e| bad(e.into()))?,
                last_modified: SystemTime::UNIX_EPOCH.into(),
                size: object.size.unwrap_or_default(),
                e_tag: object.etag,
                version: None,
            })
        });
        let metas = metas.collect::<Result<_>>()?;
        Ok((metas, parsed.next_continuation_token))
    }
}
