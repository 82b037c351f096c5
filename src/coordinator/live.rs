//! Which workers live, as the broker's worker records tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::broker::Broker;
use crate::ids::{Attempt, Incarnation, JobId, QueueName, TaskId, WorkerId};
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

/// What the workers of a queue have for tasks, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Their slots.
    pub(crate) slots: u32,
    /// Those in which nothing runs.
    pub(crate) free_slots: u32,
    /// Memory of a task on the worker that gives it least.
    pub(crate) task_bytes: Option<u64>,
}

/// Which lives of which workers count as alive, and what they have for tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveWorkers {
    /// Whether enough readings have been made to tell a worker lost.
    pub(crate) settled: bool,
    capacities: BTreeMap<QueueName, Capacity>,
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
#[derive(Debug, Clone)]
struct Room {
    /// Whose tasks it runs.
    queues: Vec<QueueName>,
    slots: u32,
    free_slots: u32,
    /// Memory of one task.
    task_bytes: u64,
}

impl Capacity {
    fn add(&mut self, room: &Room) {
        self.slots = self.slots.saturating_add(room.slots);
        self.free_slots = self.free_slots.saturating_add(room.free_slots);
        let least = self.task_bytes.unwrap_or(room.task_bytes);
        self.task_bytes = Some(least.min(room.task_bytes));
    }
}

impl LiveWorkers {
    /// Returns what the workers that serve a queue have for tasks; nothing when there is none.
    pub(crate) fn capacity(&self, queue: &QueueName) -> Capacity {
        self.capacities.get(queue).copied().unwrap_or_default()
    }

    /// Takes a reading of the workers that announce themselves, with what they have for tasks; one that drains has nothing.
    fn read(&mut self, workers: impl IntoIterator<Item = (WorkerId, Incarnation, Option<Room>)>) {
        self.readings += 1;
        self.capacities.clear();
        for missed in self.missed.values_mut() {
            *missed += 1;
        }
        for (id, incarnation, room) in workers {
            for (room, queue) in room
                .iter()
                .flat_map(|room| room.queues.iter().map(move |it| (room, it)))
            {
                self.capacities.entry(queue.clone()).or_default().add(room);
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
                live.read(records.into_iter().filter_map(|record| {
                    let state = wire::decode::<WorkerState>(&record.payload).ok()?;
                    let busy = u32::try_from(state.running.len()).unwrap_or(u32::MAX);
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
                        queues: state.queues,
                        slots: state.slots,
                        free_slots: state.slots.saturating_sub(busy),
                        task_bytes: state.memory_bytes / u64::from(state.slots.max(1)),
                    });
                    Some((record.id, record.incarnation, room))
                }));
                live.long_runs = long_runs.into();
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

    fn room(queues: &str, slots: u32, task_bytes: u64) -> Option<Room> {
        let queues = queues.split(',').map(|it| QueueName::new(it).unwrap());
        Some(Room {
            queues: queues.collect(),
            slots,
            free_slots: slots - 1,
            task_bytes,
        })
    }

    /// Takes a reading that shows these lives, of one slot each.
    fn read(live: &mut LiveWorkers, lives: &[&Life]) {
        live.settled = true;
        let room = room("default", 1, 1 << 20);
        live.read(
            lives
                .iter()
                .map(|life| (life.0.clone(), life.1, room.clone())),
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
        assert_eq!(live.capacity(&QueueName::default()).slots, 1);
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
    fn what_is_planned_for_is_the_worker_of_the_queue_that_gives_a_task_least_and_does_not_drain() {
        let mut live = LiveWorkers::default();
        let workers = [
            ("a", room("default", 2, 300)),
            ("b", room("gpu,default", 1, 200)),
            ("c", room("gpu", 4, 100)),
            ("d", None),
        ];
        live.read(workers.map(|(name, room)| {
            let (id, incarnation) = life(name, 1);
            (id, incarnation, room)
        }));
        let wanted = [
            ("default", (3, 1, Some(200))),
            ("gpu", (5, 3, Some(100))),
            ("other", (0, 0, None)),
        ];
        for (queue, (slots, free_slots, task_bytes)) in wanted {
            let wanted = Capacity {
                slots,
                free_slots,
                task_bytes,
            };
            assert_eq!(live.capacity(&QueueName::new(queue).unwrap()), wanted);
        }
        live.read([]);
        assert_eq!(live.capacity(&QueueName::default()), Capacity::default());
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
