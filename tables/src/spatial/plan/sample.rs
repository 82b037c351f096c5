//! A look at some geometries of a plan before it runs.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};
use futures::TryStreamExt;
use geo::Coord;

use crate::spatial::geometry::{bounds, geometries};

/// So many geometries suffice to place thousands of cells.
const SAMPLE: usize = 10_000;
/// Files are looked at in so many places, evenly spread over their bytes, and so many rows are read at each.
const PLACES: usize = 32;
const ROWS_AT_A_PLACE: usize = 8192;

/// Returns the middles of the boxes of some geometries, spread over the files of a plan.
///
/// Only scans are read, with filters and projections over them. Below anything dearer, such as a join or an aggregate, a scan with a column of
/// the same name and type stands in for it; without one the sample is empty.
pub(super) async fn sample(
    plan: &Arc<dyn ExecutionPlan>,
    geometry: usize,
    context: &Arc<TaskContext>,
) -> Result<Vec<Coord>> {
    let Some(plan) = scan_of(plan, geometry)? else {
        return Ok(Vec::new());
    };
    let plan = ProjectionPushdown::new().optimize(plan, context.session_config().options())?;
    let mut middles = Vec::new();
    for partition in 0..plan.output_partitioning().partition_count() {
        let mut batches = plan.execute(partition, Arc::clone(context))?;
        while let Some(batch) = batches.try_next().await? {
            let found = geometries(batch.column(0), batch.schema_ref().field(0))?;
            let boxes = found.iter().flatten().filter_map(bounds);
            middles.extend(boxes.map(|bounds| bounds.center()));
        }
    }
    let step = middles.len().div_ceil(SAMPLE).max(1);
    Ok(middles.into_iter().step_by(step).collect())
}

/// Returns a plan of the geometry column only, of a few rows.
fn scan_of(
    plan: &Arc<dyn ExecutionPlan>,
    geometry: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = plan.schema();
    let field = schema.field(geometry);
    if let Some(scan) = few_rows(plan)? {
        let expr = Arc::new(Column::new(field.name(), geometry));
        let column = ProjectionExpr {
            expr,
            alias: field.name().clone(),
        };
        return Ok(Some(Arc::new(ProjectionExec::try_new([column], scan)?)));
    }
    for child in plan.children() {
        let schema = child.schema();
        let same = schema.fields().iter().position(|other| {
            other.name() == field.name() && other.data_type() == field.data_type()
        });
        if let Some(same) = same
            && let Some(scan) = scan_of(child, same)?
        {
            return Ok(Some(scan));
        }
    }
    Ok(None)
}

fn few_rows(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if plan.is::<DataSourceExec>() {
        let mut options = ConfigOptions::new();
        options.optimizer.repartition_file_min_size = 0;
        let spread = plan
            .repartitioned(PLACES, &options)?
            .unwrap_or_else(|| Arc::clone(plan));
        return Ok(Some(Arc::new(LocalLimitExec::new(spread, ROWS_AT_A_PLACE))));
    }
    let children = plan.children();
    let [child] = children.as_slice() else {
        return Ok(None);
    };
    if plan.is::<RepartitionExec>() || plan.is::<CoalescePartitionsExec>() {
        return few_rows(child);
    }
    if !plan.is::<FilterExec>() && !plan.is::<ProjectionExec>() {
        return Ok(None);
    }
    let Some(child) = few_rows(child)? else {
        return Ok(None);
    };
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan)
        .replace_children(vec![child], options)
        .map(Some)
}
