//! The service: pulls jobs and drives several at once.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span, warn};

use super::Error;
use super::driver::{self, End, Hold};
use super::live::{self, LiveWorkers};
use crate::broker::{self, Broker, DeadLetter, Delivery, Queue, Settle};
use crate::ids::{JobId, LetterId, QueueName, WorkerId};
use crate::io::source::Sources;
use crate::job::Event;
use crate::job::failure::chain;
use crate::ops::Registry;
use crate::partition::hash_key;
use crate::tables::Tables;
use crate::wire::{self, JobMessage, LogEntry};

/// Jobs that one process coordinates at once.
pub const JOBS_AT_ONCE: usize = 32;
/// How long a pull waits for a job.
const PULL_WAIT: Duration = Duration::from_secs(20);
/// The longest that a job rests that is not to begin yet, before it is looked at again: clocks may be set.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How long a job rests that could not be driven.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// How long a job or message rests that only a newer coordinator can read.
const NEWER_WAIT: Duration = Duration::from_secs(5);
/// How long it may take to record that a job is given back.
const GIVE_BACK_WAIT: Duration = Duration::from_secs(2);
/// Holds of jobs that are remembered at most.
const HOLDS_MAX: usize = 1024;

/// The jobs that this process coordinates now.
#[derive(Debug, Clone, Default)]
pub struct Driven(Arc<Mutex<Jobs>>);

#[derive(Debug, Default)]
struct Jobs {
    driven: BTreeSet<JobId>,
    /// The number of this process's hold of a job, for as long as the broker alone is the cause that it lets go of it: the
    /// log then counts one hold, however often that happens.
    holds: BTreeMap<JobId, u64>,
}

impl Driven {
    /// Lists them.
    #[must_use]
    pub fn list(&self) -> Vec<JobId> {
        self.with(|jobs| jobs.driven.iter().cloned().collect())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Jobs) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hold(&self, job: &JobId) -> u64 {
        self.with(|jobs| {
            if jobs.holds.len() >= HOLDS_MAX {
                jobs.holds.pop_first();
            }
            *jobs.holds.entry(job.clone()).or_insert_with(rand::random)
        })
    }
}

/// Everything that coordinating needs.
#[derive(Debug, Clone)]
pub struct CoordinatorService {
    /// Under which name it takes jobs up.
    pub worker: WorkerId,
    /// Whose jobs it takes up.
    pub queues: Vec<QueueName>,
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
        // Jobs are given back once the pull of this process has been dropped, or that would get them: what takes it back is sent
        // before what gives them back.
        let give_back = CancellationToken::new();
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
                pulled = self.broker.pull(Queue::Jobs, &self.queues, 1, PULL_WAIT) => pulled,
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
                let (service, give_back) = (self.clone(), give_back.clone());
                let (place, live) = (place.take(), live_workers.clone());
                tracker.spawn(async move {
                    service.hold(delivery, live, give_back).await;
                    drop(place);
                });
            }
        }
        give_back.cancel();
        tracker.close();
        tracker.wait().await;
    }

    /// Drives one delivered job and settles it.
    async fn hold(
        &self,
        delivery: Delivery,
        live: watch::Receiver<LiveWorkers>,
        give_back: CancellationToken,
    ) {
        let job = match wire::decode::<JobMessage>(&delivery.payload) {
            Ok(message) => message.job,
            Err(error @ wire::Error::Version { .. }) => {
                warn!(error = chain(&error), "left a job to a newer coordinator");
                let how = Settle::Retry { delay: NEWER_WAIT };
                return self.settle(&delivery, how).await;
            }
            Err(error) => return self.bury(&delivery, &error).await,
        };
        if !self.driven.with(|jobs| jobs.driven.insert(job.clone())) {
            // The lease ran out while this very process drives the job: the driver goes on.
            let how = Settle::Retry {
                delay: self.broker.lease_duration(Queue::Jobs),
            };
            return self.settle(&delivery, how).await;
        }
        let span = info_span!("job", %job);
        self.drive(&job, &delivery, live, give_back)
            .instrument(span)
            .await;
        self.driven.with(|jobs| jobs.driven.remove(&job));
    }

    async fn drive(
        &self,
        job: &JobId,
        delivery: &Delivery,
        live: watch::Receiver<LiveWorkers>,
        give_back: CancellationToken,
    ) {
        info!(deliveries = delivery.deliveries, "coordinating");
        let with = (&self.sources, &self.tables, &self.registry);
        let hold = Hold {
            worker: self.worker.clone(),
            number: self.driven.hold(job),
            queues: self.queues.clone(),
        };
        let driving = driver::drive(job, &hold, &self.broker, with, live);
        let end = tokio::select! {
            end = AssertUnwindSafe(driving).catch_unwind() => end,
            () = self.keep(delivery) => return,
            () = give_back.cancelled() => {
                self.record_held(job, &hold).await;
                info!("gave the job back");
                return self.settle(delivery, Settle::Retry { delay: Duration::ZERO }).await;
            }
        };
        let Ok(end) = end else {
            error!("coordinating panicked; the job is tried again");
            self.driven.with(|jobs| jobs.holds.remove(job));
            return self
                .settle(delivery, Settle::Retry { delay: RETRY_WAIT })
                .await;
        };
        if !end.as_ref().is_err_and(is_of_the_broker) {
            self.driven.with(|jobs| jobs.holds.remove(job));
        }
        match end {
            Ok(End::Finished) => self.settle(delivery, Settle::Done).await,
            Ok(End::Waits(wait)) => {
                info!(?wait, "the job is not to begin yet");
                let delay = wait.min(WAIT_MAX);
                self.settle(delivery, Settle::Retry { delay }).await;
            }
            Ok(End::NoSuchJob) => {
                warn!("the job has no log");
                let reason = "no log".to_owned();
                self.settle(delivery, Settle::Drop { reason }).await;
            }
            Ok(End::NotOurs) => {
                info!("the job is of a queue that this worker does not serve");
                let reason = "of another queue".to_owned();
                self.settle(delivery, Settle::Drop { reason }).await;
            }
            Err(error @ Error::Wire(wire::Error::Version { .. })) => {
                warn!(error = chain(&error), "left the job to a newer coordinator");
                self.record_held(job, &hold).await;
                self.settle(delivery, Settle::Retry { delay: NEWER_WAIT })
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

    /// Records that the job is given back in good order: whoever holds it next need not think that it did any harm.
    async fn record_held(&self, job: &JobId, hold: &Hold) {
        let record = async {
            // A record would make the log of a job that was forgotten come to be again.
            if !self.broker.jobs().await?.contains(job) {
                return Ok(());
            }
            let events = vec![Event::Held { hold: hold.number }];
            let payload = wire::encode(&LogEntry { events })?;
            Ok::<_, Error>(self.broker.append(job, None, payload).await?)
        };
        match tokio::time::timeout(GIVE_BACK_WAIT, record).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(
                error = chain(&error),
                "it was not recorded that the job was given back"
            ),
            Err(_) => warn!("it was not recorded in time that the job was given back"),
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

/// Tells whether the broker's absence, not the job, is the cause that a job cannot be driven.
fn is_of_the_broker(error: &Error) -> bool {
    match error {
        Error::Broker(broker::Error::TooLarge { .. }) => false,
        Error::Broker(_) | Error::LogEnded => true,
        Error::Wire(_) | Error::BlobMissing { .. } | Error::Bug { .. } => false,
    }
}
