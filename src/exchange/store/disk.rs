//! The file of a partition: frames one after the other, each behind its two lengths.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use tracing::warn;

use super::Error;
use super::folder::failed;
use crate::exchange::frame::{Frame, u64_of};

/// Bytes that a frame takes in a file beside its own.
pub(super) const LENGTHS_BYTES: u64 = 8;

/// Bytes read at a time; a piece ends with the frame that passes it.
const READ_BYTES: u64 = 2 << 20;

/// A file that is removed when the last who reads it is done.
#[derive(Debug)]
pub(super) struct DiskFile {
    path: PathBuf,
    bytes: u64,
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            // The whole folder is gone when the store was dropped first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(path = %self.path.display(), %error, "partition file not removed"),
        }
    }
}

/// Writes a partition's file; dropped unfinished, it leaves none.
pub(super) struct DiskWriter {
    file: BufWriter<File>,
    disk: DiskFile,
}

impl DiskWriter {
    pub(super) fn create(path: PathBuf) -> Result<Self, Error> {
        let file = File::create_new(&path).map_err(failed(&path))?;
        Ok(Self {
            file: BufWriter::with_capacity(64 << 10, file),
            disk: DiskFile { path, bytes: 0 },
        })
    }

    pub(super) fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        let file = &mut self.file;
        write_frame(file, frame).map_err(failed(&self.disk.path))?;
        self.disk.bytes = self
            .disk
            .bytes
            .saturating_add(LENGTHS_BYTES + frame.bytes());
        Ok(())
    }

    /// Hands everything to the system. Nothing is synced: a partition that a power cut takes is made again.
    pub(super) fn finish(mut self) -> Result<DiskFile, Error> {
        self.file.flush().map_err(failed(&self.disk.path))?;
        Ok(self.disk)
    }
}

fn write_frame(file: &mut impl Write, frame: &Frame) -> io::Result<()> {
    for part in [&frame.header, &frame.body] {
        let length = u32::try_from(part.len()).map_err(io::Error::other)?;
        file.write_all(&length.to_le_bytes())?;
    }
    file.write_all(&frame.header)?;
    file.write_all(&frame.body)
}

impl DiskFile {
    /// Reads the frames in order, some at a time, on threads that may block; one read is always ahead.
    ///
    /// `keep` is kept until the last frame is read.
    pub(super) fn frames<K: Send + Sync + 'static>(
        &self,
        keep: K,
    ) -> impl Stream<Item = Result<Frame, Error>> + Send + use<K> {
        let (path, bytes) = (self.path.clone(), self.bytes);
        let first = tokio::task::spawn_blocking(move || DiskReader::open(path, bytes)?.next());
        let pieces = stream::try_unfold((first, keep), |(read, keep)| async move {
            let Some((frames, reader)) = read.await.map_err(stopped)?? else {
                return Ok::<_, Error>(None);
            };
            let next = tokio::task::spawn_blocking(move || reader.next());
            Ok(Some((stream::iter(frames).map(Ok), (next, keep))))
        });
        pieces.try_flatten()
    }
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::File {
        path: PathBuf::new(),
        source: io::Error::other(error),
    }
}

struct DiskReader {
    path: PathBuf,
    file: BufReader<File>,
    left: u64,
}

impl DiskReader {
    fn open(path: PathBuf, bytes: u64) -> Result<Self, Error> {
        let file = File::open(&path).map_err(failed(&path))?;
        Ok(Self {
            path,
            file: BufReader::with_capacity(64 << 10, file),
            left: bytes,
        })
    }

    fn next(mut self) -> Result<Option<(Vec<Frame>, Self)>, Error> {
        let mut frames = vec![];
        let mut bytes = 0;
        while self.left > 0 && bytes < READ_BYTES {
            let frame = read_frame(&mut self.file, self.left).map_err(failed(&self.path))?;
            let taken = LENGTHS_BYTES + frame.bytes();
            self.left = self.left.saturating_sub(taken);
            bytes += taken;
            frames.push(frame);
        }
        Ok((!frames.is_empty()).then_some((frames, self)))
    }
}

fn read_frame(file: &mut impl Read, left: u64) -> io::Result<Frame> {
    let header_bytes = read_length(file)?;
    let body_bytes = read_length(file)?;
    if LENGTHS_BYTES + header_bytes + body_bytes > left {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a frame that is longer than what is left of its file",
        ));
    }
    Ok(Frame {
        header: read_part(file, header_bytes)?,
        body: read_part(file, body_bytes)?,
    })
}

fn read_length(file: &mut impl Read) -> io::Result<u64> {
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    Ok(u64::from(u32::from_le_bytes(length)))
}

fn read_part(file: &mut impl Read, bytes: u64) -> io::Result<Bytes> {
    let capacity = usize::try_from(bytes).map_err(io::Error::other)?;
    let mut part = Vec::with_capacity(capacity);
    file.take(bytes).read_to_end(&mut part)?;
    if u64_of(part.len()) != bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(part.into())
}

/// Returns where the file of the `number`th partition is.
pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.partition"))
}
