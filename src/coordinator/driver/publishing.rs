//! Putting tasks on the queue, the first few of a job in the first lane.

use tracing::debug;

use super::Driver;
use crate::broker::{Lane, Message, Queue};
use crate::coordinator::{Error, publish};
use crate::ids::{Attempt, TaskId};

/// So many tasks of a job, or as many as there are slots, go first at a time: of another job that begins, no more lie before it.
const FIRST_TASKS: u32 = 16;

impl Driver<'_> {
    pub(super) async fn publish_due(&mut self) -> Result<(), Error> {
        if self.due.is_empty() {
            return Ok(());
        }
        let (spec, plan) = (self.spec().await?, self.plan().await?);
        let mut messages: Vec<Message> = Vec::with_capacity(self.due.len());
        for task in std::mem::take(&mut self.due) {
            let made = publish::task_message(
                self.job,
                &**self.broker,
                (&spec, &plan, self.registry),
                &self.machine,
                task,
            );
            let made = made.await?;
            let lane = self.lane(task.0);
            messages.extend(made.map(|message| Message { lane, ..message }));
        }
        debug!(tasks = messages.len(), "publishing tasks");
        Ok(self.broker.publish(Queue::Tasks, messages).await?)
    }

    fn lane(&mut self, task: TaskId) -> Lane {
        let few = self.slots_told.max(FIRST_TASKS) as usize;
        if self.first.len() >= few && !self.first.contains(&task) {
            return Lane::Rest;
        }
        self.first.insert(task);
        Lane::First
    }

    /// Publishes second messages of attempts, for runs beside those that take too long.
    pub(super) async fn publish_again(
        &mut self,
        tasks: Vec<(TaskId, Attempt)>,
    ) -> Result<(), Error> {
        if tasks.is_empty() {
            return Ok(());
        }
        let (spec, plan) = (self.spec().await?, self.plan().await?);
        let mut messages = Vec::new();
        for task in tasks {
            let (broker, sources) = (&**self.broker, (&*spec, &*plan, self.registry));
            let made =
                publish::task_message(self.job, broker, sources, &self.machine, task).await?;
            messages.extend(made.map(|message| Message {
                id: format!("{}.again", message.id),
                ..message
            }));
        }
        Ok(self.broker.publish(Queue::Tasks, messages).await?)
    }
}
