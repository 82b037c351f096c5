//! What the footer of a Parquet file tells, and whether it can be true.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::transform_schema_to_view;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::Error;
use super::facts::FileFacts;
use super::guard::guarded;
use super::locate::Found;
use super::split::Cuts;

/// Reads the footer of a file.
pub(super) async fn facts(
    found: &Found,
    store: &dyn ObjectStore,
    views: bool,
) -> Result<FileFacts, Error> {
    let metadata = guarded(&found.shown, async {
        DFParquetMetadata::new(store, &found.meta)
            .fetch_metadata()
            .await
            .map_err(Into::into)
    })
    .await?;
    check_footer(&metadata, found.meta.size).map_err(|problem| Error::Damaged {
        path: found.shown.clone(),
        problem,
    })?;
    let schema = guarded(&found.shown, async { schema(&metadata, views) }).await?;
    Ok(FileFacts {
        rows: usize::try_from(metadata.file_metadata().num_rows()).ok(),
        cuts: cuts(&metadata),
        schema,
        footer: Some(metadata),
    })
}

fn schema(metadata: &Arc<ParquetMetaData>, views: bool) -> Result<SchemaRef, crate::BoxError> {
    let read = ArrowReaderMetadata::try_new(Arc::clone(metadata), Default::default())?;
    let file = metadata.file_metadata();
    let schema: Schema = super::geoparquet::annotate(read.schema(), file);
    Ok(Arc::new(match views {
        true => transform_schema_to_view(&schema),
        false => schema,
    }))
}

/// Returns the offsets by which a scan decides whose a row group is: those of the first page of its first column.
fn cuts(metadata: &ParquetMetaData) -> Cuts {
    let first = |group: &RowGroupMetaData| {
        let column = group.columns().first()?;
        u64::try_from(first_page(column)).ok()
    };
    let offsets: Option<Vec<u64>> = metadata.row_groups().iter().map(first).collect();
    match offsets {
        Some(offsets) if offsets.is_sorted_by(|a, b| a < b) => {
            Cuts::Before(offsets.into_iter().skip(1).collect())
        }
        _ => Cuts::Whole,
    }
}

fn first_page(column: &ColumnChunkMetaData) -> i64 {
    let data = column.data_page_offset();
    column.dictionary_page_offset().unwrap_or(data)
}

/// Says what in a footer cannot be true, so that no reader allocates or seeks by it.
fn check_footer(metadata: &ParquetMetaData, size: u64) -> Result<(), String> {
    let file = metadata.file_metadata();
    let columns = file.schema_descr().num_columns();
    if columns == 0 {
        return Err("it has no columns".to_owned());
    }
    let mut rows: i64 = 0;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        if group.num_rows() < 0 || group.num_columns() != columns {
            let got = (group.num_rows(), group.num_columns());
            return Err(format!("row group {index} has (rows, columns) {got:?}"));
        }
        rows = rows.saturating_add(group.num_rows());
        for column in group.columns() {
            check_chunk(column, group.num_rows(), size).map_err(|problem| {
                format!("row group {index}, {}: {problem}", column.column_path())
            })?;
        }
    }
    // Some writers leave the file's own count at 0, and DataFusion then reads no rows.
    match rows == file.num_rows() {
        true => Ok(()),
        false => Err(format!(
            "its row groups have {rows} rows, and it says {}",
            file.num_rows()
        )),
    }
}

/// One byte of a chunk never stands for more than this many: run lengths and Zstandard reach some ten thousands.
const EXPANSION_MAX: i64 = 1 << 20;

fn check_chunk(column: &ColumnChunkMetaData, rows: i64, size: u64) -> Result<(), String> {
    let (start, length) = (first_page(column), column.compressed_size());
    let end = start
        .checked_add(length)
        .and_then(|end| u64::try_from(end).ok());
    let inside = start >= 0 && length >= 0 && end.is_some_and(|end| end <= size);
    if !inside || column.data_page_offset() < 0 {
        return Err(format!(
            "it lies at {start}, {length} bytes, in a file of {size}"
        ));
    }
    let uncompressed = column.uncompressed_size();
    if uncompressed < 0 || uncompressed / EXPANSION_MAX > length {
        return Err(format!("{length} bytes cannot hold {uncompressed}"));
    }
    let flat = column.column_descr().max_rep_level() == 0;
    if column.num_values() < 0 || (flat && column.num_values() != rows) {
        return Err(format!("{} values in {rows} rows", column.num_values()));
    }
    Ok(())
}
