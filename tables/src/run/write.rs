//! Spreads the rows of a fragment over the partitions that it writes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use datafusion::common::internal_err;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::error::Result;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

use super::owned::{bytes_of, owned};
use super::{RunError, Sink};
use crate::exchange::Hasher;
use crate::fragment::Output;
use crate::sorted::{Keys, SortedWriter};

/// A batch that is written: readers hold a few of them, however little memory they have.
const PIECE_BYTES: usize = 1 << 20;
const PIECES: usize = 16;
/// More gathered rows make no larger batches that are worth it.
const GATHERED_BYTES_MAX: usize = 128 << 20;
/// Gathered for each partition: a few batches of its own. More would only leave the processor's caches before it is copied.
const GATHERED_BYTES_PER_PARTITION: usize = 2 << 20;

/// Writes what a fragment gives.
pub(super) enum Writer {
    Whole,
    Hash(HashWriter),
    Sorted(Box<SortedWriter>),
}

impl Writer {
    /// Takes the exchange off a plan and returns a writer for it with what is left to run.
    pub(super) fn new(
        output: Output,
        plan: &Arc<dyn ExecutionPlan>,
        tasks: u32,
        memory_bytes: usize,
    ) -> Result<(Self, Arc<dyn ExecutionPlan>)> {
        if output == Output::Result {
            return Ok((Self::Whole, Arc::clone(plan)));
        }
        let Some(input) = plan.children().first().map(|input| Arc::clone(input)) else {
            return internal_err!("{} is no exchange", plan.name());
        };
        if let Some(node) = plan.downcast_ref::<RepartitionExec>()
            && let Partitioning::Hash(keys, partitions) = node.partitioning()
        {
            let writer = HashWriter::new(Hasher::new(keys.clone()), *partitions, memory_bytes);
            return Ok((Self::Hash(writer), input));
        }
        if let Some(node) = plan.downcast_ref::<SortPreservingMergeExec>() {
            let sort = input
                .downcast_ref::<SortExec>()
                .filter(|sort| sort.fetch().is_none() && sort.expr() == node.expr());
            let rows = sort.map_or(&input, |sort| sort.input());
            let keys = Keys::new(node.expr().clone(), &rows.schema())?;
            let writer = SortedWriter::new(keys, sort.is_none(), memory_bytes, tasks);
            return Ok((Self::Sorted(Box::new(writer)), Arc::clone(rows)));
        }
        Ok((Self::Whole, input))
    }

    pub(super) fn push(&mut self, batch: RecordBatch, sink: &mut Sink<'_>) -> Result<(), RunError> {
        match self {
            Self::Whole => sink.write(0, batch),
            Self::Hash(writer) => writer.push(batch, sink),
            Self::Sorted(writer) => writer.push(batch, sink),
        }
    }

    /// Ends the rows of one share.
    pub(super) fn end_share(&mut self, sink: &mut Sink<'_>) -> Result<(), RunError> {
        match self {
            Self::Whole => Ok(()),
            Self::Hash(writer) => writer.flush(sink),
            Self::Sorted(writer) => writer.end_run(sink),
        }
    }

    pub(super) fn finish(self, sink: &mut Sink<'_>) -> Result<(), RunError> {
        match self {
            Self::Sorted(writer) => writer.finish(sink),
            Self::Whole | Self::Hash(_) => Ok(()),
        }
    }
}

/// Gathers batches, and writes each partition's rows of all of them at once: few large batches, copied once.
pub(super) struct HashWriter {
    hasher: Hasher,
    memory_bytes: usize,
    piece_bytes: usize,
    batches: Vec<RecordBatch>,
    bytes: usize,
    /// Bytes of the gathered rows.
    row_bytes: usize,
    /// For each partition the rows: number of the batch, row.
    places: Vec<Vec<(usize, usize)>>,
}

impl HashWriter {
    fn new(hasher: Hasher, partitions: usize, memory_bytes: usize) -> Self {
        Self {
            hasher,
            memory_bytes: memory_bytes
                .min(GATHERED_BYTES_MAX)
                .min(GATHERED_BYTES_PER_PARTITION.saturating_mul(partitions.max(1))),
            piece_bytes: PIECE_BYTES.min(memory_bytes / PIECES),
            batches: Vec::new(),
            bytes: 0,
            row_bytes: 0,
            places: vec![Vec::new(); partitions.max(1)],
        }
    }

    fn push(&mut self, batch: RecordBatch, sink: &mut Sink<'_>) -> Result<(), RunError> {
        let batch = owned(batch)?;
        let partitions = self.places.len() as u64;
        let at = self.batches.len();
        for (row, hash) in self
            .hasher
            .partition_hashes(&batch)?
            .into_iter()
            .enumerate()
        {
            let partition = usize::try_from(hash % partitions).unwrap_or(0);
            if let Some(places) = self.places.get_mut(partition) {
                places.push((at, row));
            }
        }
        // A list of places doubles when it grows.
        self.bytes += get_record_batch_memory_size(&batch)
            + batch.num_rows() * 2 * size_of::<(usize, usize)>();
        self.row_bytes += bytes_of(&batch);
        self.batches.push(batch);
        if self.bytes >= self.memory_bytes {
            self.flush(sink)?;
        }
        Ok(())
    }

    fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), RunError> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        let piece_rows = (self.piece_bytes.saturating_mul(rows) / self.row_bytes.max(1)).max(1);
        for (partition, places) in (0_u32..).zip(&mut self.places) {
            // Of one size: a small last one would be copied once more, to be put together with others.
            let pieces = places.len().div_ceil(piece_rows).max(1);
            for places in places.chunks(places.len().div_ceil(pieces).max(1)) {
                sink.write(partition, interleave_record_batch(&batches, places)?)?;
            }
            places.clear();
        }
        self.batches.clear();
        self.bytes = 0;
        self.row_bytes = 0;
        Ok(())
    }
}
