//! Reading a table as it is: all rows, in the order of its file.

use arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt};

use crate::plan::{planning_session, query};
use crate::source::{self, SourceContext};
use crate::{BatchStream, Error, NamedTable, PlanSettings};

/// Opens a table: its columns, and its rows in order.
///
/// # Errors
/// [`Error::Table`] when its files are missing or no tables; later, as an item of the stream, what cannot be read.
pub async fn read(
    table: &NamedTable,
    sources: &SourceContext,
) -> Result<(SchemaRef, BatchStream), Error> {
    let session = planning_session(&PlanSettings::default(), sources.registry())?;
    // One partition: several would come side by side.
    let options = session.state_ref();
    options
        .write()
        .config_mut()
        .options_mut()
        .execution
        .target_partitions = 1;
    source::register(&session, std::slice::from_ref(table), sources).await?;
    let name = datafusion::common::TableReference::bare(table.name.as_str());
    let rows = session.table(name).await.map_err(query)?;
    let rows = rows.execute_stream().await.map_err(query)?;
    let schema = rows.schema();
    Ok((schema, rows.map_err(Into::into).boxed()))
}
