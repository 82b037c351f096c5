//! Ranges of a file on a local disk.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use bytes::Bytes;

use super::Error;

/// Ranges closer than this are read as one: a page that is read ahead anyway.
pub(super) const GAP_BYTES: u64 = 16 << 10;
/// The longest joined read; longer ones win nothing.
pub(super) const REQUEST_BYTES_MAX: u64 = 8 << 20;
/// Reads up to this size happen on the calling thread: handing them to another would take longer.
const INLINE_BYTES_MAX: u64 = 16 << 10;

/// A local file, held open so that a rename over it does not mix two files.
#[derive(Debug)]
pub(super) struct LocalFile {
    pub(super) path: String,
    pub(super) len: u64,
    pub(super) identity: String,
    file: Arc<File>,
}

impl LocalFile {
    pub(super) async fn open(path: &str) -> Result<Self, Error> {
        let owned = path.to_owned();
        blocking(path, move || open_now(owned)).await?
    }

    /// Reads each request; all of them within the length at the time of opening.
    pub(super) async fn read(&self, requests: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let total: u64 = requests.iter().map(|r| r.end - r.start).sum();
        let file = Arc::clone(&self.file);
        let path = self.path.clone();
        let requests = requests.to_vec();
        let read = move || -> Result<Vec<Bytes>, Error> {
            let one = |range: &Range<u64>| read_now(&file, &path, range);
            requests.iter().map(one).collect()
        };
        if total <= INLINE_BYTES_MAX {
            return read();
        }
        blocking(&self.path, read).await?
    }
}

fn open_now(path: String) -> Result<LocalFile, Error> {
    let failed = |source: std::io::Error, path: &str| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound {
            path: path.to_owned(),
        },
        std::io::ErrorKind::PermissionDenied => Error::Denied {
            path: path.to_owned(),
        },
        _ => Error::Io {
            path: path.to_owned(),
            source,
        },
    };
    // Asked before opening: opening a named pipe would wait for a writer.
    let before = std::fs::metadata(&path).map_err(|e| failed(e, &path))?;
    if !before.is_file() {
        return Err(Error::NotAFile { path });
    }
    let file = File::open(&path).map_err(|e| failed(e, &path))?;
    let facts = file.metadata().map_err(|e| failed(e, &path))?;
    let identity = format!(
        "{path}|{}|{}.{}|{}",
        facts.len(),
        facts.mtime(),
        facts.mtime_nsec(),
        facts.ino()
    );
    Ok(LocalFile {
        len: facts.len(),
        identity,
        file: Arc::new(file),
        path,
    })
}

fn read_now(file: &File, path: &str, range: &Range<u64>) -> Result<Bytes, Error> {
    let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut buffer = vec![0; len];
    file.read_exact_at(&mut buffer, range.start)
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::Changed {
                path: path.to_owned(),
            },
            _ => Error::Io {
                path: path.to_owned(),
                source,
            },
        })?;
    Ok(Bytes::from(buffer))
}

/// Runs `work` where it may wait for a disk.
async fn blocking<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|source| Error::Interrupted {
            path: path.to_owned(),
            source,
        })
}
