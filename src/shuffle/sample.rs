//! Boundaries that share rows out evenly.

use arrow::array::UInt32Array;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::error::Error;
use super::order::Keys;
use crate::partition::hash_key;

/// Draws about `rows` rows of batches for [`super::RangeShuffle::from_sample`]: one of each run of rows of equal length, which one decided
/// by a hash of the run's number, so that the same batches give the same sample, and a period in the rows does no harm.
///
/// # Errors
/// When Arrow cannot copy the rows.
pub fn sample(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    rows: usize,
) -> Result<RecordBatch, Error> {
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let run = total.div_ceil(rows.max(1)).max(1) as u64;
    let drawn = |number: u64| number * run + hash_key(&number.to_le_bytes()) % run;
    let mut drawn = (0..(total as u64).div_ceil(run)).map(drawn).peekable();
    let (mut parts, mut start) = (Vec::new(), 0);
    for batch in batches {
        let end = start + batch.num_rows() as u64;
        let own = std::iter::from_fn(|| drawn.next_if(|row| *row < end));
        let own = UInt32Array::from_iter_values(own.map(|row| (row - start) as u32));
        parts.push(take_record_batch(batch, &own).map_err(Error::arrow("sample"))?);
        start = end;
    }
    concat_batches(schema, &parts).map_err(Error::arrow("sample"))
}

/// Returns the rows that begin the second range and each later one, when `partitions` ranges share out the rows as evenly as equal
/// keys, which stay together, allow; fewer when keys run out.
pub(super) fn even_edges(keys: &Keys, partitions: u32) -> Vec<u32> {
    let sorted = keys.sorted();
    let begins = |at: &usize| match (sorted.get(at.wrapping_sub(1)), sorted.get(*at)) {
        (Some(before), Some(row)) => keys.compare(*before as usize, keys, *row as usize).is_lt(),
        _ => false,
    };
    let mut edges = Vec::new();
    let mut start = 0;
    for left in (2..=partitions as usize).rev() {
        let target = start + (sorted.len() - start).div_ceil(left);
        let before = (start + 1..=target).rev().find(begins);
        let after = (target + 1..sorted.len()).find(begins);
        let nearest = [before, after]
            .into_iter()
            .flatten()
            .min_by_key(|edge| edge.abs_diff(target));
        let Some(edge) = nearest else { break };
        edges.extend(sorted.get(edge));
        start = edge;
    }
    edges
}
