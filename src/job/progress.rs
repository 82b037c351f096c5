//! What a person may know of a job at a glance.

use super::event::Outcome;
use super::failure::Failure;
use crate::time::Timestamp;

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Its log holds no submission.
    Unknown,
    /// It waits for its plan.
    Submitted,
    /// It is planned, and no task has been heard of yet.
    Planned,
    /// Its tasks run.
    Running,
    /// It is decided how it ends, and that is being recorded.
    Finishing,
    /// It ended well.
    Succeeded,
    /// It ended with a failure.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl JobState {
    /// Returns the word for tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Submitted => "submitted",
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Finishing => "finishing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a person may know of a job at a glance. Costs as much as the job has stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Where the job is in its life.
    pub state: JobState,
    /// When it was submitted.
    pub submitted_at: Option<Timestamp>,
    /// The moment before which it is not to begin.
    pub start_at: Option<Timestamp>,
    /// Why the last try to plan it failed, while it waits for the next one.
    pub plan_failure: Option<Failure>,
    /// When it was planned.
    pub planned_at: Option<Timestamp>,
    /// When its end was recorded.
    pub finished_at: Option<Timestamp>,
    /// How it ended, once that is recorded; after a retry, how the last life of it did.
    pub outcome: Option<Outcome>,
    /// How often it was retried.
    pub retries: u32,
    /// Its stages, in the order of the plan.
    pub stages: Vec<StageProgress>,
}

impl Progress {
    /// Returns how many tasks the job has.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.stages.iter().map(|stage| u64::from(stage.tasks)).sum()
    }

    /// Returns how many tasks have a result that stands.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.stages.iter().map(|stage| u64::from(stage.done)).sum()
    }

    /// Returns how many tasks are on the queue or run.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.stages
            .iter()
            .map(|stage| u64::from(stage.published))
            .sum()
    }

    /// Returns how many tries followed a first one, for whatever cause.
    #[must_use]
    pub fn retried(&self) -> u64 {
        self.stages.iter().map(|stage| stage.retried).sum()
    }

    /// Returns how many tries failed by the task's own fault.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.stages.iter().map(|stage| stage.failed).sum()
    }

    /// Returns how many tasks are dead: they lie in the dead letters.
    #[must_use]
    pub fn dead(&self) -> u64 {
        self.stages.iter().map(|stage| u64::from(stage.dead)).sum()
    }

    /// Returns the bytes of all partitions that were stored.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stages
            .iter()
            .fold(0, |sum, stage| sum.saturating_add(stage.stored_bytes))
    }
}

/// What a person may know of a stage at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageProgress {
    /// A word for tables, such as `ndvi` or `commit`.
    pub name: String,
    /// Number of tasks; `tasks - done - published` wait.
    pub tasks: u32,
    /// Tasks with a result that stands; it falls when a worker with needed results is lost.
    pub done: u32,
    /// Tasks that were put on the queue, or wait there for their next try, and have not been answered.
    pub published: u32,
    /// Tries that followed a first one, for whatever cause.
    pub retried: u64,
    /// Tries that failed by the task's own fault.
    pub failed: u64,
    /// Tasks that are dead: see [`super::FailureClass::Poison`].
    pub dead: u32,
    /// Bytes of all partitions that were stored.
    pub stored_bytes: u64,
    /// Time that the winning runs took, summed, in microseconds.
    pub run_us: u64,
}
