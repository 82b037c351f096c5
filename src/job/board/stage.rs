//! The record of one stage, and what follows from its own tasks alone.

use std::collections::BTreeSet;

use super::task::Task;
use crate::ids::StageId;
use crate::job::event::StageShape;
use crate::job::progress::StageProgress;

/// What is known of a stage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stage {
    /// Number of tasks.
    pub(super) size: u32,
    /// The stages that it reads.
    pub(super) inputs: Vec<StageId>,
    /// The stages that read it.
    pub(super) readers: Vec<StageId>,
    /// The tasks that were published at least once: the first of the stage, so that a plan costs nothing.
    pub(super) tasks: Vec<Task>,
    /// Those of `tasks` that wait to be published again.
    pub(super) again: BTreeSet<u32>,
    /// Inputs that are not complete.
    pub(super) blocked: u32,
    /// Tasks with a standing winner.
    pub(super) done: u32,
    /// Tasks that ever ended well.
    pub(super) ever: u32,
    /// Tasks whose standing winner is on a lost life of a worker, kept as nobody needs it.
    pub(super) stale: u32,
    /// Tasks that are dead.
    pub(super) dead: u32,
    /// Whether it is complete, or nobody needs it any more.
    pub(super) settled: bool,
    /// Tasks that were published and not answered.
    pub(super) published: u32,
    /// Those whose moment has come.
    pub(super) due: u32,
    /// Attempts that followed a first one.
    pub(super) retried: u64,
    /// Attempts that failed by the task's own fault.
    pub(super) failed: u64,
    /// Bytes that the winners stored.
    pub(super) stored_bytes: u64,
    /// Time that the winners took.
    pub(super) run_us: u64,
}

impl Stage {
    /// Makes the record of a stage of which nothing has happened.
    pub(super) fn new(shape: &StageShape) -> Self {
        Self {
            size: shape.tasks,
            inputs: shape.inputs.clone(),
            readers: Vec::new(),
            tasks: Vec::new(),
            again: BTreeSet::new(),
            blocked: 0,
            done: 0,
            ever: 0,
            stale: 0,
            dead: 0,
            settled: false,
            published: 0,
            due: 0,
            retried: 0,
            failed: 0,
            stored_bytes: 0,
            run_us: 0,
        }
    }

    /// Tells whether every task has a standing winner.
    pub(super) const fn is_complete(&self) -> bool {
        self.done == self.size
    }

    /// Tells whether every task ended well at least once.
    pub(super) const fn was_complete(&self) -> bool {
        self.ever == self.size
    }

    /// Tells whether its tasks may be published.
    pub(super) const fn is_open(&self) -> bool {
        self.blocked == 0
    }

    /// Tells whether all that can be done of it now is done: what is left is dead, or waits for what another stage makes.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.settled || !self.is_open() || self.done + self.dead == self.size
    }

    /// Tells whether a task waits that may be published.
    pub(super) fn has_work(&self) -> bool {
        self.is_open() && !self.settled && (self.has_fresh() || !self.again.is_empty())
    }

    /// Tells whether a task was never published.
    pub(super) fn has_fresh(&self) -> bool {
        self.tasks.len() < self.size as usize
    }

    /// Takes the next task to publish; a task that was never published only if `fresh` ones may go.
    pub(super) fn take(&mut self, fresh: bool) -> Option<u32> {
        if !self.has_work() {
            return None;
        }
        if let Some(index) = self.again.pop_first() {
            return Some(index);
        }
        if !fresh || !self.has_fresh() {
            return None;
        }
        let index = u32::try_from(self.tasks.len()).ok()?;
        self.tasks.push(Task::new());
        Some(index)
    }

    /// Turns a task to its next attempt, to be published as soon as may be.
    pub(super) fn wait_again(&mut self, index: u32) {
        if let Some(task) = self.tasks.get_mut(index as usize) {
            task.wait_again();
            self.again.insert(index);
            self.retried += 1;
        }
    }

    /// Forgets what is still asked for.
    pub(super) fn close(&mut self) {
        self.again = BTreeSet::new();
        self.published = 0;
        self.due = 0;
    }

    /// Turns every task without a winner to its next attempt; no task keeps a charge.
    pub(super) fn reopen(&mut self) {
        self.dead = 0;
        for (index, task) in (0..).zip(&mut self.tasks) {
            task.charged = 0;
            if task.winner().is_none() {
                task.wait_again();
                self.again.insert(index);
                self.retried += 1;
            }
        }
    }

    /// Returns what a person may know of it.
    pub(super) fn progress(&self, name: &str) -> StageProgress {
        StageProgress {
            name: name.to_owned(),
            tasks: self.size,
            done: self.done,
            published: self.published,
            retried: self.retried,
            failed: self.failed,
            dead: self.dead,
            stored_bytes: self.stored_bytes,
            run_us: self.run_us,
        }
    }
}
