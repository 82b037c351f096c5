//! The files of a table as DataFusion sees them.

use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::{CsvOptions, TableParquetOptions};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::{expr_applicable_for_cols, filter_partitioned_file};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{
    CsvSource, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use super::Error;
use super::decoded::{Decode, DecodedSource};
use super::facts::FileFacts;
use super::locate::Found;
use super::split::{Cuts, groups};
use crate::query::Format;

/// A table of files.
#[derive(Debug)]
pub(super) struct FileTable {
    format: Format,
    store: ObjectStoreUrl,
    schema: TableSchema,
    files: Vec<TableFile>,
}

#[derive(Debug)]
struct TableFile {
    file: PartitionedFile,
    cuts: Cuts,
    statistics: Arc<Statistics>,
}

impl FileTable {
    /// Makes a table of files whose facts are known.
    pub(super) fn new(format: Format, files: &[(Found, FileFacts)]) -> Result<Self, Error> {
        let found: Vec<&Found> = files.iter().map(|(found, _)| found).collect();
        let hive = super::hive::columns(&found)?;
        let union = super::schema::union(format, files)?;
        let is_hive = |field: &&Arc<Field>| !hive.iter().any(|h| h.name() == field.name());
        let own = union.fields().iter().filter(is_hive).cloned();
        let own: SchemaRef = Arc::new(arrow::datatypes::Schema::new(own.collect::<Vec<_>>()));
        if format == Format::Csv && own.fields().len() < union.fields().len() {
            // CSV is read by position: a hidden column would shift the others.
            let column = hive.first().map_or_else(String::new, |f| f.name().clone());
            let path = found.first().map_or_else(String::new, |f| f.shown.clone());
            return Err(Error::Duplicate { path, column });
        }
        let Some(store) = found.first().map(|found| found.store.clone()) else {
            return Err(Error::NoPaths);
        };
        let fields = hive.iter().cloned().map(Arc::new).collect::<Vec<_>>();
        let schema = TableSchema::builder(Arc::clone(&own))
            .with_table_partition_cols(fields)
            .build();
        let table_file = |(found, facts): &(Found, FileFacts)| TableFile {
            file: PartitionedFile::new_from_meta(found.meta.clone())
                .with_partition_values(super::hive::values(found, &hive)),
            cuts: facts.cuts.clone(),
            statistics: Arc::new(statistics(found, facts, &own)),
        };
        Ok(Self {
            format,
            store,
            schema,
            files: files.iter().map(table_file).collect(),
        })
    }

    fn source(&self, state: &dyn Session) -> Arc<dyn FileSource> {
        let schema = self.schema.clone();
        match self.format {
            Format::Parquet => {
                let options = TableParquetOptions {
                    global: state.config_options().execution.parquet.clone(),
                    ..TableParquetOptions::default()
                };
                let source = ParquetSource::new(schema).with_table_parquet_options(options);
                Arc::new(source.with_enable_page_index(true))
            }
            Format::Csv => Arc::new(CsvSource::new(schema).with_csv_options(CsvOptions {
                has_header: Some(true),
                ..CsvOptions::default()
            })),
            Format::Ndjson => Arc::new(DecodedSource::new(Decode::Ndjson, schema)),
            Format::Geojson => Arc::new(DecodedSource::new(Decode::Geojson, schema)),
            Format::Arrow => Arc::new(DecodedSource::new(Decode::Arrow, schema)),
        }
    }

    /// Returns the files that rows may be in, after the filters on folders.
    fn kept(&self, filters: &[Expr]) -> Result<Vec<&TableFile>> {
        let columns = self.schema.table_partition_cols();
        let names: Vec<&str> = columns.iter().map(|field| field.name().as_str()).collect();
        let on_folders = |filter: &&Expr| on_folders(&names, filter);
        let filters: Vec<Expr> = filters.iter().filter(on_folders).cloned().collect();
        let folders = arrow::datatypes::Schema::new(columns.clone());
        let folders = DFSchema::try_from(folders)?;
        let keep = |file: &&TableFile| -> Result<bool> {
            let file = file.file.clone();
            Ok(filters.is_empty() || filter_partitioned_file(file, &filters, &folders)?.is_some())
        };
        let mut kept = Vec::new();
        for file in &self.files {
            if keep(&file)? {
                kept.push(file);
            }
        }
        Ok(kept)
    }
}

fn on_folders(names: &[&str], filter: &Expr) -> bool {
    !names.is_empty() && expr_applicable_for_cols(names, filter)
}

/// Returns what is known of the columns of a file, without those of its folders.
fn statistics(found: &Found, facts: &FileFacts, schema: &SchemaRef) -> Statistics {
    let known = facts.footer.as_ref().and_then(|footer| {
        DFParquetMetadata::statistics_from_parquet_metadata(footer, schema).ok()
    });
    let mut statistics = known.unwrap_or_else(|| Statistics::new_unknown(schema));
    if statistics.num_rows == Precision::Absent {
        let rows = facts.rows.map(Precision::Exact);
        statistics.num_rows = rows.unwrap_or_default();
    }
    let bytes = usize::try_from(found.meta.size).unwrap_or(usize::MAX);
    statistics.total_byte_size = Precision::Inexact(bytes);
    statistics
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let kept = self.kept(filters)?;
        if kept.is_empty() {
            let schema = datafusion::physical_plan::project_schema(&self.schema(), projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let with_folders = |file: &&TableFile| {
            let statistics = Arc::clone(&file.statistics);
            file.file.clone().with_statistics(statistics).statistics
        };
        let statistics: Vec<_> = kept.iter().filter_map(with_folders).collect();
        let statistics = Statistics::try_merge_iter(
            statistics.iter().map(AsRef::as_ref),
            self.schema.table_schema(),
        )?;
        let files = kept
            .iter()
            .map(|file| (file.file.clone(), file.cuts.clone()));
        let groups = groups(files.collect(), state.config().target_partitions());
        // Declared, so that no rule cuts files again, and no partition takes the files of another: each runs alone.
        let partitioning = Partitioning::UnknownPartitioning(groups.len());
        let config = FileScanConfigBuilder::new(self.store.clone(), self.source(state))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_preserve_order(true)
            .with_output_partitioning(Some(partitioning))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let columns = self.schema.table_partition_cols();
        let names: Vec<&str> = columns.iter().map(|field| field.name().as_str()).collect();
        let support = |filter: &&Expr| match on_folders(&names, filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }
}
