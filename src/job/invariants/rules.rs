//! The rules, each by the name under which it is reported.

use std::collections::{BTreeMap, BTreeSet};

use super::account::Witness;
use super::{Violation, hold, progress_adds_up};
use crate::ids::{Attempt, StageId, TaskId};
use crate::job::{Command, Event, FailureClass, JobMachine, Outcome, TaskFailure};
use crate::time::Timestamp;

impl Witness {
    /// Follows one event and says which invariant is broken, if one is.
    pub(in crate::job) fn observe(
        &mut self,
        at: Timestamp,
        event: &Event,
        commands: &[Command],
        machine: &JobMachine,
    ) -> Result<(), Violation> {
        if self.submitted_at.is_none() && !matches!(event, Event::Submitted(_)) {
            let nothing = commands.is_empty() && *machine == JobMachine::new();
            return hold("nothing comes before the submission", nothing, || {
                format!("{event:?} gave {commands:?}")
            });
        }
        let retried = self.note_retry(event);
        if self.the_first_end_stands(event, commands, machine)? {
            return Ok(());
        }
        let settled_before = self.settled();
        let open_before = self.open();
        let plan_failures_before = self.plan_failures;
        self.note(at, event, machine);
        let moved = matches!(
            event,
            Event::TaskSucceeded(_)
                | Event::TaskFailed(_)
                | Event::WorkerLost { .. }
                | Event::Moved { .. }
                | Event::Retried { .. }
        );
        if moved {
            let missed = self.missed_winner(event, &settled_before);
            let stood = self.standing();
            self.note_winners(at, event, machine);
            let made_again = missed.is_none_or(|run| self.run_of(run.0) != Some(run.1));
            hold("a lost input is made again", made_again, || {
                format!("{missed:?} still stands after {event:?}")
            })?;
            let may_lose = missed.is_some()
                || retried == Some(true)
                || matches!(event, Event::WorkerLost { .. } | Event::Moved { .. });
            let fewer = self.standing() < stood;
            hold("winners are lost for a cause", may_lose || !fewer, || {
                format!("{event:?} took winners")
            })?;
            if retried == Some(true) {
                self.nothing_dropped_is_needed()?;
            }
            self.winners_come_from_the_log()?;
            self.needed_winners_are_on_lives_not_known_lost()?;
        }
        let (dead_before, doubled_before) = (self.dead.clone(), self.doubled.clone());
        let charge = self.note_answer(event, &settled_before);
        self.who_dies_is_buried(&dead_before, commands, machine)?;
        self.a_decision_is_justified(commands, charge)?;
        self.second_runs_are_right(event, commands, &doubled_before)?;
        self.a_plan_is_asked_for_as_it_should(at, event, commands, plan_failures_before)?;
        if self.decided.is_some() {
            return Ok(());
        }
        let retry = charge.map(|(told, _)| told.task);
        if let Some((told, charged)) = charge {
            self.a_retry_waits_as_long_as_it_should(at, told, charged, commands)?;
        }
        let mut added = 0;
        for command in commands {
            added += usize::from(self.a_publish_is_right(at, command, retry, &open_before)?);
        }
        if added > 0 {
            self.the_window_is_held(at)?;
        }
        self.what_is_outstanding_was_asked_and_not_answered(machine)?;
        progress_adds_up(machine)
    }

    /// After the end nothing is asked, but by a retry; at the end, one release; returns whether the job has ended.
    fn the_first_end_stands(
        &mut self,
        event: &Event,
        commands: &[Command],
        machine: &JobMachine,
    ) -> Result<bool, Violation> {
        let name = "the first end stands";
        if self.finished.is_none() {
            let outcome = match event {
                Event::Finished { life, outcome } if *life == self.life => outcome,
                _ => {
                    hold(name, !machine.is_finished(), || {
                        format!("ended by {event:?} in life {}", self.life)
                    })?;
                    return Ok(false);
                }
            };
            self.finished = Some(outcome.clone());
            let released = commands == [Command::Release];
            hold(name, released, || {
                format!("the end gave {commands:?}, not a release")
            })?;
        } else {
            hold(name, commands.is_empty(), || {
                format!("{event:?} after the end gave {commands:?}")
            })?;
        }
        hold(name, machine.outcome() == self.finished.as_ref(), || {
            format!(
                "the log says {:?}, the machine {:?}",
                self.finished,
                machine.outcome()
            )
        })?;
        Ok(true)
    }

    fn winners_come_from_the_log(&self) -> Result<(), Violation> {
        for (stage, winners) in (0..).map(StageId).zip(&self.winners) {
            for (index, winner) in (0..).zip(winners) {
                let Some((worker, run)) = winner else {
                    continue;
                };
                let task = TaskId { stage, index };
                let logged = self.ran_well.get(&(task, *run));
                let held = logged.is_some_and(|holders| holders.contains(worker));
                hold("winners come from the log", held, || {
                    format!("{task} is won by {run} on {worker}, the log says {logged:?}")
                })?;
            }
        }
        Ok(())
    }

    /// A cancelled job's partitions are dropped: when it is retried, what is still to be read is made again.
    fn nothing_dropped_is_needed(&self) -> Result<(), Violation> {
        let settled = self.settled();
        for (number, winners) in self.winners.iter().enumerate() {
            let needed = self.is_needed(number, &settled);
            let stands = winners.iter().any(Option::is_some);
            hold("what was dropped is made again", !needed || !stands, || {
                format!("stage {number} is read and was dropped")
            })?;
        }
        Ok(())
    }

    fn needed_winners_are_on_lives_not_known_lost(&self) -> Result<(), Violation> {
        // Once the job is decided, nobody needs anything.
        if self.lost.is_empty() || self.decided.is_some() {
            return Ok(());
        }
        let settled = self.settled();
        for (number, winners) in self.winners.iter().enumerate() {
            if !self.is_needed(number, &settled) {
                continue;
            }
            for (worker, run) in winners.iter().flatten() {
                let dead = self.lost.contains(&(worker.id.clone(), worker.incarnation));
                hold("needed winners are on lives not known lost", !dead, || {
                    format!("run {run} of needed stage {number} is on lost {worker}")
                })?;
            }
        }
        Ok(())
    }

    /// A task that is not tried again gets a letter, and no other one does; the machine knows who is dead.
    fn who_dies_is_buried(
        &self,
        before: &BTreeSet<TaskId>,
        commands: &[Command],
        machine: &JobMachine,
    ) -> Result<(), Violation> {
        let died: Vec<TaskId> = self.dead.difference(before).copied().collect();
        let bury = |command: &Command| match command {
            Command::Bury { task } => Some(*task),
            _ => None,
        };
        let buried: Vec<TaskId> = commands.iter().filter_map(bury).collect();
        hold("who dies is buried", died == buried, || {
            format!("{died:?} died, {buried:?} are buried")
        })?;
        let known: Vec<TaskId> = machine.dead().map(|(task, _)| task).collect();
        let ours: Vec<TaskId> = self.dead.iter().copied().collect();
        hold("the dead are known", known == ours, || {
            format!("{ours:?} are dead, the machine says {known:?}")
        })
    }

    /// An attempt is asked for twice at most, when it straggles, while it is published and can run; what is left of the two is
    /// stopped when one has ended well.
    fn second_runs_are_right(
        &mut self,
        event: &Event,
        commands: &[Command],
        before: &BTreeMap<TaskId, Attempt>,
    ) -> Result<(), Violation> {
        for command in commands {
            match command {
                Command::PublishAgain { task, attempt } => {
                    let asked = self.asked.get(task).is_some_and(|(it, _)| it == attempt);
                    let open = self.is_open(task.stage);
                    let told = matches!(event, Event::Straggling { .. });
                    let first = self.doubled.insert(*task, *attempt).is_none();
                    hold(
                        "second runs are right",
                        asked && open && told && first,
                        || format!("{task} attempt {attempt} again, for {event:?}"),
                    )?;
                }
                Command::Stop { task, .. } => {
                    let ended = matches!(event, Event::TaskSucceeded(it) if it.task == *task);
                    let doubled = before.contains_key(task) && self.winner(*task).is_some();
                    hold("second runs are right", ended && doubled, || {
                        format!("{task} is stopped, for {event:?}")
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The job is decided once, and for a reason that the log holds; a task at the end of its attempts decides.
    fn a_decision_is_justified(
        &mut self,
        commands: &[Command],
        charge: Option<(&TaskFailure, u32)>,
    ) -> Result<(), Violation> {
        let name = "a decision is justified";
        let finish = commands.iter().find_map(|command| match command {
            Command::Finish(outcome) => Some(outcome.as_ref()),
            _ => None,
        });
        if self.decided.is_some() {
            return hold(
                "after the decision nothing is asked",
                commands.is_empty(),
                || format!("decided {:?}, then asked {commands:?}", self.decided),
            );
        }
        let max_attempts = self.options.retry.unwrap_or_default().max_attempts;
        let used_up = charge.filter(|(_, charged)| *charged >= max_attempts);
        let plan_used_up = self.shapes.is_empty() && self.plan_failures >= max_attempts.max(1);
        let dead_end = !self.dead.is_empty() && self.at_rest();
        let Some(outcome) = finish else {
            let dead = |told: &TaskFailure| self.dead.contains(&told.task);
            let bounded = used_up.is_none_or(|(told, _)| dead(told));
            hold("attempts are bounded", bounded && !plan_used_up, || {
                let plans = self.plan_failures;
                format!("{used_up:?}, {plans} plans of {max_attempts}, and the job goes on")
            })?;
            hold("nothing waits for the dead", !dead_end, || {
                format!("{:?} are dead, and the job goes on", self.dead)
            })?;
            let all_settled =
                !self.shapes.is_empty() && self.settled().iter().all(|settled| *settled);
            hold("a poison job is given up", !self.worn_out, || {
                format!("{:?} took it up, and it goes on", self.holds)
            })?;
            return hold(name, !all_settled, || {
                "all is done, and the job goes on".to_owned()
            });
        };
        self.decided = Some(outcome.clone());
        self.asked.clear();
        self.doubled.clear();
        let justified = match outcome {
            Outcome::Succeeded => self.settled().iter().all(|settled| *settled),
            Outcome::Cancelled => self.cancel_seen,
            Outcome::Failed { failure, .. } if failure.code == "deadline" => self.deadline_seen,
            Outcome::Failed { failure, .. } if failure.code == "poison-job" => self.worn_out,
            Outcome::Failed { failure, .. } => match failure.class {
                FailureClass::Retry { .. } => used_up.is_some() || plan_used_up,
                FailureClass::Timeout | FailureClass::Panic => dead_end || plan_used_up,
                FailureClass::Poison => dead_end,
                FailureClass::Fatal => true,
                FailureClass::InputLost(_) | FailureClass::WorkerGone | FailureClass::Cancelled => {
                    return hold("only own failures are charged", false, || {
                        format!("{outcome:?}")
                    });
                }
            },
        };
        hold(name, justified, || {
            format!("{outcome:?}; charged {charge:?} of {max_attempts}")
        })
    }

    /// A plan is asked for when a life begins without one, and once more after each failed try that may be tried again,
    /// after the wait of a task that failed as often.
    fn a_plan_is_asked_for_as_it_should(
        &self,
        at: Timestamp,
        event: &Event,
        commands: &[Command],
        failures_before: u32,
    ) -> Result<(), Violation> {
        let asked = commands.iter().find_map(|command| match command {
            Command::Plan {
                attempt,
                not_before,
            } => Some((attempt.0, u64::try_from(not_before.0 - at.0).unwrap_or(0))),
            _ => None,
        });
        let failures = self.plan_failures;
        let failed = failures > failures_before;
        let begins = matches!(event, Event::Submitted(_) | Event::Retried { .. });
        let right = match asked {
            None => !failed || self.decided.is_some(),
            Some((attempt, wait)) if failed => {
                let asked_ms = match event {
                    Event::PlanFailed { failure, .. } => match failure.class {
                        FailureClass::Retry { after_ms } => after_ms.unwrap_or(0),
                        _ => 0,
                    },
                    _ => 0,
                };
                let (least, most) = self.wait_us(failures, asked_ms);
                attempt == failures && (least..=most).contains(&wait)
            }
            Some(asked) => begins && self.shapes.is_empty() && asked == (0, 0),
        };
        hold("a plan is asked for as it should", right, || {
            format!("{asked:?} after {failures} failures, the last {failed}: {event:?}")
        })
    }

    /// The least and the most wait after so many failures, in microseconds.
    fn wait_us(&self, failures: u32, asked_ms: u64) -> (u64, u64) {
        let retry = self.options.retry.unwrap_or_default();
        let doubled = 1u64.checked_shl(failures.saturating_sub(1));
        let full_ms = retry.base_ms.saturating_mul(doubled.unwrap_or(u64::MAX));
        let full_us = full_ms.min(retry.max_ms).saturating_mul(1000);
        let asked_us = asked_ms.saturating_mul(1000);
        ((full_us / 2).max(asked_us), full_us.max(asked_us))
    }

    fn a_retry_waits_as_long_as_it_should(
        &self,
        at: Timestamp,
        told: &TaskFailure,
        charged: u32,
        commands: &[Command],
    ) -> Result<(), Violation> {
        let asked_ms = match told.failure.class {
            FailureClass::Retry { after_ms } => after_ms.unwrap_or(0),
            _ => 0,
        };
        let (least, most) = self.wait_us(charged, asked_ms);
        for command in commands {
            let Command::Publish {
                task, not_before, ..
            } = command
            else {
                continue;
            };
            if *task == told.task {
                let wait = u64::try_from(not_before.0 - at.0).unwrap_or(0);
                hold(
                    "a retry waits as long as it should",
                    (least..=most).contains(&wait),
                    || format!("{task} waits {wait} us, not {least} to {most}"),
                )?;
            }
        }
        Ok(())
    }

    /// A publish names a task without a winner, whose inputs all stand, with a number that was never used
    /// before, or it repeats what was asked. Returns whether it takes a new place in the window: a retry takes
    /// its own, also one that had to wait until its stage was open again.
    fn a_publish_is_right(
        &mut self,
        at: Timestamp,
        command: &Command,
        retry: Option<TaskId>,
        open_before: &[bool],
    ) -> Result<bool, Violation> {
        let Command::Publish {
            task,
            attempt,
            not_before,
        } = command
        else {
            return Ok(false);
        };
        let free = self.winner(*task).is_none();
        hold("only tasks without a winner are published", free, || {
            format!("{task} attempt {attempt}")
        })?;
        hold("the dead are left alone", !self.dead.contains(task), || {
            format!("{task} attempt {attempt}")
        })?;
        let stage = task.stage.0 as usize;
        let open = self.is_open(task.stage);
        let readers = "readers are published only when all their inputs stand";
        hold(readers, open, || format!("{task} attempt {attempt}"))?;
        if let Some(asked) = self.asked.get(task) {
            let same = *asked == (*attempt, *not_before);
            hold("what is asked twice is the same", same, || {
                format!("{task}: {asked:?}, then {attempt} at {not_before:?}")
            })?;
            return Ok(false);
        }
        let before = self.last_attempt.insert(*task, *attempt);
        let grows = before.is_none_or(|before| before < *attempt);
        hold("attempt numbers grow", grows, || {
            format!("{task}: {before:?}, then {attempt}")
        })?;
        let charged = self.charged.contains_key(task);
        let waits = *not_before > at;
        hold(
            "only a charged failure makes a task wait",
            charged || !waits,
            || format!("{task} attempt {attempt} waits until {not_before:?}"),
        )?;
        self.asked.insert(*task, (*attempt, *not_before));
        let opened = open_before.get(stage) == Some(&false);
        let retried = retry == Some(*task) || (opened && charged);
        Ok(!waits && !retried)
    }

    /// When a task was added, no more than a window is due.
    fn the_window_is_held(&self, at: Timestamp) -> Result<(), Violation> {
        let open = self.open();
        let is_open = |task: &TaskId| open.get(task.stage.0 as usize) == Some(&true);
        let due = self
            .asked
            .iter()
            .filter(|(task, (_, not_before))| *not_before <= at && is_open(task));
        let due = due.count();
        let last = self.completions.last().copied().unwrap_or(0);
        let within = |second: i64| self.completions.iter().filter(|s| **s == second).count();
        let by_rate = within(last).max(within(last - 1));
        let limit = by_rate.max(4 * self.slots as usize).max(16);
        hold("the window is held", due <= limit, || {
            format!("{due} tasks are due, {limit} may be")
        })
    }

    fn what_is_outstanding_was_asked_and_not_answered(
        &self,
        machine: &JobMachine,
    ) -> Result<(), Violation> {
        let open = self.open();
        let is_open = |task: &TaskId| open.get(task.stage.0 as usize) == Some(&true);
        let ours = self.asked.iter().filter(|(task, _)| is_open(task));
        let ours: Vec<_> = ours
            .map(|(task, (attempt, moment))| (*task, *attempt, *moment))
            .collect();
        let publish = |command: Command| match command {
            Command::Publish {
                task,
                attempt,
                not_before,
            } => Some((task, attempt, not_before)),
            _ => None,
        };
        let theirs: Vec<_> = machine
            .outstanding()
            .into_iter()
            .filter_map(publish)
            .collect();
        hold(
            "what is outstanding was asked and not answered",
            ours == theirs,
            || format!("asked {ours:?}, outstanding {theirs:?}"),
        )?;
        let plan = |command: &Command| match command {
            Command::Plan { attempt, .. } => Some(attempt.0),
            _ => None,
        };
        let theirs = machine.outstanding().iter().find_map(plan);
        let wanted = self.waits_for_plan(self.life).then_some(self.plan_failures);
        // A plan without a stage stands, and is the end.
        hold(
            "what is outstanding was asked and not answered",
            theirs == wanted,
            || format!("plan {wanted:?}, outstanding {theirs:?}"),
        )?;
        let again = |command: Command| match command {
            Command::PublishAgain { task, attempt } => Some((task, attempt)),
            _ => None,
        };
        let theirs: Vec<_> = machine
            .outstanding()
            .into_iter()
            .filter_map(again)
            .collect();
        let doubled = self.doubled.iter().map(|(task, attempt)| (*task, *attempt));
        let ours: Vec<_> = doubled.filter(|(task, _)| is_open(task)).collect();
        hold(
            "what is outstanding was asked and not answered",
            ours == theirs,
            || format!("asked again {ours:?}, outstanding {theirs:?}"),
        )
    }
}
