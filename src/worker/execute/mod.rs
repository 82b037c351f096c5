//! The work of one task: reads its inputs, runs its kernel on the CPU pool, stores its partitions.

mod commit;
#[cfg(feature = "tables")]
mod commit_table;
#[cfg(test)]
mod conformance;
mod custom;
#[cfg(feature = "tables")]
mod fragment;
mod overviews;
mod raster;
mod tiles;
mod warp;
#[cfg(feature = "tables")]
mod zonal;

#[cfg(feature = "tables")]
use std::collections::VecDeque;
use std::sync::Arc;
#[cfg(feature = "tables")]
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "tables")]
use bytes::Bytes;

use super::cpu::{CpuPool, Panicked};
use super::ports::WorkerPorts;
use crate::broker;
use crate::exchange::{self, PartitionAddress, PartitionKey};
use crate::grid::DataType;
use crate::grid::pyramid::Group;
use crate::ids::{ExecutionId, JobId};
use crate::io::{self, raster::read};
use crate::job::failure::chain;
use crate::job::{Failure, FailureClass, Payload};
use crate::ops::{OperationError, TaskContext};
use crate::plan::StageWork;
use crate::plan::stage::RasterStage;
use crate::wire::message::TaskInputs;
use crate::wire::{self, InputStage, TaskMessage};

/// What a task that ended well leaves.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) stored_bytes: u64,
    pub(crate) result: Option<Vec<u8>>,
}

/// Runs tasks.
#[derive(Debug)]
pub(crate) struct Executor {
    ports: WorkerPorts,
    cpu: Arc<CpuPool>,
    /// Fragments of queries that were read from the broker, the oldest first.
    #[cfg(feature = "tables")]
    fragments: Mutex<VecDeque<((JobId, String), Bytes)>>,
}

/// Says why a task did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Panicked(#[from] Panicked),
    #[error(transparent)]
    Operation(#[from] OperationError),
    #[error(transparent)]
    Read(#[from] read::Error),
    #[error(transparent)]
    Exchange(#[from] exchange::Error),
    #[error("the expression cannot be used")]
    Calc(#[from] crate::ops::local::calc::Error),
    #[error("the neighbourhood cannot be computed")]
    Focal(#[from] crate::ops::focal::Error),
    #[error("the scene cannot be brought onto the output's grid")]
    Crs(#[from] crate::crs::Error),
    #[error(
        "{path} is not where the list of scenes has it: {problem}; plan from its own header, by a list without proj: fields"
    )]
    Moved { path: String, problem: String },
    #[error(
        "{path} is {found}, the first scene is {wanted}: say with --dtype what the output is to be"
    )]
    SceneType {
        path: String,
        found: DataType,
        wanted: DataType,
    },
    #[error("a tile could not be encoded")]
    Encode(#[from] io::raster::encode::Error),
    #[error("the output could not be written")]
    Cog(#[from] io::raster::cog::Error),
    #[error(transparent)]
    Commit(#[from] io::commit::Error),
    #[error("the partition's columns could not be made")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("the task's inputs could not be read from the broker")]
    Broker(#[from] broker::Error),
    #[error("the task's inputs cannot be decoded")]
    Wire(#[from] wire::Error),
    #[error("partition {address} does not hold what its writer was to write: {what}")]
    Partition {
        address: Box<PartitionAddress>,
        what: &'static str,
    },
    #[cfg(feature = "tables")]
    #[error(transparent)]
    Tables(#[from] crate::tables::Error),
    #[cfg(feature = "tables")]
    #[error(transparent)]
    Zonal(#[from] zonal::Error),
    #[cfg(not(feature = "tables"))]
    #[error("this worker was built without tables; build it with the feature 'tables'")]
    NoTables,
    #[error("cancelled")]
    Cancelled,
    #[error("a bug in the worker: {what}")]
    Bug { what: &'static str },
}

impl Error {
    /// Says what should be done. No `_` arm: a new variant must say.
    fn class(&self) -> FailureClass {
        match self {
            Self::Operation(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Exchange(error) => error.class(),
            Self::Commit(error) => error.class(),
            Self::Encode(error) => error.class(),
            Self::Cog(error) => error.class(),
            Self::Partition { address, .. } => FailureClass::InputLost(address.clone()),
            Self::Cancelled => FailureClass::Cancelled,
            #[cfg(feature = "tables")]
            Self::Tables(error) => error.class(),
            #[cfg(feature = "tables")]
            Self::Zonal(error) => error.class(),
            #[cfg(not(feature = "tables"))]
            Self::NoTables => FailureClass::Fatal,
            Self::Calc(_)
            | Self::Focal(_)
            | Self::Crs(_)
            | Self::Moved { .. }
            | Self::SceneType { .. }
            | Self::Bug { .. } => FailureClass::Fatal,
            Self::Panicked(_) => FailureClass::Panic,
            Self::Arrow(_) | Self::Broker(_) | Self::Wire(_) => {
                FailureClass::Retry { after_ms: None }
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Panicked(_) => "panic",
            Self::Operation(_) => "operation",
            Self::Read(error) => error.code(),
            Self::Exchange(error) => error.code(),
            Self::Partition { .. } => "exchange",
            Self::Calc(_) => "expression",
            Self::Focal(_) => "window",
            Self::Crs(_) => "crs",
            Self::Moved { .. } => "scene-moved",
            Self::SceneType { .. } => "scene-type",
            Self::Encode(error) => error.code(),
            Self::Cog(error) => error.code(),
            Self::Commit(error) => error.code(),
            Self::Arrow(_) => "partition",
            Self::Broker(_) | Self::Wire(_) => "broker",
            #[cfg(feature = "tables")]
            Self::Tables(error) => error.code(),
            #[cfg(feature = "tables")]
            Self::Zonal(error) => error.code(),
            #[cfg(not(feature = "tables"))]
            Self::NoTables => "no-tables",
            Self::Cancelled => "cancelled",
            Self::Bug { .. } => "bug",
        }
    }
}

impl Executor {
    pub(crate) fn new(ports: WorkerPorts, cpu: Arc<CpuPool>) -> Self {
        Self {
            ports,
            cpu,
            #[cfg(feature = "tables")]
            fragments: Mutex::default(),
        }
    }

    /// Runs a task; a failure keeps its class.
    pub(crate) async fn run(
        &self,
        message: TaskMessage,
        execution: ExecutionId,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Done, Failure> {
        let ran = self.try_run(message, execution, cancelled).await;
        ran.map_err(|error| Failure {
            class: error.class(),
            code: error.code().to_owned(),
            message: chain(&error),
        })
    }

    async fn try_run(
        &self,
        message: TaskMessage,
        execution: ExecutionId,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Done, Error> {
        let context = TaskContext {
            job: message.job.clone(),
            task: message.task,
            attempt: message.attempt,
            execution,
            store: Arc::clone(&self.ports.store),
            cancelled,
        };
        match message.work {
            StageWork::Custom { operation } => {
                self.run_custom(operation, message.params, context).await
            }
            StageWork::Raster(raster) => self.run_raster(raster, context).await,
            StageWork::Overviews { raster, group } => {
                let inputs = self.inputs(&message.job, message.inputs).await?;
                self.run_overviews(raster, group, inputs, context).await
            }
            #[cfg(not(feature = "tables"))]
            StageWork::Fragment(_) | StageWork::CommitTable(_) | StageWork::Zonal(..) => {
                Err(Error::NoTables)
            }
            #[cfg(feature = "tables")]
            StageWork::Fragment(stage) => {
                let inputs = self.inputs(&message.job, message.inputs).await?;
                self.run_fragment(stage, message.memory_bytes, inputs, context)
                    .await
            }
            #[cfg(feature = "tables")]
            StageWork::Zonal(role, stage) => {
                let inputs = self.inputs(&message.job, message.inputs).await?;
                self.run_zonal(role, stage, inputs, context).await
            }
            #[cfg(feature = "tables")]
            StageWork::CommitTable(output) => {
                let inputs = self.inputs(&message.job, message.inputs).await?;
                self.run_commit_table(output, inputs, context).await
            }
            StageWork::Commit {
                raster,
                path,
                overwrite,
            } => {
                let inputs = self.inputs(&message.job, message.inputs).await?;
                self.run_commit(raster, (&path, overwrite), inputs, context)
                    .await
            }
        }
    }

    /// Reads where the task's inputs are.
    async fn inputs(&self, job: &JobId, inputs: TaskInputs) -> Result<Vec<InputStage>, Error> {
        let bytes = match inputs {
            TaskInputs::Here(stages) => return Ok(stages),
            TaskInputs::There(Payload::Inline(bytes)) => bytes,
            TaskInputs::There(Payload::Blob(name)) => self
                .ports
                .broker
                .get_blob(job, &name)
                .await?
                .ok_or(broker::Error::Full {
                    reason: format!("blob '{name}' is gone"),
                })?,
        };
        Ok(wire::decode(&bytes)?)
    }
}

/// Lists the partitions with one number of all winners of a stage, in order.
fn addresses(
    job: &JobId,
    stage: &InputStage,
    partition: u32,
) -> Result<Vec<(u32, PartitionAddress)>, Error> {
    let mut found = Vec::with_capacity(stage.winners.len());
    for (index, execution, worker) in &stage.winners {
        let worker = stage
            .workers
            .get(*worker as usize)
            .ok_or(Error::Bug {
                what: "a winner on no worker",
            })?
            .clone();
        let task = crate::ids::TaskId {
            stage: stage.stage,
            index: *index,
        };
        let key = PartitionKey {
            job: job.clone(),
            task,
            execution: *execution,
            partition,
        };
        found.push((*index, PartitionAddress { key, worker }));
    }
    Ok(found)
}

fn group(raster: &RasterStage, number: usize) -> Result<&Group, Error> {
    raster.layout.groups.get(number).ok_or(Error::Bug {
        what: "a group that the layout has not",
    })
}

fn check_cancelled(context: &TaskContext) -> Result<(), Error> {
    if context.cancelled.load(Ordering::Relaxed) {
        Err(Error::Cancelled)
    } else {
        Ok(())
    }
}
