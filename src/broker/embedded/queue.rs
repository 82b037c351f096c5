//! One kind of queue: messages by name and priority, leases with deadlines, pulls that wait.
//!
//! A message stays in `messages` until it is settled; the other collections hold keys, and a key
//! whose message has moved on since is skipped.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::memory_of_ids::RecentIds;
use super::{EmbeddedConfig, lock};
use crate::broker::{Delivery, Error, Lane, Lease, Message, turn_begins};
use crate::ids::QueueName;
use crate::spec::Priority;

/// A queue that can be waited for.
#[derive(Debug)]
pub(super) struct WaitingQueue {
    name: char,
    state: Mutex<LeasedQueue>,
    /// Told whenever a message may have become ready.
    ready: Notify,
}

impl WaitingQueue {
    pub(super) fn new(name: char, lease: Duration, config: &EmbeddedConfig) -> Self {
        Self {
            name,
            state: Mutex::new(LeasedQueue {
                lease,
                messages_max: config.queue_messages_max,
                ids: RecentIds::new(config.duplicate_window),
                next_key: 0,
                messages: HashMap::new(),
                lanes: HashMap::new(),
                turn: 0,
                due: BTreeSet::new(),
            }),
            ready: Notify::new(),
        }
    }

    pub(super) fn publish(&self, messages: Vec<Message>) -> Result<(), Error> {
        let recorded = lock(&self.state).publish(messages, Instant::now());
        self.ready.notify_waiters();
        recorded
    }

    pub(super) async fn pull(
        &self,
        names: &[QueueName],
        max: usize,
        wait: Duration,
    ) -> Vec<Delivery> {
        let deadline = Instant::now() + wait;
        if max == 0 {
            return Vec::new();
        }
        loop {
            let told = self.ready.notified();
            tokio::pin!(told);
            // Listens before looking, so that no message comes unnoticed in between.
            told.as_mut().enable();
            let now = Instant::now();
            let (found, due) = {
                let mut state = lock(&self.state);
                (state.take(self.name, names, max, now), state.next_due())
            };
            if !found.is_empty() || now >= deadline {
                return found;
            }
            let until = due.map_or(deadline, |due| due.min(deadline));
            // Whether told or due, the next round looks again.
            let _ = timeout_at(until, told).await;
        }
    }

    /// Returns the key of a lease of this queue.
    pub(super) fn key_of(&self, lease: &Lease) -> Option<u64> {
        lease.0.strip_prefix(self.name)?.parse().ok()
    }

    pub(super) fn extend(&self, key: u64) {
        lock(&self.state).extend(key, Instant::now());
    }

    pub(super) fn remove(&self, key: u64) {
        lock(&self.state).remove(key);
    }

    pub(super) fn retry(&self, key: u64, delay: Duration) {
        lock(&self.state).retry(key, Instant::now() + delay);
        self.ready.notify_waiters();
    }
}

#[derive(Debug)]
struct LeasedQueue {
    lease: Duration,
    messages_max: Option<u64>,
    ids: RecentIds,
    next_key: u64,
    messages: HashMap<u64, Held>,
    /// By priority, then by lane.
    lanes: HashMap<QueueName, [[Keys; 2]; 3]>,
    /// Counts what was taken: one of a few comes from the second lane first, and the names take turns.
    turn: usize,
    /// When leases and delays end.
    due: BTreeSet<(Instant, u64)>,
}

#[derive(Debug, Default)]
struct Keys {
    /// Delivered before; they go before the fresh ones.
    again: VecDeque<u64>,
    fresh: VecDeque<u64>,
}

impl Keys {
    fn pop(&mut self) -> Option<u64> {
        self.again.pop_front().or_else(|| self.fresh.pop_front())
    }
}

#[derive(Debug)]
struct Held {
    id: String,
    payload: Bytes,
    place: Place,
    deliveries: u64,
    /// `None` while it is ready, else when its lease or delay ends.
    until: Option<Instant>,
}

/// Where the key of a message waits: queue, priority, lane.
#[derive(Debug, Clone)]
struct Place(QueueName, usize, usize);

impl LeasedQueue {
    fn publish(&mut self, messages: Vec<Message>, now: Instant) -> Result<(), Error> {
        for message in messages {
            if self.ids.contains(&message.id, now) {
                continue;
            }
            if let Some(max) = self.messages_max
                && self.messages.len() as u64 >= max
            {
                let reason = format!("the queue holds {max} messages, its limit");
                return Err(Error::Full { reason });
            }
            self.ids.insert(message.id.clone(), now);
            let key = self.next_key;
            self.next_key += 1;
            let lane = usize::from(message.lane == Lane::Rest);
            let place = Place(message.queue, rank(message.priority), lane);
            if let Some(keys) = self.keys(&place) {
                keys.fresh.push_back(key);
            }
            let held = Held {
                id: message.id,
                payload: message.payload,
                place,
                deliveries: 0,
                until: None,
            };
            self.messages.insert(key, held);
        }
        Ok(())
    }

    fn take(&mut self, name: char, names: &[QueueName], max: usize, now: Instant) -> Vec<Delivery> {
        self.end_due(now);
        let mut found = Vec::new();
        while found.len() < max
            && let Some(key) = self.next_key(names)
        {
            let Some(held) = self.messages.get_mut(&key).filter(|m| m.until.is_none()) else {
                continue;
            };
            let until = now + self.lease;
            held.until = Some(until);
            held.deliveries += 1;
            self.turn = self.turn.wrapping_add(1);
            self.due.insert((until, key));
            found.push(Delivery {
                id: held.id.clone(),
                payload: held.payload.clone(),
                deliveries: held.deliveries,
                lease: Lease(format!("{name}{key}")),
            });
        }
        found
    }

    fn next_key(&mut self, names: &[QueueName]) -> Option<u64> {
        let (lane, begins) = turn_begins(self.turn, names.len());
        let (later, sooner) = names.split_at_checked(begins)?;
        for name in sooner.iter().chain(later) {
            let priorities = self.lanes.get_mut(name).into_iter().flatten();
            let mut lanes = priorities.flat_map(|[first, rest]| match lane {
                Lane::First => [first, rest],
                Lane::Rest => [rest, first],
            });
            if let Some(key) = lanes.find_map(Keys::pop) {
                return Some(key);
            }
        }
        None
    }

    fn keys(&mut self, Place(name, priority, lane): &Place) -> Option<&mut Keys> {
        let lanes = self.lanes.entry(name.clone()).or_default();
        lanes.get_mut(*priority)?.get_mut(*lane)
    }

    /// Makes ready what was leased or delayed until now.
    fn end_due(&mut self, now: Instant) {
        while let Some((until, key)) = self.due.first().copied()
            && until <= now
        {
            self.due.pop_first();
            if let Some(held) = self.messages.get_mut(&key) {
                held.until = None;
                let place = held.place.clone();
                if let Some(keys) = self.keys(&place) {
                    keys.again.push_back(key);
                }
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(until, _)| *until)
    }

    /// Extends the lease of whoever holds the message now, as JetStream does; one that ran out
    /// stays so.
    fn extend(&mut self, key: u64, now: Instant) {
        let until = now + self.lease;
        if let Some(held) = self.messages.get_mut(&key)
            && let Some(old) = held.until.as_mut()
            && *old > now
        {
            self.due.remove(&(*old, key));
            *old = until;
            self.due.insert((until, key));
        }
    }

    fn remove(&mut self, key: u64) {
        if let Some(held) = self.messages.remove(&key)
            && let Some(until) = held.until
        {
            self.due.remove(&(until, key));
        }
    }

    fn retry(&mut self, key: u64, at: Instant) {
        if let Some(held) = self.messages.get_mut(&key) {
            if let Some(old) = held.until.replace(at) {
                self.due.remove(&(old, key));
            }
            self.due.insert((at, key));
        }
    }
}

fn rank(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}
