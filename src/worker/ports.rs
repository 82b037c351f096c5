//! What a worker stands on.

use std::sync::Arc;

use crate::broker::Broker;
use crate::exchange::{Exchange, PartitionStore};
use crate::ids::JobId;
use crate::io::source::Sources;
use crate::ops::Registry;
use crate::tables::Tables;

/// What a worker stands on.
#[derive(Debug, Clone)]
pub struct WorkerPorts {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Where its partitions go.
    pub store: Arc<PartitionStore>,
    /// Where partitions of others come from.
    pub exchange: Arc<dyn Exchange>,
    /// Where files come from.
    pub sources: Sources,
    /// Runs fragments of queries.
    pub tables: Tables,
    /// The operations that it knows.
    pub registry: Registry,
}

/// Tells which jobs this process coordinates, for heartbeats; the coordinator is another service.
#[derive(Clone)]
pub(super) struct Coordinates(pub(super) Arc<dyn Fn() -> Vec<JobId> + Send + Sync>);

impl Coordinates {
    /// Lists the jobs.
    pub(super) fn list(&self) -> Vec<JobId> {
        (self.0)()
    }
}

impl std::fmt::Debug for Coordinates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}
