//! What the file of a run says of itself, at its end: a worker that starts again under its name finds its partitions by it.
//!
//! ```text
//! frames … | index: a message of `wire` | its length, XXH3-64 of it, MAGIC: 8 bytes each, little-endian
//! ```
//!
//! Only runs that lie in their file as a whole have one. A file without is of a run that was not finished, or that was
//! partly in memory, and is of no use to anybody else.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::{Deserialize, Serialize};
use tracing::debug;
use twox_hash::XxHash3_64;

use super::PartitionStore;
use super::disk::{DiskFile, Place};
use super::partition::{DiskFrames, StoredPartition};
use crate::exchange::PartitionKey;
use crate::exchange::frame::{Trailer, u64_of};
use crate::wire;

const MAGIC: u64 = u64::from_le_bytes(*b"swathrun");
const END_BYTES: u64 = 24;
/// The longest index that is read: of some ten million frames.
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Says why a file of an earlier life cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    #[error("it has no index: the run was not finished, or was partly in memory")]
    None,
    #[error("its index is damaged")]
    Damaged,
    #[error("its index cannot be understood")]
    Wire(#[from] wire::Error),
    #[error("it cannot be taken in")]
    Store(#[from] super::Error),
}

/// Partitions of one run, numbered from `first` on.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    first: PartitionKey,
    partitions: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    trailer: Trailer,
    bytes: u64,
    places: Vec<Place>,
}

/// Returns what goes behind the frames of a run, when all of its partitions are in the file as a whole.
pub(super) fn encode<'a>(
    first: &PartitionKey,
    partitions: impl Iterator<Item = (Trailer, u64, &'a [Place])>,
) -> Result<Vec<u8>, wire::Error> {
    let entry = |(trailer, bytes, places): (Trailer, u64, &[Place])| Entry {
        trailer,
        bytes,
        places: places.to_vec(),
    };
    let index = Index {
        first: first.clone(),
        partitions: partitions.map(entry).collect(),
    };
    let mut bytes = wire::encode(&index)?.to_vec();
    let end = [u64_of(bytes.len()), XxHash3_64::oneshot(&bytes), MAGIC];
    bytes.extend(end.iter().flat_map(|number| number.to_le_bytes()));
    Ok(bytes)
}

/// Takes the partitions of a file of an earlier life into a store; one that cannot be used is removed.
pub(super) fn take_in(store: &PartitionStore, path: PathBuf) {
    let file = DiskFile::found(path.clone(), store.disk.empty());
    match try_take_in(store, file, &path) {
        Ok(first) => debug!(%first, "partitions of an earlier life found"),
        Err(error) => {
            debug!(path = %path.display(), error = crate::job::failure::chain(&error), "file of an earlier life dropped")
        }
    }
}

fn try_take_in(
    store: &PartitionStore,
    mut disk: DiskFile,
    path: &Path,
) -> Result<PartitionKey, Error> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    disk.hold(length);
    let (index, frames_bytes) = read(&mut file, length)?;
    let file = Arc::new(disk);
    let used_ms = store.now_ms();
    let mut stored = Vec::with_capacity(index.partitions.len());
    for entry in index.partitions {
        let inside = |place: &Place| place.end() <= frames_bytes;
        if entry.places.is_empty() || !entry.places.iter().all(inside) {
            return Err(Error::Damaged);
        }
        stored.push(StoredPartition {
            memory: Vec::new(),
            disk: Some(DiskFrames {
                file: Arc::clone(&file),
                places: entry.places.into(),
            }),
            trailer: entry.trailer,
            bytes: entry.bytes,
            used_ms: AtomicU64::new(used_ms),
            _held: store.memory.empty(),
        });
    }
    store.insert(&index.first, stored)?;
    Ok(index.first)
}

/// Reads the index at the end of a file; returns how many bytes lie before it, too.
fn read(file: &mut File, length: u64) -> Result<(Index, u64), Error> {
    let before_end = length.checked_sub(END_BYTES).ok_or(Error::None)?;
    file.seek(SeekFrom::Start(before_end))?;
    let [bytes, checksum, magic] = [number(file)?, number(file)?, number(file)?];
    if magic != MAGIC {
        return Err(Error::None);
    }
    let start = before_end.checked_sub(bytes).ok_or(Error::Damaged)?;
    if bytes > INDEX_BYTES_MAX {
        return Err(Error::Damaged);
    }
    file.seek(SeekFrom::Start(start))?;
    let mut index = Vec::new();
    file.take(bytes).read_to_end(&mut index)?;
    if u64_of(index.len()) != bytes || XxHash3_64::oneshot(&index) != checksum {
        return Err(Error::Damaged);
    }
    Ok((wire::decode(&index)?, start))
}

fn number(file: &mut File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::exchange::conformance::{TestDir, key, numbers};
    use crate::exchange::{PartitionSummary, StoreConfig};
    use crate::ids::WorkerId;

    fn store(dir: &TestDir, owner: Option<&str>, memory_bytes: u64) -> Arc<PartitionStore> {
        PartitionStore::new(StoreConfig {
            memory_bytes,
            dir: dir.path().to_owned(),
            owner: owner.map(|owner| WorkerId::new(owner).unwrap()),
            ..StoreConfig::default()
        })
        .unwrap()
    }

    fn write(store: &Arc<PartitionStore>, key: PartitionKey) -> PartitionSummary {
        let rows = numbers(0, 1_000);
        let mut writer = store.writer(key, rows.schema()).unwrap();
        writer.write(&rows).unwrap();
        writer.finish().unwrap()
    }

    /// Puts a copy of a store's folder beside it, which no process holds: what a store leaves that was killed.
    fn kill(store: &Arc<PartitionStore>, dir: &TestDir, owner: &str) -> PathBuf {
        let left = dir.path().join(format!("partitions-{owner}0123"));
        fs::create_dir(&left).unwrap();
        for file in fs::read_dir(store.spill_dir()).unwrap().flatten() {
            fs::copy(file.path(), left.join(file.file_name())).unwrap();
        }
        left
    }

    #[test]
    fn a_store_of_the_same_owner_has_what_lay_on_disk_and_removes_it_like_its_own() {
        let dir = TestDir::new();
        let first = store(&dir, Some("w"), 0);
        let keys = [key("a", 7, 0), key("a", 7, 1), key("b", 8, 0)];
        let written = keys.clone().map(|key| write(&first, key));
        let _unfinished = first
            .writer(key("c", 9, 0), numbers(0, 1).schema())
            .unwrap();
        let left = kill(&first, &dir, "w.");
        let next = store(&dir, Some("w"), 0);
        assert!(!left.exists());
        let found = keys.map(|key| next.get(&key).unwrap().summary());
        assert_eq!(found, written);
        let runs = next.runs();
        assert_eq!(
            runs.len(),
            2,
            "what was not finished is not there: {runs:?}"
        );
        assert!(runs.iter().all(|run| !next.drop_if_damaged(run)));
        let files = || fs::read_dir(next.spill_dir()).unwrap().count() - 1;
        assert_eq!(files(), 3);
        assert!(next.usage().disk_bytes > 0);
        // New files do not take the names of those that were found.
        write(&next, key("d", 10, 0));
        for job in next.jobs() {
            next.release(&job);
        }
        assert_eq!((files(), next.usage().disk_bytes), (0, 0));
    }

    #[test]
    fn a_run_that_was_partly_in_memory_is_not_found_again() {
        let dir = TestDir::new();
        // Room for the schema, and not for the rows.
        let first = store(&dir, Some("w"), 1_024);
        assert!(write(&first, key("a", 7, 0)).bytes > 1_024);
        kill(&first, &dir, "w.");
        assert_eq!(store(&dir, Some("w"), 0).usage().partitions, 0);
    }

    #[test]
    fn others_leave_it_for_its_return_and_remove_it_when_that_does_not_come() {
        let dir = TestDir::new();
        let first = store(&dir, Some("w"), 0);
        write(&first, key("a", 7, 0));
        let left = kill(&first, &dir, "w.");
        let nameless = kill(&first, &dir, "");
        assert_eq!(store(&dir, Some("w2"), 0).usage().partitions, 0);
        assert!(left.exists());
        assert!(
            !nameless.exists(),
            "whose owner has no name does not come back"
        );
        let long_ago = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
        File::open(&left).unwrap().set_modified(long_ago).unwrap();
        store(&dir, None, 0);
        assert!(!left.exists());
    }

    #[test]
    fn what_is_damaged_is_dropped() {
        /// Damages the bytes of the file.
        type Harm = fn(&mut Vec<u8>);
        let in_index: [Harm; 5] = [
            |bytes| bytes.clear(),
            |bytes| bytes.truncate(bytes.len() - 1),
            |bytes| *bytes.iter_mut().nth_back(30).unwrap() ^= 1,
            |bytes| *bytes.iter_mut().nth_back(10).unwrap() ^= 1,
            // The index says that it is longer than the file.
            |bytes| *bytes.iter_mut().nth_back(16).unwrap() = 0xff,
        ];
        let in_rows: [Harm; 1] = [|bytes| bytes[9] ^= 1];
        for (harm, found) in in_index
            .map(|it| (it, 0))
            .into_iter()
            .chain(in_rows.map(|it| (it, 1)))
        {
            let dir = TestDir::new();
            let first = store(&dir, Some("w"), 0);
            write(&first, key("a", 7, 0));
            let left = kill(&first, &dir, "w.");
            let path = left.join("00000000.partition");
            let mut bytes = fs::read(&path).unwrap();
            harm(&mut bytes);
            fs::write(&path, bytes).unwrap();
            let next = store(&dir, Some("w"), 0);
            assert_eq!(next.usage().partitions, found);
            for run in next.runs() {
                assert!(next.drop_if_damaged(&run));
            }
            assert_eq!(next.usage().disk_bytes, 0);
            assert_eq!(
                fs::read_dir(next.spill_dir()).unwrap().count(),
                1,
                "only the lock is left"
            );
        }
    }
}
