//! Headers that were parsed, so that tasks of one source read them once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::RasterFile;

/// Files kept: each holds one file descriptor.
const FILES_MAX: usize = 128;
/// Bytes of headers kept, mostly chunk offsets.
const BYTES_MAX: usize = 64 << 20;

/// Parsed headers by the identity of their source; forgets the least recently used.
#[derive(Debug, Default)]
pub(crate) struct HeaderCache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<String, (u64, Arc<RasterFile>)>,
    bytes: usize,
    uses: u64,
}

impl HeaderCache {
    /// Returns the header of the source with this identity.
    pub(super) fn get(&self, identity: &str) -> Option<Arc<RasterFile>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let now = kept.uses;
        let (used, file) = kept.files.get_mut(identity)?;
        *used = now;
        Some(Arc::clone(file))
    }

    /// Keeps a header, and forgets others until it fits.
    pub(super) fn put(&self, identity: &str, file: &Arc<RasterFile>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let entry = (kept.uses, Arc::clone(file));
        kept.bytes += file.header_bytes();
        if let Some((_, old)) = kept.files.insert(identity.to_owned(), entry) {
            kept.bytes = kept.bytes.saturating_sub(old.header_bytes());
        }
        while kept.files.len() > FILES_MAX || (kept.bytes > BYTES_MAX && kept.files.len() > 1) {
            let oldest = kept.files.iter().min_by_key(|(_, (used, _))| *used);
            let Some(identity) = oldest.map(|(identity, _)| identity.clone()) else {
                break;
            };
            if let Some((_, old)) = kept.files.remove(&identity) {
                kept.bytes = kept.bytes.saturating_sub(old.header_bytes());
            }
        }
    }
}
