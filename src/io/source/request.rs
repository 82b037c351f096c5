//! Requests that are not for ranges: what an upload needs, with the same patience.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use reqwest::Method;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use super::Error;
use super::error::is_transient;
use super::http::{Shared, request_failed};
use super::policy::retry_after;

/// The longest answer that is read: a list of a thousand keys.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What a server answered; any status that does not pass with time.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

/// What is asked.
pub(crate) struct Request<'a> {
    /// The method.
    pub(crate) method: Method,
    /// Makes the URL anew for each try, since signatures age.
    pub(crate) url: &'a (dyn Fn() -> Url + Send + Sync),
    /// Headers beside the usual ones.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    /// The body.
    pub(crate) body: Bytes,
}

impl Shared {
    /// Asks until an answer comes that is final, or patience ends.
    pub(super) async fn ask(&self, shown: &str, request: &Request<'_>) -> Result<Answer, Error> {
        let mut tries = 0;
        loop {
            match self.try_ask(shown, request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.wait_after(error, &mut tries, shown).await?,
            }
        }
    }

    async fn try_ask(&self, shown: &str, request: &Request<'_>) -> Result<Answer, Error> {
        let _permit = self.permit().await;
        let (method, url) = (request.method.clone(), (request.url)());
        let mut asked = if request.body.is_empty() {
            self.client().await?.request(method, url)
        } else {
            let (client, within) = self.uploader(request.body.len()).await?;
            let asked = client.request(method, url).timeout(within);
            asked.body(request.body.clone())
        };
        for (name, value) in request.headers {
            asked = asked.header(*name, *value);
        }
        let failed = |source| request_failed(shown, source);
        let mut response = asked.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        if is_transient(status) {
            let after = headers.get(RETRY_AFTER).and_then(|text| text.to_str().ok());
            return Err(Error::Status {
                path: shown.to_owned(),
                status,
                after: after.and_then(|text| retry_after(text, SystemTime::now())),
            });
        }
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_BYTES_MAX {
                break;
            }
        }
        // S3 says so when a body came too slowly.
        if status == 400 && contains(&body, b"<Code>RequestTimeout</Code>") {
            return Err(Error::Status {
                path: shown.to_owned(),
                status: 408,
                after: None,
            });
        }
        Ok(Answer {
            status,
            headers,
            body: body.freeze(),
        })
    }
}

/// Tells whether some bytes lie within others.
pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
