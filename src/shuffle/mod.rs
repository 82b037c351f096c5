//! Dealing the rows of Arrow batches out into partitions, by hash, by range, or whole to each.
//!
//! [`HashShuffle`] sends equal keys to one partition, on every machine the same; [`RangeShuffle`] gives ranges in order, and sorts
//! them on request; [`BroadcastShuffle`] gives each the same batches without a copy. Rows keep their order within a partition. Nothing
//! here knows a network, a disk or a cluster: [`ShuffleWriter`] is what a task pushes batches through before it stores them, and the
//! rest is for programs that want no more than that. Read `hash`, then `cut`.

mod broadcast;
mod canonical;
mod column;
mod cut;
mod dictionaries;
mod error;
mod gather;
mod hash;
mod order;
mod range;
mod sample;
mod sort;
#[cfg(test)]
mod tests;
mod value;
mod words;
mod writer;

pub use broadcast::BroadcastShuffle;
pub use cut::partition_batch;
pub use error::Error;
pub use hash::HashShuffle;
pub use order::SortKey;
pub use range::RangeShuffle;
pub use sample::sample;
pub use writer::{ShuffleWriter, WriterLimits};

use arrow::record_batch::RecordBatch;

/// Says which partition each row of a batch goes to.
///
/// A program may bring its own; [`partition_batch`] and [`ShuffleWriter`] take any.
pub trait Shuffle {
    /// Returns the number of partitions.
    fn partitions(&self) -> u32;

    /// Returns the partition of each row, below [`Self::partitions`].
    ///
    /// # Errors
    /// When the batch has no such column, or its values cannot be compared.
    fn partition_ids(&self, batch: &RecordBatch) -> Result<Vec<u32>, Error>;
}

impl<S: Shuffle + ?Sized> Shuffle for &S {
    fn partitions(&self) -> u32 {
        (**self).partitions()
    }

    fn partition_ids(&self, batch: &RecordBatch) -> Result<Vec<u32>, Error> {
        (**self).partition_ids(batch)
    }
}
