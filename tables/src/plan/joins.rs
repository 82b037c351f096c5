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
        plan.transform_up(local).data()
    }

    fn name(&self) -> &str {
        "local_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn local(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let shares = *join.partition_mode() == PartitionMode::CollectLeft
            && left_rows_wait(*join.join_type());
        // `NOT IN` has to know of nulls anywhere on the right: it stays, and its right side becomes one partition.
        if shares && !join.null_aware {
            let join = join
                .builder()
                .with_partition_mode(PartitionMode::Partitioned);
            return Ok(Transformed::yes(Arc::new(join.build()?)));
        }
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let kind = *join.join_type();
        if left_rows_wait(kind) && !left_rows_wait(kind.swap()) && kind.supports_swap() {
            return Ok(Transformed::yes(join.swap_inputs()?));
        }
    }
    Ok(Transformed::no(plan))
}
