//! Blobs as messages: the chunks of each put under a name of their own, then a manifest that replaces the
//! one before it. So a reader sees the old blob or the new one, whole, or none.

use std::fmt::Write as _;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream::LastRawMessageErrorKind};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant, sleep};
use twox_hash::XxHash3_64;

use super::layout::Layout;
use super::link::Link;
use crate::broker::Error;
use crate::ids::JobId;
use crate::wire;

/// Chunks written or read at once.
const CHUNKS_AT_ONCE: usize = 8;
/// How often a blob that is replaced while it is read is read again.
const READS_MAX: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// Names the chunks of this put.
    put: u64,
    chunks: u32,
    bytes: u64,
    checksum: u64,
    /// The blob itself when it fits beside the rest.
    inline: Option<Bytes>,
}

/// Where the blobs of a cluster are.
#[derive(Debug)]
pub(super) struct Blobs {
    link: Link,
    layout: Layout,
    chunk_bytes: usize,
}

impl Blobs {
    pub(super) fn new(link: &Link, layout: &Layout, chunk_bytes: usize) -> Self {
        Self {
            link: link.clone(),
            layout: layout.clone(),
            chunk_bytes,
        }
    }

    pub(super) async fn put(&self, job: &JobId, name: &str, payload: Bytes) -> Result<(), Error> {
        let place = self.place(job, name);
        let replaced = self.manifest(&place).await?;
        let put = rand::random::<u64>();
        let fits = payload.len() <= self.chunk_bytes;
        let chunks = if fits {
            0
        } else {
            payload.len().div_ceil(self.chunk_bytes)
        };
        let manifest = Manifest {
            put,
            chunks: u32::try_from(chunks).map_err(|error| Link::failed("store a blob", error))?,
            bytes: payload.len() as u64,
            checksum: XxHash3_64::oneshot(&payload),
            inline: fits.then(|| payload.clone()),
        };
        stream::iter(0..chunks)
            .map(|index| {
                let start = index * self.chunk_bytes;
                let end = payload.len().min(start + self.chunk_bytes);
                let subject = format!("{place}.{put:016x}.{index}");
                self.write(subject, payload.slice(start..end))
            })
            .buffered(CHUNKS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let encoded =
            wire::encode(&manifest).map_err(|error| Link::failed("store a blob", error))?;
        self.write(format!("{place}.manifest"), encoded).await?;
        match replaced {
            Some(old) if old.chunks > 0 => self.purge(format!("{place}.{:016x}.*", old.put)).await,
            _ => Ok(()),
        }
    }

    pub(super) async fn get(&self, job: &JobId, name: &str) -> Result<Option<Bytes>, Error> {
        let place = self.place(job, name);
        let mut incomplete = None;
        for _ in 0..READS_MAX {
            let Some(manifest) = self.manifest(&place).await? else {
                return Ok(None);
            };
            if incomplete.as_ref() == Some(&manifest) {
                break;
            }
            if let Some(blob) = self.read(&place, &manifest).await? {
                return Ok(Some(blob));
            }
            incomplete = Some(manifest);
        }
        tracing::warn!(%job, name, "blob is not complete");
        Ok(None)
    }

    pub(super) async fn forget(&self, job: &JobId) -> Result<(), Error> {
        self.purge(format!("{}>", self.layout.blobs_of(job))).await
    }

    fn place(&self, job: &JobId, name: &str) -> String {
        format!("{}{}", self.layout.blobs_of(job), token(name))
    }

    async fn write(&self, subject: String, payload: Bytes) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{:032x}", rand::random::<u128>()));
        self.link
            .record("store a blob", subject, headers, payload)
            .await
    }

    async fn read(&self, place: &str, manifest: &Manifest) -> Result<Option<Bytes>, Error> {
        let blob = match &manifest.inline {
            Some(inline) => inline.clone(),
            None => {
                let chunks = stream::iter(0..manifest.chunks)
                    .map(|index| self.chunk(format!("{place}.{:016x}.{index}", manifest.put)))
                    .buffered(CHUNKS_AT_ONCE)
                    .try_collect::<Vec<_>>()
                    .await?;
                let Some(chunks) = chunks.into_iter().collect::<Option<Vec<_>>>() else {
                    return Ok(None);
                };
                let mut blob = BytesMut::new();
                for chunk in chunks {
                    blob.extend_from_slice(&chunk);
                }
                blob.freeze()
            }
        };
        let whole =
            blob.len() as u64 == manifest.bytes && XxHash3_64::oneshot(&blob) == manifest.checksum;
        Ok(whole.then_some(blob))
    }

    /// Reads a chunk from any replica, and from the leader if that one has not got it yet.
    async fn chunk(&self, subject: String) -> Result<Option<Bytes>, Error> {
        const ACTION: &str = "read a blob";
        let api = format!("$JS.API.DIRECT.GET.{}", self.layout.blob_stream());
        let body = serde_json::json!({ "last_by_subj": subject }).to_string();
        let answer = self.link.request(ACTION, api, None, body.into()).await?;
        if answer.status.is_none() {
            return Ok(Some(answer.payload));
        }
        self.ask_leader(&subject).await
    }

    async fn manifest(&self, place: &str) -> Result<Option<Manifest>, Error> {
        match self.ask_leader(&format!("{place}.manifest")).await? {
            Some(encoded) => wire::decode(&encoded)
                .map(Some)
                .map_err(|error| Link::failed("read a blob", error)),
            None => Ok(None),
        }
    }

    /// Reads the last message under a subject from the leader, which knows all that was recorded.
    async fn ask_leader(&self, subject: &str) -> Result<Option<Bytes>, Error> {
        const ACTION: &str = "read a blob";
        let deadline = Instant::now() + self.link.patience();
        let context = jetstream::new(self.link.client.clone());
        let stream = context
            .get_stream_no_info(self.layout.blob_stream())
            .await
            .map_err(|error| Link::failed(ACTION, error))?;
        loop {
            match stream.get_last_raw_message_by_subject(subject).await {
                Ok(message) => return Ok(Some(message.payload)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                    return Ok(None);
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(Link::failed(ACTION, error));
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn purge(&self, subject: String) -> Result<(), Error> {
        super::purge(&self.link, &self.layout.blob_stream(), subject).await
    }
}

/// Makes any name one token of a subject: what is not `A-Z a-z 0-9 _ -` becomes `=` and two hex digits.
fn token(name: &str) -> String {
    // Starts every token, so that the empty name has one too.
    let mut token = String::from("=");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            token.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(token, "={byte:02x}");
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_one_token_of_a_subject() {
        for (name, expected) in [
            ("", "="),
            ("plan", "=plan"),
            ("a.b", "=a=2eb"),
            ("*>", "==2a=3e"),
            ("=", "==3d"),
        ] {
            assert_eq!(token(name), expected);
        }
    }
}
