//! How many tasks may be on the queue at once.
//!
//! Enough that no slot waits for a message, so few that a large job does not bury a small one. For tiny tasks a
//! few messages a slot are not enough: the window then follows what was done in the last second, by the
//! times of the log, so that it is the same in every replay.

use crate::time::Timestamp;

/// The least window, also before anything is known of the cluster.
pub(crate) const WINDOW_MIN: u32 = 16;
/// Messages on the queue for each slot of the cluster.
pub(crate) const WINDOW_PER_SLOT: u32 = 4;
/// The most that slots alone can make of the window.
pub(crate) const WINDOW_SLOTS_MAX: u32 = 16_384;
/// The most that speed alone can make of the window.
pub(crate) const WINDOW_RATE_MAX: u32 = 4_096;

/// Knows the cluster's slots and the job's speed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Window {
    slots: u32,
    /// The second of the log in which a task last ended well.
    second: i64,
    /// Tasks that ended well in it.
    this_second: u32,
    /// Tasks that ended well in the second before it.
    second_before: u32,
}

impl Window {
    /// Notes how many slots the cluster has.
    pub(crate) const fn set_slots(&mut self, slots: u32) {
        self.slots = slots;
    }

    /// Notes that a task ended well. A time before the latest counts as the latest.
    pub(crate) fn completed(&mut self, at: Timestamp) {
        let second = at.0.div_euclid(1_000_000);
        if second > self.second {
            let adjacent = second - 1 == self.second;
            self.second_before = if adjacent { self.this_second } else { 0 };
            self.this_second = 0;
            self.second = second;
        }
        self.this_second = self.this_second.saturating_add(1);
    }

    /// Returns how many tasks may be on the queue at once.
    pub(crate) fn size(&self) -> u32 {
        let by_slots = self
            .slots
            .saturating_mul(WINDOW_PER_SLOT)
            .min(WINDOW_SLOTS_MAX);
        let by_rate = self
            .this_second
            .max(self.second_before)
            .min(WINDOW_RATE_MAX);
        WINDOW_MIN.max(by_slots).max(by_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(slots: u32, completed_at_ms: impl IntoIterator<Item = i64>, expected: u32) {
        let mut window = Window::default();
        window.set_slots(slots);
        for ms in completed_at_ms {
            window.completed(Timestamp(ms * 1000));
        }
        assert_eq!(window.size(), expected);
    }

    #[test]
    fn the_window_follows_slots_and_speed_within_its_bounds() {
        check(0, [], 16);
        check(3, [], 16);
        check(100, [], 400);
        check(u32::MAX, [], 16_384);
        check(4, (0..100).map(|i| 5_000 + i), 100);
        check(4, (0..100_000).map(|_| 5_000), 4_096);
    }

    #[test]
    fn speed_of_the_second_before_still_counts_and_older_speed_does_not() {
        let fast = || (0..100).map(|i| 5_000 + i);
        check(4, fast().chain([6_000]), 100);
        check(4, fast().chain([7_000]), 16);
        check(4, fast().chain([6_000, 2_000, i64::MIN / 1000]), 100);
    }
}
