//! Chooses how the sides of a spatial join come together.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::node::SpatialJoinNode;
use super::sample::sample;
use super::size::estimated_bytes;
use crate::spatial::{Cells, Side, Strategy, physical_plan};

/// So many cells a partition: hashing their numbers spreads them over partitions the more evenly, and a box touches the more of them.
const CELLS_PER_PARTITION: usize = 8;

/// How spatial joins are planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpatialSettings {
    /// A side that is estimated not to be larger than this goes whole to every partition; see [`crate::PlanSettings::broadcast_bytes`].
    pub broadcast_bytes: u64,
}

/// Plans the spatial joins that [`super::SpatialJoinRule`] finds; the session's target partitions are the partitions of both sides.
#[derive(Debug)]
pub struct SpatialJoinPlanner {
    settings: SpatialSettings,
}

impl SpatialJoinPlanner {
    /// Makes a planner.
    #[must_use]
    pub const fn new(settings: SpatialSettings) -> Self {
        Self { settings }
    }

    async fn strategy(
        &self,
        [left, right]: [(&Arc<dyn ExecutionPlan>, usize); 2],
        session: &dyn Session,
    ) -> Result<Strategy> {
        let (left_bytes, right_bytes) = (estimated_bytes(left.0), estimated_bytes(right.0));
        let (least, build) = match (left_bytes, right_bytes) {
            (Some(left), Some(right)) if right < left => (Some(right), Side::Right),
            (None, Some(right)) => (Some(right), Side::Right),
            (left, _) => (left, Side::Left),
        };
        let partitions = session.config().target_partitions();
        let is_small = least.is_some_and(|bytes| bytes <= self.settings.broadcast_bytes);
        if is_small || partitions < 2 {
            return Ok(Strategy::Broadcast { build });
        }
        let context = session.task_ctx();
        let mut middles = sample(left.0, left.1, &context).await?;
        middles.extend(sample(right.0, right.1, &context).await?);
        let count = u32::try_from(partitions.saturating_mul(CELLS_PER_PARTITION));
        let cells = Cells::fit(middles, count.unwrap_or(u32::MAX));
        Ok(Strategy::Partitioned {
            build,
            cells,
            partitions,
        })
    }
}

#[async_trait]
impl ExtensionPlanner for SpatialJoinPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let node = node.as_any().downcast_ref::<SpatialJoinNode>();
        let (Some(node), [left, right]) = (node, physical_inputs) else {
            return Ok(None);
        };
        let left_at = node.left.schema().index_of_column(&node.left_geometry)?;
        let right_at = node.right.schema().index_of_column(&node.right_geometry)?;
        let strategy = self
            .strategy([(left, left_at), (right, right_at)], session)
            .await?;
        let (left, right) = (Arc::clone(left), Arc::clone(right));
        physical_plan(left, left_at, right, right_at, node.relation, strategy).map(Some)
    }
}
