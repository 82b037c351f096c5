//! How long a task waits before it is tried again: exponential, with jitter from the job's seed.

use std::time::Duration;

use crate::ids::{Attempt, TaskId};
use crate::spec::RetryPolicy;

/// The longest wait of all, in milliseconds: a source that asks for a year gets an hour, so that the
/// job ends in a time that somebody may wait for.
const WAIT_MS_MAX: u64 = 3_600_000;

/// Computes the wait before `attempt`, after `charged` failures of the task's own.
///
/// The wait doubles from `base_ms` up to `max_ms`; of that, between a half and the whole is taken, so that tasks
/// that failed together do not come back together. It is never shorter than the source asked for
/// (`after_ms`), and never longer than an hour. The same seed, task and attempt give the same wait.
pub(crate) fn wait(
    policy: &RetryPolicy,
    charged: u32,
    after_ms: Option<u64>,
    seed: u64,
    task: TaskId,
    attempt: Attempt,
) -> Duration {
    let doublings = charged.saturating_sub(1).min(63);
    let full_ms = policy
        .base_ms
        .saturating_mul(1 << doublings)
        .min(policy.max_ms)
        .min(WAIT_MS_MAX);
    let full_us = full_ms * 1000;
    let place = (u64::from(task.stage.0) << 32) | u64::from(task.index);
    let draw = mix(mix(mix(seed) ^ place) ^ u64::from(attempt.0));
    let half_us = full_us / 2;
    let jittered = Duration::from_micros(full_us - half_us + draw % (half_us + 1));
    let asked = Duration::from_millis(after_ms.unwrap_or(0).min(WAIT_MS_MAX));
    jittered.max(asked)
}

/// The next number of SplitMix64 (Steele, Lea, Flood 2014, *Fast splittable pseudorandom number generators*).
pub(crate) const fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StageId;

    fn check(
        base_ms: u64,
        max_ms: u64,
        charged: u32,
        after_ms: Option<u64>,
        between_ms: (u64, u64),
    ) {
        let policy = RetryPolicy {
            max_attempts: 9,
            base_ms,
            max_ms,
        };
        for index in 0..200 {
            let task = TaskId {
                stage: StageId(1),
                index,
            };
            let wait = wait(&policy, charged, after_ms, 7, task, Attempt(charged));
            let (least, most) = between_ms;
            assert!(
                wait >= Duration::from_millis(least),
                "{wait:?} under {least} ms"
            );
            assert!(
                wait <= Duration::from_millis(most),
                "{wait:?} over {most} ms"
            );
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_keeps_at_least_a_half() {
        check(500, 60_000, 1, None, (250, 500));
        check(500, 60_000, 2, None, (500, 1_000));
        check(500, 60_000, 4, None, (2_000, 4_000));
        check(500, 60_000, 40, None, (30_000, 60_000));
        check(0, 60_000, 3, None, (0, 0));
    }

    #[test]
    fn the_source_is_not_asked_earlier_than_it_said_nor_waited_for_for_ever() {
        check(500, 60_000, 1, Some(9_000), (9_000, 9_000));
        check(500, 60_000, 1, Some(u64::MAX), (3_600_000, 3_600_000));
        check(u64::MAX, u64::MAX, u32::MAX, None, (1_800_000, 3_600_000));
    }

    #[test]
    fn tasks_that_failed_together_do_not_come_back_together() {
        let policy = RetryPolicy::default();
        let waits: std::collections::BTreeSet<_> = (0..100)
            .map(|index| TaskId {
                stage: StageId(0),
                index,
            })
            .map(|task| wait(&policy, 1, None, 7, task, Attempt(1)))
            .collect();
        assert!(waits.len() > 90, "only {} different waits", waits.len());
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // First two outputs for seed 0, from the reference C code of S. Vigna, prng.di.unimi.it/splitmix64.c.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(0x9E37_79B9_7F4A_7C15), 0x6E78_9E6A_A1B9_65F4);
    }
}
