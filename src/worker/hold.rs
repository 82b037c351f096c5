//! One delivery, from the queue to its report: decoded, given a slot and memory, run, recorded or given back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::execute;
use super::janitor;
use super::lease::Held;
use super::places::Place;
use super::report::Report;
use super::run::{Released, Shared};
use crate::broker::{DeadLetter, Delivery, Settle};
use crate::ids::{Attempt, ExecutionId, JobId, LetterId, TaskId};
use crate::job::failure::chain;
use crate::job::{Event, Failure, FailureClass, Payload, TaskFailure, TaskSuccess};
use crate::partition::hash_key;
use crate::plan::StageWork;
use crate::wire::{self, TaskMessage, TaskMessageId};

/// Ended jobs remembered, so that their late tasks are dropped unrun.
const RELEASED_MAX: usize = 1024;
/// Codes of failures that any task may meet on this worker, and perhaps on no other: its disk is full.
const OF_THIS_WORKER: [&str; 2] = ["store-full", "spill"];
/// How long a message of a later version rests before another worker may get it.
const VERSION_WAIT: Duration = Duration::from_secs(5);

impl Shared {
    /// Runs one delivery to its report, or gives it back on `stop`.
    pub(super) async fn hold(
        self: Arc<Self>,
        delivery: Delivery,
        place: Place,
        stop: CancellationToken,
    ) {
        let held = self.leases.hold(delivery.lease.clone());
        let message = match wire::decode::<TaskMessage>(&delivery.payload) {
            Ok(message) => message,
            Err(error) => return self.refuse(delivery, held, place, &error).await,
        };
        let life = (message.job.clone(), message.seed);
        tokio::select! {
            () = self.look_up(&life) => {}
            () = stop.cancelled() => {}
        }
        if self.is_released(&life) {
            return self.drop_ended(&held).await;
        }
        if delivery.deliveries > self.service.config.deliveries_max {
            let cause = format!(
                "{} workers took it up and none ended it; it kills them, or stalls them beyond their lease",
                delivery.deliveries - 1
            );
            let named = (message.job, message.task, message.attempt);
            return self.poison(named, "poison", cause, held, place).await;
        }
        self.service.ports.store.resume(&message.job);
        let cancelled = Arc::new(AtomicBool::new(false));
        let execution = ExecutionId(rand::random());
        let span = info_span!(
            "task",
            job = %message.job,
            stage = message.task.stage.0,
            task = message.task.index,
            attempt = message.attempt.0,
            worker = %self.service.me.id,
        );
        let (job, task, attempt) = (message.job.clone(), message.task, message.attempt);
        let run = self
            .run_task(message, execution, &cancelled)
            .instrument(span);
        let (run_time, result) = tokio::select! {
            ran = run => ran,
            () = stop.cancelled() => {
                cancelled.store(true, Ordering::Relaxed);
                (Duration::ZERO, Err(stopped()))
            }
        };
        if cancelled.load(Ordering::Relaxed) && self.is_released(&life) {
            self.service
                .ports
                .store
                .release_execution(&job, task, execution);
            return self.drop_ended(&held).await;
        }
        self.service.activity.count(result.is_ok());
        let worker = self.service.me.clone();
        let event = match result {
            Ok(done) => Event::TaskSucceeded(TaskSuccess {
                task,
                attempt,
                execution,
                worker,
                run_us: u64::try_from(run_time.as_micros()).unwrap_or(u64::MAX),
                stored_bytes: done.stored_bytes,
                result: done.result.map(|result| Payload::Inline(result.into())),
            }),
            Err(failure) => {
                self.service
                    .ports
                    .store
                    .release_execution(&job, task, execution);
                Event::TaskFailed(TaskFailure {
                    task,
                    attempt,
                    execution,
                    worker,
                    failure: failure.shortened(),
                })
            }
        };
        self.report(Report {
            job,
            event: Some(event),
            held,
            how: Settle::Done,
            place,
        })
        .await;
    }

    async fn report(&self, report: Report) {
        if self.reports.send(report).await.is_err() {
            warn!("the reporter has ended; the task runs again");
        }
    }

    /// Waits for a slot and memory, and runs a task.
    async fn run_task(
        &self,
        mut message: TaskMessage,
        execution: ExecutionId,
        cancelled: &Arc<AtomicBool>,
    ) -> (Duration, Result<execute::Done, Failure>) {
        // The semaphore is never closed.
        let slot = self.slots.acquire().await.ok();
        if let StageWork::Fragment(_) = message.work {
            // A query uses what it is given: its slot's share.
            let share = self.service.tasks_bytes / u64::from(self.service.config.slots.max(1));
            message.memory_bytes = message.memory_bytes.max(share);
        }
        let memory = match self.memory.take(message.memory_bytes).await {
            Ok(memory) => memory,
            Err(error) => {
                let failure = Failure::of(FailureClass::Fatal, "memory", &error);
                return (Duration::ZERO, Err(failure));
            }
        };
        let running = self.service.activity.start(
            (message.job.clone(), message.task, message.attempt),
            execution,
            Arc::clone(cancelled),
        );
        // The job may have ended while this waited for its turn: who stops tasks did not see it yet.
        if self.is_released(&(message.job.clone(), message.seed)) {
            cancelled.store(true, Ordering::Relaxed);
            return (Duration::ZERO, Err(ended_before()));
        }
        let started = Instant::now();
        let timeout = message.timeout_ms.map(Duration::from_millis);
        let task = message.task;
        debug!("running");
        let work = self.executor.run(message, execution, Arc::clone(cancelled));
        let result = match timeout {
            None => work.await,
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(result) => result,
                Err(_) => {
                    cancelled.store(true, Ordering::Relaxed);
                    Err(timed_out(task, limit))
                }
            },
        };
        drop((running, memory, slot));
        let took = started.elapsed();
        self.places.learn(took);
        match &result {
            Ok(done) => debug!(stored_bytes = done.stored_bytes, ?took, "succeeded"),
            Err(failure) => {
                warn!(reason = failure.message, class = ?failure.class, "failed");
                if OF_THIS_WORKER.contains(&failure.code.as_str()) {
                    self.places.rest();
                }
            }
        }
        (took, result)
    }

    /// Answers a message that cannot be decoded: with the end of the task that its id names, or with a dead letter. One of
    /// a later version is left to a newer worker.
    async fn refuse(&self, delivery: Delivery, held: Held, place: Place, error: &wire::Error) {
        if let wire::Error::Version { .. } = error {
            warn!(error = chain(error), "left a task to a newer worker");
            let delay = VERSION_WAIT;
            return self.settle(&held, Settle::Retry { delay }).await;
        }
        let cause = format!("the message cannot be read: {}", chain(error));
        if let Some(id) = TaskMessageId::parse(&delivery.id) {
            let named = (id.job, id.task, id.attempt);
            return self.poison(named, "undecodable", cause, held, place).await;
        }
        let letter = DeadLetter {
            id: LetterId::Message(hash_key(&delivery.payload)),
            code: "undecodable".to_owned(),
            cause: cause.clone(),
            tries: Vec::new(),
            payload: delivery.payload,
        };
        error!(letter = %letter.id, cause, "buried a message");
        match self.service.ports.broker.bury(letter).await {
            Ok(()) => self.settle(&held, Settle::Drop { reason: cause }).await,
            Err(error) => error!(error = chain(&error), "a dead letter could not be kept"),
        }
    }

    /// Reports that a task is not to be tried again.
    async fn poison(
        &self,
        (job, task, attempt): (JobId, TaskId, Attempt),
        code: &str,
        cause: String,
        held: Held,
        place: Place,
    ) {
        error!(%job, %task, cause, "poison");
        let failure = Failure {
            class: FailureClass::Poison,
            code: code.to_owned(),
            message: format!("task {task}: {cause}"),
        };
        let event = Event::TaskFailed(TaskFailure {
            task,
            attempt,
            execution: ExecutionId(rand::random()),
            worker: self.service.me.clone(),
            failure,
        });
        let how = Settle::Drop { reason: cause };
        self.report(Report {
            job,
            event: Some(event),
            held,
            how,
            place,
        })
        .await;
    }

    async fn settle(&self, held: &Held, how: Settle) {
        if let Err(error) = self.service.ports.broker.settle(&held.lease, how).await {
            warn!(
                error = chain(&error),
                "a task could not be settled; its lease runs out"
            );
        }
    }

    /// Drops a task of a job that has ended.
    async fn drop_ended(&self, held: &Held) {
        let reason = "job ended".to_owned();
        self.settle(held, Settle::Drop { reason }).await;
    }

    /// Looks up, at the first task of a life of a job that comes here, whether it has ended already: this worker may have started
    /// since, when all that served its queue were gone.
    async fn look_up(&self, life: &(JobId, u64)) {
        let looked_up = {
            let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
            if met.len() >= RELEASED_MAX && !met.contains_key(life) {
                met.clear();
            }
            Arc::clone(met.entry(life.clone()).or_default())
        };
        let look = async {
            match janitor::end_of_life(&*self.service.ports.broker, &life.0, life.1).await {
                Ok(None) => {}
                Ok(Some(ended)) => {
                    info!(job = %life.0, "a task came of a job that has ended");
                    self.release(ended);
                }
                // To run it is never wrong.
                Err(error) => {
                    warn!(job = %life.0, error = chain(&error), "its log could not be read");
                }
            }
        };
        looked_up.get_or_init(|| look).await;
    }

    fn is_released(&self, (job, seed): &(JobId, u64)) -> bool {
        self.released
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|life| life.job == *job && life.seed == *seed)
    }

    /// Stops what runs of a job that has ended, and drops its partitions, or keeps them for a retry.
    pub(super) fn release(&self, ended: Released) {
        let (job, keep) = (ended.job.clone(), ended.kept);
        // Noted first: a task that is told to stop looks whether its job has ended.
        {
            let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
            let same = |life: &&mut Released| life.job == job && life.seed == ended.seed;
            match released.iter_mut().find(same) {
                // Said again: but what was kept may be forgotten by now.
                Some(life) if keep || !life.kept => return,
                Some(life) => life.kept = false,
                None => {
                    if released.len() >= RELEASED_MAX {
                        released.pop_front();
                    }
                    released.push_back(ended);
                }
            }
        }
        self.service.activity.cancel(&job);
        if keep {
            self.service.ports.store.keep(job);
        } else {
            self.service.ports.store.release(&job);
        }
    }
}

/// The task goes to another worker as its next attempt: to give the message back would count as a worker that did not end it.
fn stopped() -> Failure {
    Failure {
        class: FailureClass::WorkerGone,
        code: "worker-stopped".to_owned(),
        message: "the worker was stopped before the task ended".to_owned(),
    }
}

fn ended_before() -> Failure {
    Failure {
        class: FailureClass::Cancelled,
        code: "cancelled".to_owned(),
        message: "the job ended before the task began".to_owned(),
    }
}

fn timed_out(task: TaskId, limit: Duration) -> Failure {
    Failure {
        class: FailureClass::Timeout,
        code: "timeout".to_owned(),
        message: format!("task {task} ran longer than its limit of {limit:?}"),
    }
}
