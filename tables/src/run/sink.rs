//! Where rows leave a task.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::error::DataFusionError;

use crate::{BoxError, Outputs};

/// Why an attempt ended.
#[derive(Debug)]
pub(crate) enum RunError {
    Plan(DataFusionError),
    Output(BoxError),
    Cancelled,
}

impl From<DataFusionError> for RunError {
    fn from(error: DataFusionError) -> Self {
        Self::Plan(error)
    }
}

impl From<ArrowError> for RunError {
    fn from(error: ArrowError) -> Self {
        Self::Plan(error.into())
    }
}

/// Counts what goes to the outputs.
pub(crate) struct Sink<'a> {
    outputs: &'a mut dyn Outputs,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl<'a> Sink<'a> {
    pub(super) fn new(outputs: &'a mut dyn Outputs) -> Self {
        Self {
            outputs,
            rows: 0,
            bytes: 0,
        }
    }

    pub(crate) fn write(&mut self, partition: u32, batch: RecordBatch) -> Result<(), RunError> {
        let batch = compact(batch);
        self.rows += batch.num_rows() as u64;
        self.write_index(partition, &batch)
    }

    /// Writes rows that are not the fragment's.
    pub(crate) fn write_index(
        &mut self,
        partition: u32,
        batch: &RecordBatch,
    ) -> Result<(), RunError> {
        self.bytes += get_record_batch_memory_size(batch) as u64;
        self.outputs
            .write(partition, batch)
            .map_err(RunError::Output)
    }

    pub(super) fn discard(&mut self) -> Result<(), RunError> {
        (self.rows, self.bytes) = (0, 0);
        self.outputs.discard().map_err(RunError::Output)
    }
}

/// Copies what views point at: they hold on to the buffers of all batches that they came from.
pub(crate) fn compact(batch: RecordBatch) -> RecordBatch {
    let is_view = |column: &ArrayRef| {
        matches!(
            column.data_type(),
            DataType::Utf8View | DataType::BinaryView
        )
    };
    if !batch.columns().iter().any(is_view) {
        return batch;
    }
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
            _ => Arc::clone(column),
        })
        .collect();
    RecordBatch::try_new(batch.schema(), columns).unwrap_or(batch)
}
