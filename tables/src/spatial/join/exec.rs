//! The operator that joins rows whose geometries meet.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{
    EmbeddedProjection, ProjectionExec, try_embed_projection,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PlanProperties,
};
use futures::{TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::built::Built;
use super::cells::CELL_COLUMN;
use super::probe::{Pairing, Probe};
use super::strategy::Side;
use crate::spatial::{Cells, Error, Relation};

/// What a join is, without its inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::spatial) struct Join {
    pub(in crate::spatial) left_geometry: usize,
    pub(in crate::spatial) right_geometry: usize,
    pub(in crate::spatial) relation: Relation,
    pub(in crate::spatial) build: Side,
    pub(in crate::spatial) mode: Mode,
    /// Columns of the result, by their numbers among those of left and right; all when `None`.
    pub(in crate::spatial) output: Option<Vec<usize>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::spatial) enum Mode {
    Broadcast,
    Partitioned { cells: Arc<Cells> },
}

/// Joins rows of the left with rows of the right whose geometries stand to each other as the relation says; inner only.
///
/// Its build side is kept in memory, and counted in the memory pool: when that is exhausted, partition finer. With cells, both inputs end
/// with [`CELL_COLUMN`] and are partitioned by it alike, and it is not in the result; any finer partitioning by that column is as good.
#[derive(Debug)]
pub struct SpatialJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    join: Join,
    columns: Vec<(Side, usize)>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// The broadcast side, collected once for all partitions that run in this process.
    broadcast: Arc<OnceCell<Arc<Built>>>,
}

impl SpatialJoinExec {
    pub(in crate::spatial) fn try_new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        join: Join,
    ) -> Result<Self> {
        if join.relation == Relation::Disjoint {
            let relation = join.relation.function();
            return Err(Error::NotJoinable { relation }.into());
        }
        let hidden = usize::from(join.mode != Mode::Broadcast);
        for (plan, geometry) in [(&left, join.left_geometry), (&right, join.right_geometry)] {
            let columns = plan.schema().fields().len();
            if geometry + hidden >= columns {
                let operator = "SpatialJoinExec";
                return Err(Error::NoSuchColumn {
                    operator,
                    column: geometry,
                    columns,
                }
                .into());
            }
        }
        let visible = |side: Side, plan: &Arc<dyn ExecutionPlan>| {
            (0..plan.schema().fields().len() - hidden).map(move |column| (side, column))
        };
        let all: Vec<_> = visible(Side::Left, &left)
            .chain(visible(Side::Right, &right))
            .collect();
        let columns = match &join.output {
            None => all,
            Some(output) => output
                .iter()
                .map(|column| {
                    let (operator, columns) = ("SpatialJoinExec", all.len());
                    let none = Error::NoSuchColumn {
                        operator,
                        column: *column,
                        columns,
                    };
                    all.get(*column).copied().ok_or(none)
                })
                .collect::<Result<_, _>>()?,
        };
        let schema = output_schema(&left.schema(), &right.schema(), &columns);
        let probe = if join.build == Side::Left {
            &right
        } else {
            &left
        };
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(probe.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        let (metrics, broadcast) = (ExecutionPlanMetricsSet::new(), Arc::default());
        Ok(Self {
            left,
            right,
            join,
            columns,
            properties,
            metrics,
            broadcast,
        })
    }

    /// Returns the number of the child that every partition reads whole: 0 is the left, 1 the right; `None` when both are partitioned.
    #[must_use]
    pub fn broadcast_child(&self) -> Option<usize> {
        match (&self.join.mode, self.join.build) {
            (Mode::Partitioned { .. }, _) => None,
            (Mode::Broadcast, Side::Left) => Some(0),
            (Mode::Broadcast, Side::Right) => Some(1),
        }
    }

    pub(in crate::spatial) const fn join(&self) -> &Join {
        &self.join
    }

    fn cells(&self) -> Option<&Arc<Cells>> {
        match &self.join.mode {
            Mode::Broadcast => None,
            Mode::Partitioned { cells } => Some(cells),
        }
    }

    fn geometry(&self, side: Side) -> usize {
        match side {
            Side::Left => self.join.left_geometry,
            Side::Right => self.join.right_geometry,
        }
    }

    fn pairing(&self, batch_rows: usize) -> Pairing {
        let (probe, relation) = match self.join.build {
            Side::Left => (Side::Right, self.join.relation),
            Side::Right => (Side::Left, self.join.relation.flipped()),
        };
        Pairing {
            relation,
            cells: self.cells().cloned(),
            probe,
            probe_geometry: self.geometry(probe),
            columns: self.columns.clone(),
            schema: self.schema(),
            batch_rows: batch_rows.max(1),
        }
    }
}

impl DisplayAs for SpatialJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let (left, right) = (self.left.schema(), self.right.schema());
        let (a, b) = (
            left.field(self.join.left_geometry),
            right.field(self.join.right_geometry),
        );
        let function = self.join.relation.function();
        write!(
            f,
            "SpatialJoinExec: {function}({}, {}), ",
            a.name(),
            b.name()
        )?;
        let build = if self.join.build == Side::Left {
            "left"
        } else {
            "right"
        };
        match self.cells() {
            None => write!(f, "broadcast={build}")?,
            Some(cells) => write!(f, "cells={}, build={build}", cells.count())?,
        }
        if self.join.output.is_some() {
            let schema = self.schema();
            let names: Vec<&str> = schema
                .fields()
                .iter()
                .map(|of| of.name().as_str())
                .collect();
            write!(f, ", projection=[{}]", names.join(", "))?;
        }
        Ok(())
    }
}

impl ExecutionPlan for SpatialJoinExec {
    fn name(&self) -> &'static str {
        "SpatialJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let by_cell = |plan: &Arc<dyn ExecutionPlan>| {
            let last = plan.schema().fields().len().saturating_sub(1);
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(CELL_COLUMN, last));
            Distribution::KeyPartitioned(vec![column])
        };
        let (whole, any) = (
            Distribution::SinglePartition,
            Distribution::UnspecifiedDistribution,
        );
        match self.broadcast_child() {
            None => InputDistributionRequirements::co_partitioned(vec![
                by_cell(&self.left),
                by_cell(&self.right),
            ]),
            Some(0) => InputDistributionRequirements::new(vec![whole, any]),
            Some(_) => InputDistributionRequirements::new(vec![any, whole]),
        }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[_; 2]>::try_from(children) else {
            return Err(Error::Inputs {
                operator: "SpatialJoinExec",
                needs: "two inputs",
            }
            .into());
        };
        Ok(Arc::new(Self::try_new(left, right, self.join.clone())?))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.join.output.is_some() {
            return Ok(None);
        }
        try_embed_projection(projection, self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (build, probe) = match self.join.build {
            Side::Left => (&self.left, &self.right),
            Side::Right => (&self.right, &self.left),
        };
        let partitions = probe.output_partitioning().partition_count();
        let is_broadcast = self.join.mode == Mode::Broadcast;
        let expected = if is_broadcast { 1 } else { partitions };
        if build.output_partitioning().partition_count() != expected {
            let needs = "a whole side to broadcast, or two sides of as many partitions";
            return Err(Error::Inputs {
                operator: "SpatialJoinExec",
                needs,
            }
            .into());
        }
        let once = if is_broadcast {
            Arc::clone(&self.broadcast)
        } else {
            Arc::default()
        };
        let build_partition = if is_broadcast { 0 } else { partition };
        let (build, geometry) = (Arc::clone(build), self.geometry(self.join.build));
        let cell = self
            .cells()
            .map(|_| build.schema().fields().len().saturating_sub(1));
        let pairing = self.pairing(context.session_config().batch_size());
        let probe = probe.execute(partition, Arc::clone(&context))?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let probing = async move {
            let collected = once.get_or_try_init(|| async {
                let memory = MemoryConsumer::new("SpatialJoinExec").register(context.memory_pool());
                let input = build.execute(build_partition, context)?;
                Built::collect(input, geometry, cell, memory)
                    .await
                    .map(Arc::new)
            });
            let built = Arc::clone(collected.await?);
            Ok::<_, DataFusionError>(stream::try_unfold(
                Probe::new(pairing, built, probe),
                async |mut probe| Ok(probe.next().await?.map(|batch| (batch, probe))),
            ))
        };
        let batches = stream::once(probing)
            .try_flatten()
            .inspect_ok(move |batch| {
                metrics.output_rows().add(batch.num_rows());
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
        )))
    }
}

impl EmbeddedProjection for SpatialJoinExec {
    fn with_projection(&self, projection: Option<Vec<usize>>) -> Result<Self> {
        let join = Join {
            output: projection,
            ..self.join.clone()
        };
        Self::try_new(Arc::clone(&self.left), Arc::clone(&self.right), join)
    }
}

fn output_schema(left: &Schema, right: &Schema, columns: &[(Side, usize)]) -> SchemaRef {
    let field = |(side, column): &(Side, usize)| -> Field {
        match side {
            Side::Left => left.field(*column).clone(),
            Side::Right => right.field(*column).clone(),
        }
    };
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let mut metadata = left.metadata().clone();
    metadata.extend(right.metadata().clone());
    Arc::new(Schema::new_with_metadata(fields, metadata))
}
