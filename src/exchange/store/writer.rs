//! Writing a partition: encode once, keep in memory while it fits, go on in a file.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::budget::Reservation;
use super::disk::{DiskWriter, LENGTHS_BYTES, path_of};
use super::partition::{PartitionSummary, StoredPartition};
use super::{Error, PartitionStore};
use crate::exchange::PartitionKey;
use crate::exchange::encode::BatchEncoder;
use crate::exchange::frame::{Frame, Tally};

/// Bytes of memory that a frame takes beside its own.
const FRAME_OVERHEAD_BYTES: u64 = 64;

/// Writes one partition; others see it once it is finished, and never when it is dropped before.
///
/// Its calls encode, and may write to a file: they belong on a thread that may block.
pub struct PartitionWriter {
    encoder: BatchEncoder,
    sink: Sink,
    broken: bool,
}

impl std::fmt::Debug for PartitionWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionWriter")
            .field("key", &self.sink.key)
            .finish_non_exhaustive()
    }
}

impl PartitionWriter {
    pub(super) fn new(
        store: Arc<PartitionStore>,
        key: PartitionKey,
        schema: SchemaRef,
    ) -> Result<Self, Error> {
        let (encoder, first) = BatchEncoder::new(schema)?;
        let mut sink = Sink::new(store, key);
        sink.put(first, None)?;
        Ok(Self {
            encoder,
            sink,
            broken: false,
        })
    }

    /// Appends a batch; one without rows adds nothing.
    ///
    /// # Errors
    /// [`Error::Full`] when neither memory nor disk has room, [`Error::RowTooLarge`] when one row does not
    /// fit into a message, [`Error::File`], and [`Error::Arrow`] when the batch has another schema than the
    /// partition. After an error the partition cannot be finished.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        if self.broken {
            return Err(self.sink.unfinished());
        }
        let sink = &mut self.sink;
        // Set first: a panic inside leaves a partition that nobody should see.
        self.broken = true;
        self.encoder
            .encode(batch, &mut |frame, rows| sink.put(frame, rows))?;
        self.broken = false;
        Ok(())
    }

    /// Makes the partition visible to readers.
    ///
    /// # Errors
    /// [`Error::Written`] when another writer finished the same partition, [`Error::Unfinished`] when a write
    /// had failed, [`Error::File`].
    pub fn finish(self) -> Result<PartitionSummary, Error> {
        if self.broken {
            return Err(self.sink.unfinished());
        }
        self.sink.finish()
    }
}

/// Where frames go.
struct Sink {
    store: Arc<PartitionStore>,
    key: PartitionKey,
    memory: Vec<Frame>,
    memory_held: Reservation,
    disk: Option<DiskWriter>,
    disk_held: Reservation,
    tally: Tally,
    bytes: u64,
}

impl Sink {
    fn new(store: Arc<PartitionStore>, key: PartitionKey) -> Self {
        Self {
            memory: vec![],
            memory_held: store.memory.empty(),
            disk: None,
            disk_held: store.disk.empty(),
            tally: Tally::new(),
            bytes: 0,
            store,
            key,
        }
    }

    fn put(&mut self, frame: Frame, rows: Option<u64>) -> Result<(), Error> {
        self.tally.sum(&frame);
        if let Some(rows) = rows {
            self.tally.count(rows);
        }
        self.bytes = self.bytes.saturating_add(frame.bytes());
        // Once in the file, always in the file: frames are read back in their order.
        let in_memory = self.disk.is_none()
            && self
                .memory_held
                .grow(frame.bytes().saturating_add(FRAME_OVERHEAD_BYTES));
        if in_memory {
            self.memory.push(frame);
            return Ok(());
        }
        self.put_on_disk(&frame)
    }

    fn put_on_disk(&mut self, frame: &Frame) -> Result<(), Error> {
        let needed_bytes = frame.bytes().saturating_add(LENGTHS_BYTES);
        if !self.disk_held.grow(needed_bytes) {
            return Err(Error::Full {
                place: "disk",
                needed_bytes,
                limit_bytes: self.store.disk.limit(),
            });
        }
        if self.disk.is_none() {
            let path = path_of(self.store.folder.path(), self.store.next_file());
            self.disk = Some(DiskWriter::create(path)?);
        }
        match &mut self.disk {
            Some(disk) => disk.write(frame),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<PartitionSummary, Error> {
        let Self {
            store,
            key,
            mut memory,
            memory_held,
            disk,
            disk_held,
            tally,
            bytes,
        } = self;
        memory.shrink_to_fit();
        let partition = StoredPartition {
            memory,
            disk: disk.map(DiskWriter::finish).transpose()?,
            trailer: tally.trailer(),
            bytes,
            used_ms: AtomicU64::new(store.now_ms()),
            _held: [memory_held, disk_held],
        };
        let summary = partition.summary();
        store.insert(key, partition)?;
        Ok(summary)
    }

    fn unfinished(&self) -> Error {
        Error::Unfinished {
            key: Box::new(self.key.clone()),
        }
    }
}
