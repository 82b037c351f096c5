//! The virtual coordinators: they replay, follow, carry out, lag, repeat themselves and die.

use bytes::Bytes;

use super::super::broker::{Input, Message, Published};
use super::super::fault::Fault;
use super::super::worker::{Run, SLOTS};
use super::{Happening, MS, World, injected};
use crate::ids::{Attempt, ExecutionId, StageId, TaskId, WorkerId};
use crate::job::{Command, Event, FailureClass, JobMachine, Outcome, Payload};

/// How old the latest heartbeat may be from which a coordinator knows what time it is.
const HEARTBEAT_AGE_MAX: i64 = 2_500 * MS;

impl World {
    pub(super) fn coordinator_starts(&mut self, number: usize) {
        let mut machine = JobMachine::new();
        for (at, event) in &self.broker.log {
            machine.apply(*at, event);
        }
        let hold = self.rng.next();
        // The latest heartbeat tells what time it is, and is a while old.
        let told = self.now + self.stamps_ahead - self.rng.between(0, HEARTBEAT_AGE_MAX);
        let it = &mut self.coordinators[number];
        it.clock = (told, self.now);
        it.life += 1;
        it.up = true;
        it.machine = machine;
        (it.hold, it.joins) = (hold, true);
        it.read = self.broker.log.len();
        let life = it.life;
        self.tell(|| format!("coordinator {number} starts"));
        let worker = WorkerId::new(format!("c{number}")).unwrap();
        self.soon(Event::TakenUp { worker, hold });
        let slots = u32::try_from(self.workers.len() * SLOTS).unwrap();
        let soon = self.now + self.rng.between(0, 20 * MS);
        self.at(
            soon,
            Happening::Append {
                event: Event::Capacity { slots },
                sender: None,
            },
        );
        self.carry_out_all(number, life, &[]);
    }

    pub(super) fn step(&mut self, number: usize, life: u32) {
        let it = &mut self.coordinators[number];
        if !it.up || it.life != life {
            return;
        }
        let unread = self.broker.log.len() - it.read;
        let read = if unread == 0 {
            0
        } else {
            1 + self.rng.index(unread)
        };
        let mut commands = Vec::new();
        for _ in 0..read {
            let (at, event) = &self.broker.log[it.read];
            commands.extend(it.machine.apply(*at, event));
            it.clock = (at.0, self.now);
            it.read += 1;
            // After each event: the next one may be progress, which strikes the hold again.
            if it.joins && it.machine.is_taken_up(it.hold) {
                it.joins = false;
                commands = it.machine.outstanding();
            } else if it.joins {
                commands.clear();
            }
        }
        // The job ended and was retried: this coordinator is done, and the new life calls for one.
        let ended = commands.contains(&Command::Release);
        if ended && !self.coordinators[number].machine.is_finished() {
            return self.coordinator_is_called(number);
        }
        let driving = self
            .coordinators
            .iter()
            .filter(|it| it.up && !it.done)
            .count();
        if driving > 1 {
            self.counts.hit(Fault::TwoCoordinators);
        }
        self.carry_out_all(number, life, &commands);
    }

    /// Carries commands out, dies in between, or sleeps; then looks at the log again.
    pub(super) fn carry_out_all(&mut self, number: usize, life: u32, commands: &[Command]) {
        for command in commands {
            if self.rng.permille(self.hostility.coordinator_dies) {
                self.coordinator_dies(number);
                return;
            }
            self.carry_out(number, command);
            if !self.coordinators[number].up {
                return;
            }
            if self.rng.permille(self.hostility.command_twice) {
                self.counts.hit(Fault::CommandTwice);
                self.carry_out(number, command);
            }
        }
        if self.coordinators[number].machine.is_finished() {
            self.coordinators[number].done = true;
            // It heard late of an end that was not the last one.
            if self.coordinators[number].machine.life() < self.reference.life() {
                self.coordinator_is_called(number);
            }
            return;
        }
        let mut later = self.now + self.rng.between(MS, 40 * MS);
        if self.rng.permille(self.hostility.coordinator_sleeps) {
            self.counts.hit(Fault::CoordinatorSlept);
            later += self.rng.between(200 * MS, 1_500 * MS);
        }
        self.at(
            later,
            Happening::Step {
                coordinator: number,
                life,
            },
        );
    }

    /// The message of a new life of the job reaches a coordinator that has nothing to do with the job any more.
    pub(super) fn coordinator_is_called(&mut self, number: usize) {
        self.coordinators[number].up = false;
        self.coordinators[number].done = false;
        let later = self.now + self.rng.between(0, 200 * MS);
        self.at(
            later,
            Happening::CoordinatorStarts {
                coordinator: number,
            },
        );
    }

    pub(super) fn coordinator_dies(&mut self, number: usize) {
        self.tell(|| format!("coordinator {number} dies"));
        self.coordinators[number].up = false;
        let hold = self.coordinators[number].hold;
        if self.rng.permille(300) {
            self.counts.hit(Fault::GaveBack);
            self.soon(Event::Held { hold });
        } else {
            self.counts.hit(Fault::CoordinatorDied);
        }
        let later = self.now + self.rng.between(50 * MS, 800 * MS);
        self.at(
            later,
            Happening::CoordinatorStarts {
                coordinator: number,
            },
        );
    }

    pub(super) fn carry_out(&mut self, number: usize, command: &Command) {
        match command {
            Command::Plan {
                not_before: moment, ..
            }
            | Command::Publish {
                not_before: moment, ..
            }
            | Command::WatchDeadline { at: moment } => {
                let (told, then) = self.coordinators[number].clock;
                let wait = moment.0 - (told + self.now - then);
                if wait <= 0 {
                    return self.ring(number, command);
                }
                let life = self.coordinators[number].life;
                let command = command.clone();
                self.at(
                    self.now + wait,
                    Happening::Timer {
                        coordinator: number,
                        life,
                        command,
                    },
                );
            }
            Command::PublishAgain { task, attempt } => {
                self.counts.hit(Fault::Doubled);
                self.publish(number, *task, *attempt, true);
            }
            Command::Stop { task, attempt } => self.stop_runs(*task, *attempt),
            Command::Bury { task } => {
                let life = self.coordinators[number].machine.life();
                if !self.letters.insert((life, *task)) {
                    self.counts.hit(Fault::BuriedTwice);
                }
            }
            Command::Finish(outcome) => self.soon(Event::Finished {
                life: self.coordinators[number].machine.life(),
                outcome: outcome.as_ref().clone(),
            }),
            Command::Release => self.release(number),
        }
    }

    /// Does what was to be done at a moment that has come, as far as this coordinator knows.
    pub(super) fn ring(&mut self, number: usize, command: &Command) {
        match command {
            Command::Plan { attempt, .. } => self.plan(number, *attempt),
            Command::Publish { task, attempt, .. } => self.publish(number, *task, *attempt, false),
            Command::WatchDeadline { .. } if !self.coordinators[number].machine.is_finished() => {
                let life = self.coordinators[number].machine.life();
                self.soon(Event::DeadlineReached { life });
            }
            _ => {}
        }
    }

    pub(super) fn plan(&mut self, number: usize, attempt: Attempt) {
        if self.rng.permille(self.hostility.plan_kills) {
            self.counts.hit(Fault::PlanKilled);
            return self.coordinator_dies(number);
        }
        if self.rng.permille(self.hostility.plan_fails) {
            let after_ms = self.rng.permille(300).then_some(120);
            let class = match self.rng.index(10) {
                0 => FailureClass::Fatal,
                1 => FailureClass::Panic,
                _ => FailureClass::Retry { after_ms },
            };
            let failure = injected(class, "injected-plan");
            let life = self.coordinators[number].machine.life();
            return self.soon(Event::PlanFailed {
                life,
                attempt,
                failure,
            });
        }
        let mut stages = self.stages.clone();
        if self.hostility.plan_malformed {
            self.counts.hit(Fault::PlanMalformed);
            let last = StageId(u32::try_from(stages.len() - 1).unwrap());
            stages[last.0 as usize].inputs.push(last);
        }
        self.soon(Event::Planned {
            stages,
            plan: Payload::Inline(Bytes::new()),
            retry: None,
        });
    }

    /// Makes the message from what this coordinator knows; skips it when an input has no winner just now.
    pub(super) fn publish(&mut self, number: usize, task: TaskId, attempt: Attempt, again: bool) {
        let machine = &self.coordinators[number].machine;
        let mut inputs = Vec::new();
        for stage in &self.stages[task.stage.0 as usize].inputs {
            for index in 0..self.stages[stage.0 as usize].tasks {
                let task = TaskId {
                    stage: *stage,
                    index,
                };
                let Some((worker, execution)) = machine.winner(task) else {
                    self.counts.hit(Fault::PublishSkipped);
                    return;
                };
                inputs.push(Input {
                    task,
                    execution,
                    worker: worker.clone(),
                });
            }
        }
        let visible_at = self.now + self.rng.between(0, 30 * MS);
        match self.broker.publish(
            self.now,
            visible_at,
            Message {
                task,
                attempt,
                again,
                inputs,
            },
        ) {
            Published::New => {}
            Published::Known => self.counts.hit(Fault::Deduplicated),
            Published::Again => self.counts.hit(Fault::PublishedTwice),
        }
    }

    /// Tells the workers to stop runs of a task; a signal may be lost.
    fn stop_runs(&mut self, task: TaskId, attempt: Attempt) {
        for number in 0..self.workers.len() {
            if !self.workers[number].up || self.rng.permille(300) {
                continue;
            }
            let loses = |run: &Run| run.message.task == task && run.message.attempt <= attempt;
            let running = &self.workers[number].running;
            let losers: Vec<ExecutionId> = running
                .iter()
                .filter_map(|(execution, run)| loses(run).then_some(*execution))
                .collect();
            for execution in losers {
                if let Some(run) = self.workers[number].running.remove(&execution) {
                    self.counts.hit(Fault::LoserStopped);
                    let failure = injected(FailureClass::Cancelled, "another-won");
                    self.report_failure(number, &run, failure);
                }
            }
        }
    }

    /// Tells the workers that the job is over; a signal may be lost. A failed job's partitions stay for a retry.
    pub(super) fn release(&mut self, coordinator: usize) {
        let outcome = self.coordinators[coordinator].machine.outcome();
        let keep = matches!(outcome, Some(Outcome::Failed { .. }));
        for number in 0..self.workers.len() {
            if !self.workers[number].up || self.rng.permille(300) {
                continue;
            }
            if !keep {
                self.workers[number].partitions.clear();
            }
            let running = std::mem::take(&mut self.workers[number].running);
            for run in running.values() {
                let failure = injected(FailureClass::Cancelled, "released");
                self.report_failure(number, run, failure);
            }
        }
    }
}
