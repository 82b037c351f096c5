//! What a fragment needs of its surroundings.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;

/// Any error of the surroundings; it comes back unchanged in [`crate::Error::Input`] or [`crate::Error::Output`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The batches of one partition, in the order in which they were written; a stream that ends without an error is whole.
pub type BatchStream = BoxStream<'static, Result<RecordBatch, BoxError>>;

/// Counts what tasks spill against what may be kept on the disk.
pub trait SpillRoom: Send + Sync + std::fmt::Debug {
    /// Takes room for bytes that are about to be written.
    ///
    /// # Errors
    /// When there is none: the error says what is full and the way out.
    fn take(&self, bytes: u64) -> Result<(), BoxError>;

    /// Gives room back.
    fn give(&self, bytes: u64);
}

/// As much as the disk has.
#[derive(Debug, Clone, Copy, Default)]
pub struct WholeDisk;

impl SpillRoom for WholeDisk {
    fn take(&self, _: u64) -> Result<(), BoxError> {
        Ok(())
    }

    fn give(&self, _: u64) {}
}

/// Opens the partitions that the tasks of earlier stages wrote.
#[async_trait]
pub trait Inputs: Send + Sync + std::fmt::Debug {
    /// Returns how many tasks wrote an exchange's partitions.
    fn producers(&self, exchange: u32) -> u32;

    /// Opens one partition that one task of the exchange's stage wrote.
    async fn open(
        &self,
        exchange: u32,
        producer: u32,
        partition: u32,
    ) -> Result<BatchStream, BoxError>;
}

/// Takes what a fragment writes.
///
/// Its calls may encode and may write to a file; they come from the thread that runs the fragment.
pub trait Outputs: Send {
    /// Says what the rows look like that will be written; comes once, before all else.
    ///
    /// # Errors
    /// When such rows cannot be kept: the fragment stops.
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), BoxError>;

    /// Appends rows to a partition.
    ///
    /// # Errors
    /// When they cannot be kept: the fragment stops.
    fn write(&mut self, partition: u32, batch: &RecordBatch) -> Result<(), BoxError>;

    /// Forgets all that was written: the fragment begins again.
    ///
    /// # Errors
    /// When that is not possible: the fragment stops.
    fn discard(&mut self) -> Result<(), BoxError>;
}
