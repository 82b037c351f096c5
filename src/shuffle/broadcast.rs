//! Everything to everyone.

use arrow::record_batch::RecordBatch;

use super::error::Error;

/// Gives every partition the same batches. Nothing is copied: the partitions share the buffers.
#[derive(Debug, Clone, Copy)]
pub struct BroadcastShuffle {
    partitions: u32,
}

impl BroadcastShuffle {
    /// Makes a broadcast to `partitions` partitions.
    ///
    /// # Errors
    /// When it is 0.
    pub const fn new(partitions: u32) -> Result<Self, Error> {
        if partitions == 0 {
            return Err(Error::NoPartitions);
        }
        Ok(Self { partitions })
    }

    /// Returns the number of partitions.
    #[must_use]
    pub const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Returns the batch for each partition.
    #[must_use]
    pub fn shuffle(&self, batch: &RecordBatch) -> Vec<RecordBatch> {
        (0..self.partitions).map(|_| batch.clone()).collect()
    }

    /// Returns the batches for each partition.
    #[must_use]
    pub fn shuffle_all(&self, batches: &[RecordBatch]) -> Vec<Vec<RecordBatch>> {
        (0..self.partitions).map(|_| batches.to_vec()).collect()
    }
}
