//! Which range a value falls into.

use std::cmp::Ordering;

use super::error::Error;

/// Cuts the values of a type at ascending boundaries: partition 0 is below the first, partition `i` holds boundary `i - 1` and
/// what follows up to the next one, the last has no end.
///
/// A value that compares with nothing, such as NaN, counts as greater than every other, as Arrow sorts it; −0.0 equals +0.0.
#[derive(Debug, Clone, PartialEq)]
pub struct RangePartitioner<T> {
    boundaries: Vec<T>,
}

impl<T: PartialOrd> RangePartitioner<T> {
    /// Makes a partitioner of one range more than there are boundaries.
    ///
    /// # Errors
    /// When a boundary is not above the one before it, or compares with nothing.
    pub fn new(boundaries: Vec<T>) -> Result<Self, Error> {
        let alone = boundaries
            .iter()
            .position(|boundary| boundary.partial_cmp(boundary).is_none());
        let ascends = |pair: &[T]| matches!(pair, [a, b] if a < b);
        let early = boundaries.windows(2).position(|pair| !ascends(pair));
        if let Some(at) = alone.or_else(|| early.map(|before| before + 1)) {
            return Err(Error::Unordered { at });
        }
        if u32::try_from(boundaries.len()).is_err() {
            return Err(Error::TooMany {
                count: boundaries.len(),
            });
        }
        Ok(Self { boundaries })
    }

    /// Returns the number of partitions.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.boundaries.len() as u32 + 1
    }

    /// Returns the partition of a value.
    #[must_use]
    pub fn partition_of(&self, value: &T) -> u32 {
        self.boundaries.partition_point(|boundary| {
            !matches!(value.partial_cmp(boundary), Some(Ordering::Less))
        }) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_begins_its_partition() {
        let ranges = RangePartitioner::new(vec![250.0, 500.0, 750.0]).unwrap();
        let cases = [
            (f64::NEG_INFINITY, 0),
            (249.9, 0),
            (250.0, 1),
            (499.9, 1),
            (500.0, 2),
            (750.0, 3),
            (f64::INFINITY, 3),
            (f64::NAN, 3),
            (-f64::NAN, 3),
        ];
        assert_eq!(ranges.count(), 4);
        for (value, expected) in cases {
            assert_eq!(ranges.partition_of(&value), expected, "{value}");
        }
        let zero = RangePartitioner::new(vec![0.0]).unwrap();
        assert_eq!((zero.partition_of(&0.0), zero.partition_of(&-0.0)), (1, 1));
    }

    #[test]
    fn one_range_needs_no_boundary_and_any_order_will_do() {
        assert_eq!(
            RangePartitioner::new(Vec::<i64>::new())
                .unwrap()
                .partition_of(&7),
            0
        );
        let names = RangePartitioner::new(vec!["h", "p"]).unwrap();
        assert_eq!(
            ["apple", "h", "orange", "zebra"].map(|name| names.partition_of(&name)),
            [0, 1, 1, 2]
        );
    }

    #[test]
    fn boundaries_that_do_not_ascend_are_errors() {
        for (boundaries, at) in [
            (vec![1.0, 1.0], 1),
            (vec![1.0, 2.0, 0.0], 2),
            (vec![f64::NAN], 0),
            (vec![0.0, f64::NAN], 1),
        ] {
            assert_eq!(
                RangePartitioner::new(boundaries).unwrap_err(),
                Error::Unordered { at }
            );
        }
    }
}
