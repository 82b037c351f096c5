//! A worker that starts again under its name, its store's folder intact, offers what it held: nothing of that is made again.
//!
//! The log of each job says that the partitions have moved from the earlier life to this one. What no job needs any more is
//! dropped, and so is what turns out to be damaged: whoever is sent to it reports a lost input, and it is made again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::run::Shared;
use crate::broker;
use crate::ids::{ExecutionId, JobId, TaskId, WorkerRef};
use crate::job::Event;
use crate::job::failure::chain;
use crate::wire::StoredRun;

/// Runs that one record names at most: it must fit into a message.
const RUNS_A_RECORD: usize = 4_096;

impl Shared {
    /// Offers the runs that the store found of an earlier life, before anything else is stored. That their bytes are what was
    /// written is looked at meanwhile, in `services`, until `ended`: readers look, too.
    pub(super) async fn offer_again(&self, services: &TaskTracker, ended: &CancellationToken) {
        let store = &self.service.ports.store;
        let mut jobs: BTreeMap<JobId, Vec<StoredRun>> = BTreeMap::new();
        for run in store.runs() {
            jobs.entry(run.job.clone()).or_default().push(run);
        }
        for (job, runs) in jobs {
            let moved = self.standing(&job, &runs).await;
            for (from, runs) in moved {
                self.offer(&job, from, &runs).await;
            }
        }
        let (runs, store, ended) = (store.runs(), Arc::clone(store), ended.clone());
        services.spawn(async move {
            for run in runs {
                let store = Arc::clone(&store);
                let looked = tokio::task::spawn_blocking(move || store.drop_if_damaged(&run)).await;
                if looked.is_err() || ended.is_cancelled() {
                    return;
                }
            }
        });
    }

    /// Returns which runs of a job stand, by the earlier life that is known to hold them; drops the others.
    async fn standing(
        &self,
        job: &JobId,
        runs: &[StoredRun],
    ) -> BTreeMap<WorkerRef, Vec<(TaskId, ExecutionId)>> {
        let (me, ports) = (&self.service.me, &self.service.ports);
        let mut standing: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let machine = match ports.broker.read_log(job).await {
            Ok(records) => broker::replay(&records),
            Err(error) => {
                warn!(%job, error = chain(&error), "what is left of its partitions is dropped");
                ports.store.release(job);
                return standing;
            }
        };
        if machine.is_finished() || machine.submission().is_none() {
            ports.store.release(job);
            return standing;
        }
        for run in runs {
            let winner = machine.winner(run.task);
            let held = winner
                .filter(|(holder, execution)| holder.id == me.id && *execution == run.execution);
            match held {
                Some((holder, execution)) => {
                    let runs = standing.entry(holder.clone()).or_default();
                    runs.push((run.task, execution));
                }
                None => {
                    ports.store.release_execution(job, run.task, run.execution);
                }
            }
        }
        standing
    }

    async fn offer(&self, job: &JobId, from: WorkerRef, runs: &[(TaskId, ExecutionId)]) {
        for runs in runs.chunks(RUNS_A_RECORD) {
            let event = Event::Moved {
                from: from.clone(),
                to: self.service.me.clone(),
                runs: runs.to_vec(),
            };
            match self.record(job, event).await {
                Ok(()) => {
                    info!(%job, runs = runs.len(), "partitions of an earlier life are here again")
                }
                Err(error) => {
                    warn!(%job, error, "that partitions are here again could not be recorded")
                }
            }
        }
    }
}
