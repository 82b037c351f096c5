//! The file of a run: frames of all its partitions one after the other, in the order in which they came.
//!
//! Where each frame lies is kept in memory, with its partition. Every header and body begins on a multiple of
//! 64 bytes, so that what is read needs no copy to be decoded.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, Stream, TryStreamExt};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Error;
use super::budget::Reservation;
use super::folder::failed;
use crate::exchange::buffers::Buffers;
use crate::exchange::frame::{Frame, Tally, u64_of};

/// Bytes read at a time; a piece ends with the frame that passes it.
const READ_BYTES: u64 = 2 << 20;

const ALIGNMENT: usize = 64;

/// Where a frame lies in its file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(from = "(u64, u32, u32)", into = "(u64, u32, u32)")]
pub(super) struct Place {
    offset: u64,
    header_bytes: u32,
    body_bytes: u32,
}

impl From<(u64, u32, u32)> for Place {
    fn from((offset, header_bytes, body_bytes): (u64, u32, u32)) -> Self {
        Self {
            offset,
            header_bytes,
            body_bytes,
        }
    }
}

impl From<Place> for (u64, u32, u32) {
    fn from(place: Place) -> Self {
        (place.offset, place.header_bytes, place.body_bytes)
    }
}

impl Place {
    fn body(&self) -> u64 {
        aligned(u64::from(self.header_bytes))
    }

    fn bytes(&self) -> u64 {
        self.body() + aligned(u64::from(self.body_bytes))
    }

    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes())
    }
}

fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(u64_of(ALIGNMENT))
}

/// Returns the bytes that a frame takes in a file.
pub(super) fn bytes_of(frame: &Frame) -> u64 {
    aligned(u64_of(frame.header.len())) + aligned(u64_of(frame.body.len()))
}

/// A file that is removed when the last who reads it is done.
#[derive(Debug)]
pub(super) struct DiskFile {
    path: PathBuf,
    held: Reservation,
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

/// Writes a run's file; dropped unfinished, it leaves none.
pub(super) struct DiskWriter {
    file: BufWriter<File>,
    disk: DiskFile,
    end: u64,
}

impl DiskWriter {
    pub(super) fn create(path: PathBuf, held: Reservation) -> Result<Self, Error> {
        let file = File::create_new(&path).map_err(failed(&path))?;
        Ok(Self {
            file: BufWriter::with_capacity(64 << 10, file),
            disk: DiskFile { path, held },
            end: 0,
        })
    }

    /// Reserves room on the disk; says whether there was any.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        self.disk.held.grow(bytes)
    }

    pub(super) fn write(&mut self, frame: &Frame) -> Result<Place, Error> {
        let place = self.append(frame).map_err(failed(&self.disk.path))?;
        self.end = place.end();
        Ok(place)
    }

    fn append(&mut self, frame: &Frame) -> io::Result<Place> {
        for part in [&frame.header, &frame.body] {
            self.file.write_all(part)?;
            let padding = part.len().next_multiple_of(ALIGNMENT) - part.len();
            self.file
                .write_all([0; ALIGNMENT].get(..padding).unwrap_or_default())?;
        }
        Ok(Place {
            offset: self.end,
            header_bytes: u32::try_from(frame.header.len()).map_err(io::Error::other)?,
            body_bytes: u32::try_from(frame.body.len()).map_err(io::Error::other)?,
        })
    }

    /// Writes what the file says of itself behind the frames; it is small, and may pass the limit.
    pub(super) fn write_index(&mut self, index: &[u8]) -> Result<(), Error> {
        self.disk.held.grow_past(u64_of(index.len()));
        self.file.write_all(index).map_err(failed(&self.disk.path))
    }

    /// Hands everything to the system. Nothing is synced: a partition that a power cut takes is made again.
    pub(super) fn finish(mut self) -> Result<DiskFile, Error> {
        self.file.flush().map_err(failed(&self.disk.path))?;
        Ok(self.disk)
    }
}

impl DiskFile {
    /// Takes over a file of an earlier life: it is removed like any other when nobody needs it.
    pub(super) fn found(path: PathBuf, held: Reservation) -> Self {
        Self { path, held }
    }

    /// Counts the bytes of a file that was found, past the limit if need be.
    pub(super) fn hold(&mut self, bytes: u64) {
        self.held.grow_past(bytes);
    }

    /// Sums the frames at `places`, on the thread that calls.
    pub(super) fn checksum(&self, places: Arc<[Place]>) -> Result<u64, Error> {
        let mut tally = Tally::new();
        let mut reader = DiskReader::open(self.path.clone(), places)?;
        while let Some((frames, next)) = reader.next()? {
            frames.iter().for_each(|frame| tally.sum(frame));
            reader = next;
        }
        Ok(tally.trailer().checksum)
    }

    /// Reads the frames at `places`, some at a time, on threads that may block; one read is always ahead.
    ///
    /// `keep` is kept until the last frame is read.
    pub(super) fn frames<K: Send + Sync + 'static>(
        &self,
        places: Arc<[Place]>,
        keep: K,
    ) -> impl Stream<Item = Result<Frame, Error>> + Send + use<K> {
        let path = self.path.clone();
        let first = tokio::task::spawn_blocking(move || DiskReader::open(path, places)?.next());
        let pieces = stream::try_unfold((first, keep), |(read, keep)| async move {
            let Some((frames, reader)) = read.await.map_err(stopped)?? else {
                return Ok::<_, Error>(None);
            };
            let next = tokio::task::spawn_blocking(move || reader.next());
            let frames = stream::iter(frames.into_iter().map(Ok));
            Ok(Some((frames, (next, keep))))
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
    file: File,
    places: Arc<[Place]>,
    next: usize,
    buffers: Buffers,
}

impl DiskReader {
    fn open(path: PathBuf, places: Arc<[Place]>) -> Result<Self, Error> {
        let file = File::open(&path).map_err(failed(&path))?;
        Ok(Self {
            path,
            file,
            places,
            next: 0,
            buffers: Buffers::default(),
        })
    }

    fn next(mut self) -> Result<Option<(Vec<Frame>, Self)>, Error> {
        let mut frames = vec![];
        let mut bytes = 0;
        while bytes < READ_BYTES {
            let left = self.places.get(self.next..).unwrap_or_default();
            let places = together(left, READ_BYTES - bytes);
            if places.is_empty() {
                break;
            }
            bytes += places.iter().map(Place::bytes).sum::<u64>();
            self.next += places.len();
            read(&mut self.file, places, &self.buffers, &mut frames).map_err(failed(&self.path))?;
        }
        Ok((!frames.is_empty()).then_some((frames, self)))
    }
}

/// Returns the first places that lie one behind the other, until `bytes` are reached.
fn together(places: &[Place], bytes: u64) -> &[Place] {
    let mut sum = 0;
    let mut count = 0;
    let mut end = None;
    for place in places {
        if sum >= bytes || end.is_some_and(|end| end != place.offset) {
            break;
        }
        sum += place.bytes();
        end = Some(place.end());
        count += 1;
    }
    places.get(..count).unwrap_or_default()
}

/// Reads adjacent frames at once.
fn read(
    file: &mut File,
    places: &[Place],
    buffers: &Buffers,
    frames: &mut Vec<Frame>,
) -> io::Result<()> {
    let Some(first) = places.first() else {
        return Ok(());
    };
    let bytes = places.iter().map(Place::bytes).sum();
    file.seek(SeekFrom::Start(first.offset))?;
    let bytes = read_exactly(file, bytes, buffers)?;
    for place in places {
        let header = place.offset - first.offset;
        frames.push(Frame {
            header: part(&bytes, header, place.header_bytes)?,
            body: part(&bytes, header + place.body(), place.body_bytes)?,
        });
    }
    Ok(())
}

fn read_exactly(file: &mut File, bytes: u64, buffers: &Buffers) -> io::Result<Bytes> {
    let capacity = usize::try_from(bytes).map_err(io::Error::other)?;
    let mut read = buffers.take(capacity);
    file.take(bytes).read_to_end(&mut read)?;
    if read.len() != capacity {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(buffers.lend(read))
}

fn part(bytes: &Bytes, offset: u64, length: u32) -> io::Result<Bytes> {
    let from = usize::try_from(offset).map_err(io::Error::other)?;
    let length = usize::try_from(length).map_err(io::Error::other)?;
    Ok(bytes.slice(from..from + length))
}

/// Ends the name of a run's file.
pub(super) const EXTENSION: &str = "partition";

/// Returns where the `number`th file is.
pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.{EXTENSION}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64, body_bytes: u32) -> Place {
        Place {
            offset,
            header_bytes: 1,
            body_bytes,
        }
    }

    #[test]
    fn places_that_touch_are_read_together_until_enough() {
        // Each takes 64 bytes for its header and 64 for its body.
        let places = [place(0, 64), place(128, 1), place(256, 64), place(500, 64)];
        for (bytes, count) in [(1, 1), (128, 1), (129, 2), (1 << 20, 3)] {
            assert_eq!(together(&places, bytes).len(), count, "{bytes}");
        }
        assert_eq!(together(&places[3..], 1 << 20).len(), 1);
        assert_eq!(together(&[], 1).len(), 0);
    }
}
