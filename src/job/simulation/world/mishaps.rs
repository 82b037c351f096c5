//! What befalls whole workers: death, a standstill, a false report of their loss.

use super::super::broker::LEASE;
use super::super::fault::Fault;
use super::super::worker::Worker;
use super::{Happening, MS, World, injected};
use crate::ids::{ExecutionId, Incarnation};
use crate::job::{Event, FailureClass};

impl World {
    pub(super) fn worker_dies(&mut self) {
        let number = self.rng.index(self.workers.len());
        if self.calm || !self.workers[number].up {
            return;
        }
        self.tell(|| format!("w{number} dies"));
        self.counts.hit(Fault::WorkerDied);
        self.worker_goes(number, self.workers[number].me.incarnation);
    }

    /// A worker gives back what runs, hands its partitions over to another one, and leaves.
    pub(super) fn worker_leaves(&mut self) {
        let (number, to) = (
            self.rng.index(self.workers.len()),
            self.rng.index(self.workers.len()),
        );
        let ready = |worker: &Worker| worker.up && !worker.paused && !worker.leaving;
        if number == to || !ready(&self.workers[number]) || !ready(&self.workers[to]) {
            return;
        }
        self.tell(|| format!("w{number} leaves, and w{to} takes over what it holds"));
        self.counts.hit(Fault::HandedOver);
        self.workers[number].leaving = true;
        for run in std::mem::take(&mut self.workers[number].running).into_values() {
            let failure = injected(FailureClass::WorkerGone, "left");
            self.report_failure(number, &run, failure);
        }
        let (from, new) = (self.workers[number].me.clone(), self.workers[to].me.clone());
        let held = self.workers[number].partitions.clone();
        let holds = |execution: &ExecutionId| held.contains_key(execution);
        let stands = self.witness.standing_runs();
        let runs: Vec<_> = stands.into_iter().filter(|(_, run)| holds(run)).collect();
        self.workers[to].partitions.extend(held);
        let event = Event::Moved {
            from,
            to: new,
            runs,
        };
        let recorded = self.now + self.rng.between(MS, 200 * MS);
        self.at(
            recorded,
            Happening::Append {
                event,
                sender: None,
            },
        );
        // It is there until what it was asked for before is answered.
        let gone = self.now + self.rng.between(100 * MS, 400 * MS);
        let life = self.workers[number].me.incarnation;
        self.at(
            gone,
            Happening::WorkerGoes {
                worker: number,
                life,
            },
        );
    }

    pub(super) fn worker_goes(&mut self, number: usize, life: Incarnation) {
        if !self.workers[number].lives(life) {
            return;
        }
        self.say_lost(number);
        let incarnation = self.rng.next();
        self.workers[number].end_life(incarnation);
        self.workers[number].up = false;
        let back = self.now + self.rng.between(20 * MS, 900 * MS);
        self.at(back, Happening::WorkerStarts { worker: number });
    }

    /// The coordinators note the loss, more than one of them, or nobody does.
    pub(super) fn say_lost(&mut self, number: usize) {
        let me = self.workers[number].me.clone();
        for _ in 0..self.coordinators.len() {
            if self.rng.permille(self.hostility.notice_lost) {
                self.counts.hit(Fault::NoticeLost);
                continue;
            }
            let noticed = self.now + self.rng.between(50 * MS, 500 * MS);
            let event = Event::WorkerLost {
                worker: me.id.clone(),
                incarnation: me.incarnation,
            };
            self.at(
                noticed,
                Happening::Append {
                    event,
                    sender: None,
                },
            );
        }
    }

    pub(super) fn worker_pauses(&mut self) {
        let number = self.rng.index(self.workers.len());
        if self.calm || !self.workers[number].up || self.workers[number].paused {
            return;
        }
        self.tell(|| format!("w{number} stands still"));
        self.counts.hit(Fault::WorkerPaused);
        self.workers[number].paused = true;
        let life = self.workers[number].me.incarnation;
        let sleep = self.rng.between(30 * MS, 1_200 * MS);
        if sleep > LEASE {
            self.say_lost(number);
        }
        self.at(
            self.now + sleep,
            Happening::WorkerWakes {
                worker: number,
                life,
            },
        );
    }

    pub(super) fn worker_reborn(&mut self, number: usize, life: Incarnation) {
        if !self.workers[number].lives(life) {
            return;
        }
        if self.workers[number].paused {
            let later = self.now + 100 * MS;
            self.at(
                later,
                Happening::WorkerReborn {
                    worker: number,
                    life,
                },
            );
            return;
        }
        self.tell(|| format!("w{number} begins a new life"));
        let incarnation = self.rng.next();
        self.workers[number].end_life(incarnation);
    }
}
