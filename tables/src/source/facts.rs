//! What is known of a file before it is scanned.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::execution::context::SessionContext;
use object_store::ObjectStore;
use parquet::file::metadata::ParquetMetaData;

use super::Error;
use super::locate::Found;
use super::split::Cuts;
use crate::query::Format;

/// What a file says of itself.
#[derive(Debug, Clone)]
pub(super) struct FileFacts {
    pub(super) schema: SchemaRef,
    /// Counted, or, where the format does not count, nothing.
    pub(super) rows: Option<usize>,
    pub(super) cuts: Cuts,
    pub(super) footer: Option<Arc<ParquetMetaData>>,
}

/// Bytes of text that are read to find types, over all files of a table.
const SAMPLE_BYTES: u64 = 64 << 20;
/// And at least so many of each.
const SAMPLE_BYTES_MIN: u64 = 64 << 10;

/// How facts are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    pub(super) format: Format,
    /// Whether text and bytes of Parquet are read as views.
    pub(super) views: bool,
    /// Bytes of each text file that are read.
    pub(super) sample_bytes: u64,
}

impl Search {
    pub(super) fn new(format: Format, files: usize, context: &SessionContext) -> Self {
        let state = context.state();
        let files = u64::try_from(files).unwrap_or(u64::MAX).max(1);
        Self {
            format,
            views: state
                .config_options()
                .execution
                .parquet
                .schema_force_view_types,
            sample_bytes: (SAMPLE_BYTES / files).max(SAMPLE_BYTES_MIN),
        }
    }

    /// Finds out about a file.
    pub(super) async fn facts(
        self,
        found: &Found,
        store: Arc<dyn ObjectStore>,
    ) -> Result<FileFacts, Error> {
        if found.meta.size == 0 {
            return Err(Error::Empty {
                path: found.shown.clone(),
            });
        }
        let facts = match self.format {
            Format::Parquet => super::parquet::facts(found, &store, self.views).await?,
            Format::Csv => super::csv::facts(found, &store, self.sample_bytes).await?,
            Format::Ndjson => super::json::facts(found, &store, self.sample_bytes).await?,
            Format::Geojson => super::geojson::facts(found, &store).await?,
            Format::Arrow => super::arrow_ipc::facts(found, &store).await?,
        };
        check_names(&facts, &found.shown)?;
        Ok(facts)
    }
}

fn check_names(facts: &FileFacts, path: &str) -> Result<(), Error> {
    let mut seen = std::collections::HashSet::new();
    let mut names = facts.schema.fields().iter().map(|field| field.name());
    match names.find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(column) => Err(Error::Duplicate {
            path: path.to_owned(),
            column: column.clone(),
        }),
    }
}
