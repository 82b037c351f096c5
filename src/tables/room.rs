//! What fragments spill shares the disk with the partitions.

use std::sync::Arc;

use swath_tables::{BoxError, SpillRoom};

use crate::exchange::PartitionStore;

/// The room of a worker's store.
#[derive(Debug)]
pub(super) struct StoreRoom(pub(super) Arc<PartitionStore>);

impl SpillRoom for StoreRoom {
    fn take(&self, bytes: u64) -> Result<(), BoxError> {
        Ok(self.0.take_disk(bytes)?)
    }

    fn give(&self, bytes: u64) {
        self.0.give_disk(bytes);
    }
}
