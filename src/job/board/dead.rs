//! Tasks that are not tried again: the rest of the job goes on without them, as far as it can.

use super::Board;
use super::stage::Stage;
use crate::ids::TaskId;
use crate::job::command::Command;
use crate::job::event::Outcome;
use crate::job::failure::Failure;

/// So many tasks may be dead before the job fails at once: then it is not the tasks that are broken.
const DEAD_MAX: usize = 1_000;

impl Board {
    /// Notes that a published task is not tried again in this life of the job. Returns how the job fails, if too many
    /// are dead.
    pub(super) fn die(
        &mut self,
        task: TaskId,
        cause: Failure,
        commands: &mut Vec<Command>,
    ) -> Option<Failure> {
        self.unpublish(task);
        let stage = self.stage_mut(task.stage)?;
        stage.tasks.get_mut(task.index as usize)?.die();
        stage.dead += 1;
        self.dead.insert(task, cause);
        commands.push(Command::Bury { task });
        if self.dead.len() < DEAD_MAX {
            return None;
        }
        self.failure_of_dead().map(|(_, failure)| failure)
    }

    /// Notes that a task has ended well, in case that it was dead: a run that was given up lived.
    pub(super) fn revive(&mut self, task: TaskId) {
        if self.dead.remove(&task).is_some()
            && let Some(stage) = self.stage_mut(task.stage)
        {
            stage.dead -= 1;
        }
    }

    /// Lists the dead tasks, and why each is dead.
    pub(in crate::job) fn dead(&self) -> impl Iterator<Item = (TaskId, &Failure)> {
        self.dead.iter().map(|(task, cause)| (*task, cause))
    }

    /// Returns how the job ends, if all that is left are dead tasks and those that wait for them.
    pub(in crate::job) fn dead_end(&self) -> Option<Outcome> {
        if !self.stages.iter().all(Stage::is_at_rest) {
            return None;
        }
        let (task, failure) = self.failure_of_dead()?;
        Some(Outcome::Failed {
            task: Some(task),
            failure,
        })
    }

    fn failure_of_dead(&self) -> Option<(TaskId, Failure)> {
        let (task, cause) = self.dead.first_key_value()?;
        let lie = match self.dead.len() - 1 {
            0 => "it lies in the dead letters".to_owned(),
            1 => "it and another one lie in the dead letters".to_owned(),
            others => format!("it and {others} others lie in the dead letters"),
        };
        let failure = Failure {
            message: format!(
                "{}; {lie} (`swath dead list`), and can be run again after a fix (`swath dead replay`)",
                cause.message
            ),
            ..cause.clone()
        };
        Some((*task, failure))
    }
}
