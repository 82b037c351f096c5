//! From a query to the operators: `rule` finds joins by a relation of geometries, `node` stands for them in logical plans, `planner` chooses
//! between broadcast and cells, which it fits to what `sample` reads.

mod columns;
mod node;
mod planner;
mod rule;
mod sample;
mod size;
mod tables;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

pub use planner::{SpatialJoinPlanner, SpatialSettings};
pub use rule::SpatialJoinRule;
pub use tables::join_tables;

/// Makes a session plan spatial joins; it takes the place of the session's query planner.
///
/// A session with a query planner of its own adds [`SpatialJoinRule`] and [`SpatialJoinPlanner`] instead.
#[must_use]
pub fn with_spatial_joins(
    builder: SessionStateBuilder,
    settings: SpatialSettings,
) -> SessionStateBuilder {
    builder
        .with_optimizer_rule(Arc::new(SpatialJoinRule))
        .with_query_planner(Arc::new(Planner(Arc::new(SpatialJoinPlanner::new(
            settings,
        )))))
}

#[derive(Debug)]
struct Planner(Arc<SpatialJoinPlanner>);

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        state: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner =
            DefaultPhysicalPlanner::with_extension_planners(vec![Arc::clone(&self.0) as _]);
        planner.create_physical_plan(plan, state).await
    }
}

#[cfg(test)]
mod tests;
