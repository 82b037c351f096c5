//! The side of the board that faces the queue: what is published, when, and what is still asked for.

use super::Board;
use super::stage::Stage;
use crate::ids::{StageId, TaskId};
use crate::job::command::Command;
use crate::time::Timestamp;

/// While so many tasks wait out their backoff, no new task is begun: a source that is down would
/// otherwise collect every task of the job among the waiting ones, and a timer for each.
const DELAYED_MAX: usize = 8_192;

impl Board {
    /// Counts in the tasks whose wait is over.
    pub(in crate::job) fn wake(&mut self, at: Timestamp) {
        while let Some((moment, task)) = self.delayed.first().copied() {
            if moment > at {
                break;
            }
            self.delayed.pop_first();
            self.count_due(task.stage);
        }
    }

    /// Publishes what the window has room for; of stages that opened again, asks again for what was asked.
    pub(in crate::job) fn refill(&mut self, at: Timestamp, commands: &mut Vec<Command>) {
        for number in std::mem::take(&mut self.reopened) {
            if let Some(stage) = self.stage(number) {
                commands.extend(asked_of(number, stage));
            }
        }
        let mut from = StageId(0);
        while self.active < self.window.size() {
            let Some(number) = self.ready.range(from..).next().copied() else {
                return;
            };
            let fresh = self.delayed.len() < DELAYED_MAX;
            let Some(stage) = self.stage_mut(number) else {
                return;
            };
            match stage.take(fresh) {
                Some(index) => {
                    let task = TaskId {
                        stage: number,
                        index,
                    };
                    self.publish(task, at, at, commands);
                }
                None => {
                    if !stage.has_work() {
                        self.ready.remove(&number);
                    }
                    from = StageId(number.0.saturating_add(1));
                }
            }
        }
    }

    /// Puts a task on the queue, not before a moment. Of a blocked stage it is only noted: it will be asked
    /// for when the stage opens.
    pub(super) fn publish(
        &mut self,
        task: TaskId,
        not_before: Timestamp,
        at: Timestamp,
        commands: &mut Vec<Command>,
    ) {
        let Some(record) = self.task_mut(task) else {
            return;
        };
        record.publish(not_before);
        if let Some(stage) = self.stage_mut(task.stage) {
            stage.published += 1;
        }
        if not_before > at {
            self.delayed.insert((not_before, task));
        } else {
            self.count_due(task.stage);
        }
        commands.extend(self.ask(task, not_before));
    }

    /// Takes a task from among the published ones; nothing when it is not there.
    pub(super) fn unpublish(&mut self, task: TaskId) {
        let Some(record) = self.task_mut(task) else {
            return;
        };
        let Some(moment) = record.not_before() else {
            return;
        };
        record.unpublish();
        self.doubled.remove(&task);
        let was_due = !self.delayed.remove(&(moment, task));
        let Some(stage) = self.stage_mut(task.stage) else {
            return;
        };
        stage.published -= 1;
        if was_due {
            stage.due -= 1;
            let open = stage.is_open();
            self.active -= u32::from(open);
        }
    }

    /// Returns a command for every task that is asked for, not answered, and can be run now.
    pub(in crate::job) fn asked(&self) -> impl Iterator<Item = Command> {
        let stages = (0..).map(StageId).zip(&self.stages);
        stages.flat_map(|(number, stage)| asked_of(number, stage))
    }

    fn ask(&self, task: TaskId, not_before: Timestamp) -> Option<Command> {
        let open = self.stage(task.stage)?.is_open();
        let attempt = self.task(task)?.attempt;
        open.then_some(Command::Publish {
            task,
            attempt,
            not_before,
        })
    }

    fn count_due(&mut self, number: StageId) {
        if let Some(stage) = self.stage_mut(number) {
            stage.due += 1;
            let open = stage.is_open();
            self.active += u32::from(open);
        }
    }

    /// Notes that one more input of a stage is not complete.
    pub(super) fn block(&mut self, number: StageId) {
        if let Some(stage) = self.stage_mut(number) {
            stage.blocked += 1;
            if stage.blocked == 1 {
                let due = stage.due;
                self.active -= due;
            }
        }
    }

    /// Notes that one more input of a stage is complete.
    pub(super) fn unblock(&mut self, number: StageId) {
        if let Some(stage) = self.stage_mut(number) {
            stage.blocked -= 1;
            if stage.is_open() {
                let due = stage.due;
                self.active += due;
                self.reopened.push(number);
            }
        }
    }
}

/// Returns a command for every task of a stage that is asked for and not answered, none while the stage is blocked.
///
/// It looks at every task that was ever published: for a stage that opens again, and for a log that was replayed.
fn asked_of(number: StageId, stage: &Stage) -> impl Iterator<Item = Command> {
    let begun = if stage.is_open() && stage.published > 0 {
        stage.tasks.as_slice()
    } else {
        &[]
    };
    (0..).zip(begun).filter_map(move |(index, record)| {
        Some(Command::Publish {
            task: TaskId {
                stage: number,
                index,
            },
            attempt: record.attempt,
            not_before: record.not_before()?,
        })
    })
}
