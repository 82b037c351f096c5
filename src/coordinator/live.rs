//! Which workers live, as the broker's worker records tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::broker::Broker;
use crate::ids::{Incarnation, WorkerId};
use crate::job::failure::chain;
use crate::wire::{self, WorkerState};

/// How often the records are read.
const PERIOD: Duration = Duration::from_secs(1);
/// How often they are read while no worker is known: this process's own is about to announce itself.
const PERIOD_ALONE: Duration = Duration::from_millis(50);
/// Readings in a row that a worker must be missing from before it counts as lost: the records of
/// all workers may lapse together when the broker was away.
const MISSES_MAX: u32 = 3;

/// Which lives of which workers count as alive, and their slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LiveWorkers {
    /// Whether enough readings have been made to tell a worker lost.
    pub(crate) settled: bool,
    /// Slots of all workers.
    pub(crate) slots: u32,
    /// Memory of a task on the worker that gives it least.
    pub(crate) task_bytes: Option<u64>,
    alive: BTreeMap<(WorkerId, Incarnation), u32>,
}

impl LiveWorkers {
    /// Tells whether a life of a worker is over, as far as is known.
    pub(crate) fn is_lost(&self, worker: &WorkerId, incarnation: Incarnation) -> bool {
        self.settled && !self.alive.contains_key(&(worker.clone(), incarnation))
    }
}

/// Reads the worker records until `shutdown` and tells what changes.
pub(crate) async fn follow(
    broker: Arc<dyn Broker>,
    sender: watch::Sender<LiveWorkers>,
    shutdown: CancellationToken,
) {
    let started = tokio::time::Instant::now();
    let mut readings = 0u32;
    let mut live = LiveWorkers::default();
    loop {
        match broker.workers().await {
            Ok(records) => {
                readings = readings.saturating_add(1);
                for misses in live.alive.values_mut() {
                    *misses += 1;
                }
                (live.slots, live.task_bytes) = (0, None);
                for record in records {
                    let Ok(state) = wire::decode::<WorkerState>(&record.payload) else {
                        continue;
                    };
                    if !state.draining {
                        live.slots = live.slots.saturating_add(state.slots);
                        let bytes = state.memory_bytes / u64::from(state.slots.max(1));
                        live.task_bytes =
                            Some(live.task_bytes.map_or(bytes, |least| least.min(bytes)));
                    }
                    // A new life of a worker ends its earlier ones at once.
                    live.alive.retain(|(id, incarnation), _| {
                        *id != record.id || *incarnation == record.incarnation
                    });
                    live.alive.insert((record.id, record.incarnation), 0);
                }
                live.alive.retain(|_, misses| *misses < MISSES_MAX);
                live.settled = readings >= MISSES_MAX && started.elapsed() >= PERIOD * MISSES_MAX;
                sender.send_if_modified(|known| {
                    let changed = *known != live;
                    known.clone_from(&live);
                    changed
                });
            }
            Err(error) => {
                debug!(error = chain(&error), "worker records could not be read");
                if readings > 0 {
                    warn!("worker records could not be read; no worker counts as lost meanwhile");
                }
                readings = 0;
                for misses in live.alive.values_mut() {
                    *misses = 0;
                }
            }
        }
        let period = if live.alive.is_empty() {
            PERIOD_ALONE
        } else {
            PERIOD
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(period) => {}
        }
    }
}
