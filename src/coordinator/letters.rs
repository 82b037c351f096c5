//! Dead letters of a job: what happened to a task that is not tried again, as the log tells it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Error, publish};
use crate::broker::{self, Broker, DeadLetter, FailedTry};
use crate::ids::{JobId, LetterId, TaskId};
use crate::job::{Event, JobMachine};
use crate::ops::Registry;
use crate::plan::Plan;
use crate::spec::JobSpec;

/// Keeps the letters of tasks that are dead; of those that have ended well meanwhile none.
pub(crate) async fn bury(
    job: &JobId,
    broker: &dyn Broker,
    (spec, plan, registry): (&JobSpec, &Plan, &Registry),
    machine: &JobMachine,
    tasks: &[TaskId],
) -> Result<(), Error> {
    let tasks: BTreeSet<TaskId> = tasks.iter().copied().collect();
    let mut tries = failed_tries(job, broker, &tasks).await?;
    for (task, cause) in machine.dead().filter(|(task, _)| tasks.contains(task)) {
        let tries = tries.remove(&task).unwrap_or_default();
        let attempt = tries.last().map(|tried| tried.attempt).unwrap_or_default();
        let sources = (spec, plan, registry);
        let message = publish::task_message(job, broker, sources, machine, (task, attempt)).await?;
        let letter = DeadLetter {
            id: LetterId::Task(job.clone(), task),
            code: cause.code.clone(),
            cause: cause.message.clone(),
            tries,
            payload: message.map_or(Bytes::new(), |message| message.payload),
        };
        tracing::warn!(letter = %letter.id, cause = letter.cause, "buried a task");
        broker.bury(letter).await?;
    }
    Ok(())
}

/// Reads which tries of tasks failed, in all lives of the job.
async fn failed_tries(
    job: &JobId,
    broker: &dyn Broker,
    tasks: &BTreeSet<TaskId>,
) -> Result<BTreeMap<TaskId, Vec<FailedTry>>, Error> {
    let mut tries: BTreeMap<TaskId, Vec<FailedTry>> = BTreeMap::new();
    for (at, event) in broker::events(&broker.read_log(job).await?) {
        if let Event::TaskFailed(told) = event
            && tasks.contains(&told.task)
        {
            tries.entry(told.task).or_default().push(FailedTry {
                at,
                worker: told.worker.id,
                attempt: told.attempt,
                cause: told.failure.message,
            });
        }
    }
    Ok(tries)
}
