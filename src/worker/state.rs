//! What the worker does now: for heartbeats, metrics and signals.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ids::{ExecutionId, JobId, TaskId};
use crate::wire::Running;

/// What a worker does now, shared by its parts.
#[derive(Debug, Clone, Default)]
pub struct Activity {
    inner: Arc<Inner>,
}

/// The runs under way: whose they are, and the flag that tells them to stop.
type RunningMap = BTreeMap<ExecutionId, (JobId, TaskId, Arc<AtomicBool>)>;

#[derive(Debug, Default)]
struct Inner {
    running: Mutex<RunningMap>,
    succeeded: AtomicU64,
    failed: AtomicU64,
    draining: AtomicBool,
}

/// A run that counts as running while this lives.
#[derive(Debug)]
pub(crate) struct RunningGuard {
    activity: Activity,
    execution: ExecutionId,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.activity
            .running_map(|running| running.remove(&self.execution));
    }
}

impl Activity {
    fn running_map<T>(&self, change: impl FnOnce(&mut RunningMap) -> T) -> T {
        change(
            &mut self
                .inner
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Counts a run as running; `cancelled` is set when its job is released.
    pub(crate) fn start(
        &self,
        job: JobId,
        task: TaskId,
        execution: ExecutionId,
        cancelled: Arc<AtomicBool>,
    ) -> RunningGuard {
        self.running_map(|running| running.insert(execution, (job, task, cancelled)));
        RunningGuard {
            activity: self.clone(),
            execution,
        }
    }

    /// Tells every running task of a job to stop.
    pub(crate) fn cancel(&self, job: &JobId) {
        self.running_map(|running| {
            for (_, _, cancelled) in running.values().filter(|(of, ..)| of == job) {
                cancelled.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Lists what runs.
    #[must_use]
    pub fn running(&self) -> Vec<Running> {
        self.running_map(|running| {
            let entry =
                |(execution, (job, task, _)): (&ExecutionId, &(JobId, TaskId, _))| Running {
                    job: job.clone(),
                    task: *task,
                    execution: *execution,
                };
            running.iter().map(entry).collect()
        })
    }

    /// Counts a task that ended.
    pub(crate) fn count(&self, succeeded: bool) {
        let counter = if succeeded {
            &self.inner.succeeded
        } else {
            &self.inner.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many tasks ended well, and how many otherwise.
    #[must_use]
    pub fn ended(&self) -> (u64, u64) {
        (
            self.inner.succeeded.load(Ordering::Relaxed),
            self.inner.failed.load(Ordering::Relaxed),
        )
    }

    /// Says that the worker takes no new task.
    pub(crate) fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Tells whether the worker takes no new task.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Relaxed)
    }
}
