//! Rows of a result, encoded for their file as they come: the body in partition 0, what is known of it in partition 1.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use swath_tables::sink::{OutputFormat, PartEncoder};
use swath_tables::{BoxError, Outputs};

use super::assemble::{BODY, FOOTER};
use super::engine::output_format;
use crate::exchange::{PartitionKey, PartitionStore, PartitionWriter};
use crate::spec::TableOutput;

/// Bytes of a body in one row of its partition.
const PIECE_BYTES: usize = 1 << 20;

/// Encodes and stores the rows of one run of a task.
pub(crate) struct EncodedRows {
    store: Arc<PartitionStore>,
    /// Partition 0 of the run.
    first: PartitionKey,
    format: OutputFormat,
    /// What the encoder may take.
    memory_bytes: usize,
    schema: Option<SchemaRef>,
    part: Option<(PartEncoder, PartitionWriter)>,
}

/// Says that an engine wrote before it said what.
#[derive(Debug, thiserror::Error)]
#[error("a bug in the engine: rows before their schema")]
struct NoSchema;

impl EncodedRows {
    pub(super) fn new(
        store: Arc<PartitionStore>,
        first: PartitionKey,
        format: OutputFormat,
        memory_bytes: usize,
    ) -> Self {
        Self {
            store,
            first,
            format,
            memory_bytes,
            schema: None,
            part: None,
        }
    }

    /// Makes it for a result that is not a query's; its encoder may take `memory_bytes`.
    pub(crate) fn of(
        store: Arc<PartitionStore>,
        first: PartitionKey,
        output: &TableOutput,
        memory_bytes: usize,
    ) -> Self {
        Self::new(store, first, output_format(output), memory_bytes)
    }

    /// Says what the rows look like; comes once, before them.
    pub(crate) fn begin_rows(&mut self, schema: &SchemaRef) {
        self.schema = Some(Arc::clone(schema));
    }

    /// Encodes rows.
    pub(crate) fn write_rows(&mut self, batch: &RecordBatch) -> Result<(), BoxError> {
        self.write(0, batch)
    }

    /// Makes both partitions visible to readers; returns their bytes.
    pub(crate) fn finish(mut self) -> Result<u64, BoxError> {
        let (encoder, mut body) = self.open()?;
        let footer = encoder.finish(&mut |bytes| write_pieces(&mut body, bytes))?;
        let mut schema = Vec::new();
        let described = self.schema.ok_or(NoSchema)?;
        StreamWriter::try_new(&mut schema, &described)?.finish()?;
        let mut facts = self.store.writer(
            PartitionKey {
                partition: FOOTER,
                ..self.first
            },
            footer_schema(),
        )?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(BinaryArray::from_vec(vec![&footer.to_bytes()?])),
            Arc::new(BinaryArray::from_vec(vec![&schema])),
        ];
        facts.write(&RecordBatch::try_new(footer_schema(), columns)?)?;
        // The body first: who finds the footer finds the body.
        Ok(body.finish()?.bytes + facts.finish()?.bytes)
    }

    fn open(&mut self) -> Result<(PartEncoder, PartitionWriter), BoxError> {
        if let Some(part) = self.part.take() {
            return Ok(part);
        }
        let schema = self.schema.clone().ok_or(NoSchema)?;
        let key = PartitionKey {
            partition: BODY,
            ..self.first.clone()
        };
        let body = self.store.writer(key, body_schema())?;
        let encoder = PartEncoder::within(&self.format, &schema, self.memory_bytes)?;
        Ok((encoder, body))
    }
}

impl Outputs for EncodedRows {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), BoxError> {
        self.schema = Some(Arc::clone(schema));
        Ok(())
    }

    fn write(&mut self, _: u32, batch: &RecordBatch) -> Result<(), BoxError> {
        let (mut encoder, mut body) = self.open()?;
        encoder.write(batch, &mut |bytes| write_pieces(&mut body, bytes))?;
        self.part = Some((encoder, body));
        Ok(())
    }

    fn discard(&mut self) -> Result<(), BoxError> {
        self.part = None;
        Ok(())
    }
}

fn write_pieces(body: &mut PartitionWriter, bytes: &[u8]) -> Result<(), BoxError> {
    for piece in bytes.chunks(PIECE_BYTES) {
        let column: ArrayRef = Arc::new(BinaryArray::from_vec(vec![piece]));
        body.write(&RecordBatch::try_new(body_schema(), vec![column])?)?;
    }
    Ok(())
}

fn binary(name: &str) -> Field {
    Field::new(name, DataType::Binary, false)
}

fn body_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![binary("bytes")]))
}

fn footer_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![binary("footer"), binary("schema")]))
}
