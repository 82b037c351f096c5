//! Which partitions are the result of a job: asked of somebody who knows jobs.

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use super::{Error, PartitionAddress};
use crate::ids::JobId;

/// The result of a job whose output is a table, in the partitions of the workers that hold it.
#[derive(Debug, Clone)]
pub struct TableResult {
    /// The schema of all parts.
    pub schema: SchemaRef,
    /// The parts in the order of the rows; any may be empty.
    pub parts: Vec<PartitionAddress>,
    /// Rows of all parts.
    pub rows: u64,
    /// Bytes of all parts, as they are stored.
    pub bytes: u64,
}

/// Knows the results of jobs; what `GetFlightInfo` asks.
#[async_trait]
pub trait ResultDirectory: Send + Sync + std::fmt::Debug {
    /// Returns the result of a job, or nothing when it has none that can be fetched.
    ///
    /// # Errors
    /// When it cannot be found out.
    async fn result(&self, job: &JobId) -> Result<Option<TableResult>, Error>;
}
