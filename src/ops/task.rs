//! Operations of task queues: what a program implements, and the built-in ones for trying things out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exchange::{self, PartitionKey, PartitionStore};
use crate::ids::{Attempt, ExecutionId, JobId, OperationName, TaskId};
use crate::job::FailureClass;
use crate::spec::{RetryPolicy, TASK_TIMEOUT};

/// An operation of a task queue: typed parameters in, a value (and partitions, if it likes) out.
///
/// It runs on the worker's CPU pool, one call a task, and may run more than once for one task: on a retry,
/// or when a worker died between the work and its record. A panic fails the attempt, not the worker.
pub trait Operation: Send + Sync + 'static {
    /// What a task is given, decoded from JSON.
    type Params: DeserializeOwned;
    /// What a task returns, encoded as JSON.
    type Output: Serialize;

    /// Returns the name under which tasks ask for it.
    fn name(&self) -> &'static str;

    /// Returns one line for `swath operations`.
    fn summary(&self) -> &'static str;

    /// Tells whether a second run of a task may begin while a slow one goes on; default yes. Say no when a run is dear, or two
    /// at once would disturb each other. It is no promise: a worker that is taken for dead may still run.
    fn may_run_twice(&self) -> bool {
        true
    }

    /// Says how a task that failed is tried again, where its job does not; default [`RetryPolicy::default`].
    fn retry(&self) -> Option<RetryPolicy> {
        None
    }

    /// Says the longest that one try of a task may run, where its job does not; default [`TASK_TIMEOUT`]. One that takes longer is
    /// told to stop ([`TaskContext::is_cancelled`]) and charged.
    fn task_timeout(&self) -> Duration {
        TASK_TIMEOUT
    }

    /// Does the work of one task.
    ///
    /// # Errors
    /// [`OperationError::Retry`] when another try may succeed, [`OperationError::Fatal`] when none can.
    fn run(
        &self,
        params: Self::Params,
        context: &TaskContext,
    ) -> Result<Self::Output, OperationError>;
}

/// Says why an operation did not do a task, and so what happens next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Another try may succeed.
    #[error("{message}")]
    Retry {
        /// What happened.
        message: String,
        /// The shortest wait before the next try.
        after: Option<Duration>,
    },
    /// No try can succeed.
    #[error("{message}")]
    Fatal {
        /// What happened.
        message: String,
    },
    /// The job was cancelled while the task ran.
    #[error("cancelled")]
    Cancelled,
}

impl OperationError {
    /// Says what should be done.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Retry { after, .. } => FailureClass::Retry {
                after_ms: after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            },
            Self::Fatal { .. } => FailureClass::Fatal,
            Self::Cancelled => FailureClass::Cancelled,
        }
    }
}

/// Tells a running task who it is, whether to stop, and takes its partitions.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// The job.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
    /// Which try of it.
    pub attempt: Attempt,
    /// Which run of the try.
    pub execution: ExecutionId,
    /// Where its partitions go.
    pub store: Arc<PartitionStore>,
    /// Set when the job is cancelled, or the try timed out.
    pub cancelled: Arc<AtomicBool>,
}

impl TaskContext {
    /// Tells whether the task should stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Stores a partition of this run.
    ///
    /// # Errors
    /// When the store is full, or the partition was written before.
    pub fn store_partition(
        &self,
        partition: u32,
        schema: SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<(), exchange::Error> {
        let mut writer = self.store.writer(self.partition_key(partition), schema)?;
        for batch in batches {
            writer.write(batch)?;
        }
        writer.finish().map(drop)
    }

    /// Returns the key of a partition of this run.
    #[must_use]
    pub fn partition_key(&self, partition: u32) -> PartitionKey {
        PartitionKey {
            job: self.job.clone(),
            task: self.task,
            execution: self.execution,
            partition,
        }
    }
}

/// An operation with its types erased, as a worker holds it.
trait Erased: Send + Sync {
    fn summary(&self) -> &'static str;
    fn may_run_twice(&self) -> bool;
    fn retry(&self) -> Option<RetryPolicy>;
    fn task_timeout(&self) -> Duration;
    fn call(&self, params: &[u8], context: &TaskContext) -> Result<Vec<u8>, OperationError>;
}

impl<O: Operation> Erased for O {
    fn summary(&self) -> &'static str {
        Operation::summary(self)
    }

    fn may_run_twice(&self) -> bool {
        Operation::may_run_twice(self)
    }

    fn retry(&self) -> Option<RetryPolicy> {
        Operation::retry(self)
    }

    fn task_timeout(&self) -> Duration {
        Operation::task_timeout(self)
    }

    fn call(&self, params: &[u8], context: &TaskContext) -> Result<Vec<u8>, OperationError> {
        let params = serde_json::from_slice(params).map_err(|error| OperationError::Fatal {
            message: format!("parameters of '{}' cannot be read: {error}", self.name()),
        })?;
        let output = self.run(params, context)?;
        serde_json::to_vec(&output).map_err(|error| OperationError::Fatal {
            message: format!("the result of '{}' cannot be written: {error}", self.name()),
        })
    }
}

/// The operations that a worker knows, by name.
#[derive(Clone)]
pub struct Registry {
    operations: BTreeMap<String, Arc<dyn Erased>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.operations.keys()).finish()
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::built_in()
    }
}

impl Registry {
    /// Returns the registry of the built-in operations: `noop`, `sleep` and `fail`.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            operations: BTreeMap::new(),
        }
        .with(Noop)
        .with(Sleep)
        .with(Fail)
    }

    /// Adds an operation; one of the same name is replaced.
    #[must_use]
    pub fn with<O: Operation>(mut self, operation: O) -> Self {
        self.operations
            .insert(operation.name().to_owned(), Arc::new(operation));
        self
    }

    /// Lists names and summaries.
    pub fn list(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.operations
            .iter()
            .map(|(name, operation)| (name.as_str(), operation.summary()))
    }

    /// Tells whether a second run of a task of an operation may begin beside a slow one; not of one that is not known.
    #[must_use]
    pub fn may_run_twice(&self, name: &OperationName) -> bool {
        let operation = self.operations.get(name.as_str());
        operation.is_some_and(|operation| operation.may_run_twice())
    }

    /// Returns how an operation says that its tasks are tried again, if it does.
    #[must_use]
    pub fn retry(&self, name: &OperationName) -> Option<RetryPolicy> {
        self.operations.get(name.as_str())?.retry()
    }

    /// Returns how long one try of a task of an operation may run; of one that is not known, [`TASK_TIMEOUT`].
    #[must_use]
    pub fn task_timeout(&self, name: &OperationName) -> Duration {
        let operation = self.operations.get(name.as_str());
        operation.map_or(TASK_TIMEOUT, |operation| operation.task_timeout())
    }

    /// Calls an operation with parameters as JSON; returns its result as JSON.
    ///
    /// # Errors
    /// When there is no such operation, the parameters do not fit, or the operation fails.
    pub fn call(
        &self,
        name: &OperationName,
        params: &[u8],
        context: &TaskContext,
    ) -> Result<Vec<u8>, OperationError> {
        let Some(operation) = self.operations.get(name.as_str()) else {
            let known = self
                .operations
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            let message =
                format!("this worker does not know the operation '{name}'; it knows {known}");
            return Err(OperationError::Fatal { message });
        };
        operation.call(params, context)
    }
}

/// Does nothing, and returns its parameters' `value` if there is one.
struct Noop;

#[derive(Deserialize)]
struct NoopParams {
    #[serde(default)]
    value: Option<serde_json::Value>,
}

impl Operation for Noop {
    type Params = NoopParams;
    type Output = Option<serde_json::Value>;

    fn name(&self) -> &'static str {
        "noop"
    }

    fn summary(&self) -> &'static str {
        "does nothing; returns `value` if given"
    }

    fn run(&self, params: NoopParams, _: &TaskContext) -> Result<Self::Output, OperationError> {
        Ok(params.value)
    }
}

/// Sleeps for `ms` milliseconds, or until the job is cancelled.
struct Sleep;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SleepParams {
    ms: u64,
}

impl Operation for Sleep {
    type Params = SleepParams;
    type Output = ();

    fn name(&self) -> &'static str {
        "sleep"
    }

    fn summary(&self) -> &'static str {
        "sleeps for `ms` milliseconds, holding its slot"
    }

    fn run(&self, params: SleepParams, context: &TaskContext) -> Result<(), OperationError> {
        let mut left = Duration::from_millis(params.ms);
        while !left.is_zero() {
            if context.is_cancelled() {
                return Err(OperationError::Cancelled);
            }
            let step = left.min(Duration::from_millis(50));
            std::thread::sleep(step);
            left = left.saturating_sub(step);
        }
        Ok(())
    }
}

/// Fails: the first `times` tries (default all), with `kind` `retry` (default), `fatal`, `panic`, or `abort`, which kills its
/// worker.
struct Fail;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailParams {
    #[serde(default = "always")]
    times: u32,
    #[serde(default)]
    kind: FailKind,
    #[serde(default)]
    message: Option<String>,
}

fn always() -> u32 {
    u32::MAX
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum FailKind {
    #[default]
    Retry,
    Fatal,
    Panic,
    Abort,
}

impl Operation for Fail {
    type Params = FailParams;
    type Output = ();

    fn name(&self) -> &'static str {
        "fail"
    }

    fn summary(&self) -> &'static str {
        "fails the first `times` tries (default all) as `kind`: retry, fatal, panic, or abort, which kills the worker"
    }

    #[expect(
        clippy::panic,
        reason = "kind `panic` exists to show that a worker survives one"
    )]
    fn run(&self, params: FailParams, context: &TaskContext) -> Result<(), OperationError> {
        if context.attempt.0 >= params.times {
            return Ok(());
        }
        let message = params
            .message
            .unwrap_or_else(|| "failed as it was asked to".to_owned());
        match params.kind {
            FailKind::Retry => Err(OperationError::Retry {
                message,
                after: None,
            }),
            FailKind::Fatal => Err(OperationError::Fatal { message }),
            FailKind::Panic => panic!("{message}"),
            FailKind::Abort => std::process::abort(),
        }
    }
}
