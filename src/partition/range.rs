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
    use proptest::prelude::*;

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

    /// Floats of every kind, few enough that many are equal.
    fn floats() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (-4..4).prop_map(f64::from),
            1 => Just(f64::NAN),
            1 => Just(-0.0),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
        ]
    }

    proptest! {
        #[test]
        fn every_value_is_in_the_one_range_that_holds_it(
            boundaries in prop::collection::btree_set(-5_i32..5, 0..8),
            values in prop::collection::vec(floats(), 0..20),
        ) {
            let boundaries: Vec<f64> = boundaries.into_iter().map(f64::from).collect();
            let ranges = RangePartitioner::new(boundaries.clone()).unwrap();
            prop_assert_eq!(ranges.count() as usize, boundaries.len() + 1);
            for value in &values {
                // NaN is above everything.
                let holds = |at: &usize| {
                    let above = *at == 0 || value.is_nan() || boundaries[at - 1] <= *value;
                    let below = boundaries.get(*at).is_none_or(|end| value < end);
                    above && below
                };
                let holding: Vec<usize> = (0..=boundaries.len()).filter(holds).collect();
                prop_assert_eq!(holding, [ranges.partition_of(value) as usize]);
            }
        }

        #[test]
        fn ranges_are_in_the_order_of_values(
            boundaries in prop::collection::btree_set("[ab]{0,3}", 0..8), a in "[ab]{0,4}", b in "[ab]{0,4}",
        ) {
            let ranges = RangePartitioner::new(boundaries.into_iter().collect()).unwrap();
            let (low, high) = (a.clone().min(b.clone()), a.max(b));
            prop_assert!(ranges.partition_of(&low) <= ranges.partition_of(&high));
        }
    }
}
