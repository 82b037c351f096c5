//! Batches that hold no more memory than their rows take.

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use datafusion::common::utils::memory::get_record_batch_memory_size;

use super::compact;

/// Copies a batch that holds on to far more than its own rows: operators hand on slices of one large batch, each of
/// which keeps all of it.
pub(crate) fn owned(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    if get_record_batch_memory_size(&batch) / 4 <= bytes_of(&batch) {
        return Ok(batch);
    }
    let rows = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
    let all = UInt32Array::from_iter_values(0..rows);
    Ok(compact(take_record_batch(&batch, &all)?))
}

/// Returns the bytes of the values of a batch, without those that it only holds on to.
pub(crate) fn bytes_of(batch: &RecordBatch) -> usize {
    let bytes = |column: &dyn Array| {
        let sliced = column.to_data().get_slice_memory_size();
        sliced.unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(|column| bytes(column)).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn a_slice_of_a_large_batch_lets_go_of_it() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("t", DataType::Utf8, false),
        ]));
        let numbers = Int64Array::from_iter_values(0..1000);
        let texts = StringArray::from_iter_values((0..1000).map(|n| format!("{n:0>100}")));
        let whole = RecordBatch::try_new(schema, vec![Arc::new(numbers), Arc::new(texts)]).unwrap();
        let slice = whole.slice(500, 100);
        // 100 rows, and the offset behind the last of them.
        let bytes = 100 * (8 + 4 + 100) + 4;
        assert_eq!(bytes_of(&slice), bytes);
        assert!(get_record_batch_memory_size(&slice) > 9 * bytes);
        let own = owned(slice.clone()).unwrap();
        assert_eq!(own, slice);
        assert!(get_record_batch_memory_size(&own) < 2 * bytes);
        // What holds little more than its rows stays as it is.
        let kept = owned(whole.clone()).unwrap();
        assert_eq!(
            kept.column(0).to_data().buffers()[0].as_ptr(),
            whole.column(0).to_data().buffers()[0].as_ptr()
        );
    }
}
