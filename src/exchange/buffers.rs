//! A buffer that comes back when its last reader drops it.
//!
//! In a worker, whose allocator gives memory back at once, the system hands large buffers out page by page and clears each page. So
//! a stream uses a buffer again: 1 GiB read from a file and fetched cost 0.9 s of CPU instead of 1.3 (`cargo bench --bench exchange`
//! with a worker's settings, Intel Xeon, 2026-11-26).

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// Buffers that are used again: smaller ones cost little to allocate, larger ones would be much to hold for nothing.
const KEPT_BYTES: RangeInclusive<usize> = 128 << 10..=4 << 20;

/// Messages differ a little in size; a buffer has room for the next one that is somewhat larger.
const STEP_BYTES: usize = 128 << 10;

/// The buffers of one stream, of which it keeps at most one that nobody uses.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    spare: Arc<Spare>,
}

type Spare = Mutex<Option<Vec<u8>>>;

impl Buffers {
    /// Returns an empty buffer with room for `bytes`.
    pub(super) fn take(&self, bytes: usize) -> Vec<u8> {
        if !KEPT_BYTES.contains(&bytes) {
            return Vec::with_capacity(bytes);
        }
        let spare = lock(&self.spare).take();
        match spare.filter(|spare| spare.capacity() >= bytes) {
            Some(mut spare) => {
                spare.clear();
                spare
            }
            None => Vec::with_capacity(bytes.next_multiple_of(STEP_BYTES)),
        }
    }

    /// Hands a buffer out to be read; when its last reader drops it, it is spare again.
    pub(super) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        if !KEPT_BYTES.contains(&bytes.len()) {
            return bytes.into();
        }
        Bytes::from_owner(Lent {
            bytes,
            home: Arc::downgrade(&self.spare),
        })
    }
}

/// A buffer that is being read.
struct Lent {
    bytes: Vec<u8>,
    home: Weak<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    /// A stream that has ended takes nothing back.
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            let bytes = std::mem::take(&mut self.bytes);
            // What it replaces is freed outside the lock.
            let _smaller = lock(&home).replace(bytes);
        }
    }
}

fn lock(spare: &Spare) -> MutexGuard<'_, Option<Vec<u8>>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lends a buffer of `bytes`; returns where it lies and its reader.
    fn lent(buffers: &Buffers, bytes: usize) -> (usize, Bytes) {
        let mut buffer = buffers.take(bytes);
        assert!(buffer.is_empty() && buffer.capacity() >= bytes);
        buffer.resize(bytes, 7);
        let lent = buffers.lend(buffer);
        assert_eq!(lent.len(), bytes);
        (lent.as_ptr().addr(), lent)
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_reads_it() {
        let buffers = Buffers::default();
        let (first, reader) = lent(&buffers, 1 << 20);
        let part = reader.slice(100..200);
        drop(reader);
        let (second, other) = lent(&buffers, 1 << 20);
        assert_ne!(first, second);
        assert_eq!(part, [7; 100].as_slice());
        drop(part);
        assert_eq!(lent(&buffers, (1 << 20) - 5).0, first);
        drop(other);
    }

    #[test]
    fn one_buffer_is_kept_and_none_that_is_large_or_too_small() {
        let buffers = Buffers::default();
        let kept = || lock(&buffers.spare).as_ref().map(Vec::len);
        let readers = [1 << 20, 1 << 20, 5 << 20, 1 << 10].map(|bytes| lent(&buffers, bytes).1);
        drop(readers);
        assert_eq!(kept(), Some(1 << 20));
        drop(lent(&buffers, 2 << 20));
        assert_eq!(kept(), Some(2 << 20));
        let (_, reader) = lent(&buffers, 1 << 20);
        drop(buffers);
        assert_eq!(reader.len(), 1 << 20);
    }
}
