//! Committed tables for any Flight client: read back from their files when somebody asks for them.
//!
//! A result is copied into this worker's partition store, one partition for each file, and stays there until nobody has
//! asked for it for the age of a partition. So whoever can read the output can serve it, and no job holds partitions
//! after its end.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::TryStreamExt;
use tokio::runtime::Builder;

use crate::broker::{self, Broker};
use crate::exchange::{
    self, PartitionAddress, PartitionKey, PartitionStore, ResultDirectory, TableResult,
};
use crate::ids::{ExecutionId, JobId, StageId, TaskId, WorkerRef};
use crate::job::{JobState, Payload};
use crate::spec::{JobSpec, Output, TableOutput};
use crate::tables::Tables;
use crate::wire;

/// Knows the committed tables of all jobs.
#[derive(Debug)]
pub(super) struct CommittedTables {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) store: Arc<PartitionStore>,
    pub(super) tables: Tables,
    pub(super) me: WorkerRef,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[async_trait]
impl ResultDirectory for CommittedTables {
    async fn result(&self, job: &JobId) -> Result<Option<TableResult>, exchange::Error> {
        let found = async {
            match self.output(job).await? {
                Some((output, seed)) => self.load(job, seed, &output).await.map(Some),
                None => Ok(None),
            }
        };
        let failed = |source| exchange::Error::Serve { source };
        found.await.map_err(failed)
    }
}

impl CommittedTables {
    /// Finds the table that a job committed, and which life of the job that was.
    async fn output(&self, job: &JobId) -> Result<Option<(TableOutput, u64)>, BoxError> {
        let machine = broker::replay(&self.broker.read_log(job).await?);
        let Some(submission) = machine.submission() else {
            return Ok(None);
        };
        if machine.progress().state != JobState::Succeeded {
            return Ok(None);
        }
        let spec = match &submission.spec {
            Payload::Inline(bytes) => bytes.clone(),
            Payload::Blob(name) => match self.broker.get_blob(job, name).await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        let spec: JobSpec = wire::decode(&spec)?;
        Ok(match spec.output {
            Some(Output::Table(output)) => Some((output, submission.seed)),
            Some(Output::Raster(_)) | None => None,
        })
    }

    async fn load(
        &self,
        job: &JobId,
        seed: u64,
        output: &TableOutput,
    ) -> Result<TableResult, BoxError> {
        let (mut schema, mut parts) = (None, Vec::new());
        let (mut rows, mut bytes) = (0, 0);
        for (index, path) in (0..).zip(files(output)?) {
            let key = PartitionKey {
                job: job.clone(),
                // No plan has a stage of this number.
                task: TaskId {
                    stage: StageId(u32::MAX),
                    index,
                },
                execution: ExecutionId(seed),
                partition: 0,
            };
            let found = self.load_part(&key, path, output).await?;
            schema.get_or_insert(found);
            if let Some(partition) = self.store.get(&key) {
                rows += partition.summary().rows;
                bytes += partition.summary().bytes;
            }
            parts.push(PartitionAddress {
                key,
                worker: self.me.clone(),
            });
        }
        Ok(TableResult {
            schema: schema.ok_or("the output has no parts")?,
            parts,
            rows,
            bytes,
        })
    }

    /// Copies a file into the store, unless it is there; returns its columns.
    async fn load_part(
        &self,
        key: &PartitionKey,
        path: String,
        output: &TableOutput,
    ) -> Result<SchemaRef, BoxError> {
        let (tables, store, key) = (self.tables.clone(), Arc::clone(&self.store), key.clone());
        let format = output.layout().0;
        // Decoding computes, and the store may write to a disk.
        let copied = tokio::task::spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (schema, mut batches) = tables.read(path, format).await?;
                if store.get(&key).is_none() {
                    let mut writer = store.writer(key, Arc::clone(&schema))?;
                    while let Some(batch) = batches.try_next().await? {
                        writer.write(&batch)?;
                    }
                    match writer.finish() {
                        // Somebody else asked at the same time.
                        Ok(_) | Err(exchange::Error::Written { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok::<_, BoxError>(schema)
            })
        });
        copied.await?
    }
}

/// Lists the files of an output, in the order of the rows.
fn files(output: &TableOutput) -> Result<Vec<String>, BoxError> {
    if !output.layout().1 {
        return Ok(vec![output.path.clone()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(Path::new(&output.path))? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if name.starts_with("part-") {
            files.push(entry.path().display().to_string());
        }
    }
    files.sort();
    Ok(files)
}
