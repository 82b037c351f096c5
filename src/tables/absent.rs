//! A build without the relational engine.

use crate::job::Failure;
use crate::plan::catalog::{Capacity, QueryStage};
use crate::spec::JobSpec;

/// Does nothing with tables: this build has no relational engine.
#[derive(Debug, Clone, Default)]
pub struct Tables;

impl Tables {
    /// Makes it.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Returns no stages: the planner says what is missing.
    pub(crate) async fn cut(
        &self,
        _: &JobSpec,
        _: Capacity,
    ) -> Result<Option<Vec<QueryStage>>, Failure> {
        Ok(None)
    }
}
