//! Taking a job up and giving it back: the log knows of each, so that a job that kills its coordinators is given up.

use std::time::Duration;

use tokio::time::Instant;

use super::{Alarm, Driver};
use crate::coordinator::Error;
use crate::ids::{QueueName, WorkerId};
use crate::job::Event;
use crate::time::Timestamp;
use crate::wire::{self, LogEntry};

/// Who has coordinated a job for so long since it took it up, and has its plan, does not die of it.
const HELD: Duration = Duration::from_secs(60);

/// Whose hold of a job it is.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    /// The worker.
    pub(crate) worker: WorkerId,
    /// The number under which its log knows the hold.
    pub(crate) number: u64,
    /// Whose jobs the worker takes up.
    pub(crate) queues: Vec<QueueName>,
}

impl Driver<'_> {
    /// Records that the job is taken up, before anything of it can do harm; what is outstanding waits until that is in the log.
    pub(super) async fn take_up(
        &mut self,
        hold: &Hold,
        clock: (Timestamp, Instant),
    ) -> Result<(), Error> {
        self.last = clock;
        if !self.machine.is_taken_up(hold.number) {
            let (worker, number) = (hold.worker.clone(), hold.number);
            let event = Event::TakenUp {
                worker,
                hold: number,
            };
            let events = vec![event];
            let payload = wire::encode(&LogEntry { events })?;
            self.broker.append(self.job, None, payload).await?;
        }
        (self.joins, self.holds) = (Some(hold.number), Some(hold.number));
        let alarms = self.alarms.entry(Instant::now() + HELD).or_default();
        alarms.push(Alarm::Held);
        self.begin_if_taken_up();
        Ok(())
    }

    /// Begins with what is outstanding once the log says that the job is taken up, and leaves all else undone before. What
    /// was asked for earlier may not have been carried out: what is not answered is carried out.
    pub(super) fn begin_if_taken_up(&mut self) {
        let Some(hold) = self.joins else { return };
        self.commands.clear();
        if self.machine.is_taken_up(hold) {
            self.joins = None;
            self.commands = self.machine.outstanding();
        }
    }

    /// Records that the job has been held for a while and has a plan.
    pub(super) async fn record_held(&mut self) -> Result<(), Error> {
        if !std::mem::take(&mut self.held_rang) {
            return Ok(());
        }
        if self.machine.plan().is_none() {
            let alarms = self.alarms.entry(Instant::now() + HELD).or_default();
            alarms.push(Alarm::Held);
            return Ok(());
        }
        match self.holds.take() {
            // A record would make the log of a job that was forgotten come to be again.
            Some(hold) if self.machine.is_taken_up(hold) && !self.is_forgotten().await? => {
                self.append(&format!("held.{hold:x}"), Event::Held { hold })
                    .await
            }
            _ => Ok(()),
        }
    }
}
