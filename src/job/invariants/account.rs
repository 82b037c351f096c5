//! The plain account: what the log says, kept by the simplest means.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Attempt, ExecutionId, Incarnation, StageId, TaskId, WorkerId, WorkerRef};
use crate::job::{Event, FailureClass, JobMachine, Outcome, StageShape, TaskFailure};
use crate::spec::JobOptions;
use crate::time::Timestamp;

type Winners = Vec<Vec<Option<(WorkerRef, ExecutionId)>>>;

/// A plain account of a log.
#[derive(Default)]
pub(in crate::job) struct Witness {
    pub(super) options: JobOptions,
    pub(super) submitted_at: Option<Timestamp>,
    /// How often the job was retried.
    pub(super) life: u32,
    /// How many tries to plan failed in this life, of those that were asked for and may be tried again.
    pub(super) plan_failures: u32,
    /// Who took the job up since it last got further, without those that got off well.
    pub(super) holds: BTreeSet<u64>,
    /// Whether one more took it up than may die of it.
    pub(super) worn_out: bool,
    pub(super) shapes: Vec<StageShape>,
    /// The standing winners, as the machine says.
    pub(super) winners: Winners,
    /// Tasks that ever had one.
    pub(super) ever: BTreeSet<TaskId>,
    /// Published and not answered.
    pub(super) asked: BTreeMap<TaskId, (Attempt, Timestamp)>,
    /// Attempts that are asked for twice at once.
    pub(super) doubled: BTreeMap<TaskId, Attempt>,
    pub(super) last_attempt: BTreeMap<TaskId, Attempt>,
    pub(super) charged: BTreeMap<TaskId, u32>,
    /// Tasks that are not tried again in this life.
    pub(super) dead: BTreeSet<TaskId>,
    /// Every run that ended well, and who ever held its partitions, as the log says.
    pub(super) ran_well: BTreeMap<(TaskId, ExecutionId), BTreeSet<WorkerRef>>,
    pub(super) lost: BTreeSet<(WorkerId, Incarnation)>,
    pub(super) slots: u32,
    /// The second of each task that ended well.
    pub(super) completions: Vec<i64>,
    pub(super) cancel_seen: bool,
    pub(super) deadline_seen: bool,
    pub(super) decided: Option<Outcome>,
    pub(super) finished: Option<Outcome>,
}

impl Witness {
    pub(super) fn note(&mut self, at: Timestamp, event: &Event, machine: &JobMachine) {
        if self.decided.is_none() {
            self.note_hold(event);
        }
        match event {
            Event::Submitted(submission)
                if self.submitted_at.is_none() && self.decided.is_none() =>
            {
                self.options = submission.options.clone();
                self.submitted_at = Some(at);
            }
            Event::Planned { retry, .. }
                if self.shapes.is_empty() && !machine.stages().is_empty() =>
            {
                self.options.retry = self.options.retry.or(*retry);
                self.shapes = machine.stages().to_vec();
                self.winners = self
                    .shapes
                    .iter()
                    .map(|s| vec![None; s.tasks as usize])
                    .collect();
            }
            Event::PlanFailed {
                life,
                attempt,
                failure,
            } if self.waits_for_plan(*life) && attempt.0 == self.plan_failures => {
                let may_help = matches!(
                    failure.class,
                    FailureClass::Retry { .. } | FailureClass::Timeout | FailureClass::Panic
                );
                self.plan_failures += u32::from(may_help);
            }
            Event::Capacity { slots } if self.decided.is_none() => self.slots = *slots,
            // Who is lost after the decision is told again when the job is retried.
            Event::WorkerLost {
                worker,
                incarnation,
            } if self.decided.is_none() => {
                self.lost.insert((worker.clone(), *incarnation));
            }
            Event::TaskSucceeded(success) => {
                let run = (success.task, success.execution);
                let holders = self.ran_well.entry(run).or_default();
                holders.insert(success.worker.clone());
                self.goes_on(&success.worker);
            }
            Event::Moved { from, to, runs } if self.decided.is_none() => {
                self.goes_on(to);
                for (task, run) in runs {
                    if let Some(holders) = self.ran_well.get_mut(&(*task, *run))
                        && holders.contains(from)
                    {
                        holders.insert(to.clone());
                    }
                }
            }
            Event::CancelRequested => self.cancel_seen = true,
            Event::DeadlineReached { life } if *life == self.life => self.deadline_seen = true,
            _ => {}
        }
    }

    /// Who has something to say is not lost.
    fn goes_on(&mut self, worker: &WorkerRef) {
        if self.decided.is_none() {
            self.lost.remove(&(worker.id.clone(), worker.incarnation));
        }
    }

    /// Begins the next life of a job that did not end well, if that is what the event says; returns whether its
    /// partitions were dropped before.
    pub(super) fn note_retry(&mut self, event: &Event) -> Option<bool> {
        let Event::Retried { life } = event else {
            return None;
        };
        let ended = self.finished.as_ref()?;
        let next = *life == self.life + 1 && self.submitted_at.is_some();
        if !next || *ended == Outcome::Succeeded {
            return None;
        }
        let dropped = *ended == Outcome::Cancelled;
        self.life = *life;
        (self.finished, self.decided) = (None, None);
        (self.cancel_seen, self.deadline_seen) = (false, false);
        self.asked.clear();
        self.doubled.clear();
        self.charged.clear();
        self.dead.clear();
        self.plan_failures = 0;
        self.holds.clear();
        self.worn_out = false;
        Some(dropped)
    }

    fn note_hold(&mut self, event: &Event) {
        match event {
            Event::TakenUp { hold, .. } if self.submitted_at.is_some() => {
                self.worn_out = self.holds.len() == 5 && !self.holds.contains(hold);
                self.holds.insert(*hold);
            }
            Event::Held { hold } => {
                self.holds.remove(hold);
            }
            Event::Planned { .. }
            | Event::PlanFailed { .. }
            | Event::TaskSucceeded(_)
            | Event::TaskFailed(_) => self.holds.clear(),
            _ => {}
        }
    }

    pub(super) fn waits_for_plan(&self, life: u32) -> bool {
        let submitted = self.submitted_at.is_some() && life == self.life;
        submitted && self.shapes.is_empty() && self.decided.is_none()
    }

    pub(super) fn note_winners(&mut self, at: Timestamp, event: &Event, machine: &JobMachine) {
        for (stage, winners) in (0..).map(StageId).zip(&mut self.winners) {
            for (index, known) in (0..).zip(winners) {
                let task = TaskId { stage, index };
                let now = machine.winner(task);
                if known.as_ref().map(|(worker, run)| (worker, *run)) == now {
                    continue;
                }
                *known = now.map(|(worker, run)| (worker.clone(), run));
                if now.is_some() && matches!(event, Event::TaskSucceeded(_)) {
                    self.dead.remove(&task);
                    self.ever.insert(task);
                    // A time before the latest counts as the latest.
                    let second = at.0.div_euclid(1_000_000);
                    let latest = self.completions.last().copied().unwrap_or(second);
                    self.completions.push(second.max(latest));
                }
            }
        }
    }

    /// Strikes what an event answers; returns the failure that is to be charged, and its count.
    pub(super) fn note_answer<'a>(
        &mut self,
        event: &'a Event,
        settled: &[bool],
    ) -> Option<(&'a TaskFailure, u32)> {
        if self.decided.is_some() {
            return None;
        }
        match event {
            Event::TaskSucceeded(success) => {
                let task = success.task;
                let current = self
                    .asked
                    .get(&task)
                    .is_some_and(|(a, _)| *a == success.attempt);
                if current || self.winner(task).is_some() {
                    self.asked.remove(&task);
                    self.doubled.remove(&task);
                }
                None
            }
            Event::TaskFailed(told) => {
                let (attempt, _) = self.asked.get(&told.task)?;
                if *attempt != told.attempt {
                    return None;
                }
                self.asked.remove(&told.task);
                self.doubled.remove(&told.task);
                if settled.get(told.task.stage.0 as usize) == Some(&true) {
                    return None;
                }
                let dies = match told.failure.class {
                    FailureClass::Retry { .. } => false,
                    FailureClass::Timeout | FailureClass::Panic => true,
                    FailureClass::Poison => {
                        self.dead.insert(told.task);
                        return None;
                    }
                    _ => return None,
                };
                let charged = self.charged.entry(told.task).or_default();
                *charged += 1;
                if dies && *charged >= self.options.retry.unwrap_or_default().max_attempts {
                    self.dead.insert(told.task);
                }
                Some((told, *charged))
            }
            _ => None,
        }
    }

    pub(super) fn winner(&self, task: TaskId) -> Option<&(WorkerRef, ExecutionId)> {
        self.winners
            .get(task.stage.0 as usize)?
            .get(task.index as usize)?
            .as_ref()
    }

    pub(super) fn run_of(&self, task: TaskId) -> Option<ExecutionId> {
        self.winner(task).map(|(_, run)| *run)
    }

    /// Lists the runs whose results stand.
    #[cfg(test)]
    pub(in crate::job) fn standing_runs(&self) -> Vec<(TaskId, ExecutionId)> {
        let stages = (0..).map(StageId).zip(&self.winners);
        let runs = stages.flat_map(|(stage, winners)| {
            (0..).zip(winners).filter_map(move |(index, winner)| {
                let (_, run) = winner.as_ref()?;
                Some((TaskId { stage, index }, *run))
            })
        });
        runs.collect()
    }

    pub(super) fn standing(&self) -> usize {
        self.winners.iter().flatten().flatten().count()
    }

    /// The standing winner whose partition the current attempt of a needed reader missed.
    pub(super) fn missed_winner(
        &self,
        event: &Event,
        settled: &[bool],
    ) -> Option<(TaskId, ExecutionId)> {
        let Event::TaskFailed(told) = event else {
            return None;
        };
        let FailureClass::InputLost(address) = &told.failure.class else {
            return None;
        };
        let (attempt, _) = self.asked.get(&told.task)?;
        let reader = told.task.stage.0 as usize;
        let producer = address.key.task;
        let stands = self
            .winner(producer)
            .is_some_and(|(at, run)| *run == address.key.execution && *at == address.worker);
        let reads = self.shapes.get(reader)?.inputs.contains(&producer.stage);
        let current = *attempt == told.attempt && settled.get(reader) == Some(&false);
        (current && stands && reads && self.decided.is_none())
            .then_some((producer, address.key.execution))
    }

    pub(super) fn complete(&self) -> Vec<bool> {
        self.winners
            .iter()
            .map(|winners| winners.iter().all(Option::is_some))
            .collect()
    }

    /// Which stages may run: all that they read is complete.
    pub(super) fn open(&self) -> Vec<bool> {
        let complete = self.complete();
        let stands = |input: &StageId| complete.get(input.0 as usize) == Some(&true);
        let open = |shape: &StageShape| shape.inputs.iter().all(stands);
        self.shapes.iter().map(open).collect()
    }

    pub(super) fn readers(&self, number: usize) -> impl Iterator<Item = usize> {
        let shapes = self.shapes.iter().enumerate();
        shapes
            .filter(move |(_, shape)| shape.inputs.iter().any(|input| input.0 as usize == number))
            .map(|(reader, _)| reader)
    }

    /// Tells whether a stage may run.
    pub(super) fn is_open(&self, stage: StageId) -> bool {
        self.open().get(stage.0 as usize) == Some(&true)
    }

    /// Tells whether a stage that needs something more reads this one.
    pub(super) fn is_needed(&self, number: usize, settled: &[bool]) -> bool {
        let mut readers = self.readers(number);
        readers.any(|reader| settled.get(reader) == Some(&false))
    }

    /// Tells whether all that can be done is done: what is left is dead, or waits for what another stage makes.
    pub(super) fn at_rest(&self) -> bool {
        let (settled, open) = (self.settled(), self.open());
        (0..).zip(&self.winners).all(|(number, winners)| {
            let stage = StageId(number);
            let done = |(index, winner): (u32, &Option<_>)| {
                winner.is_some() || self.dead.contains(&TaskId { stage, index })
            };
            let of = |flags: &[bool]| flags.get(number as usize) == Some(&true);
            of(&settled) || !of(&open) || (0..).zip(winners).all(done)
        })
    }

    /// Which stages need nothing more: complete, or made once and read by settled stages only.
    pub(super) fn settled(&self) -> Vec<bool> {
        let mut settled = self.complete();
        let stages: Vec<(u32, &StageShape)> = (0..).zip(&self.shapes).collect();
        for (stage, shape) in stages.into_iter().rev() {
            let (number, stage) = (stage as usize, StageId(stage));
            let made = (0..shape.tasks).all(|index| self.ever.contains(&TaskId { stage, index }));
            let read = self.readers(number).next().is_some();
            let unneeded = read && !self.is_needed(number, &settled);
            if let Some(settled) = settled.get_mut(number) {
                *settled |= made && unneeded;
            }
        }
        settled
    }
}
