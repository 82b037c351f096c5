//! Which partition a key goes to, the same on every machine.

use twox_hash::XxHash3_64;

use super::error::Error;

/// "swathkey" as a little-endian number. It is part of the format: another one would send keys elsewhere.
const SEED: u64 = u64::from_le_bytes(*b"swathkey");

/// Hashes the bytes of a key: XXH3-64 with a seed that is fixed for good.
#[must_use]
#[inline]
pub fn hash_key(key: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(SEED, key)
}

/// Gives each key one of `partitions` partitions: the same on every machine and in every version.
///
/// [`crate::shuffle::HashShuffle`] sends the rows of a column of strings or bytes where this sends the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashPartitioner {
    partitions: u32,
}

impl HashPartitioner {
    /// Makes a partitioner into `partitions` partitions.
    ///
    /// # Errors
    /// When it is 0.
    pub const fn new(partitions: u32) -> Result<Self, Error> {
        if partitions == 0 {
            return Err(Error::NoParts { what: "partitions" });
        }
        Ok(Self { partitions })
    }

    /// Returns the number of partitions.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.partitions
    }

    /// Returns the partition of a key's bytes.
    #[must_use]
    pub fn partition_of(&self, key: &[u8]) -> u32 {
        self.partition_of_hash(hash_key(key))
    }

    /// Returns the partition of a hash: its share of the range of all hashes, so that the high bits decide.
    #[must_use]
    #[inline]
    pub fn partition_of_hash(&self, hash: u64) -> u32 {
        // Below `partitions`, as hash / 2^64 is below 1.
        ((u128::from(hash) * u128::from(self.partitions)) >> 64) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_partition_of_a_key_never_changes() {
        // From the reference implementation: python-xxhash 3, `xxh3_64_intdigest(key, seed)` with the seed
        // int.from_bytes(b"swathkey", "little").
        let golden: [(&[u8], u64); 3] = [
            (b"", 0x5948_807b_56e3_e0c5),
            (b"abc", 0x69b4_a7a7_ae82_434b),
            (&[1, 0, 0, 0], 0xbe46_694d_c806_56b2),
        ];
        for (key, hash) in golden {
            assert_eq!(hash_key(key), hash, "{key:?}");
            for partitions in [1, 2, 7, 200, u32::MAX] {
                let expected = (u128::from(hash) * u128::from(partitions) / (1_u128 << 64)) as u32;
                let partitioner = HashPartitioner::new(partitions).unwrap();
                assert_eq!(partitioner.partition_of(key), expected);
                assert!(expected < partitions);
            }
        }
    }

    #[test]
    fn keys_spread_evenly() {
        let partitioner = HashPartitioner::new(16).unwrap();
        let mut rows = [0_u32; 16];
        for key in 0..160_000_u32 {
            rows[partitioner.partition_of(&key.to_le_bytes()) as usize] += 1;
        }
        // Five standard deviations of a binomial around 10,000: 5 * sqrt(160,000 / 16 * 15 / 16) = 484.
        assert!(
            rows.iter().all(|rows| rows.abs_diff(10_000) < 484),
            "{rows:?}"
        );
    }

    #[test]
    fn no_partition_is_an_error() {
        let error = HashPartitioner::new(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot cut into 0 partitions; ask for at least 1"
        );
    }

    proptest! {
        #[test]
        fn every_key_has_one_partition_and_the_same_each_time(
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..30),
            partitions in 1_u32..u32::MAX,
        ) {
            let partitioner = HashPartitioner::new(partitions).unwrap();
            for key in &keys {
                let partition = partitioner.partition_of(key);
                prop_assert!(partition < partitioner.count());
                // The bytes decide, not where they lie, nor who asks.
                let again = HashPartitioner::new(partitions).unwrap();
                prop_assert_eq!(again.partition_of(&key.clone()), partition);
                prop_assert_eq!(partitioner.partition_of_hash(hash_key(key)), partition);
            }
        }

        #[test]
        fn partitions_follow_the_order_of_hashes_and_use_all_of_them(a: u64, b: u64, partitions in 1_u32..u32::MAX) {
            let partitioner = HashPartitioner::new(partitions).unwrap();
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(partitioner.partition_of_hash(low) <= partitioner.partition_of_hash(high));
            prop_assert_eq!(partitioner.partition_of_hash(0), 0);
            prop_assert_eq!(partitioner.partition_of_hash(u64::MAX), partitions - 1);
        }
    }
}
