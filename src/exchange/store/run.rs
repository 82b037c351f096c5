//! Where the frames of one run of a task go: memory while it fits, then one file for all its partitions.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tracing::error;

use super::budget::Reservation;
use super::disk::{DiskFile, DiskWriter, Place, bytes_of, path_of};
use super::partition::{DiskFrames, PartitionSummary, StoredPartition};
use super::{Error, PartitionStore, index};
use crate::exchange::PartitionKey;
use crate::exchange::frame::{Frame, Tally};
use crate::job::failure::chain;

/// Bytes of memory that a frame takes beside its own.
const FRAME_OVERHEAD_BYTES: u64 = 64;

/// Partitions that become visible together, the first of them `first`.
pub(super) struct RunSink {
    store: Arc<PartitionStore>,
    first: PartitionKey,
    partitions: Vec<Partition>,
    disk: Option<DiskWriter>,
}

struct Partition {
    memory: Vec<Frame>,
    held: Reservation,
    disk: Vec<Place>,
    tally: Tally,
    bytes: u64,
}

impl RunSink {
    /// Makes the sink of `count` partitions, numbered from `first` on, each of which begins with `schema`.
    ///
    /// # Errors
    /// [`Error::Written`] when one is there already, [`Error::Full`], [`Error::File`].
    pub(super) fn new(
        store: Arc<PartitionStore>,
        first: PartitionKey,
        count: u32,
        schema: &Frame,
    ) -> Result<Self, Error> {
        store.expect_none(&first, count)?;
        let mut sink = Self {
            partitions: (0..count).map(|_| Partition::new(&store)).collect(),
            store,
            first,
            disk: None,
        };
        for partition in 0..sink.partitions.len() {
            sink.put(partition, schema.clone(), None)?;
        }
        Ok(sink)
    }

    /// Adds a partition behind the others.
    pub(super) fn grow(&mut self, schema: &Frame) -> Result<(), Error> {
        self.partitions.push(Partition::new(&self.store));
        self.put(self.partitions.len() - 1, schema.clone(), None)
    }

    pub(super) fn first(&self) -> &PartitionKey {
        &self.first
    }

    /// Takes the next frame of a partition, and the rows in it where it holds rows.
    pub(super) fn put(
        &mut self,
        index: usize,
        frame: Frame,
        rows: Option<u64>,
    ) -> Result<(), Error> {
        let Some(partition) = self.partitions.get_mut(index) else {
            return Err(self.unfinished());
        };
        partition.tally.sum(&frame);
        if let Some(rows) = rows {
            partition.tally.count(rows);
        }
        partition.bytes = partition.bytes.saturating_add(frame.bytes());
        let memory_bytes = frame.bytes().saturating_add(FRAME_OVERHEAD_BYTES);
        // Once in the file, always in the file: frames are read back in their order.
        if partition.disk.is_empty() && partition.held.grow(memory_bytes) {
            partition.memory.push(frame);
            return Ok(());
        }
        let place = put_on_disk(&self.store, &mut self.disk, &frame)?;
        partition.disk.push(place);
        Ok(())
    }

    /// Makes all partitions visible to readers.
    pub(super) fn finish(self) -> Result<Vec<PartitionSummary>, Error> {
        let Self {
            store,
            first,
            partitions,
            disk,
        } = self;
        let disk = disk.map(|disk| finish_file(disk, &first, &partitions));
        let disk = disk.transpose()?.map(Arc::new);
        let used_ms = store.now_ms();
        let stored = partitions.into_iter().map(|mut partition| {
            partition.memory.shrink_to_fit();
            let disk = disk.as_ref().filter(|_| !partition.disk.is_empty());
            StoredPartition {
                memory: partition.memory,
                disk: disk.map(|file| DiskFrames {
                    file: Arc::clone(file),
                    places: partition.disk.into(),
                }),
                trailer: partition.tally.trailer(),
                bytes: partition.bytes,
                used_ms: AtomicU64::new(used_ms),
                _held: partition.held,
            }
        });
        let stored: Vec<_> = stored.collect();
        let summaries = stored.iter().map(StoredPartition::summary).collect();
        store.insert(&first, stored)?;
        Ok(summaries)
    }

    pub(super) fn unfinished(&self) -> Error {
        Error::Unfinished {
            key: Box::new(self.first.clone()),
        }
    }
}

/// Ends the file of a run, with an index where it holds the whole of it.
fn finish_file(
    mut disk: DiskWriter,
    first: &PartitionKey,
    partitions: &[Partition],
) -> Result<DiskFile, Error> {
    if partitions.iter().all(|it| it.memory.is_empty()) {
        let entries = partitions
            .iter()
            .map(|it| (it.tally.trailer(), it.bytes, it.disk.as_slice()));
        match index::encode(first, entries) {
            Ok(index) => disk.write_index(&index)?,
            Err(error) => error!(error = chain(&error), "a run has no index"),
        }
    }
    disk.finish()
}

impl Partition {
    fn new(store: &PartitionStore) -> Self {
        Self {
            memory: vec![],
            held: store.memory.empty(),
            disk: vec![],
            tally: Tally::new(),
            bytes: 0,
        }
    }
}

fn put_on_disk(
    store: &PartitionStore,
    disk: &mut Option<DiskWriter>,
    frame: &Frame,
) -> Result<Place, Error> {
    let needed_bytes = bytes_of(frame);
    let disk = match disk {
        Some(disk) => disk,
        None => {
            let path = path_of(store.folder.path(), store.next_file());
            disk.insert(DiskWriter::create(path, store.disk.empty())?)
        }
    };
    if !store.make_way(|| disk.reserve(needed_bytes)) {
        return Err(store.full(needed_bytes));
    }
    disk.write(frame).inspect_err(|error| {
        if matches!(error, Error::DiskFull { .. }) {
            store.disk_is_full();
        }
    })
}
