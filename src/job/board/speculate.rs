//! Second runs beside those that take too long.

use super::Board;
use crate::ids::{Attempt, TaskId};
use crate::job::command::Command;

impl Board {
    /// Asks for a second run of an attempt that is published, of a stage that can run; once for each attempt.
    pub(in crate::job) fn double(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        commands: &mut Vec<Command>,
    ) {
        let published = self.task(task).is_some_and(|it| it.awaits(attempt));
        let open = self.stage(task.stage).is_some_and(|stage| stage.is_open());
        if published && open && self.doubled.insert(task) {
            commands.push(Command::PublishAgain { task, attempt });
        }
    }

    /// Tells whether a published task has a second message on the queue.
    pub(in crate::job) fn is_doubled(&self, task: TaskId) -> bool {
        self.doubled.contains(&task)
    }

    /// Returns a command for each second message that is not answered, and could be run now.
    pub(in crate::job) fn asked_twice(&self) -> impl Iterator<Item = Command> {
        self.doubled.iter().filter_map(|task| {
            let open = self.stage(task.stage)?.is_open();
            let attempt = self.task(*task)?.attempt;
            let task = *task;
            open.then_some(Command::PublishAgain { task, attempt })
        })
    }
}
