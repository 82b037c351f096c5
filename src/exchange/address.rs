//! What names a partition, and where it is.

use serde::{Deserialize, Serialize};

use crate::ids::{ExecutionId, JobId, TaskId, WorkerRef};

/// Names a partition: the run that wrote it, and its number among that run's partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionKey {
    /// The job.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
    /// The run of the task.
    pub execution: ExecutionId,
    /// The number of the partition, from 0.
    pub partition: u32,
}

impl std::fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{}/{:016x}/{}",
            self.job, self.task, self.execution.0, self.partition
        )
    }
}

/// Names a partition and the worker that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartitionAddress {
    /// The partition.
    pub key: PartitionKey,
    /// The worker.
    pub worker: WorkerRef,
}

impl std::fmt::Display for PartitionAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.key, self.worker)
    }
}
