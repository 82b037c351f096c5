//! Makes the messages of tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use crate::broker::{Broker, Lane, Message};
use crate::ids::{Attempt, JobId, StageId, TaskId, WorkerRef};
use crate::job::{JobMachine, Payload};
use crate::ops::Registry;
use crate::partition::hash_key;
use crate::plan::{Plan, Stage, StageWork};
use crate::spec::{COMMIT_TIMEOUT, JobSpec, TASK_TIMEOUT, TaskOperation};
use crate::wire::message::TaskInputs;
use crate::wire::{self, InputStage, TaskMessage, TaskMessageId};

/// Part of the broker's payload limit that one message may fill with inputs.
const INPUTS_SHARE: usize = 2;
/// Bytes that hold a winner in MessagePack at most.
const WINNER_BYTES: usize = 24;
/// Bytes of a message beside its work, parameters and winners at most; the workers are few.
const MESSAGE_REST: usize = 4 << 10;
/// A larger fragment goes behind a blob, which a worker reads once for all tasks of the stage.
const FRAGMENT_INLINE_MAX: usize = 2 << 10;

/// Makes the message of one try of a task, or `None` when its inputs do not stand (any more): the machine
/// asks again when they do.
pub(crate) async fn task_message(
    job: &JobId,
    broker: &dyn Broker,
    (spec, plan, registry): (&JobSpec, &Plan, &Registry),
    machine: &JobMachine,
    (task, attempt): (TaskId, Attempt),
) -> Result<Option<Message>, Error> {
    let stage = plan.stages.get(task.stage.0 as usize).ok_or(Error::Bug {
        what: "a task of a stage that the plan has not",
    })?;
    let Some(inputs) = winners(plan, machine, task) else {
        return Ok(None);
    };
    let inputs = place_inputs(job, broker, inputs, (task, attempt)).await?;
    let seed = machine.seed();
    let message = message(
        (job, seed),
        (spec, registry),
        stage,
        (task, attempt),
        inputs,
    )?;
    let id = TaskMessageId {
        job: job.clone(),
        seed,
        task,
        attempt,
    };
    Ok(Some(Message {
        id: id.to_string(),
        payload: wire::encode(&message)?,
        queue: spec.options.queue.clone(),
        priority: spec.options.priority,
        lane: Lane::First,
    }))
}

/// Says that what a task must know does not fit into a message.
#[derive(Debug, thiserror::Error)]
#[error(
    "a task of stage '{stage}' takes {bytes} bytes of a message, and the broker takes {limit}; {}, or raise the server's max_payload",
    if *of_parameters { "put the data into a file and its name into the parameters" } else { "name fewer or shorter inputs" }
)]
pub(crate) struct TaskTooLarge {
    stage: String,
    bytes: usize,
    limit: usize,
    of_parameters: bool,
}

/// Checks that every task of a plan fits into a message, with what it will be told of its inputs.
///
/// # Errors
/// With the first stage of which one does not.
pub(crate) fn check_sizes(spec: &JobSpec, plan: &Plan, limit: usize) -> Result<(), TaskTooLarge> {
    let parameters = match &spec.operation {
        TaskOperation::Custom { tasks, .. } => {
            let lengths = (0..tasks.len()).filter_map(|task| tasks.get(task).map(str::len));
            lengths.max()
        }
        _ => None,
    };
    for (number, stage) in (0..).zip(&plan.stages) {
        let inputs = plan.task_inputs(StageId(number), 0);
        let winners: usize = inputs.iter().map(|(_, tasks)| tasks.len()).sum();
        let inputs = (winners * WINNER_BYTES).min(limit / INPUTS_SHARE);
        let limit = limit.saturating_sub(inputs + MESSAGE_REST);
        let work = wire::encode(&stage.work.for_task(0)).map_or(0, |bytes| bytes.len());
        let bytes = work + parameters.unwrap_or(0);
        if bytes > limit {
            return Err(TaskTooLarge {
                stage: stage.name.clone(),
                bytes,
                limit,
                of_parameters: parameters.is_some(),
            });
        }
    }
    Ok(())
}

fn message(
    (job, seed): (&JobId, u64),
    (spec, registry): (&JobSpec, &Registry),
    stage: &Stage,
    (task, attempt): (TaskId, Attempt),
    inputs: TaskInputs,
) -> Result<TaskMessage, Error> {
    let params = match &spec.operation {
        TaskOperation::Custom { tasks, .. } => tasks
            .get(task.index as usize)
            .ok_or(Error::Bug {
                what: "a task without parameters",
            })?
            .as_bytes()
            .to_vec(),
        _ => Vec::new(),
    };
    Ok(TaskMessage {
        job: job.clone(),
        seed,
        task,
        attempt,
        priority: spec.options.priority,
        work: stage.work.for_task(task.index),
        params,
        inputs,
        memory_bytes: stage.memory_bytes,
        timeout_ms: timeout_ms(spec, registry, &stage.work),
    })
}

/// Returns the longest that one try of a task may run: as the job says, else its operation.
fn timeout_ms(spec: &JobSpec, registry: &Registry, work: &StageWork) -> Option<u64> {
    let default = match work {
        StageWork::Commit { .. } | StageWork::CommitTable(_) => COMMIT_TIMEOUT,
        StageWork::Custom { operation } => registry.task_timeout(operation),
        _ => TASK_TIMEOUT,
    };
    let limit = spec.options.task_timeout(default)?;
    Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
}

/// Finds the winning executions that a task reads.
fn winners(plan: &Plan, machine: &JobMachine, task: TaskId) -> Option<Vec<InputStage>> {
    plan.task_inputs(task.stage, task.index)
        .into_iter()
        .map(|(stage, tasks)| input_stage(machine, stage, tasks))
        .collect()
}

fn input_stage(machine: &JobMachine, stage: StageId, tasks: Vec<u32>) -> Option<InputStage> {
    let mut numbers: BTreeMap<&WorkerRef, u32> = BTreeMap::new();
    let mut workers = Vec::new();
    let mut winners = Vec::with_capacity(tasks.len());
    for index in tasks {
        let (worker, execution) = machine.winner(TaskId { stage, index })?;
        let number = *numbers.entry(worker).or_insert_with(|| {
            workers.push(worker.clone());
            u32::try_from(workers.len() - 1).unwrap_or(u32::MAX)
        });
        winners.push((index, execution, number));
    }
    Some(InputStage {
        stage,
        workers,
        winners,
    })
}

/// Puts inputs into the message, or behind a blob when there are very many.
async fn place_inputs(
    job: &JobId,
    broker: &dyn Broker,
    inputs: Vec<InputStage>,
    (task, attempt): (TaskId, Attempt),
) -> Result<TaskInputs, Error> {
    let count: usize = inputs.iter().map(|stage| stage.winners.len()).sum();
    if count * WINNER_BYTES < broker.payload_limit() / INPUTS_SHARE {
        return Ok(TaskInputs::Here(inputs));
    }
    let name = format!("inputs-{}-{}-{attempt}", task.stage, task.index);
    broker.put_blob(job, &name, wire::encode(&inputs)?).await?;
    Ok(TaskInputs::There(Payload::Blob(name)))
}

/// Puts the fragments of a query behind blobs, so that not every task's message carries one.
///
/// Two coordinators may plan one job differently, and an id that was forgotten may come again: a name tells what is
/// behind it.
pub(crate) async fn place_fragments(
    job: &JobId,
    broker: &dyn Broker,
    plan: &mut Plan,
) -> Result<(), Error> {
    for (number, stage) in plan.stages.iter_mut().enumerate() {
        let StageWork::Fragment(work) = &mut stage.work else {
            continue;
        };
        if let Payload::Inline(bytes) = &work.fragment
            && bytes.len() > FRAGMENT_INLINE_MAX
        {
            let name = format!("fragment-{number}-{:016x}", hash_key(bytes));
            broker.put_blob(job, &name, bytes.clone()).await?;
            Arc::make_mut(work).fragment = Payload::Blob(name);
        }
    }
    Ok(())
}

/// Puts bytes into the record itself, or behind a blob when they are large.
pub(crate) async fn place(
    job: &JobId,
    broker: &dyn Broker,
    name: &str,
    bytes: Bytes,
) -> Result<Payload, Error> {
    if bytes.len() < broker.payload_limit() / INPUTS_SHARE {
        return Ok(Payload::Inline(bytes));
    }
    broker.put_blob(job, name, bytes).await?;
    Ok(Payload::Blob(name.to_owned()))
}

/// Reads a payload, wherever it is.
pub(crate) async fn fetch(
    job: &JobId,
    broker: &dyn Broker,
    payload: &Payload,
) -> Result<Bytes, Error> {
    match payload {
        Payload::Inline(bytes) => Ok(bytes.clone()),
        Payload::Blob(name) => broker
            .get_blob(job, name)
            .await?
            .ok_or_else(|| Error::BlobMissing { name: name.clone() }),
    }
}
