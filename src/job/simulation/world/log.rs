//! What happens when a record reaches the log: all invariants are checked here.

use super::super::fault::Fault;
use super::{Happening, JUMP_MAX, MS, Sender, World};
use crate::ids::{ExecutionId, TaskId};
use crate::job::invariants::{Violation, twice_is_once};
use crate::job::{Event, FailureClass, Outcome};
use crate::time::Timestamp;

impl World {
    pub(super) fn append(&mut self, event: Event, sender: Option<Sender>) -> Result<(), Violation> {
        if let Some(sender) = sender {
            let lives = self.workers[sender.worker].lives(sender.life);
            if !lives && self.rng.permille(500) {
                self.counts.hit(Fault::AppendLost);
                return Ok(());
            }
            let later = self.now + self.rng.between(MS, 30 * MS);
            self.at(later, Happening::Settle { sender });
        }
        if self.rng.permille(self.hostility.append_twice) {
            self.counts.hit(Fault::AppendTwice);
            let later = self.now + self.rng.between(MS, 400 * MS);
            self.at(
                later,
                Happening::Append {
                    event: event.clone(),
                    sender: None,
                },
            );
        }
        self.count(&event);
        if self.rng.permille(self.hostility.stamps_jump) {
            self.counts.hit(Fault::StampsJumped);
            self.stamps_ahead = self.rng.between(0, 2 * JUMP_MAX);
        }
        let at = Timestamp(self.now + self.stamps_ahead);
        let ended = self.reference.outcome().cloned();
        let dead = self.reference.dead().count();
        let commands = self.reference.apply(at, &event);
        self.count_dead(dead, &event);
        self.tell(|| format!("log {event:?} gives {commands:?}"));
        self.witness
            .observe(at, &event, &commands, &self.reference)?;
        if self.broker.log.len().is_multiple_of(4) {
            twice_is_once(at, &event, &self.reference)?;
        }
        self.broker.log.push((at, event));
        match (ended, self.reference.outcome().cloned()) {
            (None, Some(outcome)) => self.life_ended(&outcome),
            (Some(ended), None) => self.life_began(&ended),
            _ => {}
        }
        Ok(())
    }

    /// Somebody retries a job that did not end well, before or after all have heard of its end.
    fn life_ended(&mut self, outcome: &Outcome) {
        self.ended_at = Some(self.now);
        let life = self.reference.life() + 1;
        if *outcome == Outcome::Succeeded {
            if life > 1 {
                self.counts.hit(Fault::RetriedSucceeded);
            }
            return;
        }
        if self.retries_left > 0 {
            self.retries_left -= 1;
            let when = self.now + self.rng.between(0, 600 * MS);
            let event = Event::Retried { life };
            self.at(
                when,
                Happening::Append {
                    event,
                    sender: None,
                },
            );
        }
    }

    /// The job is on the queue of jobs again: who was done with it takes it up.
    fn life_began(&mut self, ended: &Outcome) {
        self.ended_at = None;
        self.begun_at = self.now;
        self.counts.hit(match ended {
            Outcome::Cancelled => Fault::RetriedCancelled,
            _ => Fault::RetriedFailed,
        });
        for number in 0..self.coordinators.len() {
            if self.coordinators[number].done {
                self.coordinator_is_called(number);
            }
        }
    }

    fn count_dead(&mut self, before: usize, event: &Event) {
        let now = self.reference.dead().count();
        if now > before {
            self.counts.hit(Fault::TaskDied);
        }
        if let Event::TaskSucceeded(_) = event
            && before > 0
        {
            self.counts.hit(if now < before {
                Fault::DeadTaskEndedWell
            } else {
                Fault::WentOnWithoutDead
            });
        }
    }

    pub(super) fn count(&mut self, event: &Event) {
        match event {
            Event::Planned { .. } => {
                self.plans += 1;
                let tried =
                    |(_, event): &(Timestamp, Event)| matches!(event, Event::PlanFailed { .. });
                if self.reference.wants_plan() && self.broker.log.iter().any(tried) {
                    self.counts.hit(Fault::PlannedAtLast);
                }
                if self.plans == 2 {
                    self.counts.hit(Fault::PlannedTwice);
                }
            }
            Event::PlanFailed { failure, .. } => self.counts.hit(match failure.class {
                FailureClass::Fatal => Fault::PlanFailed,
                _ => Fault::PlanTried,
            }),
            Event::Capacity { .. } => self.counts.hit(Fault::CapacityChanged),
            Event::TaskSucceeded(success) => {
                let worker = &success.worker;
                let published = self.broker.published_at(success.task, success.attempt);
                let stale = published.is_some_and(|at| at < self.begun_at);
                if stale && self.reference.winner(success.task).is_none() {
                    self.counts.hit(Fault::StaleSuccess);
                }
                if !self.succeeded.insert(success.task) {
                    self.counts.hit(Fault::SecondSuccess);
                }
                if self.lost.contains(&(worker.id.clone(), worker.incarnation)) {
                    self.counts.hit(Fault::ZombieReport);
                }
            }
            Event::WorkerLost {
                worker,
                incarnation,
            } => {
                self.lost.insert((worker.clone(), *incarnation));
                let numbered = self.workers.iter().position(|it| it.me.id == *worker);
                let Some(number) = numbered else { return };
                if self.workers[number].lives(*incarnation) {
                    self.counts.hit(Fault::FalselyLost);
                    // Some never hear of it and go on.
                    if self.rng.permille(500) {
                        return;
                    }
                    let learns = self.now + self.rng.between(50 * MS, 500 * MS);
                    let life = *incarnation;
                    self.at(
                        learns,
                        Happening::WorkerReborn {
                            worker: number,
                            life,
                        },
                    );
                }
            }
            Event::Moved { from, to, runs } => {
                let gone = self.lost.contains(&(to.id.clone(), to.incarnation));
                let late = |(task, run): &(TaskId, ExecutionId)| {
                    self.reference.winner(*task) != Some((from, *run))
                };
                if gone || runs.iter().any(late) {
                    self.counts.hit(Fault::HandOverInVain);
                }
            }
            Event::CancelRequested => self.counts.hit(Fault::Cancelled),
            Event::DeadlineReached { life } => {
                let stale = *life != self.reference.life();
                self.counts.hit(if stale {
                    Fault::StaleDeadline
                } else {
                    Fault::Deadline
                });
            }
            Event::Finished { life, .. } if *life != self.reference.life() => {
                self.counts.hit(Fault::StaleEnd);
            }
            Event::Submitted(_)
            | Event::TakenUp { .. }
            | Event::Held { .. }
            | Event::TaskFailed(_)
            | Event::Straggling { .. }
            | Event::Finished { .. }
            | Event::Retried { .. } => {}
        }
    }
}
