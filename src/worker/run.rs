//! The service: pulls tasks as places are free, runs them, reports them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::config::WorkerConfig;
use super::cpu::CpuPool;
use super::execute::{self, Executor};
use super::heartbeat;
use super::lease::{Held, Leases};
use super::memory::MemoryBudget;
use super::report::{self, Report};
use super::state::Activity;
use crate::broker::{Broker, DeadLetter, Delivery, Queue, Settle, Signal};
use crate::exchange::{Exchange, PartitionStore};
use crate::ids::{ExecutionId, JobId, TaskId, WorkerRef};
use crate::io::source::Sources;
use crate::job::failure::chain;
use crate::job::{Event, Failure, FailureClass, Payload, TaskFailure, TaskSuccess};
use crate::ops::Registry;
use crate::wire::{self, TaskMessage, WorkerState};

/// How long a pull waits for a task.
const PULL_WAIT: Duration = Duration::from_secs(20);
/// How long the worker rests when a pull failed.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Work that may wait in this worker beyond its slots: short tasks are pulled ahead, long ones never.
const AHEAD: Duration = Duration::from_millis(20);
/// Tasks pulled ahead at most.
const AHEAD_MAX: usize = 512;
/// Reports that may wait to be recorded.
const REPORTS_MAX: usize = 4096;
/// Ended jobs remembered, so that their late tasks are dropped unrun.
const RELEASED_MAX: usize = 1024;
/// How long a message of a later version rests before another worker may get it.
const VERSION_WAIT: Duration = Duration::from_secs(5);

/// What a worker stands on.
#[derive(Debug, Clone)]
pub struct WorkerPorts {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Where its partitions go.
    pub store: Arc<PartitionStore>,
    /// Where partitions of others come from.
    pub exchange: Arc<dyn Exchange>,
    /// Where files come from.
    pub sources: Sources,
    /// The operations that it knows.
    pub registry: Registry,
}

/// Pulls and runs tasks.
#[derive(Debug, Clone)]
pub struct TaskService {
    config: Arc<WorkerConfig>,
    me: WorkerRef,
    ports: WorkerPorts,
    activity: Activity,
    coordinates: fn_list::Jobs,
}

/// The list of jobs that this process coordinates, for heartbeats.
pub mod fn_list {
    use std::sync::Arc;

    use crate::ids::JobId;

    /// Lists the jobs that this process coordinates.
    #[derive(Clone)]
    pub struct Jobs(pub Arc<dyn Fn() -> Vec<JobId> + Send + Sync>);

    impl std::fmt::Debug for Jobs {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_list().entries((self.0)()).finish()
        }
    }
}

/// A place for a pulled task; counts until it drops.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

#[derive(Debug, Default)]
struct Places {
    taken: AtomicUsize,
    freed: Notify,
    /// How long a task runs, averaged over the last ones, in microseconds.
    run_us: AtomicU64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

impl Places {
    fn take(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    /// Returns how many tasks may be held: the slots, and as many more as run in [`AHEAD`].
    fn capacity(&self, slots: usize) -> usize {
        let run_us = self.run_us.load(Ordering::Relaxed);
        if run_us == 0 {
            return slots;
        }
        let ahead = u64::try_from(AHEAD.as_micros()).unwrap_or(0) / run_us.max(20);
        slots + usize::try_from(ahead).unwrap_or(0).min(AHEAD_MAX)
    }

    fn learn(&self, run: Duration) {
        let run_us = u64::try_from(run.as_micros()).unwrap_or(u64::MAX).max(1);
        let known = self.run_us.load(Ordering::Relaxed);
        // A long task counts at once, so that no short-task habit hoards long ones.
        let next = if run_us > known {
            run_us
        } else {
            (known * 7 + run_us) / 8
        };
        self.run_us.store(next, Ordering::Relaxed);
    }

    async fn room(&self, slots: usize) -> usize {
        loop {
            let freed = self.freed.notified();
            let taken = self.taken.load(Ordering::Relaxed);
            match self.capacity(slots).checked_sub(taken) {
                Some(room) if room > 0 => return room,
                _ => freed.await,
            }
        }
    }
}

/// What the tasks of a worker share.
#[derive(Debug)]
struct Shared {
    service: TaskService,
    executor: Executor,
    slots: Semaphore,
    memory: MemoryBudget,
    leases: Leases,
    places: Arc<Places>,
    reports: mpsc::Sender<Report>,
    released: Mutex<VecDeque<JobId>>,
}

impl TaskService {
    /// Makes a worker; nothing runs yet.
    #[must_use]
    pub fn new(
        config: WorkerConfig,
        me: WorkerRef,
        ports: WorkerPorts,
        coordinates: impl Fn() -> Vec<JobId> + Send + Sync + 'static,
    ) -> Self {
        Self {
            config: Arc::new(config),
            me,
            ports,
            activity: Activity::default(),
            coordinates: fn_list::Jobs(Arc::new(coordinates)),
        }
    }

    /// Returns what the worker does now.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Runs until it is told to leave.
    ///
    /// - `drain`: no new task; finish what runs, then return.
    /// - `stop`: give back what runs, then return.
    ///
    /// # Errors
    /// When the CPU pool cannot be started.
    pub async fn run(
        self,
        drain: CancellationToken,
        stop: CancellationToken,
    ) -> Result<(), rayon::ThreadPoolBuildError> {
        let (sender, receiver) = mpsc::channel(REPORTS_MAX);
        let broker = Arc::clone(&self.ports.broker);
        let cpu = Arc::new(CpuPool::new(self.config.cores)?);
        let slots = self.config.slots as usize;
        let shared = Arc::new(Shared {
            executor: Executor::new(self.ports.clone(), cpu),
            slots: Semaphore::new(slots),
            memory: MemoryBudget::new(self.config.memory_bytes),
            leases: Leases::default(),
            places: Arc::new(Places::default()),
            reports: sender,
            released: Mutex::new(VecDeque::new()),
            service: self,
        });
        let ended = CancellationToken::new();
        let services = TaskTracker::new();
        services.spawn(
            shared
                .leases
                .clone()
                .keep(Arc::clone(&broker), ended.clone()),
        );
        services.spawn(Arc::clone(&shared).listen(drain.clone(), ended.clone()));
        services.spawn(Arc::clone(&shared).heartbeat(ended.clone()));
        services.spawn(Arc::clone(&shared).expire_partitions(ended.clone()));
        let reporter = tokio::spawn(report::run(Arc::clone(&broker), receiver));

        let tasks = TaskTracker::new();
        Arc::clone(&shared).pull(&tasks, &drain, &stop).await;
        shared.service.activity.drain();
        tasks.close();
        tasks.wait().await;
        ended.cancel();
        services.close();
        services.wait().await;
        // The last sender goes with `shared`; then the reporter records what is left and ends.
        drop(shared);
        if let Err(error) = reporter.await {
            error!(%error, "the reporter of this worker failed");
        }
        Ok(())
    }
}

impl Shared {
    /// Pulls tasks as places are free and spawns them, until told to drain or stop.
    async fn pull(
        self: Arc<Self>,
        tasks: &TaskTracker,
        drain: &CancellationToken,
        stop: &CancellationToken,
    ) {
        let broker = Arc::clone(&self.service.ports.broker);
        let slots = self.service.config.slots as usize;
        loop {
            let next = async {
                let room = self.places.room(slots).await;
                broker.pull(Queue::Tasks, room, PULL_WAIT).await
            };
            let pulled = tokio::select! {
                () = drain.cancelled() => return,
                () = stop.cancelled() => return,
                pulled = next => pulled,
            };
            match pulled {
                Ok(deliveries) => {
                    for delivery in deliveries {
                        let place = self.places.take();
                        let (shared, stop) = (Arc::clone(&self), stop.clone());
                        tasks.spawn(shared.hold(delivery, place, stop));
                    }
                }
                Err(error) => {
                    warn!(error = chain(&error), "pulling tasks failed");
                    tokio::time::sleep(RETRY_WAIT).await;
                }
            }
        }
    }

    /// Runs one delivery to its report, or gives it back on `stop`.
    async fn hold(self: Arc<Self>, delivery: Delivery, place: Place, stop: CancellationToken) {
        let held = self.leases.hold(delivery.lease.clone());
        let message = match wire::decode::<TaskMessage>(&delivery.payload) {
            Ok(message) => message,
            Err(error) => return self.refuse(delivery, &error).await,
        };
        if self.is_released(&message.job) {
            return self
                .settle(
                    &held,
                    Settle::Drop {
                        reason: "job ended".to_owned(),
                    },
                )
                .await;
        }
        if delivery.deliveries > self.service.config.deliveries_max {
            return self.poison(&delivery, message, held, place).await;
        }
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
        if cancelled.load(Ordering::Relaxed) && self.is_released(&job) {
            self.service.ports.store.release(&job);
            return self
                .settle(
                    &held,
                    Settle::Drop {
                        reason: "job ended".to_owned(),
                    },
                )
                .await;
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
        message: TaskMessage,
        execution: ExecutionId,
        cancelled: &Arc<AtomicBool>,
    ) -> (Duration, Result<execute::Done, Failure>) {
        // The semaphore is never closed.
        let slot = self.slots.acquire().await.ok();
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

    fn is_released(&self, job: &JobId) -> bool {
        self.released
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(job)
    }

    fn release(&self, job: &JobId) {
        {
            let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
            if released.contains(job) {
                return;
            }
            if released.len() >= RELEASED_MAX {
                released.pop_front();
            }
            released.push_back(job.clone());
        }
        self.service.activity.cancel(job);
        self.service.ports.store.release(job);
    }

    /// Obeys signals until `ended`.
    async fn listen(self: Arc<Self>, drain: CancellationToken, ended: CancellationToken) {
        loop {
            let mut signals = match self.service.ports.broker.signals().await {
                Ok(signals) => signals,
                Err(error) => {
                    warn!(error = chain(&error), "signals cannot be heard");
                    futures::stream::pending().boxed()
                }
            };
            loop {
                tokio::select! {
                    () = ended.cancelled() => return,
                    signal = signals.next() => match signal {
                        Some(Signal::Release(job)) => self.release(&job),
                        Some(Signal::Drain(worker)) if worker == self.service.me.id => {
                            info!("asked to drain");
                            drain.cancel();
                        }
                        Some(Signal::Drain(_)) => {}
                        None => break,
                    },
                }
            }
            tokio::select! {
                () = ended.cancelled() => return,
                () = tokio::time::sleep(RETRY_WAIT) => {}
            }
        }
    }

    async fn heartbeat(self: Arc<Self>, ended: CancellationToken) {
        let config = Arc::clone(&self.service.config);
        let broker = Arc::clone(&self.service.ports.broker);
        let state = || self.state();
        heartbeat::run(broker, config.heartbeat, config.heartbeat_ttl, state, ended).await;
    }

    fn state(&self) -> WorkerState {
        let service = &self.service;
        let usage = service.ports.store.usage();
        let (succeeded, failed) = service.activity.ended();
        WorkerState {
            id: service.me.id.clone(),
            incarnation: service.me.incarnation,
            flight: service.me.flight.clone(),
            host: sysinfo::System::host_name().unwrap_or_default(),
            slots: service.config.slots,
            memory_bytes: service.config.memory_bytes,
            memory_used_bytes: self.memory.used_bytes(),
            stored_bytes: usage.memory_bytes + usage.disk_bytes,
            running: service.activity.running(),
            coordinates: (service.coordinates.0)(),
            draining: service.activity.is_draining(),
            succeeded,
            failed,
            operations: service
                .ports
                .registry
                .list()
                .map(|(name, _)| name.to_owned())
                .collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Drops partitions that nobody released.
    async fn expire_partitions(self: Arc<Self>, ended: CancellationToken) {
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(60)) => {
                    self.service.ports.store.expire(Instant::now());
                }
            }
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
