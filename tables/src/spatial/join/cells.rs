//! The operator that says in which cells a row is.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use futures::StreamExt;

use crate::spatial::geometry::{bounds, geometries};
use crate::spatial::{Cells, Error};

/// The name of the column that [`SpatialCellsExec`] adds.
pub const CELL_COLUMN: &str = "__cell";

/// Adds a last column, [`CELL_COLUMN`]: a row comes once for every cell that its box touches, and not at all when it can match nothing.
#[derive(Debug)]
pub struct SpatialCellsExec {
    input: Arc<dyn ExecutionPlan>,
    geometry: usize,
    cells: Arc<Cells>,
    properties: Arc<PlanProperties>,
}

impl SpatialCellsExec {
    /// Puts rows into cells by the geometries of a column.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        geometry: usize,
        cells: Arc<Cells>,
    ) -> Result<Self> {
        let schema = input.schema();
        if geometry >= schema.fields().len() {
            let columns = schema.fields().len();
            let operator = "SpatialCellsExec";
            return Err(Error::NoSuchColumn {
                operator,
                column: geometry,
                columns,
            }
            .into());
        }
        let cell = Arc::new(Field::new(CELL_COLUMN, DataType::UInt32, false));
        let fields = schema.fields().iter().cloned().chain([cell]);
        let schema =
            Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Ok(Self {
            input,
            geometry,
            cells,
            properties,
        })
    }

    /// Returns the column of the geometries.
    #[must_use]
    pub const fn geometry(&self) -> usize {
        self.geometry
    }

    /// Returns the cells.
    #[must_use]
    pub const fn cells(&self) -> &Arc<Cells> {
        &self.cells
    }
}

impl DisplayAs for SpatialCellsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.input.schema();
        write!(
            f,
            "SpatialCellsExec: {} cells by {}",
            self.cells.count(),
            schema.field(self.geometry).name()
        )
    }
}

impl ExecutionPlan for SpatialCellsExec {
    fn name(&self) -> &'static str {
        "SpatialCellsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return Err(Error::Inputs {
                operator: "SpatialCellsExec",
                needs: "one input",
            }
            .into());
        };
        Ok(Arc::new(Self::try_new(
            input,
            self.geometry,
            Arc::clone(&self.cells),
        )?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (schema, cells, geometry) = (self.schema(), Arc::clone(&self.cells), self.geometry);
        let stream_schema = Arc::clone(&schema);
        let stream = input.map(move |batch| with_cells(&batch?, geometry, &cells, &schema));
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            stream_schema,
            stream,
        )))
    }
}

fn with_cells(
    batch: &RecordBatch,
    geometry: usize,
    cells: &Cells,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let (mut rows, mut numbers) = (Vec::new(), Vec::new());
    let found = geometries(batch.column(geometry), batch.schema_ref().field(geometry))?;
    for (row, geometry) in (0_u32..).zip(found) {
        if let Some(bounds) = geometry.as_ref().and_then(bounds) {
            cells.touching(&bounds, &mut |cell| {
                rows.push(row);
                numbers.push(cell);
            });
        }
    }
    let taken = take_record_batch(batch, &UInt32Array::from(rows))?;
    let cell: ArrayRef = Arc::new(UInt32Array::from(numbers));
    let columns = taken.columns().iter().cloned().chain([cell]);
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect())?)
}
