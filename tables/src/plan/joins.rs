//! Joins whose tasks need nothing of each other.
//!
//! A join that collects its left side notes in memory, for all partitions of the right side together, which left rows
//! found a partner. Tasks share no memory: such joins are partitioned by their keys, or turned round.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode};

/// The threshold of bytes that stands for a broadcast whatever the size.
pub(super) const BROADCAST_ALWAYS: usize = usize::MAX;

/// Says whether a join gives left rows by what all right rows together did.
pub(super) fn left_rows_wait(kind: JoinType) -> bool {
    matches!(
        kind,
        JoinType::Left
            | JoinType::Full
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::LeftMark
    )
}

/// Rewrites joins after DataFusion has chosen their sides, before it adds exchanges.
#[derive(Debug)]
pub(super) struct LocalJoins;

impl PhysicalOptimizerRule for LocalJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if config.execution.target_partitions == 1 {
            return Ok(plan);
        }
        let forced = config.optimizer.hash_join_single_partition_threshold == BROADCAST_ALWAYS;
        plan.transform_up(|node| local(node, forced)).data()
    }

    fn name(&self) -> &str {
        "local_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn local(
    plan: Arc<dyn ExecutionPlan>,
    forced: bool,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let waits = left_rows_wait(*join.join_type());
        let mode = match join.partition_mode() {
            // `NOT IN` has to know of nulls anywhere on the right: it stays, and its right side becomes one partition.
            PartitionMode::CollectLeft if waits && !join.null_aware => PartitionMode::Partitioned,
            // Without statistics DataFusion collects no side, however large it may be.
            PartitionMode::Partitioned if forced && !waits => PartitionMode::CollectLeft,
            _ => return Ok(Transformed::no(plan)),
        };
        let join = join.builder().with_partition_mode(mode);
        return Ok(Transformed::yes(Arc::new(join.build()?)));
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let kind = *join.join_type();
        if left_rows_wait(kind) && !left_rows_wait(kind.swap()) && kind.supports_swap() {
            return Ok(Transformed::yes(join.swap_inputs()?));
        }
    }
    Ok(Transformed::no(plan))
}
