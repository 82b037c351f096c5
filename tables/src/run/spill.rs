//! Where operators spill: files that share the room on the disk with whatever else the worker keeps there.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SpillFile, SpillWriter, TempFileFactory};
use futures::Stream;
use tempfile::NamedTempFile;

use crate::ports::{BoxError, SpillRoom};

/// Bytes read at a time.
const READ_BYTES: usize = 128 << 10;
/// Bytes that wait to be written.
const WRITE_BYTES: usize = 64 << 10;

/// Makes the files of one task, and remembers why one could not be written.
#[derive(Debug)]
pub(crate) struct Spill {
    folder: PathBuf,
    room: Arc<dyn SpillRoom>,
    /// DataFusion wraps errors and makes text of some; the first one is kept here as it was.
    failure: Mutex<Option<SpillError>>,
}

/// Says why a task could not spill.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    /// What the worker may keep on disk is used up.
    #[error("no room for {needed_bytes} bytes more in {folder}")]
    Room {
        /// Bytes that were to be written.
        needed_bytes: u64,
        /// The folder.
        folder: PathBuf,
        /// What the keeper of the room says.
        source: BoxError,
    },
    /// The file system failed.
    #[error("a file in {folder} cannot be written")]
    File {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Spill {
    pub(super) fn new(folder: PathBuf, room: Arc<dyn SpillRoom>) -> Arc<Self> {
        Arc::new(Self {
            folder,
            room,
            failure: Mutex::default(),
        })
    }

    pub(super) fn take_failure(&self) -> Option<SpillError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }

    /// Keeps an error, and returns one for DataFusion.
    fn fail(&self, error: SpillError) -> io::Error {
        let text = error.to_string();
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        io::Error::other(text)
    }

    fn file_failed(&self, source: io::Error) -> io::Error {
        let folder = self.folder.clone();
        self.fail(SpillError::File { folder, source })
    }
}

/// The factory that a disk manager is made with.
pub(super) struct Files(pub(super) Arc<Spill>);

impl TempFileFactory for Files {
    fn create_temp_file(&self, _: &str) -> Result<Arc<dyn SpillFile>> {
        let made = tempfile::Builder::new()
            .prefix("spill-")
            .tempfile_in(&self.0.folder);
        let file = made.map_err(|error| self.0.file_failed(error))?;
        Ok(Arc::new(OneFile(Arc::new(Held {
            spill: Arc::clone(&self.0),
            file,
            bytes: AtomicU64::new(0),
        }))))
    }
}

/// A file, removed with the last who holds it, and the room that it takes.
struct Held {
    spill: Arc<Spill>,
    file: NamedTempFile,
    bytes: AtomicU64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.spill.room.give(self.bytes.load(Ordering::Relaxed));
    }
}

struct OneFile(Arc<Held>);

impl SpillFile for OneFile {
    fn path(&self) -> Option<&Path> {
        Some(self.0.file.path())
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.bytes.load(Ordering::Relaxed))
    }

    /// Reads on the thread that computes: the fragment can do nothing else before it has the bytes, and a pool of
    /// threads for it would cost more memory than the read takes.
    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let mut file = self.0.file.reopen()?;
        file.rewind()?;
        let state = (file, Arc::clone(&self.0));
        Ok(Box::pin(futures::stream::try_unfold(
            state,
            |(mut file, held)| async move {
                let mut bytes = Vec::with_capacity(READ_BYTES);
                let read = (&mut file)
                    .take(READ_BYTES as u64)
                    .read_to_end(&mut bytes)
                    .map_err(DataFusionError::IoError)?;
                Ok((read > 0).then(|| (Bytes::from(bytes), (file, held))))
            },
        )))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        let file = self.0.file.as_file().try_clone();
        let file = file.map_err(|error| self.0.spill.file_failed(error))?;
        Ok(Box::new(Writer {
            file: BufWriter::with_capacity(WRITE_BYTES, file),
            held: Arc::clone(&self.0),
        }))
    }
}

struct Writer {
    file: BufWriter<File>,
    held: Arc<Held>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (spill, needed_bytes) = (&self.held.spill, bytes.len() as u64);
        if let Err(source) = spill.room.take(needed_bytes) {
            let folder = spill.folder.clone();
            return Err(spill.fail(SpillError::Room {
                needed_bytes,
                folder,
                source,
            }));
        }
        self.held.bytes.fetch_add(needed_bytes, Ordering::Relaxed);
        let written = self.file.write_all(bytes);
        written.map_err(|error| spill.file_failed(error))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.flush();
        flushed.map_err(|error| self.held.spill.file_failed(error))
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        Ok(self.flush()?)
    }
}
