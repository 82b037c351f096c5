//! The virtual broker: a log with an order, and a queue that delivers at least once.

use std::collections::BTreeMap;

use super::rng::Rng;
use crate::ids::{Attempt, ExecutionId, TaskId, WorkerRef};
use crate::job::Event;
use crate::time::Timestamp;

/// How long a lease lasts, in microseconds.
pub(super) const LEASE: i64 = 300_000;
/// How long the broker remembers an id: short, so that it is seen to forget.
const REMEMBERED: i64 = 400_000;

/// What a worker is told of one input.
#[derive(Clone)]
pub(super) struct Input {
    pub(super) task: TaskId,
    pub(super) execution: ExecutionId,
    pub(super) worker: WorkerRef,
}

/// What a worker is given.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    /// Whether it is a second message of the attempt.
    pub(super) again: bool,
    pub(super) inputs: Vec<Input>,
}

struct Queued {
    message: Message,
    visible_at: i64,
    /// Who works on it, if its lease has not run out.
    holder: Option<WorkerRef>,
}

/// What became of a message that was published.
#[derive(PartialEq, Eq)]
pub(super) enum Published {
    New,
    Known,
    /// Taken again, since its id was forgotten.
    Again,
}

#[derive(Default)]
pub(super) struct Broker {
    pub(super) log: Vec<(Timestamp, Event)>,
    queue: BTreeMap<u64, Queued>,
    next: u64,
    ids: BTreeMap<(TaskId, Attempt, bool), i64>,
}

impl Broker {
    pub(super) fn publish(&mut self, now: i64, visible_at: i64, message: Message) -> Published {
        let id = (message.task, message.attempt, message.again);
        let known = self.ids.get(&id).copied();
        if known.is_some_and(|at| now - at < REMEMBERED) {
            return Published::Known;
        }
        self.ids.insert(id, now);
        self.next += 1;
        self.queue.insert(
            self.next,
            Queued {
                message,
                visible_at,
                holder: None,
            },
        );
        if known.is_some() {
            Published::Again
        } else {
            Published::New
        }
    }

    /// Returns when an attempt was last taken as a new message.
    pub(super) fn published_at(&self, task: TaskId, attempt: Attempt) -> Option<i64> {
        let ids = [false, true].map(|again| self.ids.get(&(task, attempt, again)).copied());
        ids.into_iter().flatten().max()
    }

    /// Leases any visible message, in no order; `deliver_twice` leaves it visible to others.
    pub(super) fn pull(
        &mut self,
        now: i64,
        rng: &mut Rng,
        worker: &WorkerRef,
        deliver_twice: bool,
    ) -> Option<(u64, Message)> {
        let visible = |queued: &Queued| queued.visible_at <= now;
        let ready: Vec<u64> = self
            .queue
            .iter()
            .filter(|(_, queued)| visible(queued))
            .map(|(id, _)| *id)
            .collect();
        if ready.is_empty() {
            return None;
        }
        let id = ready[rng.index(ready.len())];
        let queued = self.queue.get_mut(&id)?;
        queued.holder = Some(worker.clone());
        queued.visible_at = if deliver_twice { now } else { now + LEASE };
        Some((id, queued.message.clone()))
    }

    /// Extends the lease, whoever holds it by now.
    pub(super) fn extend(&mut self, now: i64, id: u64) {
        if let Some(queued) = self.queue.get_mut(&id) {
            queued.visible_at = now + LEASE;
        }
    }

    /// Removes a message, also for a holder whose lease ran out; tells whether another held it.
    pub(super) fn settle(&mut self, id: u64, worker: &WorkerRef) -> bool {
        let queued = self.queue.remove(&id);
        queued.is_some_and(|queued| queued.holder.is_some_and(|holder| holder != *worker))
    }
}
