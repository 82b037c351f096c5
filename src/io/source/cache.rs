//! Pieces of remote files that were read, so that tasks of one worker do not ask for them twice.
//!
//! Neighbouring tasks share tiles and strips at their edges. Local files need no cache: the system has one.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// The share of the cache that one piece may take.
const PIECE_SHARE: u64 = 4;
/// What a piece costs beside its bytes.
const PIECE_BYTES: u64 = 128;

/// Pieces by file and range; forgets the least recently used.
#[derive(Debug)]
pub(super) struct BlockCache {
    bytes_max: u64,
    kept: Mutex<Kept>,
}

type Key = (String, u64, u64);

#[derive(Debug, Default)]
struct Kept {
    pieces: HashMap<Key, (u64, Bytes)>,
    by_use: BTreeMap<u64, Key>,
    bytes: u64,
    uses: u64,
}

impl BlockCache {
    /// Makes a cache of at most `bytes_max` bytes; 0 keeps nothing.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            kept: Mutex::default(),
        }
    }

    /// Returns a piece.
    pub(super) fn get(&self, file: &str, range: &Range<u64>) -> Option<Bytes> {
        let key = (file.to_owned(), range.start, range.end);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let now = kept.uses;
        let (used, bytes) = kept.pieces.get_mut(&key)?;
        let (before, bytes) = (std::mem::replace(used, now), bytes.clone());
        kept.by_use.remove(&before);
        kept.by_use.insert(now, key);
        Some(bytes)
    }

    /// Keeps a piece, and forgets others until it fits.
    pub(super) fn put(&self, file: &str, range: &Range<u64>, bytes: &Bytes) {
        let cost = bytes.len() as u64 + PIECE_BYTES;
        if cost > self.bytes_max / PIECE_SHARE {
            return;
        }
        let key = (file.to_owned(), range.start, range.end);
        // A piece is cut out of a longer answer, which it would keep in memory.
        let bytes = Bytes::copy_from_slice(bytes);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let now = kept.uses;
        if let Some((before, old)) = kept.pieces.insert(key.clone(), (now, bytes)) {
            kept.by_use.remove(&before);
            kept.bytes = kept.bytes.saturating_sub(old.len() as u64 + PIECE_BYTES);
        }
        kept.by_use.insert(now, key);
        kept.bytes += cost;
        while kept.bytes > self.bytes_max {
            let Some((_, oldest)) = kept.by_use.pop_first() else {
                break;
            };
            if let Some((_, old)) = kept.pieces.remove(&oldest) {
                kept.bytes = kept.bytes.saturating_sub(old.len() as u64 + PIECE_BYTES);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_piece_goes_first_and_the_bound_holds() {
        let cache = BlockCache::new(4 * (1000 + PIECE_BYTES));
        let piece = Bytes::from(vec![7; 1000]);
        for at in 0..4 {
            cache.put("f", &(at..at + 1000), &piece);
        }
        assert!(cache.get("f", &(0..1000)).is_some());
        cache.put("f", &(9..1009), &piece);
        assert!(cache.get("f", &(1..1001)).is_none());
        for at in [0, 2, 3, 9] {
            assert_eq!(
                cache.get("f", &(at..at + 1000)),
                Some(piece.clone()),
                "{at}"
            );
        }
        assert!(cache.get("g", &(0..1000)).is_none());
        assert_eq!(cache.kept.lock().unwrap().bytes, 4 * (1000 + PIECE_BYTES));
    }

    #[test]
    fn a_piece_that_would_empty_the_cache_is_not_kept() {
        let cache = BlockCache::new(1000);
        cache.put("f", &(0..500), &Bytes::from(vec![0; 500]));
        assert_eq!(cache.get("f", &(0..500)), None);
    }
}
