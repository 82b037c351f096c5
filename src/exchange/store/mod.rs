//! The partitions of one worker: in memory up to a limit, then in files.
//!
//! A partition is encoded once, when it is written, as the Arrow IPC messages that go over the wire; serving it
//! copies bytes and encodes nothing. **The newest goes to disk**: what is in memory stays there until it is
//! released, and a partition (or the rest of one) that finds memory full goes to a file, of which each run of a
//! task has one, however many partitions it writes. The other way, to move the oldest out, would write bytes that
//! are often about to be released, and would make a writer wait for the moving of somebody else's partition.
//! A run that lies in its file as a whole can be found again there after a crash (`index`).
//! When the disk is full as well, partitions make way that are only kept in case their job is retried: the job first kept goes first.
//!
//! [`writer`] is the way in for one partition and [`shuffle`] for all of a run, both over `run`; [`partition`]
//! is the way out. The store does not know the network.

mod budget;
mod disk;
mod folder;
mod index;
pub mod partition;
mod run;
pub mod shuffle;
pub mod writer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

pub use partition::{PartitionSummary, StoredPartition};
pub use shuffle::ShuffleWriter;
pub use writer::PartitionWriter;

use super::{Error, PartitionKey};
use crate::ids::{ExecutionId, JobId, StageId, TaskId, WorkerId};
use crate::wire::{StoreDisk, StoredRun};
use budget::Budget;
use folder::Folder;

/// Says how much a store may keep, where, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Bytes of partitions kept in memory; default 512 MiB. Raise it when partitions go to disk and memory is
    /// free; 0 puts all on disk.
    pub memory_bytes: u64,
    /// Where the rest goes, in a folder of the store's own; default `swath-partitions` in the system's folder
    /// for temporary files. It should be a fast local disk. Several workers may share it.
    pub dir: PathBuf,
    /// Bytes of partitions kept on disk; default 64 GiB.
    pub disk_bytes: u64,
    /// How long a partition that nobody reads is kept; default 24 hours. It only catches what no job
    /// released: longer than the longest pause between two stages.
    pub max_age: Duration,
    /// Whose store it is. After a crash the next store of the same owner has those runs again that lay on disk as a whole;
    /// default none: what a dead process left is removed by the next store of the same folder.
    pub owner: Option<WorkerId>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            dir: std::env::temp_dir().join("swath-partitions"),
            disk_bytes: 64 << 30,
            max_age: Duration::from_secs(24 * 60 * 60),
            owner: None,
        }
    }
}

/// Says how much a store holds now, unfinished partitions included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreUsage {
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Finished partitions.
    pub partitions: u64,
}

/// Keeps the partitions that this worker wrote.
#[derive(Debug)]
pub struct PartitionStore {
    partitions: Mutex<BTreeMap<PartitionKey, Arc<StoredPartition>>>,
    /// Jobs that have failed, whose partitions make way for others.
    kept: Mutex<VecDeque<JobId>>,
    /// Whether the disk itself was found full since a job was last kept, whatever the limit says.
    found_full: AtomicBool,
    memory: Arc<Budget>,
    disk: Arc<Budget>,
    max_age: Duration,
    started: Instant,
    files: AtomicU64,
    folder: Folder,
}

impl PartitionStore {
    /// Makes a store with what a dead store of its owner left on disk, and removes what others left, but for what was written
    /// within the last hour by one that has a name and may come back.
    ///
    /// What is found again is what its index says; whether the bytes are what was written shows when they are read, or by
    /// [`PartitionStore::drop_if_damaged`].
    ///
    /// # Errors
    /// [`Error::File`] when the folder cannot be made.
    pub fn new(config: StoreConfig) -> Result<Arc<Self>, Error> {
        let (folder, found) = Folder::create(&config.dir, config.owner.as_ref())?;
        let store = Arc::new(Self {
            partitions: Mutex::default(),
            kept: Mutex::default(),
            found_full: AtomicBool::new(false),
            memory: Budget::new(config.memory_bytes),
            disk: Budget::new(config.disk_bytes),
            max_age: config.max_age,
            started: Instant::now(),
            files: AtomicU64::new(super::frame::u64_of(found.len())),
            folder,
        });
        for path in found {
            index::take_in(&store, path);
        }
        Ok(store)
    }

    /// Reads what is on disk of a run, and drops the run when its bytes are not what was written; says whether it did. It
    /// belongs on a thread that may block.
    pub fn drop_if_damaged(&self, run: &StoredRun) -> bool {
        let from = first_key(&run.job, run.task, run.execution);
        let damaged = run.partitions.iter().any(|partition| {
            // One that was released meanwhile is nobody's loss.
            let stored = self.lock().get(&numbered(&from, *partition)).cloned();
            stored.is_some_and(|stored| !stored.is_intact_on_disk())
        });
        if damaged {
            warn!(job = %run.job, task = %run.task, "partitions on disk are damaged, and dropped");
            self.release_execution(&run.job, run.task, run.execution);
        }
        damaged
    }

    /// Begins to write a partition.
    ///
    /// # Errors
    /// [`Error::Written`] when it is there already, [`Error::Full`], [`Error::File`].
    pub fn writer(
        self: &Arc<Self>,
        key: PartitionKey,
        schema: SchemaRef,
    ) -> Result<PartitionWriter, Error> {
        PartitionWriter::new(Arc::clone(self), key, schema)
    }

    /// Begins to write all partitions of one run of a task, numbered from `first` on.
    ///
    /// # Errors
    /// [`Error::Written`] when one of them is there already, [`Error::Full`], [`Error::File`].
    pub fn shuffle_writer(
        self: &Arc<Self>,
        first: PartitionKey,
        schema: SchemaRef,
        partitions: u32,
    ) -> Result<ShuffleWriter, Error> {
        ShuffleWriter::new(Arc::clone(self), first, schema, partitions)
    }

    /// Returns a folder for what tasks spill; what is left in it goes with the store.
    #[must_use]
    pub fn spill_dir(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Takes room on the disk for what a task spills into [`PartitionStore::spill_dir`].
    ///
    /// # Errors
    /// [`Error::Full`] when partitions and spilled rows together would pass the limit.
    pub fn take_disk(&self, bytes: u64) -> Result<(), Error> {
        match self.make_way(|| self.disk.take(bytes)) {
            true => Ok(()),
            false => Err(self.full(bytes)),
        }
    }

    /// Says how full the store's disk is; it may block, and so belongs on a thread that may.
    ///
    /// # Errors
    /// [`Error::File`] when the system does not tell.
    pub fn disk(&self) -> Result<StoreDisk, Error> {
        let folder = self.folder.path();
        let free_bytes = self.folder.free_bytes().map_err(folder::failed(folder))?;
        Ok(StoreDisk {
            free_bytes,
            used_bytes: self.disk.used(),
            limit_bytes: self.disk.limit(),
        })
    }

    /// Gives back what was taken with [`PartitionStore::take_disk`].
    pub fn give_disk(&self, bytes: u64) {
        self.disk.give(bytes);
    }

    fn full(&self, needed_bytes: u64) -> Error {
        Error::Full {
            folder: self.folder.path().to_owned(),
            needed_bytes,
            limit_bytes: self.disk.limit(),
        }
    }

    /// Returns a finished partition, and counts it as used now.
    #[must_use]
    pub fn get(&self, key: &PartitionKey) -> Option<Arc<StoredPartition>> {
        let partition = self.lock().get(key).cloned()?;
        partition.touch(self.now_ms());
        Some(partition)
    }

    /// Keeps the partitions of a job only until nothing else fits any more: it may be retried. After a disk was full, drops them.
    pub fn keep(&self, job: JobId) {
        if self.found_full.swap(false, Ordering::Relaxed) {
            self.release(&job);
        } else if self.holds_any_of(&job) {
            let mut kept = self.lock_kept();
            kept.retain(|other| *other != job);
            kept.push_back(job);
        }
    }

    /// Keeps the partitions of a job as those of any other again: it runs.
    pub fn resume(&self, job: &JobId) {
        self.lock_kept().retain(|kept| kept != job);
    }

    /// Notes that the disk itself is full, and drops all that is only kept for a retry: the next try has its room.
    fn disk_is_full(&self) {
        self.found_full.store(true, Ordering::Relaxed);
        self.make_way(|| false);
    }

    /// Takes room on the disk; while there is none, drops what is only kept for a retry. Says whether it fitted.
    fn make_way(&self, mut take: impl FnMut() -> bool) -> bool {
        loop {
            if take() {
                return true;
            }
            let Some(job) = self.lock_kept().pop_front() else {
                return false;
            };
            let partitions = self.release(&job);
            debug!(%job, partitions, "the partitions of a failed job made way");
        }
    }

    /// Drops the partitions of a job; returns how many. Who reads one now reads it to its end.
    pub fn release(&self, job: &JobId) -> usize {
        self.resume(job);
        let from = first_key(job, TaskId::default(), ExecutionId(0));
        self.remove(&from, |key| key.job == *job)
    }

    /// Drops the partitions of one run of a task; returns how many.
    pub fn release_execution(&self, job: &JobId, task: TaskId, execution: ExecutionId) -> usize {
        let from = first_key(job, task, execution);
        self.remove(&from, |key| {
            key.job == *job && key.task == task && key.execution == execution
        })
    }

    /// Drops the partitions that nobody asked for within the age limit before `now`; returns how many.
    pub fn expire(&self, now: Instant) -> usize {
        let now_ms = millis(now.saturating_duration_since(self.started));
        let max_age_ms = millis(self.max_age);
        // Files are removed when the last holder lets go: after the lock.
        let expired: Vec<_> = self
            .lock()
            .extract_if(.., |_, partition| {
                let used_ms = partition.used_ms.load(Ordering::Relaxed);
                now_ms.saturating_sub(used_ms) > max_age_ms
            })
            .collect();
        self.lock_kept().retain(|job| self.holds_any_of(job));
        expired.len()
    }

    /// Lists the runs of which partitions are held, but for what is only kept for a retry.
    #[must_use]
    pub fn runs(&self) -> Vec<StoredRun> {
        let kept = self.lock_kept().clone();
        let mut runs: Vec<StoredRun> = Vec::new();
        for (key, partition) in self
            .lock()
            .iter()
            .filter(|(key, _)| !kept.contains(&key.job))
        {
            let same = |run: &&mut StoredRun| {
                (&run.job, run.task, run.execution) == (&key.job, key.task, key.execution)
            };
            // Keys of one run lie side by side.
            match runs.last_mut().filter(same) {
                Some(run) => {
                    run.partitions.push(key.partition);
                    run.bytes = run.bytes.saturating_add(partition.bytes);
                }
                None => runs.push(StoredRun {
                    job: key.job.clone(),
                    task: key.task,
                    execution: key.execution,
                    partitions: vec![key.partition],
                    bytes: partition.bytes,
                }),
            }
        }
        runs
    }

    /// Lists the jobs of which there are finished partitions.
    #[must_use]
    pub fn jobs(&self) -> BTreeSet<JobId> {
        let mut jobs = BTreeSet::new();
        let partitions = self.lock();
        // One step a job, however many partitions it has.
        let mut next = partitions.keys().next();
        while let Some(key) = next {
            jobs.insert(key.job.clone());
            let last = PartitionKey {
                job: key.job.clone(),
                task: TaskId {
                    stage: StageId(u32::MAX),
                    index: u32::MAX,
                },
                execution: ExecutionId(u64::MAX),
                partition: u32::MAX,
            };
            let behind = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
            next = partitions.range(behind).next().map(|(key, _)| key);
        }
        jobs
    }

    fn holds_any_of(&self, job: &JobId) -> bool {
        let from = first_key(job, TaskId::default(), ExecutionId(0));
        let partitions = self.lock();
        partitions
            .range(&from..)
            .next()
            .is_some_and(|(key, _)| key.job == *job)
    }

    /// Says how much is held now.
    #[must_use]
    pub fn usage(&self) -> StoreUsage {
        StoreUsage {
            memory_bytes: self.memory.used(),
            disk_bytes: self.disk.used(),
            partitions: super::frame::u64_of(self.lock().len()),
        }
    }

    /// Makes partitions visible, numbered from `first` on: all, or none when one is there already.
    fn insert(&self, first: &PartitionKey, stored: Vec<StoredPartition>) -> Result<(), Error> {
        let mut partitions = self.lock();
        let count = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        expect_none(&partitions, first, count)?;
        for (number, partition) in (first.partition..).zip(stored) {
            let key = numbered(first, number);
            let on_disk = partition.is_on_disk();
            debug!(%key, rows = partition.trailer.rows, bytes = partition.bytes, on_disk, "partition stored");
            partitions.insert(key, Arc::new(partition));
        }
        Ok(())
    }

    fn expect_none(&self, first: &PartitionKey, count: u32) -> Result<(), Error> {
        expect_none(&self.lock(), first, count)
    }

    /// Removes the keys from `from` on that `belong`.
    fn remove(&self, from: &PartitionKey, belong: impl Fn(&PartitionKey) -> bool) -> usize {
        let mut partitions = self.lock();
        let keys: Vec<_> = partitions
            .range(from..)
            .map(|(key, _)| key)
            .take_while(|key| belong(key))
            .cloned()
            .collect();
        let removed: Vec<_> = keys
            .iter()
            .filter_map(|key| partitions.remove(key))
            .collect();
        // Files are removed when the last holder lets go: after the lock.
        drop(partitions);
        removed.len()
    }

    fn next_file(&self) -> u64 {
        self.files.fetch_add(1, Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    fn lock_kept(&self) -> MutexGuard<'_, VecDeque<JobId>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic under this lock cannot leave the map half changed.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartitionKey, Arc<StoredPartition>>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says [`Error::Written`] when one of `count` partitions from `first` on is there.
fn expect_none<V>(
    partitions: &BTreeMap<PartitionKey, V>,
    first: &PartitionKey,
    count: u32,
) -> Result<(), Error> {
    let end = numbered(first, first.partition.saturating_add(count));
    match partitions.range(first..&end).next() {
        Some((key, _)) => Err(Error::Written {
            key: Box::new(key.clone()),
        }),
        None => Ok(()),
    }
}

fn numbered(first: &PartitionKey, partition: u32) -> PartitionKey {
    PartitionKey {
        partition,
        ..first.clone()
    }
}

fn first_key(job: &JobId, task: TaskId, execution: ExecutionId) -> PartitionKey {
    PartitionKey {
        job: job.clone(),
        task,
        execution,
        partition: 0,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::conformance::{key, numbers};

    #[test]
    fn a_full_disk_ends_what_is_only_kept_for_a_retry() {
        let folder = tempfile::tempdir().unwrap();
        let store = PartitionStore::new(StoreConfig {
            dir: folder.path().to_owned(),
            ..StoreConfig::default()
        })
        .unwrap();
        let write = |job: &str| {
            let rows = numbers(0, 10);
            let mut writer = store.writer(key(job, 1, 0), rows.schema()).unwrap();
            writer.write(&rows).unwrap();
            writer.finish().unwrap();
            JobId::new(job).unwrap()
        };
        let (earlier, running) = (write("earlier"), write("running"));
        store.keep(earlier.clone());
        store.disk_is_full();
        assert!(!store.holds_any_of(&earlier));
        assert!(store.holds_any_of(&running));
        // The job that found it full fails, and leaves its room to others.
        store.keep(running.clone());
        assert!(!store.holds_any_of(&running));
        let later = write("later");
        store.keep(later.clone());
        assert!(store.holds_any_of(&later));
    }
}
