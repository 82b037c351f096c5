//! A folder of parts in a bucket: objects whose keys begin alike.
//!
//! No request makes many objects appear at once. So each part is an upload, which nobody sees, until the commit; that completes
//! one after the other, and the manifest last: it says that the folder is whole. An execution that dies between leaves parts
//! under their final names and no manifest; the next one replaces them. To overwrite, the old manifest is removed first.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use reqwest::Method;
use tokio::runtime::Handle;

use super::Error;
use super::folder::MANIFEST;
use super::object::{self, Found, IfThere, Upload, failed, refused};
use crate::ids::JobId;
use crate::io::source::{Object, Request, Sources};

/// A folder's parts while they are sent; dropping it aborts what is not completed.
#[derive(Debug)]
pub(super) struct Parts {
    sources: Sources,
    folder: Object,
    job: JobId,
    current: Option<(File, Upload)>,
    sent: Vec<Upload>,
    names: BTreeSet<String>,
}

impl Parts {
    /// Gets ready; nothing is sent yet.
    pub(super) fn new(url: &str, job: &JobId) -> Result<Self, Error> {
        let (sources, folder) = open(url)?;
        Ok(Self {
            sources,
            folder,
            job: job.clone(),
            current: None,
            sent: Vec::new(),
            names: BTreeSet::new(),
        })
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(self.folder.shown())
    }

    /// Creates the file of a part; [`Parts::send`] it before the next one.
    pub(super) fn file(&mut self, name: &str) -> Result<File, Error> {
        let (file, upload) = self.begin(name)?;
        let written = file.try_clone().map_err(|source| Error::Step {
            step: "created",
            path: std::env::temp_dir(),
            source,
        })?;
        self.names.insert(name.to_owned());
        self.current = Some((file, upload));
        Ok(written)
    }

    fn begin(&self, name: &str) -> Result<(File, Upload), Error> {
        let url = self.folder.below(name).shown().to_owned();
        let upload = Upload::new(self.sources.clone(), &url, &self.job)?;
        let file = tempfile::tempfile().map_err(|source| Error::Step {
            step: "created",
            path: std::env::temp_dir(),
            source,
        })?;
        Ok((file, upload))
    }

    /// Sends the part that was written last, which nobody sees yet.
    pub(super) fn send(&mut self, overwrite: bool) -> Result<(), Error> {
        let Some((mut file, mut upload)) = self.current.take() else {
            return Ok(());
        };
        upload.send(&mut file, overwrite, &|| false)?;
        self.sent.push(upload);
        Ok(())
    }

    /// Makes the parts appear, and then the manifest.
    pub(super) fn commit(mut self, manifest: &[u8], overwrite: bool) -> Result<(), Error> {
        self.send(overwrite)?;
        let (mut file, mut whole) = self.begin(MANIFEST)?;
        file.write_all(manifest).map_err(|source| Error::Step {
            step: "written",
            path: std::env::temp_dir(),
            source,
        })?;
        let runtime = Handle::try_current().map_err(|error| Error::Step {
            step: "uploaded",
            path: self.path(),
            source: std::io::Error::other(error),
        })?;
        match runtime.block_on(whole.found())? {
            // An earlier execution got to the end.
            Found::Ours => return Ok(()),
            Found::Other if overwrite => {
                runtime.block_on(delete(&self.sources, &self.folder.below(MANIFEST)))?;
            }
            Found::Other => return Err(Error::Exists { path: self.path() }),
            Found::Nothing => {}
        }
        whole.send(&mut file, overwrite, &|| false)?;
        runtime.block_on(self.make_room(overwrite))?;
        let parts = match overwrite {
            true => IfThere::Replace,
            false => IfThere::ReplaceOurs,
        };
        for part in &mut self.sent {
            part.complete(parts)?;
        }
        whole.complete(IfThere::of(overwrite))
    }

    /// Removes what would be taken for a part of the folder, or refuses it.
    async fn make_room(&self, overwrite: bool) -> Result<(), Error> {
        for name in list(&self.sources, &self.folder).await? {
            if self.names.contains(&name) {
                continue;
            }
            if !overwrite {
                return Err(Error::Exists { path: self.path() });
            }
            delete(&self.sources, &self.folder.below(&name)).await?;
        }
        Ok(())
    }
}

fn open(url: &str) -> Result<(Sources, Object), Error> {
    let url = url.trim_end_matches('/');
    let sources = Sources::new().map_err(|source| failed(url, source))?;
    let folder = sources.object(url).map_err(|source| failed(url, source))?;
    Ok((sources, folder))
}

/// Refuses, before any work, a folder that has objects in it and may not be replaced.
pub(super) async fn check(url: &str, overwrite: bool) -> Result<(), Error> {
    let (sources, folder) = open(url)?;
    if !overwrite && !list(&sources, &folder).await?.is_empty() {
        return Err(Error::Exists {
            path: PathBuf::from(folder.shown()),
        });
    }
    Ok(())
}

/// Lists the names of the objects below a folder.
async fn list(sources: &Sources, folder: &Object) -> Result<Vec<String>, Error> {
    let shown = folder.shown();
    let mut names = Vec::new();
    let mut token = None;
    loop {
        let request = Request {
            method: Method::GET,
            url: &|| folder.list_url(token.as_deref()),
            headers: &[],
            body: Bytes::new(),
        };
        let answer = sources.ask(shown, &request).await;
        let answer = answer.map_err(|source| failed(shown, source))?;
        if answer.status != 200 {
            return Err(refused(shown, answer.status));
        }
        let text = std::str::from_utf8(&answer.body).unwrap_or_default();
        let Some((page, next)) = folder.listed(text) else {
            return Err(object::not_understood(shown));
        };
        names.extend(page);
        match next {
            Some(next) => token = Some(next),
            None => return Ok(names),
        }
    }
}

async fn delete(sources: &Sources, object: &Object) -> Result<(), Error> {
    let request = Request {
        method: Method::DELETE,
        url: &|| object.delete_url(),
        headers: &[],
        body: Bytes::new(),
    };
    let answer = sources.ask(object.shown(), &request).await;
    match answer
        .map_err(|source| failed(object.shown(), source))?
        .status
    {
        // Gone by an earlier try whose answer was lost, too.
        200 | 204 | 404 => Ok(()),
        status => Err(refused(object.shown(), status)),
    }
}
