//! Which partition a row belongs to.
//!
//! DataFusion's row hash with seeds of our own: values that a join or a group holds equal hash the same, whatever
//! their encoding, and no machine's features change it. It holds within a job; nothing stored depends on it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;

/// Not DataFusion's own seeds, which its hash tables use within a partition.
const PARTITION: RandomState = RandomState::with_seed(0x7377_6174_6800);
const SHARE: RandomState = RandomState::with_seed(0x7377_6174_6801);

/// Hashes rows by keys.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    keys: Vec<Arc<dyn PhysicalExpr>>,
}

impl Hasher {
    pub(crate) fn new(keys: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self { keys }
    }

    /// Returns the hash that chooses a row's partition.
    pub(crate) fn partition_hashes(&self, batch: &RecordBatch) -> Result<Vec<u64>> {
        self.hashes(batch, &PARTITION)
    }

    /// Says of each row whether it belongs to one share of `shares` of its partition.
    ///
    /// A share of four times as many lies within one of these.
    pub(crate) fn in_share(
        &self,
        batch: &RecordBatch,
        share: u64,
        shares: u64,
    ) -> Result<BooleanArray> {
        let of = |hash: u64| (u128::from(hash) * u128::from(shares)) >> 64;
        let hashes = self.hashes(batch, &SHARE)?;
        Ok(hashes
            .into_iter()
            .map(|hash| Some(of(hash) == u128::from(share)))
            .collect())
    }

    fn hashes(&self, batch: &RecordBatch, seed: &RandomState) -> Result<Vec<u64>> {
        let arrays = self
            .keys
            .iter()
            .map(|key| key.evaluate(batch)?.into_array(batch.num_rows()))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let mut hashes = vec![0; batch.num_rows()];
        create_hashes(&arrays, seed, &mut hashes)?;
        Ok(hashes)
    }
}
