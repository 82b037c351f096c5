//! How the sides of a spatial join come together.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use serde::{Deserialize, Serialize};

use super::cells::{CELL_COLUMN, SpatialCellsExec};
use super::exec::{Join, Mode, SpatialJoinExec};
use crate::spatial::{Cells, Relation};

/// A side of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The first table.
    Left,
    /// The second table.
    Right,
}

/// How the sides of a spatial join come together; either way one side, `build`, is indexed, and rows of the other look their partners up.
#[derive(Debug, Clone, PartialEq)]
pub enum Strategy {
    /// The `build` side goes whole to every partition of the other, which stays where it is.
    Broadcast {
        /// The small side.
        build: Side,
    },
    /// Rows of both sides go to the partitions of the cells that their boxes touch.
    Partitioned {
        /// The smaller side.
        build: Side,
        /// The cells: several for each partition, so that partitions are even.
        cells: Cells,
        /// Number of partitions.
        partitions: usize,
    },
}

/// Joins two plans by how the geometries in a column of each stand to each other; gives the columns of the left, then of the right.
///
/// # Errors
/// When a plan has no such column, or the relation is [`Relation::Disjoint`].
pub fn physical_plan(
    left: Arc<dyn ExecutionPlan>,
    left_geometry: usize,
    right: Arc<dyn ExecutionPlan>,
    right_geometry: usize,
    relation: Relation,
    strategy: Strategy,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (left, right, build, mode) = match strategy {
        Strategy::Broadcast { build: Side::Left } => {
            (gathered(left), right, Side::Left, Mode::Broadcast)
        }
        Strategy::Broadcast { build: Side::Right } => {
            (left, gathered(right), Side::Right, Mode::Broadcast)
        }
        Strategy::Partitioned {
            build,
            cells,
            partitions,
        } => {
            let cells = Arc::new(cells);
            let left = by_cell(left, left_geometry, &cells, partitions)?;
            let right = by_cell(right, right_geometry, &cells, partitions)?;
            (left, right, build, Mode::Partitioned { cells })
        }
    };
    let join = Join {
        left_geometry,
        right_geometry,
        relation,
        build,
        mode,
        output: None,
    };
    Ok(Arc::new(SpatialJoinExec::try_new(left, right, join)?))
}

fn gathered(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.output_partitioning().partition_count() {
        1 => plan,
        _ => Arc::new(CoalescePartitionsExec::new(plan)),
    }
}

fn by_cell(
    plan: Arc<dyn ExecutionPlan>,
    geometry: usize,
    cells: &Arc<Cells>,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let column = Column::new(CELL_COLUMN, plan.schema().fields().len());
    let plan = Arc::new(SpatialCellsExec::try_new(
        plan,
        geometry,
        Arc::clone(cells),
    )?);
    let partitioning = Partitioning::Hash(vec![Arc::new(column)], partitions);
    Ok(Arc::new(RepartitionExec::try_new(plan, partitioning)?))
}
