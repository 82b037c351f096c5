//! What the worker does now: for heartbeats, metrics and signals.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::ids::{Attempt, ExecutionId, JobId, TaskId};
use crate::wire::Running;

/// What a worker does now, shared by its parts.
#[derive(Debug, Clone, Default)]
pub struct Activity {
    inner: Arc<Inner>,
}

/// A run under way.
#[derive(Debug)]
struct Run {
    job: JobId,
    task: TaskId,
    attempt: Attempt,
    since: Instant,
    /// Tells it to stop.
    cancelled: Arc<AtomicBool>,
}

type RunningMap = BTreeMap<ExecutionId, Run>;

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

    /// Counts a run as running from now on; `cancelled` is set when it is to stop.
    pub(crate) fn start(
        &self,
        (job, task, attempt): (JobId, TaskId, Attempt),
        execution: ExecutionId,
        cancelled: Arc<AtomicBool>,
    ) -> RunningGuard {
        let run = Run {
            job,
            task,
            attempt,
            since: Instant::now(),
            cancelled,
        };
        self.running_map(|running| running.insert(execution, run));
        RunningGuard {
            activity: self.clone(),
            execution,
        }
    }

    /// Tells every running task of a job to stop.
    pub(crate) fn cancel(&self, job: &JobId) {
        self.running_map(|running| {
            for run in running.values().filter(|run| run.job == *job) {
                run.cancelled.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Tells the runs of a task, up to an attempt, to stop.
    pub(crate) fn cancel_task(&self, job: &JobId, task: TaskId, attempt: Attempt) {
        let same = |run: &&Run| run.job == *job && run.task == task && run.attempt <= attempt;
        self.running_map(|running| {
            for run in running.values().filter(same) {
                run.cancelled.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Lists what runs.
    #[must_use]
    pub fn running(&self) -> Vec<Running> {
        self.running_map(|running| {
            let entry = |(execution, run): (&ExecutionId, &Run)| Running {
                job: run.job.clone(),
                task: run.task,
                execution: *execution,
                attempt: run.attempt,
                elapsed_ms: u64::try_from(run.since.elapsed().as_millis()).unwrap_or(u64::MAX),
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
