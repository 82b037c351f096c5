//! The leaf of a fragment that reads what tasks of an earlier stage wrote.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::{Stream, StreamExt, TryStreamExt};

use super::Hasher;
use crate::run::Surroundings;
use crate::sorted;

/// Partitions that are being opened while one is read.
const OPEN_AHEAD: usize = 4;

/// Which partitions a task reads.
#[derive(Debug, Clone)]
pub(crate) enum ReadMode {
    /// Task `p` reads partition `p` of each producer.
    Hash {
        /// What the rows are spread by.
        keys: Vec<Arc<dyn PhysicalExpr>>,
        /// Number of partitions.
        partitions: usize,
    },
    /// A task reads the one partition of every producer.
    Whole {
        /// Whether every task does.
        broadcast: bool,
    },
    /// Task `r` reads the `r`th range of the keys, merged.
    Sorted {
        /// The keys.
        ordering: LexOrdering,
        /// Number of ranges.
        ranges: usize,
        /// How many rows are wanted.
        fetch: Option<usize>,
    },
}

/// Reads an exchange: the producers in order, each one's rows in the order in which it wrote them.
#[derive(Debug)]
pub(crate) struct ExchangeReadExec {
    exchange: u32,
    mode: ReadMode,
    properties: Arc<PlanProperties>,
}

impl ExchangeReadExec {
    /// - `exchange`: the number under which the task finds it.
    /// - `rows`: the schema, and what is known of the rows.
    pub(crate) fn new(exchange: u32, mode: ReadMode, rows: EquivalenceProperties) -> Self {
        let partitioning = match &mode {
            ReadMode::Hash { keys, partitions } => Partitioning::Hash(keys.clone(), *partitions),
            ReadMode::Whole { .. } => Partitioning::UnknownPartitioning(1),
            ReadMode::Sorted { ranges, .. } => Partitioning::UnknownPartitioning(*ranges),
        };
        let (emission, bounded) = (EmissionType::Incremental, Boundedness::Bounded);
        Self {
            exchange,
            mode,
            properties: Arc::new(PlanProperties::new(rows, partitioning, emission, bounded)),
        }
    }

    pub(crate) fn exchange(&self) -> u32 {
        self.exchange
    }

    pub(crate) fn mode(&self) -> &ReadMode {
        &self.mode
    }
}

impl DisplayAs for ExchangeReadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExchangeReadExec: exchange={}, ", self.exchange)?;
        match &self.mode {
            ReadMode::Hash { keys, partitions } => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                write!(f, "hash=[{}], partitions={partitions}", keys.join(", "))
            }
            ReadMode::Whole { broadcast: true } => write!(f, "broadcast"),
            ReadMode::Whole { broadcast: false } => write!(f, "whole"),
            ReadMode::Sorted {
                ordering,
                ranges,
                fetch,
            } => {
                write!(f, "sorted=[{ordering}], ranges={ranges}")?;
                fetch.map_or(Ok(()), |fetch| write!(f, ", fetch={fetch}"))
            }
        }
    }
}

impl ExecutionPlan for ExchangeReadExec {
    fn name(&self) -> &str {
        "ExchangeReadExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let task = context
            .session_config()
            .get_extension::<Surroundings>()
            .ok_or_else(|| internal_datafusion_err!("an exchange is read outside of a task"))?;
        let schema = self.schema();
        match &self.mode {
            ReadMode::Hash { keys, .. } => {
                let partition = u32::try_from(partition).map_err(too_many)?;
                let rows = share(
                    task.clone(),
                    keys,
                    producers(task, self.exchange, partition),
                );
                Ok(coalesced(
                    schema,
                    rows,
                    context.session_config().batch_size(),
                ))
            }
            ReadMode::Whole { .. } => {
                let rows = producers(task, self.exchange, 0);
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
            }
            ReadMode::Sorted {
                ordering,
                ranges,
                fetch,
            } => {
                let (share, shares) = task.share_of_range();
                let range = sorted::Range {
                    exchange: self.exchange,
                    at: partition * shares + share,
                    of: ranges * shares,
                };
                sorted::read(task, range, schema, ordering, *fetch, &context)
            }
        }
    }
}

fn too_many(error: std::num::TryFromIntError) -> DataFusionError {
    internal_datafusion_err!("a partition's number: {error}")
}

/// Reads one partition of every producer, in order.
fn producers(
    task: Arc<Surroundings>,
    exchange: u32,
    partition: u32,
) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    let producers = task.producers(exchange);
    futures::stream::iter(0..producers)
        .map(move |producer| Arc::clone(&task).open(exchange, producer, partition))
        .buffered(OPEN_AHEAD)
        .try_flatten()
}

/// Keeps the rows of the share of the partition that the task runs at the moment.
fn share(
    task: Arc<Surroundings>,
    keys: &[Arc<dyn PhysicalExpr>],
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    let hasher = Hasher::new(keys.to_vec());
    rows.map(move |batch| {
        let batch = batch?;
        match task.share() {
            (_, 1) => Ok(batch),
            (share, shares) => {
                let mask = hasher.in_share(&batch, share, shares)?;
                Ok(filter_record_batch(&batch, &mask)?)
            }
        }
    })
}

/// Makes batches of a useful size of the small ones that many producers give.
fn coalesced(
    schema: SchemaRef,
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    batch_rows: usize,
) -> SendableRecordBatchStream {
    use arrow::compute::BatchCoalescer;
    let coalescer = BatchCoalescer::new(Arc::clone(&schema), batch_rows)
        .with_biggest_coalesce_batch_size(Some(batch_rows / 2));
    let state = (Box::pin(rows), coalescer, false);
    let batches =
        futures::stream::try_unfold(state, |(mut rows, mut coalescer, mut ended)| async move {
            loop {
                if let Some(batch) = coalescer.next_completed_batch() {
                    return Ok(Some((batch, (rows, coalescer, ended))));
                }
                if ended {
                    return Ok(None);
                }
                match rows.try_next().await? {
                    Some(batch) => coalescer.push_batch(batch)?,
                    None => {
                        coalescer.finish_buffered_batch()?;
                        ended = true;
                    }
                }
            }
        });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}
