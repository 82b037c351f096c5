//! The end: what the job made against the oracle, and how it ended against what was done to it.

use std::collections::BTreeSet;

use super::super::fault::Fault;
use super::super::scenario::expected_commit;
use super::{MS, Report, World};
use crate::ids::{Attempt, TaskId};
use crate::job::invariants::{Violation, a_replay_is_equal, hold};
use crate::job::{Event, FailureClass, Outcome};

impl World {
    /// Compares what the job made with what the plain pass says, and its end with what was done to it.
    pub(super) fn judge(mut self) -> Result<Report, Violation> {
        let expected = expected_commit(&self.stages);
        let Some(outcome) = self.reference.outcome().cloned() else {
            return Err(Violation {
                invariant: "every job ends",
                detail: "nothing happens".to_owned(),
            });
        };
        hold(
            "what is committed is right",
            self.commit.is_none_or(|it| it == expected),
            || format!("{:x?}, not {expected:x}", self.commit),
        )?;
        match &outcome {
            Outcome::Succeeded => hold("success commits", self.commit.is_some(), String::new)?,
            Outcome::Cancelled => self.justify(Fault::Cancelled, &outcome)?,
            Outcome::Failed { task, failure } => match failure.code.as_str() {
                "injected-retry" => self.justify_attempts(*task, Fault::Retry, &outcome)?,
                "injected-timeout" => self.justify_attempts(*task, Fault::Timeout, &outcome)?,
                "injected-panic" => self.justify_attempts(*task, Fault::Panic, &outcome)?,
                "injected-fatal" => self.justify(Fault::Fatal, &outcome)?,
                "injected-poison" => self.justify(Fault::Poison, &outcome)?,
                "injected-plan" if failure.class == FailureClass::Fatal => {
                    self.justify(Fault::PlanFailed, &outcome)?;
                }
                "injected-plan" => self.justify_plan_tries(&outcome)?,
                "poison-job" => {
                    self.counts.hit(Fault::PoisonJob);
                    let died = self.counts.of(Fault::CoordinatorDied);
                    hold("a failure has a cause", died > 0, || format!("{outcome:?}"))?;
                }
                "malformed-plan" => self.justify(Fault::PlanMalformed, &outcome)?,
                "deadline" => {
                    let due =
                        i64::try_from(self.deadline_ms.unwrap_or(u64::MAX / 4096)).unwrap() * MS;
                    let late = self.ended_at.is_some_and(|at| at >= self.begun_at + due);
                    // It is due by the stamps of records; where these never jump, it is never early.
                    let jumped = self.counts.of(Fault::StampsJumped) > 0;
                    hold("a failure has a cause", late || jumped, || {
                        format!("{outcome:?} before {due}")
                    })?;
                }
                _ => hold("a failure has a cause", false, || format!("{outcome:?}"))?,
            },
        }
        if outcome != Outcome::Succeeded && self.commit.is_some() {
            self.counts.hit(Fault::CommittedAndFailed);
        }
        for (task, cause) in self.reference.dead() {
            let letter = self.letters.contains(&(self.reference.life(), task));
            hold("every dead task has a letter", letter, || {
                format!("{task} died of {cause}")
            })?;
        }
        if matches!(&outcome, Outcome::Failed { failure, .. } if failure.message.contains("dead letters"))
        {
            self.counts.hit(Fault::DeadEnd);
        }
        a_replay_is_equal(&self.broker.log, &self.reference)?;
        for coordinator in &self.coordinators {
            let same = coordinator.machine == self.reference;
            hold("coordinators agree", same || !coordinator.done, || {
                format!("{:?} and {:?}", coordinator.machine, self.reference)
            })?;
        }
        let Self { broker, counts, .. } = self;
        Ok(Report {
            log: broker.log,
            outcome,
            counts,
        })
    }

    pub(super) fn justify(&self, cause: Fault, outcome: &Outcome) -> Result<(), Violation> {
        hold("a failure has a cause", self.counts.of(cause) > 0, || {
            format!("{outcome:?}, but {cause:?} never happened")
        })
    }

    /// Planning must have failed in this life as often as it may, each time in another try.
    fn justify_plan_tries(&self, outcome: &Outcome) -> Result<(), Violation> {
        self.justify(Fault::PlanTried, outcome)?;
        let tries = self.broker.log.iter().filter_map(|(_, event)| match event {
            Event::PlanFailed { life, attempt, .. } if *life == self.reference.life() => {
                Some(*attempt)
            }
            _ => None,
        });
        let tries: BTreeSet<Attempt> = tries.collect();
        hold(
            "a failure has a cause",
            tries.len() >= self.max_attempts(),
            || format!("{outcome:?} after {tries:?}"),
        )
    }

    fn max_attempts(&self) -> usize {
        let submission = self.reference.submission();
        let retry = submission.and_then(|it| it.options.retry);
        retry.unwrap_or_default().max_attempts as usize
    }

    /// The task must have failed by its own fault as often as it may, each time in another attempt.
    pub(super) fn justify_attempts(
        &self,
        task: Option<TaskId>,
        cause: Fault,
        outcome: &Outcome,
    ) -> Result<(), Violation> {
        self.justify(cause, outcome)?;
        let own = self.broker.log.iter().filter_map(|(_, event)| match event {
            Event::TaskFailed(told) if Some(told.task) == task => match told.failure.class {
                FailureClass::Retry { .. } | FailureClass::Timeout | FailureClass::Panic => {
                    Some(told.attempt)
                }
                _ => None,
            },
            _ => None,
        });
        let attempts: BTreeSet<Attempt> = own.collect();
        let allowed = self.max_attempts();
        hold("a failure has a cause", attempts.len() >= allowed, || {
            format!("{outcome:?} after {attempts:?} of {allowed}")
        })
    }
}
