//! Every task of a job: which stand, which are on the queue, which wait, and for what.
//!
//! A stage is *complete* when each of its tasks has a standing winner, and *settled* when it is complete or when
//! nobody needs it any more: each of its tasks ended well once, and all its readers are settled. A stage is
//! *blocked* while a stage that it reads is not complete; only tasks of stages that are not blocked are
//! published. When a stage is blocked again, since a worker died, its tasks on the queue stay there: they
//! come back as lost inputs or succeed, and once the stage is open they are asked for again, since nobody
//! knows whether a coordinator could still publish them.
//!
//! A task that used up its attempts by panics or timeouts, or that broke its workers, is *dead*: the others go on as far
//! as they can without it, and then the job fails.
//!
//! [`stage`] and [`task`] hold the records, `publish` the queue side, `answer` what workers say,
//! `loss` what happens when results are gone.

mod answer;
mod dead;
mod loss;
mod publish;
mod speculate;
mod stage;
mod task;
mod workers;

use std::collections::{BTreeMap, BTreeSet};

use stage::Stage;
use task::Task;
use workers::Workers;

use super::event::StageShape;
use super::failure::Failure;
use super::progress::StageProgress;
use super::window::Window;
use crate::ids::{ExecutionId, StageId, TaskId, WorkerRef};
use crate::time::Timestamp;

/// All tasks of a planned job.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Board {
    stages: Vec<Stage>,
    workers: Workers,
    /// Tasks that were published and not answered, and whose moment is still to come.
    delayed: BTreeSet<(Timestamp, TaskId)>,
    /// Those whose moment has come and whose stage is not blocked: what fills the window.
    active: u32,
    /// Stages that may have a task to publish; each is looked at before it is believed.
    ready: BTreeSet<StageId>,
    /// Stages that ceased to be blocked during this event.
    reopened: Vec<StageId>,
    /// Tasks that came back without their own fault, and how often.
    exceptions: BTreeMap<TaskId, Exception>,
    /// Published tasks that have a second message on the queue.
    doubled: BTreeSet<TaskId>,
    /// The tasks that are dead, and why.
    dead: BTreeMap<TaskId, Failure>,
    window: Window,
}

/// What happened to a task without its own fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Exception {
    /// How often it was given back.
    returns: u32,
    /// How often a reader missed its partitions.
    losses: u32,
}

impl Board {
    /// Lays out the tasks of stages that have passed [`super::shape::check`].
    pub(super) fn new(shapes: &[StageShape], slots: u32) -> Self {
        let mut stages: Vec<Stage> = shapes.iter().map(Stage::new).collect();
        for (number, shape) in (0..).map(StageId).zip(shapes) {
            let mut blocked = 0;
            for input in &shape.inputs {
                if let Some(input) = stages.get_mut(input.0 as usize) {
                    input.readers.push(number);
                    blocked += u32::from(!input.is_complete());
                }
            }
            if let Some(stage) = stages.get_mut(number.0 as usize) {
                stage.blocked = blocked;
            }
        }
        let mut board = Self {
            stages,
            workers: Workers::default(),
            delayed: BTreeSet::new(),
            active: 0,
            ready: BTreeSet::new(),
            reopened: Vec::new(),
            exceptions: BTreeMap::new(),
            doubled: BTreeSet::new(),
            dead: BTreeMap::new(),
            window: Window::default(),
        };
        board.window.set_slots(slots);
        board.settle();
        board
    }

    /// Notes how many slots the cluster has.
    pub(super) const fn set_slots(&mut self, slots: u32) {
        self.window.set_slots(slots);
    }

    /// Tells whether nothing is left to do.
    pub(super) fn is_settled(&self) -> bool {
        self.stages.iter().all(|stage| stage.settled)
    }

    /// Tells whether any task was heard of.
    pub(super) fn is_under_way(&self) -> bool {
        self.stages
            .iter()
            .any(|stage| stage.ever > 0 || stage.retried > 0 || stage.failed > 0)
    }

    /// Forgets what is still asked for: the job is decided.
    pub(super) fn close(&mut self) {
        self.delayed = BTreeSet::new();
        self.ready = BTreeSet::new();
        self.reopened = Vec::new();
        self.doubled = BTreeSet::new();
        self.active = 0;
        for stage in &mut self.stages {
            stage.close();
        }
    }

    /// Asks for all that has no winner again, each with its next attempt and a clean record. `dropped` says that the
    /// partitions of the job are gone: what is still to be read is made again. The board was closed before.
    pub(super) fn reopen(&mut self, dropped: bool) {
        self.exceptions = BTreeMap::new();
        self.dead = BTreeMap::new();
        for stage in &mut self.stages {
            stage.reopen();
        }
        self.settle();
        if dropped {
            self.lose_needed();
        }
    }

    /// Returns the run whose result stands for a task.
    pub(super) fn winner(&self, task: TaskId) -> Option<(&WorkerRef, ExecutionId)> {
        let (worker, execution) = self.task(task)?.winner()?;
        Some((self.workers.get(worker)?, execution))
    }

    /// Lists the workers that were met and are not known to be lost.
    pub(super) fn holders(&self) -> impl Iterator<Item = &WorkerRef> {
        self.workers.living()
    }

    /// Returns what a person may know of each stage.
    pub(super) fn progress(&self, shapes: &[StageShape]) -> Vec<StageProgress> {
        let named = shapes.iter().zip(&self.stages);
        named
            .map(|(shape, stage)| stage.progress(&shape.name))
            .collect()
    }

    fn stage(&self, number: StageId) -> Option<&Stage> {
        self.stages.get(number.0 as usize)
    }

    fn stage_mut(&mut self, number: StageId) -> Option<&mut Stage> {
        self.stages.get_mut(number.0 as usize)
    }

    /// Returns the record of a task that was published at least once.
    fn task(&self, task: TaskId) -> Option<&Task> {
        self.stage(task.stage)?.tasks.get(task.index as usize)
    }

    fn task_mut(&mut self, task: TaskId) -> Option<&mut Task> {
        self.stage_mut(task.stage)?
            .tasks
            .get_mut(task.index as usize)
    }

    /// Counts the bytes that the tasks take on the heap, what is reserved for more included.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        // A node of a B-tree holds 11 entries and is at least half full but for the root.
        fn tree<T>(entries: usize) -> usize {
            entries * 2 * (size_of::<T>() + 4)
        }
        let stage = |stage: &Stage| {
            stage.tasks.capacity() * size_of::<Task>() + tree::<u32>(stage.again.len())
        };
        self.stages.iter().map(stage).sum::<usize>()
            + self.stages.capacity() * size_of::<Stage>()
            + tree::<(Timestamp, TaskId)>(self.delayed.len())
            + tree::<(TaskId, Exception)>(self.exceptions.len())
    }
}
