//! Which runs take far longer than their peers did.

use std::collections::BTreeMap;

use super::live::LongRun;
use crate::ids::{Attempt, StageId, TaskId};
use crate::job::{Event, StageProgress};
use crate::spec::Speculation;

/// Buckets of run times for each doubling.
const STEPS: f64 = 8.0;

/// How long the runs of each stage took that ended well: counts in buckets that grow by an eighth of a doubling.
#[derive(Debug, Default)]
pub(crate) struct RunTimes(BTreeMap<StageId, BTreeMap<u32, u64>>);

impl RunTimes {
    /// Notes what an event tells of run times.
    pub(crate) fn note(&mut self, event: &Event) {
        if let Event::TaskSucceeded(success) = event {
            let stage = self.0.entry(success.task.stage).or_default();
            *stage.entry(bucket(success.run_us)).or_default() += 1;
        }
    }

    /// Returns the median of a stage, in microseconds, to a tenth.
    fn median_us(&self, stage: StageId) -> Option<f64> {
        let buckets = self.0.get(&stage)?;
        let half = buckets.values().sum::<u64>().div_ceil(2);
        let mut seen = 0;
        let middle = buckets.iter().find_map(|(bucket, count)| {
            seen += count;
            (seen >= half).then_some(*bucket)
        })?;
        Some((f64::from(middle) / STEPS).exp2())
    }

    /// Lists the attempts of which a run takes far longer than its peers did.
    pub(crate) fn stragglers<'a>(
        &self,
        policy: &Speculation,
        stages: &[StageProgress],
        runs: impl Iterator<Item = &'a LongRun>,
    ) -> Vec<(TaskId, Attempt)> {
        let far = |run: &&LongRun| {
            let stage = stages.get(run.task.stage.0 as usize);
            let done = stage.is_some_and(|stage| {
                stage.done > 0 && f64::from(stage.done) >= policy.quantile * f64::from(stage.tasks)
            });
            let elapsed_us = run.elapsed_ms as f64 * 1e3;
            let limit = |median: f64| (median * policy.factor).max(policy.least_ms as f64 * 1e3);
            let median = self.median_us(run.task.stage);
            done && median.is_some_and(|median| elapsed_us > limit(median))
        };
        runs.filter(far)
            .map(|run| (run.task, run.attempt))
            .collect()
    }
}

fn bucket(run_us: u64) -> u32 {
    let steps = (run_us.max(1) as f64).log2() * STEPS;
    // At most 64 doublings.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 512"
    )]
    let bucket = steps as u32;
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ExecutionId, Incarnation, JobId, WorkerId, WorkerRef};
    use crate::job::TaskSuccess;

    fn task(index: u32) -> TaskId {
        TaskId {
            stage: StageId(0),
            index,
        }
    }

    fn ended(index: u32, run_us: u64) -> Event {
        Event::TaskSucceeded(TaskSuccess {
            task: task(index),
            attempt: Attempt(0),
            execution: ExecutionId(1),
            worker: WorkerRef {
                id: WorkerId::new("w").unwrap(),
                incarnation: Incarnation(1),
                flight: String::new(),
            },
            run_us,
            stored_bytes: 0,
            result: None,
        })
    }

    fn run(index: u32, elapsed_ms: u64) -> LongRun {
        LongRun {
            job: JobId::new("a").unwrap(),
            task: task(index),
            attempt: Attempt(3),
            elapsed_ms,
        }
    }

    fn found(done: u32, elapsed_ms: u64, run_us: u64) -> bool {
        let mut times = RunTimes::default();
        for index in 0..done {
            // One long run among the peers does not move the median.
            times.note(&ended(index, if index == 0 { run_us * 50 } else { run_us }));
        }
        let stages = [StageProgress {
            tasks: 8,
            done,
            ..StageProgress::default()
        }];
        let runs = [run(7, elapsed_ms)];
        let found = times.stragglers(&Speculation::default(), &stages, runs.iter());
        found == [(task(7), Attempt(3))]
    }

    #[test]
    fn a_run_straggles_at_three_times_the_median_once_three_quarters_are_done() {
        // A bucket is at most 9 % below what it holds.
        assert!(found(6, 3_100, 1_000_000));
        assert!(!found(6, 2_700, 1_000_000));
        assert!(!found(5, 60_000, 1_000_000));
        assert!(!found(0, 60_000, 1_000_000));
    }

    #[test]
    fn a_run_of_less_than_the_least_time_does_not_straggle() {
        assert!(!found(7, 1_900, 1));
        assert!(found(7, 2_100, 1));
    }
}
