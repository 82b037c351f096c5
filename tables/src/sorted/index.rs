//! What a task says of the chunks that it wrote, and the ranges that follow from it.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, ListArray, ListBuilder, RecordBatch, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::cast::{as_binary_array, as_list_array, as_uint32_array, as_uint64_array};
use datafusion::error::Result;

/// One chunk of a sorted run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The run, counted within its producer.
    pub(super) run: u32,
    /// The partition that holds it.
    pub(super) partition: u32,
    /// How many rows.
    pub(super) rows: u64,
    /// The key of the first row.
    pub(super) first: Vec<u8>,
    /// The key of the last row.
    pub(super) last: Vec<u8>,
    /// Keys between them, each for the same number of rows.
    pub(super) samples: Vec<Vec<u8>>,
}

/// Returns the columns of an index.
pub(super) fn schema() -> SchemaRef {
    let samples = DataType::new_list(DataType::Binary, true);
    Arc::new(Schema::new(vec![
        Field::new("run", DataType::UInt32, false),
        Field::new("partition", DataType::UInt32, false),
        Field::new("rows", DataType::UInt64, false),
        Field::new("first", DataType::Binary, false),
        Field::new("last", DataType::Binary, false),
        Field::new("samples", samples, false),
    ]))
}

/// Writes an index.
pub(super) fn encode(chunks: &[Chunk]) -> Result<RecordBatch> {
    let mut samples = ListBuilder::new(BinaryBuilder::new());
    for chunk in chunks {
        for sample in &chunk.samples {
            samples.values().append_value(sample);
        }
        samples.append(true);
    }
    let of = |key: fn(&Chunk) -> &[u8]| BinaryArray::from_iter_values(chunks.iter().map(key));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(
            chunks.iter().map(|chunk| chunk.run),
        )),
        Arc::new(UInt32Array::from_iter_values(
            chunks.iter().map(|chunk| chunk.partition),
        )),
        Arc::new(UInt64Array::from_iter_values(
            chunks.iter().map(|chunk| chunk.rows),
        )),
        Arc::new(of(|chunk| &chunk.first)),
        Arc::new(of(|chunk| &chunk.last)),
        Arc::new(samples.finish()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// Reads an index.
pub(super) fn decode(batch: &RecordBatch) -> Result<Vec<Chunk>> {
    let column = |name: &str| -> Result<&ArrayRef> {
        batch.column_by_name(name).ok_or_else(|| {
            datafusion::common::exec_datafusion_err!(
                "the index of a sorted partition has no {name}"
            )
        })
    };
    let (runs, partitions) = (
        as_uint32_array(column("run")?)?,
        as_uint32_array(column("partition")?)?,
    );
    let rows = as_uint64_array(column("rows")?)?;
    let (first, last) = (
        as_binary_array(column("first")?)?,
        as_binary_array(column("last")?)?,
    );
    let samples: &ListArray = as_list_array(column("samples")?)?;
    (0..batch.num_rows())
        .map(|row| {
            let keys = samples.value(row);
            Ok(Chunk {
                run: runs.value(row),
                partition: partitions.value(row),
                rows: rows.value(row),
                first: first.value(row).to_vec(),
                last: last.value(row).to_vec(),
                samples: as_binary_array(&keys)?
                    .iter()
                    .flatten()
                    .map(<[u8]>::to_vec)
                    .collect(),
            })
        })
        .collect()
}

/// Returns the keys at which ranges begin, all but the first: quantiles of the sampled keys by rows.
///
/// Every reader of an exchange has the same chunks and so the same boundaries. Equal keys never part. With few keys there
/// are fewer boundaries: the ranges after the last one have no rows.
pub(super) fn boundaries<'a>(
    chunks: impl IntoIterator<Item = &'a Chunk>,
    ranges: usize,
) -> Vec<Vec<u8>> {
    let mut keys: Vec<(&[u8], u64)> = Vec::new();
    let mut total = 0_u64;
    for chunk in chunks {
        let samples = chunk.samples.len().max(1) as u64;
        // Four times the rows, so that a share of few rows is not nothing.
        let weight = (chunk.rows * 4).div_ceil(samples);
        keys.extend(
            chunk
                .samples
                .iter()
                .map(|sample| (sample.as_slice(), weight)),
        );
        total += weight * chunk.samples.len() as u64;
    }
    keys.sort_unstable();
    let mut boundaries = Vec::with_capacity(ranges.saturating_sub(1));
    let mut before = 0_u128;
    for (key, weight) in keys {
        while boundaries.len() + 1 < ranges
            && before * ranges as u128 >= u128::from(total) * (boundaries.len() as u128 + 1)
        {
            boundaries.push(key.to_vec());
        }
        before += u128::from(weight);
    }
    boundaries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(keys: std::ops::Range<u8>) -> Chunk {
        Chunk {
            run: 0,
            partition: 1,
            rows: u64::from(keys.end - keys.start),
            first: vec![keys.start],
            last: vec![keys.end - 1],
            samples: keys.map(|key| vec![key]).collect(),
        }
    }

    #[test]
    fn ranges_have_as_many_rows_each() {
        assert_eq!(
            boundaries(&[chunk(0..10), chunk(10..20)], 4),
            [[5], [10], [15]]
        );
        assert_eq!(boundaries(&[chunk(10..20), chunk(0..10)], 2), [[10]]);
    }

    #[test]
    fn equal_keys_stay_in_one_range() {
        let chunks = vec![
            Chunk {
                samples: vec![vec![7]; 8],
                ..chunk(7..8)
            };
            3
        ];
        assert_eq!(boundaries(&chunks, 3), [[7], [7]]);
        assert_eq!(boundaries(&[], 3), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn an_index_is_read_as_it_was_written() -> Result<()> {
        let chunks = [chunk(0..3), chunk(3..9)];
        assert_eq!(decode(&encode(&chunks)?)?, chunks);
        assert_eq!(encode(&[])?.num_rows(), 0);
        Ok(())
    }
}
