//! One delivery, from the queue to its report: decoded, given a slot and memory, run, recorded or given back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info_span, warn};

use super::execute;
use super::lease::Held;
use super::places::Place;
use super::report::Report;
use super::run::{Released, Shared};
use crate::broker::{DeadLetter, Delivery, Settle};
use crate::ids::{ExecutionId, JobId, TaskId};
use crate::job::failure::chain;
use crate::job::{Event, Failure, FailureClass, Payload, TaskFailure, TaskSuccess};
use crate::plan::StageWork;
use crate::wire::{self, TaskMessage};

/// Ended jobs remembered, so that their late tasks are dropped unrun.
const RELEASED_MAX: usize = 1024;
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
            Err(error) => return self.refuse(delivery, &error).await,
        };
        let life = (message.job.clone(), message.seed);
        if self.is_released(&life) {
            return self.drop_ended(&held).await;
        }
        if delivery.deliveries > self.service.config.deliveries_max {
            return self.poison(&delivery, message, held, place).await;
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
        let ran = async {
            let run = self
                .run_task(message, execution, &cancelled)
                .instrument(span);
            tokio::select! {
                ran = run => Some(ran),
                () = stop.cancelled() => None,
            }
        };
        let Some((run_time, result)) = ran.await else {
            cancelled.store(true, Ordering::Relaxed);
            return self
                .settle(
                    &held,
                    Settle::Retry {
                        delay: Duration::ZERO,
                    },
                )
                .await;
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
                    failure,
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
            message.job.clone(),
            message.task,
            execution,
            Arc::clone(cancelled),
        );
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
            Err(failure) => warn!(reason = failure.message, class = ?failure.class, "failed"),
        }
        (took, result)
    }

    /// Buries a message that cannot be decoded, or leaves it to a newer worker.
    async fn refuse(&self, delivery: Delivery, error: &wire::Error) {
        let held = self.leases.hold(delivery.lease.clone());
        if let wire::Error::Version { .. } = error {
            warn!(error = chain(error), "left a task to a newer worker");
            return self
                .settle(
                    &held,
                    Settle::Retry {
                        delay: VERSION_WAIT,
                    },
                )
                .await;
        }
        let cause = chain(error);
        if self
            .bury("task".to_owned(), None, &delivery, cause.clone())
            .await
        {
            self.settle(&held, Settle::Drop { reason: cause }).await;
        }
    }

    /// Fails a task that was delivered too often: it kills its workers, or outlives their leases.
    async fn poison(&self, delivery: &Delivery, message: TaskMessage, held: Held, place: Place) {
        let TaskMessage {
            job, task, attempt, ..
        } = message;
        let cause = format!(
            "delivered {} times without an end; it kills its workers, or stalls them beyond their lease",
            delivery.deliveries
        );
        if !self
            .bury(
                format!("{job}.{task}.{attempt}"),
                Some(job.clone()),
                delivery,
                cause.clone(),
            )
            .await
        {
            return;
        }
        let failure = Failure {
            class: FailureClass::Poison,
            code: "poison".to_owned(),
            message: format!("task {task} was {cause}"),
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

    async fn bury(
        &self,
        id: String,
        job: Option<JobId>,
        delivery: &Delivery,
        cause: String,
    ) -> bool {
        error!(id, cause, "buried a task");
        let payload = delivery.payload.clone();
        let letter = DeadLetter {
            id,
            job,
            cause,
            deliveries: delivery.deliveries,
            payload,
        };
        let buried = self.service.ports.broker.bury(letter).await;
        if let Err(error) = &buried {
            error!(error = chain(error), "a dead letter could not be kept");
        }
        buried.is_ok()
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

fn timed_out(task: TaskId, limit: Duration) -> Failure {
    Failure {
        class: FailureClass::Timeout,
        code: "timeout".to_owned(),
        message: format!("task {task} ran longer than its limit of {limit:?}"),
    }
}
