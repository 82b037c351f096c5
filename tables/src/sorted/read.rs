//! Merges the runs of all producers within one range of the keys.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::common::internal_datafusion_err;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use super::index::{self, Chunk};
use super::keys::Keys;
use crate::run::{Surroundings, compact};

/// Indices that are read at a time.
const INDICES_AHEAD: usize = 8;
/// Chunks of a run that are open: one is merged while the next is on its way.
const CHUNKS_AHEAD: usize = 2;
/// Chunks of all runs that are on their way, and not yet cut to what the range wants of them.
const LOADS: usize = 16;

/// The share of a sorted exchange that one task reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// The exchange.
    pub(crate) exchange: u32,
    /// Which range, in the order of the keys.
    pub(crate) at: usize,
    /// Of how many.
    pub(crate) of: usize,
}

/// Reads a range of a sorted exchange in the order of its keys.
pub(crate) fn read(
    task: Arc<Surroundings>,
    range: Range,
    schema: SchemaRef,
    ordering: &LexOrdering,
    fetch: Option<usize>,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let merge = Merge {
        keys: Arc::new(Keys::new(ordering.clone(), &schema)?),
        ordering: ordering.clone(),
        schema: Arc::clone(&schema),
        fetch,
        context: Arc::clone(context),
    };
    let rows = futures::stream::once(async move { merge.rows(task, range).await }).try_flatten();
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

struct Merge {
    keys: Arc<Keys>,
    ordering: LexOrdering,
    schema: SchemaRef,
    fetch: Option<usize>,
    context: Arc<TaskContext>,
}

/// The keys of a range: from the first up to, without, the second.
#[derive(Clone)]
struct Bounds {
    from: Option<Vec<u8>>,
    to: Option<Vec<u8>>,
}

impl Bounds {
    fn touches(&self, chunk: &Chunk) -> bool {
        self.from.as_ref().is_none_or(|from| chunk.last >= *from)
            && self.to.as_ref().is_none_or(|to| chunk.first < *to)
    }

    fn covers(&self, chunk: &Chunk) -> bool {
        self.from.as_ref().is_none_or(|from| chunk.first >= *from)
            && self.to.as_ref().is_none_or(|to| chunk.last < *to)
    }
}

impl Merge {
    async fn rows(
        self,
        task: Arc<Surroundings>,
        range: Range,
    ) -> Result<SendableRecordBatchStream> {
        let chunks = chunks(&task, range.exchange).await?;
        let Some(bounds) = bounds(&chunks, range) else {
            return Ok(Box::pin(EmptyRecordBatchStream::new(self.schema)));
        };
        let loads = Arc::new(Semaphore::new(LOADS));
        let runs = chunks.chunk_by(|(a, x), (b, y)| (a, x.run) == (b, y.run));
        let streams: Vec<SendableRecordBatchStream> = runs
            .map(|run| {
                run.iter()
                    .filter(|(_, chunk)| bounds.touches(chunk))
                    .cloned()
                    .collect()
            })
            .filter(|run: &Vec<_>| !run.is_empty())
            .map(|run| {
                let load = Load {
                    task: Arc::clone(&task),
                    exchange: range.exchange,
                    bounds: bounds.clone(),
                    keys: Arc::clone(&self.keys),
                    schema: Arc::clone(&self.schema),
                    loads: Arc::clone(&loads),
                };
                self.run(load, run)
            })
            .collect();
        if streams.is_empty() {
            return Ok(Box::pin(EmptyRecordBatchStream::new(self.schema)));
        }
        let memory = MemoryConsumer::new("merge of sorted runs");
        StreamingMergeBuilder::new()
            .with_streams(streams)
            .with_schema(self.schema)
            .with_expressions(&self.ordering)
            .with_batch_size(self.context.session_config().batch_size())
            .with_fetch(self.fetch)
            .with_metrics(BaselineMetrics::new(
                &ExecutionPlanMetricsSet::new(),
                range.at,
            ))
            .with_reservation(memory.register(self.context.memory_pool()))
            .with_round_robin_tie_breaker(false)
            .build()
    }

    /// Reads the chunks of one run one after the other, without the rows that other ranges have.
    fn run(&self, load: Load, chunks: Vec<(u32, Chunk)>) -> SendableRecordBatchStream {
        let memory = MemoryConsumer::new("chunks of sorted runs");
        let memory = memory.register(self.context.memory_pool());
        let schema = Arc::clone(&self.schema);
        let rows = futures::stream::iter(chunks)
            .map(move |(producer, chunk)| {
                let (load, held) = (load.clone(), memory.new_empty());
                // A task of its own: the merge waits for one run at a time, and a load ahead of another run that nobody
                // polls would keep its place among the loads for ever.
                let loaded = SpawnedTask::spawn(async move {
                    let rows = load.rows(producer, &chunk).await?;
                    held.try_grow(get_record_batch_memory_size(&rows))?;
                    Ok((rows, held))
                });
                async move {
                    let ended = loaded.join().await;
                    ended
                        .map_err(|error| internal_datafusion_err!("a load was stopped: {error}"))?
                }
            })
            .buffered(CHUNKS_AHEAD)
            // From here on the merge counts it.
            .map_ok(|(rows, _)| rows);
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }
}

/// What loading a chunk takes.
#[derive(Clone)]
struct Load {
    task: Arc<Surroundings>,
    exchange: u32,
    bounds: Bounds,
    keys: Arc<Keys>,
    schema: SchemaRef,
    loads: Arc<Semaphore>,
}

impl Load {
    async fn rows(&self, producer: u32, chunk: &Chunk) -> Result<RecordBatch> {
        // The semaphore is never closed.
        let _load = self.loads.acquire().await.ok();
        let opened = Arc::clone(&self.task).open(self.exchange, producer, chunk.partition);
        let rows: Vec<RecordBatch> = opened.await?.try_collect().await?;
        let rows = concat_batches(&self.schema, &rows)?;
        if self.bounds.covers(chunk) {
            Ok(rows)
        } else {
            trim(&self.keys, &rows, &self.bounds)
        }
    }
}

/// Reads the indices of all producers, in their order.
async fn chunks(task: &Arc<Surroundings>, exchange: u32) -> Result<Vec<(u32, Chunk)>> {
    let indices = futures::stream::iter(0..task.producers(exchange))
        .map(|producer| {
            let task = Arc::clone(task);
            async move {
                let rows = task.open(exchange, producer, 0).await?;
                let batches: Vec<RecordBatch> = rows.try_collect().await?;
                let chunks: Vec<Vec<Chunk>> =
                    batches.iter().map(index::decode).collect::<Result<_>>()?;
                Ok(chunks
                    .into_iter()
                    .flatten()
                    .map(|chunk| (producer, chunk))
                    .collect::<Vec<_>>())
            }
        })
        .buffered(INDICES_AHEAD);
    let indices: Result<Vec<Vec<_>>> = indices.try_collect().await;
    Ok(indices?.into_iter().flatten().collect())
}

/// Returns the bounds of a range; nothing when all rows are in ranges before it.
fn bounds(chunks: &[(u32, Chunk)], range: Range) -> Option<Bounds> {
    let boundaries = index::boundaries(chunks.iter().map(|(_, chunk)| chunk), range.of);
    let from = match range.at.checked_sub(1) {
        None => None,
        Some(before) => Some(boundaries.get(before)?.clone()),
    };
    let to = boundaries.get(range.at).cloned();
    Some(Bounds { from, to })
}

/// Keeps the rows of a sorted batch that lie in a range, in memory of their own.
fn trim(keys: &Keys, rows: &RecordBatch, bounds: &Bounds) -> Result<RecordBatch> {
    let encoded = keys.rows(rows)?;
    let before = |bound: &Vec<u8>| {
        let (mut low, mut high) = (0, encoded.num_rows());
        while low < high {
            let middle = low.midpoint(high);
            if encoded.row(middle).data() < bound.as_slice() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    };
    let from = bounds.from.as_ref().map_or(0, before);
    let to = bounds
        .to
        .as_ref()
        .map_or_else(|| encoded.num_rows(), before);
    let kept = UInt64Array::from_iter_values(from as u64..to.max(from) as u64);
    Ok(compact(take_record_batch(rows, &kept)?))
}
