//! The order of rows by their keys.
//!
//! One narrow number sorts by itself, turned into a `u64` of the same order; everything else by Arrow's row format.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::row::{RowConverter, Rows, SortField};

use super::canonical::{bits, canonical};
use super::column::plain;
use super::error::Error;

/// A column to order by: ascending, nulls last, unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    pub(super) column: String,
    pub(super) options: SortOptions,
}

impl SortKey {
    /// Orders by the column of this name, ascending, nulls last.
    pub fn new(column: impl Into<String>) -> Self {
        let options = SortOptions {
            descending: false,
            nulls_first: false,
        };
        Self {
            column: column.into(),
            options,
        }
    }

    /// Orders from the greatest value to the least; nulls stay where they were.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.options.descending = true;
        self
    }

    /// Puts nulls before every value, in either direction.
    #[must_use]
    pub fn nulls_first(mut self) -> Self {
        self.options.nulls_first = true;
        self
    }
}

impl From<&str> for SortKey {
    fn from(column: &str) -> Self {
        Self::new(column)
    }
}

impl From<String> for SortKey {
    fn from(column: String) -> Self {
        Self::new(column)
    }
}

/// The keys of the rows of a batch, ready to be compared.
#[derive(Debug)]
pub(super) enum Keys {
    Bits {
        bits: Vec<u64>,
        nulls: Option<NullBuffer>,
        nulls_first: bool,
    },
    Rows(Rows),
}

impl Keys {
    /// Reads the keys of rows from their columns, one for each.
    pub(super) fn new(keys: &[SortKey], columns: &[ArrayRef]) -> Result<Self, Error> {
        let columns: Vec<ArrayRef> = columns
            .iter()
            .map(plain)
            .collect::<Result<_, _>>()
            .map_err(Error::arrow("order"))?;
        if let ([key], [column]) = (keys, columns.as_slice())
            && let Some(bits) = bits(column.as_ref(), key.options.descending)
        {
            let nulls = column
                .nulls()
                .filter(|nulls| nulls.null_count() > 0)
                .cloned();
            return Ok(Self::Bits {
                bits,
                nulls,
                nulls_first: key.options.nulls_first,
            });
        }
        let columns: Vec<ArrayRef> = columns
            .iter()
            .map(canonical)
            .collect::<Result<_, _>>()
            .map_err(Error::arrow("order"))?;
        let mut fields = Vec::with_capacity(keys.len());
        for (key, column) in keys.iter().zip(&columns) {
            let field = SortField::new_with_options(column.data_type().clone(), key.options);
            if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
                return Err(Error::NoOrder {
                    column: key.column.clone(),
                    data_type: column.data_type().clone(),
                });
            }
            fields.push(field);
        }
        let converter = RowConverter::new(fields).map_err(Error::arrow("order"))?;
        converter
            .convert_columns(&columns)
            .map(Self::Rows)
            .map_err(Error::arrow("order"))
    }

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bits { bits, .. } => bits.len(),
            Self::Rows(rows) => rows.num_rows(),
        }
    }

    /// Compares a row with one of another batch, of which the keys are of the same types and directions.
    pub(super) fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        match (self, other) {
            (Self::Rows(rows), Self::Rows(others)) => rows.row(row).cmp(&others.row(other_row)),
            _ => self.rank(row).cmp(&other.rank(other_row)),
        }
    }

    /// Returns a number that sorts as the row does.
    fn rank(&self, row: usize) -> (u8, u64) {
        match self {
            Self::Bits {
                bits,
                nulls,
                nulls_first,
            } => match nulls {
                Some(nulls) if nulls.is_null(row) => (if *nulls_first { 0 } else { 2 }, 0),
                _ => (1, bits.get(row).copied().unwrap_or_default()),
            },
            Self::Rows(_) => (0, 0),
        }
    }

    /// Returns the range of each row: how many of the boundaries, which ascend, are not after it.
    pub(super) fn ranges(&self, boundaries: &Self) -> Vec<u32> {
        if let (
            Self::Bits {
                bits, nulls: None, ..
            },
            Self::Bits {
                bits: boundaries,
                nulls: None,
                ..
            },
        ) = (self, boundaries)
        {
            return between(bits, boundaries);
        }
        let ends: Vec<usize> = (0..boundaries.len()).collect();
        let range =
            |row| ends.partition_point(|end| boundaries.compare(*end, self, row).is_le()) as u32;
        (0..self.len()).map(range).collect()
    }

    /// Returns the numbers of the rows in order; equal ones stay as they are.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let rows = 0..self.len() as u32;
        match self {
            Self::Bits { .. } => {
                let mut ranks: Vec<_> = rows.map(|row| (self.rank(row as usize), row)).collect();
                ranks.sort_unstable();
                ranks.into_iter().map(|(_, row)| row).collect()
            }
            Self::Rows(keys) => {
                let mut ranks: Vec<_> = rows.map(|row| (keys.row(row as usize), row)).collect();
                ranks.sort_unstable();
                ranks.into_iter().map(|(_, row)| row).collect()
            }
        }
    }
}

/// Returns for each key how many of the boundaries, which ascend, are not after it.
fn between(keys: &[u64], boundaries: &[u64]) -> Vec<u32> {
    // A search guesses at every step, and mostly wrong; comparing with four needs no branch.
    const AT_ONCE: usize = 4;
    const SEARCHED: usize = 4 * AT_ONCE;
    if boundaries.len() > SEARCHED {
        let range = |key| boundaries.partition_point(|boundary| boundary <= key) as u32;
        return keys.iter().map(range).collect();
    }
    let mut ranges = vec![0; keys.len()];
    for four in boundaries.chunks(AT_ONCE) {
        let four: [u64; AT_ONCE] =
            std::array::from_fn(|at| four.get(at).copied().unwrap_or(u64::MAX));
        for (range, key) in ranges.iter_mut().zip(keys) {
            *range += four
                .map(|boundary| u32::from(boundary <= *key))
                .iter()
                .sum::<u32>();
        }
    }
    // What fills the last four up is not after the greatest of keys either.
    let count = boundaries.len() as u32;
    ranges
        .iter_mut()
        .for_each(|range| *range = (*range).min(count));
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_is_the_number_of_boundaries_that_are_not_after_the_key(
            keys in prop::collection::vec(prop_oneof![0..40_u64, Just(u64::MAX), any::<u64>()], 0..50),
            boundaries in prop::collection::btree_set(prop_oneof![0..40_u64, Just(u64::MAX), any::<u64>()], 0..40),
        ) {
            let boundaries: Vec<u64> = boundaries.into_iter().collect();
            let expected: Vec<u32> = keys
                .iter()
                .map(|key| boundaries.iter().filter(|boundary| *boundary <= key).count() as u32)
                .collect();
            prop_assert_eq!(between(&keys, &boundaries), expected);
        }
    }
}
