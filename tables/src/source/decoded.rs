//! Scans of the formats that DataFusion cannot scan, or not as we need: Arrow IPC, GeoJSON, lines of JSON.
//!
//! DataFusion's Arrow scan forgets on the wire whether a file is a stream, matches columns by position and trusts
//! declared lengths; its JSON scan does not take a number where text is wanted.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileSource,
};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::proto::ExecutionPlanEncodeCtx;
use datafusion_datasource::boundary_stream::AlignedBoundaryStream;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};

use super::arrow_ipc::IpcReader;
use super::guard::guarded;
use crate::ports::BoxError;

/// How the bytes of a file become batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decode {
    Arrow,
    Geojson,
    Ndjson,
}

/// A scan that DataFusion drives and we decode.
#[derive(Debug, Clone)]
pub(super) struct DecodedSource {
    decode: Decode,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl DecodedSource {
    pub(super) fn new(decode: Decode, table_schema: TableSchema) -> Self {
        Self {
            decode,
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_rows: 8192,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl FileSource for DecodedSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let schema = self.table_schema.file_schema();
        let opener = Opener {
            decode: self.decode,
            store,
            root: config.object_store_url.to_string(),
            schema: Arc::new(schema.project(&self.projection.file_indices)?),
            batch_rows: self.batch_rows,
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), schema)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_rows: usize) -> Arc<dyn FileSource> {
        Arc::new(Self {
            batch_rows,
            ..self.clone()
        })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        match self.decode {
            Decode::Arrow => "arrow",
            Decode::Geojson => "geojson",
            Decode::Ndjson => "ndjson",
        }
    }

    /// Which ranges a file may be read in is known where it was registered, not here.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        Ok(Some(Arc::new(Self {
            projection: SplitProjection::new(self.table_schema.file_schema(), &merged),
            ..self.clone()
        })))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), visit)
    }

    fn try_to_proto(
        &self,
        config: &FileScanConfig,
        context: &ExecutionPlanEncodeCtx<'_>,
    ) -> Result<Option<PhysicalPlanNode>> {
        super::codec::encode(self.decode, config, context).map(Some)
    }
}

struct Opener {
    decode: Decode,
    store: Arc<dyn ObjectStore>,
    /// The URL of the store, for people.
    root: String,
    /// The columns that are read, as the table has them.
    schema: SchemaRef,
    batch_rows: usize,
}

type Batches = BoxStream<'static, Result<RecordBatch, BoxError>>;

impl FileOpener for Opener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (decode, schema) = (self.decode, Arc::clone(&self.schema));
        let root = self.root.clone();
        let (store, batch_rows) = (Arc::clone(&self.store), self.batch_rows.max(1));
        Ok(Box::pin(async move {
            // What stands behind `?` may be a signature.
            let path = file.path().as_ref().split("%3F").next().unwrap_or_default();
            let path = format!("{root}{path}");
            let opened = match decode {
                Decode::Arrow => guarded(&path, open_arrow(store, file, schema)).await,
                Decode::Geojson => {
                    guarded(&path, open_geojson(store, file, schema, batch_rows)).await
                }
                Decode::Ndjson => {
                    guarded(&path, open_ndjson(store, file, schema, batch_rows)).await
                }
            };
            let batches = opened.map_err(external)?;
            Ok(guard(path, batches)
                .map_ok(move |batch| slices(batch, batch_rows))
                .try_flatten()
                .boxed())
        }))
    }
}

fn external(error: super::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Names the file in every error of a stream, and ends the stream with it.
fn guard(path: String, batches: Batches) -> BoxStream<'static, Result<RecordBatch>> {
    futures::stream::try_unfold(batches, move |mut batches| {
        let path = path.clone();
        async move {
            let next = guarded(&path, batches.try_next()).await.map_err(external)?;
            Ok(next.map(|batch| (batch, batches)))
        }
    })
    .boxed()
}

/// Cuts a long batch, as others wrote it, into batches of the usual length.
fn slices(
    batch: RecordBatch,
    rows: usize,
) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    let count = batch.num_rows();
    let starts = (0..count.max(1)).step_by(rows);
    let slices = starts.map(move |start| Ok(batch.slice(start, rows.min(count - start))));
    futures::stream::iter(slices)
}

async fn open_arrow(
    store: Arc<dyn ObjectStore>,
    file: PartitionedFile,
    schema: SchemaRef,
) -> Result<Batches, BoxError> {
    let range = file.range.as_ref().map(|_| file.range());
    let range = range.map(|(start, end)| start..end);
    let meta = file.object_meta;
    let reader = IpcReader::open(store, meta.location, meta.size, range).await?;
    Ok(futures::stream::try_unfold(reader, move |mut reader| {
        let schema = Arc::clone(&schema);
        async move {
            let Some(batch) = reader.next().await? else {
                return Ok(None);
            };
            Ok(Some((adapt(&batch, &schema)?, reader)))
        }
    })
    .boxed())
}

/// Gives a batch the columns that the table wants: by name, converted where the type differs, null where missing.
fn adapt(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, BoxError> {
    let column = |field: &Arc<arrow::datatypes::Field>| -> Result<ArrayRef, BoxError> {
        match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => Ok(cast(column, field.data_type())?),
        }
    };
    let columns: Result<Vec<_>, _> = schema.fields().iter().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let adapted = RecordBatch::try_new_with_options(Arc::clone(schema), columns?, &options)?;
    Ok(adapted)
}

async fn open_geojson(
    store: Arc<dyn ObjectStore>,
    file: PartitionedFile,
    schema: SchemaRef,
    batch_rows: usize,
) -> Result<Batches, BoxError> {
    let text = store.get(file.path()).await?.bytes().await?;
    let batches = super::geojson::batches(text, schema, batch_rows)?;
    Ok(futures::stream::iter(batches).boxed())
}

async fn open_ndjson(
    store: Arc<dyn ObjectStore>,
    file: PartitionedFile,
    schema: SchemaRef,
    batch_rows: usize,
) -> Result<Batches, BoxError> {
    let (start, end) = file.range();
    let meta = file.object_meta;
    let lines =
        AlignedBoundaryStream::new(store, meta.location, start, end, meta.size, b'\n').await?;
    let decoder = super::json::decoder(schema, batch_rows)?;
    let state = (lines.boxed(), decoder, Bytes::new(), false);
    Ok(futures::stream::try_unfold(
        state,
        |(mut lines, mut decoder, mut bytes, mut ended)| async move {
            loop {
                if bytes.is_empty() && !ended {
                    match lines.try_next().await? {
                        Some(more) => bytes = more,
                        None => ended = true,
                    }
                }
                let taken = decoder.decode(&bytes)?;
                let full = taken < bytes.len();
                let _ = bytes.split_to(taken);
                if full || (ended && bytes.is_empty()) {
                    return match decoder.flush()? {
                        Some(batch) => Ok(Some((batch, (lines, decoder, bytes, ended)))),
                        None => Ok(None),
                    };
                }
            }
        },
    )
    .boxed())
}
