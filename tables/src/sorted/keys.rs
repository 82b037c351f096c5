//! Sort keys as bytes that compare like them.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::Result;
use datafusion::physical_expr::LexOrdering;

/// Turns the sort keys of rows into bytes.
#[derive(Debug)]
pub(crate) struct Keys {
    ordering: LexOrdering,
    converter: RowConverter,
}

impl Keys {
    pub(crate) fn new(ordering: LexOrdering, schema: &Schema) -> Result<Self> {
        let fields = ordering
            .iter()
            .map(|key| {
                Ok(SortField::new_with_options(
                    key.expr.data_type(schema)?,
                    key.options,
                ))
            })
            .collect::<Result<_>>()?;
        let converter = RowConverter::new(fields)?;
        Ok(Self {
            ordering,
            converter,
        })
    }

    pub(super) fn rows(&self, batch: &RecordBatch) -> Result<Rows> {
        let columns = self
            .ordering
            .iter()
            .map(|key| key.expr.evaluate(batch)?.into_array(batch.num_rows()))
            .collect::<Result<Vec<ArrayRef>>>()?;
        Ok(self.converter.convert_columns(&columns)?)
    }
}
