//! Sorts what a task gives into runs.

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::row::Rows;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::error::Result;

use super::index::{self, Chunk};
use super::keys::Keys;
use crate::run::{RunError, Sink, bytes_of, owned};

/// Sampled keys of a chunk.
const SAMPLES: usize = 4;
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_BYTES_MIN: usize = 16 << 10;
/// A reader with as little memory can merge as many runs.
const CHUNKS_PER_RUN: usize = 128;
/// What the reader of all runs should need for its chunks, two of each run.
const READER_BYTES: usize = 256 << 20;

/// Writes rows as sorted runs.
pub(crate) struct SortedWriter {
    keys: Keys,
    presorted: bool,
    run_bytes: usize,
    chunk_bytes: usize,
    batches: Vec<(RecordBatch, Rows)>,
    bytes: usize,
    run: u32,
    chunks: Vec<Chunk>,
}

/// A row to be sorted.
struct Item {
    /// The first bytes of its key decide nearly always.
    prefix: u128,
    batch: u32,
    row: u32,
}

impl SortedWriter {
    /// - `presorted`: rows come in order; they are one run, and need no memory.
    /// - `run_bytes`: how much memory a run takes at most.
    /// - `tasks`: how many write runs for the same readers.
    pub(crate) fn new(keys: Keys, presorted: bool, run_bytes: usize, tasks: u32) -> Self {
        let chunk_bytes = READER_BYTES / 2 / (tasks.max(1) as usize);
        let chunk_bytes = chunk_bytes
            .min(run_bytes / CHUNKS_PER_RUN)
            .clamp(CHUNK_BYTES_MIN, CHUNK_BYTES);
        Self {
            keys,
            presorted,
            run_bytes: if presorted { chunk_bytes } else { run_bytes },
            chunk_bytes,
            batches: Vec::new(),
            bytes: 0,
            run: 0,
            chunks: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, batch: RecordBatch, sink: &mut Sink<'_>) -> Result<(), RunError> {
        let batch = owned(batch)?;
        let rows = self.keys.rows(&batch)?;
        self.bytes += get_record_batch_memory_size(&batch)
            + rows.size()
            + batch.num_rows() * size_of::<Item>();
        self.batches.push((batch, rows));
        if self.bytes >= self.run_bytes {
            self.flush(sink)?;
            self.run += u32::from(!self.presorted);
        }
        Ok(())
    }

    /// Ends a run: what comes next has no order with what came before.
    pub(crate) fn end_run(&mut self, sink: &mut Sink<'_>) -> Result<(), RunError> {
        self.flush(sink)?;
        self.run += 1;
        Ok(())
    }

    /// Writes the index.
    pub(crate) fn finish(self, sink: &mut Sink<'_>) -> Result<(), RunError> {
        sink.write_index(0, &index::encode(&self.chunks)?)
    }

    fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), RunError> {
        let batches = std::mem::take(&mut self.batches);
        self.bytes = 0;
        let items = sorted(&batches, self.presorted);
        let whole: Vec<&RecordBatch> = batches.iter().map(|(batch, _)| batch).collect();
        let bytes: usize = whole.iter().map(|batch| bytes_of(batch)).sum();
        let rows = self.chunk_bytes.saturating_mul(items.len()) / bytes.max(1);
        for items in items.chunks(rows.max(1)) {
            let places: Vec<(usize, usize)> = items
                .iter()
                .map(|item| (item.batch as usize, item.row as usize))
                .collect();
            let partition = u32::try_from(self.chunks.len() + 1).unwrap_or(u32::MAX);
            let chunk = interleave_record_batch(&whole, &places)?;
            sink.write(partition, chunk)?;
            self.chunks
                .extend(describe(self.run, partition, items, &batches));
        }
        Ok(())
    }
}

fn describe(
    run: u32,
    partition: u32,
    items: &[Item],
    batches: &[(RecordBatch, Rows)],
) -> Option<Chunk> {
    let key = |item: &Item| {
        let rows = &batches.get(item.batch as usize)?.1;
        Some(rows.row(item.row as usize).data().to_vec())
    };
    let samples = SAMPLES.min(items.len());
    Some(Chunk {
        run,
        partition,
        rows: items.len() as u64,
        first: key(items.first()?)?,
        last: key(items.last()?)?,
        samples: (0..samples)
            .filter_map(|at| key(items.get((2 * at + 1) * items.len() / (2 * samples))?))
            .collect(),
    })
}

/// Puts rows in the order of their keys, equal ones in the order in which they came.
fn sorted(batches: &[(RecordBatch, Rows)], presorted: bool) -> Vec<Item> {
    let mut items = Vec::with_capacity(batches.iter().map(|(batch, _)| batch.num_rows()).sum());
    for (batch, (_, rows)) in (0_u32..).zip(batches) {
        items.extend((0_u32..).zip(rows.iter()).map(|(row, key)| Item {
            prefix: prefix(key.data()),
            batch,
            row,
        }));
    }
    if !presorted {
        let key = |item: &Item| {
            batches
                .get(item.batch as usize)
                .map(|(_, rows)| rows.row(item.row as usize))
        };
        items.sort_unstable_by(|a, b| {
            a.prefix
                .cmp(&b.prefix)
                .then_with(|| key(a).cmp(&key(b)))
                .then_with(|| (a.batch, a.row).cmp(&(b.batch, b.row)))
        });
    }
    items
}

fn prefix(key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(key) {
        *to = *from;
    }
    u128::from_be_bytes(bytes)
}
