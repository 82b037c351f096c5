//! The relational engine: plans queries for coordinators, runs fragments for workers.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use swath_tables::sink::{self, OutputFormat};
use swath_tables::source::SourceContext;
use swath_tables::{BatchStream, BoxError, Outputs, TaskSettings};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::encoded::EncodedRows;
use super::inputs::PeerInputs;
use super::room::StoreRoom;
use super::rows::{Numbering, StoredRows};
use super::{Error, ask};
use crate::exchange::{Exchange, PartitionKey, PartitionStore};
use crate::ids::{ExecutionId, JobId, TaskId};
use crate::job::Failure;
use crate::plan::catalog::{Capacity, QueryStage};
use crate::plan::stage::FragmentRows;
use crate::spec::{JobSpec, TableCompression, TableFormat, TableOutput};
use crate::wire::InputStage;

/// Stack of a planner's thread.
const PLANNER_STACK_BYTES: usize = 64 << 20;
/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Plans queries and runs their fragments. Cloning shares connections to the servers of files.
#[derive(Debug, Clone)]
pub struct Tables {
    pub(super) sources: SourceContext,
}

/// A fragment and all that one run of it needs.
#[derive(Debug)]
pub(crate) struct FragmentRun {
    pub(crate) fragment: Bytes,
    pub(crate) rows: FragmentRows,
    pub(crate) job: JobId,
    pub(crate) task: TaskId,
    pub(crate) execution: ExecutionId,
    pub(crate) inputs: Vec<InputStage>,
    pub(crate) memory_bytes: u64,
    pub(crate) spill_dir: PathBuf,
    pub(crate) cancelled: Arc<std::sync::atomic::AtomicBool>,
    pub(crate) store: Arc<PartitionStore>,
    pub(crate) exchange: Arc<dyn Exchange>,
    /// Where connections live.
    pub(crate) network: Handle,
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

impl Tables {
    /// Makes it; connections live on the runtime that calls.
    #[must_use]
    pub fn new() -> Self {
        let sources =
            Handle::try_current().map_or_else(|_| SourceContext::new(), SourceContext::on);
        Self { sources }
    }

    /// Cuts the query of an operation on tables into stages; other operations have none.
    pub(crate) async fn cut(
        &self,
        spec: &JobSpec,
        capacity: Capacity,
    ) -> Result<Option<Vec<QueryStage>>, Failure> {
        let Some((query, settings)) = ask::query(&spec.operation, capacity) else {
            return Ok(None);
        };
        let sources = self.sources.clone();
        let runtime = Handle::current();
        let (sender, receiver) = oneshot::channel();
        // A planner computes, and it is recursive: it has a thread of its own, with a large stack.
        let planner = std::thread::Builder::new()
            .name("swath-planner".to_owned())
            .stack_size(PLANNER_STACK_BYTES)
            .spawn(move || {
                let planned = runtime.block_on(swath_tables::plan(&query, &settings, &sources));
                // Who has gone wants no plan.
                let _ = sender.send(planned);
            });
        planner.map_err(|error| failure(Error::Other(error.into())))?;
        let plan = match receiver.await {
            Ok(Ok(plan)) => plan,
            Ok(Err(error)) => return Err(failure(error.into())),
            Err(_) => return Err(failure(Error::Planner)),
        };
        Ok(Some(plan.stages.into_iter().map(ask::stage).collect()))
    }

    /// Opens one file of a table: its columns, and its rows in order.
    pub(crate) async fn read(
        &self,
        path: String,
        format: TableFormat,
    ) -> Result<(SchemaRef, BatchStream), BoxError> {
        let table = swath_tables::NamedTable {
            name: "t".to_owned(),
            paths: vec![path],
            format: Some(ask::format(format)),
        };
        Ok(swath_tables::read(&table, &self.sources).await?)
    }

    /// Runs a fragment on this thread; returns the bytes that it stored.
    pub(crate) fn run(&self, run: FragmentRun) -> Result<u64, Error> {
        let first = PartitionKey {
            job: run.job.clone(),
            task: run.task,
            execution: run.execution,
            partition: 0,
        };
        let store = Arc::clone(&run.store);
        let numbering = match &run.rows {
            FragmentRows::Result(output) => {
                let encoder_bytes = usize::try_from(run.memory_bytes / 3).unwrap_or(usize::MAX);
                let format = output_format(output);
                let mut rows = EncodedRows::new(store, first, format, encoder_bytes);
                self.write(run, &mut rows)?;
                return Ok(rows.finish()?);
            }
            FragmentRows::Hash(partitions) => Numbering::Fixed(*partitions),
            FragmentRows::Whole => Numbering::Fixed(1),
            FragmentRows::Sorted => Numbering::Chunks,
        };
        let mut rows = StoredRows::new(store, first, numbering);
        self.write(run, &mut rows)?;
        Ok(rows.finish()?)
    }

    fn write(&self, run: FragmentRun, outputs: &mut dyn Outputs) -> Result<(), Error> {
        let settings = TaskSettings {
            inputs: Arc::new(PeerInputs {
                job: run.job,
                stages: run.inputs,
                exchange: run.exchange,
                network: run.network,
            }),
            stores: self.sources.registry(),
            memory_bytes: usize::try_from(run.memory_bytes).unwrap_or(usize::MAX),
            spill_dir: run.spill_dir,
            spill_room: Arc::new(StoreRoom(run.store)),
            cancelled: run.cancelled,
            batch_rows: BATCH_ROWS,
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Other(error.into()))?;
        let ran = runtime.block_on(swath_tables::run(
            &run.fragment,
            run.task.index,
            settings,
            outputs,
        ));
        // Reads that nobody waits for any more may go on for a moment.
        runtime.shutdown_background();
        let stats = ran?;
        tracing::debug!(?stats, "fragment ran");
        Ok(())
    }
}

fn failure(error: Error) -> Failure {
    Failure::of(error.class(), error.code(), &error)
}

/// Returns the format of an output, as the engine names it.
pub(super) fn output_format(output: &TableOutput) -> OutputFormat {
    let (format, _) = output.layout();
    OutputFormat {
        format: ask::format(format),
        compression: match output.compress {
            None => sink::Compression::Default,
            Some(TableCompression::None) => sink::Compression::None,
            Some(TableCompression::Snappy) => sink::Compression::Snappy,
            Some(TableCompression::Zstd) => sink::Compression::Zstd,
            Some(TableCompression::Gzip) => sink::Compression::Gzip,
            Some(TableCompression::Lz4) => sink::Compression::Lz4,
        },
    }
}
