//! Ranges of keys, in order.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::Shuffle;
use super::column::{column, plain_type};
use super::error::Error;
use super::gather::{one_each, shuffle_all};
use super::order::{Keys, SortKey};
use super::sample::even_edges;
use super::sort::sort;

/// Sends rows to partitions by ranges of their keys: every row of a partition comes before every row of the next, in the order of the keys.
///
/// Partition 0 ends before the first boundary, partition `i` begins with boundary `i - 1`. A key is one column or several, each
/// ascending or descending, with nulls first or last. −0.0 equals +0.0; NaNs equal each other and are greater than every number. Rows
/// with equal keys are always in one partition.
#[derive(Debug)]
pub struct RangeShuffle {
    keys: Vec<SortKey>,
    /// The types of the keys, dictionaries undone.
    types: Vec<DataType>,
    boundaries: Keys,
    partitions: u32,
    sorted: bool,
}

impl RangeShuffle {
    /// Makes a shuffle by one key with boundaries of its column's type, in the order of the key.
    ///
    /// # Errors
    /// When a boundary does not come after the one before it, or its type has no order.
    pub fn new(key: impl Into<SortKey>, boundaries: &ArrayRef) -> Result<Self, Error> {
        Self::by_keys([key], std::slice::from_ref(boundaries))
    }

    /// Makes a shuffle by several keys, with a column of boundaries for each.
    ///
    /// # Errors
    /// When there is no key, not one column of boundaries for each, their types have no order, or a boundary does not come after the
    /// one before it.
    pub fn by_keys<I>(keys: I, boundaries: &[ArrayRef]) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: Into<SortKey>,
    {
        let keys = sort_keys(keys)?;
        let lengths: Vec<usize> = boundaries.iter().map(|column| column.len()).collect();
        if boundaries.len() != keys.len()
            || lengths
                .windows(2)
                .any(|pair| matches!(pair, [a, b] if a != b))
        {
            return Err(Error::BoundaryColumns {
                keys: keys.len(),
                columns: boundaries.len(),
                lengths,
            });
        }
        let rows = lengths.first().copied().unwrap_or(0);
        let partitions = u32::try_from(rows)
            .ok()
            .and_then(|rows| rows.checked_add(1))
            .ok_or(Error::TooManyRows { rows })?;
        let shuffle = Self::between(keys, boundaries, partitions)?;
        let ascends = |at: &usize| {
            shuffle
                .boundaries
                .compare(at - 1, &shuffle.boundaries, *at)
                .is_lt()
        };
        match (1..rows).find(|at| !ascends(at)) {
            Some(at) => Err(Error::BoundariesUnordered { at }),
            None => Ok(shuffle),
        }
    }

    /// Makes a shuffle into `partitions` ranges that share out the rows of a sample as evenly as its keys allow: no key is split, so
    /// with few different keys some of the last ranges may be empty.
    ///
    /// [`super::sample`] makes a sample of many batches.
    ///
    /// # Errors
    /// When there is no key, `partitions` is 0, the sample lacks a key's column, or its type has no order.
    pub fn from_sample<I>(keys: I, partitions: u32, sample: &RecordBatch) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: Into<SortKey>,
    {
        if partitions == 0 {
            return Err(Error::NoPartitions);
        }
        let rows = sample.num_rows();
        if u32::try_from(rows).is_err() {
            return Err(Error::TooManyRows { rows });
        }
        let keys = sort_keys(keys)?;
        let columns: Vec<ArrayRef> = keys
            .iter()
            .map(|key| column(sample, &key.column).cloned())
            .collect::<Result<_, _>>()?;
        let rows = UInt32Array::from(even_edges(&Keys::new(&keys, &columns)?, partitions));
        let boundaries = columns.iter().map(|column| take(column, &rows, None));
        let boundaries: Vec<ArrayRef> = boundaries
            .collect::<Result<_, _>>()
            .map_err(Error::arrow("sample"))?;
        Self::between(keys, &boundaries, partitions)
    }

    fn between(
        keys: Vec<SortKey>,
        boundaries: &[ArrayRef],
        partitions: u32,
    ) -> Result<Self, Error> {
        let types = boundaries
            .iter()
            .map(|column| plain_type(column.data_type()).clone())
            .collect();
        let boundaries = Keys::new(&keys, boundaries)?;
        Ok(Self {
            keys,
            types,
            boundaries,
            partitions,
            sorted: false,
        })
    }

    /// Also sorts each partition that [`Self::shuffle`] and [`Self::shuffle_all`] return; rows with equal keys keep their order.
    #[must_use]
    pub const fn sorted(mut self) -> Self {
        self.sorted = true;
        self
    }

    /// Returns a batch for each partition, in their order; some may be empty.
    ///
    /// # Errors
    /// When the batch lacks a key's column, or it is not of the boundaries' type.
    pub fn shuffle(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>, Error> {
        let mut parts = one_each(self, batch)?;
        if self.sorted {
            for part in &mut parts {
                let rows = UInt32Array::from(self.keys_of(part)?.sorted());
                *part =
                    arrow::compute::take_record_batch(part, &rows).map_err(Error::arrow("sort"))?;
            }
        }
        Ok(parts)
    }

    /// Returns the batches of each partition, in their order; each has at least one, which may be empty.
    ///
    /// # Errors
    /// When a batch lacks a key's column, it is not of the boundaries' type, or the batch is of another schema.
    pub fn shuffle_all(
        &self,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<Vec<Vec<RecordBatch>>, Error> {
        let partitions = shuffle_all(self, schema, batches)?;
        if !self.sorted {
            return Ok(partitions);
        }
        partitions
            .iter()
            .map(|batches| self.sort(batches))
            .collect()
    }

    /// Sorts the rows of the batches of one partition; equal ones keep their order.
    ///
    /// # Errors
    /// When a batch lacks a key's column, or it is not of the boundaries' type.
    pub fn sort(&self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, Error> {
        let columns: Vec<Vec<ArrayRef>> = batches
            .iter()
            .map(|batch| self.key_columns(batch))
            .collect::<Result<_, _>>()?;
        sort(batches, &columns, &self.keys)
    }

    fn keys_of(&self, batch: &RecordBatch) -> Result<Keys, Error> {
        Keys::new(&self.keys, &self.key_columns(batch)?)
    }

    fn key_columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, Error> {
        let checked = |(key, boundaries): (&SortKey, &DataType)| {
            let column = column(batch, &key.column)?;
            if plain_type(column.data_type()) == boundaries {
                return Ok(column.clone());
            }
            Err(Error::BoundaryType {
                column: key.column.clone(),
                data_type: column.data_type().clone(),
                boundaries: boundaries.clone(),
            })
        };
        self.keys.iter().zip(&self.types).map(checked).collect()
    }
}

impl Shuffle for RangeShuffle {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn partition_ids(&self, batch: &RecordBatch) -> Result<Vec<u32>, Error> {
        Ok(self.keys_of(batch)?.ranges(&self.boundaries))
    }
}

fn sort_keys<I>(keys: I) -> Result<Vec<SortKey>, Error>
where
    I: IntoIterator,
    I::Item: Into<SortKey>,
{
    let keys: Vec<SortKey> = keys.into_iter().map(Into::into).collect();
    if keys.is_empty() {
        Err(Error::NoKeys)
    } else {
        Ok(keys)
    }
}
