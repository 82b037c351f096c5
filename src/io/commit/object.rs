//! A finished file as an object of a bucket of S3: sent in parts, which nobody sees until one request puts them together.
//!
//! The file is written to a temporary one first, because a COG's header is known last. Called where waiting is allowed, on a
//! thread of its own. An upload that is not completed is aborted; what a killed process leaves is invisible, and a lifecycle
//! rule of the bucket (`AbortIncompleteMultipartUpload`) removes it.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use reqwest::Method;
use reqwest::header::ETAG;
use tokio::runtime::Handle;

use super::Error;
use crate::ids::JobId;
use crate::io::source::{self, Answer, JOB_HEADER, Object, Request, Sources, contains};

/// Bytes of a part; more where 10,000 of them would not do.
const PART_BYTES: u64 = 16 << 20;
/// Parts of one object, fewer than S3's 10,000.
const PARTS_MAX: u64 = 9_000;
/// Parts sent side by side, each held in memory.
const SIDE_BY_SIDE: usize = 3;

/// Returns scheme and path when an output is a URL.
pub(super) fn url_of(output: &Path) -> Option<(&str, &str)> {
    let text = output.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    Some((scheme, text))
}

/// Refuses URLs that cannot be written.
pub(super) fn check_scheme(scheme: &str, path: &Path) -> Result<(), Error> {
    if scheme == "s3" {
        return Ok(());
    }
    Err(Error::Scheme {
        path: path.to_owned(),
        scheme: scheme.to_owned(),
    })
}

/// An object while it is sent.
#[derive(Debug)]
pub(super) struct Upload {
    sources: Sources,
    object: Arc<Object>,
    runtime: Handle,
    job: String,
    sent: Option<Sent>,
}

/// Parts that a server holds.
#[derive(Debug)]
struct Sent {
    id: String,
    etags: Vec<String>,
}

impl Upload {
    /// Gets ready; nothing is sent yet.
    pub(super) fn new(sources: Sources, url: &str, job: &JobId) -> Result<Self, Error> {
        let failed = |source| failed(url, source);
        let runtime = Handle::try_current().map_err(|error| Error::Step {
            step: "uploaded",
            path: PathBuf::from(url),
            source: std::io::Error::other(error),
        })?;
        Ok(Self {
            object: Arc::new(sources.object(url).map_err(failed)?),
            sources,
            runtime,
            job: job.to_string(),
            sent: None,
        })
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(self.object.shown())
    }

    fn step(&self, why: impl Into<String>) -> Error {
        Error::Step {
            step: "uploaded",
            path: self.path(),
            source: std::io::Error::other(why.into()),
        }
    }

    /// Sends the file, so that only its completion is missing.
    ///
    /// # Errors
    /// When the object exists and may not be replaced, `cancelled` says so, or the server refuses.
    pub(super) fn send(
        &mut self,
        file: &mut File,
        overwrite: bool,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        if self.sent.is_some() {
            return Ok(());
        }
        if !overwrite && self.runtime.block_on(self.found())? == Found::Other {
            return Err(Error::Exists { path: self.path() });
        }
        let read = |source| Error::Step {
            step: "read back",
            path: self.path(),
            source,
        };
        let len = file.metadata().map_err(read)?.len();
        file.rewind().map_err(read)?;
        let part_bytes = PART_BYTES.max(len.div_ceil(PARTS_MAX));
        let id = self.runtime.block_on(self.create())?;
        // From here on, dropping aborts.
        self.sent = Some(Sent {
            id: id.clone(),
            etags: Vec::new(),
        });
        let mut left = len;
        let mut number = 0u16;
        while left > 0 {
            if cancelled() {
                return Err(self.step("the job was cancelled"));
            }
            let mut parts = Vec::with_capacity(SIDE_BY_SIDE);
            while left > 0 && parts.len() < SIDE_BY_SIDE {
                let bytes = left.min(part_bytes);
                let mut part = vec![0; usize::try_from(bytes).unwrap_or(0)];
                file.read_exact(&mut part).map_err(|source| Error::Step {
                    step: "read back",
                    path: self.path(),
                    source,
                })?;
                number += 1;
                left -= bytes;
                parts.push(self.part(&id, number, part.into()));
            }
            let etags = self.runtime.block_on(try_join_all(parts))?;
            if let Some(sent) = &mut self.sent {
                sent.etags.extend(etags);
            }
        }
        Ok(())
    }

    /// Makes the object appear, once.
    ///
    /// # Errors
    /// [`Error::Exists`] when another object has the name and must not be replaced; else what the server refused.
    pub(super) fn complete(&mut self, there: IfThere) -> Result<(), Error> {
        let runtime = self.runtime.clone();
        if runtime.block_on(self.completed(there))? {
            self.sent = None;
        }
        Ok(())
    }

    /// Returns whether it was this upload that made the object appear; another one is aborted when it is dropped.
    async fn completed(&self, there: IfThere) -> Result<bool, Error> {
        let only_new = [("if-none-match", "*")];
        let conditions: &[(&'static str, &str)] = match there {
            IfThere::Replace => &[],
            IfThere::Refuse | IfThere::ReplaceOurs => &only_new,
        };
        let mut answer = self.ask_to_complete(conditions).await?;
        let again = match (there, answer.status) {
            // Some servers do not know the condition: there a look must do.
            (IfThere::Refuse | IfThere::ReplaceOurs, 400 | 501) => match self.found().await? {
                Found::Other => return Err(Error::Exists { path: self.path() }),
                Found::Ours | Found::Nothing => true,
            },
            (IfThere::ReplaceOurs, 412) => self.found().await? == Found::Ours,
            _ => false,
        };
        if again {
            answer = self.ask_to_complete(&[]).await?;
        }
        match answer.status {
            // A server that takes its time answers before it knows, and tells of failure in the body.
            200 if !contains(&answer.body, b"<Error>") => Ok(true),
            200 => Err(self.step("the server could not put the parts together")),
            // Completed by an earlier try whose answer was lost, by another execution of the job, or by somebody else.
            404 | 409 | 412 => match self.found().await? {
                Found::Ours => Ok(false),
                Found::Other if there != IfThere::Replace => {
                    Err(Error::Exists { path: self.path() })
                }
                Found::Other | Found::Nothing => Err(self.step("the server has lost the upload")),
            },
            status => Err(refused(self.object.shown(), status)),
        }
    }

    async fn ask_to_complete(&self, headers: &[(&'static str, &str)]) -> Result<Answer, Error> {
        let Some(Sent { id, etags }) = &self.sent else {
            return Err(self.step("nothing was sent"));
        };
        let (_, body) = self.object.complete(id, etags);
        self.ask(&Request {
            method: Method::POST,
            url: &|| self.object.complete(id, etags).0,
            headers,
            body: body.into(),
        })
        .await
    }

    async fn create(&self) -> Result<String, Error> {
        let request = Request {
            method: Method::POST,
            url: &|| self.object.create_url(&self.job),
            headers: &[(JOB_HEADER, self.job.as_str())],
            body: Bytes::new(),
        };
        let answer = self.ask(&request).await?;
        if answer.status != 200 {
            return Err(refused(self.object.shown(), answer.status));
        }
        let text = std::str::from_utf8(&answer.body).unwrap_or_default();
        Object::upload_id(text).ok_or_else(|| not_understood(self.object.shown()))
    }

    async fn part(&self, id: &str, number: u16, body: Bytes) -> Result<String, Error> {
        let request = Request {
            method: Method::PUT,
            url: &|| self.object.part_url(id, number),
            headers: &[],
            body,
        };
        let answer = self.ask(&request).await?;
        let etag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        match (answer.status, etag) {
            (200, Some(etag)) => Ok(etag.to_owned()),
            (200, None) => Err(self.step("the server names no tag of a part")),
            (status, _) => Err(refused(self.object.shown(), status)),
        }
    }

    /// Looks for the object.
    pub(super) async fn found(&self) -> Result<Found, Error> {
        let request = Request {
            method: Method::HEAD,
            url: &|| self.object.head_url(),
            headers: &[],
            body: Bytes::new(),
        };
        let answer = self.ask(&request).await?;
        let job = answer.headers.get(JOB_HEADER);
        match answer.status {
            200 if job.is_some_and(|job| job.as_bytes() == self.job.as_bytes()) => Ok(Found::Ours),
            200 => Ok(Found::Other),
            404 => Ok(Found::Nothing),
            status => Err(refused(self.object.shown(), status)),
        }
    }

    async fn ask(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let shown = self.object.shown();
        let asked = self.sources.ask(shown, request).await;
        asked.map_err(|source| failed(shown, source))
    }
}

/// What has the name of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// Made by this job.
    Ours,
    Other,
}

/// What becomes of an object that has the name of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfThere {
    /// It stays: made by this job it is the output, else it is in the way.
    Refuse,
    /// It is replaced when this job made it, else it is in the way.
    ReplaceOurs,
    /// It is replaced.
    Replace,
}

impl IfThere {
    /// Returns what `--overwrite` asks for.
    pub(super) const fn of(overwrite: bool) -> Self {
        match overwrite {
            true => Self::Replace,
            false => Self::Refuse,
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(Sent { id, .. }) = self.sent.take() else {
            return;
        };
        let (sources, object) = (self.sources.clone(), Arc::clone(&self.object));
        // A drop may happen where waiting is not allowed; what a runtime that ends leaves undone is invisible.
        drop(self.runtime.spawn(async move {
            let request = Request {
                method: Method::DELETE,
                url: &|| object.abort_url(&id),
                headers: &[],
                body: Bytes::new(),
            };
            if let Err(error) = sources.ask(object.shown(), &request).await {
                tracing::warn!(path = object.shown(), %error, "an upload was not aborted");
            }
        }));
    }
}

pub(super) fn refused(path: &str, status: u16) -> Error {
    let shown = path.to_owned();
    let source = match status {
        404 => source::Error::NotFound { path: shown },
        401 | 403 => source::Error::Denied { path: shown },
        status => source::Error::Status {
            path: shown,
            status,
            after: None,
        },
    };
    failed(path, source)
}

pub(super) fn not_understood(path: &str) -> Error {
    Error::Step {
        step: "uploaded",
        path: PathBuf::from(path),
        source: std::io::Error::other("the server's answer cannot be understood"),
    }
}

pub(super) fn failed(path: &str, source: source::Error) -> Error {
    Error::Remote {
        path: PathBuf::from(path),
        source,
    }
}

/// Refuses, before any work, an object that exists and may not be replaced; other outputs pass.
pub(super) async fn check_object(path: &Path, overwrite: bool) -> Result<(), Error> {
    let Some((scheme, url)) = url_of(path) else {
        return Ok(());
    };
    check_scheme(scheme, path)?;
    if overwrite {
        return Ok(());
    }
    let sources = Sources::new().map_err(|source| failed(url, source))?;
    let object = sources.object(url).map_err(|source| failed(url, source))?;
    let request = Request {
        method: Method::HEAD,
        url: &|| object.head_url(),
        headers: &[],
        body: Bytes::new(),
    };
    let answer = sources.ask(url, &request).await;
    match answer.map_err(|source| failed(url, source))?.status {
        200 => Err(Error::Exists {
            path: path.to_owned(),
        }),
        // Who may write need not be allowed to look: the commit decides.
        _ => Ok(()),
    }
}
