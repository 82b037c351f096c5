//! Writing one partition: encode once, keep in memory while it fits, go on in a file.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::partition::PartitionSummary;
use super::run::RunSink;
use super::{Error, PartitionStore};
use crate::exchange::PartitionKey;
use crate::exchange::encode::BatchEncoder;

/// Writes one partition; others see it once it is finished, and never when it is dropped before.
///
/// Its calls encode, and may write to a file: they belong on a thread that may block.
pub struct PartitionWriter {
    encoder: BatchEncoder,
    sink: RunSink,
    broken: bool,
}

impl std::fmt::Debug for PartitionWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionWriter")
            .field("key", self.sink.first())
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
        Ok(Self {
            encoder,
            sink: RunSink::new(store, key, 1, &first)?,
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
            .encode(0, batch, &mut |frame, rows| sink.put(0, frame, rows))?;
        self.broken = false;
        Ok(())
    }

    /// Makes the partition visible to readers.
    ///
    /// # Errors
    /// [`Error::Written`] when another writer finished the same partition, [`Error::Unfinished`] when a write
    /// had failed, [`Error::File`].
    pub fn finish(self) -> Result<PartitionSummary, Error> {
        let unfinished = self.sink.unfinished();
        if self.broken {
            return Err(unfinished);
        }
        self.sink.finish()?.pop().ok_or(unfinished)
    }
}
