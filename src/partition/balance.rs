//! Shares of a file that are about equally large.

use std::ops::Range;

use super::error::Error;

/// Cuts what is to be read into shares for `partitions` readers: none is empty unless there is less than one byte, or one group,
/// for each; then there are fewer shares.
///
/// ```
/// use swath::partition::LoadBalancedPartitioner;
///
/// let three = LoadBalancedPartitioner::new(3)?;
/// assert_eq!(three.byte_ranges(10).collect::<Vec<_>>(), [0..3, 3..6, 6..10]);
/// assert_eq!(three.groups(&[70, 10, 10, 10, 80]), [0..1, 1..4, 4..5]);
/// # Ok::<(), swath::partition::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadBalancedPartitioner {
    partitions: u32,
}

impl LoadBalancedPartitioner {
    /// Makes a partitioner for `partitions` readers.
    ///
    /// # Errors
    /// When it is 0.
    pub const fn new(partitions: u32) -> Result<Self, Error> {
        if partitions == 0 {
            return Err(Error::NoParts { what: "partitions" });
        }
        Ok(Self { partitions })
    }

    /// Lists the ranges of a file of `bytes` bytes, in order and without gaps; their lengths differ by at most one.
    pub fn byte_ranges(&self, bytes: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let shares = u64::from(self.partitions).min(bytes);
        let edge = move |share: u64| share_of(u128::from(bytes), share, shares) as u64;
        (0..shares).map(move |share| edge(share)..edge(share + 1))
    }

    /// Cuts groups that cannot be cut themselves, such as the row groups of a Parquet file, into runs of neighbours.
    ///
    /// - `sizes`: what each costs, in bytes or rows.
    /// - Returns ranges of their numbers, in order and without gaps, each of at least one group. No share is larger than an equal share
    ///   plus the largest group.
    #[must_use]
    pub fn groups(&self, sizes: &[u64]) -> Vec<Range<usize>> {
        let shares = sizes.len().min(self.partitions as usize);
        let total = sizes.iter().map(|size| u128::from(*size)).sum();
        let mut runs = Vec::with_capacity(shares);
        let (mut start, mut loaded) = (0, 0);
        for share in 1..=shares {
            let target = share_of(total, share as u64, shares as u64);
            // Each later share needs a group of its own.
            let last = sizes.len() - (shares - share);
            let mut end = start;
            for size in sizes.get(start..last).unwrap_or_default() {
                let size = u128::from(*size);
                // Stop where it is nearest to the target; never empty, and the last takes all.
                if end > start && share < shares && loaded + size.div_ceil(2) > target {
                    break;
                }
                loaded += size;
                end += 1;
            }
            runs.push(start..end);
            start = end;
        }
        runs
    }
}

/// Returns `share / shares` of a whole, rounded down, without overflow for wholes up to 2^96.
const fn share_of(whole: u128, share: u64, shares: u64) -> u128 {
    whole * share as u128 / shares as u128
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partitioner(partitions: u32) -> LoadBalancedPartitioner {
        LoadBalancedPartitioner::new(partitions).unwrap()
    }

    #[test]
    fn less_data_than_readers_gives_fewer_shares() {
        let ranges: Vec<_> = partitioner(4).byte_ranges(2).collect();
        assert_eq!(ranges, [0..1, 1..2]);
        assert_eq!(partitioner(4).byte_ranges(0).count(), 0);
        assert_eq!(partitioner(4).groups(&[0, 9]), [0..1, 1..2]);
        assert!(partitioner(4).groups(&[]).is_empty());
        assert!(LoadBalancedPartitioner::new(0).is_err());
    }

    #[test]
    fn equal_groups_are_dealt_evenly() {
        // 10 groups for 4 readers: 2 or 3 each.
        assert_eq!(partitioner(4).groups(&[7; 10]), [0..2, 2..5, 5..7, 7..10]);
        // One giant leaves the others their own.
        assert_eq!(partitioner(3).groups(&[100, 1, 1]), [0..1, 1..2, 2..3]);
        assert_eq!(partitioner(3).groups(&[1, 1, 100]), [0..1, 1..2, 2..3]);
        assert_eq!(partitioner(2).groups(&[0, 0, 0]).len(), 2);
    }

    proptest! {
        #[test]
        fn byte_ranges_cover_a_file_and_differ_by_a_byte(partitions in 1_u32..3000, bytes: u64) {
            let mut at = 0;
            for range in partitioner(partitions).byte_ranges(bytes) {
                prop_assert_eq!(range.start, at);
                let (length, even) = (range.end - range.start, bytes / u64::from(partitions));
                prop_assert!(length > 0 && length.abs_diff(even) <= 1);
                at = range.end;
            }
            prop_assert_eq!(at, bytes);
        }

        #[test]
        fn groups_are_in_order_never_empty_and_balanced(
            partitions in 1_u32..20,
            sizes in prop::collection::vec(prop_oneof![0_u64..100, Just(u64::MAX)], 0..60),
        ) {
            let runs = partitioner(partitions).groups(&sizes);
            prop_assert_eq!(runs.len(), sizes.len().min(partitions as usize));
            let total: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
            let largest = u128::from(sizes.iter().copied().max().unwrap_or(0));
            let mut at = 0;
            for run in runs {
                prop_assert!(run.start == at && run.end > at);
                at = run.end;
                let load: u128 = sizes[run].iter().map(|size| u128::from(*size)).sum();
                prop_assert!(load <= total / u128::from(partitions) + largest + 1);
            }
            prop_assert_eq!(at, sizes.len());
        }
    }
}
