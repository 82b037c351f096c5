//! Equal keys to one partition.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::Shuffle;
use super::column::{column, key_names};
use super::error::Error;
use super::gather::{one_each, shuffle_all};
use super::value::row_hashes;
use crate::partition::HashPartitioner;

/// Rows hashed at a time.
const HASHED_ROWS: usize = 4096;

/// Sends rows with equal keys to one partition: across batches, machines and versions.
///
/// A key is one column or several, of any Arrow type. Nulls are equal to each other, so are NaNs, and −0.0 to +0.0. A dictionary's, a
/// run-end's or a view's value goes where the plain one does; numbers of different width do not, so cast the sides of a join to one type.
#[derive(Debug, Clone)]
pub struct HashShuffle {
    columns: Vec<String>,
    partitioner: HashPartitioner,
}

impl HashShuffle {
    /// Makes a shuffle by the columns of these names into `partitions` partitions.
    ///
    /// # Errors
    /// When no column is named, or `partitions` is 0.
    pub fn new<I>(columns: I, partitions: u32) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let partitioner = HashPartitioner::new(partitions).map_err(|_| Error::NoPartitions)?;
        Ok(Self {
            columns: key_names(columns)?,
            partitioner,
        })
    }

    /// Returns a batch for each partition, in their order; some may be empty.
    ///
    /// # Errors
    /// When the batch has no such column.
    pub fn shuffle(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>, Error> {
        one_each(self, batch)
    }

    /// Returns the batches of each partition, in their order; each has at least one, which may be empty.
    ///
    /// # Errors
    /// When a batch has no such column, or is of another schema.
    pub fn shuffle_all(
        &self,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<Vec<Vec<RecordBatch>>, Error> {
        shuffle_all(self, schema, batches)
    }
}

impl Shuffle for HashShuffle {
    fn partitions(&self) -> u32 {
        self.partitioner.count()
    }

    fn partition_ids(&self, batch: &RecordBatch) -> Result<Vec<u32>, Error> {
        let columns: Vec<&ArrayRef> = self
            .columns
            .iter()
            .map(|name| column(batch, name))
            .collect::<Result<_, _>>()?;
        // Hashes of a few rows at a time stay in the cache; elements of nested columns would be hashed with each slice again.
        let nested = columns.iter().any(|column| column.data_type().is_nested());
        let at_a_time = if nested {
            batch.num_rows().max(1)
        } else {
            HASHED_ROWS
        };
        let mut ids = Vec::with_capacity(batch.num_rows());
        for start in (0..batch.num_rows()).step_by(at_a_time) {
            let length = at_a_time.min(batch.num_rows() - start);
            let slices: Vec<ArrayRef> = columns
                .iter()
                .map(|column| column.slice(start, length))
                .collect();
            let hashes = row_hashes(&slices).map_err(Error::arrow("hash"))?;
            ids.extend(
                hashes
                    .into_iter()
                    .map(|hash| self.partitioner.partition_of_hash(hash)),
            );
        }
        Ok(ids)
    }
}
