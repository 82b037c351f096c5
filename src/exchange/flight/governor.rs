//! How many streams may be open at once, and how a reader that holds them all is not left waiting for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tracing::debug;

/// How long nothing may move, while nobody waits for the network, before a stream is opened past the limits.
const QUIET: Duration = Duration::from_secs(1);

/// The same, while somebody waits for the network.
const QUIET_WAITING: Duration = Duration::from_secs(5);

/// The time between two streams that are opened past the limits.
const QUIET_NEXT: Duration = Duration::from_millis(20);

/// Lets streams be opened while their charges fit.
///
/// **No wait is forever.** A reader that merges many partitions opens all of them before it reads the first,
/// and could wait for a place that only itself can free. Such a standstill shows: places are taken and nothing
/// moves. Then waiting streams are opened past the limits, one by one.
#[derive(Debug)]
pub(super) struct Governor {
    bytes_max: u64,
    per_peer_max: usize,
    charge: u64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    bytes: u64,
    peers: HashMap<Arc<str>, usize>,
    /// Streams whose reader waits for the network now.
    waiting: usize,
    /// When something last moved, or the moment from which quiet is counted.
    moved: Instant,
}

impl Governor {
    pub(super) fn new(bytes_max: u64, per_peer_max: usize, charge: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            per_peer_max: per_peer_max.max(1),
            charge,
            state: Mutex::new(State {
                bytes: 0,
                peers: HashMap::new(),
                waiting: 0,
                moved: Instant::now(),
            }),
            changed: Notify::new(),
        })
    }

    /// Waits until a stream to `peer` may be opened.
    pub(super) async fn enter(self: &Arc<Self>, peer: &Arc<str>) -> Permit {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // From here on a change is seen, even one before the wait begins.
            changed.as_mut().enable();
            match self.try_enter(peer) {
                Ok(()) => {
                    return Permit {
                        governor: Arc::clone(self),
                        peer: Arc::clone(peer),
                        waiting: false,
                    };
                }
                // Either way it looks again.
                Err(quiet_left) => drop(timeout(quiet_left, changed).await),
            }
        }
    }

    /// Takes a place, or says how long to wait for one if nothing changes.
    fn try_enter(&self, peer: &Arc<str>) -> Result<(), Duration> {
        let now = Instant::now();
        let mut state = self.lock();
        let of_peer = state.peers.get(peer).copied().unwrap_or(0);
        let bytes = state.bytes.saturating_add(self.charge);
        // One stream may always be open, whatever its charge.
        let fits = state.bytes == 0 || (bytes <= self.bytes_max && of_peer < self.per_peer_max);
        if fits {
            state.moved = now;
        } else {
            let patience = if state.waiting == 0 {
                QUIET
            } else {
                QUIET_WAITING
            };
            let quiet = now.saturating_duration_since(state.moved);
            if quiet < patience {
                return Err(patience - quiet);
            }
            debug!(%peer, of_peer, bytes, "standstill: a stream is opened past the limits");
            state.moved = now.checked_sub(patience).unwrap_or(now) + QUIET_NEXT;
        }
        state.bytes = bytes;
        *state.peers.entry(Arc::clone(peer)).or_insert(0) += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn open_streams(&self) -> usize {
        self.lock().peers.values().sum()
    }
}

/// A place for one stream; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    governor: Arc<Governor>,
    peer: Arc<str>,
    waiting: bool,
}

impl Permit {
    /// Notes that the reader waits for the network.
    pub(super) fn waits(&mut self) {
        if !self.waiting {
            self.waiting = true;
            self.governor.lock().waiting += 1;
        }
    }

    /// Notes that the reader waits no longer; it says nothing about whether anything moves.
    pub(super) fn stops_waiting(&mut self) {
        if std::mem::take(&mut self.waiting) {
            let mut state = self.governor.lock();
            state.waiting = state.waiting.saturating_sub(1);
        }
    }

    /// Notes that a reader got something.
    pub(super) fn moves(&mut self) {
        self.stops_waiting();
        self.governor.lock().moved = Instant::now();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.moves();
        let mut state = self.governor.lock();
        state.bytes = state.bytes.saturating_sub(self.governor.charge);
        if let Some(of_peer) = state.peers.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                state.peers.remove(&self.peer);
            }
        }
        drop(state);
        self.governor.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Arc<str> {
        name.into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_given_back_is_taken_at_once() {
        let governor = Governor::new(100, 1, 10);
        let a = peer("a");
        let first = governor.enter(&a).await;
        let _other_peer = governor.enter(&peer("b")).await;
        let start = Instant::now();
        let second = {
            let governor = Arc::clone(&governor);
            tokio::spawn(async move { governor.enter(&a).await })
        };
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!second.is_finished());
        drop(first);
        drop(second.await.unwrap());
        assert!(start.elapsed() < Duration::from_millis(20));
        assert_eq!(governor.open_streams(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_bounded_over_all_peers() {
        let governor = Governor::new(100, 100, 40);
        let (a, b) = (peer("a"), peer("b"));
        let mut first = governor.enter(&a).await;
        let _second = governor.enter(&b).await;
        let third = timeout(Duration::from_millis(900), governor.enter(&b));
        assert!(third.await.is_err());
        first.moves();
        drop(first);
        let _third = governor.enter(&b).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_holds_all_places_is_let_past_the_limits_one_by_one() {
        let governor = Governor::new(20, 10, 10);
        let a = peer("a");
        let start = Instant::now();
        let mut held = vec![];
        for _ in 0..52 {
            let mut permit = governor.enter(&a).await;
            // That a stream opens frees no place: it must not pass for progress.
            permit.waits();
            permit.stops_waiting();
            held.push(permit);
        }
        // Two fit, one second shows the standstill, 49 more come 20 ms apart.
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1980), "{took:?}");
        assert!(took < Duration::from_millis(2300), "{took:?}");
        held.clear();
        assert_eq!(governor.open_streams(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_network_is_no_standstill_until_long_after() {
        let governor = Governor::new(10, 10, 10);
        let a = peer("a");
        let mut first = governor.enter(&a).await;
        first.waits();
        let start = Instant::now();
        let _second = governor.enter(&a).await;
        assert!(start.elapsed() >= QUIET_WAITING);
    }
}
