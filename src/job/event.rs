//! What the log of a job holds.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::ids::{Attempt, ExecutionId, Incarnation, StageId, TaskId, WorkerId, WorkerRef};
use crate::spec::{JobOptions, RetryPolicy};
use crate::time::Timestamp;

/// Bytes in a message, or the name of a blob when they pass the broker's payload limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// The bytes themselves.
    Inline(Bytes),
    /// The name of a blob of the same job on the broker.
    Blob(String),
}

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The encoded [`crate::spec::JobSpec`].
    pub spec: Payload,
    /// A few words for tables: the operation and its output.
    pub title: String,
    /// How to run it.
    pub options: JobOptions,
    /// Seeds the jitter of retries; drawn at random, so it also tells two jobs of one id apart: one that was
    /// forgotten, and a later one.
    pub seed: u64,
    /// The moment before which the job is not to begin, by the clock of whoever coordinates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
}

/// What the machine must know of a stage: how many tasks, and which stages they read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageShape {
    /// A word for tables, such as `ndvi` or `commit`.
    pub name: String,
    /// Number of tasks.
    pub tasks: u32,
    /// The stages whose winners the tasks read; all of lower numbers.
    pub inputs: Vec<StageId>,
}

/// One run of a task that ended well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSuccess {
    /// The task.
    pub task: TaskId,
    /// The attempt that was published.
    pub attempt: Attempt,
    /// The run.
    pub execution: ExecutionId,
    /// Where its partitions are.
    pub worker: WorkerRef,
    /// How long it ran, in microseconds.
    pub run_us: u64,
    /// Bytes of the partitions it stored.
    pub stored_bytes: u64,
    /// What the operation returned, for operations that return a value.
    pub result: Option<Payload>,
}

/// One run of a task that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// The task.
    pub task: TaskId,
    /// The attempt that was published.
    pub attempt: Attempt,
    /// The run.
    pub execution: ExecutionId,
    /// Where it ran.
    pub worker: WorkerRef,
    /// Why it failed.
    pub failure: Failure,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The output is committed, every task succeeded.
    Succeeded,
    /// The job failed; nothing of its output is visible.
    Failed {
        /// The task that failed it, if it was one.
        task: Option<TaskId>,
        /// Why.
        failure: Failure,
    },
    /// Somebody cancelled it.
    Cancelled,
}

/// A fact about a job. The order of the log is the order of the facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The job exists.
    Submitted(Submission),
    /// It is planned; only the first plan counts.
    Planned {
        /// What the machine must know of each stage.
        stages: Vec<StageShape>,
        /// The encoded [`crate::plan::Plan`].
        plan: Payload,
        /// How the operation says that a task is tried again, where the job does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry: Option<RetryPolicy>,
    },
    /// A try to plan it failed: it is planned again after a wait when that may help, else it cannot be planned.
    PlanFailed {
        /// Which life of the job was to be planned.
        life: u32,
        /// Which try of this life it was.
        #[serde(default, skip_serializing_if = "is_first")]
        attempt: Attempt,
        /// Why.
        failure: Failure,
    },
    /// A worker took the job up, to coordinate it. Of one that dies before the job gets any further, this is what is left.
    TakenUp {
        /// The worker.
        worker: WorkerId,
        /// Which hold of the job it is; drawn at random.
        hold: u64,
    },
    /// A worker that took the job up has not died of it: it gives the job back, or has coordinated it for a while.
    Held {
        /// Which hold of the job it was.
        hold: u64,
    },
    /// The cluster now has this many slots; the window of published tasks follows.
    Capacity {
        /// Slots of all live workers.
        slots: u32,
    },
    /// A task ended well; only the first success of a task counts.
    TaskSucceeded(TaskSuccess),
    /// A run of a task did not end well.
    TaskFailed(TaskFailure),
    /// A run of a task takes far longer than those of its peers took: a second one may begin beside it.
    Straggling {
        /// The task.
        task: TaskId,
        /// The attempt that is published.
        attempt: Attempt,
    },
    /// A worker that leaves has handed partitions over to another one.
    Moved {
        /// Who had them.
        from: WorkerRef,
        /// Who has them now.
        to: WorkerRef,
        /// The runs whose partitions they are.
        runs: Vec<(TaskId, ExecutionId)>,
    },
    /// A life of a worker ended: what only it held must be made again.
    WorkerLost {
        /// The worker.
        worker: WorkerId,
        /// Which life of it.
        incarnation: Incarnation,
    },
    /// Somebody asked to cancel the job.
    CancelRequested,
    /// The job's deadline passed.
    DeadlineReached {
        /// Which life of the job it ends.
        life: u32,
    },
    /// The job ended; only the first end of each life counts.
    Finished {
        /// Which life of the job ended.
        life: u32,
        /// How.
        outcome: Outcome,
    },
    /// Somebody asked to run again what did not succeed, after the job failed or was cancelled: a new life of the
    /// job begins. What a coordinator of an earlier life still says of its end is not about this one.
    Retried {
        /// The life that begins: the number of times the job was retried.
        life: u32,
    },
}

fn is_first(attempt: &Attempt) -> bool {
    *attempt == Attempt::default()
}
