//! Cutting a batch by the partition of each row: a counting sort of row numbers, then one copy of the rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::Shuffle;
use super::error::Error;
use super::words::take_words;

/// Cuts a batch into one for each partition that has rows, in the order of partitions; rows keep their order.
///
/// Rows that already lie together are not copied: their batch is a slice of the one given.
///
/// # Errors
/// When the shuffle cannot tell the partition of each row.
pub fn partition_batch(
    shuffle: &impl Shuffle,
    batch: &RecordBatch,
) -> Result<Vec<(u32, RecordBatch)>, Error> {
    let ids = shuffle.partition_ids(batch)?;
    check(&ids, batch.num_rows(), shuffle.partitions())?;
    cut(batch, ids, shuffle.partitions())
}

/// Checks that there is a partition for each row.
pub(super) fn check(ids: &[u32], rows: usize, partitions: u32) -> Result<(), Error> {
    let largest = ids.iter().copied().max().unwrap_or(0);
    if ids.len() == rows && largest < partitions {
        return Ok(());
    }
    Err(Error::Ids {
        ids: ids.len(),
        rows,
        largest,
        partitions,
    })
}

/// Cuts a batch by the partitions of its rows, which are checked.
pub(super) fn cut(
    batch: &RecordBatch,
    ids: Vec<u32>,
    partitions: u32,
) -> Result<Vec<(u32, RecordBatch)>, Error> {
    let (rows, ends) = sort(&ids, partitions)?;
    // Its memory serves the copies.
    drop(ids);
    let rows = UInt32Array::from(rows);
    let mut parts = Vec::new();
    let mut start = 0;
    for (partition, end) in (0..partitions).zip(ends) {
        if start < end {
            parts.push((partition, pick(batch, &rows, start..end)?));
        }
        start = end;
    }
    Ok(parts)
}

/// Stretches of rows that are sorted side by side: counting a row waits for the one before it in its stretch, if of the same partition.
const STRETCHES: usize = 4;

/// Sorts the numbers of rows by their partitions, stably; returns them, and where each partition ends among them.
fn sort(ids: &[u32], partitions: u32) -> Result<(Vec<u32>, Vec<usize>), Error> {
    u32::try_from(ids.len()).map_err(|_| Error::TooManyRows { rows: ids.len() })?;
    let length = ids.len().div_ceil(STRETCHES);
    let mut stretches = ids.chunks(length.max(1));
    let stretches = [(); STRETCHES].map(|()| stretches.next().unwrap_or_default());
    // Of each partition the rows of each stretch, then where the next of them goes.
    let mut next = vec![[0_u32; STRETCHES]; partitions as usize];
    for at in 0..length {
        for (stretch, ids) in stretches.iter().enumerate() {
            if let Some(next) = counter(&mut next, ids.get(at), stretch) {
                *next += 1;
            }
        }
    }
    let mut start = 0;
    for next in next.as_flattened_mut() {
        start += std::mem::replace(next, start);
    }
    let mut rows = vec![0; ids.len()];
    for at in 0..length {
        for (stretch, ids) in stretches.iter().enumerate() {
            if let Some(next) = counter(&mut next, ids.get(at), stretch) {
                if let Some(slot) = rows.get_mut(*next as usize) {
                    *slot = (stretch * length + at) as u32;
                }
                *next += 1;
            }
        }
    }
    // Each now stands where the rows of its stretch end: those of the last are the last of the partition.
    let ends = next.iter().map(|[.., end]| *end as usize).collect();
    Ok((rows, ends))
}

fn counter<'a>(
    next: &'a mut [[u32; STRETCHES]],
    id: Option<&u32>,
    stretch: usize,
) -> Option<&'a mut u32> {
    next.get_mut(*id? as usize)?.get_mut(stretch)
}

/// Copies a partition's rows, which are in ascending order, or slices them out where they lie together.
fn pick(batch: &RecordBatch, rows: &UInt32Array, part: Range<usize>) -> Result<RecordBatch, Error> {
    let rows = rows.slice(part.start, part.len());
    if let (Some(first), Some(last)) = (rows.values().first(), rows.values().last())
        && (last - first) as usize + 1 == rows.len()
    {
        return Ok(batch.slice(*first as usize, rows.len()));
    }
    let columns = batch
        .columns()
        .iter()
        .map(|column| take_rows(column, &rows));
    let columns = columns
        .collect::<Result<_, _>>()
        .map_err(Error::arrow("copy"))?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
        .map_err(Error::arrow("copy"))
}

fn take_rows(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Utf8 => take_words(column.as_string::<i32>(), rows),
        DataType::LargeUtf8 => take_words(column.as_string::<i64>(), rows),
        DataType::Binary => take_words(column.as_binary::<i32>(), rows),
        DataType::LargeBinary => take_words(column.as_binary::<i64>(), rows),
        _ => Ok(compact_column(&take(column, rows, None)?)),
    }
}

/// Copies the strings that views point to: else each partition would hold, and send, all strings of the batch.
pub(super) fn compact(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(
        batch.schema(),
        batch.columns().iter().map(compact_column).collect(),
    )
}

fn compact_column(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    }
}
