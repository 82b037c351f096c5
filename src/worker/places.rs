//! Places for pulled tasks: as many as slots, and a few more while tasks are short.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Work that may wait in this worker beyond its slots: short tasks are pulled ahead, long ones never.
const AHEAD: Duration = Duration::from_millis(20);
/// Tasks pulled ahead at most.
const AHEAD_MAX: usize = 512;
/// How long a worker rests that cannot do any task well: longer than the first waits between the tries of a task, so
/// that another worker has the next one.
const REST: Duration = Duration::from_secs(5);

/// A place for a pulled task; counts until it drops.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicUsize,
    freed: Notify,
    /// How long a task runs, averaged over the last ones, in microseconds.
    run_us: AtomicU64,
    /// No place is given away before.
    rests_until: Mutex<Option<Instant>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

impl Places {
    /// Takes a place for a pulled task.
    pub(super) fn take(self: &Arc<Self>) -> Place {
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

    /// Learns from a task how long tasks run.
    pub(super) fn learn(&self, run: Duration) {
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

    /// Gives no places away for a while: a task failed of what is wrong with this worker. It would be the first to be free
    /// again, and take all tries of all tasks.
    pub(super) fn rest(&self) {
        *self.rest_lock() = Some(Instant::now() + REST);
    }

    fn rest_lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.rests_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no place is taken: all that was pulled is recorded and settled.
    pub(super) async fn all_free(&self) {
        loop {
            let freed = self.freed.notified();
            if self.taken.load(Ordering::Relaxed) == 0 {
                return;
            }
            freed.await;
        }
    }

    /// Waits until there are places; returns how many.
    pub(super) async fn room(&self, slots: usize) -> usize {
        loop {
            let freed = self.freed.notified();
            let rests_until = *self.rest_lock();
            if let Some(until) = rests_until.filter(|until| *until > Instant::now()) {
                tokio::time::sleep_until(until).await;
                continue;
            }
            let taken = self.taken.load(Ordering::Relaxed);
            match self.capacity(slots).checked_sub(taken) {
                Some(room) if room > 0 => return room,
                _ => freed.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_places_are_free_once_the_last_one_drops() {
        let places = Arc::new(Places::default());
        places.all_free().await;
        let (first, second) = (places.take(), places.take());
        let mut free = Box::pin(places.all_free());
        assert!(futures::poll!(&mut free).is_pending());
        drop(first);
        assert!(futures::poll!(&mut free).is_pending());
        drop(second);
        assert!(futures::poll!(&mut free).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_rests_leaves_tasks_to_others_for_a_while() {
        let places = Arc::new(Places::default());
        assert_eq!(places.room(2).await, 2);
        let place = places.take();
        places.rest();
        drop(place);
        let rested = Instant::now();
        assert_eq!(places.room(2).await, 2);
        assert_eq!(rested.elapsed(), REST);
        assert_eq!(places.room(2).await, 2);
        assert_eq!(rested.elapsed(), REST);
    }
}
