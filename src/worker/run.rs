//! The service: pulls tasks as places are free, runs them, reports them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt;
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::config::WorkerConfig;
use super::cpu::CpuPool;
use super::execute::Executor;
use super::heartbeat;
use super::janitor::{self, Looks};
use super::lease::Leases;
use super::memory::MemoryBudget;
use super::places::Places;
use super::ports::{Coordinates, WorkerPorts};
use super::report::{self, Report};
use super::state::Activity;
use crate::broker::{Queue, Signal};
use crate::ids::{JobId, WorkerRef};
use crate::job::failure::chain;
use crate::time::Timestamp;
use crate::wire::{StoreDisk, WorkerState};

/// How long a pull waits for a task.
const PULL_WAIT: Duration = Duration::from_secs(20);
/// How long the worker rests when a pull failed.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Reports that may wait to be recorded.
const REPORTS_MAX: usize = 4096;

/// Pulls and runs tasks.
#[derive(Debug, Clone)]
pub struct TaskService {
    pub(super) config: Arc<WorkerConfig>,
    pub(super) me: WorkerRef,
    pub(super) ports: WorkerPorts,
    pub(super) activity: Activity,
    pub(super) coordinates: Coordinates,
    /// Memory that running tasks share.
    pub(super) tasks_bytes: u64,
}

/// What the tasks of a worker share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) service: TaskService,
    pub(super) executor: Executor,
    pub(super) slots: Semaphore,
    pub(super) memory: MemoryBudget,
    pub(super) leases: Leases,
    pub(super) places: Arc<Places>,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) released: Mutex<VecDeque<Released>>,
    /// Lives of jobs of which tasks have come; each is looked up once.
    pub(super) met: Mutex<Met>,
    /// The store's disk when it was last looked at.
    disk: Mutex<Option<StoreDisk>>,
}

/// Lives of jobs, each with whether it was looked up.
type Met = BTreeMap<(JobId, u64), Arc<OnceCell<()>>>;

/// A life of a job that has ended.
#[derive(Debug)]
pub(super) struct Released {
    pub(super) job: JobId,
    /// Which life of it.
    pub(super) seed: u64,
    /// Whether its partitions stay for a retry.
    pub(super) kept: bool,
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
        // A configuration that leaves nothing for tasks was refused before.
        let tasks_bytes = config.shares().map_or(0, |shares| shares.tasks_bytes);
        Self {
            tasks_bytes,
            config: Arc::new(config),
            me,
            ports,
            activity: Activity::default(),
            coordinates: Coordinates(Arc::new(coordinates)),
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
            memory: MemoryBudget::new(self.tasks_bytes),
            leases: Leases::default(),
            places: Arc::new(Places::default()),
            reports: sender,
            released: Mutex::new(VecDeque::new()),
            met: Mutex::default(),
            disk: Mutex::new(None),
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
        // Before the first heartbeat: the new life ends the earlier one, and with it what only that is known to hold.
        tokio::select! {
            () = shared.offer_again(&services, &ended) => {}
            () = stop.cancelled() => {}
        }
        services.spawn(Arc::clone(&shared).heartbeat(ended.clone()));
        services.spawn(Arc::clone(&shared).expire_partitions(ended.clone()));
        let reporter = tokio::spawn(report::run(Arc::clone(&broker), receiver));

        let tasks = TaskTracker::new();
        Arc::clone(&shared).pull(&tasks, &drain, &stop).await;
        shared.service.activity.drain();
        tasks.close();
        tasks.wait().await;
        let leave = async {
            // What succeeded last is handed over if the log says so.
            shared.places.all_free().await;
            shared.hand_over().await;
        };
        tokio::select! {
            () = leave => {}
            () = stop.cancelled() => {}
        }
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
                broker
                    .pull(Queue::Tasks, &self.service.config.queues, room, PULL_WAIT)
                    .await
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

    /// Obeys signals until `ended`.
    async fn listen(self: Arc<Self>, drain: CancellationToken, ended: CancellationToken) {
        // Ended with this: a worker that has left takes nothing over.
        let mut adoptions = JoinSet::new();
        loop {
            let mut signals = match self.service.ports.broker.signals().await {
                Ok(signals) => signals,
                Err(error) => {
                    warn!(error = chain(&error), "signals cannot be heard");
                    futures::stream::empty().boxed()
                }
            };
            loop {
                tokio::select! {
                    () = ended.cancelled() => return,
                    signal = signals.next() => match signal {
                        Some(Signal::Release { job, seed, keep }) => {
                            self.release(Released { job, seed, kept: keep });
                        }
                        Some(Signal::Stop { job, task, attempt }) => {
                            self.service.activity.cancel_task(&job, task, attempt);
                        }
                        Some(Signal::Adopt { by, from, runs }) if by == self.service.me.id => {
                            adoptions.spawn(Arc::clone(&self).adopt(from, runs));
                        }
                        Some(Signal::Adopt { .. } | Signal::Adopted { .. }) => {}
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
            queues: service.config.queues.clone(),
            slots: service.config.slots,
            memory_bytes: service.tasks_bytes,
            memory_used_bytes: self.memory.used_bytes(),
            stored_bytes: usage.memory_bytes + usage.disk_bytes,
            running: service.activity.running(),
            coordinates: service.coordinates.list(),
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
            clock: Some(Timestamp::from_system(SystemTime::now())),
            disk: *self.disk.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Looks how full the store's disk is; one that hangs must not hold up a heartbeat.
    async fn look_at_disk(&self) {
        let store = Arc::clone(&self.service.ports.store);
        let looked = tokio::task::spawn_blocking(move || store.disk()).await;
        let disk = looked.ok().and_then(|disk| {
            disk.inspect_err(|error| warn!(error = chain(error), "the store's disk is not known"))
                .ok()
        });
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = disk;
    }

    /// Drops partitions that are too old, and those of jobs that ended unheard.
    async fn expire_partitions(self: Arc<Self>, ended: CancellationToken) {
        let WorkerPorts { store, broker, .. } = &self.service.ports;
        let mut looks = Looks::default();
        loop {
            let late = async {
                self.look_at_disk().await;
                tokio::time::sleep(janitor::PERIOD).await;
                store.expire(Instant::now());
                looks.ended(&**broker, &store.jobs()).await
            };
            tokio::select! {
                () = ended.cancelled() => return,
                over = late => over.into_iter().for_each(|job| self.release(job)),
            }
        }
    }
}
