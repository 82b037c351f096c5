//! A worker that leaves hands what it holds over to others, so that nothing has to be made again.
//!
//! It asks peers by signals; they fetch the partitions as any reader does, keep them under the same keys, and record in each
//! job's log that they have moved. What is not handed over in time is lost with the worker, and made again if it is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use super::run::Shared;
use crate::broker::{self, Signal};
use crate::exchange::{self, PartitionAddress, PartitionKey};
use crate::ids::{ExecutionId, JobId, TaskId, WorkerId, WorkerRef};
use crate::job::Event;
use crate::job::failure::chain;
use crate::wire::{self, LogEntry, StoredRun, WorkerState};

/// Partitions that one signal names at most: it must fit into a message.
const PARTITIONS_A_SIGNAL: usize = 4_096;
/// Runs that a worker takes over at once.
const ADOPTIONS_AT_ONCE: usize = 4;
/// How often it is looked whether those that were asked are still there.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long a worker stays when all is handed over, for readers that were sent to it just before.
const LINGER: Duration = Duration::from_secs(1);

/// Says why a run could not be taken over.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Exchange(#[from] exchange::Error),
    #[error("the partition has no schema")]
    Empty,
    #[error("the thread that stored it is gone")]
    Gone,
}

impl Shared {
    /// Hands what this worker holds over to others, and waits until they have it.
    pub(super) async fn hand_over(&self) {
        let ports = &self.service.ports;
        let runs = ports.store.runs();
        let peers = self.peers().await.map(|peers| self.alike(peers));
        let Some(peers) = peers.filter(|peers| !peers.is_empty() && !runs.is_empty()) else {
            return;
        };
        let mut signals = match ports.broker.signals().await {
            Ok(signals) => signals,
            Err(error) => {
                warn!(
                    error = chain(&error),
                    "what this worker holds is not handed over"
                );
                return;
            }
        };
        let me = self.service.me.clone();
        let mut waited: BTreeMap<WorkerId, usize> = BTreeMap::new();
        let count = runs.len();
        for (peer, runs) in shares(runs, &peers) {
            let signal = Signal::Adopt {
                by: peer.clone(),
                from: me.clone(),
                runs,
            };
            match ports.broker.signal(signal).await {
                Ok(()) => *waited.entry(peer).or_default() += 1,
                Err(error) => warn!(error = chain(&error), "a peer could not be asked"),
            }
        }
        info!(
            runs = count,
            peers = waited.len(),
            "handing partitions over"
        );
        let mut look = tokio::time::interval(LOOK_AGAIN);
        while !waited.is_empty() {
            tokio::select! {
                signal = signals.next() => match signal {
                    Some(Signal::Adopted { by, from }) if from == me.id => {
                        if let Some(left) = waited.get_mut(&by) {
                            *left -= 1;
                        }
                        waited.retain(|_, left| *left > 0);
                    }
                    Some(_) => {}
                    None => return,
                },
                // Who has left meanwhile does not answer.
                _ = look.tick() => if let Some(peers) = self.peers().await {
                    waited.retain(|asked, _| peers.iter().any(|it| it.id == *asked));
                },
            }
        }
        tokio::time::sleep(LINGER).await;
    }

    /// Lists the other workers that can take something over; nothing when the broker does not say.
    async fn peers(&self) -> Option<Vec<WorkerState>> {
        let records = match self.service.ports.broker.workers().await {
            Ok(records) => records,
            Err(error) => {
                warn!(error = chain(&error), "the workers cannot be listed");
                return None;
            }
        };
        let state = |payload: &[u8]| wire::decode::<WorkerState>(payload).ok();
        let states = records.iter().filter_map(|record| state(&record.payload));
        let fit =
            |it: &WorkerState| it.id != self.service.me.id && !it.draining && !it.flight.is_empty();
        Some(states.filter(fit).collect())
    }

    /// Chooses those that serve a queue of this one, or all where there are none.
    fn alike(&self, peers: Vec<WorkerState>) -> Vec<WorkerId> {
        let queues = &self.service.config.queues;
        let shares = |it: &WorkerState| it.queues.iter().any(|queue| queues.contains(queue));
        let any = peers.iter().any(shares);
        let chosen = peers.into_iter().filter(|it| !any || shares(it));
        chosen.map(|it| it.id).collect()
    }

    /// Takes over what a worker that leaves holds, and says so.
    pub(super) async fn adopt(self: Arc<Self>, from: WorkerRef, runs: Vec<StoredRun>) {
        let mut jobs: BTreeMap<JobId, Vec<StoredRun>> = BTreeMap::new();
        for run in runs {
            jobs.entry(run.job.clone()).or_default().push(run);
        }
        for (job, runs) in jobs {
            if self.service.activity.is_draining() {
                break;
            }
            self.adopt_job(&from, &job, runs).await;
        }
        let signal = Signal::Adopted {
            by: self.service.me.id.clone(),
            from: from.id,
        };
        if let Err(error) = self.service.ports.broker.signal(signal).await {
            debug!(
                error = chain(&error),
                "a worker that leaves was not answered"
            );
        }
    }

    async fn adopt_job(self: &Arc<Self>, from: &WorkerRef, job: &JobId, runs: Vec<StoredRun>) {
        let Some(winners) = self.winners(job, &runs).await else {
            return;
        };
        let places = Arc::new(Semaphore::new(ADOPTIONS_AT_ONCE));
        let adopted = runs
            .into_iter()
            .filter(|run| winners.contains(&(run.task, run.execution)));
        let adopted = adopted.map(|run| {
            let (shared, from, places) = (Arc::clone(self), from.clone(), Arc::clone(&places));
            async move {
                // The semaphore is never closed.
                let _place = places.acquire().await.ok();
                let named = (run.task, run.execution);
                match shared.adopt_run(&from, &run).await {
                    Ok(()) => Some(named),
                    Err(error) => {
                        warn!(job = %run.job, task = %run.task, error = chain(&error), "not taken over");
                        let store = &shared.service.ports.store;
                        store.release_execution(&run.job, run.task, run.execution);
                        None
                    }
                }
            }
        });
        let adopted: Vec<_> = futures::future::join_all(adopted).await;
        let runs: Vec<_> = adopted.into_iter().flatten().collect();
        if runs.is_empty() {
            return;
        }
        info!(%job, from = %from.id, runs = runs.len(), "took partitions over");
        let event = Event::Moved {
            from: from.clone(),
            to: self.service.me.clone(),
            runs: runs.clone(),
        };
        if let Err(error) = self.record(job, event).await {
            warn!(%job, error, "that partitions have moved could not be recorded");
        }
        // The job may have ended meanwhile, and its end been told before these were here.
        if self.winners(job, &[]).await.is_none() {
            for (task, execution) in runs {
                self.service
                    .ports
                    .store
                    .release_execution(job, task, execution);
            }
        }
    }

    pub(super) async fn record(&self, job: &JobId, event: Event) -> Result<(), String> {
        let entry = LogEntry {
            events: vec![event],
        };
        let payload = wire::encode(&entry).map_err(|error| chain(&error))?;
        let appended = self.service.ports.broker.append(job, None, payload).await;
        appended.map_err(|error| chain(&error))
    }

    /// Returns which of some runs of a job stand; nothing when the job has ended.
    async fn winners(
        &self,
        job: &JobId,
        runs: &[StoredRun],
    ) -> Option<BTreeSet<(TaskId, ExecutionId)>> {
        let records = self.service.ports.broker.read_log(job).await.ok()?;
        let machine = broker::replay(&records);
        if machine.is_finished() || machine.submission().is_none() {
            return None;
        }
        let stands = |run: &StoredRun| {
            let (_, execution) = machine.winner(run.task)?;
            (execution == run.execution).then_some((run.task, execution))
        };
        Some(runs.iter().filter_map(stands).collect())
    }

    /// Fetches all partitions of a run and stores them under their keys.
    async fn adopt_run(&self, from: &WorkerRef, run: &StoredRun) -> Result<(), Error> {
        for partition in &run.partitions {
            let key = PartitionKey {
                job: run.job.clone(),
                task: run.task,
                execution: run.execution,
                partition: *partition,
            };
            let address = PartitionAddress {
                key: key.clone(),
                worker: from.clone(),
            };
            let mut batches = self.service.ports.exchange.fetch(&address).await?;
            let first = batches.next().await.ok_or(Error::Empty)??;
            let store = Arc::clone(&self.service.ports.store);
            let mut writer = store.writer(key, first.schema())?;
            let mut next = Some(first);
            while let Some(batch) = next {
                // Storing may write to a disk.
                let written = tokio::task::spawn_blocking(move || {
                    let written = writer.write(&batch);
                    written.map(|()| writer)
                });
                writer = written.await.map_err(|_| Error::Gone)??;
                next = batches.next().await.transpose()?;
            }
            let finished = tokio::task::spawn_blocking(move || writer.finish());
            finished.await.map_err(|_| Error::Gone)??;
        }
        Ok(())
    }
}

/// Deals runs out to peers, the largest first, each to the one that has least; in lists that fit into a signal.
fn shares(mut runs: Vec<StoredRun>, peers: &[WorkerId]) -> Vec<(WorkerId, Vec<StoredRun>)> {
    runs.sort_by_key(|run| std::cmp::Reverse(run.bytes));
    let mut loads: Vec<(u64, &WorkerId, Vec<StoredRun>)> =
        peers.iter().map(|peer| (0, peer, Vec::new())).collect();
    for run in runs {
        if let Some((bytes, _, share)) = loads.iter_mut().min_by_key(|(bytes, ..)| *bytes) {
            // What is empty is work too.
            *bytes = bytes.saturating_add(run.bytes.max(1));
            share.push(run);
        }
    }
    let mut lists = Vec::new();
    for (_, peer, share) in loads {
        let (mut list, mut partitions) = (Vec::new(), 0);
        for run in share {
            if !list.is_empty() && partitions + run.partitions.len() > PARTITIONS_A_SIGNAL {
                lists.push((peer.clone(), std::mem::take(&mut list)));
                partitions = 0;
            }
            partitions += run.partitions.len();
            list.push(run);
        }
        if !list.is_empty() {
            lists.push((peer.clone(), list));
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(index: u32, partitions: u32, bytes: u64) -> StoredRun {
        StoredRun {
            job: JobId::new("a").unwrap(),
            task: TaskId {
                index,
                ..TaskId::default()
            },
            execution: ExecutionId(1),
            partitions: (0..partitions).collect(),
            bytes,
        }
    }

    fn peers(names: &[&str]) -> Vec<WorkerId> {
        names
            .iter()
            .map(|name| WorkerId::new(name).unwrap())
            .collect()
    }

    #[test]
    fn what_is_handed_over_is_dealt_out_evenly_and_each_run_once() {
        let runs = vec![
            run(0, 1, 10),
            run(1, 1, 60),
            run(2, 1, 30),
            run(3, 1, 20),
            run(4, 1, 0),
        ];
        let shares = shares(runs, &peers(&["a", "b"]));
        let indices =
            |share: &[StoredRun]| share.iter().map(|run| run.task.index).collect::<Vec<_>>();
        let dealt: Vec<_> = shares.iter().map(|(_, share)| indices(share)).collect();
        assert_eq!(dealt, [vec![1, 4], vec![2, 3, 0]]);
    }

    #[test]
    fn a_signal_names_no_more_partitions_than_fit() {
        let runs = (0..5).map(|index| run(index, 2_000, 1)).collect();
        let shares = shares(runs, &peers(&["a"]));
        let counts: Vec<_> = shares.iter().map(|(_, share)| share.len()).collect();
        assert_eq!(counts, [2, 2, 1]);
        let signal = Signal::Adopt {
            by: WorkerId::new("a").unwrap(),
            from: WorkerRef {
                id: WorkerId::new("b").unwrap(),
                incarnation: crate::ids::Incarnation(1),
                flight: "host:1".to_owned(),
            },
            runs: shares[0].1.clone(),
        };
        assert!(wire::encode(&signal).unwrap().len() < 64 << 10);
    }
}
