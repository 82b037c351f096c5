//! Remembers ids for a while, so that the same message sent twice is one message.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// The ids seen within a window.
#[derive(Debug)]
pub(super) struct RecentIds {
    window: Duration,
    ids: HashSet<String>,
    by_age: VecDeque<(Instant, String)>,
}

impl RecentIds {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            ids: HashSet::new(),
            by_age: VecDeque::new(),
        }
    }

    /// Returns whether the id was seen within the window.
    pub(super) fn contains(&mut self, id: &str, now: Instant) -> bool {
        while let Some((at, _)) = self.by_age.front()
            && now.duration_since(*at) >= self.window
        {
            if let Some((_, old)) = self.by_age.pop_front() {
                self.ids.remove(&old);
            }
        }
        self.ids.contains(id)
    }

    /// Remembers an id that is not yet contained.
    pub(super) fn insert(&mut self, id: String, now: Instant) {
        self.ids.insert(id.clone());
        self.by_age.push_back((now, id));
    }
}
