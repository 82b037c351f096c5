//! A partition that is finished: frames in memory, then perhaps frames in a file, and a trailer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt;
use futures::stream::{self, StreamExt};

use super::budget::Reservation;
use super::disk::{DiskFile, Place};
use crate::exchange::frame::{Frame, Piece, Trailer};
use crate::exchange::read::PieceStream;

/// Says what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionSummary {
    /// Rows of all batches.
    pub rows: u64,
    /// Encoded batches; a large batch is cut into several.
    pub batches: u64,
    /// Bytes stored, in memory and on disk.
    pub bytes: u64,
    /// XXH3-64 of the encoded bytes.
    pub checksum: u64,
}

/// A partition in the store. It stays readable for those who hold it after it was released.
#[derive(Debug)]
pub struct StoredPartition {
    pub(super) memory: Vec<Frame>,
    pub(super) disk: Option<DiskFrames>,
    pub(super) trailer: Trailer,
    pub(super) bytes: u64,
    /// Milliseconds between the start of the store and the last time that it was asked for.
    pub(super) used_ms: AtomicU64,
    pub(super) _held: Reservation,
}

/// The frames of a partition that are in the file of its run.
#[derive(Debug)]
pub(super) struct DiskFrames {
    pub(super) file: Arc<DiskFile>,
    pub(super) places: Arc<[Place]>,
}

impl StoredPartition {
    /// Says what was written.
    #[must_use]
    pub fn summary(&self) -> PartitionSummary {
        PartitionSummary {
            rows: self.trailer.rows,
            batches: self.trailer.batches,
            bytes: self.bytes,
            checksum: self.trailer.checksum,
        }
    }

    /// Tells whether some of it is in a file.
    #[must_use]
    pub fn is_on_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Tells whether the bytes in its file are what was written, reading them on the thread that calls.
    pub(super) fn is_intact_on_disk(&self) -> bool {
        let Some(disk) = self.disk.as_ref().filter(|_| self.memory.is_empty()) else {
            return true;
        };
        let sum = disk.file.checksum(Arc::clone(&disk.places));
        sum.is_ok_and(|sum| sum == self.trailer.checksum)
    }

    pub(super) fn touch(&self, now_ms: u64) {
        self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// Returns the frames as they were written, read when they are asked for, and the trailer.
    pub(in crate::exchange) fn pieces(self: Arc<Self>) -> PieceStream {
        let trailer = stream::iter([Ok(Piece::Trailer(self.trailer))]);
        let memory = stream::iter(MemoryFrames {
            partition: Arc::clone(&self),
            next: 0,
        });
        let memory = memory.map(|frame| Ok(Piece::Frame(frame)));
        match &self.disk {
            None => memory.chain(trailer).boxed(),
            Some(disk) => {
                let places = Arc::clone(&disk.places);
                let frames = disk.file.frames(places, Arc::clone(&self));
                memory
                    .chain(frames.map_ok(Piece::Frame))
                    .chain(trailer)
                    .boxed()
            }
        }
    }
}

/// Clones frames one by one, so that a reader of a large partition holds no list of its own.
struct MemoryFrames {
    partition: Arc<StoredPartition>,
    next: usize,
}

impl Iterator for MemoryFrames {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let frame = self.partition.memory.get(self.next).cloned();
        self.next += 1;
        frame
    }
}
