//! The rows of several batches in order.

use arrow::array::{Array, ArrayRef};
use arrow::compute::{concat, interleave_record_batch};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::column::plain;
use super::cut::compact;
use super::dictionaries::can_join;
use super::error::Error;
use super::order::{Keys, SortKey};

/// Rows in a batch that comes out.
const BATCH_ROWS: usize = 8192;

/// Sorts the rows of batches by the columns of their keys, stably. Rows are copied once, a batch that comes out at a time.
pub(super) fn sort(
    batches: &[RecordBatch],
    columns: &[Vec<ArrayRef>],
    keys: &[SortKey],
) -> Result<Vec<RecordBatch>, Error> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows < 2 {
        return Ok(batches.to_vec());
    }
    if u32::try_from(rows).is_err() {
        return Err(Error::TooManyRows { rows });
    }
    if !can_join(batches) {
        return Err(Error::arrow("sort")(ArrowError::DictionaryKeyOverflowError));
    }
    let joined: Vec<ArrayRef> = (0..keys.len())
        .map(|key| join(columns, key))
        .collect::<Result<_, _>>()
        .map_err(Error::arrow("sort"))?;
    let sorted = Keys::new(keys, &joined)?.sorted();
    let places: Vec<(usize, usize)> = batches
        .iter()
        .enumerate()
        .flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row)))
        .collect();
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let gather = |rows: &[u32]| {
        let rows: Vec<_> = rows
            .iter()
            .filter_map(|row| places.get(*row as usize).copied())
            .collect();
        interleave_record_batch(&batches, &rows)
            .and_then(compact)
            .map_err(Error::arrow("sort"))
    };
    sorted.chunks(BATCH_ROWS).map(gather).collect()
}

/// Joins a key's column of all batches, dictionaries undone.
fn join(columns: &[Vec<ArrayRef>], key: usize) -> Result<ArrayRef, ArrowError> {
    let parts: Vec<ArrayRef> = columns
        .iter()
        .filter_map(|columns| columns.get(key))
        .map(plain)
        .collect::<Result<_, _>>()?;
    concat(
        &parts
            .iter()
            .map(|part| part.as_ref() as &dyn Array)
            .collect::<Vec<_>>(),
    )
}
