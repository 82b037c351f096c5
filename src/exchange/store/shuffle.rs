//! Writing all partitions of one run of a task: small batches are put together, then encoded once.
//!
//! A shuffle cuts each batch into as many pieces as there are partitions, and a message for each would be
//! mostly headers. So pieces wait in a buffer of their partition until they make a frame, and when all buffers
//! together have grown too large, the largest is encoded as it is.

use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::budget::Reservation;
use super::partition::PartitionSummary;
use super::run::RunSink;
use super::{Error, PartitionStore};
use crate::exchange::PartitionKey;
use crate::exchange::encode::{BatchEncoder, compact, estimate};
use crate::exchange::frame::{Frame, u64_of};

/// Rows that make a frame.
const FRAME_ROWS: usize = 8192;

/// Bytes that make a frame.
const FRAME_BYTES: u64 = 256 << 10;

/// Pieces of a buffer that are put together into one, so that what an array takes beside its values, and what
/// a piece holds of the batch that it was cut from, does not add up.
const PIECES_MAX: usize = 32;

/// Bytes that a column of a piece takes beside its values, about.
const COLUMN_OVERHEAD_BYTES: u64 = 256;

/// The most that the buffers of one writer hold.
const BUFFERS_BYTES_MAX: u64 = 64 << 20;

/// What the buffers of one writer may hold when the store's memory is full: less would give tiny frames.
const BUFFERS_BYTES_MIN: u64 = 16 << 20;

/// Writes the partitions of one run of a task; others see all of them once it is finished, and none when it is
/// dropped before.
///
/// Its buffers hold up to 64 MiB, counted as memory of the store; up to 16 MiB of it past the store's limit.
/// Its calls encode, and may write to a file: they belong on a thread that may block.
pub struct ShuffleWriter {
    encoder: BatchEncoder,
    /// What every partition begins with: the schema.
    first_frame: Frame,
    sink: RunSink,
    buffers: Vec<Buffer>,
    buffered_bytes: u64,
    /// Grows to the most that was buffered, and stays: what a flushed buffer leaves is for the next.
    held: Reservation,
    joins: bool,
    broken: bool,
}

#[derive(Default)]
struct Buffer {
    pieces: Vec<RecordBatch>,
    rows: usize,
    bytes: u64,
}

impl std::fmt::Debug for ShuffleWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShuffleWriter")
            .field("first", self.sink.first())
            .field("partitions", &self.buffers.len())
            .finish_non_exhaustive()
    }
}

impl ShuffleWriter {
    pub(super) fn new(
        store: Arc<PartitionStore>,
        first: PartitionKey,
        schema: SchemaRef,
        partitions: u32,
    ) -> Result<Self, Error> {
        let held = store.memory.empty();
        let joins = schema.fields().iter().all(|field| joins(field.data_type()));
        let (encoder, frame) = BatchEncoder::new(schema)?;
        Ok(Self {
            encoder,
            sink: RunSink::new(store, first, partitions, &frame)?,
            buffers: (0..partitions).map(|_| Buffer::default()).collect(),
            first_frame: frame,
            buffered_bytes: 0,
            held,
            joins,
            broken: false,
        })
    }

    /// Adds partitions until there are so many.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::File`].
    pub fn grow_to(&mut self, partitions: u32) -> Result<(), Error> {
        let wanted = usize::try_from(partitions).unwrap_or(usize::MAX);
        while self.buffers.len() < wanted {
            self.sink.grow(&self.first_frame)?;
            self.buffers.push(Buffer::default());
        }
        Ok(())
    }

    /// Appends a batch to a partition; one without rows adds nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`], and those of [`super::PartitionWriter::write`]. After an error the run cannot
    /// be finished.
    pub fn write(&mut self, partition: u32, batch: &RecordBatch) -> Result<(), Error> {
        if self.broken {
            return Err(self.sink.unfinished());
        }
        // Set first: a panic inside leaves partitions that nobody should see.
        self.broken = true;
        self.append(partition, batch)?;
        self.broken = false;
        Ok(())
    }

    /// Makes all partitions visible to readers; says what was written to each.
    ///
    /// # Errors
    /// [`Error::Written`] when another writer finished one of the partitions, [`Error::Unfinished`] when a write
    /// had failed, [`Error::Full`], [`Error::File`].
    pub fn finish(mut self) -> Result<Vec<PartitionSummary>, Error> {
        if self.broken {
            return Err(self.sink.unfinished());
        }
        for index in 0..self.buffers.len() {
            self.flush(index)?;
        }
        self.sink.finish()
    }

    fn append(&mut self, partition: u32, batch: &RecordBatch) -> Result<(), Error> {
        self.encoder.check(batch)?;
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        if index >= self.buffers.len() {
            return Err(Error::NoSuchPartition {
                partition,
                partitions: u32::try_from(self.buffers.len()).unwrap_or(u32::MAX),
            });
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bytes = estimate(batch);
        if !self.joins || batch.num_rows() >= FRAME_ROWS || bytes >= FRAME_BYTES {
            self.flush(index)?;
            return self.encode(index, batch);
        }
        let piece = owned(batch, bytes)?;
        let bytes = bytes.saturating_add(overhead(&piece));
        self.make_room(bytes)?;
        self.keep(index, piece, bytes)
    }

    fn keep(&mut self, index: usize, piece: RecordBatch, bytes: u64) -> Result<(), Error> {
        let Some(buffer) = self.buffers.get_mut(index) else {
            return Ok(());
        };
        buffer.rows += piece.num_rows();
        buffer.bytes += bytes;
        buffer.pieces.push(piece);
        self.buffered_bytes += bytes;
        if buffer.rows >= FRAME_ROWS || buffer.bytes >= FRAME_BYTES {
            return self.flush(index);
        }
        if buffer.pieces.len() < PIECES_MAX {
            return Ok(());
        }
        let Ok(piece) = concat_batches(self.encoder.schema(), &buffer.pieces) else {
            return self.flush(index);
        };
        self.buffered_bytes -= buffer.bytes;
        buffer.bytes = estimate(&piece).saturating_add(overhead(&piece));
        self.buffered_bytes += buffer.bytes;
        buffer.pieces = vec![piece];
        Ok(())
    }

    /// Encodes the largest buffers until `bytes` more may be buffered.
    fn make_room(&mut self, bytes: u64) -> Result<(), Error> {
        while !self.fits(bytes) {
            let sizes = self.buffers.iter().map(|buffer| buffer.bytes).enumerate();
            let Some((largest, 1..)) = sizes.max_by_key(|(_, bytes)| *bytes) else {
                break;
            };
            self.flush(largest)?;
        }
        Ok(())
    }

    fn fits(&mut self, bytes: u64) -> bool {
        let after = self.buffered_bytes.saturating_add(bytes);
        let more = after.saturating_sub(self.held.bytes());
        if more == 0 {
            return true;
        }
        if after > BUFFERS_BYTES_MAX {
            return false;
        }
        let grown = self.held.grow(more);
        if !grown && after <= BUFFERS_BYTES_MIN {
            self.held.grow_past(more);
        }
        grown || after <= BUFFERS_BYTES_MIN
    }

    fn flush(&mut self, index: usize) -> Result<(), Error> {
        let Some(buffer) = self.buffers.get_mut(index).map(std::mem::take) else {
            return Ok(());
        };
        self.buffered_bytes -= buffer.bytes;
        match concat_batches(self.encoder.schema(), &buffer.pieces) {
            Ok(batch) => self.encode(index, &batch),
            // Dictionaries whose values together pass what the keys can count.
            Err(_) => buffer
                .pieces
                .iter()
                .try_for_each(|piece| self.encode(index, piece)),
        }
    }

    fn encode(&mut self, index: usize, batch: &RecordBatch) -> Result<(), Error> {
        let sink = &mut self.sink;
        self.encoder.encode(index, batch, &mut |frame, rows| {
            sink.put(index, frame, rows)
        })
    }
}

fn overhead(piece: &RecordBatch) -> u64 {
    COLUMN_OVERHEAD_BYTES.saturating_mul(u64_of(piece.num_columns()))
}

/// Copies a piece that keeps far more alive than its own rows: a slice of a batch keeps the whole of it.
fn owned(batch: &RecordBatch, bytes: u64) -> Result<RecordBatch, Error> {
    let columns = batch.columns().iter();
    let held = columns
        .map(|column| u64_of(column.get_buffer_memory_size()))
        .sum::<u64>();
    if held / 4 <= bytes.saturating_add(overhead(batch)) {
        return Ok(batch.clone());
    }
    let rows = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
    let all = UInt32Array::from_iter_values(0..rows);
    compact(&take_record_batch(batch, &all)?)
}

/// Tells whether columns of a type can always be joined, or say so when they cannot.
///
/// Arrow panics when dictionaries inside other columns have too many values for their keys.
fn joins(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => !values.is_nested(),
        other if other.is_nested() => nested_joins(other),
        _ => true,
    }
}

fn nested_joins(data_type: &DataType) -> bool {
    let plain = |inner: &DataType| !matches!(inner, DataType::Dictionary(..)) && joins(inner);
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => plain(field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| plain(field.data_type())),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        _ => false,
    }
}
