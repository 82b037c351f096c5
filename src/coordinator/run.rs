//! The service: pulls jobs and drives several at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span, warn};

use super::driver::{self, End};
use super::live::{self, LiveWorkers};
use crate::broker::{Broker, DeadLetter, Delivery, Queue, Settle};
use crate::ids::{JobId, LetterId};
use crate::io::source::Sources;
use crate::job::failure::chain;
use crate::ops::Registry;
use crate::partition::hash_key;
use crate::tables::Tables;
use crate::wire::{self, JobMessage};

/// Jobs that one process coordinates at once.
pub const JOBS_AT_ONCE: usize = 32;
/// How long a pull waits for a job.
const PULL_WAIT: Duration = Duration::from_secs(20);
/// The longest that a job rests that is not to begin yet, before it is looked at again: clocks may be set.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How long a job rests that could not be driven.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// The jobs that this process coordinates now.
#[derive(Debug, Clone, Default)]
pub struct Driven(Arc<Mutex<BTreeSet<JobId>>>);

impl Driven {
    /// Lists them.
    #[must_use]
    pub fn list(&self) -> Vec<JobId> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    fn with<T>(&self, change: impl FnOnce(&mut BTreeSet<JobId>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Everything that coordinating needs.
#[derive(Debug, Clone)]
pub struct CoordinatorService {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Reads the headers of inputs.
    pub sources: Sources,
    /// Plans queries.
    pub tables: Tables,
    /// The operations of task queues.
    pub registry: Registry,
    /// Told which jobs are driven.
    pub driven: Driven,
}

impl CoordinatorService {
    /// Pulls and drives jobs until `shutdown`; then gives the jobs back and returns.
    pub async fn run(self, shutdown: CancellationToken) {
        let tracker = TaskTracker::new();
        let places = Arc::new(Semaphore::new(JOBS_AT_ONCE));
        let (live_sender, live_workers) = watch::channel(LiveWorkers::default());
        tracker.spawn(live::follow(
            Arc::clone(&self.broker),
            live_sender,
            shutdown.clone(),
        ));
        while !shutdown.is_cancelled() {
            let place = tokio::select! {
                () = shutdown.cancelled() => break,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let Ok(place) = place else { break };
            let pulled = tokio::select! {
                () = shutdown.cancelled() => break,
                pulled = self.broker.pull(Queue::Jobs, 1, PULL_WAIT) => pulled,
            };
            let deliveries = match pulled {
                Ok(deliveries) => deliveries,
                Err(error) => {
                    warn!(error = chain(&error), "pulling jobs failed");
                    tokio::time::sleep(RETRY_WAIT).await;
                    continue;
                }
            };
            let mut place = Some(place);
            for delivery in deliveries {
                let (service, shutdown) = (self.clone(), shutdown.clone());
                let (place, live) = (place.take(), live_workers.clone());
                tracker.spawn(async move {
                    service.hold(delivery, live, shutdown).await;
                    drop(place);
                });
            }
        }
        tracker.close();
        tracker.wait().await;
    }

    /// Drives one delivered job and settles it.
    async fn hold(
        &self,
        delivery: Delivery,
        live: watch::Receiver<LiveWorkers>,
        shutdown: CancellationToken,
    ) {
        let job = match wire::decode::<JobMessage>(&delivery.payload) {
            Ok(message) => message.job,
            Err(error @ wire::Error::Version { .. }) => {
                warn!(error = chain(&error), "left a job to a newer coordinator");
                let how = Settle::Retry {
                    delay: Duration::from_secs(5),
                };
                return self.settle(&delivery, how).await;
            }
            Err(error) => return self.bury(&delivery, &error).await,
        };
        if !self.driven.with(|driven| driven.insert(job.clone())) {
            // The lease ran out while this very process drives the job: the driver goes on.
            let how = Settle::Retry {
                delay: self.broker.lease_duration(Queue::Jobs),
            };
            return self.settle(&delivery, how).await;
        }
        let span = info_span!("job", %job);
        self.drive(&job, &delivery, live, shutdown)
            .instrument(span)
            .await;
        self.driven.with(|driven| driven.remove(&job));
    }

    async fn drive(
        &self,
        job: &JobId,
        delivery: &Delivery,
        live: watch::Receiver<LiveWorkers>,
        shutdown: CancellationToken,
    ) {
        info!(deliveries = delivery.deliveries, "coordinating");
        let with = (&self.sources, &self.tables, &self.registry);
        let end = tokio::select! {
            end = driver::drive(job, &self.broker, with, live) => end,
            () = self.keep(delivery) => return,
            () = shutdown.cancelled() => {
                info!("gave the job back");
                return self.settle(delivery, Settle::Retry { delay: Duration::ZERO }).await;
            }
        };
        match end {
            Ok(End::Finished) => self.settle(delivery, Settle::Done).await,
            Ok(End::Waits(wait)) => {
                info!(?wait, "the job is not to begin yet");
                let delay = wait.min(WAIT_MAX);
                self.settle(delivery, Settle::Retry { delay }).await;
            }
            Ok(End::NoSuchJob) => {
                warn!("the job has no log");
                self.settle(
                    delivery,
                    Settle::Drop {
                        reason: "no log".to_owned(),
                    },
                )
                .await;
            }
            Err(error) => {
                error!(
                    error = chain(&error),
                    "coordinating failed; the job is tried again"
                );
                self.settle(delivery, Settle::Retry { delay: RETRY_WAIT })
                    .await;
            }
        }
    }

    /// Extends the lease for as long as it is polled; never returns.
    async fn keep(&self, delivery: &Delivery) {
        let period = self.broker.lease_duration(Queue::Jobs) / 3;
        loop {
            tokio::time::sleep(period).await;
            if let Err(error) = self.broker.extend(&delivery.lease).await {
                warn!(
                    error = chain(&error),
                    "the job's lease could not be extended"
                );
            }
        }
    }

    async fn bury(&self, delivery: &Delivery, error: &wire::Error) {
        let letter = DeadLetter {
            id: LetterId::Message(hash_key(&delivery.payload)),
            code: "undecodable".to_owned(),
            cause: format!("the message of a job cannot be read: {}", chain(error)),
            tries: Vec::new(),
            payload: delivery.payload.clone(),
        };
        if let Err(error) = self.broker.bury(letter).await {
            error!(error = chain(&error), "a dead letter could not be kept");
            return;
        }
        self.settle(
            delivery,
            Settle::Drop {
                reason: chain(error),
            },
        )
        .await;
    }

    async fn settle(&self, delivery: &Delivery, how: Settle) {
        if let Err(error) = self.broker.settle(&delivery.lease, how).await {
            warn!(
                error = chain(&error),
                "the job's delivery could not be settled; its lease runs out"
            );
        }
    }
}
