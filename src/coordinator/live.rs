//! Which workers live, as the broker's worker records tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::broker::Broker;
use crate::ids::{Attempt, Incarnation, JobId, TaskId, WorkerId};
use crate::job::failure::chain;
use crate::time::Timestamp;
use crate::wire::{self, WorkerState};

/// How often the records are read.
const PERIOD: Duration = Duration::from_secs(1);
/// How often they are read while no worker is known: this process's own is about to announce itself.
const PERIOD_ALONE: Duration = Duration::from_millis(50);
/// Readings in a row that a worker must be missing from before it counts as lost: the records of
/// all workers may lapse together when the broker was away.
const MISSES_MAX: u32 = 3;

/// Readings after which a life that is over is forgotten.
const FORGET_AFTER: u32 = 600;

/// A life of a worker.
type Life = (WorkerId, Incarnation);

/// Runs of less are not told.
const LONG_MS: u64 = 500;

/// A run that has been going on for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LongRun {
    pub(crate) job: JobId,
    pub(crate) task: TaskId,
    pub(crate) attempt: Attempt,
    pub(crate) elapsed_ms: u64,
}

/// Which lives of which workers count as alive, and their slots.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveWorkers {
    /// Whether enough readings have been made to tell a worker lost.
    pub(crate) settled: bool,
    /// Slots of all workers.
    pub(crate) slots: u32,
    /// Memory of a task on the worker that gives it least.
    pub(crate) task_bytes: Option<u64>,
    /// Slots in which nothing runs.
    pub(crate) free_slots: u32,
    /// What has been running for a while.
    pub(crate) long_runs: Arc<[LongRun]>,
    /// The broker's clock, and when that was read: the latest stamp of a record, at most a heartbeat behind.
    pub(crate) clock: Option<(Timestamp, Instant)>,
    /// Number of readings, ever.
    readings: u64,
    /// Each life that was seen, and the number of readings in a row that it has been missing from.
    missed: BTreeMap<Life, u32>,
}

/// What a worker has for tasks.
#[derive(Debug, Clone, Copy)]
struct Room {
    slots: u32,
    /// Memory of one task.
    task_bytes: u64,
}

impl LiveWorkers {
    /// Takes a reading of the workers that announce themselves, with what they have for tasks; one that drains has nothing.
    fn read(&mut self, workers: impl IntoIterator<Item = (WorkerId, Incarnation, Option<Room>)>) {
        self.readings += 1;
        (self.slots, self.task_bytes) = (0, None);
        for missed in self.missed.values_mut() {
            *missed += 1;
        }
        for (id, incarnation, room) in workers {
            if let Some(Room { slots, task_bytes }) = room {
                self.slots = self.slots.saturating_add(slots);
                let least = self.task_bytes.unwrap_or(task_bytes);
                self.task_bytes = Some(least.min(task_bytes));
            }
            // A new life of a worker ends its earlier ones at once.
            for ((other, _), missed) in &mut self.missed {
                if *other == id {
                    *missed = (*missed).max(MISSES_MAX);
                }
            }
            self.missed.insert((id, incarnation), 0);
        }
        self.missed.retain(|_, missed| *missed < FORGET_AFTER);
    }

    /// The records could not be read: what was missed until then does not count.
    fn pardon(&mut self) {
        for missed in self.missed.values_mut() {
            if *missed < MISSES_MAX {
                *missed = 0;
            }
        }
    }

    fn alive(&self) -> bool {
        self.missed.values().any(|missed| *missed < MISSES_MAX)
    }
}

/// What the coordinator of a job remembers of holders of partitions that no reading has shown yet.
#[derive(Debug, Default)]
pub(crate) struct Unseen(BTreeMap<Life, u64>);

impl Unseen {
    /// Tells whether a life of a worker is over, as far as is known.
    ///
    /// One that no reading has shown may have begun since the last one: it is lost when the next readings do not show it either.
    pub(crate) fn is_lost(&mut self, live: &LiveWorkers, life: &Life) -> bool {
        if !live.settled {
            return false;
        }
        if let Some(missed) = live.missed.get(life) {
            return *missed >= MISSES_MAX;
        }
        let since = *self.0.entry(life.clone()).or_insert(live.readings);
        live.readings.saturating_sub(since) >= u64::from(MISSES_MAX)
    }
}

/// Reads the worker records until `shutdown` and tells each reading.
pub(crate) async fn follow(
    broker: Arc<dyn Broker>,
    sender: watch::Sender<LiveWorkers>,
    shutdown: CancellationToken,
) {
    let started = Instant::now();
    let mut readings = 0u32;
    let mut live = LiveWorkers::default();
    loop {
        match broker.workers().await {
            Ok(records) => {
                readings = readings.saturating_add(1);
                let read_at = Instant::now();
                let latest = records.iter().map(|record| record.at).max();
                live.clock = latest.map(|at| (at, read_at)).or(live.clock);
                let mut long_runs = Vec::new();
                let mut free_slots = 0u32;
                live.read(records.into_iter().filter_map(|record| {
                    let state = wire::decode::<WorkerState>(&record.payload).ok()?;
                    let busy = u32::try_from(state.running.len()).unwrap_or(u32::MAX);
                    if !state.draining {
                        free_slots = free_slots.saturating_add(state.slots.saturating_sub(busy));
                    }
                    let long = state
                        .running
                        .into_iter()
                        .filter(|it| it.elapsed_ms >= LONG_MS);
                    long_runs.extend(long.map(|run| LongRun {
                        job: run.job,
                        task: run.task,
                        attempt: run.attempt,
                        elapsed_ms: run.elapsed_ms,
                    }));
                    let room = (!state.draining).then_some(Room {
                        slots: state.slots,
                        task_bytes: state.memory_bytes / u64::from(state.slots.max(1)),
                    });
                    Some((record.id, record.incarnation, room))
                }));
                (live.free_slots, live.long_runs) = (free_slots, long_runs.into());
                live.settled = readings >= MISSES_MAX && started.elapsed() >= PERIOD * MISSES_MAX;
                sender.send_replace(live.clone());
            }
            Err(error) => {
                debug!(error = chain(&error), "worker records could not be read");
                if readings > 0 {
                    warn!("worker records could not be read; no worker counts as lost meanwhile");
                }
                readings = 0;
                live.pardon();
            }
        }
        let period = if live.alive() { PERIOD } else { PERIOD_ALONE };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(period) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(name: &str, incarnation: u64) -> Life {
        (WorkerId::new(name).unwrap(), Incarnation(incarnation))
    }

    /// Takes a reading that shows these lives, of one slot each.
    fn read(live: &mut LiveWorkers, lives: &[&Life]) {
        live.settled = true;
        let room = Room {
            slots: 1,
            task_bytes: 1 << 20,
        };
        live.read(
            lives
                .iter()
                .map(|life| (life.0.clone(), life.1, Some(room))),
        );
    }

    #[test]
    fn a_worker_is_lost_once_three_readings_have_missed_it() {
        let (a, b) = (life("a", 1), life("b", 1));
        let (mut live, mut unseen) = (LiveWorkers::default(), Unseen::default());
        read(&mut live, &[&a, &b]);
        for lost in [false, false, true] {
            read(&mut live, &[&a]);
            assert_eq!(unseen.is_lost(&live, &b), lost);
            assert!(!unseen.is_lost(&live, &a));
        }
        assert_eq!(live.slots, 1);
    }

    #[test]
    fn a_worker_that_no_reading_has_shown_yet_is_not_lost() {
        let (old, new) = (life("a", 1), life("b", 1));
        let (mut live, mut unseen) = (LiveWorkers::default(), Unseen::default());
        read(&mut live, &[&old]);
        // It began after the reading and holds something already.
        assert!(!unseen.is_lost(&live, &new));
        read(&mut live, &[&old, &new]);
        assert!(!unseen.is_lost(&live, &new));
        // One that ended before anybody saw it is lost as late as any other.
        let gone = life("c", 1);
        assert!(!unseen.is_lost(&live, &gone));
        for lost in [false, false, true] {
            read(&mut live, &[&old, &new]);
            assert_eq!(unseen.is_lost(&live, &gone), lost);
        }
    }

    #[test]
    fn what_is_planned_for_is_the_worker_that_gives_a_task_least_and_does_not_drain() {
        let room = |slots, task_bytes| Some(Room { slots, task_bytes });
        let mut live = LiveWorkers::default();
        let workers = [("a", room(2, 300)), ("b", room(1, 200)), ("c", None)];
        live.read(workers.map(|(name, room)| {
            let (id, incarnation) = life(name, 1);
            (id, incarnation, room)
        }));
        assert_eq!((live.slots, live.task_bytes), (3, Some(200)));
        live.read([]);
        assert_eq!((live.slots, live.task_bytes), (0, None));
    }

    #[test]
    fn a_new_life_ends_the_one_before_at_once() {
        let (first, second) = (life("a", 1), life("a", 2));
        let (mut live, mut unseen) = (LiveWorkers::default(), Unseen::default());
        read(&mut live, &[&first]);
        assert!(!unseen.is_lost(&live, &second));
        read(&mut live, &[&second]);
        assert!(unseen.is_lost(&live, &first));
        assert!(!unseen.is_lost(&live, &second));
    }
}
