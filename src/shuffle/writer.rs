//! Many batches in, batches worth storing out.

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::Shuffle;
use super::cut::{check, cut};
use super::dictionaries::can_join;
use super::error::Error;

/// How much a [`ShuffleWriter`] holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterLimits {
    /// Rows in a batch that comes out, on average over the partitions; 8,192 by default. Smaller ones cost more to store and to send.
    pub batch_rows: usize,
    /// Bytes of batches held back; 64 MiB by default. It cuts them before each partition has its rows, so that 200 partitions of wide
    /// rows do not fill the memory. While it does, three times as much is held: what came, the same in one piece, and what goes.
    pub held_bytes_max: usize,
}

impl Default for WriterLimits {
    fn default() -> Self {
        Self {
            batch_rows: 8192,
            held_bytes_max: 64 << 20,
        }
    }
}

/// Deals out batch after batch, and holds rows back until the batches of the partitions are large enough.
///
/// Batches come out by [`Self::push`] and [`Self::finish`], each with its partition, rows in the order in which they came. The writer
/// does not sort; see [`super::RangeShuffle::sort`].
#[derive(Debug)]
pub struct ShuffleWriter<S> {
    shuffle: S,
    schema: SchemaRef,
    limits: WriterLimits,
    held: Vec<RecordBatch>,
    /// The partition of each row held.
    ids: Vec<u32>,
    held_bytes: usize,
}

impl<S: Shuffle> ShuffleWriter<S> {
    /// Makes a writer of batches of one schema.
    pub const fn new(shuffle: S, schema: SchemaRef, limits: WriterLimits) -> Self {
        Self {
            shuffle,
            schema,
            limits,
            held: Vec::new(),
            ids: Vec::new(),
            held_bytes: 0,
        }
    }

    /// Takes a batch; returns what is now ready.
    ///
    /// # Errors
    /// When the batch is of another schema, or the shuffle cannot tell the partition of each row: the batch is then not
    /// taken. When Arrow cannot copy rows, those held are lost.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Vec<(u32, RecordBatch)>, Error> {
        if batch.schema_ref() != &self.schema {
            return Err(self.other_schema(batch));
        }
        let ids = self.shuffle.partition_ids(batch)?;
        check(&ids, batch.num_rows(), self.shuffle.partitions())?;
        let bytes = bytes_of(batch);
        let mut ready = Vec::new();
        // What is held stays below what a column of 32-bit offsets can hold.
        if self.held_bytes.saturating_add(bytes) > self.limits.held_bytes_max {
            ready = self.cut_held()?;
        }
        if batch.num_rows() > 0 {
            self.held.push(batch.clone());
            self.ids.extend(ids);
            self.held_bytes += bytes;
        }
        let rows_max = self
            .limits
            .batch_rows
            .saturating_mul(self.shuffle.partitions() as usize);
        if self.ids.len() >= rows_max || self.held_bytes >= self.limits.held_bytes_max {
            ready.extend(self.cut_held()?);
        }
        Ok(ready)
    }

    /// Ends the shuffle; returns what was held back. A partition that never had a row has no batch.
    ///
    /// # Errors
    /// When Arrow cannot copy the rows.
    pub fn finish(mut self) -> Result<Vec<(u32, RecordBatch)>, Error> {
        self.cut_held()
    }

    fn cut_held(&mut self) -> Result<Vec<(u32, RecordBatch)>, Error> {
        let (held, ids) = (
            std::mem::take(&mut self.held),
            std::mem::take(&mut self.ids),
        );
        self.held_bytes = 0;
        let partitions = self.shuffle.partitions();
        if can_join(&held) {
            let joined = concat_batches(&self.schema, &held).map_err(Error::arrow("join"))?;
            drop(held);
            return cut(&joined, ids, partitions);
        }
        let mut ready = Vec::new();
        let mut ids = ids.as_slice();
        for batch in held {
            let (own, rest) = ids.split_at(batch.num_rows().min(ids.len()));
            ready.extend(cut(&batch, own.to_vec(), partitions)?);
            ids = rest;
        }
        Ok(ready)
    }

    fn other_schema(&self, batch: &RecordBatch) -> Error {
        let columns = |schema: &SchemaRef| {
            let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
                format!("{} {}", field.name(), field.data_type())
            };
            schema
                .fields()
                .iter()
                .map(column)
                .collect::<Vec<_>>()
                .join(", ")
        };
        Error::Schema {
            batch: columns(batch.schema_ref()),
            writer: columns(&self.schema),
        }
    }
}

/// Returns the bytes of a batch's rows, without what lies around a slice.
fn bytes_of(batch: &RecordBatch) -> usize {
    let bytes = |column: &dyn Array| {
        let viewed = match column.data_type() {
            DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
            DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used(),
            _ => 0,
        };
        let own = column.to_data().get_slice_memory_size();
        viewed + own.unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch
        .columns()
        .iter()
        .map(|column| bytes(column.as_ref()))
        .sum()
}
