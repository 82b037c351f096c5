//! What workers say of the tasks they ran.

use super::Board;
use crate::exchange::PartitionAddress;
use crate::ids::TaskId;
use crate::job::backoff;
use crate::job::command::Command;
use crate::job::error::Error;
use crate::job::event::{Outcome, TaskFailure, TaskSuccess};
use crate::job::failure::{Failure, FailureClass};
use crate::spec::RetryPolicy;
use crate::time::Timestamp;

/// How often one task may be given back without its own fault.
const RETURNS_MAX: u32 = 1_000;
/// How often the partitions of one task may be missed by a reader.
const LOSSES_MAX: u32 = 32;
/// After so many partitions of one life of a worker were missed, all that it holds is taken as lost. A
/// reader that finds a dead worker's partitions one by one would need a round for each of them.
const REPORTS_PER_LIFE: u32 = 4;

impl Board {
    /// Counts a success: the first of a task wins, whichever attempt it carries.
    ///
    /// It also shows that its worker lives, even one that was told lost: cut off for a while, or stopped.
    pub(in crate::job) fn succeed(&mut self, at: Timestamp, success: &TaskSuccess) {
        let task = success.task;
        let Some(record) = self.task(task) else {
            return;
        };
        let wins = record.may_win(success.attempt);
        self.goes_on(&success.worker);
        if wins {
            self.win(at, success);
        }
    }

    fn win(&mut self, at: Timestamp, success: &TaskSuccess) {
        let task = success.task;
        self.revive(task);
        let worker = self.workers.number(&success.worker);
        self.unpublish(task);
        self.window.completed(at);
        let Some(stage) = self.stage_mut(task.stage) else {
            return;
        };
        let Some(record) = stage.tasks.get_mut(task.index as usize) else {
            return;
        };
        stage.ever += u32::from(!record.ended_well());
        record.win(worker, success.execution);
        stage.again.remove(&task.index);
        stage.done += 1;
        stage.stored_bytes = stage.stored_bytes.saturating_add(success.stored_bytes);
        stage.run_us = stage.run_us.saturating_add(success.run_us);
        let may_settle = stage.is_complete() || stage.was_complete();
        if stage.is_complete() {
            for reader in stage.readers.clone() {
                self.unblock(reader);
            }
        }
        if may_settle {
            self.settle();
        }
    }

    /// Answers a failure of the attempt that is published; any other attempt was answered before.
    /// Returns how the job ends, if this ends it.
    pub(in crate::job) fn fail(
        &mut self,
        at: Timestamp,
        told: &TaskFailure,
        retry: (RetryPolicy, u64),
        commands: &mut Vec<Command>,
    ) -> Option<Outcome> {
        let task = told.task;
        if !self.task(task)?.awaits(told.attempt) {
            return None;
        }
        let end = |failure: Failure| Outcome::Failed {
            task: Some(task),
            failure,
        };
        // Nobody needs the task any more, so its failure is no reason to fail the job.
        let ended = if self.stage(task.stage)?.settled {
            self.give_back(task)
        } else {
            match &told.failure.class {
                FailureClass::Retry { after_ms } => {
                    return self.charge(at, told, *after_ms, retry, commands).map(end);
                }
                FailureClass::Timeout | FailureClass::Panic => {
                    return self.charge(at, told, None, retry, commands).map(end);
                }
                FailureClass::Poison => {
                    self.stage_mut(task.stage)?.failed += 1;
                    return self.die(task, told.failure.clone(), commands).map(end);
                }
                FailureClass::Fatal => return Some(end(told.failure.clone())),
                FailureClass::InputLost(address) => self.input_lost(task, address),
                // A task that stopped as cancelled, of a job that is not, is off the queue all the same.
                FailureClass::WorkerGone | FailureClass::Cancelled => self.give_back(task),
            }
        };
        ended.err().map(|error| end(error.failure()))
    }

    /// Charges a failure to its task: it waits and is tried again, or is dead, or the job ends with what is returned.
    fn charge(
        &mut self,
        at: Timestamp,
        told: &TaskFailure,
        after_ms: Option<u64>,
        retry: (RetryPolicy, u64),
        commands: &mut Vec<Command>,
    ) -> Option<Failure> {
        let task = told.task;
        let (policy, seed) = retry;
        self.unpublish(task);
        let stage = self.stage_mut(task.stage)?;
        stage.failed += 1;
        let record = stage.tasks.get_mut(task.index as usize)?;
        record.charged = record.charged.saturating_add(1);
        let charged = record.charged;
        if charged >= policy.max_attempts {
            let failure = exhausted(task, charged, &told.failure);
            return match failure.class {
                FailureClass::Timeout | FailureClass::Panic => self.die(task, failure, commands),
                _ => Some(failure),
            };
        }
        record.wait_again();
        stage.retried += 1;
        let attempt = record.attempt;
        let wait = backoff::wait(&policy, charged, after_ms, seed, task, attempt);
        self.publish(task, at.after(wait), at, commands);
        None
    }

    /// Gives a published task back, to be published again with its next attempt, without a charge.
    fn give_back(&mut self, task: TaskId) -> Result<(), Error> {
        self.unpublish(task);
        if let Some(stage) = self.stage_mut(task.stage) {
            stage.wait_again(task.index);
        }
        self.ready.insert(task.stage);
        let exception = self.exceptions.entry(task).or_default();
        exception.returns = exception.returns.saturating_add(1);
        let returns = exception.returns;
        if returns > RETURNS_MAX {
            return Err(Error::TaskKeepsReturning { task, returns });
        }
        Ok(())
    }

    /// Gives the reader back, and makes its lost input again if that is what stands for it; an older run
    /// of the input was replaced already, and the next attempt will read the new one.
    fn input_lost(&mut self, reader: TaskId, address: &PartitionAddress) -> Result<(), Error> {
        self.give_back(reader)?;
        let producer = address.key.task;
        if !self.reads(reader.stage, producer.stage) {
            return Ok(());
        }
        let Some((worker, execution)) = self.task(producer).and_then(|task| task.winner()) else {
            return Ok(());
        };
        // It was made again meanwhile, or has moved.
        if execution != address.key.execution || self.workers.get(worker) != Some(&address.worker) {
            return Ok(());
        }
        let exception = self.exceptions.entry(producer).or_default();
        exception.losses = exception.losses.saturating_add(1);
        let losses = exception.losses;
        if losses > LOSSES_MAX {
            let worker = Box::new(address.worker.clone());
            return Err(Error::PartitionKeepsVanishing {
                producer,
                reader,
                losses,
                worker,
            });
        }
        self.lose(producer);
        if self.workers.report(worker).is_multiple_of(REPORTS_PER_LIFE) {
            self.lose_all_of(worker);
        }
        self.settle();
        Ok(())
    }
}

/// The failure of a task that used up its attempts: the last one's class and code, and how many there were.
fn exhausted(task: TaskId, charged: u32, last: &Failure) -> Failure {
    let tries = if charged == 1 { "try" } else { "tries" };
    Failure {
        class: last.class.clone(),
        code: last.code.clone(),
        message: format!(
            "task {task} failed after {charged} {tries}: {}",
            last.message
        ),
    }
}
