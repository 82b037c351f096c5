//! All batches of each partition.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::Shuffle;
use super::cut::partition_batch;
use super::error::Error;
use super::writer::{ShuffleWriter, WriterLimits};

/// Cuts a batch into one for each partition, empty ones too.
pub(super) fn one_each(
    shuffle: &impl Shuffle,
    batch: &RecordBatch,
) -> Result<Vec<RecordBatch>, Error> {
    let mut parts = partition_batch(shuffle, batch)?.into_iter().peekable();
    let empty = RecordBatch::new_empty(batch.schema());
    let part = |partition| {
        parts
            .next_if(|(next, _)| *next == partition)
            .map_or_else(|| empty.clone(), |(_, part)| part)
    };
    Ok((0..shuffle.partitions()).map(part).collect())
}

/// Shuffles batches; a partition without rows has one empty batch.
pub(super) fn shuffle_all(
    shuffle: &impl Shuffle,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<Vec<Vec<RecordBatch>>, Error> {
    let mut partitions = vec![Vec::new(); shuffle.partitions() as usize];
    let mut add = |parts: Vec<(u32, RecordBatch)>| {
        for (partition, batch) in parts {
            if let Some(batches) = partitions.get_mut(partition as usize) {
                batches.push(batch);
            }
        }
    };
    let mut writer = ShuffleWriter::new(shuffle, schema.clone(), WriterLimits::default());
    for batch in batches {
        add(writer.push(batch)?);
    }
    add(writer.finish()?);
    for batches in &mut partitions {
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema.clone()));
        }
    }
    Ok(partitions)
}
