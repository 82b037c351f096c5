//! Rows that a fragment hands on to other fragments: into the partition store.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use swath_tables::{BoxError, Outputs};

use crate::exchange::{PartitionKey, PartitionStore, PartitionWriter, ShuffleWriter};

/// How the partitions of a run are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbering {
    /// So many, from 0.
    Fixed(u32),
    /// Partition 0 is the table of the chunks of sorted runs; the chunks come after it, as many as it takes.
    Chunks,
}

/// Stores the rows of one run of a task.
pub(super) struct StoredRows {
    store: Arc<PartitionStore>,
    /// Partition 0 of the run.
    first: PartitionKey,
    numbering: Numbering,
    schema: Option<SchemaRef>,
    rows: Option<ShuffleWriter>,
    chunk_table: Option<PartitionWriter>,
}

/// Says that an engine wrote before it said what.
#[derive(Debug, thiserror::Error)]
#[error("a bug in the engine: rows before their schema")]
struct NoSchema;

impl StoredRows {
    pub(super) fn new(
        store: Arc<PartitionStore>,
        first: PartitionKey,
        numbering: Numbering,
    ) -> Self {
        Self {
            store,
            first,
            numbering,
            schema: None,
            rows: None,
            chunk_table: None,
        }
    }

    /// Makes all partitions visible to readers; returns their bytes.
    pub(super) fn finish(mut self) -> Result<u64, BoxError> {
        let rows = self.open()?.finish()?;
        let table = self.chunk_table.map(PartitionWriter::finish).transpose()?;
        let stored = rows.iter().chain(&table).map(|partition| partition.bytes);
        Ok(stored.sum())
    }

    /// Takes the writer of the rows out, or makes it.
    fn open(&mut self) -> Result<ShuffleWriter, BoxError> {
        if let Some(rows) = self.rows.take() {
            return Ok(rows);
        }
        let schema = self.schema.clone().ok_or(NoSchema)?;
        let (partition, count) = match self.numbering {
            Numbering::Fixed(count) => (0, count),
            Numbering::Chunks => (1, 0),
        };
        let first = PartitionKey {
            partition,
            ..self.first.clone()
        };
        Ok(self.store.shuffle_writer(first, schema, count)?)
    }

    fn write_rows(&mut self, index: u32, batch: &RecordBatch) -> Result<(), BoxError> {
        let mut rows = self.open()?;
        rows.grow_to(index.saturating_add(1))?;
        // Operators differ in what they say of nulls and metadata; what was begun with holds.
        let schema = self.schema.clone().ok_or(NoSchema)?;
        let batch = batch
            .clone()
            .with_schema(schema)
            .unwrap_or_else(|_| batch.clone());
        rows.write(index, &batch)?;
        self.rows = Some(rows);
        Ok(())
    }

    fn write_table(&mut self, batch: &RecordBatch) -> Result<(), BoxError> {
        let mut table = match self.chunk_table.take() {
            Some(table) => table,
            None => self.store.writer(self.first.clone(), batch.schema())?,
        };
        table.write(batch)?;
        self.chunk_table = Some(table);
        Ok(())
    }
}

impl Outputs for StoredRows {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), BoxError> {
        self.schema = Some(Arc::clone(schema));
        Ok(())
    }

    fn write(&mut self, partition: u32, batch: &RecordBatch) -> Result<(), BoxError> {
        match (self.numbering, partition.checked_sub(1)) {
            (Numbering::Fixed(_), _) => self.write_rows(partition, batch),
            (Numbering::Chunks, None) => self.write_table(batch),
            (Numbering::Chunks, Some(chunk)) => self.write_rows(chunk, batch),
        }
    }

    fn discard(&mut self) -> Result<(), BoxError> {
        (self.rows, self.chunk_table) = (None, None);
        Ok(())
    }
}
