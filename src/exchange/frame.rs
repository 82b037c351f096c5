//! One message of a partition's stream, and the trailer that ends it.

use std::hash::Hasher;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// Bytes that a frame is cut down to where rows allow it.
///
/// Above 1 MiB by a quarter, so that a batch of a power of two of bytes gives frames of 1 MiB, validity and
/// offsets included.
pub(super) const FRAME_BYTES_WANTED: u64 = 5 << 18;

/// The most bytes that a frame's header and body may have together: less than [`MESSAGE_BYTES_MAX`] by more than
/// what Protocol Buffers add.
pub(super) const FRAME_BYTES_MAX: u64 = 255 << 20;

/// The most rows that a frame may have.
pub(super) const FRAME_ROWS_MAX: u64 = i32::MAX as u64;

/// The longest gRPC message that is read.
pub(super) const MESSAGE_BYTES_MAX: u64 = 256 << 20;

/// An Arrow IPC message: its flatbuffer, and the buffers that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) header: Bytes,
    pub(super) body: Bytes,
}

impl Frame {
    pub(super) fn bytes(&self) -> u64 {
        u64_of(self.header.len()).saturating_add(u64_of(self.body.len()))
    }
}

/// What a partition's stream is made of, in this order: frames, the schema first, and one trailer.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Frame(Frame),
    Trailer(Trailer),
}

/// Ends a stream: what a reader must have seen by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trailer {
    /// Rows of all batches.
    pub(super) rows: u64,
    /// Frames that hold rows; the schema and dictionaries are not counted.
    pub(super) batches: u64,
    /// XXH3-64 of the headers and bodies of all frames, in their order.
    pub(super) checksum: u64,
}

/// What Flight's metadata of a message says; other clients need not read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Note {
    /// There is nothing else in this message, and nothing follows.
    Trailer(Trailer),
    /// The body is compressed, for a reader that asked for it.
    Lz4 {
        /// Its length before.
        body_bytes: u64,
    },
}

/// Counts and sums the frames of a stream, on the side that writes and on the side that reads.
pub(super) struct Tally {
    rows: u64,
    batches: u64,
    hash: XxHash3_64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            rows: 0,
            batches: 0,
            hash: XxHash3_64::new(),
        }
    }

    pub(super) fn sum(&mut self, frame: &Frame) {
        self.hash.write(&frame.header);
        self.hash.write(&frame.body);
    }

    pub(super) fn count(&mut self, rows: u64) {
        self.rows = self.rows.saturating_add(rows);
        self.batches = self.batches.saturating_add(1);
    }

    pub(super) fn trailer(&self) -> Trailer {
        Trailer {
            rows: self.rows,
            batches: self.batches,
            checksum: self.hash.finish(),
        }
    }
}

/// Widens a length; no machine has lengths past `u64`.
pub(super) fn u64_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_xxh3_of_all_bytes_in_order() {
        let mut tally = Tally::new();
        for (header, body) in [("a", "b"), ("", "c")] {
            tally.sum(&Frame {
                header: Bytes::from_static(header.as_bytes()),
                body: Bytes::from_static(body.as_bytes()),
            });
        }
        tally.count(3);
        // `xxh3_64` of "abc": 0x78af5f94892f3950, from the reference implementation (xxhsum -H3).
        let expected = Trailer {
            rows: 3,
            batches: 1,
            checksum: 0x78af_5f94_892f_3950,
        };
        assert_eq!(tally.trailer(), expected);
    }
}
