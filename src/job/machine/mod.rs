//! The fold: events of the log in, commands for the shell out.
//!
//! How a shell uses it: replay the whole log, ignore the commands that come of it, carry out
//! [`JobMachine::outstanding`]; then follow the log and carry out what each event gives. Every command may
//! be carried out twice, and none may be skipped but two: a `Publish` of a task of which some input has no
//! winner at the moment in which its message is made (it waited out a backoff, and a worker died meanwhile): the
//! machine asks for it again when the inputs stand; and the `Release` of a life of the job that is over when the
//! next one has begun by then. A shell drives one life: it ends with that `Release`, and another one is called.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::backoff;
use super::board::Board;
use super::command::Command;
use super::error::Error;
use super::event::{Event, Outcome, Payload, StageShape, Submission};
use super::failure::{Failure, FailureClass};
use super::progress::{JobState, Progress};
use super::shape;
use crate::ids::{Attempt, ExecutionId, TaskId, WorkerId, WorkerRef};
use crate::spec::RetryPolicy;
use crate::time::Timestamp;

/// Workers that may take a job up and end before it gets any further. The next one ends the job instead.
const HOLDS_MAX: usize = 5;

/// Folds the log of one job.
///
/// It is total: any event, twice, late, in any order, gives no error and no panic. The same log gives the
/// same commands and an equal machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobMachine {
    submission: Option<Submission>,
    submitted_at: Option<Timestamp>,
    /// How often the job was retried.
    life: u32,
    /// When this life began: the deadline counts from here.
    begun_at: Option<Timestamp>,
    /// Who took the job up since it last got any further, and is not known to have got off well.
    holds: Vec<(u64, WorkerId)>,
    slots: u32,
    /// The try to plan that is asked for in this life, and the moment before which it is not to begin.
    plan_try: (Attempt, Timestamp),
    /// Why the try before it failed.
    plan_failure: Option<Failure>,
    planned_at: Option<Timestamp>,
    shapes: Vec<StageShape>,
    plan: Option<Payload>,
    /// How the operation says that a task is tried again.
    operation_retry: Option<RetryPolicy>,
    board: Option<Board>,
    /// How the job ends, as soon as that is certain.
    decided: Option<Outcome>,
    /// How the job ended: recorded in the log.
    outcome: Option<Outcome>,
    finished_at: Option<Timestamp>,
}

impl JobMachine {
    /// Makes the machine of an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds the next event of the log, recorded at `at`; returns what is to be done now.
    ///
    /// Costs O(log n) for what a task says, and O(n) for a lost worker or a retry. The first end in the log stands,
    /// until the job is retried; other events after it, and events that come too early or again, change nothing.
    pub fn apply(&mut self, at: Timestamp, event: &Event) -> Vec<Command> {
        if self.outcome.is_some() {
            return match event {
                Event::Retried { life } => self.retry(at, *life),
                _ => Vec::new(),
            };
        }
        // A log may begin with what came late to a job of the same id that was forgotten.
        if self.submission.is_none() && !matches!(event, Event::Submitted(_)) {
            return Vec::new();
        }
        if let Event::Finished { life, outcome } = event {
            if *life != self.life {
                return Vec::new();
            }
            self.close();
            self.outcome = Some(outcome.clone());
            self.finished_at = Some(at);
            return vec![Command::Release];
        }
        if self.decided.is_some() {
            return Vec::new();
        }
        let mut commands = Vec::new();
        let decided = self.fold(at, event, &mut commands);
        self.decide(at, decided, commands)
    }

    /// Adds what follows from an event: the end of the job when that is certain, else more tasks.
    fn decide(
        &mut self,
        at: Timestamp,
        decided: Option<Outcome>,
        mut commands: Vec<Command>,
    ) -> Vec<Command> {
        let dead_end = || self.board.as_ref()?.dead_end();
        match decided.or_else(|| self.success()).or_else(dead_end) {
            Some(outcome) => {
                self.close();
                self.decided = Some(outcome.clone());
                // Letters are kept before the end is recorded: then nobody looks after the job any more.
                commands.retain(|command| matches!(command, Command::Bury { .. }));
                commands.push(Command::Finish(Box::new(outcome)));
                commands
            }
            None => {
                if let Some(board) = &mut self.board {
                    board.refill(at, &mut commands);
                }
                commands
            }
        }
    }

    /// Folds an event of a job that is not decided; returns how the job ends, if this decides it.
    fn fold(
        &mut self,
        at: Timestamp,
        event: &Event,
        commands: &mut Vec<Command>,
    ) -> Option<Outcome> {
        if let Some(board) = &mut self.board {
            board.wake(at);
        }
        if is_progress(event) {
            self.holds.clear();
        }
        match event {
            Event::Submitted(submission) => {
                self.submit(at, submission, commands);
                None
            }
            Event::TakenUp { worker, hold } => self.taken_up(worker, *hold),
            Event::Held { hold } => {
                self.holds.retain(|(held, _)| held != hold);
                None
            }
            Event::Planned {
                stages,
                plan,
                retry,
            } => self.planned(at, stages, plan, *retry),
            Event::PlanFailed {
                life,
                attempt,
                failure,
            } => {
                let current = *life == self.life && *attempt == self.plan_try.0;
                (current && self.wants_plan()).then(|| self.plan_failed(at, failure, commands))?
            }
            Event::Capacity { slots } => {
                self.slots = *slots;
                if let Some(board) = &mut self.board {
                    board.set_slots(*slots);
                }
                None
            }
            Event::TaskSucceeded(success) => {
                let (task, board) = (success.task, self.board.as_mut()?);
                let doubled = board.is_doubled(task);
                board.succeed(at, success);
                if doubled && board.winner(task).is_some() {
                    let attempt = success.attempt;
                    commands.push(Command::Stop { task, attempt });
                }
                None
            }
            Event::Straggling { task, attempt } => {
                self.board.as_mut()?.double(*task, *attempt, commands);
                None
            }
            Event::TaskFailed(told) => {
                let retry = (self.retry_policy(), self.submission.as_ref()?.seed);
                self.board.as_mut()?.fail(at, told, retry, commands)
            }
            Event::Moved { from, to, runs } => {
                self.board.as_mut()?.moved(from, to, runs);
                None
            }
            Event::WorkerLost {
                worker,
                incarnation,
            } => {
                self.board.as_mut()?.worker_lost(worker, *incarnation);
                None
            }
            Event::CancelRequested => Some(Outcome::Cancelled),
            Event::DeadlineReached { life } => {
                let limit_ms = self.submission.as_ref()?.options.deadline_ms?;
                (*life == self.life).then(|| failed(None, &Error::Deadline { limit_ms }))
            }
            // Folded by the caller, whether or not the job is decided.
            Event::Finished { .. } => None,
            // There is nothing to retry before the end.
            Event::Retried { .. } => None,
        }
    }

    /// Begins the next life of a job that ended otherwise than well: what succeeded stands, but for what a
    /// cancelled job had in partitions, which are gone.
    fn retry(&mut self, at: Timestamp, life: u32) -> Vec<Command> {
        let dropped = match &self.outcome {
            Some(Outcome::Failed { .. }) => false,
            Some(Outcome::Cancelled) => true,
            Some(Outcome::Succeeded) | None => return Vec::new(),
        };
        if self.submission.is_none() || self.life.checked_add(1) != Some(life) {
            return Vec::new();
        }
        self.life = life;
        self.holds.clear();
        self.begun_at = Some(at);
        self.decided = None;
        self.outcome = None;
        self.finished_at = None;
        let mut commands: Vec<Command> = self.watch_deadline().into_iter().collect();
        match &mut self.board {
            None => {
                self.plan_try = (Attempt::default(), at);
                self.plan_failure = None;
                commands.push(self.ask_plan());
            }
            Some(board) => board.reopen(dropped),
        }
        self.decide(at, None, commands)
    }

    fn submit(&mut self, at: Timestamp, submission: &Submission, commands: &mut Vec<Command>) {
        if self.submission.is_some() {
            return;
        }
        self.submission = Some(submission.clone());
        self.submitted_at = Some(at);
        self.begun_at = Some(submission.start_at.map_or(at, |start| start.max(at)));
        self.plan_try = (Attempt::default(), at);
        commands.push(self.ask_plan());
        commands.extend(self.watch_deadline());
    }

    fn planned(
        &mut self,
        at: Timestamp,
        stages: &[StageShape],
        plan: &Payload,
        retry: Option<RetryPolicy>,
    ) -> Option<Outcome> {
        if self.submission.is_none() || self.board.is_some() {
            return None;
        }
        if let Err(error) = shape::check(stages) {
            return Some(failed(None, &error));
        }
        self.planned_at = Some(at);
        self.shapes = stages.to_vec();
        self.plan = Some(plan.clone());
        self.operation_retry = retry;
        self.board = Some(Board::new(stages, self.slots));
        None
    }

    fn taken_up(&mut self, worker: &WorkerId, hold: u64) -> Option<Outcome> {
        if self.submission.is_none() || self.has_hold(hold) {
            return None;
        }
        if self.holds.len() >= HOLDS_MAX {
            let workers = self.holds.iter().map(|(_, worker)| worker.clone());
            let workers = workers.collect();
            return Some(failed(None, &Error::KillsWhoCoordinatesIt { workers }));
        }
        self.holds.push((hold, worker.clone()));
        None
    }

    fn has_hold(&self, hold: u64) -> bool {
        self.holds.iter().any(|(held, _)| *held == hold)
    }

    /// Answers a failure of the try to plan that is asked for: the next one waits as a task's does, up to as many tries as
    /// a task may have. Returns how the job ends, if this ends it.
    fn plan_failed(
        &mut self,
        at: Timestamp,
        failure: &Failure,
        commands: &mut Vec<Command>,
    ) -> Option<Outcome> {
        let submission = self.submission.as_ref()?;
        let policy = self.retry_policy();
        let after_ms = match &failure.class {
            FailureClass::Retry { after_ms } => *after_ms,
            FailureClass::Timeout | FailureClass::Panic => None,
            FailureClass::Fatal
            | FailureClass::Poison
            | FailureClass::InputLost(_)
            | FailureClass::WorkerGone
            | FailureClass::Cancelled => return Some(unplanned(failure.clone())),
        };
        let tries = self.plan_try.0.0.saturating_add(1);
        if tries >= policy.max_attempts {
            let message = format!(
                "planning failed after {tries} {}: {}",
                if tries == 1 { "try" } else { "tries" },
                failure.message
            );
            let failure = failure.clone();
            return Some(unplanned(Failure { message, ..failure }));
        }
        let (seed, attempt) = (submission.seed, Attempt(tries));
        let wait = backoff::wait(&policy, tries, after_ms, seed, TaskId::default(), attempt);
        self.plan_try = (attempt, at.after(wait));
        self.plan_failure = Some(failure.clone());
        commands.push(self.ask_plan());
        None
    }

    /// Returns how a task that failed is tried again: as the job says, else its operation.
    fn retry_policy(&self) -> RetryPolicy {
        let job = self.submission.as_ref().and_then(|it| it.options.retry);
        job.or(self.operation_retry).unwrap_or_default()
    }

    const fn ask_plan(&self) -> Command {
        let (attempt, not_before) = self.plan_try;
        Command::Plan {
            attempt,
            not_before,
        }
    }

    /// Tells whether the job waits for its plan.
    #[must_use]
    pub const fn wants_plan(&self) -> bool {
        self.submission.is_some()
            && self.board.is_none()
            && self.decided.is_none()
            && self.outcome.is_none()
    }

    fn success(&self) -> Option<Outcome> {
        self.board
            .as_ref()?
            .is_settled()
            .then_some(Outcome::Succeeded)
    }

    fn close(&mut self) {
        if let Some(board) = &mut self.board {
            board.close();
        }
    }

    fn watch_deadline(&self) -> Option<Command> {
        let limit_ms = self.submission.as_ref()?.options.deadline_ms?;
        let at = self.begun_at?.after(Duration::from_millis(limit_ms));
        Some(Command::WatchDeadline { at })
    }

    /// Returns everything that is asked for and not yet answered, for a shell that has just replayed a log.
    ///
    /// Tasks keep the moment before which they were not to start.
    #[must_use]
    pub fn outstanding(&self) -> Vec<Command> {
        if self.outcome.is_some() {
            return vec![Command::Release];
        }
        let bury = self.dead().map(|(task, _)| Command::Bury { task });
        let mut commands: Vec<Command> = bury.collect();
        if let Some(outcome) = &self.decided {
            commands.push(Command::Finish(Box::new(outcome.clone())));
            return commands;
        }
        if self.submission.is_none() {
            return Vec::new();
        }
        commands.extend(self.watch_deadline());
        match &self.board {
            None => commands.push(self.ask_plan()),
            Some(board) => {
                commands.extend(board.asked());
                commands.extend(board.asked_twice());
            }
        }
        commands
    }

    /// Returns what a person may know of the job at a glance; costs as much as the job has stages.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let stages = self
            .board
            .as_ref()
            .map(|board| board.progress(&self.shapes));
        Progress {
            state: self.state(),
            submitted_at: self.submitted_at,
            start_at: self.submission.as_ref().and_then(|it| it.start_at),
            plan_failure: self.plan_failure.clone().filter(|_| self.wants_plan()),
            planned_at: self.planned_at,
            finished_at: self.finished_at,
            outcome: self.outcome.clone(),
            retries: self.life,
            stages: stages.unwrap_or_default(),
        }
    }

    fn state(&self) -> JobState {
        match (&self.outcome, &self.board) {
            (Some(Outcome::Succeeded), _) => JobState::Succeeded,
            (Some(Outcome::Failed { .. }), _) => JobState::Failed,
            (Some(Outcome::Cancelled), _) => JobState::Cancelled,
            (None, _) if self.decided.is_some() => JobState::Finishing,
            (None, Some(board)) if board.is_under_way() => JobState::Running,
            (None, Some(_)) => JobState::Planned,
            (None, None) if self.submission.is_some() => JobState::Submitted,
            (None, None) => JobState::Unknown,
        }
    }

    /// Returns what the client asked for: the first submission of the log.
    #[must_use]
    pub const fn submission(&self) -> Option<&Submission> {
        self.submission.as_ref()
    }

    /// Returns the moment before which the job is not to begin, while nothing but to wait for it is to be done.
    #[must_use]
    pub fn waits_until(&self) -> Option<Timestamp> {
        let waits = self.life == 0 && self.board.is_none() && self.decided.is_none();
        let submission = self
            .submission
            .as_ref()
            .filter(|_| waits && self.outcome.is_none());
        submission?.start_at
    }

    /// Returns how often the job was retried: 0 in its first life.
    #[must_use]
    pub const fn life(&self) -> u32 {
        self.life
    }

    /// Tells whether a worker that recorded that it takes the job up may carry out what is outstanding: its record has been
    /// folded, or the job is at its end.
    #[must_use]
    pub fn is_taken_up(&self, hold: u64) -> bool {
        self.decided.is_some() || self.outcome.is_some() || self.has_hold(hold)
    }

    /// Returns what tells this life of the job apart from its other ones, and from a job that was forgotten.
    #[must_use]
    pub fn seed(&self) -> u64 {
        let first = self
            .submission
            .as_ref()
            .map_or(0, |submission| submission.seed);
        first.wrapping_add(u64::from(self.life))
    }

    /// Returns the encoded plan: the first of the log.
    #[must_use]
    pub const fn plan(&self) -> Option<&Payload> {
        self.plan.as_ref()
    }

    /// Returns the stages of the plan; none before it.
    #[must_use]
    pub fn stages(&self) -> &[StageShape] {
        &self.shapes
    }

    /// Returns how this life of the job ended, once that is recorded.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Tells whether the job's end is recorded.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.outcome.is_some()
    }

    /// Returns the run whose result stands for a task: the first success, unless it was lost since.
    #[must_use]
    pub fn winner(&self, task: TaskId) -> Option<(&WorkerRef, ExecutionId)> {
        self.board.as_ref()?.winner(task)
    }

    /// Lists the tasks that are dead in this life of the job, and why.
    pub fn dead(&self) -> impl Iterator<Item = (TaskId, &Failure)> {
        self.board.iter().flat_map(Board::dead)
    }

    /// Lists the workers that the job has met and that are not known to be lost: `WorkerLost` is owed when
    /// one of them is gone.
    pub fn holders(&self) -> impl Iterator<Item = &WorkerRef> {
        self.board.iter().flat_map(Board::holders)
    }

    /// Counts the bytes that the tasks take on the heap.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.board.as_ref().map_or(0, Board::heap_bytes)
    }
}

/// Tells whether an event shows that the job got further: who coordinates it then has not died of it.
const fn is_progress(event: &Event) -> bool {
    matches!(
        event,
        Event::Planned { .. }
            | Event::PlanFailed { .. }
            | Event::TaskSucceeded(_)
            | Event::TaskFailed(_)
    )
}

const fn unplanned(failure: Failure) -> Outcome {
    Outcome::Failed {
        task: None,
        failure,
    }
}

fn failed(task: Option<TaskId>, error: &Error) -> Outcome {
    let failure = error.failure();
    Outcome::Failed { task, failure }
}
