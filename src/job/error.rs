//! The failures that the machine itself finds; all others come to it in events.

use super::failure::{Failure, FailureClass};
use super::shape::{EDGES_MAX, STAGES_MAX, TASKS_MAX};
use crate::ids::{StageId, TaskId, WorkerId, WorkerRef};

/// Says why the machine ends a job by its own judgement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The plan has more stages than `STAGES_MAX`.
    #[error(
        "the plan has {stages} stages, at most {STAGES_MAX} are possible; cut the work coarser"
    )]
    TooManyStages {
        /// How many it has.
        stages: usize,
    },
    /// The plan has more tasks than `TASKS_MAX`.
    #[error("the plan has {tasks} tasks, at most {TASKS_MAX} are possible; cut the work coarser")]
    TooManyTasks {
        /// How many it has.
        tasks: u64,
    },
    /// The stages of the plan name more inputs than `EDGES_MAX` in all.
    #[error(
        "the stages of the plan read {edges} stages in all, at most {EDGES_MAX} are possible; cut the work coarser"
    )]
    TooManyInputs {
        /// How many they name.
        edges: usize,
    },
    /// A stage reads itself or a later one, so it could never start.
    #[error(
        "stage {stage} of the plan reads stage {input}, which does not come before it; this is a mistake of the planner, please report it"
    )]
    InputNotBefore {
        /// The stage.
        stage: StageId,
        /// What it claims to read.
        input: StageId,
    },
    /// The job passed its deadline.
    #[error(
        "the job did not end within {limit_ms} ms of its submission; raise the deadline, or add workers"
    )]
    Deadline {
        /// The limit.
        limit_ms: u64,
    },
    /// Those who took the job up died one after the other, and it got no further.
    #[error(
        "{} workers took the job up and ended before it got any further: {}; see their logs for what it did to them, then `swath retry` it",
        workers.len(), names(workers)
    )]
    KillsWhoCoordinatesIt {
        /// Who they were.
        workers: Vec<WorkerId>,
    },
    /// The partitions of a task vanish each time they are made.
    #[error(
        "the partitions of task {producer} were made and lost {losses} times, the last time on worker {worker} as task {reader} read them; check that worker's memory, disk and network"
    )]
    PartitionKeepsVanishing {
        /// The task that writes them.
        producer: TaskId,
        /// The task that missed them last.
        reader: TaskId,
        /// How often they were lost.
        losses: u32,
        /// Who held them last.
        worker: Box<WorkerRef>,
    },
    /// A task was given back again and again without its own fault.
    #[error(
        "task {task} was given back {returns} times without a fault of its own; check that the workers stay up and reach each other"
    )]
    TaskKeepsReturning {
        /// The task.
        task: TaskId,
        /// How often.
        returns: u32,
    },
}

impl Error {
    /// Returns the stable name of the failure for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooManyStages { .. }
            | Self::TooManyTasks { .. }
            | Self::TooManyInputs { .. }
            | Self::InputNotBefore { .. } => "malformed-plan",
            Self::Deadline { .. } => "deadline",
            Self::KillsWhoCoordinatesIt { .. } => "poison-job",
            Self::PartitionKeepsVanishing { .. } => "partition-keeps-vanishing",
            Self::TaskKeepsReturning { .. } => "task-keeps-returning",
        }
    }

    /// Says what should be done: nothing but to tell the person, since the machine has already tried.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Deadline { .. } => FailureClass::Timeout,
            Self::KillsWhoCoordinatesIt { .. } => FailureClass::Poison,
            Self::TooManyStages { .. }
            | Self::TooManyTasks { .. }
            | Self::TooManyInputs { .. }
            | Self::InputNotBefore { .. }
            | Self::PartitionKeepsVanishing { .. }
            | Self::TaskKeepsReturning { .. } => FailureClass::Fatal,
        }
    }

    /// Returns the failure with which the job ends.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure::of(self.class(), self.code(), self)
    }
}

fn names(workers: &[WorkerId]) -> String {
    let names: Vec<&str> = workers.iter().map(WorkerId::as_str).collect();
    names.join(", ")
}
