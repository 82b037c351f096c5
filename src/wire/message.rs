//! The messages.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{
    Attempt, ExecutionId, Incarnation, JobId, QueueName, StageId, TaskId, WorkerId, WorkerRef,
};
use crate::job::{Command, Event, JobMachine, Payload};
use crate::plan::StageWork;
use crate::spec::Priority;
use crate::time::Timestamp;

/// On the `jobs` queue: whoever holds it coordinates the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobMessage {
    /// The job.
    pub job: JobId,
}

/// A record of a job's log: facts that were recorded together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The facts, in order.
    pub events: Vec<Event>,
}

impl LogEntry {
    /// Applies the facts of a record to a machine; returns what the machine asks for.
    ///
    /// # Errors
    /// When the record does not decode: every reader leaves it out alike.
    pub fn fold(
        payload: &[u8],
        at: Timestamp,
        machine: &mut JobMachine,
    ) -> Result<Vec<Command>, super::Error> {
        let entry: Self = super::decode(payload)?;
        Ok(entry
            .events
            .iter()
            .flat_map(|event| machine.apply(at, event))
            .collect())
    }
}

/// On the `tasks` queue: everything that a worker needs to run one try of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskMessage {
    /// The job.
    pub job: JobId,
    /// Which life of it: see [`JobMachine::seed`].
    pub seed: u64,
    /// The task.
    pub task: TaskId,
    /// Which try of it.
    pub attempt: Attempt,
    /// The priority of the job.
    pub priority: Priority,
    /// What to do.
    pub work: StageWork,
    /// The parameters of the task, as JSON, for a task queue.
    #[serde(default, with = "serde_bytes")]
    pub params: Vec<u8>,
    /// Where the task's inputs are; behind a blob when there are very many.
    pub inputs: TaskInputs,
    /// Memory that the task needs at most.
    pub memory_bytes: u64,
    /// The longest that it may run, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// The id under which the message of one try of a task is published: `job.seed.stage.index.attempt`. It names the task
/// also when the message cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskMessageId {
    /// The job.
    pub job: JobId,
    /// Which life of it; ids are remembered for minutes, and this keeps a job apart from a forgotten one of its id.
    pub seed: u64,
    /// The task.
    pub task: TaskId,
    /// Which try of it.
    pub attempt: Attempt,
}

impl fmt::Display for TaskMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TaskId { stage, index } = self.task;
        let (job, seed, attempt) = (&self.job, self.seed, self.attempt);
        write!(f, "{job}.{seed:x}.{stage}.{index}.{attempt}")
    }
}

impl TaskMessageId {
    /// Reads an id; nothing when it is not one of a task.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let mut parts = id.split('.');
        let mut next = || parts.next();
        let read = Self {
            job: JobId::new(next()?).ok()?,
            seed: u64::from_str_radix(next()?, 16).ok()?,
            task: TaskId {
                stage: StageId(next()?.parse().ok()?),
                index: next()?.parse().ok()?,
            },
            attempt: Attempt(next()?.parse().ok()?),
        };
        next().is_none().then_some(read)
    }
}

/// Where a task's inputs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskInputs {
    /// In the message.
    Here(Vec<InputStage>),
    /// An encoded `Vec<InputStage>` elsewhere.
    There(Payload),
}

/// The winning executions of the tasks of one stage that a task reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputStage {
    /// The stage.
    pub stage: StageId,
    /// The workers that hold partitions of it.
    pub workers: Vec<WorkerRef>,
    /// Task number, execution, and index into `workers`, in the order in which they are read.
    pub winners: Vec<(u32, ExecutionId, u32)>,
}

/// What a worker says of itself in every heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerState {
    /// The worker.
    pub id: WorkerId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// `host:port` of its Flight server.
    pub flight: String,
    /// The host it runs on.
    pub host: String,
    /// Whose tasks it runs.
    #[serde(
        default = "QueueName::only_default",
        skip_serializing_if = "QueueName::is_only_default"
    )]
    pub queues: Vec<QueueName>,
    /// Tasks it runs at once.
    pub slots: u32,
    /// Memory for tasks.
    pub memory_bytes: u64,
    /// Memory planned for the tasks that run now.
    pub memory_used_bytes: u64,
    /// Bytes of partitions in memory and on disk.
    pub stored_bytes: u64,
    /// What runs now.
    pub running: Vec<Running>,
    /// The jobs it coordinates.
    pub coordinates: Vec<JobId>,
    /// Whether it takes no new task.
    pub draining: bool,
    /// Tasks ended well since it started.
    pub succeeded: u64,
    /// Tasks ended otherwise since it started.
    pub failed: u64,
    /// Names of the operations it knows.
    pub operations: Vec<String>,
    /// The version of the program.
    pub version: String,
    /// Its own clock when it wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
    /// The disk of its store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<StoreDisk>,
}

impl WorkerState {
    /// Tells whether it takes jobs and tasks of a queue.
    #[must_use]
    pub fn serves(&self, queue: &QueueName) -> bool {
        !self.draining && self.queues.contains(queue)
    }
}

/// The disk of a worker's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreDisk {
    /// Bytes that are free on it, whoever may use them.
    pub free_bytes: u64,
    /// Bytes that the store uses of it.
    pub used_bytes: u64,
    /// Bytes that the store may use of it.
    pub limit_bytes: u64,
}

/// What the partition store of a worker holds of one run of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRun {
    /// The job.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
    /// The run.
    pub execution: ExecutionId,
    /// The numbers of its partitions, ascending.
    pub partitions: Vec<u32>,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// A run of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The job.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
    /// The run.
    pub execution: ExecutionId,
    /// Which try of the task it is.
    #[serde(default)]
    pub attempt: Attempt,
    /// How long it has been running, in milliseconds.
    #[serde(default)]
    pub elapsed_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OperationName;

    #[test]
    fn the_message_of_a_small_task_is_small() {
        let message = TaskMessage {
            job: JobId::new("0".repeat(32)).unwrap(),
            seed: u64::MAX,
            task: TaskId {
                stage: StageId(0),
                index: 9_999,
            },
            attempt: Attempt(0),
            priority: Priority::Normal,
            work: StageWork::Custom {
                operation: OperationName::new("noop").unwrap(),
            },
            params: b"{}".to_vec(),
            inputs: TaskInputs::Here(Vec::new()),
            memory_bytes: 1 << 20,
            timeout_ms: None,
        };
        let bytes = crate::wire::encode(&message).unwrap();
        // `benches/queue.rs` publishes raw messages of as many bytes.
        assert_eq!(bytes.len(), 185);
        assert_eq!(crate::wire::decode::<TaskMessage>(&bytes).unwrap(), message);
    }

    #[test]
    fn the_id_of_a_tasks_message_is_read_as_it_is_written() {
        let id = TaskMessageId {
            job: JobId::new("a-b").unwrap(),
            seed: 0xbeef,
            task: TaskId {
                stage: StageId(3),
                index: 41,
            },
            attempt: Attempt(2),
        };
        assert_eq!(id.to_string(), "a-b.beef.3.41.2");
        assert_eq!(TaskMessageId::parse("a-b.beef.3.41.2"), Some(id));
        for other in [
            "",
            "job.a.beef",
            "a.beef.3.41",
            "a.beef.3.41.2.1",
            "a.x.3.41.2",
            "a.1.3.41.-2",
        ] {
            assert_eq!(TaskMessageId::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_message_of_a_later_version_is_told_from_a_broken_one() {
        let bytes = crate::wire::encode(&JobMessage {
            job: JobId::new("a").unwrap(),
        })
        .unwrap();
        let mut later = bytes.to_vec();
        later[0] = crate::wire::WIRE_VERSION + 1;
        let error = crate::wire::decode::<JobMessage>(&later).unwrap_err();
        assert!(matches!(error, crate::wire::Error::Version { .. }));
        let error = crate::wire::decode::<JobMessage>(&bytes[..bytes.len() - 1]).unwrap_err();
        assert!(matches!(error, crate::wire::Error::Decode { .. }));
        assert!(matches!(
            crate::wire::decode::<JobMessage>(&[]),
            Err(crate::wire::Error::Empty)
        ));
    }
}
